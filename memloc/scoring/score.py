"""Scoring an encoder, or a pair of them, from end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from memloc.errors import InputError
from memloc.scoring import tables
from memloc.scoring.passes import Pass, Result, Settings
from memloc.scoring.run import Progress, Shard, gather, run


@dataclass(frozen=True)
class Scores:
    """The tables that scoring makes.

    Attributes:
        units: one row a unit: UnitMem, its owner, the runner-up; ClassMem and nulls if they were measured.
        tops: the images that excite each unit most.
        layers: one row a layer: means, intervals, LayerMem.
        points: SSLMem of every point at every layer; None for one encoder.
        skipped: name and reason of every image that couldn't be read.
    """

    units: pd.DataFrame
    tops: pd.DataFrame
    layers: pd.DataFrame
    points: pd.DataFrame | None
    skipped: dict[str, str]


class Silent:
    """Progress that shows nothing."""

    def update(self, n: float | None = 1) -> None:
        """Show nothing."""


def score(
    passes: Mapping[str, Pass],
    *,
    settings: Settings,
    shard: Shard | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    begins: Callable[[str], object] = lambda name: None,
    device: str = "cpu",
) -> Scores | None:
    """Do the passes of a plan and make tables of them.

    Args:
        shard: do only this part of the work and return None.
        folder: where unfinished work and finished shards are kept; None keeps nothing.
        progress: counts the images that are done.
        stop: called now and then; if it returns true, work is saved and KeyboardInterrupt raised.
        begins: called with the name of each pass before it.
    """
    results = measure(
        *(passes, settings), shard=shard, folder=folder, progress=progress, stop=stop, begins=begins, device=device
    )
    return None if shard is not None else tabulate(passes, results, settings)


def measure(
    passes: Mapping[str, Pass],
    settings: Settings,
    *,
    shard: Shard | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    begins: Callable[[str], object] = lambda name: None,
    device: str = "cpu",
) -> dict[str, Result]:
    """Do passes, or a shard of each (see ``score``)."""
    results: dict[str, Result] = {}
    for name, task in passes.items():
        begins(name)
        joined = gather(task, settings, folder=folder) if folder is not None and shard is None else None
        if joined is not None and progress is not None:
            progress.update(len(task.rows))
        results[name] = joined or run(
            task,
            settings,
            shard=shard or Shard(),
            folder=folder,
            progress=progress or Silent(),
            stop=stop,
            device=device,
        )
    return results


def tabulate(passes: Mapping[str, Pass], results: Mapping[str, Result], settings: Settings) -> Scores:
    """The tables of finished passes."""
    task, result = passes["f-candidate"], results["f-candidate"]
    for name, other in results.items():
        readable = sum(map(len, other.rows)) if other.tally is None else other.tally.points
        if readable < 2:
            raise InputError(f"images: {readable} readable in {name}; 2 or more are needed, as images are compared")
    external, untrained = results.get("f-external"), results.get("untrained-candidate")
    units = tables.unit_table(task, settings, result, external=external, untrained=untrained)
    points = None
    if any(name.startswith("g-") for name in results):
        f, g = (
            {name.partition("-")[2]: r for name, r in results.items() if name.startswith(f"{role}-")} for role in "fg"
        )
        points = tables.point_table(task, settings, f, g)
    skipped: dict[str, str] = {}
    for source, images in {p.source: p.images for p in passes.values()}.items():
        before = "" if source == "images" else f"{source}: "
        skipped |= {before + images.names[row]: reason for row, reason in sorted(images.skipped.items())}
    return Scores(
        units=units,
        tops=tables.top_table(task, result),
        layers=tables.layer_table(task, settings, units, result, external=external, untrained=untrained, points=points),
        points=points,
        skipped=skipped,
    )
