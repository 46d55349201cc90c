"""Images to score on: a folder of files, a prepared dataset or a dataset by name, read a window at a time.

However many images there are, one window of them and two more that are read ahead is all that memory holds; only a
dataset by name is prepared in memory as a whole.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from memloc import io
from memloc.data import prepared
from memloc.data.pixels import FORMATS
from memloc.data.sources import IMAGE_TYPES, PARTS, SOURCES, prepare
from memloc.errors import InputError

Pixels: TypeAlias = NDArray[np.uint8]
Rows: TypeAlias = NDArray[np.int64]

ENDINGS = (*IMAGE_TYPES, ".gif")

THREADS = min(4, os.cpu_count() or 1)
AHEAD = 2
"""Windows that are read while one is at work."""
CHUNK = 32
"""Images that a thread reads in one go: few enough to stop soon."""


class Images(ABC):
    """Images in a fixed order; the row of an image is its index.

    Attributes:
        names: one an image, printable or not: a path relative to the folder, or ``train/17``.
        labels: a class for each image [n]; None without classes.
        classes: names of the classes; empty without.
        channels: 3, or 1 where a prepared dataset is grey.
        size: side in pixels of the images that ``read`` gives.
        sha256: identifies the set, at whatever size it is read.
        skipped: row and reason of every image that couldn't be read, as far as images were read.
    """

    def __init__(
        self, names: Sequence[str], labels: Rows | None, classes: list[str], *, channels: int, size: int, sha256: str
    ) -> None:
        self.names, self.labels, self.classes = names, labels, classes
        self.channels, self.size, self.sha256 = channels, size, sha256
        self.skipped: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.names)

    def read(self, rows: Rows) -> tuple[Pixels, Rows]:
        """Pixels [k, channels, size, size] and the k of ``rows`` that could be read, in the order given.

        Raises:
            InputError: one can't be read, in strict mode.
        """
        return self.keep(self.load(rows))

    def keep(self, *loaded: tuple[Pixels, Rows, dict[int, str]]) -> tuple[Pixels, Rows]:
        """Join what ``load`` gave, and take down what it couldn't read."""
        for _, _, reasons in loaded:
            self.skipped.update(reasons)
        if len(loaded) == 1:
            return loaded[0][:2]
        return np.concatenate([pixels for pixels, _, _ in loaded]), np.concatenate([rows for _, rows, _ in loaded])

    @abstractmethod
    def load(self, rows: Rows) -> tuple[Pixels, Rows, dict[int, str]]:
        """As ``read``, with the reasons beside instead of in ``skipped``: changes nothing, so threads may call it."""

    @abstractmethod
    def thumbnail(self, row: int, side: int) -> Pixels:
        """One image [channels, side, side], or smaller where the image is: none is enlarged.

        Raises:
            InputError: it can't be read.
        """


class Folder(Images):
    """Image files below a folder, by relative path in the order of code points.

    Every image becomes a square of three channels: the shorter side is resized (bilinear, antialiased), the middle cut
    out, as by torchvision's Resize and CenterCrop. Grey is repeated; palettes and CMYK are converted; what is
    transparent lies over black; 16 bits a channel become 8; of an animation, the first frame counts. As in
    torchvision's ImageFolder, the orientation that EXIF asks for is not applied (PIL itself applies TIFF's).

    An image can't be read where the file is empty, truncated or no image, where it has 32-bit floats or integers beyond
    16 bits, or where it has more pixels than PIL warns of (about 90 million). In strict mode that raises an InputError.
    """

    def __init__(self, folder: Path, *, size: int, strict: bool) -> None:
        self.folder, self.strict = folder, strict
        found = _files(folder)
        if not found:
            raise InputError(
                f"images: {show(folder)}: no images in it ({', '.join(ENDINGS)}); name a folder that has some"
            )
        self.files = [name for name, _ in found]
        labels, classes = _labels(self.files)
        names = [_text(name) for name in self.files] if _odd(self.files) else self.files
        sha = hashlib.sha256()
        for name, identity in found:
            sha.update(os.fsencode(name) + f"\0{identity}\0".encode())
        super().__init__(names, labels, classes, channels=3, size=size, sha256=sha.hexdigest())
        Image.init()  # Before threads all do.

    def load(self, rows: Rows) -> tuple[Pixels, Rows, dict[int, str]]:
        """Decode files one after another."""
        pixels = np.empty((len(rows), 3, self.size, self.size), dtype=np.uint8)
        kept: list[int] = []
        reasons: dict[int, str] = {}
        for row in _checked(rows, len(self)).tolist():
            try:
                pixels[len(kept)] = decode(self._path(row), self.size)
            except InputError as error:
                if self.strict:
                    raise self._unreadable(row, error) from error
                reasons[row] = str(error)
            else:
                kept.append(row)
        return pixels[: len(kept)], np.array(kept, dtype=np.int64), reasons

    def thumbnail(self, row: int, side: int) -> Pixels:
        """The file decoded anew, at that size."""
        try:
            return decode(self._path(row), side, enlarge=False)
        except InputError as error:
            raise self._unreadable(row, error) from error

    def _path(self, row: int) -> str:
        return os.path.join(self.folder, self.files[row])  # noqa: PTH118 (a Path of each of many costs more)

    def _unreadable(self, row: int, error: InputError) -> InputError:
        return InputError(f"images: {show(self._path(row))}: {error}; repair or remove it")


class Stored(Images):
    """A prepared part. ``open_array`` gives its pixels, a new memory map at each call.

    A map's pages count as memory as long as it is open, so one for each read, dropped at once, keeps that bounded.
    """

    def __init__(
        self,
        open_array: Callable[[], Pixels],
        labels: Rows,
        classes: list[str],
        *,
        part: str,
        size: int,
        sha256: str,
    ) -> None:
        self.open_array = open_array
        images = open_array()
        names = [f"{part}/{i}" for i in range(len(images))]
        super().__init__(names, labels, classes, channels=images.shape[1], size=size, sha256=sha256)

    def load(self, rows: Rows) -> tuple[Pixels, Rows, dict[int, str]]:
        """Copy rows, and resize them where they are of another size."""
        rows = _checked(rows, len(self))
        stored = np.asarray(self.open_array()[rows])
        if stored.shape[-1] == self.size:
            return stored, rows, {}
        pixels = np.empty((len(rows), self.channels, self.size, self.size), dtype=np.uint8)
        for i, image in enumerate(stored):
            pixels[i] = _square(_image(image), self.size)
        return pixels, rows, {}

    def thumbnail(self, row: int, side: int) -> Pixels:
        """The stored image, resized where it is larger."""
        image = np.array(self.open_array()[row])
        return _square(_image(image), min(side, image.shape[-1]))


def open_images(
    text: str, *, size: int, part: str = "train", config: Path = Path("config.yaml"), strict: bool = False
) -> Images:
    """Open a folder of images, a prepared dataset (``results/data/<name>``) or a dataset that the configuration names.

    A folder of that name goes before a dataset of that name. A dataset's images are those the configuration asks for,
    its ``image_size`` included, resized if ``size`` is another.

    Args:
        text: the folder or the name.
        size: side in pixels of the images that come out.
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
        mode = os.stat(text).st_mode if text else 0  # noqa: PTH116 (Path("") is the folder at hand)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # A NUL is a ValueError.
        mode = 0
    except OSError as error:
        raise _closed(text, error) from error
    if not mode:
        return _named(text, size=size, part=part, config=config)
    if not stat.S_ISDIR(mode):
        raise InputError(f"images: {show(text)}: is a file; name a folder of images")
    if any((folder / f"{name}_images.npy").is_file() for name in PARTS):
        return _prepared(folder, size=size, part=part)
    return Folder(folder, size=size, strict=strict)


def stream(images: Images, rows: Rows, *, batch: int, threads: int = THREADS) -> Iterator[tuple[Pixels, Rows]]:
    """Read ``rows[:batch]``, ``rows[batch:2 * batch]``, ... in order, the next two windows while one is at work.

    Each window comes without its unreadable rows, empty if it has no other, so there are always as many windows. What
    comes out, ``skipped`` and errors included, doesn't depend on the number of threads. Threads end with the generator,
    also where it is closed early.
    """
    rows = np.asarray(rows, dtype=np.int64)
    windows = (rows[start : start + batch] for start in range(0, len(rows), batch))
    ahead: deque[list[Future[tuple[Pixels, Rows, dict[int, str]]]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="memloc-images")

    def submit() -> None:
        window = next(windows, None)
        if window is not None:
            chunks = (window[start : start + CHUNK] for start in range(0, len(window), CHUNK))
            ahead.append([pool.submit(images.load, chunk) for chunk in chunks])

    try:
        for _ in range(AHEAD):
            submit()
        while ahead:
            submit()
            # Nothing here holds on to a window once it is handed over.
            yield images.keep(*(chunk.result() for chunk in ahead.popleft()))
    finally:
        pool.shutdown(cancel_futures=True)


def decode(path: str, side: int, *, enlarge: bool = True) -> Pixels:
    """Read one file as a square [3, side, side], or of its own shorter side where that is less and ``enlarge`` false.

    Raises:
        InputError: it can't be read; the message is the reason alone.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):
            raise InputError("not a file")  # A pipe would never end.
        if not status.st_size:
            raise InputError("empty file")
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            # PIL warns of as much; a warning can't be caught safely in threads.
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
                raise InputError(_too_many(image.width, image.height))
            image.load()
            plain = _plain(image)
            pixels = _square(plain, side if enlarge else min(side, *plain.size))
    except (InputError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise InputError("not an image, or not of a known type") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(_too_many()) from error
    except OSError as error:
        raise InputError(error.strerror or f"can't be decoded ({_line(error)})") from error
    except Exception as error:  # What PIL's plugins raise for damaged files is no closed list.
        raise InputError(f"can't be decoded ({_line(error)})") from error
    return np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels


def show(name: str | Path) -> str:
    """A name as one printable line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def _too_many(*sides: int) -> str:
    return f"too many pixels{' ({} x {})'.format(*sides) if sides else ''}; the limit is {Image.MAX_IMAGE_PIXELS}"


def _line(error: Exception) -> str:
    return show(" ".join(str(error).split())) or type(error).__name__


def _plain(image: Image.Image) -> Image.Image:
    """The image as 8-bit grey or RGB."""
    if image.mode == "F":
        raise InputError("32-bit floats, whose range is anyone's guess; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise InputError("values beyond 16 bits; save it with 8 or 16")
        rounded = (values.astype(np.uint32) + 128) // 257  # 65535 = 255 * 257.
        return Image.fromarray(rounded.astype(np.uint8))
    if image.has_transparency_data:
        opaque, clear = Image.new("RGB", image.size), image.convert("RGBA")
        opaque.paste(clear, mask=clear)
        return opaque
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _square(image: Image.Image, side: int) -> Pixels:
    """Resize the shorter side and cut out the middle [channels, side, side].

    In one step, so that a very long image never becomes a very large one.
    """
    scaled = [side * length // min(image.size) for length in image.size]
    before = [round((length - side) / 2) for length in scaled]
    left, top = (b * length / s for b, length, s in zip(before, image.size, scaled, strict=True))
    right, bottom = ((b + side) * length / s for b, length, s in zip(before, image.size, scaled, strict=True))
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, (left, top, right, bottom)))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _image(pixels: Pixels) -> Image.Image:
    """A PIL image of stored pixels [1 or 3, height, width]."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _checked(rows: Rows, count: int) -> Rows:
    rows = np.asarray(rows, dtype=np.int64)
    if rows.size and not (rows.min() >= 0 and rows.max() < count):
        raise IndexError(f"rows {rows.min()} to {rows.max()} of {count} images")
    return rows


def _files(folder: Path) -> list[tuple[str, str]]:
    """Name and identity (size and time of change) of every image file below a folder, sorted.

    Each folder is listed once, under its own path rather than a link's, so loops of links end.
    """
    found: list[tuple[str, str]] = []
    links: list[tuple[str, str]] = []
    todo = [("", str(folder))]
    seen: set[tuple[int, int]] = set()
    for parent in folder.resolve().parents:  # A link to where the folder itself lies is a loop too.
        with suppress(OSError):
            status = parent.stat()
            seen.add((status.st_dev, status.st_ino))
    while todo or links:
        if not todo:  # Links only when all else is listed; the order decides which of two to one folder counts.
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
                        found.append((prefix + entry.name, _identity(entry)))
        except OSError as error:
            raise _closed(path, error) from error
    found.sort()
    return found


def _identity(entry: os.DirEntry[str]) -> str:
    try:
        status = entry.stat()
    except OSError:  # A broken link: reading it will say so.
        return "unreadable"
    return f"{status.st_size} {status.st_mtime_ns}"


def _labels(files: Sequence[str]) -> tuple[Rows | None, list[str]]:
    """Classes where every file lies in one of several folders."""
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


def _closed(path: str, error: OSError) -> InputError:
    return InputError(f"images: {show(path)}: can't be read ({error.strerror or _line(error)}); name another folder")


def _prepared(folder: Path, *, size: int, part: str) -> Stored:
    """A part of a prepared dataset, held against its hash."""
    path, again = folder / f"{part}_images.npy", "delete it and run snakemake again to make it anew"
    if not path.is_file():
        raise InputError(f"images: {show(path)}: missing, so there is no {part} part; choose the other")

    def open_array() -> Pixels:
        return io.load_array(path)

    whole = prepared.load(folder, part)
    images, labels = whole.images, np.array(whole.labels)
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[1] not in (1, 3)
        or images.shape[2] != images.shape[3]
    ):
        raise InputError(f"images: {show(path)}: not bytes of square images of 1 or 3 channels; {again}")
    if not images.size:
        raise InputError(f"images: {show(path)}: no images; {again}")
    try:
        description = io.load_json(folder / "dataset.json")
        classes, expected = [str(name) for name in description["classes"]], str(description["sha256"][part])
    except (KeyError, TypeError) as error:
        raise InputError(f"images: {show(folder / 'dataset.json')}: lacks classes or sha256; {again}") from error
    if _sha256(open_array, labels) != expected:
        raise InputError(f"images: {show(folder)}: {part} part altered since it was prepared; {again}")
    return Stored(open_array, labels.astype(np.int64), classes, part=part, size=size, sha256=expected)


def _sha256(open_array: Callable[[], Pixels], labels: NDArray[Any]) -> str:
    """What ``prepared.array_sha256`` gives for images and labels, 16 MB of the images at a time."""
    images = open_array()
    sha = hashlib.sha256(f"{images.shape}{images.dtype}".encode())
    step = max(1, 2**24 * len(images) // images.size)
    for start in range(0, len(images), step):
        sha.update(np.array(open_array()[start : start + step]).data)
    sha.update(f"{labels.shape}{labels.dtype}".encode())
    sha.update(np.ascontiguousarray(labels).data)
    return sha.hexdigest()


def _named(text: str, *, size: int, part: str, config: Path) -> Stored:
    """A dataset of the configuration, prepared in memory."""
    entry = _entry(text, config)
    try:
        parts, description = prepare(
            entry["source"],
            path=entry.get("path"),
            classes=entry.get("classes"),
            image_size=entry["image_size"],
            images=entry.get("images"),
        )
    except OSError as error:
        raise InputError(
            f"{show(config)}: datasets.{text}: can't be read ({_line(error)}); see to its files"
        ) from error
    chosen = parts[part]
    return Stored(
        lambda: chosen.images,
        chosen.labels,
        description["classes"],
        part=part,
        size=size,
        sha256=description["sha256"][part],
    )


def _entry(text: str, config: Path) -> Mapping[str, Any]:
    """What the configuration says of a dataset, as far as it is needed here."""
    place = show(config)
    try:
        with open(config, encoding="utf-8") as file:
            settings = yaml.safe_load(file)
    except FileNotFoundError as error:
        raise InputError(f"images: {show(text)!r}: no such folder, nor is there a {place} to name datasets") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{place}: can't be read ({_line(error)}), and images {show(text)!r} is no folder") from error
    datasets = settings.get("datasets") if isinstance(settings, dict) else None
    if not isinstance(datasets, dict):
        raise InputError(f"images: {show(text)!r}: no such folder, and {place} has no datasets")
    if text not in datasets:
        known = [str(name) for name in datasets]
        close = difflib.get_close_matches(text, known, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise InputError(
            f"images: {show(text)!r}: no such folder, nor a dataset of {place}; {meant}"
            f"it has {', '.join(map(show, known))}"
        )
    entry = datasets[text]
    good = (
        isinstance(entry, dict)
        and isinstance(entry.get("source"), str)
        and entry["source"] in SOURCES
        and isinstance(entry.get("path"), str | None)
        and isinstance(entry.get("image_size"), int)
        and entry["image_size"] > 0
        and isinstance(entry.get("images"), int | None)
        and (
            entry.get("classes") is None
            or (isinstance(entry["classes"], list) and all(isinstance(label, int) for label in entry["classes"]))
        )
    )
    if not good:
        raise InputError(
            f"{place}: datasets.{text}: needs a source ({', '.join(SOURCES)}) and an image_size; "
            "path and classes may follow"
        )
    return entry  # type: ignore[no-any-return]
