"""UnitMem and ClassMem over resamples of the points (bootstrap), and with the points' groups permuted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from memloc.data.groups import HALVES, UNSHARED
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
    measures: NamedArrays,
    *,
    resamples: int,
    seed: int,
    permutations: int = PERMUTATIONS,
    others: str = "mean",
    half: str | None = None,
) -> dict[str, NDArray[np.generic]]:
    """METRICS of each layer over resampled points, and the excess UnitMem of candidates that chance gives.

    f was trained on candidates alone, so where units memorize nothing, candidate, independent and external points are
    exchangeable: the groups are permuted over the points, and the excess is computed again.

    Args:
        half: on complementary halves, the group that the encoder was trained on. Images of the pool are then drawn
            alike for all encoders, and membership is dealt anew within classes, alike for both encoders of a pair.

    Returns:
        ``layers`` [layers], ``groups`` [groups], ``size`` of each group, ``means``
        [resamples, layers, groups, METRICS]; ``dealt`` [permutations, layers] mean UnitMem of the first group minus
        the mean of the others', with permuted groups; with ``half``, of that half minus the other.

    Raises:
        InputError: all points of a group have the same label.
    """
    rng = np.random.default_rng(seed)
    layers, groups = unit_layers(measures), rows_by_group(measures, seed)
    means = np.empty((resamples, len(layers), len(groups), len(METRICS)))
    drawn = {} if half is None else _pool_counts(measures, groups, resamples=resamples)
    for g, (group, rows) in enumerate(groups.items()):
        labels = measures["labels"][rows]
        classes = len(np.unique(labels))
        step = max(1, min(resamples, CHUNK // (len(rows) * classes)))
        for start in range(0, resamples, step):
            number = min(step, resamples - start)
            known = drawn[group][start : start + number] if group in drawn else None
            counts = _draw_counts(labels, number, rng, known)
            for k, layer in enumerate(layers):
                metrics = _metrics_of_counts(measures, layer, rows, *counts, others=others)
                if (labels < 0).any():
                    metrics[:, len(UNIT_METRICS) :] = np.nan
                means[start : start + step, k, g] = metrics
    if half is None:
        rows = np.concatenate([*groups.values()])
        excess = _permuted_excess(measures, rows, permutations=permutations, rng=rng, others=others)
    else:
        excess = _dealt_excess(measures, groups, half, permutations=permutations, seed=seed, others=others)
    return {
        "layers": np.array(layers),
        "groups": np.array(list(groups)),
        "size": np.array(len(next(iter(groups.values())))),
        "means": means,
        "dealt": excess,
    }


Counts = NDArray[np.float64]
ClassCounts = NDArray[np.float32]


def _pool_counts(
    measures: NamedArrays, groups: Mapping[str, NDArray[np.int64]], *, resamples: int
) -> dict[str, NDArray[np.int64]]:
    """How often each resample of a pool holds each point of its two halves, [resamples, points] by half.

    An image of the pool is drawn as often for one encoder as for any other: its own effect is the same in all of them.
    """
    pool = np.unique(measures["points"][np.isin(measures["groups"], HALVES)])
    counts = generator("pool", len(pool)).multinomial(len(pool), np.full(len(pool), 1 / len(pool)), size=resamples)
    return {half: counts[:, np.searchsorted(pool, measures["points"][groups[half]])] for half in HALVES}


def _draw_counts(
    labels: NDArray[np.int64], resamples: int, rng: np.random.Generator, known: NDArray[np.int64] | None = None
) -> tuple[Counts, ClassCounts, ClassCounts]:
    """How often each resample holds each point [resamples, points], then by class, then by a permuted class.

    The last two are [resamples, classes, points].

    Args:
        known: the first of them, where it isn't to be drawn.
    """
    points = len(labels)
    present, classes = np.unique(labels, return_inverse=True)
    drawn, shuffled = [], []
    for i in range(resamples):
        row = np.arange(points)
        drawn.append(resample({"row": row}, rng)["row"] if known is None else np.repeat(row, known[i]))
        shuffled.append(rng.permutation(classes[drawn[i]]))
    return (
        _count(drawn, [np.zeros_like(rows) for rows in drawn], 1, points)[:, 0].astype(np.float64),
        _count(drawn, [classes[rows] for rows in drawn], len(present), points),
        _count(drawn, shuffled, len(present), points),
    )


def _count(
    drawn: Sequence[NDArray[np.int64]], classes: Sequence[NDArray[np.int64]], number: int, points: int
) -> ClassCounts:
    """How often each resample has each point with each class: [resamples, number, points]."""
    cells = number * points
    flat = np.concatenate(
        [i * cells + of * points + rows for i, (rows, of) in enumerate(zip(drawn, classes, strict=True))]
    )
    return np.bincount(flat, minlength=len(drawn) * cells).reshape(-1, number, points).astype(np.float32)


def _metrics_of_counts(
    measures: NamedArrays,
    layer: str,
    rows: NDArray[np.int64],
    counts: Counts,
    by_class: ClassCounts,
    by_shuffled: ClassCounts,
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


def _dealt_excess(
    measures: NamedArrays,
    groups: Mapping[str, NDArray[np.int64]],
    half: str,
    *,
    permutations: int,
    seed: int,
    others: str,
) -> NDArray[np.float64]:
    """Mean UnitMem of a half minus that of the other, with membership dealt anew in each class: [permutations, layers].

    The deals of a seed are those of its pair: they follow the order of the points alone.
    """
    pool = np.concatenate([groups[name] for name in HALVES])
    pool = pool[np.argsort(measures["points"][pool], kind="stable")]
    first, labels = measures["groups"][pool] == HALVES[0], measures["labels"][pool]
    rng, dealt = generator("membership", seed), np.empty((permutations, len(pool)), dtype=np.bool_)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        dealt[:, rows] = rng.permuted(np.tile(first[rows], (permutations, 1)), axis=1)
    inside = dealt if half == HALVES[0] else ~dealt
    layers = unit_layers(measures)
    out, step = np.empty((permutations, len(layers))), max(1, PERMUTED // len(pool))
    for k, layer in enumerate(layers):
        views = _activations(measures, layer, pool)
        for some in (slice(start, start + step) for start in range(0, permutations, step)):
            one, other = (
                unitmem_of_counts(views, of.astype(np.float64), others=others).mean(axis=1)
                for of in (inside[some], ~inside[some])
            )
            out[some, k] = one - other
    return out


def resampled_units(
    measures: NamedArrays, *, resamples: int, seed: int, others: str, alike: bool = False
) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """UnitMem of every unit, on the points themselves and on resamples of them, layer by layer in each group.

    The same points are drawn in every call with groups of the same sizes and the same ``seed``, so the values of
    several measures of one split are paired.

    Args:
        alike: an image of the pool, or an external one, is drawn as often in every call, whichever half it is in.

    Yields:
        Group, layer, and [1 + resamples, units]: UnitMem on the points themselves, then on resamples of them.
    """
    groups = rows_by_group(measures, seed)
    drawn = _pool_counts(measures, groups, resamples=resamples) if alike else {}
    for group, rows in groups.items():
        n, rng = len(rows), generator("resampled_units", 0 if alike else seed, group)
        counts = np.ones((1 + resamples, n))
        counts[1:] = drawn[group] if group in drawn else rng.multinomial(n, np.full(n, 1 / n), size=resamples)
        for layer in unit_layers(measures):
            views = _activations(measures, layer, rows)
            # Some hundreds at a time, so that intermediate results stay in the cache.
            parts = np.array_split(counts, 1 + resamples // 500)
            yield group, layer, np.concatenate([unitmem_of_counts(views, part, others=others) for part in parts])


def unit_means(
    measures: NamedArrays, *, resamples: int, seed: int, others: str, alike: bool = False
) -> dict[str, NDArray[np.generic]]:
    """Mean UnitMem of every layer and group; ``alike`` as of ``resampled_units``.

    Returns:
        ``layers`` [layers], ``groups`` [groups], ``size`` of each group, ``values`` [layers, groups] and, over
        resampled points, ``means`` [resamples, layers, groups]; ``dealt`` as in ``unit_resamples``, the same
        permutations in every call with groups of the same sizes and the same ``seed``.
    """
    layers, rows = unit_layers(measures), np.concatenate([*rows_by_group(measures, seed).values()])
    rng = generator("dealt", seed)
    excess = _permuted_excess(measures, rows, permutations=PERMUTATIONS, rng=rng, others=others)
    means = np.empty((1 + resamples, len(layers), len(UNSHARED)))
    for group, layer, values in resampled_units(measures, resamples=resamples, seed=seed, others=others, alike=alike):
        means[:, layers.index(layer), UNSHARED.index(group)] = values.mean(axis=1)
    return {
        "layers": np.array(layers),
        "groups": np.array(UNSHARED),
        "size": np.array(group_size(measures)),
        "values": means[0],
        "means": means[1:],
        "dealt": excess,
    }
