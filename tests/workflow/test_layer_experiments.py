"""Experiments that ask for more than the default's encoders, from raw images to claims at the smallest scale."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from memloc.metrics.units import unitmem
from tests.workflow.running import SMOKE, snakemake

SMOKE_ALL = (*SMOKE, "config/smoke-all.yaml")


def test_experiments_on_other_encoders_run_from_images_to_claims(copy: Callable[[str], Path]) -> None:
    folder = copy("layers")
    mine = yaml.safe_load((folder / "config/smoke-all.yaml").read_text())["experiments"]
    default = yaml.safe_load((folder / "config.yaml").read_text())["experiments"]
    # One seed, and nothing that the default run has: that is run elsewhere.
    names = ("simclr", "unseen", "again", "mae", "mae-unseen", "swapped", "sublayers", "bare", "l1", "groups")
    encoders = {name: {"seeds": [0]} for name in names}
    left_out = dict.fromkeys(default.keys() - mine.keys())
    overlay = {"encoders": encoders, "experiments": left_out}
    (folder / "one-seed.yaml").write_text(yaml.safe_dump(overlay))
    done = snakemake(folder, *SMOKE_ALL, "one-seed.yaml")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    results = folder / "results"
    with open(results / "claims.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["experiment"] for row in rows} == mine.keys()
    assert any(row["paper_effect"] and row["paper_scale"] for row in rows)
    for row in rows:
        low, high = float(row["low"]), float(row["high"])
        # An interval of no width tells nothing without an exact test.
        told = float(row["p"]) <= 0.05 if row["p"] else low < high
        possible = {"supported"} if low > 0 else {"refuted"} if high < 0 else {"inconclusive"}
        assert row["verdict"] in (possible if told else {"inconclusive"}) | {"negligible"}, row
    for name in mine:
        assert (results / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    # What is measured otherwise was not trained; the donor of blocks was not measured.
    assert {path.name for path in (results / "encoders").iterdir()} == {
        "simclr",
        "unseen",
        "again",
        "mae",
        "mae-unseen",
        "groups",
        "longer",
        "fewer",
        "swapped",
        "charts",
    }
    assert {path.name for path in (results / "measures").iterdir()} == {
        "simclr",
        "unseen",
        "again",
        "mae",
        "groups",
        "longer",
        "fewer",
        "swapped",
        "charts",
        "sublayers",
        "bare",
        "l1",
    }

    # After the last epoch f is the encoder that is measured, on the same views.
    with np.load(results / "outcomes/unit_epochs/simclr/f/seed0.npz") as trace:
        assert trace["epochs"].tolist() == [0, 1, 2, 3] and trace["warmup"] == 1 and len(trace["loss"]) == 3
        last = trace["values"][-1, -1, 0]
    with np.load(results / "measures/simclr/f/seed0.npz") as measures:
        views = measures["views/8"][measures["groups"] == "candidate"].mean(axis=1)
    np.testing.assert_allclose(last, unitmem(views).mean(), rtol=1e-4)

    # The base's task is asked of images that the base was not trained on, the donor's of the donor's.
    with np.load(results / "outcomes/replacement/simclr/f/seed0.npz") as outcomes:
        assert outcomes["correct"].shape == (2 * (2 + 8 * 2), 40)
        assert outcomes["dataset"].tolist()[:2] == ["fashion", "fashion-unseen"]
    with np.load(results / "outcomes/ablation/simclr/f/seed0.npz") as outcomes:
        # Two units of each arm and group in every layer where so many are excited.
        assert set(outcomes["layer"]) <= set("12345678") and len(outcomes["after"]) > 16
        assert outcomes["matched_after"].shape == (len(outcomes["after"]), 3)
        assert (outcomes["after"] != outcomes["before"]).any()
    # Two rounds of three arms, each after retraining, and two probes of each.
    with np.load(results / "outcomes/iterative_pruning/simclr/f/seed0.npz") as rounds:
        assert rounds["by"].tolist() == ["none"] * 2 + ["top"] * 4 + ["random"] * 4 + ["low"] * 4
        assert (np.diff(rounds["pruned"]) > 0).all() and rounds["after"].shape == (3, 3, 3)
        assert (rounds["after"][:, 0] == rounds["after"][0, 0]).all()
        assert (rounds["after"][:, 1] != rounds["after"][:, 0]).all()
    # One unit alone was trained, and looked at before and after.
    with np.load(results / "outcomes/injection/simclr/f/seed0.npz") as looks:
        assert looks["activations"].shape == (48, 6, 3) and looks["steps"].tolist() == [0, 2, 4]
        assert (looks["activations"][:, :, 0] != looks["activations"][:, :, -1]).any()
    with np.load(results / "outcomes/transfer/mae/f/seed0.npz") as probes:
        assert probes["dataset"].tolist() == ["fashion", "digits"] and probes["tested"].tolist()[1] == 450
    # Who is planted was known before training; the images of the other dataset are what they were.
    with np.load(results / "values/planted/swapped/seed0.npz") as values:
        with np.load(results / "data/fashion-swapped/swaps.npz") as swaps:
            assert (values["planted"] == np.isin(values["points"], swaps["points"])).all()
        assert 0 < values["planted"].sum() < 48 and (values["patched"].sum(axis=1) == 4 * values["planted"]).all()
        assert values["pixels/classes/cells"].shape == (2, 2, 48, 64) and values["pixels/classes/counts"].min() >= 0
        points, planted = values["points"], values["planted"]
    plain, swapped = (np.load(results / f"data/{name}/train_images.npy") for name in ("fashion", "fashion-swapped"))
    assert ((plain[points] != swapped[points]).any(axis=(1, 2, 3)) == planted).all()
    with np.load(results / "outcomes/dejavu/simclr/f/seed0.npz") as votes:
        assert set(votes["groups"]) == {"candidate", "independent", "external"}
        assert ((votes["votes"] >= 0) & (votes["votes"] <= 1)).all()
    with np.load(results / "outcomes/reconstruction/mae/g/seed0.npz") as losses:
        assert (losses["losses"] > 0).all()
