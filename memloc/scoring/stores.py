"""Activations on disk, for what needs all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memloc import io
from memloc.errors import out_of_memory
from memloc.metrics.units import median_of_others

Rows = NDArray[np.int64]

JOINED = 64
"""Images whose activations are tallied together."""


class Store:
    """Activations mu [rows, units] of a pass, which a median needs and a tally can't hold.

    Args:
        path: a .npy file, mapped into memory; None keeps them in memory only.
        rows: sorted. The activations of an image that can't be read stay nan.
    """

    def __init__(self, path: Path | None, rows: Rows, units: int) -> None:
        self.rows, shape = rows, (len(rows), units)
        self.mu: NDArray[np.float32]
        if path is None:
            self.mu = np.full(shape, np.nan, dtype=np.float32)
        else:
            if not path.exists():
                # Written in full, then renamed: on a full disk a map of a file with holes would end the process.
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                with io.atomic(path) as temporary, open(temporary, "wb") as file:
                    np.lib.format.write_array_header_1_0(file, header)
                    for start in range(0, len(rows), JOINED):
                        file.write(np.full((min(JOINED, len(rows) - start), units), np.nan, dtype="<f4").tobytes())
            self.mu = np.load(path, mmap_mode="r+" if len(rows) else None, allow_pickle=False)

    @staticmethod
    def whole(path: Path, shape: tuple[int, int]) -> bool:
        """Whether a file holds activations of this shape to the end: a writable map would lengthen a short file."""
        try:
            array = np.load(path, mmap_mode="r" if shape[0] else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            if out_of_memory(error):
                raise
            return False
        return bool(array.shape == shape and array.dtype == np.float32)

    def put(self, mu: NDArray[np.floating], points: Rows) -> None:
        """Put the activations of some rows in their places."""
        self.mu[np.searchsorted(self.rows, points)] = mu

    def sync(self) -> None:
        """Write them to disk."""
        if isinstance(self.mu, np.memmap):
            self.mu.flush()


def others_median(stores: Sequence[Store], subset: Rows | None = None) -> NDArray[np.float64]:
    """Median over all rows (or ``subset``) except the one that excites a unit most, [units]; some units at a time."""
    units = stores[0].mu.shape[1]
    rows = sum(len(store.rows) for store in stores)
    step = max(1, 2**24 // max(1, rows))
    out = np.empty(units)
    for start in range(0, units, step):
        parts = [
            s.mu[:, start : start + step][slice(None) if subset is None else np.isin(s.rows, subset)] for s in stores
        ]
        mu = np.concatenate(parts)
        out[start : start + step] = median_of_others(mu[~np.isnan(mu[:, 0])].astype(np.float64))
    return out
