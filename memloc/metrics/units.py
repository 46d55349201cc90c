"""UnitMem and ClassMem: how much more one image, or one class, excites a unit than the others do (Section 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def unitmem(mu: Floats, *, others: str = "mean") -> NDArray[np.float64]:
    """UnitMem(u) = (mu_max - mu_-max) / (mu_max + mu_-max) (paper, Eqs. 5 to 8).

    mu_max is the activation of the point that excites unit u most, mu_-max the mean over all other points (the
    paper's Eq. 7) or their median (the published code). A unit that no point excites has UnitMem 0.

    Args:
        mu: [points, units] mean activations over augmented views, not negative; at least two points.
        others: mean or median.

    Returns:
        [units] in [0, 1].

    Raises:
        ValueError: fewer than two points, negative or non-finite activations, or unknown ``others``.
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
        rest = np.median(np.sort(values, axis=0)[:-1], axis=0)
    else:
        raise ValueError(f"others {others!r} is neither mean nor median")
    total = top + rest
    return np.asarray(np.divide(top - rest, total, out=np.zeros_like(top), where=total > 0))


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


def classmem(activations: Floats, labels: NDArray[np.integer], *, others: str = "mean") -> NDArray[np.float64]:
    """ClassMem(u): UnitMem's ratio between class means (paper, Eqs. 13 to 16).

    Args:
        activations: [points, units] of training images as they are, without augmentation. Held-out images make it
            class selectivity (Eqs. 9 to 12).
        labels: [points], at least two classes.
    """
    return unitmem(class_means(activations, labels), others=others)
