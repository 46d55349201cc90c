"""BYOL (Grill et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from lightly.loss.negative_cosine_similarity import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor, nn

from memloc.models.frameworks.groups import pair
from memloc.models.frameworks.learner import Learner, Views, represent
from memloc.models.frameworks.recipe import Recipe
from memloc.models.frameworks.teacher import ema_at, follow


class BYOL(Learner):
    """The prediction of one view against a teacher's projection of the other (BYOL's target network)."""

    def __init__(self, encoder: nn.Module, dim: int, recipe: Recipe, image_size: int) -> None:
        super().__init__(encoder, pair(recipe, encoder, image_size))
        hidden, projection = recipe.count("hidden"), recipe.count("projection")
        self.head = BYOLProjectionHead(dim, hidden, projection)
        self.predictor = BYOLPredictionHead(projection, hidden, projection)
        self.teacher = deepcopy(nn.ModuleDict({"encoder": encoder, "head": self.head})).requires_grad_(False)
        self.loss, self.ema = NegativeCosineSimilarity(), recipe.number("ema")

    def forward(self, views: Sequence[Views], labels: Tensor, progress: float) -> Tensor:
        """(2 - 2 cos(q1, z2)) + (2 - 2 cos(q2, z1)), squared distances of unit vectors (Equation 2, both ways)."""
        first, second = self.predictor(self.head(self.encode(views[0]))).chunk(2)
        with torch.no_grad():
            one, two = self.teacher["head"](represent(self.teacher["encoder"], views[0])).chunk(2)
        loss: Tensor = 4 + 2 * (self.loss(first, two) + self.loss(second, one))
        return loss

    def after_update(self, progress: float) -> None:
        """The teacher follows encoder and head."""
        share = ema_at(self.ema, progress)
        follow(self.teacher["encoder"], self.encoder, share)
        follow(self.teacher["head"], self.head, share)


def build(encoder: nn.Module, *, classes: int, recipe: Recipe, image_size: int) -> BYOL:
    """BYOL on an encoder.

    Raises:
        InputError: batch_size is below 2.
    """
    return BYOL(encoder, encoder.dim, recipe, image_size)  # type: ignore[arg-type]
