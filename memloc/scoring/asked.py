"""What ``memloc score`` and ``memloc.score`` do alike: choices, what is said before the work, the record of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from memloc import provenance
from memloc.data.images import Images
from memloc.data.repeats import repeats
from memloc.errors import InputError
from memloc.measuring.protocol import Protocol
from memloc.scoring.encoders import OpenEncoder
from memloc.scoring.passes import Pass, Settings
from memloc.scoring.splits import Split
from memloc.scoring.splits import describe as describe_split


def settings_for(
    encoder: OpenEncoder,
    *,
    draws: int,
    pairs: str,
    distance: str,
    representation: str | None,
    activation: str | None,
    augmentation: str | None,
    **others: Any,
) -> Settings:
    """The choices behind the numbers; what is None follows from the encoder."""
    augmentation = augmentation or encoder.augmentation or "normal"
    # A ViT that memloc trained is scored as the workflow measures it, see config.complete.
    vit = getattr(encoder.module, "skips_hidden", False)
    protocol = Protocol(
        draws,
        pairs,
        distance,
        representation=representation or ("pooled" if vit and augmentation == "masking" else "flattened"),
        activation=activation or ("abs" if vit else "as-is"),
    )
    return Settings(protocol=protocol, augmentation=augmentation, **others)


def check_differ(encoder: OpenEncoder, against: OpenEncoder) -> None:
    """Refuse a pair of equal weights."""
    if against.sha256 == encoder.sha256:
        raise InputError(
            f"against: {against.name} has the same weights as {encoder.name}, and an encoder differs in nothing from"
            " itself; name the encoder that was trained on the independent images instead"
        )


def about_encoders(encoder: OpenEncoder, against: OpenEncoder | None) -> list[str]:
    """Lines about f and, as far as it differs, about g."""
    lines = [f"{encoder.name}: {line}" for line in (encoder.pixels, encoder.weights, *encoder.remarks)]
    if against is not None:
        same = {encoder.pixels, encoder.weights}
        others = [line for line in (against.pixels, against.weights) if line not in same]
        lines += [f"{against.name}: {line}" for line in (*others, *against.remarks)]
    return lines


def about_images(
    images: Images, external: Images | None, split: Split | None, names: Mapping[str, str | None]
) -> list[str]:
    """Lines about the images, the split and the external images.

    Args:
        names: what the user calls each: ``images``, ``external``, ``split``.
    """
    lines = images.taken(str(names["images"]))
    groups = {"candidate": (images, np.arange(len(images)))}
    if split is not None:
        lines.append(describe_split(str(names["split"]), split, images.names))
        groups = {group: (images, rows) for group, rows in split.items()}
    if external is not None:
        lines += external.taken(str(names["external"]))
        groups["external"] = (external, np.arange(len(external)))
    return lines + repeats(groups)


def compared(passes: Mapping[str, Pass], split: Split | None) -> dict[str, int]:
    """Readable images of each group that f is compared on."""
    first = "scored" if split is None else "candidate"
    return {
        name.removeprefix("f-").replace("candidate", first): len(task.images.readable(task.rows))
        for name, task in passes.items()
        if name.startswith("f-")
    }


def record(
    encoder: OpenEncoder,
    settings: Settings,
    passes: Mapping[str, Pass],
    *,
    skipped: Mapping[str, str],
    device: str,
    names: Mapping[str, str | None],
    layers: object,
    weights_key: str | None = None,
) -> dict[str, object]:
    """What meta.json and the page say of the work; settings are spelled as on the command line.

    Args:
        names: what the user calls ``against``, ``images``, ``external``, ``split``.
        layers: patterns of their names.
    """
    choices = asdict(settings)
    protocol = choices.pop("protocol")
    about_encoder = {"size": encoder.size, "mean": list(encoder.mean), "std": list(encoder.std)}
    about_encoder |= {"channels": encoder.channels, "weights_key": weights_key, "device": device}
    return {
        "encoder": encoder.name,
        **{key: names[key] for key in ("against", "images", "external")},
        "part": next((task.images.part for task in passes.values() if task.images.part), None),
        "split": names["split"],
        "counts": {name: len(task.rows) for name, task in passes.items()},
        "skipped": skipped,
        "settings": protocol | choices | {"layers": layers or "default"} | about_encoder,
        "versions": provenance.versions("memloc", "torch", "timm", "torchvision", "numpy"),
    }
