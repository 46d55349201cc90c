"""The worked example of CONTRIBUTING.md: an experiment is added by its folder and a line of configuration."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflow.running import ROOT, SMOKE, job_counts, snakemake


def blocks() -> dict[str, str]:
    """The files that CONTRIBUTING.md shows, by the path in their first line."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    found = re.findall(r"```(?:python|yaml|markdown)\n(?:# |<!-- )([\w./]+)(?: -->)?\n(.*?)```", text, re.S)
    return dict(found)


@pytest.fixture
def added(finished: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "memloc"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(".lock"))
    for path, text in blocks().items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_the_example_runs_and_no_other_job_is_done_again(added: Path) -> None:
    name = next(iter(yaml.safe_load(blocks()["mine.yaml"])["experiments"]))
    done = snakemake(added, *SMOKE, "mine.yaml", "--", f"results/figures/{name}.png", f"results/claims/{name}.csv")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert job_counts(done.stdout + done.stderr) == {"analyse_experiment": 1, "draw_figure": 1}
    with open(added / f"results/claims/{name}.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["claim"] == f"{name}.above" and row["verdict"] in ("supported", "refuted", "inconclusive")


def test_the_example_passes_its_own_test_the_tests_of_every_kind_and_the_linter(added: Path) -> None:
    (name,) = yaml.safe_load(blocks()["mine.yaml"])["experiments"]
    tests = [f"tests/experiments/test_{name}.py", "tests/experiments/test_every_kind.py", "-k", f"{name} or planted"]
    environment = {**os.environ, "PYTHONPATH": str(added)}
    for command in (
        ["pytest", "-q", "-p", "no:cacheprovider", *tests],
        ["ruff", "check", "--no-cache", *[path for path in blocks() if path.endswith(".py")]],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=added, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_a_misspelt_option_of_the_example_is_refused(added: Path) -> None:
    text = (added / "mine.yaml").read_text().replace("quantile:", "quantil:")
    (added / "mine.yaml").write_text(text)
    done = snakemake(added, *SMOKE, "mine.yaml", "--dry-run")
    assert done.returncode == 1 and "quantil: unknown key; did you mean quantile?" in done.stderr
