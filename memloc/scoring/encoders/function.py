"""Encoders that a user's function returns, or that are in memory."""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from torch import nn

from memloc.errors import InputError
from memloc.provenance import file_sha256
from memloc.scoring.encoders.source import Source, reason, releases

IMAGENET_SIZE = 224
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What is assumed of an encoder that doesn't say."""

STANDARD = sysconfig.get_path("stdlib")
LIBRARIES = ("__main__", "memloc", "torch", "timm", "torchvision", "transformers")
"""Packages whose code is known by a version, or memloc's own."""


def open_called(text: str) -> Source:
    """What ``package.module:function`` returns, imported from the current folder as by ``python -m``."""
    module, _, name = text.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        importlib.invalidate_caches()
        function = getattr(importlib.import_module(module), name, None)
    except (Exception, SystemExit) as error:
        raise InputError(f"{text}: importing {module} failed ({type(error).__name__}: {reason(error)})") from error
    if not callable(function):
        raise InputError(f"{text}: {module} has no function {name}; name one that returns a torch.nn.Module")
    try:
        encoder = function()
    except (Exception, SystemExit) as error:
        raise InputError(f"{text}: calling it failed ({type(error).__name__}: {reason(error)})") from error
    if not isinstance(encoder, nn.Module):
        raise InputError(f"{text}: returned {type(encoder).__name__}; it must return a torch.nn.Module")
    return _source(
        *(encoder, IMAGENET_SIZE, IMAGENET_MEAN, IMAGENET_STD),
        says="assumed, since a function doesn't say",
        weights=f"as {text} returns them",
        code=_code(module, encoder),
    )


def take(name: str, module: nn.Module, side: int | None) -> Source:
    """A copy of a module that is in memory, out of what PyTorch wraps around it to compile it or to spread it.

    timm's models say themselves which input they were trained with.

    Args:
        side: of the images, if they have one.
    """
    while isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel) or hasattr(module, "_orig_mod"):
        inner = getattr(module, "_orig_mod", None) or module.module
        assert isinstance(inner, nn.Module)
        module = inner
    try:
        encoder = copy.deepcopy(module)
    except Exception as error:
        raise InputError(
            f"{name}: can't be copied, and scoring changes its mode and device ({reason(error)}); write a function that"
            " builds it, and name that: 'package.module:function'"
        ) from error
    stated = getattr(module, "pretrained_cfg", None)
    if isinstance(stated, Mapping) and {"input_size", "mean", "std"} <= stated.keys():
        size, mean, std, says = stated["input_size"][-1], stated["mean"], stated["std"], "as its pretrained_cfg says"
    else:
        size, mean, std = side or IMAGENET_SIZE, IMAGENET_MEAN, IMAGENET_STD
        own = " (the size is the images' own)" if side else ""
        says = f"assumed, as a module doesn't say{own}"
    return _source(encoder, size, mean, std, says=says, weights="as they are in memory", code={})


def _source(
    encoder: nn.Module,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    says: str,
    weights: str,
    code: Mapping[str, str],
) -> Source:
    """A network that is known by its module alone."""
    fixed = _unresettable(encoder)
    return Source(
        *(encoder, None if fixed else lambda: _reset(encoder), size, mean, std),
        says=says,
        weights=weights,
        remarks=(f"it has no untrained null: {fixed}",) if fixed else (),
        made_of={"code": dict(code), **releases("torch", "timm", "torchvision", "transformers")},
    )


def _unresettable(encoder: nn.Module) -> str:
    """Why an encoder can't be had untrained: a module whose weights it can't draw anew; "" if there is none."""
    for name, module in encoder.named_modules():
        if _resets(module) is None and any(True for _ in module.parameters(recurse=False)):
            return f"{name or type(module).__name__} has weights and no reset_parameters()"
    try:
        _reset(encoder)
    except Exception as error:
        return f"its modules can't be copied and reset ({reason(error)})"
    return ""


def _reset(encoder: nn.Module) -> nn.Module:
    """A copy whose modules, the inner ones last, have drawn their weights anew."""
    fresh = copy.deepcopy(encoder)
    for module in fresh.modules():
        reset = _resets(module)
        if reset is not None:
            reset()
    return fresh


def _resets(module: nn.Module) -> Callable[[], object] | None:
    found = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    return found if callable(found) else None


def _code(named: str, encoder: nn.Module) -> dict[str, str]:
    """Hashes of the files of the user's code, by module: what the encoder's classes and their modules import.

    That is what isn't installed, and of what is, the packages of the named module and of the encoder's own class.
    """
    classes = {type(module).__module__ for module in encoder.modules()}
    own = {name.partition(".")[0] for name in (named, type(encoder).__module__)}
    found: dict[str, str] = {}
    todo = [named, *classes]
    while todo:
        name = todo.pop()
        path, package = Path(getattr(sys.modules.get(name), "__file__", None) or ""), name.partition(".")[0]
        foreign = package in LIBRARIES or (_installed(path) and package not in own)
        if name not in found and path.suffix == ".py" and not foreign and path.is_file():
            found[name] = file_sha256(path)
            todo += _imports(name, path)
    return found


def _imports(name: str, path: Path) -> Iterator[str]:
    """Names of modules, and of what may be one, that a module imports, wherever in its file; and of its packages."""
    yield from _parents(name)
    package = getattr(sys.modules[name], "__package__", None)
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            base = importlib.util.resolve_name(f"{dots}{node.module or ''}", package) if dots else node.module or ""
            yield from _parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _parents(name: str) -> Iterator[str]:
    """A module and the packages that it lies in."""
    parts = name.split(".")
    yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _installed(path: Path) -> bool:
    return "site-packages" in path.parts or "dist-packages" in path.parts or path.is_relative_to(STANDARD)
