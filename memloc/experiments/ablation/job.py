"""Zeroing one unit at a time: what it does to the views of the image that owns it, and of images like that one."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.experiments.desk import Desk, Outcomes
from memloc.job import log
from memloc.models.units import prune
from memloc.streams import generator, stream

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
    rows_of_groups = units[units["group"].isin(CANDIDATE_AND_NULL)]
    excited = (rows_of_groups["owner"] >= 0).groupby([rows_of_groups["layer"], rows_of_groups["unit"]]).transform("all")
    rows = []
    for layer, alive in rows_of_groups[excited].groupby("layer", sort=False):
        numbers = np.sort(alive["unit"].unique())
        random = generator("ablate", seed, str(layer)).permutation(numbers)[:count]
        for group in CANDIDATE_AND_NULL:
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


def run(desk: Desk) -> Outcomes:
    """Zero units one by one and compare alignment at the output (paper, Eq. 1) before and after, on the same views.

    Views are others than those that chose the units and their owners.

    Returns:
        For each of the k zeroed units what ``choose`` gives, alignment ``before`` and ``after`` [k] of the owner, and
        ``matched``, ``matched_before``, ``matched_after`` [k, matched] of the images like it.
    """
    points, groups = desk.points(*CANDIDATE_AND_NULL)
    labels, before = desk.part.labels[points], _aligned(desk, points)
    chosen = choose(desk.units, count=desk.options["units"], seed=desk.seed)
    row = {point: i for i, point in enumerate(points)}
    owners = np.array([row[point] for point in chosen["owner"]])
    like = np.stack([matches(owner, before, groups, labels, count=desk.options["matched"]) for owner in owners])
    everyone = np.column_stack([owners, like])
    after = np.empty(everyone.shape)
    zeroed: dict[tuple[str, int], NDArray[np.int64]] = chosen.groupby(["layer", "unit"], sort=False).indices  # type: ignore[assignment]
    for done, ((layer, unit), arms) in enumerate(zeroed.items(), start=1):
        rows, place = np.unique(everyone[arms], return_inverse=True)
        pruned = prune(desk.encoder, {layer: np.array([unit])}, desk.unit_modules)
        after[arms] = _aligned(desk, points[rows], encoder=pruned)[place.reshape(everyone[arms].shape)]
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


def _aligned(desk: Desk, points: NDArray[np.int64], *, encoder: nn.Module | None = None) -> NDArray[np.float64]:
    """Mean distance between the views of each point at the encoder's output, [points]."""
    output = [layer for layer in desk.every_layer if layer.name == "output"]
    views = stream("ablate", desk.seed)
    measures = desk.measured(points, encoder=encoder, layers=output, seed=views, alignment=True)
    return np.asarray(measures["alignment"][:, 0].mean(axis=1, dtype=np.float64))
