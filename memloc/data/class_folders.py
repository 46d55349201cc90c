"""Images in one folder for each class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from memloc.data.decoding import as_rgb, read_file, square
from memloc.data.left_out import LeftOut, about_lost, aside, ending, some, told
from memloc.data.looking import look
from memloc.data.pixels import in_threads
from memloc.data.prepared import Pixels
from memloc.data.preparing import Raw
from memloc.data.raw_files import IMAGE_TYPES
from memloc.errors import InputError
from memloc.job import log


def class_folders(folder: Path, part: str, image_size: int, *, reference: str, strange: bool = True) -> Raw:
    """Images in ``<folder>/<part>/<class>/``, as three channels. The job's log tells what was taken and left out.

    Args:
        reference: the part that names the classes.
        strange: whether nobody knows the images yet, so that they are looked at for what reading changes.

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
    names, left = [], _outside(folder / part)
    for name in classes:
        images, others = _images(folder / part, name)
        names.append(images)
        left += others
    files = [f"{name}/{file}" for name, of_class in zip(classes, names, strict=True) for file in of_class]
    if not files:
        but = f", but {told(left)}" if left else ""
        raise InputError(f"{folder / part}: no images ({', '.join(IMAGE_TYPES)}) in its class folders{but}")
    _tell(folder / part, dict(zip(classes, map(len, names), strict=True)), left)
    if strange:
        looks = look(lambda row: str(folder / part / files[row]), len(files), as_rgb, clear="see-through")
        for line in looks.lines():
            log.info("%s", f"{folder / part}: {line}")
    labels = np.repeat(np.arange(len(classes)), [len(of_class) for of_class in names])
    return Raw(
        labels,
        classes,
        lambda rows: in_threads(
            lambda row: _read(folder / part / files[row], image_size), rows, (3, image_size, image_size)
        ),
    )


def _folders(folder: Path) -> Sequence[str]:
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not aside(child.name))


def _images(part: Path, name: str) -> tuple[list[str], list[LeftOut]]:
    """Names of image files of a class, and what else lies in its folder."""
    images: list[str] = []
    left: list[LeftOut] = []
    if not (part / name).is_dir():
        return images, left
    with os.scandir(part / name) as entries:
        for entry in entries:
            if why := aside(entry.name):
                left.append(LeftOut(f"{name}/{entry.name}", why))
            elif entry.name.lower().endswith(IMAGE_TYPES):
                images.append(entry.name)
            elif entry.is_dir():
                inner = (Path(where, file) for where, _, found in os.walk(entry.path) for file in found)
                left += [
                    LeftOut(str(file.relative_to(part)), "outside class folders")
                    for file in inner
                    if file.suffix.lower() in IMAGE_TYPES
                ]
            else:
                left.append(LeftOut(f"{name}/{entry.name}", ending(entry.name)))
    return sorted(images), left


def _outside(part: Path) -> list[LeftOut]:
    """What lies beside the class folders."""
    left = []
    with os.scandir(part) as entries:
        for entry in entries:
            if why := aside(entry.name):
                left.append(LeftOut(entry.name, why))
            elif not entry.is_dir():
                image = entry.name.lower().endswith(IMAGE_TYPES)
                left.append(LeftOut(entry.name, "outside class folders" if image else ending(entry.name)))
    return left


def _tell(part: Path, sizes: Mapping[str, int], left: Sequence[LeftOut]) -> None:
    """Say in the job's log what was taken and left out."""
    classes = f"of {len(sizes)} classes ({some(f'{name} {size}' for name, size in sizes.items())})"
    lost = {
        name: [each for each in left if each.name.startswith(f"{name}/")] for name, size in sizes.items() if not size
    }
    log.info("%s", f"{part}: {sum(sizes.values())} images {classes}" + (f"; left out: {told(left)}" if left else ""))
    if lost:
        log.info("%s", f"{part}: {about_lost(lost)}")


def _read(file: Path, size: int) -> Pixels:
    try:
        return read_file(str(file), lambda image: square(as_rgb(image), size))
    except InputError as error:
        raise InputError(f"{file}: {error}; repair or remove it") from error
