"""What a folder in Hugging Face's format says of the images that its model takes (preprocessor_config.json).

A processor multiplies pixels of 0 to 255, adds, and standardises, which comes to a mean and std of pixels in [0, 1]; it
may reverse their channels. All of that is done as it says. What changes values otherwise is refused by name. How it
resizes and cuts is told, and not done: memloc draws its own views from the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memloc.errors import InputError, show
from memloc.scoring.encoders.source import library, load_json, quietly

FILE, NEWER = "preprocessor_config.json", "processor_config.json"
_SWITCHES = ("do_rescale", "do_normalize", "do_flip_channel_order", "rescale_offset", "include_top")
_NUMBERS = ("rescale_factor", "image_mean", "image_std")
_CUTS = ("do_resize", "size", "resample", "do_center_crop", "crop_size", "crop_pct", "default_to_square")
_IDLE = {
    *("image_processor_type", "feature_extractor_type", "processor_class", "auto_map", "_valid_processor_keys"),
    *("model_input_names", "return_tensors", "data_format", "input_data_format", "device", "disable_grouping"),
    *("use_fast", "backend", "_name_or_path", "transformers_version"),
    # Images are RGB anyway, and labels aren't used.
    *("do_convert_rgb", "do_reduce_labels", "reduce_labels", "do_convert_annotations", "format"),
}
"""Keys that change no pixel of an RGB image."""

LARGEST = 10_000
"""Pixels of a side: an image has no more than 90 million."""

_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")


@dataclass(frozen=True)
class Input:
    """The input of a model: as in ``Source``, where None is unknown; ``stated`` is the whole of what the file says."""

    size: int | None
    mean: Any
    std: Any
    says: str
    cuts: str
    channels: str
    stated: Mapping[str, Any]


def read(text: str, folder: Path, image_size: object, size: int | None) -> Input:
    """The input that a folder states.

    Args:
        image_size: of the model's configuration.
        size: side of the input that the user states.

    Raises:
        InputError: a key changes pixels in a way that isn't done here, or has an impossible value.
    """
    file, stated = _stated(folder)
    wants: dict[str, Any] = _defaults(text, stated) | stated
    for key, value in wants.items():
        if (key.startswith("do_") or key in _SWITCHES) and not isinstance(value, bool | None):
            raise InputError(f"{text}: {key} in {file} is {value!r}; it must be true or false")
        if key not in (*_SWITCHES, *_NUMBERS, *_CUTS, *_IDLE) and value not in (None, False):
            raise InputError(
                f"{text}: {file} means {show(key)}: {repr(value)[:60]}, which isn't done here;"
                f" {'say false there' if value is True else 'remove it'} if it changes no pixel, else name a"
                " package.module:function that does it"
            )
    mean, std, how = _standardised(text, file, wants)
    crop = wants.get("crop_size") if wants.get("do_center_crop", True) else None
    named = ((file, "crop_size", crop), (file, "size", wants.get("size")), ("config.json", "image_size", image_size))
    sides = [_side(text, where, key, value, size) for where, key, value in named]
    return Input(
        size=next(filter(None, sides), None),
        mean=mean,
        std=std,
        says=f"as {file} says{f' ({how})' if how else ''}" if stated else "",
        cuts=_cuts(wants, sides) if stated else "",
        channels="BGR" if wants.get("do_flip_channel_order") else "RGB",
        stated=stated,
    )


def _stated(folder: Path) -> tuple[str, dict[str, Any]]:
    """The name of the file that a processor is written in, and what it says."""
    if (folder / FILE).is_file():
        return FILE, load_json(folder / FILE)
    if (folder / NEWER).is_file() and isinstance(stated := load_json(folder / NEWER).get("image_processor"), dict):
        return NEWER, stated
    return FILE, {}


def _defaults(text: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    """What a processor of transformers does where a folder says nothing."""
    kind = str(stated.get("image_processor_type") or "") or str(stated.get("feature_extractor_type") or "").replace(
        "FeatureExtractor", "ImageProcessor"
    )
    if not kind:
        return {}
    library("transformers", text)
    from transformers.models.auto.image_processing_auto import get_image_processor_class_from_name

    with quietly():
        known = get_image_processor_class_from_name(kind) if "ImageProcessor" in kind else None
    if known is None:
        raise InputError(
            f"{text}: transformers has no image processor {kind}, and code in a folder isn't run;"
            " name a package.module:function"
        )
    keys = [
        key
        for key in dir(known)
        if key.startswith("do_") or key in (*_SWITCHES, *_NUMBERS, "resample", "crop_pct", "default_to_square")
    ]
    return {key: getattr(known, key) for key in keys if not callable(getattr(known, key))}


def _standardised(text: str, file: str, wants: Mapping[str, Any]) -> tuple[Any, Any, str]:
    """Mean and std of pixels in [0, 1], and what else than a plain mean and std they come from."""
    mean, std = wants.get("image_mean"), wants.get("image_std")
    if not wants.get("do_normalize", True):
        mean, std = [0.0], [1.0]
    for key in ("image_mean", "image_std"):
        values = wants.get(key)
        if any(isinstance(v, bool) for v in (values if isinstance(values, list) else [values])):
            raise InputError(f"{text}: {key} in {file} is {values!r}; it must be numbers")
    mean, std = ([v] if isinstance(v, int | float) else v for v in (mean, std))
    factor = wants.get("rescale_factor", 1 / 255) if wants.get("do_rescale", True) else 1
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise InputError(f"{text}: rescale_factor in {file} is {factor!r}; it must be a number above 0, as 1/255 is")
    scale, offset = 255 * factor, -1.0 if wants.get("rescale_offset") else 0.0
    again = bool(wants.get("include_top")) and wants.get("do_normalize", True)
    flips = wants.get("do_flip_channel_order")
    if not (isinstance(mean, Sequence) and isinstance(std, Sequence)) or not _are_numbers(mean, std):
        return mean, std, ""
    if flips and (len({*mean}) > 1 or len({*std}) > 1):
        raise InputError(
            f"{text}: {file} says do_flip_channel_order and another image_mean or image_std for each channel, which may"
            " be of RGB or BGR; name a package.module:function that does it"
        )
    how = []
    if again:  # As Keras's EfficientNet does: divided by std once more.
        std = [v * v for v in std]
        how.append("include_top")
    if not math.isclose(scale, 1, rel_tol=1e-6) or offset:
        # (scale x + offset - mean) / std
        mean, std = [(v - offset) / scale for v in mean], [v / scale for v in std]
        how.append("do_rescale false" if not wants.get("do_rescale", True) else f"rescale_factor {factor:.6g}")
    return mean, std, ", ".join(how)


def _are_numbers(*lists: Sequence[object]) -> bool:
    return all(isinstance(v, int | float) for values in lists for v in values)


def _side(text: str, file: str, key: str, value: object, size: int | None) -> int | None:
    """The side of a square, however a configuration spells it."""
    stated = value
    if isinstance(value, Mapping):
        height, width = value.get("height"), value.get("width")
        value = value.get("shortest_edge") if height is None else [height, height if width is None else width]
        if value is None and size is None and stated:
            raise InputError(f"{text}: {key} in {file} is {stated!r}, which is no square; give --size")
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        if len(value) > 1 and value[-2] != value[-1]:
            raise InputError(
                f"{text}: {key} in {file} is {stated!r}; only square images are scored: name another model"
            )
        value = value[-1]
    return check_side(text, file, key, value) if isinstance(value, int) else None


def check_side(text: str, file: str, key: str, side: object) -> int:
    """A side in pixels.

    Raises:
        InputError: no image has it.
    """
    if not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= LARGEST:
        stated = repr(side) if len(repr(side)) < 20 else f"{repr(side)[:20]}..."
        raise InputError(f"{text}: {key} in {file} is {stated}; a side has 1 to {LARGEST} pixels: correct it")
    return side


def _cuts(wants: Mapping[str, Any], sides: Sequence[int | None]) -> str:
    """How the processor itself makes an image a square, where memloc does otherwise."""
    (crop, side, _), size = sides, wants.get("size")
    said = []
    if wants.get("do_resize", True):
        resample = wants.get("resample", 2)
        known = isinstance(resample, int) and 0 <= resample < len(_FILTERS)
        if resample != 2:
            said.append(_FILTERS[resample] if known else f"resample {resample}")
        if crop and side and crop != side:
            said.append(f"to {side} pixels first")
        square = "height" in size if isinstance(size, Mapping) else wants.get("default_to_square", True)
        if not crop and side and square:
            said.append("squash of images that aren't square")
    else:
        said.append("do_resize false")
    if wants.get("crop_pct"):
        said.append(f"crop_pct {wants['crop_pct']}")
    return ", ".join(said)
