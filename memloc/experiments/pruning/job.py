"""Pruning units by UnitMem (paper, Table 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.experiments.desk import Desk, Outcomes
from memloc.job import log
from memloc.measuring.units import unit_traits
from memloc.metrics.stats import ranks
from memloc.models import probe
from memloc.models.units import Units, by_layer, choose, magnitudes, over_mean, prune
from memloc.streams import generator

MATCHABLE = 1 / 3
"""Most of a layer that can be matched: with more, there are not two other units to choose from for each one."""
NEAREST = 3
"""Units of about the same activation that a matched one is drawn from: few, so that they are about the same."""
RANKED = {
    "top": ("unitmem", "top"),
    "low": ("unitmem", "low"),
    "random": ("unitmem", "random"),
    "top-unseen": ("unitmem-unseen", "top"),
    "excess": ("excess", "top"),
    "excess-unseen": ("excess-unseen", "top"),
    "activation-low": ("activation", "low"),
    "activation-high": ("activation", "top"),
    "magnitude-low": ("magnitude", "low"),
}
"""Arms by what their units are ranked by, and which end is pruned."""

MATCHED = {"matched": "activation", "matched-magnitude": "magnitude"}
"""Arms of random units that have about as much of this as the top ones."""


def choose_matched(
    scores: Units, trait: Units, *, fraction: float, seed: int, scope: str = "layer"
) -> dict[str, NDArray[np.int64]]:
    """Random units that are as active, or as large, as the top ones, none of which is among them.

    For every top unit, in random order, one is drawn of the NEAREST others of its layer that no other unit has drawn:
    nearest in rank of the trait within the layer. A layer that has none left (scope total) borrows from the others.

    Args:
        scores, trait: by layer, [units].
        fraction: at most MATCHABLE.

    Raises:
        ValueError: the fraction is too large, or the two are of other layers than one another.
    """
    if list(scores) != list(trait):
        raise ValueError(f"units of layers {', '.join(trait)} can't be matched with those of {', '.join(scores)}")
    if fraction > MATCHABLE:
        raise ValueError(f"fraction {fraction} leaves less than two units for each to choose from")
    top = choose(scores, fraction=fraction, by="top", seed=seed, scope=scope)
    sizes = [len(values) for values in scores.values()]
    layer = np.repeat(np.arange(len(sizes)), sizes)
    rank = np.concatenate([*activity(trait).values()])
    pruned = np.concatenate([np.isin(np.arange(size), top[name]) for name, size in zip(scores, sizes, strict=True)])
    rng, free = generator("prune-matched", seed, scope), ~pruned
    for unit in rng.permutation(np.flatnonzero(pruned)):
        others = np.flatnonzero(free & (layer == layer[unit]))
        if not len(others):
            others = np.flatnonzero(free)
        nearest = others[np.argsort(np.abs(rank[others] - rank[unit]), kind="stable")[:NEAREST]]
        free[rng.choice(nearest)] = False
    return by_layer(np.flatnonzero(~pruned & ~free), scores)


def activity(activation: Units) -> dict[str, NDArray[np.float64]]:
    """Rank of every unit's mean activation within its layer, from 0, the least active, to 1; ties share their mean."""
    return {name: (ranks(values) - 0.5) / len(values) for name, values in activation.items()}


def arms(
    fractions: Sequence[float], trials: int, scopes: Sequence[str] = ("layer",), baselines: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Settings of every pruned encoder of the experiment, the unpruned one first.

    Args:
        baselines: arms besides top, low and random; matched ones only for fractions up to MATCHABLE.
    """
    out = [{"by": "none", "scope": "none", "fraction": 0.0, "trial": 0}]
    for scope in scopes:
        for fraction in fractions:
            for by in ("top", "low", "random", *baselines):
                if by in MATCHED and fraction > MATCHABLE:
                    continue
                drawn = trials if by in ("random", *MATCHED) else 1
                out += [{"by": by, "scope": scope, "fraction": fraction, "trial": trial} for trial in range(drawn)]
    return out


def check_fractions(fractions: Sequence[float], scopes: Sequence[str], sizes: Mapping[str, int]) -> None:
    """Raise an InputError for a fraction that prunes no unit at all, or all of a layer.

    One ranking of all units (scope total) may empty a layer: where the units of highest scores are is what it tells.

    Args:
        sizes: units of each layer.
    """
    for scope in scopes:
        pools = sizes if scope == "layer" else {"all": sum(sizes.values())}
        for fraction in fractions:
            pruned = {name: round(fraction * size) for name, size in pools.items()}
            if not any(pruned.values()):
                most = max(pools.values())
                raise InputError(f"fractions: {fraction} of at most {most} units (scope {scope}) is none; raise it")
            for name, count in pruned.items():
                if count == pools[name]:
                    raise InputError(f"fractions: {fraction} (scope {scope}) leaves layer {name} no unit; lower it")


def probe_pruned(desk: Desk, traits: Mapping[str, Units]) -> Outcomes:
    """Prune, fit a new probe on each task and note which of its test points it gets right.

    Args:
        traits: ``measuring.units.unit_traits`` of the units, each by layer, [units].

    Returns:
        The arms' settings, ``dataset`` and ``correct`` [arms, test points], padded with False where a task has fewer
        test points; ``tested`` counts them. ``active`` is the mean rank of the pruned units' activation (``activity``),
        0 where none is pruned.

    Raises:
        InputError: a fraction prunes nothing, or a whole layer.
    """
    fractions, scopes = desk.options["fractions"], desk.options["scopes"]
    check_fractions(fractions, scopes, {name: len(values) for name, values in traits["unitmem"].items()})
    settings, marks = [], []
    width = max(len(test.labels) for _, test in desk.tasks.values())
    # Activations of layers are of different sizes: ranked together by what they are in their layer.
    known = {**traits, "magnitude": magnitudes(desk.encoder, desk.unit_modules)}
    known["activation"] = {name: over_mean(values) for name, values in traits["activation"].items()}
    active = activity(traits["activation"])
    todo = arms(fractions, desk.options["trials"], scopes, desk.options["baselines"])
    for done, arm in enumerate(todo, start=1):
        units = _chosen(known, arm, seed=desk.seed)
        ranked = np.concatenate([[], *(active[name][rows] for name, rows in units.items())])
        about = {**arm, "active": ranked.mean() if len(ranked) else 0.0}
        pruned = prune(desk.encoder, units, desk.unit_modules)
        for dataset in desk.tasks:
            right = desk.probed(pruned, dataset)
            settings.append({**about, "dataset": dataset, "tested": len(right)})
            marks.append(np.pad(right, (0, width - len(right))))
        if done == len(todo) or done % 8 == 1:
            log.info("%d/%d pruned encoders probed", done, len(todo))
    return probe.describe(settings, marks)


def _chosen(traits: Mapping[str, Units], arm: Mapping[str, Any], *, seed: int) -> dict[str, NDArray[np.int64]]:
    """The units that an arm prunes."""
    if arm["by"] == "none":
        return {}
    settings = {"fraction": arm["fraction"], "seed": _trial(seed, arm), "scope": arm["scope"]}
    if arm["by"] in MATCHED:
        return choose_matched(traits["unitmem"], traits[MATCHED[arm["by"]]], **settings)
    trait, by = RANKED[arm["by"]]
    return choose(traits[trait], by=by, **settings)


def _trial(seed: int, arm: Mapping[str, Any]) -> int:
    return seed * 1_000_003 + int(arm["trial"]) * 1_009 + round(1000 * float(arm["fraction"]))


def run(desk: Desk) -> Outcomes:
    """Prune one encoder in every way the experiment asks for, and probe what is left."""
    return probe_pruned(desk, unit_traits(desk.units))
