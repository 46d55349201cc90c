"""What trials of valuation share: parts of a table, and values of its cells, rows and patches in several ways.

A trial takes a table (see ``memloc.valuation.tables``), the experiment's options and a seed, and gives arrays with one
row a method. ``methods`` and ``ratios`` name it: w = 0 and w = 1 of 2D-OOB at every ratio, then the others, whose ratio
is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.streams import generator
from memloc.valuation import baselines
from memloc.valuation.inject import choose_cells
from memloc.valuation.oob import data_oob, value

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]
Options = Mapping[str, Any]
Values = tuple[str, float, Floats]
"""A method's name, its ratio and its values."""

INSPECTED = np.linspace(0, 1, 21)
"""Shares of the cells inspected, at which detection rates are told."""
CHANGED = np.linspace(0, 0.2, 11)
"""Shares of cells repaired, or rows removed, at which accuracy is told."""
HELD = 60
"""Held-out points that 2D-KNN asks, at most; a tenth of the rows where that is less."""


@dataclass(frozen=True)
class Parts:
    """Rows of a table with columns standardised by the valued ones: those to value, held-out and test points."""

    x: Floats
    y: Classes
    held_x: Floats
    held_y: Classes
    test_x: Floats
    test_y: Classes


OOB = "2D-OOB, w = {}"
RATIO = 0.5
"""Of 2D-OOB where only one is timed."""
TESTED = 0.3
"""Share of the rows that accuracy is tested on, at least."""


def divide(table: Arrays, *, rows: int, tested: float, seed: int) -> Parts:
    """Draw held-out points, then up to ``rows`` rows to value, so that ``tested`` of all are left to test on."""
    n = len(table["y"])
    held = min(HELD, n // 10)
    valued = min(rows, n - held - round(tested * n))
    order = generator("rows", seed).permutation(n)
    places = [order[held : held + valued], order[:held], order[held + valued :]]
    # In random order: where distances are equal, 2D-KNN goes by it, and some tables are sorted by class.
    x = [table["x"][some].astype(np.float64) for some in places]
    y = [table["y"][some] for some in places]
    mean, deviation = x[0].mean(axis=0), x[0].std(axis=0)
    deviation[deviation == 0] = 1
    x = [(part - mean) / deviation for part in x]
    return Parts(x[0], y[0], x[1], y[1], x[2], y[2])


def cell_values(dirty: Floats, parts: Parts, options: Options, seed: int) -> Iterator[Values]:
    """Values of cells [n, d] by every method."""
    for ratio in options["ratios"]:
        cells = value(dirty, parts.y, learners=options["learners"], ratio=ratio, seed=seed).cells
        yield from ((OOB.format(w), ratio, cells[w]) for w in (0, 1))
    yield from ((name, 0.0, run()) for name, run in cell_baselines(dirty, parts, options, seed).items())


def cell_baselines(dirty: Floats, parts: Parts, options: Options, seed: int) -> dict[str, Callable[[], Floats]]:
    """By name, what 2D-OOB is compared with."""
    y, held = parts.y, (parts.held_x, parts.held_y)
    return {
        "2D-KNN": lambda: baselines.knn(dirty, y, *held, permutations=options["permutations"], seed=seed),
        "two-stage": lambda: baselines.two_stage(dirty, y, learners=options["learners"], seed=seed),
        "DDC": lambda: baselines.ddc(dirty, y),
        "z-score": lambda: baselines.z_score(dirty, y),
        "random": lambda: baselines.random(dirty.shape, seed=seed),
    }


def row_values(y: Classes, held: Classes, parts: Parts, options: Options, seed: int) -> Iterator[Values]:
    """Values of rows [n] by every method: means over a row's cells, Data-OOB, KNN-Shapley."""
    x, learners = parts.x, options["learners"]
    for ratio in options["ratios"]:
        cells = value(x, y, learners=learners, ratio=ratio, seed=seed).cells
        yield from ((OOB.format(w), ratio, cells[w].mean(axis=1)) for w in (0, 1))
    yield "Data-OOB", 0, data_oob(x, y, learners=learners, seed=seed)[0]
    distances = ((parts.held_x[:, None] - x) ** 2).sum(axis=2)
    yield "KNN-Shapley", 0, baselines.knn_rows(distances, y, held, neighbours=baselines.NEIGHBOURS)
    yield "z-score", 0, baselines.z_score(x, y).mean(axis=1)
    yield "random", 0, baselines.random(y.shape, seed=seed)


def patch_values(x: Floats, y: Classes, groups: Classes, options: Options, seed: int) -> Iterator[Values]:
    """Values of patches [n, cells] by every method, high where the trigger is expected.

    A trigger speaks for the label it came with: 2D-OOB is high there. A z-score knows outliers alone: it is turned.
    """
    sizes = np.bincount(groups)
    members = groups[:, None] == np.arange(len(sizes))
    for ratio in options["ratios"]:
        cells = value(x, y, groups=groups, learners=options["learners"], ratio=ratio, seed=seed).cells
        yield from ((OOB.format(w), ratio, cells[w]) for w in (0, 1))
    yield "z-score", 0, -baselines.z_score(x, y) @ members / sizes
    yield "random", 0, baselines.random((len(x), len(sizes)), seed=seed)


def fitted_accuracy(x: Floats, y: Classes, parts: Parts) -> float:
    """Share of the test points that a logistic regression on x, y gets right."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y)) < 2:
        return float((parts.test_y == y[0]).mean())
    return float(LogisticRegression(max_iter=1000).fit(x, y).score(parts.test_x, parts.test_y))


def dirty_cells(parts: Parts, options: Options, seed: int) -> NDArray[np.bool_]:
    """The cells that outliers are planted into, [n, d]."""
    shares: Sequence[float] = (options["dirty_rows"], options["dirty_columns"])
    return choose_cells(*parts.x.shape, rows=shares[0], columns=shares[1], seed=seed)


def named(values: Sequence[Values]) -> Arrays:
    """Names and ratios of methods, [methods]."""
    return {
        "methods": np.array([name for name, _, _ in values]),
        "ratios": np.array([ratio for _, ratio, _ in values], dtype=np.float64),
    }
