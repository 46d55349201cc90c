"""A second opinion on every answer, from the lines of a suite alone.

Nothing here is shared with what made them: numbers are fractions or sums in loops, and what can't be is written anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

Row = Mapping[str, Any]
Found = tuple[str, set[str]]
"""The answer, and all that are as good."""
SLACK = Fraction(1, 10**9)


def faults(charts: Iterable[Row], items: Iterable[Row]) -> list[str]:
    """What is wrong with a suite, one sentence each; none where all is well."""
    by_name: dict[str, Row] = {}
    found = []
    for chart in charts:
        if chart["chart"] in by_name:
            found.append(f"{chart['chart']}: stands twice")
        by_name[chart["chart"]] = chart
        found += [f"{chart['chart']}: {fault}" for fault in _chart(chart)]
    names: set[str] = set()
    for item in items:
        if item["item"] in names:
            found.append(f"{item['item']}: stands twice")
        names.add(item["item"])
        chart = by_name.get(item["chart"], {})
        found += [f"{item['item']}: {fault}" for fault in (_item(item, chart) if chart else ["has no chart"])]
    return found


def _chart(chart: Row) -> list[str]:
    points, step = chart["points"], chart["axes"]["x"]["step"]
    found = []
    if chart["n"] != len(points):
        found.append(f"n is {chart['n']}, and there are {len(points)} marks")
    for axis in "xy":
        if any(not step / 2 <= point[axis] <= 8.5 * step for point in points):
            found.append(f"a mark lies off the {axis} axis")
    if chart["type"] in ("bar", "line") and len({point["x"] for point in points}) < len(points):
        found.append("two marks stand at one x")
    if "asked" not in chart["settings"]:
        if len({(point["colour"], point["marker"]) for point in points}) < len(points):
            found.append("two marks look alike")
        places = {(point["x"] / step, point["y"] / step) for point in points}
        if len(places) < len(points) or any(value not in range(1, 9) for place in places for value in place):
            found.append("a mark isn't on a position of its own")
        if chart["settings"]["split"] == "train" and any(_held(point, step) for point in points):
            found.append("a training chart has a mark on a held-out position")
    return found


def _held(point: Row, step: float) -> bool:
    """Whether the position nearest to a mark is held out: every eighth and every eighth but three of a diagonal."""
    x, y = (math.floor(point[axis] / step + 0.5) for axis in "xy")
    return 1 <= x <= 8 and 1 <= y <= 8 and (x + 3 * y) % 8 in (0, 3)


def _item(item: Row, chart: Row) -> list[str]:
    about, points, step = item["metadata"], chart["points"], chart["axes"]["x"]["step"]
    text, accepted = ANSWERS[item["task"]](points, about["asked"], Fraction(step), item["type"])
    found = []
    if item["answer"] != text:
        found.append(f"the answer is {text}, not {item['answer']}")
    if set(item["accepted"]) != accepted or item["answer"] not in item["accepted"]:
        found.append(f"accepted are {sorted(accepted)}, not {sorted(item['accepted'])}")
    if item["answer_set"] is not None and item["answer"] not in item["answer_set"]:
        found.append("the answer isn't among those that may be given")
    for key, value in (("n", len(points)), ("type", chart["type"]), ("split", chart["settings"]["split"])):
        if item[key] != value:
            found.append(f"{key} is {item[key]}, its chart's is {value}")
    crowd = "asked" in chart["settings"]
    held = any(_held(points[k], step) for k in about["marks"]) if not crowd or item["task"] == "outlier" else False
    if item["held_out"] != held:
        found.append(f"held_out is {item['held_out']}, and should be {held}")
    if held and item["split"] == "train":
        found.append("a training item is of a held-out position")
    if lost := [name for name in _named(item, points) if name not in item["question"]]:
        found.append(f"the question doesn't say {lost[0]}")
    return found


def _named(item: Row, points: Sequence[Row]) -> list[str]:
    """What the question must say for the answer to follow."""
    asked = item["metadata"]["asked"]
    named = [f"{points[k]['colour']} {points[k]['marker']}" for k in asked.get("marks", ())]
    named += [*asked.get("families", ()), *asked.get("groups", ())]
    named += [
        f"{asked[key]:g}" if key == "threshold" else asked[key]
        for key in ("extreme", "side", "threshold")
        if key in asked
    ]
    return [*named, *(f" {axis} " if " whose " in item["question"] else f" {axis}?" for axis in asked.get("axis", ""))]


# --- One function a task ----------------------------------------------------------------------------------------------


def _count(points: Sequence[Row], asked: Row, step: Fraction, type: str) -> Found:
    n = 0
    for _ in points:
        n += 1
    return str(n), {str(n)}


def _position(points: Sequence[Row], asked: Row, step: Fraction, type: str) -> Found:
    (chosen,) = asked["marks"]
    return _rounded([Fraction(points[chosen][axis]) for axis in "xy"], step)


def _distance(points: Sequence[Row], asked: Row, step: Fraction, type: str) -> Found:
    a, b = (points[k] for k in asked["marks"])
    square = sum((Fraction(a[axis]) - Fraction(b[axis])) ** 2 for axis in "xy") / step**2
    low = math.isqrt(math.floor(square))
    high = low if low * low == square else low + 1
    # The root is closer to the higher one from low + 1/2 on.
    text = high if square >= (low + Fraction(1, 2)) ** 2 else low
    return _text(text * step), {_text(low * step), _text(high * step)}


def _extremum(points: Sequence[Row], asked: Row, step: Fraction, type: str) -> Found:
    sign = 1 if asked["extreme"] == "largest" else -1
    names: list[str] = []
    best = -math.inf
    for point in points:
        value = sign * point[asked["axis"]]
        if value > best:
            best, names = value, []
        if value == best:
            names.append(f"{point['colour']} {point['marker']}")
    return names[0], set(names)


def _mean(points: Sequence[Row], asked: Row, step: Fraction, type: str) -> Found:
    return _rounded(
        [sum((Fraction(point[axis]) for point in points), Fraction(0)) / len(points) for axis in "xy"], step
    )


def _correlation(points: Sequence[Row], asked: Row, step: Fraction, type: str) -> Found:
    r = _r([point["x"] for point in points], [point["y"] for point in points])
    above = r > asked["threshold"]
    text = "yes" if above is (asked["side"] == "above") else "no"
    return text, {text}


def _function(points: Sequence[Row], asked: Row, step: Fraction, type: str) -> Found:
    left = {}
    for name in asked["families"]:
        phi = []
        for point in points:
            x = point["x"] / float(step)
            phi.append(
                {
                    "linear": x,
                    "quadratic": (x - 4.5) ** 2,
                    "exponential": math.e ** (x / 2),
                    "logarithmic": math.log(x),
                }[name]
            )
        a, b = _line(phi, [point["y"] for point in points])
        left[name] = sum((point["y"] - a - b * value) ** 2 for point, value in zip(points, phi, strict=True))
    text = min(left, key=lambda name: left[name])
    return text, {text}


def _cluster(points: Sequence[Row], asked: Row, step: Fraction, type: str) -> Found:
    (query,) = (point for point in points if point["colour"] == "black")
    away = {}
    for group in asked["groups"]:
        own = [point for point in points if point["colour"] == group]
        square = (query["y"] - math.fsum(point["y"] for point in own) / len(own)) ** 2
        if type == "scatter":
            square += (query["x"] - math.fsum(point["x"] for point in own) / len(own)) ** 2
        away[group] = square
    text = min(away, key=lambda group: away[group])
    return text, {text}


def _outlier(points: Sequence[Row], asked: Row, step: Fraction, type: str) -> Found:
    furthest, odd = -1.0, points[0]
    for k, point in enumerate(points):
        others = [*points[:k], *points[k + 1 :]]
        a, b = _line([other["x"] for other in others], [other["y"] for other in others])
        away = abs(point["y"] - a - b * point["x"])
        if away > furthest:
            furthest, odd = away, point
    return _rounded([Fraction(odd[axis]) for axis in "xy"], step)


ANSWERS: Mapping[str, Callable[[Sequence[Row], Row, Fraction, str], Found]] = {
    "count": _count,
    "position": _position,
    "distance": _distance,
    "extremum": _extremum,
    "mean": _mean,
    "correlation": _correlation,
    "function": _function,
    "cluster": _cluster,
    "outlier": _outlier,
}


# --- Arithmetic -------------------------------------------------------------------------------------------------------


def _rounded(values: Sequence[Fraction], step: Fraction) -> Found:
    """Coordinates at the nearest multiples of the step, and at all that are next to them on either side."""
    sides = [{math.floor(value / step + SLACK), math.ceil(value / step - SLACK)} for value in values]
    middle = [math.floor(value / step + Fraction(1, 2) + SLACK) for value in values]
    texts = [f"({', '.join(_text(k * step) for k in corner)})" for corner in (middle, *product(*sides))]
    return texts[0], {*texts}


def _text(value: Fraction) -> str:
    """A number without zeros that say nothing."""
    return str(int(value)) if value.denominator == 1 else repr(float(value))


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Intercept and slope of the least-squares line, by the normal equations."""
    n, sx, sy = len(x), math.fsum(x), math.fsum(y)
    sxx, sxy = math.fsum(v * v for v in x), math.fsum(v * w for v, w in zip(x, y, strict=True))
    slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
    return (sy - slope * sx) / n, slope


def _r(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's correlation."""
    mx, my = math.fsum(x) / len(x), math.fsum(y) / len(y)
    xy = math.fsum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return xy / math.sqrt(math.fsum((a - mx) ** 2 for a in x) * math.fsum((b - my) ** 2 for b in y))
