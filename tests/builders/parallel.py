"""Train encoders as jobs do, in turn, in as many processes as their hardware has devices: parallel.py FOLDER

Each folder in FOLDER holds settings.json (an encoder's, and the role), images.npy and labels.npy; history.json and
weights.safetensors are written there.
"""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from memloc.models import checkpoint
from memloc.training.loop import train
from memloc.training.settings import Training


def trained(entry, images, labels, folder):
    """History and weights of a training; in all processes but the first it ends with SystemExit."""
    description = {"classes": ["a", "b", "c"], "image_size": 16, "mean": [0.4], "std": [0.3]}
    description |= {"sha256": {"train": "0" * 64}}
    learner, history, _ = train(
        images,
        labels,
        np.arange(len(images)),
        training=Training.of({key: value for key, value in entry.items() if key != "role"}),
        description=description,
        seed=0,
        role=entry["role"],
        folder=folder / "unfinished",
        save_every=0.0,
    )
    return history, learner.result().state_dict()


def main(folder):
    torch.use_deterministic_algorithms(True, warn_only=True)
    for each in sorted(path for path in folder.iterdir() if path.is_dir()):
        torch.set_num_threads(2)
        entry = json.loads((each / "settings.json").read_text())
        with contextlib.suppress(SystemExit):
            history, weights = trained(entry, np.load(each / "images.npy"), np.load(each / "labels.npy"), each)
            (each / "history.json").write_text(json.dumps(history))
            checkpoint.save(weights, {}, each / "weights.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
