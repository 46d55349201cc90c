"""Encoders that a user's function returns."""

from __future__ import annotations

import importlib
import sys
import sysconfig
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
    return Source(
        *(encoder, None, IMAGENET_SIZE, IMAGENET_MEAN, IMAGENET_STD),
        says="assumed, since a function doesn't say",
        weights=f"as {text} returns them",
        made_of={"code": _code(module, encoder), **releases("torch", "timm", "torchvision", "transformers")},
    )


def _code(named: str, encoder: nn.Module) -> dict[str, str]:
    """Hashes of the files of all code that is loaded and may be the user's, by module.

    That is what isn't installed, and of what is, the packages of the named module and of the encoder's own class.
    """
    own = {name.partition(".")[0] for name in (named, type(encoder).__module__)}
    found = {}
    for name, module in sorted(sys.modules.items()):
        path, package = Path(getattr(module, "__file__", None) or ""), name.partition(".")[0]
        foreign = package in LIBRARIES or (_installed(path) and package not in own)
        if path.suffix == ".py" and not foreign and path.is_file():
            found[name] = file_sha256(path)
    return found


def _installed(path: Path) -> bool:
    return "site-packages" in path.parts or "dist-packages" in path.parts or path.is_relative_to(STANDARD)
