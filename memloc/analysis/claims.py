"""Claims of the paper and of our own, and what an experiment finds on each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.metrics.stats import LEVEL, Estimate, permutation_p, verdict

COLUMNS = [
    "claim",
    "experiment",
    "paper",
    "statement",
    "subject",
    "paper_effect",
    "paper_scale",
    "effect",
    "low",
    "high",
    "level",
    "z",
    "p",
    "n",
    "seeds",
    "verdict",
]


@dataclass(frozen=True)
class Claim:
    """A statement whose effect is positive where it holds, written down before any result.

    Attributes:
        statement: what is claimed, and what the effect is.
        paper: where the paper makes it.
        value: the paper's effect, in the same unit; None where it gives none, or one for each subject.
        scale: what the paper measured it on.
    """

    statement: str
    paper: str = "beyond the paper"
    value: float | None = None
    scale: str = ""


class Interval(Protocol):
    """A scalar with an interval and a z, from so many seeds."""

    @property
    def value(self) -> NDArray[np.float64]:
        """The estimate."""

    @property
    def seeds(self) -> int:
        """Their number."""

    def interval(self, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Its bounds."""

    def z(self) -> NDArray[np.float64]:
        """Value over standard error, or what is as sure."""


@dataclass(frozen=True)
class Finding:
    """An estimate of a claim's effect.

    Attributes:
        claim: name of one of the experiment's CLAIMS.
        subject: what was examined (an encoder, a task).
        estimate: of the effect, a scalar.
        n: what was resampled in each seed: points, owners or test images.
        level: of the interval; higher where one of several intervals was chosen.
        p: two-sided, among permutations of what the interval takes as given; nan where there is no such null.
        value, scale: the paper's effect for this subject (nan: none) and what it was measured on; None for the
            claim's.
    """

    claim: str
    subject: str
    estimate: Interval
    n: int
    level: float = LEVEL
    p: float = np.nan
    value: float | None = None
    scale: str | None = None

    @classmethod
    def of_every(
        cls,
        claim: str,
        subject: str,
        estimate: Estimate,
        places: Sequence[str],
        *,
        n: int,
        null: NDArray[np.floating] | None = None,
    ) -> Finding:
        """A finding on a claim that every place has an effect: that of the least certain place.

        The claim is supported if every place alone supports it. One place is enough to refute it, so then the interval
        is widened for the choice of the place (Bonferroni). A bootstrap of the smallest effect would refute too often:
        the smallest of several noisy effects is negative even where there is no effect.

        Args:
            null: [places, permutations] effects of permutations, for the p of the chosen place.
        """
        pick = int(np.argmin(estimate.confidence()))
        low, _ = estimate[pick].interval()
        level = LEVEL if low > 0 else 1 - (1 - LEVEL) / len(places)
        p = np.nan if null is None else float(permutation_p(estimate[pick].value, null[pick]))
        return cls(claim, f"{subject}, {places[pick]}", estimate[pick], n, level, p)

    @classmethod
    def of_any(cls, claim: str, subject: str, estimate: Estimate, places: Sequence[str], *, n: int) -> Finding:
        """A finding on a claim that some place has an effect: that of the most certain place.

        One place is enough to support the claim, at the wider interval; it is refuted if every place refutes it.
        """
        pick = int(np.argmax(estimate.confidence()))
        _, high = estimate[pick].interval()
        level = LEVEL if high < 0 else 1 - (1 - LEVEL) / len(places)
        return cls(claim, f"{subject}, {places[pick]}", estimate[pick], n, level)


def tabulate(claims: Mapping[str, Claim], findings: Iterable[Finding], *, kind: str, experiment: str) -> pd.DataFrame:
    """One row for each finding: effect, interval and verdict.

    The verdict is ``supported`` if the interval is above 0, ``refuted`` if it is below 0. Otherwise, or if p is above
    1 - LEVEL, it is ``inconclusive``.
    """
    rows = []
    for finding in findings:
        claim = claims[finding.claim]
        value = claim.value if finding.value is None else finding.value
        low, high = (float(bound) for bound in finding.estimate.interval(finding.level))
        rows.append(
            {
                "claim": f"{kind}.{finding.claim}",
                "experiment": experiment,
                "paper": claim.paper,
                "statement": claim.statement,
                "subject": finding.subject,
                "paper_effect": np.nan if value is None else value,
                "paper_scale": claim.scale if finding.scale is None else finding.scale,
                "effect": float(finding.estimate.value),
                "low": low,
                "high": high,
                "level": finding.level,
                "z": float(finding.estimate.z()),
                "p": finding.p,
                "n": finding.n,
                "seeds": finding.estimate.seeds,
                "verdict": verdict(low, high, p=finding.p),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)
