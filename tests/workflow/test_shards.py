"""Measures and values of points in several jobs: the jobs of the plan, and the bytes of one job."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tests.workflow.running import ROOT, SMOKE, job_counts, snakemake

KEPT = (
    "measures/simclr/f/seed0.npz",
    "measures/simclr/g/seed0.npz",
    "values/valued_atypicality/simclr/seed0.npz",
)


def test_parts_are_planned_only_where_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("shards: 3\n")
    configs = (*SMOKE, str(tmp_path / "my.yaml"))
    done = snakemake(ROOT, "--dry-run", "--directory", str(tmp_path), *configs)
    assert done.returncode == 0, done.stderr
    counts = job_counts(done.stdout + done.stderr)
    assert "measure" not in counts and "value_points" not in counts
    assert (counts["measure_part"], counts["gather_measures"]) == (48, 16)
    assert (counts["value_points_part"], counts["gather_values"]) == (6, 2)


def test_parts_are_joined_to_the_bytes_of_one_job(finished: Path, tmp_path: Path) -> None:
    """Of 72 images in batches of 25 three jobs have parts, of 20 learners in chunks of 16 two of them."""
    folder = tmp_path / "memloc"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(".lock"))
    (folder / "my.yaml").write_text("shards: 3\n")
    before = {path: (folder / "results" / path).read_bytes() for path in KEPT}
    for path in KEPT:
        (folder / "results" / path).unlink()
    done = snakemake(folder, *SMOKE, "my.yaml", "--", *(f"results/{path}" for path in KEPT))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert job_counts(done.stdout + done.stderr) == {
        "measure_part": 6,
        "gather_measures": 2,
        "value_points_part": 3,
        "gather_values": 1,
    }
    for path, content in before.items():
        assert (folder / "results" / path).read_bytes() == content, path
    assert not list((folder / "results").rglob("*of3.npz")), "parts are removed when they are joined"
    with np.load(folder / "results" / KEPT[0]) as joined:
        assert len(joined["points"]) == len(joined["alignment"]) == 72
