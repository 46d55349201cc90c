"""What `memloc value` writes and prints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from memloc import io, provenance
from memloc.analysis.tables import save_table
from memloc.errors import show
from memloc.output import Output
from memloc.valuation import issues, page
from memloc.valuation.columns import number_of, quoted
from memloc.valuation.issues import Floats, Labels
from memloc.valuation.oob import Values, interval
from memloc.valuation.sources import Source

ABOUT = "value.json"
FILES = ("rows.parquet", "cells.npz", "issues.csv", "index.html")
COMMAND = "memloc value"
FEW = 10
"""Learners below which a cell's value is called uncertain."""
SHOWN = 10
"""Rows of each table that is printed."""
LEGEND = """\
value_w0: share of the trees that never saw the row and predict its label
value_w1: value_w0 plus how close the row lies to its class: about 1 for the closest row of a sample, 0 for the furthest
suggested: what most of those trees say, trees: their share, from, to: where all trees there could be would put it
wrong: said as surely as of rows of that class
learners: trees behind a value; usual: of the class's other rows, the median and middle 90 %, or the commonest texts
below_row: how far value_w1 of the cell lies below that of its row
deviation: from what the rest of its row says, in robust standard deviations of its class"""
"""What the columns of the printed tables are."""


@dataclass(frozen=True)
class Found:
    """What was found of a source, all that is printed and drawn."""

    labels: Labels
    below: Floats
    deviating: Floats | None

    @classmethod
    def of(cls, source: Source, values: Values) -> Found:
        """What values say."""
        labels = issues.labels(_votes(source, values), source.y, issues.spellings(source.classes))
        return cls(labels, issues.below(values), issues.deviations(source))


def describe(source: Source, settings: Mapping[str, object]) -> dict[str, object]:
    """What value.json says; its identity is a hash of all that the values depend on."""
    code = provenance.digest("memloc/valuation/files.py")
    versions = provenance.versions("memloc", "numpy", "scikit-learn", "pandas")
    depends_on = {"sha256": source.sha256, "settings": dict(settings), "code": code, "versions": versions}
    return {
        "command": COMMAND,
        "identity": hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16],
        "rows": len(source.rows),
        "cells": len(source.cells),
        "classes": list(source.classes),
        **source.about,
        **depends_on,
    }


def output(folder: Path, *, replace: bool = False) -> Output:
    """The folder of a command's results."""
    return Output(folder, COMMAND, ABOUT, FILES, replace=replace)


def write(
    source: Source,
    values: Values,
    folder: Path,
    *,
    meta: Mapping[str, object] | None = None,
    found: Found | None = None,
) -> None:
    """Rows as Parquet, cells as .npz, what may be wrong as CSV; and the page, where there is ``meta`` to tell of."""
    found = found or Found.of(source, values)
    save_table(_rows(source, values), folder / "rows.parquet")
    arrays = {"values": values.cells, "errors": values.cell_errors, "counts": values.counts}
    arrays |= {"row_errors": values.row_errors, "names": np.array(source.cells, dtype=np.str_)}
    arrays |= {"votes": _votes(source, values), "classes": np.array(source.classes, dtype=np.str_)}
    io.save_arrays(arrays, folder / "cells.npz")
    table = issues.table(source, values, found.labels, found.deviating)
    save_table(table, folder / "issues.csv")
    if meta is not None:
        said = headline(source, found, table)
        html = page.render(source, values, found.labels, found.deviating, table, headline=said, meta=meta)
        io.save_text(html, folder / "index.html")


def read(source: Source, folder: Path) -> Values:
    """What ``write`` wrote."""
    rows = pd.read_parquet(folder / "rows.parquet")
    cells = io.load_arrays(folder / "cells.npz")
    return Values(
        cells=cells["values"],
        counts=cells["counts"],
        rows=rows[["value_w0", "value_w1"]].to_numpy().T,
        row_counts=rows["learners"].to_numpy(),
        cell_errors=cells["errors"],
        row_errors=cells["row_errors"],
        votes=cells["votes"][:, np.unique(source.y)],
    )


def headline(source: Source, found: Found, table: pd.DataFrame) -> list[str]:
    """What was found, in sentences: labels first, then cells and copies."""
    n, labels = len(source.rows), found.labels
    number, rows = round(labels.number), int(labels.wrong.sum())
    if number or rows:
        seem = "seems" if number == 1 else "seem"
        suggested = f"{number_of(rows, 'row')} {'has' if rows == 1 else 'have'} another label suggested"
        lines = [f"About {number:,} of {n:,} labels {seem} wrong ({number / n:.1%}); {suggested}"]
    else:
        lines = [f"No label of {n:,} is contradicted as surely as trees say labels of other rows"]
    if spelt := _spelt_otherwise(source):
        again = sum(spelt.values())
        has = "row has a label that differs" if again == 1 else "rows have labels that differ"
        told = ", ".join(f"{quoted(name)} {count:,}" for name, count in spelt.items())
        lines.append(
            f"{again:,} {has} from a commoner one by case, blanks or invisible characters alone ({told}): not counted"
            " as wrong; write them alike and value again"
        )
    known = labels.predicted >= 0  # Others have no tree.
    y, count = source.y[known], max(int(known.sum()), 1)
    right, base = float((labels.predicted[known] == y).sum() / count), float(np.bincount(y, minlength=1).max() / count)
    if right - base < 1.645 * np.sqrt(base * (1 - base) / count):
        lines.insert(
            0,
            f"Labels can hardly be told from these cells: trees say the given one of {right:.0%} of the rows, and the"
            f" largest class has {base:.0%}; take nothing of what follows on trust",
        )
    order = found.deviating if found.deviating is not None else found.below
    for row in issues.first(order.max(axis=1), 1):
        cell = int(order[row].argmax())
        usual = issues.usual(source, row, cell)
        beside = f", where its class usually has {usual}" if usual else ""
        name, label = show(source.rows[row]), show(source.classes[source.y[row]])
        holds = f" holds {quoted(source.holds(row, cell))}" if source.columns else ""
        lines.append(f"The oddest cell: {show(source.cells[cell])} of row {name} ({label}){holds}{beside}")
    if not issues.sought(source):
        lines.append("Cells weren't held against the rest of their row (DDC): too many rows and columns of numbers")
    exact, near = (int(table[f"is_{kind}_duplicate_issue"].sum()) for kind in ("exact", "near"))
    if exact or near:
        copied = table[table["duplicate_of"] != ""]
        label_of = dict(zip(table["row"], table["given_label"], strict=True))
        other = int((copied["given_label"] != copied["duplicate_of"].map(label_of)).sum())
        kinds = [f"{number:,} {kind}" for number, kind in ((exact, "exact"), (near, "near")) if number]
        copies = "copy" if exact + near == 1 else "copies"
        lines.append(f"{' and '.join(kinds)} {copies} of other rows, {other or 'none'} of them with another label")
    return lines


def _spelt_otherwise(source: Source) -> dict[str, int]:
    """Rows of classes that differ from a commoner one by their spelling alone."""
    counts, same = np.bincount(source.y, minlength=len(source.classes)), issues.spellings(source.classes)
    commonest = {int(first): int(np.where(same == first, counts, -1).argmax()) for first in same}
    return {source.classes[c]: int(counts[c]) for c in range(len(same)) if commonest[int(same[c])] != c and counts[c]}


def lowest(source: Source, values: Values, found: Found | None = None) -> str:
    """What was found, a legend and short tables: rows of lowest value, cells that deviate, cells far below their rows.

    All cells of a low row are low, so the lowest of all cells would hardly be of other rows.
    """
    found = found or Found.of(source, values)
    labels, table = found.labels, issues.table(source, values, found.labels, found.deviating)
    known = values.row_counts > 0
    rows = _rows(source, values)[["row", "label", "value_w0", "value_w1", "learners"]]
    suggested = pd.DataFrame(
        {
            "suggested": table["predicted_label"],
            "trees": labels.share,
            "from": labels.low,
            "to": labels.high,
            "wrong": np.where(labels.wrong, "yes", ""),
        }
    )
    told = pd.concat([rows[["row", "label", "value_w0"]], suggested, rows[["value_w1", "learners"]]], axis=1)[known]
    parts = {
        "rows of lowest value, w = 0: look at their labels": told.nsmallest(SHOWN, ["value_w0", "value_w1"]),
        "rows of lowest value, w = 1: also odd ones": rows[known].nsmallest(SHOWN, "value_w1"),
    }
    if found.deviating is not None:
        number, beyond = issues.unusual(source)
        title = "numbers that deviate most from their class and their row, one a row"
        title += f"; of {number:,} normal ones about one lies beyond {beyond:.1f}"
        parts[title] = _cells(source, values, found.deviating, "deviation")
    title = "cells furthest below the value of their row, w = 1, one a row"
    parts[title] = _cells(source, values, found.below, "below_row")
    sentences = "\n".join(headline(source, found, table))
    return "\n\n".join([sentences, LEGEND, *(f"{title}\n{_text(part)}" for title, part in parts.items())])


def _cells(source: Source, values: Values, order: Floats, name: str) -> pd.DataFrame:
    """The highest cells of ``order`` [n, cells], one a row."""
    rows = [(row, int(order[row].argmax())) for row in issues.first(order.max(axis=1), SHOWN)]
    return pd.DataFrame(
        [
            (
                source.rows[i],
                source.classes[source.y[i]],
                source.cells[j],
                source.holds(i, j),
                issues.usual(source, i, j),
                order[i, j],
                values.cells[1, i, j],
                values.counts[i, j],
            )
            for i, j in rows
        ],
        columns=["row", "label", "cell", "holds", "usual", name, "value_w1", "learners"],
    ).drop(columns=[] if source.columns else ["usual"])


def _votes(source: Source, values: Values) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Votes for every class of the source, also one without rows."""
    votes = np.zeros((len(source.rows), len(source.classes)), dtype=np.int64)
    if values.votes is not None:
        votes[:, np.unique(source.y)] = values.votes
    return votes


def _rows(source: Source, values: Values) -> pd.DataFrame:
    low, high = interval(values.rows, values.row_errors, values.row_counts)
    return pd.DataFrame(
        {
            "row": list(source.rows),
            "label": [source.classes[c] for c in source.y],
            "value_w0": values.rows[0],
            "value_w0_low": low[0],
            "value_w0_high": high[0],
            "value_w1": values.rows[1],
            "value_w1_low": low[1],
            "value_w1_high": high[1],
            "learners": values.row_counts,
        }
    )


def _text(table: pd.DataFrame) -> str:
    if table.empty:
        return "none"
    texts = [str(name) for name in table.select_dtypes(["object", "string"])]
    return table.to_string(index=False, float_format="{:.3f}".format, formatters=dict.fromkeys(texts, _short))


def _short(text: str) -> str:
    printable = show(text)
    return printable if len(printable) <= 40 else f"{printable[:18]}...{printable[-19:]}"
