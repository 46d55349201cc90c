"""UnitMem and ClassMem of many resamples of the same points at once, from how often each point was drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memloc.metrics.units import contrast

Floats = NDArray[np.floating]


def unitmem_of_counts(mu: Floats, counts: Floats) -> NDArray[np.float64]:
    """What ``unitmem`` gives of resamples of the points, to rounding, in a fraction of its time (paper, Eqs. 5 to 8).

    The maximum of a resample is the highest of the points that it holds; all points but one of those make the mean of
    the others:

        mu_-max = (sum_i c_i mu_i - mu_max) / (sum_i c_i - 1)

    Args:
        mu: [points, units] mean activations over augmented views, not negative.
        counts: [resamples, points] how often a resample holds each point; two draws or more each.

    Returns:
        [resamples, units].
    """
    values = mu.astype(np.float64)
    top = highest_of_counts(values, counts)
    total = counts.sum(axis=1, keepdims=True)
    # A unit that only its own top excites leaves the others what rounding does.
    others = np.clip(counts @ values - top, 0, None) / (total - 1)
    return contrast(top, others)


def highest_of_counts(values: Floats, counts: Floats) -> NDArray[np.float64]:
    """The highest value of each unit among the points that a resample holds: [resamples, units]."""
    order = np.argsort(-values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    top = np.empty((len(counts), values.shape[1]))
    # A resample lacks the k highest points of a unit with a chance of about exp(-k), so few look far.
    row, unit = (index.ravel() for index in np.indices(top.shape))
    place = 0
    while len(row):
        held = counts[row, order[place, unit]] > 0
        top[row[held], unit[held]] = ordered[place, unit[held]]
        row, unit, place = row[~held], unit[~held], place + 1
    return top


def classmem_of_counts(activations: Floats, counts: Floats) -> NDArray[np.float64]:
    """What ``classmem`` gives of resamples, to rounding (paper, Eqs. 13 to 16).

    Args:
        activations: [points, units].
        counts: [resamples, classes, points] how often a resample holds each point as one of each class. Classes that
            it doesn't hold take no part; 0 where it holds fewer than two.

    Returns:
        [resamples, units].
    """
    sizes = counts.sum(axis=2)
    held = sizes > 0
    means = counts @ activations.astype(np.float64) / np.where(held, sizes, 1)[..., None]
    top = np.where(held[..., None], means, -np.inf).max(axis=1)
    classes = held.sum(axis=1)[:, None]
    others = np.clip(means.sum(axis=1) - top, 0, None) / np.maximum(classes - 1, 1)
    return np.where(classes > 1, contrast(top, others), 0.0)
