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
SIDE_BY_SIDE = 60
"""Characters of all names of layers up to which panels stand in two columns."""

_SERIES = {  # panel: (title, label of the y axis, {column of the layers table: label of the series})
    "nulls": (
        "Is UnitMem higher than without training on the images?",
        "mean UnitMem, difference",
        {"excess": "minus external", "gain": "minus untrained"},
    ),
    "UnitMem": (
        "How high is UnitMem? (means; bars: 90 % of the units)",
        "UnitMem",
        {
            "unitmem": "UnitMem",
            "unitmem_matched": "matched",
            "unitmem_external": "external",
            "unitmem_untrained": "untrained",
        },
    ),
    "classes": (
        "Do units answer to images or to classes?",
        "mean over units",
        {"unitmem": "UnitMem", "classmem": "ClassMem", "classmem_shuffled": "ClassMem, shuffled labels"},
    ),
    "LayerMem": (
        "Are views of images trained on aligned better?",
        "LayerMem",
        {f"layermem_{estimator}": estimator for estimator in ESTIMATORS},
    ),
}
_COLOURS = plotting.COLOURS | {"minus external": plotting.INK, "minus untrained": plotting.COLOURS["untrained"]}
_HOLLOW = ("untrained", "minus untrained", "ClassMem, shuffled labels", "published")
"""Series of what training on the images is compared with, or that are not 0 where nothing is memorized."""
_LEFT_OUT = ("matched", "external-corrected")
"""Series that the table has alone."""
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
    panels = list(dict.fromkeys(table["panel"]))
    names = [str(name) for name in layers["layer"]]
    columns = 2 if sum(len(name) + 2 for name in plotting.short(names)) <= SIDE_BY_SIDE and len(panels) > 1 else 1
    rows = ceil(len(panels) / columns)
    figure, axes = plotting.panels(rows=rows, columns=columns, height=2.6 if columns > 1 else 2.1)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for place, (axis, panel) in enumerate(zip(axes.flat, panels, strict=False)):
        _draw(axis, panel, table[table["panel"] == panel], len(names))
        axis.set_title(_SERIES[panel][0], pad=17 if axis.get_legend() else None)
        plotting.layers(axis, names)
        axis.set_xlabel("layer" if place >= len(panels) - columns else "")
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
        low, _, _, high = (series.pop(f"quantile {q:g} of units")["value"].to_numpy() for q in QUANTILES)
        axis.bar(at, high - low, bottom=low, width=0.72, color=plotting.COLOURS["UnitMem"], alpha=0.15, linewidth=0)
    shown = {label: rows for label, rows in series.items() if label not in _LEFT_OUT}
    for (label, rows), aside in zip(shown.items(), np.linspace(-0.22, 0.22, 2 * len(shown) + 1)[1::2], strict=True):
        size = 4.5 if n <= 20 else 2.2
        hollow = label in _HOLLOW
        plotting.points(axis, at + aside, rows, colour=_COLOURS[label], label=label, size=size, hollow=hollow)
    if panel in ("nulls", "LayerMem"):
        plotting.zero(axis)
    else:
        axis.set_ylim(bottom=0)
    axis.set_ylabel(_SERIES[panel][1])
    axis.set_xlim(-0.6, n - 0.4)
    if len(axis.get_legend_handles_labels()[1]) > 1:
        axis.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0, borderpad=0.2)
