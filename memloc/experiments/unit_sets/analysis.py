"""UnitMem by the make-up of the evaluated images: how many, and of which classes (paper, Figure 6, Table 34)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import above, equivalent, rows_of, unit_activations
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError
from memloc.metrics.stats import Sample, bootstrap, permutation_p, rank_correlation
from memloc.metrics.units import unitmem
from memloc.streams import generator

MARGIN = 0.04
"""Of UnitMem: a tenth of the paper's mean in layer 8 (.409, Table 34)."""
HIGH = 0.8
"""A unit answers to one image of a class: below the paper's .870 (Table 34)."""
ORDER = 0.5
"""Rank correlation from which most of the units' order is kept."""
TABLE_34 = "STL10; 1,000 images of all classes, and the cars among them; layer 8"
CLAIMS = {
    "make-up": Claim(
        "UnitMem doesn't depend on which images it is evaluated on: on few images, evenly from the classes or at "
        "random, a layer's mean is within .04 (own margin) of that on all, in every layer: this minus the largest "
        "difference (at risk, docs/claims.md)",
        "Figure 6",
        None,
        "CIFAR100; 100 images, one of each class or at random, and 10,000",
    ),
    "evenly": Claim(
        "At equal size it doesn't depend on the make-up: evenly from the classes and at random, as many images, a "
        "layer's mean UnitMem is within .04 in every layer: this minus the largest difference",
    ),
    "size": Claim(
        "UnitMem grows with the number of images by itself: mean on all external images, never seen, minus few of "
        "them at random, the weakest layer",
    ),
    "one-class-max": Claim(
        "Units memorize within one class, too: the last layer's largest UnitMem on images of one class minus .8 (own "
        "threshold)",
        "Table 34",
        0.07,
        TABLE_34,
    ),
    "drop": Claim(
        "UnitMem hardly falls on one class: .04 (own margin) minus the last layer's mean on all images plus that on "
        "one class (at risk, docs/claims.md)",
        "Table 34",
        # .409 on all, .397 on cars.
        0.028,
        TABLE_34,
    ),
    "drop-cut": Claim("The same on as many images of all classes as of one: .04 minus the fall of the mean"),
    "order": Claim(
        "The same units memorize on one class as on all: rank correlation of UnitMem over the last layer's units "
        "minus .5",
        "Table 34, own threshold",
    ),
    "one-class-max-excess": Claim(
        "The highest UnitMem on one class is higher on images trained on: last layer, candidates minus external images "
        "of the class",
    ),
    "excess": Claim(
        "UnitMem on one class is higher on images trained on: last layer, candidates minus external images of the "
        "class",
    ),
}
GROUPS = ("candidate", "external")
SETS = ("all", "evenly", "random", "some classes", "one class", "all, cut", "some classes, cut", "one class, cut")
RESAMPLES = 400
"""Each measures UnitMem on dozens of sets anew."""
PERMUTATIONS = 1000
SETTINGS = ("layers",)
"""Arrays that are the same in all seeds."""


def analyse(sheet: Sheet) -> None:
    """Mean and largest UnitMem by set, group and layer; rank correlation of the last layer's units with all images."""
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    for encoder in inputs.encoders():
        measures = inputs.arrays("measures", encoder, same=SETTINGS)
        layers, _, begins = unit_activations(measures[0], np.arange(1))
        samples = [_by_class(m, seed, options) for seed, m in enumerate(measures)]
        sets = _Sets(
            begins, generator("unit sets", encoder), **{key: options[key] for key in ("size", "draws", "classes")}
        )
        replicates = min(RESAMPLES, options["replicates"])
        every = bootstrap(samples, sets, replicates=replicates, seed=0)
        found, order = every[:, :, :2].between(0, 1), every[:, :, 2].between(-1, 1)
        n = sum(len(array) for name, array in samples[0].items() if name.startswith("candidate"))
        for g, group in enumerate(GROUPS):
            for s, name in enumerate(SETS):
                about = {"encoder": encoder, "series": name, "group": group}
                tables.append(rows_of(found[g, s, 0], layers, what="mean", **about))
                tables.append(rows_of(found[g, s, 1], layers, what="largest", **about))
                tables.append(rows_of(order[g, s, -1:], layers[-1:], what="order", **about))
        mean = {name: found[0, s, 0] for s, name in enumerate(SETS)}
        places = [f"layer {name}" for name in layers]
        few = found[0, 1:3, 0] - found[0, :1, 0]
        both = few.map(lambda v: v.reshape(*v.shape[:-2], -1), limit=few.limit)
        names = [f"{name}, {place}" for name in SETS[1:3] for place in places]
        grown = found[1, SETS.index("all"), 0] - found[1, SETS.index("random"), 0]
        one, cut = mean["one class"][-1], mean["one class, cut"][-1]
        which = SETS.index("one class")
        fall, fall_cut = mean["all"][-1] - one, mean["all, cut"][-1] - cut
        findings += [
            equivalent("make-up", encoder, both, names, margin=MARGIN, n=n),
            equivalent("evenly", encoder, mean["evenly"] - mean["random"], places, margin=MARGIN, n=n),
            Finding.of_every("size", encoder, grown, places, n=n),
            Finding("one-class-max", encoder, above(found[0, which, 1, -1], HIGH), n),
            Finding("one-class-max-excess", encoder, found[0, which, 1, -1] - found[1, which, 1, -1], n),
            Finding("drop", encoder, fall.map(lambda v: MARGIN - v, limit=fall.limit, centre=MARGIN), n),
            Finding("drop-cut", encoder, fall_cut.map(lambda v: MARGIN - v, limit=fall.limit, centre=MARGIN), n),
            Finding("order", encoder, above(order[0, which, -1], ORDER), n),
            Finding("excess", encoder, one - found[1, which, 0, -1], n, p=_p_of_excess(samples, begins[-1])),
        ]
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def _by_class(measures: Sample, seed: int, options: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Activations of each group's images of each class, as many in all groups: {"group class": [images, units]}.

    Raises:
        InputError: there are no more classes than asked for, or too few images of one.
    """
    groups, labels = measures["groups"], measures["labels"]
    classes = np.unique(labels[np.isin(groups, GROUPS)])
    if len(classes) <= options["classes"]:
        raise InputError(f"classes: {options['classes']} of {len(classes)} is no choice; lower it")
    needed = max(2, -(-options["size"] // len(classes)))
    out = {}
    for label in classes:
        rows = {group: np.flatnonzero((groups == group) & (labels == label)) for group in GROUPS}
        size = min(map(len, rows.values()))
        if size < needed:
            few = f"{options['size']} take {needed} images of each class, a group has {size} of class {label}"
            raise InputError(f"size: {few}; lower it or enlarge the dataset's split")
        for group, mine in rows.items():
            drawn = np.sort(generator("unit sets", seed, group, int(label)).choice(mine, size, replace=False))
            out[f"{group} {label}"] = unit_activations(measures, drawn)[1]
    return out


def _p_of_excess(samples: list[dict[str, NDArray[np.float64]]], begin: int) -> float:
    """Two-sided p of the excess on one class among images of a class dealt to the groups at random, alike in number.

    A bootstrap repeats points, which tells too little of how a maximum varies; this needs none.

    Args:
        begin: first column of the last layer.
    """
    rng = generator("unit sets dealt")
    excess = np.zeros(1 + PERMUTATIONS)
    for sample in samples:
        labels = [name.removeprefix("candidate ") for name in sample if name.startswith("candidate ")]
        pairs = [[sample[f"{group} {label}"][:, begin:] for group in GROUPS] for label in labels]
        for candidate, external in pairs:
            both, size = np.concatenate([candidate, external]), len(candidate)
            for i in range(len(excess)):
                # The first is as it was found.
                rows = rng.permutation(len(both)) if i else np.arange(len(both))
                gap = unitmem(both[rows[:size]]).mean() - unitmem(both[rows[size:]]).mean()
                excess[i] += gap / len(pairs) / len(samples)
    return float(permutation_p(excess[0], excess[1:]))


class _Sets:
    """Of UnitMem on every set: [groups, SETS, 3, layers], mean and maximum over units, rank correlation with all.

    Where sets are drawn, the mean over draws; one class is each class in turn. Sets that are cut have as many images as
    the smallest class. Every call draws anew, so a resample, which keeps the number of images of each class, has its
    own sets. The rank correlation is the last layer's, 0
    elsewhere.
    """

    def __init__(
        self, begins: NDArray[np.int64], rng: np.random.Generator, *, size: int, draws: int, classes: int
    ) -> None:
        self.begins, self.rng, self.size, self.draws, self.classes = begins, rng, size, draws, classes

    def __call__(self, sample: Sample) -> NDArray[np.float64]:
        return np.stack([self._group([a for name, a in sample.items() if name.startswith(group)]) for group in GROUPS])

    def _group(self, by_class: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        mu = np.concatenate(by_class)
        rows = np.split(np.arange(len(mu)), np.cumsum([len(a) for a in by_class[:-1]]))
        whole = unitmem(mu)
        return np.stack([self._summary(np.stack([unitmem(mu[r]) for r in some]), whole) for some in self._sets(rows)])

    def _sets(self, rows: list[NDArray[np.int64]]) -> list[list[NDArray[np.int64]]]:
        """The sets of each of SETS, from the rows of each class."""
        everything, draws = np.concatenate(rows), range(self.draws)
        some = [np.concatenate([rows[c] for c in self.rng.permutation(len(rows))[: self.classes]]) for _ in draws]
        smallest = min(map(len, rows))
        return [
            [everything],
            [self._evenly(rows) for _ in draws],
            [self._few(everything, self.size) for _ in draws],
            some,
            rows,
            [self._few(everything, smallest) for _ in draws],
            [self._few(mine, smallest) for mine in some],
            [self._few(mine, smallest) for mine in rows],
        ]

    def _few(self, rows: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        return self.rng.permutation(rows)[:size]

    def _evenly(self, rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        """As many of each class, one more of some where the size is no multiple of their number."""
        each, more = divmod(self.size, len(rows))
        order = self.rng.permutation(len(rows))
        return np.concatenate([self.rng.permutation(rows[c])[: each + (i < more)] for i, c in enumerate(order)])

    def _summary(self, scores: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over sets of what UnitMem [sets, units] comes to in each layer."""
        ends = np.append(self.begins[1:], len(whole))
        mean = np.add.reduceat(scores, self.begins, axis=1) / (ends - self.begins)
        largest = np.maximum.reduceat(scores, self.begins, axis=1)
        order = np.zeros_like(mean)
        order[:, -1] = rank_correlation(scores[:, self.begins[-1] :], whole[self.begins[-1] :])
        return np.asarray(np.stack([mean, largest, order]).mean(axis=1))


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A row an encoder: make-up of few images, classes, and the last layer in every set."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=len(encoders), columns=3, width=11, height=3.6)
    shades = plotting.colours(SETS[:5])
    for row, encoder in zip(axes, encoders, strict=True):
        mine = table[(table["encoder"] == encoder) & (table["what"] == "mean")].set_index("series")
        candidates = mine[mine["group"] == "candidate"]
        for axis, names in ((row[0], SETS[:3]), (row[1], (SETS[0], *SETS[3:5]))):
            for name in names:
                plotting.profile(axis, candidates.loc[[name]], label=name, colour=shades[name])
        for name in SETS[5:]:
            values, colour = candidates.loc[[name], "value"], shades[name.removesuffix(", cut")]
            row[1].plot(np.arange(len(values)), values, linestyle=":", color=colour, label=name)
        for shift, group in ((-0.12, "candidate"), (0.12, "external")):
            last = mine[mine["group"] == group].groupby("series", sort=False).tail(1)
            at = np.arange(len(last)) + shift
            plotting.points(row[2], at, last, colour=plotting.COLOURS[group], label=group, size=4)
        row[2].set_xticks(range(len(SETS)), SETS, rotation=35, ha="right", fontsize=7)
        row[0].set(title=f"{encoder}: number and make-up", xlabel="layer", ylabel="mean UnitMem, candidates")
        row[1].set(title="classes", xlabel="layer", ylabel="mean UnitMem, candidates")
        row[2].set(title="last layer", ylabel="mean UnitMem")
        for axis in row:
            plotting.legend(axis, room=0.4 if axis is row[1] else 0.0)
    return figure
