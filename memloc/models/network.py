"""Encoders in use: their input, their weights, their device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memloc.errors import InputError
from memloc.models import architectures, checkpoint, frameworks
from memloc.models.frameworks.learner import Learner
from memloc.models.frameworks.recipe import Recipe


class Normalise:
    """[n, 1 or 3, h, w] in [0, 1] to the three standardised channels that encoders take: (x - mean) / std.

    Args:
        description: of a prepared dataset, with the ``mean`` and ``std`` of each of its channels.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        self.mean = torch.tensor(description["mean"])[:, None, None]
        # A channel that never varies (in all-red images) becomes 0 instead of 0 / 0.
        self.std = torch.tensor([value or 1.0 for value in description["std"]])[:, None, None]

    def __call__(self, images: Tensor) -> Tensor:
        """Standardise a batch."""
        # (x - mean) / std in one pass over memory.
        mean, std = self.mean.to(images.device), self.std.to(images.device)
        standard = torch.addcmul(-mean / std, images, 1 / std)
        return standard.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def load(
    architecture: str, options: Mapping[str, Any], path: str | Path, *, image_size: int, **expected: Any
) -> nn.Module:
    """A trained encoder in eval mode, from its checkpoint.

    Args:
        options: the architecture's, complete.
        expected: what the checkpoint must say of itself (see ``checkpoint.load_tensors``).

    Raises:
        InputError: the checkpoint is damaged, or another training's or encoder's.
    """
    network = architectures.build(architecture, options, image_size=image_size)
    checkpoint.restore(network, checkpoint.load_tensors(path, **expected), path)
    network.to(memory_format=torch.channels_last)
    return network.eval()


def load_learner(
    encoder: nn.Module,
    framework: str,
    recipe: Recipe,
    path: str | Path,
    *,
    description: Mapping[str, Any],
    **expected: Any,
) -> Learner:
    """What an encoder was trained as, heads and decoder with the weights they ended with, in eval mode.

    Args:
        path: of the weights of all that the framework adds.
        description: of the prepared dataset that the encoder was trained on.
        expected: what the file must say of itself (see ``checkpoint.load_tensors``).

    Raises:
        InputError: the file is damaged or belongs to another training.
    """
    classes, size = len(description["classes"]), description["image_size"]
    learner = frameworks.build(framework, encoder, classes=classes, recipe=recipe, image_size=size)
    tensors = checkpoint.load_tensors(path, **expected)
    expected = {name: tensor.shape for name, tensor in learner.additions().items()}
    if expected != {name: tensor.shape for name, tensor in tensors.items()}:
        raise InputError(f"{path}: belongs to another training; delete it to train this encoder anew")
    learner.add(tensors)
    return learner.eval()


def add_head(encoder: nn.Module, head: nn.Module) -> None:
    """Let every output of an encoder pass through its framework's head, which is measured as module HEAD."""
    encoder.add_module(architectures.HEAD, head)
    # It must be called, and nothing uses its output.
    encoder.register_forward_hook(lambda module, inputs, output: (head(output), None)[1])


def device(name: str) -> str:
    """The device that a configuration's ``device`` means on this machine.

    Raises:
        InputError: the device is cuda, and this machine has none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda, but PyTorch finds no such device here; set device: cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
