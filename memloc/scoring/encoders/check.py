"""Whether an encoder gives [n, dim], and for an image the same each time, whatever else is in the batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor, nn

from memloc.errors import InputError
from memloc.scoring.encoders.source import reason

ROUNDING = 1e-4
"""Of the largest value: a difference up to that can come of sums in another order."""
BATCHES = 1e-3
"""Likewise between batches of several sizes, which are computed in several ways."""
TINY = 1e-30
"""Below that float32 has few digits left, and any way of computing rounds otherwise."""
PERIOD = 65_537
"""Values after which weights repeat: a prime, as no dimension of a tensor is likely to be."""


def outputs(text: str, module: nn.Module, size: int) -> Iterator[str]:
    """Pass three random images, each alone and all together, through a module in eval mode; yield remarks.

    Raises:
        InputError: it can't take them, gives something else than one vector an image, or not the same each time.
    """
    learning = [name or type(module).__name__ for name, m in module.named_modules() if m.training]
    if learning:
        raise InputError(f"{text}: {learning[0]} stays in training mode after eval(); let it follow its parent")
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        out, mixed = _together(module, images, alone := [_traced(module, image[None]) for image in images])
        again = _traced(module, images[:1])
    except Exception as error:
        raise InputError(
            f"{text}: can't take images [n, 3, {size}, {size}] ({reason(error)}); try another --size or encoder"
        ) from error
    outs: list[Tensor] = []
    for count, found in ((3, out), *((1, one.output) for one in alone)):
        if not isinstance(found, Tensor):
            raise InputError(f"{text}: gives {type(found).__name__}; its forward must return one tensor [n, dim]")
        if found.ndim != 2 or len(found) != count or not found.is_floating_point():
            number = "three images" if count > 1 else "one image"
            raise InputError(f"{text}: gives {list(found.shape)} for {number}; its forward must return [n, dim]")
        outs.append(found)
    place = _difference(alone[0].calls, again.calls)
    if place is not None:
        raise InputError(
            f"{text}: gives another output each time for the same images (first in {place or 'its forward'}); take"
            " dropout, noise and random order out of its forward"
        )
    whole, *single = outs
    if mixed is None and not _near(torch.cat(single), whole):
        mixed = ""
    if mixed is not None:
        raise InputError(
            f"{text}: its output for an image depends on the others of its batch (first in {mixed or 'its forward'});"
            " let its normalisations use the statistics of training, and its other parts take images first"
        )
    if torch.equal(whole[0], whole[1]):
        yield "it gives the same output for different images"


@dataclass(frozen=True)
class _Call:
    """Of one tensor that a module gave: its shape, and two numbers that another order changes, too."""

    name: str
    shape: tuple[int, ...]
    total: float
    scale: float


@dataclass
class _Trace:
    """Every tensor that a module gave, in the order of calls, and the encoder's output."""

    calls: list[_Call] = field(default_factory=list)
    output: object = None


def _traced(module: nn.Module, images: Tensor) -> _Trace:
    trace = _Trace()
    trace.output = _observed(
        module, images, lambda name, tensor: trace.calls.append(_Call(name, tuple(tensor.shape), *_numbers(tensor)))
    )
    return trace


def _together(module: nn.Module, images: Tensor, alone: Sequence[_Trace]) -> tuple[object, str | None]:
    """The output for all images, and the name of the first module that gives others than for each alone.

    Modules that are called another number of times are left out, as what they give can't be told apart.
    """
    seen: list[tuple[str, bool]] = []

    def compare(name: str, tensor: Tensor) -> None:
        calls = [one.calls[len(seen)] for one in alone if len(seen) < len(one.calls)]
        same = len(calls) == len(alone) and all(call.name == name for call in calls)
        seen.append((name, not same or _holds(tensor, calls)))

    out = _observed(module, images, compare)
    comparable = all(len(one.calls) == len(seen) for one in alone)
    return out, next((name for name, fits in seen if not fits), None) if comparable else None


def _holds(tensor: Tensor, calls: Sequence[_Call]) -> bool:
    """Whether a tensor is what was given for each image, joined in whatever order along one dimension."""
    shape, n = calls[0].shape, len(calls)
    if any(call.shape != shape for call in calls) or len(shape) != tensor.ndim:
        return True
    longer = [d for d, (one, all_of) in enumerate(zip(shape, tensor.shape, strict=True)) if one != all_of]
    if len(longer) != 1 or tensor.shape[longer[0]] != n * shape[longer[0]]:
        return True  # It holds nothing of single images, such as a table of positions.
    (d,) = longer
    scale = max(call.scale for call in calls)
    for inner in (i for i in range(shape[d], 0, -1) if shape[d] % i == 0):
        parts = tensor.detach().reshape(*shape[:d], shape[d] // inner, n, inner, *shape[d + 1 :])
        numbers = [_numbers(parts.select(d + 1, i).reshape(shape))[0] for i in range(n)]
        if all(_close(call.total, number, BATCHES * scale) for call, number in zip(calls, numbers, strict=True)):
            return True
    return False


def _observed(module: nn.Module, images: Tensor, note: Callable[[str, Tensor], None]) -> object:
    """The output of a module; ``note`` gets each tensor of floats that a module in it gives."""

    def each(name: str, output: object) -> None:
        for tensor in _tensors(output):
            note(name, tensor)

    handles = [
        m.register_forward_hook(lambda _, __, output, name=name: each(name, output))
        for name, m in module.named_modules()
    ]
    try:
        with torch.no_grad():
            return module(images.clone())  # Some write into their input.
    finally:
        for handle in handles:
            handle.remove()


def _tensors(output: object) -> Iterable[Tensor]:
    several = output if isinstance(output, tuple) else [output]
    return [x for x in several if isinstance(x, Tensor) and x.is_floating_point() and x.numel()]


def _numbers(tensor: Tensor) -> tuple[float, float]:
    """A weighted sum, and the size that its rounding goes by."""
    flat = tensor.detach().flatten().float()
    weights = _weights().repeat(-(-len(flat) // PERIOD))[: len(flat)]
    return float(flat.cpu() @ weights), float(flat.norm())


@cache
def _weights() -> Tensor:
    """Random numbers around 0, so that a rounding that all values share doesn't add up."""
    return torch.randn(PERIOD, generator=torch.Generator().manual_seed(1))


def _difference(one: Sequence[_Call], other: Sequence[_Call]) -> str | None:
    """The name of the first module whose output differs; empty if others are called."""
    for a, b in zip(one, other, strict=False):
        if a.name != b.name or not _close(a.total, b.total, ROUNDING * a.scale):
            return a.name
    return None if len(one) == len(other) else ""


def _close(a: float, b: float, most: float) -> bool:
    return not math.isfinite(a) or abs(a - b) <= most + TINY


def _near(a: Tensor, b: Tensor) -> bool:
    scale = float(a.abs().max())
    return not math.isfinite(scale) or torch.allclose(a, b, rtol=0, atol=BATCHES * scale + TINY)
