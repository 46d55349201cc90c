"""How an item is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from memloc.charts.marks import Chart, Row, listed, pair
from memloc.charts.scoring import score
from memloc.charts.tasks import TASKS
from memloc.charts.tasks.task import Task, until
from memloc.streams import generator


@dataclass(frozen=True)
class Prompt:
    """What a model is given.

    Attributes:
        text: the question.
        image: own, blank (as large, all white) or none.
        start: how the answer begins, put into the model's mouth.
        tokens: most tokens of the answer.
        follows: the answer to the coordinates that the text states, right or wrong.
    """

    text: str
    image: str = "own"
    start: str = ""
    tokens: int = 32
    follows: str | None = None


Strategy = Callable[[Row, Row], Prompt]
"""A prompt from a line of items.jsonl and its chart's of charts.jsonl."""


def _free(item: Row, chart: Row) -> Prompt:
    return Prompt(item["question"], tokens=256)


def _templated(item: Row, chart: Row) -> Prompt:
    return Prompt(_hinted(item, chart), start=_begun(item, chart))


def _listed(item: Row, chart: Row) -> Prompt:
    marks = "bars" if chart["type"] == "bar" else "points"
    text = (
        f"First list all {marks} of the chart with their coordinates (x, y), one a line. Then answer the question"
        f" in a line that begins with Answer:\n{_hinted(item, chart)}"
    )
    return Prompt(text, tokens=64 + 24 * item["n"])


def _true(item: Row, chart: Row) -> Prompt:
    return _given(item, Chart.read(chart))


def _wrong(item: Row, chart: Row) -> Prompt:
    return _given(item, wrong(item, Chart.read(chart)))


STARTS = {
    "number": "The answer is",
    "pair": "The answer is (x, y) = (",
    "object": "The answer is the",
    "choice": "The answer is",
}
STRATEGIES: Mapping[str, Strategy] = {
    "free": _free,
    "templated": _templated,
    "listed": _listed,
    "true": _true,
    "wrong": _wrong,
    "text": lambda item, chart: Prompt(_hinted(item, chart), image="none"),
    "blank": lambda item, chart: Prompt(_hinted(item, chart), image="blank"),
}
"""As one likes; the answer begun; points listed first; coordinates given, true or wrong; no image; a blank one."""


def _hinted(item: Row, chart: Row) -> str:
    """The question, and how to answer it."""
    return f"{item['question']} {_task(item).hint(Chart.read(chart), item['metadata']['asked'])}"


def _begun(item: Row, chart: Row | Chart) -> str:
    """The beginning of the answer."""
    start = _task(item).start
    chart = chart if isinstance(chart, Chart) else Chart.read(chart)
    return start(chart, item["metadata"]["asked"]) if start else STARTS[item["metadata"]["kind"]]


def _given(item: Row, chart: Chart) -> Prompt:
    """The question behind the coordinates of all marks."""
    marks = "bars" if chart.type == "bar" else "points"
    stated = listed(f"{mark.name} at {pair(mark.x, mark.y)}" for mark in chart.marks)
    asked = item["metadata"]["asked"]
    text = f"The {marks} of the chart are: {stated}. {item['question']} {_task(item).hint(chart, asked)}"
    return Prompt(text, start=_begun(item, chart), follows=_task(item).solve(chart, asked).text)


def wrong(item: Row, chart: Chart) -> Chart:
    """The chart with marks elsewhere, so that another answer follows; always the same for an item.

    Raises:
        RuntimeError: no other answer was found.
    """
    rng, task, asked = generator("wrong", item["item"]), _task(item), item["metadata"]["asked"]

    def attempt() -> Chart | None:
        other = replace(chart, marks=tuple(task.elsewhere(chart, asked, rng)))
        return None if score(item, task.solve(other, asked).text).right else other

    return until(attempt)


def _task(item: Row) -> Task:
    return TASKS[item["task"]]
