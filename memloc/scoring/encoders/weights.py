"""Weights from a user's file: read as tensors only, never unpickled, and put into a network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from memloc.errors import InputError
from memloc.scoring.encoders.source import first_of, reason

State = Mapping[str, Tensor]


def read(text: str, file: str) -> State | None:
    """The tensors of a weights file, by name; None for ``untrained``.

    Raises:
        InputError: the file can't be read or holds no tensors by name.
    """
    if file == "untrained":
        return None
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{text}: {file or 'what follows @'} is not a file; name a file of weights, or @untrained")
    if path.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise InputError(f"{text}: {file} is neither .safetensors nor .pth, .pt or .bin; rename or convert it")
    content: object
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{text}: {file} {_unreadable(path, error)}") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    named = content if isinstance(content, Mapping) else {}
    tensors = {name: value for name, value in named.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{text}: {file} holds no weights by name; save the model's state_dict")
    return tensors


def _unreadable(path: Path, error: Exception) -> str:
    code = re.search(r"GLOBAL (\S+)", str(error))
    if code:
        return f"holds {code[1]}, which is code and isn't run; save its state_dict alone"
    if path.suffix == ".safetensors":
        return f"isn't a complete safetensors file ({reason(error)}); get it again"
    return "isn't a complete PyTorch file of tensors; get it again"


def fill(text: str, module: nn.Module, state: State, heads: Sequence[str]) -> tuple[str, ...]:
    """Load a file's weights into a module; all their names may begin with one prefix.

    Returns:
        ``heads`` if the file lacks some of their weights, else nothing.

    Raises:
        InputError: the weights are not those of this module.
    """
    below = tuple(f"{head}." for head in heads)
    # How many batches a batch norm saw changes no output, and old files lack it.
    shapes = {n: tuple(t.shape) for n, t in module.state_dict().items() if not n.endswith("num_batches_tracked")}
    prefix = _prefix(text, state, [name for name in shapes if not name.startswith(below)])
    tensors = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    own = module.state_dict()  # With versions of its parts, which some read.
    # A deeper network of the same family has all that a shallower one needs; an added projection does no harm.
    children = tuple(f"{name}." for name, _ in module.named_children())
    extra = [n for n in tensors if n not in own and n.endswith(".weight") and n.startswith(children)]
    extra = [n for n in extra if not n.startswith(below)]
    if extra:
        raise InputError(f"{text}: its weights also hold {first_of(extra)}; name the architecture they belong to")
    absent = tuple(heads) if any(n not in tensors for n in shapes) else ()
    fitting = {n: tensors[n] for n in own if n in tensors and not (absent and n.startswith(below))}
    odd = [n for n in shapes if n in fitting and tuple(fitting[n].shape) != shapes[n]]
    if odd:
        differences = [f"{n} {list(fitting[n].shape)} instead of {list(shapes[n])}" for n in odd]
        head_only = all(n.startswith(below) for n in odd)
        hint = "remove it from the file" if head_only else "name the architecture and --size they belong to"
        raise InputError(f"{text}: its weights have {first_of(differences)}; {hint}")
    own.update(fitting)
    module.load_state_dict(own)
    return absent


def _prefix(text: str, state: State, needed: Sequence[str]) -> str:
    """What the file writes before the names that a module needs."""
    prefixes = {name.removesuffix(n) for n in needed for name in state if name == n or name.endswith(f".{n}")} or {""}
    lacking = {prefix: [n for n in needed if prefix + n not in state] for prefix in prefixes}
    prefix = min(sorted(prefixes), key=lambda p: len(lacking[p]))
    if lacking[prefix]:
        raise InputError(f"{text}: its weights lack {first_of(lacking[prefix])}; name the architecture they belong to")
    complete = sorted(p for p in prefixes if not lacking[p])
    if len(complete) > 1:
        raise InputError(
            f"{text}: its weights hold the model several times ({first_of(complete)}); keep one of them in the file"
        )
    return prefix
