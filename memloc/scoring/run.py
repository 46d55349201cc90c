"""Scoring in passes over images: each resumes, each can be split into shards, and shards merge exactly."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from memloc import io
from memloc.data.augment import for_encoder
from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.images import Images, stream
from memloc.errors import InputError
from memloc.job import log
from memloc.measuring.batches import TOGETHER
from memloc.measuring.one_pass import measure_batches
from memloc.measuring.protocol import Protocol as Measuring
from memloc.measuring.reader import Batch
from memloc.metrics.tally import ClassTally, Tally
from memloc.metrics.units import median_of_others
from memloc.models.architectures import Layer
from memloc.models.network import Normalise
from memloc.scoring.encoders import OpenEncoder
from memloc.streams import generator
from memloc.streams import stream as seed_of

Rows = NDArray[np.int64]

SAVE_EVERY = 20.0
"""Seconds of work that a kill can cost."""
JOINED = 64
"""Images whose activations are tallied together."""


class Progress(Protocol):
    """What is told of images as they are done."""

    def update(self, n: float | None = 1) -> Any:
        """So many more are done."""


@dataclass(frozen=True)
class Settings:
    """Every choice behind the numbers; the paper's where it makes one.

    Attributes:
        protocol: how views are compared and activations read.
        augmentation: recipe of the views, a name in ``memloc.data.augment.AUGMENTATIONS``.
        normalisation: of SSLMem: ratio, range or none.
        others: UnitMem and ClassMem against the mean or the median of the others.
        dead: value of a unit that nothing excites: zero or nan.
        hook: where a layer is read: paper, before or after normalisation and activation.
        seed: of views, resamples and permutations.
        replicates: cuts of the images into quarters behind UnitMem's intervals.
        shuffles: permutations of the labels behind ClassMem's null.
        kept: highest activations kept of each unit, with their images.
    """

    protocol: Measuring = field(default_factory=Measuring)
    augmentation: str = "normal"
    normalisation: str = "ratio"
    others: str = "mean"
    dead: str = "zero"
    hook: str = "paper"
    seed: int = 0
    replicates: int = 32
    shuffles: int = 20
    kept: int = 16


@dataclass(frozen=True)
class Pass:
    """One encoder on one set of images.

    Attributes:
        name: as in file names.
        encoder: the encoder, its layers.
        images, rows: which images of which set.
        source: names the set, so that two sets have different views and resamples.
        units: whether activations are tallied.
        matched: rows of a subset that is tallied on its own as well, to be compared with a set of its size.
        classes: number of classes; 0 where labels aren't used.
        alignment: whether views are compared.
        counts: number of units of each layer.
    """

    name: str
    encoder: OpenEncoder
    layers: tuple[Layer, ...]
    images: Images
    rows: Rows
    source: str
    units: bool = True
    matched: Rows | None = None
    classes: int = 0
    alignment: bool = False
    counts: tuple[int, ...] = ()

    def spans(self) -> dict[str, slice]:
        """Where each layer's units lie among all of them."""
        ends = np.cumsum(self.counts).tolist()
        places = zip(self.layers, self.counts, ends, strict=True)
        return {layer.name: slice(end - count, end) for layer, count, end in places if layer.units}


class Result:
    """What a pass has found out so far, over the windows ``done`` of it.

    Attributes:
        tally, matched: activations of all rows, and of the matched subset.
        classes: class sums of the images as they are.
        rows, alignment: rows in order, and their [rows, layers, HALVES].
        skipped: row and reason of every image that couldn't be read.
    """

    def __init__(self, task: Pass, settings: Settings) -> None:
        units = sum(task.counts)
        seed = seed_of("resamples", settings.seed, task.source)
        options = {"keep": settings.kept, "replicates": settings.replicates, "seed": seed}
        self.task, self.done = task, 0
        self.tally = Tally(units, **options) if task.units else None
        self.matched = Tally(units, **options) if task.units and task.matched is not None else None
        self.classes = ClassTally(units, labellings(task, settings), task.classes) if task.classes else None
        self.rows: list[Rows] = []
        self.alignment: list[NDArray[np.floating]] = []
        self.skipped: dict[int, str] = {}
        self.stores: list[Store] = []
        self._waiting: list[Batch] = []

    def take(self, batch: Batch) -> None:
        """Take in a batch."""
        if batch.alignment is not None:
            self.rows.append(batch.points)
            self.alignment.append(batch.alignment)
        if self.tally is not None:
            self._waiting.append(batch)
            if sum(len(b.points) for b in self._waiting) >= JOINED:
                self.flush()

    def flush(self) -> None:
        """Tally what waits for being tallied together."""
        if not self._waiting or self.tally is None:
            return
        waiting, self._waiting = self._waiting, []
        points = np.concatenate([batch.points for batch in waiting])
        mu = np.concatenate([together(batch) for batch in waiting])
        self.tally.add(mu, points)
        for store in self.stores:
            store.put(mu, points)
        if self.matched is not None and self.task.matched is not None:
            chosen = np.isin(points, self.task.matched)
            self.matched.add(mu[chosen], points[chosen])
        if self.classes is not None:
            plain = [np.concatenate(list(batch.plain.values()), axis=1) for batch in waiting]
            self.classes.add(np.concatenate(plain), points)

    def merge(self, other: Result) -> None:
        """Take in another shard."""
        for mine, theirs in ((self.tally, other.tally), (self.matched, other.matched)):
            if mine is not None and theirs is not None:
                mine.merge(theirs)
        if self.classes is not None and other.classes is not None:
            self.classes.merge(other.classes)
        self.stores += other.stores
        self.rows += other.rows
        self.alignment += other.alignment
        self.skipped |= other.skipped

    def aligned(self) -> tuple[Rows, NDArray[np.floating]]:
        """Rows, sorted, and their alignment [rows, layers, HALVES]."""
        rows = np.concatenate(self.rows)
        order = np.argsort(rows)
        return rows[order], np.concatenate(self.alignment)[order]

    def save(self, path: Path) -> None:
        """Keep it on disk."""
        arrays: dict[str, NDArray[Any]] = {"done": np.array(self.done)}
        for store in self.stores:
            store.sync()
        for name in ("tally", "matched", "classes"):
            part = getattr(self, name)
            if part is not None:
                arrays |= {f"{name}/{key}": array for key, array in part.arrays().items()}
        if self.rows:
            arrays |= {"rows": np.concatenate(self.rows), "alignment": np.concatenate(self.alignment)}
        arrays["skipped"] = np.frombuffer(json.dumps(sorted(self.skipped.items())).encode(), dtype=np.uint8)
        io.save_arrays(arrays, path)

    def load(self, path: Path) -> None:
        """Go on from what was kept."""
        arrays = io.load_arrays(path)
        self.done = int(arrays["done"])
        for name in ("tally", "matched", "classes"):
            part = getattr(self, name)
            if part is not None:
                prefix = f"{name}/"
                part.restore({k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})
        if "rows" in arrays:
            self.rows, self.alignment = [arrays["rows"]], [arrays["alignment"]]
        self.skipped = {int(row): str(reason) for row, reason in json.loads(arrays["skipped"].tobytes())}


class Store:
    """Activations mu [rows, units] of a pass on disk: what a median needs and a tally can't hold.

    Args:
        path: a .npy file, mapped into memory; None keeps them in memory.
        rows: sorted. The activations of an image that couldn't be read stay nan.
    """

    def __init__(self, path: Path | None, rows: Rows, units: int) -> None:
        self.rows, shape = rows, (len(rows), units)
        self.mu: NDArray[np.float32]
        if path is None:
            self.mu = np.full(shape, np.nan, dtype=np.float32)
        else:
            if not path.exists():
                # Written in full and then put in its place: a map of a file with holes ends the process on a full disk.
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                with io.atomic(path) as temporary, open(temporary, "wb") as file:
                    np.lib.format.write_array_header_1_0(file, header)
                    for start in range(0, len(rows), JOINED):
                        file.write(np.full((min(JOINED, len(rows) - start), units), np.nan, dtype="<f4").tobytes())
            self.mu = np.load(path, mmap_mode="r+" if len(rows) else None, allow_pickle=False)

    @staticmethod
    def whole(path: Path, shape: tuple[int, int]) -> bool:
        """Whether a file holds activations of this shape to the end: a writable map would lengthen a short one."""
        try:
            found = np.load(path, mmap_mode="r" if shape[0] else None, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return False
        return bool(found.shape == shape and found.dtype == np.float32)

    def put(self, mu: NDArray[np.floating], points: Rows) -> None:
        """Put the activations of some rows in their places."""
        self.mu[np.searchsorted(self.rows, points)] = mu

    def sync(self) -> None:
        """See that the disk has them."""
        if isinstance(self.mu, np.memmap):
            self.mu.flush()


def others_median(stores: Sequence[Store], chosen: Rows | None = None) -> NDArray[np.float64]:
    """Median over all rows (or those chosen) but the one that excites a unit most, [units], some units at a time."""
    units = stores[0].mu.shape[1]
    rows = sum(len(store.rows) for store in stores)
    step = max(1, 2**24 // max(1, rows))
    out = np.empty(units)
    for start in range(0, units, step):
        parts = [
            s.mu[:, start : start + step][slice(None) if chosen is None else np.isin(s.rows, chosen)] for s in stores
        ]
        mu = np.concatenate(parts)
        out[start : start + step] = median_of_others(mu[~np.isnan(mu[:, 0])].astype(np.float64))
    return out


def together(batch: Batch) -> NDArray[np.floating]:
    """Activations of all layers side by side, averaged over draws, [b, units]."""
    return np.concatenate([halves.mean(axis=1) for halves in batch.views.values()], axis=1)


def labellings(task: Pass, settings: Settings) -> NDArray[np.int64]:
    """The labels of all images, and permutations of them among the rows of the pass."""
    labels = task.images.labels
    if labels is None:
        raise ValueError(f"{task.name} has no labels")
    rng = generator("shuffles", settings.seed, task.source)
    out = np.repeat(labels[None], 1 + settings.shuffles, axis=0)
    for shuffled in out[1:]:
        shuffled[task.rows] = rng.permutation(labels[task.rows])
    return out


def window_of(size: int) -> int:
    """Images in a window: their views fit in memory and keep the cores busy."""
    return max(4, 64 * 32**2 // size**2)


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``of`` of every pass."""

    number: int = 1
    of: int = 1

    def windows(self, count: int) -> range:
        """Which of the windows of a pass are its own."""
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)


def one_blas_thread() -> AbstractContextManager[Any]:
    """Numpy's products on one thread inside: its threads wait for work by spinning, on the cores that networks need."""
    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
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
    """Do a pass, or go on with it where it stopped.

    Args:
        folder: where it is kept; None keeps nothing.
        stop: asked after each window; where it says so, work is saved and KeyboardInterrupt raised.
    """
    path = None if folder is None else _path(task, shard, folder)
    result = (None if folder is None else kept(task, settings, shard, folder)) or Result(task, settings)
    window = window_of(task.encoder.size)
    mine = shard.windows(-(-len(task.rows) // window))
    rows = _rows(task, shard)
    if settings.others == "median" and task.units:
        result.stores = [_store(task, shard, folder)]
    progress.update(min(result.done * window, len(rows)))
    task.images.skipped.update(result.skipped)
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        if path is not None:
            result.skipped = {row: task.images.skipped[row] for row in rows.tolist() if row in task.images.skipped}
            result.flush()
            result.save(path)
        saved = time.monotonic()

    def windows() -> Iterator[tuple[NDArray[np.uint8], Rows]]:
        left, batch = rows[result.done * window :], window * TOGETHER.get(device, 1)
        for number, (images, points) in enumerate(stream(task.images, left, batch=batch)):
            yield images, points
            # Asked for more, so all of these windows have been taken in.
            seen = len(left[number * batch : (number + 1) * batch])
            result.done += -(-seen // window)
            progress.update(seen)
            if stop():
                save()
                raise KeyboardInterrupt
            if time.monotonic() - saved > SAVE_EVERY:
                save()

    if result.done < len(mine):
        batches = measure_batches(
            task.encoder.module,
            windows(),
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
        save()
    elif path is not None and not path.exists():
        save()  # A part without windows, too, is one of those that are joined.
    return result


def kept(task: Pass, settings: Settings, shard: Shard, folder: Path) -> Result | None:
    """What an earlier call left of a part; None, with a word, where that is damaged and must be done anew."""
    path = _path(task, shard, folder)
    if not path.exists():
        return None
    result, rows, window = Result(task, settings), _rows(task, shard), window_of(task.encoder.size)
    try:
        result.load(path)
        done = rows[: result.done * window]
        known = [len(done) - len(result.skipped.keys() & {*done.tolist()})]
        whole = 0 <= result.done <= -(-len(rows) // window)
        whole &= result.tally is None or [result.tally.points] == known
        whole &= not task.alignment or [sum(map(len, result.rows))] == known
    except (InputError, KeyError, ValueError, TypeError):
        whole = False
    if settings.others == "median" and task.units:
        store = path.with_suffix(".mu.npy")
        if not Store.whole(store, (len(rows), sum(task.counts))):
            store.unlink(missing_ok=True)
            whole = False
    if not whole:
        log.info("%s is damaged: that part is done anew", path)
        path.unlink()
        return None
    return result


def gather(task: Pass, settings: Settings, *, folder: Path) -> Result | None:
    """A pass from the shards that were done on their own; None where they aren't complete."""
    window = window_of(task.encoder.size)
    names = [re.fullmatch(rf"{re.escape(task.name)}-(\d+)of(\d+)\.npz", path.name) for path in folder.glob("*.npz")]
    found = Counter(int(name[2]) for name in names if name)
    for of, count in sorted(found.items()):
        if count < of:
            if of > 1:
                log.info("%s: %d of %d parts are here; does all of it itself", task.name, count, of)
            continue
        total = Result(task, settings)
        for shard in (Shard(number, of) for number in range(1, of + 1)):
            part = kept(task, settings, shard, folder)
            if part is None or part.done < len(shard.windows(-(-len(task.rows) // window))):
                break
            if settings.others == "median" and task.units:
                part.stores = [_store(task, shard, folder)]
            total.merge(part)
        else:
            task.images.skipped.update(total.skipped)
            return total
    return None


def _path(task: Pass, shard: Shard, folder: Path) -> Path:
    return folder / f"{task.name}-{shard.number}of{shard.of}.npz"


def _rows(task: Pass, shard: Shard) -> Rows:
    window = window_of(task.encoder.size)
    mine = shard.windows(-(-len(task.rows) // window))
    return task.rows[mine.start * window : mine.stop * window]


def _store(task: Pass, shard: Shard, folder: Path | None) -> Store:
    path = None if folder is None else folder / f"{task.name}-{shard.number}of{shard.of}.mu.npy"
    return Store(path, _rows(task, shard), sum(task.counts))
