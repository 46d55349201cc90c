"""A trained encoder as a job has it: read when it is first used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from torch import nn

from memloc import io
from memloc.data import splits
from memloc.data.prepared import array_sha256
from memloc.errors import AGAIN, InputError
from memloc.models import checkpoint, network
from memloc.models.frameworks.learner import Learner
from memloc.models.frameworks.recipe import Recipe
from memloc.models.network import Normalise


class Trained:
    """The encoder that a job's inputs and parameters name.

    Args:
        files: a job's input: ``description``, ``split``, ``weights`` and, for ``learner``, ``additions``.
        settings: ``encoder``, its entry in the configuration as far as its training follows it, and ``device``.
        names: a job's wildcards: ``role`` and ``seed``.

    Raises:
        InputError: a file is damaged or belongs to another training; raised when it is first used.
    """

    def __init__(self, files: Any, settings: Mapping[str, Any], names: Any) -> None:
        self.files, self.settings = files, settings
        self.seed, self.role = int(names.seed), str(names.role)

    @cached_property
    def device(self) -> str:
        """Where networks compute."""
        return network.device(self.settings["device"])

    @cached_property
    def description(self) -> dict[str, Any]:
        """Of the prepared dataset that the encoder was trained on."""
        description: dict[str, Any] = io.load_json(self.files.description)
        return description

    @cached_property
    def normalise(self) -> Normalise:
        """What standardises images of that dataset."""
        return Normalise(self.description)

    @cached_property
    def encoder(self) -> nn.Module:
        """The network, in eval mode.

        Raises:
            InputError: or images are described otherwise than those that it was trained on.
        """
        network = self.network(self.files.weights, self.training(self.role))
        takes = checkpoint.stated(self.files.weights)[1].get("input", {})
        if differ := ", ".join(key for key, value in takes.items() if self.description.get(key) != value):
            raise InputError(f"{self.files.description}: has other {differ} than {self.files.weights} takes; {AGAIN}")
        return network

    @cached_property
    def split(self) -> dict[str, splits.Points]:
        """The groups of points."""
        return splits.load(self.files.split, self.description)

    @cached_property
    def weights(self) -> dict[str, str]:
        """The hash of the encoder's weights, by role."""
        return {self.role: checkpoint.stated(self.files.weights)[0]}

    def training(self, role: str) -> dict[str, Any]:
        """What a checkpoint of the encoder's training, or of its seed's other roles, says of itself."""
        return training(self.settings["encoder"], self.description, self.split, role=role, seed=self.seed)

    def network(self, weights: str, expected: Mapping[str, Any]) -> nn.Module:
        """A network of the encoder's architecture, in eval mode, with the weights of a training."""
        settings, size = self.settings["encoder"], self.description["image_size"]
        return network.load(settings["architecture"], settings["network"], weights, image_size=size, **expected)

    @cached_property
    def learner(self) -> Learner:
        """The encoder with all that its framework adds, as trained, in eval mode."""
        settings = self.settings["encoder"]
        return network.load_learner(
            self.encoder,
            settings["framework"],
            Recipe.of(settings["recipe"]),
            self.files.additions,
            description=self.description,
            weights=self.weights[self.role],
            **self.training(self.role),
        )


def training(
    settings: Mapping[str, Any], description: Mapping[str, Any], split: splits.Groups, *, role: str, seed: int
) -> dict[str, Any]:
    """What the checkpoints of a training say of themselves.

    Args:
        settings: an encoder's entry in the configuration, as far as its training follows it.
        description: of the prepared dataset that it is trained on.
    """
    points = array_sha256(splits.training_points(split, role))
    data = {"dataset": description["sha256"]["train"], "points": points}
    return {"settings": settings, **data, "seed": seed, "role": role}
