"""Pruning units of highest, lowest and random UnitMem (paper, Table 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc import plotting
from memloc.claims import Claim, Finding
from memloc.experiments.inputs import Inputs
from memloc.metrics.stats import Estimate, bootstrap_means

CLAIMS = {
    "pruning.top": Claim(
        "Table 6",
        "Pruning the most memorizing units costs more than pruning random ones: accuracy, random minus top",
    ),
    "pruning.low": Claim(
        "Table 6",
        "Pruning the least memorizing units costs less than pruning random ones: accuracy, low minus random",
    ),
}
ARMS = ("top", "random", "low")


def analyse(inputs: Inputs, options: dict[str, Any]) -> tuple[pd.DataFrame, list[Finding]]:
    """Accuracy of every arm by task and fraction, and of every random trial."""
    tables, findings = [], []
    for encoder in inputs.encoders():
        outcomes = inputs.arrays("outcomes", encoder)
        for task in dict.fromkeys(outcomes[0]["dataset"].tolist()):
            fractions = sorted(set(outcomes[0]["fraction"].tolist()) - {0.0})
            # One row a test point, one column an arm: a bootstrap of rows keeps the arms of a point together.
            samples = [{"test point": _marks(o, task, fractions)} for o in outcomes]
            settings = {"replicates": options["replicates"], "seed": 0, "limit": 1, "shared": True}
            accuracy = bootstrap_means(samples, lambda means: means["test point"], **settings)
            low, high = accuracy.interval()
            arms = [("none", 0.0)] + [(by, fraction) for fraction in fractions for by in ARMS]
            tables.append(
                pd.DataFrame(
                    {
                        "encoder": encoder,
                        "task": task,
                        "series": [by for by, _ in arms],
                        "fraction": [fraction for _, fraction in arms],
                        "value": accuracy.value,
                        "low": low,
                        "high": high,
                    }
                )
            )
            tables += [_trials(o, task, encoder=encoder, run=run) for run, o in enumerate(outcomes)]
            for claim, better, worse in (("pruning.top", "random", "top"), ("pruning.low", "low", "random")):
                gain = _mean(accuracy, arms, better) - _mean(accuracy, arms, worse)
                findings.append(
                    Finding(claim, f"{encoder} on {task}, mean over fractions", gain, len(samples[0]["test point"]))
                )
    return pd.concat(tables, ignore_index=True), findings


def _mean(accuracy: Estimate, arms: list[tuple[str, float]], by: str) -> Estimate:
    """Accuracy of a kind of arm, averaged over fractions."""
    columns = [i for i, (name, _) in enumerate(arms) if name == by]
    return accuracy.map(lambda v: v[..., columns].mean(axis=-1))


def _marks(outcome: dict[str, NDArray[Any]], task: str, fractions: list[float]) -> NDArray[np.float64]:
    columns = []
    for by, fraction in [("none", 0.0)] + [(by, f) for f in fractions for by in ARMS]:
        rows = (outcome["dataset"] == task) & (outcome["by"] == by) & (outcome["fraction"] == fraction)
        tested = int(outcome["tested"][rows][0])
        columns.append(outcome["correct"][rows][:, :tested].mean(axis=0))
    return np.stack(columns, axis=1)


def _trials(outcome: dict[str, NDArray[Any]], task: str, *, encoder: str, run: int) -> pd.DataFrame:
    rows = np.flatnonzero((outcome["dataset"] == task) & (outcome["by"] == "random"))
    return pd.DataFrame(
        {
            "encoder": encoder,
            "task": task,
            "series": "random trial",
            "fraction": outcome["fraction"][rows],
            "value": outcome["correct"][rows].sum(axis=1) / outcome["tested"][rows],
            "run": run,
        }
    )


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """One panel a task, one row an encoder."""
    encoders, tasks = list(dict.fromkeys(table["encoder"])), list(dict.fromkeys(table["task"]))
    figure, axes = plotting.panels(rows=len(encoders), columns=len(tasks), width=4.5 * len(tasks))
    for row, encoder in zip(axes, encoders, strict=True):
        for axis, task in zip(row, tasks, strict=True):
            mine = table[(table["encoder"] == encoder) & (table["task"] == task)].set_index("series")
            fractions = sorted(mine.loc[mine.index == "top", "fraction"])
            for shift, by in zip((-0.2, 0, 0.2), ARMS, strict=True):
                rows = mine.loc[[by]].sort_values("fraction")
                plotting.points(axis, np.arange(len(rows)) + shift, rows, colour=plotting.COLOURS[by], label=by)
            trials = mine.loc[["random trial"]]
            at = np.array([fractions.index(f) for f in trials["fraction"]]) + np.resize(
                np.linspace(0.05, 0.13, 5), len(trials)
            )
            axis.plot(at, trials["value"], ".", markersize=2.5, color=plotting.COLOURS["random"], alpha=0.6)
            axis.axhline(mine.loc[["none"], "value"].iloc[0], color="black", linestyle="--", linewidth=0.9)
            axis.set_xticks(range(len(fractions)), [f"{f:.0%}" for f in fractions])
            axis.set(title=f"{encoder}, probe on {task}", xlabel="pruned in every layer", ylabel="accuracy")
            plotting.legend(axis)
    return figure
