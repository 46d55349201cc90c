"""Opening any encoder: its module, its weights, the input it wants, and the same network without training.

An encoder is named by one text, see ``open_encoder``. Weights are read as tensors only, never unpickled, and no code
that lies beside them is run. timm and transformers are imported where a text asks for them.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import importlib
import io
import json
import logging
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jsonschema import Draft202012Validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from memloc.data.augmentations import TRAINED_WITH
from memloc.errors import InputError
from memloc.models import checkpoint
from memloc.models.architectures import ARCHITECTURES, Layer, build, choose_layers

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPELLINGS = (
    "FILE.safetensors of memloc, timm:NAME, torchvision:NAME (both also with @FILE or @untrained), "
    "a Hugging Face folder, or package.module:function"
)


@dataclass(frozen=True)
class OpenEncoder:
    """An encoder that is ready to be scored.

    Attributes:
        name: as the user wrote it.
        module: in eval mode, float32; [n, 3, size, size], standardised, to [n, dim].
        size: side of its input in pixels.
        mean: of pixels in [0, 1], one number or one a channel.
        std: likewise.
        layers: of an encoder of memloc; None where they are to be discovered.
        absent: modules, a head only, whose weights the file lacks: they are not part of ``module``'s output.
        sha256: of the weights: their names, shapes, types and bytes.
        untrained: a seed to the same network with fresh weights; None where nobody knows how to make them.
        augmentation: the recipe of its training, where known.
    """

    name: str
    module: nn.Module
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layers: tuple[Layer, ...] | None
    absent: tuple[str, ...]
    sha256: str
    untrained: Callable[[int], nn.Module] | None
    augmentation: str | None


@dataclass(frozen=True)
class _Source:
    """What a spelling leads to. ``build`` makes the network anew; size, mean and std are None where unknown."""

    module: nn.Module
    build: Callable[[], nn.Module] | None
    size: int | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    layers: tuple[Layer, ...] | None = None
    absent: tuple[str, ...] = ()
    augmentation: str | None = None


def open_encoder(
    text: str, *, size: int | None = None, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> OpenEncoder:
    """Open an encoder.

    Args:
        text: one of
            ``FILE.safetensors``, an encoder that memloc trained;
            ``timm:NAME`` or ``torchvision:NAME``, with ``@FILE`` for weights of one's own, ``@untrained`` for none;
            a folder in Hugging Face's format, ``hf:`` before it or not: of transformers or of timm;
            ``package.module:function``, called without arguments. This runs the user's code, so ``text`` must come
            from the command line.
        size: side of its input, instead of what the source says; mean and std likewise.

    Raises:
        InputError: no such encoder, weights that don't fit or can't be read, or a module that gives no [n, dim].
    """
    if size is not None and size < 1:
        raise InputError(f"size: {size} is no number of pixels; give 1 or more")
    with torch.random.fork_rng(devices=[]):
        # Weights that are drawn here (@untrained) are the same in every process.
        torch.default_generator.manual_seed(0)
        try:
            source = _open(text, size)
        except OSError as error:
            raise InputError(f"{text}: can't be read ({_reason(error)})") from error
        if size is not None:
            source = replace(source, size=size)
        if source.size is None:
            raise InputError(f"{text}: doesn't say how large its input is; give --size")
        mean = _pixels("mean", text, source.mean if mean is None else mean)
        std = _pixels("std", text, source.std if std is None else std)
        module = source.module.cpu().float().eval()
        _try(text, module, source.size)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(f"{text}: its weights aren't finite ({name}); get or train them again")
    build = source.build
    return OpenEncoder(
        name=text,
        module=module,
        size=source.size,
        mean=mean,
        std=std,
        layers=source.layers,
        absent=source.absent,
        sha256=checkpoint.tensors_sha256(module.state_dict()),
        untrained=None if build is None else lambda seed: _untrained(build, seed),
        augmentation=source.augmentation,
    )


def _open(text: str, size: int | None) -> _Source:
    kind, _, rest = text.partition(":")
    if kind == "timm":
        return _timm(text, rest, size)
    if kind == "torchvision":
        return _torchvision(text, rest, size)
    if kind == "hf" or Path(text).is_dir():
        return _hugging_face(text, Path(rest if kind == "hf" else text), size)
    if text.endswith(".safetensors"):
        return _memloc(Path(text), size)
    if re.fullmatch(r"[^\W\d][\w.]*:[^\W\d]\w*", text):
        return _function(text)
    raise InputError(f"{text}: no such encoder; name {SPELLINGS}")


def _memloc(path: Path, size: int | None) -> _Source:
    """An encoder that memloc trained. What it wants to see is in its file or in recipe.json beside it."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; name {SPELLINGS}")
    try:
        with safe_open(path, framework="pt") as file:
            ours = "memloc" in (file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a complete safetensors file ({_reason(error)}); get it again") from error
    if not ours:
        raise InputError(f"{path}: not an encoder of memloc; name its architecture as well, timm:NAME@{path}")
    try:
        tensors, about = checkpoint.load(path)
        settings = about["settings"]
        recipe = path.parent / "recipe.json"
        seen = dict(about.get("input") or (_json(recipe).get("dataset") if recipe.is_file() else None) or {})
        name = settings["architecture"]
        # An encoder may have been trained before its architecture had all of today's options.
        options = {key: rule["default"] for key, rule in ARCHITECTURES[name].options.items()} | settings["network"]
        # What no training would take may be built for hours, or fill memory.
        known = {"properties": dict(ARCHITECTURES[name].options), "additionalProperties": False}
        if not Draft202012Validator(known).is_valid(options):
            raise ValueError("network")
        layers = choose_layers(name, options, ["*"])
        side = seen.get("image_size") or size
        if side is None:
            raise InputError(f"{path}: doesn't say how large its input is; give --size")
        make = partial(build, name, options, image_size=side)
        module = make()
        checkpoint.restore(module, tensors, path)
        augmentation = settings.get("recipe", {}).get("augmentation")
        if augmentation not in (None, *TRAINED_WITH):
            raise ValueError("augmentation")
    except InputError as error:
        # What to do is said to a training; here the file is nothing to delete.
        what, _, do = str(error).rpartition(";")
        raise InputError(f"{what};{do}" if "--size" in do else f"{what}; get it again") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: doesn't say which encoder of memloc it is; name a weights.safetensors") from error
    return _Source(
        module=module,
        build=make,
        size=seen.get("image_size"),
        mean=seen.get("mean"),
        # A channel that never varied is divided by 1, as in training.
        std=[value or 1.0 for value in std] if isinstance(std := seen.get("std"), list) else std,
        layers=layers,
        augmentation=augmentation,
    )


def _timm(text: str, rest: str, size: int | None) -> _Source:
    timm = _library("timm", text)
    name, at, file = rest.partition("@")
    # What follows a dot names pretrained weights.
    if not timm.is_model(name) or ("." in name and name not in timm.list_models(pretrained=True)):
        raise _unknown(text, "timm", name, timm.list_models() + timm.list_models(pretrained=True))
    if at:
        return _timm_source(text, name, size, state=_state(text, file))
    return _timm_source(text, name, size, pretrained=True)


def _timm_source(
    text: str, name: str, size: int | None, *, state: Mapping[str, Tensor] | None = None, pretrained: bool = False
) -> _Source:
    timm = _library("timm", text)
    absent: tuple[str, ...] = ()

    def build(pretrained: bool = False) -> Any:
        module: Any = _sized(lambda **kw: timm.create_model(name, pretrained=pretrained, **kw), "img_size", size)
        if absent:
            module.reset_classifier(0)
        return module

    with _quietly(), _building(text, pretrained):
        module = build(pretrained)
    with _quietly():
        if state is not None:
            heads = module.get_classifier()
            heads = heads if isinstance(heads, tuple) else (heads,)
            absent = _fill(text, module, state, [n for n, m in module.named_modules() if any(m is h for h in heads)])
            if absent:
                module.reset_classifier(0)
        wants = timm.data.resolve_model_data_config(module)
    return _Source(module, build, wants["input_size"][-1], wants["mean"], wants["std"], absent=absent)


def _torchvision(text: str, rest: str, size: int | None) -> _Source:
    models = importlib.import_module("torchvision.models")
    name, at, file = rest.partition("@")
    # Models of the folders below (segmentation, video, ...) give something else than [n, dim].
    if name not in models.list_models(module=models):
        raise _unknown(text, "torchvision", name, models.list_models(module=models))
    weights = models.get_model_weights(name).DEFAULT
    absent: tuple[str, ...] = ()

    def build(weights: Any = None) -> nn.Module:
        get = models.get_model
        module = _sized(lambda **kw: get(name, weights=weights, progress=False, **kw), "image_size", size)
        for head in absent:
            module.set_submodule(head, nn.Identity())
        return module

    state = _state(text, file) if at else None
    with _quietly(), _building(text, not at):
        module = build(None if at else weights)
    with _quietly():
        if state is not None:
            leaves = [n for n, m in module.named_modules() if next(m.parameters(recurse=False), None) is not None]
            absent = _fill(text, module, state, leaves[-1:])
            for head in absent:
                module.set_submodule(head, nn.Identity())
        wants = weights.transforms()
    own = getattr(module, "image_size", wants.crop_size[0])
    return _Source(module, build, own, wants.mean, wants.std, absent=absent)


def _hugging_face(text: str, folder: Path, size: int | None) -> _Source:
    if not folder.is_dir():
        raise InputError(f"{text}: no such folder; download the model and name the folder of its config.json")
    if not (folder / "config.json").is_file():
        raise InputError(f"{text}: holds no config.json; name a folder in Hugging Face's format")
    if not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        raise InputError(f"{text}: holds no model.safetensors, and weights in pickles aren't read; convert them")
    config = _json(folder / "config.json")
    if "architecture" not in config:
        return _transformers(text, folder, config)
    timm = _library("timm", text)
    name = str(config["architecture"])
    if not timm.is_model(name):
        raise _unknown(text, "timm", name, timm.list_models())
    with _telling(f"{text}: timm can't build what its config.json says", "get it again"):
        return _timm_source(text, f"local-dir:{folder}", size, state=_state(text, str(folder / "model.safetensors")))


def _transformers(text: str, folder: Path, stated: Mapping[str, Any]) -> _Source:
    transformers = _library("transformers", text)
    if str(stated.get("model_type")) not in transformers.CONFIG_MAPPING:
        told = f"transformers has no model_type {stated.get('model_type')!r}"
        raise InputError(f"{text}: {told}, and code that lies in a folder isn't run; name a package.module:function")
    for key, value in _within(stated):
        # Anything else may be a name of code, which transformers fetches where it finds the package kernels.
        if "attn_implementation" in key and value not in (None, "eager", "sdpa", "flex_attention"):
            told = f"its config.json says {key} {value!r}, code of another's that isn't run"
            raise InputError(f"{text}: {told}; remove it")
    local = {"local_files_only": True, "trust_remote_code": False}
    with _quietly(), _telling(f"{text}: transformers can't open it", "get it again"):
        config = transformers.AutoConfig.from_pretrained(folder, **local)
        if hasattr(config, "mask_ratio"):
            config.mask_ratio = 0.0  # Masked autoencoders drop patches at random otherwise.
        module, loaded = transformers.AutoModel.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **local,
        )
    odd = sorted(name for name, *_ in loaded["mismatched_keys"])
    if odd:
        raise InputError(f"{text}: its weights have other shapes than its config.json says ({_few(odd)}); get it again")
    missing = sorted(name for name in loaded["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise InputError(f"{text}: its weights lack {_few(missing)}; get a complete model.safetensors")
    absent = ("pooler",) if loaded["missing_keys"] else ()

    def finish(module: nn.Module) -> nn.Module:
        for head in absent:
            setattr(module, head, None)  # How these models are built without one.
        module.register_forward_hook(_pool)
        return module

    def build() -> nn.Module:
        return finish(transformers.AutoModel.from_config(copy.deepcopy(config), trust_remote_code=False))

    file = folder / "preprocessor_config.json"
    wants = _json(file) if file.is_file() else {}
    crop = wants.get("crop_size") if wants.get("do_center_crop", True) else None
    own = next(filter(None, map(_side, (crop, wants.get("size"), stated.get("image_size")))), None)
    mean, std = wants.get("image_mean"), wants.get("image_std")
    if wants.get("do_normalize") is False:
        mean, std = [0.0], [1.0]
    return _Source(finish(module), build, own, mean, std, absent=absent)


def _within(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value of a JSON object, at any depth."""
    for key, inside in value.items() if isinstance(value, Mapping) else enumerate(value):
        if isinstance(inside, Mapping | list):
            yield from _within(inside)
        yield str(key), inside


def _pool(_: nn.Module, __: Any, output: Any) -> Any:
    """One vector an image from what a model of transformers returns; as a hook, so that no name inside changes."""
    pooled = getattr(output, "pooler_output", None)
    if pooled is not None:
        return pooled.flatten(1)
    hidden = getattr(output, "last_hidden_state", None)
    if hidden is None:
        return output
    return hidden.mean(dim=(2, 3) if hidden.ndim == 4 else 1)


def _side(value: Any) -> int | None:
    """The side of a square, however a configuration spells it."""
    if isinstance(value, Mapping):
        value = value.get("height", value.get("shortest_edge"))
    if isinstance(value, Sequence) and value:
        value = value[-1]
    return value if isinstance(value, int) else None


def _function(text: str) -> _Source:
    """What a function of the user's returns. Its folder is the current one, as for ``python -m``."""
    module, _, name = text.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        importlib.invalidate_caches()
        found = getattr(importlib.import_module(module), name, None)
    except (Exception, SystemExit) as error:
        raise InputError(f"{text}: importing {module} failed ({type(error).__name__}: {_reason(error)})") from error
    if not callable(found):
        raise InputError(f"{text}: {module} has no function {name}; name one that returns a torch.nn.Module")
    try:
        made = found()
    except (Exception, SystemExit) as error:
        raise InputError(f"{text}: calling it failed ({type(error).__name__}: {_reason(error)})") from error
    if not isinstance(made, nn.Module):
        raise InputError(f"{text}: returned {type(made).__name__}; it must return a torch.nn.Module")
    return _Source(made, None, 224, IMAGENET_MEAN, IMAGENET_STD)


def _sized(create: Callable[..., nn.Module], key: str, size: int | None) -> nn.Module:
    """A network for inputs of a size, where it can be built for one; a convolutional network takes any."""
    if size is not None:
        try:
            return create(**{key: size})
        except TypeError as error:
            if key not in str(error):
                raise
    return create()


def _state(text: str, file: str) -> dict[str, Tensor] | None:
    """The tensors of a weights file, by name; None for ``untrained``."""
    if file == "untrained":
        return None
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{text}: {file or 'what follows @'} is no file; name one with weights, or @untrained")
    if path.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise InputError(f"{text}: {file} is neither .safetensors nor .pth, .pt or .bin; rename or convert it")
    loaded: Any
    try:
        if path.suffix == ".safetensors":
            loaded = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code:
            told = f"holds {code[1]}, which is code and isn't run; save its state_dict alone"
        elif path.suffix == ".safetensors":
            told = f"isn't a complete safetensors file ({_reason(error)}); get it again"
        else:
            told = "isn't a complete PyTorch file of tensors; get it again"
        raise InputError(f"{text}: {file} {told}") from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    named = loaded if isinstance(loaded, Mapping) else {}
    tensors = {name: value for name, value in named.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{text}: {file} holds no weights by name; save the model's state_dict")
    return tensors


def _fill(text: str, module: nn.Module, state: Mapping[str, Tensor], heads: Sequence[str]) -> tuple[str, ...]:
    """Load a file's weights into a module, whatever one prefix stands before their names.

    Returns:
        ``heads`` where the file lacks weights of theirs, else nothing.
    """
    below = tuple(f"{head}." for head in heads)
    # How many batches a batch norm saw changes no output, and old files lack it.
    expected = {n: tuple(t.shape) for n, t in module.state_dict().items() if not n.endswith("num_batches_tracked")}
    needed = [name for name in expected if not name.startswith(below)]
    prefixes = {name.removesuffix(n) for n in needed for name in state if name == n or name.endswith(f".{n}")} or {""}
    lacking = {prefix: [n for n in needed if prefix + n not in state] for prefix in prefixes}
    prefix = min(sorted(prefixes), key=lambda p: len(lacking[p]))
    if lacking[prefix]:
        raise InputError(f"{text}: its weights lack {_few(lacking[prefix])}; name the architecture they belong to")
    whole = sorted(p for p in prefixes if not lacking[p])
    if len(whole) > 1:
        raise InputError(f"{text}: its weights hold the model as {_few(whole)}; keep one of them in the file")
    found = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    # A deeper network of the same family has all that a shallower one needs; a projection of its own does no harm.
    children = tuple(f"{name}." for name, _ in module.named_children())
    known = module.state_dict()  # With versions of its parts, which some read.
    extra = [n for n in found if n not in known and n.endswith(".weight") and n.startswith(children)]
    extra = [n for n in extra if not n.startswith(below)]
    if extra:
        raise InputError(f"{text}: its weights hold {_few(extra)} besides; name the architecture they belong to")
    absent = tuple(heads) if any(n not in found for n in expected) else ()
    taken = {n: found[n] for n in known if n in found and not (absent and n.startswith(below))}
    odd = [n for n in expected if n in taken and tuple(taken[n].shape) != expected[n]]
    if odd:
        told = [f"{n} {list(taken[n].shape)} instead of {list(expected[n])}" for n in odd]
        hint = (
            "remove it from the file"
            if all(n.startswith(below) for n in odd)
            else "name the architecture and --size they belong to"
        )
        raise InputError(f"{text}: its weights have {_few(told)}; {hint}")
    known.update(taken)
    module.load_state_dict(known)
    return absent


def _try(text: str, module: nn.Module, size: int) -> None:
    """Two blank images through a module, to see that it takes them and gives [n, dim]."""
    try:
        with torch.no_grad():
            out = module(torch.zeros(2, 3, size, size))
    except Exception as error:
        raise InputError(
            f"{text}: can't take images [n, 3, {size}, {size}] ({_reason(error)}); another --size or encoder may"
        ) from error
    if not isinstance(out, Tensor):
        raise InputError(f"{text}: gives {type(out).__name__}; its forward must return one tensor [n, dim]")
    if out.ndim != 2 or len(out) != 2 or not out.is_floating_point():
        raise InputError(f"{text}: gives {list(out.shape)} for two images; its forward must return [n, dim]")


def _untrained(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]), _quietly():
        torch.default_generator.manual_seed(seed)
        return build().float().eval()


def _pixels(key: str, text: str, value: Sequence[float] | None) -> tuple[float, ...]:
    """One number or one a channel."""
    if value is None:
        raise InputError(f"{text}: doesn't say the {key} of the pixels it was trained on; give --{key}")
    try:
        numbers = tuple(float(v) for v in value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{text}: {key} of its pixels: {value!r} isn't one or three numbers; give --{key}") from error
    if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)) or (key == "std" and min(numbers) <= 0):
        raise InputError(f"{key}: {list(value)} isn't one or three numbers{' above 0' if key == 'std' else ''}")
    return numbers


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """No warnings, log lines or progress bars from libraries, and no pickle of theirs but of tensors."""
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


def _building(text: str, pretrained: bool) -> contextlib.AbstractContextManager[None]:
    if pretrained:
        return _telling(f"{text}: can't get its pretrained weights", f"name a file, {text}@FILE, or {text}@untrained")
    return _telling(f"{text}: can't be built", "see --size")


@contextlib.contextmanager
def _telling(told: str, way_out: str) -> Iterator[None]:
    """Whatever a library raises, as one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{told} ({_reason(error)}); {way_out}") from error


def _library(name: str, text: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{text}: needs {name}: pip install {name}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({_reason(error)}); get it again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a JSON object; get it again")
    return value


def _unknown(text: str, library: str, name: str, known: Iterable[str]) -> InputError:
    close = difflib.get_close_matches(name, list(known), n=3)
    meant = f"did you mean {', '.join(close)}?" if close else f"see {library}'s list_models()"
    return InputError(f"{text}: {library} has no model {name!r}; {meant}")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
