"""Claims: what the paper says, and what an experiment's estimate says to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from memloc.metrics.stats import Estimate, verdict

COLUMNS = ["claim", "experiment", "paper", "statement", "subject", "effect", "low", "high", "z", "n", "seeds", "verdict"]


@dataclass(frozen=True)
class Claim:
    """A statement whose effect is positive where it holds, written down before any result."""

    paper: str
    statement: str


@dataclass(frozen=True)
class Finding:
    """An estimate that speaks to a claim.

    Attributes:
        claim: key of the experiment's CLAIMS.
        subject: what was looked at (an encoder, a task).
        estimate: of the effect, a scalar.
        n: points behind it, in each seed.
        seeds: number of seeds.
    """

    claim: str
    subject: str
    estimate: Estimate
    n: int
    seeds: int


def tabulate(claims: Mapping[str, Claim], findings: Iterable[Finding], *, experiment: str) -> pd.DataFrame:
    """One row for each finding: effect, 95 % interval and verdict.

    The verdict is ``supported`` where the interval lies above 0, ``refuted`` where it lies below, else
    ``inconclusive``.
    """
    rows = []
    for finding in findings:
        claim = claims[finding.claim]
        low, high = (float(bound) for bound in finding.estimate.interval())
        rows.append(
            {
                "claim": finding.claim,
                "experiment": experiment,
                "paper": claim.paper,
                "statement": claim.statement,
                "subject": finding.subject,
                "effect": float(finding.estimate.value),
                "low": low,
                "high": high,
                "z": float(finding.estimate.z()),
                "n": finding.n,
                "seeds": finding.seeds,
                "verdict": verdict(low, high),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)
