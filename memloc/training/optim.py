"""Optimizers by name, and the schedules of learning rate and weight decay."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from memloc.models.frameworks.recipe import Recipe

ParameterGroups = list[dict[str, Any]]
"""Parameters with options of their own, as PyTorch's optimizers take them."""


def _lars(groups: ParameterGroups, recipe: Recipe) -> torch.optim.Optimizer:
    from lightly.utils.lars import LARS

    optimizer: torch.optim.Optimizer = LARS(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    return optimizer


OPTIMIZERS: dict[str, Callable[[ParameterGroups, Recipe], torch.optim.Optimizer]] = {
    "adam": lambda groups, recipe: torch.optim.Adam(
        groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2), fused=True
    ),
    "adamw": lambda groups, recipe: torch.optim.AdamW(
        groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2), fused=True
    ),
    "sgd": lambda groups, recipe: torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum),
    "lars": _lars,
}


def optimizer_of(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer of a recipe. Weights decay; biases, normalisation and single tokens don't, as is usual in SSL."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if parameter.squeeze().dim() > 1]
    rest = [parameter for parameter in trained if parameter.squeeze().dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay, "decays": True},
        {"params": rest, "weight_decay": 0.0, "decays": False},
    ]
    return OPTIMIZERS[recipe.optimizer]([group for group in groups if group["params"]], recipe)


def set_rates(optimizer: torch.optim.Optimizer, recipe: Recipe, step: int, *, steps: int, warmup: int) -> float:
    """Set learning rate and weight decay of one of ``steps`` steps; returns the learning rate."""
    rate = schedule(step, total=steps, warmup=warmup, peak=recipe.learning_rate)
    start, end = recipe.weight_decay, recipe.weight_decay_end
    decay = start if end is None else end + (start - end) * 0.5 * (1 + math.cos(math.pi * step / steps))
    for group in optimizer.param_groups:
        group["lr"] = rate
        if group.get("decays"):
            group["weight_decay"] = decay
    return rate


def schedule(step: int, *, total: int, warmup: int, peak: float) -> float:
    """Learning rate at a step: linear warm-up to ``peak``, then half a cosine to zero (paper, Table 9)."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
