"""Claims of the paper and of our own, and what an experiment finds on each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.metrics.stats import LEVEL, Estimate, benjamini_hochberg, holm, permutation_p, verdict, within

PRIMARY = (
    "pairs.last",
    "pairs.slope",
    "unitmem.excess",
    "dose.owners",
    "dose.slope",
    "losses.gap",
    "pairs.atypical",
    "attention.fully-connected-higher-at-depth",
)
"""Claims that were named before the run and are judged together."""
FEWEST = 10
"""Fewer seeds don't tell tails as small as Holm needs."""
RELIABLE = 0.5
"""Scores of single images that agree with themselves less than this are no evidence by an interval alone.

Noise that is not shared makes a correlation smaller, never larger: an exact test may still find one, but that there is
none, or next to none, doesn't follow. Fixed before the first result."""
LEAST = (
    # A claim with a threshold of its own (other than chance, .5) has no other.
    (r"own (threshold|margin)\b|minus \.(?!5\b)\d|^\.(?!5\b)\d+ .*minus|within \.\d|above which", 0.0),
    (r"minus the exponent|, minus 1$", 0.0),
    (r"log10", 0.04),
    (r"share over that by chance", 0.25),
    (r"slope of crossed LayerMem", 0.0005),
    (r"slope per epoch", 0.0001),
    (r"correlation|Kendall's tau|reliability|cosine", 0.1),
    (r"AUROC|areas?\b", 0.05),
    (r"accuracy", 0.02),
    (r"shares?\b|overlap|votes|owned|owners, as", 0.05),
    (r"LayerMem|SSLMem|crossed increment", 0.005),
    (r"UnitMem|ClassMem|excess|contrast|harm|distance|loss|values", 0.01),
)
"""Smallest effects of interest by unit, fixed before the run."""

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
    "least",
    "pairs_needed",
    "reliability",
    "verdict",
]
JOINT = ["primary", "holm", "q"]
"""Columns that need the claims of all experiments."""


@dataclass(frozen=True)
class Claim:
    """A statement whose effect is positive where it holds, written down before any result.

    Attributes:
        statement: what is claimed, and what the effect is.
        paper: where the paper makes it.
        value: the paper's effect, in the same unit; None where it gives none, or one for each subject.
        scale: what the paper measured it on.
        least: the smallest effect of interest; None for that of its unit, see ``LEAST``. 0 where all are.
    """

    statement: str
    paper: str = "beyond the paper"
    value: float | None = None
    scale: str = ""
    least: float | None = None

    @property
    def of_interest(self) -> float:
        """The smallest effect of interest: ``least``, or that of the unit.

        The unit is what stands after the colon of the statement, or else in all of it; 0 where neither tells.
        """
        if self.least is not None:
            return self.least
        texts = (self.statement.rpartition(": ")[2], self.statement)
        return next((least for text in texts for of, least in LEAST if re.search(of, text, re.IGNORECASE)), 0.0)


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

    @property
    def of_pairs(self) -> NDArray[np.float64]:
        """The share of the squared error that more seeds make smaller."""


class Profile(Interval, Protocol):
    """Several of them, place by place."""

    def confidence(self) -> NDArray[np.float64]:
        """How sure it is that each is above 0."""

    def __getitem__(self, index: int) -> Interval:
        """That of one place."""


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
        spread: half-width of the middle 90 % of what these permutations give, about its middle; nan where unknown.
        reliability: of the scores of single images that the estimate is made of; nan where it is of means.
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
    spread: float = np.nan
    reliability: float = np.nan

    @property
    def weak(self) -> bool:
        """Whether it is made of scores of single images that are below RELIABLE."""
        return self.reliability < RELIABLE

    @classmethod
    def of_every(
        cls,
        claim: str,
        subject: str,
        estimate: Profile,
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
        p, room = (np.nan, np.nan) if null is None else exact(estimate[pick].value, null[pick])
        return cls(claim, f"{subject}, {places[pick]}", estimate[pick], n, level, p, spread=room)

    @classmethod
    def of_any(
        cls, claim: str, subject: str, estimate: Estimate, places: Sequence[str], *, n: int, least: float = 0.0
    ) -> Finding:
        """A finding on a claim that some place has an effect: that of the most certain place.

        One place is enough to support the claim, at the wider interval; it is refuted if every place refutes it. A
        place whose effect is surely of no interest doesn't stand for others.
        """
        below, above = estimate.interval(2 * LEVEL - 1)
        small = np.array([within(*bounds, least) for bounds in zip(below, above, strict=True)])
        sure = estimate.confidence()
        pick = int(np.argmax(sure if small.all() else np.where(small, -np.inf, sure)))
        _, high = estimate[pick].interval()
        level = LEVEL if high < 0 else 1 - (1 - LEVEL) / len(places)
        return cls(claim, f"{subject}, {places[pick]}", estimate[pick], n, level)


def exact(value: NDArray[np.float64], null: NDArray[np.floating]) -> tuple[float, float]:
    """Two-sided p of a value among permutations [...], and the half-width of the middle 90 % of these."""
    low, high = np.quantile(null, [1 - LEVEL, LEVEL])
    return float(permutation_p(value, null)), float(high - low) / 2


def tabulate(claims: Mapping[str, Claim], findings: Iterable[Finding], *, kind: str, experiment: str) -> pd.DataFrame:
    """One row for each finding: effect, interval, p and verdict (see ``stats.verdict``).

    p is that of the interval, times the number of places where one of several was picked, or that of an exact test
    where this is larger: a claim needs both. Negligible, too, is what both call so: the interval, and the spread of an
    exact test's permutations about the effect. Scores of single images below RELIABLE need an exact test, and call
    nothing negligible.
    """
    rows = []
    for finding in findings:
        claim, estimate = claims[finding.claim], finding.estimate
        value = claim.value if finding.value is None else finding.value
        low, high = (float(bound) for bound in estimate.interval(finding.level))
        below, above = (float(bound) for bound in estimate.interval(2 * finding.level - 1))
        least = claim.of_interest
        # An interval of no width has no p.
        p = min(1.0, p_of(estimate) * (1 - LEVEL) / (1 - finding.level)) if low < high else np.nan
        room = 0.0 if np.isnan(finding.spread) else finding.spread
        small = within(below, above, least) and abs(estimate.value) + room < least and not finding.weak
        p_needed = 1.0 if finding.weak and np.isnan(finding.p) else finding.p
        told = verdict(low, high, p=p_needed, negligible=bool(small))
        rows.append(
            {
                "claim": f"{kind}.{finding.claim}",
                "experiment": experiment,
                "paper": claim.paper,
                "statement": claim.statement,
                "subject": finding.subject,
                "paper_effect": np.nan if value is None else value,
                "paper_scale": claim.scale if finding.scale is None else finding.scale,
                "effect": float(estimate.value),
                "low": low,
                "high": high,
                "level": finding.level,
                "z": float(estimate.z()),
                "p": np.fmax(p, finding.p),
                "n": finding.n,
                "seeds": estimate.seeds,
                "least": least,
                "pairs_needed": seeds_needed(finding, least) if told == "inconclusive" else np.nan,
                "reliability": finding.reliability,
                "verdict": told,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def p_of(estimate: Interval) -> float:
    """Two-sided p of an interval: 1 minus the highest level at which it leaves out 0; by bisection, at least 1e-15."""
    if isinstance(estimate, Estimate):
        return float(estimate.p())
    low, high = -15.0, 0.0
    for _ in range(40):
        middle = (low + high) / 2
        least, most = estimate.interval(1 - 10**middle)
        low, high = (low, middle) if least > 0 or most < 0 else (middle, high)
    return float(10**high)


def seeds_needed(finding: Finding, least: float) -> float:
    """How many seeds would decide a claim with a probability of .8, if the effect is as large as it was found.

    Either way counts, an interval beyond 0 or one within -least and least. What more seeds don't make smaller stays.

    Returns:
        Infinite above MOST_SEEDS; nan where the finding tells nothing of its error.
    """
    from scipy.stats import norm, t

    estimate = finding.estimate
    effect, z = abs(float(estimate.value)), abs(float(estimate.z()))
    if not (effect and z and np.isfinite(z)):
        return np.nan
    seeds = np.arange(2, MOST_SEEDS + 1)
    share = float(estimate.of_pairs)
    error = effect / z * np.sqrt(share * estimate.seeds / seeds + 1 - share)
    alpha = 1 - finding.level
    beyond = norm.cdf(effect / error - t.isf(alpha / 2, seeds - 1))
    inside = sum(norm.cdf((least + side * effect) / error - t.isf(alpha, seeds - 1)) for side in (-1, 1)) - 1
    enough = seeds[np.maximum(beyond, inside) >= POWER]
    return float(max(enough[0], estimate.seeds + 1)) if len(enough) else np.inf


POWER, MOST_SEEDS = 0.8, 1000


def joined(claims: pd.DataFrame) -> pd.DataFrame:
    """All experiments' rows with what needs them together: JOINT, and verdicts on PRIMARY by Holm.

    A primary claim is judged once, on the first subject of the experiment that is called as its kind, or of the first;
    by Holm where it has FEWEST seeds, else by itself. All others get q within their kind of experiment, where what
    several experiments found alike counts once. q decides nothing.
    """
    kind = claims["claim"].str.partition(".")[0]
    own = claims.assign(variant=claims["experiment"] != kind).sort_values("variant", kind="stable")
    first = own[own["claim"].isin(PRIMARY)].drop_duplicates("claim").index
    out = claims.assign(primary=claims.index.isin(first), holm=np.nan, q=np.nan)
    together = out.index[out["primary"] & (out["seeds"] >= FEWEST) & out["p"].notna()]
    out.loc[together, "holm"] = holm(out.loc[together, "p"].to_numpy(dtype=np.float64))
    for row in together:
        low, high, p, told = out.loc[row, ["low", "high", "holm", "verdict"]]
        out.loc[row, "verdict"] = verdict(low, high, p=p, negligible=told == "negligible")
    fact = ["claim", "subject", "effect", "low", "high"]
    others = out[~out["primary"] & out["p"].notna()]
    for _, rows in others.groupby(kind):
        once = rows.drop_duplicates(fact)
        q = once[fact].assign(q=benjamini_hochberg(once["p"].to_numpy(dtype=np.float64)))
        out.loc[rows.index, "q"] = rows[fact].merge(q, on=fact, how="left")["q"].to_numpy()
    return out[[*COLUMNS[:-1], *JOINT, COLUMNS[-1]]]
