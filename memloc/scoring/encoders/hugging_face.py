"""Encoders in a folder in Hugging Face's format, of transformers or of timm. No code that lies there is run."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from memloc.errors import InputError
from memloc.scoring.encoders import processor, timm, weights
from memloc.scoring.encoders.source import (
    Source,
    first_of,
    in_one_line,
    library,
    load_json,
    quietly,
    releases,
    unknown_model,
)

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
INTEGERS = ("I64", "I32", "U8", "BOOL")
"""Types in a safetensors file."""


def open_folder(text: str, folder: Path, size: int | None) -> Source:
    """The model that ``config.json`` describes, with the weights of ``model.safetensors``."""
    if not folder.is_dir():
        raise InputError(f"{text}: no such folder; download the model and name the folder of its config.json")
    if not (folder / "config.json").is_file():
        raise InputError(f"{text}: no config.json in it; name a folder in Hugging Face's format")
    if not any((folder / name).is_file() for name in (WHOLE, INDEX)):
        raise InputError(f"{text}: no model.safetensors in it, and pickled weights aren't read; convert them")
    config = load_json(folder / "config.json")
    if (folder / "adapter_config.json").exists():
        raise InputError(f"{text}: adapter_config.json in it, and adapters aren't read; merge them into the weights")
    if config.get("quantization_config"):
        raise InputError(f"{text}: its config.json has a quantization_config, and weights aren't cast; get plain ones")
    if "architecture" not in config:
        return _of_transformers(text, folder, config, size)
    name = str(config["architecture"])
    names = library("timm", text)
    if not names.is_model(name):
        raise unknown_model(text, "timm", name, names.list_models())
    with in_one_line(f"{text}: timm can't build what its config.json says", "get it again"):
        state = weights.read(text, str(folder / WHOLE))
        refuse_endless(text, config, len(state.tensors) if state else 0)
        _refuse_pixels(text, names, config.get("pretrained_cfg"))
        return timm.create(
            text, f"local-dir:{folder}", size, state=state, made_of={"config.json": config}, says=_says(config)
        )


def _of_transformers(text: str, folder: Path, stated: Mapping[str, object], size: int | None) -> Source:
    transformers = library("transformers", text)
    refuse_code(text, stated, transformers.CONFIG_MAPPING)
    wants = processor.read(text, folder, stated.get("image_size"), size)
    local = {"local_files_only": True, "trust_remote_code": False}
    with quietly(), in_one_line(f"{text}: transformers can't open it", "get it again"):
        entries, kinds = entries_of(text, folder)
        refuse_endless(text, stated, len(entries))
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
    left = _left_out(text, module, entries, loaded["unexpected_keys"])
    absent = ("pooler",) if loaded["missing_keys"] else ()
    shuffles = config.model_type == "vit_mae"

    def finish(module: nn.Module) -> nn.Module:
        for head in absent:
            setattr(module, head, None)  # How these models are built without one.
        if shuffles:
            module.register_forward_pre_hook(_keep_order, with_kwargs=True)
        if wants.channels == "BGR":
            module.register_forward_pre_hook(_reverse_channels)
        module.register_forward_hook(_pool)
        return module

    def build() -> nn.Module:
        return finish(transformers.AutoModel.from_config(copy.deepcopy(config), trust_remote_code=False))

    where = f"{len({*entries.values()})} shards" if (folder / INDEX).is_file() else WHOLE
    said = f"{len(entries) - sum(left.values())} of {len(entries)} entries of {where}"
    others = sorted(FLOATS[kind] for kind in kinds & FLOATS.keys() if kind != "F32")
    said += f", converted from {' and '.join(others)}" if others else ""
    said += f", without a head ({', '.join(absent)})" if absent else ""
    said += f"; left out: {', '.join(f'{name} ({n})' for name, n in sorted(left.items()))}" if left else ""
    said += "; patches stay in their order and none is masked" if shuffles else ""
    own, taken = stated.get("image_size"), size or wants.size
    resized = isinstance(own, int) and taken not in (None, own) and hasattr(module, "embeddings")
    return Source(
        *(finish(module), build, wants.size, wants.mean, wants.std),
        absent=absent,
        says=wants.says,
        weights=said,
        cuts=wants.cuts,
        channels=wants.channels,
        remarks=(f"made for {own} pixels, given {taken}: position embeddings are interpolated",) if resized else (),
        made_of={"config.json": stated, "processor": wants.stated, **releases("torch", "transformers")},
    )


def entries_of(text: str, folder: Path) -> tuple[dict[str, str], set[str]]:
    """The file of every entry of a folder's weights by its name, and the types that entries have."""
    whole, index = folder / WHOLE, folder / INDEX
    if whole.is_file() and index.is_file():
        raise InputError(f"{text}: has both {WHOLE} and {INDEX}; remove the one that isn't meant")
    named = [WHOLE] if whole.is_file() else sorted({*map(str, dict(load_json(index)["weight_map"]).values())})
    lacking = [name for name in named if Path(name).name != name or not (folder / name).is_file()]
    if lacking:
        raise InputError(f"{text}: lacks {first_of(lacking)}, which {INDEX} names; get it again")
    shards = sorted(path.name for path in folder.glob("model-*-of-*.safetensors"))
    more = [name for name in shards if name not in named]
    if more:
        raise InputError(
            f"{text}: holds {first_of(more)} beside {WHOLE if whole.is_file() else f'the shards of {INDEX}'}; remove it"
        )
    entries: dict[str, str] = {}
    kinds: set[str] = set()
    for name in named:
        with safe_open(folder / name, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118
                if key in entries:
                    raise InputError(f"{text}: holds {key} in both {entries[key]} and {name}; get it again")
                kind = file.get_slice(key).get_dtype()
                if kind not in FLOATS and not (kind in INTEGERS and key.endswith(weights.DERIVED)):
                    kind = str(file.get_tensor(key).dtype).removeprefix("torch.")
                    raise InputError(f"{text}: its weights have {key} as {kind}, which isn't cast; save it as float32")
                entries[key] = name
                kinds.add(kind)
    return entries, kinds


def _left_out(text: str, module: nn.Module, entries: Mapping[str, str], unexpected: Sequence[str]) -> Counter[str]:
    """How many entries aren't used, by the first part of their names.

    Raises:
        InputError: some aren't known to be of a training alone.
    """
    left: Counter[str] = Counter()
    odd = []
    base = f"{getattr(module, 'base_model_prefix', '')}."
    for name in unexpected:
        inside = name.removeprefix(base)
        part = inside.partition(".")[0]
        if name.endswith(weights.DERIVED):
            left[name.rpartition(".")[2]] += 1
        elif weights.of_training(module, inside, part, inside):
            left[part] += 1
        else:
            odd.append(name)
    if odd:
        raise InputError(
            f"{text}: its weights also hold {first_of(sorted(odd))}, which have no place in the model of its"
            " config.json; correct model_type there, or remove them from the file"
        )
    return left


def refuse_endless(text: str, stated: Mapping[str, object], entries: int) -> None:
    """Refuse a config.json that says more layers than there are weights: it would be built for hours."""
    for key, value in _within(stated):
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and number > entries and re.search("layers|depth|blocks|stages", key):
                raise InputError(f"{text}: {key} in its config.json is {number}, for {entries} weights; get it again")


def _keep_order(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Patches sorted by their places: a masked autoencoder sorts them by noise, even where it masks none."""
    patches: Any = module.get_submodule("embeddings.patch_embeddings").num_patches
    places = torch.arange(patches, dtype=torch.float32, device=args[0].device)
    return args, kwargs | {"noise": places.expand(len(args[0]), -1)}


def _reverse_channels(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (args[0].flip(1), *args[1:])


def _refuse_pixels(text: str, library: Any, stated: object) -> None:
    """Refuse keys that timm doesn't know, which may be of pixels, and images that aren't square and RGB."""
    known = {field.name for field in dataclasses.fields(library.models.PretrainedCfg)}
    odd = [key for key, value in stated.items() if key not in known and value] if isinstance(stated, Mapping) else []
    if odd:
        raise InputError(
            f"{text}: pretrained_cfg in its config.json says {first_of(odd)}, which timm doesn't know; remove it"
        )
    sides = stated.get("input_size") if isinstance(stated, Mapping) else None
    if isinstance(sides, list) and (len(sides) != 3 or sides[0] != 3 or sides[1] != sides[2]):
        raise InputError(f"{text}: input_size in its config.json is {sides}; only square RGB images can be scored")
    if isinstance(sides, list):
        processor.check_side(text, "config.json", "input_size", sides[1])


def _says(config: Mapping[str, Any]) -> str:
    """Who states size, mean and std of a folder of timm: where config.json doesn't, timm assumes them."""
    stated = config.get("pretrained_cfg", config)  # Once its keys lay beside one another.
    keys = {"input_size": "size", "mean": "mean", "std": "std"}
    lacking = [name for key, name in keys.items() if not (isinstance(stated, Mapping) and stated.get(key))]
    return f"as config.json says{f', but {first_of(lacking)} as timm assumes where it says none' if lacking else ''}"


def refuse_code(text: str, stated: Mapping[str, object], known: Mapping[str, object]) -> None:
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
