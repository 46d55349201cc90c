"""Which of two groups the black mark is closer to: by the distance to their means, of bars and lines in height."""

import math
from dataclasses import replace

import numpy as np

from memloc.aliases import Array
from memloc.charts.marks import GRID, Chart, Mark
from memloc.charts.tasks.task import Answer, Asked, Crowd, Task, until

CLEAR = 0.75
"""Distance to the nearer mean over that to the other, at most."""


def _means(marks: tuple[Mark, ...], type: str, groups: list[str]) -> list[float]:
    """Distances of the black mark to the means of both groups."""
    query = next(mark for mark in marks if mark.colour == "black")
    found = []
    for group in groups:
        own = [mark for mark in marks if mark.series == group]
        x, y = (sum(getattr(mark, axis) for mark in own) / len(own) for axis in "xy")
        found.append(math.hypot((query.x - x) if type == "scatter" else 0.0, query.y - y))
    return found


def _draw(crowd: Crowd) -> tuple[list[Mark], Asked]:
    rng, marker = crowd.rng, crowd.marker()
    first, second = (str(colour) for colour in rng.choice(list(crowd.colours), 2, replace=False))
    groups = [first, second]
    scatter = crowd.type == "scatter"

    def attempt() -> tuple[list[Mark], Asked] | None:
        centres = rng.uniform(2, GRID - 1, (2, 2))
        apart = float(np.hypot(*(centres[0] - centres[1]))) if scatter else abs(float(centres[0, 1] - centres[1, 1]))
        if not 2.0 <= apart <= 5.0:
            return None
        own = rng.permutation(np.arange(crowd.n) % 2)
        query = -1  # Drawn last, above all others.
        share, spread = rng.uniform(0.1, 0.38), rng.uniform(0.3, 0.8)
        at: Array = np.array([centres[k] for k in own]) + rng.normal(0, spread, (crowd.n, 2))
        at[query] = centres[crowd.variant] * (1 - share) + centres[1 - crowd.variant] * share
        at = np.round(np.clip(at, 0.6, GRID + 0.3), 2)
        if not scatter:
            at[:, 0] = rng.permutation(crowd.across())
        marks = [Mark(float(x), float(y), groups[k], marker, groups[k]) for (x, y), k in zip(at, own, strict=True)]
        marks[query] = Mark(float(at[query, 0]), float(at[query, 1]), "black", marker)
        away = _means(tuple(marks), crowd.type, groups)
        clear = away[crowd.variant] <= CLEAR * away[1 - crowd.variant]
        return (marks, {"groups": groups}) if clear else None

    return until(attempt)


def _solve(chart: Chart, asked: Asked) -> Answer:
    groups = asked["groups"]
    away = _means(chart.marks, chart.type, groups)
    text = groups[0] if away[0] < away[1] else groups[1]
    return Answer(text, (text,), tuple(range(len(chart.marks))), choices=tuple(groups))


def _elsewhere(chart: Chart, asked: Asked, rng: np.random.Generator) -> list[Mark]:
    """The black mark at another's height, on scatter charts also at its x."""
    *others, query = chart.marks
    other = others[int(rng.integers(len(others)))]
    return [*others, replace(query, x=other.x if chart.type == "scatter" else query.x, y=other.y)]


TASK = Task(
    name="cluster",
    kind="choice",
    variants=2,
    wordings=(
        "Which group does the black {mark} belong to{by}: {a} or {b}?",
        "One {mark} is black. Is it closer to the middle of the {a} {marks} or of the {b} ones{by}?",
        "Give the black {mark} the colour of the group that it lies closer to{by}: {a} or {b}?",
    ),
    draw=_draw,
    solve=_solve,
    words=lambda chart, asked: {
        "by": "" if chart.type == "scatter" else ", judged by height",
        **dict(zip("ab", asked["groups"], strict=True)),
    },
    hint=lambda chart, asked: f"Answer {asked['groups'][0]} or {asked['groups'][1]}.",
    elsewhere=_elsewhere,
)
