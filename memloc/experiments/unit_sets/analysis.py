"""UnitMem by the make-up of the evaluated images: how many, and of which classes (paper, Figure 6, Table 34)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import above, equivalent, unit_activations
from memloc.analysis.sheet import Sheet
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.errors import InputError
from memloc.metrics.stats import Estimate, Sample, permutation_p, rank_correlation
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
        "UnitMem doesn't depend on which images it is evaluated on: .04 (own margin) minus the largest difference of "
        "mean UnitMem, in any layer, between all images and few of them, evenly from the classes or at random (at "
        "risk, docs/claims.md)",
        "Figure 6",
        None,
        "CIFAR100; 100 images, one of each class or at random, and 10,000",
    ),
    "evenly": Claim(
        "At equal size UnitMem doesn't depend on the make-up of the images: .04 (own margin) minus the largest "
        "difference of mean UnitMem, in any layer, between images evenly from the classes and images at random",
    ),
    "size": Claim(
        "UnitMem grows with the number of images by itself: mean UnitMem on all external images, never seen, minus few "
        "of them at random, weakest layer",
    ),
    "one-class-max": Claim(
        "Units memorize within one class, too: largest UnitMem of the last layer on images of one class minus .8 (own "
        "threshold)",
        "Table 34",
        0.07,
        TABLE_34,
    ),
    "drop": Claim(
        "UnitMem hardly falls on one class: .04 (own margin) minus the fall of the last layer's mean UnitMem from all "
        "images to those of one class (at risk, docs/claims.md)",
        "Table 34",
        # .409 on all, .397 on cars.
        0.028,
        TABLE_34,
    ),
    "drop-cut": Claim(
        "UnitMem hardly falls on one class at equal size: .04 (own margin) minus the fall of the last layer's mean "
        "UnitMem from images of all classes to as many of one class",
    ),
    "order": Claim(
        "The same units memorize on one class as on all: rank correlation of UnitMem over the last layer's units "
        "minus .5",
        "Table 34, own threshold",
    ),
    "one-class-max-excess": Claim(
        "The largest UnitMem on one class is higher on images trained on: last layer, candidates minus external images "
        "of the class",
    ),
    "excess": Claim(
        "Units of the last layer memorize images of one class that they were trained on: mean UnitMem on candidates "
        "minus external images of the class",
    ),
}
SETS = ("all", "evenly", "random", "some classes", "one class", "all, cut", "some classes, cut", "one class, cut")
RESAMPLES = 400
"""At most: each measures UnitMem on dozens of sets."""
PERMUTATIONS = 1000
"""Random assignments of images to the groups behind the p of the excess."""


def analyse(sheet: Sheet) -> None:
    """Mean and largest UnitMem by set, group and layer; rank correlation of the last layer's units with all images."""
    for encoder in sheet.encoders:
        measures = sheet.arrays("measures", encoder, same=("layers",))
        layers, _, begins = unit_activations(measures[0], np.arange(1))
        size, draws, classes = (int(sheet.options[key]) for key in ("size", "draws", "classes"))
        chosen = [_rows(arrays, seed, size=size, classes=classes) for seed, arrays in enumerate(measures)]
        samples = [_activations(*of_seed) for of_seed in zip(measures, chosen, strict=True)]
        sets = _Sets(begins, generator("unit sets", encoder), size=size, draws=draws, classes=classes)
        images = None
        if sheet.inputs.roles_of(encoder) > 1:
            pairs = zip(measures, chosen, strict=True)
            images = [{name: arrays["points"][rows] for name, rows in of.items()} for arrays, of in pairs]
        labels = len(samples[0]) // len(CANDIDATE_AND_NULL)
        every = sheet.bootstrap(samples, sets, at_most=RESAMPLES, images=images, least=_needed(size, labels))
        unitmem_of, order = every[:, :, :2].between(0, 1), every[:, :, 2].between(-1, 1)
        for g, group in enumerate(CANDIDATE_AND_NULL):
            for s, name in enumerate(SETS):
                about = {"encoder": encoder, "series": name, "group": group}
                sheet.profile(unitmem_of[g, s, 0], layers, what="mean", **about)
                sheet.profile(unitmem_of[g, s, 1], layers, what="largest", **about)
                sheet.profile(order[g, s, -1:], layers[-1:], what="order", **about)
        n = sum(len(rows) for name, rows in samples[0].items() if name.startswith("candidate"))
        _find(sheet, encoder, unitmem_of, order, layers, n=n, p=_p_of_excess(samples, begins[-1]))


def _find(
    sheet: Sheet, encoder: str, unitmem_of: Estimate, order: Estimate, layers: Sequence[str], *, n: int, p: float
) -> None:
    """Findings on all claims.

    Args:
        unitmem_of: [groups, SETS, mean and largest, layers].
        order: rank correlation with all images, [groups, SETS, layers].
        n: candidates.
        p: of the excess on one class.
    """
    candidate, external = ({name: unitmem_of[g, s] for s, name in enumerate(SETS)} for g in (0, 1))
    places = [f"layer {name}" for name in layers]
    few = unitmem_of[0, 1:3, 0] - unitmem_of[0, :1, 0]
    both = few.map(lambda v: v.reshape(*v.shape[:-2], -1), limit=few.limit)
    names = [f"{name}, {place}" for name in SETS[1:3] for place in places]
    evenly, random = candidate["evenly"][0], candidate["random"][0]
    sheet.findings.append(equivalent("make-up", encoder, both, names, margin=MARGIN, n=n))
    sheet.findings.append(equivalent("evenly", encoder, evenly - random, places, margin=MARGIN, n=n))
    sheet.find_in_every("size", encoder, external["all"][0] - external["random"][0], places, n=n)

    mean, largest = ((candidate["one class"][i, -1], external["one class"][i, -1]) for i in (0, 1))
    sheet.find("one-class-max", encoder, above(largest[0], HIGH), n)
    sheet.find("one-class-max-excess", encoder, largest[0] - largest[1], n)
    for claim, suffix in (("drop", ""), ("drop-cut", ", cut")):
        fall = candidate[f"all{suffix}"][0, -1] - candidate[f"one class{suffix}"][0, -1]
        sheet.find(claim, encoder, fall.map(lambda v: MARGIN - v, limit=fall.limit, centre=MARGIN), n)
    sheet.find("order", encoder, above(order[0, SETS.index("one class"), -1], ORDER), n)
    sheet.find("excess", encoder, mean[0] - mean[1], n, p=p)


def _activations(measures: Sample, rows: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.float64]]:
    """Activations of images of each group and class, [images, units]."""
    return {name: unit_activations(measures, of_class)[1] for name, of_class in rows.items()}


def _rows(measures: Sample, seed: int, *, size: int, classes: int) -> dict[str, NDArray[np.int64]]:
    """Rows of each group's images of each class, as many in all groups: {"group class": [images]}.

    Raises:
        InputError: ``classes`` are all that there are, or there are too few images of one to draw ``size`` evenly.
    """
    groups, labels = measures["groups"], measures["labels"]
    every = np.unique(labels[np.isin(groups, CANDIDATE_AND_NULL)])
    if len(every) <= classes:
        raise InputError(f"classes: {classes} must be smaller than the number of classes, {len(every)}; lower it")
    needed = _needed(size, len(every))
    out = {}
    for label in every:
        rows = {group: np.flatnonzero((groups == group) & (labels == label)) for group in CANDIDATE_AND_NULL}
        smallest = min(map(len, rows.values()))
        if smallest < needed:
            few = f"{size} images need {needed} of each class, but a group has {smallest} of class {label}"
            raise InputError(f"size: {few}; lower it or enlarge the dataset's split")
        for group, of_class in rows.items():
            rng = generator("unit sets", seed, group, int(label))
            out[f"{group} {label}"] = np.sort(rng.choice(of_class, smallest, replace=False))
    return out


def _needed(size: int, classes: int) -> int:
    """Images of each class that sets of ``size`` are drawn from."""
    return max(2, -(-size // classes))


def _p_of_excess(samples: Sequence[Mapping[str, NDArray[np.float64]]], begin: int) -> float:
    """Two-sided p of the excess on one class among random assignments of a class's images to groups of equal size.

    A bootstrap repeats points, which tells too little of how a maximum varies; this needs none.

    Args:
        begin: first column of the last layer.
    """
    rng = generator("unit sets dealt")
    excess = np.zeros(1 + PERMUTATIONS)
    for sample in samples:
        labels = [name.removeprefix("candidate ") for name in sample if name.startswith("candidate ")]
        for label in labels:
            candidate, external = (sample[f"{group} {label}"][:, begin:] for group in CANDIDATE_AND_NULL)
            both, size = np.concatenate([candidate, external]), len(candidate)
            for i in range(len(excess)):
                # The first assignment is the true one.
                rows = rng.permutation(len(both)) if i else np.arange(len(both))
                gap = unitmem(both[rows[:size]]).mean() - unitmem(both[rows[size:]]).mean()
                excess[i] += gap / len(labels) / len(samples)
    return float(permutation_p(excess[0], excess[1:]))


class _Sets:
    """UnitMem on every set: [groups, SETS, 3, layers]: mean and maximum over units, rank correlation with all images.

    Where sets are drawn, the mean over draws; "one class" is the mean over classes; sets that are "cut" have as many
    images as the smallest class. Every call draws new sets, so a resample, which keeps the number of images of each
    class, has other sets. The rank correlation is the last layer's, 0 elsewhere.
    """

    def __init__(
        self, begins: NDArray[np.int64], rng: np.random.Generator, *, size: int, draws: int, classes: int
    ) -> None:
        self.begins, self.rng, self.size, self.draws, self.classes = begins, rng, size, draws, classes

    def __call__(self, sample: Sample) -> NDArray[np.float64]:
        return np.stack(
            [self._group([a for name, a in sample.items() if name.startswith(group)]) for group in CANDIDATE_AND_NULL]
        )

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
            [self._few(of_classes, smallest) for of_classes in some],
            [self._few(of_class, smallest) for of_class in rows],
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


SHOWN = {
    "all images": ["all"],
    "few of them": ["evenly", "random"],
    "fewer classes": ["some classes", "one class"],
    "as few as one class has": ["all, cut", "some classes, cut", "one class, cut"],
}
"""Sets as the figure groups them."""


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A row an encoder: few images of all classes by layer, one class by layer, and the last layer in every set."""
    encoders = plotting.by_encoder(table[table["what"] == "mean"])
    figure, axes = plotting.panels(rows=len(encoders), columns=3, height=2.6, sharex="col")
    few = {"all": "all images", "random": "few, at random", "evenly": "few, evenly"}
    classes = {"all, cut": "all classes", "one class, cut": "one class"}
    black = dict.fromkeys([*few, *classes], plotting.INK) | {"random": plotting.COLOURS["random"]}
    hollow = ["evenly", "one class, cut"]
    for (a, b, c), (encoder, means) in zip(axes, encoders.items(), strict=True):
        candidates = means[means["group"] == "candidate"]
        for axis, names in ((a, few), (b, classes)):
            if axis is not axes[0, 0]:
                axis.sharey(axes[0, 0])
            series = {name: candidates.loc[[name]] for name in names}
            dots.over_layers(axis, series, colours=black, hollow=hollow, null=None, joined=False)
            axis.set_ylabel("mean UnitMem, candidates")
        for shift, group in ((-0.14, "candidate"), (0.14, "external")):
            of = means[means["group"] == group]
            last = pd.concat([of.loc[[name]].tail(1) for name in chain(*SHOWN.values())])
            heads = [head for head, names in SHOWN.items() for _ in names]
            sets = [name.removesuffix(", cut") for name in last.index]
            plotting.forest(c, last, sets, groups=heads, colours=plotting.COLOURS[group], shift=shift, null=None)
        layer = dots.place(candidates["layer"].iloc[-1])
        a.set(title=f"{plotting.plain(encoder)}\nDoes number or make-up matter?")
        b.set(title="Do fewer classes, at equal size?")
        c.set(title="On images never seen, too?", xlabel=f"mean UnitMem, {layer}")
    for side, names in (("left", few), ("center", classes)):
        where = "left" if side == "left" else "middle"
        shown = {f"{words} ({where})": black[name] for name, words in names.items()}
        plotting.key(figure, shown, hollow=[*shown][-1:], side=side)
    groups = {
        "candidates (right)": plotting.COLOURS["candidate"],
        "external images (right)": plotting.COLOURS["external"],
    }
    plotting.key(figure, groups, side="right")
    return figure
