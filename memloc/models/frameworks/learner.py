"""What every framework's module gives to the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memloc.data.augment import for_encoder, hide
from memloc.data.augmentations import AUGMENTATIONS, Augmentation
from memloc.models.frameworks.recipe import Recipe


@dataclass(frozen=True)
class Group:
    """Views of one kind in a step: how many of each image, their augmentation, their size in pixels."""

    count: int
    augmentation: Augmentation
    size: int


class Views(NamedTuple):
    """The views of one group, ordered by view, then by image.

    Attributes:
        images: [count * n, 3, size, size], standardised.
        hidden: [count * n, patches] where the augmentation hides patches, else None.
    """

    images: Tensor
    hidden: Tensor | None = None


class Learner(nn.Module):
    """An encoder, what a framework adds to it, and the loss.

    Attributes:
        encoder: what is trained.
        groups: the views that a step needs.
    """

    def __init__(self, encoder: nn.Module, groups: Sequence[Group]) -> None:
        super().__init__()
        self.encoder, self.groups = encoder, tuple(groups)

    def forward(self, views: Sequence[Views], labels: Tensor, progress: float) -> Tensor:
        """The loss of one step, a scalar.

        Args:
            views: one for each group.
            labels: [n].
            progress: steps done as a share of all, in [0, 1).
        """
        raise NotImplementedError

    def before_update(self, epoch: int) -> None:
        """Change the gradients of a step in place; the first epoch is 0."""

    def after_update(self, progress: float) -> None:
        """Update moving averages after a step of the optimizer."""

    def result(self) -> nn.Module:
        """The encoder that is kept."""
        return self.encoder

    def result_head(self) -> nn.Module:
        """What maps the output of ``result()`` to the space of the loss."""
        head: nn.Module = self.head  # type: ignore[assignment]
        return head

    def additions(self) -> dict[str, Tensor]:
        """State of all that the framework adds to the encoder: heads, decoder, centre."""
        state = self.state_dict()
        return {k: v for k, v in state.items() if not k.startswith(("encoder.", "teacher.encoder."))}

    def add(self, additions: Mapping[str, Tensor]) -> None:
        """Load what ``additions`` returned."""
        self.load_state_dict({**self.state_dict(), **additions})

    def encode(self, views: Views) -> Tensor:
        """Representations [count * n, dim] of the views; hidden patches are left out or grey."""
        return represent(self.encoder, views)


def represent(encoder: nn.Module, views: Views) -> Tensor:
    """Output of an encoder, [n, dim]: one of patches leaves hidden ones out, others see them grey."""
    images = views.images
    if views.hidden is not None:
        images = hide(images, views.hidden, with_nan=getattr(encoder, "skips_hidden", False))
    output: Tensor = encoder(images)
    return output


def augmentation_of(recipe: Recipe, encoder: nn.Module) -> Augmentation:
    """The augmentation that a recipe names; it hides patches of the encoder's size, if the encoder has patches."""
    return for_encoder(AUGMENTATIONS[recipe.augmentation], encoder)


def world() -> int:
    """Number of processes that train together."""
    parallel = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if parallel else 1
