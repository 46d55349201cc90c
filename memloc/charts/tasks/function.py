"""Which of two families of curves the marks follow: the one that fits with the smaller squared error.

Each family is y = a + b phi(x) with a phi of its own, so none fits better because it has more to choose.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from memloc.charts.marks import GRID, Chart, Mark
from memloc.charts.tasks.task import Answer, Asked, Crowd, Task, raised, until

FAMILIES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "quadratic": lambda x: (x - (GRID + 1) / 2) ** 2,
    "exponential": lambda x: math.exp(x / 2),
    "logarithmic": lambda x: math.log(x),
}
"""Of x in units of the grid."""
VARIANTS = tuple(
    (true, other, turned) for true in FAMILIES for other in FAMILIES if true != other for turned in (False, True)
)
CLEAR = 0.5
"""Squared error of the better family over the other's, at most."""


def errors(x: Sequence[float], y: Sequence[float], names: Sequence[str]) -> list[float]:
    """Share of the variance of y that each family leaves."""
    return [1 - float(np.corrcoef([FAMILIES[name](value) for value in x], y)[0, 1]) ** 2 for name in names]


def _draw(crowd: Crowd) -> tuple[list[Mark], Asked]:
    true, other, turned = VARIANTS[crowd.variant]
    rng, (colour, marker) = crowd.rng, crowd.look()

    def attempt() -> tuple[list[Mark], Asked] | None:
        x = crowd.across()
        curve = np.array([FAMILIES[true](value) for value in x])
        curve = (curve - curve.min()) / (curve.max() - curve.min())
        if rng.random() < 0.5:
            curve = 1 - curve
        low, high = rng.uniform(1.2, 2.5), rng.uniform(GRID - 2, GRID - 0.5)
        noise = rng.normal(0, rng.uniform(0.1, 0.3), len(x))
        y = np.round(np.clip(low + (high - low) * curve + noise, 0.6, GRID + 0.3), 2)
        better, worse = errors(list(x), list(y), (true, other))
        marks = [Mark(float(a), float(b), colour, marker) for a, b in zip(x, y, strict=True)]
        return (marks, {"families": [other, true] if turned else [true, other]}) if better <= CLEAR * worse else None

    return until(attempt)


def _solve(chart: Chart, asked: Asked) -> Answer:
    names = asked["families"]
    left = errors([mark.x / chart.step for mark in chart.marks], [mark.y for mark in chart.marks], names)
    text = names[0] if left[0] < left[1] else names[1]
    return Answer(text, (text,), tuple(range(len(chart.marks))), choices=tuple(names))


def _elsewhere(chart: Chart, asked: Asked, rng: np.random.Generator) -> list[Mark]:
    """On the curve of either family, upwards or downwards, in the same range."""
    curve = np.array([FAMILIES[asked["families"][int(rng.integers(2))]](mark.x / chart.step) for mark in chart.marks])
    share = (curve - curve.min()) / (curve.max() - curve.min())
    low, high = (extreme(mark.y for mark in chart.marks) for extreme in (min, max))
    return raised(chart, low + (high - low) * (share if rng.random() < 0.5 else 1 - share))


TASK = Task(
    name="function",
    kind="choice",
    variants=len(VARIANTS),
    wordings=(
        "Which kind of curve do the {marks} follow, {a} or {b}?",
        "Is the relation between x and y {a} or {b}?",
        "Does a curve fit the {marks} better that is {a} or one that is {b}?",
    ),
    draw=_draw,
    solve=_solve,
    words=lambda chart, asked: dict(zip("ab", asked["families"], strict=True)),
    hint=lambda chart, asked: f"Answer {asked['families'][0]} or {asked['families'][1]}.",
    elsewhere=_elsewhere,
)
