"""VGG19 with batch normalisation (Simonyan and Zisserman, 2015), its convolutions from torchvision."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from memloc.errors import InputError

SMALLEST = 32


class VGG19(nn.Module):
    """The 16 convolutions of VGG19 and the last feature map's mean over positions, instead of its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.features = make_layers(cfgs["E"], batch_norm=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dim = 512
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] to [n, dim].

        Raises:
            InputError: a view is smaller than 32 pixels, of which the five max pools leave nothing.
        """
        _check(min(x.shape[-2:]), "view size")
        return torch.flatten(self.pool(self.features(x)), 1)


def build(*, image_size: int) -> VGG19:
    """A VGG19.

    Raises:
        InputError: images are smaller than 32 pixels.
    """
    _check(image_size, "image_size")
    return VGG19()


def _check(size: int, key: str) -> None:
    if size < SMALLEST:
        raise InputError(f"{key}: {size} pixels; vgg19 needs at least {SMALLEST}, choose another architecture or size")
