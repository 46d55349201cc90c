"""Where the middle of all marks is."""

from memloc.charts.marks import Chart
from memloc.charts.tasks.task import Answer, Asked, Task, numeric


def _solve(chart: Chart, asked: Asked) -> Answer:
    n = len(chart.marks)
    middle = (sum(mark.x for mark in chart.marks) / n, sum(mark.y for mark in chart.marks) / n)
    return numeric(chart, middle, tuple(range(n)))


TASK = Task(
    name="mean",
    kind="pair",
    variants=1,
    wordings=(
        "What are the mean x and the mean y of {all}, {precision}?",
        "Where is the centre of {all}, that is, their mean x and mean y, {precision}?",
        "Average the coordinates of {all}: which (x, y) comes out, {precision}?",
    ),
    least=3,
    ask=lambda chart, variant, rng: {},
    solve=_solve,
    words=lambda chart, asked: {"all": "the tops of all bars" if chart.type == "bar" else "all points"},
    hint=lambda chart, asked: "Answer in the form (x, y).",
)
