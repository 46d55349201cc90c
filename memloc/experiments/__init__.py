"""Experiments by kind. Each is an entry in ``registry`` and a module here of the same name with three things:

- ``CLAIMS``: what the paper says, by id, written down before any result.
- ``analyse(inputs, options)``: score files to the figure's table and an estimate for every claim.
- ``draw(table, images)``: that table to a figure.

The entry holds what the workflow must know to plan: it is imported without pandas, matplotlib or torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

from memloc.experiments.registry import basics, comparisons, conditions, tasks, units, valuation, witnesses
from memloc.experiments.registry.entry import POINTS, Experiment

__all__ = ["EXPERIMENTS", "POINTS", "Experiment", "as_list", "module"]

EXPERIMENTS: dict[str, Experiment] = {
    **basics.ENTRIES,
    **units.ENTRIES,
    **tasks.ENTRIES,
    **comparisons.ENTRIES,
    **witnesses.ENTRIES,
    **conditions.ENTRIES,
    **valuation.ENTRIES,
}
"""Every experiment by kind, in the order of figures and report."""


def module(kind: str) -> ModuleType:
    """The module of an experiment.

    Raises:
        KeyError: ``kind`` is not a key of EXPERIMENTS; nothing else is ever imported.
    """
    EXPERIMENTS[kind]
    return importlib.import_module(f"memloc.experiments.{kind}.analysis")


def as_list(files: str | Sequence[str]) -> list[str]:
    """The files of a named input, which Snakemake hands over as a bare string where there is one."""
    return [files] if isinstance(files, str) else list(files)
