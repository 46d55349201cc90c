"""One look for every figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.io import atomic

_HUES = ("blue", "orange", "green", "red", "purple", "brown", "pink")
PALETTE = {
    **dict(zip(_HUES, sns.color_palette("colorblind", len(_HUES)).as_hex(), strict=True)),
    "grey": "#777777",
    "pale green": "#66c2a5",
    "pale purple": "#8da0cb",
    "pale blue": "#56b4e9",
}
"""Colours by the names that an experiment's entry uses."""
_NAMES = {
    "published": "orange",
    "external-corrected": "green",
    "crossed": "blue",
    "external images": "grey",
    "most memorized": "red",
    "least memorized": "brown",
    "most, external": "red",
    "least, external": "brown",
    "candidate": "purple",
    "external": "grey",
    "independent": "pink",
    "untrained": "orange",
    "UnitMem": "blue",
    "ClassMem": "red",
    "ClassMem, shuffled labels": "red",
    "top": "red",
    "random": "grey",
    "low": "blue",
    # Methods that value cells and rows.
    "2D-OOB, w = 0": "orange",
    "2D-OOB, w = 1": "blue",
    "2D-KNN": "green",
    "KNN-Shapley": "green",
    "two-stage": "purple",
    "Data-OOB": "brown",
    "z-score": "red",
    "DDC": "pink",
}
COLOURS = {series: PALETTE[name] for series, name in _NAMES.items()}
"""Colours of series that several experiments have."""
plt.rcParams["svg.hashsalt"] = "memloc"


def panels(*, rows: int, columns: int, width: float, height: float = 3.2) -> tuple[Figure, NDArray[Any]]:
    """A grid of axes [rows, columns]."""
    sns.set_theme(context="paper", style="whitegrid", rc={"axes.titlesize": 10, "axes.labelsize": 9, "figure.dpi": 150})
    figure, axes = plt.subplots(rows, columns, figsize=(width, height * rows), squeeze=False, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    return figure, axes


def by_encoder(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each encoder's rows of a figure's table, indexed by series, in the order of the table."""
    return {str(encoder): rows.set_index("series") for encoder, rows in table.groupby("encoder", sort=False)}


def palette(colours: Mapping[str, str]) -> dict[str, str]:
    """COLOURS with those of one experiment.

    Args:
        colours: for each series that this experiment alone has, a name in PALETTE (``ENTRY.colours``).
    """
    return COLOURS | {series: PALETTE[name] for series, name in colours.items()}


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each of several names that are not in COLOURS."""
    hues = sns.color_palette("colorblind" if len(names) <= 10 else "tab20", len(names)).as_hex()
    return dict(zip(names, hues, strict=True))


def profile(
    axis: Axes,
    table: pd.DataFrame,
    *,
    label: str,
    dashed: bool = False,
    colour: str | None = None,
    width: float | None = None,
) -> None:
    """A line over layers with its interval as a band."""
    colour = colour or COLOURS[label]
    at, style = np.arange(len(table)), "--" if dashed else "-"
    size = 3.5 + 1.2 * ((width or 1.4) - 1.4)
    axis.plot(at, table["value"], style, marker="o", markersize=size, linewidth=width, color=colour, label=label)
    band(axis, at, table, colour=colour)
    layers(axis, list(table["layer"].astype(str)))


def band(
    axis: Axes, at: Iterable[float], table: pd.DataFrame, *, colour: str, alpha: float = 0.15, label: str = ""
) -> None:
    """Intervals as a band along ``at``. One polygon, which a legend sees and keeps clear of."""
    low, high = (table[name].to_numpy(dtype=np.float64) for name in ("low", "high"))
    known = np.isfinite(low) & np.isfinite(high)
    x = np.array(list(at), dtype=np.float64)[known]
    across, along = np.concatenate([x, x[::-1]]), np.concatenate([low[known], high[known][::-1]])
    axis.fill(across, along, color=colour, alpha=alpha, linewidth=0, label=label or None)


def layers(axis: Axes, names: Sequence[str], *, at: Sequence[int] | NDArray[Any] | None = None) -> None:
    """Names of layers along the axis: upright if they would overlap, and only some of them if there are very many.

    Args:
        at: their positions; by default 0, 1, ...
    """
    step = 1 + len(names) // 40
    crowded = sum(len(name) + 1 for name in names) > 40 or (len(names) > 8 and max(map(len, names)) > 5)
    places = list(range(len(names)) if at is None else at)[::step]
    axis.set_xticks(places, list(names)[::step], rotation=90 if crowded else 0, fontsize=6 if crowded else 8)


def whiskers(axis: Axes, at: Iterable[float], table: pd.DataFrame) -> None:
    """Intervals as error bars at the values."""
    error = np.abs(table[["low", "high"]].to_numpy().T - table["value"].to_numpy())
    axis.errorbar(list(at), table["value"], yerr=error, fmt="none", ecolor="black", elinewidth=1, capsize=2.5)


def points(axis: Axes, at: NDArray[Any], table: pd.DataFrame, *, colour: str, label: str, size: float = 6) -> None:
    """Values as dots with their intervals."""
    error = np.abs(table[["low", "high"]].to_numpy().T - table["value"].to_numpy())
    axis.errorbar(at, table["value"], yerr=error, fmt="o", color=colour, markersize=size, capsize=size / 2, label=label)


def bars(axis: Axes, table: pd.DataFrame, *, colours: list[str]) -> None:
    """One bar a layer with its interval."""
    at = np.arange(len(table))
    axis.bar(at, table["value"], color=colours, width=0.55)
    whiskers(axis, at, table)
    layers(axis, list(table["layer"].astype(str)))


def zero(axis: Axes) -> None:
    """A line at 0."""
    axis.axhline(0, color="black", linewidth=0.8, zorder=1)


def legend(axis: Axes, *, room: float = 0.0) -> None:
    """A small legend where it covers least.

    Args:
        room: share of its height by which the axis grows upwards, to make space for the legend.
    """
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + room * (high - low))
    axis.legend(fontsize=7, frameon=True, framealpha=0.85)


def encoder_profiles(axis: Axes, table: pd.DataFrame, series: str, *, dashed: bool = False, named: bool = True) -> None:
    """One line over layers for each encoder; ``named`` puts them into the legend."""
    encoders = by_encoder(table)
    hues = colours(list(encoders))
    for place, (encoder, rows) in enumerate(encoders.items()):
        # Labels that begin with an underscore are in no legend. The first lines are broader, or equal ones hide them.
        label, width = encoder if named else f"_{encoder}", 1.4 + 0.9 * (len(encoders) - 1 - place)
        profile(axis, rows[rows.index == series], label=label, dashed=dashed, colour=hues[encoder], width=width)


MARKERS = {
    "published": "s",
    "external-corrected": "^",
    "crossed": "o",
    "f": "o",
    "g": "s",
    "candidate": "o",
    "unseen images": "s",
}
"""Shapes of series where colours mean something else."""


def shapes(axis: Axes, at: NDArray[Any], table: pd.DataFrame, *, label: str) -> None:
    """Values as black shapes with their intervals, the second of a kind hollow."""
    error = np.abs(table[["low", "high"]].to_numpy().T - table["value"].to_numpy())
    axis.errorbar(
        at,
        table["value"],
        yerr=error,
        fmt=MARKERS[label],
        color="black",
        markerfacecolor="black" if MARKERS[label] == "o" else "white",
        markersize=4.5,
        elinewidth=1,
        capsize=2.5,
        label=label,
    )


def last_layers(axis: Axes, table: pd.DataFrame, series: Mapping[str, str], *, line: bool = True) -> None:
    """Every encoder's last layer in several series, side by side.

    Args:
        series: by label, a key of MARKERS.
        line: draw a line at 0.
    """
    for number, (label, name) in enumerate(series.items()):
        last = table[table["series"] == name].groupby("encoder", sort=False).tail(1)
        at = np.arange(len(last)) + 0.2 * (number - (len(series) - 1) / 2)
        shapes(axis, at, last, label=label)
        layers(axis, list(last["encoder"].astype(str)))
        axis.set_xlim(-0.5, len(last) - 0.5)
    if line:
        zero(axis)
    legend(axis)


def encoder_panels(table: pd.DataFrame, *, suffix: str = "", than: str = "") -> Figure:
    """Crossed profiles of several encoders, and their last layer: crossed, and in the other estimators.

    Args:
        suffix: end of the names of the last layer's series.
        than: what the last layer is compared with, for the titles.
    """
    figure, axes = panels(rows=1, columns=3, width=13, height=3.9)
    a, b, c = axes[0]
    encoder_profiles(a, table, "crossed")
    last_layers(b, table, {"crossed": f"crossed{suffix}"})
    last_layers(c, table, {name: name + suffix for name in ("published", "external-corrected")})
    a.set(title="a  crossed", xlabel="layer", ylabel="LayerMem")
    what = "difference of LayerMem" if than else "LayerMem"
    b.set(title=f"b  the last layer{than}: crossed", ylabel=what)
    c.set(title=f"c  the last layer{than}: other estimators", ylabel=what)
    zero(a)
    legend(a)
    return figure


def shared_legend(figure: Figure, axis: Axes) -> None:
    """One legend of an axis's lines below all panels."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), fontsize=7)


def matrix(axis: Axes, values: pd.DataFrame, *, low: float, high: float, digits: int = 2) -> None:
    """Named rows against named columns as a heat map that shows its numbers, where they fit."""
    size = 8 if len(values) <= 6 else 5
    sns.heatmap(
        values,
        ax=axis,
        vmin=low,
        vmax=high,
        cmap="Blues",
        cbar=False,
        annot=len(values) <= 12,
        fmt=f".{digits}f",
        annot_kws={"size": size},
    )
    axis.tick_params(axis="x", labelrotation=90 if values.shape[1] > 3 else 0, labelsize=7)
    axis.tick_params(axis="y", labelrotation=0, labelsize=7)
    axis.set(xlabel="", ylabel="")


def thumbnail(axis: Axes, image: NDArray[np.uint8], title: str = "") -> None:
    """One image [channels, height, width] without axes."""
    axis.imshow(image[0] if len(image) == 1 else image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
    axis.set_title(title, fontsize=6, pad=2)
    axis.axis("off")


def save(figure: Figure, *paths: str | Path) -> None:
    """Write a figure in the formats of the paths' endings, the same bytes every time."""
    for path in paths:
        with atomic(path) as temporary:
            metadata = {"CreationDate": None} if temporary.suffix == ".pdf" else {"Software": None}
            figure.savefig(temporary, metadata=metadata, dpi=150)
    plt.close(figure)
