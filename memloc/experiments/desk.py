"""What one job of an experiment has at hand, each thing read when it is first used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from memloc import io
from memloc.aliases import Array, Options
from memloc.data import prepared, splits
from memloc.data.augment import for_encoder
from memloc.data.augmentations import AUGMENTATIONS, Augmentation
from memloc.data.groups import EXCHANGED
from memloc.data.prepared import Part
from memloc.measuring.one_pass import measure_points
from memloc.measuring.protocol import Protocol
from memloc.models import checkpoint, probe
from memloc.models.architectures import Layer, blocks_of, choose_layers, unit_modules
from memloc.models.network import Normalise
from memloc.models.trained import Trained, training
from memloc.streams import stream

if TYPE_CHECKING:
    import pandas as pd

Outcomes = dict[str, Array]
Task = tuple[Part, Part]
"""Labelled images to fit a probe on, and those to test it on."""
OTHERS = {"donor": "donor", "untrained": "untrained", "g": "partner"}
"""Roles of the other encoders that a job may read, and the file of each."""


class Desk(Trained):
    """One job's files and parameters.

    Args:
        job: Snakemake's object of rule ``run_experiment_<kind>``.

    Raises:
        InputError: a file is damaged or belongs to another training; raised when it is first used.
    """

    def __init__(self, job: Any) -> None:
        super().__init__(job.input, job.params.settings, job.wildcards)
        self.options: Options = self.settings["options"]

    @cached_property
    def partner(self) -> nn.Module:
        """The other encoder of the pair, g, in eval mode."""
        expected = training(self.settings["partner"], self.description, self.split, role="g", seed=self.seed)
        return self.network(self.files.partner, expected)

    @cached_property
    def donor(self) -> nn.Module:
        """The encoder whose layers are put in."""
        description = io.load_json(self.files.donor_description)
        expected = training(self.settings["donor"], description, self.donor_split, role="f", seed=self.seed)
        return self.network(self.files.donor, expected)

    @cached_property
    def donor_split(self) -> dict[str, splits.Points]:
        """The groups of points of the donor's dataset."""
        return splits.load(self.files.donor_split, io.load_json(self.files.donor_description))

    @cached_property
    def part(self) -> Part:
        """The training images of the encoder's dataset, and their labels."""
        return prepared.load(Path(self.files.images).parent, "train")

    @cached_property
    def record(self) -> dict[str, Any]:
        """What the outcomes are made with: hashes of weights and trainings by role, options, how it is measured."""
        others = {role: self.files.get(name) for role, name in OTHERS.items()}
        weights = self.weights | {role: checkpoint.stated(path)[0] for role, path in others.items() if path}
        keys = ("options", "protocol", "augmentation", "others", "resamples")
        settings = {key: self.settings[key] for key in keys if key in self.settings}
        trainings = {role: self.settings["trainings"][role] for role in weights}
        return {"weights": weights, "trainings": trainings, "settings": settings}

    def points(self, *groups: str) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
        """All points of some groups, group by group in the order of the split, and the name of each one's group."""
        points, names = splits.measured_points(self.split)
        rows = np.isin(names, groups)
        return points[rows], names[rows]

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """By dataset; no image to fit a probe on is in the split of the encoder, or of the donor, of that dataset."""
        exclude = {self.settings["dataset"]: self.split}
        if self.files.get("donor_split"):
            exclude[self.settings["donor_dataset"]] = self.donor_split
        return {
            name: probe.task(
                Path(path).parent, exclude.get(name, {}), images=self.options["images"], dataset=name, seed=self.seed
            )
            for name, path in zip(self.settings["tasks"], self.files.tasks, strict=True)
        }

    @cached_property
    def task_normalise(self) -> dict[str, Normalise]:
        """By dataset of a task, what standardises its images."""
        return {
            name: Normalise(io.load_json(path))
            for name, path in zip(self.settings["tasks"], self.files.tasks, strict=True)
        }

    @property
    def expected(self) -> dict[str, dict[str, str]]:
        """What the records of the encoder's scores must say."""
        return {"weights": self.weights, "trainings": self.settings["trainings"]}

    @cached_property
    def units(self) -> pd.DataFrame:
        """Scores of the encoder's units; g's candidates are the images that it alone is trained on."""
        from memloc.analysis.tables import load_scores

        units = load_scores(self.files.units, "units", **self.expected)[0]
        return units.replace({"group": EXCHANGED}) if self.role == "g" else units

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Scores of points."""
        from memloc.analysis.tables import load_scores

        return load_scores(self.files.points, "points", **self.expected)[0]

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that are measured."""
        return tuple(Layer(**layer) for layer in self.settings["layers"])

    @cached_property
    def every_layer(self) -> tuple[Layer, ...]:
        """All layers that the architecture has, sublayers aside, measured or not."""
        settings = self.settings["encoder"]
        return choose_layers(settings["architecture"], settings["network"], ["*"])

    @cached_property
    def unit_layers(self) -> tuple[Layer, ...]:
        """Those of them that have units."""
        return tuple(layer for layer in self.layers if layer.units)

    @cached_property
    def unit_modules(self) -> dict[str, list[str]]:
        """By layer that has units, the modules that make them."""
        return unit_modules(self.layers)

    @cached_property
    def parts(self) -> dict[str, list[str]]:
        """By layer, the modules of all that belongs to it."""
        return {layer.name: list(layer.parts) for layer in self.layers if layer.parts}

    @cached_property
    def blocks(self) -> dict[str, list[str]]:
        """By block, the modules that hold all of it."""
        return {block: list(modules) for block, modules in blocks_of(self.layers).items()}

    @cached_property
    def protocol(self) -> Protocol:
        """How the encoder is measured."""
        return Protocol(**self.settings["protocol"])

    @cached_property
    def others(self) -> str:
        """What UnitMem compares the highest activation with: the others' mean or median."""
        return str(self.settings["others"])

    @cached_property
    def resamples(self) -> int:
        """Resamples of a bootstrap."""
        return int(self.settings["resamples"])

    @cached_property
    def augmentation(self) -> Augmentation:
        """Of the views that the encoder is measured on."""
        return for_encoder(AUGMENTATIONS[self.settings["augmentation"]], self.encoder)

    def measured(
        self,
        points: NDArray[np.int64],
        *,
        encoder: nn.Module | None = None,
        layers: Sequence[Layer],
        seed: int,
        alignment: bool = False,
        activations: bool = False,
    ) -> dict[str, NDArray[np.floating]]:
        """Measures of some points of the dataset, as the encoder is measured: arrays of a measures file, joined.

        Args:
            encoder: the trained one unless another is given.
            seed: of the views.
            alignment, activations: what to measure, over augmented views.
        """
        return measure_points(
            self.encoder if encoder is None else encoder,
            self.part.images,
            points,
            layers=layers,
            protocol=self.protocol,
            augmentation=self.augmentation,
            normalise=self.normalise,
            seed=seed,
            alignment=alignment,
            activations=activations,
            plain=False,
            device=self.device,
        )

    def views_of_units(
        self, points: NDArray[np.int64], groups: NDArray[np.str_], *, encoder: nn.Module | None = None
    ) -> dict[str, Array]:
        """What UnitMem is scored from: activations of all units on the views of rule ``measure``, points, groups."""
        layers = self.unit_layers
        about = {"points": points, "groups": groups, "labels": self.part.labels[points]}
        about["layers"] = np.array([layer.name for layer in layers])
        seed = stream("measure", self.seed)
        return {**about, **self.measured(points, encoder=encoder, layers=layers, seed=seed, activations=True)}

    def probed(self, encoder: nn.Module, task: str, *, normalise: Normalise | None = None) -> NDArray[np.bool_]:
        """Which test points of a task a probe on an encoder gets right, [test points].

        Args:
            normalise: what standardises the task's images; by default, what the encoder was trained with.
        """
        normalise = normalise or self.normalise
        train, test = self.tasks[task]
        features = [probe.features(encoder, part.images, normalise, device=self.device) for part in (train, test)]
        return probe.correct(features[0], train.labels, features[1], test.labels)
