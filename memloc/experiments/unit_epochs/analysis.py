"""UnitMem in the course of training, from the untrained encoder on (paper, Figure 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Arrays, depth_correlation, rows_of
from memloc.analysis.sheet import Sheet
from memloc.data.groups import UNSHARED
from memloc.metrics.stats import Estimate, nest, permutation_p, rank_correlation

SCALE = "layer 8 every 5 of 800 epochs, 120 of them warm-up"
CLAIMS = {
    "rises": Claim(
        "UnitMem of the last layer rises over epochs, the untrained encoder being epoch 0: rank correlation of epoch "
        "and mean UnitMem",
        "Figure 4",
        scale=SCALE,
    ),
    "warm-up": Claim(
        "UnitMem of the last layer rises faster during the warm-up: least-squares slope per epoch until its end minus "
        "the slope from there on",
        "Figure 4",
        scale=SCALE,
    ),
    "gain": Claim(
        "UnitMem of the last layer is higher after training than before: end minus start",
        "Figure 4, epoch 0 is our own",
    ),
    "gain-excess": Claim(
        "UnitMem of the last layer rises more on candidates than on images held out: candidates' gain minus the mean "
        "gain of independent and external images",
    ),
    "excess-rises": Claim(
        "Excess UnitMem of the last layer, candidates minus independent and external images, rises over epochs: rank "
        "correlation of epoch and excess (p among groups dealt at random)",
    ),
}
SERIES = ("candidate", "unseen images", "excess")
SETTINGS = ("epochs", "layers", "groups", "warmup")
"""Arrays that are the same in all seeds."""


def analyse(sheet: Sheet) -> None:
    """Mean UnitMem of every layer by epoch on candidates and unseen images, slopes and gains, and the loss."""
    for encoder in sheet.encoders:
        traces = sheet.arrays("traces", encoder, same=SETTINGS)
        epochs, layers = traces[0]["epochs"], [str(name) for name in traces[0]["layers"]]
        series, warmup = _series(traces, crossed=sheet.inputs.roles_of(encoder) > 1), int(traces[0]["warmup"])
        for name, estimate in series.items():
            for place, layer in enumerate(layers):
                curve = estimate[:, place]
                sheet.add(_over_epochs(curve, epochs, encoder=encoder, layer=layer, series=name))
                summary = {"gain": curve[-1] - curve[0]}
                for when, chosen in (("until", epochs <= warmup), ("from", epochs >= warmup)):
                    summary[f"slope {when} epoch {warmup}"] = slope(curve, epochs, chosen)
                for key, value in summary.items():
                    sheet.profile(_one(value), [layer], encoder=encoder, series=f"{name}, {key}")
        losses = np.mean([trace["loss"] for trace in traces], axis=0)
        whole = {"encoder": encoder, "layer": "all"}
        sheet.add(
            pd.DataFrame({**whole, "series": "loss", "epoch": np.arange(1, len(losses) + 1), "value": losses}),
            pd.DataFrame([{**whole, "series": "end of warm-up", "epoch": warmup}]),
        )
        _find(sheet, f"{encoder}, layer {layers[-1]}", traces, series)


def _series(traces: Sequence[Arrays], *, crossed: bool) -> dict[str, Estimate]:
    """SERIES by epoch and layer, each [epochs, layers].

    Args:
        crossed: seeds share their images, which were resampled alike.
    """
    groups = traces[0]["groups"].tolist()
    # Resamples before epochs, [seeds, resamples, epochs, layers, groups]: those of one number are one resample.
    drawn = np.stack([trace["means"].swapaxes(0, 1) for trace in traces])
    every = nest(np.stack([trace["values"] for trace in traces]), drawn, seed=0, crossed=crossed).between(0, 1)
    candidate, independent, external = (every[..., groups.index(group)] for group in UNSHARED)
    unseen = (independent + external).scaled(0.5)
    return dict(zip(SERIES, (candidate, unseen, candidate - unseen), strict=True))


def _find(sheet: Sheet, subject: str, traces: Sequence[Arrays], series: Mapping[str, Estimate]) -> None:
    """What the last layer's curves say to the claims."""
    epochs, warmup, n = traces[0]["epochs"], int(traces[0]["warmup"]), int(traces[0]["size"])
    last, unseen, excess = (series[name][:, -1] for name in SERIES)
    gain = last[-1] - last[0]
    # Epochs of one training are one path: what its excess does by chance, the same path of dealt groups shows.
    paths = np.mean([trace["dealt"][..., -1] for trace in traces], axis=0).T
    chance = {
        "gain-excess": paths[:, -1] - paths[:, 0],
        "excess-rises": rank_correlation(epochs + np.zeros_like(paths), paths),
    }
    effects = {
        "warm-up": slope(last, epochs, epochs <= warmup) - slope(last, epochs, epochs >= warmup),
        "gain": gain,
        "gain-excess": gain - (unseen[-1] - unseen[0]),
        "excess-rises": depth_correlation(excess),
    }
    sheet.find_rise("rises", subject, last, n=n)
    for claim, effect in effects.items():
        p = float(permutation_p(effect.value, chance[claim])) if claim in chance else np.nan
        sheet.find(claim, subject, effect, n, p=p)


def slope(profile: Estimate, epochs: NDArray[np.integer], chosen: NDArray[np.bool_]) -> Estimate:
    """Least-squares slope per epoch of a profile [epochs] over some of them."""
    away = np.where(chosen, epochs - epochs[chosen].mean(), 0.0)
    weights = away / (away**2).sum()
    # Largest where the profile goes from one of its limits to the other where the weights change their sign.
    return profile.map(lambda v: v @ weights, limit=profile.limit * float(np.abs(weights).sum()))


def _one(estimate: Estimate) -> Estimate:
    return estimate.map(lambda v: v[..., None], limit=estimate.limit, centre=estimate.centre)


def _over_epochs(estimate: Estimate, epochs: NDArray[np.integer], **about: str) -> pd.DataFrame:
    return rows_of(estimate, list(epochs)).rename(columns={"layer": "epoch"}).assign(**about)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Three panels an encoder: the last layer's UnitMem and excess by epoch, and what each layer gains in all."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=len(encoders), columns=3, height=2.3)
    colours = {"candidate": plotting.COLOURS["candidate"], "unseen images": plotting.COLOURS["external"]}
    for (a, b, c), (encoder, rows) in zip(axes, encoders.items(), strict=True):
        last = rows[rows["layer"] == rows.loc[["excess"], "layer"].iloc[-1]]
        for name, colour in colours.items():
            _curve(a, last.loc[[name]], colour=colour)
        _curve(b, last.loc[["excess"]], colour=plotting.INK)
        plotting.zero(b)
        end = float(rows.loc[["end of warm-up"], "epoch"].iloc[0])
        for axis in (a, b):
            _epochs(axis, last.loc[["excess"], "epoch"].max(), end)
        gains = {name: rows.loc[[f"{name}, gain"]] for name in SERIES}
        dots.over_layers(c, gains, colours=colours | {"excess": plotting.INK}, joined=False)
        of_last = dots.place(last["layer"].iloc[0])
        a.set(title=f"{plotting.plain(encoder)}\nWhen do units of {of_last} tune in?", ylabel="mean UnitMem")
        b.set(title="To images trained on alone?", ylabel="seen minus unseen")
        c.set(title="Which layers gain in all?", ylabel="last epoch minus first")
    names = {"images trained on": "candidate", "images never seen": "unseen images"}
    plotting.key(figure, {words: colours[name] for words, name in names.items()} | {"difference": plotting.INK})
    return figure


def _curve(axis: Axes, rows: pd.DataFrame, *, colour: str) -> None:
    axis.plot(rows["epoch"], rows["value"], color=colour, marker="o", markersize=3)
    plotting.band(axis, rows["epoch"], rows, colour=colour)


def _epochs(axis: Axes, last: float, warmup: float) -> None:
    """Epochs by their square roots, which shows the first ones and the last."""
    axis.set_xscale("function", functions=(lambda v: np.sqrt(np.clip(v, 0, None)), np.square))
    # A tenth of the last's root and multiples, none too near to its neighbours.
    ticks = np.unique(np.round(last * np.linspace(0, 1, 6) ** 2))
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set(xlim=(0, 1.02 * last), xlabel="epoch")
    axis.axvline(warmup, color=plotting.PALETTE["grey"], linewidth=1, linestyle=":", zorder=1)
