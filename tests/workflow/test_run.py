"""The whole workflow, run for real at the smallest scale, and disturbed."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from tests.workflow.running import ROOT, SMOKE, command, environment, job_counts, kill_in_training, snakemake

KINDS = tuple(yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"])


# Of every kind of job that computes, one.
OF_ONE_SEED = (
    "encoders/simclr/g/seed0/training.csv",
    "measures/simclr/untrained/seed0.npz",
    "scores/simclr/seed0/points.parquet",
    "scores/simclr/f/seed0/units.parquet",
    "values/valued_atypicality/simclr/seed0.npz",
    "outcomes/finetuning/simclr/f/seed0.npz",
    "outcomes/pruning/simclr/f/seed0.npz",
    "figures/cell_outliers.csv",
    "figures/cell_outliers.pdf",
)


def test_results_stand_where_the_readme_says(finished: Path) -> None:
    results = finished / "results"
    for name in KINDS:
        assert (results / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (results / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert len((results / f"figures/{name}.csv").read_text().splitlines()) > 1
    encoder = results / "encoders/simclr/f/seed0"
    kept = {"weights.safetensors", "additions.safetensors", "snapshots.safetensors", "recipe.json", "training.csv"}
    assert {path.name for path in encoder.iterdir()} == kept
    assert (results / "scores/simclr/seed0/points.parquet").exists()
    assert (results / "scores/supervised/f/seed1/units.parquet").exists()
    assert len(list((results / "logs").rglob("*.log"))) == len(list((results / "benchmarks").rglob("*.tsv"))) > 40


def test_every_claim_has_an_interval_and_a_verdict_that_follows_from_it(finished: Path) -> None:
    with open(finished / "results/claims.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["experiment"] for row in rows} == set(KINDS)
    for row in rows:
        low, effect, high = (float(row[name]) for name in ("low", "effect", "high"))
        assert low <= high
        told = not row["p"] or float(row["p"]) <= 0.05
        expected = "supported" if told and low > 0 else "refuted" if told and high < 0 else "inconclusive"
        # An effect that is surely smaller than any of interest is negligible whatever its sign.
        small = -float(row["least"]) < effect < float(row["least"])
        assert row["verdict"] in ({expected, "negligible"} if small else {expected}), row
        assert int(row["seeds"]) == 2
        # All but a share over chance are bounded.
        assert abs(effect) <= 1 or "lift" in row["claim"]


def test_images_that_are_repeated_are_told(finished: Path) -> None:
    results = finished / "results"
    # Of a half of 18 images two stand twice and two four times in an epoch.
    recipe = json.loads((results / "encoders/dosed/g/seed0/recipe.json").read_text())
    assert (recipe["images"], recipe["presentations"]) == (18, 26)
    with np.load(results / "measures/dosed/f/seed0.npz") as measures:
        assert np.bincount(measures["doses"]).tolist() == [0, 52, 4, 0, 4]
    with np.load(results / "outcomes/losses/dosed/g/seed0.npz") as losses:
        assert losses["losses"].shape == (3, 2) and (losses["losses"] > 0).all()


def test_the_report_is_one_page_that_needs_nothing_else(finished: Path) -> None:
    page = (finished / "results/report/index.html").read_text()
    assert len(re.findall(r'src="data:image/(?:png|svg\+xml);base64,', page)) == len(KINDS)
    assert not re.search(r"""src=["'](?!data:)""", page)
    beside = [path for path in re.findall(r"""href=["']([^"']*)""", page) if not path.startswith("#")]
    assert len(beside) == 3 * len(KINDS)
    assert all((finished / "results/report" / path).is_file() for path in beside)
    assert "supported" in page


def test_snakemakes_own_report_works_with_captions(finished: Path) -> None:
    done = snakemake(finished, *SMOKE, "--report", "report.html")
    assert done.returncode == 0, done.stderr[-2000:]
    page = (finished / "report.html").read_text()
    assert "Figures" in page
    assert "seen by neither" in page


def test_a_second_run_has_nothing_to_do(finished: Path) -> None:
    done = snakemake(finished, *SMOKE)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_touching_data_and_editing_comments_re_runs_nothing(finished: Path) -> None:
    for path in (finished / "data/fashion-mnist-12k").iterdir():
        path.touch()
    for name in ("memloc/metrics/units.py", "memloc/training/loop.py", "scripts/train_encoder.py", "rules/train.smk"):
        path = finished / name
        path.write_text(path.read_text() + "\n# A comment.\n")
    done = snakemake(finished, *SMOKE, "--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr, done.stdout[-2000:]


def test_editing_a_metric_re_runs_scores_and_figures_but_no_training(finished: Path) -> None:
    path = finished / "memloc/metrics/units.py"
    text = path.read_text()
    try:
        path.write_text(text + "\nCHANGED = True\n")
        done = snakemake(finished, *SMOKE, "--dry-run")
    finally:
        path.write_text(text)
    counts = job_counts(done.stdout + done.stderr)
    assert {"score_units_of_pair", "analyse_experiment", "draw_figure", "build_report"} <= set(counts)
    assert not {"prepare_dataset", "make_splits", "train_pair", "measure_pair"} & set(counts)


def test_editing_how_a_figure_looks_re_runs_drawing_only(finished: Path) -> None:
    path = finished / "memloc/analysis/plotting.py"
    text = path.read_text()
    try:
        assert "TEXT = 7.5" in text
        path.write_text(text.replace("TEXT = 7.5", "TEXT = 8"))
        done = snakemake(finished, *SMOKE, "--dry-run")
    finally:
        path.write_text(text)
    counts = job_counts(done.stdout + done.stderr)
    assert counts["draw_figure"] == len(KINDS)
    assert not {"train_pair", "measure_pair", "score_units_of_pair", "score_points"} & set(counts)


def kill_after(seconds: float, folder: Path, *arguments: str) -> None:
    """Start a run and kill -9 snakemake some time later."""
    with subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(seconds)
        process.kill()


def test_a_killed_run_goes_on_alone_and_ends_in_the_same_files(finished: Path, copy: Callable[[str], Path]) -> None:
    folder = copy("killed")
    arguments = (*SMOKE, "--", *(f"results/{name}" for name in OF_ONE_SEED))
    kill_in_training(folder, *arguments)
    for seconds in np.random.default_rng(0).uniform(3, 12, size=2):
        kill_after(seconds, folder, *arguments)
    done = snakemake(folder, *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert not list(folder.glob("results/encoders/*/*/*/resume-*"))
    for name in OF_ONE_SEED:
        assert (folder / "results" / name).read_bytes() == (finished / "results" / name).read_bytes(), name
    assert not list((folder / "results").rglob(".*.memloc-*"))  # Nothing half written is left.


def test_results_that_cannot_be_written_are_one_line(copy: Callable[[str], Path]) -> None:
    folder = copy("unwritable")
    (folder / "results").write_text("a file, not a folder")
    done = snakemake(folder, *SMOKE, "--", "splits")
    assert done.returncode == 1
    assert "can't be written" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_altered_data_stops_the_job_with_one_line_and_leaves_nothing(copy: Callable[[str], Path]) -> None:
    folder = copy("altered")
    path = folder / "data/fashion-mnist-12k/train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    done = snakemake(folder, *SMOKE, "--", "results/data/fashion/dataset.json")
    output = done.stdout + done.stderr
    assert done.returncode == 1
    assert "train-images-idx3-ubyte.gz: altered or truncated" in output
    assert "Traceback" not in output
    assert not list((folder / "results/data").rglob("*.npy"))


def test_a_loss_that_diverges_stops_the_job_and_keeps_the_last_good_checkpoint(copy: Callable[[str], Path]) -> None:
    folder = copy("diverging")
    recipe = "{optimizer: adam, clip: null, learning_rate: 1.0e+30, warmup_epochs: 2}"
    (folder / "my.yaml").write_text(f"encoders: {{simclr: {{recipe: {recipe}}}}}\n")
    target = "results/encoders/simclr/f/seed0/weights.safetensors"
    done = snakemake(folder, *SMOKE, "my.yaml", "--", target)
    output = done.stdout + done.stderr
    assert done.returncode == 1
    assert "learning_rate 1e+30 (or weight_decay" in output
    assert "Traceback" not in output
    assert not (folder / target).exists()
