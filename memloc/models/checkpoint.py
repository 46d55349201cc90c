"""Checkpoints: named tensors and a description in one safetensors file, whole or not there, verified when read."""

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


def save(tensors: Mapping[str, Tensor], about: Mapping[str, Any], path: str | Path) -> None:
    """Write tensors with a JSON description and a hash over both."""
    # A scalar step count or a channels_last weight is stored as plain contiguous memory.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    text = json.dumps(about, sort_keys=True)
    # One key: safetensors writes several in any order, and equal checkpoints should be equal files.
    with atomic(path) as temporary:
        kept = {"about": text, "sha256": tensors_sha256(plain, text)}
        save_file(plain, temporary, metadata={"memloc": json.dumps(kept)})


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and description.

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
        kept = json.loads(metadata["memloc"])
        if kept["sha256"] != tensors_sha256(tensors, kept["about"]):
            raise ValueError("hash differs")
        about: dict[str, Any] = json.loads(kept["about"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: altered since it was written; delete it to start this encoder anew") from error
    return tensors, about


def restore(module: torch.nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Load a module's state.

    Raises:
        InputError: names or shapes differ from the module's.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        odd = sorted(set(expected.items()) ^ set(found.items()))[0][0]
        raise InputError(f"{path}: belongs to another encoder ({odd} differs); delete it to start this encoder anew")
    module.load_state_dict(dict(tensors))


def tensors_sha256(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """SHA-256 over a text and names, shapes, types and bytes of tensors in the order of their names."""
    sha = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        sha.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
