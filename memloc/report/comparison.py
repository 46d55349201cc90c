"""Claims of two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

KEYS = ("experiment", "claim", "subject")
SIZES = ("n", "seeds", "level")
"""What two runs of one configuration have in common."""
AGAINST_SUPPORT = {"refuted", "negligible"}
Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Comparison:
    """Claims of two runs.

    Attributes:
        pairs: rows of claims that both have: the reference's, the replicate's.
        missing, added: claims that the reference, or the replicate, alone has, of experiments that both have.
        apart: experiments that one of them alone has.
    """

    pairs: Sequence[tuple[Row, Row]]
    missing: Sequence[str]
    added: Sequence[str]
    apart: Sequence[str]

    @property
    def differing(self) -> list[tuple[Row, Row]]:
        """Pairs of different verdicts."""
        return [pair for pair in self.pairs if pair[0]["verdict"] != pair[1]["verdict"]]

    @property
    def resized(self) -> int:
        """How many claims are of other numbers of images or seeds, or at another level."""
        return sum(any(not same(*(row.get(key) for row in pair)) for key in SIZES) for pair in self.pairs)

    @property
    def contradictions(self) -> int:
        """How many verdicts contradict one another."""
        return sum(difference(*pair) == "contradicts" for pair in self.differing)


def compare(reference: pd.DataFrame, replicate: pd.DataFrame) -> Comparison:
    """Match the claims of two runs: by experiment, claim and subject.

    Where a claim is about every place, the subject ends in the place that decided, behind a comma. Where that one
    differs between the runs, claims are matched by what stands before the comma, if that names one of each.
    """
    tables = [
        {tuple(row[key] for key in KEYS): row for row in table.to_dict("records")} for table in (reference, replicate)
    ]
    both = {key[0] for key in tables[0]} & {key[0] for key in tables[1]}
    apart = sorted({str(key[0]) for table in tables for key in table} - both)
    left, right = ({key: row for key, row in table.items() if key[0] in both} for table in tables)
    pairs = [(left.pop(key), right.pop(key)) for key in list(left) if key in right]
    for key in list(left):
        mine, theirs = ([other for other in rows if _general(other) == _general(key)] for rows in (left, right))
        if len(mine) == len(theirs) == 1:
            pairs.append((left.pop(key), right.pop(theirs[0])))
    return Comparison(pairs, [name_of(row) for row in left.values()], [name_of(row) for row in right.values()], apart)


def same(one: Any, other: Any) -> bool:
    """Whether two numbers are equal; one that is missing is like another, and what a run has no column for is left."""
    return one is None or other is None or one == other or bool(pd.isna(one) and pd.isna(other))


def _general(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return *key[:2], str(key[2]).partition(", ")[0]


def name_of(row: Row) -> str:
    """A claim by experiment, name and subject."""
    return f"{row['experiment']}: {row['claim']}, {row['subject']}"


def difference(reference: Row, replicate: Row) -> str:
    """What kind of difference two verdicts on one claim are."""
    verdicts = {reference["verdict"], replicate["verdict"]}
    if "supported" in verdicts and verdicts & AGAINST_SUPPORT:
        return "contradicts"
    near = all(a["low"] <= b["effect"] <= a["high"] for a, b in ((reference, replicate), (replicate, reference)))
    return "borderline" if near else "moved"
