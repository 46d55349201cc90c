import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from memloc.models import checkpoint
from tests.builders import parallel

CURVE = {"epochs": 3, "batch_size": 16, "optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 1e-4}
FRAMEWORKS = ("simclr", "vicreg", "barlow-twins", "byol", "dino", "lejepa")


@pytest.fixture(scope="module")
def entries(settings):
    """Settings of every encoder that is trained here, by name."""
    curves = {framework: {**settings(framework, **CURVE), "role": "f"} for framework in FRAMEWORKS}
    half = settings("simclr", epochs=2, hardware={"precision": "bf16-mixed"})
    return {**curves, "untrained": {**settings("simclr"), "role": "untrained"}, "half": {**half, "role": "f"}}


@pytest.fixture(scope="module")
def two(entries, toy, tmp_path_factory):
    """History and weights of each, trained in two processes that started once."""
    folder = tmp_path_factory.mktemp("two")
    for name, entry in entries.items():
        (folder / name).mkdir()
        entry = {**entry, "hardware": {**entry["hardware"], "devices": 2}}
        (folder / name / "settings.json").write_text(json.dumps(entry))
        for what, array in zip(("images", "labels"), toy(48), strict=True):
            np.save(folder / name / f"{what}.npy", array)
    command = [sys.executable, str(Path(parallel.__file__)), folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr[-3000:]
    return {
        name: (
            json.loads((folder / name / "history.json").read_text()),
            checkpoint.load(folder / name / "weights.safetensors")[0],
        )
        for name in entries
    }


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_processes_follow_the_curve_of_one(tmp_path, entries, two, toy, framework):
    """Same global batch, views, negatives and normalisation: what differs is the order of sums."""
    one, alone = parallel.trained(entries[framework], *toy(48), tmp_path)
    history, shared = two[framework]
    assert [row["loss"] for row in history] == pytest.approx([row["loss"] for row in one], rel=1e-3)
    assert alone.keys() == shared.keys()
    for name, tensor in alone.items():
        torch.testing.assert_close(shared[name], tensor, rtol=2e-2, atol=2e-3, msg=name)


def test_two_processes_would_differ_without_shared_negatives(tmp_path, settings, toy):
    """The test above can fail: halves of a batch, each on its own, have another loss."""
    recipe = {"epochs": 1, "warmup_epochs": 0, "learning_rate": 1e-9}
    whole, half = (
        parallel.trained({**settings("simclr", batch_size=size, **recipe), "role": "f"}, *toy(48), tmp_path / str(size))
        for size in (16, 8)
    )
    assert abs(whole[0][0]["loss"] - half[0][0]["loss"]) > 0.1


def test_the_untrained_null_of_two_processes_is_that_of_one(tmp_path, entries, two, toy):
    _, alone = parallel.trained(entries["untrained"], *toy(48), tmp_path)
    for name, tensor in alone.items():
        torch.testing.assert_close(two["untrained"][1][name], tensor, msg=name)


def test_two_processes_train_in_mixed_precision(two):
    history, weights = two["half"]
    assert len(history) == 2 and all(torch.isfinite(tensor).all() for tensor in weights.values())
