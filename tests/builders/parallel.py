"""Train one encoder as a job does, in as many processes as its hardware has devices: parallel.py FOLDER

FOLDER holds settings.json (an encoder's, and the role), images.npy and labels.npy; history.json and
weights.safetensors are written there.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from memloc.models import checkpoint
from memloc.training.loop import train
from memloc.training.settings import Training


def main(folder):
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True, warn_only=True)
    entry = json.loads((folder / "settings.json").read_text())
    role = entry.pop("role")
    images, labels = np.load(folder / "images.npy"), np.load(folder / "labels.npy")
    description = {"classes": ["a", "b", "c"], "image_size": 16, "mean": [0.4], "std": [0.3]}
    description |= {"sha256": {"train": "0" * 64}}
    learner, history, _ = train(
        images,
        labels,
        np.arange(len(images)),
        training=Training.of(entry),
        description=description,
        seed=0,
        role=role,
        folder=folder / "unfinished",
        save_every=0.0,
    )
    (folder / "history.json").write_text(json.dumps(history))
    checkpoint.save(learner.result().state_dict(), {}, folder / "weights.safetensors")


main(Path(sys.argv[1]))
