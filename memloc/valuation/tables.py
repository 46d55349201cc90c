"""Labelled tables by name: scikit-learn's own sets, generated ones, and OpenML's, which need a network.

Any dataset of the configuration is also a table: its training images, with a column for each pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.provenance import ROOT
from memloc.streams import generator, stream

ROWS = 2000
"""Of a generated table."""
Columns = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Table:
    """An entry of TABLES.

    Attributes:
        about: what it is.
        load: gives features [n, d] and classes [n].
        classes: how many.
        side: of the square grey images that are its rows, in pixels, brightest at 1; 0 if its rows are not images.
        fetched: whether it needs a network.
    """

    about: str
    load: Callable[[], Columns]
    classes: int = 2
    side: int = 0
    fetched: bool = False


def load(name: str) -> dict[str, NDArray[Any]]:
    """A table of TABLES: features ``x`` [n, d], classes ``y`` [n] from 0 on, ``shape`` of the images that are its rows.

    Raises:
        InputError: it is on OpenML and can't be fetched.
    """
    entry = TABLES[name]
    x, y = entry.load()
    classes = np.unique(y, return_inverse=True)[1].astype(np.int64)
    shape = (1, entry.side, entry.side) if entry.side else ()
    return {"x": np.asarray(x, dtype=np.float64), "y": classes, "shape": np.array(shape, dtype=np.int64)}


def shape_of_table(name: str, config: Mapping[str, Any]) -> tuple[int, float]:
    """Side of a table's images in pixels (0: its rows are not images) and number of its classes (inf: not yet known).

    Args:
        name: of a dataset of the configuration, or of TABLES.
    """
    if name in config["datasets"]:
        dataset = config["datasets"][name]
        return dataset["image_size"], len(dataset.get("classes", [])) or math.inf
    return TABLES[name].side, TABLES[name].classes


def of_images(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Images [n, channels, height, width] as a table, pixels from 0 to 1."""
    x = images.reshape(len(images), -1) / np.float32(255)
    return {"x": x, "y": np.asarray(labels), "shape": np.array(images.shape[1:])}


def _bundled(name: str, scale: float = 1.0) -> Callable[[], Columns]:
    def load() -> Columns:
        from sklearn import datasets

        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return x / scale, y

    return load


def _fried() -> Columns:
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(ROWS, n_features=10, noise=1.0, random_state=stream("table", "fried") % 2**32)
    return x, y > y.mean()


def _two_planes() -> Columns:
    rng = generator("table", "2dplanes")
    x = rng.integers(-1, 2, size=(ROWS, 10)).astype(np.float64)
    x[:, 0] = rng.choice([-1, 1], ROWS)
    one, other = 3 + 3 * x[:, 1] + 2 * x[:, 2] + x[:, 3], -3 + 3 * x[:, 4] + 2 * x[:, 5] + x[:, 6]
    y = np.where(x[:, 0] > 0, one, other) + rng.normal(scale=np.sqrt(2), size=ROWS)
    return x, y > y.mean()


def _gaussian(d: int, correlation: float) -> Callable[[], Columns]:
    def load() -> Columns:
        rng = generator("table", "gaussian", d)
        common = np.sqrt(correlation) * rng.normal(size=(ROWS, 1))
        x = common + np.sqrt(1 - correlation) * rng.normal(size=(ROWS, d))
        logit = x @ rng.normal(size=d)
        return x, rng.random(ROWS) < 1 / (1 + np.exp(-logit))

    return load


def _openml(number: int, *, among: tuple[str, ...] = ()) -> Table:
    """The numeric columns of set ``number`` and its rows without gaps; of the classes all, or those ``among`` names."""

    def load() -> Columns:
        from sklearn.datasets import fetch_openml

        folder = ROOT / "data" / "openml"
        try:
            x, y = fetch_openml(data_id=number, data_home=folder, as_frame="auto", parser="auto", return_X_y=True)
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"OpenML {number}: can't be fetched ({reason}); connect to a network, or leave its table out"
            ) from error
        if hasattr(x, "select_dtypes"):
            x = x.select_dtypes("number").to_numpy(dtype=np.float64)
        x, y = np.asarray(x.toarray() if hasattr(x, "toarray") else x), np.asarray(y).astype(str)
        kept = np.isfinite(x).all(axis=1) & (np.isin(y, among) if among else True)
        return x[kept], y[kept]

    about = f"OpenML {number}" + (f", classes {' and '.join(among)}" if among else "")
    return Table(about, load, fetched=True)


TABLES: Mapping[str, Table] = {
    "breast-cancer": Table("Wisconsin diagnostic breast cancer, 569 x 30 (scikit-learn)", _bundled("breast_cancer")),
    "wine": Table("wine, 178 x 13 (scikit-learn)", _bundled("wine"), classes=3),
    "iris": Table("iris, 150 x 4 (scikit-learn)", _bundled("iris"), classes=3),
    "digits-8x8": Table("handwritten digits, 1797 x 64 (scikit-learn)", _bundled("digits", 16), classes=10, side=8),
    "fried": Table("Friedman's first function, halves at its mean, 2000 x 10 (generated)", _fried),
    "2dplanes": Table("Breiman's two planes, halves at its mean, 2000 x 10 (generated)", _two_planes),
    "gaussian-20": Table("equicorrelated by .2, logistic classes, 2000 x 20 (generated)", _gaussian(20, 0.2)),
    "gaussian-100": Table("equicorrelated by .2, logistic classes, 2000 x 100 (generated)", _gaussian(100, 0.2)),
    "pol": _openml(722),
    "jannis": _openml(43977),
    "lawschool": _openml(43890),
    "fried-openml": _openml(901),
    "vehicle": _openml(357),
    "electricity": _openml(44080),
    "2dplanes-openml": _openml(727),
    "credit-card": _openml(42477),
    "gas-drift": _openml(1476, among=("1", "4")),
    "nomao": _openml(1486),
    "musk": _openml(1116),
    "miniboone": _openml(43974),
}
