"""One look for every figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, _BROWN, _PINK, _GREY = sns.color_palette("colorblind", 8).as_hex()
COLOURS = {
    "published": _ORANGE,
    "external-corrected": _GREEN,
    "crossed": _BLUE,
    "external images": "#777777",
    "most memorized": _RED,
    "least memorized": _BLUE,
    "most, external": _RED,
    "least, external": _BLUE,
    "candidate": _BLUE,
    "external": "#777777",
    "untrained": _ORANGE,
    "UnitMem": _BLUE,
    "ClassMem": _RED,
    "ClassMem, shuffled labels": _RED,
    "UnitMem, untrained": _GREEN,
    "ClassMem, untrained": _ORANGE,
    "top": _RED,
    "random": "#777777",
    "low": _BLUE,
    "increment": _RED,
    "last": _BLUE,
}
plt.rcParams["svg.hashsalt"] = "memloc"


def panels(*, rows: int, columns: int, width: float, height: float = 3.2) -> tuple[Figure, NDArray[Any]]:
    """A grid of axes [rows, columns]."""
    sns.set_theme(context="paper", style="whitegrid", rc={"axes.titlesize": 10, "axes.labelsize": 9, "figure.dpi": 150})
    figure, axes = plt.subplots(rows, columns, figsize=(width, height * rows), squeeze=False, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    return figure, axes


def profile(axis: Axes, table: pd.DataFrame, *, label: str, dashed: bool = False) -> None:
    """A line over layers with its interval as a band."""
    colour = COLOURS[label]
    at = np.arange(len(table))
    axis.plot(
        at, table["value"], marker="o", markersize=3.5, color=colour, linestyle="--" if dashed else "-", label=label
    )
    axis.fill_between(at, table["low"], table["high"], color=colour, alpha=0.15, linewidth=0)
    layers(axis, list(table["layer"].astype(str)))


def layers(axis: Axes, names: Sequence[str]) -> None:
    """Names of layers along the axis, upright where they would touch, not all of them where they still would."""
    step = 1 + len(names) // 40
    crowded = sum(len(name) + 1 for name in names) > 40
    at = range(0, len(names), step)
    axis.set_xticks(list(at), [list(names)[i] for i in at], rotation=90 if crowded else 0, fontsize=6 if crowded else 8)


def whiskers(axis: Axes, at: Iterable[float], table: pd.DataFrame) -> None:
    """Intervals as error bars at the values."""
    error = np.abs(table[["low", "high"]].to_numpy().T - table["value"].to_numpy())
    axis.errorbar(list(at), table["value"], yerr=error, fmt="none", ecolor="black", elinewidth=1, capsize=2.5)


def points(axis: Axes, at: NDArray[Any], table: pd.DataFrame, *, colour: str, label: str) -> None:
    """Values as dots with their intervals."""
    error = np.abs(table[["low", "high"]].to_numpy().T - table["value"].to_numpy())
    axis.errorbar(at, table["value"], yerr=error, fmt="o", color=colour, markersize=6, capsize=3, label=label)


def bars(axis: Axes, table: pd.DataFrame, *, colours: list[str]) -> None:
    """One bar a layer with its interval."""
    at = np.arange(len(table))
    axis.bar(at, table["value"], color=colours, width=0.55)
    whiskers(axis, at, table)
    layers(axis, list(table["layer"].astype(str)))


def zero(axis: Axes) -> None:
    """A line where there is nothing."""
    axis.axhline(0, color="black", linewidth=0.8, zorder=1)


def legend(axis: Axes) -> None:
    """A small legend where it covers least."""
    axis.legend(fontsize=7, frameon=True, framealpha=0.85)


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
