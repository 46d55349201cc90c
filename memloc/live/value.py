"""``memloc.value``: which rows and cells of a table are unlike the others of their class, as ``memloc value`` says."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from memloc.cli.options import CORES
from memloc.cli.terminal import Bar
from memloc.errors import InputError, one_line, show
from memloc.live.showing import in_python, placed, say_all, saying, shown_in_notebook
from memloc.valuation import files, issues, sources
from memloc.valuation.oob import Values
from memloc.valuation.oob import value as values_of
from memloc.valuation.reading import is_table
from memloc.valuation.sources import Source


@dataclass(frozen=True, repr=False)
class Valued:
    """Values of rows and cells; low ones mark what is wrong or unusual. A notebook shows the lowest.

    Attributes:
        rows: a row each, as the table has them: label, ``value_w0`` (share of the trees that never saw the row and
            predict its label), ``value_w1`` (plus how close it lies to its class), learners behind it.
        cells: ``value_w1`` of every cell [rows, cells].
        issues: a row each: suggested label, odd cells, copies.
        verdict: the answer, in sentences, a line each.
        lowest: the tables that ``memloc value`` prints.
        taken: what was taken of the table, a line each.
        about: settings, versions, what was taken.
    """

    source: Source
    values: Values
    about: Mapping[str, object]
    index: pd.Index[Any]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """See the class."""
        with tempfile.TemporaryDirectory() as folder:  # As the command writes them.
            files.write(self.source, self.values, Path(folder), found=self._found)
            return pd.read_parquet(Path(folder) / "rows.parquet").set_index(self.index)

    @property
    def cells(self) -> pd.DataFrame:
        """See the class."""
        return pd.DataFrame(self.values.cells[1], index=self.index, columns=list(self.source.cells))

    @cached_property
    def issues(self) -> pd.DataFrame:
        """See the class."""
        found = issues.table(self.source, self.values, self._found.labels, self._found.deviating)
        return found.set_index(self.index)

    @property
    def verdict(self) -> str:
        """See the class."""
        return "\n".join(self._lines)

    @property
    def lowest(self) -> str:
        """See the class."""
        return in_python(files.lowest(self.source, self.values, self._found))

    @property
    def taken(self) -> list[str]:
        """See the class."""
        return list(self.source.remarks)

    @cached_property
    def _found(self) -> files.Found:
        return files.Found.of(self.source, self.values)

    @property
    def _lines(self) -> list[str]:
        return files.headline(self.source, self._found, self.issues)

    def page(self, path: str | os.PathLike[str]) -> Path:
        """Write the page of ``memloc value``: one file, which opens offline.

        Raises:
            InputError: nothing can be written there.
        """
        with tempfile.TemporaryDirectory() as folder:
            files.write(self.source, self.values, Path(folder), meta=self.about, found=self._found)
            return placed(Path(folder) / "index.html", path)

    def __repr__(self) -> str:
        return self.lowest

    def _repr_html_(self) -> str:
        rows = self.rows.reset_index(drop=True)
        rows.insert(2, "suggested", self.issues["predicted_label"].to_numpy())
        rows = rows[rows["learners"] > 0].nsmallest(files.SHOWN, ["value_w0", "value_w1"])
        shown = {"row": show, "label": show, "suggested": show}
        table = rows.to_html(index=False, float_format="{:.3f}".format, formatters=shown)
        return shown_in_notebook(self._lines, table, self.taken)


def value(
    frame: pd.DataFrame | str | os.PathLike[str],
    *,
    label: str | None = None,
    id: str | None = None,
    ignore: str | Sequence[str] = (),
    text: str | Sequence[str] = (),
    learners: int = 1000,
    ratio: float = 0.5,
    seed: int = 0,
    workers: int | None = None,
    size: int = 28,
    patch: int = 4,
    part: str = "train",
    config: str | os.PathLike[str] = "config.yaml",
    strict: bool = False,
    quiet: bool = False,
) -> Valued:
    """Which rows of a table may be mislabelled, and which cells are odd; the same numbers as ``memloc value``.

    Args:
        frame: a table, read as a Parquet file of it would be; or a file, a folder of images in class subfolders, or the
            name of a configuration's dataset, as ``memloc value`` takes them.
        label: column of the classes.
        id: column, or level of the index, that names the rows.
        ignore: patterns of columns to leave out.
        text: patterns of columns whose numbers are names.
        learners, ratio, seed: decision trees, share of the cells that each sees, of what each sees.
        workers: CPU threads (default: all).
        size, patch, part, config, strict: of images, see ``memloc value --help``.
        quiet: show nothing.

    Raises:
        InputError: something that was handed in can't be used; one line says what to do.
    """
    for name, given, highest in (("learners", learners, 1_000_000), ("size", size, 1024), ("patch", patch, size)):
        if not isinstance(given, int) or not 1 <= given <= highest:
            raise InputError(f"{name}: {given}; give 1 to {highest}")
    if workers is not None and not 1 <= workers <= CORES:
        raise InputError(f"workers: {workers}; give 1 to {CORES}")
    if not 0 < ratio <= 1:
        raise InputError(f"ratio: {ratio}; give a share of the cells above 0, up to 1")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed: {seed}; give 0 to {2**63 - 1}")
    columns: dict[str, Any] = {
        **{key: None if name is None else str(name) for key, name in (("label", label), ("id", id))},
        **{"ignore": _several(ignore), "text": _several(text)},
    }
    images: dict[str, Any] = {}
    index = None
    with saying(quiet):
        if isinstance(frame, pd.DataFrame):
            source, index = _of_frame(frame, columns), frame.index
        elif not isinstance(frame, str | os.PathLike):
            raise InputError(f"frame: {type(frame).__name__} isn't a DataFrame; make one of it, or name a file")
        elif is_table(os.fspath(frame)):
            source = sources.read_table(os.fspath(frame), **columns)
        elif any(columns.values()):
            raise InputError(f"frame: {show(frame)} is not a table; label, id, ignore and text need one")
        else:
            images = {"size": size, "patch": patch, "part": part, "strict": strict}
            source = sources.read_images(os.fspath(frame), config=Path(config), **images)
        say_all(source.remarks)
        bar = Bar(learners, quiet=quiet, unit="learners")
        try:
            values = values_of(
                *(source.x, source.y),
                groups=source.groups,
                learners=learners,
                ratio=ratio,
                seed=seed,
                workers=workers or CORES,
                progress=bar.update,
            )
        finally:
            bar.close()
    settings = {"learners": learners, "ratio": ratio, "seed": seed}
    named = "frame" if isinstance(frame, pd.DataFrame) else os.fspath(frame)
    about = files.describe(source, {"source": named, **columns, **images, **settings}) | {"remarks": source.remarks}
    return Valued(source, values, about, pd.RangeIndex(len(source.rows)) if index is None else index)


def _several(names: Any) -> list[str]:
    """Names as a table's columns are read: as texts."""
    return [str(name) for name in names] if isinstance(names, Iterable) and not isinstance(names, str) else [str(names)]


def _of_frame(frame: pd.DataFrame, columns: dict[str, Any]) -> Source:
    """A table in memory, through the reader of files."""
    name = columns["id"]
    table = frame.reset_index(drop=True).set_axis([str(column) for column in frame.columns], axis=1)
    levels = [level for level, own in enumerate(frame.index.names) if own is not None and str(own) == name]
    if levels:
        if name in table:
            raise InputError(f"id: {show(name)} is a level of the index and a column; rename one")
        table.insert(0, name, frame.index.get_level_values(levels[0]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.parquet"

        def renamed(line: str) -> str:
            return in_python(one_line(line.replace(str(path), "frame")))

        try:
            table.to_parquet(path, index=False)
        except Exception as error:  # pyarrow raises anything for what no column can hold.
            reason = one_line(str(error)) or type(error).__name__
            raise InputError(
                f"frame: can't be stored as a table ({reason}); make each column numbers or text"
            ) from error
        try:
            source = sources.read_table(str(path), **columns)
            return replace(source, remarks=[renamed(line) for line in source.remarks])
        except InputError as error:
            raise InputError(renamed(str(error))) from error.__cause__
