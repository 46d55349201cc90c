"""A tiny suite of charts, as its folder has it: squares in four colours on a grid of 8 x 8."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 160, 30), "orange": (240, 150, 20)}
AXIS = {"low": 0.5, "high": 8.5, "step": 1, "ticks": [1, 8], "labels": ["1", "8"]}
EVERY = tuple(range(1, 9))
HELD_OUT = {(2, 3), (5, 6), (7, 1), (4, 8)}


def draw(points: list[dict[str, Any]], size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [size, size, 3] and elements [size, size] of a chart; a cell of its grid is an eighth of its side."""
    pixels, elements = np.full((size, size, 3), 255, np.uint8), np.zeros((size, size), np.uint8)
    cell = size // 8
    for edge in (np.s_[-1, :], np.s_[:, 0]):
        pixels[edge], elements[edge] = 0, 1
    for k, point in enumerate(points):
        top, left = (8 - point["y"]) * cell, (point["x"] - 1) * cell
        inside = np.s_[top + 2 : top + cell - 1, left + 2 : left + cell - 1]
        pixels[inside], elements[inside] = COLOURS[point["colour"]], 4 + k
    return pixels, elements


def write_suite(
    folder: Path,
    *,
    train: int = 12,
    test: int = 12,
    counts: tuple[int, ...] = (1, 2),
    size: int = 64,
    seed: int = 0,
    colours: tuple[str, ...] = ("red", "blue"),
    sides: tuple[int, ...] = EVERY,
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda item: item,
) -> Path:
    """A suite with a position item for the first point of every chart, and a count item for every chart.

    Marks lie at ``sides`` along both axes. Training charts have no point at a place that is held out; every fourth test
    chart has its first point there.
    """
    rng = np.random.default_rng(seed)
    files: dict[str, bytes] = {}
    charts, items = [], []
    grid = [(x, y) for x in sides for y in sides]
    free = [place for place in grid if place not in HELD_OUT]
    for number in range(train + test):
        split, n = ("train" if number < train else "test"), counts[number % len(counts)]
        chosen = [free[i] for i in rng.choice(len(free), size=n, replace=False)]
        held_out = split == "test" and number % 4 == 0 and sides == EVERY
        if held_out:
            chosen[0] = sorted(HELD_OUT)[rng.integers(len(HELD_OUT))]
        points = [{"x": x, "y": y, "colour": colours[k], "marker": "square"} for k, (x, y) in enumerate(chosen)]
        name = f"chart{number:04d}"
        pixels, elements = draw(points, size)
        png, npz = io.BytesIO(), io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        np.savez(npz, elements=elements)
        files[f"images/{name}.png"], files[f"masks/{name}.npz"] = png.getvalue(), npz.getvalue()
        charts.append({"chart": name, "type": "scatter", "n": n, "points": points, "axes": {"x": AXIS, "y": AXIS}})
        x, y = chosen[0]
        asked = {"chart": name, "image": f"images/{name}.png", "n": n, "type": "scatter", "split": split}
        asked |= {"answer_set": None}
        answer = f"({x}, {y})"
        items.append(
            {"item": f"{name}-position", **asked, "task": "position", "held_out": held_out, "answer": answer}
            | {
                "question": f"Where is the {points[0]['colour']} square?",
                "accepted": [answer],
                "metadata": {"marks": [0]},
            }
        )
        items.append(
            {"item": f"{name}-count", **asked, "task": "count", "held_out": False, "answer": str(n)}
            | {"question": "How many points are there?", "accepted": [str(n)], "metadata": {"marks": [*range(n)]}}
        )
    items = [change(item) for item in items]
    for name, rows in (("charts.jsonl", charts), ("items.jsonl", items)):
        files[name] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    manifest = {"format": 1, "seed": seed, "settings": {}, "versions": {}}
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files["manifest.json"] = json.dumps(manifest).encode()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
