"""LayerMem of every place on the way through an encoder, sublayers and head too (paper, Tables 1 and 15 to 18)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import EXTERNAL, equivalent, profiles, quoted, rises, rows_of
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError
from memloc.metrics.alignment import ESTIMATORS, increments
from memloc.metrics.stats import Estimate, rank_correlation

MARGIN = 0.5
CLAIMS = {
    "little": Claim(
        "Normalisations and pools add less than any layer: the weakest of all differences between a layer's crossed "
        "increment and the size of a sublayer's, each over the place before",
        "Table 18",
    ),
    "little-on-average": Claim(
        "Normalisations and pools add less than layers: mean crossed increment of layers minus the size of the mean of "
        "normalisations, or of pools, whichever is less sure",
        "Table 18",
    ),
    "parameters": Claim(
        f"Parameters don't explain increments: |rank correlation| of a layer's parameters and its crossed increment "
        f"over the layer before is below {MARGIN} (own tolerance)",
        "Table 1",
    ),
    "head": Claim(
        "The head memorizes less than the last layer: crossed LayerMem, last layer minus head (SimCLR's of two layers; "
        "the paper's row FC, of one; its other head memorizes more, too)",
        "Tables 15 to 18",
    ),
    "rises": Claim(
        "LayerMem rises over layers proper: rank correlation of layer and crossed LayerMem",
        "Tables 15 to 18",
    ),
}
PAPER = "SimCLR, CIFAR10; published estimator"
PUBLISHED = {
    ("simclr", "resnet9"): (
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
        ("simclr", f"resnet{depth}"): (f"ResNet{depth}, {PAPER}", {"head": last - head})
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
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    for encoder in inputs.encoders():
        seeds = inputs.tables("points", encoder)
        places = seeds[0].drop_duplicates("layer")[["layer", "own", "kind", "parameters"]].reset_index(drop=True)
        if "normalisation" not in set(places["kind"]):
            raise InputError(
                f"encoders.{encoder}.measure.sublayers: no normalisation is among the layers measured; set it to true"
            )
        series = profiles(seeds, replicates=options["replicates"], normalisation=options["normalisation"])
        crossed, own = series["crossed"], places["own"].to_numpy(dtype=bool)
        series[OVER_PLACE] = crossed.map(increments)
        series[OVER_LAYER] = crossed.map(partial(over_layer, own=own))
        tables += [
            rows_of(estimate, list(places["layer"]), encoder=encoder, series=name).merge(places, on="layer")
            for name, estimate in series.items()
        ]
        n = seeds[0].loc[seeds[0]["group"] == "candidate", "point"].nunique()
        findings += quoted(inputs, encoder, _findings(encoder, places, series, n=n), PUBLISHED)
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def over_layer(profile: NDArray[np.float64], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """LayerMem of a place minus that of the last layer proper before it (paper, Table 1); nan where there is none.

    Args:
        profile: [..., places].
        own: [places] whether a place is a layer proper.
    """
    at = np.where(own, np.arange(len(own)), -1)
    before = np.concatenate([[-1], np.maximum.accumulate(at)[:-1]])
    return np.where(before < 0, np.nan, profile - profile[..., before])


def _findings(encoder: str, places: pd.DataFrame, series: dict[str, Estimate], *, n: int) -> list[Finding]:
    names, kinds = places["layer"].to_numpy(), places["kind"].to_numpy()
    own = np.flatnonzero(places["own"])
    crossed, step = series["crossed"][own], series[OVER_PLACE]
    # The first layer has nothing before it.
    later, small = own[1:], np.flatnonzero(np.isin(kinds, ["normalisation", "pool"]))
    above = step.map(lambda v: _above(v[..., later], v[..., small]))
    pairs = [f"{layer} against {sublayer}" for layer in names[later] for sublayer in names[small] for _ in range(2)]
    groups = [np.flatnonzero(kinds == kind) for kind in ("normalisation", "pool") if kind in kinds]

    def means(v: NDArray[np.float64], chosen: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        return np.stack([v[..., rows].mean(axis=-1) for rows in chosen], axis=-1)

    mean = step.map(lambda v: _above(means(v, [later]), means(v, groups)))
    against = [f"against {kinds[group[0]]}s" for group in groups for _ in range(2)]
    parameters = places["parameters"].to_numpy()[later]
    rho = series[OVER_LAYER][later].map(
        lambda v: rank_correlation(parameters + np.zeros_like(v), v)[..., None], limit=1
    )
    findings = [
        Finding.of_every("little", encoder, above, pairs, n=n),
        Finding.of_every("little-on-average", encoder, mean, against, n=n),
        equivalent("parameters", encoder, rho, ["rank correlation"], margin=MARGIN, n=n),
        rises("rises", encoder, crossed, n=n),
    ]
    # Some frameworks train the encoder's output itself.
    for head in np.flatnonzero(kinds == "head"):
        findings.append(Finding("head", encoder, crossed[-1] - series["crossed"][head], n))
    return findings


def _above(layers: NDArray[np.float64], sublayers: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each layer's increment d and sublayer's s, d - s and d + s: both are above 0 where d > |s|.

    The largest |s| of many would itself be large by noise alone.

    Args:
        layers, sublayers: [..., a] and [..., b].

    Returns:
        [..., 2 a b].
    """
    signed = np.stack([sublayers, -sublayers], axis=-1)
    differences: NDArray[np.float64] = layers[..., :, None, None] - signed[..., None, :, :]
    return differences.reshape(*layers.shape[:-1], -1)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """One row an encoder: as published, crossed by kind of place, increments against parameters."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=len(encoders), columns=3, width=14, height=3.4)
    for (a, b, c), encoder in zip(axes, encoders, strict=True):
        mine = table[table["encoder"] == encoder].set_index("series")
        for name in (ESTIMATORS[0], EXTERNAL):
            plotting.profile(a, mine.loc[name], label=name, dashed=name == EXTERNAL)
        plotting.legend(a)
        _by_kind(b, mine.loc["crossed"])
        for axis in (a, b):
            _name_layers(axis, mine.loc["crossed"])
            axis.set(xlabel="place (named: layers, output and head)", ylabel="LayerMem")
            plotting.zero(axis)
        _against_parameters(c, mine.loc[OVER_LAYER])
        a.set_title(f"{encoder}: as published")
        b.set_title(f"{encoder}: crossed")
        c.set_title(f"{encoder}: crossed, by parameters")
    return figure


def _by_kind(axis: Axes, places: pd.DataFrame) -> None:
    at = np.arange(len(places))
    axis.plot(at, places["value"], color="#999999", linewidth=0.9, zorder=1)
    for kind in dict.fromkeys(places["kind"]):
        rows = (places["kind"] == kind).to_numpy()
        plotting.points(axis, at[rows], places[rows], colour=plotting.COLOURS[kind], label=kind, size=3.5)
    plotting.legend(axis)


def _name_layers(axis: Axes, places: pd.DataFrame) -> None:
    """Names of the layers proper and of the last places: there is no room for all."""
    named = (places["own"].astype(bool) | places["kind"].isin(["output", "head"])).to_numpy()
    plotting.layers(axis, list(places["layer"].astype(str)[named]), at=np.flatnonzero(named))


def _against_parameters(axis: Axes, rising: pd.DataFrame) -> None:
    """Increment of each layer proper against its parameters; a number counts layers by depth, from 1."""
    own = rising[rising["own"].astype(bool)].assign(number=lambda rows: np.arange(1, len(rows) + 1))
    rows = own.dropna(subset=["value"])
    # Layers of equal size stand side by side.
    size = np.log10(rows["parameters"].to_numpy(dtype=float))
    equal = rows.groupby("parameters")["number"]
    beside = (equal.cumcount() - (equal.transform("size") - 1) / 2).to_numpy()
    at = 10 ** (size + 0.035 * np.ptp(size) * beside)
    plotting.points(axis, at, rows, colour=plotting.COLOURS["crossed"], label="", size=3.5)
    # Neighbours along the axis take turns above and below, where they would touch.
    turn = np.argsort(np.argsort(at, kind="stable"), kind="stable") % 2
    ends = np.where(turn == 1, rows["low"], rows["high"])
    for x, end, number, below in zip(at, ends, rows["number"], turn, strict=True):
        axis.annotate(
            str(number), (x, end), xytext=(0, -9 if below else 3), textcoords="offset points", ha="center", fontsize=7
        )
    axis.set(xscale="log", xlabel="parameters (numbers count layers)", ylabel="increment over the layer before")
    axis.margins(x=0.06, y=0.12)
    plotting.zero(axis)
