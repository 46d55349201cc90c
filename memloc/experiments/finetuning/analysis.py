"""Fine-tuning the layers of highest LayerMem increment against the last ones and all others (paper, Table 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Arrays, layer_traits, membership, random_orders, right_of_pair, rows_of
from memloc.analysis.sheet import Sheet
from memloc.metrics.alignment import ESTIMATORS
from memloc.metrics.stats import LEVEL, Estimate, permutation_p, rank_correlation
from memloc.metrics.stats import partial_rank_correlation as partial_correlation

SCALE = "ResNet9, SimCLR, CIFAR10 to STL10"
CLAIMS = {
    "increment": Claim(
        "Fine-tuning the layers of highest LayerMem increment beats fine-tuning as many last layers: difference of "
        "accuracy",
        "Table 5",
        scale=SCALE,
    ),
    "subsets": Claim(
        "Subsets of k layers are better to fine-tune the more LayerMem rises in them: rank correlation of summed "
        "crossed increment and accuracy, given their number of parameters",
        "Table 5, over all subsets",
        scale=SCALE,
    ),
    "subsets-depth": Claim(
        "Subsets of k layers are better to fine-tune the more LayerMem rises in them, wherever they lie: rank "
        "correlation of summed crossed increment and accuracy, given their number of parameters and mean depth (added "
        "after the first results)",
        "Table 5, over all subsets",
        scale=SCALE,
    ),
}
PUBLISHED = {1: 0.003, 2: 0.014, 3: 0.014}
"""The paper's difference in accuracy by number of layers (Table 5)."""
ARMS = ("increment", "last")
GIVEN = ("nothing", "parameters", "parameters and depth")
ORDERS = 1000
"""Random orders of the layers behind a p."""
HUES = {"increment": plotting.COLOURS["top"], "last": plotting.INK}
GAIN = "increment minus last"
LABELS = {"increment": "k layers of highest increment", "last": "last k layers"}


def analyse(sheet: Sheet) -> None:
    """Accuracy of the head alone and of each choice of k layers, and which layers were chosen."""
    for encoder in sheet.encoders:
        every, points = sheet.arrays("outcomes", encoder), sheet.scores("points", encoder)
        outcomes = [right_of_pair(pair) for pair in sheet.inputs.by_seed(encoder, every)]
        arms = list(zip(outcomes[0]["by"].tolist(), outcomes[0]["count"].tolist(), strict=True))
        samples = [{"test point": outcome["correct"].T.astype(np.float64)} for outcome in outcomes]
        accuracy = sheet.means(samples, lambda means: means["test point"], limit=1, shared=True)
        # A row of numbers alone would come back from CSV as a number.
        layers = ["layers " + " | ".join(str(o["layers"][i]) for o in outcomes) for i in range(len(arms))]
        summed = np.mean([_summed(o, p) for o, p in zip(outcomes, points, strict=True)], axis=0)
        sheet.add(
            rows_of(accuracy, [by for by, _ in arms], encoder=encoder).rename(columns={"layer": "series"}),
            count=[count for _, count in arms],
            layers=layers,
            increment=summed,
        )
        for count in sorted({count for _, count in arms} - {0}):
            chosen, last = arms.index(("increment", count)), arms.index(("last", count))
            differ = sum(str(o["layers"][chosen]) != str(o["layers"][last]) for o in outcomes)
            if not differ:
                continue  # One choice by two names: there is nothing to compare.
            subject = f"{encoder}, k = {count}, choices differ in {differ} of {len(outcomes)} seeds"
            gain, tested = accuracy[chosen] - accuracy[last], len(samples[0]["test point"])
            paper = PUBLISHED.get(count, np.nan)
            rows = rows_of(gain[None], [GAIN], encoder=encoder, count=count, paper=paper)
            sheet.add(rows.rename(columns={"layer": "series"}))
            sheet.find("increment", subject, gain, tested, value=PUBLISHED.get(count))
        if any(by == "subset" for by, _ in arms):
            _over_subsets(sheet, encoder, outcomes, points)


def _summed(outcome: Arrays, points: pd.DataFrame) -> NDArray[np.float64]:
    """Crossed increment summed over the layers of every arm; nan with the first layer, which has none (Eq. 4)."""
    crossed = layer_traits(points, estimator="crossed")["increment"]
    return np.array([crossed[names.split()].sum(skipna=False) if names else np.nan for names in outcome["layers"]])


@dataclass(frozen=True)
class Subsets:
    """Subsets of layers that were fine-tuned, without the first layer, which has no increment (Eq. 4).

    Attributes:
        names: the layers of each, separated by blanks.
        member: which layer is in which subset, [subsets, layers].
        of_size: rows of the subsets of each number of layers.
        confounders: number of parameters and mean depth, each [subsets].
    """

    names: list[str]
    member: NDArray[np.float64]
    of_size: Mapping[int, NDArray[np.int64]]
    confounders: list[NDArray[np.float64]]

    @classmethod
    def of(cls, names: Sequence[str], layers: pd.DataFrame) -> Subsets:
        """From all subsets and the layers' traits."""
        names = [subset for subset in names if layers.index[0] not in subset.split()]
        member = membership(names, list(layers.index))
        sizes = member.sum(axis=1).astype(int)
        of_size = {size: np.flatnonzero(sizes == size) for size in dict.fromkeys(sizes.tolist())}
        return cls(names, member, of_size, [member @ layers["parameters"], member @ layers["depth"] / sizes])

    def correlations(self, accuracy: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rank correlations of accuracies and sums, both [..., subsets]: [..., sizes, GIVEN]."""
        out = []
        for rows in self.of_size.values():
            x, y = sums[..., rows], accuracy[..., rows]
            given = [confounder[rows] for confounder in self.confounders]
            partial = [partial_correlation(x, y, given[:many]) for many in range(1, len(GIVEN))]
            out.append(np.stack([rank_correlation(x, y), *partial], axis=-1))
        return np.stack(out, axis=-2)


def _over_subsets(sheet: Sheet, encoder: str, outcomes: Sequence[Arrays], points: Sequence[pd.DataFrame]) -> None:
    """Rank correlations over subsets of k layers of summed increment and accuracy, with a null.

    The null assigns the increments to the layers at random, alike in every seed. Subsets share layers, so chance makes
    correlations that would be large among as many independent points.
    """
    traits = {form: [layer_traits(table, estimator=form) for table in points] for form in ESTIMATORS}
    rises = [np.stack([traits[form][i]["increment"].fillna(0) for form in ESTIMATORS]) for i in range(len(points))]
    subsets = Subsets.of(outcomes[0]["layers"][outcomes[0]["by"] == "subset"].tolist(), traits["crossed"][0])
    samples = []
    for outcome, rise in zip(outcomes, rises, strict=True):
        row = {names: i for i, names in enumerate(outcome["layers"].tolist()) if outcome["by"][i] == "subset"}
        marks = outcome["correct"][[row[names] for names in subsets.names]].T.astype(np.float64)
        # A single row, which no resample changes.
        samples.append({"test point": marks, "sums": np.array([[subsets.member @ values for values in rise]])})
    estimate = sheet.means(
        samples,
        lambda means: subsets.correlations(means["test point"][:, None], means["sums"]),
        limit=1,
        shared=True,
    )
    orders = random_orders(subsets.member.shape[1], permutations=ORDERS, fixed=1)
    null = np.zeros((len(ESTIMATORS), ORDERS, len(subsets.of_size), len(GIVEN)))
    for sample, rise in zip(samples, rises, strict=True):
        accuracy = sample["test point"].mean(axis=0)
        null += subsets.correlations(accuracy, rise[:, orders] @ subsets.member.T) / len(samples)
    _report(sheet, encoder, subsets, estimate, np.moveaxis(null, 1, -1), tested=len(samples[0]["test point"]))


def _report(
    sheet: Sheet, encoder: str, subsets: Subsets, estimate: Estimate, null: NDArray[np.float64], *, tested: int
) -> None:
    """One row for each correlation, and the findings on the crossed ones.

    Args:
        estimate: [ESTIMATORS, sizes, GIVEN].
        null: [ESTIMATORS, sizes, GIVEN, ORDERS].
    """
    low, high = np.quantile(null, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    p = permutation_p(estimate.value, null)
    for i, (count, rows) in enumerate(subsets.of_size.items()):
        for j, k in product(range(len(GIVEN)), range(len(ESTIMATORS))):
            about = {"given": GIVEN[j], "estimator": ESTIMATORS[k], "count": count, "subsets": len(rows)}
            bounds = {"null_low": low[k, i, j], "null_high": high[k, i, j], "p": p[k, i, j]}
            named = rows_of(estimate[[k], i, j], ["correlation"], encoder=encoder, **about, **bounds)
            sheet.add(named.rename(columns={"layer": "series"}))
        for claim, given in (("subsets", "parameters"), ("subsets-depth", "parameters and depth")):
            place = (ESTIMATORS.index("crossed"), i, GIVEN.index(given))
            subject = f"{encoder}, k = {count}, {len(rows)} subsets"
            sheet.find(claim, subject, estimate[place], tested, p=float(p[place]))


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Two panels an encoder: accuracy of both choices of k layers, and their difference; below, every subset."""
    encoders = plotting.by_encoder(table)
    subsets = "subset" in set(table["series"])
    figure, axes = plotting.panels(rows=(1 + subsets) * len(encoders), columns=2)
    for (encoder, rows), panels in zip(encoders.items(), axes.reshape(len(encoders), -1), strict=True):
        _compare(panels[0], panels[1], rows)
        panels[0].set_title(f"{plotting.plain(encoder)}\n{panels[0].get_title('left')}")
        if subsets:
            _scatter(panels[2], rows.loc[["subset"]].dropna(subset=["increment"]))
            _correlations(panels[3], rows.loc[["correlation"]])
    key = {LABELS[by]: HUES[by] for by in ARMS}
    key |= {"the paper's": plotting.COLOURS["paper"]} if GAIN in set(table["series"]) else {}
    plotting.key(figure, key, hollow=["the paper's"])
    return figure


def _compare(accuracy: Axes, gain: Axes, rows: pd.DataFrame) -> None:
    """The two choices of k layers beside the head alone, and their difference where they differ."""
    choices = {by: rows.loc[[by]].sort_values("count") for by in ARMS}
    counts = list(choices["last"]["count"])
    dots.side_by_side(accuracy, choices, colours=HUES, width=0.2)
    dots.named(accuracy, [f"k = {count}" for count in counts])
    accuracy.axhline(rows.loc[["head"], "value"].iloc[0], color=plotting.COLOURS["chance"], linestyle="--", linewidth=1)
    accuracy.set(title="Which k layers are worth fine-tuning?", ylabel="accuracy (dashed: head alone)")
    found = rows.loc[rows.index == GAIN]
    at = np.array([counts.index(count) for count in found["count"]])
    dots.side_by_side(gain, {"effect": found}, at={"effect": at}, joined=False)
    for place, paper in zip(at, found["paper"] if len(found) else (), strict=True):
        plotting.papers(gain, place + 0.1, paper)
    same = [count for count in counts if count not in set(found["count"])]
    dots.named(gain, [f"k = {count}" + "\n(same layers)" * (count in same) for count in counts])
    plotting.zero(gain)
    gain.set(title="Does highest increment beat last?", ylabel="difference of accuracy")


def _scatter(axis: Axes, subsets: pd.DataFrame) -> None:
    """Accuracy of every subset without the first layer against its summed increment."""
    counts = sorted(subsets["count"].unique())
    for count, shade in zip(counts, np.linspace(0.7, 0.0, len(counts)), strict=True):
        rows = subsets[subsets["count"] == count]
        axis.plot(rows["increment"], rows["value"], "o", markersize=3, color=str(shade), label=f"k = {count}")
    axis.set(title="Every subset of k layers", xlabel="summed increment of crossed LayerMem", ylabel="accuracy")
    dots.legend(axis)


def _correlations(axis: Axes, rows: pd.DataFrame) -> None:
    """Rank correlation of accuracy and summed crossed increment, and in grey what chance makes of it."""
    shown = rows[rows["estimator"] == "crossed"].sort_values("count", kind="stable")
    groups = [f"k = {count}" for count in shown["count"]]
    names = ["alone" if given == "nothing" else f"given {given}" for given in shown["given"]]
    at = plotting.forest(axis, shown, names, groups=groups)
    axis.barh(at, shown["null_high"] - shown["null_low"], left=shown["null_low"], color="#dddddd", zorder=0)
    axis.set(title="Do increment and accuracy go together?", xlabel="rank correlation (grey: 95 % of chance)")
