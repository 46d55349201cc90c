"""How well a masked autoencoder paints the hidden patches of an image, as in its training."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from memloc.data.augment import UNIFORMS, augment, hidden
from memloc.data.groups import UNSHARED
from memloc.experiments.desk import Desk, Outcomes
from memloc.models.frameworks.mae import MAE
from memloc.streams import stream, uniforms


def losses(desk: Desk, points: NDArray[np.int64], *, batch: int = 25) -> NDArray[np.float64]:
    """Mean loss of the image of each point over random masks, [n].

        L(x) = E_m loss(x, m),   m ~ masks of the training

    Masks depend on the seed and the point only, so f and g paint the same patches.
    """
    learner, draws = cast(MAE, desk.learner), desk.protocol.draws
    learner.to(desk.device)
    (views,) = learner.groups
    seed, parts = stream("reconstruct", desk.seed), []
    for start in range(0, len(points), batch):
        rows = points[start : start + batch]
        u = torch.from_numpy(uniforms(seed, rows, (draws, UNIFORMS))).to(desk.device).flatten(0, 1)
        whole = torch.from_numpy(np.array(desk.part.images[rows])).to(desk.device).float().div_(255)
        seen = augment(whole.repeat_interleave(draws, dim=0), u, views.augmentation, size=views.size)
        masks = learner.indices(hidden(u, views.augmentation, views.size))
        with torch.no_grad():
            loss = learner.example_losses(desk.normalise(seen), *masks)
        parts.append(loss.double().view(-1, draws).mean(dim=1).cpu())
    mean: NDArray[np.float64] = torch.cat(parts).numpy()
    return mean


def run(desk: Desk) -> Outcomes:
    """Paint the hidden patches of every point with the encoder and decoder of one training."""
    points, groups = desk.points(*UNSHARED)
    return {"points": points, "groups": groups, "losses": losses(desk, points)}
