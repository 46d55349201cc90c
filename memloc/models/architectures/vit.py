"""Vision transformers (Dosovitskiy et al., 2021) on timm's, with patches that can be hidden (He et al., 2022)."""

from __future__ import annotations

import torch
from lightly.models.utils import get_at_index, initialize_2d_sine_cosine_positional_embedding
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from memloc.errors import InputError


class ViT(VisionTransformer):
    """A transformer without dropout and classifier that leaves hidden patches out.

    The position embedding is fixed, sines and cosines of both coordinates (as in MAE and MoCo v3), for every framework;
    it is interpolated for smaller views (as in DINO).

    Args:
        image_size: side in pixels, a multiple of ``patch``; the position embedding has this size.
        patch: side of a patch in pixels.
        dim: length of a token.
        depth: number of blocks.
        heads: number of heads of each attention.

    Attributes:
        skips_hidden: a patch whose pixels are all NaN is left out.
    """

    skips_hidden = True

    def __init__(self, image_size: int, *, patch: int, dim: int, depth: int, heads: int) -> None:
        super().__init__(
            img_size=image_size,
            patch_size=patch,
            num_classes=0,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            dynamic_img_size=True,
        )
        initialize_2d_sine_cosine_positional_embedding(self.pos_embed)
        self.patch, self.dim = patch, dim

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """[n, 3, h, w] to the class token [n, dim] (see ``tokens``)."""
        return self.tokens(x)[:, 0]

    def tokens(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Class token and visible patches after the last block and normalisation, [n, 1 + visible, dim].

        Hidden patches are left out before the first block: nothing after it sees them.

        Args:
            x: [n, 3, h, w], h and w multiples of ``patch``. Without ``keep``, NaN in all pixels of a patch hides it.
            keep: [n, visible] indices of the visible patches, row by row, which is also the order of the tokens. With
                it, ``x`` holds no NaN, and no shape depends on the values of ``x``, which torch.func.vmap needs (it
                also needs ``sdpa_kernel(SDPBackend.MATH)``: fused attention has no rule for it).

        Raises:
            InputError: a side is not a multiple of ``patch``; images hide different numbers of patches.
        """
        _check(x.shape[-2], self.patch, "view size")
        _check(x.shape[-1], self.patch, "view size")
        if keep is None:
            hidden = x[:, 0, :: self.patch, :: self.patch].isnan()
            if hidden.any():
                keep = _visible(hidden.flatten(1))
                pixels = hidden.repeat_interleave(self.patch, dim=1).repeat_interleave(self.patch, dim=2)
                # Leaving them out is not enough: a gradient of 0 times NaN is NaN.
                x = x.masked_fill(pixels[:, None], 0)
        tokens: Tensor = self._pos_embed(self.patch_embed(x))
        if keep is not None:
            tokens = torch.cat([tokens[:, :1], get_at_index(tokens[:, 1:], keep)], dim=1)
        out: Tensor = self.norm(self.blocks(tokens))
        return out


def build(*, image_size: int, patch: int, depth: int, dim: int, heads: int, width: float) -> ViT:
    """A ViT with tokens of length ``width`` times ``dim``, rounded to what heads and position embedding allow.

    Raises:
        InputError: image_size is not a multiple of patch.
    """
    _check(image_size, patch, "image_size")
    # A multiple of 4 for each head: position embeddings have a sine and a cosine of each of two coordinates.
    dim = heads * 4 * max(1, round(width * dim / heads / 4))
    return ViT(image_size, patch=patch, dim=dim, depth=depth, heads=heads)


def _check(size: int, patch: int, key: str) -> None:
    if size % patch:
        raise InputError(f"{key}: {size} pixels are not a multiple of network.patch, {patch}; change one of them")


def _visible(hidden: Tensor) -> Tensor:
    """Indices of the patches that aren't hidden, in order: [n, patches] to [n, visible]."""
    counts = hidden.sum(dim=1)
    low, high = int(counts.min()), int(counts.max())
    if low != high:
        raise InputError(f"hidden patches: {low} in one image of a batch, {high} in another; hide equally many in each")
    return (~hidden).nonzero()[:, 1].view(len(hidden), -1)
