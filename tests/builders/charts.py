"""A tiny suite of charts: squares on a grid, as few places of it as a test wants."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from memloc.charts import files
from memloc.charts.marks import HELD_OUT, Chart, Mark
from memloc.charts.suite import Item, Suite
from memloc.charts.tasks import TASKS

EVERY = tuple(range(1, 9))
SIZE = 72
"""Pixels of a side: cells of 8, so that each is a patch."""


def write_suite(
    folder: Path,
    *,
    train: int = 12,
    test: int = 12,
    counts: tuple[int, ...] = (1, 2),
    seed: int = 0,
    colours: tuple[str, ...] = ("red", "blue"),
    sides: tuple[int, ...] = EVERY,
) -> Path:
    """A suite with a position item for the first mark of every chart, and a count item for every chart.

    Marks lie at ``sides`` along both axes, and none at a place that is held out; but where sides are all of the axes,
    every fourth test chart has its first there.
    """
    rng = np.random.default_rng(seed)
    grid = [(x, y) for x in sides for y in sides]
    free = [place for place in grid if place not in HELD_OUT]
    charts, items = [], []
    for number in range(train + test):
        split, n = ("train" if number < train else "test"), counts[number % len(counts)]
        chosen = [free[i] for i in rng.choice(len(free), size=n, replace=False)]
        held_out = split == "test" and number % 4 == 0 and sides == EVERY
        if held_out:
            chosen[0] = sorted(HELD_OUT)[rng.integers(len(HELD_OUT))]
        marks = tuple(Mark(x, y, colours[k], "square") for k, (x, y) in enumerate(chosen))
        chart = Chart(f"chart{number:04d}", "scatter", marks, "8", "2d", split, 0 if held_out else None)
        charts.append(chart)
        for task, asked in (("position", {"marks": [0]}), ("count", {})):
            answer = TASKS[task].solve(chart, asked)
            items.append(Item(f"{chart.name}-{task}", chart, TASKS[task], asked, 0, answer))
    folder.mkdir(parents=True)
    files.write(Suite(tuple(charts), tuple(items)), SIZE, folder)
    written = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in written.items()}
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "files": hashes}), encoding="utf-8")
    return folder
