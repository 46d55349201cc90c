"""LayerMem of encoders trained by different recipes (paper, Table 27)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Profiles, above, profile_correlations
from memloc.analysis.sheet import Sheet

SHARE, CORRELATION = 1 / 30, 0.9
DIFFERENCE = ", minus the first's"
SCALE = "ResNet9, SimCLR, CIFAR10; published LayerMem"
CLAIMS = {
    "falls": Claim(
        "Stronger augmentation in training lowers LayerMem of the last layer at every step: the weakest difference of "
        "crossed LayerMem, each recipe minus the next",
        "Table 27",
        value=0.005,
        scale=SCALE,
    ),
    "weakest-over-strongest": Claim(
        "The weakest training augmentation leaves more LayerMem in the last layer than the strongest: crossed "
        "LayerMem, first minus last recipe",
        "Table 27",
        value=0.013,
        scale=SCALE,
    ),
    "same-last": Claim(
        "The recipe makes no difference to LayerMem of the last layer: a thirtieth of the first recipe's crossed "
        "LayerMem (own margin, .01 of the paper's; at first .01, half our effect) minus the difference",
    ),
    "same-shape": Claim(
        "The recipe makes no difference to the profile of LayerMem: rank correlation of crossed LayerMem over layers "
        "with the first recipe's, minus .9 (own threshold)",
    ),
}
"""The first two are for the order ``falling``, the others for ``same``."""


def analyse(sheet: Sheet) -> None:
    """Profiles of every recipe, and their differences to the first."""
    profiles = sheet.paired_layermem()
    sheet.add(profiles.rows())
    for name, estimate in profiles.series.items():
        for i, encoder in enumerate(profiles.encoders[1:], start=1):
            sheet.profile(estimate[i] - estimate[0], profiles.layers, encoder=encoder, series=name + DIFFERENCE)
    (_find_falling if sheet.options["order"] == "falling" else _find_same)(sheet, profiles)


def _find_falling(sheet: Sheet, profiles: Profiles) -> None:
    last, names, n = profiles.series["crossed"][:, -1], profiles.encoders, profiles.points
    steps = [f"{a} over {b}" for a, b in pairwise(names)]
    subject = f"{names[0]} to {names[-1]}"
    sheet.find_in_every("falls", subject, last[:-1] - last[1:], steps, n=n)
    sheet.find("weakest-over-strongest", subject, last[0] - last[-1], n)


def _find_same(sheet: Sheet, profiles: Profiles) -> None:
    crossed, first, n = profiles.series["crossed"], profiles.encoders[0], profiles.points
    correlation, last = profile_correlations(crossed), [f"layer {profiles.layers[-1]}"]
    for i, encoder in enumerate(profiles.encoders[1:], start=1):
        subject, margin = f"{encoder} against {first}", crossed[0, -1].scaled(SHARE)
        sheet.find_equivalent("same-last", subject, (crossed[i] - crossed[0])[-1:], last, margin=margin, n=n)
        sheet.find("same-shape", subject, above(correlation[0, i], CORRELATION), n)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A panel a recipe with the first's profile dotted; below, the last layer and its difference to the first's."""
    first = plotting.plain(str(table["encoder"].iloc[0]), most=16)
    forests = [
        plotting.Rows("Does the last layer memorize? Crossed LayerMem", {"crossed": "crossed"}),
        plotting.Rows(f"More than {first}'s? Difference", {"effect": f"crossed{DIFFERENCE}"}),
    ]
    asks = "Which layers memorize under other training? (dotted: the first recipe)"
    profiles = {"crossed": "crossed"}
    return plotting.compared(table, profiles, forests, asks=asks, label="crossed LayerMem", reference=True)
