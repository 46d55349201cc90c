"""What every library's module gives for an encoder, and how errors of libraries become one line."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from memloc.errors import InputError, lacking, show
from memloc.models.architectures import Layer
from memloc.provenance import versions


@dataclass(frozen=True)
class Source:
    """A network and what is known of its input; size, mean and std are None where unknown.

    Attributes:
        module: the network with its weights.
        build: makes the same network with fresh weights; None where nobody knows how.
        size: side of its input in pixels.
        mean, std: of the pixels it was trained on, as they are stated, so they may be anything.
        layers: of an encoder that memloc trained; None where they are to be discovered.
        absent: modules, a head only, whose weights the file lacks.
        augmentation: of its training, where known.
        says: who states size, mean and std.
        weights: which weights these are, out of which.
        cuts: how the source itself resizes and cuts images, where memloc doesn't do the same.
        channels: their order.
        random: whether the weights are random because that was wanted.
        remarks: on what a user may not expect of it.
        made_of: what its forward follows besides its modules and weights: code, configuration, versions.
        training: what an encoder that memloc trained says of its training: role, seed, data, settings.
    """

    module: nn.Module
    build: Callable[[], nn.Module] | None
    size: int | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    layers: tuple[Layer, ...] | None = None
    absent: tuple[str, ...] = ()
    augmentation: str | None = None
    says: str = ""
    weights: str = ""
    cuts: str = ""
    channels: str = "RGB"
    random: bool = False
    remarks: tuple[str, ...] = ()
    made_of: Mapping[str, object] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


def sized(create: Callable[..., nn.Module], key: str, size: int | None) -> nn.Module:
    """A network for inputs of a size, if it can be built for one; a convolutional network takes any."""
    if size is not None:
        try:
            return create(**{key: size})
        except TypeError as error:
            if key not in str(error):
                raise
    return create()


def library(name: str, text: str) -> ModuleType:
    """A library that is imported only when an encoder needs it.

    Raises:
        InputError: it isn't installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = "huggingface" if name == "transformers" else "score"
        raise InputError(f"{text}: {lacking(ModuleNotFoundError(name=name), extra)}") from error


def releases(*packages: str) -> dict[str, str]:
    """Versions of packages, whatever device each was built for: shards may run on several kinds."""
    return {name: version.partition("+")[0] for name, version in versions(*packages).items() if name in packages}


def load_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        InputError: the file holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
        json.dumps(value)  # What is nested too deep for that is too deep for others, too.
    except RecursionError as error:
        raise InputError(f"{path}: nested too deep; get it again") from error
    except _RepeatedError as error:
        raise InputError(f"{path}: says {show(str(error))} twice; keep one of them") from error
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({reason(error)}); get it again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a JSON object; get it again")
    return value


class _RepeatedError(ValueError):
    """A key that an object has twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; readers differ in which of two equal keys they take."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedError(key)
        found[key] = value
    return found


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """No warnings, log lines or progress bars from libraries, which may unpickle tensors only."""
    level, force = logging.root.manager.disable, "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(force)
    silent = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        os.environ[force] = "1"
        try:
            yield
        finally:
            logging.disable(level)
            os.environ.pop(force)
            if before is not None:
                os.environ[force] = before


@contextlib.contextmanager
def in_one_line(failure: str, way_out: str) -> Iterator[None]:
    """Whatever a library raises, as an InputError: what failed, the library's reason, the way out."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{failure} ({reason(error)}); {way_out}") from error


def building(text: str, pretrained: bool) -> contextlib.AbstractContextManager[None]:
    """Errors of a library that builds a network, with pretrained weights or without."""
    if pretrained:
        return in_one_line(
            f"{text}: can't get its pretrained weights", f"name a file, {text}@FILE, or {text}@untrained"
        )
    return in_one_line(f"{text}: can't be built", "see --size")


def unknown_model(text: str, library: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a model that a library doesn't have, with close names that it has."""
    close = difflib.get_close_matches(name, list(known), n=3)
    hint = f"did you mean {', '.join(close)}?" if close else f"see {library}'s list_models()"
    return InputError(f"{text}: {library} has no model {name!r}; {hint}")


def first_of(names: Sequence[str]) -> str:
    """The first three names and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return show(", ".join(names[:3])) + more


def numbers(values: Iterable[float]) -> str:
    """Numbers as they are written on the command line."""
    return " ".join(f"{value:.6g}" for value in values)


def reason(error: BaseException) -> str:
    """The first line of an error's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
