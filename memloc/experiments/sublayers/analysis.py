"""LayerMem of every place on the way through an encoder, sublayers and head too (paper, Tables 1 and 15 to 18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Quotes, candidates, dealt_layermem, rows_of
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError
from memloc.metrics.alignment import increments
from memloc.metrics.stats import Estimate, rank_correlation

MARGIN = 0.5
CLAIMS = {
    "little": Claim(
        "Normalisations and pools add less than any layer: the weakest difference between a layer's crossed increment "
        "and the size of a sublayer's, each over the place before",
        "Table 18",
    ),
    "little-on-average": Claim(
        "Normalisations and pools add less than layers on average: mean crossed increment of layers minus the size of "
        "the mean of normalisations or of pools, whichever is less certain",
        "Table 18",
    ),
    "parameters": Claim(
        f"Parameters don't explain increments: {MARGIN} (own margin) minus |rank correlation| of a layer's parameters "
        "and its crossed increment over the layer before",
        "Table 1",
    ),
    "head": Claim(
        "The head memorizes less than the last layer: crossed LayerMem, last layer minus head (SimCLR's head has two "
        "layers; the paper's row FC has one, and its other head memorizes more than the last layer)",
        "Tables 15 to 18",
    ),
    "rises": Claim(
        "LayerMem of the layers proper rises with depth: rank correlation of layer and crossed LayerMem",
        "Tables 15 to 18",
    ),
}
PAPER = "SimCLR, CIFAR10; published estimator"
PUBLISHED = {
    ("simclr", "resnet9"): Quotes(
        f"ResNet9, {PAPER}",
        {
            # The lowest convolution's .026 against the highest pool's .006.
            "little": 0.020,
            # Spearman's rho of Table 1's increments between convolutions and their parameters is .13.
            "parameters": MARGIN - 0.13,
            # The row FC, one linear map. Table 18 has a second head, at .319: by that one it would be -.011.
            "head": 0.308 - 0.192,
            "rises": 1.0,
        },
    ),
    **{
        ("simclr", f"resnet{depth}"): Quotes(f"ResNet{depth}, {PAPER}", {"head": last - head})
        for depth, last, head in ((18, 0.295, 0.224), (34, 0.313, 0.241), (50, 0.335, 0.266))
    },
}
"""The paper's effects: Tables 1 and 18, and the last convolution and head of Tables 15 to 17."""
OVER_PLACE, OVER_LAYER = "increment over place", "increment over layer"


def analyse(sheet: Sheet) -> None:
    """Profiles over all places in three estimators, both increments of crossed LayerMem, and the claims' effects.

    Raises:
        InputError: an encoder was measured without its sublayers.
    """
    for encoder in sheet.encoders:
        seeds = sheet.scores("points", encoder)
        places = seeds[0].drop_duplicates("layer")[["layer", "own", "kind", "parameters"]].reset_index(drop=True)
        if "normalisation" not in set(places["kind"]):
            raise InputError(
                f"encoders.{encoder}.measure.sublayers: no normalisation is among the layers measured; set it to true"
            )
        series, own = sheet.layermem(seeds), places["own"].to_numpy(dtype=bool)
        series[OVER_PLACE] = series["crossed"].map(increments)
        series[OVER_LAYER] = series["crossed"].map(partial(over_layer, own=own))
        for name, estimate in series.items():
            rows = rows_of(estimate, list(places["layer"]), encoder=encoder, series=name)
            sheet.add(rows.merge(places, on="layer"))
        with sheet.quoting(sheet.inputs.quotes(encoder, PUBLISHED)):
            _find(sheet, encoder, places, series, n=candidates(seeds[0]))


def over_layer(profile: NDArray[np.float64], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """LayerMem of a place minus that of the last layer proper before it (paper, Table 1); nan where there is none.

    Args:
        profile: [..., places].
        own: [places] whether a place is a layer proper.
    """
    at = np.where(own, np.arange(len(own)), -1)
    before = np.concatenate([[-1], np.maximum.accumulate(at)[:-1]])
    return np.where(before < 0, np.nan, profile - profile[..., before])


def _find(sheet: Sheet, encoder: str, places: pd.DataFrame, series: Mapping[str, Estimate], *, n: int) -> None:
    """Effects of the claims, from series over all places."""
    names, kinds = places["layer"].to_numpy(), places["kind"].to_numpy()
    own = np.flatnonzero(places["own"])
    crossed, step = series["crossed"][own], series[OVER_PLACE]
    # The first layer has nothing before it.
    later, small = own[1:], np.flatnonzero(np.isin(kinds, ["normalisation", "pool"]))
    above = step.map(lambda v: _above(v[..., later], v[..., small]))
    pairs = [f"{layer} against {sublayer}" for layer in names[later] for sublayer in names[small] for _ in range(2)]
    sheet.find_in_every("little", encoder, above, pairs, n=n)
    groups = [np.flatnonzero(kinds == kind) for kind in ("normalisation", "pool") if kind in kinds]
    mean = step.map(lambda v: _above(_means(v, [later]), _means(v, groups)))
    against = [f"against {kinds[group[0]]}s" for group in groups for _ in range(2)]
    sheet.find_in_every("little-on-average", encoder, mean, against, n=n)
    parameters = places["parameters"].to_numpy()[later]
    rho = series[OVER_LAYER][later].map(
        lambda v: rank_correlation(parameters + np.zeros_like(v), v)[..., None], limit=1
    )
    sheet.find_equivalent("parameters", encoder, rho, ["rank correlation"], margin=MARGIN, n=n)
    null = dealt_layermem(sheet.scores("points", encoder), list(names[own]))
    sheet.find_rise("rises", encoder, crossed, n=n, null=null)
    # Some frameworks train the encoder's output itself and have no head.
    for head in np.flatnonzero(kinds == "head"):
        sheet.find("head", encoder, crossed[-1] - series["crossed"][head], n)


def _means(profile: NDArray[np.float64], groups: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Means of a profile [..., places] over groups of places, [..., groups]."""
    return np.stack([profile[..., rows].mean(axis=-1) for rows in groups], axis=-1)


def _above(layers: NDArray[np.float64], sublayers: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each layer's increment d and sublayer's s, d - s and d + s: both are above 0 if d > |s|.

    The largest |s| of many would be large by noise alone.

    Args:
        layers, sublayers: [..., a] and [..., b].

    Returns:
        [..., 2 a b].
    """
    signed = np.stack([sublayers, -sublayers], axis=-1)
    differences: NDArray[np.float64] = layers[..., :, None, None] - signed[..., None, :, :]
    return differences.reshape(*layers.shape[:-1], -1)


_MARKS = {"normalisation": ("o", "white"), "pool": ("s", "white"), "head": ("D", plotting.INK)}
"""Shape and face of the dots of places that aren't layers proper."""


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """One row an encoder: crossed LayerMem of all places, what each adds by kind of place, and by parameters."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=len(encoders), columns=3, height=2.5)
    axes[0, 0].get_gridspec().set_width_ratios([1.5, 1.1, 0.9])
    for (a, b, c), (encoder, rows) in zip(axes, encoders.items(), strict=True):
        _profile(a, rows.loc[["crossed"]])
        _by_kind(b, rows)
        _against_parameters(c, rows.loc[[OVER_LAYER]])
        a.set(title=f"{plotting.plain(encoder)}\nWhich places memorize?", xlabel="layer", ylabel="crossed LayerMem")
        b.set(title="What does each place add?", xlabel="LayerMem above the place before")
        c.set(title="Do large layers add more?", xlabel="parameters", ylabel="increment")
    return figure


def _profile(axis: Axes, places: pd.DataFrame) -> None:
    """A line through all places, with dots by kind."""
    at = np.arange(len(places))
    axis.plot(at, places["value"], color=plotting.INK, linewidth=0.9)
    plotting.band(axis, at, places, colour=plotting.INK, alpha=0.12)
    for kind in dict.fromkeys(places["kind"]):
        rows = (places["kind"] == kind).to_numpy()
        marker, face = _MARKS.get(kind, ("o", plotting.INK))
        value = places["value"].to_numpy()[rows]
        axis.plot(at[rows], value, marker, color=plotting.INK, markerfacecolor=face, markersize=3)
    plotting.layers(axis, list(places["layer"].astype(str)))
    plotting.zero(axis)


def _by_kind(axis: Axes, rows: pd.DataFrame) -> None:
    """A dot for what each place adds: layers proper above the layer before, all others above the place before."""
    layers, places = rows.loc[[OVER_LAYER]], rows.loc[[OVER_PLACE]]
    kinds = {"layer": layers.loc[layers["own"].astype(bool), "value"]}
    kinds |= {kind: places.loc[places["kind"] == kind, "value"] for kind in _MARKS if kind in set(places["kind"])}
    for y, (kind, values) in enumerate(kinds.items()):
        marker, face = _MARKS.get(kind, ("o", plotting.INK))
        spread = 0.12 * (np.arange(len(values)) % 3 - 1)
        axis.plot(values, y + spread, marker, color=plotting.INK, markerfacecolor=face, markersize=3.5, alpha=0.55)
        axis.plot([values.mean()] * 2, [y - 0.3, y + 0.3], color=plotting.INK, linewidth=2.2)
    axis.set_yticks(range(len(kinds)), kinds)
    axis.set_ylim(len(kinds) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.axvline(0, color=plotting.INK, linewidth=0.8, zorder=1)


def _against_parameters(axis: Axes, rising: pd.DataFrame) -> None:
    """Increment of each layer proper against its parameters."""
    rows = rising[rising["own"].astype(bool)].dropna(subset=["value"])
    # Layers of equal size are side by side.
    size = np.log10(rows["parameters"].to_numpy(dtype=float))
    equal = rows.assign(order=np.arange(len(rows))).groupby("parameters")["order"]
    beside = (equal.cumcount() - (equal.transform("size") - 1) / 2).to_numpy()
    at = 10 ** (size + 0.035 * np.ptp(size) * beside)
    plotting.points(axis, at, rows, colour=plotting.INK, label="", size=3.5)
    axis.set(xscale="log")
    axis.margins(x=0.06, y=0.08)
    plotting.zero(axis)
