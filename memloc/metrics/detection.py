"""How well an order finds what is marked: detection curve, ROC, precision and recall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Marks = NDArray[np.bool_]


def detection_rate(values: Floats, marked: Marks, inspected: Floats) -> NDArray[np.float64]:
    """Share of the marked found once a share of all is inspected, lowest values first; ties as random order has them.

    Args:
        values, marked: of the same shape.
        inspected: shares of all, [k].

    Returns:
        [k].

    Raises:
        ValueError: nothing is marked.
    """
    share, found = _curve(values, marked)
    return np.interp(inspected, share, found)


def detection_area(values: Floats, marked: Marks) -> float:
    """Area under the curve of ``detection_rate``: .5 by chance, 1 - (share marked) / 2 at best."""
    share, found = _curve(values, marked)
    return float(np.sum(np.diff(share) * (found[1:] + found[:-1]) / 2))


def auroc(values: Floats, marked: Marks) -> float:
    """Chance that a marked value is higher than another one, ties counting half.

    Raises:
        ValueError: all or none are marked.
    """
    share = float(np.mean(marked))
    if share in (0.0, 1.0):
        raise ValueError("both marked and other values are needed")
    # Of all pairs of a marked value and any, share / 2 are of two marked ones.
    return (detection_area(-np.asarray(values), marked) - share / 2) / (1 - share)


def average_precision(values: Floats, marked: Marks) -> float:
    """Area under precision against recall, highest values first: sum over thresholds of (R_k - R_k-1) P_k.

    Raises:
        ValueError: nothing is marked.
    """
    share, found = _curve(-np.asarray(values), marked)
    precision = found[1:] * np.mean(marked) / share[1:]
    return float(np.sum(np.diff(found) * precision))


def chance_precision(n: int, marked: int) -> float:
    """What ``average_precision`` is on average in random order, above the share that is marked where few are:

        (m - 1) / (n - 1) + (n - m) / (n - 1) H_n / n,   H_n = 1 + 1/2 + ... + 1/n

    A marked item at place k, which is each with 1 / n, has (k - 1) (m - 1) / (n - 1) others before it on average.

    Args:
        n: values, m of them marked.
    """
    if n == 1:
        return 1.0
    harmonic = float(np.sum(1 / np.arange(1, n + 1)))
    return (marked - 1) / (n - 1) + (n - marked) / (n - 1) * harmonic / n


def _curve(values: Floats, marked: Marks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares inspected and found at the end of every run of equal values in ascending order, from (0, 0) to (1, 1)."""
    flat, marks = np.ravel(values), np.ravel(marked)
    if not marks.any():
        raise ValueError("nothing is marked")
    order = np.argsort(flat, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(flat[order]) > 0, True)) + 1
    found = np.cumsum(marks[order])[ends - 1]
    return np.append(0, ends) / len(flat), np.append(0, found) / marks.sum()
