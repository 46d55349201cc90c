"""Plant outlier cells into a table and see how soon each way of valuing cells finds them."""

from __future__ import annotations

import numpy as np

from memloc.metrics.detection import detection_area, detection_rate
from memloc.valuation.inject import INJECTORS
from memloc.valuation.trials import INSPECTED, Arrays, Options, cell_values, dirty_cells, divide, named


def run(table: Arrays, options: Options, seed: int) -> Arrays:
    """How soon each method finds outlier cells: areas [injectors, methods], rates [injectors, methods, inspected]."""
    parts = divide(table, rows=options["rows"], tested=0, seed=seed)
    marked = dirty_cells(parts, options, seed)
    areas, rates, valued = [], [], []
    for injector in options["injectors"]:
        dirty = INJECTORS[injector](parts.x, parts.y, marked, seed=seed)
        # A swapped cell that has the value it had is none.
        changed = dirty != parts.x
        valued = list(cell_values(dirty, parts, options, seed))
        areas.append([detection_area(values, changed) for _, _, values in valued])
        rates.append([detection_rate(values, changed, INSPECTED) for _, _, values in valued])
    told = {"areas": np.array(areas), "rates": np.array(rates), "inspected": INSPECTED}
    return named(valued) | told | {"rows": np.array(len(parts.x))}
