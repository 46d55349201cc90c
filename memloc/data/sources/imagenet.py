"""ImageNet (Russakovsky et al., 2015), in ``train/<wnid>/`` and ``val/<wnid>/``."""

from __future__ import annotations

import re
from pathlib import Path

from memloc.data.class_folders import class_folders
from memloc.data.preparing import Raw
from memloc.errors import InputError

PARTS = {"train": "train", "test": "val"}


def read(folder: Path, part: str, image_size: int) -> Raw:
    """One part, its classes in the order of their WordNet ids; the validation images are the test part.

    Raises:
        InputError: a class folder whose name isn't a WordNet id.
    """
    raw = class_folders(folder, PARTS[part], image_size, reference=PARTS["train"], strange=False)
    for name in raw.classes:
        if not re.fullmatch(r"n\d{8}", name):
            raise InputError(
                f"{folder / PARTS[part] / name}: not a WordNet id (n and eight digits); name class folders by theirs"
            )
    return raw
