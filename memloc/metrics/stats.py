"""Intervals from a bootstrap over points that are nested in seeds or crossed with them, and verdicts from intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.aliases import Array

Floats = NDArray[np.floating]
Sample = Mapping[str, Array]
Images = Sequence[Mapping[str, Array]]
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
        apart: as ``fixed``, but in every seed other points are drawn; None where every seed has points of its own.
            Where seeds share their points, ``fixed`` draws the same ones in all of them, and ``nested`` is no draw but
            the statistic without each seed in turn, [seeds, *value.shape].
    """

    value: NDArray[np.float64]
    nested: NDArray[np.float64]
    fixed: NDArray[np.float64]
    seeds: int
    limit: float = np.inf
    centre: float = 0.0
    apart: NDArray[np.float64] | None = None

    def combined(
        self,
        function: Callable[..., NDArray[np.float64]],
        *others: Estimate,
        limit: float = np.inf,
        centre: float = 0.0,
    ) -> Estimate:
        """A function along the trailing axes of the values, and of the resamples, of estimates made with the same."""
        every = (self, *others)
        value, nested, fixed = (
            np.asarray(function(*(getattr(e, name) for e in every))) for name in ("value", "nested", "fixed")
        )
        apart = None if any(e.apart is None for e in every) else np.asarray(function(*(e.apart for e in every)))
        return Estimate(value, nested, fixed, self.seeds, limit, centre, apart)

    def map(
        self,
        function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        *,
        limit: float = np.inf,
        centre: float = 0.0,
    ) -> Estimate:
        """Apply a function along the trailing axes of value and resamples alike."""
        return self.combined(function, limit=limit, centre=centre)

    def between(self, low: float, high: float) -> Estimate:
        """The estimate of a statistic that lies between ``low`` and ``high``."""
        return replace(self, limit=(high - low) / 2, centre=(high + low) / 2)

    def scaled(self, factor: float) -> Estimate:
        """The estimate times a factor above 0."""
        return self.map(lambda v: factor * v, limit=factor * self.limit, centre=factor * self.centre)

    def __sub__(self, other: Estimate) -> Estimate:
        """Difference of two estimates made with the same resamples."""
        return self.combined(np.subtract, other, limit=self.limit + other.limit, centre=self.centre - other.centre)

    def __add__(self, other: Estimate) -> Estimate:
        """Sum of two estimates made with the same resamples."""
        return self.combined(np.add, other, limit=self.limit + other.limit, centre=self.centre + other.centre)

    def __getitem__(self, index: Any) -> Estimate:
        """The estimate of some of the values."""
        rows = (slice(None), *np.index_exp[index])
        apart = None if self.apart is None else self.apart[rows]
        return replace(self, value=self.value[index], nested=self.nested[rows], fixed=self.fixed[rows], apart=apart)

    def spread(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Standard error and its degrees of freedom.

        With S seeds, W the variance of the mean over resampled points and N the variance over nested resamples,
        N = B (S - 1) / S + W, where B is the variance of the mean as the seeds' own values show it. So

            error^2 = W + B,   B = (N - W) S / (S - 1)

        B is known from S values only, so its share of error^2 counts with S - 1 degrees of freedom (Satterthwaite):
        (S - 1) / share^2 in all. B holds the noise of the seeds' points too, which makes this a little wide where
        seeds agree; B - W instead, or a percentile interval over nested resamples, is much too narrow where they
        differ and are few. One seed shows nothing of what another would add: the error is that of points alone.

        Where seeds share their points, what a point has in every seed doesn't average out over them. With V the
        variance where every seed draws other points, S (W - V) / (S - 1) is what points have in common over seeds, and

            error^2 = B + max(0, W - V) S / (S - 1),   at least W

        as ``crossed_error`` has it of a mean. B is the jackknife's over seeds, which has no noise of resamples; but it
        is 0 for ranks that no single seed changes, so points alone are the least that is left.
        """
        within = least = self.fixed.var(axis=0, ddof=1)
        if self.seeds == 1:
            return np.sqrt(within), np.full_like(within, np.inf)
        nested, more = self.nested.var(axis=0, ddof=1), self.seeds / (self.seeds - 1)
        if self.apart is None:
            between, least = np.clip((nested - within) * more, 0, None), np.zeros_like(within)
        else:
            between = nested * (self.seeds - 1) / more
            within = np.clip(within - self.apart.var(axis=0, ddof=1), 0, None) * more
        total = np.maximum(within + between, least)
        share = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
        freedom = np.divide(self.seeds - 1, share**2, out=np.full_like(total, np.inf), where=share > 0)
        return np.sqrt(total), freedom

    @property
    def of_pairs(self) -> NDArray[np.float64]:
        """The share of error^2 that more seeds make smaller."""
        if self.apart is None or self.seeds == 1:
            return np.ones_like(self.value)
        return np.asarray(np.sqrt((self.seeds - 1) / self.spread()[1]), dtype=np.float64)

    def interval(self, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Confidence interval: value -+ q error, cut where the statistic ends.

        q is that of t, or, where seeds share their points, that of ``mixed_quantile``.
        """
        from scipy.stats import t

        error, freedom = self.spread()
        if self.apart is None or self.seeds == 1:
            q = t.isf((1 - level) / 2, np.minimum(freedom, 1e9))
        else:
            q = mixed_quantile((1 - level) / 2, self.of_pairs, self.seeds - 1)
        least, most = self.centre - self.limit, self.centre + self.limit
        return np.clip(self.value - q * error, least, None), np.clip(self.value + q * error, None, most)

    def confidence(self) -> NDArray[np.float64]:
        """How sure it is that the effect is above 0: the normal z of the same tail as t's, comparable between places.

        Places differ in degrees of freedom, so a larger z may be less sure.
        """
        return as_normal(self.z(), self._tail())

    def p(self) -> NDArray[np.float64]:
        """Two-sided p of no effect: 1 minus the highest level at which the interval leaves out 0."""
        return np.asarray(np.minimum(1, 2 * np.exp(self._tail())))

    def _tail(self) -> NDArray[np.float64]:
        """Logarithm of the tail beyond |z|."""
        from scipy.stats import t

        z = np.abs(self.z())
        if self.apart is None or self.seeds == 1:
            return np.asarray(t.logsf(z, np.minimum(self.spread()[1], 1e9)))
        return mixed_tail(z, self.of_pairs, self.seeds - 1)

    def z(self) -> NDArray[np.float64]:
        """Value over standard error; without any error (but rounding) 0 for 0, else infinite."""
        error, _ = self.spread()
        certain = np.where(self.value == 0, 0.0, np.copysign(np.inf, self.value))
        return np.asarray(np.divide(self.value, error, out=np.asarray(certain), where=error > 1e-12))


def as_normal(z: Floats, tail: Floats) -> NDArray[np.float64]:
    """The normal z of the same tail, whose logarithm is given, with the sign of z."""
    from scipy.stats import norm

    # Beyond what a tail can hold, z itself keeps the order.
    equivalent = np.where(np.isfinite(tail), norm.isf(np.exp(np.maximum(tail, -700))), np.inf)
    return np.asarray(np.sign(z) * np.where(tail > -700, equivalent, 37 + np.abs(z)))


def crossed_error(pairs: Floats, images: Floats, rest: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standard error of a mean over images crossed with pairs, and w, the share of its square that is due to pairs.

        error^2 = pairs + max(0, images - rest),   w = pairs / error^2

    Args:
        pairs, images, rest: mean squares of a table of P pairs and n images over P n.
    """
    total = pairs + np.maximum(images - rest, 0)
    return np.sqrt(total), np.divide(pairs, total, out=np.ones_like(total), where=total > 0)


def mixed_quantile(tail: float | Floats, share: Floats, pairs: float, images: float = 1e9) -> NDArray[np.float64]:
    """Upper quantile of the t of both sources of error, mixed by the share of pairs (Cochran and Cox, 1950).

        q = w t_pairs + (1 - w) t_images

    Args:
        pairs, images: degrees of freedom.
    """
    from scipy.stats import t

    # A tail that t can't tell is infinitely far out, but not where its source has no share.
    sources = ((share, t.isf(tail, pairs)), (1 - share, t.isf(tail, images)))
    return np.asarray(sum(np.multiply(w, q, out=np.zeros(np.shape(w * tail)), where=w * tail > 0) for w, q in sources))


def mixed_tail(z: Floats, share: Floats, pairs: float, images: float = 1e9) -> NDArray[np.float64]:
    """Logarithm of the tail whose ``mixed_quantile`` is z, at least 0; by bisection, down to -700."""
    low, high = np.full(np.shape(z), -700.0), np.full(np.shape(z), np.log(0.5))
    for _ in range(60):
        middle = (low + high) / 2
        above = mixed_quantile(np.exp(middle), share, pairs, images) > z
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray((low + high) / 2)


def bootstrap(
    samples: Sequence[Sample],
    statistic: Callable[[Sample], NDArray[np.float64]],
    *,
    resamples: int,
    seed: int,
    limit: float = np.inf,
    shared: bool = False,
    images: Images | None = None,
    least: int = 1,
) -> Estimate:
    """A statistic averaged over seeds, with resamples over points nested in seeds, or crossed with them.

    Args:
        samples: one for each seed: arrays by name, each resampled along its first axis on its own. What must stay
            together (two scores of one point) stands in one array.
        statistic: of one sample, to an array of fixed shape, between -limit and limit.
        shared: all seeds have the same points (test images), so a resample resamples them alike in every seed.
        images: which image each row of each array is, for each seed. Seeds share them, if not in the same array (an
            image that one seed's f has is another's g's): an image that is drawn k times is drawn k times in every
            seed, wherever it stands there (the pigeonhole bootstrap; Owen, 2007).
        least: rows that a crossed draw leaves in every array.
    """
    values = np.stack([np.asarray(statistic(sample)) for sample in samples])
    drawn: list[list[NDArray[np.float64]]] = [[] for _ in samples]
    if images is None:
        for number, sample in enumerate(samples):
            rng = np.random.default_rng([seed, 0 if shared else number])
            drawn[number] = [statistic(resample(sample, rng)) for _ in range(resamples)]
    else:
        for counts in _crossed_counts(images, resamples, seed, least):
            for sample, of, found in zip(samples, counts, drawn, strict=True):
                found += [
                    statistic({name: np.repeat(array, of[name][row], axis=0) for name, array in sample.items()})
                    for row in range(len(next(iter(of.values()))))
                ]
    return nest(values, np.array(drawn), seed=seed, limit=limit, shared=shared, crossed=images is not None)


def bootstrap_means(
    samples: Sequence[Sample],
    statistic: Callable[[Sample], NDArray[np.float64]],
    *,
    resamples: int,
    seed: int,
    limit: float = np.inf,
    shared: bool = False,
    images: Images | None = None,
) -> Estimate:
    """What ``bootstrap`` gives of a statistic of the arrays' means, to rounding, in a fraction of its time.

    The mean of resampled rows is a product of counts, how often each row was drawn, and rows:

        mean_b = sum_i c_bi x_i / sum_i c_bi

    Args:
        samples: one for each seed: arrays by name, each resampled along its first axis on its own.
        statistic: of the means of k resamples by name, [k, ...] each, to [k, ...].
        limit, shared, images: as of ``bootstrap``.
    """

    def of_counts(sample: Sample, counts: Sample) -> NDArray[np.float64]:
        shares = {name: of / of.sum(axis=1, keepdims=True) for name, of in counts.items()}
        return statistic({name: np.tensordot(shares[name], array, axes=1) for name, array in sample.items()})

    return bootstrap_counts(
        samples, of_counts, resamples=resamples, seed=seed, limit=limit, shared=shared, images=images
    )


def bootstrap_counts(
    samples: Sequence[Sample],
    statistic: Callable[[Sample, Sample], NDArray[np.float64]],
    *,
    resamples: int,
    seed: int,
    limit: float = np.inf,
    shared: bool = False,
    images: Images | None = None,
) -> Estimate:
    """What ``bootstrap`` gives of a statistic that takes many resamples at once, as how often each row was drawn.

    Args:
        samples: one for each seed: arrays by name, each resampled along its first axis on its own.
        statistic: of a sample and counts by name, [k, rows of the array] each, to [k, ...].
        limit, shared, images: as of ``bootstrap``.
    """
    values = [statistic(s, {name: np.ones((1, len(array))) for name, array in s.items()}) for s in samples]
    drawn: list[list[NDArray[np.float64]]] = [[] for _ in samples]
    if images is None:
        for number, sample in enumerate(samples):
            rng = np.random.default_rng([seed, 0 if shared else number])
            drawn[number] = [statistic(sample, _resampled_counts(sample, rng, size)) for size in _chunks(resamples)]
    else:
        for counts in _crossed_counts(images, resamples, seed):
            for sample, of, found in zip(samples, counts, drawn, strict=True):
                found.append(statistic(sample, {name: rows.astype(np.float64) for name, rows in of.items()}))
    each = np.stack([np.concatenate(found) for found in drawn])
    return nest(np.concatenate(values), each, seed=seed, limit=limit, shared=shared, crossed=images is not None)


CHUNK = 500
"""Resamples whose counts are in memory at once."""


def _chunks(resamples: int) -> list[int]:
    return [min(CHUNK, resamples - start) for start in range(0, resamples, CHUNK)]


def _resampled_counts(sample: Sample, rng: np.random.Generator, size: int) -> dict[str, NDArray[np.float64]]:
    """Counts [size, rows] of the resamples that ``resample`` would draw next."""
    counts = {name: np.empty((size, len(array))) for name, array in sample.items()}
    for i in range(size):
        for name, array in sample.items():
            n = len(array)
            counts[name][i] = np.bincount(rng.integers(n, size=n), minlength=n)
    return counts


def resample(sample: Sample, rng: np.random.Generator) -> dict[str, Array]:
    """Each array's rows drawn with replacement."""
    return {name: array[rng.integers(len(array), size=len(array))] for name, array in sample.items()}


def _crossed_counts(
    images: Images, resamples: int, seed: int, least: int = 1
) -> Iterator[list[dict[str, NDArray[np.int64]]]]:
    """How often each row of each array is drawn, by seed, [size, rows] a chunk: an image alike in all seeds and arrays.

    A draw that leaves some array fewer than ``least`` rows is left out.
    """
    every, at = np.unique(np.concatenate([a for of in images for a in of.values()]), return_inverse=True)
    parts = iter(np.split(at, np.cumsum([len(a) for of in images for a in of.values()])[:-1]))
    rows = [{name: next(parts) for name in of} for of in images]
    small = [each for of in rows for each in of.values() if len(each) < SMALL]
    n, rng = len(every), np.random.default_rng([seed, 0])

    def draw(size: int) -> NDArray[np.int64]:
        places = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        return np.bincount(places.ravel(), minlength=size * n).reshape(size, n)

    for size in _chunks(resamples):
        counts = draw(size)
        while small and not (held := np.all([counts[:, each].sum(axis=1) >= least for each in small], axis=0)).all():
            counts = np.concatenate([counts[held], draw(size - int(held.sum()))])
        yield [{name: counts[:, each] for name, each in of.items()} for of in rows]


SMALL = 40
"""An array of fewer rows may be without any in a draw; one of so many is once in 10^17."""


def nest(
    values: Floats,
    resamples: Floats,
    *,
    seed: int,
    limit: float = np.inf,
    shared: bool = False,
    crossed: bool = False,
) -> Estimate:
    """Join what each seed resampled within itself to an estimate over seeds.

    Each seed's resamples are shifted to have its value as their mean: UnitMem holds a maximum over points, which
    resampling can only lower (a resample repeats some points and lacks others).

    Args:
        values: [seeds, ...] a statistic of each seed.
        resamples: [seeds, resamples, ...] the same, over resampled points.
        shared: replicate i resampled the same points in every seed, and these have little in common over seeds.
        crossed: replicate i resampled the same points in every seed; see ``Estimate.spread``.
    """
    rng = np.random.default_rng(seed)
    seeds, count = resamples.shape[:2]
    centred = np.asarray(resamples + (values - resamples.mean(axis=1))[:, None], dtype=np.float64)
    value, fixed, apart = np.asarray(values.mean(axis=0), dtype=np.float64), centred.mean(axis=0), None
    if crossed and seeds > 1:
        nested = np.asarray((values.sum(axis=0) - values) / (seeds - 1), dtype=np.float64)
        apart = np.mean([one[rng.permutation(count)] for one in centred], axis=0)
    else:
        picked = rng.integers(seeds, size=(count, seeds))
        row = np.arange(count)[:, None] if shared else rng.integers(count, size=(count, seeds))
        nested = centred[picked, row].mean(axis=1)
    return Estimate(value=value, nested=nested, fixed=fixed, seeds=seeds, limit=limit, apart=apart)


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
    return correlation(product, scale, scale > 0)


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
    return correlation(product, scale, scale > 1e-9 * size**3)


def correlation(product: Floats, scale: Floats, told: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Products over scales where these tell anything, else 0; cut at -1 and 1, which rounding passes on some CPUs."""
    return np.clip(np.divide(product, scale, out=np.zeros_like(product), where=told), -1, 1)


def ks_distance(x: Floats, y: Floats) -> float:
    """Kolmogorov-Smirnov distance of two samples [n], [m]: max_t |F_x(t) - F_y(t)| of their distribution functions."""
    steps = np.concatenate([x, y])
    f, g = (np.searchsorted(np.sort(sample), steps, side="right") / len(sample) for sample in (x, y))
    return float(np.abs(f - g).max())


def verdict(low: float, high: float, *, p: float = np.nan, negligible: bool = False) -> str:
    """Negligible if it is told to be, supported if the interval lies above 0, refuted if below, else inconclusive.

    An interval of no width tells nothing by itself.

    Args:
        p: two-sided, of what the interval does not hold (an exact test, other claims); above 1 - LEVEL the claim is
            inconclusive. nan: there is none.
        negligible: the effect is ``within`` what is of no interest; this goes first, even where it is surely not 0.
    """
    if negligible:
        return "negligible"
    # Seeds that are all alike don't show how others would differ.
    if p > 1 - LEVEL or (np.isnan(p) and not low < high):
        return "inconclusive"
    if low > 0:
        return "supported"
    return "refuted" if high < 0 else "inconclusive"


def within(low: float, high: float, least: float) -> bool:
    """Whether an interval is smaller than the smallest effect of interest on both sides (two one-sided tests).

    An interval of no width is of something that resampling can't vary, and tells nothing.

    Args:
        low, high: at level 1 - 2 alpha for tests at alpha.
        least: 0 where every effect is of interest.
    """
    return low < high and -least < low and high < least


def holm(p: Floats) -> NDArray[np.float64]:
    """Adjusted p that keep the chance of one false claim among all below alpha, whatever depends on what (Holm, 1979).

    p_(i), in rising order, to max_{j <= i} min(1, (m - j + 1) p_(j)).
    """
    order = np.argsort(p, kind="stable")
    out = np.empty(len(p))
    out[order] = np.minimum(1, np.maximum.accumulate(np.arange(len(p), 0, -1) * np.asarray(p)[order]))
    return out


def benjamini_hochberg(p: Floats) -> NDArray[np.float64]:
    """q: the share of false claims to expect among those with no larger p (Benjamini and Hochberg, 1995).

    p_(i), in rising order, to min_{j >= i} m p_(j) / j.
    """
    order, m = np.argsort(p, kind="stable")[::-1], len(p)
    out = np.empty(m)
    out[order] = np.minimum(1, np.minimum.accumulate(m * np.asarray(p)[order] / np.arange(m, 0, -1)))
    return out


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
