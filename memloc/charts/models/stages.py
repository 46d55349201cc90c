"""The stages of a vision-language model: where on the way from pixels to answer its states can be read and replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from memloc.errors import InputError, show

PARTS = ("tower", "connector", "decoder")
"""In the order of a forward pass."""
TOWERS = ("vision_tower", "visual", "vision_model", "vision_encoder", "image_tower", "vision_backbone")
CONNECTORS = (
    *("multi_modal_projector", "mm_projector", "connector", "visual.merger", "modality_projection", "projector"),
    *("visual_projection", "image_projection", "aligner"),
)
DECODERS = ("language_model", "text_model", "decoder", "text_decoder")
EMBEDDINGS = ("embeddings", "patch_embed", "patch_embedder", "patch_embedding")
BLOCKS = ("layers", "layer", "blocks", "block", "resblocks", "h")
"""What architectures call their parts."""

Edit = Callable[[Tensor], Tensor | None]
"""Sees the states [batch, tokens, width] of a stage, and gives those to go on with, or None for the same."""


@dataclass(frozen=True)
class Stage:
    """A place whose states are read and replaced.

    Attributes:
        name: as tables and figures call it.
        part: tower, connector or decoder.
        module: name of the module that puts the states out.
        before: whether they are the module's first input instead.
        channels: whether channels come before places, as of a convolution.
    """

    name: str
    part: str
    module: str
    before: bool = False
    channels: bool = False


def find(model: nn.Module, config: Any, globs: Mapping[str, str] | None = None) -> tuple[tuple[Stage, ...], list[str]]:
    """The stages of a model in the order of its forward pass, and lines on what isn't one.

    Args:
        config: the model's.
        globs: by part (tower, connector, decoder), a pattern that names its modules where the architecture doesn't:
            the blocks of tower and decoder, and the connector.

    Raises:
        InputError: a part is not found, or modules of the parts contain one another.
    """
    globs, remarks = dict(globs or {}), []
    modules = dict(model.named_modules())
    stages = []
    tower = _named(modules, TOWERS)
    embeddings = None if tower is None else _named(modules, tuple(f"{_last(tower)}*.{name}" for name in EMBEDDINGS))
    if embeddings is not None:
        channels = isinstance(modules[embeddings], nn.Conv2d)
        stages.append(Stage("patch embedding", "tower", embeddings, channels=channels))
    blocks = _matching(modules, globs, "tower") or _blocks(modules, tower)
    if not blocks:
        raise _lacking("tower")
    used = _used(config, len(blocks))
    if used < len(blocks):
        remarks.append(f"the connector reads tower layer {used}; the {len(blocks) - used} after it are on no way")
    stages += [Stage(f"tower {i}", "tower", name) for i, name in enumerate(blocks[:used], 1)]
    connector = _matching(modules, globs, "connector") or list(filter(None, [_named(modules, CONNECTORS)]))
    if len(connector) != 1:
        raise (
            _lacking("connector")
            if not connector
            else InputError(f"connector: {show(globs['connector'])} fits {len(connector)} modules; name one")
        )
    stages.append(Stage("connector", "connector", connector[0]))
    layers = _matching(modules, globs, "decoder") or _blocks(modules, _named(modules, DECODERS))
    if not layers:
        raise _lacking("decoder")
    _refuse_overlap({"tower": [*filter(None, [embeddings]), *blocks], "connector": connector, "decoder": layers})
    stages.append(Stage("decoder input", "decoder", layers[0], before=True))
    stages += [Stage(f"decoder {i}", "decoder", name) for i, name in enumerate(layers, 1)]
    return tuple(stages), remarks


def check_order(ran: Sequence[Stage]) -> None:
    """Refuse stages of which one ran after a stage of a later part.

    Args:
        ran: in the order of a forward pass.

    Raises:
        InputError: there is such a stage.
    """
    for one, other in combinations(ran, 2):
        if PARTS.index(one.part) > PARTS.index(other.part):
            raise InputError(
                f"{other.part}: {show(other.module)} runs after {show(one.module)}, the {one.part}; name modules that"
                f" run in the order {', '.join(PARTS)} with --{other.part} GLOB or --{one.part} GLOB"
            )


@contextmanager
def editing(model: nn.Module, batch: int, edits: Mapping[Stage, Edit]) -> Iterator[None]:
    """Let an edit of each stage see its states in the first forward pass inside the block, and replace them.

    Later passes inside the block, which add a token each to an answer, go on with what the first has left in the
    cache of keys and values.

    Args:
        batch: images in that pass, all of one size.

    Raises:
        InputError: the pass reached a stage not at all.
    """
    open_stages = dict(edits)
    handles = []

    def visit(stage: Stage, value: Any) -> Any:
        edit = open_stages.pop(stage, None)
        if edit is None:
            return None
        first = value[0] if isinstance(value, (tuple, list)) else value
        states = first.movedim(1, -1) if stage.channels else first
        new = edit(states.reshape(batch, -1, states.shape[-1]))
        if new is None:
            return None
        new = new.to(states.dtype).reshape(states.shape)
        new = new.movedim(-1, 1) if stage.channels else new
        return (new, *value[1:]) if isinstance(value, (tuple, list)) else new

    def after(stage: Stage) -> Callable[..., Any]:
        return lambda module, args, output: visit(stage, output)

    def before(stage: Stage) -> Callable[..., Any]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                new = visit(stage, args)
                return None if new is None else (new, kwargs)
            new = visit(stage, kwargs["hidden_states"])
            return None if new is None else (args, kwargs | {"hidden_states": new})

        return hook

    try:
        for stage in edits:
            module = model.get_submodule(stage.module)
            if stage.before:
                handles.append(module.register_forward_pre_hook(before(stage), with_kwargs=True, prepend=True))
            else:
                # Before the hooks of transformers, which keep what the connector reads of the tower.
                handles.append(module.register_forward_hook(after(stage), prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
    if open_stages:
        left = next(iter(open_stages))
        raise InputError(f"{left.part}: {show(left.module)} is on no way from image to answer; name others by a glob")


def _used(config: Any, blocks: int) -> int:
    """How many blocks of the tower the connector's input has passed."""
    layer = getattr(config, "vision_feature_layer", None)
    numbers = layer if isinstance(layer, (list, tuple)) else [layer]
    passed = [number if number >= 0 else blocks + 1 + number for number in numbers if isinstance(number, int)]
    return max([min(number, blocks) for number in passed], default=blocks)


def _named(modules: Mapping[str, nn.Module], names: Sequence[str]) -> str | None:
    """The first module, by the order of names and then of definition, that ends with one of them."""
    for name in names:
        for module in modules:
            if fnmatchcase(f".{module}", f"*.{name}"):
                return module
    return None


def _blocks(modules: Mapping[str, nn.Module], inside: str | None) -> list[str]:
    """The blocks inside a module: members of its lists of equal modules that lie in no other such list."""
    found: list[str] = []
    for name, module in modules.items():
        own = inside is not None and name.startswith(f"{inside}.") and _last(name) in BLOCKS
        if own and isinstance(module, nn.ModuleList) and not any(name.startswith(f"{block}.") for block in found):
            found += [f"{name}.{i}" for i in range(len(module))]
    return found


def _matching(modules: Mapping[str, nn.Module], globs: Mapping[str, str], part: str) -> list[str]:
    if part not in globs:
        return []
    found = [name for name in modules if name and fnmatchcase(name, globs[part])]
    if not found:
        raise InputError(
            f"{part}: no module fits {show(globs[part])}; the model has {', '.join(list(modules)[1:4])}, ..."
        )
    return found


def _refuse_overlap(parts: Mapping[str, Sequence[str]]) -> None:
    """Refuse modules that are or contain others: their states are the same, or those of one place have two names."""
    every = [(part, name) for part, names in parts.items() for name in names]
    for (part, name), (other, inside) in combinations(sorted(every, key=lambda each: len(each[1])), 2):
        if name == inside or inside.startswith(f"{name}."):
            what = "stands for two stages" if name == inside else f"contains {show(inside)}"
            either = " or ".join(dict.fromkeys((f"--{part} GLOB", f"--{other} GLOB")))
            raise InputError(
                f"{part}: {show(name)} {what} ({other}); name modules apart from one another with {either}"
            )


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _lacking(part: str) -> InputError:
    return InputError(f"{part}: not found in this architecture; name its modules with --{part} GLOB")
