"""Images of datasets: prepared ones, and those that the configuration names."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import numpy as np

from memloc import io
from memloc.data import prepared
from memloc.data.decoding import reason_of, square, to_image
from memloc.data.images import Images, Loaded
from memloc.data.prepared import Pixels, Rows, hash_array
from memloc.data.preparing import prepare
from memloc.data.raw_files import folder_of
from memloc.data.sources import SOURCES
from memloc.errors import InputError, show
from memloc.plain_yaml import load_plain

CHUNK = 1 << 24
"""Bytes of images that are hashed at a time."""
AGAIN = "delete it and run snakemake again to make it anew"


class StoredImages(Images):
    """A prepared part. ``open_array`` returns its pixels, a new memory map at each call.

    A map's pages count as memory as long as it is open, so one for each read, dropped at once, keeps that bounded.
    """

    def __init__(
        self,
        open_array: Callable[[], Pixels],
        labels: Rows,
        classes: list[str],
        *,
        part: str,
        size: int,
        sha256: str,
    ) -> None:
        self.open_array = open_array
        images = open_array()
        names = [f"{part}/{i}" for i in range(len(images))]
        super().__init__(names, labels, classes, channels=images.shape[1], size=size, sha256=sha256)
        self.part = part

    def load(self, rows: Rows) -> Loaded:
        """Copy rows, and resize them where they have another size."""
        rows = self.checked(rows)
        stored = np.asarray(self.open_array()[rows])
        if stored.shape[-1] == self.size:
            return stored, rows, {}
        pixels = np.empty((len(rows), self.channels, self.size, self.size), dtype=np.uint8)
        for i, image in enumerate(stored):
            pixels[i] = square(to_image(image), self.size)
        return pixels, rows, {}

    def thumbnail(self, row: int, side: int) -> Pixels:
        """The stored image, resized where it is larger."""
        image = np.array(self.open_array()[row])
        return square(to_image(image), min(side, image.shape[-1]))


def open_prepared(folder: Path, *, size: int, part: str) -> StoredImages:
    """A part of a prepared dataset, checked against its hash.

    Raises:
        InputError: it is missing, altered or unreadable.
    """
    path = folder / f"{part}_images.npy"
    if not path.is_file():
        raise InputError(f"images: {show(path)}: missing, so there is no {part} part; choose the other")

    def open_array() -> Pixels:
        return io.load_array(path)

    whole = prepared.load(folder, part)
    images, labels = whole.images, np.array(whole.labels)
    grey_or_rgb = images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[2] == images.shape[3]
    if images.dtype != np.uint8 or not grey_or_rgb:
        raise InputError(f"images: {show(path)}: not square uint8 images of 1 or 3 channels; {AGAIN}")
    if not images.size:
        raise InputError(f"images: {show(path)}: no images; {AGAIN}")
    try:
        description = io.load_json(folder / "dataset.json")
        classes, expected = [str(name) for name in description["classes"]], str(description["sha256"][part])
    except (KeyError, TypeError) as error:
        raise InputError(f"images: {show(folder / 'dataset.json')}: lacks classes or sha256; {AGAIN}") from error
    sha, step = hashlib.sha256(), max(1, CHUNK * len(images) // images.size)
    chunks = (np.array(open_array()[start : start + step]) for start in range(0, len(images), step))
    hash_array(sha, images.shape, images.dtype, chunks)
    hash_array(sha, labels.shape, labels.dtype, [labels])
    if sha.hexdigest() != expected:
        raise InputError(f"images: {show(folder)}: {part} part altered since it was prepared; {AGAIN}")
    return StoredImages(open_array, labels.astype(np.int64), classes, part=part, size=size, sha256=expected)


def open_named(name: str, *, size: int, part: str, config: Path) -> StoredImages:
    """A dataset of the configuration, prepared in memory.

    Raises:
        InputError: the configuration can't be read or doesn't describe such a dataset, or its files can't be read.
    """
    entry = _entry(name, config)
    try:
        parts, description = prepare(
            entry["source"],
            path=entry.get("path"),
            classes=entry.get("classes"),
            image_size=entry["image_size"],
            images=entry.get("images"),
        )
    except OSError as error:
        raise InputError(
            f"{show(config)}: datasets.{name}: can't be read ({reason_of(error)}); check its files"
        ) from error
    return StoredImages(
        lambda: parts[part].images,
        parts[part].labels,
        description["classes"],
        part=part,
        size=size,
        sha256=description["sha256"][part],
    )


def folder_of_named(name: str, config: Path) -> Path | None:
    """The folder that a dataset of the configuration is read from; None where it has none.

    Raises:
        InputError: the configuration can't be read or doesn't describe such a dataset.
    """
    entry = _entry(name, config)
    return folder_of(entry["source"], entry.get("path"))


class _Required(TypedDict):
    source: str
    image_size: int


class _Entry(_Required, total=False):
    """The keys of a dataset in the configuration that are read here."""

    path: str | None
    classes: list[int] | None
    images: int | None


def _entry(name: str, config: Path) -> _Entry:
    """The configuration's entry of a dataset."""
    place, wanted = show(config), f"images: {show(name)!r}: no such folder"
    if not config.exists():
        raise InputError(f"{wanted}, and no {place} that could name a dataset")
    try:
        settings = load_plain(config)
    except InputError as error:
        raise InputError(f"{wanted}, and {error}") from error
    datasets = settings.get("datasets")
    if not isinstance(datasets, dict):
        raise InputError(f"{wanted}, and {place} has no datasets")
    if name not in datasets:
        names = [str(key) for key in datasets]
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise InputError(f"{wanted}, and no dataset of {place}; {hint}it has {', '.join(map(show, names))}")
    entry = datasets[name]
    if not _complete(entry):
        raise InputError(
            f"{place}: datasets.{name}: needs a source ({', '.join(SOURCES)}) and an image_size; "
            "path, classes and images are optional"
        )
    return entry  # type: ignore[no-any-return]


def _complete(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("source"), str)
        and entry["source"] in SOURCES
        and isinstance(entry.get("path"), str | None)
        and isinstance(entry.get("image_size"), int)
        and entry["image_size"] > 0
        and isinstance(entry.get("images"), int | None)
        and (
            entry.get("classes") is None
            or (isinstance(entry["classes"], list) and all(isinstance(label, int) for label in entry["classes"]))
        )
    )
