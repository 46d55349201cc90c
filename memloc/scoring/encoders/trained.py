"""Encoders that memloc trained."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from jsonschema import Draft202012Validator
from safetensors import SafetensorError, safe_open

from memloc import provenance
from memloc.data.augmentations import TRAINED_WITH
from memloc.errors import InputError
from memloc.models import checkpoint
from memloc.models.architectures import ARCHITECTURES, build, choose_layers
from memloc.scoring.encoders import weights
from memloc.scoring.encoders.source import Source, load_json, reason, releases


def open_file(path: Path, size: int | None, spellings: str) -> Source:
    """A ``weights.safetensors``. Its input is stated in the file, or in recipe.json beside it."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; name {spellings}")
    try:
        with safe_open(path, framework="pt") as file:
            ours = "memloc" in (file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a complete safetensors file ({reason(error)}); get it again") from error
    if not ours:
        raise InputError(f"{path}: not an encoder that memloc trained; name its architecture too: timm:NAME@{path}")
    try:
        return _open(path, size)
    except InputError as error:
        # What to do is written for a training; here the file must not be deleted.
        what, _, do = str(error).rpartition(";")
        raise InputError(f"{what};{do}" if "--size" in do else f"{what}; get it again") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: doesn't say which encoder it is; name a weights.safetensors") from error


def _open(path: Path, size: int | None) -> Source:
    tensors, about = checkpoint.load(path)
    settings = about["settings"]
    recipe = path.parent / "recipe.json"
    stated = dict(about.get("input") or (load_json(recipe).get("dataset") if recipe.is_file() else None) or {})
    name = settings["architecture"]
    # An encoder may have been trained before its architecture had all of today's options.
    options = {key: rule["default"] for key, rule in ARCHITECTURES[name].options.items()} | settings["network"]
    # Options that no training would take may build for hours, or fill memory.
    allowed = {"properties": dict(ARCHITECTURES[name].options), "additionalProperties": False}
    if not Draft202012Validator(allowed).is_valid(options):
        raise ValueError("network")
    layers = choose_layers(name, options, ["*"])
    side = stated.get("image_size") or size
    if side is None:
        raise InputError(f"{path}: doesn't say how large its input is; give --size")
    make = partial(build, name, options, image_size=side)
    module = make()
    own = module.state_dict()
    for key, tensor in tensors.items():
        if key in own:
            weights.check_type(str(path), key, tensor, own[key])
    checkpoint.restore(module, tensors, path)
    augmentation = settings.get("recipe", {}).get("augmentation")
    if augmentation not in (None, *TRAINED_WITH):
        raise ValueError("augmentation")
    return Source(
        module=module,
        build=make,
        size=stated.get("image_size"),
        mean=stated.get("mean"),
        # A channel that never varied is divided by 1, as in training.
        std=[value or 1.0 for value in std] if isinstance(std := stated.get("std"), list) else std,
        layers=layers,
        augmentation=augmentation,
        says=f"as {path.name if about.get('input') else recipe.name} says",
        weights=f"{len(tensors)} of {len(tensors)} entries of {path.name}",
        made_of={"network": options, "code": _code(name), **releases("torch")},
        training=about,
    )


def _code(architecture: str) -> str:
    module = ARCHITECTURES[architecture].module
    return provenance.digest(f"memloc/models/architectures/{module}.py")
