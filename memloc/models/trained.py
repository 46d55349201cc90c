"""A trained encoder as a job has it: read when it is first used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from torch import nn

from memloc import io
from memloc.models import network
from memloc.models.frameworks.learner import Learner
from memloc.models.frameworks.recipe import Recipe
from memloc.models.network import Normalise


class Trained:
    """The encoder that a job's inputs and parameters name.

    Args:
        files: a job's input: ``description``, ``weights`` and, for ``learner``, ``additions``.
        settings: ``encoder``, its entry in the configuration as far as it is needed, and ``device``.
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
        """The network, in eval mode."""
        return self.network(self.files.weights)

    def network(self, weights: str) -> nn.Module:
        """A network of the encoder's architecture, with these weights, in eval mode."""
        settings, size = self.settings["encoder"], self.description["image_size"]
        return network.load(
            settings["architecture"], settings["network"], weights, image_size=size, seed=self.seed, role=self.role
        )

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
            seed=self.seed,
            role=self.role,
        )
