"""What the experiments on valued points have in common: values beside scores, and maps of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from memloc.aliases import Array
from memloc.analysis import plotting
from memloc.analysis.claims import Finding
from memloc.analysis.dots import shifts
from memloc.analysis.halves import Memorized, in_minus_out, memorized, reliability_of_mean
from memloc.analysis.inputs import Arrays
from memloc.analysis.sheet import Sheet
from memloc.analysis.units import owners_of_top
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.errors import InputError
from memloc.metrics.pairs import deal, elsewhere, gains
from memloc.metrics.stats import Estimate
from memloc.metrics.within import within_orders
from memloc.streams import generator
from memloc.valuation.points import SPACES

STRATA = {"classes": "label", "clusters": "cluster"}
"""For each labelling that learners predict, the column of the points' labels. Values are compared among points of one
label: what sets labels apart sets their values apart, too. Clusters so need no label anywhere."""
WITNESSES = [(space, labelling) for space in SPACES if space != "f" for labelling in STRATA]
"""Values that claims are about: f's own features are not a witness."""
SCORES = {"sslmem": "SSLMem", "owned": "top units owned", "distance": "distance to neighbours"}
"""Scores of points that values are compared with, and their names."""
LOWEST = 5
"""Cells of an image that count as its lowest."""
CHUNK = 1 << 20
"""Numbers computed from counts that are in memory at once."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Way:
    """A way to value a point.

    Attributes:
        labelling: what learners predict, a key of STRATA.
        space: what they predict it from, one of SPACES.
        ratio: share of the cells that each learner sees.
        w: 0 (accuracy) or 1 (accuracy and closeness to the class).
    """

    labelling: str
    space: str
    ratio: float
    w: int

    @property
    def row(self) -> str:
        """Its name where something else tells ratios apart."""
        return f"{'f, a contrast' if self.space == 'f' else self.space}, {self.labelling}, w = {self.w}"

    @property
    def name(self) -> str:
        """Its full name."""
        return self.row.replace("w =", f"ratio {self.ratio:g}, w =")


@dataclass(frozen=True)
class Elsewhere:
    """Scores of single images by pair on complementary halves, and what the other pairs say of each.

    Attributes:
        every: what is memorized.
        owned: top units owned in minus out, [pairs, images of the pool]; of external images in f minus g.
        distance: atypicality to the encoder that hasn't seen an image.
        external: those two of external images, [2, pairs, images].
    """

    every: Memorized
    owned: Floats
    distance: Floats
    external: Floats

    def points(self, group: str) -> NDArray[np.int64]:
        """The images that candidates are drawn from, or external ones."""
        return self.every.pool.points if group == "candidate" else self.every.points

    def reliability(self) -> dict[str, float]:
        """By key of SCORES, that of the mean of all pairs but one."""
        labels, others = self.every.pool.labels, len(self.owned) - 1
        parts = dict(zip(SCORES, (self.every.gains, self.owned, self.distance), strict=True))
        return {name: reliability_of_mean(values, labels, others) for name, values in parts.items()}

    def scores(self, pair: int) -> pd.DataFrame:
        """SCORES of every image by the other pairs, by point."""
        of_pool = (self.every.gains, self.owned, self.distance)
        of_external = (self.every.external, *self.external)
        points = np.concatenate([self.every.pool.points, self.every.points])
        columns = {
            name: np.concatenate([elsewhere(one)[pair], elsewhere(two)[pair]])
            for name, one, two in zip(SCORES, of_pool, of_external, strict=True)
        }
        return pd.DataFrame(columns, index=points)

    def dealt(self, deals: int) -> Iterator[Floats]:
        """SCORES of images of the pool by the other pairs, where nothing is memorized: [SCORES, pairs, images] each.

        Membership is dealt anew within every class of every pair; distances to images of the same class.
        """
        sslmem, inside, labels = self.every.scores
        rng = generator("dealt elsewhere")
        for _ in range(deals):
            members = deal(inside, labels, rng)
            owned = np.where(members == inside, self.owned, -self.owned)
            order = within_orders(labels, 1, rng)[0]
            parts = (gains(sslmem, members, labels), owned, self.distance[:, order])
            yield np.stack([elsewhere(part) for part in parts])


@dataclass(frozen=True)
class Valued:
    """Points of one seed.

    Attributes:
        table: a point a row: scores, and values in columns named as the ways are.
        values: the arrays behind, in the same order.
        ways: to value, those of the classes first.
        elsewhere: where scores are those of other pairs, all pairs' scores; None where they are the seed's own.
    """

    table: pd.DataFrame
    values: Arrays
    ways: Sequence[Way]
    elsewhere: Elsewhere | None = None

    def map_way(self) -> Way:
        """The way that maps of cells are drawn of: by pixels and classes, the last of the ratios, w = 1."""
        return [way for way in self.ways if (way.labelling, way.space, way.w) == ("classes", "pixels", 1)][-1]

    def columns(self, labelling: str) -> list[str]:
        """Columns of the values whose learners predict a labelling."""
        return [way.name for way in self.ways if way.labelling == labelling]

    def candidates(self) -> NDArray[np.bool_]:
        """Which of the points are candidates."""
        return np.asarray(self.table["group"] == "candidate")


def joined(sheet: Sheet, encoder: str) -> list[Valued]:
    """By seed, each valued point with its scores and its values, in the order of the values' arrays.

    Columns: ``sslmem``, that of the encoder's output on the half of the draws that chose nothing, and ``chosen`` on the
    other half; ``owned``, how many of the last layer's top 10 % of units are the point's among its group; ``distance``,
    atypicality.

    On complementary halves all four are the other pairs': what an image's training does to it on average over them, and
    no encoder stands behind both value and score.

    Raises:
        InputError: scores and values are of other points, or seeds are valued with other ratios.
    """
    tables = [sheet.scores(name, encoder) for name in ("points", "atypicality")]
    units = sheet.inputs.by_seed(encoder, sheet.scores("units", encoder))
    arrays = sheet.arrays("values", encoder, same=["ratios"])
    f_units = [of_seed[0] for of_seed in units]
    seeds = [_joined(encoder, *of_seed) for of_seed in zip(*tables, f_units, arrays, strict=True)]
    every = memorized(sheet, encoder)
    if every is None:
        return seeds
    other = _elsewhere(every, units, tables[1])
    return [_with_scores(seed, other, pair) for pair, seed in enumerate(seeds)]


def _elsewhere(
    every: Memorized, units: Sequence[tuple[pd.DataFrame, ...]], atypicality: Sequence[pd.DataFrame]
) -> Elsewhere:
    pool = every.pool
    distance = [table.set_index("point")["atypicality"] for table in atypicality]
    counts = [[_owned(table, "external").reindex(every.points, fill_value=0) for table in of_pair] for of_pair in units]
    return Elsewhere(
        every,
        in_minus_out(pool, units, _owned),
        np.stack([of.loc[pool.points.tolist()].to_numpy(np.float64) for of in distance]),
        np.array(
            [
                [(f - g).to_numpy(np.float64) for f, g in counts],
                [of.loc[every.points.tolist()].to_numpy(np.float64) for of in distance],
            ]
        ).astype(np.float64),
    )


def _owned(units: pd.DataFrame, group: str) -> pd.Series:
    """How many top units of the last layer each image owns that owns one."""
    return owners_of_top(units, group).value_counts()


def _with_scores(seed: Valued, other: Elsewhere, pair: int) -> Valued:
    scores = other.scores(pair).loc[seed.table["point"]].reset_index(drop=True)
    table = seed.table.assign(**scores, chosen=scores["sslmem"])
    return replace(seed, table=table, elsewhere=other)


def _joined(
    encoder: str,
    points: pd.DataFrame,
    atypicality: pd.DataFrame,
    units: pd.DataFrame,
    values: Arrays,
) -> Valued:
    last = points[points["layer"] == points["layer"].iloc[-1]].set_index("point")
    distance = atypicality[atypicality["group"].isin(CANDIDATE_AND_NULL)].set_index("point")["atypicality"]
    valued = values["points"]
    if not (np.isin(valued, last.index).all() and set(valued) == set(distance.index)):
        raise InputError(f"{encoder}: values and scores are of different points; delete both and run snakemake again")
    owners = pd.concat([owners_of_top(units, group) for group in CANDIDATE_AND_NULL]).value_counts()
    about = {
        "point": valued,
        "group": values["groups"],
        "label": values["classes"],
        "cluster": values["clusters"],
        "planted": values["planted"],
        "sslmem": last["sslmem_score"][valued].to_numpy(),
        "chosen": last["sslmem_choose"][valued].to_numpy(),
        "owned": owners.reindex(valued, fill_value=0).to_numpy(),
        "distance": distance[valued].to_numpy(),
    }
    ways = {
        Way(labelling, space, float(ratio), w): values[f"{space}/{labelling}/rows"][r, w]
        for labelling in STRATA
        for space in SPACES
        for r, ratio in enumerate(values["ratios"])
        for w in (0, 1)
    }
    table = pd.DataFrame(about | {way.name: rows for way, rows in ways.items()})
    return Valued(table, values, list(ways))


@dataclass(frozen=True)
class Resampled:
    """A statistic with its resamples and its null.

    Attributes:
        value: [...].
        drawn: of resampled points, [resamples, ...].
        null: of what chance makes, [permutations, ...].
    """

    value: Floats
    drawn: Floats
    null: Floats

    @classmethod
    def concatenated(cls, parts: Sequence[Resampled], axis: int) -> Resampled:
        """Parts side by side along an axis, counted from the last."""
        values, drawn, null = ([getattr(part, name) for part in parts] for name in ("value", "drawn", "null"))
        return cls(*(np.concatenate(arrays, axis=axis) for arrays in (values, drawn, null)))


def by_group(
    seeds: Sequence[Valued], statistic: Callable[[Valued, str, int], Resampled]
) -> tuple[Floats, Floats, Floats]:
    """A statistic of each seed and group.

    Args:
        statistic: of a seed's points, group and number of the random stream.

    Returns:
        Values [seeds, groups, ...], resamples [seeds, resamples, groups, ...], and the null averaged over seeds
        [groups, ..., permutations].
    """
    every = [
        [statistic(seed, group, stream) for group in CANDIDATE_AND_NULL]
        for seed, stream in zip(seeds, streams(seeds), strict=True)
    ]
    value, drawn, null = (
        np.array([[getattr(group, name) for group in seed] for seed in every]) for name in ("value", "drawn", "null")
    )
    return value, np.moveaxis(drawn, 2, 1), np.moveaxis(null.mean(axis=0), 1, -1)


def streams(seeds: Sequence[Valued]) -> list[int]:
    """The number of each seed's random stream: seeds that share their points have them resampled alike."""
    return [0 if share_points(seeds) or seeds[0].elsewhere else number for number in range(len(seeds))]


def share_points(seeds: Sequence[Valued]) -> bool:
    """Whether all seeds have the same points, as those of one split do."""
    return all(set(seed.table["point"]) == set(seeds[0].table["point"]) for seed in seeds)


def find_by_witness(
    sheet: Sheet,
    claim: str,
    encoder: str,
    estimate: Estimate,
    ways: Sequence[Way],
    witness: tuple[str, str],
    *,
    n: int,
    p: Floats | None = None,
) -> None:
    """Add a finding on a claim that an effect is there with every ratio and either w, of one witness.

    Args:
        estimate: [ways].
        witness: space and labelling.
        p: [ways] of permutations, of which the largest counts.
    """
    at = [k for k, way in enumerate(ways) if (way.space, way.labelling) == witness]
    finding = Finding.of_every(claim, encoder, estimate[at], [ways[k].name for k in at], n=n)
    sheet.findings.append(finding if p is None else replace(finding, p=float(p[at].max())))


def with_ways(table: pd.DataFrame, ways: Sequence[Way]) -> pd.DataFrame:
    """The table's rows with ratio and row of the way in column ``name``; any other name is a row by itself."""
    by_name = {way.name: way for way in ways}
    matches = [by_name.get(name) for name in table["name"]]
    return table.assign(
        ratio=[way.ratio if way else np.nan for way in matches],
        row=[way.row if way else name for way, name in zip(matches, table["name"], strict=True)],
    )


def cell_rows(seed: Valued, chosen: Sequence[tuple[str, int]], *, patch: int) -> pd.DataFrame:
    """Cells by pixels, classes and the last ratio of some points, a row a cell and w.

    Args:
        chosen: strip of the figure, and row of the point in the arrays.
        patch: side of a cell.
    """
    values = seed.values
    cells = values["pixels/classes/cells"][-1]
    places: dict[str, int] = {}
    tables = []
    for strip, row in chosen:
        places[strip] = places.get(strip, -1) + 1
        about = {"strip": strip, "place": places[strip], "point": values["points"][row], "patch": patch}
        for w in (0, 1):
            of_cells = {"value": cells[w, row], "patched": values["patched"][row]}
            tables.append(pd.DataFrame({**about, "w": w, "cell": np.arange(cells.shape[2]), **of_cells}))
    return pd.concat(tables, ignore_index=True)


def maps_and_forests(cells: pd.DataFrame, *, rows: int) -> tuple[Figure, SubFigure, SubFigure]:
    """A figure with space for maps of cells above, and below for forests of so many rows."""
    strips, columns = cells["strip"].nunique(), int(cells["place"].max()) + 1
    heights = [0.4 + min(3.7, 26 * strips / columns), 1.0 + 0.15 * rows]
    figure, axes = plotting.panels(rows=1, columns=1, height=sum(heights))
    axes[0, 0].remove()
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).flat
    return figure, above, below


def draw_cells(axis: Axes, cells: pd.DataFrame, images: NDArray[np.uint8]) -> None:
    """Strips of images, below each two maps of its cells (w = 0, w = 1): redder is further below the image's mean.

    One scale for all images of one w. All in one picture: hundreds of axes would take a minute to lay out.
    """
    cells = cells.astype({"place": int, "point": int, "w": int, "cell": int, "patch": int})
    depth = cells["value"] - cells.groupby(["strip", "place", "w"])["value"].transform("mean")
    most = (-depth).groupby(cells["w"]).max().clip(lower=1e-12)
    cells = cells.assign(depth=(-depth).clip(lower=0) / cells["w"].map(most))
    strips, side = list(dict.fromkeys(cells["strip"])), images.shape[-1]
    step, gap = side + max(1, side // 16), side // 3
    height, columns = 3 * step + gap, int(cells["place"].max()) + 1
    canvas = np.ones((len(strips) * height, columns * step, 3))
    key: Any
    for key, rows in cells.groupby(["strip", "place", "w"], sort=False):
        strip, place, w = key
        rows = rows.sort_values("cell")
        image = images[rows["point"].iloc[0]].transpose(1, 2, 0) / 255.0
        image = np.broadcast_to(image, (side, side, 3)) if image.shape[2] == 1 else image
        for number, picture in ((0, image), (1 + w, _reddened(image, rows))):
            y, x = strips.index(strip) * height + number * step, place * step
            canvas[y : y + side, x : x + side] = picture
            _outline(axis, rows, x, y)
    axis.imshow(canvas, interpolation="nearest")
    ticks = [
        (s * height + k * step + side / 2, label)
        for s, strip in enumerate(strips)
        for k, label in enumerate((strip, "w = 0", "w = 1"))
    ]
    axis.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
    axis.set_xticks([])
    axis.grid(visible=False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _reddened(image: Floats, cells: pd.DataFrame) -> Floats:
    """An image [side, side, 3] under the map of its cells, by ``depth``."""
    patch, across, side = int(cells["patch"].iloc[0]), round(len(cells) ** 0.5), len(image)
    shade = 0.85 * np.kron(cells["depth"].to_numpy().reshape(across, across), np.ones((patch, patch)))
    shade = shade[:side, :side, None]
    return np.asarray((1 - shade) * image + shade * np.array([0.9, 0.1, 0.1]))


def _outline(axis: Axes, cells: pd.DataFrame, x: int, y: int) -> None:
    """A frame around the patched cells of an image at x, y, if it has any."""
    inside = cells.loc[cells["patched"].astype(bool), "cell"].to_numpy()
    if len(inside) == 0:
        return
    patch, across = int(cells["patch"].iloc[0]), round(len(cells) ** 0.5)
    rows, columns = inside // across, inside % across
    corner = (x + patch * columns.min() - 0.5, y + patch * rows.min() - 0.5)
    height, width = (patch * (places.max() + 1 - places.min()) for places in (rows, columns))
    axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="#00c8ff", linewidth=0.9))


def resample_counts(
    strata: Array, resamples: int, rng: np.random.Generator, *, columns: int
) -> Iterator[NDArray[np.int64]]:
    """How often each of so many resamples has each point, some resamples at a time; each stratum keeps its size.

    Args:
        strata: [n].
        columns: how many numbers are computed from a count at once.

    Yields:
        [some, n].
    """
    step = max(1, CHUNK // (len(strata) * columns))
    for start in range(0, resamples, step):
        counts = np.empty((min(step, resamples - start), len(strata)), dtype=np.int64)
        for stratum in np.unique(strata):
            rows = np.flatnonzero(strata == stratum)
            counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=len(counts))
        yield counts


def crossed_counts(
    points: Array, every: Array, resamples: int, rng: np.random.Generator, *, columns: int
) -> Iterator[NDArray[np.int64]]:
    """How often each of so many resamples of all images has each of some points, as ``resample_counts``.

    The same random numbers give every seed the same resamples, whichever of the images it has.
    """
    at = np.searchsorted(np.sort(every), points)
    for counts in resample_counts(np.zeros(len(every)), resamples, rng, columns=columns):
        yield counts[:, at]


def by_ways(
    axis: Axes, series: Mapping[str, pd.DataFrame], *, colours: Mapping[str, str], null: float, scores: str = ""
) -> None:
    """A row a way to value, below its witness, and several series in it; the contrast by f is left to the table.

    Args:
        series: by label, rows with row, ratio, value, low and high.
        colours: by label.
        null: what chance gives, a line.
        scores: what stands above rows of scores, which have no ratio.
    """
    for shift, (label, rows) in zip(shifts(len(series), 0.3), series.items(), strict=True):
        shown = rows[~rows["row"].str.startswith("f, ")]
        names, groups = [], []
        for row, ratio in zip(shown["row"], shown["ratio"], strict=True):
            space, _, rest = row.partition(", ")
            labelling, _, w = rest.partition(", ")
            names.append(row if np.isnan(ratio) else f"ratio {ratio:g}, {w}")
            groups.append(scores if np.isnan(ratio) else f"{_SPACES[space]}, {labelling}")
        plotting.forest(axis, shown, names, groups=groups, colours=colours[label], shift=shift, null=null)


_SPACES = {"pixels": "by pixels", "g": "by features of g"}
