"""A user's own images, in ``train/<class>/`` and ``test/<class>/``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from memloc.data.class_folders import class_folders
from memloc.data.preparing import Raw


def read(folder: Path, part: str, image_size: int, *, labels: bool = True) -> Raw:
    """One part, its classes in alphabetical order. Without ``labels``, those of the training part are -1."""
    if labels:
        return class_folders(folder, part, image_size, reference="train")
    raw = class_folders(folder, part, image_size, reference=part)
    return replace(raw, labels=np.full_like(raw.labels, -1)) if part == "train" else raw
