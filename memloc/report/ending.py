"""The last lines that a run leaves on the terminal. Imports the standard library alone."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from memloc.errors import InputError, one_line
from memloc.report import telling

LONGEST = 300
"""Characters of what a job's log said last."""


def after_success(page: str | Path, claims: str | Path, *, since: float) -> Iterator[str]:
    """Where to look and the headlines, if the report was made since a time; else nothing.

    A run that was asked for less than the report has nothing new to say of it.
    """
    page = Path(page)
    if not page.is_file() or page.stat().st_mtime < since:
        return
    try:
        yield from telling.ending(telling.read(claims), str(page))
    except InputError as error:
        yield one_line(str(error))


def after_failure(logs: Iterable[str | Path], words: Sequence[str]) -> Iterator[str]:
    """By failed job, its log and what that said last; then the line that goes on.

    Args:
        logs: Snakemake's own, which name the logs of failed jobs.
        words: what Snakemake was started with, its own name first.
    """
    found = [Path(log) for log in logs if Path(log).is_file()]
    text = "\n".join(log.read_text(encoding="utf-8", errors="replace") for log in found)
    failed = re.findall(r"^Error in rule (\w+):\n(?:[ ]+(?!log:).*\n)*?[ ]+log: (\S+)", text, flags=re.MULTILINE)
    for rule, path in dict.fromkeys(failed):
        said = _last_line(Path(path))
        yield f"{rule} failed. Its log: {path}{f' ({said})' if said else ''}"
    if not failed:
        yield f"a job failed. Snakemake's log: {', '.join(map(str, found)) or 'above'}"
    yield f"When that is put right, this goes on where it stopped: {line(words)}"


def _last_line(path: Path) -> str:
    """What a log said last of an error, or at all."""
    if not path.is_file():
        return ""
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.partition(" ERROR ")[2] for line in lines if " ERROR " in line]
    return one_line([*lines[-1:], *errors][-1])[:LONGEST] if lines else ""


def line(words: Sequence[str]) -> str:
    """A command as it can be typed again."""
    name = Path(words[0])
    started = [str(name)] if name.name == "snakemake" else [sys.executable, "-m", "snakemake"]
    return shlex.join([*started, *words[1:]])
