"""From what a family's module reads to verified parts: which images, their labels, hashes and moments.

Images come in chunks and go where they are kept at once, so memory doesn't hold more than one chunk of them unless it
is asked to keep all.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.provenance import file_sha256
from memloc.streams import generator

PARTS = ("train", "test")
IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

Rows = NDArray[np.int64]
Pixels = NDArray[np.uint8]

CHUNK = 1 << 26
"""Bytes of images, three channels each, that are decoded in one go."""
IN_MEMORY = 1 << 30
"""Bytes of images beyond which those that are kept lie in a temporary file."""


@dataclass(frozen=True)
class Raw:
    """One part before images are chosen and decoded.

    Attributes:
        labels: [n] int64; -1 where there are none.
        classes: their names.
        pixels: rows [m] to images [m, channels, image size, image size].
    """

    labels: Rows
    classes: Sequence[str]
    pixels: Callable[[Rows], Pixels]


Keep = Callable[[str, tuple[int, ...], Iterator[Pixels]], Pixels]
"""Where a part's images go: by its name, their shape as a whole and all of them in chunks; gives them to be read."""


def preparation(
    read: Callable[[str], Raw],
    keep: Keep,
    *,
    source: str,
    folder: Path,
    image_size: int,
    required: Sequence[str],
    classes: Sequence[int] | None,
    images: int | None,
    unlabeled: bool,
) -> tuple[dict[str, Part], dict[str, Any]]:
    """The parts by name, and what is said about them; see ``memloc.data.sources.prepare``.

    Args:
        read: a part's name to what there is of it.
        keep: what becomes of the images.
        required: files of the source, which its SHA256SUMS, if one of them, must list.
        unlabeled: whether the training part has no labels; classes are then nothing to choose or check by.
    """
    if unlabeled and classes is not None:
        raise InputError(f"datasets: classes {list(classes)}: {source} has no labels to choose by; leave classes out")
    _verify(folder, required if "SHA256SUMS" in required else ())
    parts: dict[str, Part] = {}
    seen: dict[str, _Seen] = {}
    names: list[str] = []
    for part in PARTS:
        there = read(part)
        names = list(there.classes)
        rows = np.arange(len(there.labels))
        if classes is not None:
            absent = [c for c in classes if not 0 <= c < len(names)]
            if absent:
                raise InputError(f"datasets: classes {absent} don't exist in {source}, which has 0 to {len(names) - 1}")
            rows = np.flatnonzero(np.isin(there.labels, classes))
        if images is not None and part == "train":
            rows = _drawn(rows, images, source)
        if not unlabeled:
            kept = [names[c] for c in classes] if classes is not None else names
            _represented(there.labels[rows], names, kept, folder, part, images)
        labels = _relabelled(there.labels[rows], classes)
        seen[part] = _Seen(there.pixels, rows, image_size)
        parts[part] = Part(keep(part, seen[part].shape, iter(seen[part])), labels)
        seen[part].end(labels)
    histogram = seen["train"].histogram
    if (np.count_nonzero(histogram, axis=1) < 2).all():
        raise InputError(f"{folder}: all training images are one flat colour; check what was exported")
    levels, shares = np.arange(256) / 255, histogram / histogram.sum(axis=1, keepdims=True)
    mean = shares @ levels
    variance = (shares * (levels - mean[:, None]) ** 2).sum(axis=1)
    if classes is not None:
        names = [names[c] for c in classes]
    return parts, {
        "source": source,
        "folder": str(folder),
        "classes": [] if unlabeled else names,
        "image_size": image_size,
        "channels": len(histogram),
        "mean": [round(float(v), 6) for v in mean],
        "std": [round(float(v), 6) for v in np.sqrt(variance)],
        "sizes": {name: len(part.labels) for name, part in parts.items()},
        "sha256": {name: part.sha.hexdigest() for name, part in seen.items()},
    }


class _Seen:
    """The images of some rows in chunks, and what is known of them when the last has gone by.

    Attributes:
        shape: of all of them.
        histogram: [c, 256] how often each channel takes each value; moments from it need no images as floats.
        sha: over shapes, types and bytes of images and labels, as ``memloc.data.prepared.array_sha256`` has it.
    """

    def __init__(self, pixels: Callable[[Rows], Pixels], rows: Rows, size: int) -> None:
        step = max(1, CHUNK // (3 * size * size))
        self.parts = (pixels(rows[start : start + step]) for start in range(0, max(len(rows), 1), step))
        self.first = next(self.parts)
        self.shape = (len(rows), *self.first.shape[1:])
        self.histogram = np.zeros((self.shape[1], 256), dtype=np.int64)
        self.sha = hashlib.sha256(f"{self.shape}{self.first.dtype}".encode())

    def __iter__(self) -> Iterator[Pixels]:
        part: Pixels | None = self.first
        del self.first  # Nothing here holds on to a chunk once it is handed over.
        while part is not None:
            self.sha.update(np.ascontiguousarray(part).data)
            for start in range(0, len(part), 64):
                for channel, values in enumerate(part[start : start + 64].swapaxes(0, 1)):
                    self.histogram[channel] += np.bincount(values.ravel(), minlength=256)
            yield part
            part = None
            part = next(self.parts, None)

    def end(self, labels: Rows) -> None:
        """Take in the labels."""
        self.sha.update(f"{labels.shape}{labels.dtype}".encode())
        self.sha.update(np.ascontiguousarray(labels).data)


def in_memory(part: str, shape: tuple[int, ...], chunks: Iterator[Pixels]) -> Pixels:
    """Keep all images; where they are many, in a file without a name, which goes with them."""
    if np.prod(shape, dtype=np.int64) <= IN_MEMORY:
        out = np.empty(shape, dtype=np.uint8)
    else:
        with tempfile.TemporaryFile(prefix="memloc-") as file:
            out = np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
    start = 0
    for chunk in chunks:
        out[start : start + len(chunk)] = chunk
        start += len(chunk)
    return out


def into_files(paths: Mapping[str, Path]) -> Keep:
    """Write images to .npy files, by part, from where they can be mapped into memory."""

    def keep(part: str, shape: tuple[int, ...], chunks: Iterator[Pixels]) -> Pixels:
        with open(paths[part], "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for chunk in chunks:
                file.write(np.ascontiguousarray(chunk).data)
        mapped: Pixels = np.load(paths[part], mmap_mode="r", allow_pickle=False)
        return mapped

    return keep


def _drawn(rows: Rows, images: int, source: str) -> Rows:
    """That many of the rows, in their order."""
    if images > len(rows):
        raise InputError(f"datasets: images {images}: {source} has {len(rows)} training images to draw from; lower it")
    return rows[np.sort(generator("limit", source).choice(len(rows), images, replace=False))]


def _represented(
    labels: Rows, names: Sequence[str], kept: Sequence[str], folder: Path, part: str, images: int | None
) -> None:
    """Every class that is kept has images."""
    if len(kept) < 2:
        raise InputError(f"{folder}: {len(kept)} class only; two or more are needed")
    there = {names[label] for label in np.unique(labels)}
    empty = [name for name in kept if name not in there]
    if empty:
        drawn = f" among the {images} drawn" if images is not None and part == "train" else ""
        raise InputError(f"{folder}: no {part} images of {', '.join(empty)}{drawn}; every class needs some")


def _relabelled(labels: Rows, classes: Sequence[int] | None) -> Rows:
    if classes is None:
        return labels
    relabel = {label: new for new, label in enumerate(classes)}
    return np.array([relabel[int(label)] for label in labels], dtype=np.int64)


def _verify(folder: Path, required: Sequence[str]) -> None:
    """Hold every file named in the folder's SHA256SUMS, where there is one, against its hash."""
    sums = folder / "SHA256SUMS"
    if not sums.exists():
        return
    try:
        listed = [line.split(maxsplit=1) for line in sums.read_text().splitlines() if line.strip()]
        hashes = {name.lstrip("*"): expected for expected, name in listed}
    except (OSError, ValueError) as error:
        raise InputError(f"{sums}: not a list of SHA-256 sums; restore it (git checkout)") from error
    for name in required:
        if name != sums.name and name not in hashes:
            raise InputError(f"{sums}: doesn't list {name}; restore it (git checkout)")
    for name, expected in hashes.items():
        if not (folder / name).exists():
            raise InputError(f"{folder / name}: missing, though SHA256SUMS lists it; restore it (git checkout)")
        if file_sha256(folder / name) != expected:
            raise InputError(f"{folder / name}: altered or truncated (SHA-256 differs from SHA256SUMS); restore it")
