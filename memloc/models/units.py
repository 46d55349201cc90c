"""Single units of an encoder: chosen by their values, zeroed, or made all that training can change."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from memloc.streams import generator

Units = Mapping[str, NDArray[np.float64]]
"""Values of units by layer, [units]."""
Rows = Mapping[str, NDArray[np.int64]]
"""Numbers of units by layer."""


def choose(values: Units, *, fraction: float, by: str, seed: int, scope: str = "layer") -> dict[str, NDArray[np.int64]]:
    """Units to prune in each layer: those of highest or lowest values, or at random.

    Args:
        values: of each unit (UnitMem), by layer, [units].
        by: top, low or random. Ties go to the lower unit, of the earlier layer.
        scope: layer, the fraction of each layer's units; or total, of all units by one ranking.
    """
    if scope not in ("layer", "total"):
        raise ValueError(f"scope {scope!r} is none of layer, total")
    pools = values if scope == "layer" else {"all units": np.concatenate([*values.values()])}
    chosen = {}
    for name, pool in pools.items():
        if by == "random":
            order = generator("prune", seed, name).permutation(len(pool))
        elif by in ("top", "low"):
            order = np.argsort(-pool if by == "top" else pool, kind="stable")
        else:
            raise ValueError(f"by {by!r} is none of top, low, random")
        chosen[name] = np.sort(order[: round(fraction * len(pool))])
    return chosen if scope == "layer" else by_layer(chosen["all units"], values)


def by_layer(rows: NDArray[np.int64], like: Units) -> dict[str, NDArray[np.int64]]:
    """Numbers of units counted through all layers, to numbers within each."""
    start, out = 0, {}
    for layer, values in like.items():
        out[layer] = rows[(rows >= start) & (rows < start + len(values))] - start
        start += len(values)
    return out


def prune(
    encoder: nn.Module, units: Mapping[str, NDArray[np.int64]], modules: Mapping[str, Sequence[str]]
) -> nn.Module:
    """A copy of the encoder in which the units put out exactly zero after their block.

    Zeroing a convolution's weights alone would leave batch normalisation's shift; its scale and shift are zeroed too.

    Args:
        units: by layer, numbers of its units.
        modules: by layer, the modules that make it (``Layer.modules``).
    """
    pruned = copy.deepcopy(encoder)
    with torch.no_grad():
        for layer, rows in units.items():
            index = torch.from_numpy(rows)
            for name in modules[layer]:
                for parameter in pruned.get_submodule(name).parameters():
                    parameter[index] = 0
    return pruned


def isolate(
    encoder: nn.Module, units: Mapping[str, Sequence[int]], modules: Mapping[str, Sequence[str]]
) -> list[nn.Parameter]:
    """Make single units all that training can change (paper, Table 13): their filters, biases and normalisation.

    Everything else is frozen, batch-norm statistics too as long as the encoder stays in eval mode, and the gradient of
    every other unit of these layers is exactly zero.

    Args:
        units: by layer, numbers of the units to train.
        modules: by layer, the modules that make it.

    Returns:
        Parameters to give to an optimizer without weight decay, which would move the others too.
    """
    encoder.eval().requires_grad_(False)
    trained = []
    for layer, rows in units.items():
        for name in modules[layer]:
            for parameter in encoder.get_submodule(name).parameters():
                mask = torch.zeros_like(parameter)
                mask[list(rows)] = 1
                parameter.requires_grad_(True)
                parameter.register_hook(lambda gradient, mask=mask: gradient * mask)  # type: ignore[no-untyped-call]
                trained.append(parameter)
    return trained


def magnitudes(encoder: nn.Module, modules: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.float64]]:
    """L2 norm of every unit's own weights, its filter's, over the mean of its layer.

    Filters of a few weights and of thousands are ranked together by what they are among their like. Scale and shift of
    a normalisation are no weights of the filter.
    """
    out = {}
    for layer, names in modules.items():
        weights = [p.detach().cpu().double() for name in names for p in encoder.get_submodule(name).parameters()]
        filters = [weight.flatten(1) for weight in weights if weight.dim() > 1]
        out[layer] = over_mean(torch.cat(filters, dim=1).norm(dim=1).numpy())
    return out


def over_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values over their mean, or as they are where that is 0."""
    return values / (values.mean() or 1.0)
