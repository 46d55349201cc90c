"""Encoders that timm builds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memloc.errors import InputError
from memloc.scoring.encoders import weights
from memloc.scoring.encoders.source import Source, building, library, quietly, sized, unknown_model


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
    text: str, name: str, size: int | None, *, state: weights.File | None = None, pretrained: bool = False
) -> Source:
    """The model that timm calls ``name``, with the weights of ``state``, pretrained ones, or none."""
    timm = library("timm", text)
    absent: tuple[str, ...] = ()
    said = "no weights but random ones"

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
            filled = weights.fill(text, module, state, names)
            absent, said = filled.absent, filled.said
            if absent:
                module.reset_classifier(0)
        wants = timm.data.resolve_model_data_config(module)
    remarks = []
    if pretrained:
        said = f"pretrained weights {module.pretrained_cfg.get('tag') or ''} of timm".replace("  ", " ")
        if size not in (None, wants["input_size"][-1]) and hasattr(module, "pos_embed"):
            remarks = [f"timm resizes its position embeddings from {wants['input_size'][-1]} to {size} pixels"]
    channels, height, width = wants["input_size"]
    if channels != 3 or height != width:
        raise InputError(
            f"{text}: its input_size is {channels} x {height} x {width}; only square RGB images are scored"
        )
    return Source(
        *(module, build, width, wants["mean"], wants["std"]),
        absent=absent,
        says="as timm says" + (f" for {name}" if not name.startswith("local-dir:") else " in config.json"),
        weights=said,
        cuts=_cuts(wants),
        random=state is None and not pretrained,
        remarks=tuple(remarks),
    )


def _cuts(wants: Mapping[str, Any]) -> str:
    """How timm itself makes an image a square."""
    usual = {"interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"}
    return ", ".join(f"{key} {wants[key]}" for key, value in usual.items() if wants[key] != value)
