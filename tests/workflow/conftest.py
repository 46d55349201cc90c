"""Running snakemake as a user does, in copies of the repository that tests may change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".snakemake", ".lock", "results", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"
)
SMOKE = ("--configfile", "config/smoke.yaml")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]


def environment() -> dict[str, str]:
    # Jobs run the python that `snakemake` finds on PATH; here it must be the one that runs the tests.
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment(), capture_output=True, text=True, timeout=900, check=False
    )


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
