"""One pass over images that measures every layer at once: alignment for LayerMem, activations for UnitMem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc.augment import UNIFORMS, Recipe, augment
from memloc.capture import capture
from memloc.encoders import Layer
from memloc.errors import InputError
from memloc.network import Normalise
from memloc.streams import uniforms

HALVES = 2
"""Draws are split in two: groups are chosen on one half and scored on the other."""


@dataclass(frozen=True)
class Measures:
    """What one encoder does with n images.

    Attributes:
        alignment: [n, layers, HALVES] mean distance between pairs of views, within each half of the draws.
        views: by layer name, [n, HALVES, units] mean activation over augmented views, within each half of the draws.
        plain: by layer name, [n, units] activation of the image as it is.
        features: [n, dim] output of the encoder on the image as it is.
    """

    alignment: NDArray[np.float32]
    views: dict[str, NDArray[np.float32]]
    plain: dict[str, NDArray[np.float32]]
    features: NDArray[np.float32]


def measure(
    encoder: nn.Module,
    images: NDArray[np.uint8],
    points: NDArray[np.int64],
    *,
    layers: Sequence[Layer],
    recipe: Recipe,
    normalise: Normalise,
    draws: int,
    seed: int,
    batch: int = 25,
    device: str = "cpu",
) -> Measures:
    """Alignment and activations of all layers over ``draws`` augmented views and the plain image.

    A_h(x) = E d(h(x'), h(x'')) over pairs of views x', x'' ~ Aug(x) (paper, Eq. 1) with d the l2 distance between
    flattened outputs scaled to unit length; mu_u(x) = E act_u(x') with act the mean over positions (Eq. 5). Views
    depend on ``seed`` and the point only, so f and g see the same ones.

    Args:
        images: [n, c, h, w] uint8.
        points: [n] the images' indices in their dataset.
        draws: views of each image, an even number of at least 4.

    Raises:
        InputError: a layer's output isn't finite.
    """
    units = {layer.name: layer.units for layer in layers if layer.units}
    modules = sorted({layer.representation for layer in layers} | set(units.values()))
    alignment, features = [], []
    views: dict[str, list[Tensor]] = {name: [] for name in units}
    plain: dict[str, list[Tensor]] = {name: [] for name in units}
    encoder.to(device)
    with capture(encoder, modules) as outputs:
        for start in range(0, len(points), batch):
            rows = slice(start, start + batch)
            clean = torch.from_numpy(np.array(images[rows])).to(device).float().div_(255)
            u = torch.from_numpy(uniforms(seed, points[rows], (draws, UNIFORMS))).to(device)
            drawn = augment(clean.repeat_interleave(draws, dim=0), u.flatten(0, 1), recipe)
            encoder(normalise(drawn))
            _finite(outputs)
            alignment.append(torch.stack([_alignment(outputs[x.representation], draws) for x in layers], dim=1))
            for name, module in units.items():
                seen = _activation(outputs[module])
                views[name].append(seen.view(-1, HALVES, draws // HALVES, seen.shape[1]).mean(dim=2))
            features.append(encoder(normalise(clean)))
            _finite({**outputs, "output": features[-1]})
            for name, module in units.items():
                plain[name].append(_activation(outputs[module]))
    return Measures(
        alignment=_join(alignment),
        views={name: _join(parts) for name, parts in views.items()},
        plain={name: _join(parts) for name, parts in plain.items()},
        features=_join(features),
    )


def _alignment(output: Tensor, draws: int) -> Tensor:
    """Mean distance over all pairs of views within each half of the draws, [n, HALVES]."""
    unit = nn.functional.normalize(output.flatten(1)).view(-1, HALVES, draws // HALVES, output[0].numel())
    # Differences, not 2 - 2 a.b: that cancels in single precision where views lie close together.
    pairs = combinations(range(draws // HALVES), 2)
    return torch.stack([(unit[:, :, i] - unit[:, :, j]).norm(dim=-1) for i, j in pairs]).mean(dim=0)


def _activation(output: Tensor) -> Tensor:
    """Mean over positions of each unit's activation, [n, units]."""
    return output.flatten(2).mean(dim=2)


def _finite(outputs: dict[str, Tensor]) -> None:
    for name, output in outputs.items():
        if not torch.isfinite(output).all():
            raise InputError(f"layer {name}: output isn't finite; the encoder is damaged, train it again")


def _join(parts: list[Tensor]) -> NDArray[np.float32]:
    joined: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return joined


def pack(measures: Measures, layers: Sequence[Layer], **about: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The arrays of one measures file: ``about`` each image, by layer name what was measured."""
    arrays: dict[str, NDArray[Any]] = {
        **about,
        "layers": np.array([layer.name for layer in layers]),
        "alignment": measures.alignment,
        "features": measures.features,
    }
    for name in measures.views:
        arrays[f"views/{name}"] = measures.views[name]
        arrays[f"plain/{name}"] = measures.plain[name]
    return arrays
