"""Units of one encoder in the course of its training: the same images and views after every epoch that was kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from memloc.analysis.tables import load_table
from memloc.data.groups import UNSHARED
from memloc.errors import InputError
from memloc.experiments.desk import Desk, Outcomes
from memloc.measuring.resamples import unit_means
from memloc.models import checkpoint
from memloc.provenance import file_sha256
from memloc.streams import stream

States = Mapping[int, Mapping[str, Tensor]]


def states(
    untrained: str | Path,
    snapshots: str | Path,
    weights: str | Path,
    *,
    epochs: Sequence[int],
    end: int,
    training: Callable[[str], Mapping[str, Any]],
) -> dict[int, dict[str, Tensor]]:
    """The states of an encoder by epoch: 0 is the untrained one, with batch-norm statistics of its views.

    Args:
        snapshots: file of the encoders after some epochs, tensors named ``<epoch>.<name>``.
        epochs: which of these to take.
        end: the last epoch, after which the encoder has ``weights``.
        training: what the checkpoints of a role say of themselves.

    Raises:
        InputError: a file is damaged or another training's, or an epoch isn't in ``snapshots``.
    """
    beside = {"weights": checkpoint.stated(weights)[0]}
    kept = checkpoint.load_tensors(snapshots, **training("f"), **beside)
    found = {0: checkpoint.load_tensors(untrained, **training("untrained"))}
    for epoch in sorted(epoch for epoch in epochs if epoch < end):
        prefix = f"{epoch}."
        found[epoch] = {name.removeprefix(prefix): value for name, value in kept.items() if name.startswith(prefix)}
        if not found[epoch]:
            raise InputError(f"{snapshots}: holds no epoch {epoch}; delete it to train this encoder anew")
    return found | {end: checkpoint.load_tensors(weights, **training("f"))}


def units(desk: Desk, states: States) -> Outcomes:
    """Mean UnitMem (paper, Eqs. 5 to 8) of every layer and group of images after every epoch (Figure 4).

    Images, views and resamples are the same after every epoch, and those on which ``measure`` and ``score_units`` look
    at the trained encoder: what changes from epoch to epoch is the encoder alone. It ends in the last state.

    Returns:
        ``epochs`` [epochs], ``layers`` [layers], ``groups`` [groups], ``size`` of a group, ``values``
        [epochs, layers, groups] and ``means`` [epochs, resamples, layers, groups], points resampled; ``dealt``
        [epochs, permutations, layers], excess UnitMem where groups are dealt at random, alike in every epoch.

    Raises:
        InputError: a state is another encoder's, or an output isn't finite.
    """
    points, groups = desk.points(*UNSHARED)
    epochs, seed, halves = [], stream("score_units", desk.seed), not len(desk.split.get("shared", ()))
    for epoch, state in states.items():
        checkpoint.restore(desk.encoder, state, f"epoch {epoch}")
        measures = desk.views_of_units(points, groups)
        epochs.append(unit_means(measures, resamples=desk.resamples, seed=seed, others=desk.others, alike=halves))
    once = {key: epochs[0][key] for key in ("layers", "groups", "size")}
    each = {key: np.stack([means[key] for means in epochs]) for key in ("values", "means", "dealt")}
    return {"epochs": np.array(list(states)), **once, **each}


def run(desk: Desk) -> Outcomes:
    """UnitMem of one encoder at every epoch that was kept of its training."""
    training, files = desk.settings["training"], desk.files
    means = units(
        desk,
        states(
            files.untrained,
            files.snapshots,
            files.weights,
            epochs=training["snapshots"],
            end=training["epochs"],
            training=desk.training,
        ),
    )
    if checkpoint.stated(files.snapshots)[1].get("history") != file_sha256(files.history):
        raise InputError(f"{files.history}: belongs to another training; delete it to train anew")
    loss = load_table(files.history)["loss"].to_numpy()
    return {**means, "loss": loss, "warmup": np.array(training["warmup_epochs"])}
