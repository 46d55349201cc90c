"""A folder of image files."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memloc.data.decoding import flattened, read_file, reason_of, square
from memloc.data.images import Images, Loaded
from memloc.data.left_out import FEW, LeftOut, about_lost, aside, counted, ending, some, told
from memloc.data.looking import look
from memloc.data.prepared import Pixels, Rows
from memloc.data.raw_files import IMAGE_TYPES
from memloc.errors import InputError, show, twins
from memloc.provenance import file_sha256

ENDINGS = (*IMAGE_TYPES, ".gif")
HASHED = 1 << 30
"""Bytes of all files up to which they are known by their contents; so many take some seconds."""
PART = re.compile(
    "(train(ing)?|test(ing)?|val(id(ation)?)?|dev|hold[-_ ]?out|eval)([-_ ]?(set|part|split|data|images))?[-_ ]?[0-9]*",
    re.IGNORECASE,
)
"""What folders of the parts of a set are called."""
IMAGES = frozenset({"image", "images", "img", "imgs"})
MASKS = frozenset({"mask", "masks", "annotation", "annotations", "label", "labels", "segmentation", "segmentations"})
"""What folders of images, and of images that describe them, are called, in lower case."""


class ImageFolder(Images):
    """Image files below a folder, by relative path in the order of code points.

    Every image becomes a square of three channels: the shorter side is resized (bilinear, antialiased), the middle cut
    out, as by torchvision's Resize and CenterCrop. Grey is repeated; palettes and CMYK are converted; transparent parts
    lie over black; 16 bits a channel become 8; of an animation, the first frame is read. As in torchvision's
    ImageFolder, the orientation in EXIF is not applied (PIL itself applies TIFF's).

    ``sha256`` is over names and contents; where the files have more than HASHED bytes, over names, sizes and times.

    An image can't be read where the file is empty, truncated or not an image, where it has 32-bit floats or integers
    beyond 16 bits, or where it has more pixels than PIL's limit (about 90 million). In strict mode that raises an
    InputError.

    The class of an image is the first folder of its path; where the first folders are parts of a set (train, val), the
    second. ``unlabelled`` says why there are no classes, and what to do.
    """

    def __init__(self, folder: Path, *, size: int, strict: bool) -> None:
        self.folder, self.strict = folder, strict
        listing = _listing(folder)
        files = listing.files
        if not files:
            left = told(listing.left)
            raise InputError(
                f"images: {show(folder)}: no images in it ({', '.join(ENDINGS)}), but {left or 'nothing'}"
                f"{'' if 'convert' in left else '; name a folder that has some'}"
            )
        self.files = [name for name, _ in files]
        self.parts = _parts(self.files)
        labels, classes, self.unlabelled = _labels(folder, listing, depth=1 if self.parts else 0)
        self._left, lost = told(listing.left), listing.lost(1 if self.parts else 0)
        self._lost = about_lost(lost) if lost and classes else ""
        self._bytes = np.array([_bytes(identity) for _, identity in files], dtype=np.int64)
        names = [_text(name) for name in self.files] if _odd(self.files) else self.files
        sha = hashlib.sha256()
        self._hashed = int(self._bytes[self._bytes > 0].sum()) <= HASHED
        for row, (name, identity) in enumerate(files):
            known = (self._content(row) if self._hashed else identity) or "unreadable"
            sha.update(os.fsencode(name) + f"\0{known}\0".encode())
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

    def taken(self, label: str) -> list[str]:
        """See ``Images.taken``; files are opened for it.

        Raises:
            InputError: one can't be read, in strict mode.
        """
        label = show(label)
        looks = look(self._path, len(self), flattened)
        if looks.whole:
            self.unreadable = {row: seen.reason for row, seen in enumerate(looks.looks) if seen.reason}
        if self.strict and self.unreadable:
            row = min(self.unreadable)
            raise self._unreadable(row, InputError(self.unreadable[row]))
        sides = looks.sides(self.size)
        first = [self._first(label) + (f" (files: {sides})" if sides else "")]
        first += [f"left out: {self._left}"] if self._left else []
        first += [unreadable] if (unreadable := looks.unreadable()) else []
        lines = ["; ".join(first)]
        if not self._hashed:
            lines.append(
                f"{label}: more than {HASHED >> 30} GiB, so that files are known by their names, sizes and times alone"
            )
        if self.labels is None and self.unlabelled:
            lines.append(f"{label}: no classes: {self.unlabelled}")
        if self.parts:
            one = next((part for part in self.parts if part.lower().startswith("train")), self.parts[0])
            lines.append(
                f"{label}: {some(self.parts)} are parts of a set, not classes, and are all taken; for one of them, name"
                f" {label.rstrip('/')}/{show(one)}"
            )
        lines += [f"{label}: {self._lost}"] if self._lost else []
        lines += [f"{label}: {note}" for note in self._about_names()]
        return lines + [f"{label}: {line}" for line in looks.lines()]

    def digests(self, rows: Rows) -> NDArray[np.uint64]:
        """Hashes of whole files."""
        found = np.zeros(len(rows), dtype=np.uint64)
        for i, row in enumerate(self.checked(rows).tolist()):
            if content := self._content(row):
                found[i] = int.from_bytes(bytes.fromhex(content)[:8], "little")
        return found

    def sizes(self, rows: Rows) -> Rows:
        """Bytes of each file; -1 of one that can't be read."""
        return self._bytes[self.checked(rows)]

    def _about_names(self) -> list[str]:
        """What is odd about names of files and classes."""
        notes, depth = [], 2 if self.parts else 1
        deeper = sum(name.count("/") > depth for name in self.files)
        if self.labels is not None and deeper:
            lie, count = ("lies", "counts") if deeper == 1 else ("lie", "count")
            notes.append(f"{counted(deeper, 'image')} {lie} in a folder within a class's and {count} to that class")
        stems = Counter(os.path.splitext(name)[0] for name in self.files)  # noqa: PTH122 (a Path each is slow)
        twice = sorted(name for name in self.files if stems[os.path.splitext(name)[0]] > 1)  # noqa: PTH122
        if twice:
            several = counted(sum(count > 1 for count in stems.values()), "name")
            notes.append(f"{several} with several endings ({some(twice)}): if these are copies, remove one of each")
        if IMAGES.intersection(map(str.lower, self.classes)):
            notes += [f"{show(name)} is taken for a class: if it describes the images beside it, take it away"
                      for name in self.classes if name.lower() in MASKS]  # fmt: skip
        notes += [f"{' and '.join(same)} are {('two', 'several')[len(same) > 2]} classes: if they are one,"
                  " rename a folder" for same in twins(self.classes)][:FEW]  # fmt: skip
        return notes

    def _path(self, row: int) -> str:
        return os.path.join(self.folder, self.files[row])  # noqa: PTH118 (a Path for each image is slow)

    def _content(self, row: int) -> str:
        """SHA-256 of a file; empty where it can't be read."""
        path = self._path(row)
        with suppress(OSError):
            if stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (reading a pipe would never end)
                return file_sha256(path)
        return ""

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


@dataclass
class _Listing:
    """What lies below a folder: image files with their identities, what is left out, and all folders."""

    files: list[tuple[str, str]] = field(default_factory=list)
    left: list[LeftOut] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def lost(self, depth: int) -> dict[str, list[LeftOut]]:
        """Folders at a depth, 0 for the first, that have files or could have, but no image; and what is in each."""
        held = {_head(name, depth) for name, _ in self.files}
        lost: dict[str, list[LeftOut]] = {
            folder: [] for folder in sorted(self.folders) if folder.count("/") == depth and folder not in held
        }
        for each in self.left:
            if (folder := _head(each.name, depth)) in lost:
                lost[folder].append(each)
        return lost


def _head(name: str, depth: int) -> str:
    """The folder at a depth that a file is in; empty if it isn't in one."""
    parts = name.split("/")
    return "/".join(parts[: depth + 1]) if len(parts) > depth + 1 else ""


def _listing(folder: Path) -> _Listing:
    """Every image file below a folder, with its size and time of change, sorted; and what else there is.

    Each folder is listed once, under its own path rather than a link's, so loops of links end.
    """
    found = _Listing()
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
                found.left.append(LeftOut(prefix.rstrip("/"), "repeated by a link"))
                continue
            seen.add((status.st_dev, status.st_ino))
            if prefix:
                found.folders.append(prefix.rstrip("/"))
            with os.scandir(path) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if why := aside(entry.name):
                        found.left.append(LeftOut(name, why))
                    elif entry.is_dir(follow_symlinks=False):
                        todo.append((f"{name}/", entry.path))
                    elif entry.is_symlink() and Path(entry.path).is_dir():
                        links.append((f"{name}/", entry.path))
                    elif entry.name.lower().endswith(ENDINGS):
                        found.files.append((name, _identity(entry)))
                    else:
                        found.left.append(LeftOut(name, ending(entry.name)))
        except OSError as error:
            raise cannot_list(path, error) from error
    found.files.sort()
    return found


def _identity(entry: os.DirEntry[str]) -> str:
    try:
        status = entry.stat()
    except OSError:  # A broken link: reading it will say so.
        return "unreadable"
    return f"{status.st_size} {status.st_mtime_ns}"


def _parts(files: Sequence[str]) -> list[str]:
    """The first folders, where two or more of them are called as the parts of a set are.

    One of two is enough where both hold the same folders, two or more.
    """
    folders = sorted({file.partition("/")[0] for file in files if "/" in file})
    called = sum(bool(PART.fullmatch(name)) for name in folders)
    if called == 1 and len(folders) == 2:
        one, other = (
            {_head(file, 1).partition("/")[2] for file in files if file.startswith(f"{name}/")} for name in folders
        )
        return folders if one == other and len(one) > 1 and "" not in one else []
    return folders if called > 1 else []


def _bytes(identity: str) -> int:
    """The size of a file by its identity."""
    size = identity.partition(" ")[0]
    return int(size) if size.isdecimal() else -1


def _labels(folder: Path, listing: _Listing, *, depth: int) -> tuple[Rows | None, list[str], str]:
    """The folder at a depth of each file as its class, where every file lies in one of several; else why not."""
    files = [name for name, _ in listing.files]
    folders = [file.split("/")[depth] if file.count("/") > depth else "" for file in files]
    classes = sorted(set(folders))
    if "" not in classes and len(classes) > 1:
        index = {name: label for label, name in enumerate(classes)}
        return np.array([index[name] for name in folders], dtype=np.int64), [_text(name) for name in classes], ""
    if classes == [""]:
        parts = some(_parts(files)) if depth else ""
        return None, [], parts and f"{parts} are parts of a set, not classes, and hold no folders of classes"
    reasons = []
    if "" in classes:
        stray = [file for file, name in zip(files, folders, strict=True) if not name]
        verb, them = ("lies", "it") if len(stray) == 1 else ("lie", "them")
        reasons.append(
            f"{counted(len(stray), 'image')} {verb} in no class folder ({some(stray)}): move {them} into one, or away"
        )
    elif lost := listing.lost(depth):
        reasons.append(about_lost(lost))
    else:
        inner = os.path.commonpath([file.rpartition("/")[0] for file in files])
        below = sorted({file[len(inner) + 1 :].partition("/")[0] for file in files})
        if inner and all("/" in file[len(inner) + 1 :] for file in files):
            what = f", which holds {some(below)}: if these are the classes, name {show(folder / inner)}"
        else:
            what = ": one class isn't enough, put others beside it"
        reasons.append(f"all images lie in {show(inner or classes[0])}{what}")
    return None, [], "; ".join(reasons)


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
