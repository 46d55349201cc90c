"""Where one mark is."""

from numpy.random import Generator

from memloc.charts.marks import Chart
from memloc.charts.tasks.task import Answer, Asked, Task, numeric


def _ask(chart: Chart, variant: int, rng: Generator) -> Asked:
    """The mark on a held-out position where there is one, else any."""
    chosen = int(rng.integers(len(chart.marks))) if chart.held_out is None else chart.held_out
    return {"marks": [chosen]}


def _solve(chart: Chart, asked: Asked) -> Answer:
    mark = chart.marks[asked["marks"][0]]
    return numeric(chart, (mark.x, mark.y), tuple(asked["marks"]))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


TASK = Task(
    name="position",
    kind="pair",
    variants=1,
    wordings=(
        "At which coordinates (x, y) is {a}?",
        "Read {a} off both axes: what are its x and y?",
        "Where in the chart is {a}? Give x and y.",
    ),
    ask=_ask,
    solve=_solve,
    words=lambda chart, asked: {"a": chart.marks[asked["marks"][0]].place},
    hint=lambda chart, asked: "Answer in the form (x, y).",
    # What is asked for stands right before the answer: a small model finds the mark with much less training then.
    start=lambda chart, asked: f"{_capital(chart.marks[asked['marks'][0]].place)} is at (",
)
