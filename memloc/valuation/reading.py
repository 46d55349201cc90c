"""Files of tables: what they hold is looked at before it is read, and what a reader would pass over is said."""

from __future__ import annotations

import csv
import os
import re
import stat
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from memloc.errors import InputError, show
from memloc.valuation.columns import listed, number_of, quoted

TABLES = (".csv", ".parquet")
TEXT = 1 << 30
"""Bytes of all texts of a Parquet table beyond which it is not read: a few bytes may hold any number of equal texts."""
CELL = 56
"""Bytes that a cell takes while it is valued, at least."""


@dataclass(frozen=True)
class Layout:
    """What a file of a table says before it is read.

    Attributes:
        names: of the columns.
        index: of columns that pandas stored as names of the rows.
        left_out: what isn't read, and why.
        remarks: what a user should know, one line each.
        codes: columns of a CSV with numbers that may be codes, as they begin with 0 or are written as 1E3.
        rows: how many a CSV has; None where the file itself says it.
    """

    names: Sequence[str]
    index: Sequence[str] = ()
    left_out: Sequence[str] = ()
    remarks: Sequence[str] = ()
    codes: Collection[str] = ()
    rows: int | None = None


def look_at(path: str) -> Layout:
    """The columns of a table.

    Raises:
        InputError: it is no table, it can't be read, two columns have one name, or lines don't fit the first one.
    """
    ending = Path(path).suffix.lower()
    try:
        about = Path(path).stat()
    except (OSError, ValueError) as error:  # A NUL is a ValueError.
        if isinstance(error, OSError) and ending in TABLES and not isinstance(error, FileNotFoundError):
            raise InputError(
                f"{show(path)}: can't be read ({error.strerror}); check its name and permissions"
            ) from error
        raise InputError(f"{show(path)}: no such file; check its name") from error
    if stat.S_ISDIR(about.st_mode):
        raise InputError(f"{show(path)}: a folder; name one file")
    if not stat.S_ISREG(about.st_mode):
        raise InputError(f"{show(path)}: a device or a pipe, not a file; save the table as {' or '.join(TABLES)}")
    if ending not in TABLES:
        raise InputError(f"{show(path)}: not a {' or '.join(TABLES)} file; save the table as one of them")
    with _reading(path), open(path, "rb") as file:
        if ending == ".parquet":
            return _look_at_parquet(path, pq.read_metadata(file))
        if about.st_size > _memory() / 4:
            raise InputError(f"{show(path)}: {about.st_size} bytes, more than memory holds; value fewer rows")
        return _look_at_csv(path)


def load(path: str, layout: Layout, columns: Sequence[str], *, texts: Collection[str] = ()) -> pd.DataFrame:
    """Columns of a table that ``look_at`` described, ``texts`` of a CSV as they are written.

    Raises:
        InputError: it can't be read, memory can't hold it, or it has no rows.
    """
    with _reading(path), open(path, "rb") as file:
        if Path(path).suffix.lower() == ".csv":
            # Names stay as they are written, and only an empty text is missing: None may be a class.
            types = dict.fromkeys(texts, str)
            table = pd.read_csv(file, low_memory=False, dtype=types, keep_default_na=False, na_values=[""])
        else:
            _check_size(path, pq.ParquetFile(file), columns)
            table = pd.read_parquet(file, columns=list(columns))
    table = table.reset_index([name for name in table.index.names if name in columns])
    if not len(table):
        raise InputError(f"{show(path)}: no rows; add some")
    if layout.rows not in (None, len(table)):
        raise InputError(f"{show(path)}: has {layout.rows} rows, but {len(table)} are read; save it anew")
    table.columns = table.columns.map(str)
    _check_names(path, table.columns)
    return table.reset_index(drop=True)


def texts_of(path: str, columns: Sequence[str]) -> dict[str, list[str]]:
    """The different texts of columns of a CSV as they are written; of other tables none, which have types."""
    if not columns or Path(path).suffix.lower() != ".csv":
        return {}
    with _reading(path), open(path, "rb") as file:
        table = pd.read_csv(file, usecols=list(columns), dtype=str, keep_default_na=False)
    return {str(name): [text for text in table[name].unique() if text.strip()] for name in table}


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # Readers raise anything for damaged files.
        reason = show(" ".join(str(error).split())) or type(error).__name__
        raise InputError(f"{show(path)}: can't be read ({reason}); repair it") from error


def _look_at_csv(path: str) -> Layout:
    """The names of a CSV, and the lines that pandas would fill or leave out in silence."""
    csv.field_size_limit(sys.maxsize)
    names: list[str] = []
    short: list[int] = []
    broken: list[_Broken] = []
    blank = rows = 0
    lines: list[str] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_kept(file, lines))
            for line in reader:
                own, lines[:] = lines[:], []
                if "\0" in "".join(line):
                    raise csv.Error("holds NUL, as UTF-16 and binary files do")
                if not line or (len(line) == 1 and not line[0].strip()):
                    blank += 1
                elif not names:
                    names = line
                    _check_broken(path, [_Broken(" ".join(line), 0, 1 + blank, own)] if len(own) > 1 else [], 0)
                    _check_first_line(path, names)
                elif len(line) > len(names):
                    raise InputError(
                        f"{show(path)}: rows have more fields than the first line has names: {len(line)} of"
                        f" {len(names)} in line {reader.line_num}; repair it"
                    )
                else:
                    if len(line) < len(names):
                        short.append(reader.line_num)
                    first = reader.line_num - len(own) + 1
                    broken += [
                        _Broken(field, rows, first, own) for field in line if len(own) > 1 and _BREAK.search(field)
                    ]
                    rows += 1
    except UnicodeDecodeError as error:
        raise InputError(f"{show(path)}: can't be read (not UTF-8); save it as UTF-8{_undecoded(path)}") from error
    except csv.Error as error:
        raise InputError(f"{show(path)}: can't be read (line {reader.line_num}: {error}); repair it") from error
    if not names:
        raise InputError(f"{show(path)}: can't be read (it is empty); add a line of names, and rows")
    _check_broken(path, broken, len(names) - 1)
    remarks = []
    if broken:
        one = broken[0]
        hold, where = ("holds", "in") if len(broken) == 1 else ("hold", "the first in")
        remarks.append(
            f"{number_of(len(broken), 'field')} {hold} line breaks, {where} row {one.row} ({one.where}):"
            f" {quoted(one.text)}; if that isn't one text, a quotation mark isn't closed"
        )
    if short:
        told = listed([str(line) for line in short])
        remarks.append(f"lines with fewer fields than the first, whose last ones count as missing: {told}")
    if all(_NUMBER.fullmatch(name.strip()) for name in names):
        remarks.append(f"all names are numbers ({listed(names)}); if the first line is a row, put names before it")
    # pandas' names of columns without one.
    names = [name or f"Unnamed: {number}" for number, name in enumerate(names)]
    left_out = [number_of(blank, "blank line")] if blank else []
    return Layout(names, left_out=left_out, remarks=remarks, codes=_codes(path, names), rows=rows)


@dataclass(frozen=True)
class _Broken:
    """A field with line breaks: its text and row, and the first line and all lines of the row in the file."""

    text: str
    row: int
    line: int
    lines: Sequence[str]

    @property
    def where(self) -> str:
        return f"lines {self.line} to {self.line + len(self.lines) - 1}"

    def loose(self) -> bool:
        """Whether text follows a closing quotation mark, as where a lone one opened the field."""
        try:
            return not list(csv.reader(self.lines, strict=True))
        except csv.Error:
            return True

    def like_rows(self, marks: int) -> bool:
        """Whether it holds as many separators in each line as a row does; of its first and last line, together."""
        first, *middle, last = (line.count(",") for line in _BREAK.split(self.text))
        return marks > 0 and first + last == marks and all(count == marks for count in middle)


def _check_broken(path: str, broken: Sequence[_Broken], marks: int) -> None:
    """Refuse fields that swallow rows. One text may look like rows by chance, most of several texts don't."""
    like = [field for field in broken if field.like_rows(marks)]
    loose = [field for field in broken if field.loose()]
    if wrong := loose or (like if 2 * len(like) >= len(broken) else []):
        raise InputError(
            f"{show(path)}: the field {quoted(wrong[0].text)} runs over {wrong[0].where} and seems to hold rows; close"
            " or double its quotation mark, or write its text in one line"
        )


def _kept(lines: Iterable[str], kept: list[str]) -> Iterator[str]:
    """The same lines, which are also added to a list."""
    for line in lines:
        kept.append(line)
        yield line


def _check_first_line(path: str, names: Sequence[str]) -> None:
    first = names[0]
    if len(names) == 1 and (other := next((mark for mark in (";", "\t", "|") if mark in first), None)):
        raise InputError(f"{show(path)}: one column, separated by {other!r}; write it with commas")
    if len(names) == 1 and first.startswith("#"):
        raise InputError(f"{show(path)}: begins with a comment ({quoted(first)}); remove it, the first line has names")
    _check_names(path, [name for name in names if name])


def _undecoded(path: str) -> str:
    """Where a file isn't UTF-8."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                return ", it is UTF-16"
            try:
                line.decode()
            except UnicodeDecodeError as error:
                around = line[max(error.start - 10, 0) : error.start + 10].decode("latin-1").strip()
                return f"; as Latin-1, line {number} has {quoted(around)}"
    return ""


def _codes(path: str, names: Sequence[str]) -> set[str]:
    """Columns with numbers such as 007 or 1E3, which pandas reads as 7 and 1000."""
    with open(path, "rb") as file:
        # Most files have none, and this is faster than looking at each field.
        if not any(_CODE_BYTES.search(line) for line in file):
            return set()
    with open(path, encoding="utf-8-sig", newline="") as text:
        fields = ((name, field) for line in csv.reader(text) for name, field in zip(names, line, strict=False))
        return {name for name, field in fields if _CODE.fullmatch(field)}


def _look_at_parquet(path: str, about: pq.FileMetaData) -> Layout:
    schema = about.schema.to_arrow_schema()
    _check_names(path, schema.names)
    stored = (schema.pandas_metadata or {}).get("index_columns", [])
    index = [name for name in stored if isinstance(name, str) and name in schema.names]
    return Layout([name for name in schema.names if name not in index], index)


def _check_names(path: str, columns: Iterable[str]) -> None:
    names = pd.Index(columns)
    if not names.is_unique:
        twice = names[names.duplicated()][0]
        what = "; if the first line is a row, put names before it" if _NUMBER.fullmatch(twice.strip()) else ""
        raise InputError(f"{show(path)}: two columns are called {show(twice)}; rename one{what}")


def _check_size(path: str, file: pq.ParquetFile, columns: Sequence[str]) -> None:
    """Refuse columns that are no values, and what memory can't hold: a few bytes may hold any number of equal ones."""
    about, schema = file.metadata, file.schema_arrow
    if CELL * about.num_rows * len(columns) > _memory():
        many = f"{about.num_rows} rows of {len(columns)} columns"
        raise InputError(f"{show(path)}: {many}, more than memory holds; value fewer rows")
    texts = []
    for name in columns:
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_nested(kind) or _is_binary(kind):
            raise InputError(f"{show(name)}: holds {show(kind)}; make it numbers or text, or leave it out (--ignore)")
        if _is_text(kind):
            texts.append(name)
    size = 0
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    for name in texts:
        stored = [chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == name]
        _check_texts(path, name, size + sum(stored))
        size += sum(_unpacked(path, name))
        _check_texts(path, name, size)


def _unpacked(path: str, name: str) -> Iterator[int]:
    """Bytes of a column's texts, a part at a time; equal ones stay packed meanwhile."""
    with open(path, "rb") as file:
        for batch in pq.ParquetFile(file, read_dictionary=[name]).iter_batches(columns=[name]):
            column = batch.column(0)
            sizes = np.asarray(pc.fill_null(pc.binary_length(column.dictionary), 0), dtype=np.int64)
            yield int(sizes[np.asarray(column.indices.drop_null(), dtype=np.int64)].sum())


def _check_texts(path: str, name: str, size: int) -> None:
    if size > TEXT:
        raise InputError(
            f"{show(path)}: the texts of {show(name)} unpack to more than {TEXT >> 30} GiB; shorten them or leave it"
            " out (--ignore)"
        )


def _is_text(kind: pa.DataType) -> bool:
    return any(fits(kind) for fits in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_binary(kind: pa.DataType) -> bool:
    return any(fits(kind) for fits in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


_BREAK = re.compile(r"\r\n|\r|\n")
_CODE_BYTES = re.compile(rb"(?:^|[,\"])\s*[+-]?(?:0[0-9]|[0-9]+[eE][0-9])")
_NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)
_CODE = re.compile(r"\s*[+-]?(0[0-9]+(\.[0-9]*)?|[0-9]+[eE][0-9]+)\s*")
