"""What `memloc value` writes and prints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from memloc import io, provenance
from memloc.analysis.tables import save_table
from memloc.errors import show
from memloc.output import Output
from memloc.valuation.oob import Values
from memloc.valuation.sources import Source

ABOUT = "value.json"
FILES = ("rows.parquet", "cells.npz")
COMMAND = "memloc value"
FEW = 10
"""Learners below which a cell's value is called uncertain."""
SHOWN = 10
"""Rows of each table that is printed."""
LEGEND = """\
value_w0: share of the trees that never saw the row and predict its label
value_w1: value_w0 plus how close the row lies to its class: about 1 for the closest row of a sample, 0 for the furthest
below_row: how far value_w1 of the cell lies below that of its row; learners: trees behind a value"""
"""What the columns of the printed tables are."""


def describe(source: Source, settings: Mapping[str, object]) -> dict[str, object]:
    """What value.json says; its identity is a hash of all that the values depend on."""
    code = provenance.digest("memloc/valuation/sources.py")
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


def write(source: Source, values: Values, folder: Path) -> None:
    """Rows as Parquet, cells as .npz."""
    save_table(_rows(source, values), folder / "rows.parquet")
    arrays = {"values": values.cells, "counts": values.counts, "names": np.array(source.cells, dtype=np.str_)}
    io.save_arrays(arrays, folder / "cells.npz")


def read(folder: Path) -> Values:
    """What ``write`` wrote."""
    rows = pd.read_parquet(folder / "rows.parquet")
    cells = io.load_arrays(folder / "cells.npz")
    return Values(
        cells=cells["values"],
        counts=cells["counts"],
        rows=rows[["value_w0", "value_w1"]].to_numpy().T,
        row_counts=rows["learners"].to_numpy(),
    )


def lowest(source: Source, values: Values) -> str:
    """A legend and three short tables: rows of lowest value, w = 0 and w = 1, and the cells furthest below their rows.

    All cells of a low row are low, so the lowest of all cells would hardly be of other rows.
    """
    rows = _rows(source, values)[values.row_counts > 0]
    below = np.where(values.counts > 0, values.cells[1] - values.rows[1][:, None], np.inf)
    column = below.argmin(axis=1)
    least = below.min(axis=1)
    lowest = [i for i in np.argsort(least, kind="stable")[:SHOWN] if np.isfinite(least[i])]
    cells = pd.DataFrame(
        [
            (
                source.rows[i],
                source.classes[source.y[i]],
                source.cells[j],
                source.holds(i, j),
                -below[i, j],
                values.cells[1, i, j],
                values.counts[i, j],
            )
            for i, j in ((int(i), int(column[i])) for i in lowest)
        ],
        columns=["row", "label", "cell", "holds", "below_row", "value_w1", "learners"],
    )
    parts = {
        "rows of lowest value, w = 0: look at their labels": rows.nsmallest(SHOWN, ["value_w0", "value_w1"]),
        "rows of lowest value, w = 1: also odd ones": rows.nsmallest(SHOWN, "value_w1"),
        "cells furthest below the value of their row, w = 1, one a row": cells,
    }
    return "\n\n".join([LEGEND, *(f"{title}\n{_text(table)}" for title, table in parts.items())])


def _rows(source: Source, values: Values) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": list(source.rows),
            "label": [source.classes[c] for c in source.y],
            "value_w0": values.rows[0],
            "value_w1": values.rows[1],
            "learners": values.row_counts,
        }
    )


def _text(table: pd.DataFrame) -> str:
    if table.empty:
        return "none: every learner saw them; raise --learners"
    texts = [str(name) for name in table.select_dtypes(["object", "string"])]
    return table.to_string(index=False, float_format="{:.3f}".format, formatters=dict.fromkeys(texts, _short))


def _short(text: str) -> str:
    printable = show(text)
    return printable if len(printable) <= 40 else f"{printable[:18]}...{printable[-19:]}"
