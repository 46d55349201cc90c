"""All that determines a training but data, seed and role, as typed and frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from memloc.models.frameworks.recipe import Recipe


@dataclass(frozen=True)
class Hardware:
    """What an encoder is trained on: ``devices`` in each of ``nodes``, in 32-true or bf16-mixed."""

    devices: int
    nodes: int
    precision: str
    compile: bool


@dataclass(frozen=True)
class Training:
    """An entry of the configuration's ``encoders`` as far as it changes the training.

    Attributes:
        network: options of the architecture.
        initialisation: whether f and g start from the same weights: own or shared.
        snapshots: epochs after which the encoder is kept as well.
    """

    framework: str
    architecture: str
    network: Mapping[str, Any]
    recipe: Recipe
    hardware: Hardware
    initialisation: str
    snapshots: tuple[int, ...]

    @classmethod
    def of(cls, encoder: Mapping[str, Any]) -> Training:
        """The training of an encoder's complete entry; other keys are ignored."""
        return cls(
            framework=encoder["framework"],
            architecture=encoder["architecture"],
            network=encoder["network"],
            recipe=Recipe.of(encoder["recipe"]),
            hardware=Hardware(**encoder["hardware"]),
            initialisation=encoder["initialisation"],
            snapshots=tuple(encoder["snapshots"]),
        )

    def plain(self) -> dict[str, object]:
        """The mapping that ``of`` reads, ready for JSON."""
        return asdict(self) | {"recipe": self.recipe.plain(), "snapshots": list(self.snapshots)}
