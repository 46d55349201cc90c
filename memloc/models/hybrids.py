"""Encoders with some layers of another one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

NORMALISATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm)


def normalisations(encoder: nn.Module, modules: Sequence[str]) -> list[str]:
    """Names of the normalisations that the named modules are or hold."""
    return [
        name
        for name, module in encoder.named_modules()
        if isinstance(module, NORMALISATIONS) and any(f"{name}.".startswith(f"{part}.") for part in modules)
    ]


def replaced(base: nn.Module, donor: nn.Module, modules: Sequence[str], *, norms: bool) -> dict[str, Tensor]:
    """State of the base with the named modules' parameters and buffers taken from the donor.

    Args:
        norms: normalisations, too, parameters and running statistics; else the base keeps its own.
    """
    kept = [] if norms else normalisations(base, modules)
    taken = {
        key: tensor
        for key, tensor in donor.state_dict().items()
        if any(key.startswith(f"{name}.") for name in modules) and key.rpartition(".")[0] not in kept
    }
    return base.state_dict() | taken
