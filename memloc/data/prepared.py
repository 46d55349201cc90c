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
from memloc.errors import AGAIN, InputError

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
        InputError: a file is missing or unreadable, labels aren't those that were prepared, or there are not as many as
            images.
    """
    images = io.load_array(Path(folder) / f"{part}_images.npy")
    labels = load_labels(folder, part)
    if len(images) != len(labels):
        raise InputError(f"{folder}: {len(images)} {part} images, {len(labels)} labels; {AGAIN}")
    return Part(images, labels)


def load_labels(folder: str | Path, part: str) -> Rows:
    """The labels of one prepared part, held against their hash where ``dataset.json`` has it.

    Raises:
        InputError: a file is missing or unreadable, or the labels aren't those that were prepared.
    """
    path, about = Path(folder) / f"{part}_labels.npy", Path(folder) / "dataset.json"
    labels = np.asarray(io.load_array(path))
    description = io.load_json(about) if about.exists() else {}
    hashes = description.get("labels_sha256") if isinstance(description, dict) else None
    if isinstance(hashes, dict) and hashes.get(part) != array_sha256(labels):
        raise InputError(f"{path}: altered since it was prepared; {AGAIN}")
    return labels


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
