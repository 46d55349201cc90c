"""Seeds for every random decision, derived from names.

Each decision (a split, an epoch's order, the views of one image) has a stream of its own, so none depends
on how many numbers another one drew. A training job resumes at any epoch without stored generator states.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def stream(*names: str | int) -> int:
    """A 63-bit seed for the stream called by ``names``; other names give an unrelated seed."""
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(*names: str | int) -> np.random.Generator:
    """A numpy generator on the stream called by ``names``."""
    return np.random.default_rng(stream(*names))


def uniforms(seed: int, points: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Uniform numbers [len(points), *shape] in [0, 1), each row a function of ``seed`` and its point alone.

    Philox is a counter-based generator: keyed by (seed, point) it gives a point the same numbers in any
    batch, shard or order.
    """
    out = np.empty((len(points), *shape), dtype=np.float32)
    for row, point in enumerate(points):
        philox = np.random.Philox(key=np.array([seed, point], dtype=np.uint64))
        out[row] = np.random.Generator(philox).random(shape, dtype=np.float32)
    return out
