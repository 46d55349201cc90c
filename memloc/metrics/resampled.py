"""UnitMem and ClassMem of many resamples of the same points at once, from how often each point was drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memloc.metrics.stats import DIGITS, correlation
from memloc.metrics.units import OTHERS, contrast

Floats = NDArray[np.floating]


def unitmem_of_counts(mu: Floats, counts: Floats, *, others: str = "mean") -> NDArray[np.float64]:
    """What ``unitmem`` gives of resamples of the points, to rounding, in a fraction of its time (paper, Eqs. 5 to 8).

    The maximum of a resample is the highest of the points that it holds; all points but one of those make the mean of
    the others:

        mu_-max = (sum_i c_i mu_i - mu_max) / (sum_i c_i - 1)

    Their median is the point at which the counts, summed up in order, come to half.

    Args:
        mu: [points, units] mean activations over augmented views, not negative.
        counts: [resamples, points] how often a resample holds each point; two draws or more each.
        others: mean or median.

    Returns:
        [resamples, units].

    Raises:
        ValueError: unknown ``others``.
    """
    if others not in OTHERS:
        raise ValueError(f"others {others!r} is neither mean nor median")
    values = mu.astype(np.float64)
    top = highest_of_counts(values, counts)
    if others == "median":
        return contrast(top, median_of_counts(values, counts))
    total = counts.sum(axis=1, keepdims=True)
    # A unit that only its own top excites leaves the others what rounding does.
    rest = np.clip(counts @ values - top, 0, None) / (total - 1)
    return contrast(top, rest)


def highest_of_counts(values: Floats, counts: Floats) -> NDArray[np.float64]:
    """The highest value of each unit among the points that a resample holds: [resamples, units]."""
    order = np.argsort(-values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0).T
    # Rows are units. A resample lacks a unit's k highest points with a chance of about exp(-k): soon all are found.
    lacking = np.ascontiguousarray(counts.T == 0)
    place = np.zeros((values.shape[1], len(counts)), dtype=np.int32)
    missing = np.ones(place.shape, dtype=bool)
    for points in order:
        missing &= lacking[points]
        if not missing.any():
            break
        place += missing
    return np.asarray(ordered[np.arange(len(ordered))[:, None], place].T)


def median_of_counts(values: Floats, counts: Floats) -> NDArray[np.float64]:
    """Each unit's median over all draws of a resample but one of the highest: [resamples, units]."""
    order = np.argsort(values, axis=0, kind="stable")
    ranked = np.take_along_axis(values, order, axis=0).T
    # Rows are units: a point's counts lie side by side, and small numbers are less memory to go through.
    held = np.ascontiguousarray(counts.T, dtype=np.int16 if counts.sum(axis=1).max() < 2**15 else np.int32)
    total = held.sum(axis=0)
    # Of the total - 1 others in order, the one or two in the middle.
    lower, upper = ((total - 2) // 2).astype(held.dtype), ((total - 1) // 2).astype(held.dtype)
    seen, low, high = (np.zeros((values.shape[1], len(counts)), dtype=held.dtype) for _ in range(3))
    for points in order:
        seen += held[points]
        before = seen <= upper
        if not before.any():
            break
        high += before
        low += seen <= lower
    unit = np.arange(values.shape[1])[:, None]
    return np.asarray((ranked[unit, low] + ranked[unit, high]).T / 2)


def rank_correlation_of_counts(pairs: Floats, counts: Floats) -> NDArray[np.float64]:
    """What ``rank_correlation`` gives of resamples of points with two values each, to rounding.

    The mean rank of the draws of points with the same value x_i, of which c is the count, is

        r_i = sum_{x_j < x_i} c_j + (1 + sum_{x_j = x_i} c_j) / 2

    Args:
        pairs: [points, 2].
        counts: [resamples, points].

    Returns:
        [resamples].
    """
    total = counts.sum(axis=1, keepdims=True)
    a, b = (_ranks_of_counts(values, counts) - (total + 1) / 2 for values in pairs.T)
    product = (counts * a * b).sum(axis=1)
    scale = np.sqrt((counts * a**2).sum(axis=1) * (counts * b**2).sum(axis=1))
    return correlation(product, scale, scale > 0)


def _ranks_of_counts(values: Floats, counts: Floats) -> NDArray[np.float64]:
    _, place = np.unique(np.round(values, DIGITS), return_inverse=True)
    of_value = np.zeros((place.max(initial=-1) + 1, len(counts)))
    np.add.at(of_value, place, counts.T)
    below = np.cumsum(of_value, axis=0) - of_value
    return np.asarray((below + (1 + of_value) / 2)[place].T)


def classmem_of_counts(activations: Floats, counts: Floats) -> NDArray[np.float64]:
    """What ``classmem`` gives of resamples, to the rounding of single precision (paper, Eqs. 13 to 16).

    Args:
        activations: [points, units].
        counts: [resamples, classes, points] how often a resample holds each point as one of each class. Classes that
            it doesn't hold take no part; 0 where it holds fewer than two.

    Returns:
        [resamples, units].
    """
    resamples, classes, points = counts.shape
    # Whole numbers below 2^24 are exact in single precision, in which products take a fifth of the time.
    single = counts.astype(np.float32, copy=False)
    sizes = single.sum(axis=2)
    held = sizes > 0
    means = (single.reshape(-1, points) @ activations.astype(np.float32)).reshape(resamples, classes, -1)
    means /= np.where(held, sizes, 1)[..., None]
    total = means.sum(axis=1)
    means[~held] = -np.inf
    top = means.max(axis=1)
    number = held.sum(axis=1)[:, None]
    others = np.clip(total - top, 0, None) / np.maximum(number - 1, 1)
    return np.where(number > 1, contrast(top, others), 0.0)
