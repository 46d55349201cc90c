"""Which mark has the largest or smallest x or y."""

from numpy.random import Generator

from memloc.charts.marks import Chart
from memloc.charts.tasks.task import Answer, Asked, Task

VARIANTS = tuple((extreme, axis) for extreme in ("largest", "smallest") for axis in ("x", "y"))


def _ask(chart: Chart, variant: int, rng: Generator) -> Asked:
    """One of the four, but none of the axis along which all marks are equal."""
    extreme, axis = VARIANTS[variant]
    if len({getattr(mark, axis) for mark in chart.marks}) == 1:
        axis = "x" if axis == "y" else "y"
    return {"extreme": extreme, "axis": axis}


def _solve(chart: Chart, asked: Asked) -> Answer:
    values = [getattr(mark, asked["axis"]) for mark in chart.marks]
    best = max(values) if asked["extreme"] == "largest" else min(values)
    tied = tuple(k for k, value in enumerate(values) if value == best)
    names = tuple(chart.marks[k].name for k in tied)
    return Answer(names[0], names, tied, scored={"objects": [[mark.colour, mark.marker] for mark in chart.marks]})


def _look(chart: Chart) -> str:
    return "colour" if chart.type == "bar" else "colour and shape"


TASK = Task(
    name="extremum",
    kind="object",
    variants=len(VARIANTS),
    wordings=(
        "Which {mark} has the {extreme} {axis}?",
        "Name the {mark} whose {axis} is the {extreme} by its {look}.",
        "Of all {marks}, which one has the {extreme} {axis}?",
    ),
    least=3,
    ask=_ask,
    solve=_solve,
    words=lambda chart, asked: {**asked, "look": _look(chart)},
    hint=lambda chart, asked: f"Answer with its {_look(chart)}.",
)
