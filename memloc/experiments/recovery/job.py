"""Training memories of a few unseen images into known filters, or one known layer, and looking for them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.desk import Desk, Outcomes
from memloc.job import log
from memloc.metrics.alignment import sslmem
from memloc.metrics.units import unitmem
from memloc.models.architectures import Layer
from memloc.models.frameworks.learner import Learner
from memloc.models.units import isolate, magnitudes, prune
from memloc.streams import generator, stream
from memloc.training.isolated import follow

TARGET, CONTROL = "target", "control"
METRICS = ("crossed excess", "excess", "UnitMem", "activation", "magnitude")
"""What filters are ranked by, see ``ranked``."""
WAYS = ("filters", "layer")
"""What is trained: a random share of a layer's filters, or all that makes its units."""
TRAINED = "trained filters"


def draw_images(labels: NDArray[np.integer], count: int, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the targets and of as many controls, at random, both with the same classes to about one image."""
    rng = generator("recovery", "images", seed)
    rows = rng.permutation(len(labels))[: 2 * count]
    rows = rows[np.argsort(labels[rows], kind="stable")].reshape(count, 2)
    # One of every two neighbours in the order of classes, either of them.
    rows = rng.permuted(rows, axis=1)
    return np.sort(rows[:, 0]), np.sort(rows[:, 1])


def draw_filters(layer: Layer, units: int, fraction: float, *, seed: int) -> NDArray[np.int64]:
    """A random share of a layer's filters.

    Raises:
        InputError: it is none, or all.
    """
    count = round(fraction * units)
    if not 0 < count < units:
        raise InputError(f"fraction: {fraction} of the {units} filters of layer {layer.name} is {count}; change it")
    return np.sort(generator("recovery", "filters", layer.name, seed).choice(units, count, replace=False))


@dataclass(frozen=True)
class Reading:
    """An encoder on targets and controls, both in the order of the points.

    Attributes:
        alignment: A_h(x) (paper, Eq. 1), [points, layers].
        activations: mu_u(x) (Eq. 5) by layer, [points, units].
    """

    alignment: NDArray[np.float64]
    activations: Mapping[str, NDArray[np.float64]]


def ranked(before: Reading, after: Reading, layer: str, targets: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """What tells a layer's units apart, by name, [units].

        excess(h) = UnitMem(h, targets) - UnitMem(h, controls)
        crossed excess = (excess(after) - excess(before)) / 2

    Args:
        targets: which points are targets, [points].

    Returns:
        METRICS but magnitude. All but crossed excess are of the encoder after the training alone.
    """

    def excess(reading: Reading) -> NDArray[np.float64]:
        mu = reading.activations[layer]
        return unitmem(mu[targets]) - unitmem(mu[~targets])

    mu = after.activations[layer][targets]
    values = ((excess(after) - excess(before)) / 2, excess(after), unitmem(mu), mu.mean(axis=0))
    return dict(zip(METRICS, values, strict=False))


class _Study:
    """One encoder, its targets and controls, and what each training puts into it."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.options = desk, desk.options
        points, _ = desk.points("external")
        labels = desk.part.labels[points]
        chosen = draw_images(labels, self.options["targets"], seed=desk.seed)
        self.points = points[np.concatenate(chosen)]
        self.targets = np.arange(len(self.points)) < len(chosen[0])
        rows = self.points[self.targets]
        self.part = Part(desk.part.images[rows], desk.part.labels[rows])
        self.start = copy.deepcopy(desk.learner)
        self.before = self.read(self.start.encoder, desk.layers)

    def read(self, encoder: nn.Module, layers: Sequence[Layer], *, activations: bool = True) -> Reading:
        """Targets and controls under an encoder, on the same views for every one."""
        seed = stream("recovery", "views", self.desk.seed)
        arrays = self.desk.measured(
            self.points, encoder=encoder, layers=layers, seed=seed, alignment=True, activations=activations
        )
        units = {layer.name: arrays[f"views/{layer.name}"] for layer in layers if f"views/{layer.name}" in arrays}
        activity = {name: values.mean(axis=1, dtype=np.float64) for name, values in units.items()}
        return Reading(arrays["alignment"].mean(axis=2, dtype=np.float64), activity)

    def train(self, layer: Layer, filters: NDArray[np.int64], way: str) -> Learner:
        """A copy whose filters alone have followed the framework's loss on the targets.

        Raises:
            InputError: it diverges.
        """
        device, rate, count = self.desk.device, self.options["learning_rate"], len(self.part.images)
        learner = copy.deepcopy(self.start).to(device).eval().requires_grad_(False)
        trained = isolate(learner.encoder, {layer.name: filters.tolist()}, {layer.name: layer.modules})

        def draw(draws: torch.Generator) -> Tensor:
            return torch.randperm(count, generator=draws)

        # Both ways see the same views, in every layer.
        for _ in follow(
            learner,
            trained,
            self.part,
            draw=draw,
            normalise=self.desk.normalise,
            steps=self.options["steps"],
            learning_rate=rate,
            names=("recovery", self.desk.seed),
            device=device,
        ):
            pass
        if not all(bool(torch.isfinite(parameter).all()) for parameter in trained):
            raise InputError(f"learning_rate: {rate} makes training {way} of layer {layer.name} diverge; lower it")
        return learner

    def gap(self, before: Reading, after: Reading) -> NDArray[np.float64]:
        """SSLMem of every point between two encoders, positive where the second aligns better, [points, layers]."""
        return sslmem(after.alignment, before.alignment)

    def without(self, after: nn.Module, layer: Layer, filters: NDArray[np.int64]) -> NDArray[np.float64]:
        """SSLMem of every point at the output when both encoders lack the same filters, [points]."""
        output = self.desk.layers[-1:]
        readings = [
            self.read(prune(encoder, {layer.name: filters}, {layer.name: layer.modules}), output, activations=False)
            for encoder in (self.start.encoder, after)
        ]
        return self.gap(readings[0], readings[1])[:, -1]


def recover(desk: Desk) -> Outcomes:
    """Train memories of the targets into filters and into all of one layer after another, look, and zero filters.

    Returns:
        ``places`` [places], all that are measured, and whether they are layers proper (``own``); ``layers`` [layers]
        that are trained, ``metrics`` [metrics], ``arms`` [arms] of filters that are zeroed: those of each metric's
        highest values, TRAINED, and ``random`` ones; ``targets`` [points]; ``gap`` [WAYS, layers, points, places]:
        SSLMem before against after; ``without`` [layers, arms, points] the same at the output when both lack the arm's
        filters; ``unit_layers`` [units] of the units of all layers; ``trained`` [layers, units] which filters were;
        ``scores`` [layers, metrics, units].

    Raises:
        InputError: training diverges, or no filter would be trained.
    """
    study, options = _Study(desk), desk.options
    units = {layer.name: study.before.activations[layer.name].shape[1] for layer in desk.unit_layers}
    by_name = {layer.name: layer for layer in desk.unit_layers}
    random = [f"random {trial}" for trial in range(options["trials"])]
    arms = [*METRICS, TRAINED, *random]
    gaps: dict[str, list[NDArray[np.float64]]] = {way: [] for way in WAYS}
    marks, scores, lost = [], [], []
    for name in options["layers"]:
        layer, size = by_name[name], units[name]
        filters = draw_filters(layer, size, options["fraction"], seed=desk.seed)
        for way, rows in (("layer", np.arange(size)), ("filters", filters)):
            encoder = study.train(layer, rows, way).encoder
            after = study.read(encoder, desk.layers)
            gaps[way].append(study.gap(study.before, after))
        # Of the encoder whose filters alone were trained, which is the last one.
        norms = magnitudes(encoder, desk.unit_modules)
        known = {o: ranked(study.before, after, o, study.targets) | {"magnitude": norms[o]} for o in units}
        scores.append([np.concatenate([known[other][metric] for other in units]) for metric in METRICS])
        marks.append(np.concatenate([np.isin(np.arange(n), filters) & (other == name) for other, n in units.items()]))
        named = {metric: np.argsort(-known[name][metric], kind="stable")[: len(filters)] for metric in METRICS}
        named[TRAINED] = filters
        for arm in random:
            named[arm] = generator("recovery", arm, name, desk.seed).choice(size, len(filters), replace=False)
        lost.append([study.without(encoder, layer, named[arm]) for arm in arms])
        found = [gap[-1][study.targets, -1].mean() - gap[-1][~study.targets, -1].mean() for gap in gaps.values()]
        log.info("layer %s: targets gained %.3f by %d filters, %.3f by all", name, found[0], len(filters), found[1])
    return {
        "places": np.array([layer.name for layer in desk.layers]),
        "own": np.array([bool(layer.modules) for layer in desk.layers]),
        "layers": np.array(options["layers"]),
        "metrics": np.array(METRICS),
        "arms": np.array(arms),
        "targets": study.targets,
        "gap": np.array([gaps[way] for way in WAYS]),
        "without": np.array(lost),
        "unit_layers": np.repeat(list(units), list(units.values())),
        "trained": np.array(marks),
        "scores": np.array(scores),
    }


def run(desk: Desk) -> Outcomes:
    """Train memories into known places of one encoder, and look for them."""
    return recover(desk)
