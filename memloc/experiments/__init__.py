"""Experiments by kind. Each is a folder here of the same name:

- ``entry.py``: ``ENTRY``, what the workflow must know to plan. It imports the standard library alone.
- ``job.py``, where the experiment computes with a network or runs trials: ``run``, one job's outcomes.
- ``analysis.py``: ``CLAIMS``, written before any result; ``analyse(sheet)``, from scores and outcomes to the rows of
  the figure's table and a finding for every claim; ``draw(table, images)``, from that table to a figure.
- ``caption.md``: what the figure shows, for a reader who sees nothing else.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from memloc.experiments.entry import POINTS, Experiment

__all__ = ["EXPERIMENTS", "POINTS", "Experiment", "as_list", "caption", "module"]

_HERE = Path(__file__).parent


def _discover() -> dict[str, Experiment]:
    kinds = [path.parent.name for path in _HERE.glob("*/entry.py")]
    entries = {kind: importlib.import_module(f"memloc.experiments.{kind}.entry").ENTRY for kind in kinds}
    return dict(sorted(entries.items(), key=lambda item: (item[1].order, item[0])))


EXPERIMENTS: dict[str, Experiment] = _discover()
"""Every experiment by kind, in the order of figures and report."""


def module(kind: str, part: str = "analysis") -> ModuleType:
    """A part of an experiment: analysis or job.

    Raises:
        KeyError: ``kind`` is not a key of EXPERIMENTS; nothing else is ever imported.
    """
    EXPERIMENTS[kind]
    if part == "job":
        return importlib.import_module(f"memloc.experiments.{kind}.job")
    return importlib.import_module(f"memloc.experiments.{kind}.analysis")


def caption(kind: str) -> str:
    """What an experiment's figure shows, on one line."""
    EXPERIMENTS[kind]
    return " ".join((_HERE / kind / "caption.md").read_text(encoding="utf-8").split())


def as_list(files: str | Sequence[str]) -> list[str]:
    """The files of a named input, which Snakemake passes as a bare string where there is one."""
    return [files] if isinstance(files, str) else list(files)
