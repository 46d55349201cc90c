"""Small images, and files of them."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memloc import io
from memloc.data.prepared import array_sha256


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Random pixels [height, width, channels], or [height, width] for one channel."""
    pixels = np.random.default_rng(seed).integers(0, 256, size=(height, width, channels), dtype=np.uint8)
    return pixels if channels > 1 else pixels[..., 0]


def flat(colour: Any, mode: str = "RGB", side: int = 20) -> Image.Image:
    """An image of one colour."""
    return Image.new(mode, (side, side), colour)


def is_flat(pixels: NDArray[np.uint8], colour: Any) -> bool:
    """Whether all pixels [3, height, width] have one colour."""
    return np.array_equal(pixels, np.broadcast_to(np.array(colour)[:, None, None], pixels.shape))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """The bytes of an image file."""
    file = BytesIO()
    image.save(file, format=form, **options)
    return file.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of which only the header exists."""
    header = b"IHDR" + struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def put(folder: Path, *names: str, bad: tuple[str, ...] = ()) -> None:
    """Write PNG files below a folder, the i-th of colour (i, 0, 0); those in ``bad`` are empty files."""
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        flat((i, 0, 0), side=8).save(folder / name, format="PNG")
    for name in bad:
        (folder / name).write_bytes(b"")


def two_classes(root: Path, *, train: int = 3, test: int = 2) -> Path:
    """A folder of the source ``folder``: ant is (100, 0, 0), bee is (0, 0, 200), every image of another width."""
    for part, n in (("train", train), ("test", test)):
        for name, colour in (("bee", (0, 0, 200)), ("ant", (100, 0, 0))):
            (root / part / name).mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (20 + i, 30), colour).save(root / part / name / f"{i}.png")
    return root


def prepared_images(folder: Path, images: NDArray[Any]) -> str:
    """A prepared training part of these images, of two classes; returns the folder."""
    labels = np.arange(len(images)) % 2
    io.save_array(images, folder / "train_images.npy")
    io.save_array(labels, folder / "train_labels.npy")
    io.save_json({"classes": ["a", "b"], "sha256": {"train": array_sha256(images, labels)}}, folder / "dataset.json")
    return str(folder)
