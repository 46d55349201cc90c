"""The summary figure of a scored encoder: UnitMem, its nulls, ClassMem and LayerMem, layer by layer."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from memloc.analysis import plotting
from memloc.io import atomic
from memloc.metrics.alignment import ESTIMATORS

QUANTILES = (0.05, 0.25, 0.75, 0.95)
HORIZONTAL = 60
"""Characters of all names of layers up to which they are horizontal, and panels in two columns."""
TICKS = 48
"""Most names of layers that are shown vertically."""

_SERIES = {  # panel: (title, label of the y axis, {column of the layers table: label of the series})
    "UnitMem": (
        "UnitMem: means, and where 90 % and 50 % of the units lie",
        "UnitMem",
        {
            "unitmem": "UnitMem",
            "unitmem_matched": "matched",
            "unitmem_external": "external",
            "unitmem_untrained": "untrained",
        },
    ),
    "nulls": (
        "mean UnitMem above its nulls",
        "difference",
        {"excess": "minus external", "gain": "minus untrained"},
    ),
    "classes": (
        "images or classes: mean UnitMem and ClassMem",
        "UnitMem, ClassMem",
        {"unitmem": "UnitMem", "classmem": "ClassMem", "classmem_shuffled": "ClassMem, shuffled labels"},
    ),
    "LayerMem": (
        "LayerMem by estimator",
        "LayerMem",
        {f"layermem_{estimator}": estimator for estimator in ESTIMATORS},
    ),
}
_COLOURS = {"matched": "UnitMem", "minus external": "UnitMem", "minus untrained": "untrained"}
_DASHED = ("matched", "external", "untrained", "ClassMem, shuffled labels")
_NEEDS: dict[str, str | tuple[str, ...]] = {
    "UnitMem": "unitmem",
    "nulls": ("excess", "gain"),
    "classes": "classmem",
    "LayerMem": "layermem_",
}


def summary(
    layers: pd.DataFrame, units: pd.DataFrame, *, path_png: str | Path, path_csv: str | Path | None = None
) -> None:
    """Draw the panels that the columns of ``layers`` allow, and save the table that they were drawn from."""
    layers = layers.sort_values("depth", kind="stable")
    table = drawn(layers, units)
    names = list(dict.fromkeys(table["panel"]))
    order, shared = _short([str(name) for name in layers["layer"]])
    horizontal = sum(map(len, order)) + 2 * len(order) <= HORIZONTAL
    columns = 2 if horizontal and len(names) > 1 else 1
    rows = ceil(len(names) / columns)
    # Vertical names need room below the last panel.
    height = 3.2 if horizontal else 2.8 + 1.2 / rows
    figure, axes = plotting.panels(rows=rows, columns=columns, width=10.5, height=height)
    for axis in axes.flat[len(names) :]:
        axis.remove()
    for place, (axis, panel) in enumerate(zip(axes.flat, names, strict=False)):
        _draw(axis, panel, table[table["panel"] == panel], len(order))
        letter = f"{'abcd'[place]}  " if len(names) > 1 else ""
        axis.set_title(letter + _SERIES[panel][0], loc="left")
        last = place >= len(names) - columns
        _ticks(axis, order, horizontal=horizontal, shown=horizontal or last)
        axis.set_xlabel(f"layer{shared}" if last else "")
    plotting.save(figure, path_png)
    if path_csv is not None:
        with atomic(path_csv) as temporary:
            table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def drawn(layers: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """The table behind the figure: panel, series, layer, value, interval; quantiles over units are series as well."""
    tables = []
    for panel, (_, _, series) in _SERIES.items():
        present = {column: label for column, label in series.items() if column in layers}
        if not any(column.startswith(_NEEDS[panel]) for column in present):
            continue
        for column, label in present.items():
            ends = {end: layers.get(f"{column}_{end}", np.nan) for end in ("low", "high")}
            tables.append(
                pd.DataFrame(
                    {"panel": panel, "series": label, "layer": layers["layer"], "value": layers[column], **ends}
                )
            )
    scored = units.dropna(subset=["unitmem"]).groupby("layer")["unitmem"]
    for quantile in QUANTILES:
        values = scored.quantile(quantile).reindex(layers["layer"]).to_numpy()
        label = f"quantile {quantile:g} of units"
        tables.append(pd.DataFrame({"panel": "UnitMem", "series": label, "layer": layers["layer"], "value": values}))
    return pd.concat(tables, ignore_index=True)


def _draw(axis: Axes, panel: str, table: pd.DataFrame, n: int) -> None:
    series = {str(label): rows.reset_index(drop=True) for label, rows in table.groupby("series", sort=False)}
    at = np.arange(n)
    if panel == "UnitMem":
        low, lower, upper, high = (series.pop(f"quantile {q:g} of units")["value"].to_numpy() for q in QUANTILES)
        for bottom, top, alpha in ((low, high, 0.13), (lower, upper, 0.2)):
            axis.bar(at, top - bottom, bottom=bottom, width=0.72, color=plotting.COLOURS["UnitMem"], alpha=alpha, lw=0)
    for label, rows in series.items():
        colour = plotting.COLOURS[_COLOURS.get(label, label)]
        style = "--" if label in _DASHED else "-"
        size = 3.5 if n <= 20 else 2.2
        axis.plot(at, rows["value"], marker="o", markersize=size, color=colour, linestyle=style, lw=1.3, label=label)
        plotting.band(axis, at, rows, colour=colour)
    if panel in ("nulls", "LayerMem"):
        plotting.zero(axis)
    else:
        axis.set_ylim(bottom=0)
    axis.set_ylabel(_SERIES[panel][1])
    axis.set_xlim(-0.6, n - 0.4)
    axis.grid(axis="x", visible=False)
    if len(series) > 1:
        plotting.legend(axis)


def _ticks(axis: Axes, names: list[str], *, horizontal: bool, shown: bool) -> None:
    """Names of layers along the bottom, as many as fit, and always the last one."""
    step = 1 if horizontal else ceil(len(names) / TICKS)
    at = list(range(len(names) - 1, -1, -step))[::-1]
    labels = [_label(names[i]) if shown else "" for i in at]
    axis.set_xticks(at, labels, rotation=0 if horizontal else 90, fontsize=8 if horizontal else 7)


def _short(names: list[str]) -> tuple[list[str], str]:
    """Names without the dotted parts that all of them begin or end with, and those parts for the label of the axis."""
    parts = [name.split(".") for name in names]
    before = _common(parts)
    after = _common([rest[before:][::-1] for rest in parts])
    if not before and not after:
        return names, ""
    end = -after or None
    pattern = ".".join([*parts[0][:before], "*", *(parts[0][end:] if after else [])])
    return [".".join(part[before:end]) for part in parts], f"  (* of {_label(pattern, most=80)})"


def _common(parts: list[list[str]]) -> int:
    """How many leading parts all have in common; at least one part of each is not counted."""
    most = min(map(len, parts)) - 1 if len(parts) > 1 else 0
    return next((i for i in range(most) if len({part[i] for part in parts}) > 1), most)


def _label(name: str, *, most: int = 24) -> str:
    """A layer's name as text of a figure: printable, not read as a formula, without the middle of a long name."""
    plain = name if name.isascii() and name.isprintable() else ascii(name)[1:-1]
    if len(plain) > most:
        plain = f"{plain[: most // 2]}…{plain[-(most - most // 2 - 1) :]}"
    return plain.replace("$", r"\$")
