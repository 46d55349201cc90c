"""The loss of training on images that an encoder was trained on, beside that on its partner's."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.data.groups import UNSHARED
from memloc.metrics.pairs import crossed_mean

CLAIMS = {
    "gap": Claim(
        "The training loss is lower on images that an encoder was trained on: its loss on images of its partner minus "
        "that on its own, mean of f and g, over pairs on complementary halves"
    ),
}
SIDES, LOSS, DIFFERENCE, PAIR = ("in", "out", "external"), "loss", "difference", "pair"


def analyse(sheet: Sheet) -> None:
    """Losses in, out and on external images, and their differences."""
    for encoder in sheet.encoders:
        seeds = zip(*(sheet.arrays(role, encoder, same=["groups"]) for role in "fg"), strict=True)
        values = np.stack([_sides(f["losses"], g["losses"]) for f, g in seeds])
        sheet.profile(crossed_mean(values), SIDES, encoder=encoder, series=LOSS)
        for pair, losses in enumerate(values.mean(axis=1)):
            sheet.add(pd.DataFrame({"layer": SIDES, "value": losses}), encoder=encoder, series=f"{PAIR} {pair}")
        gaps = crossed_mean(np.diff(values, axis=-1))
        sheet.profile(gaps, ["out - in", "external - out"], encoder=encoder, series=DIFFERENCE)
        sheet.find("gap", encoder, gaps[0], values.shape[1])


def _sides(f: NDArray[np.float64], g: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses [UNSHARED, draws] of f and g to means of f and g [draws, SIDES]: what differs between them cancels."""
    of_f, of_g = (dict(zip(UNSHARED, losses, strict=True)) for losses in (f, g))
    inside = of_f["candidate"] + of_g["independent"]
    outside = of_g["candidate"] + of_f["independent"]
    return np.stack([inside, outside, of_f["external"] + of_g["external"]], axis=-1) / 2


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Two panels an encoder: losses of single pairs and their mean, and differences."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=len(encoders), columns=2)
    for (encoder, rows), (a, b) in zip(encoders.items(), axes, strict=True):
        names = [name for name in rows.index.unique() if name.startswith(f"{PAIR} ")]
        pairs = np.array([rows.loc[[name], "value"] for name in names])
        a.plot(range(len(SIDES)), pairs.T, "o-", color=plotting.INK, markersize=2.5, linewidth=0.5, alpha=0.3)
        for at, side in enumerate(SIDES):
            mean = rows.loc[[LOSS]].iloc[[at]]
            plotting.points(a, np.array([at + 0.12]), mean, colour=plotting.COLOURS[side], label=side)
        for at, gaps in enumerate(np.diff(pairs).T):
            plotting.paired(b, at, gaps, rows.loc[DIFFERENCE].iloc[at], colour=plotting.COLOURS["effect"])
        dots.named(a, ["trained on", "its partner's", "seen by neither"])
        dots.named(b, ["its partner's – trained on", "seen by neither – its partner's"])
        plotting.zero(b)
        a.set(title=f"{plotting.plain(encoder)}\nIs the training loss lower on images trained on?", ylabel="loss")
        b.set(title="By how much?", ylabel="difference of losses")
    return figure
