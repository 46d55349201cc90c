"""Benchmarks of valuation: 2D-OOB against 2D-KNN, how cost grows, a set budget, peak memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from bench_common import Outcome, child, peak_memory, seconds, sized
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, make_friedman1

from memloc.data.preparing import prepare
from memloc.metrics.detection import detection_area
from memloc.valuation import baselines
from memloc.valuation.inject import choose_cells, tail
from memloc.valuation.oob import squares, value

T = TypeVar("T")
Floats = NDArray[np.float64]
Classes = NDArray[np.int64]


def fried() -> tuple[Floats, Classes]:
    """Ten features, five of which add up to the class."""
    x, y = make_friedman1(1100, random_state=0)
    return x, (y > y.mean()).astype(np.int64)


TABLES: dict[str, tuple[Callable[[], tuple[Floats, Classes]], float]] = {
    # How it is made, the share of cells that a learner sees.
    "breast cancer": (lambda: load_breast_cancer(return_X_y=True), 0.25),
    "fried": (fried, 0.5),
    "digits": (lambda: load_digits(return_X_y=True), 0.5),
}
COUNTS = sized((10, 20, 30, 40, 50, 100, 200, 300, 1000), (10, 20))
"""Learners among which the fewest are sought."""


def against_knn(name: str, *, permutations: int) -> Iterator[Outcome]:
    """CPU time of 2D-KNN against that of 2D-OOB with 300 learners, and with as few as find outlier cells as well.

    Fewer than ten learners behind any cell are too few.

    A fifth of the cells in a fifth of the rows are outliers (tail). 2D-KNN asks a tenth of the rows, held out, at most
    60 of them.
    """
    build, ratio = TABLES[name]
    x, y = build()
    order = np.random.default_rng(0).permutation(len(y))
    count = min(60, len(y) // 10)
    x = ((x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1))[order]
    held, rows = slice(count), slice(count, count + sized(1000, 100))
    y = y[order]
    marked = choose_cells(*x[rows].shape, rows=0.2, columns=0.2, seed=0)
    dirty = tail(x[rows], y[rows], marked, seed=0)

    def knn() -> Floats:
        return baselines.knn(dirty, y[rows], x[held], y[held], permutations=permutations, seed=0)

    def oob(count: int) -> tuple[Floats, int]:
        found = value(dirty, y[rows], learners=count, ratio=ratio)
        return found.cells[1], int(found.counts.min())

    oob(10)  # The first one warms up.
    slow, values = cpu(knn)
    bar, told = detection_area(values, marked), f"2D-KNN, {permutations} permutations / 2D-OOB"
    quick, (values, _) = cpu(lambda: oob(300))
    area = detection_area(values, marked)
    yield Outcome(f"{told}, 300 learners (areas {bar:.3f}, {area:.3f}), CPU time, {name}", slow / quick)
    for count in COUNTS:
        quick, (values, fewest) = cpu(lambda count=count: oob(count))
        if (area := detection_area(values, marked)) >= bar and fewest >= 10:
            break
    told = f"{told}, {count} learners, the fewest that find as much (areas {bar:.3f}, {area:.3f})"
    yield Outcome(f"{told}, CPU time, {name}", slow / quick, ">=", 10)


def growth() -> Iterator[Outcome]:
    """The power of learners, and of rows, that CPU time grows with."""
    learners, rows = sized([32, 64, 128, 256], [4, 8]), sized([1000, 2000, 4000, 8000], [50, 100])
    x, y, groups = clothes(rows[-1])
    value(x[:500], y[:500], groups=groups, learners=sized(16, 4))

    def took(rows: int, learners: int) -> float:
        return min(cpu(lambda: value(x[:rows], y[:rows], groups=groups, learners=learners))[0] for _ in range(2))

    for name, amounts, times in (
        ("learners", learners, [took(rows[0], count) for count in learners]),
        ("rows", rows, [took(count, learners[0]) for count in rows]),
    ):
        power = float(np.polyfit(np.log(amounts), np.log(times), 1)[0])
        yield Outcome(f"CPU time of 2D-OOB grows with {name} to the power", power, "<=", 1.2)


def budget() -> Iterator[Outcome]:
    """5,000 images, 49 patches, 300 learners on two threads, in seconds."""
    x, y, groups = clothes(sized(5000, 100))
    took = seconds(lambda: value(x, y, groups=groups, learners=sized(300, 4), workers=2))
    yield Outcome("seconds for 5,000 images x 49 patches x 300 learners, two threads", took, "<=", 480)


def memory() -> Iterator[Outcome]:
    """Peak memory beyond the table of cells, with the copy of the features in it, and by learners."""
    few, many = (child(__file__, str(count)) for count in (32, 320))
    yield Outcome("peak memory / table of cells and features", few, "<=", 1.5)
    yield Outcome("peak memory of 320 learners / of 32", many / few, "<=", 1.1)


def main(learners: str) -> None:
    """Value 20,000 rows of 200 cells; print how much peak memory grows, over the tables' size."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(sized(20_000, 200), 200))
    y = rng.integers(2, size=len(x))
    x[:, 0] += 3 * y
    value(x[:200], y[:200], learners=16)
    before = peak_memory()
    found = value(x, y, learners=int(learners), ratio=0.1)
    tables = x.nbytes + found.cells.nbytes + found.counts.nbytes
    print(max(peak_memory() - before, 2**-20) * 2**20 / tables)  # A byte at least, to divide by.


def cpu(function: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of a call, which other processes disturb less, and what it gives."""
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def clothes(count: int) -> tuple[Floats, Classes, Classes]:
    """Images of the repository's dataset, flat, their classes, and the patch of 4 pixels that each pixel is in."""
    parts, _ = prepare("fashion-mnist-12k", path=None, classes=None, image_size=28)
    train = parts["train"]
    return train.images[:count].reshape(count, -1) / 255, train.labels[:count], squares(1, 28, 4)


BENCHMARKS: dict[str, Callable[[], Iterator[Outcome]]] = {
    **{f"2D-KNN, {name}": lambda name=name: against_knn(name, permutations=sized(30, 1)) for name in TABLES},
    # As published.
    "2D-KNN, 1000 permutations": lambda: against_knn("breast cancer", permutations=sized(1000, 1)),
    "growth of valuation": growth,
    "budget of valuation": budget,
    "memory of valuation": memory,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
