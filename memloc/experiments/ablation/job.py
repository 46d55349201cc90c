"""Zeroing one unit at a time: what it does to the views of the image that owns it, and of images like that one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from memloc.data.augmentations import Augmentation
from memloc.data.prepared import Part
from memloc.experiments.desk import Desk, Outcomes
from memloc.experiments.pruning.job import prune
from memloc.job import log
from memloc.measuring.one_pass import measure_batches
from memloc.measuring.protocol import Protocol
from memloc.models.architectures import Layer
from memloc.models.network import Normalise
from memloc.streams import generator, stream

GROUPS = ("candidate", "external")
ARMS = ("top", "random")


def choose(units: pd.DataFrame, *, count: int, seed: int) -> pd.DataFrame:
    """Units to zero in each layer, with the image of a group that owns each: one row for each group, arm and unit.

    The units of highest UnitMem are each group's own: units that were chosen for what candidates excite would have
    owners that stand out among candidates by the choice alone. Random ones are the same in both groups.

    Args:
        units: the table of ``measuring.units.unit_scores``.
        count: units of each arm in a layer; all where it has fewer that an image excites.

    Returns:
        ``group``, ``by`` (of ARMS), ``layer``, ``unit``, ``unitmem``, ``owner``.
    """
    mine = units[units["group"].isin(GROUPS)]
    excited = (mine["owner"] >= 0).groupby([mine["layer"], mine["unit"]]).transform("all")
    rows = []
    for layer, alive in mine[excited].groupby("layer", sort=False):
        numbers = np.sort(alive["unit"].unique())
        random = generator("ablate", seed, str(layer)).permutation(numbers)[:count]
        for group in GROUPS:
            here = alive.loc[alive["group"] == group, ["group", "layer", "unit", "unitmem", "owner"]].set_index("unit")
            top = here.sort_index().sort_values("unitmem", ascending=False, kind="stable").index[:count].to_numpy()
            rows += [
                here.loc[picked].reset_index().assign(by=by) for by, picked in zip(ARMS, (top, random), strict=True)
            ]
    return pd.concat(rows, ignore_index=True)


def matches(
    owner: int,
    alignment: NDArray[np.float64],
    groups: NDArray[np.str_],
    labels: NDArray[np.int64],
    *,
    count: int,
) -> NDArray[np.int64]:
    """Rows of the images most like an owner: of its group, of its class where that has enough, nearest in alignment.

    Args:
        owner: a row.
        alignment, groups, labels: [n] of every image, under the intact encoder.
        count: how many, fewer than the group has.
    """
    others = np.flatnonzero((groups == groups[owner]) & (np.arange(len(groups)) != owner))
    same = others[labels[others] == labels[owner]]
    pool = same if len(same) >= count else others
    return pool[np.argsort(np.abs(alignment[pool] - alignment[owner]), kind="stable")[:count]]


def ablate(
    encoder: nn.Module,
    units: pd.DataFrame,
    part: Part,
    points: NDArray[np.int64],
    groups: NDArray[np.str_],
    *,
    modules: Mapping[str, Sequence[str]],
    output: Sequence[Layer],
    count: int,
    matched: int,
    augmentation: Augmentation,
    protocol: Protocol,
    normalise: Normalise,
    seed: int,
    views: int,
    device: str = "cpu",
) -> dict[str, NDArray[Any]]:
    """Zero units one by one and compare alignment at the output (paper, Eq. 1) before and after, on the same views.

    Args:
        units: the table of ``measuring.units.unit_scores``.
        points, groups: [n] images of GROUPS.
        modules: by layer, the modules that make it.
        output: the encoder's output, as the one layer to measure.
        count, matched: units of a layer and arm; images compared with an owner.
        seed: of the random units.
        views: seed of the views, others than those that told the owners.

    Returns:
        For each of the k zeroed units what ``choose`` gives, alignment ``before`` and ``after`` [k] of the owner, and
        ``matched``, ``matched_before``, ``matched_after`` [k, matched] of the images like it.
    """

    def aligned(network: nn.Module, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        batches = ((part.images[points[some]], points[some]) for some in np.split(rows, range(25, len(rows), 25)))
        settings = {
            "layers": output,
            "protocol": protocol,
            "augmentation": augmentation,
            "normalise": normalise,
            "seed": views,
        }
        found = measure_batches(network, batches, **settings, activations=False, plain=False, device=device)  # type: ignore[arg-type]
        return np.concatenate(
            [b.alignment[:, 0].mean(axis=1, dtype=np.float64) for b in found if b.alignment is not None]
        )

    labels, before = part.labels[points], aligned(encoder, np.arange(len(points)))
    chosen = choose(units, count=count, seed=seed)
    row = {point: i for i, point in enumerate(points)}
    owners = np.array([row[point] for point in chosen["owner"]])
    like = np.stack([matches(owner, before, groups, labels, count=matched) for owner in owners])
    everyone = np.column_stack([owners, like])
    after = np.empty(everyone.shape)
    zeroed: dict[Any, NDArray[np.int64]] = chosen.groupby(["layer", "unit"], sort=False).indices  # type: ignore[assignment]
    for done, ((layer, unit), arms) in enumerate(zeroed.items(), start=1):
        seen, place = np.unique(everyone[arms], return_inverse=True)
        pruned = prune(encoder, {layer: np.array([unit])}, modules)
        after[arms] = aligned(pruned, seen)[place.reshape(everyone[arms].shape)]
        if done == len(zeroed) or done % 50 == 1:
            log.info("%d/%d units zeroed", done, len(zeroed))
    about = {name: chosen[name].to_numpy() for name in ("unit", "unitmem", "owner")}
    about |= {name: chosen[name].to_numpy(str) for name in ("group", "by", "layer")}
    return {
        **about,
        "before": before[owners],
        "after": after[:, 0],
        "matched": points[like],
        "matched_before": before[like],
        "matched_after": after[:, 1:],
    }


def run(desk: Desk) -> Outcomes:
    """Zero single units and see whose views drift apart."""
    points, groups = desk.points(*GROUPS)
    return ablate(
        desk.encoder,
        desk.units,
        desk.part,
        points,
        groups,
        modules=desk.unit_modules,
        output=[layer for layer in desk.every_layer if layer.name == "output"],
        count=desk.options["units"],
        matched=desk.options["matched"],
        augmentation=desk.augmentation,
        protocol=desk.protocol,
        normalise=desk.normalise,
        seed=desk.seed,
        views=stream("ablate", desk.seed),
        device=desk.device,
    )
