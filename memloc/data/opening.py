"""Images by a text: a folder of files, a prepared dataset or a dataset by name."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from memloc.data.image_folder import ImageFolder, cannot_list
from memloc.data.images import Images
from memloc.data.prepared import PARTS
from memloc.data.stored_images import open_named, open_prepared
from memloc.errors import InputError, show


def open_images(
    text: str, *, size: int, part: str = "train", config: Path = Path("config.yaml"), strict: bool = False
) -> Images:
    """Open a folder of images, a prepared dataset (``results/data/<name>``) or a dataset that the configuration names.

    A folder of that name goes before a dataset of that name. A dataset's images are prepared as the configuration says,
    its ``image_size`` included, and resized if ``size`` is another. Only a dataset by name is in memory as a whole.

    Args:
        text: the folder or the name.
        size: side in pixels of the images that are read.
        part: train or test, of a dataset.
        config: file whose ``datasets`` are looked up.
        strict: raise for a file that can't be read instead of leaving it out.

    Raises:
        InputError: there is nothing of that name, or it can't be read.
    """
    if part not in PARTS:
        raise InputError(f"images: part {part!r} is none of {', '.join(PARTS)}")
    folder = Path(text)
    try:
        mode = os.stat(text).st_mode if text else 0  # noqa: PTH116 (Path("") is the current folder)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # A NUL is a ValueError.
        mode = 0
    except OSError as error:
        raise cannot_list(text, error) from error
    if not mode:
        return open_named(text, size=size, part=part, config=config)
    if not stat.S_ISDIR(mode):
        raise InputError(f"images: {show(text)}: is a file; name a folder of images")
    if any((folder / f"{name}_images.npy").is_file() for name in PARTS):
        return open_prepared(folder, size=size, part=part)
    return ImageFolder(folder, size=size, strict=strict)
