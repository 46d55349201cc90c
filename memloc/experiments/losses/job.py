"""The loss of training, on batches of images in and out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from memloc.data.groups import UNSHARED
from memloc.data.prepared import Part
from memloc.experiments.desk import Desk, Outcomes
from memloc.models.frameworks.learner import Learner
from memloc.models.network import Normalise
from memloc.streams import stream
from memloc.training.views import Pixels, Viewer, batches


def losses(
    learner: Learner,
    part: Part,
    points: NDArray[np.int64],
    *,
    batch: int,
    draws: int,
    normalise: Normalise,
    seed: int,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Mean training loss over the batches into which images are cut at random, [draws].

    The learner computes as in training, so batch normalisation uses the statistics of the batch. Batches and views
    depend on ``seed`` alone, so f and g are asked the same.

    Args:
        points: of the images, none twice, ``batch`` or more; those left over in one draw are in others.
    """
    learner.to(device).train()
    viewer = Viewer(Pixels(part.images, part.labels, points, device=torch.device(device)), learner.groups, normalise)
    means = []
    for draw in range(draws):
        generator = torch.Generator().manual_seed(stream("losses", seed, draw))
        found: list[float] = []
        for rows in batches(points, batch, generator):
            views, labels = viewer(rows, generator)
            torch.manual_seed(stream("losses learner", seed, draw, len(found)))
            with torch.no_grad():
                found.append(float(learner(views, labels, 0.0)))
        means.append(np.mean(found))
    return np.array(means, dtype=np.float64)


def run(desk: Desk) -> Outcomes:
    """The loss of one encoder on each group of images."""
    # As in training; no larger than the smallest group, so that all are asked alike.
    batch = min(desk.settings["encoder"]["recipe"]["batch_size"], *(len(desk.split[group]) for group in UNSHARED))
    found = [
        losses(
            desk.learner,
            desk.part,
            desk.split[group],
            batch=batch,
            draws=desk.options["draws"],
            normalise=desk.normalise,
            seed=stream("losses", desk.seed, group),
            device=desk.device,
        )
        for group in UNSHARED
    ]
    return {"groups": np.array(UNSHARED), "losses": np.stack(found)}
