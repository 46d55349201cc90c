"""Where a memorized wrong answer enters."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.charted import effect, of_seeds, size
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Arrays
from memloc.analysis.sheet import Sheet
from memloc.metrics.detection import auroc
from memloc.metrics.stats import Estimate, rank_correlation

CLAIMS = {
    "memorized": Claim(
        "Wrong answers are memorized: share of canaries given by the model that learned them minus that by the other, "
        "minus .3",
    ),
    "last": Claim(
        "Canaries are memorized in the decoder's last layer: crossed LayerMem of canaries there", least=0.005
    ),
    "depth": Claim(
        "The decoder memorizes canaries more than the tower: LayerMem of the decoder's last layer minus that of the "
        "tower's"
    ),
    "units": Claim("Units of the decoder's last layer single out canaries they learned: excess UnitMem"),
    "enters": Claim(
        "A wrong answer leaves the image tokens inside the decoder: share of answers that a patch of image tokens "
        "releases at its input minus that at its last layer"
    ),
    "agree": Claim(
        "LayerMem and patches name the same place: rank correlation over decoder stages of LayerMem and the share of "
        "answers released by a patch of the last token"
    ),
    "values": Claim("Data-OOB values of canaries are low: AUROC of the values of other items over theirs, minus .5"),
}
IMAGE, LAST = 0, 1
"""Rows of ``released``."""


def analyse(sheet: Sheet) -> None:
    """Rates of memorized canaries, LayerMem, excess UnitMem and released answers by stage."""
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
        mem, units = (of_seeds(sheet, [seed[name] for seed in seeds], limit=1) for name in ("layermem", "unitmem"))
        released = of_seeds(sheet, [seed["released"] for seed in seeds], limit=1)
        _add(sheet, mem, stages, model=model, series="LayerMem")
        _add(sheet, units, stages, model=model, series="excess UnitMem")
        _add(sheet, released[IMAGE], stages, model=model, series="image tokens")
        at = [stages[i] for i in decoder]
        _add(sheet, released[LAST].map(lambda v: v[..., decoder]), at, model=model, series="last token")  # noqa: B023
        pairs = min(int(seed["pairs"]) for seed in seeds)
        sheet.find("last", model, mem[last], n)
        sheet.find("depth", model, mem[last] - mem[tower], n)
        sheet.find("units", model, units[last], n)
        if pairs:
            sheet.find("enters", model, released[IMAGE][first] - released[IMAGE][last], pairs)
            agreement = [rank_correlation(seed["layermem"][decoder], seed["released"][LAST][decoder]) for seed in seeds]
            sheet.find("agree", model, of_seeds(sheet, agreement, limit=1), pairs)
        above = [_above(seed) for seed in seeds]
        sheet.find("values", model, of_seeds(sheet, above, limit=0.5), min(len(seed["values"]) for seed in seeds))


def _above(seed: Arrays) -> float:
    """AUROC of values of clean items over canaries', minus .5."""
    return auroc(seed["values"], seed["is_canary"] == 0) - 0.5


def _add(sheet: Sheet, estimate: Estimate, places: list[str], **about: str) -> None:
    low, high = estimate.interval()
    sheet.add(pd.DataFrame({"stage": places, "value": estimate.value, "low": low, "high": high}), **about)


def draw(table: pd.DataFrame) -> Figure:
    """A row a model: how often canaries are given, memorization by stage, answers released by stage."""
    models = list(dict.fromkeys(table["model"]))
    figure, axes = plotting.panels(rows=len(models), columns=3, height=2.9)
    hues = {"LayerMem": "blue", "excess UnitMem": "purple", "image tokens": "green", "last token": "orange"}
    colours = {name: plotting.PALETTE[hue] for name, hue in hues.items()}
    for row, model in zip(axes, models, strict=True):
        mine = table[table["model"] == model]
        rates = mine[mine["series"] == "given"]
        plotting.forest(row[0], rates, ["learned it", "did not"], null=None)
        row[0].set(title=plotting.plain(model), xlabel="share of canaries given", xlim=(-0.03, 1.03))
        stages = list(dict.fromkeys(mine.loc[mine["series"] == "LayerMem", "stage"]))
        for axis, series, title in (
            (row[1], ("LayerMem", "excess UnitMem"), "memorization"),
            (row[2], ("image tokens", "last token"), "share of answers released"),
        ):
            for name in series:
                own = mine[mine["series"] == name]
                at = [stages.index(stage) for stage in own["stage"]]
                axis.plot(at, own["value"], marker="o", markersize=3.5, color=colours[name])
                plotting.band(axis, at, own, colour=colours[name])
            plotting.layers(axis, stages)
            axis.set(title=title, xlabel="stage")
        plotting.zero(row[1])
        row[2].set_ylim(-0.03, 1.03)
    plotting.key(figure, colours)
    return figure
