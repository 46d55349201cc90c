"""LayerMem against the number of images and of passes over them: a law, and its forecast at the paper's scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
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
NAMES = {IMAGES: "of images, sign reversed", PASSES: "of passes"}
"""What the figure calls exponents."""
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
    """LayerMem of the output against images, with its law and forecast where it has one; the exponents by place."""
    output = table.loc[table["series"] == CROSSED, "layer"].iloc[-1]
    exponents = {series: table[table["series"] == series] for series in (IMAGES, PASSES)}
    known = len(exponents[IMAGES]) > 0
    figure, axes = plotting.panels(rows=1, columns=1 + known, height=3.2)
    _draw_place(axes[0, 0], table[table["layer"] == output])
    if known:
        shown = {NAMES[series]: rows for series, rows in exponents.items()}
        colours = dict.fromkeys(shown, plotting.INK)
        dots.over_layers(axes[0, 1], shown, colours=colours, hollow=[NAMES[PASSES]], joined=False)
        axes[0, 1].set(title="By layer: does it fall with images, rise with passes?", ylabel="exponent")
        plotting.legend(axes[0, 1], room=0.25)
    return figure


def _draw_place(axis: Axes, rows: pd.DataFrame) -> None:
    """LayerMem with its intervals and, where there is a law, its lines by passes and its forecast beside the paper."""
    logarithmic = LAW in set(rows["series"])
    axis.set_xscale("log")
    measured = sorted(set(rows.loc[rows["series"] == CROSSED, "images"]))
    axis.set_xticks(measured, [f"{n:g}" for n in measured], minor=False)
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set(title="Does it fall with images, and rise with passes?", xlabel="images of one encoder")
    axis.set_ylabel("crossed LayerMem of the output")
    if logarithmic:
        axis.set_yscale("log", nonpositive="clip")
        # Values and intervals below 0 have no place here; the law always has.
        axis.set_ylim(rows.loc[rows["series"].isin((LAW, FORECAST)), "value"].min() / 3, 1)
    passes = sorted(rows["epochs"].dropna().unique())
    for epochs, shade in zip(passes, np.linspace(0.75, 0.0, len(passes)), strict=True):
        same = rows[rows["epochs"] == epochs]
        law, found = same[same["series"] == LAW], same[same["series"] == CROSSED]
        axis.plot(law["images"], law["value"], color=str(shade), linewidth=1)
        if len(found):
            places = found["images"].to_numpy()
            plotting.points(axis, places, found, colour=str(shade), label=f"{epochs:g} passes", size=4)
    ahead = rows[rows["series"] == FORECAST]
    if len(ahead):
        ends = np.abs(ahead[["low", "high"]].to_numpy().T - ahead["value"].to_numpy())
        axis.errorbar(ahead["images"], ahead["value"], yerr=ends, fmt="D", color=plotting.INK, label="forecast")
    for _, row in rows[rows["series"] == PAPER].iterrows():
        plotting.papers(axis, row["images"], row["value"], label="paper, another estimator")
    dots.legend(axis)
