"""Where the time of a run went, from the benchmark files that Snakemake writes for each job."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

from memloc.errors import InputError


class Row(NamedTuple):
    """One rule of a run.

    Attributes:
        rule: its name.
        jobs: how many of its jobs left a record.
        seconds: what they took together, by the clock.
        share: of the seconds of all rules.
    """

    rule: str
    jobs: int
    seconds: float
    share: float


def table(folder: str | Path) -> list[Row]:
    """The rules of a run, those that took longest first; none where nothing was recorded.

    Args:
        folder: holds ``<rule>/**/*.tsv``, as Snakemake writes them: a line of names, ``s`` among them, and one line for
            each repeat.

    Raises:
        InputError: a file isn't one of those.
    """
    taken: dict[str, list[float]] = {}
    for path in Path(folder).glob("*/**/*.tsv"):
        taken.setdefault(path.relative_to(folder).parts[0], []).append(_seconds(path))
    total = sum(sum(times) for times in taken.values())
    rows = [Row(rule, len(times), sum(times), sum(times) / total if total else 0.0) for rule, times in taken.items()]
    return sorted(rows, key=lambda row: (-row.seconds, row.rule))


def _seconds(path: Path) -> float:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            times = [float(line["s"]) for line in csv.DictReader(file, delimiter="\t")]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise _damaged(path) from error
    if not times or not all(math.isfinite(time) and time >= 0 for time in times):
        raise _damaged(path)
    return sum(times)


def _damaged(path: Path) -> InputError:
    return InputError(f"{path}: no benchmark file of Snakemake; delete it")
