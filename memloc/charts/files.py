"""What ``memloc charts make`` writes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from memloc import provenance
from memloc.charts import check
from memloc.charts.draw import draw
from memloc.charts.settings import Settings, plain
from memloc.charts.suite import Suite
from memloc.errors import InputError
from memloc.io import load_json
from memloc.output import Output

RECORD, FORMAT = "manifest.json", 1
TABLES = ("charts.jsonl", "items.jsonl")
COMMAND = "memloc charts make"
DRAWN = re.compile(r"images/[a-z0-9-]+\.png|masks/[a-z0-9-]+\.npz")


def describe(settings: Settings, suite: Suite) -> dict[str, object]:
    """What manifest.json says beside the hashes of all files; its identity is a hash of what they depend on."""
    code = provenance.digest("memloc/charts/files.py")
    versions = provenance.versions("memloc", "numpy", "matplotlib", "pillow")
    depends_on = {"settings": plain(settings), "code": code, "versions": versions}
    return {
        "format": FORMAT,
        "identity": hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16],
        "seed": settings.seed,
        "charts": len(suite.charts),
        "items": len(suite.items),
        **depends_on,
    }


def output(folder: Path, suite: Suite, *, replace: bool = False) -> Output:
    """The folder of a suite: the files that it has, and those of the one that is there."""
    drawn = [name for chart in suite.charts for name in (f"images/{chart.name}.png", f"masks/{chart.name}.npz")]
    return Output(
        folder, COMMAND, RECORD, (*dict.fromkeys([*TABLES, *drawn, *_listed(folder)]),), replace=replace, sizes=False
    )


def _listed(folder: Path) -> list[str]:
    """Images and masks that a manifest lists."""
    try:
        return [name for name in load_json(folder / RECORD)["files"] if DRAWN.fullmatch(name)]
    except (InputError, TypeError, KeyError):  # Output says what is wrong with it.
        return []


def write(suite: Suite, size: int, folder: Path, progress: Callable[[], object] = lambda: None) -> None:
    """Images, masks and tables, after the second checker has agreed to every answer.

    Args:
        progress: called after each chart.

    Raises:
        RuntimeError: it doesn't agree.
    """
    charts, items = [chart.row() for chart in suite.charts], [item.row() for item in suite.items]
    if faults := check.faults(charts, items):
        raise RuntimeError(f"{len(faults)} answers are in doubt, the first: {faults[0]}")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for chart in suite.charts:
        image, elements = draw(chart, size)
        Image.fromarray(image).save(folder / f"images/{chart.name}.png")
        # Compressed, for of 300 kB hardly 3 are left.
        np.savez_compressed(folder / f"masks/{chart.name}.npz", elements=elements)
        progress()
    for name, rows in zip(TABLES, (charts, items), strict=True):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name).write_text(text, encoding="utf-8")


def _tally(names: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def report(suite: Suite) -> str:
    """What a suite has, by type, task and part."""
    test = [item for item in suite.items if item.chart.split == "test"]
    return "\n".join(
        [
            f"{len(suite.charts)} charts: {_tally(chart.type for chart in suite.charts)}",
            f"{len(suite.items)} items: {_tally(item.task.name for item in suite.items)}",
            f"{len(suite.items) - len(test)} items for training; {len(test)} for testing, of which"
            f" {sum(item.held_out for item in test)} are about held-out positions",
        ]
    )
