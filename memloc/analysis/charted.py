"""What experiments of charts share: tables of every seed, shares with Wilson's intervals, effects with bootstrap's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.analysis.sheet import Sheet
from memloc.metrics.shares import wilson
from memloc.metrics.stats import Estimate, Images, Sample

FUGU = "FUGU (Tartaglini et al., 2025)"
OWN = f"{FUGU}; own threshold"
ASKED = "templated"
"""The strategy that claims are about, unless they name another."""
SINGLE = ("count", "position", "distance", "extremum", "mean")
CROWDS = ("correlation", "function", "cluster", "outlier")
Floats = NDArray[np.float64]
Of = Callable[[Sample], Floats]


def tables(sheet: Sheet, name: str, over: str) -> list[pd.DataFrame]:
    """An input's columns as a table for each seed of a model or tower."""
    return [pd.DataFrame(dict(arrays)) for arrays in sheet.arrays(name, over)]


def answers(sheet: Sheet, model: str) -> list[pd.DataFrame]:
    """Answers of each seed; ``unread`` are those that can't be read, which are not right."""
    return [
        table.assign(unread=table["right"] < 0, right=table["right"] > 0) for table in tables(sheet, "answers", model)
    ]


def counted(seeds: Sequence[pd.DataFrame], by: Sequence[str], *, column: str = "right") -> pd.DataFrame:
    """Mean over seeds of a share by some columns, with Wilson's interval over the items of one seed.

    Seeds are asked the same items, so they make the share more certain, but not the items more numerous.
    """
    parts = [table.groupby(list(by), sort=False)[column].agg(["mean", "size"]) for table in seeds]
    found = pd.concat(parts).groupby(level=list(range(len(by))), sort=False).mean()
    low, high = wilson(found["mean"] * found["size"], found["size"])
    told = {"value": found["mean"], "low": low, "high": high, "items": found["size"].round().astype(int)}
    return pd.DataFrame(told, index=found.index).reset_index()


def groups(
    seeds: Sequence[pd.DataFrame], chosen: Mapping[str, Callable[[pd.DataFrame], Any]], *, column: str = "right"
) -> list[dict[str, Floats]] | None:
    """By name, a column [rows] of the rows of each seed that a function chooses; None where some seed has none."""
    found = [
        {name: table.loc[of(table), column].to_numpy(dtype=np.float64) for name, of in chosen.items()}
        for table in seeds
    ]
    return None if any(not len(values) for sample in found for values in sample.values()) else found


def by_place(
    seeds: Sequence[pd.DataFrame], chosen: Mapping[str, Callable[[pd.DataFrame], Any]]
) -> list[dict[str, NDArray[np.int64]]]:
    """What is drawn together of the rows of ``groups``: those of one held-out place, for these are few; else each row.

    Whether a model tells a place that it was never shown depends on the place, in every seed alike.
    """
    found = []
    for table in seeds:
        own = np.where(table["held_out"] == 1, -1 - table["place"], table.index)
        found.append({name: own[np.asarray(of(table), dtype=bool)] for name, of in chosen.items()})
    return found


def equal(**values: str | int) -> Callable[[pd.DataFrame], Any]:
    """What chooses the rows that have these values in these columns."""
    return lambda table: np.logical_and.reduce([table[name].eq(value) for name, value in values.items()])


def size(samples: Sequence[Sample]) -> int:
    """Rows of the smallest group of any seed."""
    return min(len(values) for sample in samples for values in sample.values())


def effect(
    sheet: Sheet,
    samples: Sequence[Sample],
    of: Of,
    *,
    minus: float = 0.0,
    bound: float = 1.0,
    shared: bool = True,
    together: Images | None = None,
) -> Estimate:
    """A function of the groups' means, minus a number, with an interval over seeds and the rows of each.

    Args:
        bound: the function lies between -bound and bound.
        shared: rows are the same in every seed, as test items are.
        together: what is drawn together, in all seeds (``by_place``).
    """
    return sheet.means(samples, of, limit=bound, shared=shared, images=together).map(
        lambda v: v - minus, limit=bound, centre=-minus
    )


def find_share(
    sheet: Sheet,
    claim: str,
    subject: str,
    samples: Sequence[Sample],
    name: str,
    *,
    above: float | None = None,
    below: float | None = None,
    shared: bool = True,
    together: Images | None = None,
) -> None:
    """A finding on the share of a group that is right: by how much it is above, or below, a number.

    Where all rows of all seeds are alike, resamples don't vary, and p is that of the exact binomial test of the rows of
    one seed, or of what is drawn together there: 2 b^n, with b the chance of such a row if the share were the number.
    """
    number, sign = (below, -1.0) if above is None else (above, 1.0)
    assert number is not None
    n = size(samples) if together is None else min(len(np.unique(of[name])) for of in together)
    every = np.concatenate([np.asarray(sample[name], dtype=np.float64) for sample in samples])
    estimate = effect(
        sheet, samples, lambda m: sign * np.asarray(m[name]), minus=sign * number, shared=shared, together=together
    )
    alike = every.min() == every.max() and every[0] in (0, 1)
    p = min(1.0, 2 * (number if every[0] else 1 - number) ** n) if alike else np.nan
    sheet.find(claim, subject, estimate, n, p=p)


def of_seeds(sheet: Sheet, values: Sequence[Any], *, limit: float = np.inf) -> Estimate:
    """The mean over seeds of what each has one of, a number or a profile."""
    samples = [{"it": np.asarray(value, dtype=np.float64)[None]} for value in values]
    return sheet.means(samples, lambda means: np.asarray(means["it"]), limit=limit)


def last_of(stages: Sequence[str], part: str) -> str:
    """The last stage of a part: tower or decoder."""
    return [stage for stage in stages if stage.startswith(part)][-1]
