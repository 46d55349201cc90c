"""Training frameworks by name: what to add to an encoder so that views of images give a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Framework:
    """An entry of FRAMEWORKS.

    Attributes:
        views: views of each image in a step.
        build: (encoder width, number of classes, recipe) to the module that is trained on top of the encoder.
            Called with representations [views * n, dim], view by view, and labels [n], it returns the loss.
    """

    views: int
    build: Callable[[int, int, dict[str, Any]], nn.Module]


def _simclr(dim: int, classes: int, recipe: dict[str, Any]) -> nn.Module:
    from lightly.loss.ntx_ent_loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead
    from torch import nn

    class SimCLR(nn.Module):
        """Projection head and NT-Xent loss (Chen et al., 2020)."""

        def __init__(self) -> None:
            super().__init__()
            self.head = SimCLRProjectionHead(dim, dim, recipe["projection"])
            self.loss = NTXentLoss(temperature=recipe["temperature"])

        def forward(self, representations: Tensor, labels: Tensor) -> Tensor:
            first, second = self.head(representations).chunk(2)
            loss: Tensor = self.loss(first, second)
            return loss

    return SimCLR()


def _supervised(dim: int, classes: int, recipe: dict[str, Any]) -> nn.Module:
    from torch import nn

    class Supervised(nn.Module):
        """Linear classifier and cross-entropy: the contrast to self-supervision."""

        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(dim, classes)

        def forward(self, representations: Tensor, labels: Tensor) -> Tensor:
            return nn.functional.cross_entropy(self.head(representations), labels)

    return Supervised()


FRAMEWORKS: dict[str, Framework] = {
    "simclr": Framework(views=2, build=_simclr),
    "supervised": Framework(views=1, build=_supervised),
}
