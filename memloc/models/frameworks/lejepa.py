"""LeJEPA (Balestriero and LeCun, 2025)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss.lejepa_loss import SIGReg, lejepa_invariance_loss
from lightly.models.modules.heads import LeJEPAProjectionHead
from torch import Tensor, nn

from memloc.models.frameworks.groups import multi_crop
from memloc.models.frameworks.learner import Learner, Views, world
from memloc.models.frameworks.recipe import Recipe

GLOBAL, LOCAL = (0.3, 1.0), (0.05, 0.3)
"""Areas of the crops in the authors' code."""


class LeJEPA(Learner):
    """All views' projections near the mean of the global ones, and distributed as an isotropic Gaussian (SIGReg).

    SIGReg draws its slices anew in each step, from PyTorch's global generator.
    """

    def __init__(self, encoder: nn.Module, dim: int, recipe: Recipe, image_size: int) -> None:
        super().__init__(encoder, multi_crop(recipe, encoder, image_size, large=GLOBAL, small=LOCAL))
        self.head = LeJEPAProjectionHead(dim, recipe.count("hidden"), recipe.count("projection"))
        self.sigreg = SIGReg(num_vectors=recipe.count("slices"), gather_distributed=world() > 1)
        self.regularisation = recipe.number("regularisation")

    def forward(self, views: Sequence[Views], labels: Tensor, progress: float) -> Tensor:
        """The sum of regularisation * SIGReg and (1 - regularisation) * invariance."""
        projected = self.head(torch.cat([self.encode(group) for group in views]))
        z = projected.unflatten(0, (sum(group.count for group in self.groups), -1))
        # lightly's LeJEPALoss, from its parts: that one needs local views.
        invariance = lejepa_invariance_loss(all_proj=z, global_proj=z[:2])
        loss: Tensor = self.regularisation * self.sigreg(z) + (1 - self.regularisation) * invariance
        return loss


def build(encoder: nn.Module, *, classes: int, recipe: Recipe, image_size: int) -> LeJEPA:
    """LeJEPA on an encoder.

    Raises:
        InputError: local_size exceeds the image, or the encoder takes no images of that size.
    """
    return LeJEPA(encoder, encoder.dim, recipe, image_size)  # type: ignore[arg-type]
