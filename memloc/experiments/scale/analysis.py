"""LayerMem against the number of images and of passes over them: a law, and its forecast at the paper's scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.halves import crossing
from memloc.analysis.sheet import Sheet
from memloc.metrics.pairs import CrossedMean, crossed_mean, gains
from memloc.metrics.scaling import Fitted, Law, fit, left_out
from memloc.metrics.stats import LEVEL

FACTOR = 1.5
CLAIMS = {
    "images": Claim(
        "LayerMem of the encoder's output falls with the number of images: minus its exponent, at equal passes, over "
        "encoders on complementary halves",
        least=0.0,
    ),
    "passes": Claim(
        "LayerMem of the encoder's output rises with the number of passes over the images: its exponent, at equal "
        "numbers of images, over encoders on complementary halves",
        least=0.0,
    ),
    "law": Claim(
        "A power law of images and passes forecasts LayerMem of the encoder's output at a number of images that it was "
        "not fitted to: log 1.5 (own bound) minus the largest error of a forecast, in logarithms",
        least=0.0,
    ),
}
TABLE_1 = {
    ("simclr", "resnet9"): {
        **{"1": 0.091, "2": 0.123, "3": 0.154, "4": 0.183, "res2": 0.185},
        **{"5": 0.212, "6": 0.246, "7": 0.276, "8": 0.308, "res6": 0.311},
    }
}
"""The paper's LayerMem by framework and architecture: published estimator, its code's normalisation."""
CROSSED, LAW, FORECAST, PAPER = "crossed", "law", "forecast", "paper"
IMAGES, PASSES, SPREAD = "exponent of images", "exponent of passes", "residual spread"
STEPS = 25
"""Numbers of images at which the law is drawn."""


@dataclass(frozen=True)
class _Data:
    """LayerMem [encoders, places] with its standard errors, and images and passes [encoders]."""

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    images: NDArray[np.float64]
    passes: NDArray[np.float64]
    seeds: int

    def law(self, place: int) -> Law | None:
        """The law of a place, if there is one."""
        return fit(self.values[:, place], self.errors[:, place], self.images, self.passes, seeds=self.seeds)


def analyse(sheet: Sheet) -> None:
    """LayerMem of every encoder by place; then, of places that have one, the law and what it forecasts."""
    tables = {encoder: sheet.scores("points", encoder) for encoder in sheet.encoders}
    places = list(dict.fromkeys(tables[sheet.encoders[0]][0]["layer"]))
    crossed, images = [], []
    for encoder in sheet.encoders:
        pool = crossing(tables[encoder], places)
        sslmem, inside, labels = pool.sslmem, pool.inside, pool.labels
        crossed.append(crossed_mean(gains(sslmem, inside, labels)))
        images.append(len(labels) / 2)
    passes = [float(sheet.options["epochs"][encoder]) for encoder in sheet.encoders]
    for encoder, found, n, t in zip(sheet.encoders, crossed, images, passes, strict=True):
        sheet.profile(found, places, encoder=encoder, series=CROSSED, images=n, epochs=t)
    data = _data(crossed, images, passes)
    ahead = sheet.options["forecast"]
    point = np.array(float(ahead["images"])), np.array(float(ahead["epochs"]))
    for index, place in enumerate(places):
        if law := data.law(index):
            _add_law(sheet, law, place, data, point)
    about = sheet.inputs.about[sheet.encoders[0]]
    for place, value in TABLE_1.get((about["framework"], about["architecture"]), {}).items():
        _add(sheet, place, PAPER, *point, value=value)
    _find(sheet, data, f"{about['framework']} on {about['architecture']}")


def _data(crossed: list[CrossedMean], images: list[float], passes: list[float]) -> _Data:
    values, errors = (np.stack([getattr(found, name) for found in crossed]) for name in ("value", "error"))
    return _Data(values, errors, np.array(images), np.array(passes), sum(found.seeds for found in crossed))


def _add_law(
    sheet: Sheet, law: Law, place: str, data: _Data, point: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    """Rows of one place's law: exponents, spread, curves by number of passes, and the forecast at a point."""
    for series, exponent in zip((IMAGES, PASSES), (law.exponents()[k] for k in range(2)), strict=True):
        low, high = exponent.interval()
        _add(sheet, place, series, value=float(exponent.value), low=float(low), high=float(high), z=float(exponent.z()))
    _add(sheet, place, SPREAD, value=law.spread)
    for t in np.unique(np.append(data.passes, point[1])):
        here = np.append(data.images[data.passes == t], point[0] if t == point[1] else [])
        grid = np.geomspace(min(here.min(), data.images.max()), here.max(), STEPS)
        _add(sheet, place, LAW, grid, np.full(STEPS, t), **_predicted(law.logarithm(grid, np.array(t))))
    _add(sheet, place, FORECAST, *point, **_predicted(law.logarithm(*point)))


def _predicted(logarithm: Fitted) -> dict[str, NDArray[np.float64]]:
    return dict(zip(("value", "low", "high"), map(np.exp, (logarithm.value, *logarithm.interval())), strict=True))


def _add(
    sheet: Sheet,
    place: str,
    series: str,
    images: float | NDArray[np.float64] = np.nan,
    epochs: float | NDArray[np.float64] = np.nan,
    **columns: float | NDArray[np.float64],
) -> None:
    """Rows about all encoders at one place."""
    rows = {name: np.atleast_1d(column) for name, column in (columns | {"images": images, "epochs": epochs}).items()}
    sheet.add(pd.DataFrame({"encoder": "all", "series": series, "layer": place, **rows}))


def _find(sheet: Sheet, data: _Data, subject: str) -> None:
    """Findings on the encoder's output, the last place."""
    subject, n = f"{subject}, output", len(data.images)
    law = data.law(-1)
    unknown = Fitted(np.zeros(2), np.full(2, np.inf), np.zeros(2), data.seeds)
    exponents = law.exponents() if law else unknown
    for k, claim in enumerate(("images", "passes")):
        sheet.find(claim, subject, exponents[k], n)
    off = left_out(data.values[:, -1], data.errors[:, -1], data.images, data.passes, seeds=data.seeds)
    room = Fitted(np.log(FACTOR) - np.abs(off.value), off.error, off.freedom, off.seeds)
    least = int(np.argmin(room.confidence()))
    low, _ = room[least].interval()
    # It was picked among several, so only a wider interval refutes (see ``Finding.of_every``).
    level = LEVEL if low > 0 else 1 - (1 - LEVEL) / n
    sheet.find("law", f"{subject}, {sheet.encoders[least]} left out", room[least], n, level=level)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A panel for each place that has a law, and their exponents; the output alone where none has."""
    crossed = table[table["series"] == CROSSED]
    with_law = [
        name for name in dict.fromkeys(crossed["layer"]) if name in set(table.loc[table["series"] == LAW, "layer"])
    ]
    shown = with_law or [crossed["layer"].iloc[-1]]
    hues = plotting.colours([f"{epochs:g}" for epochs in sorted(table["epochs"].dropna().unique())])
    columns = min(3, len(shown) + bool(with_law))
    rows = -(-(len(shown) + bool(with_law)) // columns)
    figure, axes = plotting.panels(rows=rows, columns=columns, width=4.6 * columns)
    every = list(axes.ravel())
    for axis, place in zip(every, shown, strict=False):
        _draw_place(axis, table[table["layer"] == place], hues, logarithmic=bool(with_law))
        axis.set(title=f"LayerMem, {place if place == 'output' else f'layer {place}'}", xlabel="images of one encoder")
    if with_law:
        _draw_exponents(every[len(shown)], table, with_law)
    for axis in every[len(shown) + bool(with_law) :]:
        axis.set_axis_off()
    plotting.shared_legend(figure, every[0])
    return figure


def _draw_place(axis: Axes, rows: pd.DataFrame, hues: dict[str, str], *, logarithmic: bool) -> None:
    """LayerMem with its intervals, the law's band by number of passes, its forecast, and the paper's number."""
    axis.set_xscale("log")
    measured = sorted(set(rows.loc[rows["series"] == CROSSED, "images"]))
    axis.set_xticks(measured, [f"{n:g}" for n in measured], minor=False)
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylabel("crossed LayerMem")
    if logarithmic:
        axis.set_yscale("log", nonpositive="clip")
        # Values and intervals below 0 have no place here; the law always has.
        axis.set_ylim(rows.loc[rows["series"].isin((LAW, FORECAST)), "value"].min() / 3, 1)
    for epochs, colour in hues.items():
        same = rows[rows["epochs"] == float(epochs)]
        law, found = same[same["series"] == LAW], same[same["series"] == CROSSED]
        if len(law):
            axis.plot(law["images"], law["value"], color=colour, linewidth=1)
            plotting.band(axis, law["images"], law, colour=colour)
        if len(found):
            plotting.points(axis, found["images"].to_numpy(), found, colour=colour, label=f"{epochs} passes", size=4)
    for series, marker, label in ((FORECAST, "D", "forecast"), (PAPER, "*", "paper, another estimator")):
        for _, row in rows[rows["series"] == series].iterrows():
            axis.plot(row["images"], row["value"], marker, color="black", markersize=6, label=label, linestyle="none")


def _draw_exponents(axis: Axes, table: pd.DataFrame, places: list[str]) -> None:
    """Both exponents by place."""
    for shift, (series, hue) in zip((-0.1, 0.1), ((IMAGES, "blue"), (PASSES, "orange")), strict=True):
        rows = table[table["series"] == series].set_index("layer").loc[places]
        plotting.points(axis, np.arange(len(rows)) + shift, rows, colour=plotting.PALETTE[hue], label=series, size=4)
    plotting.layers(axis, places)
    plotting.zero(axis)
    plotting.legend(axis)
    axis.set(title="exponents", xlabel="layer")
