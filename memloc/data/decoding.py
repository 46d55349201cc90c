"""Image files, and arrays of pixels, to squares of bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from memloc.data.prepared import Pixels
from memloc.errors import InputError, one_line

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
"""What image files may hold, whatever their ending. Of PIL's other formats, some start programs (EPS)."""

T = TypeVar("T")


def read_file(path: str, convert: Callable[[Image.Image], T]) -> T:
    """Open an image file, check it and convert its first frame.

    Raises:
        InputError: it can't be read, or ``convert`` refuses it; the message is the reason alone.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):
            raise InputError("not a file")  # Reading a pipe would never end.
        if not status.st_size:
            raise InputError("empty file")
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            # PIL warns of as much; a warning can't be caught safely in threads.
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
                raise InputError(_too_many(image.width, image.height))
            image.load()
            return convert(image)
    except (InputError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise InputError("not an image, or not of a known type") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(_too_many()) from error
    except OSError as error:
        raise InputError(error.strerror or f"can't be decoded ({reason_of(error)})") from error
    except Exception as error:  # PIL's plugins raise many kinds of errors for damaged files.
        raise InputError(f"can't be decoded ({reason_of(error)})") from error


def reason_of(error: Exception) -> str:
    """What an error says, in one line."""
    return one_line(str(error)) or type(error).__name__


def _too_many(*sides: int) -> str:
    return f"too many pixels{' ({} x {})'.format(*sides) if sides else ''}; the limit is {Image.MAX_IMAGE_PIXELS}"


def as_rgb(image: Image.Image) -> Image.Image:
    """An image of 8 bits a channel as RGB; transparency is ignored.

    Raises:
        InputError: it has more than 8 bits a channel.
    """
    if image.mode.startswith(("I", "F")):
        raise InputError(f"more than 8 bits a channel ({image.mode})")
    return image.convert("RGB")


def flattened(image: Image.Image) -> Image.Image:
    """An image as 8-bit grey or RGB; transparent parts lie over black, 16 bits a channel become 8.

    Raises:
        InputError: it has floats, or integers beyond 16 bits.
    """
    if image.mode == "F":
        raise InputError("32-bit floats; only 8 and 16 bits are supported")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise InputError("values beyond 16 bits; only 8 and 16 bits are supported")
        rounded = (values.astype(np.uint32) + 128) // 257  # 65535 = 255 * 257.
        return Image.fromarray(rounded.astype(np.uint8))
    if image.has_transparency_data:
        opaque, clear = Image.new("RGB", image.size), image.convert("RGBA")
        opaque.paste(clear, mask=clear)
        return opaque
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def square(image: Image.Image, size: int) -> Pixels:
    """The shorter side resized (bilinear, antialiased) and the middle cut out, [1 or 3, size, size].

    In one step, so that a very long image never becomes a very large one; else as torchvision's evaluation transform.
    """
    scaled = [size * side // min(image.size) for side in image.size]
    offsets = [round((side - size) / 2) for side in scaled]
    left, top = (o * side / s for o, side, s in zip(offsets, image.size, scaled, strict=True))
    right, bottom = ((o + size) * side / s for o, side, s in zip(offsets, image.size, scaled, strict=True))
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, (left, top, right, bottom)))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def to_image(pixels: Pixels) -> Image.Image:
    """A PIL image of pixels [1 or 3, height, width]."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
