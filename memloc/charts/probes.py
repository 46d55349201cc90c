"""Linear probes by ridge regression: which place, or how many marks, can be read from states, and from chance alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from memloc.streams import generator

WIDTH = 16384
"""Most numbers of a state that a probe sees: longer ones are summed up, with random signs, into as many."""
STRENGTHS = np.logspace(-4, 2, 13)
"""Penalties that a probe is chosen from, in means of the eigenvalues of the kernel."""
SHUFFLES = 8
"""Shuffles of a control: with few classes, one alone may be all right or all wrong."""
POINTED = 1e-3
"""Penalty of a probe of single tokens, in means of the squares; it has many more rows than weights."""
LEAST = 16
"""Rows that a probe is trained on at least."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def sketch(states: NDArray[np.float32], *, width: int = WIDTH, seed: int = 0) -> NDArray[np.float32]:
    """Flattened states [rows, ...] as [rows, at most width].

    Each number goes with a random sign to a random place, which keeps inner products on average: a probe of the sketch
    is a linear probe of the states.
    """
    flat = states.reshape(len(states), int(np.prod(states.shape[1:])))
    if flat.shape[1] <= width:
        return flat
    to, sign = _places(flat.shape[1], width, seed)
    out = np.zeros((len(flat), width), dtype=np.float32)
    for row, values in zip(out, flat, strict=True):
        row += np.bincount(to, weights=values * sign, minlength=width)
    return out


@cache
def _places(numbers: int, width: int, seed: int) -> tuple[Ints, NDArray[np.float32]]:
    rng = generator("sketch", numbers, width, seed)
    return rng.integers(width, size=numbers), rng.choice(np.array([-1, 1], dtype=np.float32), size=numbers)


@dataclass(frozen=True)
class Kernel:
    """Inner products of standardised rows with those that a probe learns from.

    Attributes:
        vectors, values: eigenvectors [train, train] and eigenvalues [train] of the centred kernel of training rows.
        test: centred kernel of the others with them, [test, train].
    """

    vectors: Floats
    values: Floats
    test: Floats


def kernel(train: NDArray[np.float32], test: NDArray[np.float32]) -> Kernel:
    """The kernel of rows that are standardised with the training rows' mean and spread."""
    mean, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    # A number that never varies in training says nothing, whatever it is elsewhere.
    weight = np.where(spread > 1e-6 * max(spread.max(initial=0), 1e-30), 1 / np.where(spread > 0, spread, 1), 0)
    a, b = (train - mean) * weight, (test - mean) * weight
    values, vectors = np.linalg.eigh(a @ a.T)
    return Kernel(vectors, np.clip(values, 0, None), b @ a.T)


def predict(k: Kernel, labels: Ints) -> Ints:
    """Classes of the test rows by a ridge regression onto indicators of the classes, [test].

    The penalty is that of STRENGTHS with the least squared error over training rows each left out in turn, which has a
    closed form.
    """
    classes, number = np.unique(labels, return_inverse=True)
    target = np.eye(len(classes))[number]
    mean = target.mean(axis=0)
    inside = k.vectors.T @ (target - mean)
    best, errors = np.zeros(0), np.inf
    scale = k.values.mean() if k.values.any() else 1.0
    for strength in STRENGTHS * scale:
        shrunk = k.values / (k.values + strength)
        fitted = k.vectors @ (shrunk[:, None] * inside)
        # The mean is fitted too, and takes 1 / n of every row.
        own = np.clip((k.vectors**2) @ shrunk + 1 / len(labels), None, 1 - 1e-9)
        error = float((((target - mean - fitted) / (1 - own)[:, None]) ** 2).mean())
        if error < errors:
            best, errors = k.vectors @ (inside / (k.values + strength)[:, None]), error
    return np.asarray(classes[(mean + k.test @ best).argmax(axis=1)])


def pointed(
    train: NDArray[np.float32], at: Ints, test: NDArray[np.float32], true: Ints, cells: Ints, *, seed: int, kind: str
) -> Probed:
    """Which test charts a probe of single tokens points at the right cell of, and how often a control does.

    One ridge regression for all tokens, w = (X'X + l I)^-1 X'y, tells tokens in a mark's cell (y = 1) from all others
    (y = 0); the cell of the token with the highest value is where it points. As its weights are the same for all
    tokens, it can point at cells that no training chart has a mark in. The control learns a cell of each training chart
    that was drawn among all: cells of marks, dealt anew, would still show marks more often than others do.

    Args:
        train, test: tokens [charts, tokens, width].
        at, true: cells of the mark [charts].
        cells: of every token [tokens], -1 where it has none.
    """
    placed = np.flatnonzero(cells >= 0)
    own = cells[placed]
    mean, spread = (getattr(train[:, placed], name)(axis=(0, 1), dtype=np.float64) for name in ("mean", "std"))
    weight = np.where(spread > 1e-6 * max(spread.max(initial=0), 1e-30), 1 / np.where(spread > 0, spread, 1), 0)
    x, z = ((tokens[:, placed] - mean) * weight for tokens in (train, test))
    flat = x.reshape(-1, x.shape[-1])
    square = flat.T @ flat
    square[np.diag_indices_from(square)] += POINTED * max(1e-12, float(np.diag(square).mean()))

    def read(where: Ints) -> Ints:
        sums = np.einsum("ctd,ct->d", x, own == where[:, None])
        return np.asarray(own[(z @ np.linalg.solve(square, sums)).argmax(axis=1)])

    rng, found = generator("control", "single tokens", kind, seed), read(at)
    control = np.mean([read(rng.choice(own, len(at))) == true for _ in range(SHUFFLES)], axis=0)
    return Probed([found], found == true, control)


def probed(k: Kernel, labels: Sequence[Ints], true: Sequence[Ints], *, seed: int, names: Sequence[str]) -> Probed:
    """What probes read of test rows, which they get right in all of several labels, and how often a control's do.

    The control's probes learn labels that were shuffled among the training rows, all kinds of label together: they have
    the same distribution and nothing to do with the states. Accuracy minus theirs is the selectivity.

    Args:
        labels, true: of training and test rows, by kind of label.
        names: of the stream of shuffles.
    """

    def read(order: Ints) -> list[Ints]:
        return [predict(k, one[order]) for one in labels]

    def right(found: Sequence[Ints]) -> NDArray[np.bool_]:
        return np.asarray(np.all([one == own for one, own in zip(found, true, strict=True)], axis=0))

    rng, rows = generator("control", *names, seed), len(labels[0])
    found = read(np.arange(rows))
    control = np.mean([right(read(rng.permutation(rows))) for _ in range(SHUFFLES)], axis=0)
    return Probed(found, right(found), control)


@dataclass(frozen=True)
class Probed:
    """Of each test row, what probes read by kind of label, whether all of it is right, and how often a control's is."""

    read: Sequence[Ints]
    right: NDArray[np.bool_]
    control: Floats
