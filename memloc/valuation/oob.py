"""2D-OOB and Data-OOB: the value of every cell and row of a labelled table by learners that never saw the row.

Sun, Shen and Kwon (2D-OOB, NeurIPS 2024) value a cell by the weak learners that were fitted without its row but with
its feature; Kwon and Zou (Data-OOB, ICML 2023) value a row by those fitted without it. Low values mark outliers.

A plan of what each learner sees is drawn first, from a random stream for each learner: nothing depends on how many
work at once, and 300 learners are the first 300 of 1000. Sums are added up in chunks of fixed size, in the plan's
order: the scores of some learners (``scored``) are summed only when all are there (``gathered``), to the bytes of one
call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from memloc.errors import InputError
from memloc.metrics.stats import LEVEL
from memloc.streams import generator

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
T = TypeVar("T")

CHUNK = 16
BLOCK = 1024
"""Learners and rows whose scores are summed at once. Not options: the last bits of sums depend on them."""


@dataclass(frozen=True)
class Plan:
    """What each learner sees.

    Attributes:
        counts: [learners, n] how often each row is in a learner's bootstrap sample.
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
        cells: [2, n, cells] 2D-OOB; 0 if no learner saw the cell's column without its row.
        counts: [n, cells] learners behind each cell.
        rows: [2, n] Data-OOB of the same learners, the mean of a row's cells weighted by ``counts``.
        row_counts: [n] learners behind each row.
        cell_errors, row_errors: standard errors of ``cells`` and ``rows``: the jackknife that leaves out one learner at
            a time. NaN where fewer than two learners are behind a value.
        votes: [n, classes] learners that never saw the row and say each class, in the order of the classes; None where
            what they said wasn't kept.
    """

    cells: Floats
    counts: Rows
    rows: Floats
    row_counts: Rows
    cell_errors: Floats
    row_errors: Floats
    votes: Rows | None = None

    def __add__(self, other: Values) -> Values:
        """Values of the same table by both's learners, which must be different ones."""
        cells, cell_errors = _pooled(
            (self.cells, self.cell_errors, self.counts), (other.cells, other.cell_errors, other.counts)
        )
        rows, row_errors = _pooled(
            (self.rows, self.row_errors, self.row_counts), (other.rows, other.row_errors, other.row_counts)
        )
        votes = None if self.votes is None or other.votes is None else self.votes + other.votes
        counts, row_counts = self.counts + other.counts, self.row_counts + other.row_counts
        return Values(cells, counts, rows, row_counts, cell_errors, row_errors, votes)


def draw_plan(n: int, cells: int, *, learners: int, ratio: float, seed: int, first: int = 0) -> Plan:
    """Plan for learners ``first``, ``first`` + 1, ...; each one's part is a function of ``seed`` and its number.

    A learner gets n rows, drawn with replacement, and max(round(ratio cells), 1) cells, drawn without.
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
    first: int = 0,
    workers: int = 1,
    progress: Callable[[int], object] = lambda learners: None,
) -> Values:
    """2D-OOB of every cell and Data-OOB of every row (2D-OOB, Section 3).

        psi_ij = sum_b out_bi chosen_bj T_bi / sum_b out_bi chosen_bj
        T_bi = 1(y_i = f_b(x_i)) + w (t_bi - min t_b) / (max t_b - min t_b),  t_bi = -|x_i - mean_b of class y_i|

    where out_bi is 1 if row i isn't in learner b's bootstrap sample, and chosen_bj is 1 if the learner sees cell j. f_b
    is a tree of unlimited depth on the sample (rows weighted by how often they were drawn, which gives the tree of
    repeated rows) and on the features of its cells; at each split it tries the square root of their number. Distances,
    and class means of the sample, are over the same features. Minimum and maximum are over the sample, so the closeness
    of its rows is in [0, 1]; a row further from its class than every row of the sample has one below 0. Closeness is 0
    if the class isn't in the sample, or all distances are equal. The authors' code is for two classes; here there may
    be more. Distances take features as they are, so bring them to one scale first.

    Args:
        x: [n, d] finite.
        y: [n] classes.
        groups: [d] the cell that each feature belongs to, from 0; None makes each feature a cell.
        learners: how many.
        ratio: share of cells that a learner sees, in (0, 1].
        seed: of the plan.
        first: number of the first learner. Values by learners 0 to 99 and 100 to 299 add up to those by 0 to 299.
        workers: threads; results don't depend on it.
        progress: called with the number of learners that have just finished.

    Raises:
        InputError: an argument has a wrong shape, type or value.
    """
    table = _checked(x, y, groups, learners=learners, ratio=ratio, workers=workers)
    end = first + learners
    chunks = _chunks(*table, range(first, end, CHUNK), end, ratio, seed, workers)
    return _added(chunks, *_sizes(table), progress, classes=int(table[1].max()) + 1)


def interval(values: Floats, errors: Floats, counts: Rows, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Where infinitely many learners would put values [2, ...] of ``Values``, w = 0 and w = 1 first: lower, upper ends.

    What other rows would do isn't in it. A mean of zeros and ones has error 0 where all agree, so for w = 0 it is
    Wilson's score interval [l, u], of the same error where counts are large. For w = 1 what closeness adds makes it
    wider (MOVER: Zou and Donner, 2008): with t of counts - 1 degrees of freedom and errors e_0 and e_1,

        v_1 - sqrt((v_0 - l)^2 + t^2 (e_1^2 - e_0^2)),   v_1 + sqrt((u - v_0)^2 + t^2 (e_1^2 - e_0^2))

    NaN where nothing is known: no learner for w = 0, fewer than two for w = 1.
    """
    from scipy.stats import norm, t

    known, number = np.unique(np.maximum(counts, 1), return_inverse=True)
    q = t.isf((1 - level) / 2, np.maximum(known - 1, 1))[number].reshape(counts.shape)
    z2, n = norm.isf((1 - level) / 2) ** 2, np.where(counts > 0, counts, np.nan)
    middle = (values[0] + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(np.maximum(values[0] * (1 - values[0]) / n + z2 / (4 * n**2), 0) * z2) / (1 + z2 / n)
    low, high = middle - half, middle + half
    # Hits and closeness may go against each other; their sum is taken to be no surer than hits alone.
    closeness = q**2 * np.maximum(errors[1] ** 2 - errors[0] ** 2, 0)
    below, above = (np.sqrt((values[0] - end) ** 2 + closeness) for end in (low, high))
    return np.stack([low, values[1] - below]), np.stack([high, values[1] + above])


def scored(
    x: NDArray[np.floating],
    y: NDArray[np.integer],
    *,
    groups: NDArray[np.integer] | None = None,
    learners: int = 1000,
    ratio: float = 0.5,
    seed: int = 0,
    workers: int = 1,
    number: int = 1,
    of: int = 1,
) -> Iterator[Floats]:
    """T of every row by the learners of part ``number`` of ``of``, 0 if a learner saw the row: [some, 2, n] each.

    Parts are whole chunks of learners. See ``value`` for the rest.
    """
    table = _checked(x, y, groups, learners=learners, ratio=ratio, workers=workers)
    chunks = -(-learners // CHUNK)
    firsts = range(chunks * (number - 1) // of * CHUNK, chunks * number // of * CHUNK, CHUNK)
    for _, scores, _ in _chunks(*table, firsts, learners, ratio, seed, workers):
        yield scores.swapaxes(0, 1)


def gathered(
    scores: Iterable[Floats], *, n: int, cells: int, learners: int = 1000, ratio: float = 0.5, seed: int = 0
) -> Values:
    """What ``value`` gives, from the scores that ``scored`` gave for all parts.

    Args:
        scores: [some, 2, n] of the learners in their order, in pieces of any length.

    Raises:
        ValueError: they are of more or fewer than ``learners``.
    """
    # In the memory layout of ``value``: with another, products may differ in their last bits.
    parts = _in_chunks(scores, CHUNK)
    firsts = range(0, learners, CHUNK)

    def plans() -> Iterator[tuple[Plan, Floats, None]]:
        for first, part in zip(firsts, parts, strict=True):
            size = min(CHUNK, learners - first)
            if len(part) != size:
                raise ValueError(f"scores of {first + len(part)} learners, not of {learners}")
            plan = draw_plan(n, cells, learners=size, ratio=ratio, seed=seed, first=first)
            yield plan, np.ascontiguousarray(part.swapaxes(0, 1)), None

    return _added(plans(), n, cells)


def _in_chunks(parts: Iterable[Floats], size: int) -> Iterator[Floats]:
    """The same rows, ``size`` at a time."""
    chunk: list[Floats] = []
    for row in (row for part in parts for row in part):
        chunk.append(row)
        if len(chunk) == size:
            yield np.stack(chunk)
            chunk = []
    if chunk:
        yield np.stack(chunk)


def _sizes(table: tuple[Floats, Rows, Rows]) -> tuple[int, int]:
    """Numbers of rows and of cells."""
    _, classes, cell_of = table
    return len(classes), int(cell_of.max()) + 1


def _chunks(
    table: Floats, classes: Rows, cell_of: Rows, firsts: range, end: int, ratio: float, seed: int, workers: int
) -> Iterator[tuple[Plan, Floats, Rows]]:
    """Plan, T [2, some, n] and the classes they say [some, n] of up to CHUNK learners, from each of ``firsts`` on."""
    n, cells = _sizes((table, classes, cell_of))
    order = np.argsort(classes, kind="stable")
    features, classes = table.T.take(order, axis=1), classes[order]

    def chunk(first: int) -> tuple[Plan, Floats, Rows]:
        size = min(CHUNK, end - first)
        plan = draw_plan(n, cells, learners=size, ratio=ratio, seed=seed, first=first)
        scores, said = np.empty((2, size, n)), np.empty((size, n), dtype=np.int64)
        with config_context(skip_parameter_validation=True):  # It takes a tenth of the time of a small table's tree.
            for i in range(size):
                visible = features.take(np.flatnonzero(plan.chosen[i, cell_of]), axis=0)
                scores[:, i, order], said[i, order] = _scores(
                    visible, classes, plan.counts[i, order], int(plan.seeds[i])
                )
        scores *= plan.counts == 0
        return plan, scores, said

    # One thread for each product: the order of its sums would depend on their number.
    with threadpool_limits(1, user_api="blas"):
        yield from _ahead(chunk, firsts, workers)


def _added(
    chunks: Iterable[tuple[Plan, Floats, Rows | None]],
    n: int,
    cells: int,
    progress: Callable[[int], object] = lambda learners: None,
    *,
    classes: int = 0,
) -> Values:
    """Means over learners and their errors, added up chunk by chunk; votes for ``classes``, if there are any."""
    sums, counts = np.zeros((2, n, cells)), np.zeros((n, cells), dtype=np.int64)
    rows, row_counts = np.zeros((2, n)), np.zeros(n, dtype=np.int64)
    # Of squares, w = 1: those of w = 0 are sums of zeros and ones.
    cell_squares, row_squares = np.zeros((n, cells)), np.zeros(n)
    votes = np.zeros((n, classes), dtype=np.int64) if classes else None
    blocks = [slice(start, start + BLOCK) for start in range(0, n, BLOCK)]
    with threadpool_limits(1, user_api="blas"):
        for plan, scores, said in chunks:
            out, chosen = (plan.counts == 0).astype(np.float64), plan.chosen.astype(np.float64)
            for block in blocks:
                sums[:, block] += scores[:, :, block].swapaxes(1, 2) @ chosen
                counts[block] += (out[:, block].T @ chosen).astype(np.int64)
                cell_squares[block] += (scores[1, :, block] ** 2).T @ chosen
            rows += scores.sum(axis=1)
            row_squares += (scores[1] ** 2).sum(axis=0)
            if votes is not None and said is not None:
                learner, row = np.nonzero(plan.counts == 0)
                np.add.at(votes, (row, said[learner, row]), 1)
            row_counts += out.sum(axis=0).astype(np.int64)
            progress(len(out))
    errors = []
    for values, learned, squares in ((sums, counts, cell_squares), (rows, row_counts, row_squares)):
        second = np.stack([values[0], squares])
        np.divide(values, learned, out=values, where=learned > 0)
        errors.append(_errors(second - learned * values**2, learned))
    return Values(sums, counts, rows, row_counts, errors[0], errors[1], votes)


def _errors(left: Floats, counts: Rows) -> Floats:
    """The jackknife's standard error of a mean of ``counts``, from squares about it: sqrt(left / n (n - 1)).

    Without learner b a mean v is (n v - T_b) / (n - 1), so (n - 1) / n sum (v_without_b - v)^2 is just that.
    """
    freedom = np.where(counts > 1, counts * (counts - 1.0), np.nan)
    return np.asarray(np.sqrt(np.maximum(left, 0) / freedom))


def _pooled(*parts: tuple[Floats, Floats, Rows]) -> tuple[Floats, Floats]:
    """Mean and error of all learners, from means, errors and counts of some each."""
    counts = sum((n for *_, n in parts), start=np.zeros_like(parts[0][2]))
    mean = np.divide(sum(n * value for value, _, n in parts), counts, out=np.zeros_like(parts[0][0]), where=counts > 0)
    left = np.zeros_like(mean)
    for value, error, n in parts:
        left += np.where(n > 1, n * (n - 1.0) * np.nan_to_num(error) ** 2, 0.0) + n * (value - mean) ** 2
    return mean, _errors(left, counts)


def data_oob(
    x: NDArray[np.floating], y: NDArray[np.integer], *, learners: int = 1000, seed: int = 0, workers: int = 1
) -> Floats:
    """Data-OOB of every row, w = 0 and w = 1 [2, n]: all features, one cell."""
    groups = np.zeros(np.shape(x)[1], dtype=np.int64)
    return value(x, y, groups=groups, learners=learners, ratio=1.0, seed=seed, workers=workers).rows


def squares(channels: int, size: int, patch: int) -> Rows:
    """The cell of each pixel of an image [channels, size, size] laid flat: squares of ``patch`` pixels, row by row.

    Those at the right and at the bottom are smaller if the size is not a multiple of ``patch``.
    """
    index = np.arange(size) // patch
    cells = index[:, None] * (index[-1] + 1) + index
    return np.asarray(np.broadcast_to(cells, (channels, size, size)).ravel())


def _ahead(function: Callable[[int], T], arguments: Iterable[int], workers: int) -> Iterator[T]:
    """Results in order, computed by threads, at most one result for each of them ahead."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for argument in arguments:
            if len(waiting) > workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, argument))
        while waiting:
            yield waiting.popleft().result()


def _scores(x: Floats, y: Rows, counts: NDArray[np.uint16], seed: int) -> tuple[Floats, Rows]:
    """T of every row, w = 0 and w = 1 [2, n], and the class that is said of it [n], by one learner on the features
    [s, n] that it sees and overwrites.

    Rows are in the order of their classes.
    """
    weights = counts.astype(np.float64)
    narrow = x.astype(np.float32).T  # As trees have it.
    tree = DecisionTreeClassifier(max_features="sqrt", random_state=seed)
    tree.fit(narrow, y, sample_weight=weights, check_input=False)  # Rows of weight 0 are left out.
    said = tree.predict(narrow, check_input=False)
    hits = (said == y).astype(np.float64)
    sizes, drawn = np.bincount(y), np.bincount(y, weights)
    ends = np.cumsum(sizes)
    for start, end, total in zip(ends - sizes, ends, drawn, strict=True):
        x[:, start:end] -= (x[:, start:end] @ weights[start:end] / max(total, 1))[:, None]
    near = -np.sqrt(np.einsum("ij,ij->j", x, x))
    low, high = near[counts > 0].min(), near[counts > 0].max()
    defined = (drawn[y] > 0) & (high > low)
    close = np.divide(near - low, high - low, out=np.zeros(len(y)), where=defined)
    return np.stack([hits, hits + close]), said


def _checked(
    x: NDArray[np.floating],
    y: NDArray[np.integer],
    groups: NDArray[np.integer] | None,
    *,
    learners: int,
    ratio: float,
    workers: int,
) -> tuple[Floats, Rows, Rows]:
    """Features, classes as 0, 1, ... and groups."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or not x.size or x.dtype.kind not in "biuf":
        raise InputError(f"x: shape {x.shape}, type {x.dtype}; give numbers [rows, features]")
    if y.shape != (len(x),) or y.dtype.kind not in "biu":
        raise InputError(f"y: shape {y.shape}, type {y.dtype}; give a class, an integer, for each of {len(x)} rows")
    table: Floats = np.asarray(x, dtype=np.float64)
    largest = np.maximum(table.max(axis=0), -table.min(axis=0))
    bad = np.flatnonzero(~(largest <= np.finfo(np.float32).max))
    if len(bad):
        raise InputError(
            f"x: {len(bad)} features, the first of them {bad[0]}, hold NaN or numbers beyond 32-bit floats; fill them"
            " in or leave them out"
        )
    present, classes = np.unique(y, return_inverse=True)
    if len(present) < 2:
        raise InputError(f"y: only {len(present)} class; give two or more")
    d = table.shape[1]
    groups = np.arange(d) if groups is None else np.asarray(groups)
    if groups.shape != (d,) or groups.dtype.kind not in "iu":
        raise InputError(f"groups: shape {groups.shape}, type {groups.dtype}; give a cell for each of {d} features")
    cells = np.unique(groups)
    if cells[0] != 0 or cells[-1] != len(cells) - 1:
        raise InputError(f"groups: {len(cells)} cells from {cells[0]} to {cells[-1]}; number them from 0, without gaps")
    if not 0 < ratio <= 1:
        raise InputError(f"ratio: {ratio}; give a share of the cells above 0, up to 1")
    for name, number in (("learners", learners), ("workers", workers)):
        if number < 1:
            raise InputError(f"{name}: {number}; give 1 or more")
    return table, classes.astype(np.int64), groups.astype(np.int64)
