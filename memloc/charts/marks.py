"""What a chart is: marks on axes. Standard library only.

A chart has 9 x 9 cells. Their centres are 0 to 8 in units of the grid; the axes lie at 0, so the outer row and column
of cells hold them, their labels and nothing else but the feet of bars, and marks have the other 8 x 8. The value at a
centre is its number times the step of the scale, so charts of all scales look alike but for their tick labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Row = Mapping[str, Any]
"""A line of charts.jsonl or items.jsonl."""

TYPES = ("scatter", "bar", "line")
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (228, 26, 28),
    "blue": (40, 90, 200),
    "green": (60, 160, 60),
    "orange": (255, 140, 0),
    "purple": (130, 60, 160),
    "brown": (120, 70, 30),
    "pink": (250, 140, 200),
    "grey": (130, 130, 130),
    "black": (0, 0, 0),
}
"""Black is for the one mark that a question is about among a crowd, and for axes."""
PLAIN = tuple(colour for colour in COLOURS if colour != "black")
MARKERS = ("circle", "triangle", "star", "square")
BAR = "bar"
"""What stands for a marker where marks are bars."""

GRID = 8
"""Positions along an axis, 1 to 8."""
CELLS = GRID + 1
PLACES = tuple((x, y) for x in range(1, GRID + 1) for y in range(1, GRID + 1))
HELD_OUT = frozenset((x, y) for x, y in PLACES if (x + 3 * y) % GRID in (0, 3))
"""The 16 of 64 positions that no training chart has a mark on: two of each column and two of each row."""


@dataclass(frozen=True)
class Scale:
    """Tick labels of both axes.

    Attributes:
        step: value between neighbouring positions.
        every: positions from one tick to the next.
    """

    step: float
    every: int


SCALES: Mapping[str, Scale] = {
    "8": Scale(1, 1),
    "100": Scale(12.5, 2),
    "1000": Scale(125, 2),
    "fraction": Scale(0.25, 1),
}
"""Named by the value at the last position; ``fraction`` ends at 2, in quarters."""


@dataclass(frozen=True)
class Mark:
    """One point or bar.

    Attributes:
        x, y: its values; of a bar where it stands and its height.
        series: whose it is, where a chart has several.
    """

    x: float
    y: float
    colour: str
    marker: str
    series: str | None = None

    @property
    def name(self) -> str:
        """What an answer calls it."""
        return f"{self.colour} {self.marker}"

    @property
    def place(self) -> str:
        """Where its coordinates are, as a question says it."""
        return f"the top of the {self.name}" if self.marker == BAR else f"the {self.name}"


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        name: unlike any other's in the suite.
        scale: one of SCALES.
        layout: how marks lie: anywhere (2d), at the same x or at the same y, or what task a crowd was drawn for.
        split: train or test.
        held_out: the mark that was put on a held-out position.
    """

    name: str
    type: str
    marks: tuple[Mark, ...]
    scale: str
    layout: str
    split: str
    held_out: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> float:
        """Value between neighbouring positions."""
        return SCALES[self.scale].step

    def row(self) -> dict[str, Any]:
        """Its line of charts.jsonl."""
        points = [{key: value for key, value in asdict(mark).items() if value is not None} for mark in self.marks]
        every, step = SCALES[self.scale].every, self.step
        ticks = [step * k for k in range(0, GRID + 1, every)]
        axis = {"low": -step / 2, "high": step * (GRID + 0.5), "step": step, "ticks": ticks}
        axis["labels"] = [number(tick) for tick in ticks]
        settings = {"scale": self.scale, "layout": self.layout, "split": self.split, "held_out": self.held_out}
        return {
            "chart": self.name,
            "type": self.type,
            "n": len(self.marks),
            "points": points,
            "axes": {"x": axis, "y": axis},
            "settings": settings | dict(self.settings),
        }

    @classmethod
    def read(cls, row: Row) -> Chart:
        """The chart of a line of charts.jsonl."""
        settings = dict(row["settings"])
        known = {key: settings.pop(key) for key in ("scale", "layout", "split", "held_out")}
        return cls(
            row["chart"], row["type"], tuple(Mark(**point) for point in row["points"]), **known, settings=settings
        )


def number(value: float) -> str:
    """A number as questions and answers have it: no more digits than it needs."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def pair(x: float, y: float) -> str:
    """Coordinates as questions and answers have them."""
    return f"({number(x)}, {number(y)})"


def listed(names: Iterable[str]) -> str:
    """Names in a sentence."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def between(value: float, step: float) -> tuple[float, float]:
    """The multiples of the step just below and above a value; twice the value where it is one."""
    return math.floor(value / step + 1e-9) * step, math.ceil(value / step - 1e-9) * step


def nearest(value: float, step: float) -> float:
    """The multiple of the step that is nearest to a value, the higher of two."""
    return math.floor(value / step + 0.5 + 1e-9) * step


def on_grid(mark: Mark, step: float) -> tuple[int, int]:
    """The position that is nearest to a mark, the higher of two."""
    return int(nearest(mark.x / step, 1)), int(nearest(mark.y / step, 1))
