"""UnitMem and ClassMem over resamples of the points (bootstrap), and with the points' groups permuted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from memloc.data.groups import UNSHARED
from memloc.measuring.files import NamedArrays
from memloc.measuring.units import METRICS, UNIT_METRICS, group_size, rows_by_group, unit_layers, unitmem_metrics
from memloc.metrics.resampled import classmem_of_counts, unitmem_of_counts
from memloc.metrics.stats import resample
from memloc.streams import generator

PERMUTATIONS = 1000
"""Permutations of the groups behind a p of excess UnitMem."""
CHUNK = 1 << 22
"""Counts in memory at once: of resamples, classes and points."""
PERMUTED = 1 << 25
"""Group numbers in memory at once: of permutations and points."""


def unit_resamples(
    measures: NamedArrays, *, resamples: int, seed: int, permutations: int = PERMUTATIONS, others: str = "mean"
) -> dict[str, NDArray[np.generic]]:
    """METRICS of each layer over resampled points, and the excess UnitMem of candidates that chance gives.

    f was trained on candidates alone, so where units memorize nothing, candidate, independent and external points are
    exchangeable: the groups are permuted over the points, and the excess is computed again.

    Returns:
        ``layers`` [layers], ``groups`` [groups], ``size`` of each group, ``means``
        [resamples, layers, groups, METRICS]; ``dealt`` [permutations, layers] mean UnitMem of the first group minus
        the mean of the others', with permuted groups.

    Raises:
        InputError: all points of a group have the same label.
    """
    rng = np.random.default_rng(seed)
    layers, groups = unit_layers(measures), rows_by_group(measures, seed)
    means = np.empty((resamples, len(layers), len(groups), len(METRICS)))
    for g, rows in enumerate(groups.values()):
        labels = measures["labels"][rows]
        classes = len(np.unique(labels))
        step = max(1, min(resamples, CHUNK // (len(rows) * classes)))
        for start in range(0, resamples, step):
            counts = _draw_counts(labels, min(step, resamples - start), rng)
            for k, layer in enumerate(layers):
                metrics = _metrics_of_counts(measures, layer, rows, *counts, others=others)
                if (labels < 0).any():
                    metrics[:, len(UNIT_METRICS) :] = np.nan
                means[start : start + step, k, g] = metrics
    rows = np.concatenate([*groups.values()])
    excess = _permuted_excess(measures, rows, permutations=permutations, rng=rng, others=others)
    return {
        "layers": np.array(layers),
        "groups": np.array(list(groups)),
        "size": np.array(len(next(iter(groups.values())))),
        "means": means,
        "dealt": excess,
    }


Counts = NDArray[np.float64]


def _draw_counts(labels: NDArray[np.int64], resamples: int, rng: np.random.Generator) -> tuple[Counts, Counts, Counts]:
    """How often each resample holds each point [resamples, points], then by class, then by a permuted class.

    The last two are [resamples, classes, points].
    """
    points = len(labels)
    present, classes = np.unique(labels, return_inverse=True)
    drawn, shuffled = (np.empty((resamples, points), dtype=np.int64) for _ in range(2))
    for i in range(resamples):
        drawn[i] = resample({"row": np.arange(points)}, rng)["row"]
        shuffled[i] = rng.permutation(classes[drawn[i]])
    return (
        _count(drawn, np.zeros_like(drawn), 1)[:, 0],
        _count(drawn, classes[drawn], len(present)),
        _count(drawn, shuffled, len(present)),
    )


def _count(drawn: NDArray[np.int64], classes: NDArray[np.int64], number: int) -> Counts:
    """How often each row of [resamples, points] has each point with each class: [resamples, number, points]."""
    points = drawn.shape[1]
    cells = number * points
    flat = (np.arange(len(drawn))[:, None] * cells + classes * points + drawn).ravel()
    return np.bincount(flat, minlength=len(drawn) * cells).reshape(-1, number, points).astype(np.float64)


def _metrics_of_counts(
    measures: NamedArrays,
    layer: str,
    rows: NDArray[np.int64],
    counts: Counts,
    by_class: Counts,
    by_shuffled: Counts,
    *,
    others: str,
) -> NDArray[np.float64]:
    """METRICS of one layer on each resample of some rows, [resamples, METRICS]."""
    single = unitmem_of_counts(_activations(measures, layer, rows), counts, others=others)
    plain = measures[f"plain/{layer}"][rows].astype(np.float64)
    classes, shuffled = (classmem_of_counts(plain, of) for of in (by_class, by_shuffled))
    class_metrics = np.stack([classes, shuffled, single > classes]).mean(axis=-1)
    return np.stack([*unitmem_metrics(single), *class_metrics], axis=-1)


def _activations(measures: NamedArrays, layer: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean activation over all views, [rows, units]."""
    return np.asarray(measures[f"views/{layer}"][rows].mean(axis=1, dtype=np.float64))


def _permuted_excess(
    measures: NamedArrays, rows: NDArray[np.int64], *, permutations: int, rng: np.random.Generator, others: str
) -> NDArray[np.float64]:
    """Mean UnitMem of the first of as many groups as UNSHARED minus that of the others: [permutations, layers]."""
    number, layers = len(UNSHARED), unit_layers(measures)
    group = np.repeat(np.arange(number), len(rows) // number)
    permuted = np.stack([rng.permutation(group).astype(np.int8) for _ in range(permutations)])
    step = max(1, PERMUTED // len(rows))
    out = np.empty((permutations, len(layers)))
    for k, layer in enumerate(layers):
        views = _activations(measures, layer, rows)
        for some in (slice(start, start + step) for start in range(0, permutations, step)):
            counts = ((permuted[some] == g).astype(np.float64) for g in range(number))
            first, *rest = (unitmem_of_counts(views, c, others=others).mean(axis=1) for c in counts)
            out[some, k] = first - np.mean(rest, axis=0)
    return out


def resampled_units(
    measures: NamedArrays, *, resamples: int, seed: int, others: str
) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """UnitMem of every unit, on the points themselves and on resamples of them, layer by layer in each group.

    The same points are drawn in every call with groups of the same sizes and the same ``seed``, so the values of
    several measures of one split are paired.

    Yields:
        Group, layer, and [1 + resamples, units]: UnitMem on the points themselves, then on resamples of them.
    """
    for group, rows in rows_by_group(measures, seed).items():
        n, rng = len(rows), generator("resampled_units", seed, group)
        counts = np.ones((1 + resamples, n))
        counts[1:] = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
        for layer in unit_layers(measures):
            views = _activations(measures, layer, rows)
            # Some hundreds at a time, so that intermediate results stay in the cache.
            parts = np.array_split(counts, 1 + resamples // 500)
            yield group, layer, np.concatenate([unitmem_of_counts(views, part, others=others) for part in parts])


def unit_means(measures: NamedArrays, *, resamples: int, seed: int, others: str) -> dict[str, NDArray[np.generic]]:
    """Mean UnitMem of every layer and group.

    Returns:
        ``layers`` [layers], ``groups`` [groups], ``size`` of each group, ``values`` [layers, groups] and, over
        resampled points, ``means`` [resamples, layers, groups]; ``dealt`` as in ``unit_resamples``, the same
        permutations in every call with groups of the same sizes and the same ``seed``.
    """
    layers, rows = unit_layers(measures), np.concatenate([*rows_by_group(measures, seed).values()])
    rng = generator("dealt", seed)
    excess = _permuted_excess(measures, rows, permutations=PERMUTATIONS, rng=rng, others=others)
    means = np.empty((1 + resamples, len(layers), len(UNSHARED)))
    for group, layer, values in resampled_units(measures, resamples=resamples, seed=seed, others=others):
        means[:, layers.index(layer), UNSHARED.index(group)] = values.mean(axis=1)
    return {
        "layers": np.array(layers),
        "groups": np.array(UNSHARED),
        "size": np.array(group_size(measures)),
        "values": means[0],
        "means": means[1:],
        "dealt": excess,
    }
