"""Pruning in rounds with retraining in between: is memorization gone with the units, and what is that worth?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import PERMUTATIONS, Arrays, random_orders, rows_of
from memloc.analysis.sheet import Sheet
from memloc.metrics.stats import Estimate, bootstrap_means, nest

CLAIMS = {
    "top": Claim(
        "After the last round, pruning the most memorizing units has cost more than pruning random ones: accuracy, "
        "random minus top",
        "Table 6, in rounds",
    ),
    "low": Claim(
        "After the last round, pruning the least memorizing units has cost less than pruning random ones: accuracy, "
        "low minus random",
        "Table 6, in rounds",
    ),
    "falls": Claim(
        "UnitMem of the remaining units falls from round to round when the most memorizing ones are pruned: rank "
        "correlation of round and UnitMem on candidates, averaged over layers, times -1 (p among orders of the "
        "rounds)",
    ),
    "falls-more": Claim(
        "UnitMem of the remaining units falls by more when the most memorizing units are pruned than when random ones "
        "are: first minus last UnitMem on candidates, top minus random",
    ),
    "excess-falls": Claim(
        "Excess UnitMem of the remaining units falls from round to round when the most memorizing ones are pruned: "
        "rank correlation of round and candidates minus independent and external images, times -1",
    ),
    "excess-falls-more": Claim(
        "Excess UnitMem of the remaining units falls by more when the most memorizing units are pruned than when "
        "random ones are: first minus last excess, top minus random",
    ),
    "beyond-choice": Claim(
        "The remaining units don't take over what the pruned ones memorized: their UnitMem on candidates before a "
        "round zeroes others and retrains minus after it, mean over rounds, top minus random",
    ),
}
ARMS = ("top", "random", "low")
CANDIDATE, UNSEEN, EXCESS = "candidate", "unseen images", "excess"
SERIES = (CANDIDATE, UNSEEN, EXCESS)
FALLS = {
    "falls-more": "fall of UnitMem",
    "excess-falls-more": "fall of its excess",
    "beyond-choice": "fall by retraining",
}
"""What the figure calls effects on UnitMem of the remaining units."""
OVER_RANDOM, EFFECT = "accuracy minus random's", "effect"
BEFORE = ", before"
"""Behind the name of a series: of the units that a round leaves, before others are zeroed and they are retrained."""
ROWS, SETTINGS = ("by", "round", "dataset", "tested"), ("arms", "groups", "pruned")
"""Arrays that are the same in all seeds: those that say what each row is, and others."""


def analyse(sheet: Sheet) -> None:
    """Accuracy by task, UnitMem and excess of the remaining units, by arm and round.

    Raises:
        InputError: a seed's file differs from the others in its settings.
    """
    for encoder in sheet.encoders:
        outcomes = sheet.arrays("outcomes", encoder, same=SETTINGS, rows=ROWS)
        pruned = outcomes[0]["pruned"]
        place = f"{100 * pruned[-1]:.0f} % of the units pruned"
        for task in dict.fromkeys(outcomes[0]["dataset"].tolist()):
            accuracy = _accuracy(outcomes, task, resamples=sheet.resamples)
            sheet.add(_rows(accuracy, pruned, encoder=encoder, series="accuracy", task=task))
            over = accuracy.map(lambda v: v - v[..., [ARMS.index("random")], :], limit=1)
            sheet.add(_rows(over, pruned, encoder=encoder, series=OVER_RANDOM, task=task))
            of = {by: accuracy[arm, -1] for arm, by in enumerate(ARMS)}
            subject, n = f"{encoder} on {task}, {place}", _tested(outcomes[0], task)
            sheet.find("top", subject, of["random"] - of["top"], n)
            sheet.find("low", subject, of["low"] - of["random"], n)
        before, after = (_unitmem(outcomes, name) for name in ("before", "after"))
        for name in SERIES:
            sheet.add(_rows(after[name], pruned, encoder=encoder, series=name))
            sheet.add(_rows(before[name], pruned, encoder=encoder, series=name + BEFORE))
        change = (before[CANDIDATE] - after[CANDIDATE][:, 1:]).map(lambda v: v.mean(axis=-1), limit=2)
        top, random = ARMS.index("top"), ARMS.index("random")
        effects = {
            "falls-more": _fall(after[CANDIDATE][top]) - _fall(after[CANDIDATE][random]),
            "excess-falls-more": _fall(after[EXCESS][top]) - _fall(after[EXCESS][random]),
            "beyond-choice": change[top] - change[random],
        }
        size = int(outcomes[0]["size"])
        for claim, profile in (("falls", after[CANDIDATE][top]), ("excess-falls", after[EXCESS][top])):
            # p among orders of the rounds: few stand in order by chance.
            falling = _negative(profile)
            orders = random_orders(len(falling.value), permutations=PERMUTATIONS)
            sheet.find_rise(claim, f"{encoder}, {place}", falling, n=size, null=falling.value[orders])
        for claim, effect in effects.items():
            rows = rows_of(effect[None], [len(pruned) - 1], encoder=encoder, series=f"{EFFECT}: {claim}")
            sheet.add(rows.rename(columns={"layer": "round"}))
            sheet.find(claim, f"{encoder}, {place}", effect, size)


def _accuracy(outcomes: Sequence[Arrays], task: str, *, resamples: int) -> Estimate:
    """Accuracy [arms, rounds + 1] on a task, the unpruned encoder first in every arm."""
    # One row a test point: a bootstrap of rows keeps the arms and rounds of a point together.
    samples = [{"test point": np.moveaxis(_marks(outcome, task), 2, 0)} for outcome in outcomes]
    marks = bootstrap_means(samples, lambda means: means["test point"], resamples=resamples, seed=0, shared=True)
    return marks.between(0, 1)


def _tested(outcome: Arrays, task: str) -> int:
    return int(outcome["tested"][outcome["dataset"] == task][0])


def _marks(outcome: Arrays, task: str) -> NDArray[np.bool_]:
    """What is right, [arms, rounds + 1, test points]."""
    rows_of_task, last = outcome["dataset"] == task, len(outcome["pruned"])
    picked = [
        [
            np.flatnonzero(rows_of_task & (outcome["by"] == by) & (outcome["round"] == number))[0]
            for number in range(1, last)
        ]
        for by in ARMS
    ]
    unpruned = np.flatnonzero(rows_of_task & (outcome["by"] == "none"))[0]
    rows = np.array([[unpruned, *rounds] for rounds in picked])
    marks: NDArray[np.bool_] = outcome["correct"][rows][..., : _tested(outcome, task)]
    return marks


def _unitmem(outcomes: Sequence[Arrays], name: str) -> dict[str, Estimate]:
    """SERIES of the remaining units, each [arms, rounds]; the same seeds are resampled whatever the name."""
    groups = outcomes[0]["groups"].tolist()
    values, drawn = (np.stack([outcome[key] for outcome in outcomes]) for key in (name, f"{name}_drawn"))
    every = nest(values, drawn, seed=0).between(0, 1)
    candidate, independent, external = (
        every[..., groups.index(group)] for group in ("candidate", "independent", "external")
    )
    unseen = (independent + external).scaled(0.5)
    return dict(zip(SERIES, (candidate, unseen, candidate - unseen), strict=True))


def _fall(profile: Estimate) -> Estimate:
    """First minus last."""
    return profile[0] - profile[-1]


def _negative(profile: Estimate) -> Estimate:
    return profile.map(np.negative, limit=profile.limit, centre=-profile.centre)


def _rows(profiles: Estimate, pruned: NDArray[np.float64], **about: object) -> pd.DataFrame:
    """Rows of every arm; an estimate of fewer than all rounds is of the last ones."""
    first = len(pruned) - profiles.value.shape[-1]
    rounds = np.arange(first, len(pruned))
    return pd.concat(
        rows_of(profiles[arm], list(rounds), **about, arm=by)
        .rename(columns={"layer": "round"})
        .assign(pruned=pruned[first:])
        for arm, by in enumerate(ARMS)
    )


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A row an encoder: accuracy on every task minus random's, UnitMem of the remaining units, and how it falls."""
    encoders = list(dict.fromkeys(table["encoder"]))
    tasks = list(dict.fromkeys(table["task"].dropna()))
    figure, axes = plotting.panels(rows=2 * len(encoders), columns=max(2, len(tasks)), height=2.4)
    for encoder, (above, below) in zip(encoders, axes.reshape(len(encoders), 2, -1), strict=True):
        mine = table[table["encoder"] == encoder]
        for axis, task in zip(above, tasks, strict=False):
            over = mine[(mine["series"] == OVER_RANDOM) & (mine["task"] == task)]
            _arms(axis, over[(over["arm"] != "random") & (over["round"] > 0)])
            plotting.zero(axis)
            axis.set(title=f"Less accurate on {plotting.plain(task)}?", ylabel="minus random pruning's")
        above[0].set_title(f"{plotting.plain(encoder)}\n{above[0].get_title('left')}")
        _arms(below[0], mine[mine["series"] == CANDIDATE])
        below[0].set(title="Do the units that remain memorize less?", ylabel="mean UnitMem")
        effects = mine.set_index("series").loc[[f"{EFFECT}: {claim}" for claim in FALLS]]
        plotting.forest(below[1], effects, list(FALLS.values()))
        below[1].set(title="Does pruning the highest take memorization away?", xlabel="top minus random")
        for axis in (*above[len(tasks) :], *below[2:]):
            axis.remove()
    named = {"top": "highest UnitMem", "random": "random units", "low": "lowest UnitMem"}
    plotting.key(figure, {f"pruned: {named[by]}": plotting.COLOURS[by] for by in ARMS})
    return figure


def _arms(axis: Axes, rows: pd.DataFrame) -> None:
    """Dots of every arm by round."""
    arms = {str(by): curve for by, curve in rows.groupby("arm", sort=False)}
    dots.side_by_side(axis, arms, width=0.24)
    dots.named(axis, [f"{100 * share:.0f}" for share in next(iter(arms.values()))["pruned"]])
    axis.set_xlabel("pruned so far, % of all units")
