"""A suite: which charts there are and what is asked of each, from a seed.

Every task has as many items as any other, of every chart type as many, and of every number of marks as many, to within
one. The tasks of single marks share their charts; a crowd is drawn for one question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np

from memloc.charts.marks import BAR, HELD_OUT, PLACES, Chart, Mark, on_grid
from memloc.charts.settings import Settings
from memloc.charts.tasks import TASKS, Answer, Task
from memloc.charts.tasks.task import Asked, Crowd
from memloc.errors import InputError
from memloc.streams import generator

T = TypeVar("T")
SEEN = tuple(place for place in PLACES if place not in HELD_OUT)
WIDEST = 4
"""Marks that fit in one row or column of a training chart beside the held-out positions."""


@dataclass(frozen=True)
class Item:
    """A question about a chart, with its answer."""

    name: str
    chart: Chart
    task: Task
    asked: Asked
    wording: int
    answer: Answer

    @property
    def question(self) -> str:
        """Its text."""
        return self.task.question(self.chart, self.asked, self.wording)

    @property
    def held_out(self) -> bool:
        """Whether a mark that the answer depends on lies on a held-out position; of a crowd, the outlier's nearest."""
        if self.task.draw is not None and len(self.answer.marks) > 1:
            return False
        return any(on_grid(self.chart.marks[k], self.chart.step) in HELD_OUT for k in self.answer.marks)

    def row(self) -> dict[str, Any]:
        """Its line of items.jsonl."""
        answer, chart = self.answer, self.chart
        about = {"kind": self.task.kind, "asked": dict(self.asked), "wording": self.wording, "marks": [*answer.marks]}
        about |= {"scale": chart.scale, "step": chart.step, "layout": chart.layout}
        return {
            "item": self.name,
            "chart": chart.name,
            "image": f"images/{chart.name}.png",
            "task": self.task.name,
            "question": self.question,
            "answer": answer.text,
            "accepted": [*answer.accepted],
            "answer_set": None if answer.choices is None else [*answer.choices],
            "n": len(chart.marks),
            "type": chart.type,
            "split": chart.split,
            "held_out": self.held_out,
            "metadata": about | dict(answer.scored),
        }


@dataclass(frozen=True)
class Suite:
    """Charts and what is asked of them."""

    charts: tuple[Chart, ...]
    items: tuple[Item, ...]


def plan(settings: Settings) -> Suite:
    """The charts and items of a suite, all but the images.

    Raises:
        InputError: there are too few charts for every task and type, or too few marks for a task.
    """
    items = _most(settings)
    charts: list[Chart] = []
    asked: list[Item] = []
    for type in settings.types:
        shared = _shared(settings, type, items)
        charts += [chart for pool in shared.values() for chart in pool]
        for task in (TASKS[name] for name in settings.tasks):
            rng = generator("items", settings.seed, task.name, type)
            variants, wordings = (_deck(range(m), items, rng) for m in (task.variants, len(task.wordings)))
            if task.draw is None:
                own = [
                    chart
                    for n, count in _counts(settings.marks(type, task.least), items)
                    for chart in shared[n][:count]
                ]
            else:
                own = _crowds(settings, type, task, variants)
                charts += own
            for k, (chart, variant, wording) in enumerate(zip(own, variants, wordings, strict=True)):
                about = chart.settings["asked"] if task.ask is None else task.ask(chart, variant, rng)
                name = f"{task.name}-{type}-{k:04d}"
                asked.append(Item(name, chart, task, about, wording, task.solve(chart, about)))
    return Suite(tuple(charts), tuple(asked))


def _counts(options: Sequence[T], total: int) -> list[tuple[T, int]]:
    """How often each option is taken, to make a total: equally often to within one."""
    return [(option, total // len(options) + (k < total % len(options))) for k, option in enumerate(options)]


def _deck(options: Sequence[T] | range, total: int, rng: np.random.Generator) -> list[Any]:
    """Options in random order, each equally often to within one."""
    order = [options[k] for k in rng.permutation(len(options))]
    deck = [option for option, count in _counts(order, total) for _ in range(count)]
    return [deck[k] for k in rng.permutation(total)]


def _pools(settings: Settings, type: str, items: int) -> dict[int, int]:
    """How many charts of single marks there must be, by their number of marks."""
    pools: dict[int, int] = {}
    for task in (TASKS[name] for name in settings.tasks):
        if task.draw is None:
            numbers = settings.marks(type, task.least)
            if not numbers:
                raise InputError(
                    f"n: {', '.join(map(str, settings.n))}: no chart of type {type} has the {task.least} marks or more"
                    f" that task {task.name} needs; give more n, colours or markers, or leave out the task or type"
                )
            for n, count in _counts(numbers, items):
                pools[n] = max(pools.get(n, 0), count)
    return pools


def _most(settings: Settings) -> int:
    """The most items of a task and type for which there are charts."""
    crowds = sum(TASKS[name].draw is not None for name in settings.tasks) * len(settings.types)

    def charts(items: int) -> int:
        return sum(sum(_pools(settings, type, items).values()) for type in settings.types) + crowds * items

    if "cluster" in settings.tasks and len(settings.colours) < 2:
        raise InputError(f"colours: {settings.colours[0]}; task cluster needs two or more")
    if settings.charts < charts(1):
        raise InputError(f"charts: {settings.charts}; these tasks and types take {charts(1)} or more")
    low, high = 1, settings.charts * len(settings.n) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if charts(middle) <= settings.charts else (low, middle)
    return low


def _splits(settings: Settings, total: int, rng: np.random.Generator) -> list[str]:
    """Train, test, and test on held-out positions, each in its share to within one."""
    train = int(settings.train * total + rng.random())
    held, seen = _counts(("held", "test") if rng.random() < 0.5 else ("test", "held"), total - train)
    deck = ["train"] * train + [kind for kind, count in (held, seen) for _ in range(count)]
    return [deck[k] for k in rng.permutation(total)]


def _shared(settings: Settings, type: str, items: int) -> Mapping[int, list[Chart]]:
    """Charts of single marks, by their number of marks."""
    pools = {}
    for n, total in sorted(_pools(settings, type, items).items()):
        rng = generator("charts", settings.seed, type, n)
        layouts = ("2d", "same y", *(("same x",) if type == "scatter" else ())) if 1 < n <= WIDEST else ("2d",)
        pools[n] = [
            _single(settings, f"{type}-{n:02d}-{k:04d}", type, n, rng, *axes)
            for k, axes in enumerate(
                zip(
                    _splits(settings, total, rng),
                    _deck(layouts, total, rng),
                    _deck(settings.scales, total, rng),
                    strict=True,
                )
            )
        ]
    return pools


def _single(
    settings: Settings, name: str, type: str, n: int, rng: np.random.Generator, split: str, layout: str, scale: str
) -> Chart:
    """A chart of marks of which no two look alike, each on a position of its own."""
    first = _pick(sorted(HELD_OUT) if split == "held" else SEEN, rng)
    free = [place for place in (SEEN if split == "train" else PLACES) if place != first]
    if layout != "2d":
        axis = layout == "same y"
        free = [place for place in free if place[axis] == first[axis]]
    if type == "scatter":
        others = [free[k] for k in rng.choice(len(free), n - 1, replace=False)]
    else:
        columns = sorted({x for x, _ in free} - {first[0]})
        chosen = [columns[k] for k in rng.choice(len(columns), n - 1, replace=False)]
        others = [_pick([place for place in free if place[0] == x], rng) for x in chosen]
    looks = list(product(settings.colours, [BAR] if type == "bar" else settings.markers))
    objects = [looks[k] for k in rng.choice(len(looks), n, replace=False)]
    order = rng.permutation(n)
    chart = Chart(name, type, (), scale, layout, "train" if split == "train" else "test")
    places = [[first, *others][k] for k in order]
    marks = tuple(Mark(x * chart.step, y * chart.step, *look) for (x, y), look in zip(places, objects, strict=True))
    held_out = int(np.flatnonzero(order == 0)[0]) if split == "held" else None
    return Chart(name, type, marks, scale, layout, chart.split, held_out)


def _pick(options: Sequence[T], rng: np.random.Generator) -> T:
    return options[int(rng.integers(len(options)))]


def _crowds(settings: Settings, type: str, task: Task, variants: Sequence[int]) -> list[Chart]:
    """Charts of one task, each a crowd of marks."""
    rng = generator("crowds", settings.seed, task.name, type)
    total = len(variants)
    decks = (_deck(settings.crowd, total, rng), _splits(settings, total, rng), _deck(settings.scales, total, rng))
    charts = []
    for k, (variant, n, split, scale) in enumerate(zip(variants, *decks, strict=True)):
        places = {"train": SEEN, "test": SEEN, "held": tuple(HELD_OUT)}[split]
        assert task.draw is not None
        marks, asked = task.draw(Crowd(type, n, variant, places, settings.colours, settings.markers, rng))
        name = f"{task.name}-{type}-{n:03d}-{k:04d}"
        chart = Chart(name, type, (), scale, task.name, "train" if split == "train" else "test")
        moved = (Mark(m.x * chart.step, m.y * chart.step, m.colour, m.marker, m.series) for m in marks)
        charts.append(Chart(name, type, tuple(moved), scale, task.name, chart.split, settings={"asked": dict(asked)}))
    return charts
