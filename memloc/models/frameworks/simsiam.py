"""SimSiam (Chen and He, 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from lightly.loss.negative_cosine_similarity import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from torch import Tensor, nn

from memloc.models.frameworks.groups import pair
from memloc.models.frameworks.learner import Learner, Views
from memloc.models.frameworks.recipe import Recipe


class SimSiam(Learner):
    """The prediction p of one view against the projection z of the other, which gets no gradient."""

    def __init__(self, encoder: nn.Module, dim: int, recipe: Recipe, image_size: int) -> None:
        super().__init__(encoder, pair(recipe, encoder, image_size))
        projection = recipe.count("projection")
        self.head = SimSiamProjectionHead(dim, projection, projection)
        self.predictor = SimSiamPredictionHead(projection, recipe.count("prediction"), projection)
        self.loss = NegativeCosineSimilarity()

    def forward(self, views: Sequence[Views], labels: Tensor, progress: float) -> Tensor:
        """-(cos(p1, z2) + cos(p2, z1)) / 2 (Equation 4)."""
        z = self.head(self.encode(views[0]))
        first, second = self.predictor(z).chunk(2)
        one, two = z.detach().chunk(2)
        loss: Tensor = (self.loss(first, two) + self.loss(second, one)) / 2
        return loss


def build(encoder: nn.Module, *, classes: int, recipe: Recipe, image_size: int) -> SimSiam:
    """SimSiam on an encoder.

    Raises:
        InputError: batch_size is below 2.
    """
    return SimSiam(encoder, encoder.dim, recipe, image_size)  # type: ignore[arg-type]
