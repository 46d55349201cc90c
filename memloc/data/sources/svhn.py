"""Street View House Numbers (Netzer et al., 2011), cropped digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from memloc.data.archive import verified
from memloc.data.pixels import fit
from memloc.data.preparing import Raw


def read(folder: Path, part: str, image_size: int) -> Raw:
    """One part; the digit 0, which the files call 10, has label 0."""
    from torchvision.datasets import SVHN

    _, name, md5 = SVHN.split_list[part]
    dataset = verified(lambda: SVHN(folder, split=part), folder, [(name, md5)])
    labels = dataset.labels.astype(np.int64)
    return Raw(labels, [str(digit) for digit in range(10)], lambda rows: fit(dataset.data, rows, image_size))
