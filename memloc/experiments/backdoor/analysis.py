"""Where values of cells put a backdoor's trigger (2D-OOB, Sun et al., 2024)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued import (
    OOB,
    PAPER,
    Floats,
    label,
    methods_of,
    of_method,
    outcomes,
    over_seeds,
    rows_of_methods,
    share,
)

OWN = f"{PAPER}; own threshold"
CLAIMS = {
    "area": Claim(
        "A trigger's pixels have the highest values of accuracy within a poisoned image: AUROC minus .95", OWN
    ),
    "hits": Claim(
        "Of as many pixels of highest value of accuracy as a trigger has, most are its own: share minus .8", OWN
    ),
    "top": Claim(
        "The patch of highest value of accuracy in a poisoned image is the trigger's: share of images minus .8", OWN
    ),
    "top-digits": Claim(
        "The patch of highest value of accuracy in a poisoned digit is the trigger's: share of images minus .95", OWN
    ),
}
"""At the first of the ratios. The thresholds come from trials on one seed, before this experiment was written."""
SERIES = {"areas": "AUROC", "hits": "share of highest cells", "tops": "highest cell"}
ASKED = {
    "areas": "Do its cells stand out? AUROC",
    "hits": "Share of it in the highest cells",
    "tops": "Is the highest cell in it? Share",
}
"""By array of an outcome, what the figure asks of the trigger."""
MAPS = ("values of this image", "mean, poisoned", "mean, others of its label")


def analyse(sheet: Sheet) -> None:
    """How a trigger's cells stand within poisoned images, and the maps of the first seed."""
    method = (OOB[0], sheet.options["ratios"][0])
    for name in sheet.encoders:
        outcome = outcomes(sheet.inputs, name)
        image = outcome.arrays["image"][0]
        sheet.add(_pixels(image), table=name, grid=0, series="image")
        for g, grid in enumerate(sheet.options["grids"]):
            about = {"table": name, "grid": grid}
            for key, series in SERIES.items():
                sheet.add(rows_of_methods(share(outcome.arrays[key][:, g]), outcome.methods, series=series, **about))
            for drawn, series in zip(outcome.arrays[f"map{grid}"][0], MAPS, strict=True):
                sheet.add(_pixels(drawn), series=series, **about)
            effects = {key: outcome.of(key, method, axis=1)[:, g] for key in SERIES}
            subject = f"{name}, {grid} x {grid} cells, ratio {method[1]:g}"
            for claim, effect in _effects(effects, pixels=grid == len(image), name=name):
                sheet.find(claim, subject, over_seeds(effect), outcome.rows)


def _effects(effects: dict[str, Floats], *, pixels: bool, name: str) -> Iterator[tuple[str, Floats]]:
    if pixels:
        yield "area", effects["areas"] - 0.95
        yield "hits", effects["hits"] - 0.8
        return
    yield "top", effects["tops"] - 0.8
    if name == "digits-8x8":
        yield "top-digits", effects["tops"] - 0.95


def _pixels(image: Floats) -> pd.DataFrame:
    row, column = np.indices(image.shape)
    return pd.DataFrame({"row": row.ravel(), "column": column.ravel(), "value": image.ravel()})


def draw(table: pd.DataFrame) -> Figure:
    """A row a table and size of cells: an image with its maps; below, how well each method finds the trigger."""
    kinds = [(name, int(grid)) for name, grid in dict.fromkeys(zip(table["table"], table["grid"], strict=True)) if grid]
    scores = table[table["method"].notna()]
    methods = methods_of(scores)
    heights = [1.75 * len(kinds) + 0.25, 0.7 + 0.16 * len(kinds) * (len(methods) + 1)]
    figure, ((axis,),) = plotting.panels(rows=1, columns=1, height=sum(heights))
    axis.remove()
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).flat
    above.suptitle("Do values of cells show where the trigger of a poisoned image is?", x=0.01, ha="left", fontsize=8.5)
    axes = above.subplots(len(kinds), 1 + len(MAPS), squeeze=False)
    shown = []
    for row, (name, grid) in zip(axes, kinds, strict=True):
        part = table[(table["table"] == name) & (table["grid"] == grid)]
        image = _map(table[(table["table"] == name) & (table["series"] == "image")])
        row[0].imshow(image, cmap="gray", interpolation="nearest")
        plotting.bare(row[0])
        row[0].set_ylabel(f"{plotting.plain(name)}\n{grid} x {grid} cells")
        shown += [_map(part[part["series"] == series]) for series in MAPS]
    for axis, title in zip(axes[0], ("a poisoned image", *MAPS), strict=True):
        axis.set_title(title)
    plotting.maps(list(axes[:, 1:].flat), shown, label="value", signed=False)
    for axis, series in zip(below.subplots(1, len(SERIES), sharey=True), SERIES, strict=True):
        rows = scores[scores["series"] == SERIES[series]]
        each = [(kind, method) for kind in kinds for method in methods]
        found = pd.concat([of_method(rows[(rows["table"] == n) & (rows["grid"] == g)], m) for (n, g), m in each])
        plotting.forest(
            axis,
            found,
            [label(method) for _, method in each],
            groups=[f"{name}, {grid} x {grid}" for (name, grid), _ in each],
            colours=[plotting.COLOURS["random"] if method[0] == "random" else plotting.INK for _, method in each],
            hollow=[method[0] != OOB[0] for _, method in each],
            null=None,
        )
        axis.set_xlim(-0.04, 1.04)
        axis.set_title(ASKED[series])
    return figure


def _map(rows: pd.DataFrame) -> Floats:
    """Values by row and column."""
    side = int(rows["row"].max()) + 1
    return rows.sort_values(["row", "column"])["value"].to_numpy(dtype=np.float64).reshape(side, -1)
