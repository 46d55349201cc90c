"""Encoders that torchvision builds."""

from __future__ import annotations

from torch import nn

from memloc.scoring.encoders import weights
from memloc.scoring.encoders.source import Source, building, library, quietly, sized, unknown_model


def open_named(text: str, rest: str, size: int | None) -> Source:
    """NAME, or NAME@FILE with weights from a file."""
    models = library("torchvision", text).models
    name, at, file = rest.partition("@")
    # Models of the folders below (segmentation, video, ...) don't give [n, dim].
    if name not in models.list_models(module=models):
        raise unknown_model(text, "torchvision", name, models.list_models(module=models))
    pretrained = models.get_model_weights(name).DEFAULT
    absent: tuple[str, ...] = ()

    def build(chosen: object = None) -> nn.Module:
        get = models.get_model
        module = sized(lambda **kw: get(name, weights=chosen, progress=False, **kw), "image_size", size)
        for head in absent:
            module.set_submodule(head, nn.Identity())
        return module

    state = weights.read(text, file) if at else None
    with quietly(), building(text, not at):
        module = build(None if at else pretrained)
    with quietly():
        if state is not None:
            leaves = [n for n, m in module.named_modules() if next(m.parameters(recurse=False), None) is not None]
            absent = weights.fill(text, module, state, leaves[-1:])
            for head in absent:
                module.set_submodule(head, nn.Identity())
        wants = pretrained.transforms()
    side = getattr(module, "image_size", wants.crop_size[0])
    return Source(module, build, side, wants.mean, wants.std, absent=absent)
