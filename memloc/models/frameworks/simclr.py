"""SimCLR (Chen et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from lightly.loss.ntx_ent_loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor, nn

from memloc.models.frameworks.groups import pair
from memloc.models.frameworks.learner import Learner, Views, world
from memloc.models.frameworks.recipe import Recipe


class SimCLR(Learner):
    """Projection head and NT-Xent loss: two views of an image against all others of the batch."""

    def __init__(self, encoder: nn.Module, dim: int, recipe: Recipe, image_size: int) -> None:
        super().__init__(encoder, pair(recipe, encoder, image_size))
        self.head = SimCLRProjectionHead(dim, dim, recipe.count("projection"))
        self.loss = NTXentLoss(temperature=recipe.number("temperature"), gather_distributed=world() > 1)

    def forward(self, views: Sequence[Views], labels: Tensor, progress: float) -> Tensor:
        """NT-Xent of the two views."""
        first, second = self.head(self.encode(views[0])).chunk(2)
        loss: Tensor = self.loss(first, second)
        return loss


def build(encoder: nn.Module, *, classes: int, recipe: Recipe, image_size: int) -> SimCLR:
    """SimCLR on an encoder.

    Raises:
        InputError: batch_size is below 2.
    """
    return SimCLR(encoder, encoder.dim, recipe, image_size)  # type: ignore[arg-type]
