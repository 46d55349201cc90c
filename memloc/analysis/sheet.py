"""What an analysis works on: it reads inputs, and adds rows to a figure's table and findings to its claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.aliases import Array, Options
from memloc.analysis import inputs as reading
from memloc.analysis.claims import Claim, Finding, Interval, Profile, exact, tabulate
from memloc.analysis.inputs import LIMITS, Arrays, Inputs, Profiles, Quotes
from memloc.metrics.stats import LEVEL, Estimate, Images, Sample, bootstrap, bootstrap_counts, bootstrap_means

Statistic = Callable[[Sample], NDArray[np.float64]]
OfCounts = Callable[[Sample, Sample], NDArray[np.float64]]


class Sheet:
    """The rows and findings of one experiment.

    Args:
        inputs: files of the experiment.
        options: of the experiment, with ``resamples`` and ``normalisation`` of the scores.
        claims: by name, what the experiment claims.
    """

    def __init__(self, inputs: Inputs, options: Options, claims: Mapping[str, Claim]) -> None:
        self.inputs, self.options, self.claims = inputs, options, claims
        self.tables: list[pd.DataFrame] = []
        self.findings: list[Finding] = []

    @property
    def encoders(self) -> list[str]:
        """Encoders, or tables, that the experiment is over, in the order of the configuration."""
        return self.inputs.encoders()

    @property
    def resamples(self) -> int:
        """Resamples of a bootstrap."""
        return int(self.options["resamples"])

    @property
    def normalisation(self) -> str:
        """How SSLMem of the scores is normalised."""
        return str(self.options["normalisation"])

    @property
    def limit(self) -> float:
        """The largest SSLMem under the normalisation of the scores."""
        return LIMITS[self.normalisation]

    def scores(self, name: str, encoder: str) -> list[pd.DataFrame]:
        """An input's tables of an encoder, one for each seed."""
        return self.inputs.tables(name, encoder)

    def arrays(self, name: str, encoder: str, *, same: Sequence[str] = (), rows: Sequence[str] = ()) -> list[Arrays]:
        """An input's arrays of an encoder, one set for each seed (see ``Inputs.arrays``)."""
        return self.inputs.arrays(name, encoder, same=same, rows=rows)

    def means(
        self,
        samples: Sequence[Sample],
        statistic: Statistic,
        *,
        limit: float = np.inf,
        shared: bool = False,
        images: Images | None = None,
    ) -> Estimate:
        """A statistic of means, with points resampled within seeds or crossed with them (see ``bootstrap_means``)."""
        return bootstrap_means(
            samples, statistic, resamples=self.resamples, seed=0, limit=limit, shared=shared, images=images
        )

    def bootstrap(
        self,
        samples: Sequence[Sample],
        statistic: Statistic,
        *,
        at_most: int | None = None,
        limit: float = np.inf,
        shared: bool = False,
        images: Images | None = None,
        least: int = 1,
    ) -> Estimate:
        """A statistic of samples, with points resampled within seeds or crossed with them (see ``bootstrap``).

        Args:
            at_most: resamples of a statistic that takes long.
        """
        resamples = min(self.resamples, at_most or self.resamples)
        return bootstrap(
            samples, statistic, resamples=resamples, seed=0, limit=limit, shared=shared, images=images, least=least
        )

    def bootstrap_counts(
        self, samples: Sequence[Sample], statistic: OfCounts, *, limit: float = np.inf, images: Images | None = None
    ) -> Estimate:
        """A statistic of how often rows are drawn: as ``bootstrap``, in less time (see ``bootstrap_counts``)."""
        return bootstrap_counts(samples, statistic, resamples=self.resamples, seed=0, limit=limit, images=images)

    def layermem(self, seeds: Sequence[pd.DataFrame]) -> dict[str, Estimate]:
        """LayerMem [layers] of one encoder in every estimator, and its null (see ``inputs.profiles``)."""
        return reading.profiles(seeds, resamples=self.resamples, normalisation=self.normalisation)

    def paired_layermem(self) -> Profiles:
        """LayerMem of all encoders, which were measured on the same points (see ``inputs.paired_profiles``)."""
        return reading.paired_profiles(self.inputs, resamples=self.resamples, normalisation=self.normalisation)

    def add(self, *tables: pd.DataFrame, **about: str | float | Sequence[str] | Sequence[float] | Array) -> None:
        """Add rows to the figure's table, with columns that say what all of them are about."""
        self.tables += [table.assign(**about) if about else table for table in tables]

    def add_column(self, name: str, value: str) -> None:
        """Give all rows that are there so far a column of one value, behind their others."""
        self.tables = [self.table().assign(**{name: value})]

    def profile(self, estimate: Interval, axis: Sequence[object], **about: object) -> None:
        """Add one row for each place along an axis, with interval and z."""
        self.add(reading.rows_of(estimate, axis, **about))

    def find(
        self,
        claim: str,
        subject: str,
        estimate: Interval,
        n: int,
        *,
        level: float = LEVEL,
        p: float = np.nan,
        null: NDArray[np.floating] | None = None,
        value: float | None = None,
        scale: str | None = None,
        reliability: float = np.nan,
    ) -> None:
        """Add a finding: an estimate of what a claim says of a subject (see ``Finding``).

        Args:
            null: effects of permutations, of which p and spread come.
        """
        p, spread = (p, np.nan) if null is None else exact(estimate.value, null)
        self.findings.append(Finding(claim, subject, estimate, n, level, p, value, scale, spread, reliability))

    def find_in_every(
        self,
        claim: str,
        subject: str,
        estimate: Profile,
        places: Sequence[str],
        *,
        n: int,
        null: NDArray[np.floating] | None = None,
        reliability: float = np.nan,
    ) -> None:
        """Add a finding on a claim that an effect is there in every place (see ``Finding.of_every``)."""
        found = Finding.of_every(claim, subject, estimate, places, n=n, null=null)
        self.findings.append(replace(found, reliability=reliability))

    def find_in_any(self, claim: str, subject: str, estimate: Estimate, places: Sequence[str], *, n: int) -> None:
        """Add a finding on a claim that an effect is there in some place (see ``Finding.of_any``)."""
        least = self.claims[claim].of_interest
        self.findings.append(Finding.of_any(claim, subject, estimate, places, n=n, least=least))

    def find_rise(
        self,
        claim: str,
        subject: str,
        profile: Estimate,
        *,
        n: int,
        value: float | None = None,
        null: NDArray[np.float64] | None = None,
    ) -> None:
        """Add a finding on a claim that a profile rises with depth (see ``inputs.rises``)."""
        self.findings.append(reading.rises(claim, subject, profile, n=n, value=value, null=null))

    def find_equivalent(
        self,
        claim: str,
        subject: str,
        difference: Estimate,
        places: Sequence[str],
        *,
        margin: float | Estimate,
        n: int,
    ) -> None:
        """Add a finding on a claim that a difference is within a margin everywhere (see ``inputs.equivalent``)."""
        self.findings.append(reading.equivalent(claim, subject, difference, places, margin=margin, n=n))

    @contextmanager
    def quoting(self, quotes: Quotes) -> Iterator[None]:
        """Put the paper's effects beside all findings added inside; those it doesn't quote get none."""
        first = len(self.findings)
        yield
        self.findings[first:] = [
            replace(finding, value=quotes.effects.get(finding.claim, np.nan), scale=quotes.scale)
            for finding in self.findings[first:]
        ]

    def table(self) -> pd.DataFrame:
        """The table that the figure is drawn from."""
        return pd.concat(self.tables, ignore_index=True)

    def rows(self, *, kind: str, experiment: str) -> pd.DataFrame:
        """The experiment's rows of claims.csv."""
        return tabulate(self.claims, self.findings, kind=kind, experiment=experiment)
