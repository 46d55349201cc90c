"""Plant outlier cells, repair the lowest, and test a logistic regression."""

from __future__ import annotations

import numpy as np

from memloc.valuation.inject import INJECTORS
from memloc.valuation.trials import (
    CHANGED,
    TESTED,
    Arrays,
    Options,
    cell_values,
    dirty_cells,
    divide,
    fitted_accuracy,
    named,
)


def run(table: Arrays, options: Options, seed: int) -> Arrays:
    """Test accuracy of a logistic regression once the lowest cells are repaired, [methods, changed], and clean."""
    parts = divide(table, rows=options["rows"], tested=TESTED, seed=seed)
    dirty = INJECTORS[options["injector"]](parts.x, parts.y, dirty_cells(parts, options, seed), seed=seed)
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
    return named(valued) | told | {"rows": np.array(len(parts.x))}
