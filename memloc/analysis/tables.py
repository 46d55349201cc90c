"""Reading and writing tables. Apart from ``memloc.io`` so that jobs without tables never import pandas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from memloc.errors import InputError
from memloc.io import atomic

AGAIN = "delete it and run snakemake again"
"""What to do about a file that is damaged or out of date."""


def save_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV or Parquet, by the ending of its name."""
    with atomic(path) as temporary:
        if temporary.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def load_units(path: str | Path) -> pd.DataFrame:
    """Read the scores of an encoder's units.

    Raises:
        InputError: columns are missing, or a number isn't finite.
    """
    table = load_table(path)
    lacking = [column for column in UNITS if column not in table]
    if lacking:
        raise InputError(f"{path}: lacks {', '.join(lacking)}; {AGAIN}")
    for column in ("unitmem", "activation"):
        if not np.isfinite(pd.to_numeric(table[column], errors="coerce")).all():
            raise InputError(f"{path}: {column} isn't finite everywhere; {AGAIN}")
    return table


UNITS = ("layer", "unit", "group", "unitmem", "owner", "activation")
"""Columns that pruning and zeroing of units need."""


def load_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV or Parquet table."""
    try:
        return (
            pd.read_parquet(path)
            if Path(path).suffix == ".parquet"
            else pd.read_csv(path, keep_default_na=False, na_values=[""])
        )
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: can't be read ({reason}); {AGAIN}") from error
