"""Whether a figure can be read: labels that overlap or are cut off, small text, a legend over data; tables to draw."""

from itertools import combinations
from unittest import mock

import numpy as np
import pandas as pd
from matplotlib.collections import Collection
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from memloc.analysis.plotting import SMALLEST, WIDTH


def faults(figure):
    """What keeps a reader from reading a figure, shown WIDTH inches wide; a line each."""
    texts = _drawn_texts(figure)
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in texts]
    scale = min(1.0, WIDTH / figure.get_figwidth())
    found = [
        f"{text.get_fontsize() * scale:.1f} pt: {_said(text)}"
        for text in texts
        if text.get_fontsize() * scale < SMALLEST - 1e-6
    ]
    found += [f"cut off: {_said(text)}" for text, box in zip(texts, boxes, strict=True) if _cut(text, box, figure)]
    found += [
        f"overlap: {_said(texts[i])} and {_said(texts[j])}"
        for i, j in combinations(range(len(texts)), 2)
        if _meet(boxes[i], boxes[j])
    ]
    for legend in figure.findobj(Legend):
        found += [f"legend over data: {what}" for what in _under(legend, figure, renderer)]
    return found


def _drawn_texts(figure):
    """Texts that are drawn indeed: an axis holds labels of ticks that lie outside of its view."""
    drawn, draw = [], Text.draw

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            drawn.append(text)
        draw(text, renderer)

    with mock.patch.object(Text, "draw", record):
        figure.draw(figure.canvas.get_renderer())
    return list(dict.fromkeys(drawn))


def _said(text):
    return repr(text.get_text())


def _meet(one, other, slack=1.0):
    """Whether two boxes overlap by more than a pixel each way."""
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return wide > slack and high > slack


def _cut(text, box, figure, slack=1.0):
    frames = [figure.bbox]
    if text.get_clip_on() and text.get_clip_box() is not None:
        frames.append(text.get_clip_box())
    return any(
        box.x0 < frame.x0 - slack or box.y0 < frame.y0 - slack or box.x1 > frame.x1 + slack or box.y1 > frame.y1 + slack
        for frame in frames
    )


def _under(legend, figure, renderer):
    """Names of data that lie under a legend."""
    box = legend.get_window_extent(renderer)
    inner = Bbox.from_extents(box.x0 + 1, box.y0 + 1, box.x1 - 1, box.y1 - 1)
    for axis in figure.axes:
        for artist in [*axis.lines, *axis.collections, *axis.patches, *axis.images]:
            if artist.get_visible() and _covers(artist, axis, inner):
                yield artist.get_label()


def _covers(artist, axis, box):
    if artist.get_transform().contains_branch(axis.transData) is False or not _meet(axis.bbox, box):
        return False
    if isinstance(artist, Line2D):
        path = artist.get_transform().transform_path(artist.get_path())
        return _touches(path, box, line=artist.get_linestyle() not in ("None", "none", ""))
    if isinstance(artist, Patch):
        path = artist.get_transform().transform_path(artist.get_path())
        return bool(path.intersects_bbox(box, filled=True))
    if isinstance(artist, Collection):
        offsets = artist.get_offset_transform().transform(artist.get_offsets())
        paths = [artist.get_transform().transform_path(path) for path in artist.get_paths()]
        dots = len(offsets) > 1 or bool(np.any(artist.get_offsets()))
        if dots:
            return bool(np.any([box.contains(*point) for point in offsets]))
        return any(bool(path.intersects_bbox(box, filled=False)) for path in paths)
    return _meet(artist.get_window_extent(), box)


def _touches(path, box, *, line):
    known = path.vertices[np.isfinite(path.vertices).all(axis=1)]
    if any(box.contains(*vertex) for vertex in known):
        return True
    return bool(line and len(known) > 1 and Path(known).intersects_bbox(box, filled=False))


VIT = ["patches", *(f"{block}.{part}" for block in range(1, 11) for part in ("att", "res-att", "fc", "res-fc")), "out"]
"""Names of layers of a transformer."""
ENCODERS = ["simclr", "dino-resnet18", "vicreg-augmented", "barlow-twins", "mae", "byol-private-eps8", "moco", "swav"]
"""Names of encoders, long ones among them."""


def many(table, *, encoders=8, layers=True):
    """A table with more encoders, and 42 layers where it has several: those that it has, again under new names.

    Args:
        encoders: how many, at most 8.
        layers: whether there may be more of them.
    """
    if encoders > 1 and "encoder" in table and table["encoder"].notna().any():
        table = _more_encoders(table, ENCODERS[:encoders])
    if layers and "layer" in table:
        table = _more_layers(table)
    return table


def _more_encoders(table, names):
    known = list(dict.fromkeys(table["encoder"].dropna()))
    if "other" in table and table["other"].notna().any():
        # Rows of pairs: one pair's for all.
        pairs = table[table["other"].notna()]
        first = pairs[(pairs["encoder"] == pairs["encoder"].iloc[0]) & (pairs["other"] == pairs["other"].iloc[-1])]
        of_pairs = [first.assign(encoder=one, other=other) for i, one in enumerate(names) for other in names[i:]]
        table = table[table["other"].isna()]
    else:
        of_pairs = []
    parts = [table[table["encoder"].isna()]]
    for number, name in enumerate(names):
        parts.append(table[table["encoder"] == known[number % len(known)]].assign(encoder=name))
    return pd.concat([*parts, *of_pairs], ignore_index=True)


def _more_layers(table):
    known = list(dict.fromkeys(table["layer"].dropna().astype(str)))
    named = [layer for layer in known if layer not in ("all", "output", "all layers")]
    if len(named) < 2:
        return table
    taken = [named[place * len(named) // len(VIT)] for place in range(len(VIT))]
    new = {layer: [name for name, source in zip(VIT, taken, strict=True) if source == layer] for layer in named}
    layer = table["layer"].where(table["layer"].isna(), table["layer"].astype(str))
    # A series that has one layer, its last or strongest one, goes on having one.
    by = [table[name].astype(str) for name in ("encoder", "series", "other", "group") if name in table]
    several = layer.groupby(by).transform("nunique") > 1 if by else layer.notna()
    places = [new.get(name, [name]) if more else [name] for name, more in zip(layer, several, strict=True)]
    return table.assign(layer=places).explode("layer").reset_index(drop=True)
