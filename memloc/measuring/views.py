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
    """What an encoder is shown: standardised views of each image in a row, behind the image itself if ``plain``.

    Args:
        images: [n, c, h, w].
        u: [n, draws, UNIFORMS], on the device of the result.
        room: a result of the same shape to be overwritten.
        nan: hidden patches are nan, for an encoder that leaves them out, not grey.

    Returns:
        [n * (draws + plain), 3, h, w].
    """
    n, draws = u.shape[:2]
    shape = (n * (draws + plain), 3, *images.shape[2:])
    if room is None or room.shape != shape:
        room = torch.empty(shape, device=u.device).to(memory_format=torch.channels_last)
    out = room.unflatten(0, (n, draws + plain))  # type: ignore[no-untyped-call]
    # Some images at a time: what happens to them on the way stays near.
    step = at_once(4, draws * images[0].size, u.device)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        clean = torch.from_numpy(np.array(images[rows])).to(u.device).float().div_(255)
        views = augment(clean.repeat_interleave(draws, dim=0), u[rows].flatten(0, 1), augmentation)
        shown = normalise(views)
        if augmentation.mask:
            shown = hide(shown, hidden(u[rows].flatten(0, 1), augmentation, shown.shape[-1]), with_nan=nan)
        out[rows, plain:] = shown.unflatten(0, (-1, draws))  # type: ignore[no-untyped-call]
        if plain:
            out[rows, 0] = normalise(clean)
    return room
