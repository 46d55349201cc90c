"""The training of one tiny encoder on toy images."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from memloc.data.prepared import array_sha256
from memloc.models.frameworks.learner import Learner
from memloc.training.loop import train
from memloc.training.settings import Training
from tests.builders.trainings import Killed, kill_after


@dataclass(frozen=True)
class Run:
    learner: Learner
    history: list[dict[str, float]]
    snapshots: dict[str, torch.Tensor]

    @property
    def encoder(self) -> nn.Module:
        return self.learner.result()

    @property
    def losses(self) -> list[float]:
        return [record["loss"] for record in self.history]


@pytest.fixture
def run(tmp_path, toy, settings, description):
    """Trains one encoder; keyword arguments replace what is usual.

    Args:
        recipe: keys of the recipe, and architecture.
        entry: other keys of the encoder's entry.
        data: images and labels; n of them otherwise.
    """

    def go(framework="simclr", *, recipe=None, entry=None, n=24, data=None, points=None, folder=None, **changes):
        images, labels = data or toy(n)
        options = {
            "training": Training.of(settings(framework, **(recipe or {})) | (entry or {})),
            "description": description | {"sha256": {"train": array_sha256(images, labels)}},
            **{"role": "f", "seed": 0, "folder": folder or tmp_path / "unfinished", "save_every": 0.0},
        }
        points = np.arange(len(images)) if points is None else points
        return Run(*train(images, labels, points, **options | changes))

    return go


@pytest.fixture
def resumed(run, tmp_path):
    """A whole run and one that was killed after its second epoch and continued."""

    def go(*args, **options):
        whole = run(*args, folder=tmp_path / "whole", **options)
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, 2)
            with pytest.raises(Killed):
                run(*args, folder=tmp_path / "killed", **options)
        return whole, run(*args, folder=tmp_path / "killed", **options)

    return go
