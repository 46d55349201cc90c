"""Public datasets' files, fetched and verified."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from memloc import io
from memloc.data.raw_files import absent, advice
from memloc.data.sources import SOURCES
from memloc.errors import InputError

TIMEOUT = 60
"""Seconds that a server may be silent."""


class Fetched(TypedDict):
    """A source and the names of its files."""

    source: str
    files: list[str]


def fetch(source: str) -> Fetched:
    """Fetch those files of a source that its own folder lacks.

    Raises:
        InputError: one can't be fetched; the message says which file from which address to put where.
    """
    entry = SOURCES[source]
    assert entry.folder is not None
    for name in absent(entry, entry.folder):
        fetch_file(source, name, entry.folder)
    return {"source": source, "files": [file.name for file in entry.files]}


def fetch_file(source: str, name: str, folder: str | Path) -> None:
    """Fetch one file of a source into a folder, where it appears complete and verified or not at all.

    Raises:
        KeyError: the source has no such file.
        InputError: it can't be fetched; the message says which file from which address to put where.
    """
    entry, folder, reason = SOURCES[source], Path(folder), ""
    file = {file.name: file for file in entry.files}[name]
    if not file.addresses:
        raise InputError(advice(entry, name, folder, "missing"))
    from torchvision.datasets.utils import download_url

    with _timeout(TIMEOUT):
        for address in file.addresses:
            try:
                with io.atomic(folder / name) as temporary:
                    download_url(address, temporary.parent, temporary.name, file.md5)
                return
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                reason = "the MD5 sum differs" if isinstance(error, RuntimeError) else " ".join(str(error).split())
    raise InputError(advice(entry, name, folder, f"can't be fetched ({reason})"))


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
