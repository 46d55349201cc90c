"""Folders of results: a command that writes some texts, and what kills it at each of its steps."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from memloc.output import Output

NAMES = ("a.txt", "b.txt", "c.txt")
STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
"""What Python tells its audit hooks of before it does it."""


def output(folder: Path, *, replace: bool = True) -> Output:
    return Output(folder, "memloc test", "about.json", NAMES, parts="part", replace=replace)


@contextmanager
def half_done(folder: Path, identity: str, *, share: str | None = None) -> Iterator[Path | None]:
    """A run that has done a part of its work."""
    with output(folder).writing(identity, share=share) as work:
        if work is not None:
            (work / "part").write_text("half")
        yield work


def write(folder: Path, identity: str, **texts: str) -> bool:
    """Write a text for each name; whether there was anything to do."""
    with half_done(folder, identity) as work:
        if work is None:
            return False
        staged = output(folder).staged(work)
        for name, text in texts.items():
            (staged / f"{name}.txt").write_text(text)
        output(folder).publish(work, {"about": texts})
    return True


def kill_at_every_step(folder: Path, act: Callable[[Path], object]) -> int:
    """Act in folders 1, 2, ..., and be killed before the 1st, 2nd, ... step; the number of the first that wasn't."""
    for limit in range(1, 1000):
        child = os.fork()
        if not child:
            out, steps = folder / str(limit), 0

            def hook(event: str, arguments: tuple[object, ...], out: Path = out, limit: int = limit) -> None:
                nonlocal steps
                if event in STEPS and str(out) in str(arguments[0]):
                    steps += 1
                    if steps == limit:
                        os.kill(os.getpid(), signal.SIGKILL)

            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.addaudithook(hook)
            status = 1
            try:
                act(out)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert not os.WEXITSTATUS(status), "failed instead of being killed"
            return limit
    raise AssertionError("no end")
