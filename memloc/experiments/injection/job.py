"""Training a single unit on a single image that the encoder has not seen (paper, Tables 13 and 14)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memloc.data.augmentations import Augmentation
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.desk import Desk, Outcomes
from memloc.job import log
from memloc.measuring.one_pass import measure_images
from memloc.measuring.protocol import Protocol
from memloc.metrics.units import unitmem
from memloc.models.architectures import Layer
from memloc.models.frameworks.learner import Learner
from memloc.models.network import Normalise
from memloc.models.units import isolate
from memloc.streams import generator, stream
from memloc.training.isolated import follow

ARMS = (
    ("top", "repeated"),
    ("top", "natural"),
    ("top", "another"),
    ("inactive", "repeated"),
    ("inactive", "natural"),
    ("inactive", "another"),
)
"""Which unit is trained, and on what: the chosen image alone (Table 14b, and 13), all images of its group alike (14a),
or another image alone, a null."""


@dataclass(frozen=True)
class Eye:
    """How units of one layer are read: activations over augmented views (paper, Eq. 5), the same in every reading.

    Attributes:
        part: images that are read, and their labels.
        points: their numbers in the dataset.
    """

    part: Part
    points: NDArray[np.int64]
    layer: Layer
    protocol: Protocol
    augmentation: Augmentation
    normalise: Normalise
    seed: int
    device: str = "cpu"

    def activations(self, learner: Learner) -> NDArray[np.float64]:
        """mu_u(x) of every unit, [points, units]."""
        measures = measure_images(
            learner.encoder,
            self.part.images,
            self.points,
            layers=[self.layer],
            protocol=self.protocol,
            augmentation=self.augmentation,
            normalise=self.normalise,
            seed=self.seed,
            alignment=False,
            plain=False,
            device=self.device,
        )
        return np.asarray(measures.views[self.layer.name].astype(np.float64).mean(axis=1))


@dataclass(frozen=True)
class Lessons:
    """How single units are trained.

    Attributes:
        steps: numbers of steps after which to stop for a look, rising.
        batch_size: images in a step, each as likely as any other in every row.
    """

    steps: Sequence[int]
    batch_size: int
    learning_rate: float
    seed: int

    @property
    def diverged(self) -> InputError:
        """That a training's numbers are no longer finite."""
        return InputError(f"learning_rate: {self.learning_rate} makes the unit's training diverge; lower it")


def choose(mu: NDArray[np.float64]) -> tuple[dict[str, int], int]:
    """The units and the image: the unit of highest UnitMem, the least active of the others, the first one's owner.

    Args:
        mu: [images, units].

    Returns:
        Units by name, and the row of the image that excites the first most.
    """
    top = int(unitmem(mu).argmax())
    activity = mu.mean(axis=0)
    activity[top] = np.inf
    return {"top": top, "inactive": int(activity.argmin())}, int(mu[:, top].argmax())


def train(learner: Learner, unit: int, part: Part, *, eye: Eye, lessons: Lessons) -> Iterator[int]:
    """Follow the framework's own loss on views of the images with one unit's filter and normalisation alone.

    Heads, batch-norm statistics and all other parameters are frozen; Adam without weight decay leaves what has no
    gradient exactly as it is. Rows and views are functions of the seed and the step: all arms share them.

    Args:
        learner: changed in place.
        unit: of the eye's layer.

    Yields:
        The number of steps done, at every look.

    Raises:
        InputError: it diverges.
    """
    learner.to(eye.device).eval().requires_grad_(False)
    trained = isolate(learner.encoder, {eye.layer.name: [unit]}, {eye.layer.name: eye.layer.modules})

    def draw(draws: torch.Generator) -> Tensor:
        return torch.randint(len(part.images), (lessons.batch_size,), generator=draws)

    steps = follow(
        learner,
        trained,
        part,
        draw=draw,
        normalise=eye.normalise,
        steps=lessons.steps[-1],
        learning_rate=lessons.learning_rate,
        names=("inject", lessons.seed),
        device=eye.device,
    )
    for step in steps:
        if step in lessons.steps:
            if not all(bool(torch.isfinite(parameter).all()) for parameter in trained):
                raise lessons.diverged
            yield step


def inject(learner: Learner, groups: NDArray[np.str_], *, eye: Eye, lessons: Lessons) -> dict[str, NDArray[Any]]:
    """Train each unit in each way of ARMS and read the layer at every look.

    Units and image are chosen among external points; independent ones, as many, are there for comparison. f was
    trained on neither.

    Args:
        learner: the encoder with all that its framework adds, as trained.
        groups: of the eye's points, external or independent.

    Returns:
        ``points``, ``groups``; ``chosen``, the image's point; ``steps`` [looks], 0 first; by arm ``kinds``, ``arms``,
        ``units`` and ``activations`` [points, arms, looks]; ``others`` and ``parameters`` [arms, looks], the largest
        change of any other unit's activation, and of any other parameter or statistic of the encoder.

    Raises:
        InputError: training one unit changed another one, or diverges.
    """
    start = eye.activations(learner)
    external = np.flatnonzero(groups == "external")
    units, owner = choose(start[external])
    chosen = external[owner]
    another = generator("inject", lessons.seed).choice(np.delete(external, owner), 1)
    rows_of = {"repeated": external[[owner]], "natural": external, "another": another}
    looks = []
    for kind, arm in ARMS:
        unit, rows = units[kind], rows_of[arm]
        alone = Part(eye.part.images[rows], eye.part.labels[rows])
        looks.append([(start[:, unit], 0.0, 0.0), *_looks(learner, unit, alone, start, eye=eye, lessons=lessons)])
        first, last = (looks[-1][place][0][chosen] for place in (0, -1))
        log.info("%s unit %d trained, %s: activation %.3g to %.3g", kind, unit, arm, first, last)
    curves, others, parameters = (np.array([[look[i] for look in arm] for arm in looks]) for i in range(3))
    return {
        "points": eye.points,
        "groups": groups,
        "chosen": eye.points[chosen],
        "steps": np.array([0, *lessons.steps]),
        **{name: np.array([arm[place] for arm in ARMS]) for place, name in enumerate(("kinds", "arms"))},
        "units": np.array([units[kind] for kind, _ in ARMS]),
        "activations": np.moveaxis(curves, 2, 0),
        "others": others,
        "parameters": parameters,
    }


def _looks(
    learner: Learner, unit: int, part: Part, start: NDArray[np.float64], *, eye: Eye, lessons: Lessons
) -> Iterator[tuple[NDArray[np.float64], float, float]]:
    """Train a copy; at every look the unit's activations, and the largest change of other units and of parameters."""
    tuned = copy.deepcopy(learner)
    for step in train(tuned, unit, part, eye=eye, lessons=lessons):
        try:
            after = eye.activations(tuned)
        except InputError as error:  # Before the training they were finite.
            raise lessons.diverged from error
        others = float(np.abs(np.delete(after - start, unit, axis=1)).max(initial=0.0))
        parameters = other_parameters(learner, tuned, unit, eye.layer)
        _check_alone(others, parameters, f"layer {eye.layer.name}: {step} steps on unit {unit} alone")
        yield after[:, unit], others, parameters


def _check_alone(others: float, parameters: float, what: str) -> None:
    """Raise an InputError if training one unit changed another, or a parameter that isn't its own."""
    if others or parameters:
        changes = f"other units by up to {others:g} and other parameters by up to {parameters:g}"
        raise InputError(f"{what} changed {changes}; use a CPU")


def other_parameters(before: Learner, after: Learner, unit: int, layer: Layer) -> float:
    """Largest change of what isn't the unit's own: every other parameter and every statistic of the encoder."""
    own = {f"{module}.{name}" for module in layer.modules for name in ("weight", "bias")}
    largest = 0.0
    old = before.encoder.state_dict()
    for name, tensor in after.encoder.state_dict().items():
        change = (tensor.cpu().double() - old[name].cpu().double()).abs()
        if name in own:
            change[unit] = 0
        largest = max(largest, float(change.max()) if change.numel() else 0.0)
    return largest


def equal_groups(groups: NDArray[np.str_], *, seed: int) -> NDArray[np.int64]:
    """Rows of the external and independent points, as many of each: UnitMem grows with the number of points."""
    rows = [np.flatnonzero(groups == group) for group in ("external", "independent")]
    size = min(map(len, rows))
    rng = generator("inject groups", seed)
    return np.concatenate([np.sort(rng.choice(mine, size, replace=False)) for mine in rows])


def run(desk: Desk) -> Outcomes:
    """Train single units of one encoder on single images that it has not seen."""
    options = desk.options
    points, groups = desk.points("shared", "candidate", "independent", "external")
    rows = equal_groups(groups, seed=desk.seed)
    points, groups = points[rows], groups[rows]
    eye = Eye(
        part=Part(desk.part.images[points], desk.part.labels[points]),
        points=points,
        layer=next(layer for layer in desk.layers if layer.name == options["layer"]),
        protocol=desk.protocol,
        augmentation=desk.augmentation,
        normalise=desk.normalise,
        seed=stream("measure", desk.seed),
        device=desk.device,
    )
    lessons = Lessons(sorted(options["steps"]), options["batch_size"], options["learning_rate"], desk.seed)
    return inject(desk.learner, groups, eye=eye, lessons=lessons)
