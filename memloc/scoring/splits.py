"""Which images belong to which group, read from a user's file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from memloc.data.groups import GROUPS
from memloc.errors import InputError
from memloc.provenance import RECORD

T = TypeVar("T")

LARGEST = 1 << 30
"""Bytes of an unpacked split, enough for a hundred million rows."""


def load_split(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Rows of each group.

    Args:
        path: .npz with an array of rows for each group, as memloc writes them; or .csv or .parquet with the columns
            image (a name or a row) and group.
        names: of the images.

    Raises:
        InputError: the file can't be read, names an image that isn't there or is in two groups, or an unknown group.
    """
    if path.suffix == ".npz":
        groups = _groups_of_arrays(path)
    elif path.suffix in (".csv", ".parquet"):
        groups = _groups_of_table(path, names)
    else:
        raise InputError(f"split: {path}: name a .csv, .parquet or .npz file")
    group_of: dict[int, str] = {}
    for group, rows in groups.items():
        if group not in GROUPS:
            raise InputError(f"split: {path}: group {group!r} is none of {', '.join(GROUPS)}")
        for row in rows.tolist():
            if not 0 <= row < len(names):
                raise InputError(f"split: {path}: {group} has image {row}, but there are {len(names)} images, from 0")
            if row in group_of:
                where = f"twice in {group}" if group_of[row] == group else f"in {group_of[row]} and in {group}"
                raise InputError(f"split: {path}: image {names[row]} is {where}; list it once")
            group_of[row] = group
    return {group: rows.astype(np.int64) for group, rows in groups.items()}


def _groups_of_arrays(path: Path) -> dict[str, NDArray[np.integer]]:
    groups = _read(path, _arrays)
    for name, rows in groups.items():
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise InputError(f"split: {path}: {name} is not a list of rows; give whole numbers")
    return groups


def _groups_of_table(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.integer]]:
    if path.suffix == ".parquet":
        count = _read(path, pq.read_metadata).num_rows
        if count > len(names):  # Before they are read: a few kilobytes may hold any number of equal rows.
            raise InputError(f"split: {path}: {count} rows for {len(names)} images; keep one row for each image")
    table = _read(path, lambda p: pd.read_csv(p, dtype=str) if p.suffix == ".csv" else pd.read_parquet(p))
    if not {"image", "group"} <= {*table.columns}:
        raise InputError(f"split: {path} has no columns image and group; name them so")
    unnamed = table[["image", "group"]].isna().any(axis=1)
    if unnamed.any():
        raise InputError(f"split: {path}: row {int(unnamed.argmax()) + 1} has no image or no group; fill it in")
    row_of = {name: row for row, name in enumerate(names)}
    return {
        str(group): np.array([_row(str(image), row_of, path) for image in rows["image"]], dtype=np.int64)
        for group, rows in table.groupby("group")
    }


def _row(image: str, row_of: dict[str, int], path: Path) -> int:
    if image in row_of:
        return row_of[image]
    if image.isdecimal():
        return int(image)
    raise InputError(f"split: {path}: no image {image!r} among the images; write names relative to --images")


def _arrays(path: Path) -> dict[str, NDArray[np.integer]]:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        if sum(member.file_size for member in archive.zip.infolist()) > LARGEST:
            raise ValueError(f"unpacks to more than {LARGEST} bytes")
        return {name: np.asarray(archive[name]) for name in archive.files if name != RECORD}


def _read(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"split: {path}: can't be read ({reason}); repair it or name another file") from error
