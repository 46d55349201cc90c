"""Where a memorized wrong answer enters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.charted import effect, of_seeds, size
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import PERMUTATIONS, Arrays
from memloc.analysis.sheet import Sheet
from memloc.metrics.detection import auroc
from memloc.metrics.pairs import dealt_means
from memloc.metrics.stats import Estimate, Sample, rank_correlation

CLAIMS = {
    "memorized": Claim(
        "Wrong answers are memorized: share of canaries given by the model that learned them minus that by the other, "
        "minus .3",
    ),
    "last": Claim(
        "Canaries are memorized in the decoder's last layer: crossed LayerMem of canaries there", least=0.005
    ),
    "depth": Claim(
        "The decoder memorizes canaries more than the tower: LayerMem of the decoder's last layer, in the last token, "
        "minus that of the tower's, in the mean of its tokens"
    ),
    "others": Claim(
        "Other items are memorized in the decoder's last layer: crossed LayerMem of these there", least=0.005
    ),
    "others-depth": Claim(
        "The decoder memorizes other items more than the tower: LayerMem of its last layer, in the last token, "
        "minus that of the tower's, in the mean of its tokens"
    ),
    "wrong": Claim(
        "A wrong answer is memorized more than a right one: LayerMem of canaries minus that of other items, in the "
        "decoder's last layer"
    ),
    "units": Claim("Units of the decoder's last layer single out canaries they learned: excess UnitMem"),
    "enters": Claim(
        "A wrong answer leaves the image tokens inside the decoder: share of canaries that a patch of image tokens "
        "puts right at its input, which is all, minus that where its last layer reads them"
    ),
    "agree": Claim(
        "LayerMem and patches name the same place: rank correlation over decoder stages of LayerMem and the share of "
        "canaries that a patch of the last token puts right"
    ),
    "values": Claim("Data-OOB values of canaries are low: AUROC of the values of other items over theirs, minus .5"),
}
IMAGE, LAST = 0, 1
"""Rows of ``recovered``."""


def analyse(sheet: Sheet) -> None:
    """Rates of memorized canaries, LayerMem, excess UnitMem and recovered answers by stage."""
    for model in sheet.encoders:
        seeds = sheet.arrays("canaries", model, same=["stages", "parts"])
        stages, parts = seeds[0]["stages"].tolist(), seeds[0]["parts"]
        decoder = np.flatnonzero(parts == "decoder")
        first, last, tower = decoder[0], decoder[-1], np.flatnonzero(parts == "tower")[-1]
        given = [{"gain": seed["inside"].astype(float) - seed["outside"]} for seed in seeds]
        n = size(given)
        for name in ("inside", "outside"):
            rate = effect(sheet, [{"it": seed[name].astype(float)} for seed in seeds], lambda m: m["it"], shared=False)
            _add(sheet, rate.map(lambda v: v[..., None]), [name], model=model, series="given")
        sheet.find("memorized", model, effect(sheet, given, lambda m: m["gain"], minus=0.3, shared=False), n)
        both = sheet.means([_halves(seed) for seed in seeds], _crossed, limit=1)
        mem, others = both[0], both[1]
        units, recovered = (of_seeds(sheet, [seed[key] for seed in seeds], limit=1) for key in ("unitmem", "recovered"))
        _add(sheet, mem, stages, model=model, series="LayerMem")
        _add(sheet, others, stages, model=model, series="LayerMem, other items")
        _add(sheet, units, stages, model=model, series="excess UnitMem")
        _add(sheet, recovered[IMAGE], stages, model=model, series="image tokens")
        at = [stages[i] for i in decoder]
        _add(sheet, recovered[LAST].map(lambda v: v[..., decoder]), at, model=model, series="last token")  # noqa: B023
        pairs = min(int(seed["pairs"]) for seed in seeds)
        rest = min(len(seed["other_half"]) for seed in seeds)
        for where, depth, of, some, key in (
            ("last", "depth", mem, n, ""),
            ("others", "others-depth", others, rest, "other_"),
        ):
            null = _dealt(seeds, key)
            sheet.find(where, model, of[last], some, null=null[:, last])
            sheet.find(depth, model, of[last] - of[tower], some, null=null[:, last] - null[:, tower])
        sheet.find("wrong", model, mem[last] - others[last], n)
        sheet.find("units", model, units[last], n)
        if pairs:
            left = recovered[IMAGE][first] - recovered[IMAGE][last - 1]
            sheet.find("enters", model, left.between(-1, 1), pairs)
            of_seed = [_crossed({key: of.mean(axis=0) for key, of in _halves(seed).items()})[0] for seed in seeds]
            agreement = [
                rank_correlation(profile[decoder], seed["recovered"][LAST][decoder])
                for profile, seed in zip(of_seed, seeds, strict=True)
            ]
            sheet.find("agree", model, of_seeds(sheet, agreement, limit=1), pairs)
        above = [_above(seed) for seed in seeds]
        sheet.find("values", model, of_seeds(sheet, above, limit=0.5), min(len(seed["values"]) for seed in seeds))


def _halves(seed: Arrays) -> dict[str, NDArray[np.float64]]:
    """SSLMem [items, stages] of canaries and of other items, each by the half that learned them."""
    return {
        f"{name}{half}": seed[f"{name}sslmem"][seed[f"{name}half"] == k]
        for name in ("", "other_")
        for k, half in enumerate("fg")
    }


def _crossed(means: Sample) -> NDArray[np.float64]:
    """LayerMem [..., 2, stages] of canaries and of other items from the mean SSLMem of each half's."""
    return np.stack([(means[f"{name}f"] - means[f"{name}g"]) / 2 for name in ("", "other_")], axis=-2)


def _dealt(seeds: Sequence[Arrays], items: str) -> NDArray[np.float64]:
    """LayerMem of canaries, or of other items, [deals, stages] where it is dealt anew which half learned each."""
    parts = [
        dealt_means(
            seed[f"{items}sslmem"][None],
            seed[f"{items}half"][None] == 0,
            np.zeros(len(seed[f"{items}half"]), dtype=np.int64),
            deals=PERMUTATIONS,
            seed=number,
        )
        for number, seed in enumerate(seeds)
    ]
    return np.asarray(np.mean(parts, axis=0))


def _above(seed: Arrays) -> float:
    """AUROC of values of clean items over canaries', minus .5."""
    return auroc(seed["values"], seed["is_canary"] == 0) - 0.5


def _add(sheet: Sheet, estimate: Estimate, places: list[str], **about: str) -> None:
    low, high = estimate.interval()
    sheet.add(pd.DataFrame({"stage": places, "value": estimate.value, "low": low, "high": high}), **about)


def draw(table: pd.DataFrame) -> Figure:
    """A row a model: how often canaries are given, memorization by stage, answers put right by stage."""
    models = list(dict.fromkeys(table["model"]))
    figure, axes = plotting.panels(rows=len(models), columns=3, height=2.9)
    hues = {"LayerMem": "blue", "LayerMem, other items": "grey", "excess UnitMem": "purple"}
    hues |= {"image tokens": "green", "last token": "orange"}
    colours = {name: plotting.PALETTE[hue] for name, hue in hues.items()}
    for row, model in zip(axes, models, strict=True):
        mine = table[table["model"] == model]
        rates = mine[mine["series"] == "given"]
        plotting.forest(row[0], rates, ["learned it", "did not"], null=None)
        row[0].set(title=plotting.plain(model), xlabel="share of canaries given", xlim=(-0.03, 1.03))
        stages = list(dict.fromkeys(mine.loc[mine["series"] == "LayerMem", "stage"]))
        for axis, series, title in (
            (row[1], ("LayerMem", "LayerMem, other items", "excess UnitMem"), "memorization"),
            (row[2], ("image tokens", "last token"), "share of canaries put right"),
        ):
            rows = {name: mine[mine["series"] == name] for name in series}
            at = {name: np.array([stages.index(stage) for stage in own["stage"]]) for name, own in rows.items()}
            dots.side_by_side(axis, rows, at=at, colours=colours)
            plotting.layers(axis, stages)
            axis.set(title=title, xlabel="stage")
        plotting.zero(row[1])
        for axis in row[1:]:
            axis.set_xlim(-0.6, len(stages) - 0.4)
        row[2].set_ylim(-0.03, 1.03)
    plotting.key(figure, colours)
    return figure
