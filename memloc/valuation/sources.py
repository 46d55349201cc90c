"""Tables and images of a user as numbers on one scale, with cells and classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.data.image_folder import ImageFolder
from memloc.data.images import digest, stream
from memloc.data.opening import open_images
from memloc.errors import InputError, show
from memloc.provenance import file_sha256
from memloc.valuation.columns import (
    GAPS,
    NAMED,
    NUMBERS,
    TEXTS,
    TRUTHS,
    Column,
    alike,
    decimal_marks,
    listed,
    may_divide_thousands,
    number_of,
    numbers_rows,
    quoted,
    read_column,
    remark_on,
)
from memloc.valuation.oob import squares
from memloc.valuation.reading import Layout, load, look_at, memory, texts_of

Floats = NDArray[np.float64]

MANY = 50
"""Classes beyond which a label may be a quantity."""
TREE = 16
"""Bytes that a tree may take for each row and class."""
WINDOW = 256
"""Images that are read at once."""
SHOWN = 4
"""Texts of a column that a look at it tells."""
T = TypeVar("T")
SKIPPED = 10
"""Images that can't be read and are named in remarks; ``about`` lists all."""


CLASSES = re.compile(r"(?i)label|labels|class|classes|target|y|diagnosis|outcome|species|category|type|status|group")
"""Likely names of the column of a table's classes."""


class UnfitError(InputError):
    """A table can't be valued as it is asked for: all that speaks against it, in one line.

    Attributes:
        look: a line for each column: what it holds, and why it can't be used.
        options: by option, columns to add with which it can; None where the table itself must be mended.
    """

    def __init__(
        self, message: str, look: Sequence[Mapping[str, Any]], options: Mapping[str, list[str]] | None
    ) -> None:
        super().__init__(message)
        self.look, self.options = look, options


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
        columns: of a table, what its cells hold: [n] numbers, or texts; of images none.
        pixels: of images [n, channels, size, size]; None for a table.
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
    columns: Sequence[NDArray[Any]] = ()
    pixels: NDArray[np.uint8] | None = None
    remarks: Sequence[str] = ()
    about: Mapping[str, object] = field(default_factory=dict)


def read_table(
    path: str,
    *,
    label: str | None,
    id: str | None = None,
    ignore: Sequence[str] = (),
    text: Sequence[str] = (),
) -> Source:
    """A table (CSV, TSV, packed or not, .xlsx, Parquet): each column is a cell, of variance 1.

    Numbers and truth values are standardised. Text becomes a feature for each of its different values, together one
    cell. A missing number counts as the column's mean and is marked by another feature in its cell; a missing text
    counts as another value. Texts among numbers count as missing, see ``columns.read_column``.

    Args:
        path: of the file.
        label: column of the classes.
        id: column of the rows' names.
        ignore: patterns of columns to leave out.
        text: patterns of columns whose numbers are names of categories.

    Raises:
        InputError: it can't be read.
        UnfitError: a column can't be used.
    """
    layout = look_at(path)
    columns = layout.names
    _check_options(path, layout, label=label, id=id, ignore=ignore, text=text)
    ignored = _fitting(columns, ignore)
    features = [column for column in columns if column not in (label, id, *ignored)]
    if not features:
        raise InputError(f"{show(path)}: no columns besides the label; add one or more")
    as_text = _fitting(columns, text)
    names = [] if id is None else [id]
    table = load(path, layout, [*features, *([] if label is None else [label]), *names], texts=[*names, *as_text])
    contents, named = table[features], id is not None
    commas, rather = _commas(layout, contents)
    about = {"typed": layout.text is None, "named": named, "comma": rather}
    problems: dict[str, str] = {}
    rows = _tried(problems, "--id", lambda: _names(table.index.to_series() if id is None else table[id]))
    numbers = rows or [str(row) for row in range(len(table))]
    read: dict[str, Column] = {}
    found = None if label is None else _tried(problems, "--label", lambda: _classes(table[label]))
    for column in features:
        one = _tried(problems, column, partial(read_column, table[column], numbers, text=column in as_text, **about))
        read |= {} if one is None else {column: one}
    if problems or found is None or rows is None or label is None:
        raise _unfit(path, contents, read, problems, label=label, id=id)
    y, classes = found
    kinds = {column: one.kind for column, one in read.items()}
    left_out = _left_out(layout, label, id, ignored)
    missing = {column: one.missing for column, one in read.items() if one.missing}
    labels = {name: int(count) for name, count in zip(classes, np.bincount(y), strict=True)}
    remarks = [*layout.remarks, *_remarks_on_labels(label, classes, y)]
    on_cells = _remarks_on_cells(layout, contents, read, comma=commas)
    remarks += _remark_on_codes(layout, table[[*features, label]])
    remarks += _remarks_on_columns(contents, kinds, y, named=named)
    x = np.concatenate([one.x for one in read.values()], axis=1)
    remarks += _copies(x, y, rows, "row")
    remarks += _remarks_on_gaps(missing, kinds)
    shown = [*on_cells[:NAMED], f"{len(on_cells) - NAMED} more such remarks on columns, all in value.json"]
    shown = on_cells if len(on_cells) <= NAMED else shown
    gaps = number_of(sum(missing.values()), "missing value")
    taken = f"{show(path)}: {number_of(len(table), 'row')}, {_columns(kinds)}, {gaps}"
    taken += f"; label {show(label)}: {_counts(labels)}; left out: {listed(left_out) or 'nothing'}"
    return Source(
        x=x,
        y=y,
        classes=classes,
        groups=np.repeat(np.arange(len(read)), [one.x.shape[1] for one in read.values()]),
        cells=features,
        rows=rows,
        sha256=file_sha256(path),
        holds=lambda row, cell: _held(contents.iat[row, cell]),
        columns=[one.values for one in read.values()],
        remarks=[taken, *shown, *remarks],
        about={
            "columns": kinds,
            "labels": labels,
            "missing": missing,
            "odd": {column: one.odd for column, one in read.items() if one.odd},
            "left_out": left_out,
            "remarks": [taken, *on_cells, *remarks],
            "look": _look(contents, read, {}),
        },
    )


def _held(cell: Any) -> str:
    """A cell as text; 9999 is no 9999.0 because another cell of its column has decimals or is missing."""
    whole = isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53
    return str(int(cell)) if whole else str(cell)


def _left_out(layout: Layout, label: str, id: str | None, ignored: Sequence[str]) -> list[str]:
    """Columns that are no features, each with why."""
    out = [] if id is None else [f"{show(id)} (names the rows)"]
    out += [f"{show(column)} (--ignore)" for column in ignored if column not in (label, id)]
    stored = [column for column in layout.index if column not in (label, id)]
    out += [f"{show(column)} (names of rows that pandas stored)" for column in stored]
    return [*out, *layout.left_out]


def _tried(problems: dict[str, str], name: str, read: Callable[[], T]) -> T | None:
    """What ``read`` gives; None where it can't, which is added to the problems."""
    try:
        return read()
    except InputError as error:
        problems[name] = str(error)
        return None


def _look(
    contents: pd.DataFrame, read: Mapping[str, Column], problems: Mapping[str, str]
) -> list[dict[str, str | int]]:
    """A line for each column: how it is read, what is missing, what it holds, what doesn't fit."""
    lines: list[dict[str, str | int]] = []
    for name in map(str, contents):
        if (one := read.get(name)) is None:
            why = problems[name].removeprefix(f"{show(name)}: ")
            lines.append({"column": name, "kind": "can't be used", "missing": 0, "holds": "", "odd": why})
            continue
        if one.values.dtype.kind == "f":
            low, middle, high = np.nanquantile(one.values, [0, 0.5, 1])
            holds = f"{low:.6g} to {high:.6g}, median {middle:.6g}"
        else:
            texts, counts = np.unique(one.values, return_counts=True)
            held = [f"{show(texts[i]) or 'nothing'} {counts[i]}" for i in np.argsort(-counts, kind="stable")]
            holds = ", ".join(held[:SHOWN]) + (f" and {len(held) - SHOWN} more" if len(held) > SHOWN else "")
        odd = "; ".join(one.remarks)
        lines.append({"column": name, "kind": one.kind, "missing": one.missing, "holds": holds, "odd": odd})
    return lines


def _unfit(
    path: str,
    contents: pd.DataFrame,
    read: Mapping[str, Column],
    problems: Mapping[str, str],
    *,
    label: str | None,
    id: str | None,
) -> UnfitError:
    """All that speaks against a table, and the options that it can be valued with."""
    likely = _likely_label(contents, read) if label is None else None
    unusable = [column for column in problems if column in contents]
    # Another value in every row is what names of rows have.
    names = [column for column in unusable if contents[column].notna().all() and contents[column].map(str).is_unique]
    numbered = {column: why for column in read if (why := numbers_rows(contents[column]))}
    named_by = [c for c, one in read.items() if one.kind == TEXTS and not one.missing and contents[c].is_unique]
    named = [*names, *numbered, *named_by][:1] if id is None else []
    options = {"label": [likely] if likely else [], "id": named, "ignore": [c for c in unusable if c not in named]}
    told = [problems[name] for name in problems]
    if label is None:
        told.insert(0, f"label: not given; name the column of {show(path)} that holds the classes (--label)")
    message = told[0] if len(told) == 1 else f"{show(path)}: {len(told)} problems: {'; '.join(told)}"
    mended = {"--id", "--label"} & {*problems} or (label is None and likely is None) or not read.keys() - {likely}
    look = _look(contents, read, problems)
    for line in look:  # What a value would remark.
        line["odd"] = "; ".join(filter(None, (str(line["odd"]), numbered.get(str(line["column"]), ""))))
    return UnfitError(message, look, None if mended else options)


def _likely_label(contents: pd.DataFrame, read: Mapping[str, Column]) -> str | None:
    """The column that most likely holds the classes: by its name, else the last one with few different values."""
    able = []
    for name, one in read.items():
        different = np.unique(one.values)
        whole = one.values.dtype.kind != "f" or not (different % 1).any()
        if whole and not one.missing and 2 <= len(different) <= min(MANY, len(contents) / 2):
            able.append(name)
    return next((name for name in able if CLASSES.fullmatch(name)), able[-1] if able else None)


def _commas(layout: Layout, contents: pd.DataFrame) -> tuple[bool, bool]:
    """Whether a file has clear decimal commas, and whether a comma that may be either is rather a decimal mark."""
    if layout.text is None:
        return False, False
    texts = [
        t
        for name in contents
        if not pd.api.types.is_numeric_dtype(contents[name])
        for t in contents[name].dropna().map(str).unique()
    ]
    marks = decimal_marks(texts)
    rather = layout.text.mark == ";"
    if rather and "," not in marks and any("," in text for text in texts):
        floats = [str(name) for name in contents if pd.api.types.is_float_dtype(contents[name])]
        marks |= {mark for own in texts_of(layout, floats).values() for mark in decimal_marks(own)}
        rather = "." not in marks
    return "," in marks, rather


def _remarks_on_cells(layout: Layout, contents: pd.DataFrame, read: Mapping[str, Column], *, comma: bool) -> list[str]:
    """What was odd in cells, column by column, and where points may divide thousands."""
    written = texts_of(layout, [column for column in read if _are_thousandths(contents[column], comma=comma)])
    thousands = {
        column: [remark] for column, texts in written.items() if (remark := may_divide_thousands(texts, comma=comma))
    }
    return [
        f"{show(column)}: {remark}"
        for column, one in read.items()
        for remark in (*one.remarks, *thousands.get(column, ()))
    ]


def _remark_on_codes(layout: Layout, table: pd.DataFrame) -> list[str]:
    """That numbers may be codes, for columns in which some are written as codes are."""
    numeric = [name for name in table if name in layout.codes and pd.api.types.is_numeric_dtype(table[name])]
    codes = _shown([str(name) for name in numeric])
    return (
        [f"numbers such as 007 or 1E3 count as 7 or 1000; if they are codes, use --text: {listed(codes)}"]
        if codes
        else []
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
    y = images.labels[readable]
    labels = {
        name: int(count)
        for name, count in zip(images.classes, np.bincount(y, minlength=len(images.classes)), strict=True)
    }
    remarks = [f"skipped {show(images.names[row])}: {why}" for row, why in list(images.skipped.items())[:SKIPPED]]
    if len(images.skipped) > SKIPPED:
        remarks.append(f"skipped {len(images.skipped) - SKIPPED} more images, all listed in value.json")
    rows = [images.names[row] for row in readable]
    taken += [f"{show(text)}: {line}" for line in _copies(pixels, y, rows, "image")]
    return Source(
        x=pixels.reshape(len(readable), -1) / 255,
        y=y,
        classes=images.classes,
        groups=squares(pixels.shape[1], size, patch),
        cells=[f"{row},{column}" for row in range(across) for column in range(across)],
        rows=rows,
        sha256=images.sha256,
        holds=lambda row, cell: f"{pixels[row].reshape(-1)[squares(pixels.shape[1], size, patch) == cell].mean():.0f}",
        pixels=pixels,
        remarks=[*taken, *remarks],
        about={
            "taken": taken,
            "labels": labels,
            "skipped": {images.names[row]: why for row, why in images.skipped.items()},
        },
    )


def _check_options(
    path: str, layout: Layout, *, label: str | None, id: str | None, ignore: Sequence[str], text: Sequence[str]
) -> None:
    """Refuse names and patterns that fit no column."""
    columns = layout.names
    for option, column in (("label", label), ("id", id)):
        if column is not None and column not in (*columns, *layout.index):
            near = next((f"; do you mean {quoted(one)}?" for one in columns if _same(one, column)), "")
            known = listed(_shown(columns))
            raise InputError(f"{option}: {show(path)} has no column {show(column)}; it has {known}{near}")
    if label is not None and label == id:
        raise InputError(f"id: {show(label)} is the label; name another column or run without --id")
    for option, patterns in (("ignore", ignore), ("text", text)):
        for pattern in patterns:
            if not _fitting(columns, [pattern]):
                raise InputError(f"{option}: no column of {show(path)} fits {show(pattern)}; check its spelling")


def _fitting(columns: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Columns that a pattern fits; one that is a column's name fits that alone."""
    return [
        column
        for column in columns
        if any(column == one if one in columns else fnmatchcase(column, one) for one in patterns)
    ]


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _shown(columns: Sequence[str]) -> list[str]:
    return [show(column) for column in columns]


def _counts(labels: Mapping[str, int]) -> str:
    """Classes with their rows, the largest first."""
    return listed([f"{show(name)} {count}" for name, count in sorted(labels.items(), key=lambda item: -item[1])])


def _columns(kinds: Mapping[str, str]) -> str:
    """Columns by type, those of text by name."""
    texts = _shown([column for column, kind in kinds.items() if kind == TEXTS])
    parts = [f"{number} of {kind}" for kind in (NUMBERS, TRUTHS) if (number := list(kinds.values()).count(kind))]
    if texts:
        parts.append(f"{len(texts)} of text ({listed(texts)})")
    return f"{number_of(len(kinds), 'column')}: {', '.join(parts)}"


def _remarks_on_labels(label: str, classes: Sequence[str], y: NDArray[np.int64]) -> list[str]:
    """What is odd about the classes, as one would be if a label was misspelt."""
    counts = np.bincount(y)
    remarks = []
    if same := alike(classes):
        remarks.append(f"classes that differ in case, blanks or invisible characters alone count as different: {same}")
    if gaps := [quoted(name) for name in classes if not name.strip() or name.strip().casefold() in GAPS]:
        remarks.append(f"classes that may stand for a missing label: {', '.join(gaps)}; remove their rows if so")
    numbers = [name for name in classes if name.strip().isdecimal()]
    if numbers and (truths := [quoted(name) for name in classes if name.strip().casefold() in ("true", "false")]):
        remarks.append(f"truth values beside numbers are classes of their own: {listed(truths)}; if 1 is true, write 1")
    if len(classes) > MANY:
        remarks.append(f"{len(classes)} classes in {len(y)} rows; if it is a quantity, divide it into classes")
    if alone := [quoted(name) for name, count in zip(classes, counts, strict=True) if count == 1]:
        remarks.append(f"classes of one row, whose value is 0 whatever it holds: {listed(alone)}")
    return [f"{show(label)}: {remark}" for remark in remarks]


def _remarks_on_gaps(missing: Mapping[str, int], kinds: Mapping[str, str]) -> list[str]:
    """What missing values count as, by kind of column."""
    remarks = []
    for texts, what, how in (
        (False, "column", "they count as the column's mean and are marked"),
        (True, "text column", "they count as a text of their own"),
    ):
        counts = [f"{show(name)} {count}" for name, count in missing.items() if (kinds[name] == TEXTS) == texts]
        if counts:
            remarks.append(f"missing values in {number_of(len(counts), what)} ({listed(counts)}): {how}")
    return remarks


def _remarks_on_columns(
    contents: pd.DataFrame, kinds: Mapping[str, str], y: NDArray[np.int64], *, named: bool
) -> list[str]:
    """One line for all columns of which there is the same to say."""
    found: dict[str, list[str]] = {}
    for column, kind in kinds.items():
        if remark := remark_on(contents[column], kind, y, named=named):
            found.setdefault(remark, []).append(show(column))
    return [f"{listed(names)}: {remark}" for remark, names in found.items()]


def _are_thousandths(column: pd.Series[Any], *, comma: bool) -> bool:
    """Whether these may be written as 788 and 2.305 are, so that it pays to look at their texts.

    Beside decimal commas (``comma``) 2.305 alone is enough.
    """
    if not pd.api.types.is_float_dtype(column):
        return False
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = np.abs(numbers[~np.isnan(numbers)])
    if not (numbers < 1000).all():
        return False
    whole = numbers % 1 == 0
    return bool(
        (comma or whole.any())
        and not whole.all()
        and (numbers[~whole] >= 1).all()
        and (numbers == np.round(numbers, 3)).all()
    )


def firsts(x: Floats) -> NDArray[np.int64]:
    """The first row of the same features as each: [n]."""
    first: dict[int, int] = {}
    return np.array([first.setdefault(digest(row.tobytes()), number) for number, row in enumerate(x)])


def _copies(x: Floats, y: NDArray[np.int64], rows: Sequence[str], what: str) -> list[str]:
    """A line on rows of equal features: a learner that saw one of them knows the others, too."""
    of = firsts(x)
    again = np.flatnonzero(of < np.arange(len(x)))
    if not len(again):
        return []
    others = again[y[again] != y[of[again]]]

    def named(row: int) -> str:
        return f"the first is {show(rows[row])} (as {show(rows[of[row]])})"

    told = f", {len(others)} of them with another label, {named(int(others[0]))}" if len(others) else ""
    hold = "holds" if len(again) == 1 else "hold"
    return [f"{number_of(len(again), what)} {hold} the same as an earlier one, {named(int(again[0]))}{told}; if"
            " these are copies, keep one, as learners that saw it know the others"]  # fmt: skip


def _names(column: pd.Series[Any]) -> list[str]:
    name = show(str(column.name))
    if column.isna().any():
        raise InputError(f"id: {_lacking(column)}; fill it in or run without --id")
    names = column.map(str)
    repeated = names[names.duplicated()]
    if len(repeated):
        raise InputError(
            f"id: {number_of(len(repeated), 'row')} repeat{'s' * (len(repeated) == 1)} the {name} of an earlier row,"
            f" the first is {show(repeated.iloc[0])}; name a column that differs in every row, or run without --id"
        )
    return names.tolist()


def _lacking(column: pd.Series[Any]) -> str:
    """How many rows have no value in a column, and the first of them."""
    missing = int(column.isna().sum())
    have = f"{number_of(missing, 'row')} {'has' if missing == 1 else 'have'}"
    return f"{have} no {show(str(column.name))}, the first is row {int(column.isna().argmax())} (from 0)"


def _classes(column: pd.Series[Any]) -> tuple[NDArray[np.int64], list[str]]:
    name, missing = show(str(column.name)), int(column.isna().sum())
    if missing:
        raise InputError(f"label: {_lacking(column)}; fill it in or remove the row{'s' * (missing > 1)}")
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
    if TREE * len(classes) * len(column) > memory() / 4:
        raise InputError(
            f"label: {name} has {len(classes)} classes in {len(column)} rows, and trees of so many take more than"
            " memory holds; divide it into fewer classes or name another column"
        )
    return y.astype(np.int64), [str(c) for c in classes]


def _enough(what: str, classes: int, rows: int) -> None:
    if not 2 <= classes <= rows / 2:
        raise InputError(
            f"{what} has {classes} classes in {rows} rows; give two or more classes, with two or more rows on average"
        )
