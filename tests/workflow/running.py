"""Running snakemake as a user does, in copies of the repository that tests may change."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".snakemake", ".lock", "results", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"
)
SMOKE = ("--configfile", "config/smoke.yaml")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]


def environment() -> dict[str, str]:
    # Jobs run the python that `snakemake` finds on PATH; here it must be the one that runs the tests.
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment(), capture_output=True, text=True, timeout=900, check=False
    )


def job_counts(output: str) -> dict[str, int]:
    """Jobs by rule, from what snakemake says it would run."""
    table = output.split("Job stats:")[-1]
    return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE) if name != "total"}
