"""One run of each experiment on valuation: plant something into a table, value it in several ways, see who finds it.

A trial takes a table (see ``memloc.valuation.tables``), the experiment's options and a seed, and gives arrays with one
row a method. ``methods`` and ``ratios`` name it: w = 0 and w = 1 of 2D-OOB at every ratio, then the others, whose ratio
is 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.metrics.detection import auroc, average_precision, detection_area, detection_rate
from memloc.streams import generator
from memloc.valuation import baselines
from memloc.valuation.inject import INJECTORS, choose_cells, corner, flip_labels, patches, poison
from memloc.valuation.oob import data_oob, draw_plan, value

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


def cell_outliers(table: Arrays, options: Options, seed: int) -> Arrays:
    """How soon each method finds outlier cells: areas [injectors, methods], rates [injectors, methods, inspected]."""
    parts = divide(table, rows=options["rows"], tested=0, seed=seed)
    marked = _dirty_cells(parts, options, seed)
    areas, rates, valued = [], [], []
    for injector in options["injectors"]:
        dirty = INJECTORS[injector](parts.x, parts.y, marked, seed=seed)
        # A swapped cell that has the value it had is none.
        changed = dirty != parts.x
        valued = list(cell_values(dirty, parts, options, seed))
        areas.append([detection_area(values, changed) for _, _, values in valued])
        rates.append([detection_rate(values, changed, INSPECTED) for _, _, values in valued])
    told = {"areas": np.array(areas), "rates": np.array(rates), "inspected": INSPECTED}
    return _named(valued) | told | {"rows": np.array(len(parts.x))}


def cell_fixation(table: Arrays, options: Options, seed: int) -> Arrays:
    """Test accuracy of a logistic regression once the lowest cells are repaired, [methods, changed], and clean."""
    parts = divide(table, rows=options["rows"], tested=TESTED, seed=seed)
    dirty = INJECTORS[options["injector"]](parts.x, parts.y, _dirty_cells(parts, options, seed), seed=seed)
    valued = list(cell_values(dirty, parts, options, seed))
    accuracy = np.empty((len(valued), len(CHANGED)))
    for m, (_, _, values) in enumerate(valued):
        order = np.argsort(values, axis=None, kind="stable")
        repaired, done = dirty.copy(), 0
        for k, share in enumerate(CHANGED):
            upto = round(share * values.size)
            repaired.flat[order[done:upto]] = parts.x.flat[order[done:upto]]
            accuracy[m, k], done = fitted_accuracy(repaired, parts.y, parts), upto
    clean = np.array(fitted_accuracy(parts.x, parts.y, parts))
    told = {"accuracy": accuracy, "clean": clean, "changed": CHANGED}
    return _named(valued) | told | {"rows": np.array(len(parts.x))}


def point_removal(table: Arrays, options: Options, seed: int) -> Arrays:
    """How well values of rows find flipped labels, [methods]; accuracy once the lowest are removed, [methods, changed].

    Labels of held-out points are flipped at the same rate: nobody has clean ones.
    """
    parts = divide(table, rows=options["rows"], tested=TESTED, seed=seed)
    y, flipped = flip_labels(parts.y, share=options["flipped"], seed=seed)
    held = flip_labels(parts.held_y, share=options["flipped"], seed=seed + 1)[0]
    valued = list(row_values(y, held, parts, options, seed))
    accuracy = np.empty((len(valued), len(CHANGED)))
    for m, (_, _, values) in enumerate(valued):
        order = np.argsort(values, kind="stable")
        for k, share in enumerate(CHANGED):
            kept = np.sort(order[round(share * len(y)) :])
            accuracy[m, k] = fitted_accuracy(parts.x[kept], y[kept], parts)
    found = np.array([average_precision(-values, flipped) for _, _, values in valued])
    told = {"found": found, "accuracy": accuracy, "changed": CHANGED, "flipped": np.array(flipped.mean())}
    return _named(valued) | told | {"rows": np.array(len(y))}


def backdoor(table: Arrays, options: Options, seed: int) -> Arrays:
    """Which cells of poisoned images are high, pixel by pixel or in patches.

    For each number of cells along a side (``grids``) and each method: AUROC of the trigger's cells within a poisoned
    image, the share of its k highest cells that are among the trigger's k, and the share of images whose highest cell
    is; means over images, [grids, methods]. For the first ratio with w = 0, maps of an image, of the poisoned ones'
    mean and of the target's other images' mean: ``map<grid>`` [3, grid, grid].
    """
    source, target = options["classes"]
    absent = sorted({source, target} - set(table["y"].tolist()))
    if absent:
        raise InputError(f"classes {absent}: not in the table, which has 0 to {table['y'].max()}; change classes")
    chosen = generator("rows", seed).permutation(np.flatnonzero(np.isin(table["y"], [source, target])))
    chosen = np.sort(chosen[: options["rows"]])
    shape = tuple(int(side) for side in table["shape"])
    trigger = corner(shape, options["side"])  # type: ignore[arg-type]
    clean, labels = table["x"][chosen].astype(np.float64), table["y"][chosen]
    what = {"source": source, "target": target, "share": options["poisoned"], "seed": seed}
    x, y, poisoned = poison(clean, labels, trigger, **what)
    out: Arrays = {"image": x[poisoned][0].reshape(shape).mean(axis=0), "rows": np.array(poisoned.sum())}
    scores, valued = [], []
    for grid in options["grids"]:
        groups = patches(shape, grid)  # type: ignore[arg-type]
        hit = np.zeros(grid**2, dtype=bool)
        hit[groups[trigger]] = True
        valued = list(patch_values(x, y, groups, options, seed))
        scores.append([trigger_scores(values[poisoned], hit) for _, _, values in valued])
        first = valued[0][2]
        maps = [first[poisoned][0], first[poisoned].mean(axis=0), first[(y == target) & ~poisoned].mean(axis=0)]
        out[f"map{grid}"] = np.reshape(maps, (3, grid, grid))
    areas, hits, tops = np.moveaxis(np.array(scores), -1, 0)
    return _named(valued) | out | {"areas": areas, "hits": hits, "tops": tops}


def valuation_cost(table: Arrays, options: Options, seed: int) -> Arrays:
    """CPU seconds of each method and its area under the detection curve of tail outliers: one row a measurement.

    ``amounts`` are learners of 2D-OOB and two-stage, permutations of 2D-KNN, and 1 of what has neither; ``fewest`` the
    learners behind the cell of 2D-OOB that has fewest, 0 of others.
    """
    measured: list[tuple[str, int, int, float, float, int]] = []
    for rows in options["row_counts"]:
        parts = divide(table, rows=rows, tested=0, seed=seed)
        dirty = INJECTORS["tail"](parts.x, parts.y, _dirty_cells(parts, options, seed), seed=seed)
        changed = dirty != parts.x
        for name, amount, run in _timed(dirty, parts, options, seed):
            began = time.process_time()
            values = run()
            seconds = time.process_time() - began
            fewest = _fewest(len(dirty), dirty.shape[1], amount, seed) if name == OOB.format(1) else 0
            measured.append((name, len(dirty), amount, seconds, detection_area(values, changed), fewest))
    columns = ("methods", "rows", "amounts", "seconds", "areas", "fewest")
    return {name: np.array(column) for name, column in zip(columns, zip(*measured, strict=True), strict=True)}


def _timed(dirty: Floats, parts: Parts, options: Options, seed: int) -> Iterator[tuple[str, int, Callable[[], Floats]]]:
    for learners in options["learner_counts"]:
        yield OOB.format(1), learners, partial(_one_value, dirty, parts.y, learners, seed)
    most = [max(options["learner_counts"])]
    others = {"2D-KNN": options["permutation_counts"], "two-stage": most, "z-score": [1]}
    for name, amounts in others.items():
        for amount in amounts:
            told = {"permutations": amount, "learners": amount}
            yield name, amount, _baselines(dirty, parts, told, seed)[name]


def _fewest(rows: int, cells: int, learners: int, seed: int) -> int:
    """Learners behind the cell that has fewest: those that drew it and not its row."""
    plan = draw_plan(rows, cells, learners=learners, ratio=RATIO, seed=seed)
    return int(((plan.counts == 0).astype(np.int64).T @ plan.chosen.astype(np.int64)).min())


def _one_value(x: Floats, y: Classes, learners: int, seed: int) -> Floats:
    return np.asarray(value(x, y, learners=learners, ratio=RATIO, seed=seed).cells[1])


TRIALS: Mapping[str, Callable[[Arrays, Options, int], Arrays]] = {
    trial.__name__: trial for trial in (cell_outliers, cell_fixation, point_removal, backdoor, valuation_cost)
}
"""By kind of experiment."""

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
    yield from ((name, 0.0, run()) for name, run in _baselines(dirty, parts, options, seed).items())


def _baselines(dirty: Floats, parts: Parts, options: Options, seed: int) -> dict[str, Callable[[], Floats]]:
    """By name, what 2D-OOB is compared with."""
    y, held = parts.y, (parts.held_x, parts.held_y)
    return {
        "2D-KNN": lambda: baselines.knn(dirty, y, *held, permutations=options["permutations"], seed=seed),
        "two-stage": lambda: baselines.two_stage(dirty, y, learners=options["learners"], seed=seed),
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


def trigger_scores(values: Floats, hit: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Means over images [n, cells]: AUROC, share of as many highest cells that are hit, whether the highest is."""
    order = np.argsort(-values, axis=1, kind="stable")[:, : hit.sum()]
    area = float(np.mean([auroc(row, hit) for row in values]))
    return area, float(hit[order].mean()), float(hit[order[:, 0]].mean())


def fitted_accuracy(x: Floats, y: Classes, parts: Parts) -> float:
    """Share of the test points that a logistic regression on x, y gets right."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y)) < 2:
        return float((parts.test_y == y[0]).mean())
    return float(LogisticRegression(max_iter=1000).fit(x, y).score(parts.test_x, parts.test_y))


def _dirty_cells(parts: Parts, options: Options, seed: int) -> NDArray[np.bool_]:
    shares: Sequence[float] = (options["dirty_rows"], options["dirty_columns"])
    return choose_cells(*parts.x.shape, rows=shares[0], columns=shares[1], seed=seed)


def _named(values: Sequence[Values]) -> Arrays:
    return {
        "methods": np.array([name for name, _, _ in values]),
        "ratios": np.array([ratio for _, ratio, _ in values], dtype=np.float64),
    }
