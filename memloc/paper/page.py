"""Tables and figures of the paper with a run's numbers: as CSV, as images, and on one self-contained page."""

from __future__ import annotations

import base64
import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import yaml
from matplotlib import pyplot as plt

from memloc import io, page
from memloc.aliases import Array
from memloc.config import Config
from memloc.errors import AGAIN, InputError
from memloc.experiments import EXPERIMENTS
from memloc.paper import drawing
from memloc.paper.exhibits import EXHIBITS, Exhibit, Part, named
from memloc.paper.readings import Cell, Plot, Reading, Row, Run
from memloc.paper.sources import run_of, scale

PUBLISHED = Path(__file__).parent / "published.yaml"
EMPTY = Cell()
LARGE = 2
"""Numbers above this are percents."""
NARROW = 900
"""Pixels of a figure of one panel, at most."""


@dataclass(frozen=True)
class Line:
    """A row of a table: the paper's name of it, what stands there in this run, and (paper, here) by column."""

    title: str
    here: str
    cells: Sequence[tuple[Cell, Cell]]
    own: bool = False


@dataclass
class Shown:
    """One part as it is shown.

    Attributes:
        lacks: why numbers of this run are missing; the whole part's, where there is no run.
        columns: the paper's name of each, what stands there in this run, and whether the paper has it.
    """

    part: Part
    run: Run | None
    lacks: list[str] = field(default_factory=list)
    columns: list[tuple[str, str, bool]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    plot: Plot | None = None

    @property
    def answered(self) -> bool:
        """Whether the run has any number of it."""
        here = (cell for line in self.lines for _, cell in line.cells)
        return any(_there(cell) for cell in here) or any(self.plot.series.values() if self.plot else ())


def shown(
    exhibit: Exhibit, config: Config, tables: Mapping[str, Sequence[Row]], paper: Mapping[str, Any]
) -> list[Shown]:
    """An exhibit's parts with the numbers of both.

    Args:
        tables: rows by experiment, of all that ``read_from`` names.
        paper: its numbers (``published``).

    Raises:
        InputError: an experiment's table lacks a column, or has no number where one must be.
    """
    parts = []
    for part in exhibit.parts:
        chosen, read = part.chosen(config), None
        one = Shown(part, None)
        if chosen:
            one.run = run_of(*chosen, tables[chosen[0]], config)
            try:
                read = part.read(one.run)
            except (LookupError, ValueError, TypeError) as error:
                told = f"figures/{chosen[0]}.csv: {exhibit.label} can't be read from it ({error})"
                raise InputError(f"{told}; {AGAIN}") from error
            one.lacks = list(dict.fromkeys(read.lacks))
        else:
            one.lacks = [part.none or part.sources[0].needs()]
        if part.numbers:
            table = read if isinstance(read, Reading) else Reading()
            _fill(one, paper[part.numbers], table)
        else:
            one.plot = read if isinstance(read, Plot) else None
        if one.run and not one.answered and not one.lacks:
            one.lacks.append(f"Experiment {one.run.name} has no number of it.")
        parts.append(one)
    return parts


def _fill(one: Shown, paper: Mapping[str, Any], reading: Reading) -> None:
    """Put the paper's cells and the run's side by side, then rows and columns that the run has alone."""
    theirs: dict[str, list[Cell]] = {
        row: [_published(value) for value in cells] for row, cells in paper["rows"].items()
    }
    extra = [column for cells in reading.cells.values() for column in cells if column not in paper["columns"]]
    columns = [*paper["columns"], *dict.fromkeys([*(one.part.extra if one.run else ()), *extra])]
    one.columns = [(column, reading.columns.get(column, ""), column in paper["columns"]) for column in columns]
    matched = not one.part.whole or set(theirs) <= set(reading.cells)
    for row, cells in theirs.items():
        ours = reading.cells.get(row, {}) if matched else {}
        both = [(paper_cell, ours.get(column, EMPTY)) for column, paper_cell in _along(columns, cells)]
        one.lines.append(Line(row, reading.rows.get(row, ""), both))
    for row, ours in reading.cells.items():
        if row not in theirs or not matched:
            both = [(EMPTY, ours.get(column, EMPTY)) for column in columns]
            one.lines.append(Line(row, reading.rows.get(row, ""), both, own=True))
    if matched and one.answered:
        one.lacks += _without(one)
    if not matched and reading.cells:
        one.lacks.append("This run's encoders have other layers than the paper's: they stand below the paper's own.")


def _without(one: Shown) -> list[str]:
    """Columns and rows of the paper's that have no number of the run, unless a reading has said why."""
    said = " ".join(one.lacks)
    columns = [title for i, (title, _, paper) in enumerate(one.columns) if paper and not _any(one.lines, i)]
    rows = [line.title for line in one.lines if not any(_there(ours) for _, ours in line.cells)]
    parts = {"columns": [x for x in columns if x not in said], "rows": [x for x in rows if x not in said]}
    told = "; ".join(f"{name} {', '.join(titles)}" for name, titles in parts.items() if titles)
    return [f"Not in experiment {one.run.name}: {told}."] if told and one.run else []


def _any(lines: Iterable[Line], column: int) -> bool:
    return any(_there(line.cells[column][1]) for line in lines)


def _along(columns: Sequence[str], cells: Sequence[Cell]) -> Iterable[tuple[str, Cell]]:
    return zip(columns, [*cells, *[EMPTY] * (len(columns) - len(cells))], strict=True)


def _published(value: str | list[str]) -> Cell:
    """A cell of the paper's, its digits as printed."""
    digits, *spread = value if isinstance(value, list) else [value]
    if digits == "~":
        return EMPTY
    return Cell(float(digits), spread=float(spread[0]) if spread else math.nan, text=" ± ".join([digits, *spread]))


@cache
def published() -> dict[str, Any]:
    """The paper's numbers by table, every one a text."""
    text = PUBLISHED.read_text(encoding="utf-8")
    return dict(yaml.load(text, Loader=yaml.BaseLoader))  # It makes texts, lists and mappings alone.


def _there(cell: Cell) -> bool:
    return not all(math.isnan(value) for value in (cell.value, cell.low))


# --- Files -----------------------------------------------------------------------------------------------------------


def rows_of(path: str | Path) -> list[Row]:
    """The rows of an experiment's table.

    Raises:
        InputError: the file can't be read.
    """
    text = io.readable(path, lambda file: file.read().decode("utf-8"))
    return list(csv.DictReader(StringIO(text)))


def as_csv(parts: Sequence[Shown]) -> tuple[list[dict[str, Any]], list[str]]:
    """An exhibit as a table in the paper's form, or the points of a figure; rows and names of columns."""
    rows = [row for one in parts for row in (_table_rows(one) if one.part.numbers else _point_rows(one))]
    several = len(parts) > 1
    columns = dict.fromkeys(name for row in rows for name in row)
    used = [name for name in columns if any(row.get(name, "") != "" for row in rows) and (several or name != "part")]
    return [{name: row.get(name, "") for name in used} for row in rows], used


def _table_rows(one: Shown) -> Iterable[dict[str, Any]]:
    for line in one.lines:
        row: dict[str, Any] = {"part": one.part.label, "row": line.title, "row here": line.here}
        for (column, here, _), (paper, ours) in zip(one.columns, line.cells, strict=True):
            printed, _, spread = paper.text.partition(" ± ")
            row |= {f"{column}, paper": printed, f"{column}, paper ±": spread}
            name = f"{column}, here" + (f" ({here})" if here else "")
            row |= {name: _plain(ours.value), f"{name} ±": _plain(ours.spread)}
            row |= {f"{name}, low": _plain(ours.low), f"{name}, high": _plain(ours.high)}
        # What the whole part lacks stands in every row, what some of it lacks in the first.
        yield row | {"note": " ".join(one.lacks) if line is one.lines[0] or not one.answered else ""}


def _point_rows(one: Shown) -> Iterable[dict[str, Any]]:
    if not one.answered or one.plot is None:
        yield {"part": one.part.label, "note": " ".join(one.lacks)}
        return
    for series, points in one.plot.series.items():
        for point in points:
            values = {name: _plain(getattr(point, name)) for name in ("value", "low", "high")}
            yield {"part": one.part.label, "series": series, one.plot.x: point.x, **values, "note": ""}


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.9g}"


def image(parts: Sequence[Shown], images: Array | None) -> bytes | None:
    """A figure as PNG; None where the run has no point of it."""
    plots = {one.part.label: one.plot for one in parts if one.plot is not None and one.answered}
    if not plots:
        return None
    figure, buffer = drawing.draw(plots, images), BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, dpi=150)
    plt.close(figure)
    return buffer.getvalue()


# --- The page --------------------------------------------------------------------------------------------------------


def write(
    folder: str | Path,
    config: Config,
    tables: Mapping[str, Sequence[Row]],
    claims: Sequence[Mapping[str, Any]],
    images: Mapping[str, Array],
) -> dict[str, int]:
    """Write the page, and every table and figure beside it.

    Args:
        tables: rows by experiment, of all that ``read_from`` names.
        claims: rows of claims.csv.
        images: by data set, of those that figures show.

    Returns:
        How many tables and figures the run answers wholly, in part, and not at all.
    """
    paper, folder = published(), Path(folder)
    sections = []
    for exhibit in EXHIBITS:
        parts = shown(exhibit, config, tables, paper)
        rows, columns = as_csv(parts)
        io.save_rows(rows, columns, folder / f"{exhibit.name}.csv")
        picture = None
        if exhibit.name.startswith("figure"):
            of = next((one.run.encoders[one.run.encoder]["dataset"] for one in parts if one.run), "")
            picture = image(parts, images.get(of))
        drawn = folder / f"{exhibit.name}.png"
        if picture is None:
            drawn.unlink(missing_ok=True)  # Of an earlier run.
        else:
            with io.atomic(drawn) as temporary:
                temporary.write_bytes(picture)
        sections.append(_section(exhibit, parts, picture, claims))
    io.save_text(page.render(__package__, "page.html", sections=sections), folder / "index.html")
    return {state: sum(section["state"] == state for section in sections) for state in ("whole", "part", "none")}


def _section(
    exhibit: Exhibit, parts: Sequence[Shown], picture: bytes | None, claims: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What the template shows of an exhibit."""
    answered = [one.answered for one in parts]
    runs = {one.run.name: one.run for one in parts if one.run}
    common = [text for text in parts[0].lacks if all(text in one.lacks for one in parts)]
    return {
        "name": exhibit.name,
        "label": exhibit.label,
        "title": exhibit.title,
        "paper": exhibit.paper,
        "note": exhibit.note,
        "state": "whole" if all(answered) else "part" if any(answered) else "none",
        "runs": [{"name": name, "options": _options(run), "scale": scale(run)} for name, run in runs.items()],
        "lacks": common,
        "parts": [_part(one, common) for one in parts],
        "picture": base64.b64encode(picture).decode() if picture else "",
        "wide": picture is not None and int.from_bytes(picture[16:20]) > NARROW,
        "claims": [claim for claim in claims if exhibit.name in named(str(claim["paper"]))],
    }


def _options(run: Run) -> str:
    """The experiment's own options, those that are a number or a word."""
    values = {key: run.experiment[key] for key in EXPERIMENTS[run.experiment["kind"]].options}
    values = {key: value for key, value in values.items() if value and not isinstance(value, (Mapping, bool))}
    lists = {key: "/".join(map(str, value)) for key, value in values.items() if isinstance(value, list)}
    return ", ".join(f"{key} {value}" for key, value in (values | lists).items())


def _part(one: Shown, common: Sequence[str]) -> dict[str, Any]:
    """What the template shows of a part: columns that one side has no number of are left out."""
    sides = [
        [any(_there(line.cells[i][side]) for line in one.lines) for side in (0, 1)] for i in range(len(one.columns))
    ]
    return {
        "label": one.part.label,
        "first": one.part.first,
        "table": bool(one.part.numbers),
        "lacks": [text for text in one.lacks if text not in common],
        "answered": one.answered,
        "columns": [
            {"title": title, "here": here, "sides": ["paper"] * paper + ["here"] * ours}
            for (title, here, _), (paper, ours) in zip(one.columns, sides, strict=True)
        ],
        "lines": [
            {
                "title": line.title,
                "here": line.here,
                "own": line.own,
                "cells": [{"paper": _cell(paper), "here": _cell(ours)} for paper, ours in line.cells],
            }
            for line in one.lines
        ],
    }


def _cell(cell: Cell) -> dict[str, str]:
    """A cell as a reader sees it: the number, and below it its interval or its standard deviation."""
    if cell.text:
        value, _, spread = cell.text.replace("-", "\N{MINUS SIGN}").partition(" ± ")
        return {"value": value, "about": f"± {spread}" if spread else ""}
    said = [value for value in (cell.value, cell.low, cell.high) if not math.isnan(value)]
    count = len(said) == 1 and math.isnan(cell.spread) and float(said[0]).is_integer()
    # A count as it is, shares in % with one decimal, all else with four: small runs differ in the fourth.
    places = 0 if count else 1 if any(abs(value) > LARGE for value in said) else 4
    value, low, high, spread = (
        "" if math.isnan(number) else page.decimal(number, places)
        for number in (cell.value, cell.low, cell.high, cell.spread)
    )
    return {"value": value, "about": f"± {spread}" if spread else f"{low} to {high}" if low and high else ""}
