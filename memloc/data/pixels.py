"""Images made square: padded, or resized and cut, many at a time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memloc.data.preparing import IMAGE_TYPES, Pixels, Raw, Rows
from memloc.errors import InputError
from memloc.job import threads

if TYPE_CHECKING:
    from PIL import Image

CHUNK = 64
"""Images that a thread decodes in one go."""

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
"""What image files may hold, whatever their ending. Of PIL's other formats, some start programs (EPS)."""


def pad(images: Pixels, size: int) -> Pixels:
    """Images [n, c, s, s] in the middle of black ones."""
    before = size - images.shape[-1]
    if before < 0:
        raise InputError(f"datasets: image_size {size} is smaller than the {images.shape[-1]} pixels of the images")
    sides = (before // 2, before - before // 2)
    return np.pad(images, ((0, 0), (0, 0), sides, sides))


def fit(images: Pixels, rows: Rows, size: int) -> Pixels:
    """Rows of images [n, 3, s, s], resized unless they have that size."""
    from PIL import Image

    if images.shape[-1] == size:
        return images[rows]
    return decode(lambda row: Image.fromarray(np.ascontiguousarray(images[row].transpose(1, 2, 0))), rows, size)


def decode(image: Callable[[int], Image.Image], rows: Rows, size: int) -> Pixels:
    """Images of the rows, each square, [m, 3, size, size]; of several that can't be read, the first is named."""
    out = np.empty((len(rows), 3, size, size), dtype=np.uint8)

    def fill(start: int) -> None:
        for at in range(start, min(start + CHUNK, len(rows))):
            out[at] = square(image(int(rows[at])), size)

    with ThreadPoolExecutor(threads()) as pool:
        for _ in pool.map(fill, range(0, len(rows), CHUNK)):
            pass
    return out


def square(image: Image.Image, size: int) -> Pixels:
    """The shorter side resized (bilinear, antialiased), the middle cut out, [3, size, size].

    In one step, so that a very long image never becomes a very large one; else as torchvision's evaluation transform.
    """
    from PIL.Image import Resampling

    scaled = [size * side // min(image.size) for side in image.size]
    offsets = [round((side - size) / 2) for side in scaled]
    left, top = (o * side / s for o, side, s in zip(offsets, image.size, scaled, strict=True))
    right, bottom = ((o + size) * side / s for o, side, s in zip(offsets, image.size, scaled, strict=True))
    return np.asarray(image.resize((size, size), Resampling.BILINEAR, (left, top, right, bottom))).transpose(2, 0, 1)


def class_folders(folder: Path, part: str, image_size: int, *, reference: str) -> Raw:
    """Images in ``<folder>/<part>/<class>/``, as three channels; ``reference`` is the part that names the classes.

    Raises:
        InputError: no classes, a class that the reference part hasn't, or no images.
    """
    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Too large images are refused anyway.
    classes = _folders(folder / reference)
    if not classes:
        raise InputError(f"{folder / reference}: no class folders; put images into {folder / reference}/<class>/")
    extra = sorted({*_folders(folder / part)} - {*classes})
    if extra:
        raise InputError(
            f"{folder / part}: {', '.join(extra)} isn't among the classes of {folder / reference}; rename it"
        )
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        names = _images(folder / part / name)
        files.extend(f"{name}/{file}" for file in names)
        labels.extend([label] * len(names))
    if not files:
        raise InputError(f"{folder / part}: no images ({', '.join(IMAGE_TYPES)}) in its class folders")
    return Raw(
        np.array(labels, dtype=np.int64),
        classes,
        lambda rows: decode(lambda row: _read(folder / part / files[row]), rows, image_size),
    )


def _folders(folder: Path) -> Sequence[str]:
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _images(folder: Path) -> Sequence[str]:
    """Names of image files, hidden ones left out."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    return sorted(name for name in names if name.lower().endswith(IMAGE_TYPES) and not name.startswith("."))


def _read(file: Path) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        if not file.is_file():
            raise InputError(f"{file}: missing, or not a file; repair or remove it")  # A pipe would never end.
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
                told = f"{image.width} x {image.height} pixels, more than {Image.MAX_IMAGE_PIXELS}"
                raise InputError(f"{file}: {told}; make it smaller or remove it")
            if image.mode.startswith(("I", "F")):
                raise InputError(f"{file}: more than 8 bits a channel ({image.mode}); save it with 8")
            return image.convert("RGB")
    except InputError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: not a readable image ({reason}); repair or remove it") from error
