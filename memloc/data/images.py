"""A user's images, read a window at a time: one window, and two more that are read ahead, is all that memory holds."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memloc.data.left_out import counted, some
from memloc.data.prepared import Pixels, Rows
from memloc.errors import show

Loaded: TypeAlias = tuple[Pixels, Rows, dict[int, str]]
"""Pixels [k, channels, size, size], the k rows that could be read, and the reason for each of the others."""

THREADS = min(4, os.cpu_count() or 1)
AHEAD = 2
"""Windows that are read while one is processed."""
CHUNK = 32
"""Images that a thread reads at a time: few enough to stop soon."""


def digest(content: bytes) -> int:
    """The first 64 bits of a hash."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")


class Images(ABC):
    """Images in a fixed order; the row of an image is its index.

    Attributes:
        names: of each image, printable or not: a path relative to the folder, or ``train/17``.
        labels: a class for each image [n]; None without classes.
        classes: names of the classes; empty without.
        channels: 3, or 1 where a prepared dataset is grey.
        size: side in pixels of the images that ``read`` returns.
        sha256: identifies the images, whatever the size at which they are read.
        skipped: row and reason of every image that couldn't be read, so far.
        unreadable: row and reason of every image that can't be read, as far as ``taken`` looked.
        part: of a dataset, train or test; empty for a folder of images.
    """

    def __init__(
        self, names: Sequence[str], labels: Rows | None, classes: list[str], *, channels: int, size: int, sha256: str
    ) -> None:
        self.names, self.labels, self.classes = names, labels, classes
        self.channels, self.size, self.sha256 = channels, size, sha256
        self.skipped: dict[int, str] = {}
        self.unreadable: Mapping[int, str] = {}
        self.part = ""

    def __len__(self) -> int:
        return len(self.names)

    def read(self, rows: Rows) -> tuple[Pixels, Rows]:
        """Pixels [k, channels, size, size] and the k of ``rows`` that could be read, in the order given.

        Raises:
            InputError: one can't be read, in strict mode.
        """
        return self.join(self.load(rows))

    def join(self, *loaded: Loaded) -> tuple[Pixels, Rows]:
        """Join what ``load`` returned, and record in ``skipped`` what it couldn't read."""
        for _, _, reasons in loaded:
            self.skipped.update(reasons)
        if len(loaded) == 1:
            return loaded[0][:2]
        return np.concatenate([pixels for pixels, _, _ in loaded]), np.concatenate([rows for _, rows, _ in loaded])

    @abstractmethod
    def load(self, rows: Rows) -> Loaded:
        """As ``read``, with the reasons returned instead of recorded: threads may call it, as it changes nothing."""

    @abstractmethod
    def thumbnail(self, row: int, side: int) -> Pixels:
        """One image [channels, side, side], or smaller where the image is: none is enlarged.

        Raises:
            InputError: it can't be read.
        """

    def taken(self, label: str) -> list[str]:
        """What there is and what was left out, in one line; and a line for each thing that a user should know.

        Args:
            label: what the user calls the images.
        """
        return [self._first(label)]

    def _first(self, label: str) -> str:
        """How many images can be read, as far as is known, of which classes, and the size at which they are read."""
        rows = self.readable(np.arange(len(self)))
        part = f" ({self.part} part)" if self.part else ""
        classes = "without classes"
        if self.classes and self.labels is not None:
            sizes = np.bincount(self.labels[rows], minlength=len(self.classes))
            each = some(f"{name} {size}" for name, size in zip(self.classes, sizes, strict=True))
            classes = f"of {counted(len(self.classes), 'class', plural='classes')} ({each})"
        return f"{show(label)}{part}: {counted(len(rows), 'image')} {classes}, read at {self.size} x {self.size} pixels"

    def readable(self, rows: Rows) -> Rows:
        """The rows whose images aren't known to be unreadable."""
        return rows[~np.isin(rows, [*self.unreadable])]

    def digests(self, rows: Rows) -> NDArray[np.uint64]:
        """A hash of each row's image, by which equal ones are known; 0 for one that can't be read."""
        found = np.zeros(len(rows), dtype=np.uint64)
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            pixels, readable, _ = self.load(chunk)
            at = start + np.flatnonzero(np.isin(chunk, readable))
            found[at] = [digest(image.tobytes()) for image in pixels]
        return found

    def sizes(self, rows: Rows) -> Rows:
        """A number for each image that is the same for equal ones, such as the size of its file; cheap to know."""
        return np.zeros(len(rows), dtype=np.int64)

    def checked(self, rows: Rows) -> Rows:
        """The rows as int64.

        Raises:
            IndexError: one doesn't exist.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)} images")
        return rows


def stream(images: Images, rows: Rows, *, batch: int, threads: int = THREADS) -> Iterator[tuple[Pixels, Rows]]:
    """Read ``rows[:batch]``, ``rows[batch:2 * batch]``, ... in order, the next two windows while one is processed.

    Each window comes without its unreadable rows, and is empty where none is readable, so the number of windows is
    fixed. The output, ``skipped`` and errors included, doesn't depend on the number of threads. Threads end with the
    generator, also where it is closed early.
    """
    rows = np.asarray(rows, dtype=np.int64)
    windows = (rows[start : start + batch] for start in range(0, len(rows), batch))
    ahead: deque[list[Future[Loaded]]] = deque()
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
            # Nothing here holds on to a window once the next is requested.
            yield images.join(*(chunk.result() for chunk in ahead.popleft()))
    finally:
        pool.shutdown(cancel_futures=True)
