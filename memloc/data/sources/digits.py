"""Handwritten digits (Alpaydin and Kaynak, 1998) of 8 x 8 pixels, in the file that comes with scikit-learn."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from memloc.data.pixels import fit
from memloc.data.preparing import Raw
from memloc.errors import InputError

FILE = "digits.csv.gz"
SIDE = 8
INK = 16
"""The largest value of a pixel: ink on all of its 16 dots; 0 is paper."""

TRAIN = 1347
"""Images of the training part, the first three quarters of 1,797: the file itself has no parts."""


def read(folder: Path, part: str, image_size: int) -> Raw:
    """One part; a row of the file is an image, row by row, and its digit."""
    try:
        table = np.loadtxt(gzip.decompress((folder / FILE).read_bytes()).decode().splitlines(), delimiter=",", ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(
            f"{folder / FILE}: not a gzip file of numbers ({error}); install scikit-learn again"
        ) from error
    values, labels = table[:, :-1], table[:, -1]
    if values.shape[1] != SIDE * SIDE or len(table) <= TRAIN or values.min() < 0 or values.max() > INK:
        raise InputError(f"{folder / FILE}: not 1,797 digits of 64 pixels from 0 to 16; install scikit-learn again")
    rows = slice(None, TRAIN) if part == "train" else slice(TRAIN, None)
    images = np.rint(values[rows] * (255 / INK)).astype(np.uint8).reshape(-1, 1, SIDE, SIDE)
    names = [str(digit) for digit in range(10)]
    return Raw(labels[rows].astype(np.int64), names, lambda at: fit(images, at, image_size))
