"""Pruning units by UnitMem (paper, Table 6)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from memloc import probe
from memloc.job import log
from memloc.network import Normalise
from memloc.prepared import Part
from memloc.streams import generator


def choose(
    scores: Mapping[str, NDArray[np.float64]], *, fraction: float, by: str, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Units to prune in each layer: a fraction of its units with the highest or lowest scores, or at random.

    Args:
        scores: UnitMem by layer, [units].
        by: top, low or random. Ties go to the lower unit.
    """
    chosen = {}
    for layer, values in scores.items():
        count = round(fraction * len(values))
        if by == "random":
            order = generator("prune", seed, layer).permutation(len(values))
        elif by in ("top", "low"):
            order = np.argsort(-values if by == "top" else values, kind="stable")
        else:
            raise ValueError(f"by {by!r} is none of top, low, random")
        chosen[layer] = np.sort(order[:count])
    return chosen


def prune(
    encoder: nn.Module, units: Mapping[str, NDArray[np.int64]], modules: Mapping[str, Sequence[str]]
) -> nn.Module:
    """A copy of the encoder in which the units put out exactly zero after their block.

    Zeroing a convolution's weights alone would leave batch normalisation's shift; its scale and shift are zeroed too.

    Args:
        units: by layer, numbers of its units.
        modules: by layer, the modules that make it (``Layer.modules``).
    """
    pruned = copy.deepcopy(encoder)
    with torch.no_grad():
        for layer, rows in units.items():
            index = torch.from_numpy(rows)
            for name in modules[layer]:
                for parameter in pruned.get_submodule(name).parameters():
                    parameter[index] = 0
    return pruned


def arms(fractions: list[float], trials: int) -> list[dict[str, Any]]:
    """Settings of every pruned encoder of the experiment, the unpruned one first."""
    out = [{"by": "none", "fraction": 0.0, "trial": 0}]
    for fraction in fractions:
        out += [{"by": by, "fraction": fraction, "trial": 0} for by in ("top", "low")]
        out += [{"by": "random", "fraction": fraction, "trial": trial} for trial in range(trials)]
    return out


def run(
    encoder: nn.Module,
    scores: Mapping[str, NDArray[np.float64]],
    tasks: Mapping[str, tuple[Part, Part]],
    *,
    modules: Mapping[str, Sequence[str]],
    fractions: list[float],
    trials: int,
    normalise: Normalise,
    seed: int,
    device: str = "cpu",
) -> dict[str, NDArray[Any]]:
    """Prune, fit a new probe on each task and note which of its test points it gets right.

    Args:
        modules: by layer, the modules that make it.
        tasks: by dataset, the labelled images a probe is fitted on and those it is tested on.

    Returns:
        The arms' settings, ``dataset`` and ``correct`` [arms, test points], padded with False where a task has fewer
        test points; ``tested`` counts them.
    """
    settings, marks = [], []
    width = max(len(test.labels) for _, test in tasks.values())
    todo = arms(fractions, trials)
    for done, arm in enumerate(todo, start=1):
        units = (
            {}
            if arm["by"] == "none"
            else choose(scores, fraction=arm["fraction"], by=arm["by"], seed=_trial(seed, arm))
        )
        pruned = prune(encoder, units, modules)
        for dataset, (train, test) in tasks.items():
            right = probe.correct(
                probe.features(pruned, train.images, normalise, device=device),
                train.labels,
                probe.features(pruned, test.images, normalise, device=device),
                test.labels,
            )
            settings.append({**arm, "dataset": dataset, "tested": len(right)})
            marks.append(np.pad(right, (0, width - len(right))))
        if done == len(todo) or done % 8 == 1:
            log.info("%d/%d pruned encoders probed", done, len(todo))
    return probe.describe(settings, marks)


def _trial(seed: int, arm: Mapping[str, Any]) -> int:
    return seed * 1_000_003 + int(arm["trial"]) * 1_009 + round(1000 * float(arm["fraction"]))
