"""What must be looked at in the files themselves, and where results go."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memloc.errors import InputError
from memloc.plain_yaml import load_plain
from memloc.wording import meant


def check_files(paths: Iterable[Path]) -> list[dict[Any, Any]]:
    """The mappings in the configuration's files, in their order.

    Once Snakemake has merged the files, what stands twice and a null that leaves out nothing can't be seen any more.

    Raises:
        InputError: see ``load_plain``; or a null leaves out nothing.
    """
    contents = {path: load_plain(path) for path in paths}
    known: dict[str, set[str]] = {part: set() for part in ("datasets", "encoders", "experiments")}
    nulls = []
    for path, content in contents.items():
        for part, names in known.items():
            entries = content.get(part)
            for name, value in entries.items() if isinstance(entries, dict) else ():
                if value is None:
                    nulls.append((path, part, str(name)))
                else:
                    names.add(str(name))
    for path, part, name in nulls:
        if name not in known[part]:
            raise InputError(f"{path}: {part}.{name}: null leaves out nothing{meant(name, known[part])}")
    return list(contents.values())


def lay_over(base: dict[Any, Any], config: dict[Any, Any]) -> None:
    """Complete a configuration, in place, by what it leaves out of the one below it: mappings merge, others replace."""
    for key, below in base.items():
        above = config.setdefault(key, below)
        if isinstance(above, dict) and isinstance(below, dict):
            lay_over(below, above)


def check_folder(results: Path) -> None:
    """Raise an InputError unless results can be written there."""
    place = results if results.exists() else results.absolute().parent
    if not place.is_dir():
        raise InputError(f"{place.absolute()}: not a folder, so results can't be written; move it away")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{place.absolute()}: can't be written; free it, or run with --directory elsewhere")
