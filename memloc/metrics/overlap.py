"""How far the points of highest score are the same ones in two layers or two encoders (paper, Tables 3 and 28)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def top(scores: Floats, size: int) -> NDArray[np.float64]:
    """Membership w of each point in the ``size`` highest scores of its column.

    w = 1 above the size-th highest score, 0 below; points that tie there share what places are left, so a column sums
    to ``size`` and one that tells no points apart gives each of them size / n.

    Args:
        scores: [n, ...], ranked along the first axis.

    Raises:
        ValueError: size is not between 1 and n.
    """
    n = len(scores)
    if not 1 <= size <= n:
        raise ValueError(f"{n} points have no {size} highest")
    cut = np.partition(scores, n - size, axis=0)[n - size]
    above, tied = scores > cut, scores == cut
    return np.asarray(above + tied * ((size - above.sum(axis=0)) / tied.sum(axis=0)), dtype=np.float64)


def overlap(first: Floats, second: Floats, size: int) -> NDArray[np.float64]:
    """Share of the highest points of every column that are those of every other: sum_x w_i(x) w'_j(x) / size.

    Args:
        first, second: memberships [n, ..., k] of ``size`` points each; k are compared, what lies between is kept apart.

    Returns:
        [..., k, k], i of ``first`` and j of ``second``.
    """
    a, b = np.moveaxis(first, 0, -1), np.moveaxis(second, 0, -1)
    return np.asarray(a @ b.swapaxes(-1, -2) / size)


def chance(n: int, size: int, *, level: float) -> tuple[float, float, float]:
    """Overlap of two independent choices of ``size`` out of n points: mean, low and high.

    The mean is size / n; the interval holds a hypergeometric number of common points, of a single pair of choices.
    """
    from scipy.stats import hypergeom

    low, high = hypergeom.interval(level, n, size, size)
    return size / n, float(low) / size, float(high) / size


def kendall(scores: Floats) -> NDArray[np.float64]:
    """Kendall's tau-b of every pair of columns, point by point: rows whose mean is tau.

    tau_ij = sum_xy s_i(x, y) s_j(x, y) / sqrt(sum s_i^2 sum s_j^2),   s_i(x, y) = sign(score_i(x) - score_i(y))

    With h(x) = x's own part of the sum, a row is 2 h(x) - tau. Two points make each term, so what one adds to tau moves
    it twice as far as to a mean: resampling these rows gives tau's spread (its projection), at the cost of a mean.

    Args:
        scores: [n, k], n > 1. A column that is constant has tau 0.

    Returns:
        [n, k, k].
    """
    n, k = scores.shape
    part = np.empty((n, k, k))
    for x in range(n):
        sign = np.sign(scores - scores[x]).astype(np.float32)  # Sums of signs are exact up to 2^24 points.
        part[x] = sign.T @ sign
    total = np.diagonal(part.mean(axis=0))
    scale = np.sqrt(np.outer(total, total))
    part = np.divide(part, scale, out=np.zeros_like(part), where=scale > 0)
    return np.asarray(2 * part - part.mean(axis=0))
