"""Where the mark is that departs from the line through all others: whose residual from that line is the largest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memloc.charts.marks import GRID, Chart, Mark, on_grid
from memloc.charts.tasks.task import Answer, Asked, Crowd, Task, numeric, raised, until

CLEAR, FAR = 2.0, 1.5
"""Residual of the outlier over the next largest, and in units of the grid, at least."""


def residuals(x: Sequence[float], y: Sequence[float]) -> NDArray[np.float64]:
    """Distance in y of each mark to the least-squares line through all others, by its leverage."""
    across, up = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    design = np.column_stack([np.ones_like(across), across - across.mean()])
    hat = design @ np.linalg.solve(design.T @ design, design.T)
    left: NDArray[np.float64] = np.abs((up - hat @ up) / (1 - np.diag(hat)))
    return left


def _draw(crowd: Crowd) -> tuple[list[Mark], Asked]:
    rng, (colour, marker) = crowd.rng, crowd.look()

    def attempt() -> tuple[list[Mark], Asked] | None:
        x = crowd.across()
        ends = rng.uniform(1.2, GRID - 0.2, 2)
        noise = rng.uniform(0.1, 0.35)
        y = ends[0] + (ends[1] - ends[0]) * (x - 0.5) / GRID + rng.normal(0, noise, len(x))
        odd = int(rng.integers(len(x)))
        y[odd] += rng.choice([-1, 1]) * rng.uniform(FAR, 5.0)
        y = np.round(y, 2)
        marks = [Mark(float(a), float(b), colour, marker) for a, b in zip(x, y, strict=True)]
        if y.min() < 0.6 or y.max() > GRID + 0.3 or on_grid(marks[odd], 1) not in crowd.places:
            return None
        away = residuals(list(x), list(y))
        if away[odd] < FAR or CLEAR * np.delete(away, odd).max() > away[odd]:
            return None
        return marks, {}

    return until(attempt)


def _solve(chart: Chart, asked: Asked) -> Answer:
    odd = int(residuals([mark.x for mark in chart.marks], [mark.y for mark in chart.marks]).argmax())
    return numeric(chart, (chart.marks[odd].x, chart.marks[odd].y), (odd,))


def _elsewhere(chart: Chart, asked: Asked, rng: np.random.Generator) -> list[Mark]:
    """Upside down, then moved on from mark to mark."""
    heights = np.array([chart.step * (GRID + 1) - mark.y for mark in chart.marks])
    return raised(chart, np.roll(heights, int(rng.integers(len(heights)))))


TASK = Task(
    name="outlier",
    kind="pair",
    variants=1,
    wordings=(
        "One {mark} departs from the trend of the others. Where is {it}, {precision}?",
        "Find the outlier: what are its x and y, {precision}?",
        "At which (x, y) is the {mark} that doesn't fit the line through all others, {precision}?",
    ),
    draw=_draw,
    solve=_solve,
    words=lambda chart, asked: {"it": "its top" if chart.type == "bar" else "it"},
    hint=lambda chart, asked: "Answer in the form (x, y).",
    elsewhere=_elsewhere,
)
