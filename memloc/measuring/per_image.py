"""Scores per image (``memloc.per_image``) from the measures of encoders on complementary halves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memloc.data.splits import TRAINED_ON
from memloc.errors import AGAIN, InputError
from memloc.measuring.files import NamedArrays
from memloc.measuring.units import unit_layers
from memloc.metrics.units import owners
from memloc.per_image import PerImage


def joined(
    pairs: Sequence[tuple[NamedArrays, NamedArrays]], names: Sequence[str], about: Mapping[str, Any]
) -> PerImage:
    """One file of all encoders.

    Args:
        pairs: measures of f and g.
        names: of the encoders, f and g of each pair.
        about: what the file says of itself; ``dataset`` names the source of the images.

    Raises:
        InputError: the pairs are of different images or layers.
    """
    first = pairs[0][0]
    points, layers = np.sort(first["points"]), first["layers"]
    with_units = unit_layers(first)
    parts: dict[str, list[Any]] = {name: [] for name in ("membership", "alignment")}
    for measures, role in ((measures, role) for pair in pairs for measures, role in zip(pair, "fg", strict=True)):
        order = np.argsort(measures["points"])
        if not (np.array_equal(measures["points"][order], points) and np.array_equal(measures["layers"], layers)):
            raise InputError(f"splits: the pairs are of different pools or layers; {AGAIN}")
        groups = measures["groups"][order]
        inside = np.isin(groups, TRAINED_ON[role])
        parts["membership"].append(inside)
        parts["alignment"].append(measures["alignment"][order].mean(axis=2, dtype=np.float64).astype(np.float32))
        for side, rows in (("with", inside), ("without", ~inside & (groups != "external"))):
            found = [_owners(measures[f"views/{layer}"][order], np.flatnonzero(rows)) for layer in with_units]
            parts.setdefault(f"owners_{side}", []).append(np.concatenate([owner for owner, _ in found]))
            parts.setdefault(f"activations_{side}", []).append(np.concatenate([value for _, value in found]))
    sizes = [first[f"views/{layer}"].shape[-1] for layer in with_units]
    return PerImage(
        encoders=np.array(names),
        layers=layers,
        names=np.array([f"{about['dataset']}/train/{point}" for point in points]),
        labels=first["labels"][np.argsort(first["points"])].astype(np.int64),
        unit_layers=np.repeat([list(layers).index(layer) for layer in with_units], sizes).astype(np.int64),
        about=about,
        **{name: np.stack(arrays) for name, arrays in parts.items()},
    )


def _owners(views: Any, rows: Any) -> tuple[Any, Any]:
    """The image that excites each unit most among some rows, and its activation."""
    mu = views[rows].mean(axis=1, dtype=np.float64)
    owner = owners(mu)
    return np.where(owner >= 0, rows[owner], -1), mu.max(axis=0).astype(np.float32)
