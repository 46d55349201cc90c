"""Opening any encoder: its module, its weights, its input, and the same network without training.

One text names an encoder, see ``open_encoder``; a module here opens those of each library. Weights are read as tensors
only, never unpickled, and no code that lies beside them is run. timm, torchvision and transformers are imported only
when an encoder needs them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from memloc.errors import InputError
from memloc.models import checkpoint
from memloc.models.architectures import Layer
from memloc.scoring.encoders import function, hugging_face, timm, torchvision, trained
from memloc.scoring.encoders.source import Source, quietly, reason

SPELLINGS = (
    "FILE.safetensors of memloc, timm:NAME, torchvision:NAME (both also with @FILE or @untrained), "
    "a Hugging Face folder, or package.module:function"
)


@dataclass(frozen=True)
class OpenEncoder:
    """An encoder that is ready to be scored.

    Attributes:
        name: as the user wrote it.
        module: in eval mode, float32; [n, 3, size, size], standardised, to [n, dim].
        size: side of its input in pixels.
        mean: of pixels in [0, 1], one number or one a channel.
        std: likewise.
        layers: of an encoder that memloc trained; None where they are to be discovered.
        absent: modules, a head only, whose weights the file lacks: they are not part of ``module``'s output.
        sha256: of the weights: their names, shapes, types and bytes.
        untrained: from a seed, the same network with fresh weights; None where nobody knows how to make it.
        augmentation: of its training, where known.
    """

    name: str
    module: nn.Module
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layers: tuple[Layer, ...] | None
    absent: tuple[str, ...]
    sha256: str
    untrained: Callable[[int], nn.Module] | None
    augmentation: str | None


def open_encoder(
    text: str, *, size: int | None = None, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> OpenEncoder:
    """Open an encoder.

    Args:
        text: one of
            ``FILE.safetensors``, an encoder that memloc trained;
            ``timm:NAME`` or ``torchvision:NAME``, with ``@FILE`` for other weights, ``@untrained`` for none;
            a folder in Hugging Face's format, ``hf:`` before it or not: of transformers or of timm;
            ``package.module:function``, called without arguments. This runs the user's code, so ``text`` must come
            from the command line.
        size: side of its input, instead of what the source says; mean and std likewise.

    Raises:
        InputError: no such encoder, weights that don't fit or can't be read, or a module that gives no [n, dim].
    """
    if size is not None and size < 1:
        raise InputError(f"size: {size}; give 1 pixel or more")
    with torch.random.fork_rng(devices=[]):
        # Weights that are drawn here (@untrained) are the same in every process.
        torch.default_generator.manual_seed(0)
        try:
            source = _open(text, size)
        except OSError as error:
            raise InputError(f"{text}: can't be read ({reason(error)})") from error
        if size is not None:
            source = replace(source, size=size)
        if source.size is None:
            raise InputError(f"{text}: doesn't say how large its input is; give --size")
        mean = _pixels("mean", text, source.mean if mean is None else mean)
        std = _pixels("std", text, source.std if std is None else std)
        module = source.module.cpu().float().eval()
        _try(text, module, source.size)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(f"{text}: its weights aren't finite ({name}); get or train them again")
    build = source.build
    return OpenEncoder(
        name=text,
        module=module,
        size=source.size,
        mean=mean,
        std=std,
        layers=source.layers,
        absent=source.absent,
        sha256=checkpoint.tensors_sha256(module.state_dict()),
        untrained=None if build is None else lambda seed: _untrained(build, seed),
        augmentation=source.augmentation,
    )


def _open(text: str, size: int | None) -> Source:
    kind, _, rest = text.partition(":")
    if kind == "timm":
        return timm.open_named(text, rest, size)
    if kind == "torchvision":
        return torchvision.open_named(text, rest, size)
    if kind == "hf" or Path(text).is_dir():
        return hugging_face.open_folder(text, Path(rest if kind == "hf" else text), size)
    if text.endswith(".safetensors"):
        return trained.open_file(Path(text), size, SPELLINGS)
    if re.fullmatch(r"[^\W\d][\w.]*:[^\W\d]\w*", text):
        return function.open_called(text)
    raise InputError(f"{text}: no such encoder; name {SPELLINGS}")


def _try(text: str, module: nn.Module, size: int) -> None:
    """Two blank images through a module, to see that it takes them and gives [n, dim]."""
    try:
        with torch.no_grad():
            out = module(torch.zeros(2, 3, size, size))
    except Exception as error:
        raise InputError(
            f"{text}: can't take images [n, 3, {size}, {size}] ({reason(error)}); try another --size or encoder"
        ) from error
    if not isinstance(out, Tensor):
        raise InputError(f"{text}: gives {type(out).__name__}; its forward must return one tensor [n, dim]")
    if out.ndim != 2 or len(out) != 2 or not out.is_floating_point():
        raise InputError(f"{text}: gives {list(out.shape)} for two images; its forward must return [n, dim]")


def _untrained(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]), quietly():
        torch.default_generator.manual_seed(seed)
        return build().float().eval()


def _pixels(key: str, text: str, value: Sequence[float] | None) -> tuple[float, ...]:
    """One number or one a channel."""
    if value is None:
        raise InputError(f"{text}: doesn't say the {key} of the pixels it was trained on; give --{key}")
    try:
        numbers = tuple(float(v) for v in value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{text}: {key} of its pixels: {value!r} isn't one or three numbers; give --{key}") from error
    if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)) or (key == "std" and min(numbers) <= 0):
        raise InputError(f"{key}: {list(value)} isn't one or three numbers{' above 0' if key == 'std' else ''}")
    return numbers
