"""Images that are in memory or that a data set hands out: arrays, PyTorch's data sets and loaders, Hugging Face's.

None of these libraries is imported: what an object can do says what it is.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from memloc.data.decoding import flattened, reason_of, square, to_image
from memloc.data.images import Images, Loaded, digest
from memloc.data.left_out import counted
from memloc.data.prepared import Pixels, Rows
from memloc.errors import InputError, one_line, show

IMAGE_KEYS = ("image", "img", "pixel_values", "picture")
LABEL_KEYS = ("label", "labels", "fine_label", "class", "target")
"""What columns of images and of classes are called."""
KINDS = (
    "a folder, an array [n, height, width, 3] or [n, 3, height, width], a Dataset, a DataLoader, a Hugging Face dataset"
)


@dataclass(frozen=True)
class Items:
    """Images before their size is settled.

    Attributes:
        get: the image of a row, as its source gives it.
        names: of the images.
        labels, classes: of each image, if known.
        kind: what they were taken for, and what was done about it.
    """

    get: Callable[[int], Any]
    names: Sequence[str]
    labels: Rows | None
    classes: list[str]
    kind: str


class LiveImages(Images):
    """Images of a source in memory, read again whenever they are needed, one at a time: sources may not bear threads.

    Args:
        what: they are called in messages.
        size: side at which they are read; None takes their own, where all are squares of one.
        strict: stop at an image that can't be read instead of skipping it.

    Raises:
        InputError: there are none, they aren't pixels, or one comes otherwise each time.
    """

    def __init__(self, items: Items, what: str, *, size: int | None, strict: bool) -> None:
        self._items, self._what, self._strict = items, what, strict
        self._lock = threading.Lock()
        self.rounded = 0
        self._digests: dict[int, int] = {}
        sha, sides, bad, highest = hashlib.sha256(), set(), {}, 0.0
        super().__init__(items.names, items.labels, items.classes, channels=3, size=size or 1, sha256="")
        for row in range(len(items.names)):
            try:
                image, rounded, most = self._image(row)
                content = _content(image)
                self._digests[row] = digest(content)
                self.rounded += rounded
                highest = max(highest, most)
                sides.add(image.size)
                sha.update(content)
            except _UnreadableError as error:
                bad[row] = str(error)
                sha.update(b"unreadable")
        if len(bad) == len(items.names):
            raise InputError(f"{what}: none of {counted(len(bad), 'image')} can be read ({bad[0]})")
        if bad and strict:
            raise InputError(f"{what}: image {min(bad)}: {bad[min(bad)]}; repair or remove it")
        if 0 < highest * 255 < 1.001:
            raise InputError(f"{what}: no pixel is above 1/255; if they were divided by 255 twice, divide them once")
        self.unreadable, self.sha256 = bad, sha.hexdigest()
        own = next(iter(sides)) if len(sides) == 1 else (0, 1)
        self.side = own[0] if own[0] == own[1] else None

    def load(self, rows: Rows) -> Loaded:
        """Read images one after another."""
        pixels, readable, reasons = [], [], {}
        for row in self.checked(rows).tolist():
            try:
                pixels.append(_square(self._again(row), self.size))
                readable.append(row)
            except _UnreadableError as error:
                reasons[row] = str(error)
        stacked = np.stack(pixels) if pixels else np.empty((0, 3, self.size, self.size), dtype=np.uint8)
        return stacked, np.array(readable, dtype=np.int64), reasons

    def thumbnail(self, row: int, side: int) -> Pixels:
        """The image again, at that size or its own."""
        try:
            image = self._again(row)
        except _UnreadableError as error:
            raise InputError(f"{self._what}: image {row}: {error}") from error
        return _square(image, min(side, *image.size))

    def taken(self, label: str) -> list[str]:
        """See ``Images.taken``."""
        lines = [f"{self._first(label)}; {self._items.kind}"]
        if self.unreadable:
            row = min(self.unreadable)
            lines.append(
                f"{label}: {counted(len(self.unreadable), 'image')} can't be read, the first is {row}"
                f" ({self.unreadable[row]})"
            )
        if self.rounded:
            lines.append(f"{label}: {counted(self.rounded, 'image')} of floats, rounded to 256 levels")
        return lines

    def _again(self, row: int) -> Image.Image:
        """An image as it was when it was first read."""
        image = self._image(row)[0]
        if digest(_content(image)) != self._digests.get(row):
            raise InputError(
                f"{self._what}: image {row} comes otherwise each time; take random transforms out of the data set, as"
                " memloc draws its own views"
            )
        return image

    def _image(self, row: int) -> tuple[Image.Image, bool, float]:
        """An image, whether rounding changed it, and its highest pixel as it was handed in, 1 where none is a float."""
        try:
            with self._lock:
                found = self._items.get(row)
        except Exception as error:
            raise _UnreadableError(reason_of(error)) from error
        if isinstance(found, Image.Image):
            try:
                return flattened(found), False, 1.0
            except (InputError, OSError) as error:
                raise _UnreadableError(str(error)) from error
        return _of_array(found, f"{self._what}: image {row}")


class _UnreadableError(Exception):
    """One image can't be read, and others may."""


def given(images: Any, what: str, labels: Any = None) -> Items | str:
    """What was handed in as images; the text of a folder or of a data set's name stays one.

    Args:
        what: the argument is called, for messages.
        labels: a class for each image, where ``images`` has none.

    Raises:
        InputError: it isn't any kind of images, or the labels don't fit.
    """
    if isinstance(images, str | os.PathLike):
        if labels is not None:
            raise InputError(f"labels: {show(images)} has the classes in its folders; leave labels out")
        return os.fspath(images)
    items = _opened(images, what)
    if not items.names:
        raise InputError(f"{what}: no images; give 2 or more")
    if labels is None:
        return items
    if hasattr(labels, "reindex"):
        labels = _along(labels, items.names)
    own, classes = _classes(labels, [], "labels")
    if own is None or len(own) != len(items.names):
        count = 0 if own is None else len(own)
        raise InputError(f"labels: {count} for {counted(len(items.names), 'image')}; give one for each")
    return replace(items, labels=own, classes=classes)


def _along(labels: Any, names: Sequence[str]) -> Any:
    """Labels of a pandas Series, whose index names images where it isn't 0, 1, ..."""
    index = [str(name) for name in labels.index]
    if index == _numbers(len(index)):
        return labels.tolist()
    by_name = dict(zip(index, labels.tolist(), strict=True))
    if len(by_name) != len(index) or by_name.keys() != set(names):
        raise InputError(
            "labels: the index of the Series doesn't name the images; if they are in the images' order, give"
            " labels.tolist()"
        )
    return [by_name[name] for name in names]


def _opened(images: Any, what: str) -> Items:
    if hasattr(images, "dataset") and hasattr(images, "batch_size"):
        return _of_loader(images, what)
    if hasattr(images, "__array__"):
        pixels = _array(images)
        if pixels.ndim not in (3, 4):
            raise InputError(
                f"{what}: an array {list(pixels.shape)}; give [n, height, width, 3] or [n, 3, height, width]"
            )
        kind = "an array" if pixels.ndim == 4 else "an array [n, height, width] of grey images"
        return Items(lambda row: pixels[row], _numbers(len(pixels)), None, [], kind)
    if not (hasattr(images, "__len__") and hasattr(images, "__getitem__")) or isinstance(images, Mapping):
        raise InputError(f"{what}: {type(images).__name__} isn't images in an order of their own; give {KINDS}")
    if hasattr(images, "column_names") and hasattr(images, "features"):
        return _of_columns(images, what)
    return _of_dataset(images, what)


def _of_loader(loader: Any, what: str) -> Items:
    """The data set behind a loader, where the loader leaves nothing of it out."""
    items = _opened(loader.dataset, what)
    batches = type(getattr(loader, "batch_sampler", None)).__name__
    sampler = type(getattr(loader, "sampler", None)).__name__
    whole = sampler == "SequentialSampler" or (
        sampler == "RandomSampler" and len(loader.sampler) == len(loader.dataset) and not loader.sampler.replacement
    )
    if not whole or batches not in ("BatchSampler", "NoneType"):
        chooser = sampler if not whole else batches
        raise InputError(f"{what}: the loader's {chooser} chooses among its images; give those as a data set (Subset)")
    return Items(
        items.get,
        items.names,
        items.labels,
        items.classes,
        f"{items.kind}, which a loader hands out: all, in its order",
    )


def _of_dataset(data: Any, what: str) -> Items:
    """A sequence of images, of (image, label, ...) or of mappings."""
    if not len(data):
        return Items(data.__getitem__, [], None, [], "")
    kind = f"a {type(data).__name__}"
    try:
        first = data[0]
    except Exception as error:
        raise InputError(f"{what}: the first image can't be read ({reason_of(error)}); repair the data set") from error
    if isinstance(first, Mapping):
        image, label = _keys(first, first, what)
        labels = None if label is None else [data[row][label] for row in range(len(data))]
        own, classes = _classes(labels, getattr(data, "classes", ()), what)
        return Items(lambda row: data[row][image], _names(data), own, classes, kind)
    if not isinstance(first, tuple | list):
        return Items(lambda row: data[row], _names(data), None, [], kind)
    stored = _stored_labels(data)
    if stored is None and len(first) > 1:
        stored = [data[row][1] for row in range(len(data))]
    own, classes = _classes(stored, _class_names(data), what)
    return Items(lambda row: data[row][0], _names(data), own, classes, kind)


def _of_columns(data: Any, what: str) -> Items:
    """A data set of Hugging Face's: columns, of which one holds images."""
    image, label = _keys(data.column_names, data[0] if len(data) else {}, what)
    names: Iterable[Any] = ()
    if label is not None:
        names = getattr(data.features[label], "names", None) or ()
    own, classes = _classes(None if label is None else list(data[label]), names, what)
    told = "no column of classes" if label is None else f"classes from the column {show(label)}"
    kind = f"a {type(data).__name__}: images from the column {show(image)}, {told}"
    return Items(lambda row: data[row][image], _numbers(len(data)), own, classes, kind)


def _keys(columns: Iterable[Any], first: Mapping[Any, Any], what: str) -> tuple[Any, Any]:
    """The columns of images and of classes, None where there is none."""
    columns = list(columns)
    image = next((key for key in IMAGE_KEYS if key in columns), None)
    if image is None:
        image = next((key for key in columns if isinstance(first.get(key), Image.Image)), None)
    if image is None:
        raise InputError(f"{what}: no column of images among {', '.join(map(show, columns))}; call it image")
    return image, next((key for key in LABEL_KEYS if key in columns), None)


def _names(data: Any) -> list[str]:
    """Names of a data set's images: their paths, where it is made of files, or else their numbers."""
    with suppress(Exception):
        paths = [os.fspath(path) for path, *_ in data.samples]
        if len(paths) == len(data):
            return [os.path.relpath(path, data.root).replace(os.sep, "/") for path in paths]
    return _numbers(len(data))


def _numbers(count: int) -> list[str]:
    return [str(row) for row in range(count)]


def _stored_labels(data: Any) -> Sequence[Any] | None:
    """Labels that a data set knows without opening its images."""
    inner, indices = getattr(data, "dataset", None), getattr(data, "indices", None)
    if inner is not None and indices is not None:  # A subset.
        stored = _stored_labels(inner)
        return None if stored is None else [stored[int(index)] for index in indices]
    targets = getattr(data, "targets", None)
    # What a transform makes of them isn't known.
    if targets is None or getattr(data, "target_transform", None) is not None or len(targets) != len(data):
        return None
    return list(targets)


def _class_names(data: Any) -> Sequence[str]:
    while not hasattr(data, "classes") and hasattr(data, "dataset"):
        data = data.dataset
    return getattr(data, "classes", ())


def _classes(labels: Iterable[Any] | None, names: Iterable[Any], what: str) -> tuple[Rows | None, list[str]]:
    """A number for each image and the names of the classes; none where labels aren't classes."""
    if labels is None:
        return None, []
    plain = [_plain(label) for label in labels]
    known = [str(name) for name in names]
    whole = all(isinstance(label, int) and not isinstance(label, bool) for label in plain)
    if whole and known and all(0 <= label < len(known) for label in plain):
        return np.array(plain, dtype=np.int64), known
    if not all(isinstance(label, int | str | bool | float) for label in plain):
        odd = next(label for label in plain if not isinstance(label, int | str | bool | float))
        raise InputError(f"{what}: a label is {type(odd).__name__}; give one class for each image, a number or a text")
    if any(label != label for label in plain):
        raise InputError(f"{what}: a label is nan; give one class for each image, a number or a text")
    order = sorted(set(plain), key=lambda label: (isinstance(label, str), label))
    index = {label: number for number, label in enumerate(order)}
    return np.array([index[label] for label in plain], dtype=np.int64), [str(label) for label in order]


def _plain(label: Any) -> Any:
    """A label of an array or tensor as Python has it."""
    with suppress(ValueError, RuntimeError):
        return label.item() if hasattr(label, "item") else label
    return label


def _array(value: Any) -> Any:
    """An array of what may be a tensor on a device."""
    for step in ("detach", "cpu"):
        value = getattr(value, step)() if hasattr(value, step) else value
    return np.asarray(value)


def _content(image: Image.Image) -> bytes:
    return f"{image.mode}{image.size}".encode() + image.tobytes()


def _of_array(value: Any, what: str) -> tuple[Image.Image, bool, float]:
    """Pixels in whatever order as an image, whether rounding changed them, and the highest of floats, else 1.

    Raises:
        InputError: they aren't pixels, as no other image of this source will be.
    """
    if not hasattr(value, "__array__"):
        raise InputError(f"{what}: {type(value).__name__} isn't an image; give an array or a PIL image")
    pixels = _array(value)
    if pixels.ndim == 2:
        pixels = pixels[None]
    elif pixels.ndim == 3 and pixels.shape[0] not in (1, 3) and pixels.shape[-1] in (1, 3):
        pixels = pixels.transpose(2, 0, 1)
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3) or not pixels.size:
        raise InputError(
            f"{what}: an array {list(pixels.shape)}; give [height, width, 3] or [3, height, width], or grey"
        )
    if pixels.dtype == np.uint8:
        return to_image(pixels), False, 1.0
    if pixels.dtype.kind != "f":
        raise InputError(f"{what}: pixels of {pixels.dtype}; give uint8, or floats from 0 to 1")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):
        found = "pixels that aren't finite" if low != low or high != high else f"pixels from {low:.3g} to {high:.3g}"
        way_out = (
            "divide them by 255, or give uint8"
            if 0 <= low <= 1 < high <= 255
            else "take the normalisation out of the transforms, and give its mean and std to memloc.score"
        )
        raise InputError(one_line(f"{what}: {found}, not from 0 to 1; {way_out}"))
    levels = pixels.astype(np.float64) * 255
    rounded = np.round(levels)
    return to_image(rounded.astype(np.uint8)), bool(np.abs(levels - rounded).max() > 1e-3), high


def _square(image: Image.Image, size: int) -> Pixels:
    """An image as [3, size, size]: its shorter side resized, the middle cut out, grey repeated."""
    if image.size == (size, size):
        pixels = np.asarray(image)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    else:
        pixels = square(image, size)
    return np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else np.ascontiguousarray(pixels)
