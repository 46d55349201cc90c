"""How far two marks are from one another."""

import math

from numpy.random import Generator

from memloc.charts.marks import Chart
from memloc.charts.tasks.task import Answer, Asked, Task, numeric


def _ask(chart: Chart, variant: int, rng: Generator) -> Asked:
    """Two marks, the one on a held-out position among them."""
    order = [int(k) for k in rng.permutation(len(chart.marks))]
    if chart.held_out is not None:
        order.remove(chart.held_out)
        order.insert(variant, chart.held_out)
    return {"marks": order[:2]}


def _solve(chart: Chart, asked: Asked) -> Answer:
    a, b = (chart.marks[k] for k in asked["marks"])
    return numeric(chart, (math.hypot(a.x - b.x, a.y - b.y),), tuple(asked["marks"]))


TASK = Task(
    name="distance",
    kind="number",
    variants=2,
    wordings=(
        "How far is {a} from {b} in units of the axes, {precision}?",
        "What is the distance between {a} and {b} in units of the axes, {precision}?",
        "Measure the straight line from {a} to {b} in units of the axes: how long is it, {precision}?",
    ),
    least=2,
    ask=_ask,
    solve=_solve,
    words=lambda chart, asked: {k: chart.marks[i].place for k, i in zip("ab", asked["marks"], strict=True)},
    hint=lambda chart, asked: "Answer with one number.",
)
