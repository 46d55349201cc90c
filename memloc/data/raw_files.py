"""The raw files of a source: which it is read from, and which are missing. Standard library only: planning asks."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from pathlib import Path

from memloc.data.sources import SOURCES, Source

IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Endings of image files in folders of classes, in lower case."""
MANY = 10_000
"""Images of a folder that planning lists one by one; so many take a second and 25 MB."""


def folder_of(source: str, path: str | None) -> Path | None:
    """The folder of a source's files: ``path``, else the source's own; None where it has none."""
    return Path(path) if path is not None else SOURCES[source].folder


def is_fetched(source: str, path: str | None) -> bool:
    """Whether a job fetches a source's files: they have no ``path`` and aren't in the repository."""
    entry = SOURCES[source]
    return path is None and entry.folder is not None and entry.folder != SOURCES["fashion-mnist-12k"].folder


def missing(source: str, path: str | None) -> list[str]:
    """Names of the files that ``path`` lacks; without a path, none: a job fetches them or says what to do."""
    try:
        return absent(SOURCES[source], Path(path)) if path is not None else []
    except OSError:  # The name is too long.
        return ["."]


def absent(entry: Source, folder: Path) -> list[str]:
    """Names of the files that a source needs and a folder lacks; "." is the folder itself."""
    if not folder.is_dir():
        return [entry.files[0].name] if folder == entry.folder else ["."]
    if entry.inner and not is_archived(entry, folder):
        return []
    return [file.name for file in entry.files if not (folder / file.name).exists()]


def is_archived(entry: Source, folder: Path) -> bool:
    """Whether a source is read from its archive: it has one, which isn't unpacked in the folder."""
    return entry.inner is not None and not (folder / entry.inner).is_dir()


def files(source: str, path: str | None) -> list[Path]:
    """Every file that a source is read from, whether it exists or not.

    There are two exceptions. ImageNet's two folders represent their million files. A folder of images lists the files
    that exist, or where they are more than MANY the folders of its classes: then files that are added, removed or
    renamed are noticed, but not those overwritten in place.
    """
    entry, folder = SOURCES[source], folder_of(source, path)
    if folder is None:
        return []
    if entry.inner and not is_archived(entry, folder):
        return sorted(file for file in (folder / entry.inner).iterdir() if file.is_file())
    paths = [folder / file.name for file in entry.files]
    return _images_below(paths) if entry.module == "folder" else paths


def _images_below(parts: list[Path]) -> list[Path]:
    folders = [child for part in parts for child in sorted(part.glob("*/")) if not child.name.startswith(".")]
    with suppress(OSError):  # A folder that can't be read: the job says so.
        if sum(1 for _ in islice((file for child in folders for file in child.iterdir()), MANY + 1)) > MANY:
            return folders
    return [image for part in parts for image in sorted(part.glob("*/*")) if _is_image(image.relative_to(part))]


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_TYPES and not any(part.startswith(".") for part in file.parts)


def advice(entry: Source, name: str, folder: Path, state: str) -> str:
    """The line about a file that is missing, or in another bad ``state``: where to get it and where to put it."""
    for file in entry.files:
        if file.name == name and file.addresses:
            return (
                f"{folder / name}: {state}; get {name} (MD5 {file.md5}) from {' or '.join(file.addresses)} "
                f"and put it into {folder}"
            )
    return f"{folder / name}: {state}; {way_out(entry, name, folder)}"


def way_out(entry: Source, name: str, folder: Path) -> str:
    """What to do where a source lacks a file of this name."""
    called = ("val", "valid", "validation") if entry.module == "folder" and name == "test" else ()
    other = next((part for part in called if (folder / part).is_dir()), None)
    return entry.hint if other is None else f"rename {other} to test"
