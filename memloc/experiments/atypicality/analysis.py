"""Which images are memorized: atypical ones, and those that own memorizing units (paper, Figures 1 and 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.halves import Memorized, choices, in_minus_out, memorized, reliability_of_mean
from memloc.analysis.inputs import images_of_groups
from memloc.analysis.sheet import Sheet
from memloc.analysis.units import last_units, owners_of_top
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.measuring.units import TOP
from memloc.metrics.alignment import extremes
from memloc.metrics.pairs import agreement_of_all
from memloc.metrics.resampled import rank_correlation_of_counts, unitmem_of_counts
from memloc.metrics.stats import Estimate, Sample, nest, ranks
from memloc.streams import generator

CLAIMS = {
    "correlation": Claim(
        "Atypical images are memorized most: rank correlation of the output's SSLMem and atypicality, candidates (on "
        "complementary halves, within classes, of what all pairs memorize of an image and its atypicality in others)",
        "Section 4.1",
    ),
    "correlation-excess": Claim(
        "SSLMem and atypicality correlate more on images trained on: rank correlation, candidates minus external "
        "images",
    ),
    "owners": Claim(
        "Units that memorize more belong to more memorized images: rank correlation over the owners of the last "
        "layer's units of SSLMem and the highest UnitMem owned, candidates (on complementary halves, within classes, "
        "of what all pairs memorize of an image and the highest UnitMem owned in minus out in others)",
        "Figure 1, Table 12",
    ),
    "top-owners": Claim(
        "Owners of the last layer's top 10 % of units are more memorized than other candidates: difference of mean "
        "SSLMem",
        "Table 12",
    ),
    "owners-excess": Claim(
        "SSLMem and the highest UnitMem owned correlate more among images trained on: rank correlation over the owners "
        "of the last layer's units, candidates minus external images",
    ),
    "top-owners-excess": Claim(
        "Owners of the last layer's top 10 % of units lead in SSLMem more among images trained on: mean SSLMem of "
        "owners minus other points, candidates minus external images",
    ),
    "owned": Claim(
        "Images that own more of the last layer's top 10 % of units are more memorized: rank correlation over their "
        "owners of the number owned and SSLMem, candidates (on complementary halves, within classes, of what all pairs "
        "memorize of an image and the number owned in minus out in others)",
        "Table 12",
    ),
    "owned-excess": Claim(
        "SSLMem and the number owned of the last layer's top 10 % of units correlate more among images trained on: "
        "rank correlation over their owners, candidates minus external images",
    ),
    "units": Claim(
        "UnitMem is higher on the most than on the least memorized candidates in every layer: difference of mean "
        "UnitMem of the top 10 % of units, weakest layer",
        "Figure 7, Table 11",
        0.507 - 0.248,
        "ResNet9, SimCLR, CIFAR10; 50 points each (Table 11), at least",
    ),
    "units-excess": Claim(
        "UnitMem differs more between most and least memorized images among those trained on: difference of mean "
        "UnitMem of the top 10 % of units, averaged over layers, candidates minus external images",
    ),
}
SEEN = {"candidate": "trained on", "external": "never seen"}
EXTREMES = ("most", "least")
"""Memorized points of each group."""
Extremes = Mapping[tuple[str, str], NDArray[np.int64]]
"""Points by group and EXTREMES."""


def analyse(sheet: Sheet) -> None:
    """Correlations, owners of units and UnitMem of the extremes; every candidate's SSLMem and atypicality."""
    for encoder in sheet.encoders:
        points, atypicality, units = (sheet.scores(name, encoder) for name in ("points", "atypicality", "units"))
        roles = sheet.inputs.by_seed(encoder, units)
        of_f = [of_seed[0] for of_seed in roles]
        seeds = [_Seed.joined(*of_seed) for of_seed in zip(points, atypicality, of_f, strict=True)]
        every = memorized(sheet, encoder)
        _analyse_encoder(sheet, encoder, seeds, every)
        if every is not None:
            _find_over_pairs(sheet, encoder, every, atypicality, roles)


def _find_over_pairs(
    sheet: Sheet,
    encoder: str,
    every: Memorized,
    atypicality: Sequence[pd.DataFrame],
    units: Sequence[tuple[pd.DataFrame, ...]],
) -> None:
    """Findings on what all pairs memorize of an image, and what other pairs say of it; reliability of either.

    In and out are crossed over already, so there is no excess to ask for.
    """
    pool, pairs = every.pool, len(units)
    distance = [
        table.set_index("point")["atypicality"].loc[pool.points.tolist()].to_numpy(np.float64) for table in atypicality
    ]
    highest = in_minus_out(pool, units, lambda u, group: last_units(u, group).groupby("owner")["unitmem"].max())
    owned = in_minus_out(pool, units, lambda u, group: owners_of_top(u, group).value_counts())
    traits = dict(zip(PAIRS, (np.stack(distance), highest, owned), strict=True))
    turns = [claim != "correlation" for claim in traits]
    estimate, null = agreement_of_all(every.scores, [*traits.values()], in_minus_out=turns, deals=DEALS, seed=0)
    sheet.profile(estimate, list(traits), encoder=encoder, series=ALL_PAIRS)
    together = every.reliability(pairs)
    rows = {
        "memorization, one pair": every.reliability(1),
        "memorization": together,
        **{name: reliability_of_mean(trait, pool.labels, pairs - 1) for name, trait in traits.items()},
    }
    table = pd.DataFrame({"layer": [*rows], "value": [*rows.values()]})
    sheet.add(table, encoder=encoder, series="reliability")
    for place, claim in enumerate(traits):
        told: dict[str, Any] = {"null": null[:, place], "reliability": min(together, rows[claim])}
        sheet.find(claim, encoder, estimate[place], len(pool.points), **told)


@dataclass(frozen=True)
class _Seed:
    """Scores of one seed.

    Attributes:
        points: SSLMem of every point in every layer.
        units: UnitMem and owner of every unit in every group.
        outputs: a point a row, SSLMem of the encoder's output (the last place measured) beside atypicality.
    """

    points: pd.DataFrame
    units: pd.DataFrame
    outputs: pd.DataFrame

    @classmethod
    def joined(cls, points: pd.DataFrame, atypicality: pd.DataFrame, units: pd.DataFrame) -> _Seed:
        last = points[points["layer"] == points["layer"].iloc[-1]]
        return cls(points, units, atypicality.merge(last[["point", "sslmem"]], on="point", validate="one_to_one"))

    def atypicality(self, group: str) -> pd.DataFrame:
        """SSLMem and atypicality of a group's points, indexed by these."""
        return self._pairs(self.outputs[self.outputs["group"] == group], "atypicality")

    def highest(self, group: str) -> pd.DataFrame:
        """SSLMem of the owners of the last layer's units and the highest UnitMem of these, indexed by owner.

        A row an owner, not a unit: units of one owner share its SSLMem.
        """
        best = last_units(self.units, group).groupby("owner")["unitmem"].max()
        return self._pairs(self._owners(best), "unitmem")

    def owned(self, group: str) -> pd.DataFrame:
        """SSLMem of the owners of the last layer's top units and how many of these they own, indexed by owner."""
        counts = owners_of_top(self.units, group).value_counts(sort=False).rename("count")
        return self._pairs(self._owners(counts), "count")

    def _owners(self, values: pd.Series) -> pd.DataFrame:
        return self.outputs.merge(values, left_on="point", right_index=True, validate="one_to_one")

    @staticmethod
    def _pairs(rows: pd.DataFrame, other: str) -> pd.DataFrame:
        return rows.set_index("point")[["sslmem", other]].astype(np.float64)

    def top_owners(self) -> dict[str, pd.Series]:
        """SSLMem of the distinct points that own the top units, and of all others, in each group."""
        sample: dict[str, pd.Series] = {}
        for group in CANDIDATE_AND_NULL:
            sslmem = self.outputs[self.outputs["group"] == group].set_index("point")["sslmem"]
            owner = sslmem.index.isin(owners_of_top(self.units, group))
            sample |= {f"{group} owner": sslmem[owner], f"{group} other": sslmem[~owner]}
        return sample

    @staticmethod
    def extremes(choice: Mapping[str, pd.Series], size: int) -> Extremes:
        """Most and least memorized points of each group, by what ``choices`` chooses by."""
        chosen = {}
        for group, scores in choice.items():
            for kind, rows in zip(EXTREMES, extremes(scores.to_numpy(), size), strict=True):
                chosen[group, kind] = scores.index.to_numpy()[rows]
        return chosen


ALL_PAIRS = "over all pairs"
DEALS = 2000
"""Deals of membership behind the p of a correlation over all pairs."""
PAIRS = {"correlation": _Seed.atypicality, "owners": _Seed.highest, "owned": _Seed.owned}
"""By claim, SSLMem and what it is correlated with."""


def _analyse_encoder(sheet: Sheet, encoder: str, seeds: Sequence[_Seed], every: Memorized | None) -> None:
    tables = [seed.points for seed in seeds]
    crossed = images_of_groups(tables) is not None
    samples, correlations = {}, {}
    for claim, pairs in PAIRS.items():
        of_seeds = [{group: pairs(seed, group) for group in CANDIDATE_AND_NULL} for seed in seeds]
        samples[claim], images = _arrays(of_seeds, crossed=crossed)
        correlations[claim] = sheet.bootstrap_counts(samples[claim], _rhos, limit=1, images=images)
    chosen = [_Seed.extremes(choice, sheet.options["group_size"]) for choice in choices(tables, every)]
    layers, unitmem_of = _extreme_units(sheet, encoder, chosen)
    gap = {group: unitmem_of[group, "most"] - unitmem_of[group, "least"] for group in CANDIDATE_AND_NULL}

    for claim, series in (("correlation", "correlation"), ("owners", "correlation of owners")):
        sheet.profile(correlations[claim], CANDIDATE_AND_NULL, encoder=encoder, series=series)
    for (group, kind), estimate in unitmem_of.items():
        series = f"{kind} memorized" if group == "candidate" else f"{kind}, {group}"
        sheet.profile(estimate, layers, encoder=encoder, series=series)
    for group, estimate in gap.items():
        sheet.profile(estimate, layers, encoder=encoder, series=f"most minus least, {group}")
    for group in CANDIDATE_AND_NULL:
        highest = np.concatenate([sample[group] for sample in samples["owners"]])
        sheet.add(pd.DataFrame(highest, columns=["sslmem", "unitmem"]), encoder=encoder, series=f"owner, {group}")
        owned = np.concatenate([sample[group] for sample in samples["owned"]])
        sheet.add(_table_12(sheet, owned), encoder=encoder, series=f"owners, {group}")
    for run, (seed, points) in enumerate(zip(seeds, chosen, strict=True)):
        sheet.add(_every_candidate(seed, points), encoder=encoder, series="point", run=run)

    n, excess = sheet.options["group_size"], gap["candidate"] - gap["external"]
    told: dict[str, Any] = {"n": n, "reliability": np.nan if every is None else every.reliability(len(seeds) - 1)}
    sheet.find("units-excess", encoder, excess.map(lambda v: v.mean(axis=-1)), **told)
    sheet.find_in_every("units", encoder, gap["candidate"], [f"layer {name}" for name in layers], **told)
    if every is not None:
        return
    top, images = _arrays([seed.top_owners() for seed in seeds], crossed=crossed)
    effects = {claim: (estimate, len(samples[claim][0]["candidate"])) for claim, estimate in correlations.items()}
    effects["top-owners"] = (sheet.means(top, _lead, images=images), len(top[0]["candidate owner"]))
    for claim in ("correlation", "owners", "top-owners", "owned"):
        estimate, n = effects[claim]
        sheet.find(claim, encoder, estimate[0], n)
        sheet.find(f"{claim}-excess", encoder, estimate[0] - estimate[1], n)


def _arrays(
    seeds: Sequence[Mapping[str, pd.DataFrame | pd.Series]], *, crossed: bool
) -> tuple[list[dict[str, NDArray[np.float64]]], list[dict[str, NDArray[np.int64]]] | None]:
    """Values indexed by image as arrays, and the images where seeds share them."""
    samples = [{name: values.to_numpy() for name, values in seed.items()} for seed in seeds]
    images = [{name: values.index.to_numpy() for name, values in seed.items()} for seed in seeds]
    return samples, images if crossed else None


def _rhos(sample: Sample, counts: Sample) -> NDArray[np.float64]:
    """Rank correlation of two columns in each of CANDIDATE_AND_NULL, of resamples [k, 2]."""
    each = [rank_correlation_of_counts(sample[group], counts[group]) for group in CANDIDATE_AND_NULL]
    return np.stack(each, axis=1)


def _lead(means: Sample) -> NDArray[np.float64]:
    """Owners minus others in each of CANDIDATE_AND_NULL, [k, 2] from means [k]."""
    return np.stack([means[f"{group} owner"] - means[f"{group} other"] for group in CANDIDATE_AND_NULL], axis=1)


def _table_12(sheet: Sheet, owners: NDArray[np.float64]) -> pd.DataFrame:
    """Mean SSLMem of the points that own k of the top units, and how many do, for every k (paper, Table 12).

    Args:
        owners: of all seeds together, as few own more than one: SSLMem and k, [owners, 2].

    Returns:
        A row for every k; one point alone has no interval.
    """
    rows = []
    for k in np.unique(owners[:, 1]):
        sslmem = owners[owners[:, 1] == k, 0]
        mean = sheet.means([{"owner": sslmem}], lambda m: m["owner"])
        low, high = mean.interval() if len(sslmem) > 1 else (np.nan, np.nan)
        rows.append({"owns": int(k), "points": len(sslmem), "value": float(mean.value), "low": low, "high": high})
    return pd.DataFrame(rows)


def _extreme_units(
    sheet: Sheet, encoder: str, chosen: Sequence[Extremes]
) -> tuple[list[str], dict[tuple[str, str], Estimate]]:
    """Mean UnitMem of each layer's top 10 % of units on each group of extreme points: layers, and [layers] each."""
    measures = sheet.arrays("measures", encoder)
    layers = [str(name) for name in measures[0]["layers"] if f"views/{name}" in measures[0]]
    estimates = {}
    for key in chosen[0]:
        values, drawn = [], []
        for seed, (arrays, points) in enumerate(zip(measures, chosen, strict=True)):
            rows = np.flatnonzero(np.isin(arrays["points"], points[key]))
            rng = generator("extremes", seed, *key)
            # The half of the draws that did not choose the points.
            views = [arrays[f"views/{layer}"][rows, 1].astype(np.float64) for layer in layers]
            size, n = sheet.options["resamples"], len(rows)
            counts = np.stack([np.ones(n), *rng.multinomial(n, np.full(n, 1 / n), size=size)])
            means = np.stack([_top_means(v, counts) for v in views], axis=1)
            values.append(means[0])
            drawn.append(means[1:])
        estimates[key] = nest(np.array(values), np.array(drawn), seed=0).between(0, 1)
    return layers, estimates


def _top_means(views: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean UnitMem of the top 10 % of units, of resamples [k]."""
    values = np.sort(unitmem_of_counts(views, counts), axis=1)
    return np.asarray(values[:, -max(1, round(TOP * values.shape[1])) :].mean(axis=1))


def _every_candidate(seed: _Seed, chosen: Extremes) -> pd.DataFrame:
    """Every candidate's scores and, of an extreme one, its ``place``, such as "most 0"."""
    rows = seed.outputs[seed.outputs["group"] == "candidate"].copy()
    rows["place"] = ""
    for kind in EXTREMES:
        order = {point: place for place, point in enumerate(chosen["candidate", kind])}
        place = rows["point"].map(order)
        rows.loc[place.notna(), "place"] = kind + " " + place.dropna().astype(int).astype(str)
    return rows


BINS = 10
"""Groups of candidates by atypicality, each of as many."""
OF_PAIRS = {"atypicality of an image": "correlation", "highest UnitMem that it owns": "correlation of owners"}
"""What SSLMem is correlated with, and the series that holds how much."""
CLAIMED = ["atypicality of an image", "highest UnitMem that it owns", "top units that it owns"]
"""What the memorization of an image is correlated with over all pairs, in the order of PAIRS."""


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """The images themselves above; below what SSLMem goes along with: atypicality, and units of high UnitMem."""
    encoder = table["encoder"].iloc[0]
    rows = table[table["encoder"] == encoder].set_index("series")
    figure, axes = plotting.panels(rows=1, columns=1, height=7.4)
    axes[0, 0].remove()
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 2.6]).flat
    points = rows.loc["point"]
    _draw_images(above, points[points["run"] == 0], images)
    _draw_panels(below, encoder, rows)
    plotting.key(figure, {SEEN[group]: plotting.COLOURS[group] for group in CANDIDATE_AND_NULL})
    return figure


def _draw_images(figure: SubFigure, points: pd.DataFrame, images: NDArray[np.uint8]) -> None:
    """Most and least memorized candidates of one seed."""
    for strip, kind in zip(figure.subfigures(1, 2, squeeze=False).flat, EXTREMES, strict=True):
        strip.suptitle(f"The {kind} memorized images", fontsize=8.5, color=plotting.COLOURS[f"{kind} memorized"])
        for place, axis in enumerate(strip.subplots(3, 8).flat):
            row = points[points["place"] == f"{kind} {place}"]
            if len(row):
                plotting.thumbnail(axis, images[int(row["point"].iloc[0])])
            else:
                axis.axis("off")


def _draw_panels(figure: SubFigure, encoder: str, rows: pd.DataFrame) -> None:
    (means, correlation), (extreme, numbers) = figure.subplots(2, 2)
    _draw_bins(means, rows.loc[["point"]])
    _draw_correlations(correlation, rows)
    dots.over_layers(
        extreme,
        {SEEN[group]: rows.loc[[f"most minus least, {group}"]] for group in CANDIDATE_AND_NULL},
        colours={SEEN[group]: plotting.COLOURS[group] for group in CANDIDATE_AND_NULL},
        joined=False,
    )
    owned = {SEEN[group]: rows.loc[[f"owners, {group}"]] for group in CANDIDATE_AND_NULL}
    dots.side_by_side(
        numbers,
        owned,
        at={label: counted["owns"].to_numpy() for label, counted in owned.items()},
        colours={SEEN[group]: plotting.COLOURS[group] for group in CANDIDATE_AND_NULL},
        joined=False,
    )
    numbers.xaxis.get_major_locator().set_params(integer=True)
    plotting.zero(numbers)
    means.set(title=f"{plotting.plain(encoder)}\nAre atypical images memorized more?", ylabel="mean rank of SSLMem")
    means.set_xlabel("candidates by atypicality, in tenths (10: most atypical)")
    extreme.set(title="Do top units answer more to the most memorized?", ylabel="UnitMem, most minus least")
    numbers.set(title="Are owners of top units memorized more?", xlabel="top units that an image owns")
    numbers.set_ylabel("mean SSLMem")


def _draw_correlations(axis: Axes, rows: pd.DataFrame) -> None:
    """What is claimed: over all pairs where they are on complementary halves, else of candidates beside the null."""
    axis.set_title("What does memorization go along with?")
    if ALL_PAIRS in rows.index:
        plotting.forest(axis, rows.loc[[ALL_PAIRS]], CLAIMED, colours=plotting.COLOURS["candidate"])
        axis.set_xlabel("rank correlation within classes, over all pairs")
        return
    for shift, group in zip((-0.12, 0.12), CANDIDATE_AND_NULL, strict=True):
        of_group = rows[rows["layer"].astype(str) == group].loc[list(OF_PAIRS.values())]
        plotting.forest(axis, of_group, list(OF_PAIRS), colours=plotting.COLOURS[group], shift=shift, label=SEEN[group])
    axis.set_xlabel("rank correlation with SSLMem")


def _draw_bins(axis: Axes, points: pd.DataFrame) -> None:
    """Mean rank of SSLMem in every tenth of the candidates by atypicality: of each seed, and of all."""
    of_seeds = []
    for _, run in points.groupby("run"):
        x, y = (ranks(run[name].to_numpy()) / len(run) for name in ("atypicality", "sslmem"))
        tenth = np.clip(np.ceil(x * BINS), 1, BINS)
        of_seeds.append(pd.Series(y).groupby(tenth).mean())
    for of_seed in of_seeds:
        axis.plot(of_seed, "o", color=plotting.COLOURS["candidate"], alpha=0.4, markersize=3.2, markeredgewidth=0)
    mean = pd.concat(of_seeds).groupby(level=0).mean()
    axis.plot(mean, "_", color=plotting.COLOURS["candidate"], markersize=14, markeredgewidth=2)
    axis.axhline(0.5, color=plotting.INK, linewidth=0.8, zorder=1)
