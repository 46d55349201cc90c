"""STL-10 (Coates et al., 2011), in its binary version."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from memloc.data.archive import verified
from memloc.data.pixels import fit
from memloc.data.preparing import Raw
from memloc.errors import InputError


def read(folder: Path, part: str, image_size: int, *, train: str = "train") -> Raw:
    """One part; ``train`` is the split that is trained on, "train" or "unlabeled", whose labels are -1."""
    from torchvision.datasets import STL10

    split = train if part == "train" else "test"
    base = folder / STL10.base_folder
    dataset = verified(lambda: STL10(folder, split=split), base, [*STL10.train_list, *STL10.test_list])
    classes = getattr(dataset, "classes", [])
    if len(classes) != 10:
        raise InputError(f"{base / STL10.class_names_file}: doesn't name the ten classes; get it again")
    return Raw(dataset.labels.astype(np.int64), classes, lambda rows: fit(dataset.data, rows, image_size))
