"""Flip labels, and see which values of rows find them and what removing the lowest rows does."""

from __future__ import annotations

import numpy as np

from memloc.metrics.detection import average_precision
from memloc.valuation.inject import flip_labels
from memloc.valuation.trials import CHANGED, TESTED, Arrays, Options, divide, fitted_accuracy, named, row_values


def run(table: Arrays, options: Options, seed: int) -> Arrays:
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
    return named(valued) | told | {"rows": np.array(len(y))}
