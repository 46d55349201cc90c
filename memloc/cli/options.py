"""Options that commands have in common."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

CORES = os.cpu_count() or 1

EXITS = """
exit status: 0 done, 1 bad input or a failure (one line says what to do), 2 wrong usage, 130 interrupted
"""
"""What every --help ends with."""


def add_out(where: argparse._ArgumentGroup, what: str, *, record: str) -> None:
    """Where a command writes."""
    where.add_argument("--out", required=True, type=Path, metavar="DIR", help=what)
    where.add_argument(
        "--replace",
        action="store_true",
        help="replace a result of other settings or input in that folder, which is refused otherwise: the files that"
        f" its {record} lists, and no others; one that was changed since is never replaced",
    )


def add_messages(running: argparse._ArgumentGroup) -> None:
    """What a command shows meanwhile."""
    running.add_argument("--quiet", action="store_true", help="no progress bar")
    running.add_argument("--traceback", action="store_true", help="show where an unforeseen error comes from")
