"""Whose views drift apart when a unit is zeroed: its owner's, more than those of images like it (beyond the paper)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Arrays, rows_of
from memloc.analysis.sheet import Sheet
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.metrics.stats import Estimate

CLAIMS = {
    "owners": Claim(
        "Zeroing a memorizing unit harms the image that excites it most: growth of the distance between its views at "
        "the output, minus that of matched images, mean over the most memorizing units of all layers",
    ),
    "owners-last": Claim(
        "Zeroing a memorizing unit of the last layer harms the image that excites it most: growth of the distance "
        "between its views at the output, minus that of matched images"
    ),
    "excess": Claim(
        "Training on an image adds to the harm of zeroing its unit: harm to candidates minus harm to external images, "
        "each by the units that they excite most, mean over all layers' units",
    ),
    "excess-last": Claim(
        "Training on an image adds to the harm of zeroing its unit in the last layer: harm to candidates minus harm "
        "to external images, each by the units that they excite most"
    ),
    "selective": Claim(
        "A memorizing unit matters to its owner more than a random unit to its own: harm to candidates, most "
        "memorizing minus random units, mean over all layers' units",
    ),
    "selective-excess": Claim(
        "The lead of memorizing over random units is larger on candidates than on external images: harm, most "
        "memorizing minus random units, candidates minus external images"
    ),
}
ARMS = ("top", "random")
ALL = "all"
"""In place of a layer: the units of all layers together."""
FEWEST_OWNERS = 3
"""Two owners or one can't tell how much owners differ: where a layer has fewer there is no interval and no finding."""


def analyse(sheet: Sheet) -> None:
    """Harm to owners by group, arm and layer, and of every unit.

    harm = (A_after - A_before)(owner) - mean over matched images of (A_after - A_before)
    """
    for encoder in sheet.encoders:
        outcomes = sheet.arrays("outcomes", encoder)
        layers = [
            name for name in dict.fromkeys(outcomes[0]["layer"].tolist()) if all(name in o["layer"] for o in outcomes)
        ]
        places = [*layers, ALL]
        samples = [{group: _by_owner(o, group, layers) for group in CANDIDATE_AND_NULL} for o in outcomes]
        harm = sheet.means(samples, lambda means: np.stack([means[group] for group in CANDIDATE_AND_NULL], axis=1))
        owners = np.min([[_owners(o, group, layers) for group in CANDIDATE_AND_NULL] for o in outcomes], axis=0)
        excess = harm[0] - harm[1]
        for g, group in enumerate(CANDIDATE_AND_NULL):
            for b, by in enumerate(ARMS):
                sheet.add(_rows(harm[g, b], places, owners[g, b], encoder=encoder, series=f"{by}, {group}"))
        sheet.add(_rows(excess[0], places, owners[:, 0].min(axis=0), encoder=encoder, series="excess"))
        sheet.add(*(_every_unit(o, encoder=encoder, run=run) for run, o in enumerate(outcomes)))
        lead = harm[:, 0] - harm[:, 1]
        effects: dict[str, tuple[Estimate, NDArray[np.int64]]] = {
            "owners": (harm[0, 0, -1], owners[:1, :1, -1]),
            "owners-last": (harm[0, 0, -2], owners[:1, :1, -2]),
            "excess": (excess[0, -1], owners[:, :1, -1]),
            "excess-last": (excess[0, -2], owners[:, :1, -2]),
            "selective": (lead[0, -1], owners[:1, :, -1]),
            "selective-excess": (lead[0, -1] - lead[1, -1], owners[:, :, -1]),
        }
        for claim, (effect, numbers) in effects.items():
            if numbers.min() >= FEWEST_OWNERS:
                sheet.find(claim, encoder, effect, int(numbers.flat[0]))


def _harm(outcome: Arrays) -> NDArray[np.float64]:
    matched = (outcome["matched_after"] - outcome["matched_before"]).mean(axis=1)
    return np.asarray(outcome["after"] - outcome["before"] - matched, dtype=np.float64)


def _places_of(outcome: Arrays, group: str, layers: list[str]) -> NDArray[np.float64]:
    """Which unit (row) is in which arm and layer or, last, in all layers: 1 or 0, [units, arms, layers + 1]."""
    arm = (outcome["group"] == group)[:, None] & (outcome["by"][:, None] == np.array(ARMS))
    layer = outcome["layer"][:, None] == np.array(layers)
    place = np.column_stack([layer, layer.any(axis=1)])
    return np.asarray(arm[:, :, None] & place[:, None], dtype=np.float64)


def _by_owner(outcome: Arrays, group: str, layers: list[str]) -> NDArray[np.float64]:
    """A row an owner, in each arm and layer a value whose mean over owners is the mean harm m over units.

    With s_o the summed harm of owner o's c_o units, U units, n owners in all and k in this place:

        m + n (s_o - m c_o) / U sqrt(k / (k - 1))

    So units of one owner stay together in a resample, which is that of a ratio of sums to first order, and no resample
    is left without units. The root makes up for k owners being few, as n - 1 does in a variance.
    """
    places, harm = _places_of(outcome, group, layers), _harm(outcome)
    _, number = np.unique(outcome["owner"][outcome["group"] == group], return_inverse=True)
    rows = outcome["group"] == group
    member = (number == np.arange(number.max() + 1)[:, None]).astype(np.float64)
    counts = np.tensordot(member, places[rows], axes=1)
    sums = np.tensordot(member, places[rows] * harm[rows][:, None, None], axes=1)
    units, k = counts.sum(axis=0), (counts > 0).sum(axis=0)
    mean = sums.sum(axis=0) / units
    few = np.sqrt(k / np.maximum(k - 1, 1))
    return np.asarray(mean + few * len(member) * (sums - mean * counts) / units)


def _owners(outcome: Arrays, group: str, layers: list[str]) -> NDArray[np.int64]:
    """How many images own the units of each arm and layer, [arms, layers + 1]."""
    places = _places_of(outcome, group, layers) > 0
    return np.array(
        [[len(set(outcome["owner"][places[:, b, k]])) for k in range(places.shape[2])] for b in range(len(ARMS))]
    )


def _rows(harm: Estimate, places: list[str], owners: NDArray[np.int64], **about: str) -> pd.DataFrame:
    rows = rows_of(harm, places, **about).assign(owners=owners)
    rows.loc[rows["owners"] < FEWEST_OWNERS, ["low", "high", "z"]] = np.nan
    return rows


def _every_unit(outcome: Arrays, *, encoder: str, run: int) -> pd.DataFrame:
    columns = {name: outcome[name] for name in ("group", "by", "layer", "unit", "unitmem", "owner")}
    return pd.DataFrame({"encoder": encoder, "series": "unit", "run": run, "value": _harm(outcome), **columns})


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """One row an encoder: owners against the null, picked units against random ones, and the excess."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=len(encoders), columns=3, height=2.3, sharey="row")
    for row, encoder in zip(axes, encoders, strict=True):
        mine = table[table["encoder"] == encoder].set_index("series")
        top, external, drawn, excess = (
            mine.loc[[name]] for name in ("top, candidate", "top, external", "random, candidate", "excess")
        )
        _compare(row[0], {"candidate": top, "external": external})
        _compare(row[1], {"top": top, "random": drawn})
        _compare(row[2], {"effect": excess})
        row[0].set_title(f"{plotting.plain(encoder)}\nMore harm to owners trained on?")
        row[0].set_ylabel("harm to a unit's owner")
        row[1].set_title("More than by random units?")
        row[2].set_title("Trained on minus never seen")
    plotting.key(figure, {said: plotting.COLOURS[name] for name, said in _SAID.items()}, dashed=_DASHED)
    return figure


_SAID = {
    "candidate": "owner trained on",
    "external": "owner never seen, or units drawn at random",
    "top": "units of highest UnitMem",
    "effect": "difference",
}
_NULLS = ("external", "random")
_DASHED = [_SAID["external"]]


def _compare(axis: Axes, series: Mapping[str, pd.DataFrame]) -> None:
    """Lines over layers, and dots of all layers together at the right."""
    for number, (name, rows) in enumerate(series.items()):
        each, whole = (rows[(rows["layer"].astype(str) == ALL) == alone] for alone in (False, True))
        plotting.profile(axis, each, label=name, dashed=name in _NULLS, shift=0.24 * (number - (len(series) - 1) / 2))
        at = np.array([len(each) + 0.04 * len(each) * (0.5 + number)])
        plotting.points(axis, at, whole, colour=plotting.COLOURS[name], label="")
    plotting.layers(axis, [*each["layer"].astype(str), ALL], at=[*range(len(each)), float(at[0])])
    plotting.zero(axis)
    axis.set_xlabel("layer")
