"""``memloc --print-completion``: what a shell sources to complete the command, by shtab, a script without Python."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")
FOLDERS, FILES = ("DIR",), ("ENCODER", "FILE", "MODEL", "PATH", "SOURCE")
"""Metavars of options that take folders, and files or folders."""


class Completion(argparse.Action):
    """Print the script and end, as --version does."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: object,
        values: str | Sequence[Any] | None,
        option: object = None,
    ) -> None:
        """Tell shtab which options take files, and print what it makes."""
        import shtab

        from memloc.cli.terminal import say

        for action in _actions(parser):
            if action.metavar in FOLDERS + FILES:
                action.complete = shtab.DIRECTORY if action.metavar in FOLDERS else shtab.FILE  # type: ignore[attr-defined]
        say(shtab.complete(parser, shell=str(values)))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
