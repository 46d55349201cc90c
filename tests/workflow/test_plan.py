"""What can be known of the workflow without running it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflow.running import ROOT, SMOKE, job_counts, jobs_of_experiments, rule_texts, snakemake

RULES = sorted((ROOT / "rules").glob("*.smk"))
STAGES = {
    "prepare_dataset": 3,
    # Ten pairs of simclr, whose halves supervised shares, and six of dosed.
    "make_splits": 16,
    # Pairs of simclr, six of dosed, four of supervised.
    "train_pair": 20,
    "measure_pair": 20,
    "score_points": 16,
    # Of the first and the last.
    "score_units_of_pair": 14,
    "value_points": 10,
    # Two tables and one of images, three seeds each.
    "make_table": 3,
    "collect_claims": 1,
    "build_report": 1,
    "all": 1,
}


def test_default_configuration_plans_exactly_the_expected_jobs(tmp_path: Path) -> None:
    done = snakemake(ROOT, "--dry-run", "--directory", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert job_counts(done.stdout + done.stderr) == STAGES | jobs_of_experiments()


def test_an_experiment_switched_off_takes_its_jobs_with_it(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("experiments: {pruning: null, finetuning: null, ssl_vs_supervised: null}\n")
    done = snakemake(ROOT, "--dry-run", "--directory", str(tmp_path), "--configfile", str(tmp_path / "my.yaml"))
    counts = job_counts(done.stdout + done.stderr)
    assert counts["train_pair"] == 16
    left = jobs_of_experiments()["draw_figure"] - 3
    assert not {"run_experiment_pruning", "run_experiment_finetuning"} & set(counts) and counts["draw_figure"] == left


def test_a_target_for_what_is_told_of_images(tmp_path: Path) -> None:
    """The control's images are swapped from those that are prepared, and nothing is trained that it has no use for."""
    configs = ("--configfile", "config/atypicality.yaml", "--directory", str(tmp_path))
    done = snakemake(ROOT, "--dry-run", *configs, "--", "atypicality")
    assert done.returncode == 0, done.stderr
    counts = job_counts(done.stdout + done.stderr)
    assert (counts["prepare_dataset"], counts["swap_patches"], counts["make_splits"]) == (1, 1, 13)
    # Ten pairs of simclr and three of its twin on swapped images.
    assert (counts["train_pair"], counts["value_points"], counts["draw_figure"]) == (13, 13, 3)
    assert "collect_claims" not in counts


def test_the_papers_tables_need_tables_and_claims_but_no_figures(tmp_path: Path) -> None:
    configs = ("--configfile", "config/groups.yaml", "--directory", str(tmp_path))
    done = snakemake(ROOT, "--dry-run", *configs, "--", "paper")
    assert done.returncode == 0, done.stderr
    counts = job_counts(done.stdout + done.stderr)
    assert (counts["analyse_experiment"], counts["collect_claims"], counts["build_paper"]) == (2, 1, 1)
    assert not {"draw_figure", "build_report"} & set(counts)


def test_valuation_runs_alone_and_trains_nothing(tmp_path: Path) -> None:
    done = snakemake(ROOT, "--dry-run", "--directory", str(tmp_path), "valuation")
    assert done.returncode == 0, done.stderr
    tabled = {"make_table": 3, "run_trial": 9, "analyse_experiment": 2, "draw_figure": 2, "valuation": 1}
    assert job_counts(done.stdout + done.stderr) == tabled


def test_a_dataset_is_a_table_too(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(
        "experiments: {backdoor: {tables: [fashion], classes: [0, 5]}, cell_outliers: null}\n"
    )
    done = snakemake(
        ROOT, "--dry-run", "--directory", str(tmp_path), "--configfile", str(tmp_path / "my.yaml"), "--", "valuation"
    )
    counts = job_counts(done.stdout + done.stderr)
    assert counts["prepare_dataset"] == 1 and counts["make_table"] == 1 and counts["run_trial"] == 3


ALIASES = """
encoders:
  fixed:
    framework: simclr
    architecture: resnet9
    dataset: fashion
    seeds: [0, 1, 2]
    split_seed: 7
    recipe: {epochs: 3, warmup_epochs: 1, batch_size: 12, optimizer: adam, learning_rate: 0.001, weight_decay: 0.0,
             augmentation: mild}
  pooled: {weights: fixed, seeds: [1], measure: {representation: pooled}}
  headed: {weights: fixed, seeds: [0, 1], measure: {sublayers: true}}
experiments:
"""


def test_an_encoder_measured_otherwise_is_not_trained_and_all_trainings_have_the_split_that_is_named(
    tmp_path: Path,
) -> None:
    experiments = yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"]
    chosen = dict.fromkeys(experiments) | {"layermem": {"encoders": ["pooled", "headed"]}}
    (tmp_path / "my.yaml").write_text(ALIASES + "".join(f"  {name}: {json.dumps(e)}\n" for name, e in chosen.items()))
    configs = (*SMOKE, str(tmp_path / "my.yaml"))
    done = snakemake(ROOT, "--detailed-summary", "--directory", str(tmp_path), *configs)
    assert done.returncode == 0, done.stderr
    planned = [line.split("\t")[0] for line in done.stdout.splitlines()]
    weights = {path for path in planned if path.endswith("weights.safetensors")}
    assert weights == {f"results/encoders/fixed/{r}/seed{s}/weights.safetensors" for r in "fg" for s in (0, 1)}
    measured = {path for path in planned if path.startswith("results/measures/")}
    seeds = {"pooled": [1], "headed": [0, 1]}
    assert measured == {f"results/measures/{e}/{r}/seed{s}.npz" for e in seeds for r in "fg" for s in seeds[e]}
    assert [path for path in planned if path.endswith("indices.npz")] == ["results/splits/fashion/seed7/indices.npz"]


def test_lint_is_clean(tmp_path: Path) -> None:
    done = snakemake(ROOT, "--lint", "--directory", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_rule_that_runs_a_script_says_everything_about_it(path: Path) -> None:
    for name, rule in rule_texts(path).items():
        if "script:" not in rule:
            continue
        wanted = ["input", "output", "log", "benchmark", "conda", "threads", "resources", "params", "message"]
        if name in ("get_dataset", "make_chart_suite"):
            wanted.remove("input")  # They get, or draw, what everything else is made from.
        lacking = [word for word in wanted if not re.search(rf"^    {word}:", rule, re.MULTILINE)]
        assert not lacking, f"{name} lacks {lacking}"
        assert f'"../scripts/{name}.py"' in rule
        assert "code=" in rule or name == "get_dataset", f"{name} would not re-run when its library code changes"
        assert (ROOT / "scripts" / f"{name}.py").exists()
        assert re.match(r'rule[ \w]*:\n    """', rule), f"{name} has no docstring"


def test_no_rule_file_runs_code_of_its_own() -> None:
    for path in RULES:
        assert not re.search(r"^    (run|shell):", path.read_text(), re.MULTILINE), path


def test_planning_imports_neither_numpy_nor_torch() -> None:
    code = (
        "import sys; from memloc import config, experiments, provenance; from memloc.data import sources; "
        "from memloc.paper import exhibits; "
        "print([m for m in ('torch', 'lightly', 'numpy', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_after_measuring_does_without_torch() -> None:
    code = (
        "import sys; from memloc import experiments; from memloc.analysis import sheet; "
        "from memloc.paper import page; from memloc.report import page; "
        "from memloc.measuring import points, units; [experiments.module(kind) for kind in experiments.EXPERIMENTS]; "
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
