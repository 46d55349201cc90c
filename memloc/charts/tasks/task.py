"""What a task is, and what several share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from memloc.aliases import Array
from memloc.charts.marks import GRID, PLACES, SCALES, Chart, Mark, between, nearest, number, pair

if TYPE_CHECKING:
    from numpy.random import Generator

Asked = Mapping[str, Any]
"""What a question is about: marks by their numbers, a threshold, names."""
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """The answer to a question.

    Attributes:
        text: as it should be given.
        accepted: all texts that are as good.
        marks: on which it depends.
        choices: all answers that may be given, where they are few and named in the question.
        scored: what the scorer has to know beside.
    """

    text: str
    accepted: tuple[str, ...]
    marks: tuple[int, ...]
    choices: tuple[str, ...] | None = None
    scored: Mapping[str, Any] = field(default_factory=dict)


def moved(chart: Chart, asked: Asked, rng: Generator) -> Sequence[Mark]:
    """The marks on other positions, of bars and lines each with an x of its own."""
    n, step = len(chart.marks), chart.step
    places = [PLACES[k] for k in rng.choice(len(PLACES), n, replace=False)]
    if chart.type != "scatter":
        places = [
            (int(x) + 1, int(y) + 1) for x, y in zip(rng.permutation(GRID), rng.integers(0, GRID, n), strict=False)
        ]
    return [replace(mark, x=x * step, y=y * step) for mark, (x, y) in zip(chart.marks, places, strict=True)]


def raised(chart: Chart, heights: Array) -> list[Mark]:
    """The marks at other heights."""
    return [replace(mark, y=round(float(y), 4)) for mark, y in zip(chart.marks, heights, strict=True)]


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        kind: what an answer is: number, pair, object or choice.
        variants: kinds of question that are asked equally often, answers of choices among them.
        wordings: of the question, with names in braces.
        solve: the answer, from the marks.
        words: what stands for the names in a wording.
        least: fewest marks.
        ask: what to ask of a chart of single marks, by variant.
        draw: a crowd of marks in units of the grid and what to ask of it, by type, number, variant, places that the
            answer may be, colours and markers.
        hint: how to answer.
        start: how an answer begins that is begun for the model; None where it is as for any of its kind.
        elsewhere: other marks for the chart, so that another answer may follow.
    """

    name: str
    kind: str
    variants: int
    wordings: tuple[str, ...]
    solve: Callable[[Chart, Asked], Answer]
    words: Callable[[Chart, Asked], Mapping[str, str]]
    hint: Callable[[Chart, Asked], str]
    start: Callable[[Chart, Asked], str] | None = None
    least: int = 1
    ask: Callable[[Chart, int, Generator], Asked] | None = None
    draw: Callable[[Crowd], tuple[list[Mark], Asked]] | None = None
    elsewhere: Callable[[Chart, Asked, Generator], Sequence[Mark]] = moved

    def question(self, chart: Chart, asked: Asked, wording: int) -> str:
        """The question of a chart."""
        mark = "bar" if chart.type == "bar" else "point"
        words = {"mark": mark, "marks": f"{mark}s", "precision": precision(chart)}
        return self.wordings[wording].format(**words | dict(self.words(chart, asked)))


@dataclass(frozen=True)
class Crowd:
    """What a crowd of marks is drawn from.

    Attributes:
        type: of the chart.
        n: number of marks.
        variant: of the question.
        places: positions where what is looked for may be.
        colours, markers: that marks may have.
    """

    type: str
    n: int
    variant: int
    places: Collection[tuple[int, int]]
    colours: Sequence[str]
    markers: Sequence[str]
    rng: Generator

    def across(self, n: int | None = None) -> Array:
        """The marks' x: anywhere on a scatter chart, evenly spaced on others."""
        import numpy as np

        n = n or self.n
        if self.type == "scatter":
            return np.round(self.rng.uniform(0.8, GRID + 0.2, n), 2)
        return np.round(0.5 + GRID * (np.arange(n) + 0.5) / n, 2)

    def look(self) -> tuple[str, str]:
        """The colour and marker of all."""
        return str(self.rng.choice(list(self.colours))), self.marker()

    def marker(self) -> str:
        """The marker of all."""
        return "bar" if self.type == "bar" else str(self.rng.choice(list(self.markers)))


def until(attempt: Callable[[], T | None]) -> T:
    """What the first attempt gives that succeeds.

    Raises:
        RuntimeError: a thousand failed.
    """
    for _ in range(1000):
        if (found := attempt()) is not None:
            return found
    raise RuntimeError("no chart of a thousand has an answer that is clear")


def precision(chart: Chart) -> str:
    """How exactly a number that lies between positions is to be given."""
    return "to the nearest whole number" if chart.step == 1 else f"to within {number(chart.step)}"


def tolerance(chart: Chart) -> float:
    """By how much a number may be off: where only every other position has a tick, a quarter of a step."""
    return chart.step / 4 if SCALES[chart.scale].every > 1 else 1e-6 * chart.step


def numeric(chart: Chart, values: tuple[float, ...], marks: tuple[int, ...]) -> Answer:
    """The answer that is one number or two: the multiples of the step below and above are as good as the nearest."""
    step = chart.step
    show: Callable[..., str] = pair if len(values) == 2 else number
    low, high = zip(*(between(value, step) for value in values), strict=True)
    corners: list[tuple[float, ...]] = [()]
    for lowest, highest in zip(low, high, strict=True):
        corners = [(*corner, value) for corner in corners for value in dict.fromkeys((lowest, highest))]
    text = show(*(nearest(value, step) for value in values))
    return Answer(
        text,
        tuple(dict.fromkeys([text, *(show(*corner) for corner in corners)])),
        marks,
        scored={"low": list(low), "high": list(high), "tolerance": tolerance(chart)},
    )
