"""Comparisons of points within their classes, and of cells within their points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memloc.metrics.stats import DIGITS, ranks

Floats = NDArray[np.floating]
Labels = NDArray[np.integer]


def within_ranks(values: Floats, labels: Labels, counts: Floats) -> NDArray[np.float64]:
    """Ranks within each class, centred and scaled to have rank correlations within classes as their products:

        rho(x, y) = sum_c n_c / n rho_c(x, y) = sum_i counts_i z_i(x) z_i(y)

    where rho_c is Spearman's of class c (0 where one side is constant there), ties sharing their mean rank, and n_c the
    number of its points. What sets classes apart has no part in it.

    Args:
        values: [k, n].
        labels: [n] classes.
        counts: [n, r] how often each of r resamples holds each point; ones for the points themselves.

    Returns:
        [k, n, r].
    """
    out = np.zeros((*values.shape, counts.shape[1]))
    total = counts.sum(axis=0)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        held = counts[mine].astype(np.float64)
        size = held.sum(axis=0)
        if counts.shape[1] == 1 and (held == 1).all():
            # The points themselves: all rows at once.
            centred = ranks(values[:, mine]) - (len(mine) + 1) / 2
            spread = (centred**2).sum(axis=1, keepdims=True)
            scale = np.divide(size, total * spread, out=np.zeros_like(spread), where=spread > 1e-9)
            out[:, mine, 0] = centred * np.sqrt(scale)
            continue
        for k, row in enumerate(np.round(values[:, mine], DIGITS)):
            order = np.argsort(row, kind="stable")
            # How many a resample holds up to each place: equal values share the ranks from the first to the last.
            upto = np.zeros((len(mine) + 1, counts.shape[1]))
            np.cumsum(held[order], axis=0, out=upto[1:])
            first, last = (np.searchsorted(row[order], row, side=side) for side in ("left", "right"))
            centred = (upto[first] + upto[last] - size) / 2
            spread = (held * centred**2).sum(axis=0)
            scale = np.divide(size, total * spread, out=np.zeros_like(spread), where=spread > 1e-9)
            out[k, mine] = centred * np.sqrt(scale)
    return out


def within_orders(labels: Labels, permutations: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Random orders [permutations, n] of points that leave every place to a point of its class."""
    out = np.tile(np.arange(len(labels)), (permutations, 1))
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        out[:, mine] = rng.permuted(out[:, mine], axis=1)
    return out


def within_auroc(scores: Floats, positive: Floats, negative: Floats, labels: Labels) -> NDArray[np.float64]:
    """How often a positive point has a higher score than a negative one of its class, ties counting half.

    AUROC = sum_c sum_ij p_i q_j [s_i > s_j] / sum_c sum_ij p_i q_j,   i, j in class c

    Args:
        scores: [k, n].
        positive, negative: [r, n] how often each of r resamples holds a point as a positive one, and as a negative one.
        labels: [n] classes.

    Returns:
        [r, k]; .5 where no class has both.
    """
    won, pairs = np.zeros((len(positive), len(scores))), np.zeros(len(positive))
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        p, q = positive[:, mine].astype(np.float64), negative[:, mine].astype(np.float64)
        pairs += p.sum(axis=1) * q.sum(axis=1)
        for k, row in enumerate(np.round(scores[:, mine], DIGITS)):
            higher = (row[:, None] > row) + 0.5 * (row[:, None] == row)
            won[:, k] += ((p @ higher) * q).sum(axis=1)
    return np.divide(won, pairs[:, None], out=np.full_like(won, 0.5), where=pairs[:, None] > 0)


def lowest_within(values: Floats, labels: Labels, share: float) -> NDArray[np.bool_]:
    """Which points are the share of their class with the lowest values, one at least: [n]."""
    out = np.zeros(len(values), dtype=np.bool_)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        out[mine[np.argsort(values[mine], kind="stable")[: max(1, round(share * len(mine)))]]] = True
    return out


def lift_within(
    values: Floats, other: Floats, members: NDArray[np.bool_], labels: Labels, share: float
) -> NDArray[np.float64]:
    """How often a class's lowest share by one score is its lowest share by another, over chance, minus 1.

    lift = sum_c |low_c(x) and low_c(y)| / sum_c k_c^2 / n_c - 1,   k_c = max(1, round(share n_c))

    Args:
        values: [k, n].
        other: [n].
        members: [r, n] which points take part in each of r cases, of each class equally many in all cases.
        labels: [n] classes.

    Returns:
        [r, k].
    """
    both, chance = np.zeros((len(members), len(values))), 0.0
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        inside = members[:, mine]
        size = int(inside[0].sum())
        if not size:
            continue
        count = max(1, round(share * size))
        lowest = [
            np.argsort(np.where(inside, row[mine], np.inf), axis=1, kind="stable")[:, :count]
            for row in (*values, other)
        ]
        among = np.zeros(inside.shape, dtype=np.bool_)
        np.put_along_axis(among, lowest[-1], True, axis=1)
        both += np.stack([np.take_along_axis(among, low, axis=1).sum(axis=1) for low in lowest[:-1]], axis=1)
        chance += count**2 / size
    return both / chance - 1


def reached(cells: Floats, marked: NDArray[np.bool_], lowest: int) -> NDArray[np.float64]:
    """Whether a marked cell is among the lowest of its row, [n]; where ties decide, the chance that they deal it so.

    With b cells below the last of the lowest values, m tied with it and k of these marked, lowest - b of the m are
    drawn:

        P = 1 - C(m - k, lowest - b) / C(m, lowest - b)

    Args:
        cells: [n, cells].
        marked: [n, cells].
        lowest: number of cells that count as lowest.
    """
    from scipy.special import comb

    rounded = np.round(cells, DIGITS)
    last = np.sort(rounded, axis=1)[:, lowest - 1, None]
    below, tied = rounded < last, rounded == last
    drawn, k, m = lowest - below.sum(axis=1), (tied & marked).sum(axis=1), tied.sum(axis=1)
    return np.asarray(np.where((below & marked).any(axis=1), 1.0, 1 - comb(m - k, drawn) / comb(m, drawn)))
