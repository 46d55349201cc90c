"""What a suite is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from memloc.charts.marks import GRID, MARKERS, PLAIN, SCALES, TYPES
from memloc.charts.tasks import TASKS
from memloc.errors import InputError, show
from memloc.plain_yaml import load_plain
from memloc.wording import meant

LARGE = 560
"""Pixels of a side as matplotlib draws it; every other size is the fast renderer's."""
SMALLEST, SMALL = 54, 144
"""Sizes that the fast renderer draws; 63 and 72 put every cell on its own square of 7 or 8 pixels."""
MOST_MARKS = 16


@dataclass(frozen=True)
class Settings:
    """What a suite is made of.

    Attributes:
        seed: of all that is random.
        charts: at most so many.
        tasks, types: which.
        size: side of the images, in pixels: 560, or 54 to 144.
        scales: tick labels; small images have room for 8 alone.
        n: marks of a chart of single marks; bars and lines take up to 8.
        crowd: marks of a chart of the other tasks.
        colours, markers: that marks may have.
        train: share of the charts that are for training.
    """

    seed: int = 0
    charts: int = 1000
    tasks: Sequence[str] = tuple(TASKS)
    types: Sequence[str] = TYPES
    size: int = LARGE
    scales: Sequence[str] = ()
    n: Sequence[int] = (1, 2, 3, 4, 8, 16)
    crowd: Sequence[int] = (16, 32)
    # So few that each kind of mark is in enough training charts for a probe of it.
    colours: Sequence[str] = PLAIN[:4]
    markers: Sequence[str] = MARKERS
    train: float = 0.5

    def __post_init__(self) -> None:
        """Put names and numbers in order, and refuse what can't be.

        Raises:
            InputError: a value is of the wrong kind, out of its range, or none of those known.
        """
        small = self.size != LARGE
        if not self.scales:
            object.__setattr__(self, "scales", ("8",) if small else tuple(SCALES))
        for key, known in (
            *(("tasks", TASKS), ("types", TYPES), ("scales", SCALES)),
            *(("colours", PLAIN), ("markers", MARKERS)),
        ):
            object.__setattr__(self, key, _names(key, getattr(self, key), list(known)))
        for key, lowest, highest in (("n", 1, MOST_MARKS), ("crowd", GRID, 128)):
            object.__setattr__(self, key, _numbers(key, getattr(self, key), lowest, highest))
        for key, lowest, highest in (("seed", 0, 2**63 - 1), ("charts", 1, 1_000_000), ("size", SMALLEST, LARGE)):
            _numbers(key, [getattr(self, key)], lowest, highest)
        if small and self.size > SMALL:
            raise InputError(f"size: {self.size}; give {LARGE}, or {SMALLEST} to {SMALL}")
        if small and self.scales != ("8",):
            raise InputError(
                f"scales: {', '.join(self.scales)}; images of {self.size} pixels have room for tick labels 0 to 8 alone"
                f"; leave scales out, or give size {LARGE}"
            )
        if isinstance(self.train, bool) or not isinstance(self.train, int | float) or not 0 <= self.train <= 1:
            raise InputError(f"train: {show(self.train)}; give a share of the charts, 0 to 1")

    def marks(self, type: str, least: int) -> list[int]:
        """Numbers of single marks that a chart of a type may have, from ``least`` on."""
        objects = len(self.colours) * (1 if type == "bar" else len(self.markers))
        return [n for n in self.n if least <= n <= min(objects, MOST_MARKS if type == "scatter" else GRID)]


KEYS = tuple(field.name for field in fields(Settings))


def read(path: Path | None, **given: Any) -> Settings:
    """Settings of a configuration file, whose keys are theirs, under those that are given and not None.

    Raises:
        InputError: the file can't be read, has another key, or a value can't be.
    """
    found = {} if path is None else load_plain(path)
    for key in found:
        if key not in KEYS:
            raise InputError(f"{path}: {show(key)}: no such key{meant(str(key), KEYS)}")
    return Settings(**found | {key: value for key, value in given.items() if value is not None})


def _names(key: str, names: object, known: Sequence[str]) -> tuple[str, ...]:
    """Names, each once, in the order of those known."""
    names = [names] if isinstance(names, str | int) else names
    if not isinstance(names, list | tuple) or not names:
        raise InputError(f"{key}: {show(names)}; give one or more of {', '.join(known)}")
    texts = [str(name) for name in names]
    for name in texts:
        if name not in known:
            raise InputError(f"{key}: {show(name)}: no such {key[:-1]}{meant(name, known)}")
    return tuple(name for name in known if name in texts)


def _numbers(key: str, numbers: object, lowest: int, highest: int) -> tuple[int, ...]:
    """Whole numbers in a range, each once, from the lowest up."""
    numbers = [numbers] if isinstance(numbers, int) else numbers
    if not isinstance(numbers, list | tuple) or not numbers:
        raise InputError(f"{key}: {show(numbers)}; give whole numbers, {lowest} to {highest}")
    for value in numbers:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise InputError(f"{key}: {show(value)}; give {lowest} to {highest}")
    return tuple(sorted(set(numbers)))


def plain(settings: Settings) -> Mapping[str, Any]:
    """Settings as JSON has them."""
    return {key: list(value) if isinstance(value := getattr(settings, key), tuple) else value for key in KEYS}
