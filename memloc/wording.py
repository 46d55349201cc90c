"""How messages name a key and what it may be instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
