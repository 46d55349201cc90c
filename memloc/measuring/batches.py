"""How many images, and how many numbers, are processed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from memloc import io

NEARBY = {"cpu": 2**18, "cuda": 2**27}
"""Numbers that fit a CPU's cache; on a GPU, numbers that it has room for, as launching a computation costs more there
than computing."""


def at_once(times: int, numbers: int, device: torch.device) -> int:
    """How many things of ``numbers`` numbers each to process at a time, if ``times`` as many as are nearby are fine."""
    return max(1, times * NEARBY.get(device.type, NEARBY["cuda"]) // numbers)


TOGETHER = {"cuda": 8}
"""Batches measured as one where fewer would leave the device idle; the last bits of results differ by that."""
BATCH = 25
"""Images in a batch. The images beside an image may change the last bits of its sums, so this is not an option."""


def shard(points: int, *, number: int = 1, of: int = 1) -> slice:
    """Which of ``points`` rows are part ``number`` of ``of``: whole batches, the same batches as without parts.

    Views depend on seed and point only, so joined parts have the same bytes as the whole.
    """
    batches = -(-points // BATCH)
    return slice(batches * (number - 1) // of * BATCH, min(batches * number // of * BATCH, points))


def batches_of_file(
    path: str | Path, points: NDArray[np.int64], *, device: str = "cpu"
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Images of a .npy file [n, c, h, w] and their indices there, batch by batch.

    The pages of an open memory map count as memory, so each batch opens a map and closes it at once.
    """
    size = BATCH * TOGETHER.get(device, 1)
    for start in range(0, len(points), size):
        some = points[start : start + size]
        yield np.asarray(io.load_array(path)[some]), some
