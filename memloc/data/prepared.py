"""Prepared datasets: uint8 arrays, mapped into memory. Apart from where they come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc import io
from memloc.errors import InputError


@dataclass(frozen=True)
class Part:
    """Images [n, channels, height, width] uint8 and labels [n] int64 of one part."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def load(folder: str | Path, part: str) -> Part:
    """Map one prepared part into memory."""
    images = io.load_array(Path(folder) / f"{part}_images.npy")
    labels = io.load_array(Path(folder) / f"{part}_labels.npy")
    if len(images) != len(labels):
        raise InputError(
            f"{folder}: {len(images)} {part} images, {len(labels)} labels; delete it and run snakemake again"
        )
    return Part(images, np.asarray(labels))


def array_sha256(*arrays: NDArray[Any]) -> str:
    """SHA-256 over shapes, types and bytes of arrays."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape}{array.dtype}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()
