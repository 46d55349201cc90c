"""Images of a part in chunks, so that memory holds no more than one of them, and where they are kept."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memloc.data.prepared import Pixels, Rows, hash_array

CHUNK = 1 << 26
"""Bytes of images, three channels each, that are decoded together."""
IN_MEMORY = 1 << 30
"""Bytes of images beyond which ``in_memory`` keeps them in a temporary file."""

Keep: TypeAlias = Callable[[str, tuple[int, ...], Iterator[Pixels]], Pixels]
"""Keeps a part's images: from its name, the shape of all of them and the chunks to an array of them."""


class Chunks:
    """The images of some rows, in chunks, and what is computed as they pass.

    Attributes:
        shape: of all of them.
        histogram: [c, 256] how often each channel takes each value; moments from it need no images as floats.
        sha: over shapes, types and bytes of images and labels, as in ``memloc.data.prepared.array_sha256``.
    """

    def __init__(self, pixels: Callable[[Rows], Pixels], rows: Rows, size: int) -> None:
        step = max(1, CHUNK // (3 * size * size))
        self._chunks = (pixels(rows[start : start + step]) for start in range(0, max(len(rows), 1), step))
        self._first = next(self._chunks)
        self.shape = (len(rows), *self._first.shape[1:])
        self.histogram = np.zeros((self.shape[1], 256), dtype=np.int64)
        self.sha = hashlib.sha256()

    def __iter__(self) -> Iterator[Pixels]:
        """Each chunk once; nothing here holds on to a chunk once the next is requested."""
        hash_array(self.sha, self.shape, self._first.dtype, [])
        chunk: Pixels | None = self._first
        del self._first
        while chunk is not None:
            self.sha.update(np.ascontiguousarray(chunk).data)
            for start in range(0, len(chunk), 64):
                for channel, values in enumerate(chunk[start : start + 64].swapaxes(0, 1)):
                    self.histogram[channel] += np.bincount(values.ravel(), minlength=256)
            yield chunk
            chunk = None
            chunk = next(self._chunks, None)

    def add_labels(self, labels: Rows) -> None:
        """Take the labels into the hash, after the last chunk."""
        hash_array(self.sha, labels.shape, labels.dtype, [labels])

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each channel [c], of pixels from 0 to 1."""
        levels, shares = np.arange(256) / 255, self.histogram / self.histogram.sum(axis=1, keepdims=True)
        mean = shares @ levels
        variance = (shares * (levels - mean[:, None]) ** 2).sum(axis=1)
        return mean, np.sqrt(variance)


def in_memory(part: str, shape: tuple[int, ...], chunks: Iterator[Pixels]) -> Pixels:
    """Keep all images; those beyond IN_MEMORY in a file without a name, which is deleted with the array."""
    if np.prod(shape, dtype=np.int64) <= IN_MEMORY:
        images = np.empty(shape, dtype=np.uint8)
    else:
        with tempfile.TemporaryFile(prefix="memloc-") as file:
            images = np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
    start = 0
    for chunk in chunks:
        images[start : start + len(chunk)] = chunk
        start += len(chunk)
    return images


def into_files(paths: Mapping[str, Path]) -> Keep:
    """Write the images of each part to its .npy file and map them into memory from there."""

    def keep(part: str, shape: tuple[int, ...], chunks: Iterator[Pixels]) -> Pixels:
        with open(paths[part], "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for chunk in chunks:
                file.write(np.ascontiguousarray(chunk).data)
        images: Pixels = np.load(paths[part], mmap_mode="r", allow_pickle=False)
        return images

    return keep
