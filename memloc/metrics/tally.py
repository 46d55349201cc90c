"""UnitMem and ClassMem of image sets of any size: what a stream of activations is tallied to.

Everything kept here can be merged: the sums are exact, so disjoint shards give the same numbers in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from memloc.aliases import Array

Floats = NDArray[np.float64]

_BITS = 24


class ExactSum:
    """Sums of floating-point numbers without rounding error, so that the order of addends can't matter.

    A number is cut into multiples of 2^(24 j) below 2^(24 (j + 1)), one part for each j where it has bits. Parts of
    one j are integers of at most 24 bits times a common power of two: 2^29 of them add up in double precision without
    a single rounding. Only j that occur take memory.
    """

    def __init__(self) -> None:
        self.parts: dict[int, Floats] = {}

    def add(self, values: Floats, weights: Floats | None = None) -> None:
        """Add the rows of values [n, ...], or with integer weights [r, n] the r weighted sums of the rows.

        Raises:
            ValueError: a value isn't finite.
        """
        for j, part in self._cut(values):
            self._put(j, part.sum(axis=0) if weights is None else np.tensordot(weights, part, axes=1))

    def add_to(self, places: NDArray[np.int64], values: Floats, count: int) -> None:
        """Add each row of values [n, ...] to some of ``count`` sums, those at its places [n, r], all different."""
        for j, part in self._cut(values):
            if j not in self.parts:
                self.parts[j] = np.zeros((count, *values.shape[1:]))
            for mine, row in zip(places, part, strict=True):
                self.parts[j][mine] += row

    def merge(self, other: ExactSum) -> None:
        """Add another sum."""
        for j, part in other.parts.items():
            self._put(j, part)

    def _cut(self, values: Floats) -> Iterator[tuple[int, Floats]]:
        rest = np.array(values, dtype=np.float64)
        highest = np.abs(rest).max(initial=0.0)
        if not np.isfinite(highest):
            raise ValueError("only finite numbers have an exact sum")
        while highest > 0:
            j = int(np.frexp(highest)[1] - 1) // _BITS
            # ldexp, not 2.0 ** x: the grid of the smallest numbers lies below the smallest power of two there is.
            part = np.ldexp(np.trunc(np.ldexp(rest, -_BITS * j)), _BITS * j)
            rest -= part
            yield j, part
            highest = np.abs(rest).max(initial=0.0)

    def _put(self, j: int, part: Floats) -> None:
        self.parts[j] = self.parts[j] + part if j in self.parts else np.asarray(part, dtype=np.float64)

    def value(self, shape: tuple[int, ...]) -> Floats:
        """The sum to the last place or two, also where large parts cancel; zeros of a shape where nothing was added."""
        total, lost = np.zeros(shape), np.zeros(shape)
        for _, part in sorted(self.parts.items(), reverse=True):
            # What an addition rounds off is known exactly (Knuth's two-sum).
            both = total + part
            back = both - total
            lost += (total - (both - back)) + (part - back)
            total = both
        return total + lost


class Tally:
    """What UnitMem needs to know of the activations mu [points, units] of a set of points.

    Attributes:
        points: number of points seen.
        sums: sum over points, of each unit.
        lowest: [units] lowest activation.
        top, top_ids: [keep, units] the highest activations, high to low, and the points they belong to; the smaller
            point first where activations are equal. -inf and -1 where there are fewer points.
        quarter_points, quarter_sums: [replicates * 4] and [replicates * 4, units] number of points and sums in random
            quarters of the points, cut anew for each replicate.
    """

    def __init__(self, units: int, *, keep: int = 16, replicates: int = 0, seed: int = 0) -> None:
        self.units, self.replicates, self.seed = units, replicates, seed
        self.points = 0
        self.sums, self.quarter_sums = ExactSum(), ExactSum()
        self.lowest = np.full(units, np.inf)
        self.top = np.full((keep, units), -np.inf)
        self.top_ids = np.full((keep, units), -1, dtype=np.int64)
        self.quarter_points = np.zeros(replicates * 4)

    def add(self, mu: Floats, ids: NDArray[np.int64]) -> None:
        """Take in the activations [n, units] of points that weren't there yet."""
        if not len(ids):
            return
        mu = mu.astype(np.float64)
        self.points += len(ids)
        self.sums.add(mu)
        self.lowest = np.minimum(self.lowest, mu.min(axis=0))
        self._keep(mu, np.broadcast_to(ids[:, None], mu.shape))
        if self.replicates:
            mine = quarters(ids, self.replicates, seed=self.seed)
            member = (mine[:, None] == np.arange(4)[:, None]).reshape(-1, len(ids)).astype(np.float64)
            self.quarter_points += member.sum(axis=1)
            self.quarter_sums.add(mu, member)

    def merge(self, other: Tally) -> None:
        """Take in what another tally has seen of other points."""
        if (self.units, self.replicates, self.seed) != (other.units, other.replicates, other.seed):
            raise ValueError("tallies of different units or quarters can't be merged")
        self.points += other.points
        self.sums.merge(other.sums)
        self.quarter_sums.merge(other.quarter_sums)
        self.lowest = np.minimum(self.lowest, other.lowest)
        self.quarter_points = self.quarter_points + other.quarter_points
        self._keep(other.top, other.top_ids)

    def _keep(self, values: Floats, ids: NDArray[np.int64]) -> None:
        # Most units have their highest before long.
        columns = np.flatnonzero(values.max(axis=0) >= self.top[-1])
        values = np.concatenate([self.top[:, columns], values[:, columns]])
        ids = np.concatenate([self.top_ids[:, columns], ids[:, columns]])
        # Places that are still free (-1) come after every point.
        order = np.lexsort((np.where(ids < 0, np.iinfo(np.int64).max, ids), -values), axis=0)[: len(self.top)]
        self.top[:, columns] = np.take_along_axis(values, order, 0)
        self.top_ids[:, columns] = np.take_along_axis(ids, order, 0)

    def highest(self) -> tuple[Floats, Floats]:
        """mu_max and the mean over all other points (paper, Eqs. 6 and 7), [units] each."""
        top = self.top[0]
        return top, (self.sums.value((self.units,)) - top) / (self.points - 1)

    def halves(self) -> tuple[Floats, Floats]:
        """mu_max and mean over all other points, in random halves of the points, [replicates, 6, units] each.

        2 i and 2 i + 1 are the two halves of one cut, three cuts a replicate. nan where a half has fewer than two
        points, or none of the kept highest.
        """
        shape = (self.replicates, 4, self.units)
        top, seen = np.full(shape, -np.inf), np.arange(4)[:, None]
        ids, inverse = np.unique(self.top_ids, return_inverse=True)
        member = quarters(np.maximum(ids, 0), self.replicates, seed=self.seed)
        for rank in range(len(self.top) - 1, -1, -1):
            mine = np.where(self.top_ids[rank] < 0, -1, member[:, inverse.reshape(self.top.shape)[rank]])
            top = np.where(mine[:, None] == seen, self.top[rank], top)
        sums = self.quarter_sums.value((self.replicates * 4, self.units)).reshape(shape)
        pairs = [[0, 1], [2, 3], [0, 2], [1, 3], [0, 3], [1, 2]]
        highest = np.stack([top[:, pair].max(axis=1) for pair in pairs], axis=1)
        total = np.stack([sums[:, pair].sum(axis=1) for pair in pairs], axis=1)
        count = np.stack([self.quarter_points.reshape(-1, 4)[:, pair].sum(axis=1) for pair in pairs], axis=1)[..., None]
        highest = np.where(np.isfinite(highest) & (count > 1), highest, np.nan)
        return highest, (total - highest) / np.where(count > 1, count - 1, np.nan)

    def arrays(self) -> dict[str, Array]:
        """All of it as arrays, to be saved."""
        fixed = {"points": np.array(self.points), "lowest": self.lowest, "top": self.top, "top_ids": self.top_ids}
        sums = {f"sums/{j}": part for j, part in self.sums.parts.items()}
        quarter_sums = {f"quarters/{j}": part for j, part in self.quarter_sums.parts.items()}
        return fixed | {"quarter_points": self.quarter_points} | sums | quarter_sums

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Go on from what was saved."""
        self.points = int(arrays["points"])
        self.lowest, self.top, self.top_ids = arrays["lowest"], arrays["top"], arrays["top_ids"]
        self.quarter_points = arrays["quarter_points"]
        self.sums.parts = _numbered(arrays, "sums/")
        self.quarter_sums.parts = _numbered(arrays, "quarters/")


class ClassTally:
    """Sums of activations over classes, for ClassMem, under several labellings of the points at once.

    Args:
        labellings: [labellings, points of the whole set] a class for every point: the labels, and permutations of
            them for the null.
        classes: number of classes.
    """

    def __init__(self, units: int, labellings: NDArray[np.int64], classes: int) -> None:
        self.units, self.labellings, self.classes = units, labellings, classes
        self.counts = np.zeros((len(labellings), classes))
        self.sums = ExactSum()

    def add(self, activations: Floats, ids: NDArray[np.int64]) -> None:
        """Take in the activations [n, units] of points."""
        if not len(ids):
            return
        mine = self.labellings[:, ids].T
        places = mine + self.classes * np.arange(len(self.labellings))
        np.add.at(self.counts.reshape(-1), places.ravel(), 1)
        self.sums.add_to(places, activations.astype(np.float64), self.counts.size)

    def merge(self, other: ClassTally) -> None:
        """Take in what another tally has seen of other points."""
        self.counts = self.counts + other.counts
        self.sums.merge(other.sums)

    def means(self) -> list[tuple[NDArray[np.int64], Floats]]:
        """Of each labelling, the classes that occur and their mean activations [classes, units]."""
        shape = (*self.counts.shape, self.units)
        sums = self.sums.value((shape[0] * shape[1], shape[2])).reshape(shape)
        present = [np.flatnonzero(count) for count in self.counts]
        return [(p, s[p] / count[p, None]) for p, s, count in zip(present, sums, self.counts, strict=True)]

    def arrays(self) -> dict[str, Array]:
        """All of it as arrays, to be saved."""
        return {"counts": self.counts} | {f"sums/{j}": part for j, part in self.sums.parts.items()}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Go on from what was saved."""
        self.counts = arrays["counts"]
        self.sums.parts = _numbered(arrays, "sums/")


def _numbered(arrays: Mapping[str, Array], prefix: str) -> dict[int, Array]:
    return {int(name.removeprefix(prefix)): array for name, array in arrays.items() if name.startswith(prefix)}


def quarters(ids: NDArray[np.int64], replicates: int, *, seed: int) -> NDArray[np.int64]:
    """Which quarter, 0 to 3, each point falls into, [replicates, n].

    A function of seed and point alone, so nobody needs to know all points at once.
    """
    from memloc.streams import uniforms

    return (4 * uniforms(seed, ids, (replicates,)).T).astype(np.int64)


def merged(tallies: Sequence[Tally]) -> Tally:
    """One tally of all, as if it had seen every point itself."""
    first = tallies[0]
    total = Tally(first.units, keep=len(first.top), replicates=first.replicates, seed=first.seed)
    for tally in tallies:
        total.merge(tally)
    return total
