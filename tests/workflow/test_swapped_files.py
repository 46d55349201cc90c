"""Results that were moved, edited or are another run's: the next job that reads one says so in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from memloc import config, io
from scripts import draw_figure
from tests.builders.complaints import complaint
from tests.workflow.running import ROOT, SMOKE, snakemake

Change = Callable[[Path], None]
A, B = "results/encoders/simclr", "results/encoders/supervised"


def moved(source: str, target: str) -> Change:
    return lambda folder: shutil.copyfile(folder / source, folder / target)


def with_arrays(path: str, **arrays: Callable[[np.ndarray], np.ndarray]) -> Change:
    def edit(folder: Path) -> None:
        found = io.load_arrays(folder / path)
        io.save_arrays(found | {name: change(found[name]) for name, change in arrays.items()}, folder / path)

    return edit


def of_another_training(path: str, role: str) -> Change:
    """What was copied from the results of a training at another learning rate: the same place, other weights."""
    whole: dict[str, Any] = {}
    for name in ("config.yaml", SMOKE[1]):
        update_config(whole, yaml.safe_load((ROOT / name).read_text()))
    whole["encoders"]["simclr"]["recipe"]["learning_rate"] = 0.01
    config.complete(whole)
    other = config.training_sha256(whole, "simclr", role=role, seed=0)

    def change(found: str) -> str:
        record = json.loads(found)
        assert record["weights"][role] and record["trainings"][role] != other
        return json.dumps(record | {key: record[key] | {role: other} for key in ("weights", "trainings")})

    def rewrite(folder: Path) -> None:
        if path.endswith(".npz"):
            with_arrays(path, memloc=lambda record: np.array(change(str(record))))(folder)
        else:
            table = pd.read_parquet(folder / path)
            table.attrs["memloc"] = change(table.attrs["memloc"])
            table.to_parquet(folder / path, index=False)

    return rewrite


def described(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    def edit(folder: Path) -> None:
        io.save_json(change(io.load_json(folder / DESCRIPTION)), folder / DESCRIPTION)

    return edit


def permuted(folder: Path) -> None:
    io.save_array(io.load_array(folder / LABELS)[::-1], folder / LABELS)


DESCRIPTION, LABELS = "results/data/fashion/dataset.json", "results/data/fashion/train_labels.npy"


MEASURES = "results/measures/simclr/{}/seed{}.npz".format
POINTS, VALUES = (
    "results/scores/simclr/seed{}/points.parquet".format,
    "results/values/valued_atypicality/simclr/seed1.npz",
)
UNITS = "results/scores/simclr/f/seed0/units.parquet"
SPLIT = "results/splits/fashion/seed0/indices.npz"
TRAINING = "was made with another training of {} than the configuration's".format
PLACE, AGAIN = "is in the place of another file", "delete it and run snakemake again"
FAULTS: dict[str, list[tuple[Change, str, str, str, str]]] = {
    # What is done, the file that is named, what is said of it, the target that is made next. Two at a time, of jobs
    # that read nothing of one another.
    "measures of f for g's, a split of another seed": [
        (moved(MEASURES("f", 1), MEASURES("g", 1)), MEASURES("g", 1), PLACE, AGAIN, POINTS(1)),
        (moved(SPLIT.replace("seed0", "seed1"), SPLIT), SPLIT, PLACE, AGAIN, MEASURES("f", 0)),
    ],
    "measures of another training, labels in another order": [
        (of_another_training(MEASURES("g", 1), "g"), MEASURES("g", 1), TRAINING("g"), AGAIN, POINTS(1)),
        (permuted, LABELS, "altered since it was prepared", AGAIN, MEASURES("f", 0)),
    ],
    "measures of another training, for values, moments of other images": [
        (of_another_training(MEASURES("f", 1), "f"), MEASURES("f", 1), TRAINING("f"), AGAIN, VALUES),
        (
            described(lambda about: about | {"mean": [0.9]}),
            DESCRIPTION, "has other mean than", AGAIN, MEASURES("f", 0),
        ),
    ],
    "scores of another seed and of another training": [
        (moved(POINTS(1), POINTS(0)), POINTS(0), PLACE, AGAIN, "results/figures/layermem.csv"),
        (of_another_training(UNITS, "f"), UNITS, TRAINING("f"), AGAIN, "results/figures/unitmem.csv"),
    ],
    "weights of f for g's and of another encoder": [
        (
            moved(f"{A}/f/seed0/weights.safetensors", f"{A}/g/seed0/weights.safetensors"),
            f"{A}/g/seed0/weights.safetensors", "belongs to f, seed 0", "delete it to train anew", MEASURES("g", 0),
        ),
        (
            moved(f"{B}/f/seed1/weights.safetensors", f"{A}/f/seed1/weights.safetensors"),
            f"{A}/f/seed1/weights.safetensors", "belongs to another training (framework", "delete it to train anew",
            MEASURES("f", 1),
        ),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "other"), [("layermem", "unitmem"), ("frameworks", "layermem"), ("power", "overlap")])
def test_a_figures_table_of_another_experiment_is_named(
    kind: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, formats = ROOT / f"docs/results/{other}.csv", ("pdf", "svg", "png")
    drawn = {name: str(tmp_path / f"it.{name}") for name in formats}
    snakemake = SimpleNamespace(
        input=SimpleNamespace(table=str(table), images=[str(tmp_path / "images.npy")]),
        output=SimpleNamespace(**drawn),
        params=SimpleNamespace(kind=kind),
    )
    io.save_array(np.zeros((300, 1, 16, 16), dtype=np.uint8), snakemake.input.images[0])
    monkeypatch.setattr(draw_figure.job, "start", lambda _: None)
    said = complaint(draw_figure.main, snakemake)
    assert said.startswith(f"{table}: has no rows or columns that {kind} draws (") and said.endswith(AGAIN)
    assert not any(Path(path).exists() for path in drawn.values())


@pytest.mark.parametrize("name", FAULTS)
def test_files_that_are_not_those_that_belong_there_are_told_by_the_next_jobs(
    name: str, finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "memloc"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(".lock"))
    for change, path, *_, target in FAULTS[name]:
        before = (folder / path).stat()
        change(folder)
        os.utime(folder / path, ns=(before.st_atime_ns, before.st_mtime_ns))
        # Only what reads the file runs.
        (folder / target).unlink()
    targets = [target for *_, target in FAULTS[name]]
    done = snakemake(folder, *SMOKE, "--rerun-triggers", "mtime", "--keep-going", "--", *targets)
    told = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in told
    for _, path, what, advice, target in FAULTS[name]:
        # The job's own line; the end of the run repeats it.
        (line,) = (line for line in told.splitlines() if line.startswith("[") and f"error: {path}: " in line)
        assert what in line and advice in line
        assert not (folder / target).exists()
