"""A suite of charts as its folder has it: items, charts, images and the elements of each image."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memloc.charts.scoring import missing
from memloc.errors import InputError, out_of_memory, show
from memloc.io import check_regular

Row = Mapping[str, Any]
Pixels = NDArray[np.uint8]
FORMAT = 1
AXES, FIRST_MARK = (1, 2, 3), 4
"""Of the elements of an image: axes, ticks and tick labels; the first mark. What joins marks is beyond the last one,
and 0 is the background."""


@dataclass(frozen=True)
class Suite:
    """A suite of charts.

    Attributes:
        folder: where it lies.
        files: SHA-256 of every file by its path in the folder.
        items: questions with their answers, in the order of the file.
        charts: what each chart shows, by its name.
    """

    folder: Path
    files: Mapping[str, str]
    items: tuple[Row, ...]
    charts: Mapping[str, Row]

    @cached_property
    def identity(self) -> str:
        """A hash of all files."""
        return hashlib.sha256(json.dumps(sorted(self.files.items())).encode()).hexdigest()

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the images, which all have the first one's."""
        return self.image(next(iter(self.charts))).size

    def choose(self, *, tasks: Sequence[str] = (), split: str = "all") -> list[Row]:
        """Items of some tasks (of all, where none is named) and of a part of the suite.

        Raises:
            InputError: the suite has no such task, or no such items.
        """
        has = list(dict.fromkeys(str(item["task"]) for item in self.items))
        if odd := [task for task in tasks if task not in has]:
            raise InputError(f"tasks: {show(odd[0])}; the suite has {', '.join(has)}")
        chosen = [
            item
            for item in self.items
            if (not tasks or item["task"] in tasks) and (split == "all" or item["split"] == split)
        ]
        if not chosen:
            raise InputError(
                f"suite: {self.folder}: has no such item of its {split} part; name other --tasks or --part"
            )
        return chosen

    def image(self, chart: str) -> Image.Image:
        """The image of a chart, RGB.

        Raises:
            InputError: it can't be read, or isn't as the manifest says.
        """
        name = f"images/{chart}.png"
        content = self._read(name)
        try:
            return Image.open(io.BytesIO(content)).convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise self._unreadable(name, error) from error

    def elements(self, chart: str) -> NDArray[np.integer[Any]]:
        """Which element every pixel belongs to, [height, width].

        Raises:
            InputError: it can't be read, or isn't as the manifest says.
        """
        name = f"masks/{chart}.npz"
        content = self._read(name)
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                elements: NDArray[np.integer[Any]] = file["elements"]
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise self._unreadable(name, error) from error
        if elements.ndim != 2 or elements.dtype.kind not in "iu":
            raise self._unreadable(name, ValueError("its elements are no image of whole numbers"))
        return elements

    def _read(self, name: str) -> bytes:
        try:
            check_regular(self.folder / name)
            content = (self.folder / name).read_bytes()
        except (OSError, ValueError) as error:
            raise self._unreadable(name, error) from error
        if hashlib.sha256(content).hexdigest() != self.files.get(name):
            raise self._unreadable(name, ValueError("it isn't as manifest.json lists it"))
        return content

    def _unreadable(self, name: str, error: Exception) -> Exception:
        if out_of_memory(error):
            return error
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0] if str(error) else type(error).__name__
        return InputError(f"suite: {self.folder / name}: can't be read ({reason}); make the suite again")


def images(suite: Suite, charts: Sequence[str], *, size: int, channels: int) -> Pixels:
    """Charts as an encoder takes images, [charts, channels, size, size].

    Raises:
        InputError: one can't be read.
    """
    made = [
        suite.image(chart).convert("L" if channels == 1 else "RGB").resize((size, size), Image.Resampling.BOX)
        for chart in charts
    ]
    return np.stack([np.asarray(one).reshape(size, size, channels).transpose(2, 0, 1) for one in made])


def open_suite(folder: str | Path) -> Suite:
    """The suite of a folder that ``memloc charts make`` wrote.

    Raises:
        InputError: it is no such folder, or one of its tables can't be read.
    """
    folder = Path(folder)
    if not (folder / "manifest.json").is_file():
        raise InputError(f"suite: {folder}: no manifest.json in it; make one with memloc charts make --out {folder}")
    bare = Suite(folder, {}, (), {})
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        files = {str(name): str(sha) for name, sha in manifest["files"].items()}
        kind = manifest["format"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"suite: {folder}/manifest.json: can't be read; make the suite again") from error
    if kind != FORMAT:
        raise InputError(f"suite: {folder}: is of format {show(str(kind))}, not {FORMAT}; make the suite again")
    bare = Suite(folder, files, (), {})
    items = tuple(
        _rows(bare, "items.jsonl", ("item", "chart", "task", "question", "answer", "n", "type", "split", "metadata"))
    )
    charts = {str(row["chart"]): row for row in _rows(bare, "charts.jsonl", ("chart", "points", "axes"))}
    for number, item in enumerate(items, 1):
        if what := missing(item):
            raise InputError(f"suite: {folder}/items.jsonl: line {number} lacks {what}; make the suite again")
    if not items or not charts:
        raise InputError(f"suite: {folder}: has no items or no charts; make the suite again")
    if lost := [item["item"] for item in items if item["chart"] not in charts]:
        raise InputError(f"suite: {folder}: item {show(str(lost[0]))} is of no chart of it; make the suite again")
    return Suite(folder, files, items, charts)


def _rows(suite: Suite, name: str, needed: tuple[str, ...]) -> Iterator[Row]:
    for number, line in enumerate(suite._read(name).splitlines(), 1):
        try:
            row = json.loads(line)
            lacking = [key for key in needed if key not in row]
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"suite: {suite.folder / name}: line {number} is no JSON; make the suite again") from error
        if lacking:
            raise InputError(f"suite: {suite.folder / name}: line {number} lacks {lacking[0]}; make the suite again")
        yield row


def kind_of(point: Row) -> str:
    """What a mark is, told by its looks."""
    return f"{point.get('colour')} {point.get('marker')}"


def asked_point(item: Row, chart: Row) -> Row | None:
    """The one mark that an item is about; None where it is about none or several."""
    marks = item["metadata"].get("marks", ())
    return chart["points"][marks[0]] if len(marks) == 1 else None


def places(chart: Row, point: Row) -> tuple[int, int]:
    """Column and row of a mark: its values in steps of the axes, rounded."""
    x, y = (round(point[axis] / chart["axes"][axis]["step"]) for axis in "xy")
    return x, y


def pixel(chart: Row, point: Row) -> tuple[float, float]:
    """Where a mark's values lie in the image, from its left and its top, in shares of its sides."""
    x, y = (
        (point[axis] - chart["axes"][axis]["low"]) / (chart["axes"][axis]["high"] - chart["axes"][axis]["low"])
        for axis in "xy"
    )
    return x, 1 - y
