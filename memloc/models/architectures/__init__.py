"""Architectures by name.

An entry holds what planning needs: options and layers. The networks are in the modules of this package, and importing
the entries imports no torch.

A layer has a name (the paper's numbering if it has one), the module whose raw output represents it for LayerMem, and
the module whose output holds its units' activations for UnitMem.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from memloc.aliases import Options
from memloc.errors import InputError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Layer:
    """One layer of an encoder.

    Attributes:
        name: as in tables and figures.
        representation: module whose raw output LayerMem compares (a convolution before normalisation, a linear map).
        units: module whose output channels are the units of UnitMem (after the activation); None if it has no units.
        depth: position along the forward pass, from 1.
        axis: dimension of the outputs that counts units: 1 in feature maps, -1 in tokens.
        modules: the modules whose rows pruning zeroes: the first dimension of each of their parameters counts its
            units, or its outputs if it has no units. Empty for a sum or a pool, which has no parameters.
        parts: the modules whose parameters belong to it: these are fine-tuned, replaced and counted.
        kind: one of KINDS.
    """

    name: str
    representation: str
    units: str | None
    depth: float
    axis: int = 1
    modules: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    kind: str = "sum"


KINDS = ("convolution", "attention", "fully-connected", "sum", "output", "normalisation", "pool", "head")
SUBLAYERS = KINDS[5:]
"""Kinds that are measured only if ``measure.sublayers`` is true (paper, Table 18)."""


@dataclass(frozen=True)
class Architecture:
    """An entry of ARCHITECTURES.

    Attributes:
        title: its name in prose.
        module: the module of this package with ``build(image_size=..., **fixed, **options)``, which returns a network
            from [n, 3, h, w] to [n, ``dim``].
        layers: function from options to layers, ordered by depth.
        options: JSON schema, with a default, of each key of ``network``.
        fixed: arguments of ``build`` that distinguish this entry from others of its module.
        tokens: whether it takes an image as patches.
        smallest: side of the smallest images it takes, in pixels.
    """

    title: str
    module: str
    layers: Callable[[Options], tuple[Layer, ...]]
    options: Options = field(default_factory=dict)
    fixed: Options = field(default_factory=dict)
    tokens: bool = False
    smallest: int = 16


def _convolution(name: str, conv: str, norm: str, units: str, depth: float) -> tuple[Layer, Layer]:
    """A convolution and, as a sublayer, the normalisation after it."""
    return (
        Layer(name, conv, units, depth, modules=(conv, norm), parts=(conv, norm), kind="convolution"),
        Layer(f"{name}.norm", norm, None, depth + 0.1, kind="normalisation"),
    )


def _resnet9(options: Options) -> tuple[Layer, ...]:
    blocks = [
        layer
        for i in range(1, 9)
        for layer in _convolution(str(i), f"block{i}.conv", f"block{i}.norm", f"block{i}", float(i))
    ]
    pools = [Layer(f"{i}.pool", f"block{i}.pool", None, i + 0.2, kind="pool") for i in (1, 2, 5, 6)]
    # The paper's names of the two residual sums: input of layer 3 added to 4, of layer 7 added to 8.
    sums = [Layer("res2", "res2", None, 4.5), Layer("res6", "res6", None, 8.5)] if options["residual"] else []
    return tuple(sorted(blocks + pools + sums, key=lambda layer: layer.depth)) + _end(9)


def _end(depth: float, axis: int = -1) -> tuple[Layer, Layer]:
    """The encoder's output and, as a sublayer, the output of the framework's head in training."""
    return (
        Layer("output", OUTPUT, None, depth, axis=axis, kind="output"),
        Layer("head", HEAD, None, depth + 0.5, axis=axis, kind="head"),
    )


OUTPUT, HEAD = "", "projection"
"""Modules of an encoder: itself, and its framework's head if ``memloc.models.network`` added it."""


def _resnet(blocks: Sequence[int], convolutions: int) -> Callable[[Options], tuple[Layer, ...]]:
    """Layers of a ResNet: its convolutions, named as in timm, and the output of every block, after sum and ReLU.

    Units are read after the next ReLU, which for the last convolution of a block follows the sum. Convolutions that
    only fit a block's input to the shape of its output are no layers.
    """

    def layers(options: Options) -> tuple[Layer, ...]:
        out = [*_convolution("conv1", "conv1", "bn1", "act1", 1.0)]
        if options["stem"] == "imagenet":
            out.append(Layer("conv1.pool", "maxpool", None, 1.2, kind="pool"))
        depth = 1.0
        for stage, count in enumerate(blocks, start=1):
            for block in (f"layer{stage}.{number}" for number in range(count)):
                for i in range(1, convolutions + 1):
                    depth += 1
                    conv, norm = f"{block}.conv{i}", f"{block}.bn{i}"
                    out += _convolution(conv, conv, norm, f"{block}.act{i}", depth)
                out.append(Layer(block, block, None, depth + 0.5))
        return (*out, *_end(depth + 1))

    return layers


def _vgg19(options: Options) -> tuple[Layer, ...]:
    # One sequence of modules: convolution, normalisation, ReLU, and so on; a max pool ends each stage.
    stages = [stage for stage, count in enumerate((2, 2, 4, 4, 4)) for _ in range(count)]
    out: list[Layer] = []
    for i, stage in enumerate(stages, start=1):
        row = 3 * (i - 1) + stage
        conv, norm, act = (f"features.{row + k}" for k in range(3))
        out += _convolution(f"conv{i}", conv, norm, act, float(i))
        if i == len(stages) or stages[i] != stage:
            out.append(Layer(f"conv{i}.pool", f"features.{row + 3}", None, i + 0.2, kind="pool"))
    return (*out, *_end(len(stages) + 1))


def _vit(options: Options) -> tuple[Layer, ...]:
    """Four layers a block: what attention and perceptron each add to the tokens, and the tokens after each sum.

    The units of a perceptron are its hidden units, after the GELU, so the module that makes them is its first linear
    map. Attention has no activation and no units. The paper's ResBlock rows (Table 10) are the sums.
    """
    out = []
    for i in range(1, options["depth"] + 1):
        block, depth = f"blocks.{i - 1}", 4.0 * i - 3
        attention, mlp = f"{block}.attn", f"{block}.mlp"
        proj, hidden = f"{attention}.proj", f"{mlp}.fc1"
        out += [
            Layer(f"{i}.att", proj, None, depth, -1, modules=(proj,), parts=(attention,), kind="attention"),
            Layer(f"{i}.res-att", f"{block}.norm2@input", None, depth + 1, axis=-1),
            Layer(f"{i}.fc", f"{mlp}.fc2", f"{mlp}.act", depth + 2, -1, (hidden,), (mlp,), "fully-connected"),
            Layer(f"{i}.res-fc", block, None, depth + 3, axis=-1),
        ]
    return (*out, *_end(4.0 * options["depth"] + 1))


_WIDTH = {"type": "number", "minimum": 1 / 32, "maximum": 8, "default": 1}
_STEM = {"enum": ["cifar", "imagenet"], "default": "cifar"}
_SCALE = {"type": "number", "minimum": 1 / 8, "maximum": 8, "default": 1}
_PATCH = {"type": "integer", "minimum": 1, "maximum": 1024, "default": 4}
_DEPTH = {"type": "integer", "minimum": 1, "maximum": 100, "default": 12}


def _resnet_entry(number: int, block: str, blocks: Sequence[int]) -> Architecture:
    return Architecture(
        f"ResNet{number} (He et al., 2016)",
        module="resnet",
        layers=_resnet(blocks, {"basic": 2, "bottleneck": 3}[block]),
        options={"stem": _STEM, "width": _SCALE},
        fixed={"block": block, "blocks": blocks},
    )


def _vit_entry(size: str, dim: int, heads: int) -> Architecture:
    return Architecture(
        f"ViT-{size} (Dosovitskiy et al., 2021)",
        module="vit",
        layers=_vit,
        options={"patch": _PATCH, "depth": _DEPTH, "width": _SCALE},
        fixed={"dim": dim, "heads": heads},
        tokens=True,
    )


ARCHITECTURES: dict[str, Architecture] = {
    "resnet9": Architecture(
        "ResNet9 (paper, Table 8)",
        module="resnet9",
        layers=_resnet9,
        options={"width": _WIDTH, "residual": {"type": "boolean", "default": True}},
    ),
    "resnet18": _resnet_entry(18, "basic", (2, 2, 2, 2)),
    "resnet34": _resnet_entry(34, "basic", (3, 4, 6, 3)),
    "resnet50": _resnet_entry(50, "bottleneck", (3, 4, 6, 3)),
    "vgg19": Architecture("VGG19 (Simonyan and Zisserman, 2015)", module="vgg", layers=_vgg19, smallest=32),
    "vit-tiny": _vit_entry("Tiny", 192, 3),
    "vit-small": _vit_entry("Small", 384, 6),
    "vit-base": _vit_entry("Base", 768, 12),
}


def build(name: str, options: Options, *, image_size: int) -> nn.Module:
    """A network with random weights.

    Args:
        options: complete.

    Raises:
        KeyError: ``name`` is not in ARCHITECTURES; nothing else is ever imported.
        InputError: the network can't take images of this size.
    """
    entry = ARCHITECTURES[name]
    module = importlib.import_module(f"memloc.models.architectures.{entry.module}")
    network: nn.Module = module.build(image_size=image_size, **entry.fixed, **options)
    return network


def module_path(name: str) -> str:
    """The file that holds an architecture's code, from the repository's root."""
    return f"memloc/models/architectures/{ARCHITECTURES[name].module}.py"


def choose_layers(
    name: str, options: Options, patterns: Sequence[str], *, sublayers: bool = False
) -> tuple[Layer, ...]:
    """Layers of an encoder whose names match any of the patterns (``*`` and ``?`` as in file names), by depth.

    Args:
        sublayers: whether normalisations, pools and the framework's head are included.

    Raises:
        InputError: a pattern matches no layer.
    """
    layers = [layer for layer in ARCHITECTURES[name].layers(options) if sublayers or layer.kind not in SUBLAYERS]
    for pattern in patterns:
        if not any(fnmatchcase(layer.name, pattern) for layer in layers):
            names = ", ".join(layer.name for layer in layers)
            raise InputError(f"measure.layers: {pattern!r} matches no layer of {name}; it has {names}")
    return tuple(layer for layer in layers if any(fnmatchcase(layer.name, pattern) for pattern in patterns))


def unit_modules(layers: Sequence[Layer]) -> dict[str, list[str]]:
    """The modules that make the units of each layer that has units; attention has modules and no units."""
    return {layer.name: list(layer.modules) for layer in layers if layer.units}


def block_of(layer: str) -> str:
    """Name of the block that a layer belongs to: layer4.1 for layer4.1.conv2; a layer in no block is a block itself."""
    return layer.rpartition(".")[0] or layer


def blocks_of(layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
    """The modules that make up each block, shortcuts too: the one that holds all parts of its layers, or the parts."""
    parts: dict[str, list[str]] = {}
    for layer in layers:
        if layer.parts:
            parts.setdefault(block_of(layer.name), []).extend(layer.parts)
    return {block: _parent(names) for block, names in parts.items()}


def _parent(names: Sequence[str]) -> tuple[str, ...]:
    paths = [name.split(".") for name in names]
    shared = [level[0] for level in zip(*paths, strict=False) if len(set(level)) == 1]
    return (".".join(shared),) if shared and len(names) > 1 else tuple(names)
