"""UnitMem and ClassMem: how much more one image, or one class, excites a unit than the others do (Section 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


OTHERS = ("mean", "median")
DEAD = ("zero", "nan")


def contrast(highest: Floats, others: Floats, *, dead: str = "zero") -> NDArray[np.float64]:
    """(highest - others) / (highest + others), the ratio behind UnitMem, ClassMem and class selectivity (Eq. 8).

    Args:
        highest, others: what excites a unit most and what the others do on average; any equal shapes.
        dead: what a unit gets that nothing excites, 0 / 0: zero (the paper, Table 13) or nan.

    Raises:
        ValueError: unknown ``dead``.
    """
    if dead not in DEAD:
        raise ValueError(f"dead {dead!r} is neither zero nor nan")
    total = np.asarray(highest + others, dtype=np.float64)
    empty = np.full_like(total, 0.0 if dead == "zero" else np.nan)
    return np.asarray(np.divide(highest - others, total, out=empty, where=total != 0))


def unitmem(mu: Floats, *, others: str = "mean", dead: str = "zero") -> NDArray[np.float64]:
    """UnitMem(u) = (mu_max - mu_-max) / (mu_max + mu_-max) (paper, Eqs. 5 to 8).

    mu_max is the activation of the point that excites unit u most, mu_-max the mean over all other points (the
    paper's Eq. 7) or their median (the published code).

    Args:
        mu: [points, units] mean activations over augmented views, not negative; at least two points.
        others: mean or median.
        dead: UnitMem of a unit that no point excites, zero or nan.

    Returns:
        [units] in [0, 1].

    Raises:
        ValueError: fewer than two points, negative or non-finite activations, unknown ``others`` or ``dead``.
    """
    if mu.ndim != 2 or len(mu) < 2:
        raise ValueError(f"UnitMem compares points with one another: mu has shape {mu.shape}, needs [2 or more, units]")
    if not np.isfinite(mu).all() or (mu < 0).any():
        raise ValueError("activations must be finite and not negative; take them after the activation function")
    values = mu.astype(np.float64)
    top = values.max(axis=0)
    if others == "mean":
        rest = (values.sum(axis=0) - top) / (len(values) - 1)
    elif others == "median":
        rest = median_of_others(values)
    else:
        raise ValueError(f"others {others!r} is neither mean nor median")
    return contrast(top, rest, dead=dead)


def median_of_others(mu: Floats) -> NDArray[np.float64]:
    """Median over all points but the one that excites a unit most, [units]."""
    return np.asarray(np.median(np.sort(mu, axis=0)[:-1], axis=0), dtype=np.float64)


def owners(mu: Floats) -> NDArray[np.int64]:
    """Row of the point that excites each unit most, [units]; -1 for a unit that no point excites."""
    rows = mu.argmax(axis=0)
    return np.where(mu.max(axis=0) > 0, rows, -1).astype(np.int64)


def class_means(activations: Floats, labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Mean activation of each class that occurs, [classes, units], from [points, units]."""
    present, inverse = np.unique(labels, return_inverse=True)
    member = (inverse == np.arange(len(present))[:, None]).astype(np.float64)
    means: NDArray[np.float64] = member @ activations.astype(np.float64) / member.sum(axis=1, keepdims=True)
    return means


def classmem(
    activations: Floats, labels: NDArray[np.integer], *, others: str = "mean", dead: str = "zero"
) -> NDArray[np.float64]:
    """ClassMem(u): UnitMem's ratio between class means (paper, Eqs. 13 to 16).

    Args:
        activations: [points, units] of training images as they are, without augmentation. Held-out images make it
            class selectivity (Eqs. 9 to 12).
        labels: [points], at least two classes.
        others, dead: as in ``unitmem``.
    """
    return unitmem(class_means(activations, labels), others=others, dead=dead)
