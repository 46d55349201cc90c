"""Training frameworks by name. An entry holds what planning needs; the code is in the module of the same name.

A framework's module has ``build(encoder, *, classes, recipe, image_size)``, which returns a
``memloc.models.frameworks.learner.Learner``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memloc.aliases import Json, Options

if TYPE_CHECKING:
    from torch import nn

    from memloc.models.frameworks.learner import Learner
    from memloc.models.frameworks.recipe import Recipe


@dataclass(frozen=True)
class Framework:
    """An entry of FRAMEWORKS.

    Attributes:
        title: its name in prose, with its reference.
        options: JSON schema, with a default, of each key of a recipe that only this framework has.
        labels: whether it learns from labels.
        tokens: whether it needs an encoder of patches (ViT).
        image_losses: whether its loss is one of single images: it can be trained with differential privacy, and
            reconstructed losses compared by point.
        head: whether a head maps the encoder's output to the space of the loss.
        teacher: whether the loss needs a second encoder that follows the first; only one of the two is kept.
    """

    title: str
    options: Options = field(default_factory=dict)
    labels: bool = False
    tokens: bool = False
    image_losses: bool = False
    head: bool = True
    teacher: bool = False


def number(default: float, **bounds: float) -> Json:
    """Schema of a number."""
    return {"type": "number", "default": default, **bounds}


def count(default: int, **bounds: int) -> Json:
    """Schema of a whole number of at least 1."""
    return {"type": "integer", "minimum": 1, "default": default, **bounds}


_TEMPERATURE = {"minimum": 0.001, "maximum": 1000}
_SHARE = {"minimum": 0, "maximum": 1}
_WEIGHT = {"minimum": 0, "maximum": 1e6}
_WIDTH = {"maximum": 65536}


def _crops(local_crops: int, local_size: int) -> Json:
    return {
        "local_crops": count(local_crops, minimum=0, maximum=100),
        "local_size": count(local_size, maximum=4096),
    }


# Defaults are the authors' (BYOL's ema that of its shorter runs); SimCLR's and MAE's decoder the paper's.
FRAMEWORKS: dict[str, Framework] = {
    "simclr": Framework(
        "SimCLR (Chen et al., 2020)",
        {"temperature": number(0.5, **_TEMPERATURE), "projection": count(64, **_WIDTH)},
    ),
    "simsiam": Framework(
        "SimSiam (Chen and He, 2021)",
        {"projection": count(2048, **_WIDTH), "prediction": count(512, **_WIDTH)},
    ),
    "byol": Framework(
        "BYOL (Grill et al., 2020)",
        {"hidden": count(4096, **_WIDTH), "projection": count(256, **_WIDTH), "ema": number(0.99, **_SHARE)},
        teacher=True,
    ),
    "vicreg": Framework(
        "VICReg (Bardes et al., 2022)",
        {
            "projection": count(8192, **_WIDTH),
            "invariance": number(25, **_WEIGHT),
            "variance": number(25, **_WEIGHT),
            "covariance": number(1, **_WEIGHT),
        },
    ),
    "barlow-twins": Framework(
        "Barlow Twins (Zbontar et al., 2021)",
        {"projection": count(8192, **_WIDTH), "redundancy": number(0.005, **_WEIGHT)},
    ),
    "dino": Framework(
        "DINO (Caron et al., 2021)",
        {
            "hidden": count(2048, **_WIDTH),
            "bottleneck": count(256, minimum=2, **_WIDTH),
            "outputs": count(65536, minimum=2, maximum=2**20),
            "ema": number(0.996, **_SHARE),
            "teacher_temperature": number(0.04, **_TEMPERATURE),
            "student_temperature": number(0.1, **_TEMPERATURE),
            "frozen_epochs": count(1, minimum=0),
            **_crops(8, 96),
        },
        teacher=True,
    ),
    "mae": Framework(
        "MAE (He et al., 2022)",
        {
            "decoder_dim": count(192, **_WIDTH),
            "decoder_depth": count(4, maximum=100),
            "decoder_heads": count(3, maximum=1024),
            "normalise_pixels": {"type": "boolean", "default": False},
        },
        tokens=True,
        image_losses=True,
        head=False,
    ),
    "lejepa": Framework(
        "LeJEPA (Balestriero and LeCun, 2025)",
        {
            "hidden": count(2048, **_WIDTH),
            "projection": count(64, **_WIDTH),
            "regularisation": number(0.05, **_SHARE),
            "slices": count(1024, **_WIDTH),
            **_crops(6, 98),
        },
    ),
    "supervised": Framework("cross-entropy on labels", labels=True),
}


def build(name: str, encoder: nn.Module, *, classes: int, recipe: Recipe, image_size: int) -> Learner:
    """The module that is trained: an encoder with what its framework adds.

    Args:
        encoder: [n, 3, h, w] to [n, ``encoder.dim``].

    Raises:
        KeyError: ``name`` isn't a key of FRAMEWORKS; nothing else is ever imported.
        InputError: an option doesn't go with the encoder, the images or the rest of the recipe.
    """
    FRAMEWORKS[name]
    learner: Learner = importlib.import_module(f"memloc.models.frameworks.{name.replace('-', '_')}").build(
        encoder, classes=classes, recipe=recipe, image_size=image_size
    )
    return learner


def module_path(name: str) -> str:
    """The file that holds a framework's code, from the repository's root."""
    return f"memloc/models/frameworks/{name.replace('-', '_')}.py"
