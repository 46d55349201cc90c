"""A suite of charts as its folder has it: items, charts, images and the elements of each image."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memloc.charts.scoring import missing, score
from memloc.charts.tasks import TASKS
from memloc.errors import InputError, out_of_memory, show
from memloc.io import check_regular

Row = Mapping[str, Any]
Pixels = NDArray[np.uint8]
Rule = tuple[str, Callable[[Any, Row], bool], str]
"""A key, whether its value will do beside the others of its part, and what it must be."""
Part = tuple[str, Row, Sequence[Rule]]
"""Of a row: where it lies, with a point at its end, itself, and the rules for it."""
FORMAT = 1
LARGEST = sys.float_info.max
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
        return self._image(next(iter(self.charts))).size

    @cached_property
    def tasks(self) -> list[str]:
        """Tasks that the items have."""
        return list(dict.fromkeys(str(item["task"]) for item in self.items))

    def choose(self, *, tasks: Sequence[str] = (), split: str = "all") -> list[Row]:
        """Items of some tasks (of all, where none is named) and of a part of the suite.

        Raises:
            InputError: the suite has no such task, or no such items.
        """
        if odd := [task for task in tasks if task not in self.tasks]:
            raise InputError(f"tasks: {show(odd[0])}; the suite has {', '.join(self.tasks)}")
        chosen = [
            item
            for item in self.items
            if (not tasks or item["task"] in tasks) and (split == "all" or item["split"] == split)
        ]
        if not chosen:
            raise InputError(
                f"suite: {self.folder}: has no item of these tasks in its {split} part; name other tasks or another"
                " suite"
            )
        return chosen

    def image(self, chart: str) -> Image.Image:
        """The image of a chart, RGB.

        Raises:
            InputError: it can't be read, isn't as the manifest says, or is of another size than the first one.
        """
        image = self._image(chart)
        if image.size != self.size:
            (width, height), (others, high) = image.size, self.size
            raise InputError(
                f"suite: {self.folder}/images/{chart}.png: is of {width} x {height} pixels, and the first chart of"
                f" {others} x {high}; make the suite again"
            )
        return image

    def _image(self, chart: str) -> Image.Image:
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
    charts = {row["chart"]: row for row in _rows(bare, "charts.jsonl", _chart_parts())}
    items = tuple(_rows(bare, "items.jsonl", _item_parts(charts)))
    if not items or not charts:
        raise InputError(f"suite: {folder}: has no items or no charts; make the suite again")
    return Suite(folder, files, items, charts)


def _rows(suite: Suite, name: str, parts: Callable[[Row], Iterator[Part]]) -> Iterator[Row]:
    """The rows of a table, each once all its parts keep to their rules."""
    for number, line in enumerate(suite._read(name).splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        what = _fault(parts(row)) if type(row) is dict else " is no JSON object"
        if what:
            raise InputError(f"suite: {suite.folder / name}: line {number}{what}; make the suite again")
        yield row


def _fault(parts: Iterator[Part]) -> str:
    """What is wrong with the first part that doesn't keep to a rule; "" where all do."""
    for where, part, rules in parts:
        for key, fits, needed in rules:
            if key not in part:
                return f" lacks {where}{key}"
            if not fits(part[key], part):
                return f": {where}{key}: {show(json.dumps(part[key])[:60])}; it must be {needed}"
    return ""


def _text(value: Any, part: Row) -> bool:
    return type(value) is str


def _number(value: Any, part: Row) -> bool:
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST


def _all(value: Any, *kinds: type) -> bool:
    return type(value) is list and all(type(each) in kinds for each in value)


POINT: tuple[Rule, ...] = (
    *(("x", _number, "a finite number"), ("y", _number, "a finite number")),
    *(("colour", _text, "a text"), ("marker", _text, "a text")),
)
AXIS: tuple[Rule, ...] = (
    ("low", _number, "a finite number"),
    ("high", lambda value, axis: _number(value, axis) and value > axis["low"], "a finite number above low"),
    ("step", lambda value, axis: _number(value, axis) and value > 0, "a finite number above 0"),
)


def _bounds(value: Any, about: Row) -> bool:
    numbers = {"number": 1, "pair": 2}.get(about["kind"])
    return _all(value, int, float) and len(value) == numbers and all(_number(each, about) for each in value)


SCORED: tuple[Rule, ...] = (
    ("kind", lambda value, about: value == TASKS[about["task"]].kind, "the kind of its task"),
    (
        "marks",
        lambda value, about: _all(value, int) and all(0 <= k < about["n"] for k in value),
        "numbers of points, from 0",
    ),
    (
        "objects",
        lambda value, about: (
            _all(value, list) and len(value) == about["n"] and all(_all(each, str) and len(each) == 2 for each in value)
        ),
        "a colour and marker of each point",
    ),
    ("low", _bounds, "a finite number each"),
    (
        "high",
        lambda value, about: (
            _bounds(value, about) and all(low <= high for low, high in zip(about["low"], value, strict=True))
        ),
        "a finite number each, none below low",
    ),
    ("tolerance", lambda value, about: _number(value, about) and value >= 0, "a finite number, 0 or above"),
)
"""Of an item's metadata, beside its task and the chart's n."""
RIGHT: Rule = (
    "answer",
    lambda value, item: score(item, value).right is True,
    "an answer that is right by the item's metadata",
)


def _chart_parts() -> Callable[[Row], Iterator[Part]]:
    """What gives the parts of a line of charts.jsonl."""
    chart: tuple[Rule, ...] = (
        ("chart", _new(), "a name that no other line has"),
        ("points", lambda value, _: _all(value, dict) and value != [], "a list of marks"),
        ("n", lambda value, row: type(value) is int and value == len(row["points"]), "the number of points"),
        ("axes", lambda value, _: type(value) is dict and _all([*map(value.get, "xy")], dict), "the axes x and y"),
    )

    def parts(row: Row) -> Iterator[Part]:
        yield "", row, chart
        for k, point in enumerate(row["points"]):
            yield f"points.{k}.", point, POINT
        for name in "xy":
            yield f"axes.{name}.", row["axes"][name], AXIS

    return parts


def _item_parts(charts: Mapping[str, Row]) -> Callable[[Row], Iterator[Part]]:
    """What gives the parts of a line of items.jsonl."""
    splits: dict[str, str] = {}

    def one_split(value: Any, item: Row) -> bool:
        return value in ("train", "test") and splits.setdefault(item["chart"], value) == value

    rules: tuple[Rule, ...] = (
        ("item", _new(), "a name that no other line has"),
        ("chart", lambda value, _: type(value) is str and value in charts, "a chart of charts.jsonl"),
        ("task", lambda value, _: value in [*TASKS], f"one of {', '.join(TASKS)}"),
        *((key, _text, "a text") for key in ("question", "answer", "type")),
        ("accepted", lambda value, _: _all(value, str), "a list of texts"),
        ("answer_set", lambda value, _: value is None or _all(value, str), "null or a list of texts"),
        ("held_out", lambda value, _: type(value) is bool, "true or false"),
        (
            "n",
            lambda value, item: type(value) is int and value == len(charts[item["chart"]]["points"]),
            "the number of points of the chart",
        ),
        ("split", one_split, "train or test, the same for all items of a chart"),
        ("metadata", lambda value, _: True, ""),
    )

    def parts(item: Row) -> Iterator[Part]:
        yield "", item, rules
        if lacks := missing(item):
            yield "", {}, [(lacks, _text, "")]
        about = {**item["metadata"], "n": item["n"], "task": item["task"]}
        # Without its mark, a question for a position is about none.
        needed = {*about, *(["marks"] if item["task"] == "position" else [])}
        yield "metadata.", about, [rule for rule in SCORED if rule[0] in needed]
        yield "", item, [RIGHT]

    return parts


def _new() -> Callable[[Any, Row], bool]:
    """Whether a value is a text that wasn't seen before."""
    seen: set[str] = set()

    def new(value: Any, part: Row) -> bool:
        before = len(seen)
        if type(value) is str:
            seen.add(value)
        return len(seen) > before

    return new


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


def numbered(place: tuple[int, int]) -> int:
    """A column and a row as one number, the same in all charts."""
    column, row = place
    return 10 * row + column


def pixel(chart: Row, point: Row) -> tuple[float, float]:
    """Where a mark's values lie in the image, from its left and its top, in shares of its sides."""
    x, y = (
        (point[axis] - chart["axes"][axis]["low"]) / (chart["axes"][axis]["high"] - chart["axes"][axis]["low"])
        for axis in "xy"
    )
    return x, 1 - y
