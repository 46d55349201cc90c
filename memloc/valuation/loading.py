"""Loading labelled tables: scikit-learn's, generated ones, OpenML's, and images as tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.provenance import ROOT
from memloc.streams import generator, stream
from memloc.valuation.tables import TABLES

ROWS = 2000
"""Of a generated table."""
Columns = tuple[NDArray[Any], NDArray[Any]]


def load(name: str, openml: str | None = None) -> dict[str, NDArray[Any]]:
    """A table of TABLES: features ``x`` [n, d], classes ``y`` [n] from 0 on, ``shape`` of the images that are its rows.

    Args:
        openml: folder that OpenML's tables are read from, or fetched into; None for the repository's.

    Raises:
        InputError: it is on OpenML and can't be fetched.
    """
    entry = TABLES[name]
    loader = partial(_openml, Path(openml)) if openml and entry.fetched else _LOADERS[entry.loader]
    x, y = loader(*entry.arguments)
    classes = np.unique(y, return_inverse=True)[1].astype(np.int64)
    shape = (1, entry.side, entry.side) if entry.side else ()
    return {"x": np.asarray(x, dtype=np.float64), "y": classes, "shape": np.array(shape, dtype=np.int64)}


def of_images(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Images [n, channels, height, width] as a table, pixels from 0 to 1."""
    x = images.reshape(len(images), -1) / np.float32(255)
    return {"x": x, "y": np.asarray(labels), "shape": np.array(images.shape[1:])}


def _bundled(name: str, scale: float = 1.0) -> Columns:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return x / scale, y


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


def _gaussian(d: int, correlation: float) -> Columns:
    rng = generator("table", "gaussian", d)
    common = np.sqrt(correlation) * rng.normal(size=(ROWS, 1))
    x = common + np.sqrt(1 - correlation) * rng.normal(size=(ROWS, d))
    logit = x @ rng.normal(size=d)
    return x, rng.random(ROWS) < 1 / (1 + np.exp(-logit))


def _openml(folder: Path, number: int, *among: str) -> Columns:
    """Of set ``number`` the numeric columns and the rows without a gap; where classes are named, these alone."""
    from sklearn.datasets import fetch_openml

    try:
        # scikit-learn's faster parser fails on classes that are numbers with pandas 3.1 (scikit-learn, issue 34892).
        x, y = fetch_openml(data_id=number, data_home=folder, as_frame="auto", parser="liac-arff", return_X_y=True)
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


_LOADERS: dict[str, Callable[..., Columns]] = {
    "bundled": _bundled,
    "fried": _fried,
    "two-planes": _two_planes,
    "gaussian": _gaussian,
    "openml": partial(_openml, ROOT / "data" / "openml"),
}
