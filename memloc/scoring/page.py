"""One self-contained page about a scored encoder: summary, layers, the images that units memorize. It opens offline."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc import page
from memloc.errors import InputError
from memloc.metrics.stats import LEVEL
from memloc.page import MISSING, decimal, present, short
from memloc.scoring.tables import FAINT

UNITS = 6
"""Units shown of each layer, those of highest excess, or of highest UnitMem without external images."""
NEXT = 5
"""Images shown beside a unit's owner."""
POINTS = 12
"""Most memorized points shown."""
SKIPPED = 20
"""Skipped files listed."""
OPEN = 2
"""Layers of the gallery that are unfolded at first."""
NARROW = 32
"""Characters of the longest name of a layer up to which names stay in view where the table scrolls."""
SIDE = 112
"""Pixels of an embedded image's longer side."""
COARSE = 40
"""Largest side in pixels of images that are embedded without loss and shown with sharp pixels."""
BUDGET = 3_500_000
"""Characters of HTML that all embedded images together may take."""

Thumbnail = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True)
class Quantity:
    """A column of the layers table.

    Attributes:
        group, heading: the two headings above it.
        decimals: that are shown.
        effect: whether it is 0 under the null.
    """

    group: str
    heading: str
    decimals: int = 3
    effect: bool = False


COUNTS = ("units", "dead", "faint", "signed")
"""Columns of the layers table that count units."""

QUANTITIES = {
    **{
        # The published estimator is not 0 under the null.
        f"layermem_{estimator}": Quantity("LayerMem", estimator, 4, effect=estimator != "published")
        for estimator in ("crossed", "external-corrected", "published")
    },
    "reliability": Quantity("Reliability of images", "all encoders", 2),
    "reliability_pair": Quantity("Reliability of images", "one pair", 2),
    "excess": Quantity("UnitMem", "excess over external", effect=True),
    "gain": Quantity("UnitMem", "gain over untrained"),
    "unitmem": Quantity("UnitMem", "mean"),
    "unitmem_p90": Quantity("UnitMem", "90th percentile"),
    "unitmem_matched": Quantity("UnitMem", "matched"),
    "unitmem_external": Quantity("UnitMem", "external"),
    "unitmem_untrained": Quantity("UnitMem", "untrained"),
    "classmem": Quantity("ClassMem", "mean"),
    "classmem_shuffled": Quantity("ClassMem", "shuffled labels"),
    **{
        f"increment_{estimator}": Quantity("Increment of LayerMem", estimator, 4, effect=estimator != "published")
        for estimator in ("crossed", "external-corrected", "published")
    },
}
"""Columns of the layers table, in the order in which they are shown."""


def render(
    *,
    units: pd.DataFrame,
    tops: pd.DataFrame,
    layers: pd.DataFrame,
    points: pd.DataFrame | None,
    meta: Mapping[str, Any],
    figure_png: bytes,
    thumbnail: Thumbnail,
    shown: int = UNITS,
) -> str:
    """The page as HTML. Every text is escaped, every image embedded once; nothing is loaded from anywhere.

    Args:
        meta: ``encoder``, ``images`` and, if given, ``against``, ``external``, ``split`` as the user wrote them;
            ``verdict``, the record of one; ``command``, what was called; ``taken``, lines about what was taken of
            encoders and images; ``skipped``, names of files to reasons; ``settings``; ``versions``.
        thumbnail: the picture of an image by its row, [1 or 3, height, width].
        shown: units shown of each layer.
    """
    layers = layers.sort_values("depth", kind="stable").astype({"layer": str})
    units, tops = units.astype({"layer": str}), tops.astype({"layer": str})
    album = Album(thumbnail)
    memorized = _memorized(points, layers, album)
    gallery, left_out = _gallery(units, tops, layers, album, shown)
    return _rendered(
        layers,
        meta,
        album,
        totals={name: int(layers[name].sum()) for name in COUNTS},
        figure=base64.b64encode(figure_png).decode(),
        ranked="excess" if "excess" in units else "UnitMem",
        gallery=gallery,
        left_out=left_out,
        shown=shown,
        memorized=memorized,
    )


def render_members(*, layers: pd.DataFrame, images: pd.DataFrame, meta: Mapping[str, Any], thumbnail: Thumbnail) -> str:
    """The page of many encoders: memorization by layer, and the images of the highest.

    Args:
        layers, images: as ``memloc.scoring.members.tables`` makes them.
        meta: as of ``render``, and ``encoders`` and ``members`` instead of ``encoder``.
    """
    album = Album(thumbnail)
    last = layers["layer"].iloc[-1]
    top = images[images["layer"] == last].nlargest(POINTS, "memorization")
    album.add(int(image) for image in top["image"])
    known = {"layer": last, "images": top.to_dict("records"), "of": images["image"].nunique()}
    known["reliability"] = layers["reliability"].iloc[-1]
    return _rendered(layers, meta, album, known=known)


def _rendered(layers: pd.DataFrame, meta: Mapping[str, Any], album: Album, **parts: Any) -> str:
    spans = _spans(layers)
    skipped = dict(meta.get("skipped") or {})
    absent = dict.fromkeys(("totals", "figure", "ranked", "gallery", "left_out", "shown", "memorized", "known"))
    about = dict.fromkeys(("encoder", "encoders", "members", "against", "external", "split", "command"))
    return page.render(
        __package__,
        "page.html",
        **(absent | parts),
        meta={**about, "taken": [], **meta},
        title=short(str(meta.get("encoder") or meta.get("members"))),
        faint=FAINT,
        sticky=max(map(len, layers["layer"]), default=0) <= NARROW,
        columns={column: quantity for column, quantity in QUANTITIES.items() if column in layers},
        spans=spans,
        edges=set(accumulate((span for _, span in spans), initial=0)),
        next=NEXT,
        rows=_rows(layers),
        skipped=list(skipped.items())[:SKIPPED],
        more=max(0, len(skipped) - SKIPPED),
        settings=_flat(meta.get("settings") or {}),
        versions=_flat(meta.get("versions") or {}),
        album=album,
    )


class Album:
    """The images of the page: each once, as a CSS class for every place that shows it."""

    def __init__(self, thumbnail: Thumbnail) -> None:
        self._thumbnail = thumbnail
        self._data: dict[int, str] = {}
        self.classes: dict[str, str] = {}
        """Data of each image to the name of its class; equal images share one."""
        self.size = 0
        self.coarse = True
        """Whether all images are so small that their pixels are best shown as squares."""
        self.unreadable = 0

    def add(self, images: Iterable[int], *, budget: int | None = None) -> bool:
        """Embed images, or none of them if the page would have more than ``budget`` characters of images."""
        data = {image: self._encode(image) for image in images}
        new = dict.fromkeys(d for d in data.values() if d and d not in self.classes)
        size = sum(map(len, new))
        if budget is not None and self.size + size > budget:
            return False
        self.size += size
        for uri in new:
            self.classes[uri] = f"i{len(self.classes)}"
        self.unreadable += sum(not d for image, d in data.items() if image not in self._data)
        self._data |= data
        return True

    def __getitem__(self, image: int) -> str:
        """The class of an embedded image; an image that can't be read has a class without data."""
        return self.classes.get(self._data[image], "none")

    def _encode(self, image: int) -> str:
        if image in self._data:
            return self._data[image]
        try:
            pixels = self._thumbnail(image)
        except (InputError, OSError):
            return ""  # It was readable when it was scored.
        self.coarse &= max(pixels.shape[1:]) <= COARSE
        return _data(pixels)


def _data(pixels: NDArray[np.uint8]) -> str:
    """An image [channels, height, width] as a data URI: PNG if it is small, else the shorter of PNG and JPEG."""
    from PIL import Image

    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    picture.thumbnail((SIDE, SIDE))
    encoded = {}
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 82, "optimize": True})):
        buffer = io.BytesIO()
        picture.save(buffer, format=kind, **options)
        encoded[kind] = buffer.getvalue()
    kind = "png" if max(picture.size) <= COARSE or len(encoded["png"]) <= len(encoded["jpeg"]) else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded[kind]).decode()}"


def _gallery(
    units: pd.DataFrame, tops: pd.DataFrame, layers: pd.DataFrame, album: Album, shown: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """The units that are ranked highest, layer by layer, and the names of layers that the page has no room for."""
    by_layer = dict(iter(units.groupby("layer", sort=False)))
    images_of = {key: rows.sort_values("rank") for key, rows in tops.groupby(["layer", "unit"], sort=False)}
    entries = {}
    ranking = [column for column in ("excess", "unitmem") if column in units][:1]
    for row in layers[["layer", *COUNTS]].to_dict("records"):
        own = by_layer.get(row["layer"], units.iloc[:0])
        # Equal to the decimals shown, units are told apart by their strength.
        scored = own[own["status"] == "ok"].assign(shown=lambda x: x[ranking[0]].round(3))
        scored = scored.sort_values(["shown", "strength"], ascending=False, kind="stable")
        owned = scored.loc[scored["tied"] == 1, "owner"].value_counts()
        cards = [
            _unit(unit, images_of.get((row["layer"], unit["unit"])), int(owned.get(unit["owner"], 0)))
            for unit in scored.head(shown).to_dict("records")
        ]
        entries[row["layer"]] = {
            **{str(name): value for name, value in row.items()},
            "scored": len(scored),
            "cards": cards,
            "open": False,
            # As in the table of layers: with dead units, if they count as 0.
            "highest": own["unitmem"].quantile(0.9) if len(scored) else -1.0,
            "mean": own["unitmem"].mean() if len(scored) else None,
        }
    # The page fills up from the layers that memorize most.
    ranked = sorted(entries.values(), key=lambda entry: -entry["highest"])
    left_out = {
        entry["layer"]
        for entry in ranked
        if not album.add([x["image"] for card in entry["cards"] for x in card["images"]], budget=BUDGET)
    }
    for entry in [e for e in ranked if e["cards"] and e["layer"] not in left_out][:OPEN]:
        entry["open"] = True
    gallery = [entry for name, entry in entries.items() if name not in left_out]
    return gallery, [name for name in entries if name in left_out]


def _unit(unit: Mapping[Any, Any], top: pd.DataFrame | None, owned: int) -> dict[str, Any]:
    """A unit as a card: its owner, the next images, and their activations as shares of the owner's."""
    rows = [] if top is None else top.head(1 + NEXT).to_dict("records")
    highest = float(unit["highest"])
    images = [
        {
            "image": int(row["image"]),
            "name": str(row["name"]),
            "share": min(max(float(row["activation"]) / highest, 0.0), 1.0) if highest > 0 else 0.0,
        }
        for row in rows
    ] or [{"image": int(unit["owner"]), "name": str(unit["owner_image"]), "share": 1.0}]
    nulls = {
        "matched": "unitmem_matched",
        "external": "unitmem_external",
        "excess": "excess",
        "untrained": "unitmem_untrained",
    }
    by_class = present(unit.get("top_class")) and unit.get("classmem_p", 1) <= 1 - LEVEL
    return {
        "unit": unit["unit"],
        "unitmem": unit["unitmem"],
        "owner": images[0],
        "next": images[1:],
        "images": images,
        "others": min(float(unit["others"]) / highest, 1.0) if highest > 0 else 0.0,
        "values": {label: unit[column] for label, column in nulls.items() if present(unit.get(column))},
        "strength": unit["strength"],
        "top_class": unit["top_class"] if by_class else None,
        "classmem": unit.get("classmem"),
        "tied": int(unit["tied"]),
        "also": owned - 1,
    }


def _memorized(points: pd.DataFrame | None, layers: pd.DataFrame, album: Album) -> dict[str, object] | None:
    """Candidates of highest SSLMem at the last layer, and as their null the highest external images."""
    if points is None or points.empty:
        return None
    measured = list(dict.fromkeys(points["layer"].astype(str)))
    last = next((name for name in reversed(list(layers["layer"])) if name in measured), measured[-1])
    scored = points[points["layer"].astype(str) == last].dropna(subset=["sslmem"])
    groups = {str(name): rows for name, rows in scored.groupby("group")}
    if "candidate" not in groups:
        return None
    # Chosen on one half of the draws and shown on the other: choosing alone would separate the groups.
    ranked = {name: rows.sort_values("sslmem_choose", ascending=False, kind="stable") for name, rows in groups.items()}
    top = ranked["candidate"].head(POINTS)
    album.add(int(image) for image in top["image"])
    same = "external" in ranked and len(ranked["external"]) == len(ranked["candidate"])
    null = ranked["external"].head(POINTS) if same else None
    return {
        "layer": last,
        "points": top.to_dict("records"),
        "of": len(groups["candidate"]),
        "mean": top["sslmem_score"].mean(),
        "null": None
        if null is None
        else {"mean": null["sslmem_score"].mean(), "n": len(null), "of": len(groups["external"])},
    }


def _spans(layers: pd.DataFrame) -> list[tuple[str, int]]:
    """Headings of groups of columns of the layers table, and the number of columns of each."""
    present = [quantity.group for column, quantity in QUANTITIES.items() if column in layers]
    return [(group, len(list(members))) for group, members in groupby(present)]


def _rows(layers: pd.DataFrame) -> list[dict[str, object]]:
    """The layers table as text; ``begins`` marks the first row of a block."""
    blocks = layers["block"].tolist()
    return [
        {
            **{name: row[name] for name in ("layer", "kind")},
            "counts": [row[name] for name in COUNTS if name in row],
            "begins": i > 0 and blocks[i] != blocks[i - 1],
            "cells": [_cell(row, column, q) for column, q in QUANTITIES.items() if column in layers],
        }
        for i, row in enumerate(layers.to_dict("records"))
    ]


def _cell(row: Mapping[Any, Any], column: str, quantity: Quantity) -> dict[str, object]:
    low, high = (float(row.get(f"{column}_{end}", np.nan)) for end in ("low", "high"))
    bounded = present(low) and present(high)
    return {
        "number": row[column] if present(row[column]) else "",
        "value": decimal(row[column], quantity.decimals),
        "interval": f"{decimal(low, quantity.decimals)} to {decimal(high, quantity.decimals)}" if bounded else "",
        "off_zero": quantity.effect and float(row.get(f"{column}_holm", np.nan)) <= 1 - LEVEL,
    }


def _flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one list, names of levels joined by dots."""
    out: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            out |= _flat(value, f"{name}.")
        else:
            out[name] = MISSING if value is None else str(value)
    return out
