"""Replacing layers by those of an encoder trained on other images (paper, Tables 21 to 25, 30, 32 and 33)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import Arrays, layer_traits, membership, random_orders, right_of_pair, rows_of
from memloc.analysis.sheet import Sheet
from memloc.metrics.alignment import ESTIMATORS, increments
from memloc.metrics.stats import (
    LEVEL,
    Estimate,
    Sample,
    bootstrap,
    bootstrap_means,
    partial_rank_correlation,
    permutation_p,
    rank_correlation,
)
from memloc.streams import generator

CIFAR_STL = "ResNet9, SimCLR, CIFAR10 with layers of STL10"
TASKS = ("base", "donor")
SUMS = ("increment", "layermem")
"""What is summed over the replaced layers."""
GIVEN = ("nothing", "parameters and depth")
NORMS = ("with", "without")
"""Whether normalisations are replaced, too. Claims are about the first: a layer is all that belongs to it."""
PERMUTATIONS = 1000

_WORDS = {"increment": "summed crossed increment", "layermem": "summed crossed LayerMem"}
_CLAIMED = {
    "base": "Replacing layers that memorize more costs the base's task more: minus the rank correlation over subsets "
    "of {} and accuracy",
    "donor": "Layers that memorize more bring more of the donor's task: rank correlation over subsets of {} and "
    "accuracy",
}
PUBLISHED = {
    ("base", "increment", ""): 0.309,
    ("donor", "increment", ""): 0.302,
    ("base", "increment", "-partial"): 0.561,
    ("donor", "increment", "-partial"): 0.542,
    ("base", "layermem", ""): 0.708,
    ("donor", "layermem", ""): 0.724,
    ("base", "layermem", "-partial"): 0.202,
    ("donor", "layermem", "-partial"): 0.227,
}
"""Effects in the paper's own numbers, published LayerMem by layer (Table 1) and accuracy by subset (Table 33)."""
PUBLISHED_COUNT = 3
"""How many layers Table 33 replaces."""
CLAIMS = {
    f"{task}-{sum_}{suffix}": Claim(
        _CLAIMED[task].format(_WORDS[sum_]) + words,
        table,
        scale=f"{CIFAR_STL}, k = {PUBLISHED_COUNT}",
    )
    for suffix, table, words in (
        ("", "Tables 30, 32 and 33", ""),
        ("-partial", "beyond the paper", ", given their numbers of parameters and mean depth"),
    )
    for sum_ in SUMS
    for task in TASKS
} | {
    "base-random": Claim(
        "Replacing the k layers of highest increment costs the base's task more than k random ones: accuracy, mean of "
        "all subsets without layer 1 minus these",
        "Table 21",
        value=0.0198,
        scale=f"{CIFAR_STL}, k = 3, its Tables 1 and 33 (Table 21: .0663 with one random subset)",
    ),
    "donor-random": Claim(
        "The k layers of highest increment bring more of the donor's task than k random ones: accuracy, these minus "
        "the mean of all subsets without layer 1",
        "Table 21",
        value=0.0225,
        scale=f"{CIFAR_STL}, k = 3, its Tables 1 and 33 (Table 21: .0644 with one random subset)",
    ),
    "base-least": Claim(
        "Replacing the k layers of highest increment costs the base's task more than the k of lowest: accuracy, lowest "
        "minus highest",
        "Table 21",
        value=0.0121,
        scale=f"{CIFAR_STL}, k = 3, its Tables 1 and 33 (Table 21: .2255 with other choices)",
    ),
    "donor-least": Claim(
        "The k layers of highest increment bring more of the donor's task than the k of lowest: accuracy, highest "
        "minus lowest",
        "Table 21",
        value=0.0177,
        scale=f"{CIFAR_STL}, k = 3, its Tables 1 and 33 (Table 21: .0923 with other choices)",
    ),
    "scales": Claim(
        "Normalisations of base and donor have like scales and shifts, channel by channel: their cosine minus its mean "
        "over permuted channels",
        "Table 25, with a null",
        scale=f"{CIFAR_STL}, cosine .823 on average, no null",
    ),
}


def analyse(sheet: Sheet) -> None:
    """Accuracy of every hybrid, its correlation with what was replaced, and likeness of normalisations."""
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    for encoder in inputs.encoders():
        pairs, points = inputs.by_seed(encoder, inputs.arrays("outcomes", encoder)), inputs.tables("points", encoder)
        outcomes = [right_of_pair(pair) for pair in pairs]
        hybrids = Hybrids.of(outcomes, points, blocks=options["by"] == "blocks")
        for part in (_accuracies, _choices, _correlations):
            table, found = part(hybrids, encoder, options["resamples"])
            tables.append(table.assign(encoder=encoder))
            findings += [of_block(finding) for finding in found] if options["by"] == "blocks" else found
        if any(name.startswith("affine/") for name in outcomes[0]):
            table, finding = _scales(pairs, encoder, options["resamples"])
            tables.append(table.assign(encoder=encoder))
            findings.append(finding)
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


@dataclass(frozen=True)
class Hybrids:
    """What replacing subsets of layers did, in every seed.

    Attributes:
        subsets: names of their layers, smaller subsets first.
        counts: numbers of these, [subsets].
        member: which layer is in which subset, [subsets, layers].
        norms: those of NORMS that were tried.
        datasets: the base's, the donor's: the order of the outcomes.
        traits: by estimator, a table of layers for each seed.
        samples: for each seed, by task, which test points come out right, [test points, norms, subsets];
            ``<task> alone`` for base and donor as they are, [test points, 2]; ``sums``
            [1, ESTIMATORS, SUMS, subsets], whose single row no resample changes.
    """

    subsets: list[str]
    counts: NDArray[np.int64]
    member: NDArray[np.float64]
    norms: list[str]
    datasets: list[str]
    traits: Mapping[str, list[pd.DataFrame]]
    samples: list[dict[str, NDArray[np.float64]]]

    @classmethod
    def of(cls, outcomes: Sequence[Arrays], points: Sequence[pd.DataFrame], *, blocks: bool = False) -> Hybrids:
        """From the files of each seed; of ``blocks`` instead of layers, where these were replaced."""
        first = outcomes[0]
        chosen = first["by"] == "subset"
        subsets = sorted(dict.fromkeys(first["layers"][chosen].tolist()), key=lambda subset: len(subset.split()))
        norms = [kind for kind in NORMS if kind in first["norms"][chosen]]
        datasets = list(dict.fromkeys(first["dataset"].tolist()))
        traits = {form: [layer_traits(table, estimator=form) for table in points] for form in ESTIMATORS}
        if blocks:
            # The whole donor names them all.
            names = first["layers"][first["by"] == "donor"][0].split()
            traits = {form: [of_blocks(table, names) for table in tables] for form, tables in traits.items()}
        member = membership(subsets, list(traits["crossed"][0].index))
        samples = []
        for number, outcome in enumerate(outcomes):
            arms = zip(*(outcome[key].tolist() for key in ("by", "layers", "norms", "dataset")), strict=True)
            row = {arm: i for i, arm in enumerate(arms)}
            alone = {by: outcome["layers"][outcome["by"] == by][0] for by in TASKS}
            sums = [traits[form][number][list(SUMS)].fillna(0).to_numpy().T @ member.T for form in ESTIMATORS]
            sample = {"sums": np.array([sums])}
            for task, dataset in zip(TASKS, datasets, strict=True):
                rows = [[row["subset", subset, kind, dataset] for subset in subsets] for kind in norms]
                whole = [row[by, layers, "with", dataset] for by, layers in alone.items()]
                for name, these in ((task, rows), (f"{task} alone", whole)):
                    sample[name] = np.moveaxis(outcome["correct"][these].astype(np.float64), -1, 0)
            samples.append(sample)
        return cls(subsets, member.sum(axis=1).astype(np.int64), member, norms, datasets, traits, samples)

    @property
    def tested(self) -> int:
        """Number of test points of a task."""
        return len(self.samples[0]["base"])

    def summable(self, sum_: str) -> NDArray[np.bool_]:
        """Subsets that have a sum: the first layer has no increment (Eq. 4)."""
        return np.asarray((self.member[:, 0] == 0) | (sum_ != "increment"))

    def estimate(self, statistic: Callable[[Sample], NDArray[np.float64]], resamples: int) -> Estimate:
        """A statistic between -1 and 1 of means over test points, the same in all seeds, nested in seeds."""
        return bootstrap_means(self.samples, statistic, resamples=resamples, seed=0, limit=1, shared=True)


def of_block(finding: Finding) -> Finding:
    """A finding about blocks with the paper's effect on blocks, where it has one."""
    value = BLOCKS.get(finding.claim, np.nan) if finding.subject.endswith("k = 3") else np.nan
    return replace(finding, value=value, scale="" if np.isnan(value) else "ResNet50, SimCLR, three blocks (Table 24)")


BLOCKS = {"base-random": 0.5109 - 0.4366, "base-least": 0.5741 - 0.4366}
"""The paper's differences of accuracy after three blocks are replaced (Table 24)."""


def of_blocks(layers: pd.DataFrame, blocks: Sequence[str]) -> pd.DataFrame:
    """Traits of blocks from those of their layers: LayerMem of the last, and what that has over the block before.

    Args:
        layers: by name, which begins with the block's (``layer4.1`` of ``layer4.1.conv2``) or is it.
        blocks: names of all, by depth.
    """
    block = {name: next(b for b in blocks if f"{name}.".startswith(f"{b}.")) for name in layers.index}
    grouped = layers.groupby([block[name] for name in layers.index], sort=False)
    out = grouped.agg({"layermem": "last", "parameters": "sum"})
    out["increment"] = increments(out["layermem"].to_numpy())
    return out.assign(depth=np.arange(1, len(out) + 1))[layers.columns]


def _accuracies(hybrids: Hybrids, encoder: str, resamples: int) -> tuple[pd.DataFrame, list[Finding]]:
    """Accuracy of base, donor and every hybrid, with the sums and confounders of its layers."""
    crossed = hybrids.traits["crossed"]
    about = pd.DataFrame(
        sum(hybrids.member @ seed.fillna(0).to_numpy() for seed in crossed) / len(crossed), columns=crossed[0].columns
    )
    about["depth"] /= hybrids.counts
    about.loc[~hybrids.summable("increment"), "increment"] = np.nan
    # A row of numbers alone would come back from CSV as a number.
    about = about.assign(count=hybrids.counts, layers=["layers " + subset for subset in hybrids.subsets])

    def accuracies(means: Sample) -> NDArray[np.float64]:
        """[k, TASKS, arms]: base and donor alone, then the subsets by the ways of normalisations."""
        arms = [[means[f"{task} alone"], means[task].reshape(len(means[task]), -1)] for task in TASKS]
        return np.stack([np.concatenate(parts, axis=1) for parts in arms], axis=1)

    estimate = hybrids.estimate(accuracies, resamples)
    tables = []
    for i, (task, dataset) in enumerate(zip(TASKS, hybrids.datasets, strict=True)):
        where = {"task": task, "dataset": dataset}
        tables += [rows_of(estimate[i, [j]], ["all"], series=f"{by} alone", **where) for j, by in enumerate(TASKS)]
        for j, kind in enumerate(hybrids.norms):
            start = len(TASKS) + j * len(hybrids.subsets)
            mine = estimate[i, start : start + len(hybrids.subsets)]
            rows = rows_of(mine, hybrids.subsets, series="subset", norms=kind, **where).drop(columns="layer")
            tables.append(pd.concat([rows, about], axis=1))
    return pd.concat(tables), []


def _choices(hybrids: Hybrids, encoder: str, resamples: int) -> tuple[pd.DataFrame, list[Finding]]:
    """The k layers of highest increment, those of lowest and the mean of all that have a sum, of the largest k."""
    count = hybrids.counts.max()
    largest = hybrids.counts == count
    allowed = np.flatnonzero(largest & hybrids.summable("increment"))

    def accuracies(means: Sample) -> NDArray[np.float64]:
        """[k, choices, TASKS], of hybrids with the donor's normalisations."""
        # No resample changes the sums.
        summed = means["sums"][0, ESTIMATORS.index("crossed"), SUMS.index("increment"), allowed]
        accuracy = np.stack([means[task][:, 0] for task in TASKS], axis=-1)
        highest, lowest = allowed[summed.argmax()], allowed[summed.argmin()]
        return np.stack([accuracy[:, highest], accuracy[:, allowed].mean(axis=1), accuracy[:, lowest]], axis=1)

    estimate = hybrids.estimate(accuracies, resamples)
    tables = [
        rows_of(estimate[i, [j]], ["all"], series=name, task=task, count=count, norms=hybrids.norms[0])
        for i, name in enumerate(("highest increment", "random", "lowest increment"))
        for j, task in enumerate(TASKS)
    ]
    findings = []
    for i, other in ((1, "random"), (2, "least")):
        gaps = {"base": estimate[i, 0] - estimate[0, 0], "donor": estimate[0, 1] - estimate[i, 1]}
        for task, gap in gaps.items():
            findings.append(Finding(f"{task}-{other}", f"{encoder}, k = {count}", gap, hybrids.tested))
    return pd.concat(tables), findings


Sets = list[tuple[str, int, NDArray[np.int64]]]
"""What is summed, how many places are replaced, and the rows of the subsets of so many."""


def _correlations(hybrids: Hybrids, encoder: str, resamples: int) -> tuple[pd.DataFrame, list[Finding]]:
    """Rank correlations over subsets of each size of summed increment, or LayerMem, and accuracy, with a null.

    The null deals the layers' values to them at random, alike in every seed. Subsets share layers, so a few layers
    decide over many subsets: chance makes correlations here that would be large among as many independent points. What
    the interval says of these layers is no finding where values dealt at random do as much.
    """
    sets: Sets = [
        (sum_, count, np.flatnonzero((hybrids.counts == count) & hybrids.summable(sum_)))
        for sum_ in SUMS
        for count in dict.fromkeys(hybrids.counts.tolist())
    ]
    crossed = hybrids.traits["crossed"][0]
    confounders = [hybrids.member @ crossed["parameters"], hybrids.member @ crossed["depth"] / hybrids.counts]

    def over_subsets(accuracy: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Accuracies [..., TASKS, norms, subsets], sums [..., SUMS, subsets]: [..., TASKS, norms, sets, GIVEN]."""
        out = []
        for sum_, _, rows in sets:
            x, y = sums[..., SUMS.index(sum_), :][..., None, None, rows], accuracy[..., rows]
            given = [confounder[rows] for confounder in confounders]
            out.append(np.stack([rank_correlation(x, y), partial_rank_correlation(x, y, given)], axis=-1))
        return np.stack(out, axis=-2)

    def resampled(means: Sample) -> NDArray[np.float64]:
        """[k, sets, GIVEN, ESTIMATORS, TASKS, norms]."""
        accuracy = np.stack([means[task] for task in TASKS], axis=1)[:, None]
        return np.moveaxis(over_subsets(accuracy, means["sums"]), (-2, -1), (1, 2))

    estimate = hybrids.estimate(resampled, resamples)
    null = _null(hybrids, over_subsets, (len(sets), len(GIVEN)))
    p = permutation_p(estimate.value, null)
    table = _correlation_table(hybrids, sets, estimate, null, p)
    return table, _correlation_findings(f"{encoder}, k = {{}}, {{}} subsets", hybrids, sets, estimate, p)


def _null(
    hybrids: Hybrids,
    over_subsets: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """Correlations when values are dealt to layers at random: [sets, GIVEN, ESTIMATORS, TASKS, norms, permutations]."""
    layers = len(hybrids.traits["crossed"][0])
    # The first layer has no increment that could be dealt.
    orders = {sum_: random_orders(layers, permutations=PERMUTATIONS, fixed=int(sum_ == "increment")) for sum_ in SUMS}
    null = np.zeros((len(ESTIMATORS), PERMUTATIONS, len(TASKS), len(hybrids.norms), *shape))
    for number, sample in enumerate(hybrids.samples):
        values = np.stack([hybrids.traits[form][number][list(SUMS)].fillna(0).to_numpy().T for form in ESTIMATORS])
        sums = [values[:, i, orders[sum_]] @ hybrids.member.T for i, sum_ in enumerate(SUMS)]
        accuracy = np.stack([sample[task].mean(axis=0) for task in TASKS])
        null += over_subsets(accuracy, np.stack(sums, axis=2)) / len(hybrids.samples)
    return np.moveaxis(null, (-2, -1, 1), (0, 1, -1))


def _correlation_table(
    hybrids: Hybrids, sets: Sets, estimate: Estimate, null: NDArray[np.float64], p: NDArray[np.float64]
) -> pd.DataFrame:
    """One row for each correlation, with 95 % of its null."""
    low, high = np.quantile(null, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    keys = [
        (sum_, count, len(rows), given, form, task, kind)
        for sum_, count, rows in sets
        for given, form, task, kind in product(GIVEN, ESTIMATORS, TASKS, hybrids.norms)
    ]
    flat = estimate.map(lambda v: v.reshape(*v.shape[: v.ndim - null.ndim + 1], -1), limit=1)
    return pd.concat(
        [
            rows_of(flat, ["all"] * len(keys), series="correlation"),
            pd.DataFrame(keys, columns=["sum", "count", "subsets", "given", "estimator", "task", "norms"]),
            pd.DataFrame({"null_low": low.ravel(), "null_high": high.ravel(), "p": p.ravel()}),
        ],
        axis=1,
    )


def _correlation_findings(
    subject: str, hybrids: Hybrids, sets: Sets, estimate: Estimate, p: NDArray[np.float64]
) -> list[Finding]:
    """The crossed correlations with normalisations; the base's task is to suffer, so there the sign is turned."""
    findings = []
    for (i, (sum_, count, rows)), (j, suffix), (k, task) in product(
        enumerate(sets), enumerate(("", "-partial")), enumerate(TASKS)
    ):
        place = (i, j, ESTIMATORS.index("crossed"), k, 0)
        effect = estimate[place].map(np.negative, limit=1) if task == "base" else estimate[place]
        published = PUBLISHED[task, sum_, suffix] if count == PUBLISHED_COUNT else None
        about = subject.format(count, len(rows))
        finding = Finding(f"{task}-{sum_}{suffix}", about, effect, hybrids.tested, p=float(p[place]), value=published)
        findings.append(finding)
    return findings


def _scales(pairs: Sequence[Sequence[Arrays]], encoder: str, resamples: int) -> tuple[pd.DataFrame, Finding]:
    """Cosine of scales and shifts of base and donor by layer, and what it has above permuted channels.

    Args:
        pairs: outcomes of f, or of both encoders of a pair, whose cosines are averaged.
    """
    layers = [name.removeprefix("affine/") for name in pairs[0][0] if name.startswith("affine/")]
    # An encoder a column, [channels, encoders, 4]: channels of both are resampled together.
    samples = [
        {layer: np.stack([it[f"affine/{layer}"].astype(np.float64) for it in pair], axis=1) for layer in layers}
        for pair in pairs
    ]

    def cosines(sample: Sample) -> NDArray[np.float64]:
        of_layers = [[[cosine(v), cosine(v) - chance(v)] for v in both.swapaxes(0, 1)] for both in sample.values()]
        return np.asarray(np.mean(of_layers, axis=1).T)

    estimate = bootstrap(samples, cosines, resamples=resamples, seed=0, limit=2)
    rng = generator("replacement", "scales")
    null = np.mean(
        [[[permuted(v, rng) for v in both.swapaxes(0, 1)] for both in sample.values()] for sample in samples],
        axis=(0, 2),
    )
    low, high = np.quantile(null, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    bounds = {"null_low": low, "null_high": high}
    table = pd.concat(
        [
            rows_of(estimate[0].map(np.asarray, limit=1), layers, series="cosine").assign(**bounds),
            rows_of(estimate[1], layers, series="cosine above permuted channels"),
        ]
    )
    places = [f"layer {layer}" for layer in layers]
    channels = min(len(values) for values in samples[0].values())
    return table, Finding.of_every("scales", encoder, estimate[1], places, n=channels)


def cosine(affine: NDArray[np.float64]) -> float:
    """Cosine of (scales, shifts) of base and donor.

    (a . c + b . d) / sqrt((a . a + b . b) (c . c + d . d))    (paper, Table 25)

    Args:
        affine: scale a and shift b of each channel of the base, c and d of the donor, [channels, 4].
    """
    base, donor = np.split(affine, 2, axis=1)
    return float((base * donor).sum() / _norms(affine))


def chance(affine: NDArray[np.float64]) -> float:
    """Mean of that cosine over all permutations of the donor's channels: that of the channels' means.

    n (mean a mean c + mean b mean d) / sqrt((a . a + b . b) (c . c + d . d))
    """
    base, donor = np.split(affine, 2, axis=1)
    return float(len(affine) * (base.mean(axis=0) * donor.mean(axis=0)).sum() / _norms(affine))


def permuted(affine: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """That cosine with the donor's channels permuted, scale and shift alike, [permutations]."""
    base, donor = np.split(affine, 2, axis=1)
    orders = np.argsort(rng.random((PERMUTATIONS, len(affine))), axis=1)
    return np.asarray((base * donor[orders]).sum(axis=(1, 2)) / _norms(affine))


def _norms(affine: NDArray[np.float64]) -> float:
    base, donor = np.split(affine, 2, axis=1)
    return float(np.linalg.norm(base) * np.linalg.norm(donor))


REPLACED = {
    "base alone": ("nothing, the base", "effect"),
    "highest increment": ("{} of highest increment", "top"),
    "random": ("{} at random", "random"),
    "lowest increment": ("{} of lowest increment", "low"),
    "donor alone": ("everything, the donor", "effect"),
}
"""What was replaced, in the figure's words, and what its colour means elsewhere."""


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Four panels an encoder: accuracies, normalisations, correlations alone and given size and depth."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=2 * len(encoders), columns=2, height=2.9)
    for number, (encoder, rows) in enumerate(encoders.items()):
        a, b, c, d = axes[2 * number : 2 * number + 2].flat
        _accuracy_forest(a, rows)
        a.set_title(f"{plotting.plain(encoder)}\nDo memorizing layers carry the task?")
        if "cosine" in rows.index:
            cosines = rows.loc[["cosine"]]
            _null_bars(b, np.arange(len(cosines)), cosines, along="y")
            dots.over_layers(b, {"effect": cosines}, null=None, joined=False)
            b.set(title="Are scales and shifts of the two alike?", ylabel="cosine")
        else:
            b.axis("off")
        for axis, given, title in zip(
            (c, d), GIVEN, ("Does the sum tell accuracy?", "Given size and depth, too?"), strict=True
        ):
            _correlation_forest(axis, rows.loc[["correlation"]], given)
            axis.set(title=title, xlabel="rank correlation with accuracy", xlim=(-1.05, 1.05))
    names = {"highest increment": "top", "lowest increment": "low", "random, or 95 % of chance": "random"}
    key = {words: plotting.COLOURS[meaning] for words, meaning in names.items()}
    plotting.key(figure, key | {"base, donor, what is measured": plotting.INK})
    return figure


def _accuracy_forest(axis: Axes, rows: pd.DataFrame) -> None:
    """Accuracy on both tasks of base, donor and hybrids of the largest number of layers."""
    of_task = [rows[rows["task"] == task].loc[[*REPLACED]] for task in TASKS]
    datasets = [rows.loc[(rows.index == "base alone") & (rows["task"] == task), "dataset"].iloc[0] for task in TASKS]
    both = pd.concat(of_task)
    count = int(rows.loc[["random"], "count"].iloc[0])
    names = [REPLACED[name][0].format(count) for name in both.index]
    heads = [f"{task}'s task, {plotting.plain(str(data))}" for task, data in zip(TASKS, datasets, strict=True)]
    groups = [head for head, part in zip(heads, of_task, strict=True) for _ in range(len(part))]
    colours = [plotting.COLOURS[REPLACED[name][1]] for name in both.index]
    plotting.forest(axis, both, names, groups=groups, colours=colours, null=None)
    axis.set_xlabel("accuracy after layers are replaced")


def _correlation_forest(axis: Axes, correlations: pd.DataFrame, given: str) -> None:
    """Crossed correlations by task, what is summed and number of layers, over their nulls."""
    crossed = correlations[(correlations["estimator"] == "crossed") & (correlations["norms"] == "with")]
    rows = crossed[crossed["given"] == given].sort_values(["task", "sum", "count"])
    names = [f"{int(count)} replaced" for count in rows["count"]]
    groups = [f"{task}'s task, {_SHORT[sum_]}" for task, sum_ in zip(rows["task"], rows["sum"], strict=True)]
    at = plotting.forest(axis, rows, names, groups=groups)
    _null_bars(axis, at, rows, along="x")


def _null_bars(axis: Axes, at: NDArray[Any], rows: pd.DataFrame, *, along: str) -> None:
    """95 % of a null as grey bars behind the values."""
    low, high = rows["null_low"], rows["null_high"]
    if along == "x":
        axis.barh(at, high - low, 0.6, left=low, color="#cfcfcf", zorder=0.5)
    else:
        axis.bar(at, high - low, 0.6, bottom=low, color="#cfcfcf", zorder=0.5)


_SHORT = {"increment": "summed increment", "layermem": "summed LayerMem"}
