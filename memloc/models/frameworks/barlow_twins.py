"""Barlow Twins (Zbontar et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from lightly.models.modules.heads import BarlowTwinsProjectionHead
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from memloc.models.frameworks.groups import pair
from memloc.models.frameworks.learner import Learner, Views, world
from memloc.models.frameworks.recipe import Recipe


class BarlowTwins(Learner):
    """The correlation of two views' projections over the batch, drawn to the identity."""

    def __init__(self, encoder: nn.Module, dim: int, recipe: Recipe, image_size: int) -> None:
        super().__init__(encoder, pair(recipe, encoder, image_size))
        self.head = BarlowTwinsProjectionHead(dim, recipe.count("projection"), recipe.count("projection"))
        # A module as in the authors' code, so that several processes standardise over all of them. lightly's loss
        # would standardise the part of each process by itself, which is why it isn't used here.
        self.norm = nn.BatchNorm1d(recipe.count("projection"), affine=False, track_running_stats=False)
        self.redundancy = recipe.number("redundancy")

    def forward(self, views: Sequence[Views], labels: Tensor, progress: float) -> Tensor:
        """Sum over i of (1 - C_ii)^2 + redundancy times the sum over i, j != i of C_ij^2 (Equation 1)."""
        first, second = self.head(self.encode(views[0])).chunk(2)
        correlation = self.norm(first).T @ self.norm(second) / (len(first) * world())
        if world() > 1:
            correlation = all_reduce(correlation)  # type: ignore[no-untyped-call]
        correlation.diagonal().sub_(1)
        squares = correlation.square()
        loss: Tensor = self.redundancy * squares.sum() + (1 - self.redundancy) * squares.diagonal().sum()
        return loss


def build(encoder: nn.Module, *, classes: int, recipe: Recipe, image_size: int) -> BarlowTwins:
    """Barlow Twins on an encoder.

    Raises:
        InputError: batch_size is below 2.
    """
    return BarlowTwins(encoder, encoder.dim, recipe, image_size)  # type: ignore[arg-type]
