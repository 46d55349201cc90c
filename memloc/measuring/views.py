"""The views that an encoder is measured on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memloc.data.augment import augment, hidden, hide
from memloc.data.augmentations import Augmentation
from memloc.measuring.batches import at_once
from memloc.models.network import Normalise


def with_views(
    images: NDArray[np.uint8],
    u: Tensor,
    augmentation: Augmentation,
    normalise: Normalise,
    *,
    plain: bool,
    room: Tensor | None = None,
    nan: bool = False,
) -> Tensor:
    """An encoder's input: the standardised views of each image in a row, after the image itself if ``plain``.

    Args:
        images: [n, c, h, w].
        u: [n, draws, UNIFORMS], on the device of the result.
        room: an earlier result, overwritten if it has the shape.
        nan: hidden patches are nan instead of grey, for an encoder that leaves them out.

    Returns:
        [n * (draws + plain), 3, h, w].
    """
    n, draws = u.shape[:2]
    shape = (n * (draws + plain), 3, *images.shape[2:])
    if room is None or room.shape != shape:
        room = torch.empty(shape, device=u.device).to(memory_format=torch.channels_last)
    out = room.unflatten(0, (n, draws + plain))  # type: ignore[no-untyped-call]
    # Some images at a time, so that intermediate results stay in the cache.
    step = at_once(4, draws * images[0].size, u.device)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        clean = torch.from_numpy(np.array(images[rows])).to(u.device).float().div_(255)
        views = augment(clean.repeat_interleave(draws, dim=0), u[rows].flatten(0, 1), augmentation)
        standard = normalise(views)
        if augmentation.mask:
            standard = hide(standard, hidden(u[rows].flatten(0, 1), augmentation, standard.shape[-1]), with_nan=nan)
        out[rows, plain:] = standard.unflatten(0, (-1, draws))  # type: ignore[no-untyped-call]
        if plain:
            out[rows, 0] = normalise(clean)
    return room
