"""Columns of a user's table as features, and what was odd in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.errors import InputError, show, twins

Floats = NDArray[np.float64]

NUMBERS, TRUTHS, TEXTS = "numbers", "true or false", "text"
KINDS = (NUMBERS, TRUTHS, TEXTS)
"""Kinds of columns."""
CATEGORIES = 100
"""Different texts of a column beyond which it is not a category."""
NAMED = 10
"""Columns, texts or rows that a line names; value.json names all."""
COMMON = 0.05
"""Where every different text is in this share of the rows, numbers among them are names of categories, too."""
_WORDS = ("na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "nil", "missing", "unknown", "?", "-", "--", ".")
GAPS = frozenset((*_WORDS, "#value!", "#div/0!", "#ref!", "#num!", "#name?"))  # The last ones are spreadsheets'.
"""Texts that stand for nothing in a column of numbers, in small letters."""
DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( .*)?")
INDEX = re.compile(r"|Unnamed: \d+|index|level_\d+|__index_level_\d+__")
"""Names that libraries give to the numbers of rows."""
NAMES = re.compile(r"(?i:(^|[^a-z])(id|ids|nr|no|number|code|key|uuid|mrn)([^a-z]|$))|[a-z]I[Dd]$")
DAYS = re.compile(r"(?i)date|time|timestamp|datum|day")
"""Names of columns whose whole numbers may be names of rows, or times: days since 1900, seconds since 1970."""


@dataclass(frozen=True)
class Column:
    """A column as features.

    Attributes:
        kind: NUMBERS, TRUTHS or TEXTS.
        x: [n, k], together of variance 1.
        values: [n] numbers, NaN where one is missing, or texts, empty where one is.
        missing: rows without a value, those of ``odd`` included.
        odd: texts among numbers or truth values that are neither, with their rows.
        remarks: what a user should know, one line each, without the column's name.
    """

    kind: str
    x: Floats
    values: NDArray[Any]
    missing: int = 0
    odd: Mapping[str, list[int]] = field(default_factory=dict)
    remarks: Sequence[str] = ()


def read_column(
    column: pd.Series[Any],
    rows: Sequence[str] | None = None,
    *,
    text: bool = False,
    typed: bool = False,
    named: bool = False,
    comma: bool = False,
) -> Column:
    """A column as features.

    A text column is one of numbers if most of its texts are numbers of one notation (decimal point or comma, thousands
    apart, the same unit); words for nothing and other texts then count as missing, and are ``odd``. It stays text
    where every different text is common, unless all are numbers of a file without types, or where the numbers are
    codes with leading zeros.

    Args:
        column: of any type.
        rows: their names (default: their numbers).
        text: whether numbers are names of categories.
        typed: whether the file says that texts are texts, as Parquet does.
        named: whether another column names the rows.
        comma: whether a comma is rather a decimal mark than one between thousands.

    Raises:
        InputError: it can't be used.
    """
    name, rows = show(str(column.name)), rows or [str(row) for row in range(len(column))]
    if text:
        return _texts(column.astype("string"), rows, name, named=named)
    # With gaps, or beyond 64 bits, truth values and whole numbers come as objects.
    objects = pd.api.types.infer_dtype(column, skipna=True) if column.dtype == object else ""
    if objects == "boolean":
        column = column.astype("boolean")
    elif objects in ("integer", "decimal"):
        column = column.map(_float, na_action="ignore").astype("float64")
    if pd.api.types.is_bool_dtype(column):
        return Column(TRUTHS, _standardised(column, name), _truths(column), missing=int(column.isna().sum()))
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return Column(NUMBERS, _standardised(column, name), numbers, missing=int(column.isna().sum()))
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind not in ("string", "categorical"):
        raise InputError(f"{name}: holds {kind}; make it numbers or text, or leave it out (--ignore)")
    found = None if kind == "categorical" else _numbers(column.astype("string"), rows, name, typed=typed, comma=comma)
    return found or _texts(column.astype("string"), rows, name, named=named)


def remark_on(column: pd.Series[Any], kind: str, y: NDArray[np.int64], *, named: bool = False) -> str:
    """Why a column that was read as ``kind`` may not belong among the features; empty where nothing tells.

    Args:
        column: its contents.
        kind: NUMBERS, TRUTHS or TEXTS.
        y: classes of the rows.
        named: whether another column names the rows.
    """
    name, values = str(column.name), whole_numbers(column)
    different = values.nunique()
    each = different == len(values) > max(2, len(column) / 2)
    leave = f"leave them out (--ignore){'' if named else ' or name the rows by them (--id)'}"
    if different <= 1 and len(values) == len(column):
        return "the same in all rows, which says nothing"
    if different == len(np.unique(y)) and len(values) == len(column):
        codes = pd.factorize(column)[0]
        if len(np.unique(codes * np.int64(different) + y)) == different:
            return "one value for each class, which gives the label away; leave out (--ignore) what was made from it"
    whole = pd.api.types.is_integer_dtype(values)
    if whole and different > 1 and all(map(_DAY.fullmatch, map(str, values.unique()))):
        return (
            "dates as whole numbers, it seems, in which a month is 100 days; write days since a date or --ignore them"
        )
    if told := numbers_rows(column):
        return f"{told}; {leave}"
    if whole and DAYS.search(name) and values.min() > 10_000:
        return "times as whole numbers, it seems; that is well if what counts is how late they are, else --ignore them"
    if kind == TEXTS and each:
        return f"another text in every row; {leave}"
    if whole and len(values) and max(abs(int(values.min())), abs(int(values.max()))) > 2**53:
        return f"whole numbers beyond 2^53, which are rounded; if they are names, {leave}"
    return ""


def numbers_rows(column: pd.Series[Any]) -> str:
    """What a column of another value in each row seems to be, if its numbers are names of rows; else empty."""
    name, values = str(column.name), whole_numbers(column)
    if not values.nunique() == len(values) > max(2, len(column) / 2):
        return ""
    whole = counts = pd.api.types.is_integer_dtype(values)
    if whole:
        numbers = values.to_numpy(dtype=np.float64)
        steps = np.diff(numbers)
        counts = bool((steps > 0).all() or (steps < 0).all() or np.ptp(numbers) == len(numbers) - 1)
    if counts or INDEX.fullmatch(name):
        return "mere numbers of the rows, it seems"
    return "names of the rows, it seems, another number in each" if whole and NAMES.search(name) else ""


def whole_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """The values of a column without gaps, as whole numbers if all of them are: with a gap, or written as 5.0, too."""
    values = column.dropna()
    floats = pd.api.types.is_float_dtype(values) and len(values) > 0
    if floats and bool((values % 1 == 0).all()) and bool(values.abs().max() < 2**53):
        return values.astype("int64")
    return values


def decimal_marks(texts: Iterable[str]) -> set[str]:
    """Which of point and comma are decimal marks beyond doubt: in 50.94, not in 2.305."""
    texts = [text.strip() for text in texts]
    return {mark for mark, clear in _CLEAR.items() if any(map(clear.fullmatch, texts))}


def may_divide_thousands(texts: Iterable[str], *, comma: bool = False) -> str:
    """A remark on decimals such as 2.305 that may be whole numbers; empty if nothing tells.

    788 among them tells, or decimal commas elsewhere in the file (``comma``). Those of one notation alone would differ
    by a factor of 1000, which changes no value.
    """
    texts = [text.strip() for text in texts]
    pointed = [text for text in texts if "." in text]
    if not (pointed and _fit_thousands(texts)):
        return ""
    if not (comma or any("." not in text and int(text) for text in texts)):
        return ""
    return (
        f"'.' is taken for the decimal mark, as in {quoted(pointed[0])}, but all decimals have three digits; if it is a"
        f" mark between thousands, write {pointed[0].replace('.', '')}"
    )


def _fit_thousands(texts: Iterable[str]) -> bool:
    """Whether all are written as 2.305 and 788 are."""
    return all((_THREE if "." in text else _BELOW_1000).fullmatch(text.strip()) for text in texts)


def alike(texts: Sequence[str]) -> str:
    """Texts that nobody tells apart, see ``twins``, as ``'Yes', 'yes '``; empty if there are none."""
    return "; ".join(", ".join(map(quoted, group)) for group in twins(texts))


def listed(texts: Sequence[str], last: str = "more") -> str:
    """The first texts, and how many more there are."""
    return ", ".join(texts[:NAMED]) + (f" and {len(texts) - NAMED} {last}" if len(texts) > NAMED else "")


def number_of(count: int, what: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{count} {what}{'s' * (count != 1)}"


def quoted(text: str) -> str:
    """A text of a cell as one short printable text."""
    text = show(text)
    return f"'{text if len(text) <= 40 else f'{text[:18]}...{text[-19:]}'}'"


def _standardised(column: pd.Series[Any], name: str) -> Floats:
    """Numbers of variance 1; where some are missing, they are the mean and another feature marks them."""
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


def _truths(column: pd.Series[Any]) -> NDArray[Any]:
    """Truth values as texts."""
    return np.array(["" if pd.isna(value) else str(bool(value)).lower() for value in column], dtype=str)


def _texts(column: pd.Series[Any], rows: Sequence[str], name: str, *, named: bool) -> Column:
    """A feature for each different text, together of variance 1."""
    codes, different = pd.factorize(column.fillna(""), sort=True)
    if len(different) > CATEGORIES:
        way_out = f"leave it out (--ignore){'' if named else ', or name the rows by it (--id)'}"
        raise InputError(f"{name}: {len(different)} different texts, too many for a category; {way_out}")
    one_hot = np.eye(len(different))[codes]
    x = np.asarray(one_hot / (np.sqrt(one_hot.var(axis=0).sum()) or 1))
    texts = [str(text) for text in different]
    remarks = []
    if same := alike(texts):
        remarks.append(f"texts that differ in case, blanks or invisible characters alone count as different: {same}")
    if sum(bool(DATE.fullmatch(text.strip())) for text in texts) > sum(bool(text.strip()) for text in texts) / 2:
        remarks.append("dates count as texts, each a category; make them numbers or leave it out (--ignore)")
    numbers = [text for text in texts if _PLAIN.fullmatch(text.strip())]
    others = [text for text in texts if text.strip() and text not in numbers]
    if numbers and not all(text.strip().casefold() in GAPS for text in others):
        told = _places(others, _rows_by_code(codes, texts), rows)
        remarks.append(f"numbers among texts count as texts; texts are {listed(told)}")
    elif any(map(_LEADING.match, numbers)):
        remarks.append("numbers with leading zeros count as codes, each a category")
    held = column.fillna("").to_numpy(dtype=object).astype(str)
    return Column(TEXTS, x, held, missing=int(column.isna().sum()), remarks=remarks)


def _numbers(column: pd.Series[Any], rows: Sequence[str], name: str, *, typed: bool, comma: bool) -> Column | None:
    """A text column as one of numbers or truth values; None if it is neither."""
    codes, uniques = pd.factorize(column)
    at = _rows_by_code(codes, [str(text) for text in uniques])
    counts = {text: len(where) for text, where in at.items()}
    present = [text for text in at if text.strip() and text.strip().casefold() not in GAPS]
    most = sum(counts[text] for text in present) / 2
    kind, found, how = TRUTHS, {t: float(v == "true") for t in present if (v := t.strip().casefold()) in _TRUTH}, ""
    if sum(counts[text] for text in found) <= most:
        kind, (found, how) = NUMBERS, _read_numbers(present, counts, comma=comma)
    if sum(counts[text] for text in found) <= most:
        return None
    odd = [text for text in at if text.strip() and text not in found]
    others = [text for text in present if text not in found]
    # That all are common speaks for categories, as 0, 1, 2, 3+; so does a type.
    common = min(counts[text] for text in present) >= max(2, COMMON * 2 * most)
    whole = all(text.strip().lstrip("+-").isdigit() for text in found)
    if common and (others or (typed and kind == NUMBERS and whole and not (odd or how))):
        return None
    same_length = len({len(text) for text in found}) == 1
    if kind == NUMBERS and not how and same_length and any(map(_LEADING.match, found)):
        return None
    values = np.array([found.get(text, np.nan) for text in at] + [np.nan])[codes]
    remarks = []
    if odd:
        what, many = "number" if kind == NUMBERS else "truth value", sum(counts[text] for text in odd)
        are = f"{many:,} of {len(column):,} entries {'is' if many == 1 else 'are'} no {what}{'s' * (many > 1)}"
        remarks.append(f"{are}, counted as missing: {listed(_places(odd, at, rows))}")
    if typed and kind == NUMBERS and len(set(found.values())) < len(found):
        by_value: dict[float, list[str]] = {}
        for text, number in found.items():
            by_value.setdefault(number, []).append(text)
        same = next(texts for texts in by_value.values() if len(texts) > 1)
        remarks.append(f"different texts count as one number: {listed(list(map(quoted, same)))}; for names, use --text")
    if how:
        shown = next(text for text in found if not _PLAIN.fullmatch(text.strip()))
        remarks.append(f"{how}: {quoted(shown)} in row {show(rows[at[shown][0]])} is {found[shown]:.15g}")
    elif kind == NUMBERS and (remark := may_divide_thousands(found)):
        remarks.append(remark)
    x = _standardised(pd.Series(values, name=column.name), name)
    missing = int(np.isnan(values).sum())
    held = values if kind == NUMBERS else _truths(pd.Series(values))
    return Column(kind, x, held, missing=missing, odd={text: at[text] for text in odd}, remarks=remarks)


def _rows_by_code(codes: NDArray[np.intp], texts: Sequence[str]) -> dict[str, list[int]]:
    """The rows of each text, whose code is its place among ``texts``."""
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(texts) + 1))
    return {text: order[ends[code] : ends[code + 1]].tolist() for code, text in enumerate(texts)}


def _places(texts: Sequence[str], at: Mapping[str, Sequence[int]], rows: Sequence[str]) -> list[str]:
    """Texts and the rows that hold them: ``'high' in row 7``."""
    return [f"{quoted(text)} in {_named([rows[row] for row in at[text]])}" for text in texts]


def _named(rows: Sequence[str]) -> str:
    return ("row " if len(rows) == 1 else "rows ") + listed([show(row) for row in rows])


def _read_numbers(texts: Sequence[str], counts: Mapping[str, int], *, comma: bool) -> tuple[dict[str, float], str]:
    """Of different texts those that are numbers of the commonest notation and unit, and what that is, if not plain.

    Of notations that are as common the first one counts: point, thousands apart, decimal comma. Where most texts are
    numbers with a point, another one needs two cells more, and a share of COMMON more: one 1,5 is a typing error, but
    one 1.234.567 tells how 2.305 is meant.
    """
    split = {text: _unit(text) for text in texts}
    units = sorted({unit for unit, _ in split.values()}, key=lambda unit: (unit != "", unit))
    best: tuple[dict[str, float], str] = ({}, "")
    most, total = 0, sum(counts[text] for text in texts)
    clear = max(1.0, COMMON * total)
    for unit in units:
        bare = {text: number for text, (own, number) in split.items() if own == unit}
        for found, how in _notations(bare, comma=comma):
            common = sum(counts[text] for text in found)
            more = [text for text in found if text not in best[0]]
            tells = all(text.count(".") > 1 for text in more) and best[0].keys() <= found.keys()
            sure = best[1] or 2 * most <= total or (tells and _fit_thousands(best[0]))
            if common > most + (0 if sure else clear):
                told = [f"the unit {unit} is left out"] * bool(unit) + [how] * bool(how)
                most, best = common, (found, ", ".join(told))
    return best


def _notations(bare: Mapping[str, str], *, comma: bool) -> Iterator[tuple[dict[str, float], str]]:
    """Texts that are numbers in each notation; only in notations that the texts tell, or ``comma`` does."""
    yield {text: float(number) for text, number in bare.items() if _PLAIN.fullmatch(number)}, ""
    commas = {text: number for text, number in bare.items() if _COMMA.fullmatch(number)}
    decimal_comma = (
        {text: float(n.replace(",", ".")) for text, n in commas.items()},
        "',' is taken for the decimal mark",
    )
    if comma and any("," in number for number in commas.values()):
        yield decimal_comma
    for group, decimal in ((",", "."), (" ", "."), ("'", "."), (".", ","), (" ", ",")):
        pattern, short = _GROUPED[group, decimal], _SHORT[decimal]
        if any(group in number and pattern.fullmatch(number) for number in bare.values()):
            found = {text: n for text, n in bare.items() if pattern.fullmatch(n) or short.fullmatch(n)}
            yield (
                {text: float(n.replace(group, "").replace(decimal, ".")) for text, n in found.items()},
                f"{quoted(group)} is taken for a mark between thousands",
            )
    # 1,500 alone may be either.
    if any("," in n and not re.fullmatch(r"[+-]?[1-9]\d*,\d{3}", n) for n in commas.values()):
        yield decimal_comma


def _unit(text: str) -> tuple[str, str]:
    """The unit of a text, such as $ or %, and the rest in plain characters."""
    text = text.strip().translate(_CHARACTERS)
    unit = "".join(_UNIT.findall(text))
    if len(unit) != 1:
        return "", text
    sign, rest = (text[0], text[1:].strip()) if text[0] in "+-" else ("", text)
    if rest.startswith(unit) or rest.endswith(unit):
        return unit, sign + rest.strip(unit).strip()
    return "", text


def _float(number: object) -> float:
    try:
        return float(number)  # type: ignore[arg-type]
    except OverflowError:
        return float("inf")


_UNIT = re.compile("[%‰$€£¥°]")
_TRUTH = ("true", "false")
_CHARACTERS = str.maketrans({"−": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'"})  # As in 1 500.
_PLAIN = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|inf(inity)?)", re.IGNORECASE)
_COMMA = re.compile(r"[+-]?([0-9]+,?[0-9]*|,[0-9]+)([eE][+-]?[0-9]+)?")
_GROUPED = {
    (group, decimal): re.compile(rf"[+-]?[1-9][0-9]{{0,2}}({re.escape(group)}[0-9]{{3}})+({re.escape(decimal)}[0-9]+)?")
    for group in ",. '"
    for decimal in ",."
    if group != decimal
}
_CLEAR = {mark: re.compile(rf"[+-]?([0-9]+[{mark}]([0-9]{{1,2}}|[0-9]{{4,}})|0[{mark}][0-9]+)") for mark in ".,"}
_THREE = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
_BELOW_1000 = re.compile(r"[+-]?(0|[1-9][0-9]{0,2})")
_SHORT = {decimal: re.compile(rf"[+-]?[0-9]{{1,3}}({re.escape(decimal)}[0-9]+)?") for decimal in ",."}
_DAY = re.compile(r"(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")
_LEADING = re.compile(r"0[0-9]")
