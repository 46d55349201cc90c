"""What a forward pass computes inside an encoder, captured by hooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from memloc.errors import InputError


@contextmanager
def capture(encoder: nn.Module, modules: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Outputs of named modules, filled anew by every forward pass of the encoder inside the block.

    Hooks see each module exactly where the encoder calls it, residual sums included. The encoder is in eval mode
    and without gradients for as long as the block lasts: measuring never moves batch-norm statistics.

    Raises:
        InputError: the encoder has no module of a name.
    """
    known, wanted = dict(encoder.named_modules()), list(modules)
    for name in wanted:
        if name not in known:
            raise InputError(f"layer {name!r}: the encoder has no such module; it has {', '.join(filter(None, known))}")
    outputs: dict[str, Tensor] = {}
    handles = [known[name].register_forward_hook(_keep(outputs, name)) for name in wanted]
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        with torch.no_grad():
            yield outputs
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training


def _keep(outputs: dict[str, Tensor], name: str):  # type: ignore[no-untyped-def]
    def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
        outputs[name] = output

    return hook
