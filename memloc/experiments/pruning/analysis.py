"""Pruning units of highest, lowest and random UnitMem, and of what UnitMem may stand for (paper, Table 6)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import Arrays
from memloc.analysis.sheet import Sheet
from memloc.metrics.stats import LEVEL, Estimate

SCALE = "ResNet9, SimCLR, CIFAR10; probes on CIFAR10 (beside fashion), SVHN (digits) and STL10 (fashion-unseen)"
CLAIMS = {
    "top": Claim(
        "Pruning the most memorizing units costs more than pruning random ones: accuracy, random minus top",
        "Table 6",
        scale=SCALE,
    ),
    "low": Claim(
        "Pruning the least memorizing units costs less than pruning random ones: accuracy, low minus random",
        "Table 6",
        scale=SCALE,
    ),
    "matched": Claim(
        "Pruning the most memorizing units costs more than pruning random ones that are as active (mean activation, as "
        "nearly as can be found): accuracy, matched minus top",
    ),
    "matched-magnitude": Claim(
        "Pruning the most memorizing units costs more than pruning random ones whose weights are as large (as nearly "
        "as can be found): accuracy, matched minus top",
    ),
    "top-unseen": Claim(
        "Memorization is what costs: pruning the units of highest UnitMem costs more than pruning those of highest "
        "UnitMem on external images, which f never saw: accuracy, top-unseen minus top",
    ),
    "excess": Claim(
        "Pruning the units of highest excess UnitMem over unseen images costs more than pruning random ones: accuracy, "
        "random minus excess",
    ),
    "excess-unseen": Claim(
        "Memorization is what costs: pruning the units of highest excess UnitMem costs more than pruning those of "
        "highest excess with candidates and external images exchanged: accuracy, excess-unseen minus excess",
    ),
}
CONTRASTS = {
    "top": ("random", "top"),
    "low": ("low", "random"),
    "matched": ("matched", "top"),
    "matched-magnitude": ("matched-magnitude", "top"),
    "top-unseen": ("top-unseen", "top"),
    "excess": ("random", "excess"),
    "excess-unseen": ("excess-unseen", "excess"),
}
"""By claim, the arm that should keep more and the one that should keep less."""
JUDGED = (0.1, 0.2)
"""The paper's fractions: claims are judged at these, where they are pruned; a curve's other ends are for the eye."""
PUBLISHED = {
    ("layer", 0.1, "CIFAR10"): {"top": 0.5304, "random": 0.5809, "low": 0.6258},
    ("layer", 0.1, "SVHN"): {"top": 0.6384, "random": 0.6704, "low": 0.7226},
    ("layer", 0.1, "STL10"): {"top": 0.5094, "random": 0.5571, "low": 0.5926},
    ("layer", 0.2, "CIFAR10"): {"top": 0.4830, "random": 0.5134, "low": 0.5484},
    ("total", 0.1, "CIFAR10"): {"top": 0.4916, "random": 0.5677, "low": 0.6262},
}
"""The paper's accuracies by scope, fraction and probed dataset (Table 6)."""
LIKE = {"fashion": "CIFAR10", "digits": "SVHN", "fashion-unseen": "STL10"}
"""Which of the paper's datasets a task of the small configurations stands for: its own, digits, other things."""
ARMS = (
    *("top", "random", "low", "matched", "matched-magnitude", "top-unseen", "excess", "excess-unseen"),
    *("activation-low", "activation-high", "magnitude-low"),
)
MATCHED = ("matched", "matched-magnitude")
COMPARED = (
    *((by, "random") for by in ARMS if by != "random"),
    *((worse, better) for better, worse in CONTRASTS.values() if "random" not in (better, worse)),
)
"""Arms and what the table compares them with: below 0, an arm costs more."""
MINUS = " minus "
ARM_NAMES = {
    "top": "highest UnitMem",
    "low": "lowest UnitMem",
    "matched": "random of equal activity",
    "matched-magnitude": "random of equal weights",
    "top-unseen": "highest on unseen images",
    "excess": "highest excess",
    "excess-unseen": "highest excess of unseen",
    "activation-low": "least active",
    "activation-high": "most active",
    "magnitude-low": "smallest weights",
}
"""What the figure calls arms."""
ROOM = 2.5
"""How far down a panel reaches, in units of what the worst random choice costs: an arm that collapses leaves it."""
SHARES = {"layer": "of each layer", "total": "of all units"}
Arm = tuple[str, str, float]
"""What chose the units, scope and fraction."""
SETTINGS = ("by", "scope", "fraction", "trial", "dataset", "tested")
"""Arrays that say what each row is, the same in all seeds."""


def analyse(sheet: Sheet) -> None:
    """Accuracy of every arm by task, scope and fraction, and of every trial of those that are drawn."""
    for encoder in sheet.encoders:
        outcomes = sheet.arrays("outcomes", encoder, rows=SETTINGS)
        arms = _arms(outcomes[0])
        for task in dict.fromkeys(outcomes[0]["dataset"].tolist()):
            # One row a test point, one column an arm: a bootstrap of rows keeps the arms of a point together.
            marks = [[_marks(o, task, arm) for arm in arms] for o in outcomes]
            right = [np.stack([m.mean(axis=0) for m in one], axis=1) for one in marks]
            samples = [{"test point": np.mean(pair, axis=0)} for pair in sheet.inputs.by_seed(encoder, right)]
            accuracy = sheet.means(samples, lambda means: means["test point"], limit=1, shared=True)
            low, high = accuracy.interval()
            summary = pd.DataFrame(
                {
                    "encoder": encoder,
                    "task": task,
                    "scope": [scope for _, scope, _ in arms],
                    "series": [by for by, _, _ in arms],
                    "fraction": [fraction for _, _, fraction in arms],
                    "value": accuracy.value,
                    "low": low,
                    "high": high,
                    "paper": [_published(task, arm) for arm in arms],
                    "active": [np.mean([o["active"][_rows(o, task, arm)].mean() for o in outcomes]) for arm in arms],
                }
            )
            sheet.add(summary.assign(**_among_trials(arms, marks)))
            sheet.add(*(_trials(arms, seed, encoder=encoder, task=task, run=run) for run, seed in enumerate(marks)))
            sheet.add(_differences(task, arms, accuracy), encoder=encoder, task=task)
            sheet.findings += _findings(f"{encoder} on {task}", task, arms, accuracy, n=len(samples[0]["test point"]))


def _arms(outcome: Arrays) -> list[Arm]:
    """Every arm once, the unpruned one first, then by scope and fraction."""
    found = set(zip(outcome["by"].tolist(), outcome["scope"].tolist(), outcome["fraction"].tolist(), strict=True))
    order = ("none", *ARMS), ("none", *SHARES)
    return sorted(found, key=lambda arm: (order[1].index(arm[1]), arm[2], order[0].index(arm[0])))


def _rows(outcome: Arrays, task: str, arm: Arm) -> NDArray[np.bool_]:
    by, scope, fraction = arm
    found = (outcome["by"] == by) & (outcome["scope"] == scope) & (outcome["fraction"] == fraction)
    return np.asarray(found & (outcome["dataset"] == task))


def _marks(outcome: Arrays, task: str, arm: Arm) -> NDArray[np.bool_]:
    """What the trials of an arm get right, [trials, test points]."""
    rows = _rows(outcome, task, arm)
    marks: NDArray[np.bool_] = outcome["correct"][rows][:, : int(outcome["tested"][rows][0])]
    return marks


def _published(task: str, arm: Arm) -> float:
    by, scope, fraction = arm
    return PUBLISHED.get((scope, fraction, LIKE.get(task, task.upper())), {}).get(by, np.nan)


def _among_trials(arms: Sequence[Arm], marks: Sequence[Sequence[NDArray[np.bool_]]]) -> dict[str, NDArray[np.float64]]:
    """Where arms lie among the random trials of the same fraction, the paper's check.

    Returns:
        By column, [arms]: ``below`` and ``above``, the share of seeds in which an arm is below the 2.5 % quantile of
        the trials, or above the 97.5 % one; ``spread``, a drawn arm's standard deviation over trials, mean over seeds.
    """
    out = {name: np.full((len(marks), len(arms)), np.nan) for name in ("below", "above", "spread")}
    for number, seed in enumerate(marks):
        for column, (by, scope, fraction) in enumerate(arms):
            trials = seed[column].mean(axis=1)
            if len(trials) > 1:
                out["spread"][number, column] = trials.std(ddof=1)
            if by not in ("none", "random"):
                random = seed[arms.index(("random", scope, fraction))].mean(axis=1)
                least, most = np.quantile(random, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
                out["below"][number, column] = trials.mean() < least
                out["above"][number, column] = trials.mean() > most
    return {name: values.mean(axis=0) for name, values in out.items()}


def _trials(
    arms: Sequence[Arm], marks: Sequence[NDArray[np.bool_]], *, encoder: str, task: str, run: int
) -> pd.DataFrame:
    """Every trial of the arms that are drawn at random."""
    return pd.DataFrame(
        [
            {
                "encoder": encoder,
                "task": task,
                "scope": scope,
                "series": f"{by} trial",
                "fraction": fraction,
                "value": value,
                "run": run,
            }
            for (by, scope, fraction), trials in zip(arms, marks, strict=True)
            if by in ("random", *MATCHED)
            for value in trials.mean(axis=1)
        ]
    )


def _findings(subject: str, task: str, arms: Sequence[Arm], accuracy: Estimate, *, n: int) -> list[Finding]:
    """Every claim in every scope, averaged over the paper's fractions; and one by one where the paper has a number."""
    findings = []
    for claim, (better, worse) in CONTRASTS.items():
        for scope in dict.fromkeys(scope for _, scope, _ in arms if scope != "none"):
            judged = _judged(arms, scope, better, worse)
            if not judged:
                continue
            over = [_effect(accuracy, arms, scope, judged, arm) for arm in (better, worse)]
            of = "" if scope == "layer" else f", {SHARES[scope]}"
            which = " and ".join(f"{100 * fraction:g}" for fraction in judged)
            place = f"{subject}{of}, {'mean over ' if len(judged) > 1 else ''}{which} %"
            findings.append(Finding(claim, place, over[0] - over[1], n, value=_gap(task, scope, judged, better, worse)))
            for fraction in judged:
                gap = _gap(task, scope, [fraction], better, worse)
                if gap is not None and len(judged) > 1:
                    kept, lost = (_effect(accuracy, arms, scope, [fraction], arm) for arm in (better, worse))
                    place = f"{subject}, {100 * fraction:g} % {SHARES[scope]}"
                    findings.append(Finding(claim, place, kept - lost, n, value=gap))
    return findings


def _judged(arms: Sequence[Arm], scope: str, better: str, worse: str) -> list[float]:
    """The paper's fractions, or else all, of those at which both kinds of arm are pruned."""
    both = [f for by, s, f in arms if (by, s) == (worse, scope) and (better, s, f) in arms]
    return [f for f in both if f in JUDGED] or both


def _differences(task: str, arms: Sequence[Arm], accuracy: Estimate) -> pd.DataFrame:
    """Accuracy of every arm minus random's, and of claims' arms minus others', averaged over the paper's fractions."""
    rows = []
    for scope, (by, against) in product(SHARES, COMPARED):
        if judged := _judged(arms, scope, against, by):
            difference = _effect(accuracy, arms, scope, judged, by) - _effect(accuracy, arms, scope, judged, against)
            low, high = (float(bound) for bound in difference.interval())
            gap = _gap(task, scope, judged, by, against)
            row = {"scope": scope, "series": f"{by}{MINUS}{against}", "value": float(difference.value)}
            rows.append(row | {"low": low, "high": high, "paper": np.nan if gap is None else gap})
    return pd.DataFrame(rows)


def _effect(accuracy: Estimate, arms: Sequence[Arm], scope: str, fractions: Sequence[float], by: str) -> Estimate:
    """Accuracy of a kind of arm, averaged over fractions."""
    columns = [arms.index((by, scope, fraction)) for fraction in fractions]
    return accuracy.map(lambda v: v[..., columns].mean(axis=-1))


def _gap(task: str, scope: str, fractions: Sequence[float], better: str, worse: str) -> float | None:
    """The paper's difference of two arms, averaged over fractions; None where it lacks one of them."""
    kept, lost = ([_published(task, (by, scope, fraction)) for fraction in fractions] for by in (better, worse))
    gap = float(np.mean(kept) - np.mean(lost))
    return None if np.isnan(gap) else gap


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A forest for each task, encoder and scope: what claims are about, with their sign; then other choices."""
    tasks = list(dict.fromkeys(table["task"]))
    compared = table[table["series"].str.contains(MINUS)].set_index("series")
    rows = list(dict.fromkeys(zip(compared["encoder"], compared["scope"], strict=True)))
    series = [name for name in map(MINUS.join, COMPARED) if name in compared.index]
    height = 1.8 + 0.19 * len(series)
    figure, axes = plotting.panels(rows=len(rows), columns=len(tasks), height=height, sharex="row")
    for line, (encoder, scope) in zip(axes, rows, strict=True):
        for task, axis in zip(tasks, line, strict=True):
            mine = compared[(compared["encoder"] == encoder) & (compared["task"] == task)]
            _forest(axis, mine.loc[mine["scope"] == scope, ["value", "low", "high", "paper"]])
            whole = table[(table["encoder"] == encoder) & (table["task"] == task) & (table["series"] == "none")]
            axis.set_title(f"probe on {plotting.plain(task)} ({whole['value'].iloc[0]:.0%} right if unpruned)")
            axis.tick_params(labelleft=axis is line[0])
            axis.set_xlabel("difference of accuracy after pruning")
        pruned = table[(table["encoder"] == encoder) & (table["scope"] == scope) & (table["series"] == "random")]
        which = _percents(sorted(set(pruned["fraction"])))
        line[0].set_title(f"{plotting.plain(encoder)}, without {which} {SHARES[scope]}\n{line[0].get_title('left')}")
    title = "Does pruning the units of highest UnitMem cost more than pruning others?"
    figure.suptitle(title, x=0.01, ha="left", fontsize=8.5)
    key = {ARM_NAMES[by]: plotting.COLOURS[by] for by in ("top", "low")}
    key |= {"another choice": plotting.INK} if len(series) > len(key) else {}
    key |= {"the paper's": plotting.COLOURS["paper"]} if compared["paper"].notna().any() else {}
    plotting.key(figure, key, hollow=["the paper's"])
    return figure


def _percents(fractions: Sequence[float]) -> str:
    """The fractions that claims are judged at, in words."""
    percents = [f"{100 * fraction:g}" for fraction in fractions if fraction in JUDGED or not {*JUDGED} & {*fractions}]
    return f"{' and '.join(percents) if len(percents) < 3 else f'{percents[0]} to {percents[-1]}'} %"


def _forest(axis: Axes, differences: pd.DataFrame) -> None:
    """Differences of arms as claims have them, the higher one first; then those that no claim is about."""
    claims = {f"{better}{MINUS}{worse}" for better, worse in CONTRASTS.values()}
    rows, groups = [], []
    for name, row in differences.iterrows():
        by, against = str(name).split(MINUS)
        if name not in claims:
            # A difference the other way round: its ends change places.
            row = -row.rename({"low": "high", "high": "low"})
            by, against = against, by
        rows.append(row.rename(f"{by}{MINUS}{against}"))
        groups.append("above 0 if as claimed" if rows[-1].name in claims else "no claim")
    order = np.argsort([group == "no claim" for group in groups], kind="stable")
    table = pd.DataFrame([rows[i] for i in order])
    pairs = [str(name).split(MINUS) for name in table.index]
    names = [MINUS.join(ARM_NAMES.get(arm, arm) for arm in pair) for pair in pairs]
    colours = [next((plotting.COLOURS[arm] for arm in pair if arm in ("top", "low")), plotting.INK) for pair in pairs]
    at = plotting.forest(axis, table, names, groups=[groups[i] for i in order], colours=colours)
    for place, paper in zip(at, table["paper"], strict=True):
        if np.isfinite(paper):
            plotting.papers(axis, paper, place)
