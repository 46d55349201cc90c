"""Cross-entropy on labels: the contrast to self-supervision."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from memloc.models.frameworks.learner import Group, Learner, Views, augmentation_of
from memloc.models.frameworks.recipe import Recipe


class Supervised(Learner):
    """A linear classifier on one view of each image."""

    def __init__(self, encoder: nn.Module, dim: int, classes: int, recipe: Recipe, image_size: int) -> None:
        super().__init__(encoder, [Group(1, augmentation_of(recipe, encoder), image_size)])
        self.head = nn.Linear(dim, classes)

    def forward(self, views: Sequence[Views], labels: Tensor, progress: float) -> Tensor:
        """Cross-entropy."""
        return nn.functional.cross_entropy(self.head(self.encode(views[0])), labels)


def build(encoder: nn.Module, *, classes: int, recipe: Recipe, image_size: int) -> Supervised:
    """A classifier on an encoder."""
    return Supervised(encoder, encoder.dim, classes, recipe, image_size)  # type: ignore[arg-type]
