"""What experiments share that are over pairs of encoders on complementary halves of one pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.analysis.sheet import Sheet
from memloc.data.groups import HALVES
from memloc.errors import AGAIN, InputError
from memloc.metrics.stats import LEVEL


@dataclass(frozen=True)
class Crossing:
    """Images of a pool, crossed with pairs.

    Attributes:
        points, labels: of each image, and its class [images].
        sslmem: [pairs, images, places].
        inside: whether f has the image [pairs, images].
        doses: how often it stands in an epoch [pairs, images].
    """

    points: NDArray[np.int64]
    labels: NDArray[np.int64]
    sslmem: NDArray[np.float64]
    inside: NDArray[np.bool_]
    doses: NDArray[np.int64]


def crossing(tables: Sequence[pd.DataFrame], places: Sequence[str]) -> Crossing:
    """Scores of points of several pairs, image by image.

    Args:
        tables: one for each pair.

    Raises:
        InputError: pairs are of different pools.
    """
    scores, members, classes, doses = [], [], [], []
    for points in tables:
        pool = points[points["group"].isin(HALVES)]
        wide = pool.pivot(index="point", columns="layer", values="sslmem")[list(places)]
        about = pool.drop_duplicates("point").set_index("point").loc[wide.index]
        scores.append(wide)
        members.append((about["group"] == "candidate").to_numpy())
        classes.append(about["label"].to_numpy())
        doses.append(about["dose"].to_numpy() if "dose" in about else np.ones(len(about), dtype=np.int64))
    for wide, labels in zip(scores, classes, strict=True):
        if not (wide.index.equals(scores[0].index) and np.array_equal(labels, classes[0])):
            raise InputError(f"splits: the pairs are of different pools; {AGAIN}")
    every = np.stack([wide.to_numpy() for wide in scores])
    return Crossing(scores[0].index.to_numpy(), classes[0], every, np.stack(members), np.stack(doses))


def add_plain(sheet: Sheet, values: NDArray[np.float64], places: Sequence[str], **about: str) -> None:
    """Add values by place without an interval."""
    sheet.add(pd.DataFrame({"layer": list(places), "value": values}), **about)


def add_null(sheet: Sheet, null: NDArray[np.float64], places: Sequence[str], **about: str) -> None:
    """Add the mean and the middle of what chance gives [deals, places], by place."""
    low, high = np.quantile(null, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    sheet.add(pd.DataFrame({"layer": list(places), "value": null.mean(axis=0), "low": low, "high": high}), **about)
