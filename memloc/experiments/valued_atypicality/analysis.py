"""Whether images that are outliers without regard to the measured encoder are those that it memorizes (Section 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.aliases import Array
from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import rows_of
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued_points import (
    SCORES,
    STRATA,
    WITNESSES,
    Elsewhere,
    Floats,
    Resampled,
    Valued,
    Way,
    by_group,
    by_ways,
    cell_rows,
    crossed_counts,
    draw_cells,
    find_by_witness,
    joined,
    maps_and_forests,
    share_points,
    streams,
    with_ways,
)
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.metrics.stats import Estimate, nest, permutation_p
from memloc.metrics.within import lift_within, lowest_within, within_orders, within_ranks
from memloc.streams import generator

CLAIMS = {
    "memorized": Claim(
        "Images that are outliers by values without the encoder are memorized most: rank correlation within classes or "
        "clusters of minus the value and SSLMem of the output (on complementary halves, what other pairs memorize of "
        "it), candidates",
    ),
    "memorized-excess": Claim(
        "SSLMem and minus the value correlate more on images trained on: rank correlation within classes or clusters, "
        "candidates minus external images",
    ),
    "owners": Claim(
        "Images that are outliers by value own more of the last layer's top 10 % of units: rank correlation within "
        "classes or clusters of minus the value and the number owned (on complementary halves, in minus out, in other "
        "pairs), candidates",
    ),
    "owners-excess": Claim(
        "The number of top units owned and minus the value correlate more on images trained on: rank correlation "
        "within classes or clusters, candidates minus external images",
    ),
    "distance": Claim(
        "Images that are outliers by value are far from shared images in g's features, too: rank correlation within "
        "classes or clusters of minus the value and atypicality (on complementary halves, in other pairs), candidates",
    ),
    "lift": Claim(
        "The most memorized tenth of a class or cluster is among its lowest-valued tenth more often than by chance: "
        "share over that by chance, minus 1, candidates",
    ),
    "lift-excess": Claim(
        "The most memorized tenth of a class or cluster is among its lowest-valued tenth more often for images trained "
        "on: share over that by chance, candidates minus external images",
    ),
}
COLUMNS = {"memorized": 0, "owners": 1, "distance": 2, "lift": 3}
"""Columns of the statistics by claim: rank correlations with SCORES, then the lift."""
TENTH = 0.1
PERMUTATIONS = 1000
"""Random orders of points within their strata, or random choices of who of them is a candidate, behind a p."""
CHUNK = 1 << 22
"""Numbers of exchanged points that are in memory at once."""


def analyse(sheet: Sheet) -> None:
    """Correlations within classes and lift by every way to value; every point's values; cells of extreme candidates."""
    for encoder in sheet.encoders:
        seeds = joined(sheet, encoder)
        ways, shared = seeds[0].ways, share_points(seeds)
        value, drawn, null = by_group(seeds, partial(_statistics, resamples=sheet.options["resamples"]))
        crossed = seeds[0].elsewhere is not None
        if crossed:
            null[0], exchanged = _dealt(seeds), np.full((PERMUTATIONS, *null.shape[1:-1]), np.nan)
        else:
            exchanged = np.mean([_exchanged(*of_seed) for of_seed in zip(seeds, streams(seeds), strict=True)], axis=0)
        # Of candidates, of external images and of their difference, [3, ways, COLUMNS, permutations].
        chance = np.concatenate([null, np.moveaxis(exchanged, 0, -1)[None]])
        correlation = nest(value[..., :3], drawn[..., :3], seed=0, limit=1, shared=shared, crossed=crossed)
        lift = nest(value[..., 3:], drawn[..., 3:], seed=0, shared=shared, crossed=crossed)
        sheet.add(*_rows(correlation, chance[:, :, :3], [*SCORES], ways, encoder=encoder, series="correlation"))
        sheet.add(*_rows(lift, chance[:, :, 3:], ["sslmem"], ways, encoder=encoder, series="lift"))
        n = int(seeds[0].candidates().sum())
        if (other := seeds[0].elsewhere) is not None:
            _find_elsewhere(sheet, encoder, correlation[0], null[0], ways, other, n=n)
        for claim, column in COLUMNS.items() if not crossed else ():
            estimate = correlation[:, :, column] if column < 3 else lift[:, :, 0]
            _find(sheet, claim, encoder, estimate, chance[:, :, column], ways, n=n)
        for run, seed in enumerate(seeds):
            sheet.add(seed.table, encoder=encoder, series="point", run=run)
        if encoder == sheet.encoders[0]:
            cells = cell_rows(seeds[0], _extremes(seeds[0], sheet.options["shown"]), patch=sheet.options["patch"])
            sheet.add(cells, encoder=encoder, series="cell")


def _find_elsewhere(
    sheet: Sheet, encoder: str, estimate: Estimate, null: Floats, ways: Sequence[Way], other: Elsewhere, *, n: int
) -> None:
    """Findings on complementary halves: a claim has to hold with every ratio, either w and every witness.

    In and out are crossed over already, so there is no excess to ask for; and the lift tells of the same images and
    numbers what the correlation does.

    Args:
        estimate, null: of candidates, [ways, SCORES] and [ways, COLUMNS, deals].
    """
    at = [k for k, way in enumerate(ways) if (way.space, way.labelling) in WITNESSES]
    reliability = other.reliability()
    for column, (claim, score) in enumerate(zip(("memorized", "owners", "distance"), SCORES, strict=True)):
        places = [ways[k].name for k in at]
        told: dict[str, Any] = {"n": n, "null": null[at, column], "reliability": reliability[score]}
        sheet.find_in_every(claim, encoder, estimate[at, column], places, **told)
    rows = {"measure": [*reliability], "value": [*reliability.values()]}
    sheet.add(pd.DataFrame(rows), encoder=encoder, series="reliability")


def _dealt(seeds: Sequence[Valued]) -> Floats:
    """Statistics of candidates where nothing is memorized, averaged over seeds: [ways, COLUMNS, PERMUTATIONS]."""
    other = seeds[0].elsewhere
    assert other is not None
    pool = other.every.pool.points
    dealt = np.stack([*other.dealt(PERMUTATIONS)])
    out: Floats = np.zeros((len(seeds[0].ways), len(COLUMNS), PERMUTATIONS))
    for pair, seed in enumerate(seeds):
        rows = seed.table["group"] == "candidate"
        at = np.searchsorted(pool, seed.table.loc[rows, "point"])
        scores, parts = dealt[:, :, pair, at], []
        ones = np.ones((len(at), 1))
        for labelling, column in STRATA.items():
            strata = seed.table.loc[rows, column].to_numpy()
            values = _columns(seed, labelling)[:-3, rows]
            z = within_ranks(values, strata, ones)[..., 0]
            rho = [z @ within_ranks(scores[:, k], strata, ones)[..., 0].T for k in range(3)]
            lowest, most = (
                np.stack([lowest_within(-row, strata, TENTH) for row in some]).astype(np.float64)
                for some in (values, scores[:, 0])
            )
            parts.append(np.stack([*rho, lowest @ most.T / _by_chance(lowest[0], most[0], strata) - 1], axis=1))
        out += np.concatenate(parts) / len(seeds)
    return out


def _by_chance(lowest: Floats, most: Floats, strata: NDArray[np.int64]) -> float:
    """How many points are among both by chance."""
    return float(sum(lowest[strata == c].sum() * most[strata == c].mean() for c in np.unique(strata)))


def _find(
    sheet: Sheet, claim: str, encoder: str, estimate: Estimate, chance: Floats, ways: Sequence[Way], *, n: int
) -> None:
    """Findings on a claim and, where there is one, on its excess.

    Args:
        estimate: [CANDIDATE_AND_NULL, ways].
        chance: of both and of their difference, [3, ways, permutations].
    """
    effects = {claim: (estimate[0], chance[0])}
    if f"{claim}-excess" in CLAIMS:
        effects[f"{claim}-excess"] = (estimate[0] - estimate[1], chance[2])
    for witness in WITNESSES:
        for name, (effect, null) in effects.items():
            p = permutation_p(effect.value, null)
            find_by_witness(sheet, name, encoder, effect, ways, witness, n=n, p=p)


def _columns(seed: Valued, labelling: str) -> Floats:
    """Minus the values of the ways whose learners predict a labelling, then SCORES: [k + 3, points]."""
    values, scores = (seed.table[names].to_numpy(np.float64).T for names in (seed.columns(labelling), [*SCORES]))
    return np.concatenate([-values, scores])


def _correlations(columns: Floats, strata: NDArray[np.int64], counts: Array) -> Floats:
    """Rank correlations within strata of the first columns with the last three: [r, k, 3] of counts [r, points]."""
    z = within_ranks(columns, strata, counts.T)
    return np.stack([np.einsum("knr,nr->rk", z[:-3], counts.T * other) for other in z[-3:]], axis=-1)


def _statistics(seed: Valued, group: str, stream: int, *, resamples: int) -> Resampled:
    """Of a group, by way to value: rank correlation of minus the value with each of SCORES, and lift minus 1.

    Returns:
        [ways, 4]; the null is that of points put into random orders within their strata.
    """
    rows = seed.table["group"] == group
    parts, points = [], seed.table.loc[rows, "point"].to_numpy()
    every = points if seed.elsewhere is None else seed.elsewhere.points(group)
    for labelling, column in STRATA.items():
        strata, columns = seed.table.loc[rows, column].to_numpy(), _columns(seed, labelling)[:, rows]
        rng = generator("valued", stream, group)
        counts = crossed_counts(points, every, resamples, rng, columns=len(columns))
        parts.append(_of_labelling(columns, strata, counts, rng))
    return Resampled.concatenated(parts, axis=-2)


def _share(counts: Array) -> Floats:
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _of_labelling(
    columns: Floats, strata: NDArray[np.int64], counts: Iterable[Array], rng: np.random.Generator
) -> Resampled:
    """The statistics of the ways of one labelling. Lowest and most memorized are not chosen again in resamples."""
    values, memorized, points = columns[:-3], columns[-3], columns.shape[1]
    everyone = np.ones((1, points), dtype=np.bool_)
    lowest = np.stack([lowest_within(-row, strata, TENTH) for row in values]).astype(np.float64)
    most = lowest_within(-memorized, strata, TENTH).astype(np.float64)
    by_chance = _by_chance(lowest[0], most, strata)
    drawn = [
        _beside(_correlations(columns, strata, c), _share(c) @ (lowest * most).T * points / by_chance - 1)
        for c in counts
    ]
    orders = within_orders(strata, PERMUTATIONS, rng)
    z = within_ranks(columns, strata, np.ones((points, 1)))[..., 0]
    rho = np.stack([z[:-3] @ row[orders].T for row in z[-3:]], axis=-1)
    null = _beside(rho, lowest @ most[orders].T / by_chance - 1).swapaxes(0, 1)
    lift = lift_within(-values, -memorized, everyone, strata, TENTH)
    return Resampled(_beside(_correlations(columns, strata, everyone), lift)[0], np.concatenate(drawn), null)


def _beside(correlations: Floats, lift: Floats) -> Floats:
    """Correlations [..., 3] and lift [...] as [..., 4]."""
    return np.concatenate([correlations, lift[..., None]], axis=-1)


def _exchanged(seed: Valued, stream: int) -> Floats:
    """What candidates have above external images if it is random which points of a stratum are the candidates.

    f was trained on candidates and not on external images, and nothing else tells them apart.

    Returns:
        [PERMUTATIONS, ways, 4].
    """
    parts = []
    for labelling, column in STRATA.items():
        strata, columns = seed.table[column].to_numpy(), _columns(seed, labelling)
        orders = within_orders(strata, PERMUTATIONS, generator("exchanged", stream))
        candidate = seed.candidates()[orders]
        rows = []
        step = max(1, CHUNK // columns.size)
        for start in range(0, PERMUTATIONS, step):
            sides = []
            for inside in (candidate[start : start + step], ~candidate[start : start + step]):
                lift = lift_within(-columns[:-3], -columns[-3], inside, strata, TENTH)
                sides.append(_beside(_correlations(columns, strata, inside), lift))
            rows.append(sides[0] - sides[1])
        parts.append(np.concatenate(rows))
    return np.concatenate(parts, axis=1)


def _rows(
    estimate: Estimate, chance: Floats, names: Sequence[str], ways: Sequence[Way], **about: str
) -> list[pd.DataFrame]:
    """A row for each group, way to value and score, and for candidates minus external images.

    Args:
        estimate: [CANDIDATE_AND_NULL, ways, names].
        chance: of both and of their difference, [3, ways, names, permutations].
    """
    sides = [
        *zip(CANDIDATE_AND_NULL, (estimate[0], estimate[1]), strict=True),
        ("difference", estimate[0] - estimate[1]),
    ]
    tables = []
    for (group, side), null in zip(sides, chance, strict=True):
        for k, way in enumerate(ways):
            rows = rows_of(side[k], names, **about, group=group, name=way.name).rename(columns={"layer": "measure"})
            tables.append(with_ways(rows.assign(p=permutation_p(side[k].value, null[k])), ways))
    return tables


def _extremes(seed: Valued, size: int) -> list[tuple[str, int]]:
    """Rows of the most memorized candidates, of those of lowest value in their class, and of those in its middle."""
    rows = seed.table[seed.candidates()]
    value, labels = rows[seed.map_way().name].to_numpy(np.float64), rows["label"].to_numpy()
    z = within_ranks(value[None], labels, np.ones((len(rows), 1)))[0, :, 0]
    orders = {"most memorized": -rows["chosen"].to_numpy(), "most atypical": z, "typical": np.abs(z)}
    return [
        (strip, int(rows.index[place]))
        for strip, order in orders.items()
        for place in np.argsort(order, kind="stable")[:size]
    ]


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Maps of cells above; correlations and lift of every way to value below."""
    encoder = table["encoder"].iloc[0]
    by_series = table[table["encoder"] == encoder].set_index("series")
    correlations, lifts = (by_series.loc[[name]] for name in ("correlation", "lift"))
    cells = by_series.loc[["cell"]]
    figure, above, below = maps_and_forests(cells, rows=correlations["name"].nunique())
    draw_cells(above.subplots(), cells, images)
    above.suptitle(
        f"{plotting.plain(encoder)}, first seed: are images of low value memorized?", x=0.01, ha="left", fontsize=8.5
    )
    panels = below.subplots(1, len(COLUMNS), sharey=True)
    shown = [correlations[correlations["measure"] == score] for score in SCORES]
    titles = ["Memorized more?", "Owners of top units?", "Far from others?", "Lowest tenth among most?"]
    words = [f"rank correlation with\n{name}" for name in SCORES.values()] + ["share over chance,\nminus 1"]
    colours = {group: plotting.COLOURS[group] for group in CANDIDATE_AND_NULL}
    for panel, rows, title, label in zip(panels, [*shown, lifts], titles, words, strict=True):
        by_ways(panel, {g: rows[rows["group"] == g] for g in CANDIDATE_AND_NULL}, colours=colours, null=0)
        panel.set(title=title, xlabel=label)
    plotting.one_scale(panels[:-1])
    plotting.key(figure, dict(zip(("images trained on", "images never seen"), colours.values(), strict=True)))
    return figure
