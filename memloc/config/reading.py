"""What must be looked at in the files themselves, and where results go."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from memloc.config.entries import active
from memloc.config.schemas import Config
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


def check_design(results: Path, config: Config) -> None:
    """Raise an InputError where splits of a dataset were made by another design than the configuration asks for.

    All that was computed from them would be replaced.
    """
    for name, dataset in config["datasets"].items():
        halves = "pool" in dataset.get("split", {})
        for path in sorted((results / "splits" / name).glob("seed*/indices.npz"))[:1] if "split" in dataset else ():
            try:
                shared = ZipFile(path).getinfo("shared.npy").file_size
            except (OSError, BadZipFile, KeyError):
                return
            if halves != (shared <= HEADER):
                there, asked = (
                    ("the four groups", "halves of a pool") if halves else ("halves of a pool", "four groups")
                )
                raise InputError(
                    f"{path}: results here are of {there}, but datasets.{name}.split asks for {asked}, which would "
                    "replace them; choose another --directory, or move results/ away"
                )


HEADER = 128
"""Bytes of an array of numbers in a file that holds none."""


def notes(config: Config) -> list[str]:
    """What the configuration says that can't be had as it says it, and what is done instead; a line each."""
    found = []
    for name, experiment in active(config).items():
        first = experiment.get("first_seeds", 0)
        few = {e: len(config["encoders"][e]["seeds"]) for e in experiment.get("encoders", ()) if first}
        found += [
            f"experiments.{name}.first_seeds: {first}, but {encoder} has {number} seeds; all of them take part"
            for encoder, number in few.items()
            if number < first
        ]
    return found


def check_folder(results: Path) -> None:
    """Raise an InputError unless results can be written there."""
    place = results if results.exists() else results.absolute().parent
    if not place.is_dir():
        raise InputError(f"{place.absolute()}: not a folder, so results can't be written; move it away")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{place.absolute()}: can't be written; free it, or run with --directory elsewhere")
