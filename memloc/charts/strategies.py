"""How an item is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Prompt:
    """What a model is given.

    Attributes:
        text: the question.
        image: own, blank (as large, all white) or none.
        start: how the answer begins, put into the model's mouth.
        tokens: most tokens of the answer.
    """

    text: str
    image: str = "own"
    start: str = ""
    tokens: int = 32


Strategy = Callable[[Row, Row], Prompt]


def _with(points: list[Row], item: Row) -> str:
    listed = ", ".join(f"{point['colour']} {point['marker']} at ({point['x']}, {point['y']})" for point in points)
    return f"The points are {listed}. {item['question']}"


def _wrong(chart: Row) -> list[Row]:
    """Points whose coordinates went to their neighbours, both ways round."""
    points = chart["points"]
    return [
        {**point, "x": other["y"], "y": other["x"]}
        for point, other in zip(points, [*points[1:], points[0]], strict=True)
    ]


STRATEGIES: Mapping[str, Strategy] = {
    "free": lambda item, chart: Prompt(item["question"]),
    "templated": lambda item, chart: Prompt(item["question"], start="The answer is"),
    "true": lambda item, chart: Prompt(_with(chart["points"], item)),
    "wrong": lambda item, chart: Prompt(_with(_wrong(chart), item)),
    "text": lambda item, chart: Prompt(item["question"], image="none"),
    "blank": lambda item, chart: Prompt(item["question"], image="blank"),
}
