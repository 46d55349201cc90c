"""Training of some parameters of a trained encoder alone, by the loss that all of it was trained with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from memloc.data.prepared import Part
from memloc.models.frameworks.learner import Learner
from memloc.models.network import Normalise
from memloc.streams import stream
from memloc.training.views import views_of


def follow(
    learner: Learner,
    trained: Sequence[nn.Parameter],
    part: Part,
    *,
    draw: Callable[[torch.Generator], Tensor],
    normalise: Normalise,
    steps: int,
    learning_rate: float,
    names: tuple[str, int],
    device: str = "cpu",
) -> Iterator[int]:
    """Follow the framework's own loss on views of some images with some parameters.

    Adam without weight decay leaves what has no gradient exactly as it is. Rows and views are functions of the names
    and of the step.

    Args:
        learner: changed in place; in the mode, and on the device, that it is trained in.
        draw: the rows of a step's images, from a generator.
        names: of the stream behind rows and views.

    Yields:
        The number of steps done, after each.
    """
    optimizer = torch.optim.Adam(trained, lr=learning_rate)
    images, labels = torch.from_numpy(np.array(part.images)), torch.from_numpy(part.labels).to(device)
    torch.manual_seed(stream(*names))
    for step in range(steps):
        draws = torch.Generator().manual_seed(stream(*names, step))
        rows = draw(draws)
        clean = images[rows].to(device).float().div_(255)
        views = [views_of(clean, group, normalise, draws) for group in learner.groups]
        loss = learner(views, labels[rows.to(device)], step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield step + 1
