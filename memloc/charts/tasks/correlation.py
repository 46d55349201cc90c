"""Whether x and y correlate above or below a threshold, by Pearson's r of the marks as they are."""

import math

import numpy as np

from memloc.charts.marks import GRID, Chart, Mark, number
from memloc.charts.tasks.task import Answer, Asked, Crowd, Task, raised, until

THRESHOLDS = (-0.75, -0.5, -0.25, 0.25, 0.5, 0.75)
SIDES = ("above", "below")
VARIANTS = tuple((t, side, true) for t in THRESHOLDS for side in SIDES for true in (True, False))
CLEAR, FURTHEST, HIGHEST = 0.1, 0.5, 0.97
"""How far r is from the threshold, at least and at most, and how close to 1 it comes."""


def _draw(crowd: Crowd) -> tuple[list[Mark], Asked]:
    threshold, side, true = VARIANTS[crowd.variant]
    up = (side == "above") == true
    rng, (colour, marker) = crowd.rng, crowd.look()

    def attempt() -> tuple[list[Mark], Asked] | None:
        room = HIGHEST - threshold if up else HIGHEST + threshold
        away = rng.uniform(CLEAR + 0.02, min(FURTHEST, room))
        r = threshold + away if up else threshold - away
        x = crowd.across()
        # What is left of noise beside x and its mean has no correlation with x, so r comes out as it was chosen.
        basis, _ = np.linalg.qr(np.column_stack([np.ones_like(x), x, rng.normal(size=len(x))]))
        along, beside = basis[:, 1] * np.sign(basis[:, 1] @ x), basis[:, 2]
        y = r * along + math.sqrt(1 - r * r) * beside
        low, high = rng.uniform(0.8, 2.0), rng.uniform(GRID - 1.2, GRID)
        y = np.round(low + (high - low) * (y - y.min()) / (y.max() - y.min()), 2)
        marks = [Mark(float(a), float(b), colour, marker) for a, b in zip(x, y, strict=True)]
        return (marks, {"threshold": threshold, "side": side}) if abs(_r(marks) - threshold) >= CLEAR else None

    return until(attempt)


def _r(marks: list[Mark]) -> float:
    return float(np.corrcoef([mark.x for mark in marks], [mark.y for mark in marks])[0, 1])


def _solve(chart: Chart, asked: Asked) -> Answer:
    r = _r(list(chart.marks))
    text = "yes" if (r > asked["threshold"]) == (asked["side"] == "above") else "no"
    return Answer(text, (text,), tuple(range(len(chart.marks))), choices=("yes", "no"), scored={"r": round(r, 4)})


def _elsewhere(chart: Chart, asked: Asked, rng: np.random.Generator) -> list[Mark]:
    """The same heights in random order, or rising or falling from left to right."""
    heights = rng.permutation([mark.y for mark in chart.marks])
    kind = rng.integers(3)
    if kind:
        ranks = np.argsort(np.argsort([mark.x for mark in chart.marks], kind="stable"))
        heights = np.sort(heights)[ranks if kind == 1 else len(ranks) - 1 - ranks]
    return raised(chart, heights)


TASK = Task(
    name="correlation",
    kind="choice",
    variants=len(VARIANTS),
    wordings=(
        "Is the correlation between x and y {side} {threshold}?",
        "Pearson's r of x and y: is it {side} {threshold}?",
        "Do x and y have a correlation that is {side} {threshold}?",
    ),
    draw=_draw,
    solve=_solve,
    words=lambda chart, asked: {"side": asked["side"], "threshold": number(asked["threshold"])},
    hint=lambda chart, asked: "Answer yes or no.",
    elsewhere=_elsewhere,
)
