"""Tables and images of a user as numbers on one scale, with cells and classes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from memloc.data.image_folder import ImageFolder
from memloc.data.images import stream
from memloc.data.opening import open_images
from memloc.errors import InputError, show
from memloc.provenance import file_sha256
from memloc.valuation.oob import squares

Floats = NDArray[np.float64]

TABLES = (".csv", ".parquet")
CATEGORIES = 100
"""Different texts of a column beyond which it is not a category."""
WINDOW = 256
"""Images that are read at once."""
SKIPPED = 10
"""Images that can't be read and are named in remarks; ``about`` lists all."""


@dataclass(frozen=True)
class Source:
    """Something to value.

    Attributes:
        x: [n, d].
        y: [n] classes, into ``classes``.
        groups: [d] the cell of each feature, into ``cells``.
        rows: names of the rows [n].
        sha256: of what was read.
        holds: what a cell of a row holds, as text.
        remarks: what a user should know, one line each.
        about: the same, complete, for value.json.
    """

    x: Floats
    y: NDArray[np.int64]
    classes: Sequence[str]
    groups: NDArray[np.int64]
    cells: Sequence[str]
    rows: Sequence[str]
    sha256: str
    holds: Callable[[int, int], str]
    remarks: Sequence[str] = ()
    about: Mapping[str, object] = field(default_factory=dict)


def read_table(path: str, *, label: str | None, id: str | None = None, ignore: Sequence[str] = ()) -> Source:
    """A CSV or Parquet table: each column is a cell, of variance 1.

    Numbers and truth values are standardised. Text becomes a feature for each of its different values, together one
    cell. A missing number counts as the column's mean and is marked by another feature in its cell; a missing text
    counts as another value.

    Args:
        path: .csv or .parquet.
        label: column of the classes.
        id: column of the rows' names.
        ignore: patterns of columns to leave out.

    Raises:
        InputError: it can't be read, or a column can't be used.
    """
    table = _load(path, id)
    columns = [str(column) for column in table]
    if len(columns) == 1 and (other := next((mark for mark in (";", "\t", "|") if mark in columns[0]), None)):
        raise InputError(f"{show(path)}: one column, separated by {other!r}; write it with commas")
    for option, column in (("label", label), ("id", id)):
        if column is not None and column not in columns:
            names = ", ".join(map(show, columns[:10])) + (", ..." if len(columns) > 10 else "")
            raise InputError(f"{option}: {show(path)} has no column {show(column)}; it has {names}")
    if label is None:
        raise InputError(f"label: not given; name the column of {show(path)} that holds the classes (--label)")
    if label == id:
        raise InputError(f"id: {show(label)} is the label; name another column or leave --id out")
    for pattern in ignore:
        if not any(fnmatchcase(column, pattern) for column in columns):
            raise InputError(f"ignore: no column of {show(path)} fits {show(pattern)}; check its spelling")
    features = [c for c in columns if c not in (label, id) and not any(fnmatchcase(c, p) for p in ignore)]
    if not features:
        raise InputError(f"{show(path)}: no columns besides the label; add one or more")
    y, classes = _classes(table[label])
    parts = [_cell(table[column]) for column in features]
    missing = {column: int(table[column].isna().sum()) for column in features if table[column].isna().any()}
    remarks = []
    if missing:
        counts = ", ".join(f"{show(column)} {count}" for column, count in list(missing.items())[:10])
        remarks.append(f"missing values in {len(missing)} columns, counted as their means and marked: {counts}")
    contents = table[features]
    return Source(
        x=np.concatenate(parts, axis=1),
        y=y,
        classes=classes,
        groups=np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts]),
        cells=features,
        rows=_names(table.index.to_series() if id is None else table[id]),
        sha256=file_sha256(path),
        holds=lambda row, cell: str(contents.iat[row, cell]),
        remarks=remarks,
        about={"missing": missing},
    )


def read_images(text: str, *, size: int, patch: int, part: str, strict: bool, config: Path) -> Source:
    """Images in class subfolders or a dataset, pixels from 0 to 1; each square of ``patch`` pixels is a cell.

    If all are grey, one channel is kept. A cell's name is the row and column of its square.

    Raises:
        InputError: there are none, they have no classes, or one can't be read and ``strict`` is set.
    """
    images = open_images(text, size=size, part=part, config=config, strict=strict)
    if images.labels is None:
        way_out = getattr(images, "unlabelled", "") or "put images into subfolders named by class, two or more of them"
        raise InputError(f"images: {show(text)}: no classes; {way_out}")
    if part != "train" and isinstance(images, ImageFolder):
        raise InputError(f"part: {part} is of datasets, and {show(text)} is a folder of images; name the part's folder")
    taken = images.taken(text)
    windows = list(stream(images, np.arange(len(images)), batch=WINDOW))
    pixels, readable = (np.concatenate(parts) for parts in zip(*windows, strict=True))
    if not len(readable):
        raise InputError(f"images: {show(text)}: none of {len(images)} can be read ({images.skipped[0]})")
    empty = sorted(set(images.labels.tolist()) - set(images.labels[readable].tolist()))
    if empty and images.skipped:
        raise InputError(
            f"images: {show(text)}: none of class {show(images.classes[empty[0]])} can be read; repair or remove them"
        )
    _enough(f"images: {show(text)}", len(np.unique(images.labels[readable])), len(readable))
    if (pixels == pixels[:, :1]).all():
        pixels = pixels[:, :1]
    across = -(-size // patch)
    remarks = [f"skipped {show(images.names[row])}: {why}" for row, why in list(images.skipped.items())[:SKIPPED]]
    if len(images.skipped) > SKIPPED:
        remarks.append(f"skipped {len(images.skipped) - SKIPPED} more images, all listed in value.json")
    return Source(
        x=pixels.reshape(len(readable), -1) / 255,
        y=images.labels[readable],
        classes=images.classes,
        groups=squares(pixels.shape[1], size, patch),
        cells=[f"{row},{column}" for row in range(across) for column in range(across)],
        rows=[images.names[row] for row in readable],
        sha256=images.sha256,
        holds=lambda row, cell: f"{pixels[row].reshape(-1)[squares(pixels.shape[1], size, patch) == cell].mean():.0f}",
        remarks=[*remarks, *taken],
        about={"taken": taken, "skipped": {images.names[row]: why for row, why in images.skipped.items()}},
    )


def _load(path: str, id: str | None) -> pd.DataFrame:
    ending = Path(path).suffix.lower()
    if ending not in TABLES:
        raise InputError(f"{show(path)}: not a {' or '.join(TABLES)} file; save the table as one of them")
    if not Path(path).is_file():
        raise InputError(f"{show(path)}: no such file; check its name")
    try:
        with open(path, "rb") as file:
            if ending == ".csv":
                # Names stay as they are written, and only an empty text is missing: None may be a class.
                texts = {} if id is None else {id: str}
                table = pd.read_csv(file, low_memory=False, dtype=texts, keep_default_na=False, na_values=[""])
            else:
                about = pq.read_metadata(file)
                _check_size(path, about)
                _check_names(path, about.schema.to_arrow_schema().names)
                table = pd.read_parquet(file)
    except (InputError, MemoryError):
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{show(path)}: can't be read (not UTF-8); save it as UTF-8") from error
    except Exception as error:  # Readers raise anything for damaged files.
        reason = show(" ".join(str(error).split())) or type(error).__name__
        raise InputError(f"{show(path)}: can't be read ({reason}); repair it") from error
    if ending == ".csv" and not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{show(path)}: rows have more fields than the first line has names; repair it")
    if not len(table):
        raise InputError(f"{show(path)}: no rows; add some")
    table.columns = table.columns.map(str)
    _check_names(path, table.columns)
    return table.reset_index(drop=True)


def _check_names(path: str, columns: Iterable[str]) -> None:
    names = pd.Index(columns)
    if not names.is_unique:
        raise InputError(f"{show(path)}: two columns are called {show(names[names.duplicated()][0])}; rename one")


def _check_size(path: str, about: pq.FileMetaData) -> None:
    """Refuse what memory can't hold: a few kilobytes may hold any number of equal values."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 8 * about.num_rows * about.num_columns > memory:
        size = f"{about.num_rows} rows of {about.num_columns} columns"
        raise InputError(f"{show(path)}: {size}, more than memory holds; value fewer rows")


def _names(column: pd.Series[Any]) -> list[str]:
    missing, name = int(column.isna().sum()), show(str(column.name))
    if missing:
        raise InputError(
            f"id: {missing} rows have no {name}, the first is row {int(column.isna().argmax())} (from 0); fill it in or"
            " leave --id out"
        )
    names = column.map(str)
    repeated = names[names.duplicated()]
    if len(repeated):
        raise InputError(
            f"id: {len(repeated)} rows repeat the {name} of an earlier row, the first is {show(repeated.iloc[0])};"
            " name a column whose texts all differ or leave --id out"
        )
    return names.tolist()


def _classes(column: pd.Series[Any]) -> tuple[NDArray[np.int64], list[str]]:
    name, missing = show(str(column.name)), int(column.isna().sum())
    if missing:
        raise InputError(f"label: {missing} rows have no {name}; fill it in or remove them")
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(column)
    if kind not in ("string", "boolean", "integer", "floating"):
        raise InputError(
            f"label: {name} holds {kind}; make it text, true and false or whole numbers, or name another column"
        )
    if kind == "floating":
        column = column.astype("float64")
        if not (column.abs() < 2.0**63).all():
            raise InputError(
                f"label: {name} holds infinity or numbers from 2^63 on; make it text or name another column"
            )
        if not (column % 1 == 0).all():
            raise InputError(
                f"label: {name} holds fractions, not classes; divide it into classes or name another column"
            )
        column = column.astype("int64")
    y, classes = pd.factorize(column, sort=True)
    _enough(f"label: {name}", len(classes), len(column))
    return y.astype(np.int64), [str(c) for c in classes]


def _enough(what: str, classes: int, rows: int) -> None:
    if not 2 <= classes <= rows / 2:
        raise InputError(
            f"{what} has {classes} classes in {rows} rows; give two or more classes, with two or more rows on average"
        )


def _cell(column: pd.Series[Any]) -> Floats:
    """The features of a column [n, k]."""
    name = show(str(column.name))
    # With gaps, or beyond 64 bits, truth values and whole numbers come as objects.
    objects = pd.api.types.infer_dtype(column, skipna=True) if column.dtype == object else ""
    if objects == "boolean":
        column = column.astype("boolean")
    elif objects == "integer":
        column = column.astype("float64")
    if pd.api.types.is_bool_dtype(column) or (
        pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column)
    ):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        present = ~np.isnan(numbers)
        if not present.any():
            raise InputError(f"{name}: no value in any row; leave it out (--ignore)")
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = numbers[present].mean(), numbers[present].std()
        if not np.isfinite(deviation):
            raise InputError(f"{name}: holds infinity or numbers too large to square; replace them or --ignore it")
        filled = (np.where(present, numbers, mean) - mean) / (deviation or 1)
        return filled[:, None] if present.all() else np.stack([filled, ~present], axis=1)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind not in ("string", "categorical"):
        raise InputError(f"{name}: holds {kind}; make it numbers or text, or leave it out (--ignore)")
    codes, different = pd.factorize(column.astype("string").fillna(""), sort=True)
    if len(different) > CATEGORIES:
        raise InputError(
            f"{name}: {len(different)} different texts, too many for a category; leave it out (--ignore), or name the"
            " rows by it (--id)"
        )
    one_hot = np.eye(len(different))[codes]
    return np.asarray(one_hot / (np.sqrt(one_hot.var(axis=0).sum()) or 1))
