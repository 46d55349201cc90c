"""Whether encoders that memloc trained, images and a split that memloc drew belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memloc.data.images import Images
from memloc.data.prepared import array_sha256
from memloc.data.splits import TRAINED_ON, training_points
from memloc.data.stored_images import StoredImages
from memloc.errors import InputError, show
from memloc.scoring.encoders import OpenEncoder
from memloc.scoring.encoders.source import first_of
from memloc.scoring.splits import Split


def check(
    encoder: OpenEncoder, images: Images, *, against: OpenEncoder | None, split: Split | None, path: Path | None
) -> list[str]:
    """Hold what files say of their making against one another; lines on what a user may not expect.

    What says nothing of its making, such as a table or an encoder of another library, is taken as it is.

    Args:
        path: of the split.

    Raises:
        InputError: the two encoders were trained on the same images or are exchanged, or the split is another
            training's or of other images.
    """
    drawn = split if split is not None and split.record is not None else None
    lines = [] if against is None else [*_pair(encoder, against, drawn)]
    if drawn is not None:
        _check_record(drawn, images, path)
        for each in (encoder, *([] if against is None else [against])):
            _check_training(each, images, drawn, path)
        if against is None and encoder.training.get("role") == "g":
            lines.append(f"{encoder.name} is g of its training, which never saw the candidate images")
    return lines


def _pair(f: OpenEncoder, g: OpenEncoder, drawn: Split | None) -> Iterator[str]:
    one, other = f.training, g.training
    if not (one and other) or f.sha256 == g.sha256:
        return
    data = ("dataset", "points")
    roles = (one.get("role"), other.get("role"))
    if "untrained" not in roles and all(one.get(key) == other.get(key) for key in data):
        raise InputError(
            f"against: {g.name} was trained on the same images as {f.name}; name the encoder that saw the independent"
            " images instead of the candidates"
        )
    if drawn is not None and roles == ("g", "f"):
        raise InputError(f"against: {g.name} is f of its training, and {f.name} is g; exchange the two")
    for name, role in zip((f.name, g.name), roles, strict=True):
        if role == "untrained":
            yield f"{name} is untrained, so it saw no image"
    settings = (_flat(one.get("settings")), _flat(other.get("settings")))
    differ = [key for key in ("dataset", "seed") if one.get(key) != other.get(key)]
    differ += sorted(key for key in {*settings[0], *settings[1]} if settings[0].get(key) != settings[1].get(key))
    if differ:
        yield f"--against isn't of the encoder's training, so more than images tells them apart: {first_of(differ)}"


def _flat(settings: object, before: str = "") -> dict[str, object]:
    """Settings by their keys, joined by dots."""
    if not isinstance(settings, Mapping):
        return {before: settings}
    found: dict[str, object] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{before}.{key}" if before else str(key))
    return found


def _check_record(split: Split, images: Images, path: Path | None) -> None:
    record = split.record or {}
    if record["images"] != len(images):
        raise InputError(
            f"split: {path}: was drawn from {show(str(record['images']))} images of {show(str(record['dataset']))}, and"
            f" --images has {len(images)}; name the images that it was drawn from"
        )
    if record["sha256"] != {group: array_sha256(rows) for group, rows in {**split, **split.beside}.items()}:
        raise InputError(f"split: {path}: holds other rows than were drawn; get it again, or write a table of your own")


def _check_training(encoder: OpenEncoder, images: Images, split: Split, path: Path | None) -> None:
    made: Mapping[str, Any] = encoder.training
    role = made.get("role")
    if role not in TRAINED_ON or any(group not in split for group in TRAINED_ON[role]):
        return
    if made.get("points") != array_sha256(training_points({**split, **split.beside}, role)):
        raise InputError(
            f"split: {path}: {encoder.name} was trained with another split, so it saw other images; name that of its"
            f" dataset and seed ({show(str(made.get('seed')))})"
        )
    # A folder may hold the same images in other files.
    if isinstance(images, StoredImages) and images.sha256 != made.get("dataset"):
        raise InputError(
            f"images: {encoder.name} and its split are of another dataset than --images; name the one it was trained on"
        )
