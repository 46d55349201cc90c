"""Intervals from a bootstrap over points nested in seeds, and verdicts from intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.aliases import Array

Floats = NDArray[np.floating]
Sample = Mapping[str, Array]
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A statistic averaged over seeds, with what is needed to say how sure it is.

    Attributes:
        value: the statistic, any shape.
        nested: [resamples, *value.shape], seeds resampled and, within each, its points.
        fixed: [resamples, *value.shape], points resampled, every seed kept.
        seeds: number of seeds.
        limit, centre: the statistic lies between centre - limit and centre + limit.
    """

    value: NDArray[np.float64]
    nested: NDArray[np.float64]
    fixed: NDArray[np.float64]
    seeds: int
    limit: float = np.inf
    centre: float = 0.0

    def map(
        self,
        function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        *,
        limit: float = np.inf,
        centre: float = 0.0,
    ) -> Estimate:
        """Apply a function along the trailing axes of value and resamples alike."""
        value, nested, fixed = (np.asarray(function(a)) for a in (self.value, self.nested, self.fixed))
        return Estimate(value, nested, fixed, self.seeds, limit, centre)

    def between(self, low: float, high: float) -> Estimate:
        """The estimate of a statistic that lies between ``low`` and ``high``."""
        return replace(self, limit=(high - low) / 2, centre=(high + low) / 2)

    def scaled(self, factor: float) -> Estimate:
        """The estimate times a factor above 0."""
        return self.map(lambda v: factor * v, limit=factor * self.limit, centre=factor * self.centre)

    def __sub__(self, other: Estimate) -> Estimate:
        """Difference of two estimates made with the same resamples."""
        value, nested, fixed = self.value - other.value, self.nested - other.nested, self.fixed - other.fixed
        return Estimate(value, nested, fixed, self.seeds, self.limit + other.limit, self.centre - other.centre)

    def __add__(self, other: Estimate) -> Estimate:
        """Sum of two estimates made with the same resamples."""
        value, nested, fixed = self.value + other.value, self.nested + other.nested, self.fixed + other.fixed
        return Estimate(value, nested, fixed, self.seeds, self.limit + other.limit, self.centre + other.centre)

    def __getitem__(self, index: Any) -> Estimate:
        """The estimate of some of the values."""
        rows = (slice(None), *np.index_exp[index])
        return Estimate(self.value[index], self.nested[rows], self.fixed[rows], self.seeds, self.limit, self.centre)

    def spread(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Standard error and its degrees of freedom.

        With S seeds, W the variance of the mean over resampled points and N the variance over nested resamples,
        N = B (S - 1) / S + W, where B is the variance of the mean as the seeds' own values show it. So

            error^2 = W + B,   B = (N - W) S / (S - 1)

        B is known from S values only, so its share of error^2 counts with S - 1 degrees of freedom (Satterthwaite):
        (S - 1) / share^2 in all. B holds the noise of the seeds' points too, which makes this a little wide where
        seeds agree; B - W instead, or a percentile interval over nested resamples, is much too narrow where they
        differ and are few. (Points that all seeds share are in W alone.) One seed shows nothing of what another would
        add: the error is that of points alone.
        """
        within = self.fixed.var(axis=0, ddof=1)
        if self.seeds == 1:
            return np.sqrt(within), np.full_like(within, np.inf)
        between = np.clip((self.nested.var(axis=0, ddof=1) - within) * self.seeds / (self.seeds - 1), 0, None)
        total = within + between
        share = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
        freedom = np.divide(self.seeds - 1, share**2, out=np.full_like(total, np.inf), where=share > 0)
        return np.sqrt(total), freedom

    def interval(self, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Confidence interval: value -+ t error, cut where the statistic ends."""
        from scipy.stats import t

        error, freedom = self.spread()
        half = error * t.ppf((1 + level) / 2, np.minimum(freedom, 1e9))
        least, most = self.centre - self.limit, self.centre + self.limit
        return np.clip(self.value - half, least, None), np.clip(self.value + half, None, most)

    def confidence(self) -> NDArray[np.float64]:
        """How sure it is that the effect is above 0: the normal z of the same tail as t's, comparable between places.

        Places differ in degrees of freedom, so a larger z may be less sure.
        """
        from scipy.stats import norm, t

        z, (_, freedom) = self.z(), self.spread()
        tail = t.logsf(np.abs(z), np.minimum(freedom, 1e9))
        # Beyond what a tail can hold, z itself keeps the order.
        equivalent = np.where(np.isfinite(tail), norm.isf(np.exp(np.maximum(tail, -700))), np.inf)
        return np.asarray(np.sign(z) * np.where(tail > -700, equivalent, 37 + np.abs(z)))

    def z(self) -> NDArray[np.float64]:
        """Value over standard error; without any error (but rounding) 0 for 0, else infinite."""
        error, _ = self.spread()
        certain = np.where(self.value == 0, 0.0, np.copysign(np.inf, self.value))
        return np.asarray(np.divide(self.value, error, out=np.asarray(certain), where=error > 1e-12))


def bootstrap(
    samples: Sequence[Sample],
    statistic: Callable[[Sample], NDArray[np.float64]],
    *,
    resamples: int,
    seed: int,
    limit: float = np.inf,
    shared: bool = False,
) -> Estimate:
    """A statistic averaged over seeds, with resamples over points nested in seeds.

    Args:
        samples: one for each seed: arrays by name, each resampled along its first axis on its own. What must stay
            together (two scores of one point) stands in one array.
        statistic: of one sample, to an array of fixed shape, between -limit and limit.
        shared: all seeds have the same points (test images), so a resample resamples them alike in every seed.
    """
    values = np.stack([np.asarray(statistic(sample)) for sample in samples])
    drawn = []
    for number, sample in enumerate(samples):
        rng = np.random.default_rng([seed, 0 if shared else number])
        drawn.append([statistic(resample(sample, rng)) for _ in range(resamples)])
    return nest(values, np.array(drawn), seed=seed, limit=limit, shared=shared)


def bootstrap_means(
    samples: Sequence[Sample],
    statistic: Callable[[Sample], NDArray[np.float64]],
    *,
    resamples: int,
    seed: int,
    limit: float = np.inf,
    shared: bool = False,
) -> Estimate:
    """What ``bootstrap`` gives of a statistic of the arrays' means, to rounding, in a fraction of its time.

    The mean of resampled rows is a product of counts, how often each row was drawn, and rows:

        mean_b = sum_i c_bi x_i / n,   sum_i c_bi = n

    Args:
        samples: one for each seed: arrays by name, each resampled along its first axis on its own.
        statistic: of the means of k resamples by name, [k, ...] each, to [k, ...].
        limit, shared: as of ``bootstrap``.
    """
    values = [statistic({name: array.mean(axis=0, keepdims=True) for name, array in s.items()}) for s in samples]
    drawn = []
    for number, sample in enumerate(samples):
        rng = np.random.default_rng([seed, 0 if shared else number])
        chunks = (min(CHUNK, resamples - start) for start in range(0, resamples, CHUNK))
        drawn.append(np.concatenate([statistic(_resampled_means(sample, rng, chunk)) for chunk in chunks]))
    return nest(np.concatenate(values), np.stack(drawn), seed=seed, limit=limit, shared=shared)


CHUNK = 500
"""Resamples whose counts and means are in memory at once."""


def _resampled_means(sample: Sample, rng: np.random.Generator, size: int) -> dict[str, NDArray[np.float64]]:
    """Means [size, ...] of the resamples that ``resample`` would draw next."""
    counts = {name: np.empty((size, len(array))) for name, array in sample.items()}
    for i in range(size):
        for name, array in sample.items():
            n = len(array)
            counts[name][i] = np.bincount(rng.integers(n, size=n), minlength=n)
    return {name: np.tensordot(counts[name], array, axes=1) / len(array) for name, array in sample.items()}


def resample(sample: Sample, rng: np.random.Generator) -> dict[str, Array]:
    """Each array's rows drawn with replacement."""
    return {name: array[rng.integers(len(array), size=len(array))] for name, array in sample.items()}


def nest(values: Floats, resamples: Floats, *, seed: int, limit: float = np.inf, shared: bool = False) -> Estimate:
    """Join what each seed resampled within itself to an estimate over seeds.

    Each seed's resamples are shifted to have its value as their mean: UnitMem holds a maximum over points, which
    resampling can only lower (a resample repeats some points and lacks others).

    Args:
        values: [seeds, ...] a statistic of each seed.
        resamples: [seeds, resamples, ...] the same, over resampled points.
        shared: replicate i resampled the same points in every seed.
    """
    rng = np.random.default_rng(seed)
    seeds, count = resamples.shape[:2]
    centred = np.asarray(resamples + (values - resamples.mean(axis=1))[:, None], dtype=np.float64)
    picked = rng.integers(seeds, size=(count, seeds))
    row = np.arange(count)[:, None] if shared else rng.integers(count, size=(count, seeds))
    return Estimate(
        value=np.asarray(values.mean(axis=0), dtype=np.float64),
        nested=centred[picked, row].mean(axis=1),
        fixed=centred.mean(axis=0),
        seeds=seeds,
        limit=limit,
    )


def ranks(values: Floats) -> NDArray[np.float64]:
    """Ranks along the last axis, ties sharing their mean rank; equal means added up in another order are ties."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.round(values, DIGITS), axis=-1), dtype=np.float64)


DIGITS = 12
"""Decimals of values of the size of 1 that addition in another order leaves alone."""


def rank_correlation(x: Floats, y: Floats) -> NDArray[np.float64]:
    """Spearman's rho along the last axis; 0 where one side is constant."""
    a, b = ranks(x), ranks(y)
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    product = (a * b).sum(axis=-1)
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return _correlation(product, scale, scale > 0)


def partial_rank_correlation(x: Floats, y: Floats, given: Sequence[Floats]) -> NDArray[np.float64]:
    """Correlation along the last axis of what the ranks of ``given`` leave of those of x and y.

    rho(x, y | z) = (rho_xy - rho_xz rho_yz) / sqrt((1 - rho_xz^2) (1 - rho_yz^2))    for one z

    Args:
        x, y: [..., n], of shapes that broadcast.
        given: confounders [n] each, regressed out of the ranks together.

    Returns:
        [...]; 0 where the confounders leave nothing of one side.
    """
    design = np.column_stack([np.ones(x.shape[-1]), *(ranks(z) for z in given)])
    explained = design @ np.linalg.pinv(design)
    a, b = (rank - rank @ explained for rank in (ranks(x), ranks(y)))
    product, size = (a * b).sum(axis=-1), x.shape[-1]
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    # Ranks that are wholly explained leave what rounding does to n^3 / 12, the sum of their squares.
    return _correlation(product, scale, scale > 1e-9 * size**3)


def _correlation(product: Floats, scale: Floats, told: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Products over scales where these tell anything, else 0; cut at -1 and 1, which rounding passes on some CPUs."""
    return np.clip(np.divide(product, scale, out=np.zeros_like(product), where=told), -1, 1)


def ks_distance(x: Floats, y: Floats) -> float:
    """Kolmogorov-Smirnov distance of two samples [n], [m]: max_t |F_x(t) - F_y(t)| of their distribution functions."""
    steps = np.concatenate([x, y])
    f, g = (np.searchsorted(np.sort(sample), steps, side="right") / len(sample) for sample in (x, y))
    return float(np.abs(f - g).max())


def verdict(low: float, high: float, *, p: float = np.nan) -> str:
    """Supported if the interval lies above 0, refuted if it lies below, else inconclusive.

    Args:
        p: two-sided, of a null that the interval does not hold; above 1 - LEVEL it is inconclusive. nan: there is none.
    """
    if p > 1 - LEVEL:
        return "inconclusive"
    if low > 0:
        return "supported"
    return "refuted" if high < 0 else "inconclusive"


def permutation_test(
    x: Floats, y: Floats, *, permutations: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Is mean(x) - mean(y) larger than chance makes it, if the rows of x and y are exchangeable?

    p = (1 + #{permuted difference >= difference}) / (1 + permutations), exact for any distribution.

    Args:
        x, y: [n, ...] and [m, ...], rows that belong to one point together.

    Returns:
        p, one-sided, and the permuted differences [permutations, ...].
    """
    rng = np.random.default_rng(seed)
    both = np.concatenate([x, y]).astype(np.float64)
    observed = both[: len(x)].mean(axis=0) - both[len(x) :].mean(axis=0)
    null = np.empty((permutations, *both.shape[1:]))
    for i in range(permutations):
        mixed = both[rng.permutation(len(both))]
        null[i] = mixed[: len(x)].mean(axis=0) - mixed[len(x) :].mean(axis=0)
    # Equal means added up in another order differ in the last bits.
    tied = null >= observed - 1e-12 * np.abs(both).max(initial=0.0)
    return (1 + tied.sum(axis=0)) / (1 + permutations), null


def permutation_p(observed: Floats, null: Floats) -> NDArray[np.float64]:
    """Two-sided p of observed values among permuted ones.

    p = min(1, 2 (1 + min(#{null >= observed}, #{null <= observed})) / (1 + permutations))

    Args:
        observed: [...].
        null: [..., permutations].
    """
    # Equal sums added up in another order differ in the last bits.
    value, room = np.asarray(observed)[..., None], 1e-12
    reached = np.minimum((null >= value - room).sum(axis=-1), (null <= value + room).sum(axis=-1))
    return np.asarray(np.minimum(1.0, 2 * (1 + reached) / (1 + null.shape[-1])))


@dataclass(frozen=True)
class Subsampled:
    """A statistic of a set of points and of random halves of it.

    Attributes:
        value: the statistic of all points.
        halves: [resamples, 2 * cuts] of halves: 2 i and 2 i + 1 are the two of one cut.
        variance: of what was subtracted that was measured on other points.
    """

    value: float
    halves: NDArray[np.float64]
    variance: float = 0.0

    def paired(self, other: Subsampled) -> Subsampled:
        """Difference to a statistic of the same points in the same halves."""
        return Subsampled(self.value - other.value, self.halves - other.halves)

    def unpaired(self, other: Subsampled) -> Subsampled:
        """Difference to a statistic of other points."""
        return Subsampled(self.value - other.value, self.halves, other.error() ** 2)

    def error(self) -> float:
        """Standard error by subsampling: that of the statistic at half the number of points.

        The halves of a cut are independent samples of n / 2 points, so half the mean square of their difference is the
        statistic's variance at that size. At n it is half of that for a mean and the same for a maximum; what lies
        between gets the larger. A bootstrap, which repeats points, is too narrow for anything that holds a maximum.
        """
        half = np.mean((self.halves[:, 0::2] - self.halves[:, 1::2]) ** 2) / 2
        return float(np.sqrt(half + self.variance))

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Confidence interval: value -+ z error."""
        from scipy.stats import norm

        half = self.error() * float(norm.ppf((1 + level) / 2))
        return self.value - half, self.value + half
