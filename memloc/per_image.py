"""Scores for others: which encoder was trained on which image, and how it aligns each, in one file.

``snakemake per_image`` writes ``results/per_image/<encoder>.npz`` for encoders on complementary halves, and
``memloc score --members`` writes ``per_image.npz``. ``load`` reads either; so does ``numpy.load``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc import io
from memloc.data.prepared import array_sha256
from memloc.errors import InputError, show
from memloc.metrics.membership import DEALS, Memorization, memorization
from memloc.provenance import RECORD, Record

AXES = {
    "encoders": "e",
    "layers": "l",
    "names": "i",
    "labels": "i",
    "membership": "ei",
    "alignment": "eil",
    "unit_layers": "u",
    "owners_with": "eu",
    "activations_with": "eu",
    "owners_without": "eu",
    "activations_without": "eu",
}
"""Axes of each array: encoders, images, layers, units."""
KINDS = {"membership": "b", **dict.fromkeys(("encoders", "layers", "names"), "U")}
KINDS |= dict.fromkeys(("labels", "unit_layers", "owners_with", "owners_without"), "i")
KINDS |= dict.fromkeys(("alignment", "activations_with", "activations_without"), "f")
"""Kind of numpy's type of each array."""
NORMALISATIONS = ("ratio", "range", "none")
"""Of SSLMem, see ``memloc.metrics.alignment.sslmem``."""


@dataclass(frozen=True)
class PerImage:
    """Arrays over encoders, images, layers and units.

    Attributes:
        encoders: [encoders] names.
        layers: [layers] names, from input to output.
        names: [images] names: a path, or ``<source>/train/<row>`` of a dataset, counted after classes were chosen.
        labels: [images] classes; -1 where none are known.
        membership: [encoders, images] whether the encoder was trained on the image. An image in none is external.
        alignment: [encoders, images, layers] mean distance between views of the image (paper, Eq. 1), float32.
        unit_layers: [units] number of the layer that a unit belongs to; units of a layer in order. Empty where none
            were measured.
        owners_with: [encoders, units] which image that the encoder had excites the unit most; -1 if none does.
        activations_with: [encoders, units] that image's activation, mean over views.
        owners_without, activations_without: likewise of the images of the pool that it hadn't.
        about: source of the images, settings; ``normalisation`` is of SSLMem.
    """

    encoders: NDArray[np.str_]
    layers: NDArray[np.str_]
    names: NDArray[np.str_]
    labels: NDArray[np.int64]
    membership: NDArray[np.bool_]
    alignment: NDArray[np.float32]
    unit_layers: NDArray[np.int64]
    owners_with: NDArray[np.int64]
    activations_with: NDArray[np.float32]
    owners_without: NDArray[np.int64]
    activations_without: NDArray[np.float32]
    about: Mapping[str, Any]

    @property
    def pool(self) -> NDArray[np.int64]:
        """Numbers of the images that some encoder was trained on."""
        return np.flatnonzero(self.membership.any(axis=0))

    def memorization(self, *, deals: int = DEALS) -> Memorization:
        """Memorization of the images of the pool at every layer, as the study tells it.

        Raises:
            InputError: membership tells nothing, as where one half alone has images of a class.
        """
        pool, normalisation = self.pool, self.about["normalisation"]
        try:
            return memorization(
                self.alignment[:, pool].astype(np.float64),
                self.membership[:, pool],
                self.labels[pool],
                normalisation=normalisation,
                deals=deals,
            )
        except LookupError as error:
            alone = show(self.encoders[error.args[0]])
            raise InputError(f"scores per image: {alone} has no partner, as others have one; leave it out") from error
        except ValueError as error:
            raise InputError(f"scores per image: {error}; leave out what has no other side") from error

    @property
    def sha256(self) -> str:
        """Hash of the arrays."""
        return array_sha256(*(getattr(self, name) for name in AXES))

    def save(self, path: str | Path, record: Record) -> None:
        """Write the arrays and a record, which holds ``about`` and their hash, as an uncompressed .npz."""
        stated = {**record, "about": dict(self.about), "sha256": self.sha256}
        io.save_arrays({name: getattr(self, name) for name in AXES}, path, stated)


def no_units(encoders: int) -> dict[str, Any]:
    """The arrays of units where none were measured."""
    sides = ("with", "without")
    return {
        "unit_layers": np.zeros(0, dtype=np.int64),
        **{f"owners_{side}": np.zeros((encoders, 0), dtype=np.int64) for side in sides},
        **{f"activations_{side}": np.zeros((encoders, 0), dtype=np.float32) for side in sides},
    }


def load(path: str | Path) -> PerImage:
    """Read a file of scores per image.

    Raises:
        InputError: it can't be read, or its arrays or its record aren't those of such a file.
    """
    arrays = io.load_arrays(path)
    stated = io.as_text(arrays.pop(RECORD, None))
    if set(arrays) != {*AXES}:
        raise InputError(f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}, no scores per image; get it again")
    sizes: dict[str, int] = {}
    for name, axes in AXES.items():
        array = arrays[name]
        fits = array.ndim == len(axes) and array.dtype.kind == KINDS[name]
        if not fits or any(sizes.setdefault(a, n) != n for a, n in zip(axes, array.shape, strict=True)):
            raise InputError(
                f"{path}: {name} is {array.dtype} {list(array.shape)}, which fits no other array; get it again"
            )
        io.finite(path, name, array)
    try:
        record = json.loads(stated or "")
        about, sha256 = record["about"], record["sha256"]
        normalisation = about["normalisation"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: its record, which says how to read it, is missing or damaged; get it again"
        ) from error
    if normalisation not in NORMALISATIONS:
        of = show(repr(normalisation))
        raise InputError(f"{path}: normalisation {of} is none of {', '.join(NORMALISATIONS)}; get it again")
    scores = PerImage(**arrays, about=about)
    _check_values(path, scores)
    if scores.sha256 != sha256:
        raise InputError(f"{path}: holds other arrays than were written; get it again")
    return scores


def _check_values(path: str | Path, scores: PerImage) -> None:
    for name in ("encoders", "names"):
        values, counts = np.unique(getattr(scores, name), return_counts=True)
        if (counts > 1).any():
            raise InputError(f"{path}: {name}: {show(values[counts.argmax()])} is there twice; get it again")
    images, layers = len(scores.names), len(scores.layers)
    of_owners = dict.fromkeys(("owners_with", "owners_without"), (-1, images - 1))
    for name, (low, high) in {"alignment": (0, np.inf), "unit_layers": (0, layers - 1), **of_owners}.items():
        values = getattr(scores, name)
        if (wrong := values[(values < low) | (values > high)]).size:
            raise InputError(f"{path}: {name} has {wrong[0]}, which isn't from {low} to {high}; get it again")
