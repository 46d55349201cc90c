"""A user's own images, in ``train/<class>/`` and ``test/<class>/``."""

from __future__ import annotations

from pathlib import Path

from memloc.data.class_folders import class_folders
from memloc.data.preparing import Raw


def read(folder: Path, part: str, image_size: int) -> Raw:
    """One part, its classes in alphabetical order."""
    return class_folders(folder, part, image_size, reference="train")
