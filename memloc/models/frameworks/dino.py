"""DINO (Caron et al., 2021)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy

import torch
from lightly.loss.dino_loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from torch import Tensor, nn

from memloc.models.frameworks.groups import multi_crop
from memloc.models.frameworks.learner import Learner, Views, represent
from memloc.models.frameworks.recipe import Recipe
from memloc.models.frameworks.teacher import ema_at, follow

GLOBAL, LOCAL = (0.4, 1.0), (0.05, 0.4)
"""Areas of the crops in the authors' code."""


class DINO(Learner):
    """A student's distributions of all views against a teacher's, centred and sharpened, of the global ones."""

    def __init__(self, encoder: nn.Module, dim: int, recipe: Recipe, image_size: int) -> None:
        super().__init__(encoder, multi_crop(recipe, encoder, image_size, large=GLOBAL, small=LOCAL))
        self.head, head = _head(dim, recipe), _head(dim, recipe)
        head.load_state_dict(self.head.state_dict())
        self.teacher = nn.ModuleDict({"encoder": deepcopy(encoder), "head": head}).requires_grad_(False)
        self.loss = DINOLoss(
            recipe.count("outputs"),
            teacher_temp=recipe.number("teacher_temperature"),
            student_temp=recipe.number("student_temperature"),
        )
        self.ema = recipe.number("ema")

    def forward(self, views: Sequence[Views], labels: Tensor, progress: float) -> Tensor:
        """Cross-entropy, averaged over pairs of a global view and another view of the same image (Equation 3)."""
        student = self.head(torch.cat([self.encode(group) for group in views]))
        with torch.no_grad():
            teacher = self.teacher["head"](represent(self.teacher["encoder"], views[0]))
        count = sum(group.count for group in self.groups)
        loss: Tensor = self.loss(list(teacher.chunk(2)), list(student.chunk(count)))
        return loss

    def before_update(self, epoch: int) -> None:
        """In the first ``frozen_epochs`` the last layer keeps its weights."""
        self.head.cancel_last_layer_gradients(epoch)

    def after_update(self, progress: float) -> None:
        """The teacher follows encoder and head."""
        share = ema_at(self.ema, progress)
        follow(self.teacher["encoder"], self.encoder, share)
        follow(self.teacher["head"], self.head, share)

    def result(self) -> nn.Module:
        """The teacher's encoder, which the authors evaluate."""
        encoder: nn.Module = self.teacher["encoder"]
        return encoder

    def result_head(self) -> nn.Module:
        """The teacher's head."""
        head: nn.Module = self.teacher["head"]
        return head


def _head(dim: int, recipe: Recipe) -> DINOProjectionHead:
    with warnings.catch_warnings():
        # lightly's head calls PyTorch's older weight_norm.
        warnings.simplefilter("ignore", FutureWarning)
        return DINOProjectionHead(
            dim,
            recipe.count("hidden"),
            recipe.count("bottleneck"),
            recipe.count("outputs"),
            freeze_last_layer=recipe.count("frozen_epochs"),
        )


def build(encoder: nn.Module, *, classes: int, recipe: Recipe, image_size: int) -> DINO:
    """DINO on an encoder.

    Raises:
        InputError: local_size exceeds the image, or the encoder takes no images of that size.
    """
    return DINO(encoder, encoder.dim, recipe, image_size)  # type: ignore[arg-type]
