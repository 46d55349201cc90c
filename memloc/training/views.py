"""The images that a training step sees: chosen points of a dataset and their views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memloc.data.augment import UNIFORMS, augment, hidden
from memloc.models.frameworks.learner import Group, Views
from memloc.models.network import Normalise

IN_MEMORY = 2 << 30
"""Largest number of bytes of images that are kept in the device's memory; more are read from disk, batch by batch."""


def batches(points: NDArray[np.int64], batch: int, draws: torch.Generator) -> Sequence[Tensor]:
    """Rows of each step of an epoch: a random order in equal parts; what is left over is seen in other epochs.

    A point that is there several times is never twice in a batch, where two of its views would be taken for those of
    two images: its rows lie side by side in a random order of points, which is dealt to the batches in turn.

    Args:
        points: of each row; none more often than there are batches.
    """
    n, steps = len(points), len(points) // batch
    kept = torch.randperm(n, generator=draws)[: steps * batch]
    if len(np.unique(points)) == n:
        return torch.split(kept, batch)
    places = torch.randperm(int(points.max()) + 1, generator=draws)[torch.from_numpy(points)]
    dealt = kept[torch.argsort(places[kept], stable=True)].view(batch, steps)
    return list(dealt[:, torch.randperm(steps, generator=draws)].T)


class Pixels:
    """Images and labels of chosen points of a dataset, by row, on a device."""

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], points: NDArray[np.int64], *, device: torch.device
    ) -> None:
        self.images, self.points, self.device = images, points, device
        self.labels = torch.from_numpy(np.array(labels[points])).to(device)
        small = len(points) * images[0].nbytes <= IN_MEMORY
        self.in_memory = torch.from_numpy(np.array(images[points])).to(device) if small else None

    def __len__(self) -> int:
        return len(self.points)

    def __call__(self, rows: Tensor) -> Tensor:
        """Images [n, c, h, w] in [0, 1]."""
        if self.in_memory is not None:
            return self.in_memory[rows.to(self.device)].float().div_(255)
        pixels = torch.from_numpy(np.array(self.images[self.points[rows.numpy()]]))
        return pixels.to(self.device).float().div_(255)


class Viewer:
    """Draws the views of a batch for one of the processes that train together.

    Args:
        rank, world: number of this process and of all of them.
    """

    def __init__(
        self, pixels: Pixels, groups: Sequence[Group], normalise: Normalise, *, rank: int = 0, world: int = 1
    ) -> None:
        self.pixels, self.groups, self.normalise, self.rank, self.world = pixels, groups, normalise, rank, world

    def __call__(self, rows: Tensor, draws: torch.Generator) -> tuple[list[Views], Tensor]:
        """Views of each group and labels, of this process's share of a batch.

        Every process draws the numbers of the whole batch, so that all of them follow one stream.
        """
        first, end = (part * len(rows) // self.world for part in (self.rank, self.rank + 1))
        images = self.pixels(rows[first:end])
        views = [views_of(images, group, self.normalise, draws, first=first, batch=len(rows)) for group in self.groups]
        return views, self.pixels.labels[rows[first:end].to(images.device)]

    def plain(self, rows: Tensor) -> Tensor:
        """Images as they are, standardised."""
        return self.normalise(self.pixels(rows))


def views_of(
    images: Tensor,
    group: Group,
    normalise: Normalise,
    draws: torch.Generator,
    *,
    first: int = 0,
    batch: int | None = None,
) -> Views:
    """Views of one group of images, which may be a part of a larger batch.

    Args:
        images: [n, c, h, w] in [0, 1].
        draws: where the numbers come from, of the whole batch.
        first: row of the first image in the batch.
        batch: number of images in the batch; None for n.
    """
    size = len(images) if batch is None else batch
    u = torch.rand(group.count, size, UNIFORMS, generator=draws)[:, first : first + len(images)].flatten(0, 1)
    u = u.to(images.device)
    views = augment(images.repeat(group.count, 1, 1, 1), u, group.augmentation, size=group.size)
    return Views(normalise(views), hidden(u, group.augmentation, group.size) if group.augmentation.mask else None)
