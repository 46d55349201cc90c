"""UnitMem of encoders trained otherwise: data, privacy, augmentation, weight decay (paper, Figures 1, 10 and 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import above
from memloc.analysis.sheet import Sheet
from memloc.analysis.units import UnitMeans
from memloc.measuring.units import SHARES, THRESHOLDS, by_layer
from memloc.metrics.stats import Estimate

STILL = 0.5
"""A unit above this still memorizes highly: own threshold, that of the experiment unitmem."""
CLAIMS = {
    "falls": Claim(
        "In every two encoders that are compared, the first has higher UnitMem than the second: mean UnitMem of the "
        "last layer on candidates, first minus second, least difference",
        "Figures 1, 10 and 11",
    ),
    "step": Claim(
        "UnitMem falls from one encoder to another: mean UnitMem of the last layer on candidates, first minus second",
        "Figures 1, 10 and 11",
    ),
    "shares": Claim(
        "In every two encoders that are compared, more units of the first memorize highly than of the second: share of "
        f"the last layer's units with UnitMem above each of {', '.join(map(str, THRESHOLDS))} (own thresholds, those "
        "that a unit of either reaches), first minus second, least difference",
        "Figures 1, 10 and 11",
    ),
    "all-layers": Claim(
        "In every two encoders that are compared, the first has higher UnitMem over all layers than the second: mean "
        "UnitMem on candidates averaged over layers, first minus second, least difference",
        "Figures 1, 10 and 11",
    ),
    "excess": Claim(
        "In every two encoders that are compared, the first has a higher excess of UnitMem than the second: candidates "
        "minus independent and external images in the last layer, first minus second, least difference",
    ),
    "unseen": Claim(
        "In every two encoders that are compared, the first has higher UnitMem than the second on images that f was "
        "not trained on: mean of the last layer, first minus second, least difference",
    ),
    "still": Claim(
        f"The last encoder still has units that memorize highly: highest UnitMem of its last layer minus {STILL} (own "
        "threshold)",
        "Figure 1",
    ),
    "still-excess": Claim(
        "The last encoder's highest UnitMem is higher on images trained on: last layer, candidates minus external "
        "images",
    ),
    "trained": Claim(
        "Training raises UnitMem in every encoder (else it has hardly been trained): mean UnitMem of the last layer, "
        "trained minus untrained encoder, least difference",
    ),
}


def analyse(sheet: Sheet) -> None:
    """UnitMem by layer on candidates and unseen images, shares and maximum of the last layer, every unit of it.

    Encoders of one seed that were trained on the same points have them resampled alike, so differences are paired.
    """
    encoders = {name: UnitMeans(sheet.inputs, name) for name in sheet.encoders}
    series = {name: _series(sheet, name, f) for name, f in encoders.items()}
    layers = encoders[sheet.encoders[-1]].layers
    for name, f in encoders.items():
        for label, estimate in series[name].items():
            sheet.profile(estimate, f.layers, encoder=name, series=label)
        for run, units in enumerate(f.units):
            about = {"encoder": name, "series": "unit", "layer": f.layers[-1]}
            sheet.add(pd.DataFrame({**about, "value": by_layer(units)[f.layers[-1]], "run": run}))
    steps = _steps(sheet, series)
    for label in ("candidate", "unseen images", "excess"):
        for i, (a, b) in enumerate(steps.pairs):
            sheet.profile(steps.over(label)[i], layers, encoder=a, series=f"{label}, minus {b}'s")
    chance = {name: f.chance()[:, -1] for name, f in encoders.items()}
    _find(sheet, steps, chance, n=encoders[sheet.encoders[0]].size)


def _series(sheet: Sheet, encoder: str, f: UnitMeans) -> dict[str, Estimate]:
    """What is known of an encoder's units, [layers] each."""
    seen, excess = f.mean("candidate"), f.excess()
    return {
        "candidate": seen,
        "unseen images": seen - excess,
        "excess": excess,
        "untrained": UnitMeans(sheet.inputs, encoder, trained=False).mean("candidate"),
        "highest": f.mean("candidate", "unitmem_max"),
        "highest, external": f.mean("external", "unitmem_max"),
        **{f"share above {t}": f.mean("candidate", name) for t, name in zip(THRESHOLDS, SHARES, strict=True)},
    }


@dataclass(frozen=True)
class _Steps:
    """Pairs of encoders, of which the first is claimed to have the higher UnitMem.

    Attributes:
        subject: of claims about all pairs.
        pairs: names of the two.
        series: of every encoder, see ``_series``.
    """

    subject: str
    pairs: Sequence[tuple[str, str]]
    series: Mapping[str, Mapping[str, Estimate]]

    def over(self, label: str) -> Estimate:
        """What the first of each pair has more, [pairs, layers]."""
        return _stacked([self.series[a][label] - self.series[b][label] for a, b in self.pairs])

    def names(self) -> list[str]:
        """One name a pair."""
        return [f"{a} over {b}" for a, b in self.pairs]


def _steps(sheet: Sheet, series: Mapping[str, Mapping[str, Estimate]]) -> _Steps:
    *others, last = sheet.encoders
    if sheet.options["order"] == "falling":
        return _Steps(f"{sheet.encoders[0]} to {last}", list(pairwise(sheet.encoders)), series)
    return _Steps(f"{last} below {', '.join(others)}", [(other, last) for other in others], series)


def _find(sheet: Sheet, steps: _Steps, chance: Mapping[str, NDArray[np.float64]], *, n: int) -> None:
    """Findings on all claims.

    Args:
        chance: null of every encoder's excess in the last layer, [permutations].
        n: images in each group.
    """
    subject, names, last = steps.subject, steps.names(), sheet.encoders[-1]
    candidate = steps.over("candidate")
    sheet.find_in_every("falls", subject, candidate[:, -1], names, n=n)
    for i, name in enumerate(names):
        sheet.find("step", name, candidate[i, -1], n)
    shares = [f"share above {threshold}" for threshold in THRESHOLDS]
    each = [(label, i) for label in shares for i in range(len(names))]
    # Thresholds that no unit of either encoder reaches say nothing, unless there is no other.
    reached = [(label, i) for label, i in each if any(steps.series[e][label].value[-1] > 0 for e in steps.pairs[i])]
    chosen = reached or each
    fewer = _stacked([steps.over(label)[i, -1] for label, i in chosen])
    sheet.find_in_every("shares", subject, fewer, [f"{names[i]}, {label}" for label, i in chosen], n=n)
    sheet.find_in_every("all-layers", subject, candidate.map(lambda v: v.mean(axis=-1)), names, n=n)
    null = np.stack([chance[a] - chance[b] for a, b in steps.pairs])
    sheet.find_in_every("excess", subject, steps.over("excess")[:, -1], names, n=n, null=null)
    sheet.find_in_every("unseen", subject, steps.over("unseen images")[:, -1], names, n=n)
    series = steps.series[last]
    sheet.find("still", last, above(series["highest"][-1], STILL), n)
    sheet.find("still-excess", last, (series["highest"] - series["highest, external"])[-1], n)
    gains = [(steps.series[name]["candidate"] - steps.series[name]["untrained"])[-1] for name in sheet.encoders]
    sheet.find_in_every("trained", subject, _stacked(gains), sheet.encoders, n=n)


def _stacked(estimates: Sequence[Estimate]) -> Estimate:
    """Several estimates from the same resamples as one, along a new first axis."""
    value = np.stack([estimate.value for estimate in estimates])
    nested, fixed = (np.stack([getattr(e, part) for e in estimates], axis=1) for part in ("nested", "fixed"))
    return Estimate(value, nested, fixed, estimates[0].seeds, estimates[0].limit)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A panel an encoder, trained and untrained; below, the last layer on seen and unseen images, and the excess."""
    last = table.loc[table["series"] == "unit", "layer"].iloc[0]
    seen = {"candidate": "candidate", "external": "unseen images"}
    forests = [
        plotting.Rows(f"Mean UnitMem of layer {plotting.plain(str(last))}", seen, null=None),
        plotting.Rows("Does training on images add? Trained on minus never seen", {"effect": "excess"}),
    ]
    profiles = {"candidate": "candidate", "untrained": "untrained"}
    asks = "Does mean UnitMem depend on the training?"
    figure = plotting.compared(table, profiles, forests, asks=asks, label="mean UnitMem")
    said = {"images trained on": "candidate", "before training": "untrained", "images never seen": "external"}
    colours = {words: plotting.COLOURS[meaning] for words, meaning in said.items()} | {"difference": plotting.INK}
    plotting.key(figure, colours, dashed=["before training"])
    return figure
