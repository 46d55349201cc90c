"""ResNets with timm's blocks (He et al., 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm.models.resnet
from timm.models.resnet import BasicBlock, Bottleneck
from torch import nn

CHANNELS = (64, 128, 256, 512)
BLOCKS: dict[str, Any] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(timm.models.resnet.ResNet):
    """timm's ResNet without a classifier: [n, 3, h, w] to the last feature map's mean over positions, [n, dim].

    The last normalisation of a block starts at scale 1, as in torchvision: with timm's 0, the last convolutions of an
    untrained encoder would have no effect.

    Args:
        block: a key of BLOCKS.
        blocks: number of blocks in each of the four stages.
        stem: imagenet is a 7 x 7 convolution of stride 2 and a max pool, cifar a 3 x 3 convolution of stride 1.
        width: multiplies the stages' channels; the stem has 64.
    """

    def __init__(self, block: str, blocks: Sequence[int], *, stem: str, width: float = 1.0) -> None:
        channels = tuple(max(1, round(width * c)) for c in CHANNELS)
        super().__init__(BLOCKS[block], tuple(blocks), num_classes=0, zero_init_last=False, channels=channels)
        if stem == "cifar":
            first = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
            nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
            self.conv1, self.maxpool = first, nn.Identity()  # type: ignore[assignment]
        self.dim = self.num_features


def build(*, image_size: int, block: str, blocks: Sequence[int], stem: str, width: float) -> ResNet:
    """A ResNet for images of any size."""
    return ResNet(block, blocks, stem=stem, width=width)
