"""Encoders in use: their input, their weights, their device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memloc import checkpoint
from memloc.encoders import ENCODERS
from memloc.encoders.resnet9 import ResNet9
from memloc.errors import InputError


class Normalise:
    """[n, 1 or 3, h, w] in [0, 1] to the three standardised channels that encoders take.

    Args:
        description: a prepared dataset's description, for its mean and standard deviation.
    """

    def __init__(self, description: dict[str, Any]) -> None:
        self.mean = torch.tensor(description["mean"])[:, None, None]
        # A channel that never varies (all red images) stays 0 instead of 0 / 0.
        self.std = torch.tensor([value or 1.0 for value in description["std"]])[:, None, None]

    def __call__(self, images: Tensor) -> Tensor:
        """Standardise a batch."""
        standard = (images - self.mean.to(images.device)) / self.std.to(images.device)
        return standard.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def load(encoder: str, width: float, path: str | Path, *, seed: int, role: str) -> ResNet9:
    """A trained encoder in eval mode, from its checkpoint.

    Raises:
        InputError: the checkpoint is damaged or belongs to another encoder.
    """
    network = ENCODERS[encoder].build(width)
    tensors, about = checkpoint.load(path)
    if (about.get("seed"), about.get("role")) != (seed, role):
        raise InputError(f"{path}: belongs to {about.get('role')}, seed {about.get('seed')}; delete it to train anew")
    checkpoint.restore(network, tensors, path)
    network.to(memory_format=torch.channels_last)
    return network.eval()


def device(name: str) -> str:
    """The device that a configuration's ``device`` means on this machine.

    Raises:
        InputError: cuda is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda, but PyTorch finds no such device here; set device: cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
