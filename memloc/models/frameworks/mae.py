"""Masked autoencoder (He et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.models.modules.masked_vision_transformer_decoder_timm import MaskedVisionTransformerDecoderTIMM
from lightly.models.modules.masked_vision_transformer_timm import init_weights
from lightly.models.utils import get_at_index, patchify, repeat_token, set_at_index
from torch import Tensor, nn

from memloc.errors import InputError
from memloc.models.frameworks.learner import Group, Learner, Views, augmentation_of
from memloc.models.frameworks.recipe import Recipe


class MAE(Learner):
    """A small transformer paints the hidden patches from the encoder's tokens of the visible ones.

    Attributes:
        patches: number of patches of a view.
        visible: how many of them the encoder sees.
    """

    def __init__(self, encoder: nn.Module, dim: int, patch: int, recipe: Recipe, image_size: int) -> None:
        augmentation = augmentation_of(recipe, encoder)
        super().__init__(encoder, [Group(1, augmentation, image_size)])
        self.patch, self.patches = patch, (image_size // patch) ** 2
        self.visible = self.patches - round(augmentation.mask * self.patches)
        self.normalise_pixels = bool(recipe.options["normalise_pixels"])
        width = recipe.count("decoder_dim")
        self.embed = nn.Linear(dim, width)
        self.decoder = MaskedVisionTransformerDecoderTIMM(
            self.patches, width, recipe.count("decoder_depth"), recipe.count("decoder_heads")
        )
        self.head = nn.Linear(width, 3 * patch**2)
        self.embed.apply(init_weights)
        self.head.apply(init_weights)

    def forward(self, views: Sequence[Views], labels: Tensor, progress: float) -> Tensor:
        """Mean squared error over the pixels of hidden patches, all of them and no others."""
        images, hidden = views[0]
        assert hidden is not None
        return self.example_losses(images, *self.indices(hidden)).mean()

    def indices(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of the visible [n, visible] and of the hidden patches, in order, of a mask [n, patches]."""
        order = hidden.to(torch.uint8).argsort(dim=1, stable=True)
        return order[:, : self.visible], order[:, self.visible :]

    def example_losses(self, images: Tensor, keep: Tensor, hidden: Tensor) -> Tensor:
        """The loss of each image, [n]; nothing depends on values, so torch.func.vmap may run it image by image.

        Args:
            images: [n, 3, size, size], standardised and whole.
            keep: [n, visible] indices of the patches that the encoder sees.
            hidden: [n, hidden] indices of those to paint.
        """
        tokens = self.embed(self.encoder.tokens(images, keep))  # type: ignore[operator]
        sequence = repeat_token(self.decoder.mask_token, (len(images), 1 + self.patches)).to(tokens.dtype)
        # The class token comes first, before the patches.
        sequence = set_at_index(sequence, nn.functional.pad(keep + 1, (1, 0)), tokens)
        painted = self.head(get_at_index(self.decoder(sequence), hidden + 1))
        target = get_at_index(patchify(images, self.patch), hidden)
        if self.normalise_pixels:
            variance, mean = torch.var_mean(target, dim=-1, keepdim=True)
            target = (target - mean) * torch.rsqrt(variance + 1e-6)
        losses: Tensor = (painted - target).square().mean(dim=(1, 2))
        return losses


def build(encoder: nn.Module, *, classes: int, recipe: Recipe, image_size: int) -> MAE:
    """A masked autoencoder on an encoder of patches.

    Raises:
        InputError: the augmentation hides no patch or all, or decoder_dim doesn't suit heads and position embedding.
    """
    patch: int = encoder.patch  # type: ignore[assignment]
    patches, mask = (image_size // patch) ** 2, augmentation_of(recipe, encoder).mask
    if not 0 < round(mask * patches) < patches:
        raise InputError(
            f"recipe.augmentation: {recipe.augmentation} hides {round(mask * patches)} of {patches} patches, but "
            "MAE needs hidden and visible ones; use masking and smaller patches"
        )
    width, heads = recipe.count("decoder_dim"), recipe.count("decoder_heads")
    if width % heads or width % 4:
        raise InputError(
            f"recipe.decoder_dim: {width} must be a multiple of 4 and of decoder_heads ({heads}); change it"
        )
    return MAE(encoder, encoder.dim, patch, recipe, image_size)  # type: ignore[arg-type]
