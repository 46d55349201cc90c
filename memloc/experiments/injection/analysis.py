"""UnitMem of single units that are trained on single images (paper, Tables 13 and 14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import Arrays, rows_of
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError
from memloc.metrics.stats import Estimate, Sample, rank_correlation
from memloc.metrics.units import owners, unitmem

SCALE = "SimSiam, ResNet18, CIFAR10; 300 images"
CLAIMS = {
    "rises": Claim(
        "A unit trained on one image memorizes it: UnitMem after the last step minus before the first",
        "Table 13",
        scale=f"{SCALE}, 1,000 epochs",
    ),
    "follows-steps": Claim(
        "A unit's UnitMem is the higher the longer it is trained on one image: rank correlation of steps and UnitMem",
        "Table 13",
        scale=f"{SCALE}, six numbers of epochs",
    ),
    "repeated": Claim(
        "A unit memorizes an image more when it sees that image alone than among others: UnitMem at the end, repeated "
        "minus natural",
        "Table 14",
        scale=f"{SCALE}, 1,000 epochs",
    ),
    "excess": Claim(
        "A unit trained on one image memorizes this image: rise of UnitMem among images with it minus among as many "
        "without it",
    ),
    "own-image": Claim(
        "A unit memorizes an image only by training on it: rise of the image's own contrast with the others (Eq. 8), "
        "trained on it minus on another image",
    ),
}
PAPER = {
    "rises": {"top": 0.826 - 0.754},
    # Rank correlation of Table 13's six columns.
    "follows-steps": {"top": 1.0},
    "repeated": {"top": 0.862 - 0.828},
}
"""The paper's effects by claim and unit. None of its inactive unit, which starts silent: ours is the least active."""

WITH, WITHOUT, IMAGE = "with the image", "without it", "the image's own"
"""Series: UnitMem among external images, among as many independent ones, and the image's contrast with the others."""
SERIES = (WITH, WITHOUT, IMAGE)
SETTINGS = ("steps", "kinds", "arms")
"""Arrays that are the same in all seeds."""


def analyse(sheet: Sheet) -> None:
    """UnitMem of the trained unit by arm and number of steps, and what else changed: nothing.

    Raises:
        InputError: a seed's file differs from the others in its settings, or something else changed.
    """
    for encoder in sheet.encoders:
        outcomes = sheet.arrays("outcomes", encoder, same=SETTINGS)
        steps, arms = outcomes[0]["steps"], list(zip(outcomes[0]["kinds"], outcomes[0]["arms"], strict=True))
        for outcome in outcomes:
            if outcome["others"].any() or outcome["parameters"].any():
                raise InputError(f"{encoder}: training one unit changed others, so it wasn't trained alone")
        samples = [_sample(outcome) for outcome in outcomes]
        values = sheet.bootstrap(samples, _scores)
        unitmem_of, own = values[:2].between(0, 1), values[2].between(-1, 1)
        of = {arm: (unitmem_of[0, i], unitmem_of[1, i], own[i]) for i, arm in enumerate(arms)}
        owned = np.mean([_owned(outcome) for outcome in outcomes], axis=0)
        for i, (kind, arm) in enumerate(arms):
            about = {"encoder": encoder, "unit": kind, "arm": arm}
            for s, name in enumerate(SERIES):
                rows = rows_of(of[kind, arm][s], list(steps), **about, series=name)
                sheet.add(rows.assign(owner=owned[i] if name == WITH else np.nan))
            worst = np.max([np.maximum(o["others"][i], o["parameters"][i]) for o in outcomes], axis=0)
            sheet.add(pd.DataFrame({**about, "series": "change of all else", "layer": steps, "value": worst}))
        n = len(samples[0]["external"]) + 1
        for kind in ("top", "inactive"):
            sheet.findings += _findings(encoder, kind, of, steps, n)


def _findings(
    encoder: str, kind: str, of: Mapping[tuple[str, str], Sequence[Estimate]], steps: NDArray[np.int64], n: int
) -> list[Finding]:
    """What the unit's curves say to the paper's claims."""
    repeated, natural = of[kind, "repeated"], of[kind, "natural"]
    effects = {
        "rises": _rise(repeated[0]),
        "follows-steps": repeated[0].map(lambda v: rank_correlation(steps + np.zeros_like(v), v), limit=1),
        "repeated": repeated[0][-1] - natural[0][-1],
        "excess": _rise(repeated[0]) - _rise(repeated[1]),
        "own-image": _rise(repeated[2]) - _rise(of[kind, "another"][2]),
    }
    subject = f"{encoder}, {kind} unit"
    return [
        Finding(claim, subject, effect, n, value=PAPER.get(claim, {}).get(kind)) for claim, effect in effects.items()
    ]


def _rise(curve: Estimate) -> Estimate:
    """Last look minus the first."""
    return curve[-1] - curve[0]


def _sample(outcome: Arrays) -> dict[str, NDArray[np.float64]]:
    """Activations [points, arms, looks] of the image, which every resample holds once, and of those around it."""
    mu, external = outcome["activations"], outcome["groups"] == "external"
    chosen = outcome["points"] == outcome["chosen"]
    return {"chosen": mu[chosen], "external": mu[external & ~chosen], "independent": mu[~external]}


def _scores(sample: Sample) -> NDArray[np.float64]:
    """SERIES of every arm and look: [SERIES, arms, looks]."""
    image, others, independent = (sample[name] for name in ("chosen", "external", "independent"))
    shape = image.shape[1:]
    with_it = unitmem(np.concatenate([image, others]).reshape(len(others) + 1, -1))
    without = unitmem(independent.reshape(len(independent), -1))
    # The ratio of Eq. 8 for this image, whether it excites the unit most or not.
    mean = others.mean(axis=0)
    total = image[0] + mean
    own = np.divide(image[0] - mean, total, out=np.zeros(shape), where=total > 0)
    return np.stack([with_it.reshape(shape), without.reshape(shape), own])


def _owned(outcome: Arrays) -> NDArray[np.bool_]:
    """Whether the image is the one that excites the unit most among the external ones, [arms, looks]."""
    external = outcome["groups"] == "external"
    mu, points = outcome["activations"][external], outcome["points"][external]
    rows = owners(mu.reshape(len(mu), -1)).reshape(mu.shape[1:])
    return np.asarray((rows >= 0) & (points[rows] == outcome["chosen"]))


ARMS = {
    "repeated": "trained on the image alone",
    "natural": "on all images of its group",
    "another": "on another image alone",
}
UNITS = {"top": "unit of highest UnitMem", "inactive": "inactive unit"}
_COLOURS = {
    "images, the trained one among them": plotting.COLOURS["candidate"],
    "images never trained on": plotting.COLOURS["independent"],
}


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Three rows an encoder, a column an arm: both units' UnitMem by steps, and the image's own part in it."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=3 * len(encoders), columns=len(ARMS), height=1.75, sharex=True, sharey="row")
    asks = "Does a unit that alone is trained come to single out the image it is trained on?"
    figure.suptitle(asks, x=0.01, ha="left", fontsize=8.5)
    for number, encoder in enumerate(encoders):
        mine = table[table["encoder"] == encoder]
        rows = axes[3 * number : 3 * number + 3]
        for (arm, title), column in zip(ARMS.items(), rows.T, strict=True):
            shown = mine[mine["arm"] == arm]
            for axis, unit in zip(column, UNITS, strict=False):
                for name, shift, colour in zip((WITH, WITHOUT), (-0.06, 0.06), _COLOURS.values(), strict=True):
                    part = shown[(shown["unit"] == unit) & (shown["series"] == name)]
                    plotting.profile(axis, part, label="", colour=colour, dashed=name == WITHOUT, shift=shift)
                axis.set_ylim(-0.04, 1.04)
            _draw_own(column[2], shown[shown["series"] == IMAGE])
            column[0].set_title(title)
        rows[0, 0].set_title(f"{plotting.plain(encoder)}\n{ARMS['repeated']}")
        for axis, label in zip(rows[:, 0], ("UnitMem of the\n" + name for name in UNITS.values()), strict=False):
            axis.set_ylabel(label)
        rows[2, 0].set_ylabel("the image\nagainst the others")
    for axis in axes[-1]:
        axis.set_xlabel("steps")
    units = dict.fromkeys(UNITS.values(), plotting.INK)
    plotting.key(figure, _COLOURS | units, dashed=["images never trained on"], hollow=[UNITS["inactive"]])
    return figure


def _draw_own(axis: Axes, shown: pd.DataFrame) -> None:
    """The image's own contrast by steps, of both units side by side."""
    for shift, unit in zip((-0.12, 0.12), UNITS, strict=True):
        rows = shown[shown["unit"] == unit]
        at = np.arange(len(rows)) + shift
        plotting.points(axis, at, rows, colour=plotting.INK, label="", size=4, hollow=unit == "inactive")
    plotting.layers(axis, list(rows["layer"].astype(str)))
    axis.set_ylim(-1.08, 1.08)
    plotting.zero(axis)
