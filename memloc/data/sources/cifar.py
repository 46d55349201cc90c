"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), in their version for Python."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from memloc.data.archive import verified
from memloc.data.pixels import fit
from memloc.data.preparing import Raw


def read(folder: Path, part: str, image_size: int, *, classes: int) -> Raw:
    """One part, with the fine labels of CIFAR-100.

    torchvision unpickles a batch only after it has checked all of them against their MD5 sums.
    """
    from torchvision.datasets import CIFAR10, CIFAR100

    kind = {10: CIFAR10, 100: CIFAR100}[classes]
    sums = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
    with warnings.catch_warnings():
        # The pickles are Python 2's, whose numpy wrote booleans as integers.
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be", category=Warning)
        dataset = verified(lambda: kind(folder, train=part == "train"), folder / kind.base_folder, sums)
    images = dataset.data.transpose(0, 3, 1, 2)
    labels = np.array(dataset.targets, dtype=np.int64)
    return Raw(labels, list(dataset.classes), lambda rows: fit(images, rows, image_size))
