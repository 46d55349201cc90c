"""Opening any encoder: its module, its weights, its input, and the same network without training.

One text names an encoder, see ``open_encoder``; a module here opens those of each library. Weights are read as tensors
only, never unpickled, and no code that lies beside them is run. timm, torchvision and transformers are imported only
when an encoder needs them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memloc.errors import InputError
from memloc.models import checkpoint
from memloc.models.architectures import Layer
from memloc.scoring.encoders import check, function, hugging_face, timm, torchvision, trained, weights
from memloc.scoring.encoders.source import Source, numbers, quietly, reason

SPELLINGS = (
    "FILE.safetensors of memloc, timm:NAME, torchvision:NAME (both also with @FILE or @untrained), "
    "a Hugging Face folder, or package.module:function"
)

NARROWEST = 0.001
"""Least standard deviation of pixels in [0, 1]: less than a grey level, and something was divided twice."""


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
        channels: RGB or BGR, the order in which ``module`` itself hands them on: it takes RGB.
        pixels: one line on its input: size, order of channels, mean, std, how images become square.
        weights: one line on its weights: which they are, how many entries of a file, what was left out.
        remarks: one line each on what a user may not expect.
        made_of: a hash of what its forward follows besides its modules and weights: code, configuration, versions.
        training: of an encoder that memloc trained: role, seed, dataset, points, settings; else empty.
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
    channels: str = "RGB"
    pixels: str = ""
    weights: str = ""
    remarks: tuple[str, ...] = ()
    made_of: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)


def open_encoder(
    text: str,
    *,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    weights_key: str | None = None,
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
        weights_key: what names of entries in FILE begin with, to choose among several models in it.

    Raises:
        InputError: no such encoder, weights that don't fit or can't be read, or a module that gives no [n, dim], or not
            the same for the same image each time.
    """
    if weights_key is not None and not has_file(text):
        raise InputError(f"--weights-key {weights_key}: {text} has no @FILE to choose weights from; leave it out")
    return _ready(text, lambda: _open(text, size, weights_key), size=size, mean=mean, std=std)


def take_encoder(
    module: nn.Module,
    name: str,
    *,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    side: int | None = None,
) -> OpenEncoder:
    """A module that is in memory already. It is copied: neither its mode nor its device changes.

    Args:
        name: what it is called in messages.
        size, mean, std: see ``open_encoder``.
        side: of the images, which is the size where neither the caller nor the module says one.

    Raises:
        InputError: see ``open_encoder``; or it can't be copied.
    """
    return _ready(name, lambda: function.take(name, module, side), size=size, mean=mean, std=std)


def _ready(
    text: str,
    opened: Callable[[], Source],
    *,
    size: int | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> OpenEncoder:
    """A source as an encoder: checked, in eval mode, with all that is said of it."""
    if size is not None and size < 1:
        raise InputError(f"size: {size}; give 1 pixel or more")
    given = {name for name, value in (("size", size), ("mean", mean), ("std", std)) if value is not None}
    with torch.random.fork_rng(devices=[]):
        # Weights that are drawn here (@untrained) are the same in every process.
        torch.default_generator.manual_seed(0)
        try:
            source = opened()
        except OSError as error:
            raise InputError(f"{text}: can't be read ({reason(error)})") from error
        if size is not None:
            source = replace(source, size=size)
        if source.size is None:
            raise InputError(f"{text}: doesn't say how large its input is; give --size")
        mean = _pixels("mean", text, source.mean if mean is None else mean, "" if mean else source.says)
        std = _pixels("std", text, source.std if std is None else std, "" if std else source.says)
        module = source.module.cpu().float().eval()
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise InputError(f"{text}: its weights aren't finite ({name}); get or train them again")
        remarks = [*source.remarks, *check.outputs(text, module, source.size)]
    if not source.random:
        remarks += weights.untrained_remarks(module)
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
        channels=source.channels,
        pixels=_pixels_line(source, mean, std, given),
        weights=f"weights: {source.weights}",
        remarks=tuple(remarks),
        made_of=hashlib.sha256(json.dumps(source.made_of, sort_keys=True).encode()).hexdigest(),
        training=source.training,
    )


def has_file(text: str) -> bool:
    """Whether an encoder is named with a file of weights."""
    kind, _, rest = text.partition(":")
    return kind in ("timm", "torchvision") and "@" in rest and not rest.endswith("@untrained")


def _pixels_line(source: Source, mean: Sequence[float], std: Sequence[float], given: Set[str]) -> str:
    def said(key: str, value: str) -> str:
        return f"{value} (given)" if key in given else value

    parts = [said("size", f"{source.size} pixels"), source.channels]
    parts += [said("mean", f"mean {numbers(mean)}"), said("std", f"std {numbers(std)}")]
    if source.says and len(given) < 3:
        parts.append(f"{'the rest ' if given else ''}{source.says}")
    line = f"input: {', '.join(parts)}"
    if source.cuts:
        line += (
            "; memloc resizes the shorter side (bilinear) and cuts the middle square out, its own preparation differs:"
            f" {source.cuts}"
        )
    return line


def _open(text: str, size: int | None, key: str | None) -> Source:
    kind, _, rest = text.partition(":")
    if kind == "timm":
        return timm.open_named(text, rest, size, key)
    if kind == "torchvision":
        return torchvision.open_named(text, rest, size, key)
    if kind == "hf" or Path(text).is_dir():
        return hugging_face.open_folder(text, Path(rest if kind == "hf" else text), size)
    if text.endswith(".safetensors"):
        return trained.open_file(Path(text), size, SPELLINGS)
    if re.fullmatch(r"[^\W\d][\w.]*:[^\W\d]\w*", text):
        return function.open_called(text)
    raise InputError(f"{text}: no such encoder; name {SPELLINGS}")


def _untrained(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]), quietly():
        torch.default_generator.manual_seed(seed)
        return build().float().eval()


def _pixels(key: str, text: str, value: Sequence[float] | None, says: str) -> tuple[float, ...]:
    """One number or one a channel, of pixels in [0, 1].

    Args:
        says: who states them; empty if the user does.
    """
    if value is None:
        raise InputError(f"{text}: doesn't say the {key} of the pixels it was trained on; give --{key}")
    try:
        values = tuple(float(v) for v in value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{text}: {key} of its pixels: {value!r} isn't one or three numbers; give --{key}") from error
    if len(values) not in (1, 3) or not all(map(math.isfinite, values)) or (key == "std" and min(values) <= 0):
        raise InputError(f"{key}: {list(value)} isn't one or three numbers{' above 0' if key == 'std' else ''}")
    lowest = NARROWEST if key == "std" else 0
    if not lowest <= min(values) <= max(values) <= 1:
        divided = [v / 255 for v in values]
        fits = lowest <= min(divided) <= max(divided) <= 1
        way_out = f"divide by 255: --{key} {numbers(divided)}" if fits else f"give --{key} of such pixels"
        who = f"{text}: {key}" if says else key
        raise InputError(
            f"{who}: {numbers(values)}{f' ({says})' if says else ''} isn't of pixels in [0, 1], where it lies from"
            f" {lowest} to 1; {way_out}"
        )
    return values
