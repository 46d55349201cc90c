"""What can be known of the workflow without running it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT, SMOKE, job_counts, snakemake

RULES = sorted((ROOT / "rules").glob("*.smk"))
DEFAULT_JOBS = {
    "prepare_dataset": 2,
    "make_splits": 3,
    # simclr f, g and untrained, supervised f and untrained; three seeds each.
    "train_encoder": 15,
    "measure": 15,
    "score_points": 3,
    # f and untrained of both.
    "score_units": 12,
    "prune_units": 3,
    "finetune_layers": 3,
    "analyse_experiment": 6,
    "draw_figure": 6,
    "collect_claims": 1,
    "build_report": 1,
    "all": 1,
}


def test_default_configuration_plans_exactly_the_expected_jobs(tmp_path: Path) -> None:
    done = snakemake(ROOT, "--dry-run", "--directory", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert job_counts(done.stdout + done.stderr) == DEFAULT_JOBS


def test_an_experiment_switched_off_takes_its_jobs_with_it(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("experiments: {pruning: null, finetuning: null, ssl_vs_supervised: null}\n")
    done = snakemake(ROOT, "--dry-run", "--directory", str(tmp_path), "--configfile", str(tmp_path / "my.yaml"))
    counts = job_counts(done.stdout + done.stderr)
    assert counts["train_encoder"] == 9
    assert "prune_units" not in counts
    assert "finetune_layers" not in counts
    assert counts["draw_figure"] == 3


def test_lint_is_clean(tmp_path: Path) -> None:
    done = snakemake(ROOT, "--lint", "--directory", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_rule_that_runs_a_script_says_everything_about_it(path: Path) -> None:
    rules = re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]
    for rule in rules:
        name = rule.split(":")[0]
        if "script:" not in rule:
            continue
        wanted = ["input", "output", "log", "benchmark", "conda", "threads", "resources", "params", "message"]
        if name == "get_dataset":
            wanted.remove("input")  # It gets what everything else is made from.
        lacking = [word for word in wanted if not re.search(rf"^    {word}:", rule, re.MULTILINE)]
        assert not lacking, f"{name} lacks {lacking}"
        assert f'"../scripts/{name}.py"' in rule
        assert "code=" in rule or name == "get_dataset", f"{name} would not re-run when its library code changes"
        assert (ROOT / "scripts" / f"{name}.py").exists()
        assert re.match(r'\w+:\n    """', rule), f"{name} has no docstring"


def test_no_rule_file_runs_code_of_its_own() -> None:
    for path in RULES:
        assert not re.search(r"^    (run|shell):", path.read_text(), re.MULTILINE), path


def test_planning_imports_neither_torch_nor_pandas() -> None:
    code = (
        "import sys; from memloc import config, datasets, experiments, provenance; "
        "print([m for m in ('torch', 'lightly', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_after_measuring_does_without_torch() -> None:
    code = (
        "import sys; from memloc import claims, experiments, plotting, report, scores; "
        "[experiments.module(kind) for kind in experiments.EXPERIMENTS]; "
        "print([m for m in ('torch', 'torchvision', 'lightly') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_bad_configuration_stops_before_any_job_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("encoders: {simclr: {recipe: {epochz: 3}}}\n")
    done = snakemake(ROOT, "--directory", str(tmp_path), *SMOKE, str(tmp_path / "bad.yaml"))
    assert done.returncode == 1
    assert "encoders.simclr.recipe.epochz: unknown key; did you mean epochs?" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "results").exists()
