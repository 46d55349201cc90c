"""Training a single unit on a single image that the encoder has not seen (paper, Tables 13 and 14)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

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
from memloc.training.views import views_of

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
    """How units of one layer are read: activations over augmented views (paper, Eq. 5), the same in every reading."""

    layer: Layer
    protocol: Protocol
    augmentation: Augmentation
    normalise: Normalise
    seed: int
    device: str = "cpu"

    def activations(
        self, learner: Learner, images: NDArray[np.uint8], points: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """mu_u(x) of every unit, [points, units]."""
        measures = measure_images(
            learner.encoder,
            images,
            points,
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


def train(
    learner: Learner,
    unit: int,
    part: Part,
    *,
    layer: Layer,
    steps: Sequence[int],
    batch_size: int,
    learning_rate: float,
    normalise: Normalise,
    seed: int,
    device: str = "cpu",
) -> Iterator[int]:
    """Follow the framework's own loss on views of the images with one unit's filter and normalisation alone.

    Heads, batch-norm statistics and all other parameters are frozen; Adam without weight decay leaves what has no
    gradient exactly as it is. Rows and views are functions of ``seed`` and the step: all arms share them.

    Args:
        learner: changed in place.
        part: images, each as likely as any other in every row of a batch.
        steps: numbers of steps after which to stop for a look, rising.

    Yields:
        The number of steps done.

    Raises:
        InputError: it diverges.
    """
    learner.to(device).eval().requires_grad_(False)
    trained = isolate(learner.encoder, {layer.name: [unit]}, {layer.name: layer.modules})
    optimizer = torch.optim.Adam(trained, lr=learning_rate)
    images, labels = torch.from_numpy(np.array(part.images)), torch.from_numpy(part.labels).to(device)
    torch.manual_seed(stream("inject", seed))
    for step in range(steps[-1]):
        draws = torch.Generator().manual_seed(stream("inject", seed, step))
        rows = torch.randint(len(images), (batch_size,), generator=draws)
        clean = images[rows].to(device).float().div_(255)
        views = [views_of(clean, group, normalise, draws) for group in learner.groups]
        loss = learner(views, labels[rows.to(device)], step / steps[-1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step + 1 in steps:
            if not all(bool(torch.isfinite(parameter).all()) for parameter in trained):
                raise _diverged(learning_rate)
            yield step + 1


def _diverged(learning_rate: float) -> InputError:
    return InputError(f"learning_rate: {learning_rate} makes the unit's training diverge; lower it")


def inject(
    learner: Learner,
    part: Part,
    points: NDArray[np.int64],
    groups: NDArray[np.str_],
    *,
    eye: Eye,
    steps: Sequence[int],
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> dict[str, NDArray[Any]]:
    """Train each unit in each way of ARMS and read the layer after every number of steps.

    Units and image are chosen among external points; independent ones, as many, are there for comparison. f was
    trained on neither.

    Args:
        learner: the encoder with all that its framework adds, as trained.
        part: images and labels of the points, in their order.
        groups: [points] external or independent.

    Returns:
        ``points``, ``groups``; ``chosen``, the image's point; ``steps`` [looks], 0 first; by arm ``kinds``, ``arms``,
        ``units`` and ``activations`` [points, arms, looks]; ``others`` and ``parameters`` [arms, looks], the largest
        change of any other unit's activation, and of any other parameter or statistic of the encoder.

    Raises:
        InputError: training one unit changed another one, or diverges.
    """
    wanted = sorted(set(steps))
    start = eye.activations(learner, part.images, points)
    external = np.flatnonzero(groups == "external")
    units, owner = choose(start[external])
    chosen = external[owner]
    another = generator("inject", seed).choice(np.delete(external, owner), 1)
    rows_of = {"repeated": external[[owner]], "natural": external, "another": another}
    settings: dict[str, Any] = {"steps": wanted, "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
    curves, others, parameters = [], [], []
    for kind, arm in ARMS:
        unit, rows = units[kind], rows_of[arm]
        tuned, alone = copy.deepcopy(learner), Part(part.images[rows], part.labels[rows])
        curve, changed, elsewhere = [start[:, unit]], [0.0], [0.0]
        for step in train(tuned, unit, alone, layer=eye.layer, normalise=eye.normalise, device=eye.device, **settings):
            try:
                after = eye.activations(tuned, part.images, points)
            except InputError as error:  # Before the training they were finite.
                raise _diverged(learning_rate) from error
            curve.append(after[:, unit])
            changed.append(float(np.abs(np.delete(after - start, unit, axis=1)).max(initial=0.0)))
            elsewhere.append(other_parameters(learner, tuned, unit, eye.layer))
            _check_alone(changed[-1], elsewhere[-1], f"layer {eye.layer.name}: {step} steps on unit {unit} alone")
        curves.append(curve)
        others.append(changed)
        parameters.append(elsewhere)
        log.info(
            "%s unit %d trained, %s: activation %.3g to %.3g", kind, unit, arm, curve[0][chosen], curve[-1][chosen]
        )
    return {
        "points": points,
        "groups": groups,
        "chosen": points[chosen],
        "steps": np.array([0, *wanted]),
        **{name: np.array([arm[place] for arm in ARMS]) for place, name in enumerate(("kinds", "arms"))},
        "units": np.array([units[kind] for kind, _ in ARMS]),
        "activations": np.moveaxis(np.array(curves), 2, 0),
        "others": np.array(others),
        "parameters": np.array(parameters),
    }


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
        layer=next(layer for layer in desk.layers if layer.name == options["layer"]),
        protocol=desk.protocol,
        augmentation=desk.augmentation,
        normalise=desk.normalise,
        seed=stream("measure", desk.seed),
        device=desk.device,
    )
    return inject(
        desk.learner,
        Part(desk.part.images[points], desk.part.labels[points]),
        points,
        groups,
        eye=eye,
        steps=options["steps"],
        batch_size=options["batch_size"],
        learning_rate=options["learning_rate"],
        seed=desk.seed,
    )
