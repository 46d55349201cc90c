"""Augmentations as pure functions of a batch of images and a block of uniform numbers.

Every random decision is read from ``u[n, UNIFORMS]``, so a view depends only on its image and its own row of
numbers: not on its batch, nor on threads, workers or devices. Training and measuring call the same function.
Images stay in [0, 1] throughout; normalisation comes afterwards (torchvision clamps colour jitter to [0, 1],
which destroys images that were normalised before).
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import torch
from torch import Tensor, nn

from memloc.data.augmentations import Augmentation

CROP_TRIES = 10
_COUNTS = [2 * CROP_TRIES, 2, 1, 6, 1, 1, 2, 1, 2]
"""Numbers of each decision: crop tries, crop corner, flip, jitter (apply, order, 4 factors), grey, vertical flip, blur
(apply, width), inversion, hidden patches."""
UNIFORMS = sum(_COUNTS)
"""Numbers that one view consumes."""

_ORDERS = torch.tensor(list(permutations(range(4))))
_GREY = (0.2989, 0.587, 0.114)
_KERNEL = 5


def for_encoder(augmentation: Augmentation, encoder: nn.Module) -> Augmentation:
    """The same augmentation, with patches of the encoder's size."""
    return replace(augmentation, patch=getattr(encoder, "patch", augmentation.patch))


def augment(images: Tensor, u: Tensor, augmentation: Augmentation, *, size: int | None = None) -> Tensor:
    """One view of each image: blur, negative, crop and resize, flips, colour jitter, grey, in torchvision's order.

    Patches are hidden afterwards: see ``hidden``.

    Args:
        images: [n, channels, height, width] in [0, 1], one or three channels.
        u: [n, UNIFORMS] uniform in [0, 1).
        size: side of the views; None for the images' own.

    Returns:
        [n, channels, size, size] in [0, 1].
    """
    tries, corner, flip, jitter, grey, turn, blur, invert, _ = torch.split(u, _COUNTS, dim=1)
    views = images
    if augmentation.blur:
        views = blurred(views, blur, augmentation)
    if augmentation.invert:
        views = torch.where((invert < augmentation.invert)[:, :, None, None], 1 - views, views)
    mirrored, turned = flip[:, 0] < augmentation.flip, turn[:, 0] < augmentation.turn
    if augmentation.crop or size not in (None, images.shape[-1]):
        if augmentation.crop:
            box = crop_boxes(tries, corner, images.shape[-2], images.shape[-1], augmentation)
        else:
            box = torch.tensor([0.0, 0.0, *images.shape[-2:]], device=u.device).expand(len(u), 4)
        views = resized_crop(views, box, flip=mirrored, turn=turned, size=size)
    elif augmentation.flip or augmentation.turn:
        views = torch.where(mirrored[:, None, None, None], views.flip(3), views)
        views = torch.where(turned[:, None, None, None], views.flip(2), views)
    if augmentation.jitter or augmentation.grey:
        # What follows works in place.
        views = views.clone() if views is images else views
        colour_jitter_(views, jitter, augmentation)
        if images.shape[1] == 3:
            rows = (grey[:, 0] < augmentation.grey).nonzero()[:, 0]
            views[rows] = luminance(views[rows])
    return views


def hidden(u: Tensor, augmentation: Augmentation, size: int) -> Tensor:
    """Which patches of each view the augmentation hides: a random set, of the same size in each, [n, patches] bool.

    Args:
        u: [n, UNIFORMS]; two of the numbers are mixed into one for each patch.
        size: side of the views; patches are numbered row by row.
    """
    patches = (size // augmentation.patch) ** 2
    first, second = (u[:, -2:].double() * 2**24).long().unbind(1)
    number = torch.arange(patches, device=u.device)
    # A mixing function on 32 bits: the order of its values is as good as random, and the same on every device.
    bits, keep = first[:, None] * 0x9E3779B1 + second[:, None] * 0x85EBCA6B + number * 0xC2B2AE35, 0xFFFFFFFF
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        bits &= keep
        bits = (bits ^ (bits >> shift)) * factor
    order = bits.argsort(dim=1, stable=True)
    chosen = torch.zeros(len(u), patches, dtype=torch.bool, device=u.device)
    return chosen.scatter_(1, order[:, : round(augmentation.mask * patches)], True)


def hide(images: Tensor, hidden: Tensor, *, with_nan: bool) -> Tensor:
    """Standardised images [n, c, size, size] whose hidden patches [n, patches] are grey (0), or nan to be skipped."""
    side = round(math.sqrt(hidden.shape[1]))
    patch = images.shape[-1] // side
    rows = hidden.view(-1, 1, side, side).repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    rest = images.shape[-1] - side * patch
    covered = torch.nn.functional.pad(rows, (0, rest, 0, rest)) if rest else rows
    return images.masked_fill(covered, math.nan if with_nan else 0.0)


def blurred(images: Tensor, u: Tensor, augmentation: Augmentation) -> Tensor:
    """A Gaussian blur of 5 x 5 pixels, its width drawn for each image, applied with probability ``blur``."""
    rows = (u[:, 0] < augmentation.blur).nonzero()[:, 0]
    sigma = augmentation.sigma[0] + (augmentation.sigma[1] - augmentation.sigma[0]) * u[rows, 1]
    away = torch.arange(_KERNEL, device=u.device) - _KERNEL // 2
    weights = torch.exp(-0.5 * (away / sigma[:, None]).square())
    weights = (weights / weights.sum(dim=1, keepdim=True))[:, :, None, None, None]
    edge, chosen = _KERNEL // 2, images[rows]
    for dim, padding in ((2, (0, 0, edge, edge)), (3, (edge, edge, 0, 0))):
        padded = torch.nn.functional.pad(chosen, padding, mode="reflect")
        chosen = sum(weights[:, k] * padded.narrow(dim, k, chosen.shape[dim]) for k in range(_KERNEL))  # type: ignore[assignment]
    out = images.clone()
    out[rows] = chosen.clamp(0, 1)
    return out


def crop_boxes(tries: Tensor, corner: Tensor, height: int, width: int, augmentation: Augmentation) -> Tensor:
    """Boxes [n, 4] (top, left, height, width) of RandomResizedCrop: the first of ten tries that fits."""
    area = height * width * (augmentation.scale[0] + (augmentation.scale[1] - augmentation.scale[0]) * tries[:, 0::2])
    low, high = math.log(augmentation.ratio[0]), math.log(augmentation.ratio[1])
    ratio = torch.exp(low + (high - low) * tries[:, 1::2])
    w, h = torch.round(torch.sqrt(area * ratio)), torch.round(torch.sqrt(area / ratio))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)
    w, h, any_fits = w.gather(1, first)[:, 0], h.gather(1, first)[:, 0], fits.any(dim=1)
    top = torch.floor(corner[:, 0] * (height - h + 1))
    left = torch.floor(corner[:, 1] * (width - w + 1))
    # torchvision's fallback when no try fits: the largest centred box of an allowed ratio.
    fallback_w = min(width, round(height * augmentation.ratio[1]))
    fallback_h = min(height, round(width / augmentation.ratio[0]))
    fallback = torch.tensor(
        [(height - fallback_h) // 2, (width - fallback_w) // 2, fallback_h, fallback_w], dtype=w.dtype, device=w.device
    )
    return torch.where(any_fits[:, None], torch.stack([top, left, h, w], dim=1), fallback)


def resized_crop(
    images: Tensor, box: Tensor, *, flip: Tensor, turn: Tensor | None = None, size: int | None = None
) -> Tensor:
    """Crop each image to its box, resize it bilinearly, mirror it where ``flip`` and upside down where ``turn``."""
    height, width = images.shape[-2:]
    out_y, out_x = size or height, size or width
    top, left, h, w = box.unbind(1)

    def source(start: Tensor, extent: Tensor, size: int, whole: int) -> Tensor:
        # Clamped to the box: a resize after a crop never sees pixels outside it.
        at = (torch.arange(size, device=box.device, dtype=box.dtype) + 0.5) / size * extent[:, None] - 0.5
        at = torch.minimum(at.clamp(min=0), extent[:, None] - 1) + start[:, None]
        return (2 * at + 1) / whole - 1

    y, x = source(top, h, out_y, height), source(left, w, out_x, width)
    x = torch.where(flip[:, None], x.flip(1), x)
    if turn is not None:
        y = torch.where(turn[:, None], y.flip(1), y)
    grid = torch.stack([x[:, None, :].expand(-1, out_y, -1), y[:, :, None].expand(-1, -1, out_x)], dim=-1)
    return torch.nn.functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def colour_jitter_(images: Tensor, u: Tensor, augmentation: Augmentation) -> Tensor:
    """Brightness, contrast, saturation and hue in an order drawn for each image, in place, with probability ``jitter``.

    Saturation and hue leave an image of one channel as it is.
    """
    chosen = u[:, 0] < augmentation.jitter
    orders = _ORDERS.to(u.device)[(u[:, 1] * 24).long()]
    for position in range(4):
        for operation in range(2 if images.shape[1] == 1 else 4):
            rows = (chosen & (orders[:, position] == operation)).nonzero()[:, 0]
            if len(rows):
                images[rows] = _JITTER[operation](images[rows], u[rows, 2 + operation, None, None, None], augmentation)
    return images


def _factor(u: Tensor, strength: float) -> Tensor:
    low = max(0.0, 1 - strength)
    return low + (1 + strength - low) * u


def _brightness(images: Tensor, u: Tensor, augmentation: Augmentation) -> Tensor:
    return (images * _factor(u, augmentation.brightness)).clamp_(0, 1)


def _contrast(images: Tensor, u: Tensor, augmentation: Augmentation) -> Tensor:
    mean = luminance(images).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, _factor(u, augmentation.contrast)).clamp_(0, 1)


def _saturation(images: Tensor, u: Tensor, augmentation: Augmentation) -> Tensor:
    return torch.lerp(luminance(images), images, _factor(u, augmentation.saturation)).clamp_(0, 1)


def _hue(images: Tensor, u: Tensor, augmentation: Augmentation) -> Tensor:
    # To HSV and back in few passes over memory: masks and remainders are slow here.
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    span = value - torch.minimum(torch.minimum(red, green), blue)
    # Hue in sixths of a circle times span: g - b where red is largest, else b - r + 2 span or r - g + 4 span.
    second = torch.lerp(
        torch.add(blue - red, span, alpha=2), torch.add(red - green, span, alpha=4), (value - green).sign_()
    )
    hue = torch.lerp(green - blue, second, (value - red).sign_()).div_(span.clamp(min=1e-30))
    hue += (2 * u[:, 0] - 1) * (6 * augmentation.hue)
    hue -= 6 * torch.floor(hue / 6)
    out = torch.empty_like(images)
    # Each colour is value - span * x, where x in [0, 1] grows with the distance of the hue from the colour's own.
    for channel, far in enumerate((2 - (hue - 3).abs_(), (hue - 2).abs_().sub_(1), (hue - 4).abs_().sub_(1))):
        torch.addcmul(value, far.clamp_(0, 1), span, value=-1, out=out[:, channel])
    return out


_JITTER = (_brightness, _contrast, _saturation, _hue)


def luminance(images: Tensor) -> Tensor:
    """Grey value [n, 1, height, width] of each image (ITU-R 601, as in torchvision)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = torch.split(images, 1, dim=1)
    grey = red * _GREY[0]
    return grey.add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2]).clamp_(max=1)
