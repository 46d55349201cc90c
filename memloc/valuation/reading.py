"""Files of tables: what they hold is looked at before it is read, and what a reader would pass over is said."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import os
import re
import stat
import sys
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from memloc.errors import InputError, show
from memloc.valuation.columns import listed, number_of, quoted

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".xlsx", ".parquet")
TEXT = 1 << 30
"""Bytes beyond which a workbook, or all texts of a Parquet table, aren't read: a few bytes may unpack to any number."""
MARKS = (",", ";", "\t", "|")
"""What may separate the fields of a line; of equals the first."""
LOOKED = 1 << 16
"""Characters of a table that tell what separates its fields."""
FOREIGN = 1 / 3
"""Share of the letters beyond which those that ASCII lacks are no Western text."""
CELL = 56
"""Bytes that a cell takes while it is valued, at least."""


@dataclass(frozen=True)
class Text:
    """A table as text.

    Attributes:
        text: all of it, in which fields that need it are quoted.
        mark: what separates fields.
        remarks: how it was read, where that isn't plain: one line each.
        sheet: of a workbook.
    """

    text: str
    mark: str = ","
    remarks: Sequence[str] = ()
    sheet: str = ""

    def open(self) -> io.StringIO:
        """It, to be read with its line ends as they are."""
        return io.StringIO(self.text, newline="")

    def lines(self) -> Iterator[list[str]]:
        """Its lines as fields."""
        return csv.reader(self.open(), delimiter=self.mark)


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
        text: of a table that isn't Parquet.
    """

    names: Sequence[str]
    index: Sequence[str] = ()
    left_out: Sequence[str] = ()
    remarks: Sequence[str] = ()
    codes: Collection[str] = ()
    rows: int | None = None
    text: Text | None = None


def is_table(path: str | Path) -> bool:
    """Whether it is named as a table."""
    return Path(path).name.lower().endswith(TABLES)


def look_at(path: str) -> Layout:
    """The columns of a table.

    Raises:
        InputError: it is no table, it can't be read, two columns have one name, or lines don't fit the first one.
    """
    try:
        about = Path(path).stat()
    except (OSError, ValueError) as error:  # A NUL is a ValueError.
        if isinstance(error, OSError) and is_table(path) and not isinstance(error, FileNotFoundError):
            raise InputError(
                f"{show(path)}: can't be read ({error.strerror}); check its name and permissions"
            ) from error
        raise InputError(f"{show(path)}: no such file; check its name") from error
    if stat.S_ISDIR(about.st_mode):
        raise InputError(f"{show(path)}: a folder; name one file")
    if not stat.S_ISREG(about.st_mode):
        raise InputError(f"{show(path)}: a device or a pipe, not a file; save the table as .csv, .xlsx or .parquet")
    if not is_table(path):
        raise InputError(
            f"{show(path)}: not a {', '.join(TABLES[:-1])} or .parquet file; save the table as one of them"
        )
    csv.field_size_limit(sys.maxsize)
    with _reading(path), open(path, "rb") as file:
        if path.lower().endswith(".parquet"):
            return _look_at_parquet(path, pq.read_metadata(file))
        return _look_at_text(path, _spreadsheet(path) if path.lower().endswith(".xlsx") else _text(path, file))


def load(path: str, layout: Layout, columns: Sequence[str], *, texts: Collection[str] = ()) -> pd.DataFrame:
    """Columns of a table that ``look_at`` described, ``texts`` of a CSV as they are written.

    Raises:
        InputError: it can't be read, memory can't hold it, or it has no rows.
    """
    with _reading(path), open(path, "rb") as file:
        if (text := layout.text) is not None:
            # Names stay as they are written, and only an empty text is missing: None may be a class.
            table = pd.read_csv(
                text.open(),
                sep=text.mark,
                names=list(layout.names),
                header=0,
                low_memory=False,
                dtype=dict.fromkeys(texts, str),
                keep_default_na=False,
                na_values=[""],
            )
        else:
            _check_size(path, pq.ParquetFile(file), columns)
            table = pd.read_parquet(file, columns=list(columns))
    table = table.reset_index([name for name in table.index.names if name in columns])
    if not len(table):
        sheet = layout.text.sheet if layout.text else ""
        if sheet:
            raise InputError(f"{show(path)}: sheet {quoted(sheet)} has no rows; put the sheet of the table first")
        raise InputError(f"{show(path)}: no rows; add some")
    if layout.rows not in (None, len(table)):
        raise InputError(f"{show(path)}: has {layout.rows} rows, but {len(table)} are read; save it anew")
    table.columns = table.columns.map(str)
    _check_names(path, table.columns)
    return table.reset_index(drop=True)


def texts_of(layout: Layout, columns: Sequence[str]) -> dict[str, list[str]]:
    """The different texts of columns of a table of texts as they are written; of others none, which have types."""
    if not columns or layout.text is None:
        return {}
    table = pd.read_csv(
        layout.text.open(),
        sep=layout.text.mark,
        names=list(layout.names),
        header=0,
        usecols=list(columns),
        dtype=str,
        keep_default_na=False,
    )
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


def _text(path: str, file: IO[bytes]) -> Text:
    """A file of text, packed or not, in whatever encoding, with whatever separates its fields."""
    most = memory() // 4
    with gzip.open(file) if path.lower().endswith(".gz") else file as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        raise InputError(f"{show(path)}: more than {most} bytes, which memory doesn't hold; value fewer rows")
    text, encoding = _decoded(path, data)
    text = text.lstrip("\ufeff")
    remarks = [f"{show(path)}: {encoding}"] if encoding else []
    named = re.match(r"sep=(.)\r?\n", text)  # Excel's way of saying it.
    text = text[named.end() :] if named else text
    mark = named[1] if named else _mark(text, "\t" if ".tsv" in path.lower()[-7:] else "")
    if mark != ",":
        remarks.append(f"{show(path)}: fields are separated by {'tabs' if mark == chr(9) else repr(mark)}")
    return Text(text, mark, remarks)


def _decoded(path: str, data: bytes) -> tuple[str, str]:
    """Text from bytes, and what its encoding is, where it isn't plain UTF-8."""
    for start, encoding, told in _STARTS:
        if data.startswith(start):
            return data.decode(encoding), f"{told}, as its first bytes say"
    try:
        text = data.decode()
        encoding = ""
    except UnicodeDecodeError as error:
        text, encoding = _western_or_found(path, data)
        around = data[max(error.start - 10, 0) : error.start + 10]
        line = data.count(b"\n", 0, error.start) + 1
        sample = quoted(_around(text, line) or around.decode("latin-1").strip())
        encoding = f"not UTF-8, read as {encoding}: line {line} has {sample}; if that is wrong, save it as UTF-8"
    if "\0" in text:
        ends = [data[start::2].count(0) / max(len(data) // 2, 1) for start in (0, 1)]
        if max(ends) < 0.5 or min(ends) > 0.2:
            raise csv.Error("it holds NUL, as binary files do")
        order = "le" if ends[1] > ends[0] else "be"
        return data.decode(f"utf-16-{order}"), f"UTF-16 ({order.upper()}), as every other byte is NUL"
    return text, encoding


def _western_or_found(path: str, data: bytes) -> tuple[str, str]:
    """Text that isn't UTF-8, and its encoding: Western Europe's where few letters are foreign, else the likeliest."""
    try:
        text = data.decode("cp1252")
        letters = [c for c in text[:LOOKED] if c.isalpha()]
        if sum(c > "\x7f" for c in letters) <= FOREIGN * len(letters):
            return text, "Windows-1252 (Latin-1)"
    except UnicodeDecodeError:
        pass
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    if best is None:
        raise InputError(f"{show(path)}: can't be read (not UTF-8, nor any encoding that is known); save it as UTF-8")
    return str(best), best.encoding


def _around(text: str, line: int) -> str:
    """Some of a line from its first character on that ASCII lacks."""
    written = next((part for number, part in enumerate(text.split("\n"), 1) if number == line), "")
    at = next((i for i, c in enumerate(written) if c > "\x7f"), 0)
    return written[max(at - 10, 0) : at + 10].strip()


def _mark(text: str, expected: str) -> str:
    """What separates fields: what the lines have equally often; else the commonest one of the first line."""
    part, cut = text[:LOOKED], len(text) > LOOKED
    expected = expected if expected in part else ""
    found: list[tuple[int, int, str]] = []
    for mark in (expected,) if expected else MARKS:
        try:
            fields = [len(line) for line in csv.reader(io.StringIO(part, newline=""), delimiter=mark) if "".join(line)]
        except csv.Error:
            continue
        fields = fields[:-1] if cut else fields
        if len(set(fields)) == 1 and fields[0] > 1:
            found.append((fields[0], -len(found), mark))
    if found:
        return max(found)[2]
    first = next((line for line in part.splitlines() if line.strip()), "")
    return expected or max(MARKS, key=lambda mark: (first.count(mark), mark == ","))


def _spreadsheet(path: str) -> Text:
    """The first sheet of a workbook that has cells, as text; formulas as they were last computed."""
    with zipfile.ZipFile(path) as packed:
        if sum(member.file_size for member in packed.infolist()) > min(TEXT, memory() // 4):
            raise InputError(f"{show(path)}: unpacks to more than memory holds; value fewer rows")
    if find_spec("openpyxl") is None:
        raise InputError(
            f"{show(path)}: needs openpyxl, which isn't installed: pip install '.[excel]' in the clone of memloc, or"
            " save it as .csv"
        )
    with pd.ExcelFile(path, engine="openpyxl") as book:
        names = [str(name) for name in book.sheet_names]
        for name in names:
            sheet = book.parse(name, header=None, dtype=object, keep_default_na=False, na_filter=False)
            if sheet.size:
                break
    lines = [[_as_text(cell) for cell in row] for row in sheet.itertuples(index=False)]
    width = max((place + 1 for line in lines for place, cell in enumerate(line) if cell), default=0)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows(line[:width] if any(line) else [] for line in lines)
    others = [quoted(other) for other in names if other != name]
    remarks = [f"{show(path)}: sheet {quoted(name)} is read; left out: {listed(others)}"] if others else []
    if empty := _never_computed(path, name):
        are = "formula was" if len(empty) == 1 else "formulas were"
        remarks.append(
            f"{show(path)}: {len(empty)} {are} never computed, so that these cells count as missing: {listed(empty)};"
            " open and save it in a spreadsheet program"
        )
    return Text(out.getvalue(), remarks=remarks, sheet=name)


def _never_computed(path: str, sheet: str) -> list[str]:
    """Cells with a formula for which the workbook has no value."""
    from openpyxl import load_workbook  # type: ignore[import-untyped]

    def cells(*, values: bool) -> Iterator[Any]:
        book = load_workbook(path, read_only=True, data_only=values)
        try:
            yield from (cell for row in book[sheet].iter_rows() for cell in row)
        finally:
            book.close()

    if not any(cell.data_type == "f" for cell in cells(values=False)):
        return []
    both = zip(cells(values=False), cells(values=True), strict=True)
    return [one.coordinate for one, value in both if one.data_type == "f" and value.value is None]


def _as_text(cell: Any) -> str:
    """A cell of a spreadsheet as a CSV would have it."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ") if cell.time() != datetime.time() else cell.date().isoformat()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53 else str(cell)


def _look_at_text(path: str, text: Text) -> Layout:
    """The names of a table, and the lines that pandas would fill or leave out in silence."""
    names: list[str] = []
    short: list[int] = []
    broken: list[_Broken] = []
    blank = rows = 0
    lines: list[str] = []
    try:
        with text.open() as file:
            reader = csv.reader(_kept(file, lines), delimiter=text.mark)
            for line in reader:
                own, lines[:] = lines[:], []
                if not line or (len(line) == 1 and not line[0].strip()):
                    blank += 1
                elif not names:
                    names = line
                    own_field = [_Broken(" ".join(line), 0, 1 + blank, own, text.mark)] if len(own) > 1 else []
                    _check_broken(path, own_field, 0)
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
                        _Broken(field, rows, first, own, text.mark)
                        for field in line
                        if len(own) > 1 and _BREAK.search(field)
                    ]
                    rows += 1
    except csv.Error as error:
        raise InputError(f"{show(path)}: can't be read (line {reader.line_num}: {error}); repair it") from error
    if not names:
        raise InputError(f"{show(path)}: can't be read (it is empty); add a line of names, and rows")
    _check_broken(path, broken, len(names) - 1)
    remarks = [*text.remarks]
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
    for number, name in enumerate(names):
        names[number] = name or next(free for n in count(number) if (free := f"Unnamed: {n}") not in names)
    left_out = [number_of(blank, "blank line")] if blank else []
    return Layout(names, left_out=left_out, remarks=remarks, codes=_codes(text, names), rows=rows, text=text)


@dataclass(frozen=True)
class _Broken:
    """A field with line breaks: its text and row, and the first line and all lines of the row in the file."""

    text: str
    row: int
    line: int
    lines: Sequence[str]
    mark: str

    @property
    def where(self) -> str:
        return f"lines {self.line} to {self.line + len(self.lines) - 1}"

    def loose(self) -> bool:
        """Whether text follows a closing quotation mark, as where a lone one opened the field."""
        try:
            return not list(csv.reader(self.lines, strict=True, delimiter=self.mark))
        except csv.Error:
            return True

    def like_rows(self, marks: int) -> bool:
        """Whether it holds as many separators in each line as a row does; of its first and last line, together."""
        first, *middle, last = (line.count(self.mark) for line in _BREAK.split(self.text))
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
    if len(names) == 1 and first.startswith("#"):
        raise InputError(f"{show(path)}: begins with a comment ({quoted(first)}); remove it, the first line has names")
    _check_names(path, [name for name in names if name])


def _codes(text: Text, names: Sequence[str]) -> set[str]:
    """Columns with numbers such as 007 or 1E3, which pandas reads as 7 and 1000."""
    # Most files have none, and this is faster than looking at each field.
    if not _LIKE_CODES.search(text.text):
        return set()
    fields = ((name, field) for line in text.lines() for name, field in zip(names, line, strict=False))
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
    if CELL * about.num_rows * len(columns) > memory():
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


def memory() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


_BREAK = re.compile(r"\r\n|\r|\n")
_LIKE_CODES = re.compile(r"(?:^|[,;\t|\"])\s*[+-]?(?:0[0-9]|[0-9]+[eE][0-9])", re.MULTILINE)
_STARTS = (
    (b"\xef\xbb\xbf", "utf-8-sig", "UTF-8 with a byte order mark"),
    (b"\xff\xfe\0\0", "utf-32", "UTF-32"),
    (b"\0\0\xfe\xff", "utf-32", "UTF-32"),
    (b"\xff\xfe", "utf-16", "UTF-16"),
    (b"\xfe\xff", "utf-16", "UTF-16"),
)
"""What files begin with that say their encoding themselves."""
_NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)
_CODE = re.compile(r"\s*[+-]?(0[0-9]+(\.[0-9]*)?|[0-9]+[eE][0-9]+)\s*")
