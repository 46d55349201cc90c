"""Labels inferred from the corners of images, a second witness of memorization (Meehan et al., 2023)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import witnesses
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import forms
from memloc.analysis.sheet import Sheet

PAPER = "beyond the paper (Meehan et al., 2023)"
CLAIMS = {
    "crossed": Claim(
        "Labels of images that an encoder was trained on are inferred better from their corners: share of votes for "
        "the label by the encoder trained on an image, f or g, minus that by the other, mean of f's and g's images",
        PAPER,
    ),
    "agrees": Claim(
        "Candidates of higher SSLMem are those whose labels f infers better than g: rank correlation of the output's "
        "SSLMem and votes of f minus g (on complementary halves, within classes, of what all pairs memorize of an "
        "image and votes in minus out in others)",
        PAPER,
    ),
    "agrees-excess": Claim(
        "SSLMem and inferred labels agree more on candidates than on external images: rank correlation of the "
        "output's SSLMem and votes of f minus g",
        PAPER,
    ),
}
MEANS = {"f": "votes_f", "g": "votes_g", "chance": "chance_f"}
"""Series of means by group, and what they are means of."""


def analyse(sheet: Sheet) -> None:
    """Votes of f and g by group, the advantage of f in every estimator, its rank correlation with SSLMem."""
    for encoder in sheet.encoders:
        points = witnesses.witnessed(sheet, encoder, ["votes", "correct", "chance"])
        for table in points:
            table["advantage"] = table["votes_f"] - table["votes_g"]
            table["majority"] = table["correct_f"] - table["correct_g"]
        told: dict[str, Any] = {"limit": 1, "images": witnesses.images(points)}
        shares = sheet.means(witnesses.samples(points, [*MEANS.values()]), witnesses.by_group, **told)
        advantage = sheet.means(witnesses.samples(points, ["advantage", "majority"]), forms, **told)
        witnesses.report(
            sheet,
            encoder,
            points,
            groups={series: shares[:, column] for column, series in enumerate(MEANS)},
            advantages={"advantage": advantage[:, 0], "advantage, majority": advantage[:, 1]},
        )


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A row an encoder: means of f and g by group, what an image's encoder has over the other, agreement."""
    return witnesses.draw(
        table,
        seen="Is a label told by corners?",
        scale="votes for the own label",
        advantage="lead in votes",
        unit="share of votes",
    )
