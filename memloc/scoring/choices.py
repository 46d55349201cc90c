"""What may be chosen of how encoders are scored. Standard library only: --help doesn't wait for more."""

from __future__ import annotations

from memloc.data.augmentations import TRAINED_WITH
from memloc.errors import InputError

WORDS: dict[str, tuple[list[str], str]] = {
    "others": (["mean", "median"], "UnitMem compares with the mean or median of the other images"),
    "hook": (
        ["paper", "before", "after"],
        "read layers before or after normalisation and activation; paper: LayerMem before, UnitMem after",
    ),
    "dead": (["zero", "nan"], "UnitMem of a unit that no image excites"),
    "pairs": (["aug-aug", "image-aug"], "align views with one another, or the image with its views"),
    "distance": (["l2", "l1", "cosine", "angular"], "between representations of unit length"),
    "normalisation": (["ratio", "range", "none"], "of SSLMem"),
}
"""Words of each choice, the first by default, and what it is about."""
BY_ENCODER: dict[str, list[str]] = {
    "augmentation": [*TRAINED_WITH],
    "activation": ["as-is", "abs", "relu"],
    "representation": ["flattened", "pooled"],
}
"""Words of choices whose default follows from the encoder."""
RANGES = {"replicates": (2, 1000), "shuffles": (0, 1000), "draws": (0, 1000), "seed": (0, 2**63 - 1)}
"""Lowest and highest of each number."""


def check(**given: object) -> None:
    """Hold choices against what they may be; None is what isn't given.

    Raises:
        InputError: one is none of its words, no whole number, or out of its range.
    """
    words = BY_ENCODER | {key: allowed for key, (allowed, _) in WORDS.items()}
    for key, value in given.items():
        if value is None:
            continue
        if key in words and value not in words[key]:
            raise InputError(f"{key}: {value!r} is none of {', '.join(words[key])}")
        if key in RANGES:
            lowest, highest = RANGES[key]
            if not isinstance(value, int) or not lowest <= value <= highest:
                raise InputError(f"{key}: {value}; give {lowest} to {highest}")
