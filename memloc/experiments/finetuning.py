"""Fine-tuning the layers of highest LayerMem increment against the last ones (paper, Table 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc import plotting
from memloc.claims import Claim, Finding
from memloc.experiments.inputs import Inputs
from memloc.metrics.stats import bootstrap

CLAIMS = {
    "finetuning.increment": Claim(
        "Table 5",
        "Fine-tuning the layers of highest increment beats fine-tuning as many last layers: difference in accuracy",
    ),
}
ARMS = ("increment", "last")
LABELS = {"increment": "k layers of highest increment", "last": "last k layers"}


def analyse(inputs: Inputs, options: dict[str, Any]) -> tuple[pd.DataFrame, list[Finding]]:
    """Accuracy of the head alone, of each choice of k layers, and which layers were chosen."""
    tables, findings = [], []
    for encoder in inputs.encoders():
        outcomes = inputs.arrays("outcomes", encoder)
        arms = list(zip(outcomes[0]["by"].tolist(), outcomes[0]["count"].tolist(), strict=True))
        samples = [{"test point": o["correct"].T.astype(np.float64)} for o in outcomes]
        accuracy = bootstrap(
            samples,
            lambda s: s["test point"].mean(axis=0),
            replicates=options["replicates"],
            seed=0,
            limit=1,
            shared=True,
        )
        low, high = accuracy.interval()
        tables.append(
            pd.DataFrame(
                {
                    "encoder": encoder,
                    "series": [by for by, _ in arms],
                    "count": [count for _, count in arms],
                    "value": accuracy.value,
                    "low": low,
                    "high": high,
                    # A row of numbers alone would come back from CSV as a number.
                    "layers": ["layers " + " | ".join(str(o["layers"][i]) for o in outcomes) for i in range(len(arms))],
                }
            )
        )
        for count in sorted({count for _, count in arms} - {0}):
            chosen, last = arms.index(("increment", count)), arms.index(("last", count))
            differ = sum(str(o["layers"][chosen]) != str(o["layers"][last]) for o in outcomes)
            subject = f"{encoder}, k = {count}, choices differ in {differ} of {len(outcomes)} seeds"
            n = len(samples[0]["test point"])
            findings.append(Finding("finetuning.increment", subject, accuracy[chosen] - accuracy[last], n))
    return pd.concat(tables, ignore_index=True), findings


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """One panel an encoder."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=1, columns=len(encoders), width=5.5 * len(encoders))
    for axis, encoder in zip(axes[0], encoders, strict=True):
        mine = table[table["encoder"] == encoder].set_index("series")
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
                    color="white",
                    transform=axis.get_xaxis_transform(),
                )
        axis.axhline(mine.loc[["head"], "value"].iloc[0], color="black", linestyle="--", linewidth=0.9)
        axis.set_xticks(range(mine.loc[["last"]].shape[0]), [f"k = {c}" for c in sorted(mine.loc[["last"], "count"])])
        axis.margins(x=0.12, y=0.12)
        axis.set_ylim(bottom=axis.get_ylim()[0] - 0.08)
        axis.set(title=f"{encoder}: layers of each seed below", xlabel="", ylabel="test accuracy")
        plotting.legend(axis)
    return figure
