"""What experiments share that are over pairs of encoders on complementary halves of one pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.analysis.inputs import wide
from memloc.analysis.sheet import Sheet
from memloc.data.groups import CANDIDATE_AND_NULL, HALVES
from memloc.errors import AGAIN, InputError
from memloc.metrics.pairs import elsewhere, gains, reliability, spearman_brown
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


@dataclass(frozen=True)
class Memorized:
    """What the encoder's output memorizes of every image, by pair.

    Attributes:
        pool: images of the pool; ``sslmem`` is that of the output, [pairs, images].
        gains: of every pair, see ``metrics.pairs.gains``.
        points, labels: external images, and their classes.
        external: SSLMem of the output without what their classes differ by, [pairs, external images].
    """

    pool: Crossing
    gains: NDArray[np.float64]
    points: NDArray[np.int64]
    labels: NDArray[np.int64]
    external: NDArray[np.float64]

    @property
    def scores(self) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
        """SSLMem, membership and classes of the pool."""
        return self.pool.sslmem, self.pool.inside, self.pool.labels

    def reliability(self, pairs: int) -> float:
        """That of the mean of so many pairs about one image."""
        return reliability_of_mean(self.gains, self.pool.labels, pairs)

    def elsewhere(self, pair: int) -> pd.Series:
        """What the other pairs memorize of an image on average, by point; of external ones what they say alike."""
        values = np.concatenate([elsewhere(self.gains)[pair], elsewhere(self.external)[pair]])
        return pd.Series(values, index=np.concatenate([self.pool.points, self.points]))


def memorized(sheet: Sheet, encoder: str) -> Memorized | None:
    """From scores of points of all pairs; None where there is one pair, or seeds aren't pairs on complementary halves.

    Raises:
        InputError: pairs are of different pools.
    """
    tables = sheet.scores("points", encoder)
    if sheet.inputs.roles_of(encoder) < 2 or len(tables) < 2:
        return None
    last = str(tables[0]["layer"].iloc[-1])
    pool = crossing(tables, [last])
    pool = replace(pool, sslmem=pool.sslmem[..., 0])
    external = [t[(t["group"] == "external") & (t["layer"] == last)].set_index("point").sort_index() for t in tables]
    labels = external[0]["label"]
    centred = [t["sslmem"] - t.groupby("label")["sslmem"].transform("mean") for t in external]
    scores = gains(pool.sslmem, pool.inside, pool.labels)
    return Memorized(pool, scores, labels.index.to_numpy(), labels.to_numpy(), np.stack(centred))


def reliability_of_mean(values: NDArray[np.float64], labels: NDArray[np.int64], pairs: int) -> float:
    """Reliability of the mean of so many pairs' values [pairs, images] about one image, at least 0."""
    return float(spearman_brown(np.maximum(reliability(values, labels).value, 0), np.array(pairs)))


def in_minus_out(
    pool: Crossing, units: Sequence[tuple[pd.DataFrame, ...]], of: Callable[[pd.DataFrame, str], pd.Series]
) -> NDArray[np.float64]:
    """What images have among units of the encoder that has them, minus among those of its partner: [pairs, images].

    Args:
        units: scores of f's and of g's units, for each pair, each with groups as they are to that encoder.
        of: what images of a group have, by point; others have 0.
    """
    out = np.empty(pool.inside.shape)
    for pair, (f, g) in enumerate(units):
        (f_in, f_out), (g_in, g_out) = (
            [of(table, group).reindex(pool.points, fill_value=0).to_numpy(np.float64) for group in HALVES]
            for table in (f, g)
        )
        out[pair] = np.where(pool.inside[pair], f_in - g_out, g_in - f_out)
    return out


def choices(tables: Sequence[pd.DataFrame], every: Memorized | None) -> list[dict[str, pd.Series]]:
    """For each seed, by what the most and least memorized of candidates and of external images are chosen, by point.

    That is SSLMem of the output (the last place measured) on the half of the draws that scores nothing or, on
    complementary halves, what the other pairs memorize of an image: no encoder both chooses and scores.
    """
    chosen = []
    for number, points in enumerate(tables):
        by_group = {group: wide(points, group, "sslmem_choose").iloc[:, -1] for group in CANDIDATE_AND_NULL}
        if every is not None:
            by_point = every.elsewhere(number)
            by_group = {group: by_point.loc[of_group.index] for group, of_group in by_group.items()}
        chosen.append(by_group)
    return chosen


def add_plain(sheet: Sheet, values: NDArray[np.float64], places: Sequence[str], **about: str) -> None:
    """Add values by place without an interval."""
    sheet.add(pd.DataFrame({"layer": list(places), "value": values}), **about)


def add_null(sheet: Sheet, null: NDArray[np.float64], places: Sequence[str], **about: str) -> None:
    """Add the mean and the middle of what chance gives [deals, places], by place."""
    low, high = np.quantile(null, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    sheet.add(pd.DataFrame({"layer": list(places), "value": null.mean(axis=0), "low": low, "high": high}), **about)
