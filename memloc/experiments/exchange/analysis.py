"""How much of the gap between seen and unseen images goes along with single layers: beyond the paper."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Arrays, dealt_layermem, images_of_groups, wide
from memloc.analysis.sheet import Sheet
from memloc.data.groups import UNSHARED
from memloc.measuring.points import own_layers
from memloc.metrics.stats import Sample, partial_rank_correlation, permutation_p, rank_correlation

_AGREES = "rank correlation over layers"
CLAIMS = {
    "gap": Claim(
        "Encoders align images that they have seen better than those they have not: gap at the output of f and g, none "
        "of their layers exchanged"
    ),
    "agrees": Claim(
        f"Layers of higher increment take more of the gap with them when f and g exchange them: {_AGREES} of what an "
        "exchange takes from the gap and the increment of LayerMem"
    ),
    "agrees-given-harm": Claim(
        "Layers of higher increment take more of the gap with them than the harm to unseen images explains: "
        f"{_AGREES}, given by how much an exchange changes the alignment of external images"
    ),
    "over-value": Claim(
        "Increments tell better than values of LayerMem which layers take the gap with them: difference of the two "
        "rank correlations over layers"
    ),
    "first": Claim(
        "Layers of higher increment add more when the first layers are exchanged one after the other: "
        f"{_AGREES} of what each adds and the increment of LayerMem"
    ),
    "crosses": Claim(
        "Some layer takes the gap over to the other encoder: minus the gap that is left when that layer alone is "
        "exchanged"
    ),
}
ONE, FIRST, HARM, HARM_FIRST = "one layer", "first layers", "unseen images", "unseen images, first layers"
INCREMENT, LAYERMEM = "increment", "LayerMem"
SERIES = (ONE, FIRST, HARM, HARM_FIRST, INCREMENT, LAYERMEM)
CORRELATIONS = ("agrees", "agrees-given-harm", "over-value", "first")
EFFECT, EVERY = "effect", "all"
SHOWN = {
    "agrees": "gap taken",
    "agrees-given-harm": "gap taken, given harm",
    "over-value": "lead over LayerMem",
    "first": "gap added in turn",
}
"""What the figure calls correlations."""
NOTHING = "none"
"""Stands before the first layer: nothing is exchanged."""


def analyse(sheet: Sheet) -> None:
    """What is left of the gap after every exchange, what that does to unseen images, and LayerMem beside it."""
    for encoder in sheet.encoders:
        outcomes = sheet.arrays("outcomes", encoder, same=("layers",))
        layers = outcomes[0]["layers"].tolist()
        points = sheet.scores("points", encoder)
        samples = [_sample(o, p) for o, p in zip(outcomes, points, strict=True)]
        images = None
        if images_of_groups(points) is not None:
            images = [{group: o["points"][o["groups"] == group] for group in UNSHARED} for o in outcomes]
        found = sheet.means(samples, _profiles, limit=2, images=images)
        for row, name in enumerate(SERIES):
            whole = name in (ONE, FIRST)
            of = found[row] if whole else found[row, 1:]
            sheet.profile(of, [*[NOTHING] * whole, *layers], encoder=encoder, series=name)
        n, start = len(samples[0]["candidate"]), found.value[0, 0]
        for row, name in enumerate((ONE, FIRST)):
            # A share of no gap is none.
            share = (start - found.value[row, 1:]) / start if start > 0 else np.full(len(layers), np.nan)
            sheet.add(pd.DataFrame({"layer": layers, "value": share}), encoder=encoder, series=f"share taken, {name}")
        sheet.find("gap", encoder, found[0, 0], n)
        sheet.find_in_any("crosses", encoder, found[0, 1:].map(np.negative, limit=2), layers, n=n)
        null, harm = (
            _dealt(found.value, dealt_layermem(points, own_layers(points[0]))),
            found.value[SERIES.index(HARM), 1:],
        )
        estimate = found.map(partial(_correlations, harm=harm))
        p = permutation_p(estimate.value, _correlations(null, harm=harm).T)
        for row, claim in enumerate(CORRELATIONS):
            limit = 2 if claim == "over-value" else 1
            effect = estimate[row].between(-limit, limit)
            sheet.profile(effect[None], [EVERY], encoder=encoder, series=f"{EFFECT}: {claim}")
            sheet.find(claim, encoder, effect, n, p=float(p[row]))


def _sample(outcome: Arrays, points: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """By group, alignment under every exchange and SSLMem of the layers proper side by side, [points, columns]."""
    own = own_layers(points)
    alignment = outcome["alignment"].astype(np.float64)
    columns = alignment.reshape(-1, alignment.shape[-1]).T
    sample = {}
    for group in UNSHARED:
        rows = outcome["groups"] == group
        sslmem = wide(points, group, "sslmem")[own].loc[outcome["points"][rows]]
        sample[group] = np.concatenate([columns[rows], sslmem.to_numpy()], axis=1)
    return sample


def _profiles(means: Sample) -> NDArray[np.float64]:
    """SERIES from means [k, columns] of each group: [k, SERIES, 1 + layers], nothing exchanged first.

    The gap of an encoder is (A(out) - A(in)) / (A(out) + A(in)), A being the mean alignment of the images that its body
    has not seen, or has; what an exchange does to external images is the same ratio before and after it, without its
    sign. Both are means over the two bodies.
    """
    columns = means["candidate"].shape[-1]
    # Two bodies, each with nothing, every layer and every first ones; then LayerMem of every layer.
    layers = (columns - 2) // 5
    f, g, unseen = (means[group][:, :-layers].reshape(-1, 2, 1 + 2 * layers) for group in UNSHARED)
    gap = (_contrast(g[:, 0], f[:, 0]) + _contrast(f[:, 1], g[:, 1])) / 2
    harm = np.abs(_contrast(unseen, unseen[..., :1])).mean(axis=1)
    layermem = (means["candidate"][:, -layers:] - means["independent"][:, -layers:]) / 2
    one, first = slice(0, 1 + layers), [0, *range(1 + layers, 1 + 2 * layers)]
    start = np.zeros((len(gap), 1))
    values = [gap[:, one], gap[:, first], harm[:, one], harm[:, first]]
    # Both encoders see the same views: before the first layer there is no LayerMem.
    values += [np.concatenate([start, np.diff(layermem, prepend=0)], axis=1), np.concatenate([start, layermem], axis=1)]
    return np.stack(values, axis=1)


def _contrast(high: NDArray[np.float64], low: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.asarray(high + low)
    return np.asarray(np.divide(high - low, total, out=np.zeros_like(total), where=total != 0))


def _correlations(profiles: NDArray[np.float64], *, harm: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is claimed of correlations over layers, [..., CORRELATIONS].

    Args:
        profiles: [..., SERIES, 1 + layers].
        harm: what exchanges do to external images, [layers].
    """
    of = {name: profiles[..., row, :] for row, name in enumerate(SERIES)}
    taken, added = of[ONE][..., :1] - of[ONE][..., 1:], -np.diff(of[FIRST], axis=-1)
    increment, layermem = (of[name][..., 1:] for name in (INCREMENT, LAYERMEM))
    agrees = rank_correlation(taken, increment)
    given_harm = partial_rank_correlation(taken, increment, [harm])
    over_value = agrees - rank_correlation(taken, layermem)
    return np.stack([agrees, given_harm, over_value, rank_correlation(added, increment)], axis=-1)


def _dealt(profiles: NDArray[np.float64], layermem: NDArray[np.float64]) -> NDArray[np.float64]:
    """Profiles with increment and LayerMem of dealt membership, [deals, SERIES, 1 + layers].

    Layers depend on each other, so random orders of them are no null; increments that hold no memory are.

    Args:
        layermem: under dealt membership, [deals, layers].
    """
    null = np.repeat(profiles[None], len(layermem), axis=0)
    null[:, -2, 1:], null[:, -1, 1:] = np.diff(layermem, prepend=0), layermem
    return null


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Three panels an encoder: what is left of the gap, harm to unseen images, correlations."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=len(encoders), columns=3, height=2.7)
    colours = dict.fromkeys((ONE, FIRST), plotting.INK)
    for (encoder, rows), (a, b, c) in zip(encoders.items(), axes, strict=True):
        for axis, series in ((a, (ONE, FIRST)), (b, (HARM, HARM_FIRST))):
            shown = {by: rows.loc[[name]] for by, name in zip((ONE, FIRST), series, strict=True)}
            dots.over_layers(axis, shown, colours=colours, hollow=[FIRST])
        effects = rows.loc[[f"{EFFECT}: {claim}" for claim in SHOWN]]
        plotting.forest(c, effects, list(SHOWN.values()))
        a.set(title=f"{plotting.plain(encoder)}\nWhich layers carry the gap?", ylabel="gap that is left")
        b.set(title="What does it do to unseen images?", ylabel="change of alignment")
        for axis in (a, b):
            axis.set_xlabel("exchanged")
        c.set(title="Those of high increment?", xlabel="rank correlation with increment", xlim=(-1.05, 1.05))
    plotting.key(figure, {"one layer exchanged": plotting.INK, "all up to it": plotting.INK}, hollow=["all up to it"])
    return figure
