"""Work in batches that are halved where memory is short, kept on disk batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from memloc.analysis.tables import load_table, save_table
from memloc.errors import InputError, out_of_memory
from memloc.job import log

T = TypeVar("T")
R = TypeVar("R")


class StoppedError(Exception):
    """A stop was requested; what is finished is kept."""


class Halving:
    """How many things are done at once: as many as were wanted, until memory is too short for them."""

    def __init__(self, size: int) -> None:
        self.size = size

    def over(self, things: Sequence[T], do: Callable[[Sequence[T]], R]) -> Iterator[R]:
        """What ``do`` gives of things, some at once.

        Raises:
            MemoryError: memory is too short for one.
        """
        start = 0
        while start < len(things):
            some = things[start : start + self.size]
            try:
                result = do(some)
            except Exception as error:
                if not out_of_memory(error) or len(some) < 2:
                    raise
                self.size = len(some) // 2
                log.info("memory is short: %d at once from now on", self.size)
                continue
            yield result
            start += len(some)


def kept(
    work: Path | None,
    name: str,
    things: Sequence[T],
    rows: Callable[[Sequence[T]], pd.DataFrame],
    *,
    size: int,
    progress: Callable[[int], object] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> pd.DataFrame:
    """Rows of things, ``size`` of them at a time, each time's rows in a file of their own that is not made again.

    Args:
        work: folder of unfinished work; None keeps nothing.
        name: what the files are called, before a number.

    Raises:
        StoppedError: a stop was requested.
    """
    tables = []
    for number, start in enumerate(range(0, len(things), size)):
        some = things[start : start + size]
        path = None if work is None else work / f"{name}-{number:06d}.parquet"
        table = _load(path)
        if table is None:
            if stop():
                raise StoppedError
            table = rows(some)
            if path is not None:
                save_table(table, path)
        tables.append(table)
        progress(len(some))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _load(path: Path | None) -> pd.DataFrame | None:
    """A file of rows, unless there is none or it is damaged."""
    if path is None or not path.exists():
        return None
    try:
        return load_table(path)
    except InputError:
        log.info("%s is damaged and made again", path)
        return None
