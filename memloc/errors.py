"""The one exception a user is meant to see, and two conditions of a machine that libraries tell in many ways."""

from __future__ import annotations

import errno
import unicodedata
from collections.abc import Iterable

AGAIN = "delete it and run snakemake again"
"""What to do about a result that is damaged, out of date or another's."""


class InputError(ValueError):
    """Something a user handed in can't be used. The message is one line: the key, the value, what to do."""


def show(name: object) -> str:
    """A name as one printable line: names of files and classes can hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def twins(texts: Iterable[str]) -> list[list[str]]:
    """Texts that differ in case, blanks or characters that nobody sees alone, each as one printable line.

    Those that look the same are told apart by their codes.
    """
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(as_seen(text), []).append(text)
    found = []
    for group in groups.values():
        if len(group) > 1:
            same = len({unicodedata.normalize("NFC", text) for text in group}) < len(group)
            found.append([text.encode("unicode_escape").decode() if same else show(text) for text in group])
    return found


def as_seen(text: str) -> str:
    """A text without what is seen of it no more than case, blanks and invisible characters are."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return " ".join(seen.split()).casefold()


def one_line(text: str) -> str:
    """A message as one printable line, its white space reduced to single blanks."""
    return show(" ".join(text.split()))


def disk_full(error: BaseException) -> bool:
    """Whether a disk, or somebody's share of it, is used up: that an error says so, or the one that it came of.

    Where a file can't be closed after the one, libraries tell of that instead.
    """
    told, before = str(error), error.__cause__ or error.__context__
    return (
        getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        or any(text in told for text in ("No space left", "quota exceeded"))
        or (before is not None and disk_full(before))
    )


def out_of_memory(error: BaseException | None) -> bool:
    """Whether memory, a device's included, is used up: that an error says so, or the one that it was raised from."""
    if error is None:
        return False
    if isinstance(error, InputError):  # Its own text may hold any name.
        return out_of_memory(error.__cause__)
    told = str(error.strerror if isinstance(error, OSError) and error.strerror else error).lower()
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or any(
            text in told
            for text in (
                *("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory"),
                *("failed to map", "unable to mmap", "bad_alloc"),
            )
        )
        or out_of_memory(error.__cause__)
    )


def lacking(error: ImportError, extra: str) -> str:
    """The line about a library that isn't installed, with the extra of memloc that brings it; "" for none."""
    library = (error.name or str(error)).partition(".")[0]
    package = f"'.[{extra}]'" if extra else "."
    return f"needs {library}, which isn't installed: pip install {package} in the clone of memloc"
