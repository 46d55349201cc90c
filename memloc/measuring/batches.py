"""How many images, and how many numbers, are worked on at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from memloc import io

NEARBY = {"cpu": 2**18, "cuda": 2**27}
"""Numbers that stay in a CPU's cache, or that a GPU has room for, where starting a computation takes longer than it."""


def at_once(times: int, numbers: int, device: torch.device) -> int:
    """How many things of so many numbers to work on at a time, where ``times`` as many as are nearby will do."""
    return max(1, times * NEARBY.get(device.type, NEARBY["cuda"]) // numbers)


TOGETHER = {"cuda": 8}
"""Batches that are measured as one where it takes as many to keep a device busy; last bits differ by that."""
BATCH = 25
"""Images in a batch: how many lie beside each other may change the last bits of sums, so this is no option."""


def shard(points: int, *, number: int = 1, of: int = 1) -> slice:
    """Which of so many points are part ``number`` of ``of``: whole batches, the same ones that there are without parts.

    Views depend on seed and point only, so parts that are joined have the same bytes as the whole.
    """
    batches = -(-points // BATCH)
    return slice(batches * (number - 1) // of * BATCH, min(batches * number // of * BATCH, points))


def windows(
    path: str | Path, points: NDArray[np.int64], *, device: str = "cpu"
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Batches of images of a .npy file and their indices there.

    A map's pages count as memory as long as it is open, so each batch has one of its own that is dropped at once.
    """
    batch = BATCH * TOGETHER.get(device, 1)
    for start in range(0, len(points), batch):
        some = points[start : start + batch]
        yield np.asarray(io.load_array(path)[some]), some
