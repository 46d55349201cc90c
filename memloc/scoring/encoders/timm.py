"""Encoders that timm builds."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch

from memloc.errors import InputError
from memloc.scoring.encoders import weights
from memloc.scoring.encoders.source import Source, building, library, quietly, releases, sized, unknown_model

SPARE = 100_000_000
"""Weights that any network may have without a look at its file."""


def open_named(text: str, rest: str, size: int | None, key: str | None = None) -> Source:
    """NAME, or NAME@FILE with weights from a file."""
    timm = library("timm", text)
    name, at, file = rest.partition("@")
    # What follows a dot names pretrained weights.
    if not timm.is_model(name) or ("." in name and name not in timm.list_models(pretrained=True)):
        raise unknown_model(text, "timm", name, timm.list_models() + timm.list_models(pretrained=True))
    if at:
        return create(text, name, size, state=weights.read(text, file, key))
    return create(text, name, size, pretrained=True)


def create(
    text: str,
    name: str,
    size: int | None,
    *,
    state: weights.File | None = None,
    pretrained: bool = False,
    made_of: Mapping[str, object] | None = None,
    says: str = "",
) -> Source:
    """The model that timm calls ``name``, with the weights of ``state``, pretrained ones, or none.

    Args:
        made_of: what else its forward follows than timm.
        says: who states size, mean and std, if it isn't timm.
    """
    timm = library("timm", text)
    absent: tuple[str, ...] = ()
    said = "random, as @untrained says"

    def build(pretrained: bool = False) -> Any:  # A model has more methods than nn.Module.
        module: Any = sized(lambda **kw: timm.create_model(name, pretrained=pretrained, **kw), "img_size", size)
        if absent:
            module.reset_classifier(0)
        return module

    if state is not None and name.startswith("local-dir:"):
        _refuse_larger(text, name, size, sum(t.numel() for t in state.tensors.values()))
    with quietly(), building(text, pretrained):
        module = build(pretrained)
    with quietly():
        if state is not None:
            heads = module.get_classifier()
            heads = heads if isinstance(heads, tuple) else (heads,)
            names = [n for n, m in module.named_modules() if any(m is head for head in heads)]
            filled = weights.fill(text, module, state, names)
            absent, said = filled.absent, filled.said
            if absent:
                module.reset_classifier(0)
        wants = timm.data.resolve_model_data_config(module)
    remarks = []
    if pretrained:
        said = f"{module.pretrained_cfg.get('tag') or 'pretrained'} of timm"
        if size not in (None, wants["input_size"][-1]) and hasattr(module, "pos_embed"):
            remarks = [f"timm resizes its position embeddings from {wants['input_size'][-1]} to {size} pixels"]
    return Source(
        *(module, build, wants["input_size"][-1], wants["mean"], wants["std"]),
        absent=absent,
        says=says or f"as timm says for {name}",
        weights=said,
        cuts=_cuts(wants),
        random=state is None and not pretrained,
        remarks=tuple(remarks),
        made_of={**(made_of or {}), **releases("torch", "timm")},
    )


def _refuse_larger(text: str, name: str, size: int | None, entries: int) -> None:
    """Refuse a network of many more weights than its file has, before it is built: memory may not hold it."""
    timm = library("timm", text)
    needed = 0
    # A network that can't be sketched without memory is built as it is.
    with quietly(), contextlib.suppress(Exception), torch.device("meta"):
        sketch = sized(lambda **kw: timm.create_model(name, pretrained=False, **kw), "img_size", size)
        needed = sum(parameter.numel() for parameter in sketch.parameters())
    if needed > SPARE + 10 * entries:
        raise InputError(
            f"{text}: its config.json is of {needed:,} weights, and its file has {entries:,}; get it again"
        )


def _cuts(wants: Mapping[str, Any]) -> str:
    """How timm itself makes an image a square."""
    usual = {"interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"}
    return ", ".join(f"{key} {wants[key]}" for key, value in usual.items() if wants[key] != value)
