"""Encoders in a folder in Hugging Face's format, of transformers or of timm. No code that lies there is run."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from memloc.errors import InputError
from memloc.scoring.encoders import timm, weights
from memloc.scoring.encoders.source import Source, first_of, in_one_line, library, load_json, quietly, unknown_model


def open_folder(text: str, folder: Path, size: int | None) -> Source:
    """The model that ``config.json`` describes, with the weights of ``model.safetensors``."""
    if not folder.is_dir():
        raise InputError(f"{text}: no such folder; download the model and name the folder of its config.json")
    if not (folder / "config.json").is_file():
        raise InputError(f"{text}: no config.json in it; name a folder in Hugging Face's format")
    if not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        raise InputError(f"{text}: no model.safetensors in it, and pickled weights aren't read; convert them")
    config = load_json(folder / "config.json")
    if "architecture" not in config:
        return _of_transformers(text, folder, config)
    name = str(config["architecture"])
    names = library("timm", text)
    if not names.is_model(name):
        raise unknown_model(text, "timm", name, names.list_models())
    with in_one_line(f"{text}: timm can't build what its config.json says", "get it again"):
        state = weights.read(text, str(folder / "model.safetensors"))
        return timm.create(text, f"local-dir:{folder}", size, state=state)


def _of_transformers(text: str, folder: Path, stated: Mapping[str, object]) -> Source:
    transformers = library("transformers", text)
    _refuse_code(text, stated, transformers.CONFIG_MAPPING)
    local = {"local_files_only": True, "trust_remote_code": False}
    with quietly(), in_one_line(f"{text}: transformers can't open it", "get it again"):
        config = transformers.AutoConfig.from_pretrained(folder, **local)
        if hasattr(config, "mask_ratio"):
            config.mask_ratio = 0.0  # Masked autoencoders drop patches at random otherwise.
        module, loaded = transformers.AutoModel.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **local,
        )
    odd = sorted(name for name, *_ in loaded["mismatched_keys"])
    if odd:
        raise InputError(
            f"{text}: its weights have other shapes than its config.json says ({first_of(odd)}); get it again"
        )
    missing = sorted(name for name in loaded["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise InputError(f"{text}: its weights lack {first_of(missing)}; get a complete model.safetensors")
    absent = ("pooler",) if loaded["missing_keys"] else ()

    def finish(module: nn.Module) -> nn.Module:
        for head in absent:
            setattr(module, head, None)  # How these models are built without one.
        module.register_forward_hook(_pool)
        return module

    def build() -> nn.Module:
        return finish(transformers.AutoModel.from_config(copy.deepcopy(config), trust_remote_code=False))

    return Source(finish(module), build, *_input(folder, stated), absent=absent)


def _refuse_code(text: str, stated: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Refuse a config.json that names code: it may be anybody's."""
    kind = stated.get("model_type")
    if str(kind) not in known:
        raise InputError(
            f"{text}: transformers has no model_type {kind!r}, and code in a folder isn't run;"
            " name a package.module:function"
        )
    for key, value in _within(stated):
        # Anything else may be a name of code, which transformers fetches if the package kernels is installed.
        if "attn_implementation" in key and value not in (None, "eager", "sdpa", "flex_attention"):
            raise InputError(f"{text}: {key} in its config.json is {value!r}, foreign code that isn't run; remove it")


def _input(folder: Path, stated: Mapping[str, object]) -> tuple[int | None, Any, Any]:
    """Size, mean and std of the input that a folder states."""
    file = folder / "preprocessor_config.json"
    wants: dict[str, Any] = load_json(file) if file.is_file() else {}
    crop = wants.get("crop_size") if wants.get("do_center_crop", True) else None
    sides = map(_side, (crop, wants.get("size"), stated.get("image_size")))
    mean, std = wants.get("image_mean"), wants.get("image_std")
    if wants.get("do_normalize") is False:
        mean, std = [0.0], [1.0]
    return next(filter(None, sides), None), mean, std


def _within(value: Mapping[str, object] | list[object]) -> Iterator[tuple[str, object]]:
    """Every key and value of a JSON object, at any depth."""
    for key, inside in value.items() if isinstance(value, Mapping) else enumerate(value):
        if isinstance(inside, Mapping | list):
            yield from _within(inside)
        yield str(key), inside


def _pool(_: nn.Module, __: object, output: object) -> object:
    """One vector an image from what a model of transformers returns; as a hook, so that no name inside changes."""
    pooled = getattr(output, "pooler_output", None)
    if isinstance(pooled, Tensor):
        return pooled.flatten(1)
    hidden = getattr(output, "last_hidden_state", None)
    if not isinstance(hidden, Tensor):
        return output
    return hidden.mean(dim=(2, 3) if hidden.ndim == 4 else 1)


def _side(value: object) -> int | None:
    """The side of a square, however a configuration spells it."""
    if isinstance(value, Mapping):
        value = value.get("height", value.get("shortest_edge"))
    if isinstance(value, Sequence) and value:
        value = value[-1]
    return value if isinstance(value, int) else None
