"""How messages name a key and what it may be instead, and how numbers are written."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from decimal import Decimal


def dot(path: str, key: object) -> str:
    """A key below a path."""
    return f"{path}.{key}" if path else str(key)


def meant(key: str, known: Iterable[str]) -> str:
    """What a wrong key may have been meant to be, to go behind it."""
    known = list(known)
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known) or 'none'}"


def none_of(value: str, known: Iterable[str]) -> str:
    """That a value is none of those known."""
    return f"{value!r} is none of {', '.join(known) or 'none, for there is none'}"


def number(value: float, digits: int = 3) -> str:
    """A number of so many significant digits, never in scientific notation, with a true minus sign."""
    # What rounding leaves of nothing is nothing.
    value = 0.0 if abs(value) < 1e-12 else value
    return f"{Decimal(f'{value:.{digits}g}'):f}".replace("-", "\N{MINUS SIGN}")
