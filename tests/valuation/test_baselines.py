"""Baselines of valuation against what they are by definition, in loops over every subset."""

from itertools import combinations, permutations
from math import comb, factorial

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from memloc.streams import generator
from memloc.valuation import baselines
from memloc.valuation.baselines import ddc, knn, knn_rows, random, tree_shap, two_stage, z_score


def small(n=7, d=3, held=4, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)), rng.integers(classes, size=n), rng.normal(size=(held, d)),
            rng.integers(classes, size=held))  # fmt: skip


def utility(rows, columns, x, y, point, label, neighbours):
    """Share of K of those rows' nearest to a point that have its class."""
    if not rows or not columns:
        return 0.0
    distance = {i: sum((x[i, j] - point[j]) ** 2 for j in columns) for i in rows}
    nearest = sorted(rows, key=distance.get)[:neighbours]
    return sum(y[i] == label for i in nearest) / neighbours


def shapley(i, columns, data, neighbours):
    """Of row i, by its marginal in every coalition of the others, averaged over held-out points."""
    x, y, held_x, held_y = data
    others = [k for k in range(len(x)) if k != i]
    total = 0.0
    for point, label in zip(held_x, held_y, strict=True):
        for size in range(len(x)):
            for coalition in combinations(others, size):
                with_it = utility([*coalition, i], columns, x, y, point, label, neighbours)
                without = utility(list(coalition), columns, x, y, point, label, neighbours)
                total += (with_it - without) / comb(len(x) - 1, size) / len(x)
    return total / len(held_x)


@pytest.mark.parametrize("neighbours", [1, 2, 7])
@pytest.mark.parametrize("classes", [2, 3])
def test_knn_shapley_values_are_those_of_all_coalitions(neighbours, classes):
    data = small(classes=classes, seed=neighbours)
    x, y, held_x, held_y = data
    distances = ((held_x[:, None] - x) ** 2).sum(axis=2)
    expected = [shapley(i, range(3), data, neighbours) for i in range(len(x))]
    np.testing.assert_allclose(knn_rows(distances, y, held_y, neighbours=neighbours), expected, atol=1e-12)


def test_2d_knn_is_the_mean_of_what_columns_add_in_the_orders_drawn():
    data = small(n=5)
    found = knn(*data, neighbours=2, permutations=4, seed=9)
    rng, expected = generator("2D-KNN", 9), np.zeros((5, 3))
    for _ in range(4):
        order = rng.permutation(3).tolist()
        for place, j in enumerate(order):
            for i in range(5):
                gain = shapley(i, order[: place + 1], data, 2) - shapley(i, order[:place], data, 2)
                expected[i, j] += gain / 4
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_2d_knn_comes_to_the_mean_over_all_orders_and_rows_to_knn_shapley():
    data = small(n=6, seed=3)
    x, y, held_x, held_y = data
    value = {columns: np.array([shapley(i, columns, data, 2) for i in range(6)])
             for size in range(4) for columns in combinations(range(3), size)}  # fmt: skip
    exact = np.zeros((6, 3))
    for order in permutations(range(3)):
        for place, j in enumerate(order):
            after, before = (tuple(sorted(order[:k])) for k in (place + 1, place))
            exact[:, j] += (value[after] - value[before]) / factorial(3)
    found = knn(*data, neighbours=2, permutations=3000, seed=0)
    np.testing.assert_allclose(found, exact, atol=0.02)
    distances = ((held_x[:, None] - x) ** 2).sum(axis=2)
    np.testing.assert_allclose(found.sum(axis=1), knn_rows(distances, y, held_y, neighbours=2), atol=1e-12)


def expectation(tree, row, known, node=0):
    """A tree's prediction with some features known, the others averaged over as the training rows went."""
    left, right = tree.children_left[node], tree.children_right[node]
    if left < 0:
        return tree.value[node].item()
    if tree.feature[node] in known:
        return expectation(tree, row, known, left if row[tree.feature[node]] <= tree.threshold[node] else right)
    weight = tree.weighted_n_node_samples
    return sum(weight[c] / weight[node] * expectation(tree, row, known, c) for c in (left, right))


def test_tree_shap_is_the_shapley_value_of_expectations():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    # Deeper than it has features, so that a path splits one twice.
    tree = DecisionTreeRegressor(max_depth=5, random_state=0).fit(x, x[:, 0] * x[:, 1] + x[:, 2]).tree_
    found = tree_shap(tree, x[:5])
    for row, values in zip(x[:5], found, strict=True):
        for j in range(4):
            others, total = [k for k in range(4) if k != j], 0.0
            for size in range(4):
                for known in combinations(others, size):
                    gain = expectation(tree, row, {*known, j}) - expectation(tree, row, set(known))
                    total += gain / comb(3, size) / 4
            assert values[j] == pytest.approx(total, abs=1e-12)


def test_explanations_of_boosted_trees_add_up_to_their_predictions():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 5)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2]).astype(np.float64)
    boosted = GradientBoostingRegressor(n_estimators=20, random_state=0).fit(x, y)
    explained = boosted.learning_rate * sum(
        tree_shap(tree.tree_, x).sum(axis=1) for tree in boosted.estimators_.ravel()
    )
    np.testing.assert_allclose(y.mean() + explained, boosted.predict(x), atol=1e-9)


def test_two_stage_values_blame_the_column_that_data_oob_depends_on(monkeypatch):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(200, 4)), rng.integers(2, size=200)
    rows = np.where(x[:, 2] > 1.2, 0.1, 0.9)
    monkeypatch.setattr(baselines, "data_oob", lambda *a, **k: np.stack([rows, rows + 1]))
    values = two_stage(x, y, learners=5, seed=0)
    assert values.shape == x.shape and (values[rows == 0.1].argmin(axis=1) == 2).all()
    np.testing.assert_allclose(np.delete(values, 2, axis=1), 0, atol=0.02)


def test_z_scores_are_within_the_class():
    x = np.array([[0.0, 5.0], [2.0, 5.0], [10.0, 1.0], [14.0, 3.0]])
    np.testing.assert_allclose(z_score(x, np.array([0, 0, 1, 1])), [[-1, 0], [-1, 0], [-1, -1], [-1, -1]])


def test_chance_repeats_itself_by_seed():
    assert (random((3, 2), seed=1) == random((3, 2), seed=1)).all()
    assert (random((3, 2), seed=1) != random((3, 2), seed=2)).all()


def one_by_one(x):
    """DDC's residuals as the paper defines them, cell by cell, of one class."""

    def scale(values):
        mad = 1.4826 * np.median(np.abs(values))
        return mad * np.sqrt(np.mean([min((v / mad) ** 2, 2.5**2) for v in values]) / 0.845)

    def location(values):
        middle = np.median(values)
        mad = 1.4826 * np.median(np.abs(values - middle))
        weights = [(1 - ((v - middle) / mad / 3) ** 2) ** 2 if abs(v - middle) <= 3 * mad else 0 for v in values]
        return np.average(values, weights=weights)

    def slope(values, by):
        rough = np.median([v / b for v, b in zip(values, by, strict=True) if b])
        near = np.abs(values - rough * by) <= 2.5758293 * scale(values - rough * by)
        return sum(values[near] * by[near]) / sum(by[near] ** 2)

    def correlation(one, other):
        rough = np.clip((scale(one + other) ** 2 - scale(one - other) ** 2) / 4, -0.99, 0.99)
        inverse = np.linalg.inv([[1, rough], [rough, 1]])
        inside = [i for i, pair in enumerate(zip(one, other, strict=True)) if pair @ inverse @ pair <= 9.2103404]
        return np.corrcoef(one[inside], other[inside])[0, 1]

    n, d = x.shape
    z = np.stack([(c - location(c)) / scale(c - location(c)) for c in x.T], axis=1)
    there = np.abs(z) <= 2.5758293
    residuals = np.empty((n, d))
    for j in range(d):
        strength, slopes = {j: 1.0}, {j: 1.0}
        for h in set(range(d)) - {j}:
            both = there[:, j] & there[:, h]
            r = correlation(z[both, j], z[both, h])
            if abs(r) >= 0.5:
                strength[h], slopes[h] = abs(r), slope(z[both, j], z[both, h])
        predicted = np.zeros(n)
        if len(strength) > 1:
            for i in range(n):
                known = [h for h in strength if there[i, h]]
                if known:
                    said = [slopes[h] * z[i, h] for h in known]
                    predicted[i] = np.average(said, weights=[strength[h] for h in known])
            predicted *= slope(z[:, j], predicted)
        residuals[:, j] = (z[:, j] - predicted) / scale(z[:, j] - predicted)
    return residuals


def test_ddc_is_its_definition_and_finds_a_cell_that_is_odd_beside_its_neighbour_alone():
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], 40)
    x = rng.normal(size=(80, 4))
    x[:, 1] = 2 * x[:, 0] + 0.2 * rng.normal(size=80)
    x += 5 * y[:, None]
    x[3, 2] = 40.0
    x[7, :2] = 1.5, -3.0  # Each is usual by itself.
    found = ddc(x, y)
    for label in (0, 1):
        np.testing.assert_allclose(found[y == label], -np.abs(one_by_one(x[y == label])), rtol=1e-6)
    assert found[3, 2] == found.min() and found[7, :2].max() < np.delete(found[:, :2], 7, axis=0).min()
    assert z_score(x, y)[7, :2].min() > -2.5
    # Where more than half of a class have one value, a column says nothing.
    x[:30, 3] = 1.0
    assert (ddc(x, y)[:40, 3] == 0).all()
