"""Labelled tables by name: scikit-learn's own sets, generated ones, and OpenML's, which need a network.

Any dataset of the configuration is also a table: its training images, with a column for each pixel. Standard library
only, as planning reads it; ``memloc.valuation.loading`` loads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memloc.data.sources import number_of_classes


@dataclass(frozen=True)
class Table:
    """An entry of TABLES.

    Attributes:
        about: what it is.
        loader, arguments: how ``memloc.valuation.loading`` loads its features [n, d] and classes [n].
        classes: how many.
        side: of the square grey images that are its rows, in pixels, brightest at 1; 0 if its rows are not images.
        fetched: whether it needs a network.
    """

    about: str
    loader: str
    arguments: tuple[object, ...] = ()
    classes: int = 2
    side: int = 0
    fetched: bool = False


def shape_of_table(name: str, config: Mapping[str, Any]) -> tuple[int, float]:
    """Side of a table's images in pixels (0: its rows are not images) and number of its classes (inf: not yet known).

    Args:
        name: of a dataset of the configuration, or of TABLES.
    """
    if name in config["datasets"]:
        dataset = config["datasets"][name]
        return dataset["image_size"], number_of_classes(dataset)
    return TABLES[name].side, TABLES[name].classes


def _openml(number: int, *among: str) -> Table:
    about = f"OpenML {number}" + (f", classes {' and '.join(among)}" if among else "")
    return Table(about, "openml", (number, *among), fetched=True)


TABLES: Mapping[str, Table] = {
    "breast-cancer": Table(
        "Wisconsin diagnostic breast cancer, 569 x 30 (scikit-learn)", "bundled", ("breast_cancer",)
    ),
    "wine": Table("wine, 178 x 13 (scikit-learn)", "bundled", ("wine",), classes=3),
    "iris": Table("iris, 150 x 4 (scikit-learn)", "bundled", ("iris",), classes=3),
    "digits-8x8": Table("handwritten digits, 1797 x 64 (scikit-learn)", "bundled", ("digits", 16), classes=10, side=8),
    "fried": Table("Friedman's first function, halves at its mean, 2000 x 10 (generated)", "fried"),
    "2dplanes": Table("Breiman's two planes, halves at its mean, 2000 x 10 (generated)", "two-planes"),
    "gaussian-20": Table("equicorrelated by .2, logistic classes, 2000 x 20 (generated)", "gaussian", (20, 0.2)),
    "gaussian-100": Table("equicorrelated by .2, logistic classes, 2000 x 100 (generated)", "gaussian", (100, 0.2)),
    "pol": _openml(722),
    "jannis": _openml(43977),
    "lawschool": _openml(43890),
    "fried-openml": _openml(901),
    "vehicle": _openml(357),
    "electricity": _openml(44080),
    "2dplanes-openml": _openml(727),
    "credit-card": _openml(42477),
    "gas-drift": _openml(1476, "1", "4"),
    "nomao": _openml(1486),
    "musk": _openml(1116),
    "miniboone": _openml(43974),
}
