"""Memorization of single images and of layers by any number of encoders, each image in some of them and out of others.

Where every encoder has a partner that was trained on exactly the other images, pairs are compared by SSLMem's ratio
(``memloc.metrics.pairs``); otherwise encoders by their alignment itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memloc.metrics import alignment as alignments
from memloc.metrics.pairs import CrossedMean, crossed_mean, dealt_means, gains, reliability, spearman_brown
from memloc.metrics.stats import permutation_p

Floats = NDArray[np.float64]
Labels = NDArray[np.integer]
Membership = NDArray[np.bool_]

DEALS = 10_000
"""Times that membership is dealt anew for a p."""
TOGETHER = 1 << 22
"""Weights of deals that memory holds at a time."""


@dataclass(frozen=True)
class Memorization:
    """What encoders and their membership say of images and layers.

    Attributes:
        values: [images, layers] how much better an image is aligned by encoders that had it: a share of both sides'
            alignment where encoders come in pairs, else a distance.
        error: [images, layers] their standard error over pairs or encoders; nan where an image has only one of a side.
        layermem: crossed LayerMem, the mean over images [layers].
        p: [layers] two-sided, by membership that is dealt anew within every class of every pair or encoder.
        reliable: [layers] share of the variance of ``values`` within classes that other encoders would show again;
            nan where one pair can't tell.
        single: [layers] the same of one pair; nan without pairs.
        pairs: encoders f and g of each pair; empty where they don't come in pairs.
    """

    values: Floats
    error: Floats
    layermem: CrossedMean
    p: Floats
    reliable: Floats
    single: Floats
    pairs: tuple[tuple[int, int], ...]


def partners(membership: Membership) -> tuple[tuple[int, int], ...]:
    """Pairs of encoders that were trained on complementary images; none where no encoder has a partner.

    Args:
        membership: [encoders, images].

    Raises:
        LookupError: some encoders have a partner, and one, the number it names, has none.
    """
    waiting: dict[bytes, list[int]] = {}
    pairs = []
    for number, inside in enumerate(membership):
        partner = waiting.get((~inside).tobytes())
        if partner:
            pairs.append((partner.pop(0), number))
        else:
            waiting.setdefault(inside.tobytes(), []).append(number)
    alone = sorted(number for numbers in waiting.values() for number in numbers)
    if pairs and alone:
        raise LookupError(alone[0])
    return tuple(sorted(pairs))


def memorization(
    alignment: Floats,
    membership: Membership,
    labels: Labels,
    *,
    normalisation: str = "ratio",
    deals: int = DEALS,
    seed: int = 0,
) -> Memorization:
    """Memorization of every image and layer.

    In pairs (f, g) with m = (A_g - A_f) / (A_g + A_f), the mean over pairs of ``gains`` of m. Otherwise

        M_i = mean_{e without i} (A_ei - b_ec) - mean_{e with i} (A_ei - b_ec)
        b_ec = (mean_{i in c with e} A_ei + mean_{i in c without e} A_ei) / 2

    for alignment A (paper, Eq. 1: the distance between views) of image i of class c by encoder e.

    Args:
        alignment: [encoders, images, layers].
        membership: [encoders, images] whether an encoder was trained on an image.
        labels: [images] classes; all equal where they aren't known.
        normalisation: of m, see ``memloc.metrics.alignment.sslmem``.

    Raises:
        ValueError: an image is in all encoders or in none, an encoder has all or no images of a class, or there are two
            encoders that aren't partners.
        LookupError: see ``partners``.
    """
    pairs = partners(membership)
    if pairs:
        f, g = (np.array(side) for side in zip(*pairs, strict=True))
        sslmem = alignments.sslmem(alignment[f], alignment[g], normalisation=normalisation)
        return _in_pairs(sslmem, membership[f], labels, pairs, deals, seed)
    inside, encoders = membership.sum(axis=0), len(membership)
    if encoders < 3 or not ((inside > 0) & (inside < encoders)).all():
        raise ValueError("three encoders are needed, and every image in some of them and out of others")
    # An image's own level says nothing of membership: without it dealt membership has less noise.
    centred = -(alignment - alignment.mean(axis=0))
    scores = 2 * gains(centred, membership, labels)
    sign = np.where(membership, -1.0, 1.0)[..., None]
    levels = _levelled(alignment, membership, labels)
    (out, var_out), (into, var_in) = (_moments(levels, side) for side in (~membership, membership))
    values = out - into
    one_each = 2 * sign * (levels - (out + into) / 2)
    # Both means of an image come of its own encoders: what is left differs too little by (E - 2) / (E - 1).
    spread = values + (one_each - values) * np.sqrt((encoders - 1) / (encoders - 2))
    error = np.sqrt(var_out / (encoders - inside)[:, None] + var_in / inside[:, None])
    within = _variance_within(values, labels)
    noise = np.mean(error**2, axis=0)
    return Memorization(
        values=values,
        error=error,
        layermem=crossed_mean(spread),
        p=_dealt_p(scores.mean(axis=(0, 1)), 2 * centred, membership, labels, deals, seed),
        reliable=np.where(within > 0, 1 - noise / np.where(within > 0, within, 1), 0.0),
        single=np.full(values.shape[1], np.nan),
        pairs=(),
    )


def _in_pairs(
    sslmem: Floats, inside: Membership, labels: Labels, pairs: tuple[tuple[int, int], ...], deals: int, seed: int
) -> Memorization:
    scores = gains(sslmem, inside, labels)
    several = len(pairs) > 1
    unknown = np.full(scores.shape[1:], np.nan)
    single = reliability(scores, labels).value if several else unknown[0]
    crossed = crossed_mean(scores)
    return Memorization(
        values=scores.mean(axis=0),
        error=scores.std(axis=0, ddof=1) / np.sqrt(len(pairs)) if several else unknown,
        layermem=crossed,
        p=_dealt_p(crossed.value, sslmem, inside, labels, deals, seed),
        reliable=spearman_brown(np.maximum(single, 0), np.array(len(pairs), dtype=np.float64)),
        single=single,
        pairs=pairs,
    )


def _dealt_p(observed: Floats, scores: Floats, membership: Membership, labels: Labels, deals: int, seed: int) -> Floats:
    """Two-sided p of means over images [layers] among those of dealt membership."""
    step = max(1, TOGETHER // membership.shape[1])
    sizes = [min(step, deals - start) for start in range(0, deals, step)]
    parts = [dealt_means(scores, membership, labels, deals=size, seed=seed + i) for i, size in enumerate(sizes)]
    return permutation_p(observed, np.concatenate(parts).T)


def _levelled(alignment: Floats, membership: Membership, labels: Labels) -> Floats:
    """A_ei - b_ec, see ``memorization``."""
    out = np.empty(alignment.shape, dtype=np.float64)
    for encoder, (values, inside) in enumerate(zip(alignment, membership, strict=True)):
        for label in np.unique(labels):
            rows = labels == label
            level = (values[rows & inside].mean(axis=0) + values[rows & ~inside].mean(axis=0)) / 2
            out[encoder, rows] = values[rows] - level
    return out


def _moments(values: Floats, chosen: Membership) -> tuple[Floats, Floats]:
    """Mean and variance [images, layers] over the encoders chosen for each image; nan variance of one."""
    weights = chosen[..., None].astype(np.float64)
    count = weights.sum(axis=0)
    mean = (weights * values).sum(axis=0) / count
    squares = (weights * (values - mean) ** 2).sum(axis=0)
    return mean, np.divide(squares, count - 1, out=np.full_like(squares, np.nan), where=count > 1)


def _variance_within(values: Floats, labels: Labels) -> Floats:
    """Variance over images [layers] within classes."""
    classes, of = np.unique(labels, return_inverse=True)
    means = np.stack([values[of == each].mean(axis=0) for each in range(len(classes))])
    return np.asarray(((values - means[of]) ** 2).sum(axis=0) / max(1, len(values) - len(classes)))
