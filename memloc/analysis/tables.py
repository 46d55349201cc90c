"""Reading and writing tables. Apart from ``memloc.io`` so that jobs without tables never import pandas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memloc import provenance
from memloc.data.groups import GROUPS, UNSHARED
from memloc.errors import AGAIN, InputError
from memloc.io import atomic, check_regular
from memloc.measuring.protocol import LARGEST
from memloc.provenance import RECORD, Record


def save_table(table: pd.DataFrame, path: str | Path, record: Record | None = None) -> None:
    """Write a table as CSV or Parquet, by the ending of its name; a Parquet may hold the record of who made it."""
    with atomic(path) as temporary:
        if temporary.suffix == ".parquet":
            if record is not None:
                table = table.copy(deep=False)
                table.attrs = {RECORD: provenance.text({**record, "rows": len(table)})}
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def load_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV or Parquet table, whatever it holds."""
    try:
        check_regular(path)
        return (
            pd.read_parquet(path)
            if Path(path).suffix == ".parquet"
            else pd.read_csv(path, keep_default_na=False, na_values=[""])
        )
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: can't be read ({reason}); {AGAIN}") from error


Limits = tuple[float, float]


@dataclass(frozen=True)
class Kind:
    """What a table of scores holds.

    Attributes:
        rows: columns that name a row, a group of which has one of every combination, once.
        needed: columns that must be there besides.
        groups: values of column ``group``.
        numbers: by column of finite numbers, the smallest and the largest; empty ones where ``unlabelled``.
        unlabelled: columns that are empty where images have no labels.
        of_point: columns of which a point has one value.
    """

    rows: tuple[str, ...]
    needed: tuple[str, ...]
    groups: tuple[str, ...]
    numbers: Mapping[str, Limits]
    unlabelled: tuple[str, ...] = ()
    of_point: tuple[str, ...] = ()


ROUNDING = 1e-6
ANY, SHARE, COUNT = (-np.inf, np.inf), (-ROUNDING, 1 + ROUNDING), (0, np.inf)
KINDS = {
    "points": Kind(
        rows=("point", "layer"),
        needed=("group", "sslmem"),
        groups=GROUPS,
        numbers={
            **{"point": COUNT, "label": (-1, np.inf), "parameters": COUNT, "alignment_f": COUNT, "alignment_g": COUNT},
            "dose": (1, np.inf),
            **dict.fromkeys(("sslmem", "sslmem_choose", "sslmem_score"), ANY),
        },
        of_point=("group", "label", "dose"),
    ),
    "atypicality": Kind(
        rows=("point",),
        needed=("group", "atypicality"),
        groups=UNSHARED,
        numbers={"point": COUNT, "label": (-1, np.inf), "atypicality": (0, 2 + ROUNDING)},
    ),
    "units": Kind(
        rows=("group", "layer", "unit"),
        needed=("unitmem", "owner", "activation"),
        groups=UNSHARED,
        numbers={
            **{"unit": COUNT, "owner": (-1, np.inf), "activation": ANY},
            **dict.fromkeys(("unitmem", "unitmem_median", "classmem", "classmem_shuffled"), SHARE),
        },
        unlabelled=("classmem", "classmem_shuffled"),
    ),
}
"""Tables of scores."""


def load_scores(path: str | Path, kind: str, **expected: Any) -> tuple[pd.DataFrame, Record]:
    """Read the scores of points or units, or the atypicality of points, and the record of who made them.

    Args:
        kind: of KINDS.
        expected: what the record must say (see ``provenance.check``).

    Raises:
        InputError: the file can't be read or isn't the one that is expected; a column or a row is missing, a row is
            there twice, or a number isn't finite or out of range.
    """
    table = load_table(path)
    found, table.attrs = table.attrs.get(RECORD), {}
    record = provenance.check(path, found, **expected)
    settings = record.get("settings", {})
    if fault := fault_of(table, KINDS[kind], _limits(KINDS[kind], settings)):
        raise InputError(f"{path}: {fault}; {AGAIN}")
    if len(table) != record.get("rows"):
        raise InputError(f"{path}: has {len(table)} rows, {record.get('rows')} were written; {AGAIN}")
    return table, record


def _limits(kind: Kind, settings: Mapping[str, Any]) -> dict[str, Limits]:
    """By column, the smallest and the largest number that scores can have that were made with these settings."""
    limits = dict(kind.numbers)
    if not settings:
        return dict.fromkeys(limits, ANY)
    if settings.get("normalisation") == "ratio":
        limits |= {column: (-1 - ROUNDING, 1 + ROUNDING) for column in limits if column.startswith("sslmem")}
    largest = LARGEST.get(settings.get("distance", ""), np.inf)
    return limits | {column: (0, largest) for column in limits if column.startswith("alignment")}


def fault_of(table: pd.DataFrame, kind: Kind, limits: Mapping[str, Limits]) -> str | None:
    """What keeps a table from being scores of a kind, with numbers between limits."""
    if lacking := [column for column in dict.fromkeys((*kind.rows, *kind.needed)) if column not in table]:
        return f"lacks {', '.join(lacking)}"
    if not len(table):
        return "has no rows"
    for column, (low, high) in limits.items():
        if column in table and (fault := _number_fault(table[column], low, high, empty=column in kind.unlabelled)):
            return f"{column} {fault}"
    if not table["group"].isin(kind.groups).all():
        return f"group is none of {', '.join(kind.groups)} somewhere"
    rows = list(kind.rows)
    if table[rows].isna().any(axis=None):
        return f"{' or '.join(rows)} is missing somewhere"
    if table.duplicated(rows).any():
        row = table[table.duplicated(rows)].iloc[0]
        return f"{', '.join(f'{name} {row[name]}' for name in rows)} is there twice"
    return _missing_row(table, kind)


def _number_fault(values: pd.Series, low: float, high: float, *, empty: bool) -> str | None:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    if empty and np.isnan(numbers).all():
        return None
    if not np.isfinite(numbers).all():
        return "isn't finite everywhere"
    if (numbers < low).any() or (numbers > high).any():
        return f"is out of range somewhere: {numbers[(numbers < low) | (numbers > high)][0]:.3g}"
    return None


def _missing_row(table: pd.DataFrame, kind: Kind) -> str | None:
    """What tells that rows are missing or were changed: every point has all layers, every group all units."""
    first, *others = kind.rows
    if others and (counts := table.groupby(first, sort=False).size()).nunique() > 1:
        return f"{first} {counts.idxmin()} lacks a row"
    if others and table.groupby(others, sort=False).size().nunique() > 1:
        return f"not every {first} has the same rows of {' and '.join(others)}"
    for column in (column for column in kind.of_point if column in table):
        if (table.groupby("point", sort=False)[column].nunique() > 1).any():
            return f"a point has two values of {column}"
    return None


def load_claims(path: str | Path, *, experiment: str | None = None) -> pd.DataFrame:
    """Read rows of claims.csv, of one experiment or of all.

    Raises:
        InputError: the file can't be read, a column is missing, or the rows are another experiment's.
    """
    table = load_table(path)
    if lacking := [column for column in ("claim", "experiment", "verdict") if column not in table]:
        raise InputError(f"{path}: lacks {', '.join(lacking)}; {AGAIN}")
    if experiment is not None and not (table["experiment"] == experiment).all():
        others = sorted({str(name) for name in table["experiment"]} - {experiment})
        raise InputError(f"{path}: has claims of {', '.join(others)}; {AGAIN}")
    return table
