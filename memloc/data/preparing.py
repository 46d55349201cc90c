"""From raw files to verified parts: which images, their labels, hashes and moments."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from memloc import io
from memloc.data.archive import check_sha256sums, extracted
from memloc.data.chunks import Chunks, Keep, in_memory, into_files
from memloc.data.prepared import PARTS, Part, Pixels, Rows, array_sha256
from memloc.data.raw_files import absent, advice, folder_of, is_archived
from memloc.data.sources import SOURCES, Source
from memloc.errors import InputError
from memloc.streams import generator


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


class Description(TypedDict):
    """What ``dataset.json`` says of a prepared dataset.

    ``mean`` and ``std`` are of each channel of the training part, pixels from 0 to 1; ``sha256`` is over images and
    labels of each part, ``labels_sha256`` over its labels. Without labels, ``classes`` is empty.
    """

    source: str
    folder: str
    classes: list[str]
    image_size: int
    channels: int
    mean: list[float]
    std: list[float]
    sizes: dict[str, int]
    sha256: dict[str, str]
    labels_sha256: dict[str, str]


@dataclass(frozen=True)
class _Request:
    """An entry of the configuration's datasets; see ``prepare``."""

    source: str
    path: str | None
    classes: Sequence[int] | None
    image_size: int
    images: int | None

    @property
    def entry(self) -> Source:
        return SOURCES[self.source]


def prepare(
    source: str, *, path: str | None, classes: Sequence[int] | None, image_size: int, images: int | None = None
) -> tuple[dict[str, Part], Description]:
    """Read a source, verify it and keep the chosen classes, relabelled 0, 1, 2, ... in the order given.

    Args:
        source: a key of SOURCES.
        path: folder of the raw files; None means the source's own.
        classes: labels to keep; None keeps all.
        image_size: side of the prepared images, which are square.
        images: how many training images to draw, always the same ones; None keeps all.

    Returns:
        The parts by name and their description. Labels of a training part without labels are -1.

    Raises:
        InputError: a file is missing, altered or unreadable, or a class doesn't exist.
    """
    return _prepare(_Request(source, path, classes, image_size, images), in_memory)


def write(
    source: str,
    into: Mapping[str, str | Path],
    *,
    path: str | None,
    classes: Sequence[int] | None,
    image_size: int,
    images: int | None = None,
) -> tuple[dict[str, Part], Description]:
    """As ``prepare``, with each part's images written to a .npy file as they are read, complete or not at all.

    Memory holds the labels, the names of the files and 64 MiB of images, however many there are.

    Args:
        into: the file of each of PARTS.

    Returns:
        As ``prepare``, the images mapped into memory.
    """
    with ExitStack() as stack:
        temporary = {part: stack.enter_context(io.atomic(into[part])) for part in PARTS}
        return _prepare(_Request(source, path, classes, image_size, images), into_files(temporary))


def _prepare(request: _Request, keep: Keep) -> tuple[dict[str, Part], Description]:
    entry, folder = request.entry, folder_of(request.source, request.path)
    if folder is None:
        raise InputError(f"datasets: source {request.source} needs a path: name the folder of the raw files")
    for name in absent(entry, folder):
        raise InputError(advice(entry, name, folder, "missing"))
    if entry.unlabeled and request.classes is not None:
        raise InputError(
            f"datasets: classes {list(request.classes)}: {request.source} has no labels to choose by; leave classes out"
        )
    read = importlib.import_module(f"memloc.data.sources.{entry.module}").read
    parts: dict[str, Part] = {}
    chunks: dict[str, Chunks] = {}
    with _readable(entry, folder) as place:
        check_sha256sums(folder, [file.name for file in entry.files])
        for part in PARTS:
            raw = read(place, part, request.image_size, **entry.fixed)
            rows, labels, names = _chosen(raw, part, request, folder)
            chunks[part] = Chunks(raw.pixels, rows, request.image_size)
            parts[part] = Part(keep(part, chunks[part].shape, iter(chunks[part])), labels)
            chunks[part].add_labels(labels)
    if (np.count_nonzero(chunks["train"].histogram, axis=1) < 2).all():
        raise InputError(f"{folder}: all training images are one flat colour; check what was exported")
    mean, std = chunks["train"].moments()
    return parts, {
        "source": request.source,
        "folder": str(folder),
        "classes": [] if entry.unlabeled else names,
        "image_size": request.image_size,
        "channels": len(mean),
        "mean": [round(float(v), 6) for v in mean],
        "std": [round(float(v), 6) for v in std],
        "sizes": {name: len(part.labels) for name, part in parts.items()},
        "sha256": {name: part.sha.hexdigest() for name, part in chunks.items()},
        "labels_sha256": {name: array_sha256(part.labels) for name, part in parts.items()},
    }


@contextmanager
def _readable(entry: Source, folder: Path) -> Iterator[Path]:
    """The folder, or a temporary one with the content of its archive."""
    if is_archived(entry, folder):
        (archive,) = entry.files
        with extracted(folder / archive.name, archive.md5) as place:
            yield place
    else:
        yield folder


def _chosen(raw: Raw, part: str, request: _Request, folder: Path) -> tuple[Rows, Rows, list[str]]:
    """Rows of the images that are kept, their new labels and the names of the classes."""
    names, rows, classes = list(raw.classes), np.arange(len(raw.labels)), request.classes
    if classes is not None:
        unknown = [c for c in classes if not 0 <= c < len(names)]
        if unknown:
            raise InputError(
                f"datasets: classes {unknown} don't exist in {request.source}, which has 0 to {len(names) - 1}"
            )
        names = [names[c] for c in classes]
        rows = np.flatnonzero(np.isin(raw.labels, classes))
    drawn = request.images if part == "train" else None
    if drawn is not None:
        rows = _draw(rows, drawn, request.source)
    labels = raw.labels[rows] if classes is None else _relabel(raw.labels[rows], classes)
    if not request.entry.unlabeled:
        _check_classes(labels, names, place=folder, part=part, drawn=drawn)
    return rows, labels, names


def _draw(rows: Rows, images: int, source: str) -> Rows:
    """A random subset of the rows, in their order."""
    if images > len(rows):
        raise InputError(f"datasets: images {images}: {source} has {len(rows)} training images to draw from; lower it")
    return rows[np.sort(generator("limit", source).choice(len(rows), images, replace=False))]


def _relabel(labels: Rows, classes: Sequence[int]) -> Rows:
    new = {label: number for number, label in enumerate(classes)}
    return np.array([new[int(label)] for label in labels], dtype=np.int64)


def _check_classes(labels: Rows, names: Sequence[str], *, place: Path, part: str, drawn: int | None) -> None:
    """Refuse a single class, and a class without images."""
    if len(names) < 2:
        raise InputError(f"{place}: only {len(names)} class; two or more are needed")
    present = {names[label] for label in np.unique(labels)}
    empty = [name for name in names if name not in present]
    if empty:
        among = f" among the {drawn} drawn" if drawn is not None else ""
        raise InputError(f"{place}: no {part} images of {', '.join(empty)}{among}; every class needs some")
