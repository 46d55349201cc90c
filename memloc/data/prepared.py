"""Prepared datasets: uint8 arrays, mapped into memory. Where they come from is memloc.data.preparing's business."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from memloc import io
from memloc.errors import InputError

if TYPE_CHECKING:
    from hashlib import _Hash

PARTS = ("train", "test")
"""Parts of a dataset."""
Pixels: TypeAlias = NDArray[np.uint8]
"""Images [n, channels, height, width], or one without its first axis."""
Rows: TypeAlias = NDArray[np.int64]
"""Rows of images, or their labels [n]."""


@dataclass(frozen=True)
class Part:
    """Images [n, channels, height, width] uint8 and labels [n] int64 of one part."""

    images: Pixels
    labels: Rows


def load(folder: str | Path, part: str) -> Part:
    """Map one prepared part into memory.

    Raises:
        InputError: a file is missing or unreadable, or there are not as many labels as images.
    """
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
        hash_array(sha, array.shape, array.dtype, [array])
    return sha.hexdigest()


def hash_array(sha: _Hash, shape: tuple[int, ...], dtype: DTypeLike, chunks: Iterable[NDArray[Any]]) -> None:
    """Take one array into a hash as ``array_sha256`` does, from chunks along its first axis."""
    sha.update(f"{shape}{dtype}".encode())
    for chunk in chunks:
        sha.update(np.ascontiguousarray(chunk).data)
