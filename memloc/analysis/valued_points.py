"""What the experiments on valued points have in common: values beside scores, and maps of cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from memloc.analysis.claims import Finding
from memloc.analysis.inputs import Inputs
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.errors import InputError
from memloc.experiments.atypicality.analysis import owners_of_top
from memloc.metrics.stats import Estimate
from memloc.valuation.points import LABELLINGS, SPACES

WITNESSES = [(space, labels) for space in SPACES if space != "f" for labels in LABELLINGS]
"""Values that claims are told by: f's own features are no witness."""
STRATA = {"classes": "label", "clusters": "cluster"}
"""By what learners tell apart, the column within whose groups their values are compared: what sets these apart sets
their values apart, too. Clusters so ask for no label anywhere."""
MEASURES = {"sslmem": "SSLMem", "owned": "top units owned", "distance": "distance to neighbours"}
LOWEST = 5
"""Cells of an image that count as its lowest."""


@dataclass(frozen=True)
class Way:
    """A way to value a point.

    Attributes:
        labels: what learners tell apart, one of LABELLINGS.
        space: by what, one of SPACES.
        ratio: share of the cells that each one sees.
        w: 0 (accuracy) or 1 (accuracy and closeness to the class).
    """

    labels: str
    space: str
    ratio: float
    w: int

    @property
    def row(self) -> str:
        """What it is called where ratios are told apart otherwise."""
        return f"{'f, a contrast' if self.space == 'f' else self.space}, {self.labels}, w = {self.w}"

    @property
    def name(self) -> str:
        """What it is called."""
        return self.row.replace("w =", f"ratio {self.ratio:g}, w =")


@dataclass(frozen=True)
class Valued:
    """Points of one seed.

    Attributes:
        table: a point a row: scores, and values in columns named as the ways are.
        values: the arrays behind, in the same order.
        ways: to value, those of the classes first.
    """

    table: pd.DataFrame
    values: Mapping[str, NDArray[Any]]
    ways: Sequence[Way]

    def shown(self) -> Way:
        """The one that maps of cells are drawn of: by pixels and classes, the last of the ratios, w = 1."""
        return [way for way in self.ways if (way.labels, way.space, way.w) == ("classes", "pixels", 1)][-1]


def joined(inputs: Inputs, encoder: str) -> list[Valued]:
    """By seed, each valued point with its scores and its values, in the order of the values' arrays.

    ``sslmem`` is that of the encoder's output on the half of the draws that chose nothing, ``chosen`` on the other;
    ``owned`` how many of the last layer's top 10 % of units are the point's among its group; ``distance`` atypicality.

    Raises:
        InputError: scores and values are of other points, or seeds are valued otherwise.
    """
    seeds = []
    names = ("points", "atypicality", "units")
    tables = [inputs.tables(name, encoder) for name in names]
    arrays = inputs.arrays("values", encoder, same=["ratios"])
    for points, atypicality, units, values in zip(*tables, arrays, strict=True):
        last = points[points["layer"] == points["layer"].iloc[-1]].set_index("point")
        distance = atypicality.set_index("point")["atypicality"]
        valued = values["points"]
        if not (np.isin(valued, last.index).all() and set(valued) == set(distance.index)):
            raise InputError(f"{encoder}: values and scores are of other points; delete both and run snakemake again")
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
            Way(labels, space, float(ratio), w): values[f"{space}/{labels}/rows"][r, w]
            for labels, space in product(LABELLINGS, SPACES)
            for r, ratio in enumerate(values["ratios"])
            for w in (0, 1)
        }
        table = pd.DataFrame(about | {way.name: rows for way, rows in ways.items()})
        seeds.append(Valued(table, values, list(ways)))
    return seeds


def columns_of(ways: Sequence[Way], labels: str) -> list[str]:
    """Columns of the values whose learners tell ``labels`` apart."""
    return [way.name for way in ways if way.labels == labels]


def places(ways: Sequence[Way], space: str, labels: str) -> list[int]:
    """Where the ways of a space and labels stand: every ratio, w = 0 and w = 1."""
    return [k for k, way in enumerate(ways) if (way.space, way.labels) == (space, labels)]


def told(
    claim: str,
    encoder: str,
    estimate: Estimate,
    ways: Sequence[Way],
    witness: tuple[str, str],
    *,
    n: int,
    p: NDArray[np.float64] | None = None,
) -> Finding:
    """A claim that holds with every ratio and either w: the one that is least sure of it speaks.

    Args:
        estimate: [ways].
        witness: space and labels.
        p: [ways] of permutations; the largest is asked for.
    """
    at = places(ways, *witness)
    found = Finding.of_every(claim, encoder, estimate[at], [ways[k].name for k in at], n=n)
    return found if p is None else replace(found, p=float(p[at].max()))


def with_ways(table: pd.DataFrame, ways: Sequence[Way]) -> pd.DataFrame:
    """The table's rows with ratio and row of the way that ``name`` names; what is no way is a row by itself."""
    known = {way.name: way for way in ways}
    found = [known.get(name) for name in table["name"]]
    return table.assign(
        ratio=[way.ratio if way else np.nan for way in found],
        row=[way.row if way else name for way, name in zip(found, table["name"], strict=True)],
    )


def cell_rows(seed: Valued, chosen: Sequence[tuple[str, int]], *, patch: int, encoder: str) -> pd.DataFrame:
    """Cells by pixels, classes and the last ratio of some points, a row a cell and w.

    Args:
        seed: points of one.
        chosen: strip of the figure that it stands in, and row in the arrays.
        patch: side of a cell.
    """
    values = seed.values
    cells = values["pixels/classes/cells"][-1]
    count = cells.shape[2]
    number: dict[str, int] = {}
    tables = []
    for strip, row in chosen:
        number[strip] = number.get(strip, -1) + 1
        about = {"strip": strip, "place": number[strip], "point": values["points"][row], "patch": patch}
        for w in (0, 1):
            of = {"w": w, "cell": np.arange(count), "value": cells[w, row], "patched": values["patched"][row]}
            tables.append(pd.DataFrame({**about, **of}))
    return pd.concat(tables, ignore_index=True).assign(encoder=encoder, series="cell")


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
    columns = int(cells["place"].max()) + 1
    canvas = np.ones((len(strips) * (3 * step + gap), columns * step, 3))
    marks = []
    key: Any
    for key, mine in cells.groupby(["strip", "place", "w"], sort=False):
        strip, place, w = key
        mine = mine.sort_values("cell")
        y, x = strips.index(strip) * (3 * step + gap), place * step
        image = images[mine["point"].iloc[0]].transpose(1, 2, 0) / 255.0
        image = np.broadcast_to(image, (side, side, 3)) if image.shape[2] == 1 else image
        patch, across = int(mine["patch"].iloc[0]), round(len(mine) ** 0.5)
        shade = 0.85 * np.kron(mine["depth"].to_numpy().reshape(across, across), np.ones((patch, patch)))
        shade = shade[:side, :side, None]
        for number, picture in ((0, image), (1 + w, (1 - shade) * image + shade * np.array([0.9, 0.1, 0.1]))):
            canvas[y + number * step : y + number * step + side, x : x + side] = picture
            marks += [(number, y, x, mine["cell"].to_numpy()[mine["patched"].astype(bool)], patch, across)]
    axis.imshow(canvas, interpolation="nearest")
    for number, y, x, inside, patch, across in marks:
        if len(inside):
            row, column = inside.min() // across * patch, (inside % across).min() * patch
            height, width = (inside.max() // across + 1) * patch - row, ((inside % across).max() + 1) * patch - column
            corner = (x + column - 0.5, y + number * step + row - 0.5)
            axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="#00c8ff", linewidth=0.9))
    ticks = [
        (s * (3 * step + gap) + k * step + side / 2, said)
        for s, strip in enumerate(strips)
        for k, said in enumerate((strip, "w = 0", "w = 1"))
    ]
    axis.set_yticks([at for at, _ in ticks], [said for _, said in ticks], fontsize=8)
    axis.set_xticks([])
    axis.grid(visible=False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def resamples(
    strata: NDArray[Any], replicates: int, rng: np.random.Generator, *, columns: int
) -> Iterator[NDArray[Any]]:
    """How often each of so many resamples holds each point, some resamples at a time; each stratum on its own.

    Args:
        strata: [n].
        columns: what is to be made of a count at once.

    Yields:
        [some, n].
    """
    step = max(1, CHUNK // (len(strata) * columns))
    for start in range(0, replicates, step):
        counts = np.empty((min(step, replicates - start), len(strata)), dtype=np.int64)
        for stratum in np.unique(strata):
            mine = np.flatnonzero(strata == stratum)
            counts[:, mine] = rng.multinomial(len(mine), np.full(len(mine), 1 / len(mine)), size=len(counts))
        yield counts


CHUNK = 1 << 20
"""Numbers made of counts that are in memory at once."""


def kinds_of(groups: Mapping[str, str], ratios: Sequence[float]) -> dict[str, dict[str, Any]]:
    """Marks by group, in its colour, and ratio, the fuller the larger; groups alone for what has no ratio."""
    kinds = {}
    for number, (group, colour) in enumerate(groups.items()):
        for place, ratio in enumerate(ratios):
            # The first of several is an outline, the last one full.
            share = place / (len(ratios) - 1) if len(ratios) > 1 else 1.0
            face = tuple(1 - share * (1 - part) for part in to_rgb(colour))
            kinds[kind_of(group, ratio)] = {"color": colour, "markerfacecolor": face, "fmt": "s" if number else "o"}
        kinds[group] = {"color": colour, "fmt": "D" if number else "^"}
    return kinds


def kind_of(group: str, ratio: float) -> str:
    """The name of a kind of marks."""
    return group if np.isnan(ratio) else f"{group}, ratio {ratio:g}"


def dots(axis: Axes, table: pd.DataFrame, kinds: Mapping[str, Mapping[str, Any]], *, null: float) -> None:
    """A row for each ``row`` with a dot and its interval for each kind that it has.

    Args:
        table: with row, kind, value, low and high.
        kinds: how they are drawn.
        null: what chance gives, a line.
    """
    names = list(dict.fromkeys(table["row"]))
    rows = {name: len(names) - 1 - number for number, name in enumerate(names)}
    there = {name: [kind for kind in kinds if kind in set(mine["kind"])] for name, mine in table.groupby("row")}
    for kind, marks in kinds.items():
        mine = table[table["kind"] == kind]
        if mine.empty:
            continue
        error = np.abs(mine[["low", "high"]].to_numpy().T - mine["value"].to_numpy())
        shift = [0.6 * ((there[name].index(kind) + 0.5) / len(there[name]) - 0.5) for name in mine["row"]]
        y = mine["row"].map(rows).to_numpy(dtype=float) - shift
        axis.errorbar(mine["value"], y, xerr=error, markersize=4, capsize=1.5, elinewidth=0.9, label=kind, **marks)
    axis.axvline(null, color="black", linewidth=0.8, zorder=1)
    axis.set_yticks(list(rows.values()), list(rows), fontsize=7)
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.tick_params(axis="x", labelsize=7)
