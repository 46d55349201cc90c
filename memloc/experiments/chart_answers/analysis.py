"""How often a model answers rightly."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.charted import (
    ASKED,
    FUGU,
    OWN,
    answers,
    by_place,
    counted,
    effect,
    equal,
    find_share,
    groups,
    size,
)
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet

CLAIMS = {
    "one": Claim(
        "The place of a chart's only mark is told rightly, where training charts have marks: accuracy minus .9", OWN
    ),
    "two": Claim(
        "The place of one of two marks is told rightly, where training charts have marks: accuracy minus .6", OWN
    ),
    "fewest": Claim(
        "Places are told less often as marks become more, where training charts have marks: accuracy with fewest marks "
        "minus most, of chart types that have both",
        FUGU,
    ),
    "steps": Claim(
        "Places are told no more often from any number of marks to the next, where training charts have marks: fall of "
        "accuracy plus .05, own margin",
        OWN,
    ),
    "held-out": Claim(
        "A place where no training chart has a mark is told less often: accuracy elsewhere minus there, of one mark"
    ),
    "blank": Claim("No place is told from a blank image: .05 minus the accuracy", OWN),
    "readable": Claim("Answers can be read: .01 minus the share of those that can't", OWN),
}
POSITION = "position"


def analyse(sheet: Sheet) -> None:
    """Accuracy by strategy, task, n and type, and what positions say."""
    for model in sheet.encoders:
        seeds = answers(sheet, model)
        for by in (["strategy", "task"], *(["strategy", "task", name] for name in ("n", "type", "held_out"))):
            sheet.add(counted(seeds, by), model=model, series=", ".join(by[1:]))
        sheet.add(counted(seeds, ["strategy"], column="unread"), model=model, series="unread")
        guessed = counted([table[table["strategy"] == ASKED] for table in seeds], ["task"], column="guess")
        sheet.add(guessed, model=model, series="task", strategy="guess")
        numbers = sorted(set(seeds[0].loc[seeds[0]["task"] == POSITION, "n"]))
        rows = groups(seeds, {str(n): _asked(n=n, held_out=0) for n in numbers})
        if rows:
            for name, n, least in (("one", 1, 0.9), ("two", 2, 0.6)):
                if n in numbers:
                    find_share(sheet, name, model, rows, str(n), above=least)
            if len(numbers) > 1:
                _falls(sheet, model, seeds, numbers)
        places = {"seen": _asked(n=numbers[0], held_out=0), "not": _asked(n=numbers[0], held_out=1)}
        apart = groups(seeds, places)
        if apart and numbers[0] == 1:
            lost = effect(sheet, apart, lambda m: m["seen"] - m["not"], together=by_place(seeds, places))
            sheet.find("held-out", model, lost, size(apart))
        blank = groups(seeds, {"blank": _asked(strategy="blank")})
        if blank:
            find_share(sheet, "blank", model, blank, "blank", below=0.05)
        unread = groups(seeds, {"unread": equal(strategy=ASKED)}, column="unread")
        if unread:
            find_share(sheet, "readable", model, unread, "unread", below=0.01)


def _asked(strategy: str = ASKED, **values: int) -> Callable[[pd.DataFrame], Any]:
    """What chooses position items that were asked by a strategy."""
    return equal(task=POSITION, strategy=strategy, **values)


def _falls(sheet: Sheet, model: str, seeds: list[pd.DataFrame], numbers: list[int]) -> None:
    """Falls from a number of marks to others, of chart types that have all of these."""
    asked = [table[_asked(held_out=0)(table)] for table in seeds]
    types = [
        kind for kind in dict.fromkeys(asked[0]["type"]) if {*asked[0].loc[asked[0]["type"] == kind, "n"]} >= {*numbers}
    ]
    rows = groups([table[table["type"].isin(types)] for table in asked], {str(n): equal(n=n) for n in numbers})
    if rows:
        first, last = str(numbers[0]), str(numbers[-1])
        sheet.find("fewest", model, effect(sheet, rows, lambda means: means[first] - means[last]), size(rows))
        falls = effect(
            sheet,
            rows,
            lambda means: -np.diff(np.stack([np.asarray(means[str(n)]) for n in numbers], axis=-1), axis=-1),
            minus=-0.05,
        )
        places = [f"{a} to {b}" for a, b in pairwise(numbers)]
        sheet.find_in_every("steps", model, falls, places, n=size(rows))


PLACES = {0: "training places", 1: "held-out places"}


def draw(table: pd.DataFrame) -> Figure:
    """A row a model: accuracy by number of marks of every task; by strategy; by type and by place."""
    models = list(dict.fromkeys(table["model"]))
    figure, axes = plotting.panels(rows=len(models), columns=3, height=3.0)
    colours = plotting.colours(list(dict.fromkeys(table["task"].dropna())))
    for row, model in zip(axes, models, strict=True):
        mine = table[table["model"] == model]
        asked = mine[mine["strategy"].eq(ASKED)]
        by_n = asked[asked["series"].eq("task, n")]
        tasks = list(dict.fromkeys(by_n["task"]))
        order = sorted(by_n["n"].unique())
        for task in tasks:
            own = by_n[by_n["task"] == task].sort_values("n")
            at = [order.index(n) for n in own["n"]]
            row[0].plot(at, own["value"], marker="o", markersize=3.5, color=colours[task])
            plotting.band(row[0], at, own, colour=colours[task])
        row[0].set_xticks(range(len(order)), [f"{n:g}" for n in order])
        row[0].set(title=plotting.plain(model), xlabel="marks in the chart", ylabel="accuracy", ylim=(-0.03, 1.03))
        places = asked[asked["series"].eq("task, held_out")].sort_values("held_out", kind="stable")
        places = places.assign(type=places["held_out"].map(PLACES))
        types = pd.concat([asked[asked["series"].eq("task, type")], places])
        for axis, own, column in (
            (row[1], mine[mine["series"].eq("task")], "strategy"),
            (row[2], types, "type"),
        ):
            wide = own.pivot(index="task", columns=column, values="value").reindex(tasks)
            wide = wide[list(dict.fromkeys(own[column]))].rename_axis(None).rename_axis(None, axis=1)
            plotting.matrix(axis, wide, low=0, high=1)
        row[1].set_title("by strategy")
        row[2].set_title("by type, and by place")
    plotting.key(figure, colours)
    return figure
