"""Reconstruction of hidden patches, a second witness of memorization in masked autoencoders."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import witnesses
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import forms
from memloc.analysis.sheet import Sheet
from memloc.data.groups import UNSHARED
from memloc.metrics.stats import Sample

CLAIMS = {
    "crossed": Claim(
        "Images that an encoder was trained on are painted better: difference of losses, crossed, as a share of "
        "external images'",
    ),
    "agrees": Claim(
        "Candidates of higher SSLMem are those that f paints better than g: rank correlation of the output's SSLMem "
        "and loss of g minus f (on complementary halves, within classes, of what all pairs memorize of an image and "
        "loss out minus in in others)",
    ),
    "agrees-excess": Claim(
        "SSLMem and reconstruction agree more on candidates than on external images: rank correlation of the output's "
        "SSLMem and loss of g minus f"
    ),
}


def analyse(sheet: Sheet) -> None:
    """Losses of f and g by group, the advantage of f in every estimator, its rank correlation with SSLMem."""
    for encoder in sheet.encoders:
        points = witnesses.witnessed(sheet, encoder, ["losses"])
        for table in points:
            table["advantage"] = table["losses_g"] - table["losses_f"]
        losses = witnesses.samples(points, ["losses_f", "losses_g"])
        images = witnesses.images(points)
        means = sheet.means(losses, witnesses.by_group, images=images)
        witnesses.report(
            sheet,
            encoder,
            points,
            groups={role: means[:, column] for column, role in enumerate("fg")},
            advantages={"advantage": sheet.means(losses, _advantage, images=images)},
        )


def _advantage(means: Sample) -> NDArray[np.float64]:
    """L_g - L_f in every form over the mean loss, of f and g, of images that neither has seen: [k, ESTIMATORS]."""
    difference = {group: means[group][:, 1] - means[group][:, 0] for group in UNSHARED}
    return np.asarray(forms(difference) / means["external"].mean(axis=1)[:, None])


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A row an encoder: means of f and g by group, what an image's encoder has over the other, agreement."""
    return witnesses.draw(
        table,
        seen="Who paints hidden patches better?",
        scale="reconstruction loss",
        advantage="lead in loss",
        unit="share of never seen images' loss",
    )
