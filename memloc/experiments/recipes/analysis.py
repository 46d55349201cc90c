"""LayerMem of encoders trained by different recipes (paper, Table 27)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import Profiles, above, equivalent, paired_profiles, profile_correlations, rows_of
from memloc.analysis.sheet import Sheet

SHARE, CORRELATION = 1 / 30, 0.9
DIFFERENCE = ", minus the first's"
SCALE = "ResNet9, SimCLR, CIFAR10; published LayerMem"
CLAIMS = {
    "falls": Claim(
        "Stronger augmentation lowers the last layer's crossed LayerMem at every step: each recipe minus the next",
        "Table 27",
        value=0.005,
        scale=SCALE,
    ),
    "weakest-over-strongest": Claim(
        "The weakest augmentation leaves more crossed LayerMem in the last layer than the strongest",
        "Table 27",
        value=0.013,
        scale=SCALE,
    ),
    "same-last": Claim(
        "The recipe makes no difference to the last layer: a thirtieth of the first's crossed LayerMem (own margin, "
        ".01 of the paper's; at first .01, half our effect) minus the difference",
    ),
    "same-shape": Claim(
        "The recipe makes no difference to the profile: rank correlation of crossed LayerMem over layers minus .9 (own "
        "threshold)",
    ),
}
"""The first two where the order is ``falling``, the others where it is ``same``."""


def analyse(sheet: Sheet) -> None:
    """Profiles of every recipe, and what each has more than the first."""
    inputs, options = sheet.inputs, sheet.options
    found = paired_profiles(inputs, replicates=options["replicates"], normalisation=options["normalisation"])
    tables = [found.rows()]
    for name, profiles in found.series.items():
        for i, encoder in enumerate(found.encoders[1:], start=1):
            difference = profiles[i] - profiles[0]
            tables.append(rows_of(difference, found.layers, encoder=encoder, series=name + DIFFERENCE))
    findings = _falling(found) if options["order"] == "falling" else _same(found)
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def _falling(found: Profiles) -> list[Finding]:
    last, names = found.series["crossed"][:, -1], found.encoders
    steps = [f"{a} over {b}" for a, b in pairwise(names)]
    subject = f"{names[0]} to {names[-1]}"
    return [
        Finding.of_every("falls", subject, last[:-1] - last[1:], steps, n=found.points),
        Finding("weakest-over-strongest", subject, last[0] - last[-1], found.points),
    ]


def _same(found: Profiles) -> list[Finding]:
    crossed, first = found.series["crossed"], found.encoders[0]
    correlation, findings = profile_correlations(crossed), []
    for i, encoder in enumerate(found.encoders[1:], start=1):
        subject, last = f"{encoder} against {first}", f"layer {found.layers[-1]}"
        difference, margin = (crossed[i] - crossed[0])[-1:], crossed[0, -1].scaled(SHARE)
        findings += [
            equivalent("same-last", subject, difference, [last], margin=margin, n=found.points),
            Finding("same-shape", subject, above(correlation[0, i], CORRELATION), found.points),
        ]
    return findings


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Crossed profiles, and differences to the first recipe at the last layer in every estimator."""
    return plotting.encoder_panels(table, suffix=DIFFERENCE, than=f", minus {table['encoder'].iloc[0]}'s")
