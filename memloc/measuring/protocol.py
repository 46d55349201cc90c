"""How views are compared and activations read."""

from __future__ import annotations

from dataclasses import dataclass

from memloc.errors import InputError

HALVES = 2
"""Draws are split in two: groups are chosen on one half and scored on the other."""

PAIRS = ("aug-aug", "image-aug")
DISTANCES = ("l2", "l1", "cosine", "angular")
LARGEST = {"l2": 2.001, "cosine": 2.001, "angular": 1.001}
"""Largest alignment by distance, with room for rounding; l1's depends on how many numbers a layer has."""
REPRESENTATIONS = ("flattened", "pooled")
ACTIVATIONS = ("as-is", "abs", "relu")


@dataclass(frozen=True)
class Protocol:
    """How views are compared and activations read. The defaults are the paper's.

    Attributes:
        draws: augmented views of each image, an even number of at least 4 (paper: 10, Appendix B).
        pairs: aug-aug compares views with one another (Eq. 1), image-aug the image as it is with each of its views.
        distance: between representations scaled to unit length: l2 (Eq. 1), l1, cosine (1 - cos) or angular
            (angle / pi) (Table 26).
        representation: the whole output of a layer (flattened), or its mean over positions (pooled).
        activation: of a unit at a position, before the mean over positions: as-is (Eq. 5), abs or relu.

    Raises:
        InputError: a value is not among these.
    """

    draws: int = 10
    pairs: str = "aug-aug"
    distance: str = "l2"
    representation: str = "flattened"
    activation: str = "as-is"

    def __post_init__(self) -> None:
        if self.draws < 2 * HALVES or self.draws % HALVES:
            raise InputError(f"draws: {self.draws} must be an even number of at least {2 * HALVES}")
        for key, allowed in (
            ("pairs", PAIRS),
            ("distance", DISTANCES),
            ("representation", REPRESENTATIONS),
            ("activation", ACTIVATIONS),
        ):
            if getattr(self, key) not in allowed:
                raise InputError(f"{key}: {getattr(self, key)!r} is none of {', '.join(allowed)}")
