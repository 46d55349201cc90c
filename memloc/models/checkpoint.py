"""Checkpoints: named tensors and a description in one safetensors file, written whole, checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from memloc.errors import InputError
from memloc.io import atomic
from memloc.provenance import plain


def save(tensors: Mapping[str, Tensor], about: Mapping[str, Any], path: str | Path) -> None:
    """Write tensors with a JSON description and a hash over both."""
    # Everything is stored in contiguous memory, a scalar step count or a channels_last weight too.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    text = json.dumps(about, sort_keys=True)
    # One key: safetensors writes several keys in any order, and equal checkpoints should be equal files.
    with atomic(path) as temporary:
        metadata = {"about": text, "sha256": tensors_sha256(plain, text)}
        save_file(plain, temporary, metadata={"memloc": json.dumps(metadata)})


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a checkpoint.

    Raises:
        InputError: the file is truncated, altered or not one of memloc's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a complete checkpoint ({error}); delete it to start this encoder anew"
        ) from error
    if "memloc" not in metadata:
        raise InputError(f"{path}: not a checkpoint of memloc; move it away to start this encoder anew")
    try:
        stored = json.loads(metadata["memloc"])
        if stored["sha256"] != tensors_sha256(tensors, stored["about"]):
            raise ValueError("hash differs")
        about: dict[str, Any] = json.loads(stored["about"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: altered since it was written; delete it to start this encoder anew") from error
    return tensors, about


def stated(path: str | Path) -> tuple[str, dict[str, Any]]:
    """The hash over a checkpoint's tensors and description, and the latter; ``load`` holds them against one another.

    Raises:
        InputError: the file is not one of memloc's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads(file.metadata()["memloc"])
            return str(found["sha256"]), dict(json.loads(found["about"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a complete checkpoint ({error}); delete it to start this encoder anew"
        ) from error


def load_tensors(path: str | Path, **expected: Any) -> dict[str, Tensor]:
    """Tensors of a checkpoint of one training.

    Args:
        expected: what the checkpoint must say of itself: seed, role and, by key, settings; more where it is known.

    Raises:
        InputError: the file is damaged or another training's, or a tensor isn't finite.
    """
    tensors, about = load(path)
    whose = {key: expected.pop(key) for key in ("seed", "role") if key in expected}
    if any(about.get(key) != value for key, value in whose.items()):
        raise InputError(f"{path}: belongs to {about.get('role')}, seed {about.get('seed')}; delete it to train anew")
    settings = plain(expected.pop("settings", {}))
    differ = [key for key, value in settings.items() if about.get("settings", {}).get(key) != value]
    differ += [key for key, value in plain(expected).items() if about.get(key) != value]
    if differ:
        raise InputError(f"{path}: belongs to another training ({', '.join(differ)} differ); delete it to train anew")
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {name} isn't finite; delete it to train anew")
    return tensors


def restore(module: torch.nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Load a module's state, read from ``path``.

    Raises:
        InputError: names or shapes differ from the module's.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != shapes:
        name = min(set(expected.items()) ^ set(shapes.items()))[0]
        raise InputError(f"{path}: belongs to another encoder ({name} differs); delete it to start this encoder anew")
    module.load_state_dict(dict(tensors))


def tensors_sha256(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """SHA-256 over a text and the names, shapes, types and bytes of tensors, in the order of their names."""
    sha = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        sha.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
