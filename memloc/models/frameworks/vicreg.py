"""VICReg (Bardes et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence

from lightly.loss.vicreg_loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from torch import Tensor, nn

from memloc.models.frameworks.groups import pair
from memloc.models.frameworks.learner import Learner, Views, world
from memloc.models.frameworks.recipe import Recipe


class VICReg(Learner):
    """Two views' projections agree (invariance), spread (variance) and are uncorrelated (covariance)."""

    def __init__(self, encoder: nn.Module, dim: int, recipe: Recipe, image_size: int) -> None:
        super().__init__(encoder, pair(recipe, encoder, image_size))
        self.head = VICRegProjectionHead(dim, recipe.count("projection"), recipe.count("projection"))
        self.loss = VICRegLoss(
            lambda_param=recipe.number("invariance"),
            mu_param=recipe.number("variance"),
            nu_param=recipe.number("covariance"),
            gather_distributed=world() > 1,
        )

    def forward(self, views: Sequence[Views], labels: Tensor, progress: float) -> Tensor:
        """The weighted sum of the three terms (Equation 6), the two views' variance averaged as published."""
        first, second = self.head(self.encode(views[0])).chunk(2)
        loss: Tensor = self.loss(first, second)
        return loss


def build(encoder: nn.Module, *, classes: int, recipe: Recipe, image_size: int) -> VICReg:
    """VICReg on an encoder.

    Raises:
        InputError: batch_size is below 2.
    """
    return VICReg(encoder, encoder.dim, recipe, image_size)  # type: ignore[arg-type]
