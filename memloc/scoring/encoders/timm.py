"""Encoders that timm builds."""

from __future__ import annotations

from typing import Any

from memloc.scoring.encoders import weights
from memloc.scoring.encoders.source import Source, building, library, quietly, sized, unknown_model


def open_named(text: str, rest: str, size: int | None) -> Source:
    """NAME, or NAME@FILE with weights from a file."""
    timm = library("timm", text)
    name, at, file = rest.partition("@")
    # What follows a dot names pretrained weights.
    if not timm.is_model(name) or ("." in name and name not in timm.list_models(pretrained=True)):
        raise unknown_model(text, "timm", name, timm.list_models() + timm.list_models(pretrained=True))
    if at:
        return create(text, name, size, state=weights.read(text, file))
    return create(text, name, size, pretrained=True)


def create(
    text: str, name: str, size: int | None, *, state: weights.State | None = None, pretrained: bool = False
) -> Source:
    """The model that timm calls ``name``, with the weights of ``state``, pretrained ones, or none."""
    timm = library("timm", text)
    absent: tuple[str, ...] = ()

    def build(pretrained: bool = False) -> Any:  # A model has more methods than nn.Module.
        module: Any = sized(lambda **kw: timm.create_model(name, pretrained=pretrained, **kw), "img_size", size)
        if absent:
            module.reset_classifier(0)
        return module

    with quietly(), building(text, pretrained):
        module = build(pretrained)
    with quietly():
        if state is not None:
            heads = module.get_classifier()
            heads = heads if isinstance(heads, tuple) else (heads,)
            names = [n for n, m in module.named_modules() if any(m is head for head in heads)]
            absent = weights.fill(text, module, state, names)
            if absent:
                module.reset_classifier(0)
        wants = timm.data.resolve_model_data_config(module)
    return Source(module, build, wants["input_size"][-1], wants["mean"], wants["std"], absent=absent)
