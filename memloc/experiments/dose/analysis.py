"""What reacts to images that stand several times in every epoch of the encoder that has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pandas import DataFrame, concat

from memloc.aliases import Array
from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.halves import Crossing, crossing
from memloc.analysis.inputs import unit_activations
from memloc.analysis.sheet import Sheet
from memloc.measuring.units import TOP
from memloc.metrics.pairs import crossed_mean, dealt_sums, gains, sums
from memloc.metrics.stats import ranks
from memloc.metrics.units import owners, unitmem
from memloc.streams import generator

CLAIMS = {
    "slope": Claim(
        "Images that stand more often in an epoch are memorized more: rise of crossed LayerMem at the encoder's output "
        "when an image stands twice as often"
    ),
    "auroc": Claim(
        "SSLMem finds the images that appear most often: AUROC at the encoder's output against images that stand once, "
        "crossed, minus .5"
    ),
    "owners": Claim(
        "Units answer to images that appear most often: share of the last layer's top units that these own in the "
        "encoder that has them, minus in its partner"
    ),
    "auroc-owned": Claim(
        "Owning top units tells which images stand most often: AUROC of the last layer's top units owned, in the "
        "encoder that has an image minus in its partner, against images that stand once, minus .5"
    ),
    "excess": Claim(
        "UnitMem rises on images that appear most often: crossed excess UnitMem of the last layer on these minus that "
        "on as many that stand once"
    ),
}
IN, OUT, IMAGES = "owned in", "owned out", "share of images"
SLOPE, AUROC, OWNED = "slope", "AUROC of SSLMem", "AUROC of units owned"
EXCESS = "excess UnitMem"
SETS = 10
"""Sets of images that stand once, each as large as those of every other dose, whose UnitMem is averaged at most."""


def analyse(sheet: Sheet) -> None:
    """LayerMem, AUROC, owners and excess UnitMem by dose."""
    for encoder in sheet.encoders:
        tables = sheet.scores("points", encoder)
        places = list(dict.fromkeys(tables[0]["layer"]))
        pool = crossing(tables, places)
        scores = gains(pool.sslmem, pool.inside, pool.labels)
        _memory(sheet, encoder, pool, scores, places)
        _find_auroc(sheet, "auroc", encoder, pool, scores, places, series=AUROC)
        measures = [*zip(sheet.arrays("f", encoder), sheet.arrays("g", encoder), strict=True)]
        pairs = [_Units(f, g, pool.points, has) for (f, g), has in zip(measures, pool.inside, strict=True)]
        layers = pairs[0].layers
        own = np.stack([pair.owned() for pair in pairs])
        _owners(sheet, encoder, pool, own, layers)
        _find_auroc(sheet, "auroc-owned", encoder, pool, own[..., 0] - own[..., 1], layers, series=OWNED)
        _excess(sheet, encoder, pool, pairs)


def _memory(sheet: Sheet, encoder: str, pool: Crossing, scores: NDArray[np.float64], places: Sequence[str]) -> None:
    """Crossed LayerMem of each dose, and its slope over the dose's logarithm."""
    for dose in np.unique(pool.doses):
        weights = _mean_of(pool.doses == dose)
        sheet.profile(crossed_mean(sums(scores, weights, pool.doses)), places, encoder=encoder, series=name_of(dose))
    x = np.log2(pool.doses)
    x = x - x.mean(axis=1, keepdims=True)
    weights = x / (x**2).sum(axis=1, keepdims=True)
    slope = crossed_mean(sums(scores, weights, pool.doses))
    sheet.profile(slope, places, encoder=encoder, series=SLOPE)
    _find(sheet, "slope", encoder, pool, scores[..., -1], weights)


def _find(
    sheet: Sheet,
    claim: str,
    encoder: str,
    pool: Crossing,
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    dealt: NDArray[np.bool_] | None = None,
) -> None:
    """Add a finding on a weighted sum of the images' values, with p among doses dealt anew.

    Args:
        values, weights: [pairs, images].
        dealt: whose doses are dealt anew, [pairs, images]; all by default.
    """
    strata = 2 * np.unique(pool.labels, return_inverse=True)[1] + pool.inside
    if dealt is not None:
        strata = np.where(dealt, strata, -1)
    estimate = crossed_mean(sums(values, weights, pool.doses))
    null = dealt_sums(values, weights, strata, deals=int(sheet.options["deals"]), seed=0)
    sheet.find(claim, encoder, estimate, len(pool.points), null=null)


def _find_auroc(
    sheet: Sheet,
    claim: str,
    encoder: str,
    pool: Crossing,
    scores: NDArray[np.float64],
    places: Sequence[str],
    *,
    series: str,
) -> None:
    """How often an image of the highest dose has a higher score than one that stands once.

    AUROC - 1/2 = (mean rank of the former - mean rank of the latter) / (number of both)
    """
    highest, once = pool.doses == pool.doses.max(), pool.doses == 1
    both = highest | once
    ranked = np.zeros(scores.shape)
    for pair, rows in enumerate(both):
        ranked[pair, rows] = ranks(scores[pair, rows].T).T
    weights = (_mean_of(highest) - _mean_of(once)) / both.sum(axis=1, keepdims=True)
    above = crossed_mean(sums(ranked, weights, pool.doses))
    low, high = above.interval()
    rows = DataFrame({"layer": list(places), "value": 0.5 + above.value, "low": 0.5 + low, "high": 0.5 + high})
    sheet.add(rows, encoder=encoder, series=series)
    _find(sheet, claim, encoder, pool, ranked[..., -1], weights, dealt=both)


def _owners(sheet: Sheet, encoder: str, pool: Crossing, own: NDArray[np.float64], layers: Sequence[str]) -> None:
    """Which share of each layer's top units the images of each dose own.

    Args:
        own: [pairs, images, layers, 2] shares that an image owns in the encoder that has it, and in its partner.
    """
    doses = np.unique(pool.doses)
    # The mean of the shares in f and in g.
    by_dose = np.stack([sums(own, (pool.doses == dose) / 2, pool.doses) for dose in doses], axis=2)
    for series, values in {IN: by_dose[..., 0], OUT: by_dose[..., 1]}.items():
        for place, layer in enumerate(layers):
            sheet.profile(
                crossed_mean(values[..., place]),
                [name_of(d) for d in doses],
                encoder=encoder,
                series=series,
                at=f"layer {layer}",
            )
    shares = [float((pool.doses == dose).mean()) for dose in doses]
    sheet.add(DataFrame({"layer": [name_of(d) for d in doses], "value": shares}), encoder=encoder, series=IMAGES)
    _find(sheet, "owners", encoder, pool, own[:, :, -1, 0] - own[:, :, -1, 1], (pool.doses == doses[-1]) / 2)


def _excess(sheet: Sheet, encoder: str, pool: Crossing, pairs: Sequence[_Units]) -> None:
    """Crossed excess UnitMem of each dose, on sets of as many images."""
    doses = np.unique(pool.doses)
    found = np.stack([[pair.excess(of, dose) for dose in doses] for pair, of in zip(pairs, pool.doses, strict=True)])
    layers, begins = pairs[0].layers, pairs[0].begins
    parts = np.split(found, begins[1:], axis=-1)
    for d, dose in enumerate(doses):
        for layer, part in zip(layers, parts, strict=True):
            estimate = crossed_mean(part[:, d])
            sheet.profile(estimate[None], [layer], encoder=encoder, series=f"{EXCESS}, {name_of(dose)}")
    last = parts[-1]
    sheet.find("excess", encoder, crossed_mean(last[:, -1] - last[:, 0]), last.shape[-1])


class _Units:
    """Activations of the units of one pair on the images of the pool.

    Args:
        f, g: measures.
        points: of the images [images].
        inside: whether f has the image [images].
    """

    def __init__(
        self, f: Mapping[str, Array], g: Mapping[str, Array], points: NDArray[np.int64], inside: NDArray[np.bool_]
    ) -> None:
        self.mu = []
        for measures in (f, g):
            order = np.argsort(measures["points"])
            rows = order[np.searchsorted(measures["points"], points, sorter=order)]
            self.layers, mu, self.begins = unit_activations(measures, rows)
            self.mu.append(mu)
        self.inside = inside

    def _sides(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64], int]]:
        """Activations in f and g, rows of the images of either half, and 0 where the encoder has them, else 1."""
        for mu, has in zip(self.mu, (self.inside, ~self.inside), strict=True):
            yield mu, np.flatnonzero(has), 0
            yield mu, np.flatnonzero(~has), 1

    def owned(self) -> NDArray[np.float64]:
        """Share of each layer's top 10 % of units that an image owns among its half, [images, layers, in and out]."""
        out = np.zeros((len(self.inside), len(self.layers), 2))
        for mu, rows, side in self._sides():
            for place, part in enumerate(np.split(mu[rows], self.begins[1:], axis=1)):
                owner = owners(part)
                excited = np.flatnonzero(owner >= 0)
                top = excited[np.argsort(-unitmem(part)[excited], kind="stable")][: max(1, round(TOP * len(excited)))]
                if len(top):
                    out[rows, place, side] = np.bincount(owner[top], minlength=len(rows)) / len(top)
        return out

    def excess(self, doses: NDArray[np.int64], dose: int) -> NDArray[np.float64]:
        """UnitMem on images of a dose in the encoder that has them minus in its partner, mean of f and g, [units].

        Each set has as many images as the smallest dose has in a half: of more, several sets are averaged.
        """
        halves = (self.inside, ~self.inside)
        size = min(int((half & (doses == d)).sum()) for half in halves for d in np.unique(doses))
        total = np.zeros(self.mu[0].shape[1])
        for mu, rows, side in self._sides():
            chosen = generator("dose", dose, len(rows)).permutation(rows[doses[rows] == dose])
            sets = [chosen[i * size : (i + 1) * size] for i in range(min(SETS, len(chosen) // size))]
            total += (1 - 2 * side) * np.mean([unitmem(mu[rows]) for rows in sets], axis=0) / 2
        return total


def _mean_of(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights that make a sum the mean over some images of each pair, [pairs, images]."""
    return np.asarray(chosen / chosen.sum(axis=1, keepdims=True), dtype=np.float64)


def name_of(dose: int) -> str:
    """How often images stand in an epoch, in words."""
    return "once" if dose == 1 else f"{dose} times"


def draw(table: DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Four panels an encoder: LayerMem by dose, AUROC by layer, owners by dose, excess UnitMem by dose."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=2 * len(encoders), columns=2)
    for (encoder, rows), (a, b, c, d) in zip(encoders.items(), axes.reshape(-1, 4), strict=True):
        names = list(rows.loc[[IMAGES], "layer"])
        memory = concat([rows.loc[[name]].tail(1) for name in names])
        units = concat([rows.loc[[f"{EXCESS}, {name}"]].tail(1) for name in names])
        layer = units["layer"].iloc[0]
        for axis, by_dose in ((a, memory), (d, units)):
            dots.side_by_side(axis, {"effect": by_dose})
            plotting.zero(axis)
        dots.over_layers(
            b,
            {"SSLMem": rows.loc[[AUROC]], "top units owned": rows.loc[[OWNED]]},
            colours=dict.fromkeys(("SSLMem", "top units owned"), plotting.INK),
            hollow=["top units owned"],
            null=0.5,
            joined=False,
        )
        last = rows[rows["at"] == rows.loc[[IN], "at"].iloc[-1]]
        dots.side_by_side(c, {"in": last.loc[[IN]], "out": last.loc[[OUT]]}, joined=False, width=0.2)
        at = np.arange(len(names))
        c.hlines(rows.loc[[IMAGES], "value"], at - 0.3, at + 0.3, color=plotting.COLOURS["chance"], linestyle="--")
        for axis in (a, c, d):
            dots.named(axis, names)
            axis.set_xlabel("how often an image stands in an epoch")
        a.set(title=f"{plotting.plain(encoder)}\nAre images seen more often memorized more?")
        a.set_ylabel("crossed LayerMem, output")
        b.set(title=f"Can images seen {names[-1]} be told from those seen once?", ylabel="AUROC (.5 is chance)")
        # An interval of few pairs may reach beyond what an area can be.
        b.set_ylim(max(b.get_ylim()[0], 0), min(b.get_ylim()[1], 1.05))
        c.set(title=f"Who owns the top units of {dots.place(layer)}?", ylabel="share of top units")
        d.set(title=f"Do units of {dots.place(layer)} react more to them?", ylabel="crossed excess UnitMem")
    key = {"in the encoder that has the image": plotting.COLOURS["in"], "in its partner": plotting.COLOURS["out"]}
    key |= {"expected by chance": plotting.COLOURS["chance"], "SSLMem": plotting.INK, "top units owned": plotting.INK}
    plotting.key(figure, key, dashed=["expected by chance"], hollow=["top units owned"])
    return figure
