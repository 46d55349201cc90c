"""The layers of a configured encoder that are measured. Standard library only."""

from __future__ import annotations

from memloc.aliases import Options
from memloc.models.architectures import Layer, choose_layers
from memloc.models.frameworks import FRAMEWORKS


def layers_of(encoder: Options) -> tuple[Layer, ...]:
    """The layers of an encoder's entry, complete, that are measured.

    Raises:
        InputError: a pattern of ``measure.layers`` matches no layer.
    """
    measure, framework = encoder["measure"], FRAMEWORKS[encoder["framework"]]
    chosen = choose_layers(
        encoder["architecture"], encoder["network"], measure["layers"], sublayers=measure["sublayers"]
    )
    return tuple(layer for layer in chosen if framework.head or layer.kind != "head")


def head_measured(encoder: Options) -> bool:
    """Whether an encoder's layers include its framework's head."""
    return any(layer.kind == "head" for layer in layers_of(encoder))
