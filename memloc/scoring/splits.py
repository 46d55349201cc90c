"""Which images belong to which group, read from a file of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from memloc.data.splits import GROUPS
from memloc.errors import InputError

LARGEST = 1 << 30
"""Bytes of a split unpacked: a hundred million rows."""


def load_split(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Rows of each group.

    Args:
        path: .npz with an array of rows for each group, as memloc draws them; or .csv or .parquet with the columns
            image (a name, or a row) and group.
        names: of the images.

    Raises:
        InputError: the file can't be read, names an image that isn't there or is in two groups, or an unknown group.
    """
    if path.suffix == ".npz":
        groups = {name: np.asarray(rows) for name, rows in _opened(path, _arrays).items()}
        for name, rows in groups.items():
            if rows.ndim != 1 or rows.dtype.kind not in "iu":
                raise InputError(f"split: {path}: {name} is no list of rows; give whole numbers")
    elif path.suffix in (".csv", ".parquet"):
        if path.suffix == ".parquet":
            rows = _opened(path, pq.read_metadata).num_rows
            if rows > len(names):  # Before they are read: a few kilobytes may stand for any number.
                raise InputError(f"split: {path}: {rows} rows for {len(names)} images; keep one of each image")
        table = _opened(path, lambda p: pd.read_csv(p, dtype=str) if p.suffix == ".csv" else pd.read_parquet(p))
        if not {"image", "group"} <= {*table.columns}:
            raise InputError(f"split: {path} has no columns image and group; name them so")
        unnamed = table[["image", "group"]].isna().any(axis=1)
        if unnamed.any():
            raise InputError(f"split: {path}: row {int(unnamed.argmax()) + 1} has no image or no group; fill it in")
        places = {name: row for row, name in enumerate(names)}
        groups = {}
        for group, rows in table.groupby("group"):
            found = [_row(str(image), places, path) for image in rows["image"]]
            groups[str(group)] = np.array(found, dtype=np.int64)
    else:
        raise InputError(f"split: {path}: name a .csv, .parquet or .npz file")
    seen: dict[int, str] = {}
    for group, rows in groups.items():
        if group not in GROUPS:
            raise InputError(f"split: {path}: group {group!r} is none of {', '.join(GROUPS)}")
        for row in rows.tolist():
            if not 0 <= row < len(names):
                raise InputError(f"split: {path}: {group} has image {row}, but there are {len(names)} images, from 0")
            if row in seen:
                where = f"twice in {group}" if seen[row] == group else f"in {seen[row]} and in {group}"
                raise InputError(f"split: {path}: image {names[row]} is {where}; keep one")
            seen[row] = group
    return {group: rows.astype(np.int64) for group, rows in groups.items()}


def _row(image: str, places: dict[str, int], path: Path) -> int:
    if image in places:
        return places[image]
    if image.isdecimal():
        return int(image)
    raise InputError(f"split: {path}: no image {image!r} among the images; write names relative to --images")


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        if sum(member.file_size for member in archive.zip.infolist()) > LARGEST:
            raise ValueError(f"unpacks to more than {LARGEST} bytes")
        return {name: archive[name] for name in archive.files}


def _opened(path: Path, read):  # type: ignore[no-untyped-def]
    try:
        return read(path)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"split: {path}: can't be read ({reason})") from error
