"""Which images are memorized: atypical ones, and those that own memorizing units (paper, Figures 1 and 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import rows_of, wide
from memloc.analysis.sheet import Sheet
from memloc.measuring.units import TOP
from memloc.metrics.alignment import extremes
from memloc.metrics.stats import Estimate, Sample, bootstrap, bootstrap_means, nest, rank_correlation, ranks
from memloc.metrics.units import unitmem
from memloc.streams import generator

CLAIMS = {
    "correlation": Claim(
        "Atypical images are memorized most: rank correlation of the output's SSLMem and atypicality, candidates",
        "Section 4.1",
    ),
    "correlation-excess": Claim("SSLMem and atypicality correlate more on candidates than on external images"),
    "owners": Claim(
        "Units that memorize more belong to more memorized images: rank correlation, last layer", "Figure 1, Table 12"
    ),
    "top-owners": Claim(
        "Owners of the last layer's top 10 % of units are more memorized than the other candidates", "Table 12"
    ),
    "owners-excess": Claim(
        "That correlation of owners' SSLMem and UnitMem is higher on candidates than on external images",
    ),
    "top-owners-excess": Claim(
        "That lead of the owners of top units is larger among candidates than among external images"
    ),
    "owned": Claim(
        "Images that own more of the last layer's top 10 % of units are more memorized: rank correlation over their "
        "owners of the number owned and SSLMem",
        "Table 12",
    ),
    "owned-excess": Claim("That correlation with the number owned is higher on candidates than on external images"),
    "units": Claim(
        "UnitMem is higher on the most than on the least memorized points in every layer: the weakest difference",
        "Figure 7, Table 11",
        0.507 - 0.248,
        "ResNet9, SimCLR, CIFAR10; 50 points each (Table 11), at least",
    ),
    "units-excess": Claim(
        "UnitMem of most and least memorized points differs more than for the same choice among external images",
    ),
}


def analyse(sheet: Sheet) -> None:
    """Correlations, owners of units and UnitMem of the extremes; every candidate's SSLMem and atypicality."""
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    size, replicates = options["group_size"], options["replicates"]
    for encoder in inputs.encoders():
        points, units = inputs.tables("points", encoder), inputs.tables("units", encoder)
        joined = [_join(p, a) for p, a in zip(points, inputs.tables("atypicality", encoder), strict=True)]
        correlation = bootstrap(
            [{group: _pair(j, group) for group in ("candidate", "external")} for j in joined],
            lambda s: np.array([_rho(s["candidate"]), _rho(s["external"])]),
            replicates=replicates,
            seed=0,
            limit=1,
        )
        owned = {
            group: [_owned(u, j, group) for u, j in zip(units, joined, strict=True)]
            for group in ("candidate", "external")
        }
        owners = bootstrap(
            [{group: o[run] for group, o in owned.items()} for run in range(len(points))],
            lambda s: np.array([_rho(s["candidate"]), _rho(s["external"])]),
            replicates=replicates,
            seed=0,
            limit=1,
        )
        top = [_top_owners(u, j) for u, j in zip(units, joined, strict=True)]
        advantage = bootstrap_means(
            top,
            lambda m: np.stack([m[f"{g} owner"] - m[f"{g} other"] for g in ("candidate", "external")], axis=1),
            replicates=replicates,
            seed=0,
        )
        owned_counts = [
            {group: _owned_counts(u, j, group) for group in ("candidate", "external")}
            for u, j in zip(units, joined, strict=True)
        ]
        numbers = bootstrap(
            owned_counts,
            lambda s: np.array([_rho(s["candidate"]), _rho(s["external"])]),
            replicates=replicates,
            seed=0,
            limit=1,
        )
        chosen = [_extremes(p, size) for p in points]
        layers, extreme = _extreme_units(inputs.arrays("measures", encoder), chosen, replicates)
        gap = {group: extreme[group, "most"] - extreme[group, "least"] for group in ("candidate", "external")}

        groups = ["candidate", "external"]
        tables.append(rows_of(correlation, groups, encoder=encoder, series="correlation"))
        tables.append(rows_of(owners, groups, encoder=encoder, series="correlation of owners"))
        tables += [
            rows_of(extreme["candidate", kind], layers, encoder=encoder, series=f"{kind} memorized")
            for kind in ("most", "least")
        ]
        tables += [
            rows_of(extreme["external", kind], layers, encoder=encoder, series=f"{kind}, external")
            for kind in ("most", "least")
        ]
        tables += [rows_of(gap[g], layers, encoder=encoder, series=f"most minus least, {g}") for g in groups]
        for group in groups:
            every = pd.DataFrame(np.concatenate(owned[group]), columns=["sslmem", "unitmem"])
            tables.append(every.assign(encoder=encoder, series=f"owner, {group}"))
            tables.append(
                _table_12([counts[group] for counts in owned_counts], replicates, encoder=encoder, group=group)
            )
        tables += [_every_point(j, chosen[run], encoder=encoder, run=run) for run, j in enumerate(joined)]
        n = len(_pair(joined[0], "candidate"))
        effects = {
            "correlation": (correlation[0], n),
            "correlation-excess": (correlation[0] - correlation[1], n),
            "owners": (owners[0], len(owned["candidate"][0])),
            "owners-excess": (owners[0] - owners[1], len(owned["candidate"][0])),
            "top-owners": (advantage[0], len(top[0]["candidate owner"])),
            "top-owners-excess": (advantage[0] - advantage[1], len(top[0]["candidate owner"])),
            "owned": (numbers[0], len(owned_counts[0]["candidate"])),
            "owned-excess": (numbers[0] - numbers[1], len(owned_counts[0]["candidate"])),
            "units-excess": ((gap["candidate"] - gap["external"]).map(lambda v: v.mean(axis=-1)), size),
        }
        findings += [Finding(claim, encoder, effect, k) for claim, (effect, k) in effects.items()]
        places = [f"layer {name}" for name in layers]
        findings.append(Finding.of_every("units", encoder, gap["candidate"], places, n=size))
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def _join(points: pd.DataFrame, atypicality: pd.DataFrame) -> pd.DataFrame:
    """SSLMem of the encoder's output (the last place measured) beside atypicality, one row a point."""
    last = points[points["layer"] == points["layer"].iloc[-1]]
    return atypicality.merge(last[["point", "sslmem"]], on="point", validate="one_to_one")


def _pair(joined: pd.DataFrame, group: str) -> NDArray[np.float64]:
    return joined.loc[joined["group"] == group, ["sslmem", "atypicality"]].to_numpy(dtype=np.float64)


def _rho(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rank_correlation(pairs[:, 0], pairs[:, 1]))


def _owned(units: pd.DataFrame, joined: pd.DataFrame, group: str) -> NDArray[np.float64]:
    """Owners of the last layer's units: SSLMem and the highest UnitMem that is theirs, [owners, 2].

    A row an owner, not a unit: units of one owner share its SSLMem.
    """
    best = _last(units, group).groupby("owner")["unitmem"].max()
    merged = joined.merge(best, left_on="point", right_index=True, validate="one_to_one")
    return np.asarray(merged[["sslmem", "unitmem"]].to_numpy(dtype=np.float64))


def _last(units: pd.DataFrame, group: str) -> pd.DataFrame:
    """Units of the last layer that something in a group excites."""
    rows = (units["group"] == group) & (units["layer"] == units["layer"].iloc[-1]) & (units["owner"] >= 0)
    last: pd.DataFrame = units.loc[rows]
    return last


def owners_of_top(units: pd.DataFrame, group: str) -> pd.Series:
    """Owners of the last layer's top units, one for each unit."""
    last = _last(units, group).sort_values("unitmem", ascending=False, kind="stable")
    top: pd.Series = last["owner"].head(max(1, round(TOP * len(last))))
    return top


def _owned_counts(units: pd.DataFrame, joined: pd.DataFrame, group: str) -> NDArray[np.float64]:
    """Owners of the last layer's top units: SSLMem and how many of these are theirs, [owners, 2]."""
    counts = owners_of_top(units, group).value_counts(sort=False).rename("count")
    merged = joined.merge(counts, left_on="point", right_index=True, validate="one_to_one")
    return np.asarray(merged[["sslmem", "count"]].to_numpy(dtype=np.float64))


def _table_12(seeds: list[NDArray[np.float64]], replicates: int, *, encoder: str, group: str) -> pd.DataFrame:
    """Mean SSLMem of the points that own k of the top units, and how many do, for every k (paper, Table 12).

    Points of all seeds together: few own more than one. One point alone has no interval.
    """
    owners, rows = np.concatenate(seeds), []
    for k in np.unique(owners[:, 1]):
        mine = owners[owners[:, 1] == k, 0]
        mean = bootstrap_means([{"owner": mine}], lambda m: m["owner"], replicates=replicates, seed=0)
        low, high = mean.interval() if len(mine) > 1 else (np.nan, np.nan)
        rows.append({"owns": int(k), "points": len(mine), "value": float(mean.value), "low": low, "high": high})
    return pd.DataFrame(rows).assign(encoder=encoder, series=f"owners, {group}")


def _top_owners(units: pd.DataFrame, joined: pd.DataFrame) -> Sample:
    """SSLMem of the distinct points that own the top units, and of all others, in each group."""
    sample = {}
    for group in ("candidate", "external"):
        top = owners_of_top(units, group)
        mine = joined[joined["group"] == group]
        owner = mine["point"].isin(top)
        sample[f"{group} owner"] = mine.loc[owner, "sslmem"].to_numpy()
        sample[f"{group} other"] = mine.loc[~owner, "sslmem"].to_numpy()
    return sample


def _extremes(points: pd.DataFrame, size: int) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Most and least memorized points of each group, by SSLMem of the output on the first half of the draws."""
    out = {}
    for group in ("candidate", "external"):
        scores = wide(points, group, "sslmem_choose").iloc[:, -1]
        for kind, rows in zip(("most", "least"), extremes(scores.to_numpy(), size), strict=True):
            out[group, kind] = scores.index.to_numpy()[rows]
    return out


def _extreme_units(
    measures: Sequence[Mapping[str, NDArray[Any]]],
    chosen: list[dict[tuple[str, str], NDArray[np.int64]]],
    replicates: int,
) -> tuple[list[str], dict[tuple[str, str], Estimate]]:
    """Mean UnitMem of each layer's top 10 % of units on each group of extreme points."""
    layers = [str(name) for name in measures[0]["layers"] if f"views/{name}" in measures[0]]
    estimates = {}
    for key in chosen[0]:
        values, drawn = [], []
        for seed, (arrays, points) in enumerate(zip(measures, chosen, strict=True)):
            rows = np.flatnonzero(np.isin(arrays["points"], points[key]))
            rng = generator("extremes", seed, *key)
            # The half of the draws that did not choose the points.
            views = [arrays[f"views/{layer}"][rows, 1].astype(np.float64) for layer in layers]
            values.append([_top_mean(v) for v in views])
            resamples = (rng.integers(len(rows), size=len(rows)) for _ in range(replicates))
            drawn.append([[_top_mean(v[r]) for v in views] for r in resamples])
        estimates[key] = nest(np.array(values), np.array(drawn), seed=0).between(0, 1)
    return layers, estimates


def _top_mean(views: NDArray[np.float64]) -> float:
    values = np.sort(unitmem(views))
    return float(values[-max(1, round(TOP * len(values))) :].mean())


def _every_point(
    joined: pd.DataFrame, chosen: dict[tuple[str, str], NDArray[np.int64]], *, encoder: str, run: int
) -> pd.DataFrame:
    mine = joined[joined["group"] == "candidate"].copy()
    mine["place"] = ""
    for kind in ("most", "least"):
        order = {point: place for place, point in enumerate(chosen["candidate", kind])}
        place = mine["point"].map(order)
        mine.loc[place.notna(), "place"] = kind + " " + place.dropna().astype(int).astype(str)
    return mine.assign(encoder=encoder, series="point", run=run)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """The images themselves above; SSLMem against atypicality and UnitMem of the extremes; owners of units below."""
    encoder = table["encoder"].iloc[0]
    mine = table[table["encoder"] == encoder].set_index("series")
    points = mine.loc["point"]
    figure, axes = plotting.panels(rows=1, columns=1, width=11, height=8.6)
    axes[0, 0].remove()
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 2.4]).flat
    strips = above.subfigures(1, 2, squeeze=False).flat
    first = points[points["run"] == 0]
    for strip, kind in zip(strips, ("most", "least"), strict=True):
        strip.suptitle(f"{kind} memorized candidates", fontsize=9)
        grid = strip.subplots(3, 8)
        for place, axis in enumerate(grid.flat):
            row = first[first["place"] == f"{kind} {place}"]
            if len(row):
                plotting.thumbnail(axis, images[int(row["point"].iloc[0])])
            else:
                axis.axis("off")
    (scatter, correlation, extreme), (owner, of_owners, numbers) = below.subplots(2, 3)
    for _, run in points.groupby("run"):
        x, y = (ranks(run[name].to_numpy()) / len(run) for name in ("atypicality", "sslmem"))
        scatter.scatter(x, y, s=6, alpha=0.4, color=plotting.COLOURS["candidate"], linewidths=0)
    scatter.set(title=f"{encoder}: candidates of all seeds", xlabel="atypicality (rank)", ylabel="SSLMem (rank)")
    for axis, series, against in (
        (correlation, "correlation", "atypicality"),
        (of_owners, "correlation of owners", "the highest UnitMem"),
    ):
        rho = mine.loc[series]
        plotting.bars(axis, rho, colours=[plotting.COLOURS[name] for name in rho["layer"]])
        plotting.zero(axis)
        axis.set(title=f"SSLMem against {against}", ylabel="rank correlation")
    for name in ("most memorized", "least memorized", "most, external", "least, external"):
        plotting.profile(extreme, mine.loc[name], label=name, dashed="external" in name)
    extreme.set(title="top 10 % of units on each group", xlabel="layer", ylabel="mean UnitMem")
    for shift, group in ((0.12, "external"), (-0.12, "candidate")):
        each, colour = mine.loc[f"owner, {group}"], plotting.COLOURS[group]
        owner.scatter(each["unitmem"], each["sslmem"], s=7, alpha=0.5, color=colour, linewidths=0, label=group)
        counted = mine.loc[[f"owners, {group}"]]
        plotting.points(numbers, counted["owns"].to_numpy() + shift, counted, colour=colour, label=group, size=4)
    owner.set(title="owners of units of the last layer", xlabel="highest UnitMem of theirs", ylabel="SSLMem")
    numbers.set(title="by number of the top 10 % of units", xlabel="units that a point owns", ylabel="mean SSLMem")
    numbers.xaxis.get_major_locator().set_params(integer=True)
    plotting.zero(numbers)
    for axis in (extreme, owner, numbers):
        plotting.legend(axis)
    return figure
