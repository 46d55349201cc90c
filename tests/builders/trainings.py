"""Recipes, and trainings that die, for tests."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from memloc.models.frameworks import FRAMEWORKS
from memloc.models.frameworks.recipe import Recipe
from memloc.training import views
from memloc.training.unfinished import Unfinished

COMMON = {
    **{"epochs": 4, "warmup_epochs": 1, "batch_size": 8, "augmentation": "normal", "optimizer": "adam"},
    **{"learning_rate": 0.1, "weight_decay": 0.01, "weight_decay_end": None, "momentum": 0.9, "beta2": 0.99},
    **{"clip": None, "privacy": None},
}


def recipe(framework: str = "supervised", **changes: Any) -> Recipe:
    """A framework's recipe, its options as published."""
    options = {key: rule["default"] for key, rule in FRAMEWORKS[framework].options.items()}
    return Recipe.of({**COMMON, **options, **changes})


def same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks have the same state, bit for bit."""
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks have the same parameters; statistics of batch norms, which aren't learnt, may differ."""
    pairs = zip(a.named_parameters(), b.named_parameters(), strict=True)
    return all(n == m and torch.equal(x, y) for (n, x), (m, y) in pairs)


class Killed(BaseException):
    """A process dies."""


def kill_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """The process dies right after the checkpoint of an epoch is written."""
    original = Unfinished.save

    def save(self: Unfinished, history: list[dict[str, float]]) -> None:
        original(self, history)
        if len(history) == epochs:
            raise Killed

    monkeypatch.setattr(Unfinished, "save", save)


def kill_in(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """The process dies in the middle of a step: at some call of the augmentation."""
    original, calls = views.augment, []

    def augment(*args: Any, **options: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == call:
            raise Killed
        return original(*args, **options)

    monkeypatch.setattr(views, "augment", augment)
