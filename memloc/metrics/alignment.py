"""SSLMem and LayerMem from the alignment of f and g (paper, Section 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

ESTIMATORS = ("published", "external-corrected", "crossed")


def sslmem(a_f: Floats, a_g: Floats, *, normalisation: str = "ratio") -> NDArray[np.float64]:
    """How much better f aligns a point's views than g does.

    ratio: (A_g - A_f) / (A_g + A_f)    (paper, Eq. 2; in [-1, 1], negative where f aligns worse)
    none:   A_g - A_f                   (Eq. 1)
    range: (A_g - A_f) / (max - min over the points given), layer by layer (the published code)

    Args:
        a_f, a_g: mean distances between views, [n, layers] or any equal shapes. Where both are 0 the value is 0.

    Raises:
        ValueError: unknown normalisation, or shapes differ.
    """
    if a_f.shape != a_g.shape:
        raise ValueError(f"a_f has shape {a_f.shape}, a_g {a_g.shape}")
    f, g = a_f.astype(np.float64), a_g.astype(np.float64)
    difference = g - f
    if normalisation == "none":
        return difference
    if normalisation == "ratio":
        scale = g + f
    elif normalisation == "range":
        scale = np.broadcast_to(np.ptp(difference, axis=0), difference.shape)
    else:
        raise ValueError(f"normalisation {normalisation!r} is none of ratio, range, none")
    return np.divide(difference, scale, out=np.zeros_like(difference), where=scale != 0)


def layermem(candidate: Floats, independent: Floats, external: Floats, *, estimator: str) -> NDArray[np.float64]:
    """LayerMem of every layer: the mean SSLMem of a group of points, with or without a control.

    published:           mean_C m                    (paper, Eq. 3)
    external-corrected:  mean_C m - mean_E m
    crossed:             (mean_C m - mean_I m) / 2

    where m = SSLMem(f, g). Two encoders differ in alignment everywhere, also on images that neither has seen. That
    offset is in the first form and cancels in the others: external points show it alone, and on independent points
    f and g change roles.

    Args:
        candidate, independent, external: SSLMem of each group's points, [n, layers]. A form ignores what it has no
            use for.

    Returns:
        [layers].
    """
    # Groups that the form ignores may be empty, and have no mean then.
    means = (group.mean(axis=0) if len(group) else group for group in (candidate, independent, external))
    return control(*means, estimator=estimator)


def control(candidate: Floats, independent: Floats, external: Floats, *, estimator: str) -> NDArray[np.float64]:
    """LayerMem in one of its forms (see ``layermem``) from each group's mean SSLMem, [...] each."""
    if estimator == "published":
        return np.asarray(candidate, dtype=np.float64)
    if estimator == "external-corrected":
        return np.asarray(candidate - external, dtype=np.float64)
    if estimator == "crossed":
        return np.asarray((candidate - independent) / 2, dtype=np.float64)
    raise ValueError(f"estimator {estimator!r} is none of {', '.join(ESTIMATORS)}")


def increments(profile: Floats) -> NDArray[np.float64]:
    """Delta LayerMem(l) = LayerMem(l) - LayerMem(l - 1) (paper, Eq. 4) along the last axis; nan for the first layer."""
    first = np.full_like(profile[..., :1], np.nan, dtype=np.float64)
    return np.concatenate([first, np.diff(profile, axis=-1)], axis=-1)


def extremes(scores: Floats, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the ``size`` highest and of the ``size`` lowest scores [n].

    Among equal scores earlier rows count as higher, so the two groups never overlap.

    Raises:
        ValueError: fewer than 2 * size scores.
    """
    if 2 * size > len(scores):
        raise ValueError(f"{len(scores)} points can't give two groups of {size}")
    order = np.argsort(-scores, kind="stable")
    return order[:size], order[::-1][:size]
