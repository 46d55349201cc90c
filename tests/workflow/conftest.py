"""Copies of the repository, fresh and with results."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflow.running import LEFT_OUT, ROOT, SMOKE, snakemake


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a fresh copy of the repository without its results."""

    def make(name: str) -> Path:
        target = tmp_path_factory.mktemp(name) / "memloc"
        shutil.copytree(ROOT, target, ignore=LEFT_OUT)
        return target

    return make


@pytest.fixture(scope="session")
def finished(copy: Callable[[str], Path]) -> Path:
    """A copy in which the smoke configuration has run from raw images to the report."""
    folder = copy("finished")
    done = snakemake(folder, *SMOKE)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder
