"""What a forward pass computes inside an encoder, read layer by layer as it passes by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.hooks import RemovableHandle

from memloc.errors import InputError
from memloc.models.architectures import Layer

Reader = Callable[[Tensor], None]
INPUT = "@input"
"""Ends the name of a module whose input is read instead of its output."""

_FULLY_CONNECTED = (nn.Linear,)
_CONVOLUTION = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORM = (_NormBase, nn.GroupNorm, nn.LayerNorm)
_NO_OPERATION = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)


@contextmanager
def reading(encoder: nn.Module, readers: Mapping[str, Sequence[Reader]]) -> Iterator[None]:
    """Call readers with the outputs of named modules, in every forward pass inside the block.

    A reader sees an output as soon as it is computed, with everything that the encoder does between modules (residual
    sums), and before a later module can overwrite it in place. Inside the block the encoder is in eval mode and
    without gradients: measuring never moves batch-norm statistics.

    Args:
        readers: by the name of a module, the empty name for the encoder itself; ``name#2`` is its second call in one
            forward pass, ``name@input`` its input instead of its output.

    Raises:
        InputError: the encoder has no module of a name.
    """
    modules = dict(encoder.named_modules())
    calls: Counter[str] = Counter()
    wanted: dict[str, dict[int, list[Reader]]] = {}
    for key, reads in readers.items():
        place, _, call = key.partition("#")
        name = place.removesuffix(INPUT)
        if name not in modules:
            names = ", ".join(filter(None, modules))
            raise InputError(f"layer {name!r}: the encoder has no such module; it has {names}")
        wanted.setdefault(place, {}).setdefault(int(call or 1), []).extend(reads)

    def hook_of(place: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[place] += 1
            for read in wanted[place].get(calls[place], ()):
                read(_tensor(inputs if place.endswith(INPUT) else output, place))

        return hook

    handles = [encoder.register_forward_pre_hook(lambda module, inputs: calls.clear())]
    handles += [modules[place.removesuffix(INPUT)].register_forward_hook(hook_of(place)) for place in wanted]
    with _evaluating(encoder, handles):
        yield


@contextmanager
def _evaluating(encoder: nn.Module, handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Eval mode without gradients; afterwards hooks are removed and every module is in its earlier mode."""
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training


@contextmanager
def capture(encoder: nn.Module, modules: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Outputs of named modules, replaced by every forward pass of the encoder inside the block (see ``reading``)."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Reader:
        return lambda output: outputs.__setitem__(name, output)

    with reading(encoder, {name: [keep(name)] for name in modules}):
        yield outputs


def _tensor(output: Any, name: str) -> Tensor:
    """The first tensor of what a module returns: attentions return their weights too."""
    value = _first(output)
    if not isinstance(value, Tensor):
        raise InputError(f"layer {name}: puts out a {type(value).__name__}, not a tensor; choose other layers")
    return value


def _first(value: Any) -> Any:
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    return value


def discover(
    encoder: nn.Module, example: Tensor, patterns: Sequence[str] = (), *, hook: str = "paper"
) -> tuple[Layer, ...]:
    """The layers of any encoder, in the order in which a forward pass runs through them.

    Without patterns these are all convolutions, attentions and fully-connected layers. A layer is represented by its
    output, before normalisation (paper, Table 18), and its units are read after the normalisation and the activation
    that directly follow it (Section 4; a sum written into the same tensor in between counts as part of them).

    Args:
        example: [n, c, h, w] input for one forward pass.
        patterns: names of layers, ``*`` and ``?`` as in file names. A pattern that matches no layer chooses among all
            modules.
        hook: paper, or before or after for both.

    Raises:
        InputError: a pattern matches no module, or a module that is never called or has no units; unknown ``hook``.
    """
    if hook not in HOOKS:
        raise InputError(f"hook {hook!r} is none of {', '.join(HOOKS)}")
    calls = _trace(encoder, example)
    called = {name for name, _, _ in calls}
    default = _layers_of(encoder, calls)
    wanted: set[str] = set() if patterns else default
    for pattern in patterns:
        names = [name for name, _ in encoder.named_modules() if fnmatchcase(name, pattern) and name]
        if not names:
            some = ", ".join([name for name, _, _ in calls if name in default][:6])
            raise InputError(f"layers: {pattern!r} matches no module of the encoder; it has for example {some}")
        if not called & {*names}:
            raise InputError(f"layers: {pattern!r} matches {names[0]}, which a forward pass never calls as a module")
        wanted |= default.intersection(names) or {*names}
    times = Counter(name for name, _, _ in calls)
    numbered: Counter[str] = Counter()
    layers: list[Layer] = []
    for position, (name, _, (_, output)) in enumerate(calls):
        numbered[name] += 1
        if name not in wanted or output is None or output.dim() < 2:
            continue
        label = f"{name}#{numbered[name]}" if times[name] > 1 else name
        axis = 1 if output.dim() == 2 else _axis(calls, position)
        after = _after(calls, position) or label
        layers.append(
            Layer(
                name=label,
                representation=after if hook == "after" else label,
                units=label if hook == "before" else after,
                depth=float(len(layers) + 1),
                axis=axis,
            )
        )
    return tuple(layers)


HOOKS = ("paper", "before", "after")

_Call = tuple[str, nn.Module, tuple[Tensor | None, Tensor | None]]
"""Name, module, and its first input and first output."""


def _trace(encoder: nn.Module, example: Tensor) -> list[_Call]:
    """Every call of a module in one forward pass, in the order in which they end: its first input and first output.

    The tensors are kept alive, as modules are connected by the identity of what they pass on.
    """
    calls: list[_Call] = []

    def tensor(value: Any) -> Tensor | None:
        first = _first(value)
        return first if isinstance(first, Tensor) else None

    def hook_of(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, inputs, output: calls.append((name, module, (tensor(inputs), tensor(output))))

    handles = [module.register_forward_hook(hook_of(name)) for name, module in encoder.named_modules()]
    with _evaluating(encoder, handles):
        encoder(example)
    return calls


def _after(calls: Sequence[_Call], position: int) -> str | None:
    """The last of the normalisation and activation that directly follow a call, as name and number of the call."""
    number: Counter[str] = Counter(name for name, _, _ in calls[: position + 1])
    _, _, (_, tensor) = calls[position]
    last, normalised = None, False
    for name, module, (given, output) in calls[position + 1 :]:
        number[name] += 1
        if given is not tensor or output is None or tensor is None:
            continue
        inner = [*module.children()]
        if inner and not isinstance(module, _NORM):
            continue
        if isinstance(module, _NO_OPERATION):
            tensor = output
        elif (
            isinstance(module, _NORM)
            and not normalised
            and output.shape == tensor.shape
            and _beside(name, calls[position][0])
        ):
            normalised, tensor = True, output
            last = f"{name}#{number[name]}"
            if any(_is_activation(child) for child in inner):  # timm's normalisations may hold their activation.
                return last
        elif _is_activation(module) and output.shape == tensor.shape:
            return f"{name}#{number[name]}"
        else:
            break
    return last


def _beside(one: str, other: str) -> bool:
    """Whether two modules have the same parent: a normalisation that opens the next block isn't this layer's."""
    return one.rpartition(".")[0] == other.rpartition(".")[0]


def _layers_of(encoder: nn.Module, calls: Sequence[_Call]) -> set[str]:
    """Names of the convolutions, fully-connected layers and attentions.

    Most attentions are made of fully-connected layers, which then are the layers. Some use their weights without
    calling the modules that hold them; then the attention itself is the layer.
    """
    inner = {name for name, module, _ in calls if isinstance(module, _CONVOLUTION + _FULLY_CONNECTED)}
    attentions = {name for name, module, _ in calls if "attention" in type(module).__name__.lower()}
    return inner | {name for name in attentions if not any(other.startswith(f"{name}.") for other in inner)}


def _is_activation(module: nn.Module) -> bool:
    """Whether it is an elementwise function of torch, timm or transformers, by the module that defines it."""
    where = type(module).__module__
    return ".activation" in where and not isinstance(
        module, (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU)
    )


def _axis(calls: Sequence[_Call], position: int) -> int:
    """Which dimension of a call's output counts units: the second in feature maps, the last in tokens."""
    _, module, (given, output) = calls[position]
    if isinstance(module, _CONVOLUTION) or "2d" in type(module).__name__.lower():
        return 1
    if isinstance(module, (*_FULLY_CONNECTED, nn.MultiheadAttention, nn.LayerNorm)):
        return -1
    if isinstance(module, _NO_OPERATION) or _is_activation(module):
        for before in reversed(range(position)):
            if given is not None and calls[before][2][1] is given:
                return _axis(calls, before)
    inner = [type(m) for m in module.modules()]
    convolutional = any(issubclass(t, (*_CONVOLUTION, _NormBase, nn.GroupNorm)) for t in inner)
    return 1 if output is not None and output.dim() == 4 and (convolutional or nn.Linear not in inner) else -1
