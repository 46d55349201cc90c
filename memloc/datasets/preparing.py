"""From what a family's module reads to verified parts: which images, their labels, hashes and moments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.prepared import Part, array_sha256
from memloc.provenance import file_sha256
from memloc.streams import generator

PARTS = ("train", "test")
IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

Rows = NDArray[np.int64]
Pixels = NDArray[np.uint8]


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


def preparation(
    read: Callable[[str], Raw],
    *,
    source: str,
    folder: Path,
    image_size: int,
    required: Sequence[str],
    classes: Sequence[int] | None,
    images: int | None,
    unlabeled: bool,
) -> tuple[dict[str, Part], dict[str, Any]]:
    """The parts by name, and what is said about them; see ``memloc.datasets.prepare``.

    Args:
        read: a part's name to what there is of it.
        required: files of the source, which its SHA256SUMS, if one of them, must list.
        unlabeled: whether the training part has no labels; classes are then nothing to choose or check by.
    """
    if unlabeled and classes is not None:
        raise InputError(f"datasets: classes {list(classes)}: {source} has no labels to choose by; leave classes out")
    _verify(folder, required if "SHA256SUMS" in required else ())
    parts: dict[str, Part] = {}
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
        parts[part] = Part(there.pixels(rows), _relabelled(there.labels[rows], classes))
    histogram = _histogram(parts["train"].images)
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
        "sha256": {name: array_sha256(part.images, part.labels) for name, part in parts.items()},
    }


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


def _histogram(images: Pixels) -> NDArray[np.int64]:
    """How often each channel [c, 256] takes each value; moments from it need no copy of the images as floats."""
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for start in range(0, len(images), 256):
        for channel, pixels in enumerate(images[start : start + 256].swapaxes(0, 1)):
            counts[channel] += np.bincount(pixels.ravel(), minlength=256)
    return counts


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
