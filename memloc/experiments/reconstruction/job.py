"""How well a masked autoencoder paints what it doesn't see of an image, as its training asks it to."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from memloc.data.augment import UNIFORMS, augment, hidden
from memloc.data.groups import UNSHARED
from memloc.experiments.desk import Desk, Outcomes
from memloc.models.frameworks.mae import MAE
from memloc.models.network import Normalise
from memloc.streams import stream, uniforms


def losses(
    learner: MAE,
    images: NDArray[np.uint8],
    points: NDArray[np.int64],
    *,
    draws: int,
    normalise: Normalise,
    seed: int,
    batch: int = 25,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Mean loss of each image over random masks, [n].

        L(x) = E_m loss(x, m),   m ~ masks of the training

    Masks depend on ``seed`` and the point only, so f and g are asked for the same patches.

    Args:
        learner: encoder and decoder in eval mode.
        images: [n, c, h, w].
        points: [n] their indices in their dataset.
        draws: masks of each image.
    """
    (views,) = learner.groups
    learner.to(device)
    parts = []
    for start in range(0, len(points), batch):
        rows = slice(start, start + batch)
        u = torch.from_numpy(uniforms(seed, points[rows], (draws, UNIFORMS))).to(device).flatten(0, 1)
        whole = torch.from_numpy(np.array(images[rows])).to(device).float().div_(255)
        seen = augment(whole.repeat_interleave(draws, dim=0), u, views.augmentation, size=views.size)
        masks = learner.indices(hidden(u, views.augmentation, views.size))
        with torch.no_grad():
            loss = learner.example_losses(normalise(seen), *masks)
        parts.append(loss.double().view(-1, draws).mean(dim=1).cpu())
    mean: NDArray[np.float64] = torch.cat(parts).numpy()
    return mean


def run(desk: Desk) -> Outcomes:
    """Paint the hidden patches of every point with the encoder and decoder of one training."""
    points, groups = desk.points(*UNSHARED)
    means = losses(
        desk.learner,  # type: ignore[arg-type]  # The configuration has it a masked autoencoder.
        desk.part.images[points],
        points,
        draws=desk.protocol.draws,
        normalise=desk.normalise,
        seed=stream("reconstruct", desk.seed),
        device=desk.device,
    )
    return {"points": points, "groups": groups, "losses": means}
