"""Pruning a few units a round and retraining the rest in between (the paper's follow-up, SparseMem)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc.data.groups import UNSHARED
from memloc.data.splits import training_points
from memloc.errors import InputError
from memloc.experiments.desk import Desk, Outcomes
from memloc.job import log
from memloc.measuring.resamples import resampled_units
from memloc.measuring.units import group_size
from memloc.models import probe
from memloc.models.architectures import Layer
from memloc.models.frameworks.learner import Learner
from memloc.models.frameworks.recipe import Recipe
from memloc.models.units import Rows, Units, choose
from memloc.streams import stream
from memloc.training.optim import optimizer_of, set_rates
from memloc.training.views import batches, views_of

ARMS = ("top", "random", "low")
"""Which of the remaining units of each layer are pruned: those of highest UnitMem, any, those of lowest."""
Arrays = Mapping[str, NDArray[Any]]


def retrain(desk: Desk, learner: Learner, pruned: Rows, *, number: int) -> None:
    """Zero units of a learner and follow the framework's own loss with all others, in place.

    A pruned unit's filter, bias, scale and shift are zero, so it puts out exactly zero in any mode of batch
    normalisation; their gradients are zero in every step, and so are they themselves after it. Rows and views are
    functions of seed, round and epoch: all arms share them. The optimizer starts anew, the learning rate falls from
    its peak to 0 by half a cosine.

    Args:
        pruned: by layer, numbers of its units.
        number: of the round.

    Raises:
        InputError: it diverges.
    """
    recipe = Recipe.of(desk.settings["encoder"]["recipe"])
    recipe = replace(recipe, epochs=desk.options["epochs"], learning_rate=desk.options["learning_rate"])
    part, points, device = desk.part, training_points(desk.split, "f"), desk.device
    learner.to(device).train()
    own = parameters_of(learner, pruned, desk.unit_layers)
    _zero(own)
    optimizer, batch = optimizer_of(learner, recipe), min(recipe.batch_size, len(points))
    steps = len(points) // batch
    total = recipe.epochs * steps
    for epoch in range(recipe.epochs):
        draws = torch.Generator().manual_seed(stream("prune_rounds", desk.seed, number, epoch))
        torch.manual_seed(stream("prune_rounds learner", desk.seed, number, epoch))
        for step, order in enumerate(batches(points, batch, draws)):
            done, rows = epoch * steps + step, points[order.numpy()]
            set_rates(optimizer, recipe, done, steps=total, warmup=0)
            clean = torch.from_numpy(np.array(part.images[rows])).to(device).float().div_(255)
            views = [views_of(clean, group, desk.normalise, draws) for group in learner.groups]
            loss = learner(views, torch.from_numpy(part.labels[rows]).to(device), done / total)
            optimizer.zero_grad()
            loss.backward()
            # No ``before_update``: it holds still what is new in a training, and here nothing is.
            _zero([(parameter.grad, units) for parameter, units in own if parameter.grad is not None])
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(learner.parameters(), recipe.clip)
            optimizer.step()
            learner.after_update((done + 1) / total)
            _zero(own)
    if not all(bool(torch.isfinite(parameter).all()) for parameter in learner.parameters()):
        raise InputError(f"learning_rate: {recipe.learning_rate} makes retraining diverge; lower it")
    learner.eval()


def parameters_of(learner: Learner, units: Rows, layers: Sequence[Layer]) -> list[tuple[Tensor, Tensor]]:
    """Parameters that hold some units, and which of their rows do; of a teacher's encoder, too, where there is one."""
    found = dict(learner.named_modules())
    encoders = [found[name] for name in ("encoder", "teacher.encoder") if name in found]
    return [
        (parameter, torch.from_numpy(units[layer.name]).to(parameter.device))
        for encoder in encoders
        for layer in layers
        for name in layer.modules
        for parameter in encoder.get_submodule(name).parameters()
    ]


def _zero(rows: Sequence[tuple[Tensor, Tensor]]) -> None:
    with torch.no_grad():
        for tensor, units in rows:
            tensor[units] = 0


def leave(scores: Units, remaining: Rows, *, fraction: float, by: str, seed: int) -> dict[str, NDArray[np.int64]]:
    """The units of each layer that a round leaves.

    Args:
        scores: UnitMem of the remaining units by layer, in the order of ``remaining``.
        remaining: by layer, numbers of the units that are left so far.
    """
    chosen = choose(scores, fraction=fraction, by=by, seed=seed)
    return {name: np.delete(rows, chosen[name]) for name, rows in remaining.items()}


def check_rounds(sizes: Mapping[str, int], *, fraction: float, rounds: int) -> None:
    """Raise an InputError for a round that prunes no unit at all, or all that are left of a layer.

    Args:
        sizes: units of each layer.
    """
    left = dict(sizes)
    for number in range(1, rounds + 1):
        pruned = {name: round(fraction * size) for name, size in left.items()}
        if not any(pruned.values()):
            if number == 1:
                most = max(left.values())
                raise InputError(f"fraction: {fraction} of layers of at most {most} units is none; raise it")
            none = f"{rounds} of fraction {fraction} leave nothing to prune from round {number} on"
            raise InputError(f"rounds: {none}; lower rounds")
        left = {name: size - pruned[name] for name, size in left.items()}
        for name, size in left.items():
            if not size:
                raise InputError(f"fraction: {fraction} leaves layer {name} no unit in round {number}; lower it")


class _Study:
    """Every round and arm scored on the same images, views and resamples, those of ``score_units``, and probed."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.points, self.groups = desk.points(*UNSHARED)
        self.drawn: dict[str, Any] = {"seed": stream("score_units", desk.seed), "others": desk.others}
        self.width = max(len(test.labels) for _, test in desk.tasks.values())
        self.settings: list[dict[str, Any]] = []
        self.correct: list[NDArray[np.bool_]] = []

    def measures(self, pupil: Learner) -> Arrays:
        """What UnitMem of a pupil's units is scored from."""
        return self.desk.views_of_units(self.points, self.groups, encoder=pupil.result())

    def test(self, pupil: Learner, by: str, number: int) -> None:
        """Probe a pupil on every task, and note which test points it gets right."""
        for dataset in self.desk.tasks:
            right = self.desk.probed(pupil.result(), dataset)
            self.settings.append({"by": by, "round": number, "dataset": dataset, "tested": len(right)})
            self.correct.append(np.pad(right, (0, self.width - len(right))))

    def scores(self, measures: Arrays, remaining: Rows) -> dict[str, NDArray[np.float64]]:
        """UnitMem of the remaining units on candidates, by layer (paper, Eqs. 5 to 8)."""
        every = resampled_units(measures, resamples=0, **self.drawn)
        return {layer: values[0][remaining[layer]] for group, layer, values in every if group == "candidate"}

    def means(self, measures: Arrays, *chosen: Rows) -> list[NDArray[np.float64]]:
        """Mean UnitMem of some units by group, and of points resampled: for each choice [1 + resamples, groups]."""
        return layer_means(measures, chosen, resamples=self.desk.resamples, **self.drawn)


def prune_in_rounds(desk: Desk) -> Outcomes:
    """In each round score the remaining units, prune a fraction of every layer's, retrain the rest and probe it.

    Returns:
        Of every probe ``by`` (none, before the first round, or an arm), ``round``, ``dataset``, ``tested`` and
        ``correct`` [probes, test points], padded with False where a task has fewer. ``arms``; ``groups``; ``pruned``
        [rounds + 1], the share of all units that is pruned; ``size`` of a group. Mean UnitMem, averaged over layers, of
        the remaining units: ``after`` [arms, rounds + 1, groups], after every round's retraining, the trained encoder
        first; ``before`` [arms, rounds, groups], of the units that a round leaves, before anything is zeroed. Both with
        points resampled: ``after_drawn``, ``before_drawn`` [resamples, ...].

    Raises:
        InputError: a round would prune nothing, or a whole layer; or retraining diverges.
    """
    study, rounds = _Study(desk), desk.options["rounds"]
    start = study.measures(desk.learner)
    units = {layer.name: start[f"views/{layer.name}"].shape[-1] for layer in desk.unit_layers}
    check_rounds(units, fraction=desk.options["fraction"], rounds=rounds)
    study.test(desk.learner, "none", 0)
    shape = 1 + desk.resamples, len(ARMS)
    before, after = np.empty((*shape, rounds, len(UNSHARED))), np.empty((*shape, rounds + 1, len(UNSHARED)))
    pruned = np.zeros(rounds + 1)
    for arm, by in enumerate(ARMS):
        pupil, measures = copy.deepcopy(desk.learner), start
        remaining = {name: np.arange(size) for name, size in units.items()}
        for number in range(rounds):
            left = _left(study.scores(measures, remaining), remaining, desk, by=by, number=number)
            after[:, arm, number], before[:, arm, number] = study.means(measures, remaining, left)
            remaining = left
            gone = {name: np.setdiff1d(np.arange(size), remaining[name]) for name, size in units.items()}
            pruned[number + 1] = sum(map(len, gone.values())) / sum(units.values())
            retrain(desk, pupil, gone, number=number)
            measures = study.measures(pupil)
            study.test(pupil, by, number + 1)
            log.info("%s: round %d/%d, %.1f %% of the units pruned", by, number + 1, rounds, 100 * pruned[number + 1])
        (after[:, arm, rounds],) = study.means(measures, remaining)
    return {
        **probe.describe(study.settings, study.correct),
        "arms": np.array(ARMS),
        "groups": np.array(UNSHARED),
        "pruned": pruned,
        "size": np.array(group_size(start)),
        "before": before[0],
        "before_drawn": before[1:],
        "after": after[0],
        "after_drawn": after[1:],
    }


def _left(scores: Units, remaining: Rows, desk: Desk, *, by: str, number: int) -> dict[str, NDArray[np.int64]]:
    """The units of each layer that a round leaves; random ones are others in every round and seed."""
    seed = stream("prune_rounds", desk.seed, number)
    return leave(scores, remaining, fraction=desk.options["fraction"], by=by, seed=seed)


def layer_means(
    measures: Mapping[str, NDArray[Any]], chosen: Sequence[Rows], *, resamples: int, seed: int, others: str
) -> list[NDArray[np.float64]]:
    """Mean UnitMem of some units of every layer, averaged over layers, by group, and of points resampled.

    Layers count alike: the widest would decide alone.

    Args:
        chosen: choices of units, each by layer.

    Returns:
        For each choice [1 + resamples, groups].
    """
    out = [np.zeros((1 + resamples, len(UNSHARED))) for _ in chosen]
    for group, layer, values in resampled_units(measures, resamples=resamples, seed=seed, others=others):
        for mean, rows in zip(out, chosen, strict=True):
            mean[:, UNSHARED.index(group)] += values[:, rows[layer]].mean(axis=1) / len(measures["layers"])
    return out


def run(desk: Desk) -> Outcomes:
    """Prune a few units of one encoder a round, retrain the rest in between, and probe what is left."""
    return prune_in_rounds(desk)
