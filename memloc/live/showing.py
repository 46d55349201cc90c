"""What is shown while ``memloc.score`` and ``memloc.value`` work: the commands' lines and bars."""

from __future__ import annotations

import html
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from memloc.errors import InputError, show
from memloc.job import OneLine, log


@contextmanager
def saying(quiet: bool) -> Iterator[None]:
    """Show the log's lines on stderr, as commands do, or where the caller has them go; errors speak of arguments."""
    handler, level = logging.StreamHandler(sys.stderr), log.level
    handler.setFormatter(OneLine("memloc: %(message)s"))
    own = not (quiet or log.handlers)
    if own:
        log.addHandler(handler)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    except InputError as error:
        raise InputError(in_python(str(error))) from error.__cause__
    finally:
        log.setLevel(level)
        if own:
            log.removeHandler(handler)


def in_python(line: str) -> str:
    """A line about options as one about arguments: ``--weights-key KEY`` is ``weights_key=``."""
    return re.sub(r"(?<![\w-])--([a-z][a-z-]*)", lambda found: f"{found[1].replace('-', '_')}=", line)


def placed(page: Path, path: str | os.PathLike[str]) -> Path:
    """Copy a page to where it is wanted.

    Raises:
        InputError: nothing can be written there.
    """
    wanted = Path(path)
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, wanted)
    except OSError as error:
        raise InputError(f"page: {show(wanted)}: can't be written ({error.strerror}); name another file") from error
    return wanted


def say_all(lines: Sequence[str]) -> list[str]:
    """Show lines, and hand them on."""
    told = [in_python(line) for line in lines]
    for line in told:
        log.info("%s", line)
    return told


def shown_in_notebook(verdict: Sequence[str], picture: str, taken: Sequence[str]) -> str:
    """HTML of a result: the answer, a picture (HTML), and what was taken, folded."""
    headline, *more = map(html.escape, verdict)
    numbers = "".join(f"<p>{line}</p>" for line in more)
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in taken)
    return (
        f"<p><strong>{headline}</strong></p>{numbers}{picture}"
        f"<details><summary>what was taken</summary><ul>{lines}</ul></details>"
    )
