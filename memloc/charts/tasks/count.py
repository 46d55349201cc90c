"""How many marks a chart has."""

from memloc.charts.marks import Chart
from memloc.charts.tasks.task import Answer, Asked, Task


def _solve(chart: Chart, asked: Asked) -> Answer:
    n = len(chart.marks)
    return Answer(str(n), (str(n),), tuple(range(n)), scored={"low": [n], "high": [n], "tolerance": 1e-6})


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
)
