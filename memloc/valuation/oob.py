"""2D-OOB and Data-OOB: the value of every cell and row of a labelled table by learners that never saw the row.

Sun, Shen and Kwon (2D-OOB, NeurIPS 2024) value a cell by the weak learners that were fitted without its row but with
its feature; Kwon and Zou (Data-OOB, ICML 2023) value a row by those fitted without it. Low values mark outliers.

Who sees what is drawn first, learner by learner, from streams of their own; nothing depends on how many work at once,
and 300 learners are the first 300 of 1000. Sums are added up in chunks of fixed size, in the plan's order.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from memloc.errors import InputError
from memloc.streams import generator

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

CHUNK = 16
"""Learners whose scores are summed at once: sums depend on it in their last bits, so it is no option."""


@dataclass(frozen=True)
class Plan:
    """Who sees what.

    Attributes:
        counts: [learners, n] how often each row stands in a learner's bootstrap sample.
        chosen: [learners, cells] which cells (groups of features) it sees.
        seeds: [learners] of the weak learners.
    """

    counts: NDArray[np.uint16]
    chosen: NDArray[np.bool_]
    seeds: Rows


@dataclass(frozen=True)
class Values:
    """Values with w = 0 (accuracy) and w = 1 (accuracy and closeness to the class) first.

    Attributes:
        cells: [2, n, cells] 2D-OOB; 0 where no learner saw the cell without its row.
        counts: [n, cells] learners behind each cell.
        rows: [2, n] Data-OOB of the same learners, the mean of a row's cells weighted by ``counts``.
        row_counts: [n] learners behind each row.
    """

    cells: Floats
    counts: Rows
    rows: Floats
    row_counts: Rows


def draw_plan(n: int, cells: int, *, learners: int, ratio: float, seed: int, first: int = 0) -> Plan:
    """Plan for learners ``first``, ``first`` + 1, ...; each one's part is a function of ``seed`` and its number.

    It gets n rows, drawn with replacement, and max(round(ratio cells), 1) cells, without.
    """
    counts = np.empty((learners, n), dtype=np.uint16)
    chosen = np.zeros((learners, cells), dtype=np.bool_)
    seeds = np.empty(learners, dtype=np.int64)
    for i in range(learners):
        rng = generator("valuation", seed, first + i)
        counts[i] = np.bincount(rng.integers(n, size=n), minlength=n)
        chosen[i, rng.choice(cells, max(round(ratio * cells), 1), replace=False)] = True
        seeds[i] = rng.integers(2**31)
    return Plan(counts, chosen, seeds)


def value(
    x: NDArray[np.floating],
    y: NDArray[np.integer],
    *,
    groups: NDArray[np.integer] | None = None,
    learners: int = 1000,
    ratio: float = 0.5,
    seed: int = 0,
    workers: int = 1,
) -> Values:
    """2D-OOB of every cell and Data-OOB of every row (2D-OOB, Section 3).

        psi_ij = sum_b out_bi chosen_bj T_bi / sum_b out_bi chosen_bj
        T_bi = 1(y_i = f_b(x_i)) + w (t_bi - min t_b) / (max t_b - min t_b),  t_bi = -|x_i - mean_b of class y_i|

    where out_bi says that row i isn't in learner b's bootstrap sample. f_b is a tree of unlimited depth on the sample
    (rows weighted by how often they were drawn, which is the tree of repeated rows) and on the features of its cells,
    of which it tries the square root of their number at each split. Distance and class means, of the sample, are over
    the same features; minimum and maximum are over the sample, so the term lies in [0, 1] there and may leave it
    elsewhere: a row further from its class than every row of the sample counts below 0. It is 0 where the class isn't
    in the sample, or all its distances are equal. The authors' code has it for two classes; here there may be more.
    Distances take features as they are, so bring them to one scale first.

    Args:
        x: [n, d] finite.
        y: [n] classes.
        groups: [d] the cell that each feature belongs to, 0 to the number of cells - 1; None makes each its own.
        learners: how many.
        ratio: share of cells that a learner sees, in (0, 1].
        seed: of the plan.
        workers: threads; results don't depend on it.

    Raises:
        InputError: one of these doesn't fit.
    """
    x, y, groups = _checked(x, y, groups, learners=learners, ratio=ratio, workers=workers)
    n, cells = len(x), int(groups.max()) + 1
    sums, counts = np.zeros((2, n, cells)), np.zeros((n, cells))
    rows, row_counts = np.zeros((2, n)), np.zeros(n, dtype=np.int64)

    def chunk(first: int) -> tuple[Plan, Floats]:
        size = min(CHUNK, learners - first)
        plan = draw_plan(n, cells, learners=size, ratio=ratio, seed=seed, first=first)
        scores = np.zeros((2, size, n))
        for i in range(size):
            out = plan.counts[i] == 0
            features = np.flatnonzero(plan.chosen[i][groups])
            scores[:, i, out] = _scores(x[:, features], y, plan.counts[i], int(plan.seeds[i]))
        return plan, scores

    # One thread a product: the order of its sums would depend on their number.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        for plan, scores in pool.map(chunk, range(0, learners, CHUNK)):
            out, chosen = plan.counts == 0, plan.chosen.astype(np.float64)
            for w in range(2):
                sums[w] += scores[w].T @ chosen
                rows[w] += scores[w].sum(axis=0)
            counts += out.T.astype(np.float64) @ chosen
            row_counts += out.sum(axis=0)
    sums /= np.maximum(counts, 1)
    rows /= np.maximum(row_counts, 1)
    return Values(sums, counts.astype(np.int64), rows, row_counts)


def data_oob(
    x: NDArray[np.floating], y: NDArray[np.integer], *, learners: int = 1000, seed: int = 0, workers: int = 1
) -> Floats:
    """Data-OOB of every row, w = 0 and w = 1 [2, n]: all features, one cell."""
    groups = np.zeros(np.shape(x)[1], dtype=np.int64)
    return value(x, y, groups=groups, learners=learners, ratio=1.0, seed=seed, workers=workers).rows


def _scores(x: NDArray[np.floating], y: Rows, counts: NDArray[np.uint16], seed: int) -> Floats:
    """T of the rows out of bag, w = 0 and w = 1 [2, rows], by one learner on the features [n, s] that it sees."""
    drawn, out = np.flatnonzero(counts), np.flatnonzero(counts == 0)
    if not len(out):
        return np.zeros((2, 0))
    weights = counts[drawn].astype(np.float64)
    tree = DecisionTreeClassifier(max_features="sqrt", random_state=seed)
    narrow = x.astype(np.float32)  # As trees have it.
    tree.fit(narrow[drawn], y[drawn], sample_weight=weights, check_input=False)
    hits = (tree.predict(narrow[out], check_input=False) == y[out]).astype(np.float64)
    members = csr_array((weights, (y[drawn], np.arange(len(drawn)))), shape=(int(y.max()) + 1, len(drawn)))
    total = np.bincount(y[drawn], weights, minlength=members.shape[0])
    means = (members @ x[drawn]) / np.maximum(total, 1)[:, None]
    difference = x - means[y]
    near = -np.sqrt(np.einsum("ij,ij->i", difference, difference))
    low, high = near[drawn].min(), near[drawn].max()
    known = (total[y[out]] > 0) & (high > low)
    close = np.divide(near[out] - low, high - low, out=np.zeros(len(out)), where=known)
    return np.stack([hits, hits + close])


def _checked(
    x: NDArray[np.floating],
    y: NDArray[np.integer],
    groups: NDArray[np.integer] | None,
    *,
    learners: int,
    ratio: float,
    workers: int,
) -> tuple[NDArray[np.floating], Rows, Rows]:
    """Features, classes as 0, 1, ... and groups."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or not x.size or not np.issubdtype(x.dtype, np.number):
        raise InputError(f"x: shape {x.shape}, type {x.dtype}; give numbers [rows, features]")
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise InputError(f"y: shape {y.shape}, type {y.dtype}; give a class, an integer, for each of {len(x)} rows")
    x = np.asarray(x, dtype=np.float64)
    bad = ~(np.abs(x) <= np.finfo(np.float32).max).all(axis=0)
    if bad.any():
        raise InputError(f"x: features {np.flatnonzero(bad).tolist()} hold NaN or infinity; fill or leave them out")
    classes, y = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"y: {len(classes)} class only; two or more are needed")
    groups = np.arange(x.shape[1]) if groups is None else np.asarray(groups)
    if groups.shape != (x.shape[1],) or not np.issubdtype(groups.dtype, np.integer):
        raise InputError(
            f"groups: shape {groups.shape}, type {groups.dtype}; give a cell for each of {x.shape[1]} features"
        )
    if not np.array_equal(np.unique(groups), np.arange(groups.max() + 1)):
        raise InputError(f"groups: {np.unique(groups).tolist()}; number cells from 0 on, without gaps")
    if not 0 < ratio <= 1:
        raise InputError(f"ratio: {ratio}; give a share of the cells above 0, up to 1")
    for name, number in (("learners", learners), ("workers", workers)):
        if number < 1:
            raise InputError(f"{name}: {number}; give 1 or more")
    return x, y.astype(np.int64), groups.astype(np.int64)
