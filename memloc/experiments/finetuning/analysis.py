"""Fine-tuning the layers of highest LayerMem increment against the last ones and all others (paper, Table 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import layer_traits, membership, random_orders, rows_of
from memloc.analysis.sheet import Sheet
from memloc.metrics.alignment import ESTIMATORS
from memloc.metrics.stats import (
    LEVEL,
    Estimate,
    Sample,
    bootstrap_means,
    partial_rank_correlation,
    permutation_p,
    rank_correlation,
)

CLAIMS = {
    "increment": Claim(
        "Fine-tuning the layers of highest increment beats fine-tuning as many last layers: difference in accuracy",
        "Table 5",
        scale="ResNet9, SimCLR, CIFAR10 to STL10",
    ),
    "subsets": Claim(
        "Subsets of k layers are better to fine-tune the more LayerMem rises in them: rank correlation of summed "
        "crossed increment and accuracy, given their number of parameters",
        "Table 5, over all subsets",
        scale="ResNet9, SimCLR, CIFAR10 to STL10",
    ),
    "subsets-depth": Claim(
        "Subsets of k layers are better to fine-tune the more LayerMem rises in them, wherever they lie: rank "
        "correlation of summed crossed increment and accuracy, given their number of parameters and mean depth (added "
        "after the first results)",
        "Table 5, over all subsets",
        scale="ResNet9, SimCLR, CIFAR10 to STL10",
    ),
}
PUBLISHED = {1: 0.003, 2: 0.014, 3: 0.014}
"""The paper's difference in accuracy by number of layers (Table 5)."""
ARMS = ("increment", "last")
GIVEN = ("nothing", "parameters", "parameters and depth")
PERMUTATIONS = 1000
LABELS = {"increment": "k layers of highest increment", "last": "last k layers"}


def analyse(sheet: Sheet) -> None:
    """Accuracy of the head alone, of each choice of k layers, and which layers were chosen."""
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    for encoder in inputs.encoders():
        outcomes, points = inputs.arrays("outcomes", encoder), inputs.tables("points", encoder)
        arms = list(zip(outcomes[0]["by"].tolist(), outcomes[0]["count"].tolist(), strict=True))
        samples = [{"test point": o["correct"].T.astype(np.float64)} for o in outcomes]
        accuracy = _over_test_points(samples, lambda means: means["test point"], options["resamples"])
        # A row of numbers alone would come back from CSV as a number.
        layers = ["layers " + " | ".join(str(o["layers"][i]) for o in outcomes) for i in range(len(arms))]
        about = {"count": [count for _, count in arms], "layers": layers}
        summed = np.mean([_summed(o, p) for o, p in zip(outcomes, points, strict=True)], axis=0)
        tables.append(
            rows_of(accuracy, [by for by, _ in arms], encoder=encoder)
            .rename(columns={"layer": "series"})
            .assign(**about, increment=summed)
        )
        for count in sorted({count for _, count in arms} - {0}):
            chosen, last = arms.index(("increment", count)), arms.index(("last", count))
            differ = sum(str(o["layers"][chosen]) != str(o["layers"][last]) for o in outcomes)
            if not differ:
                continue  # One and the same choice says nothing of which is better.
            subject = f"{encoder}, k = {count}, choices differ in {differ} of {len(outcomes)} seeds"
            n = len(samples[0]["test point"])
            gain, published = accuracy[chosen] - accuracy[last], PUBLISHED.get(count)
            findings.append(Finding("increment", subject, gain, n, value=published))
        if ("subset", arms[-1][1]) in arms:
            table, found = _over_subsets(encoder, outcomes, points, options["resamples"])
            tables.append(table)
            findings += found
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def _over_test_points(
    samples: Sequence[Sample], statistic: Callable[[Sample], NDArray[np.float64]], resamples: int
) -> Estimate:
    """A statistic between -1 and 1 of means over test points, the same in all seeds, nested in seeds."""
    return bootstrap_means(samples, statistic, resamples=resamples, seed=0, limit=1, shared=True)


def _summed(outcome: Mapping[str, NDArray[Any]], points: pd.DataFrame) -> NDArray[np.float64]:
    """Crossed increment summed over the layers of every arm; nan with the first layer, which has none (Eq. 4)."""
    crossed = layer_traits(points, estimator="crossed")["increment"]
    return np.array([crossed[names.split()].sum(skipna=False) if names else np.nan for names in outcome["layers"]])


def _over_subsets(
    encoder: str, outcomes: Sequence[Mapping[str, NDArray[Any]]], points: Sequence[pd.DataFrame], resamples: int
) -> tuple[pd.DataFrame, list[Finding]]:
    """Rank correlations over subsets of k layers, without the first, of summed increment and accuracy, with a null.

    The null deals the layers' increments to them at random, alike in every seed: subsets share layers, so chance makes
    correlations that would be large among as many independent points.
    """
    traits = {form: [layer_traits(table, estimator=form) for table in points] for form in ESTIMATORS}
    layers = traits["crossed"][0]
    every = outcomes[0]["layers"][outcomes[0]["by"] == "subset"].tolist()
    subsets = [names for names in every if layers.index[0] not in names.split()]
    member = membership(subsets, list(layers.index))
    sizes = member.sum(axis=1).astype(int)
    confounders = [member @ layers["parameters"], member @ layers["depth"] / sizes]
    sets = {count: np.flatnonzero(sizes == count) for count in dict.fromkeys(sizes.tolist())}
    samples = []
    for number, outcome in enumerate(outcomes):
        row = {names: i for i, names in enumerate(outcome["layers"].tolist()) if outcome["by"][i] == "subset"}
        sums = [member @ traits[form][number]["increment"].fillna(0) for form in ESTIMATORS]
        marks = outcome["correct"][[row[names] for names in subsets]].T.astype(np.float64)
        # A single row, which no resample changes.
        samples.append({"test point": marks, "sums": np.array([sums])})

    def correlations(accuracy: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Accuracies [..., subsets] and sums [..., subsets] to [..., sizes, GIVEN]."""
        out = []
        for rows in sets.values():
            x, y = sums[..., rows], accuracy[..., rows]
            given = [confounder[rows] for confounder in confounders]
            partial = [partial_rank_correlation(x, y, given[:held]) for held in range(1, len(GIVEN))]
            out.append(np.stack([rank_correlation(x, y), *partial], axis=-1))
        return np.stack(out, axis=-2)

    estimate = _over_test_points(samples, lambda m: correlations(m["test point"][:, None], m["sums"]), resamples)
    orders = random_orders(len(layers), permutations=PERMUTATIONS, fixed=1)
    null = np.zeros((len(ESTIMATORS), PERMUTATIONS, len(sets), len(GIVEN)))
    for number, sample in enumerate(samples):
        values = np.stack([traits[form][number]["increment"].fillna(0) for form in ESTIMATORS])
        null += correlations(sample["test point"].mean(axis=0), values[:, orders] @ member.T) / len(samples)
    null = np.moveaxis(null, 1, -1)
    low, high = np.quantile(null, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    p = permutation_p(estimate.value, null)
    tables, findings = [], []
    for i, (count, rows) in enumerate(sets.items()):
        for j, k in product(range(len(GIVEN)), range(len(ESTIMATORS))):
            about = {"given": GIVEN[j], "estimator": ESTIMATORS[k], "count": count, "subsets": len(rows)}
            null_of = {"null_low": low[k, i, j], "null_high": high[k, i, j], "p": p[k, i, j]}
            named = rows_of(estimate[[k], i, j], ["correlation"], encoder=encoder, **about, **null_of)
            tables.append(named.rename(columns={"layer": "series"}))
        subject, n = f"{encoder}, k = {count}, {len(rows)} subsets", len(samples[0]["test point"])
        for claim, given in (
            ("subsets", "parameters"),
            ("subsets-depth", "parameters and depth"),
        ):
            place = (ESTIMATORS.index("crossed"), i, GIVEN.index(given))
            findings.append(Finding(claim, subject, estimate[place], n, p=float(p[place])))
    return pd.concat(tables), findings


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """One panel an encoder; a second one below where every subset was fine-tuned."""
    encoders, subsets = list(dict.fromkeys(table["encoder"])), bool(table["series"].eq("subset").any())
    figure, axes = plotting.panels(rows=1 + subsets, columns=len(encoders), width=5.5 * len(encoders))
    for column, encoder in zip(axes.T, encoders, strict=True):
        mine = table[table["encoder"] == encoder].set_index("series")
        _compare(column[0], mine)
        column[0].set(title=f"{encoder}: layers of each seed below", xlabel="", ylabel="test accuracy")
        if subsets:
            _scatter(column[1], mine.loc[["subset"]].dropna(subset=["increment"]))
            column[1].set(title=f"{encoder}: every subset of k layers", ylabel="test accuracy")
    return figure


def _compare(axis: Axes, mine: pd.DataFrame) -> None:
    """The two choices of k layers, the head alone, and the chosen layers."""
    for shift, by in zip((-0.17, 0.17), ARMS, strict=True):
        rows = mine.loc[[by]].sort_values("count")
        at = np.arange(len(rows)) + shift
        plotting.points(axis, at, rows, colour=plotting.COLOURS[by], label=LABELS[by])
        for x, layers in zip(at, rows["layers"], strict=True):
            text = layers.removeprefix("layers ").replace(" | ", "\n").replace(" ", ",")
            axis.text(
                x,
                0.02,
                text,
                ha="center",
                va="bottom",
                fontsize=5.5,
                color="#555555",
                transform=axis.get_xaxis_transform(),
            )
    axis.axhline(mine.loc[["head"], "value"].iloc[0], color="black", linestyle="--", linewidth=0.9)
    axis.set_xticks(range(mine.loc[["last"]].shape[0]), [f"k = {c}" for c in sorted(mine.loc[["last"], "count"])])
    axis.margins(x=0.12, y=0.12)
    axis.set_ylim(bottom=axis.get_ylim()[0] - 0.08)
    plotting.legend(axis)


def _scatter(axis: Axes, subsets: pd.DataFrame) -> None:
    """Accuracy of every subset without the first layer against its summed increment."""
    for count, colour in plotting.colours(sorted(subsets["count"].unique())).items():
        rows = subsets[subsets["count"] == count]
        axis.plot(rows["increment"], rows["value"], "o", markersize=3, color=colour, label=f"k = {count}")
    axis.set_xlabel("summed increment of crossed LayerMem")
    plotting.legend(axis)
