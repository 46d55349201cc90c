"""Weights from a user's file: read as tensors only, never unpickled. Every entry is used, or named as left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from memloc.errors import InputError, show
from memloc.scoring.encoders.source import first_of, quietly, reason

PLAIN = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types that weights may have: float32 holds their values, or nearly so."""

DERIVED = (
    "num_batches_tracked",
    "mask_token",
    "attn_mask",
    "relative_position_index",
    "relative_coords_table",
    "position_ids",
)
"""Last parts of names of entries that follow from the architecture, or change no output."""

_OF_TRAINING = re.compile(
    # Heads, whatever they were trained for.
    r"fc\d*|head\w*|\w*_heads?|\w*classifier\w*|linear\w*|last_layer|pooler|proj\w*|pred\w*|prototypes?\d*|lm_head|cls"
    r"|decoder\w*|queue\w*|center|logit_scale|logit_bias|temperature|loss\w*|\w*_loss|criterion"
    # What an optimiser and a training's loop keep.
    r"|\w*optim\w*|opt_state|\w*sched\w*|\w*scaler\w*|amp|epochs?|\w*step|iter\w*|best\w*|acc\d*|metrics?|\w*rng\w*"
    r"|callbacks|loops|hyper_parameters|config|args",
    re.IGNORECASE,
)
"""First parts of names of entries that only a training needs."""

_OF_FORWARD = re.compile(
    # What is added to layers, what comes before the network, and what standardises its input.
    r"(.*[._])?(adapt[eo]rs?|lora|prompts?)([._].*)?|([^.]*_)?(in|inputs?)([_.].*)?|.*scaler\.(mean|std|var)_?",
    re.IGNORECASE,
)
"""Names of entries that may change what a network computes, whatever else they are called."""

MOST = 1_000_000
"""Entries of a file, and the dictionaries and lists around them."""
LONGEST = 1000
"""Characters of an entry's name."""


@dataclass(frozen=True)
class File:
    """The tensors of a weights file.

    Attributes:
        name: of the file.
        tensors: by name; keys of dictionaries around them come first, joined by dots.
        key: what the names begin with of the model that is wanted, if the user said.
    """

    name: str
    tensors: Mapping[str, Tensor]
    key: str | None = None


@dataclass(frozen=True)
class Filled:
    """What was taken of a file.

    Attributes:
        absent: modules, a head only, that were left without weights.
        said: how many entries were used, and which weren't.
    """

    absent: tuple[str, ...]
    said: str


def read(text: str, file: str, key: str | None = None) -> File | None:
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
        with quietly():
            if path.suffix == ".safetensors":
                content = load_file(path)
            else:
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{text}: {file} {_unreadable(path, error)}") from error
    tensors: dict[str, Tensor] = {}
    for name, tensor in _entries(text, content) if isinstance(content, Mapping) else ():
        if name in tensors:
            raise InputError(f"{text}: {file} holds {show(name)} twice; keep one of them")
        tensors[name] = tensor
    if not tensors:
        raise InputError(f"{text}: {file} holds no weights by name; save the model's state_dict")
    return File(path.name, tensors, key)


def _unreadable(path: Path, error: Exception) -> str:
    code = re.search(r"GLOBAL (\S+)", str(error))
    if code:
        return f"holds {code[1]}, which is code and isn't run; save its state_dict alone"
    if "TorchScript" in str(error):
        return "is TorchScript, which is code and isn't run; save its state_dict alone"
    if path.suffix == ".safetensors":
        return f"isn't a complete safetensors file ({reason(error)}); get it again"
    return "isn't a complete PyTorch file of tensors; get it again"


def _entries(text: str, content: object) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in dictionaries and lists, at any depth: some hold themselves."""
    waiting, seen = [("", content)], 0
    while waiting:
        name, value = waiting.pop()
        seen += 1
        if isinstance(value, Tensor):
            yield name, value
            continue
        inside = value.items() if isinstance(value, Mapping) else enumerate(value)  # type: ignore[arg-type]
        named = [
            (f"{name}.{key}" if name else str(key), v)
            for key, v in inside
            if isinstance(v, Tensor | Mapping | list | tuple)
        ]
        waiting += reversed(named)  # The file's order.
        if seen + len(waiting) > MOST or len(name) > LONGEST:
            raise InputError(f"{text}: its file holds dictionaries without end; save the model's state_dict alone")


def fill(text: str, module: nn.Module, file: File, heads: Sequence[str]) -> Filled:
    """Load a file's weights into a module; all their names may begin with one prefix.

    A head that the file lacks, or has for another number of classes, is left without weights.

    Raises:
        InputError: the weights are not those of this module, or not all of them have a place in it.
    """
    below = tuple(f"{head}." for head in heads)
    # How many batches a batch norm saw changes no output, and old files lack it.
    shapes = {n: tuple(t.shape) for n, t in module.state_dict().items() if not n.endswith("num_batches_tracked")}
    prefix = _prefix(text, module, file, [name for name in shapes if not name.startswith(below)])
    tensors = {name.removeprefix(prefix): t for name, t in file.tensors.items() if name.startswith(prefix)}
    own = module.state_dict()  # With versions of its parts, which some read.
    absent, classes = _absent_head(text, shapes, tensors, heads)
    used = {n: tensors[n] for n in own if n in tensors and not (absent and n.startswith(below))}
    # Counts of batches may have any type and shape, as nothing reads them.
    used = {n: t for n, t in used.items() if n in shapes or (t.shape, t.dtype) == (own[n].shape, own[n].dtype)}
    left = _left_out(text, module, file, prefix, {prefix + name for name in used}, absent)
    for name, tensor in used.items():
        check_type(text, name, tensor, own[name])
    odd = [
        f"{n} {list(used[n].shape)} instead of {list(shapes[n])}"
        for n in shapes
        if n in used and tuple(used[n].shape) != shapes[n]
    ]
    if odd:
        raise InputError(f"{text}: its weights have {first_of(odd)}; name the architecture and --size they belong to")
    own.update(used)
    module.load_state_dict(own)
    count = len(used) + left.pop("", 0)
    said = f"{count} of {len(file.tensors)} entries of {show(file.name)}" + (f" below {show(prefix)}" if prefix else "")
    others = sorted({str(t.dtype).removeprefix("torch.") for t in used.values() if t.is_floating_point()} - {"float32"})
    if others:
        said += f", converted from {' and '.join(others)}"
    if absent:
        said += f", without a head ({', '.join(absent)}{f', which is for {classes} classes' if classes else ''})"
    if left:
        said += f"; left out: {', '.join(f'{show(name)} ({n})' for name, n in sorted(left.items()))}"
    return Filled(absent, said)


def _prefix(text: str, module: nn.Module, file: File, needed: Sequence[str]) -> str:
    """What the file writes before the names that a module needs."""
    names = [name for name in file.tensors if file.key is None or name.startswith(f"{file.key.rstrip('.')}.")]
    if not names:
        known = sorted({name.partition(".")[0] for name in file.tensors})
        raise InputError(f"{text}: --weights-key {file.key}: no entry of the file begins so; it has {first_of(known)}")
    wanted, prefixes = {*needed}, {""}
    for name in names:
        parts = name.split(".")
        tails = (".".join(parts[i:]) for i in range(len(parts)))
        prefixes |= {name.removesuffix(tail) for tail in tails if tail in wanted}
    prefixes = {p for p in prefixes if file.key is None or p.startswith(f"{file.key.rstrip('.')}.")} or {""}
    lacking = {prefix: [n for n in needed if prefix + n not in file.tensors] for prefix in prefixes}
    prefix = min(sorted(prefixes), key=lambda p: len(lacking[p]))
    if lacking[prefix]:
        way_out = _numbered(module, names, needed) or _older(prefix, file, lacking[prefix])
        way_out = way_out or "name the architecture they belong to"
        raise InputError(f"{text}: its weights lack {first_of(lacking[prefix])}; {way_out}")
    complete = sorted(p for p in prefixes if not lacking[p])
    if len(complete) > 1:
        raise InputError(
            f"{text}: its weights hold the model several times ({first_of(complete)}); choose one with --weights-key,"
            " or keep one of them in the file"
        )
    return prefix


def _numbered(module: nn.Module, names: Sequence[str], needed: Sequence[str]) -> str:
    """What to rename if a file numbers the children of a module, as ``nn.Sequential(*module.children())`` does."""
    children = [name for name, _ in module.named_children()]
    for first in sorted({name.removesuffix("0." + tail) for name in names for tail in _tails(name, "0")}):
        renamed = {n for n in names if n.startswith(first)}
        numbers = {str(i): child for i, child in enumerate(children)}
        spelled = {n.removeprefix(first).partition(".") for n in renamed}
        given = {f"{numbers.get(head, head)}.{rest}" for head, _, rest in spelled}
        present = {numbers[head] for head, _, _ in spelled if head in numbers}
        if all(name in given for name in needed):
            pairs = [f"{first}{i} is {child}" for i, child in numbers.items() if child in present]
            return f"they would fit if their names were those of its children: rename them ({', '.join(pairs)})"
    return ""


def _tails(name: str, part: str) -> Iterator[str]:
    """What follows each occurrence of a part in a name."""
    parts = name.split(".")
    for i, one in enumerate(parts):
        if one == part and i + 1 < len(parts):
            yield ".".join(parts[i + 1 :])


def _older(prefix: str, file: File, lacking: Sequence[str]) -> str:
    """What to rename if a file calls the weight and bias of a normalisation gamma and beta."""
    for name in lacking:
        for new, old in (("weight", "gamma"), ("bias", "beta")):
            spelled = f"{prefix}{name.removesuffix(new)}{old}"
            if name.endswith(f".{new}") and spelled in file.tensors:
                return f"the file calls it {spelled}: rename gamma to weight and beta to bias"
    return ""


def _absent_head(
    text: str, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], heads: Sequence[str]
) -> tuple[tuple[str, ...], int | None]:
    """The heads, if the file lacks one or has it for another number of classes, and that number."""
    absent, classes = False, None
    for head in heads:
        wanted = {n: shape for n, shape in shapes.items() if n.startswith(f"{head}.")}
        lacking = [n for n in wanted if n not in tensors]
        if lacking and len(lacking) < len(wanted):
            raise InputError(
                f"{text}: its weights lack {first_of(lacking)}; get a complete file, or remove all of {head}"
            )
        if lacking:
            absent = True
        elif wanted:
            lengths = {tuple(tensors[n].shape[:1]) for n in wanted}
            rests = all(
                tensors[n].shape[1:] == shape[1:] and tensors[n].ndim == len(shape) for n, shape in wanted.items()
            )
            if rests and len(lengths) == 1 and lengths != {shape[:1] for shape in wanted.values()}:
                absent, classes = True, next(iter(lengths))[0]
    return (tuple(heads), classes) if absent else ((), None)


def _left_out(
    text: str, module: nn.Module, file: File, prefix: str, used: set[str], absent: Sequence[str]
) -> Counter[str]:
    """Entries that aren't used, counted by the first part of their names; "" counts those that agree with the module.

    Raises:
        InputError: some are neither known to be of a training alone nor left out by the user.
    """
    left: Counter[str] = Counter()
    odd: list[str] = []
    buffers = dict(module.named_buffers())
    for name in file.tensors:
        if name in used:
            continue
        inside = name.removeprefix(prefix) if name.startswith(prefix) else None
        if file.key is not None and not name.startswith(f"{file.key.rstrip('.')}."):
            left[name.partition(".")[0]] += 1
        elif inside in buffers and torch.equal(buffers[inside], file.tensors[name]):
            left[""] += 1
        elif inside is not None and inside.startswith(tuple(f"{head}." for head in absent)):
            left[inside.partition(".")[0]] += 1
        elif (leaf := name.rpartition(".")[2]) == DERIVED[0] or (leaf in DERIVED and inside not in buffers):
            left[leaf] += 1
        elif of_training(module, name.removeprefix(prefix), _apart(name, prefix), inside):
            left[_apart(name, prefix)] += 1
        else:
            odd.append(name)
    if odd:
        raise InputError(
            f"{text}: its weights also hold {first_of(odd)}, which have no place in it; name the architecture they"
            " belong to, or remove them from the file"
        )
    return left


def _apart(name: str, prefix: str) -> str:
    """The first part of a name that isn't a part of the prefix."""
    parts = name.split(".")
    for one, other in zip(list(parts), prefix.split("."), strict=False):
        if one != other:
            break
        parts.pop(0)
    return parts[0] if parts else name


def of_training(module: nn.Module, name: str, part: str, inside: str | None) -> bool:
    """Whether an entry is known to be needed by a training alone.

    Args:
        name: of the entry.
        part: of its name, the first that tells it from the module's weights.
        inside: its name in the module, if it lies there: what a module has, it may need.
    """
    children = {name for name, _ in module.named_children()}
    known = _OF_TRAINING.fullmatch(part) is not None and _OF_FORWARD.fullmatch(name) is None
    return known and (inside is None or inside.partition(".")[0] not in children)


def check_type(text: str, name: str, tensor: Tensor, own: Tensor) -> None:
    """Refuse a weight whose values would change if it became a weight of the module."""
    fits = tensor.dtype in PLAIN if own.is_floating_point() else tensor.dtype == own.dtype
    if not fits or tensor.layout != torch.strided:
        kind = str(tensor.dtype if not fits else tensor.layout).removeprefix("torch.")
        raise InputError(f"{text}: its weights have {name} as {kind}, which isn't cast; save it as float32")


def untrained_remarks(module: nn.Module) -> Iterable[str]:
    """What tells that weights were never trained: normalisations as they start, weights of 0."""
    norms = [m for m in module.modules() if "norm" in type(m).__name__.lower()]
    values = [(name, t) for m in norms for name, t in m.state_dict().items() if "." not in name]
    # Some networks start with a weight of 0 at the end of each block.
    start = {"weight": (0, 1), "bias": (0,), "running_mean": (0,), "running_var": (1,)}
    known = [any((t == value).all() for value in start[name]) for name, t in values if name in start]
    if known and all(known):
        yield "its weights look untrained: all its normalisations have the values that a new network has"
    zero = [n for n, p in module.named_parameters() if p.ndim > 1 and not p.any()]
    if zero:
        yield f"all weights are 0 in {first_of(zero)}"
