"""Augmentations as pure functions of a batch of images and a block of uniform numbers.

Every random decision is read from ``u[n, UNIFORMS]``, so a view depends on nothing but its image and its
own row of numbers: not on the batch it travels in, nor on threads, workers or devices. Training and
measuring call the same function. Images stay in [0, 1] throughout; normalisation comes afterwards
(torchvision clamps colour jitter to [0, 1], which destroys images that were normalised before).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

CROP_TRIES = 10
UNIFORMS = 2 * CROP_TRIES + 2 + 1 + 6 + 1
"""Numbers one view consumes: crop tries, crop corner, flip, jitter (apply, order, 4 factors), grey."""

_ORDERS = torch.tensor(list(permutations(range(4))))
_GREY = (0.2989, 0.587, 0.114)


@dataclass(frozen=True)
class Recipe:
    """Strengths and probabilities of one augmentation recipe (paper, Appendix B)."""

    brightness: float
    contrast: float
    saturation: float
    hue: float
    jitter: float
    flip: float
    grey: float
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)


# weak, normal and strong are the paper's (Appendix B), with the flip probability of its code and without the vertical
# flip of strong, which turns every view alike. mild has the jitter of
# the SSLMem paper's SimCLR and crops that keep at least a fifth of the image: on little data and grey images the
# paper's leave too little to remember an image by.
RECIPES: dict[str, Recipe] = {
    "mild": Recipe(0.4, 0.4, 0.4, 0.1, jitter=0.8, flip=0.5, grey=0.2, scale=(0.2, 1.0)),
    "weak": Recipe(0.9, 0.9, 0.9, 0.5, jitter=0.4, flip=0.5, grey=0.1),
    "normal": Recipe(0.8, 0.8, 0.8, 0.2, jitter=0.8, flip=0.5, grey=0.2),
    "strong": Recipe(0.8, 0.8, 0.8, 0.2, jitter=0.9, flip=0.5, grey=0.5),
}


def augment(images: Tensor, u: Tensor, recipe: Recipe) -> Tensor:
    """One view of each image: crop and resize, flip, colour jitter, grey, in torchvision's order.

    Args:
        images: [n, channels, height, width] in [0, 1], one or three channels.
        u: [n, UNIFORMS] uniform in [0, 1).

    Returns:
        [n, channels, height, width] in [0, 1].
    """
    tries, corner, rest = torch.split(u, [2 * CROP_TRIES, 2, UNIFORMS - 2 * CROP_TRIES - 2], dim=1)
    box = crop_boxes(tries, corner, images.shape[-2], images.shape[-1], recipe)
    views = resized_crop(images, box, flip=rest[:, 0] < recipe.flip)
    views = colour_jitter(views, rest[:, 1:7], recipe)
    if images.shape[1] == 3:
        grey = rest[:, 7] < recipe.grey
        views = torch.where(grey[:, None, None, None], luminance(views), views)
    return views


def crop_boxes(tries: Tensor, corner: Tensor, height: int, width: int, recipe: Recipe) -> Tensor:
    """Boxes [n, 4] (top, left, height, width) of RandomResizedCrop: the first of ten tries that fits."""
    area = height * width * (recipe.scale[0] + (recipe.scale[1] - recipe.scale[0]) * tries[:, 0::2])
    low, high = math.log(recipe.ratio[0]), math.log(recipe.ratio[1])
    ratio = torch.exp(low + (high - low) * tries[:, 1::2])
    w, h = torch.round(torch.sqrt(area * ratio)), torch.round(torch.sqrt(area / ratio))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)
    w, h, found = w.gather(1, first)[:, 0], h.gather(1, first)[:, 0], fits.any(dim=1)
    top = torch.floor(corner[:, 0] * (height - h + 1))
    left = torch.floor(corner[:, 1] * (width - w + 1))
    # torchvision's way out when no try fits: the largest centred box of an allowed ratio.
    fallback_w = min(width, round(height * recipe.ratio[1]))
    fallback_h = min(height, round(width / recipe.ratio[0]))
    fallback = torch.tensor(
        [(height - fallback_h) // 2, (width - fallback_w) // 2, fallback_h, fallback_w], dtype=w.dtype, device=w.device
    )
    return torch.where(found[:, None], torch.stack([top, left, h, w], dim=1), fallback)


def resized_crop(images: Tensor, box: Tensor, *, flip: Tensor) -> Tensor:
    """Crop each image to its box, resize it back bilinearly and mirror it where ``flip``."""
    size_y, size_x = images.shape[-2:]
    top, left, h, w = box.unbind(1)

    def source(start: Tensor, extent: Tensor, size: int) -> Tensor:
        # Clamped to the box: a resize after a crop never sees pixels outside it.
        at = (torch.arange(size, device=box.device, dtype=box.dtype) + 0.5) / size * extent[:, None] - 0.5
        at = torch.minimum(at.clamp(min=0), extent[:, None] - 1) + start[:, None]
        return (2 * at + 1) / size - 1

    y, x = source(top, h, size_y), source(left, w, size_x)
    x = torch.where(flip[:, None], x.flip(1), x)
    grid = torch.stack([x[:, None, :].expand(-1, size_y, -1), y[:, :, None].expand(-1, -1, size_x)], dim=-1)
    return torch.nn.functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def colour_jitter(images: Tensor, u: Tensor, recipe: Recipe) -> Tensor:
    """Brightness, contrast, saturation and hue in an order drawn for each image, applied with probability p.

    Saturation and hue leave an image of one channel as it is.
    """
    chosen = u[:, 0] < recipe.jitter
    orders = _ORDERS.to(u.device)[(u[:, 1] * 24).long()]
    images = images.clone()
    for position in range(4):
        for operation in range(2 if images.shape[1] == 1 else 4):
            rows = (chosen & (orders[:, position] == operation)).nonzero()[:, 0]
            if len(rows):
                images[rows] = _JITTER[operation](images[rows], u[rows, 2 + operation, None, None, None], recipe)
    return images


def _factor(u: Tensor, strength: float) -> Tensor:
    low = max(0.0, 1 - strength)
    return low + (1 + strength - low) * u


def _brightness(images: Tensor, u: Tensor, recipe: Recipe) -> Tensor:
    return (images * _factor(u, recipe.brightness)).clamp(0, 1)


def _contrast(images: Tensor, u: Tensor, recipe: Recipe) -> Tensor:
    mean = luminance(images).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean.expand_as(images), images, _factor(u, recipe.contrast)).clamp(0, 1)


def _saturation(images: Tensor, u: Tensor, recipe: Recipe) -> Tensor:
    return torch.lerp(luminance(images).expand_as(images), images, _factor(u, recipe.saturation)).clamp(0, 1)


def _hue(images: Tensor, u: Tensor, recipe: Recipe) -> Tensor:
    hue, saturation, value = _to_hsv(images)
    hue = (hue + (2 * u[:, 0] - 1) * recipe.hue) % 1.0
    return _to_rgb(hue, saturation, value)


_JITTER = (_brightness, _contrast, _saturation, _hue)


def luminance(images: Tensor) -> Tensor:
    """Grey value [n, 1, height, width] of each image (ITU-R 601, as torchvision has it)."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(_GREY, dtype=images.dtype, device=images.device)
    return torch.einsum("nchw,c->nhw", images, weights)[:, None]


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    red, green, blue = images.unbind(1)
    value, span = images.amax(1), images.amax(1) - images.amin(1)
    saturation = span / torch.where(value == 0, torch.ones_like(value), value)
    safe = torch.where(span == 0, torch.ones_like(span), span)
    r, g, b = (value - red) / safe, (value - green) / safe, (value - blue) / safe
    hue = torch.where(value == red, b - g, torch.where(value == green, 2 + r - b, 4 + g - r))
    return (hue / 6) % 1.0, saturation, value


def _to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    # v - v s max(0, min(k, 4 - k, 1)) with k = (n + 6 h) mod 6 and n = 5, 3, 1 for red, green, blue.
    channels = []
    for n in (5, 3, 1):
        k = (n + 6 * hue) % 6
        channels.append(value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)
