"""How many marks a chart has."""

from collections.abc import Sequence
from itertools import product

from numpy.random import Generator

from memloc.charts.marks import BAR, COLOURS, MARKERS, PLACES, Chart, Mark
from memloc.charts.tasks.task import Answer, Asked, Task


def _solve(chart: Chart, asked: Asked) -> Answer:
    n = len(chart.marks)
    return Answer(str(n), (str(n),), tuple(range(n)), scored={"low": [n], "high": [n], "tolerance": 1e-6})


def _elsewhere(chart: Chart, asked: Asked, rng: Generator) -> Sequence[Mark]:
    """One mark less or one more."""
    if len(chart.marks) > 1 and rng.random() < 0.5:
        return chart.marks[:-1]
    looks = {(mark.colour, mark.marker) for mark in chart.marks}
    kinds = product(COLOURS, (BAR,) if chart.type == "bar" else MARKERS)
    x, y = PLACES[int(rng.integers(len(PLACES)))]
    return [*chart.marks, Mark(x * chart.step, y * chart.step, *next(kind for kind in kinds if kind not in looks))]


TASK = Task(
    name="count",
    kind="number",
    variants=1,
    wordings=(
        "How many {marks} does this chart have?",
        "Count the {marks} of the chart: how many are there?",
        "What is the number of {marks} in this chart?",
    ),
    ask=lambda chart, variant, rng: {},
    solve=_solve,
    words=lambda chart, asked: {},
    hint=lambda chart, asked: "Answer with one whole number.",
    elsewhere=_elsewhere,
)
