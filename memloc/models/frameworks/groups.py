"""Views that several frameworks ask for: two of a kind, or large crops with small ones beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from memloc.errors import InputError
from memloc.models.frameworks.learner import Group, augmentation_of


def pair(recipe: Mapping[str, Any], encoder: nn.Module, image_size: int) -> list[Group]:
    """Two views of each image.

    Raises:
        InputError: a batch is a single image, which has no other to differ from.
    """
    if recipe["batch_size"] < 2:
        raise InputError(f"recipe.batch_size: {recipe['batch_size']} is too small for this framework; at least 2")
    return [Group(2, augmentation_of(recipe, encoder), image_size)]


def multi_crop(
    recipe: Mapping[str, Any],
    encoder: nn.Module,
    image_size: int,
    *,
    large: tuple[float, float],
    small: tuple[float, float],
) -> list[Group]:
    """Two global views and ``local_crops`` local ones of ``local_size`` pixels (SwAV, Section 3.2); no group of none.

    Args:
        large, small: smallest and largest area of a global and of a local crop, as shares of the image.

    Raises:
        InputError: local_size is beyond the image or nothing that the encoder takes.
    """
    views, size = replace(augmentation_of(recipe, encoder), crop=True), recipe["local_size"]
    groups = [Group(2, replace(views, scale=large), image_size)]
    if recipe["local_crops"]:
        patch = getattr(encoder, "patch", 1)
        if size > image_size:
            raise InputError(f"recipe.local_size: {size} pixels, but an image has {image_size}; at most that")
        if size % patch:
            raise InputError(f"recipe.local_size: {size} pixels are no multiple of the encoder's patch, {patch}")
        if not _takes(encoder, size):
            raise InputError(f"recipe.local_size: {size} pixels are too few for the encoder; raise it")
        groups.append(Group(recipe["local_crops"], replace(views, scale=small), size))
    return groups


def _takes(encoder: nn.Module, size: int) -> bool:
    training = encoder.training
    try:
        with torch.no_grad():
            encoder.eval()(torch.zeros(1, 3, size, size))
    except (RuntimeError, ValueError):
        return False
    finally:
        encoder.train(training)
    return True
