import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from memloc.models import checkpoint

SCRIPT = Path(__file__).resolve().parents[1] / "builders" / "parallel.py"


def trained(folder, settings, data, *, devices, role="f"):
    """History and weights of a training in so many processes."""
    folder.mkdir(exist_ok=True)
    settings = {**settings, "role": role, "hardware": {**settings["hardware"], "devices": devices}}
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, array in zip(("images", "labels"), data, strict=True):
        np.save(folder / f"{name}.npy", array)
    done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr[-3000:]
    return json.loads((folder / "history.json").read_text()), checkpoint.load(folder / "weights.safetensors")[0]


@pytest.mark.parametrize("framework", ["simclr", "vicreg", "barlow-twins", "byol", "dino", "lejepa"])
def test_two_processes_follow_the_curve_of_one(tmp_path, settings, toy, framework):
    """Same global batch, views, negatives and normalisation: what differs is the order of sums."""
    recipe = {"epochs": 3, "batch_size": 16, "optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 1e-4}
    both = [
        trained(tmp_path / str(devices), settings(framework, **recipe), toy(48), devices=devices) for devices in (1, 2)
    ]
    (one, alone), (two, shared) = both
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-3)
    assert alone.keys() == shared.keys()
    for name, tensor in alone.items():
        torch.testing.assert_close(shared[name], tensor, rtol=2e-2, atol=2e-3, msg=name)


def test_two_processes_would_differ_without_shared_negatives(tmp_path, settings, toy):
    """The test above can fail: halves of a batch, each on its own, have another loss."""
    recipe = {"epochs": 1, "warmup_epochs": 0, "learning_rate": 1e-9}
    whole, _ = trained(tmp_path / "16", settings("simclr", batch_size=16, **recipe), toy(48), devices=1)
    half, _ = trained(tmp_path / "8", settings("simclr", batch_size=8, **recipe), toy(48), devices=1)
    assert abs(whole[0]["loss"] - half[0]["loss"]) > 0.1


def test_the_untrained_null_of_two_processes_is_that_of_one(tmp_path, settings, toy):
    one, two = (
        trained(tmp_path / str(devices), settings("simclr"), toy(48), devices=devices, role="untrained")[1]
        for devices in (1, 2)
    )
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, msg=name)


def test_two_processes_train_in_mixed_precision(tmp_path, settings, toy):
    made = settings("simclr", epochs=2, hardware={"precision": "bf16-mixed"})
    history, weights = trained(tmp_path / "2", made, toy(48), devices=2)
    assert len(history) == 2 and all(torch.isfinite(tensor).all() for tensor in weights.values())
