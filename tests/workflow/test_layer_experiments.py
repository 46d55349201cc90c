"""Experiments that ask for more than the default's encoders, from raw images to claims at the smallest scale."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from running import SMOKE, snakemake

RECIPE = {"epochs": 3, "warmup_epochs": 1, "batch_size": 12, "optimizer": "adam", "learning_rate": 0.001}
VIT = {"patch": 8, "depth": 3, "width": 0.334}
ENCODERS = {
    "simclr": {"seeds": [0]},
    "unseen": {
        "framework": "simclr",
        "architecture": "resnet9",
        "network": {"width": 0.125},
        "dataset": "fashion-unseen",
        "seeds": [0],
        "recipe": RECIPE | {"weight_decay": 0.0, "augmentation": "mild"},
    },
    "mae": {
        "framework": "mae",
        "architecture": "vit-tiny",
        "network": VIT,
        "dataset": "fashion",
        "seeds": [0],
        "recipe": RECIPE | {"weight_decay": 0.0, "augmentation": "masking", "decoder_dim": 24},
    },
    "headed": {"weights": "simclr", "seeds": [0], "measure": {"sublayers": True}},
    "city": {"weights": "simclr", "seeds": [0], "measure": {"distance": "l1"}},
}
EXPERIMENTS = {
    "sublayers": {"encoders": ["headed"]},
    "attention": {"encoders": ["mae"]},
    "reconstruction": {"encoders": ["mae"]},
    "protocols": {"encoders": ["simclr", "city"]},
    "replacement": {
        "encoders": ["simclr"],
        "donor": "unseen",
        "tasks": ["fashion", "fashion-unseen"],
        "counts": [1],
        "images": 40,
        "tested": 40,
    },
    "dejavu": {"encoders": ["simclr"], "public": 60, "neighbours": 5, "crop": 0.35},
    "injection": {"encoders": ["simclr"], "layer": "8", "steps": [2, 4], "batch_size": 4, "learning_rate": 0.001},
    "transfer": {"encoders": ["simclr", "mae"], "tasks": ["fashion", "digits"], "images": 60, "order": "falling"},
}


def test_experiments_on_other_encoders_run_from_images_to_claims(copy: Callable[[str], Path]) -> None:
    folder = copy("layers")
    default = yaml.safe_load((folder / "config.yaml").read_text())["experiments"]
    mine = {name: {"kind": name} | options for name, options in EXPERIMENTS.items()}
    overlay = {
        "datasets": {
            "fashion-unseen": {"split": {"shared": 24, "candidate": 24, "independent": 24, "external": 24}},
            "digits": {"source": "digits", "image_size": 32},
        },
        "encoders": ENCODERS,
        "experiments": dict.fromkeys(default) | mine,
    }
    (folder / "layers.yaml").write_text(yaml.safe_dump(overlay))
    done = snakemake(folder, *SMOKE, "layers.yaml")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    results = folder / "results"
    with open(results / "claims.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["experiment"] for row in rows} == set(EXPERIMENTS)
    assert any(row["paper_effect"] and row["paper_scale"] for row in rows)
    for row in rows:
        low, high = float(row["low"]), float(row["high"])
        told = not row["p"] or float(row["p"]) <= 0.05
        assert row["verdict"] == ("supported" if told and low > 0 else "refuted" if told and high < 0 else "inconclusive")
    for name in EXPERIMENTS:
        assert (results / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    # What is measured otherwise was not trained; the donor was not measured.
    assert {path.name for path in (results / "encoders").iterdir()} == {"simclr", "unseen", "mae"}
    assert {path.name for path in (results / "measures").iterdir()} == {"simclr", "mae", "headed", "city"}

    # The base's task is asked of images that the base was not trained on, the donor's of the donor's.
    with np.load(results / "interventions/replacement/simclr/seed0.npz") as outcomes:
        assert outcomes["correct"].shape == (2 * (2 + 8 * 2), 40)
        assert outcomes["dataset"].tolist()[:2] == ["fashion", "fashion-unseen"]
    # One unit alone was trained, and looked at before and after.
    with np.load(results / "interventions/injection/simclr/seed0.npz") as looks:
        assert looks["activations"].shape == (48, 5, 3) and looks["steps"].tolist() == [0, 2, 4]
        assert (looks["activations"][:, :, 0] != looks["activations"][:, :, -1]).any()
    with np.load(results / "interventions/transfer/mae/seed0.npz") as probes:
        assert probes["dataset"].tolist() == ["fashion", "digits"] and probes["tested"].tolist()[1] == 450
    with np.load(results / "witnesses/dejavu/simclr/f/seed0.npz") as votes:
        assert set(votes["groups"]) == {"candidate", "independent", "external"}
        assert ((votes["votes"] >= 0) & (votes["votes"] <= 1)).all()
    with np.load(results / "witnesses/reconstruction/mae/g/seed0.npz") as losses:
        assert (losses["losses"] > 0).all()
