"""Images in one folder for each class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from memloc.data.decoding import as_rgb, read_file, square
from memloc.data.pixels import in_threads
from memloc.data.prepared import Pixels
from memloc.data.preparing import Raw
from memloc.data.raw_files import IMAGE_TYPES
from memloc.errors import InputError


def class_folders(folder: Path, part: str, image_size: int, *, reference: str) -> Raw:
    """Images in ``<folder>/<part>/<class>/``, as three channels; ``reference`` is the part that names the classes.

    Raises:
        InputError: no classes, a class that the reference part lacks, or no images.
    """
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Images that are too large are refused anyway.
    classes = _folders(folder / reference)
    if not classes:
        raise InputError(f"{folder / reference}: no class folders; put images into {folder / reference}/<class>/")
    extra = sorted({*_folders(folder / part)} - {*classes})
    if extra:
        raise InputError(
            f"{folder / part}: {', '.join(extra)} isn't among the classes of {folder / reference}; rename it"
        )
    names = [_images(folder / part / name) for name in classes]
    files = [f"{name}/{file}" for name, of_class in zip(classes, names, strict=True) for file in of_class]
    if not files:
        raise InputError(f"{folder / part}: no images ({', '.join(IMAGE_TYPES)}) in its class folders")
    labels = np.repeat(np.arange(len(classes)), [len(of_class) for of_class in names])
    return Raw(
        labels,
        classes,
        lambda rows: in_threads(
            lambda row: _read(folder / part / files[row], image_size), rows, (3, image_size, image_size)
        ),
    )


def _folders(folder: Path) -> Sequence[str]:
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _images(folder: Path) -> Sequence[str]:
    """Names of image files, except hidden ones."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    return sorted(name for name in names if name.lower().endswith(IMAGE_TYPES) and not name.startswith("."))


def _read(file: Path, size: int) -> Pixels:
    try:
        return read_file(str(file), lambda image: square(as_rgb(image), size))
    except InputError as error:
        raise InputError(f"{file}: {error}; repair or remove it") from error
