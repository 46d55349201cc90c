"""Time each way of valuing cells, and see what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from memloc.metrics.detection import detection_area
from memloc.valuation.inject import INJECTORS
from memloc.valuation.oob import draw_plan, value
from memloc.valuation.trials import (
    OOB,
    RATIO,
    Arrays,
    Classes,
    Floats,
    Options,
    Parts,
    cell_baselines,
    dirty_cells,
    divide,
)


def run(table: Arrays, options: Options, seed: int) -> Arrays:
    """CPU seconds of each method and its area under the detection curve of tail outliers: one row a measurement.

    ``amounts`` are learners of 2D-OOB and two-stage, permutations of 2D-KNN, and 1 of what has neither; ``fewest`` the
    learners behind the cell of 2D-OOB that has fewest, 0 of others.
    """
    measured: list[tuple[str, int, int, float, float, int]] = []
    for rows in options["row_counts"]:
        parts = divide(table, rows=rows, tested=0, seed=seed)
        dirty = INJECTORS["tail"](parts.x, parts.y, dirty_cells(parts, options, seed), seed=seed)
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
            yield name, amount, cell_baselines(dirty, parts, told, seed)[name]


def _fewest(rows: int, cells: int, learners: int, seed: int) -> int:
    """Learners behind the cell that has fewest: those that drew it and not its row."""
    plan = draw_plan(rows, cells, learners=learners, ratio=RATIO, seed=seed)
    return int(((plan.counts == 0).astype(np.int64).T @ plan.chosen.astype(np.int64)).min())


def _one_value(x: Floats, y: Classes, learners: int, seed: int) -> Floats:
    return np.asarray(value(x, y, learners=learners, ratio=RATIO, seed=seed).cells[1])
