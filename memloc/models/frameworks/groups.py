"""Views that several frameworks use: two of a kind, or large crops with small ones beside them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from memloc.errors import InputError
from memloc.models.frameworks.learner import Group, augmentation_of
from memloc.models.frameworks.recipe import Recipe


def pair(recipe: Recipe, encoder: nn.Module, image_size: int) -> list[Group]:
    """Two views of each image.

    Raises:
        InputError: a batch is a single image, which has no other to differ from.
    """
    if recipe.batch_size < 2:
        raise InputError(f"recipe.batch_size: {recipe.batch_size} is too small for this framework; use 2 or more")
    return [Group(2, augmentation_of(recipe, encoder), image_size)]


def multi_crop(
    recipe: Recipe, encoder: nn.Module, image_size: int, *, large: tuple[float, float], small: tuple[float, float]
) -> list[Group]:
    """Two global views and ``local_crops`` local ones of ``local_size`` pixels (SwAV, Section 3.2).

    Args:
        large, small: smallest and largest area of a global and of a local crop, as shares of the image.

    Returns:
        The group of global views; if there are local ones, theirs as well.

    Raises:
        InputError: local_size exceeds the image, or the encoder takes no images of that size.
    """
    augmentation = replace(augmentation_of(recipe, encoder), crop=True)
    groups = [Group(2, replace(augmentation, scale=large), image_size)]
    if local_crops := recipe.count("local_crops"):
        size, patch = recipe.count("local_size"), getattr(encoder, "patch", 1)
        if size > image_size:
            raise InputError(f"recipe.local_size: {size} exceeds the image's {image_size} pixels; lower it")
        if size % patch:
            raise InputError(f"recipe.local_size: {size} is not a multiple of the encoder's patch ({patch}); change it")
        if not _takes(encoder, size):
            raise InputError(f"recipe.local_size: {size} pixels are too few for the encoder; raise it")
        groups.append(Group(local_crops, replace(augmentation, scale=small), size))
    return groups


def _takes(encoder: nn.Module, size: int) -> bool:
    """Whether an encoder takes images of a size."""
    training = encoder.training
    try:
        with torch.no_grad():
            encoder.eval()(torch.zeros(1, 3, size, size))
    except (RuntimeError, ValueError):
        return False
    finally:
        encoder.train(training)
    return True
