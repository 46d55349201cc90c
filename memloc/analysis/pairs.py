"""Scores of pairs on complementary halves, as arrays of pairs crossed with images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.errors import AGAIN, InputError


def crossing(
    tables: Sequence[pd.DataFrame], places: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """SSLMem [pairs, images, places], whether f has the image [pairs, images], and classes [images].

    Raises:
        InputError: pairs are of different pools.
    """
    scores, members, classes = [], [], []
    for points in tables:
        pool = points[points["group"].isin(("candidate", "independent"))]
        wide = pool.pivot(index="point", columns="layer", values="sslmem")[list(places)]
        about = pool.drop_duplicates("point").set_index("point").loc[wide.index]
        scores.append(wide)
        members.append((about["group"] == "candidate").to_numpy())
        classes.append(about["label"].to_numpy())
    for wide, labels in zip(scores, classes, strict=True):
        if not (wide.index.equals(scores[0].index) and np.array_equal(labels, classes[0])):
            raise InputError(f"splits: the pairs are of different pools; {AGAIN}")
    return np.stack([wide.to_numpy() for wide in scores]), np.stack(members), classes[0]
