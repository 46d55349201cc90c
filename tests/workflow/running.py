"""Running snakemake as a user does, in copies of the repository that tests may change."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from itertools import takewhile
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml
from snakemake.utils import update_config

from memloc import config
from memloc.experiments import EXPERIMENTS
from memloc.experiments.entry import OVER_TABLES

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


def wait_for_a_checkpoint(folder: Path, process: subprocess.Popen[Any]) -> None:
    """Wait until a training of a run has written its first checkpoint."""
    deadline = time.monotonic() + 300
    while not list(folder.glob("results/encoders/*/*/*/resume-*.safetensors")):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def kill_in_training(folder: Path, *arguments: str) -> None:
    """Start a run and kill -9 snakemake as soon as a training has written its first checkpoint."""
    with subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_for_a_checkpoint(folder, process)
        process.kill()


def jobs_of_experiments(*files: str) -> dict[str, int]:
    """Jobs that the entries of experiments make of the configuration in these files, merged over config.yaml."""
    whole: dict[str, Any] = {}
    for name in ("config.yaml", *files):
        update_config(whole, yaml.safe_load((ROOT / name).read_text()))
    config.complete(whole)
    experiments = config.active(whole)
    counts = Counter({"analyse_experiment": len(experiments), "draw_figure": len(experiments)})
    for name, experiment in experiments.items():
        entry, runs = EXPERIMENTS[experiment["kind"]], len(config.runs(whole, name))
        if entry.over == OVER_TABLES:
            counts["run_trial"] += runs
        elif entry.job:
            inputs = config.experiment_inputs(whole, name).values()
            outcomes = {path for paths in inputs for path in paths if path.startswith("outcomes/")}
            counts[f"run_experiment_{experiment['kind']}"] += len(outcomes)
    return dict(counts)


def rule_texts(path: Path) -> dict[str, str]:
    """The rules of a file by name. One that stands in a loop, and is named there, goes by the name of its script."""
    texts = {}
    blocks = re.split(r"(?m)^(?= *rule(?: \w+)?:$)", path.read_text())[1:]
    for block in blocks:
        deeper = " " * (len(block) - len(block.lstrip(" ")) + 1)
        first, *lines = block.splitlines()
        own = [first, *takewhile(partial(re.match, rf"{deeper}|$"), lines)]
        text = dedent("\n".join(own)) + "\n"
        name = re.match(r"rule (\w+):", text) or re.search(r"scripts/(\w+)\.py", text)
        if name:
            texts[name[1]] = text
    return texts


def job_counts(output: str) -> dict[str, int]:
    """Jobs by rule, from what snakemake says it would run."""
    table = output.split("Job stats:")[-1]
    return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE) if name != "total"}
