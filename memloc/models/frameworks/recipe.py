"""How an encoder is trained, as typed and frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Privacy:
    """Differential privacy of the training images.

    Attributes:
        epsilon, delta: the guarantee.
        clip: largest norm of one image's gradient.
    """

    epsilon: float
    delta: float
    clip: float


@dataclass(frozen=True)
class Recipe:
    """An encoder's ``recipe`` in the configuration, complete.

    Attributes:
        options: what only its framework has.
    """

    epochs: int
    warmup_epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    augmentation: str
    momentum: float
    beta2: float
    weight_decay_end: float | None
    clip: float | None
    privacy: Privacy | None
    options: Mapping[str, object]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a complete mapping."""
        common = {key: values[key] for key in COMMON}
        options = {key: value for key, value in values.items() if key not in COMMON}
        privacy = Privacy(**values["privacy"]) if values["privacy"] else None
        return cls(**{**common, "privacy": privacy}, options=options)

    def plain(self) -> dict[str, object]:
        """The mapping that ``of`` reads."""
        values: dict[str, object] = asdict(self)
        del values["options"]
        return values | dict(self.options)

    def count(self, option: str) -> int:
        """An option of the framework that is a whole number."""
        value = self.options[option]
        assert isinstance(value, int)
        return value

    def number(self, option: str) -> float:
        """An option of the framework that is a number."""
        value = self.options[option]
        assert isinstance(value, (int, float))
        return value


COMMON = tuple(field.name for field in fields(Recipe) if field.name != "options")
"""Keys that every recipe has."""
