"""Checking a configuration before any job starts. Imports neither torch nor pandas."""

from __future__ import annotations

import copy
from itertools import chain

from memloc.config import charts, datasets, encoders, experiments, keys
from memloc.config.entries import (
    TRAINING,
    active,
    complete,
    experiment_inputs,
    roles,
    runs,
    trained_as,
    training_sha256,
)
from memloc.config.reading import check_design, check_files, check_folder, lay_over, notes
from memloc.config.schemas import SCHEMA, Config, schema
from memloc.errors import InputError

__all__ = [
    "SCHEMA",
    "TRAINING",
    "Config",
    "active",
    "check",
    "check_design",
    "check_files",
    "check_folder",
    "complete",
    "experiment_inputs",
    "lay_over",
    "notes",
    "roles",
    "runs",
    "schema",
    "trained_as",
    "training_sha256",
]


def check(config: Config) -> None:
    """Raise an InputError for the first thing that is wrong: schema first, then what keys say about one another."""
    for message in keys.faults(config):
        raise InputError(message)
    whole = copy.deepcopy(dict(config))
    complete(whole)
    # One after the other: each relies on what the one before has checked.
    for message in chain.from_iterable(part.faults(whole) for part in (datasets, encoders, charts, experiments)):
        raise InputError(message)
