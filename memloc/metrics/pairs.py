"""Memorization from pairs of encoders that are trained on complementary halves of one pool of images.

Every image is in one encoder of a pair and out of the other. Images are crossed with pairs, not nested in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.metrics.stats import LEVEL, as_normal, crossed_error, mixed_quantile, mixed_tail, ranks

Floats = NDArray[np.floating]
Labels = NDArray[np.integer]
Membership = NDArray[np.bool_]


def gains(sslmem: Floats, inside: Membership, labels: Labels) -> NDArray[np.float64]:
    """How much better an image's views are aligned by the encoder that has it: without the pair's offset, by class.

    d_pi = s_pi (m_pi - b_pc),   b_pc = (mean_{i in c, f has it} m_pi + mean_{i in c, g has it} m_pi) / 2

    where m is SSLMem(f, g) (paper, Eq. 2), s is 1 where f has image i and -1 where g has it, and c is its class. The
    mean of d over a class is half the difference of the halves' means, so the mean over all images is crossed LayerMem,
    adjusted for class.

    Args:
        sslmem: [pairs, images, ...].
        inside: [pairs, images] whether f has the image.
        labels: [images] classes.

    Returns:
        [pairs, images, ...].

    Raises:
        ValueError: a half lacks a class.
    """
    out = np.empty(sslmem.shape, dtype=np.float64)
    for pair, (scores, has) in enumerate(zip(sslmem.astype(np.float64), inside, strict=True)):
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            f, g = rows[has[rows]], rows[~has[rows]]
            if not (len(f) and len(g)):
                raise ValueError(f"class {label} is not in both halves of pair {pair}")
            offset = (scores[f].mean(axis=0) + scores[g].mean(axis=0)) / 2
            out[pair, f], out[pair, g] = scores[f] - offset, offset - scores[g]
    return out


@dataclass(frozen=True)
class CrossedMean:
    """The mean over images and pairs, and how sure it is for other images and other pairs.

    Attributes:
        value: [...].
        error: standard error [...].
        of_pairs: w, the share of its square that is due to pairs [...].
        seeds, images: numbers of pairs and of images.
    """

    value: NDArray[np.float64]
    error: NDArray[np.float64]
    of_pairs: NDArray[np.float64]
    seeds: int
    images: int

    def __getitem__(self, index: Any) -> CrossedMean:
        """The mean of some of the values."""
        return CrossedMean(self.value[index], self.error[index], self.of_pairs[index], self.seeds, self.images)

    def z(self) -> NDArray[np.float64]:
        """Value over standard error; without any error 0 for 0, else infinite."""
        certain = np.where(self.value == 0, 0.0, np.copysign(np.inf, self.value))
        return np.asarray(np.divide(self.value, self.error, out=np.asarray(certain), where=self.error > 1e-12))

    def confidence(self) -> NDArray[np.float64]:
        """How sure it is that the effect is above 0, as ``Estimate.confidence``."""
        z = self.z()
        return as_normal(z, mixed_tail(np.abs(z), self.of_pairs, max(self.seeds - 1, 1), self.images - 1))

    def interval(self, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Confidence interval: value -+ q error, where q mixes t of P - 1 and of n - 1 degrees of freedom."""
        tail = (1 - level) / 2
        q = mixed_quantile(tail, self.of_pairs, max(self.seeds - 1, 1), self.images - 1)
        return self.value - q * self.error, self.value + q * self.error


def crossed_mean(values: Floats) -> CrossedMean:
    """The mean of values of images crossed with pairs, with a standard error in closed form.

    With mean squares MS of pairs, of images and of what is left (two factors, one value a cell),

        error^2 = (MS_pairs + max(0, MS_images - MS_rest)) / (P n)

    One pair shows nothing of others: the error is that of images alone.

    Args:
        values: [pairs, images, ...].
    """
    p, n = values.shape[:2]
    mean = values.mean(axis=(0, 1))
    row, column = values.mean(axis=1), values.mean(axis=0)
    images = column.var(axis=0, ddof=1) / n
    if p == 1:
        return CrossedMean(mean, np.sqrt(images), np.zeros_like(images), 1, n)
    rest = ((values - row[:, None] - column[None] + mean) ** 2).sum(axis=(0, 1)) / ((p - 1) * (n - 1) * p * n)
    return CrossedMean(mean, *crossed_error(row.var(axis=0, ddof=1) / p, images, rest), p, n)


def deal(inside: Membership, labels: Labels, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Membership [pairs, images] dealt anew within every class of every pair."""
    out = np.empty_like(inside)
    for label in np.unique(labels):
        rows = labels == label
        out[:, rows] = rng.permuted(inside[:, rows], axis=1)
    return out


def dealt_means(sslmem: Floats, inside: Membership, labels: Labels, *, deals: int, seed: int) -> NDArray[np.float64]:
    """Crossed LayerMem under membership that is dealt anew, within every class of every pair: [deals, ...].

    If an encoder aligned the images that it has no better than others, every deal would be as likely as the true one.

    Args:
        sslmem, inside, labels: as of ``gains``.
    """
    pairs, n = inside.shape
    weights = np.zeros((pairs, n))
    for pair, has in enumerate(inside):
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            f = int(has[rows].sum())
            # Half the difference of the halves' means, by the class's share of the images.
            weights[pair, rows] = np.where(has[rows], 1 / f, -1 / (len(rows) - f)) * len(rows) / (2 * n)
    return dealt_sums(sslmem, weights, np.tile(labels, (pairs, 1)), deals=deals, seed=seed)


def dealt_sums(
    values: Floats, weights: Floats, strata: NDArray[np.integer], *, deals: int, seed: int
) -> NDArray[np.float64]:
    """Mean over pairs of sum_i w_pi v_pi, with weights dealt anew within every stratum of a pair: [deals, ...].

    Args:
        values: [pairs, images, ...].
        weights, strata: [pairs, images].
    """
    rng = np.random.default_rng(seed)
    pairs, n = weights.shape
    flat = values.reshape(pairs, n, -1).astype(np.float64)
    out = np.zeros((deals, flat.shape[2]))
    for scores, true, stratum in zip(flat, weights, strata, strict=True):
        dealt = np.zeros((deals, n))
        for each in np.unique(stratum):
            rows = np.flatnonzero(stratum == each)
            dealt[:, rows] = rng.permuted(np.tile(np.sort(true[rows])[::-1], (deals, 1)), axis=1)
        out += dealt @ scores / pairs
    return out.reshape(deals, *values.shape[2:])


def sums(values: Floats, weights: Floats, doses: NDArray[np.integer]) -> NDArray[np.float64]:
    """What every image adds to a pair's sum_i w_pi v_pi, whose mean over images is that sum: [pairs, images, ...].

        u_pi = sum_j w_pj v_pj + n w_pi (v_pi - mean of v over the images of i's dose in pair p)

    Images vary about their dose's mean; that doses differ is no noise.

    Args:
        values: [pairs, images, ...].
        weights: [pairs, images], one for each dose of a pair.
        doses: [pairs, images].
    """
    out = np.empty(values.shape, dtype=np.float64)
    for pair, (scores, weight, dose) in enumerate(zip(values.astype(np.float64), weights, doses, strict=True)):
        left = scores.copy()
        for each in np.unique(dose):
            left[dose == each] -= scores[dose == each].mean(axis=0)
        broad = weight.reshape(-1, *[1] * (scores.ndim - 1))
        out[pair] = (broad * scores).sum(axis=0) + len(dose) * broad * left
    return out


def agreement(values: Floats, others: Floats, labels: Labels) -> NDArray[np.float64]:
    """Products whose mean is the rank correlation, within classes, of a pair's values with the other pairs' mean trait.

        c_pi = x_pi y_pi,   x_p of the ranks of values_p, y_p of those of mean_{q != p} others_q

    Ranks are taken within classes, centred there, and scaled to a mean square of 1 over all images. No encoder stands
    behind both sides of a product, so what is odd about one encoder can't make them agree.

    Args:
        values, others: [pairs, images], two pairs or more.
        labels: [images] classes.

    Returns:
        [pairs, images].
    """
    return _standard_ranks(values, labels) * _standard_ranks(elsewhere(others), labels)


def elsewhere(values: Floats) -> NDArray[np.float64]:
    """Of every pair, the mean of the other pairs' values [pairs, ...]; two pairs or more."""
    return np.asarray((values.sum(axis=0) - values) / (len(values) - 1))


def agreement_of_all(
    scores: tuple[Floats, Membership, Labels],
    traits: Sequence[Floats],
    *,
    in_minus_out: Sequence[bool],
    deals: int,
    seed: int,
) -> tuple[CrossedMean, NDArray[np.float64]]:
    """Rank correlation, within classes, of what all pairs memorize of an image with the other pairs' traits.

        r = mean_pi x_pi y_pi / sqrt(mean_i (mean_p x_pi)^2)

    with x, y as of ``agreement``: its mean over pairs, but of the mean of the pairs' ranks in place of one pair's.

    Args:
        scores: SSLMem [pairs, images], whether f has the image [pairs, images], and classes [images].
        traits: [pairs, images] each.
        in_minus_out: of each trait, whether it is what an image has in minus out. A deal that swaps both turns its
            sign, else noise that it shares with SSLMem in a pair would make p too small.
        deals: how often membership is dealt anew.

    Returns:
        One value for each trait, and those under dealt membership [deals, traits].
    """
    sslmem, inside, labels = scores
    fixed = [_standard_ranks(elsewhere(trait), labels) for trait in traits]

    def sides(members: Membership) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x = _standard_ranks(gains(sslmem, members, labels), labels)
        y = [
            _standard_ranks(elsewhere(np.where(members == inside, trait, -trait)), labels) if turns else as_it_is
            for trait, turns, as_it_is in zip(traits, in_minus_out, fixed, strict=True)
        ]
        return np.asarray(x / np.sqrt((x.mean(axis=0) ** 2).mean())), np.stack(y, axis=-1)

    rng, null = np.random.default_rng(seed), []
    for _ in range(deals):
        x, y = sides(deal(inside, labels, rng))
        null.append(np.tensordot(x, y, axes=2) / inside.size)
    x, y = sides(inside)
    return crossed_mean(x[..., None] * y), np.array(null)


def agreement_of_layers(
    scores: tuple[Floats, Membership, Labels], *, deals: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rank correlation, within classes, of what every two layers memorize of an image: one in all pairs, one elsewhere.

    As ``agreement_of_all``, with what the other layer memorizes as the trait, and the mean of both ways round.

    Args:
        scores: SSLMem [pairs, images, layers], whether f has the image [pairs, images], and classes [images].

    Returns:
        Products [pairs, images, layers, layers] whose mean it is; and the correlation under dealt membership
        [deals, layers, layers].
    """
    sslmem, inside, labels = scores

    def sides(members: Membership) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        found = gains(sslmem, members, labels)
        x, y = (_ranks_of_layers(values, labels) for values in (found, elsewhere(found)))
        return x / np.sqrt((x.mean(axis=0) ** 2).mean(axis=0)), y

    def both(of: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((of + of.swapaxes(-1, -2)) / 2)

    rng, null = np.random.default_rng(seed), []
    for _ in range(deals):
        x, y = sides(deal(inside, labels, rng))
        null.append(both(np.tensordot(x, y, axes=((0, 1), (0, 1)))) / inside.size)
    x, y = sides(inside)
    return both(x[..., :, None] * y[..., None, :]), np.array(null)


def agreement_within(scores: Floats, labels: Labels) -> NDArray[np.float64]:
    """Rank correlation, within classes, of what every two layers memorize of an image in one pair.

    Both layers have the noise of the same two encoders and views in common.

    Args:
        scores: gains [pairs, images, layers].

    Returns:
        Products [pairs, images, layers, layers] whose mean it is.
    """
    x = _ranks_of_layers(scores, labels)
    return np.asarray(x[..., :, None] * x[..., None, :])


def _ranks_of_layers(values: Floats, labels: Labels) -> NDArray[np.float64]:
    """Standardised ranks within classes of [pairs, images, layers]."""
    pairs, images, layers = values.shape
    rows = np.moveaxis(values, -1, 1).reshape(-1, images)
    return np.moveaxis(_standard_ranks(rows, labels).reshape(pairs, layers, images), 1, -1)


def _standard_ranks(values: Floats, labels: Labels) -> NDArray[np.float64]:
    out = np.zeros(values.shape)
    for label in np.unique(labels):
        rows = labels == label
        found = ranks(values[:, rows])
        out[:, rows] = found - found.mean(axis=1, keepdims=True)
    scale = np.sqrt((out**2).mean(axis=1, keepdims=True))
    return np.asarray(np.divide(out, scale, out=np.zeros_like(out), where=scale > 0))


@dataclass(frozen=True)
class Reliability:
    """Which share of the variance between images of a class one pair sees again in another, ICC(3, 1):

        r = (MS_images - MS_rest) / (MS_images + (P - 1) MS_rest)

    Spearman-Brown gives that of the mean of several pairs. Its interval follows from F = MS_images / MS_rest, which is
    F-distributed over (1 + (P - 1) r) / (1 - r) (Shrout and Fleiss, 1979).

    Attributes:
        ratio: MS_images / MS_rest, within classes [...].
        seeds: number P of pairs.
        free: degrees of freedom of images, n - C for C classes; of the rest, P - 1 times as many.
    """

    ratio: NDArray[np.float64]
    seeds: int
    free: int

    @property
    def value(self) -> NDArray[np.float64]:
        """R [...]."""
        return self._of(self.ratio)

    def interval(self, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Confidence interval of r."""
        from scipy.stats import f

        rest = self.free * (self.seeds - 1)
        low = self.ratio / f.ppf((1 + level) / 2, self.free, rest)
        return self._of(low), self._of(self.ratio * f.ppf((1 + level) / 2, rest, self.free))

    @property
    def of_pairs(self) -> NDArray[np.float64]:
        """All of its error is taken to get smaller with more pairs."""
        return np.ones_like(self.ratio)

    def z(self) -> NDArray[np.float64]:
        """The normal z of F's tail where r is 0."""
        from scipy.stats import f, norm

        rest = self.free * (self.seeds - 1)
        upper, lower = (tail(self.ratio, self.free, rest) for tail in (f.logsf, f.logcdf))
        return np.where(upper < lower, norm.isf(np.exp(np.maximum(upper, -700))), -norm.isf(np.exp(lower)))

    def __getitem__(self, index: Any) -> Reliability:
        """Of some of the places."""
        return Reliability(self.ratio[index], self.seeds, self.free)

    def _of(self, ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((ratio - 1) / (ratio + self.seeds - 1))


def reliability(values: Floats, labels: Labels) -> Reliability:
    """How far several pairs agree on single images, see ``Reliability``.

    Args:
        values: [pairs, images, ...], two pairs or more.
        labels: [images] classes.
    """
    images, rest, free = _squares(values, labels)
    ratio = np.divide(images, rest, out=np.ones_like(rest), where=rest > 0)
    return Reliability(ratio, len(values), free)


def _squares(values: Floats, labels: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Mean squares of images and of what is left within classes, and the degrees of freedom of the first."""
    p, n = values.shape[:2]
    within = values.astype(np.float64).copy()
    classes = np.unique(labels)
    for label in classes:
        rows = labels == label
        within[:, rows] -= within[:, rows].mean(axis=1, keepdims=True)
    free = n - len(classes)
    of_images = within.mean(axis=0)
    images = p * (of_images**2).sum(axis=0) / free
    rest = ((within - of_images) ** 2).sum(axis=(0, 1)) / (free * (p - 1))
    return images, rest, free


def spearman_brown(single: Floats, pairs: Floats) -> NDArray[np.float64]:
    """Reliability of the mean of so many pairs: k r / (1 + (k - 1) r)."""
    return np.asarray(pairs * single / (1 + (pairs - 1) * single))


def pairs_for(single: float, wanted: float) -> float:
    """How many pairs give a reliability: wanted (1 - r) / (r (1 - wanted)); infinite where one pair has none."""
    return wanted * (1 - single) / (single * (1 - wanted)) if single > 0 else np.inf


def shuffled(values: NDArray[np.float64], labels: Labels, *, deals: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """The null of ``reliability``: values whose images are dealt anew within every class, pair by pair."""
    rng = np.random.default_rng(seed)
    for _ in range(deals):
        out = np.empty_like(values)
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            for pair in range(len(values)):
                out[pair, rows] = values[pair, rng.permutation(rows)]
        yield out
