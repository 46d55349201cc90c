"""What may be wrong with a table or images: labels, cells, copies; by what learners say that never saw the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.errors import as_seen
from memloc.valuation.baselines import ddc
from memloc.valuation.oob import Values, interval
from memloc.valuation.sources import Source, firsts

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

NEAR = 0.1
"""Share of the usual distance to the nearest row (the median) below which two rows are near copies."""
COMPARED = 20_000
"""Rows beyond which near copies aren't looked for: each is compared with all."""
DEVIATING = 50_000_000
"""Rows times columns squared beyond which deviating cells aren't looked for (DDC compares all pairs of columns)."""
FEATURES, FEWEST = 3, 12
"""Features from which near copies are looked for, and rows of a class from which deviating cells are."""
MIDDLE = (0.05, 0.95)
"""Quantiles that bound what is usual."""


@dataclass(frozen=True)
class Labels:
    """What learners that never saw a row say of its label (confident learning, Northcutt, Jiang and Chuang, 2021).

    Attributes:
        predicted: [n] the class that most of them say; -1 where there are none.
        share, low, high: [n] how many of them, and the 95 % interval of that share (Wilson).
        score: [n] share of them that say the row's own label.
        wrong: [n] whether another class is said by most of them, as surely as it is said of that class's own rows.
        joint: [classes, classes] estimated numbers of rows by label that is given and that is true; what is one class
            but for its spelling doesn't count as another.
    """

    predicted: Rows
    share: Floats
    low: Floats
    high: Floats
    score: Floats
    wrong: NDArray[np.bool_]
    joint: Floats

    @property
    def number(self) -> float:
        """Estimated number of rows whose label is wrong."""
        return float(self.joint.sum() - np.trace(self.joint))


def spellings(classes: Sequence[str]) -> Rows:
    """The first class of the same name, but for case, blanks and invisible characters, as each: [classes]."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(as_seen(name), number) for number, name in enumerate(classes)])


def labels(votes: Rows, y: Rows, same: Rows | None = None) -> Labels:
    """What votes [n, classes] of learners that never saw the rows say of their labels y [n].

    A row counts as j where most votes are for j and their share is at least

        t_j = mean share of votes for j over the rows labelled j

    The rows labelled i that count as j, as a share of those that count as anything, times the rows labelled i, estimate
    how many rows labelled i are j. A class of one row has no t: no learner that never saw the row knows the class.

    Args:
        same: [classes] what ``spellings`` says, by default that no two are one class.
    """
    n, classes = votes.shape
    total = votes.sum(axis=1)
    p = np.divide(votes, total[:, None], out=np.zeros(votes.shape), where=total[:, None] > 0)
    sizes = np.bincount(y, minlength=classes)
    own = p[np.arange(n), y]
    sure = np.where(sizes > 1, np.bincount(y, own, minlength=classes) / np.maximum(sizes, 1), np.inf)
    most = p.argmax(axis=1)
    share = p[np.arange(n), most]
    counted = (total > 0) & (share >= sure[most])
    joint = np.zeros((classes, classes))
    np.add.at(joint, (y[counted], most[counted]), 1)
    empty = joint.sum(axis=1) == 0
    joint[empty, empty] = 1.0  # Where nothing is known, labels count as right.
    joint *= (sizes / joint.sum(axis=1))[:, None]
    same = np.arange(classes) if same is None else same
    twins = (same[:, None] == same) & ~np.eye(classes, dtype=bool)
    joint += np.diag((joint * twins).sum(axis=1))
    joint[twins] = 0.0
    one = np.stack([share, share])
    low, high = (ends[0] for ends in interval(one, np.zeros_like(one), total))
    predicted = np.where(total > 0, most, -1)
    return Labels(predicted, share, low, high, own, counted & (same[most] != same[y]), joint)


def copies(x: Floats) -> tuple[Rows, NDArray[np.bool_]]:
    """The row that each row [n, d] is a copy of, -1 for none, and whether it is the very same.

    An exact copy is of the first such row. A near one is closer to its nearest row than NEAR times what is usual; these
    aren't looked for beyond COMPARED rows, nor with fewer than FEATURES features, where many rows are near by chance.
    """
    of = firsts(x)
    exact = of != np.arange(len(x))
    found = np.where(exact, of, -1)
    single = np.flatnonzero(~exact)
    if 2 < len(single) <= COMPARED and x.shape[1] >= FEATURES:
        from sklearn.neighbors import NearestNeighbors

        distances, nearest = NearestNeighbors(n_neighbors=1).fit(x[single]).kneighbors()
        near = distances[:, 0] < NEAR * np.median(distances[:, 0])
        found[single[near]] = single[nearest[near, 0]]
    return found, exact


def deviations(source: Source) -> Floats | None:
    """How far each cell [n, cells] of a table lies from what its class and the rest of its row say, by DDC.

    None for images, and where columns are too many; 0 where a cell is missing, its column isn't one of numbers, or its
    class has fewer than FEWEST rows.
    """
    numbers = _numbers(source)
    if not numbers or not sought(source):
        return None
    found = np.zeros((len(source.rows), len(source.cells)))
    found[:, numbers] = -ddc(np.stack([source.columns[cell] for cell in numbers], axis=1), source.y)
    found[np.bincount(source.y)[source.y] < FEWEST] = 0.0
    return found


def unusual(source: Source) -> tuple[int, float]:
    """How many numbers a table holds, and the deviation beyond which one of as many normal ones lies on average."""
    from scipy.stats import norm

    number = sum(int((~np.isnan(values)).sum()) for values in source.columns if values.dtype.kind == "f")
    return number, float(norm.isf(0.5 / max(number, 1)))


def sought(source: Source) -> bool:
    """Whether deviations are looked for: columns of numbers aren't too many."""
    return len(source.rows) * len(_numbers(source)) ** 2 <= DEVIATING


def _numbers(source: Source) -> list[int]:
    return [cell for cell, values in enumerate(source.columns) if values.dtype.kind == "f"]


def below(values: Values) -> Floats:
    """How far each cell lies below its row, w = 1; minus infinity where no learner is behind it."""
    return np.asarray(np.where(values.counts > 0, values.rows[1][:, None] - values.cells[1], -np.inf))


def usual(source: Source, row: int, cell: int) -> str:
    """What the others of a row's class hold in a cell: median and middle 90 % of numbers, the commonest texts."""
    others = source.y == source.y[row]
    others[row] = False
    if not source.columns or not others.any():
        return ""
    held = source.columns[cell][others]
    if held.dtype.kind == "f":
        held = held[~np.isnan(held)]
        low, middle, high = np.quantile(held, [MIDDLE[0], 0.5, MIDDLE[1]]) if len(held) else (np.nan,) * 3
        return f"{middle:.4g} ({low:.4g} to {high:.4g})" if len(held) else "missing"
    texts, counts = np.unique(held, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:3]
    return ", ".join(f"{texts[i] or 'missing'} {counts[i] / len(held):.0%}" for i in order)


def table(source: Source, values: Values, found: Labels, deviating: Floats | None) -> pd.DataFrame:
    """A line for each row, in their order: ``issues.csv``. Names of columns are those that users of cleanlab know."""
    of, exact = copies(source.x)
    names = np.array([*source.rows, ""], dtype=object)  # -1 is the last, of none.
    classes = np.array([*source.classes, ""], dtype=object)
    lower, cell = below(values), below(values).argmax(axis=1)
    least = lower[np.arange(len(lower)), cell]
    cells = np.array([*source.cells, ""], dtype=object)
    out = pd.DataFrame(
        {
            "row": names[:-1],
            "is_label_issue": found.wrong,
            "label_score": found.score,
            "given_label": classes[source.y],
            "predicted_label": classes[found.predicted],
            "predicted_share": found.share,
            "predicted_low": found.low,
            "predicted_high": found.high,
            "is_exact_duplicate_issue": exact,
            "is_near_duplicate_issue": (of >= 0) & ~exact,
            "duplicate_of": names[of],
            "odd_cell": np.where(np.isfinite(least), cells[cell], ""),
            "odd_cell_holds": [
                source.holds(i, int(j)) if np.isfinite(gap) else ""
                for i, (j, gap) in enumerate(zip(cell, least, strict=True))
            ],
            "odd_cell_below_row": np.where(np.isfinite(least), least, np.nan),
        }
    )
    if deviating is not None:
        worst = deviating.argmax(axis=1)
        out["deviating_cell"] = np.where(deviating.max(axis=1) > 0, cells[worst], "")
        out["deviation"] = deviating.max(axis=1)
    return out


def first(order: Sequence[float] | Floats, number: int) -> list[int]:
    """Places of the highest finite numbers, from the highest down; of equal ones the first."""
    order = np.asarray(order, dtype=np.float64)
    return [int(i) for i in np.argsort(-order, kind="stable")[:number] if np.isfinite(order[i]) and order[i] > 0]
