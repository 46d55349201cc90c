"""Units of one encoder in the course of its training: the same images and views after every epoch that was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc.analysis.tables import load_table
from memloc.data.augmentations import Augmentation
from memloc.data.groups import UNSHARED
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.desk import Desk, Outcomes
from memloc.measuring import resamples
from memloc.measuring.one_pass import measure_batches
from memloc.measuring.protocol import Protocol
from memloc.models import checkpoint
from memloc.models.architectures import Layer
from memloc.models.network import Normalise
from memloc.streams import stream

States = Mapping[int, Mapping[str, Tensor]]


def states(
    untrained: str | Path, snapshots: str | Path, weights: str | Path, *, epochs: Sequence[int], end: int, seed: int
) -> dict[int, dict[str, Tensor]]:
    """The states of an encoder by epoch: 0 is the untrained one, with batch-norm statistics of its views.

    Args:
        snapshots: file of the encoders after some epochs, tensors named ``<epoch>.<name>``.
        epochs: which of these to take.
        end: the last epoch, after which the encoder has ``weights``.

    Raises:
        InputError: a file is damaged or another training's, or an epoch isn't in ``snapshots``.
    """
    kept = checkpoint.load_tensors(snapshots, role="f", seed=seed)
    found = {0: checkpoint.load_tensors(untrained, role="untrained", seed=seed)}
    for epoch in sorted(epoch for epoch in epochs if epoch < end):
        prefix = f"{epoch}."
        found[epoch] = {name.removeprefix(prefix): value for name, value in kept.items() if name.startswith(prefix)}
        if not found[epoch]:
            raise InputError(f"{snapshots}: holds no epoch {epoch}; delete it to train this encoder anew")
    return found | {end: checkpoint.load_tensors(weights, role="f", seed=seed)}


def units(
    encoder: nn.Module,
    states: States,
    part: Part,
    points: NDArray[np.int64],
    groups: NDArray[np.str_],
    *,
    layers: Sequence[Layer],
    augmentation: Augmentation,
    normalise: Normalise,
    protocol: Protocol,
    others: str,
    replicates: int,
    seed: int,
    batch: int = 25,
    device: str = "cpu",
) -> dict[str, NDArray[Any]]:
    """Mean UnitMem (paper, Eqs. 5 to 8) of every layer and group of images after every epoch (Figure 4).

    Images, views and resamples are the same after every epoch, and those on which ``measure`` and ``score_units`` look
    at the trained encoder: what changes from epoch to epoch is the encoder alone.

    Args:
        encoder: in eval mode; it ends in the last state.
        points, groups: rows of the images, and what group each is in; shared ones are left out.

    Returns:
        ``epochs`` [epochs], ``layers`` [layers], ``groups`` [groups], ``size`` of a group, ``values``
        [epochs, layers, groups] and ``means`` [epochs, replicates, layers, groups], points resampled; ``dealt``
        [epochs, permutations, layers], excess UnitMem where groups are dealt at random, alike in every epoch.

    Raises:
        InputError: a state is another encoder's, or an output isn't finite.
    """
    chosen = np.flatnonzero(groups != "shared")
    points, groups = points[chosen], groups[chosen]
    about = {"groups": groups, "labels": part.labels[points], "layers": np.array([layer.name for layer in layers])}
    found = []
    for epoch, state in states.items():
        checkpoint.restore(encoder, state, f"epoch {epoch}")
        batches = ((part.images[p], p) for p in np.split(points, range(batch, len(points), batch)))
        seen = measure_batches(
            encoder,
            batches,
            layers=layers,
            protocol=protocol,
            augmentation=augmentation,
            normalise=normalise,
            seed=stream("measure", seed),
            alignment=False,
            plain=False,
            device=device,
        )
        views = [window.views for window in seen]
        joined = {f"views/{layer.name}": np.concatenate([v[layer.name] for v in views]) for layer in layers}
        drawn = stream("score_units", seed)
        found.append(resamples.unit_means({**about, **joined}, resamples=replicates, seed=drawn, others=others))
    once = {key: found[0][key] for key in ("layers", "groups", "size")}
    each = {key: np.stack([means[key] for means in found]) for key in ("values", "means", "dealt")}
    return {"epochs": np.array(list(states)), **once, **each}


def run(desk: Desk) -> Outcomes:
    """UnitMem of one encoder at every epoch that was kept of its training."""
    training = desk.settings["training"]
    end, seed = training["epochs"], desk.seed
    files = desk.files
    means = units(
        desk.encoder,
        states(files.untrained, files.snapshots, files.weights, epochs=training["snapshots"], end=end, seed=seed),
        desk.part,
        *desk.points(*UNSHARED),
        layers=desk.unit_layers,
        augmentation=desk.augmentation,
        normalise=desk.normalise,
        protocol=desk.protocol,
        others=desk.others,
        replicates=desk.resamples,
        seed=seed,
        device=desk.device,
    )
    loss = load_table(files.history)["loss"].to_numpy()
    return {**means, "loss": loss, "warmup": np.array(training["warmup_epochs"])}
