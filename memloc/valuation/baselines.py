"""What 2D-OOB is compared with: 2D-KNN, Data-OOB explained by trees, DDC, z-scores, chance. Low: outliers."""

from __future__ import annotations

from itertools import chain, combinations
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.streams import generator, stream
from memloc.valuation.inject import class_moments
from memloc.valuation.oob import data_oob

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
NEIGHBOURS = 10
CUTOFF, CUTOFF_OF_PAIRS = 2.5758293035489004, 3.034854258770293
"""Roots of the .99 quantiles of chi-square with 1 and 2 degrees of freedom, DDC's."""
CONNECTED = 0.5
"""Absolute correlation from which DDC predicts one column from another."""


def knn_rows(distances: NDArray[np.floating], y: Classes, held_y: Classes, *, neighbours: int) -> NDArray[np.float64]:
    """Shapley values of rows for a K nearest neighbours classifier (Jia et al., 2019, Theorem 1).

    With rows a_1 ... a_N by distance to a held-out point of class t and K <= N:

        s(a_N) = 1[y = t] / N,   s(a_i) = s(a_i+1) + (1[y_i = t] - 1[y_i+1 = t]) / K min(K, i) / i

    Args:
        distances: from held-out points to rows, [m, n]; equal ones are taken in any order.
        y, held_y: classes of rows [n] and of held-out points [m].

    Returns:
        [n], means over held-out points.
    """
    n = len(y)
    order = np.argsort(distances, axis=1)
    right = (y[order] == held_y[:, None]).astype(np.float64)
    places = np.arange(1, n)
    steps = np.empty_like(right)
    steps[:, -1] = right[:, -1] / n
    steps[:, :-1] = (right[:, :-1] - right[:, 1:]) * (np.minimum(neighbours, places) / (neighbours * places))
    values = np.cumsum(steps[:, ::-1], axis=1)[:, ::-1]
    return np.bincount(order.ravel(), weights=values.ravel(), minlength=n) / len(held_y)


def knn(
    x: Floats,
    y: Classes,
    held_x: Floats,
    held_y: Classes,
    *,
    neighbours: int = NEIGHBOURS,
    permutations: int,
    seed: int,
) -> Floats:
    """2D-KNN (Liu et al., 2023): what a column adds to a row's KNN-Shapley value, over random orders of the columns.

        psi_ij = mean over orders of s_i(columns up to j) - s_i(columns before j),   s_i(no column) = 0

    Args:
        x, y: rows [n, d] and their classes [n].
        held_x, held_y: held-out points [m, d] and their classes [m].

    Returns:
        [n, d].
    """
    rng, values = generator("2D-KNN", seed), np.zeros(x.shape)
    for _ in range(permutations):
        distances, before = np.zeros((len(held_x), len(x))), np.zeros(len(x))
        for column in rng.permutation(x.shape[1]):
            distances += (held_x[:, column, None] - x[:, column]) ** 2
            after = knn_rows(distances, y, held_y, neighbours=neighbours)
            values[:, column] += after - before
            before = after
    return values / permutations


def two_stage(x: Floats, y: Classes, *, learners: int, seed: int) -> Floats:
    """Data-OOB of rows, predicted by boosted trees from features and class, explained by TreeSHAP: [n, d]."""
    from sklearn.ensemble import GradientBoostingRegressor

    rows = data_oob(x, y, learners=learners, seed=seed)[0]
    # Trees split single-precision features.
    both = np.column_stack([x, y[:, None] == np.unique(y)]).astype(np.float32)
    boosted = GradientBoostingRegressor(max_depth=3, random_state=stream("two-stage", seed) % 2**32).fit(both, rows)
    explained = sum(tree_shap(tree.tree_, both) for tree in boosted.estimators_.ravel())
    return np.asarray(explained, dtype=np.float64)[:, : x.shape[1]] * float(boosted.learning_rate)


def tree_shap(tree: Any, x: NDArray[np.float32]) -> Floats:
    """Shapley values of the features for one tree's prediction (Lundberg et al., 2020, the path-dependent game).

    Unknown features are averaged over: a row goes both ways at a node, by the shares of the training rows that did. The
    game is a sum over leaves of products with one factor for each feature on the leaf's path: whether the row satisfies
    its conditions if the feature is known, else the share of the training rows that do. So each leaf is a separate
    game over the few features of its path.

    Args:
        tree: scikit-learn's, shallow: the cost of a leaf is exponential in the features of its path.
        x: [n, d].

    Returns:
        [n, d]; a row's sum is its prediction minus the training rows' mean.
    """
    values = np.zeros(x.shape)

    def descend(node: int, known: dict[int, NDArray[np.bool_]], unknown: dict[int, float]) -> None:
        left, right, feature = tree.children_left[node], tree.children_right[node], tree.feature[node]
        if left < 0:
            _play(values, float(tree.value[node].item()), known, unknown)
            return
        goes_left = x[:, feature] <= tree.threshold[node]
        for child, goes in ((left, goes_left), (right, ~goes_left)):
            share = tree.weighted_n_node_samples[child] / tree.weighted_n_node_samples[node]
            descend(
                child,
                known | {feature: known.get(feature, True) & goes},
                unknown | {feature: unknown.get(feature, 1.0) * share},
            )

    descend(0, {}, {})
    return values


def _play(values: Floats, height: float, known: dict[int, NDArray[np.bool_]], unknown: dict[int, float]) -> None:
    """Add the Shapley values of one leaf's game: height times the product of ``known`` over a coalition and
    ``unknown`` over the rest.
    """
    size = len(known)
    for player in known:
        others = [feature for feature in known if feature != player]
        total = np.zeros(len(values))
        for coalition in chain.from_iterable(combinations(others, k) for k in range(size)):
            weight = factorial(len(coalition)) * factorial(size - 1 - len(coalition)) / factorial(size)
            rest = np.prod([unknown[feature] for feature in others if feature not in coalition])
            total += weight * rest * np.prod([known[feature] for feature in coalition], axis=0)
        values[:, player] += height * (known[player] - unknown[player]) * total


def z_score(x: Floats, y: Classes) -> Floats:
    """Minus the distance to the mean of the class in standard deviations of the class, column by column: [n, d]."""
    mean, deviation = class_moments(x, y)
    return -np.divide(np.abs(x - mean), deviation, out=np.zeros_like(x), where=deviation > 0)


def ddc(x: Floats, y: Classes) -> Floats:
    """Detecting deviating cells (Rousseeuw and Van den Bossche, 2018), in the rows of each class: [n, d].

    Columns are standardised robustly, z, and cells beyond CUTOFF left out, u. A cell is predicted from the others of
    its row: the mean of slope(j, h) u_h over the columns h whose robust correlation with j is CONNECTED or more, itself
    included, weighted by absolute correlation; 0 where no other column is. Predictions are scaled by the robust slope
    of z on them, and what is left of z, standardised robustly, is how far the cell deviates; the value is minus its
    size. A missing cell (NaN) has the value 0; so has a column without scale, where more than half of a class have one
    value, as DDC sets it aside.
    """
    values = np.zeros(x.shape)
    for label in np.unique(y):
        rows = y == label
        values[rows] = -np.abs(_deviations(x[rows]))
    return values


def _deviations(x: Floats) -> Floats:
    """DDC's standardised residuals of every cell."""
    left, deviations = x - _locations(x), np.zeros(x.shape)
    scale = _scales(left)
    kept = scale > 1e-12
    z = left[:, kept] / scale[kept]
    u = np.where(np.abs(z) > CUTOFF, np.nan, z)
    rest = z - _predicted(z, u)
    spread = _scales(rest)
    deviations[:, kept] = np.divide(rest, spread, out=np.zeros_like(rest), where=spread > 1e-12)
    return np.asarray(np.nan_to_num(deviations), dtype=np.float64)


def _predicted(z: Floats, u: Floats) -> Floats:
    """DDC's prediction of every cell from the cells ``u`` of its row, brought to the scale of ``z``."""
    predicted = np.zeros(z.shape)
    for column in range(z.shape[1]):
        weights = np.abs(_correlations(u, column))
        weights[column] = 1.0
        near = weights >= CONNECTED
        if near.sum() < 2:
            continue  # A column that stands alone is predicted by its location, 0.
        slopes = _slopes(u[:, [column]], u[:, near])
        weight = np.where(np.isnan(u[:, near]), 0.0, weights[near])
        total = weight.sum(axis=1)
        mean = np.nansum(weight * slopes * u[:, near], axis=1) / np.where(total > 0, total, 1.0)
        predicted[:, column] = mean * _slopes(z[:, [column]], mean[:, None])
    return predicted


def _correlations(u: Floats, column: int) -> Floats:
    """DDC's robust correlation of a column with every other: plain, of the pairs within a robust ellipse; 0 if none."""
    one = u[:, [column]]
    rough = np.clip((_scales(one + u) ** 2 - _scales(one - u) ** 2) / 4, -0.99, 0.99)
    far = (one**2 + u**2 - 2 * rough * one * u) / (1 - rough**2)
    inside = far <= CUTOFF_OF_PAIRS**2  # False for a pair that isn't there.
    number = np.maximum(inside.sum(axis=0), 1)
    first, second = np.where(inside, one, 0.0), np.where(inside, u, 0.0)
    first, second = (part - inside * part.sum(axis=0) / number for part in (first, second))
    scale = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    return np.asarray(np.divide((first * second).sum(axis=0), scale, out=np.zeros(len(scale)), where=scale > 0))


def _slopes(z: Floats, by: Floats) -> Floats:
    """DDC's robust slope through 0 of a column on others: least squares of the rows near the median of the ratios."""
    ratios = np.divide(z, by, out=np.full(by.shape, np.nan), where=by != 0)
    rough = _medians(ratios)
    rest = z - rough * by
    near = np.abs(rest) <= CUTOFF * _scales(rest)
    squares = np.where(near, by**2, 0.0).sum(axis=0)
    products = np.where(near, z * by, 0.0).sum(axis=0)
    return np.asarray(np.divide(products, squares, out=np.zeros(len(squares)), where=squares > 0))


def _locations(x: Floats) -> Floats:
    """One step from the median to Tukey's biweight (c = 3)."""
    centre = _medians(x)
    scale = 1.4826 * _medians(np.abs(x - centre))
    far = (x - centre) / np.where(scale > 0, scale, 1.0)
    weights = np.where(np.abs(far) <= 3, (1 - (far / 3) ** 2) ** 2, 0.0)
    mean = np.nansum(weights * x, axis=0) / np.maximum(weights.sum(axis=0), 1e-12)
    return np.asarray(np.where(scale > 0, mean, centre))


def _scales(left: Floats) -> Floats:
    """One step from the median absolute value to Huber's scale about 0 (b = 2.5), by column; missing ones left out."""
    rough = 1.4826 * _medians(np.abs(left))
    squares = np.minimum((left / np.where(rough > 0, rough, 1.0)) ** 2, 2.5**2)
    number = np.maximum((~np.isnan(left)).sum(axis=0), 1)
    return np.asarray(rough * np.sqrt(np.nansum(squares, axis=0) / number / 0.845))


def _medians(x: Floats) -> Floats:
    """By column, of what isn't missing; 0 where all is."""
    empty = np.isnan(x).all(axis=0)
    return np.nanmedian(np.where(empty, 0.0, x), axis=0)


def random(shape: tuple[int, ...], *, seed: int) -> Floats:
    """Chance."""
    return generator("random values", seed).random(shape)
