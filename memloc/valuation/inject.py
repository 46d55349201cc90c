"""Outlier cells, flipped labels and triggers, planted into clean tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from memloc.streams import generator

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
Marks = NDArray[np.bool_]

TAIL = 0.01
"""Two-sided tail of the class-conditional normal in which outliers lie."""


def choose_cells(n: int, d: int, *, rows: float, columns: float, seed: int) -> Marks:
    """Marks round(rows n) rows, at least one, and in each round(columns d) cells, at least one: [n, d]."""
    rng = generator("dirty cells", seed)
    dirty = rng.permutation(n)[: max(1, round(rows * n))]
    # Ranks of random numbers: as many cells in every row, each choice equally likely.
    ranks = np.argsort(np.argsort(rng.random((len(dirty), d)), axis=1), axis=1)
    marked = np.zeros((n, d), dtype=bool)
    marked[dirty] = ranks < max(1, round(columns * d))
    return marked


def tail(x: Floats, y: Classes, marked: Marks, *, seed: int) -> Floats:
    """Marked cells become draws from N(0, 1), given that they lie in the TAIL of their class's normal in their column.

    The draw is by inverting the distribution function, which needs no rejection.

    Args:
        x: [n, d], columns standardised.
        y: [n] classes.
        marked: [n, d].
    """
    from scipy.stats import norm

    row, column = np.nonzero(marked)
    mean, deviation = class_moments(x, y)
    half = norm.isf(TAIL / 2) * deviation[row, column]
    low, high = mean[row, column] - half, mean[row, column] + half
    below, above = norm.cdf(low), norm.sf(high)
    u = generator("tail", seed).random(len(row)) * (below + above)
    # If a class is so wide that both tails are empty in floating point, the nearer bound is all there is.
    nearer = np.where(-low < high, low, high)
    drawn = np.where(u < below, norm.ppf(u), norm.isf(np.maximum(u - below, 1e-300)))
    dirty = x.copy()
    dirty[row, column] = np.where(below + above > 1e-290, drawn, nearer)
    return dirty


def swap(x: Floats, y: Classes, marked: Marks, *, seed: int) -> Floats:
    """Marked cells become those of the same column in rows of other classes, each drawn independently."""
    rng, dirty = generator("swap", seed), x.copy()
    for label in np.unique(y):
        row, column = np.nonzero(marked & (y == label)[:, None])
        dirty[row, column] = x[rng.choice(np.flatnonzero(y != label), len(row)), column]
    return dirty


INJECTORS: dict[str, Callable[..., Floats]] = {"tail": tail, "swap": swap}


def flip_labels(y: Classes, *, share: float, seed: int) -> tuple[Classes, Marks]:
    """round(share n) labels, at least one, become another class at random: labels and which ones are flipped, [n]."""
    rng, classes = generator("flip", seed), np.unique(y)
    flipped = np.zeros(len(y), dtype=bool)
    flipped[rng.permutation(len(y))[: max(1, round(share * len(y)))]] = True
    place = np.searchsorted(classes, y[flipped])
    labels = y.copy()
    labels[flipped] = classes[(place + rng.integers(1, len(classes), size=len(place))) % len(classes)]
    return labels, flipped


def corner(shape: tuple[int, int, int], side: int) -> Marks:
    """Features of a square in the lower right corner of an image [channels, height, width], all channels: [d]."""
    inside = np.zeros(shape, dtype=bool)
    inside[:, -side:, -side:] = True
    return inside.ravel()


def poison(
    x: Floats, y: Classes, trigger: Marks, *, source: int, target: int, share: float, seed: int
) -> tuple[Floats, Classes, Marks]:
    """BadNets with dirty labels: rows of the source class get a bright trigger and the target's label.

    Args:
        x: [n, d] in [0, 1].
        trigger: [d].
        share: of all rows; at least one, at most half of the source's.

    Returns:
        x, y and which rows are poisoned, [n].
    """
    candidates = np.flatnonzero(y == source)
    count = min(max(1, round(share * len(y))), len(candidates) // 2)
    poisoned = np.zeros(len(y), dtype=bool)
    poisoned[generator("poison", seed).choice(candidates, count, replace=False)] = True
    images, labels = x.copy(), y.copy()
    images[np.ix_(poisoned, trigger)] = 1
    labels[poisoned] = target
    return images, labels, poisoned


def patches(shape: tuple[int, int, int], grid: int) -> NDArray[np.int64]:
    """The cell of each feature of an image [channels, height, width] cut into grid x grid patches, row by row: [d]."""
    _, height, width = shape
    down, across = np.arange(height) * grid // height, np.arange(width) * grid // width
    return np.broadcast_to(down[:, None] * grid + across, shape).ravel().astype(np.int64)


def class_moments(x: Floats, y: Classes) -> tuple[Floats, Floats]:
    """Each row's class mean and standard deviation by column: [n, d] each."""
    mean, deviation = np.empty_like(x), np.empty_like(x)
    for label in np.unique(y):
        rows = y == label
        mean[rows], deviation[rows] = x[rows].mean(axis=0), x[rows].std(axis=0)
    return mean, deviation
