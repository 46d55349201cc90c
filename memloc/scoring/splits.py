"""Which images belong to which group, read from a user's file."""

from __future__ import annotations

import json
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from memloc.data.groups import GROUPS, REPEATED
from memloc.errors import InputError, show
from memloc.provenance import RECORD

T = TypeVar("T")
Rows = NDArray[np.int64]

LARGEST = 1 << 30
"""Bytes of an unpacked split, enough for a hundred million rows."""
COLUMNS = ("image", "name", "row")
"""What a table may call its column of images: names or rows, names alone, rows alone."""
RELATIVE = "write names relative to --images"
ROW = re.compile("0|[1-9][0-9]{0,17}")
"""A row as it is written."""


class Split(dict[str, Rows]):
    """Rows of each group.

    Attributes:
        numbers: what numbers in the file are: rows, names, or "" where there are none.
        record: what memloc says of the split in a file of its own: dataset, images, hash of each group; else None.
        beside: what such a file has beside groups: images that are repeated in training (``REPEATED``).
    """

    numbers: Literal["", "rows", "names"] = ""
    record: Mapping[str, Any] | None = None
    beside: Mapping[str, Rows] = MappingProxyType({})


def load_split(path: Path, names: Sequence[str]) -> Split:
    """Rows of each group.

    Args:
        path: .npz with an array of rows for each group, as memloc writes them; or .csv or .parquet with the columns
            image (a name or a row) and group. A column that is called name or row instead holds that alone.
        names: of the images.

    Raises:
        InputError: the file can't be read, names an image that isn't there, that may be another or that is in two
            groups, or an unknown group.
    """
    images, ending = Named(names), path.suffix.lower()
    check_file(path)
    if ending == ".npz":
        groups = _groups_of_arrays(path, images)
    elif ending in (".csv", ".parquet"):
        groups = _groups_of_table(path, images)
    else:
        raise InputError(f"split: {path}: name a .csv, .parquet or .npz file")
    beside = {name: groups.pop(name).astype(np.int64) for name in [REPEATED] if ending == ".npz" and name in groups}
    group_of: dict[int, str] = {}
    for group, rows in groups.items():
        if group not in GROUPS:
            raise InputError(f"split: {path}: group {group!r} is none of {', '.join(GROUPS)}")
        for row in rows.tolist():
            if not 0 <= row < len(names):
                raise InputError(f"split: {path}: {group} has image {row}, but there are {len(names)} images, from 0")
            if row in group_of:
                where = f"twice in {group}" if group_of[row] == group else f"in {group_of[row]} and in {group}"
                raise InputError(f"split: {path}: image {show(names[row])} is {where}; list it once")
            group_of[row] = group
    split = Split({group: rows.astype(np.int64) for group, rows in groups.items()})
    split.numbers = images.read_as
    split.record = read_with(path, _record) if ending == ".npz" else None
    split.beside = beside
    return split


def check_file(path: Path, what: str = "split") -> None:
    """Refuse what reading would never end with. What isn't there is left to the reader."""
    try:
        about = path.stat()
    except (OSError, ValueError):  # A NUL is a ValueError.
        return
    if not stat.S_ISREG(about.st_mode):
        raise InputError(f"{what}: {path}: can't be read (a folder, a device or a pipe); name a file")
    if about.st_size > LARGEST:
        raise InputError(f"{what}: {path}: {about.st_size} bytes, more than the {LARGEST} that it may have")


def describe(path: Path | str, split: Split, names: Sequence[str]) -> str:
    """What was taken of a split, in one line: images of each group and of none, and where its rows count from."""
    sizes = ", ".join(f"{len(split[group])} {group}" for group in GROUPS if group in split)
    none = len(names) - sum(map(len, split.values()))
    left = f"; {none} image{'s are' if none > 1 else ' is'} in no group" if none else ""
    images = Named(names)
    images.read_as = split.numbers
    return "; ".join([f"{show(path)}: {sizes}{left}", *images.numbers_taken()])


def _groups_of_arrays(path: Path, images: Named) -> dict[str, NDArray[np.integer]]:
    groups = read_with(path, _arrays)
    for name, rows in groups.items():
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise InputError(
                f"split: {path}: {show(name)} is not a list of rows; give whole numbers (names go into a .csv file)"
            )
    images.read_as = "rows"
    return groups


def _groups_of_table(path: Path, images: Named) -> dict[str, NDArray[np.integer]]:
    if path.suffix.lower() == ".parquet":
        count = read_with(path, pq.read_metadata).num_rows
        if count > len(images.names):  # Before they are read: a few kilobytes may hold any number of equal rows.
            raise InputError(f"split: {path}: {count} rows for {len(images.names)} images; keep one row for each image")
        table = read_with(path, pd.read_parquet)
    else:
        table = read_with(path, read_csv)
    columns = [str(column) for column in table]
    column = next((name for name in COLUMNS if name in columns), "image")
    for wanted in (column, "group"):
        if wanted not in columns:
            has = ", ".join(map(show, columns[:5]))
            raise InputError(f"split: {path} has no columns image and group; name them so (it has {has})")
        if columns.count(wanted) > 1:
            raise InputError(f"split: {path} has two columns {wanted}; remove one")
    stated = table["row"].map(str).tolist() if column != "row" and columns.count("row") == 1 else []
    table = table[[column, "group"]].astype(object)
    if not len(table):
        raise InputError(f"split: {path}: no rows; list the images of each group")
    unnamed = table.isna().any(axis=1)
    if unnamed.any():
        raise InputError(f"split: {path}: row {int(unnamed.argmax()) + 1} has no {column} or no group; fill it in")
    rows = images.find([str(entry) for entry in table[column]], path, column)
    if all(map(ROW.fullmatch, stated)):  # Else it holds something else.
        for name, row, read in zip(table[column], map(int, stated), rows.tolist(), strict=False):
            if row != read:
                raise InputError(
                    f"split: {path}: image {show(name)} has row {row}, but is row {read} of the images; correct it or"
                    f" remove the column {column} or row"
                )
    groups = table["group"].map(str).to_numpy()
    return {group: rows[groups == group] for group in sorted({*groups})}


def read_csv(path: Path) -> pd.DataFrame:
    """A table of texts. Its first line is read as the others are: none may have more fields, and no name is altered."""
    table = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    return table.iloc[1:].set_axis([str(name) for name in table.iloc[0]], axis=1)


class Named:
    """Images by what a file may call them; ``read_as`` is what numbers in it were taken for.

    Args:
        what: the file is, as errors call it.
    """

    def __init__(self, names: Sequence[str], what: str = "split") -> None:
        self.names, self.what = names, what
        self.read_as: Literal["", "rows", "names"] = ""

    @cached_property
    def exact(self) -> Mapping[str, int | None]:
        """Rows by name; None where several images have it."""
        return _unique((name, row) for row, name in enumerate(self.names))

    @cached_property
    def shorter(self) -> Mapping[str, int | None]:
        """Rows by name without its ending, its folders or both."""
        return _unique((key, row) for row, name in enumerate(self.names) for key in {*_shorter(name)})

    @cached_property
    def numbers(self) -> Mapping[str, int | None]:
        """Rows by the number that a name ends with."""
        ends = ((re.search("[0-9]+$", _stem(name)), row) for row, name in enumerate(self.names))
        return _unique((str(int(end[0])), row) for end, row in ends if end)

    @cached_property
    def orders(self) -> Sequence[Sequence[str]]:
        """The names in other orders that people may count in: by their numbers, and folder by folder."""
        if any(a > b for a, b in pairwise(self.names)):  # They are in an order of their own, as of a dataset.
            return []
        return [sorted(self.names, key=_natural), sorted(self.names, key=lambda name: name.split("/"))]

    def others(self, row: int) -> list[str]:
        """Images that have this row in other orders."""
        return [order[row] for order in self.orders if order[row] != self.names[row]]

    def numbers_taken(self) -> list[str]:
        """What numbers were taken for, in one line; none where there are none."""
        if self.read_as != "rows":
            return ["its numbers are names of images, not rows"] if self.read_as else []
        shown = [0, next((row for row in range(len(self.names)) if self.others(row)), len(self.names) - 1)]
        order = ", ".join(f"{row} is {show(self.names[row])}" for row in dict.fromkeys(shown))
        return [f"its numbers are rows, from 0 in the order of names: {order}"]

    def find(self, entries: Sequence[str], path: Path, column: str) -> Rows:
        """The row of each entry of a column that is called image, name or row.

        Raises:
            InputError: an entry is no image, or may be one of several.
        """
        if column == "row":
            wrong = next((entry for entry in entries if not ROW.fullmatch(entry)), None)
            if wrong is not None:
                raise InputError(f"{self.what}: {path}: row {wrong!r} is no row; write whole numbers from 0")
            self.read_as = "rows"
            return np.array([int(entry) for entry in entries], dtype=np.int64)
        maybe_rows = {e for e in entries if column == "image" and e not in self.exact and ROW.fullmatch(e)}
        row_of = {entry: self._row(entry) for entry in entries}
        for entry, row in row_of.items():
            if row == -1 and entry not in maybe_rows:
                raise InputError(f"{self.what}: {path}: no image {entry!r} among the images; {RELATIVE}")
            if row is None and entry not in maybe_rows:
                raise InputError(f"{self.what}: {path}: image {entry!r} may be one of several; {RELATIVE}")
        if maybe_rows:
            self.read_as = "names" if self._are_names(maybe_rows, row_of, path) else "rows"
        if self.read_as == "rows":
            row_of |= {entry: int(entry) for entry in maybe_rows}
        return np.array([row_of[entry] for entry in entries], dtype=np.int64)

    def _row(self, entry: str) -> int | None:
        """The row of the image of this name, -1 for none, None for several."""
        row = self.exact[entry] if entry in self.exact else self.shorter.get(_plain(entry), -1)
        if row == -1 and entry in self.numbers:  # A table may have lost the zeros before a number.
            number = self.numbers[entry]
            row = -1 if number is None or not _stem(self.names[number]).isdecimal() else number
        return row

    def _are_names(self, numbers: Iterable[str], row_of: Mapping[str, int | None], path: Path) -> bool:
        """Whether numbers are names rather than rows.

        Raises:
            InputError: they may be either, or rows in another order, and that would be other images.
        """
        numbers = sorted(numbers, key=int)
        named = [row_of[entry] for entry in numbers]
        if -1 not in named and None in named:
            raise InputError(
                f"{self.what}: {path}: image {numbers[named.index(None)]!r} may be one of several; {RELATIVE}"
            )
        if int(numbers[-1]) >= len(self.names):
            return -1 not in named
        ends = [self.numbers.get(entry) for entry in numbers]
        readings = [rows for rows in (named, ends) if -1 not in rows and None not in rows]
        for i, row in enumerate(map(int, numbers)):
            read = [self.names[rows[i] or 0] for rows in readings] + self.others(row)
            other = next((name for name in read if name != self.names[row]), None)
            if other is not None:
                raise InputError(
                    f"{self.what}: {path}: image {row} may be {show(other)}, or as a row {show(self.names[row])}; write"
                    " names as they are, or call the column name or row"
                )
        return False


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int | None]:
    """Rows by key; None where several rows have it."""
    found: dict[str, int | None] = {}
    for key, row in pairs:
        found[key] = None if key in found else row
    return found


def _stem(name: str) -> str:
    """The file's name without its ending. (A Path for each image is slow.)"""
    file = name.rpartition("/")[2]
    return file[: file.rindex(".")] if file.rfind(".") > 0 else file


def _plain(name: str) -> str:
    """A name in the one form of those that Unicode has for it, without ./ before it."""
    return unicodedata.normalize("NFC", name).removeprefix("./")


def _shorter(name: str) -> tuple[str, ...]:
    name = _plain(name)
    folder, mark, file = name.rpartition("/")
    return name, folder + mark + _stem(file), file, _stem(file)


def _natural(name: str) -> list[str | int]:
    """A key that orders numbers by their value, and letters whatever their case."""
    return [int(part) if i % 2 else part.casefold() for i, part in enumerate(re.split("([0-9]+)", name))]


def _arrays(path: Path) -> dict[str, NDArray[np.integer]]:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        if sum(member.file_size for member in archive.zip.infolist()) > LARGEST:
            raise ValueError(f"unpacks to more than {LARGEST} bytes")
        return {name: np.asarray(archive[name]) for name in archive.files if name != RECORD}


def _record(path: Path) -> dict[str, Any] | None:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        text = str(archive[RECORD]) if RECORD in archive.files else "null"
    stated = json.loads(text)
    whole = isinstance(stated, dict) and {"dataset", "images", "sha256"} <= stated.keys()
    return stated if whole else None


def read_with(path: Path, read: Callable[[Path], T], what: str = "split") -> T:
    """What ``read`` gives of a file.

    Raises:
        InputError: it fails, whatever the library raises.
    """
    try:
        return read(path)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{what}: {path}: can't be read ({reason}); repair it or name another file") from error
