"""What scoring passes over: the choices, an encoder on a set of images, and what was measured of it so far."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc import io
from memloc.data.images import Images
from memloc.measuring.protocol import Protocol
from memloc.measuring.reader import Measures
from memloc.metrics.tally import ClassTally, Tally
from memloc.models.architectures import Layer
from memloc.scoring.encoders import OpenEncoder
from memloc.scoring.stores import JOINED, Rows, Store
from memloc.streams import generator
from memloc.streams import stream as seed_of


@dataclass(frozen=True)
class Settings:
    """Every choice behind the numbers; the paper's choices by default.

    Attributes:
        protocol: how views are compared and activations read.
        augmentation: of the views, a name in ``memloc.data.augmentations.AUGMENTATIONS``.
        normalisation: of SSLMem: ratio, range or none.
        others: UnitMem and ClassMem compare with the mean or the median of the other images or classes.
        dead: value of a unit that nothing excites: zero or nan.
        hook: where a layer is read: paper, before or after normalisation and activation.
        seed: of views, subsets and permutations.
        replicates: random divisions of the images into quarters, for UnitMem's intervals.
        shuffles: permutations of the labels, for ClassMem's null.
        kept: how many of each unit's highest activations are kept, with their images.
    """

    protocol: Protocol = field(default_factory=Protocol)
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
        name: of its files.
        encoder: the encoder.
        layers: those that are scored.
        images, rows: which images of which set.
        source: names the set, so that two sets have different views and subsets.
        units: whether activations are tallied.
        matched: rows of a subset that is also tallied separately, to be compared with another set of its size.
        classes: number of classes; 0 if labels aren't used.
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
        """Where each layer's units lie among those of all layers."""
        ends = np.cumsum(self.counts).tolist()
        columns = zip(self.layers, self.counts, ends, strict=True)
        return {layer.name: slice(end - count, end) for layer, count, end in columns if layer.units}


class Result:
    """What a pass has measured so far.

    Attributes:
        done: number of finished windows.
        tally, matched: activations of all rows, and of the matched subset.
        classes: sums by class, of the images as they are.
        rows, alignment: rows in their order, and their alignment [rows, layers, HALVES].
        skipped: row and reason of every image that couldn't be read.
        stores: all activations, if a median needs them.
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
        self._waiting: list[Measures] = []

    def take(self, batch: Measures) -> None:
        """Take in a batch."""
        if batch.alignment is not None:
            self.rows.append(batch.points)
            self.alignment.append(batch.alignment)
        if self.tally is not None:
            self._waiting.append(batch)
            if sum(len(b.points) for b in self._waiting) >= JOINED:
                self.flush()

    def flush(self) -> None:
        """Tally the batches that wait to be tallied together."""
        if not self._waiting or self.tally is None:
            return
        waiting, self._waiting = self._waiting, []
        points = np.concatenate([batch.points for batch in waiting])
        mu = np.concatenate([together(batch) for batch in waiting])
        self.tally.add(mu, points)
        for store in self.stores:
            store.put(mu, points)
        if self.matched is not None and self.task.matched is not None:
            inside = np.isin(points, self.task.matched)
            self.matched.add(mu[inside], points[inside])
        if self.classes is not None:
            plain = [np.concatenate(list(batch.plain.values()), axis=1) for batch in waiting]
            self.classes.add(np.concatenate(plain), points)

    def merge(self, other: Result) -> None:
        """Add the result of another shard."""
        for tally, addend in ((self.tally, other.tally), (self.matched, other.matched)):
            if tally is not None and addend is not None:
                tally.merge(addend)
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
        """Write it to disk."""
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
        """Continue from what ``save`` wrote."""
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


def together(batch: Measures) -> NDArray[np.floating]:
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
