"""Where values of cells put a backdoor's trigger (2D-OOB, Sun et al., 2024)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued import OOB, PAPER, Floats, dots, legend_below, outcomes, over_seeds, rows_of_methods, share

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
    """A row a table and size of cells: an image, maps of its values and of means, scores by method."""
    kinds = [(name, int(grid)) for name, grid in dict.fromkeys(zip(table["table"], table["grid"], strict=True)) if grid]
    figure, axes = plotting.panels(rows=len(kinds), columns=5, width=12, height=2.6)
    axes[0, 0].get_gridspec().set_width_ratios([1, 1, 1, 1, 2.6])
    for row, (name, grid) in zip(axes, kinds, strict=True):
        part = table[(table["table"] == name) & (table["grid"] == grid)]
        image = table[(table["table"] == name) & (table["series"] == "image")]
        _map(row[0], image, "gray")
        row[0].set_title("a poisoned image", fontsize=8)
        row[0].set_ylabel(name, fontsize=8)
        for axis, series in zip(row[1:4], MAPS, strict=True):
            drawn = _map(axis, part[part["series"] == series], "viridis")
            axis.set_title(series, fontsize=8)
            figure.colorbar(drawn, ax=axis, fraction=0.046, pad=0.04).ax.tick_params(labelsize=6)
        dots(row[4], part[part["method"].notna()], list(SERIES.values()), column="series")
        row[4].set_ylim(-0.02, 1.02)
        row[4].set_title(f"{name}, {grid} x {grid} cells: trigger found", fontsize=8)
    legend_below(figure, axes[0, 4])
    return figure


def _map(axis: Axes, rows: pd.DataFrame, colours: str) -> AxesImage:
    """Values by row and column."""
    side = int(rows["row"].max()) + 1
    values = rows.sort_values(["row", "column"])["value"].to_numpy(dtype=np.float64).reshape(side, -1)
    drawn = axis.imshow(values, cmap=colours, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
    return drawn
