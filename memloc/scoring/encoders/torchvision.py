"""Encoders that torchvision builds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from memloc.scoring.encoders import weights
from memloc.scoring.encoders.source import Source, building, library, quietly, releases, sized, unknown_model

TRANSFORMS = (
    "it turns images of ImageNet's mean and std into ones of 0.5 itself (transform_input), as torchvision's weights"
    " want it; for weights that were trained without, name a package.module:function"
)


def open_named(text: str, rest: str, size: int | None, key: str | None = None) -> Source:
    """NAME, or NAME@FILE with weights from a file."""
    models = library("torchvision", text).models
    name, at, file = rest.partition("@")
    # Models of the folders below (segmentation, video, ...) don't give [n, dim].
    if name not in models.list_models(module=models):
        raise unknown_model(text, "torchvision", name, models.list_models(module=models))
    pretrained = models.get_model_weights(name).DEFAULT
    absent: tuple[str, ...] = ()
    side: int | None = None
    said = "random, as @untrained says" if at else f"{pretrained.name} of {_listed(models.get_model_weights(name))}"

    def build(chosen: object = None) -> nn.Module:
        get = models.get_model
        module = sized(lambda **kw: get(name, weights=chosen, progress=False, **kw), "image_size", side or size)
        if hasattr(module, "transform_input"):
            vars(module)["transform_input"] = True  # As torchvision's weights want it, whoever builds the network.
        for head in absent:
            module.set_submodule(head, nn.Identity())
        return module

    state = weights.read(text, file, key) if at else None
    with quietly(), building(text, not at):
        module = build(None if at else pretrained)
    with quietly():
        if state is not None:
            leaves = [n for n, m in module.named_modules() if next(m.parameters(recurse=False), None) is not None]
            filled = weights.fill(text, module, state, leaves[-1:])
            absent, said = filled.absent, filled.said
            for head in absent:
                module.set_submodule(head, nn.Identity())
        wants = pretrained.transforms()
    side = int(getattr(module, "image_size", wants.crop_size[0]))
    cuts = [f"to {wants.resize_size[0]} pixels first"] if [side] != list(wants.resize_size) else []
    cuts += [wants.interpolation.value] if wants.interpolation.value != "bilinear" else []
    return Source(
        *(module, build, side, wants.mean, wants.std),
        absent=absent,
        says=f"as torchvision says for {name}",
        weights=said,
        cuts=", ".join(cuts),
        remarks=(TRANSFORMS,) if state is not None and hasattr(module, "transform_input") else (),
        random=bool(at) and state is None,
        made_of=releases("torch", "torchvision"),
    )


def _listed(known: Iterable[Any]) -> str:
    return ", ".join(one.name for one in known)
