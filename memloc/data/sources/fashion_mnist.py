"""Fashion-MNIST (Xiao et al., 2017), in its four idx files."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from pathlib import Path

import numpy as np

from memloc.data.pixels import pad
from memloc.data.preparing import Raw
from memloc.errors import InputError

CLASSES = [
    "T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
LARGEST = 1 << 28
"""Bytes of an idx file; the largest of Fashion-MNIST's has 47 million."""
IDX = tuple(f"{part}-{kind}.gz" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))


def read(folder: Path, part: str, image_size: int) -> Raw:
    """One part: the idx files unpacked into a temporary folder and read by torchvision's own dataset."""
    from torchvision.datasets import FashionMNIST

    with tempfile.TemporaryDirectory(prefix="memloc-") as root:
        unpacked = Path(root) / "FashionMNIST" / "raw"
        unpacked.mkdir(parents=True)
        for name in IDX:
            try:
                with gzip.open(folder / name) as file:
                    content = file.read(LARGEST + 1)
                if len(content) > LARGEST:
                    raise InputError(f"{folder / name}: unpacks to more than {LARGEST} bytes; get it again")
                (unpacked / name.removesuffix(".gz")).write_bytes(content)
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(f"{folder / name}: not a complete gzip file ({error}); get it again") from error
        try:
            dataset = FashionMNIST(root, train=part == "train")
        except (AssertionError, ValueError, RuntimeError) as error:
            raise InputError(f"{folder}: not Fashion-MNIST's idx files ({error}); get them again") from error
        images, labels = dataset.data.numpy(), dataset.targets.numpy().astype(np.int64)
    if labels.max(initial=0) >= len(CLASSES):
        raise InputError(f"{folder}: a {part} label of {labels.max()}, but there are ten classes; get the files again")
    if len(images) != len(labels):
        raise InputError(f"{folder}: {len(images)} {part} images but {len(labels)} labels; get the files again")
    return Raw(labels, CLASSES, lambda rows: pad(images[rows][:, None], image_size))
