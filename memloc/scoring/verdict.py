"""What scores say in one sentence: whether any layer memorizes, corrected for the number of layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from memloc.data.left_out import counted
from memloc.metrics.stats import LEVEL

Floats = NDArray[np.float64]

EFFECTS = {
    "layermem_crossed": "crossed LayerMem",
    "layermem_external-corrected": "external-corrected LayerMem",
    "excess": "excess of UnitMem over external images",
}
"""Columns of the layers that are 0 where nothing is memorized, the most telling first, and what they are called."""


def holm(p: Floats) -> Floats:
    """P corrected for their number by Holm's procedure; nan stays, and isn't counted."""
    out = np.full(len(p), np.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    out[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return out


def corrected(layers: pd.DataFrame, column: str) -> Floats:
    """Two-sided p of every layer's effect, by its 95 % interval, corrected by Holm for the number of layers."""
    value = layers[column].to_numpy(dtype=np.float64)
    error = _error(layers, column)
    z = np.divide(np.abs(value), error, out=np.where(value == 0, 0.0, np.inf), where=error > 0)
    return holm(np.where(np.isnan(value) | np.isnan(error), np.nan, 2 * norm.sf(z)))


def _error(layers: pd.DataFrame, column: str) -> Floats:
    width = (layers[f"{column}_high"] - layers[f"{column}_low"]).to_numpy(dtype=np.float64)
    return np.asarray(width / (2 * norm.ppf((1 + LEVEL) / 2)))


@dataclass(frozen=True)
class Largest:
    """The layer of the largest effect, which was picked, with an interval that holds for all layers together.

    Attributes:
        value, low, high: of the effect.
        units: that have a score in the layer; 0 where the effect isn't one of units.
    """

    layer: str
    value: float
    low: float
    high: float
    units: int


@dataclass(frozen=True)
class Verdict:
    """What scores say.

    Attributes:
        headline: the answer, in one sentence.
        more: sentences with numbers.
        effect: column of the layers that was judged; "" where none can be.
        layers: number of layers that were judged.
        above, below: those whose effect differs from 0, from the largest.
        largest: None where nothing was judged.
    """

    headline: str
    more: tuple[str, ...] = ()
    effect: str = ""
    layers: int = 0
    above: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    largest: Largest | None = None
    about: Mapping[str, int] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self) | {name: list(getattr(self, name)) for name in ("more", "above", "below")}

    def lines(self) -> list[str]:
        """Headline and numbers, a line each."""
        return [self.headline, *self.more]


NO_NULL = "No held-out images were named, so UnitMem can't show memorization: it can be as high on images never seen"
NO_INTERVAL = "UnitMem by the median has no interval, so it can't show memorization: take --others mean"
AS_PUBLISHED = (
    "The split has neither independent nor external images, so LayerMem can't show memorization: as published it is not"
    " 0 where nothing is memorized"
)
NOTHING, ALONE = "UnitMem shows no memorization here", "UnitMem alone does not show it"
"""What it means that UnitMem doesn't differ from its null; beside a LayerMem that does."""
IF_RANDOM = "It means memorization only if all groups of images are random parts of one set"


def of_layers(layers: pd.DataFrame, images: Mapping[str, int]) -> Verdict:
    """The verdict on the layers of an encoder or of a pair.

    Args:
        layers: as ``memloc.scoring.tables.layer_table`` makes them.
        images: number of images of each group that were compared.
    """
    judged = [name for name in EFFECTS if name in layers and layers[f"{name}_holm"].notna().any()]
    if not judged:
        if "layermem_published" in layers and "excess" not in layers:
            return Verdict(f"{AS_PUBLISHED}.", about=images)
        if "excess" not in layers:
            return Verdict(f"{NO_NULL}; add --external.", about=images)
        return Verdict(f"{NO_INTERVAL}." if layers["excess"].notna().any() else "No unit has a score.", about=images)
    first, *others = [of_effect(layers, name, images) for name in judged if name == judged[0] or name == "excess"]
    return first if not others else _with(first, others[0])


def of_effect(
    layers: pd.DataFrame, column: str, images: Mapping[str, int], together: tuple[Floats, Floats] | None = None
) -> Verdict:
    """The verdict on one effect of all layers.

    Args:
        together: ends of intervals that hold for all layers at once; by default those of normal errors.
    """
    title = EFFECTS[column]
    rows = layers[layers[f"{column}_holm"].notna()]
    of, decided = len(rows), rows[rows[f"{column}_holm"] <= 1 - LEVEL].sort_values(column, ascending=False)
    above, below = ([str(x) for x in decided["layer"][side]] for side in (decided[column] > 0, decided[column] < 0))
    largest = _largest(layers, column, together)
    judged = f"{counted(of, 'layer')}{' that have one' if of < len(layers) else ''}"
    number = f"{judged}, corrected for their number" if of > 1 else judged
    if above:
        headline = f"The {title} is above 0 in {len(above)} of {number}{_named(above)}."
    elif below:
        named = _named(below).removeprefix(": ")
        they = f"layer {named} lies" if len(below) == 1 else f"layers {named} lie"
        headline = (
            f"No layer's {title} is above 0, and {they} below ({number}): the groups of images differ in more than what"
            " was seen."
        )
    else:
        nothing = NOTHING if column == "excess" else NOTHING.replace("UnitMem", "LayerMem")
        headline = f"No layer's {title} differs from 0 ({number}): {nothing}."
    scored = f"{counted(largest.units, 'scored unit')}; " if largest.units else ""
    groups = ", ".join(f"{n:,} {group}" for group, n in images.items())
    picked = f"picked of {of} layers, so its interval is one for all of them together" if of > 1 else "the only layer"
    told = (
        f"Largest {title}: {_signed(largest.value)} in {place(largest.layer)} (95 % interval {_signed(largest.low)} to"
        f" {_signed(largest.high)}; {scored}{groups} images; {picked})."
    )
    more = (told, f"{IF_RANDOM}.") if above else (told,)
    return Verdict(headline, more, column, of, tuple(above), tuple(below[::-1]), largest, dict(images))


def _with(first: Verdict, other: Verdict) -> Verdict:
    """A verdict that tells of another effect as well."""
    headline = other.headline.replace(NOTHING, ALONE) if first.above else other.headline
    return Verdict(**{**vars(first), "more": (first.more[0], headline, other.more[0], *first.more[1:])})


def _largest(layers: pd.DataFrame, column: str, together: tuple[Floats, Floats] | None) -> Largest:
    """The largest effect, with Bonferroni's interval: it was picked."""
    value, judged = layers[column].to_numpy(dtype=np.float64), layers[f"{column}_holm"].notna().to_numpy()
    if together is None:
        half = _error(layers, column) * float(norm.isf((1 - LEVEL) / (2 * judged.sum())))
        together = value - half, value + half
    at = int(np.where(judged, value, -np.inf).argmax())
    row = layers.iloc[at]
    units = int(row["units"] - row["signed"]) if column == "excess" else 0
    return Largest(str(row["layer"]), float(value[at]), float(together[0][at]), float(together[1][at]), units)


def place(layer: str) -> str:
    """A layer in a sentence: "layer 8", but "layer3.5.conv2" as it is."""
    return f"layer {layer}" if layer.isdigit() else layer


def _named(layers: list[str], most: int = 3) -> str:
    more = f" and {len(layers) - most} more" if len(layers) > most else ""
    return f": {', '.join(layers[:most])}{more}"


def _signed(value: float) -> str:
    """Three decimals, or as many as show two digits, and a true minus sign."""
    places = 3 if value == 0 or abs(value) >= 0.01 else min(6, 1 - int(np.floor(np.log10(abs(value)))))
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", "\N{MINUS SIGN}")
