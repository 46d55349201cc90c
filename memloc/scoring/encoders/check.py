"""Whether an encoder gives [n, dim], and for an image the same each time, whatever else is in the batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from memloc.errors import InputError
from memloc.scoring.encoders.source import reason

ROUNDING = 1e-4
"""Of the largest value: a difference up to that can come of sums in another order."""


def outputs(text: str, module: nn.Module, size: int) -> Iterator[str]:
    """Pass a random image twice through a module in eval mode, each time beside another one; yield remarks.

    Raises:
        InputError: it can't take them, gives something else than one vector an image, or not the same each time.
    """
    learning = [name or type(module).__name__ for name, m in module.named_modules() if m.training]
    if learning:
        raise InputError(f"{text}: {learning[0]} stays in training mode after eval(); let it follow its parent")
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        one = _traced(module, images[:2])
        other = _traced(module, images[::2])
        # Some modules mix images in what they hand on (tokens first): only the same batch tells.
        again = one if _difference(one.first, other.first) is None else _traced(module, images[:2])
    except Exception as error:
        raise InputError(
            f"{text}: can't take images [n, 3, {size}, {size}] ({reason(error)}); try another --size or encoder"
        ) from error
    out, beside = one.output, other.output
    if not isinstance(out, Tensor) or not isinstance(beside, Tensor):
        raise InputError(f"{text}: gives {type(out).__name__}; its forward must return one tensor [n, dim]")
    if out.ndim != 2 or len(out) != 2 or not out.is_floating_point():
        raise InputError(f"{text}: gives {list(out.shape)} for two images; its forward must return [n, dim]")
    place = _difference(one.whole, again.whole)
    if place is not None:
        raise InputError(
            f"{text}: gives another output each time for the same images (first in {place or 'its forward'}); take"
            " dropout, noise and random order out of its forward"
        )
    if not _near(out[0], beside[0]):
        raise InputError(
            f"{text}: its output for an image depends on the others of its batch; let its normalisations use the"
            " statistics of training"
        )
    if torch.equal(out[0], out[1]):
        yield "it gives the same output for different images"


@dataclass
class _Trace:
    """Of the output of every module that is called, by its name: two numbers that another order changes, too.

    Attributes:
        whole: of all images.
        first: of the first image, where images come first.
        output: of the encoder.
    """

    whole: list[tuple[str, float, float]] = field(default_factory=list)
    first: list[tuple[str, float, float]] = field(default_factory=list)
    output: object = None


def _traced(module: nn.Module, images: Tensor) -> _Trace:
    trace = _Trace()

    def note(name: str, output: object) -> None:
        for tensor in _tensors(output):
            trace.whole.append((name, *_numbers(tensor)))
            trace.first.append((name, *_numbers(tensor[0] if tensor.ndim > 1 else tensor)))

    handles = [
        m.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, m in module.named_modules()
    ]
    try:
        with torch.no_grad():
            trace.output = module(images)
    finally:
        for handle in handles:
            handle.remove()
    return trace


def _tensors(output: object) -> Iterable[Tensor]:
    several = output if isinstance(output, tuple) else [output]
    return [x for x in several if isinstance(x, Tensor) and x.is_floating_point() and x.numel()]


def _numbers(tensor: Tensor) -> tuple[float, float]:
    """A weighted sum, and the size that its rounding goes by."""
    flat = tensor.detach().flatten().float()
    return float(flat @ torch.linspace(0.5, 1.5, len(flat), device=flat.device)), float(flat.norm())


def _difference(one: Sequence[tuple[str, float, float]], other: Sequence[tuple[str, float, float]]) -> str | None:
    """The name of the first module whose output differs; empty if others are called."""
    for (name, total, scale), (same, again, _) in zip(one, other, strict=False):
        if name != same or (math.isfinite(total) and not abs(total - again) <= ROUNDING * scale):
            return name
    return None if len(one) == len(other) else ""


def _near(a: Tensor, b: Tensor) -> bool:
    scale = float(a.abs().max())
    return not math.isfinite(scale) or torch.allclose(a, b, rtol=0, atol=ROUNDING * scale)
