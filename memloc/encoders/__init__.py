"""Encoders by name. Each entry lists its layers and builds the network; torch is imported only to build.

A layer has a name (paper's numbering where there is one), the module whose raw output represents it for
LayerMem and the module whose output holds its units' activations for UnitMem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from memloc.errors import InputError

if TYPE_CHECKING:
    from memloc.encoders.resnet9 import ResNet9


@dataclass(frozen=True)
class Layer:
    """One layer of an encoder.

    Attributes:
        name: as in tables and figures.
        representation: module whose raw output LayerMem compares (a convolution, before normalisation).
        units: module whose output channels are the units of UnitMem (after the activation); None for none.
        depth: position along the forward pass, from 1.
        axis: dimension of the outputs that counts units: 1 in feature maps, -1 in tokens.
    """

    name: str
    representation: str
    units: str | None
    depth: float
    axis: int = 1


@dataclass(frozen=True)
class Encoder:
    """An entry of ENCODERS: ``build(width)`` gives a module with ``dim`` outputs and the layers named here."""

    build: Callable[[float], ResNet9]
    layers: tuple[Layer, ...]
    blocks: tuple[str, ...]
    """Layers with parameters, first to last: what can be pruned and fine-tuned."""


def _resnet9(width: float) -> ResNet9:
    from memloc.encoders.resnet9 import ResNet9

    return ResNet9(width)


_BLOCKS = tuple(str(i) for i in range(1, 9))

ENCODERS: dict[str, Encoder] = {
    "resnet9": Encoder(
        build=_resnet9,
        layers=tuple(
            sorted(
                [Layer(i, f"block{i}.conv", f"block{i}", float(i)) for i in _BLOCKS]
                # The paper's names of the two residual sums: input of layer 3 added to 4, of layer 7 added to 8.
                + [Layer("res2", "res2", None, 4.5), Layer("res6", "res6", None, 8.5)],
                key=lambda layer: layer.depth,
            )
        ),
        blocks=_BLOCKS,
    ),
}


def choose_layers(encoder: str, patterns: list[str]) -> tuple[Layer, ...]:
    """Layers of an encoder whose names match any of the patterns (``*`` and ``?`` as in file names), by depth.

    Raises:
        InputError: a pattern matches no layer.
    """
    layers = ENCODERS[encoder].layers
    for pattern in patterns:
        if not any(fnmatchcase(layer.name, pattern) for layer in layers):
            names = ", ".join(layer.name for layer in layers)
            raise InputError(f"measure.layers: {pattern!r} matches no layer of {encoder}; it has {names}")
    return tuple(layer for layer in layers if any(fnmatchcase(layer.name, pattern) for pattern in patterns))
