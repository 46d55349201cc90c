"""ResNet9 (paper, Table 8)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = (32, 64, 64, 64, 128, 256, 256, 256)
POOLED = (1, 2, 5, 6)


class Block(nn.Module):
    """3 x 3 convolution, batch normalisation, ReLU and, in some blocks, 2 x 2 max pooling."""

    def __init__(self, inputs: int, outputs: int, *, pool: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.act = nn.ReLU()
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] to [n, outputs, h, w], halved in height and width where pooled."""
        out: Tensor = self.pool(self.act(self.norm(self.conv(x))))
        return out


class ResNet9(nn.Module):
    """Eight convolutional blocks with two residual sums (paper, Table 8).

    Layer 4 adds the input of layer 3 (the paper's Res2), layer 8 the input of layer 7 (Res6).

    Args:
        width: multiplies every number of channels; 1 is the paper's 1,120 units.
        residual: False leaves the two sums out.
    """

    def __init__(self, width: float = 1.0, *, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        channels = [3] + [max(1, round(width * c)) for c in CHANNELS]
        for i in range(8):
            block = Block(channels[i], channels[i + 1], pool=i + 1 in POOLED)
            self.add_module(f"block{i + 1}", block)
        if residual:
            self.res2, self.res6 = nn.Identity(), nn.Identity()
        self.dim = channels[-1]

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] to the encoder's output [n, dim]: the last feature map, max-pooled over positions."""
        block = self.get_submodule
        two = block("block2")(block("block1")(x))
        four = block("block4")(block("block3")(two))
        six = block("block6")(block("block5")(self.res2(four + two) if self.residual else four))
        eight = block("block8")(block("block7")(six))
        return torch.amax(self.res6(eight + six) if self.residual else eight, dim=(2, 3))


def build(*, image_size: int, width: float, residual: bool) -> ResNet9:
    """A ResNet9 for images of any size from 16 pixels."""
    return ResNet9(width, residual=residual)
