"""Whether an encoder gives [n, dim], and for an image the same each time, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from memloc.errors import InputError
from memloc.scoring.encoders.source import reason

ROUNDING = 1e-4
"""Of the largest value: a difference up to that can come of sums in another order."""


def outputs(text: str, module: nn.Module, size: int) -> Iterator[str]:
    """Pass random images through a module in eval mode, twice and beside another image; yield remarks.

    Raises:
        InputError: it can't take them, gives something else than one vector an image, or not the same each time.
    """
    learning = [name or type(module).__name__ for name, m in module.named_modules() if m.training]
    if learning:
        raise InputError(f"{text}: {learning[0]} stays in training mode after eval(); let it follow its parent")
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        one, out = _traced(module, images[:2])
        other, _ = _traced(module, images[:2])
        with torch.no_grad():
            beside = module(images)
    except Exception as error:
        raise InputError(
            f"{text}: can't take images [n, 3, {size}, {size}] ({reason(error)}); try another --size or encoder"
        ) from error
    if not isinstance(out, Tensor):
        raise InputError(f"{text}: gives {type(out).__name__}; its forward must return one tensor [n, dim]")
    if out.ndim != 2 or len(out) != 2 or not out.is_floating_point():
        raise InputError(f"{text}: gives {list(out.shape)} for two images; its forward must return [n, dim]")
    moved = _first_difference(one, other)
    if moved is not None:
        raise InputError(
            f"{text}: gives another output each time for the same images (first in {moved or 'its forward'});"
            " take dropout, noise and random order out of its forward"
        )
    if not _close(out, beside[:2]):
        raise InputError(
            f"{text}: its output for an image depends on the others of its batch; let its normalisations use the"
            " statistics of training"
        )
    if torch.equal(out[0], out[1]):
        yield "it gives the same output for different images"


Trace = list[tuple[str, Tensor]]


def _traced(module: nn.Module, images: Tensor) -> tuple[Trace, object]:
    """Two numbers of the output of every module that is called, which tell another order too; and the output."""
    trace: Trace = []

    def note(name: str, output: object) -> None:
        for tensor in _tensors(output):
            flat = tensor.detach().flatten().float()
            ramp = torch.linspace(0.5, 1.5, len(flat), device=flat.device)
            trace.append((name, torch.stack([flat @ ramp, flat.norm()])))

    handles = [
        m.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, m in module.named_modules()
    ]
    try:
        with torch.no_grad():
            out = module(images)
    finally:
        for handle in handles:
            handle.remove()
    return trace, out


def _tensors(output: object) -> Iterable[Tensor]:
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    return [x for x in output if isinstance(x, Tensor) and x.is_floating_point()] if isinstance(output, tuple) else []


def _first_difference(one: Trace, other: Trace) -> str | None:
    for (name, a), (same, b) in zip(one, other, strict=False):
        near = float((a[0] - b[0]).abs()) <= ROUNDING * float(a[1]) or not bool(torch.isfinite(a).all())
        if name != same or not near:
            return name
    return None if len(one) == len(other) else ""


def _close(a: Tensor, b: Tensor) -> bool:
    scale = float(a.abs().max())
    return torch.allclose(a, b, rtol=0, atol=ROUNDING * scale if scale < torch.inf else torch.inf, equal_nan=True)
