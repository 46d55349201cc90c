"""Encoders that a user's function returns."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from torch import nn

from memloc.errors import InputError
from memloc.scoring.encoders.source import Source, reason

IMAGENET_SIZE = 224
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What is assumed of an encoder that doesn't say."""


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
    )
