"""A folder of image files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from memloc.data.decoding import flattened, read_file, reason_of, square
from memloc.data.images import Images, Loaded
from memloc.data.prepared import Pixels, Rows
from memloc.data.raw_files import IMAGE_TYPES
from memloc.errors import InputError, show

ENDINGS = (*IMAGE_TYPES, ".gif")


class ImageFolder(Images):
    """Image files below a folder, by relative path in the order of code points.

    Every image becomes a square of three channels: the shorter side is resized (bilinear, antialiased), the middle cut
    out, as by torchvision's Resize and CenterCrop. Grey is repeated; palettes and CMYK are converted; transparent parts
    lie over black; 16 bits a channel become 8; of an animation, the first frame is read. As in torchvision's
    ImageFolder, the orientation in EXIF is not applied (PIL itself applies TIFF's).

    An image can't be read where the file is empty, truncated or not an image, where it has 32-bit floats or integers
    beyond 16 bits, or where it has more pixels than PIL's limit (about 90 million). In strict mode that raises an
    InputError.
    """

    def __init__(self, folder: Path, *, size: int, strict: bool) -> None:
        self.folder, self.strict = folder, strict
        files = _files(folder)
        if not files:
            raise InputError(
                f"images: {show(folder)}: no images in it ({', '.join(ENDINGS)}); name a folder that has some"
            )
        self.files = [name for name, _ in files]
        labels, classes = _labels(self.files)
        names = [_text(name) for name in self.files] if _odd(self.files) else self.files
        sha = hashlib.sha256()
        for name, identity in files:
            sha.update(os.fsencode(name) + f"\0{identity}\0".encode())
        super().__init__(names, labels, classes, channels=3, size=size, sha256=sha.hexdigest())
        Image.init()  # Otherwise each thread would do it.

    def load(self, rows: Rows) -> Loaded:
        """Decode files one after another."""
        pixels = np.empty((len(rows), 3, self.size, self.size), dtype=np.uint8)
        readable: list[int] = []
        reasons: dict[int, str] = {}
        for row in self.checked(rows).tolist():
            try:
                pixels[len(readable)] = _decode(self._path(row), self.size)
            except InputError as error:
                if self.strict:
                    raise self._unreadable(row, error) from error
                reasons[row] = str(error)
            else:
                readable.append(row)
        return pixels[: len(readable)], np.array(readable, dtype=np.int64), reasons

    def thumbnail(self, row: int, side: int) -> Pixels:
        """The file decoded again, at that size."""
        try:
            return _decode(self._path(row), side, enlarge=False)
        except InputError as error:
            raise self._unreadable(row, error) from error

    def _path(self, row: int) -> str:
        return os.path.join(self.folder, self.files[row])  # noqa: PTH118 (a Path for each image is slow)

    def _unreadable(self, row: int, error: InputError) -> InputError:
        return InputError(f"images: {show(self._path(row))}: {error}; repair or remove it")


def cannot_list(path: str, error: OSError) -> InputError:
    """The line about a folder that can't be read."""
    return InputError(
        f"images: {show(path)}: can't be read ({error.strerror or reason_of(error)}); name another folder"
    )


def _decode(path: str, side: int, *, enlarge: bool = True) -> Pixels:
    """Read one file as a square [3, side, side]; unless ``enlarge``, of its own shorter side where that is less."""

    def convert(image: Image.Image) -> Pixels:
        image = flattened(image)
        return square(image, side if enlarge else min(side, *image.size))

    pixels = read_file(path, convert)
    return np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels


def _files(folder: Path) -> list[tuple[str, str]]:
    """Name and identity (size and time of change) of every image file below a folder, sorted.

    Each folder is listed once, under its own path rather than a link's, so loops of links end.
    """
    files: list[tuple[str, str]] = []
    links: list[tuple[str, str]] = []
    todo = [("", str(folder))]
    seen: set[tuple[int, int]] = set()
    for parent in folder.resolve().parents:  # A link to a parent of the folder is a loop too.
        with suppress(OSError):
            status = parent.stat()
            seen.add((status.st_dev, status.st_ino))
    while todo or links:
        if not todo:  # Links come last; of two to one folder, the first in order counts.
            links.sort(reverse=True)
            todo.append(links.pop())
        prefix, path = todo.pop()
        try:
            status = os.stat(path)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        todo.append((f"{prefix}{entry.name}/", entry.path))
                    elif entry.is_symlink() and Path(entry.path).is_dir():
                        links.append((f"{prefix}{entry.name}/", entry.path))
                    elif entry.name.lower().endswith(ENDINGS):
                        files.append((prefix + entry.name, _identity(entry)))
        except OSError as error:
            raise cannot_list(path, error) from error
    files.sort()
    return files


def _identity(entry: os.DirEntry[str]) -> str:
    try:
        status = entry.stat()
    except OSError:  # A broken link: reading it will say so.
        return "unreadable"
    return f"{status.st_size} {status.st_mtime_ns}"


def _labels(files: Sequence[str]) -> tuple[Rows | None, list[str]]:
    """The first folder of each file as its class, where every file lies in one of several folders."""
    folders = [file.partition("/")[0] if "/" in file else "" for file in files]
    classes = sorted(set(folders))
    if "" in classes or len(classes) < 2:
        return None, []
    index = {name: label for label, name in enumerate(classes)}
    return np.array([index[name] for name in folders], dtype=np.int64), [_text(name) for name in classes]


def _odd(names: Sequence[str]) -> bool:
    """Whether a name isn't UTF-8, as Linux permits."""
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        return True
    return False


def _text(name: str) -> str:
    r"""A name that any file can hold, with bytes that aren't UTF-8 as \udc and two digits."""
    return name.encode(errors="backslashreplace").decode()
