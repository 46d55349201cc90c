"""Doing passes over images: each resumes, each can be split into shards, and shards merge exactly."""

from __future__ import annotations

import re
import time
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from memloc.data.augment import for_encoder
from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.images import stream
from memloc.errors import InputError
from memloc.job import log
from memloc.measuring.batches import TOGETHER
from memloc.measuring.one_pass import measure_batches
from memloc.models.network import Normalise
from memloc.scoring.passes import Pass, Result, Settings
from memloc.scoring.stores import Rows, Store
from memloc.streams import stream as seed_of

PARTS = r"\.?\w+-\w+-\d+of\d+(\.mu)?(\.\w{8})?\.(npz|npy)"
"""Names of the files that work is kept in, and of those that are being written."""

SAVE_EVERY = 20.0
"""Seconds of work that a kill can cost."""


class Progress(typing.Protocol):
    """What counts images as they are done."""

    def update(self, n: float | None = 1) -> object:
        """``n`` more are done."""


def window_of(size: int) -> int:
    """Images in a window: their views fit in memory and keep the cores busy."""
    return max(4, 64 * 32**2 // size**2)


@dataclass(frozen=True)
class Shard:
    """Shard ``number`` of ``of`` of every pass, counted from 1."""

    number: int = 1
    of: int = 1

    def windows(self, count: int) -> range:
        """Which of the ``count`` windows of a pass it does."""
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)


@dataclass(frozen=True)
class Part:
    """What one shard does of a pass.

    Args:
        folder: where its work is kept; None keeps nothing.
    """

    task: Pass
    settings: Settings
    shard: Shard
    folder: Path | None

    @property
    def window(self) -> int:
        """Images in a window."""
        return window_of(self.task.encoder.size)

    @property
    def windows(self) -> range:
        """Which windows of the pass it does."""
        return self.shard.windows(-(-len(self.task.rows) // self.window))

    @property
    def rows(self) -> Rows:
        """Which rows of the pass it does."""
        return self.task.rows[self.windows.start * self.window : self.windows.stop * self.window]

    @property
    def needs_activations(self) -> bool:
        """Whether all activations are kept, which a median needs."""
        return self.settings.others == "median" and self.task.units

    @property
    def path(self) -> Path | None:
        """The file of its result."""
        return (
            None if self.folder is None else self.folder / f"{self.task.name}-{self.shard.number}of{self.shard.of}.npz"
        )

    def store(self) -> Store:
        """Its activations, opened."""
        path = None if self.path is None else self.path.with_suffix(".mu.npy")
        return Store(path, self.rows, sum(self.task.counts))

    def save(self, result: Result) -> None:
        """Keep what was measured so far."""
        if self.path is not None:
            skipped = self.task.images.skipped
            result.skipped = {row: skipped[row] for row in self.rows.tolist() if row in skipped}
            result.flush()
            result.save(self.path)

    def kept(self) -> Result | None:
        """What an earlier call kept; None, with a line in the log, if that is damaged and must be computed again."""
        if self.path is None or not self.path.exists():
            return None
        result = Result(self.task, self.settings)
        try:
            result.load(self.path)
            whole = self._whole(result)
        except (InputError, KeyError, ValueError, TypeError):
            whole = False
        activations = self.path.with_suffix(".mu.npy")
        if self.needs_activations and not Store.whole(activations, (len(self.rows), sum(self.task.counts))):
            activations.unlink(missing_ok=True)
            whole = False
        if not whole:
            log.info("%s is damaged and computed again", self.path)
            self.path.unlink()
            return None
        return result

    def _whole(self, result: Result) -> bool:
        """Whether a result has as many images as its windows hold."""
        rows = self.rows[: result.done * self.window]
        readable = len(rows) - len(result.skipped.keys() & {*rows.tolist()})
        return (
            0 <= result.done <= len(self.windows)
            and (result.tally is None or result.tally.points == readable)
            and (not self.task.alignment or sum(map(len, result.rows)) == readable)
        )


def one_blas_thread() -> AbstractContextManager[object]:
    """Numpy's products on one thread inside: its threads wait for work by spinning, on the cores that networks need."""
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


def run(
    task: Pass,
    settings: Settings,
    *,
    shard: Shard,
    folder: Path | None,
    progress: Progress,
    stop: Callable[[], bool] = lambda: False,
    device: str = "cpu",
) -> Result:
    """Do a pass, from where an earlier call stopped.

    Args:
        folder: where work is kept; None keeps nothing.
        stop: called after each window; if it returns true, work is saved and KeyboardInterrupt raised.
    """
    part = Part(task, settings, shard, folder)
    result = part.kept() or Result(task, settings)
    if part.needs_activations:
        result.stores = [part.store()]
    progress.update(min(result.done * part.window, len(part.rows)))
    task.images.skipped.update(result.skipped)
    if result.done < len(part.windows):
        batches = measure_batches(
            task.encoder.module,
            _images(part, result, progress, stop, batch=part.window * TOGETHER.get(device, 1)),
            layers=task.layers,
            protocol=settings.protocol,
            augmentation=for_encoder(AUGMENTATIONS[settings.augmentation], task.encoder.module),
            normalise=Normalise({"mean": [*task.encoder.mean], "std": [*task.encoder.std]}),
            seed=seed_of("views", settings.seed, task.source),
            alignment=task.alignment,
            plain=bool(task.classes),
            activations=task.units,
            device=device,
        )
        with one_blas_thread():
            for batch in batches:
                result.take(batch)
            result.flush()
        part.save(result)
    elif part.path is not None and not part.path.exists():
        part.save(result)  # A shard without windows is joined as well.
    return result


def _images(
    part: Part, result: Result, progress: Progress, stop: Callable[[], bool], *, batch: int
) -> Iterator[tuple[NDArray[np.uint8], Rows]]:
    """The images that are left, ``batch`` at a time; counts and saves those that ``result`` has taken in."""
    rows, saved = part.rows[result.done * part.window :], time.monotonic()
    for number, (images, points) in enumerate(stream(part.task.images, rows, batch=batch)):
        yield images, points
        # The next images are wanted, so all of these have been taken in.
        seen = len(rows[number * batch : (number + 1) * batch])
        result.done += -(-seen // part.window)
        progress.update(seen)
        if stop():
            part.save(result)
            raise KeyboardInterrupt
        if time.monotonic() - saved > SAVE_EVERY:
            part.save(result)
            saved = time.monotonic()


def gather(task: Pass, settings: Settings, *, folder: Path) -> Result | None:
    """A pass joined from its finished shards; None if some are missing."""
    names = [re.fullmatch(rf"{re.escape(task.name)}-(\d+)of(\d+)\.npz", path.name) for path in folder.glob("*.npz")]
    counts = Counter(int(name[2]) for name in names if name)
    for of, count in sorted(counts.items()):
        if count >= of:
            total = _joined([Part(task, settings, Shard(number, of), folder) for number in range(1, of + 1)])
            if total is not None:
                task.images.skipped.update(total.skipped)
                return total
        elif of > 1:
            log.info("%s: only %d of %d shards are finished; the whole pass is computed here", task.name, count, of)
    return None


def _joined(parts: Sequence[Part]) -> Result | None:
    """The results of all shards as one; None if one is unfinished or damaged."""
    total = Result(parts[0].task, parts[0].settings)
    for part in parts:
        result = part.kept()
        if result is None or result.done < len(part.windows):
            return None
        if part.needs_activations:
            result.stores = [part.store()]
        total.merge(result)
    return total
