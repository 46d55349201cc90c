import numpy as np
import pytest

from memloc.metrics.units import class_means, classmem, owners, unitmem


def literal_unitmem(mu, average):
    """Eqs. 5 to 8, one unit at a time."""
    out = []
    for unit in range(mu.shape[1]):
        column = [float(v) for v in mu[:, unit]]
        k = max(range(len(column)), key=lambda i: column[i])
        top, rest = column[k], average([v for i, v in enumerate(column) if i != k])
        out.append((top - rest) / (top + rest) if top + rest > 0 else 0.0)
    return out


def test_unitmem_of_hand_worked_values():
    mu = np.array([[3.0, 5.0, 2.0, 0.0], [1.0, 0.0, 2.0, 0.0], [1.0, 0.0, 2.0, 0.0]])
    assert unitmem(mu).tolist() == [0.5, 1.0, 0.0, 0.0]


def test_median_and_mean_of_the_others_differ_for_a_sparse_unit():
    mu = np.array([[6.0], [6.0], [0.0], [0.0]])
    assert unitmem(mu)[0] == pytest.approx((6 - 2) / (6 + 2))
    assert unitmem(mu, others="median")[0] == 1.0


@pytest.mark.parametrize(("others", "average"), [("mean", np.mean), ("median", np.median)])
def test_unitmem_equals_a_literal_loop_over_units(others, average):
    mu = np.maximum(np.random.default_rng(0).normal(size=(31, 17)), 0).astype(np.float32)
    mu[:, 3] = 0
    mu[5, 4] = mu[:, 4].max()
    np.testing.assert_allclose(unitmem(mu, others=others), literal_unitmem(mu, average), rtol=1e-12)


def test_median_of_an_even_and_of_an_odd_number_of_others():
    assert unitmem(np.array([[8.0], [2.0], [4.0]]), others="median")[0] == pytest.approx((8 - 3) / (8 + 3))
    assert unitmem(np.array([[8.0], [2.0], [4.0], [5.0]]), others="median")[0] == pytest.approx((8 - 4) / (8 + 4))


@pytest.mark.parametrize("others", ["mean", "median"])
def test_unitmem_follows_permuted_units_and_ignores_the_order_of_points_and_the_scale_of_a_unit(others):
    rng = np.random.default_rng(1)
    mu = rng.random((20, 6))
    order, scale = rng.permutation(6), rng.uniform(0.1, 10, size=6)
    expected = unitmem(mu, others=others)
    np.testing.assert_allclose(unitmem(mu[:, order], others=others), expected[order], rtol=1e-12)
    np.testing.assert_allclose(unitmem(rng.permutation(mu), others=others), expected, rtol=1e-12)
    np.testing.assert_allclose(unitmem(mu * scale, others=others), expected, rtol=1e-12)


@pytest.mark.parametrize("bad", [np.ones(5), np.ones((1, 5)), np.ones((2, 3, 4))])
def test_unitmem_needs_a_table_of_two_points_or_more(bad):
    with pytest.raises(ValueError, match="mu has shape"):
        unitmem(bad)


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
def test_unitmem_refuses_activations_that_are_negative_or_not_finite(bad):
    mu = np.ones((3, 3))
    mu[1, 1] = bad
    with pytest.raises(ValueError, match="finite and not negative"):
        unitmem(mu)


def test_unitmem_refuses_an_unknown_average():
    with pytest.raises(ValueError, match="'mode' is neither"):
        unitmem(np.ones((2, 1)), others="mode")


def test_the_owner_is_the_point_that_excites_a_unit_most_and_dead_units_have_none():
    mu = np.array([[0.0, 2.0, 0.0, 1.0], [0.0, 1.0, 5.0, 1.0]])
    assert owners(mu).tolist() == [-1, 0, 1, 0]


def test_class_means_average_the_points_of_each_class_that_occurs():
    activations = np.array([[1.0, 10.0], [3.0, 20.0], [5.0, 60.0]])
    assert class_means(activations, np.array([7, 2, 7])).tolist() == [[3.0, 20.0], [3.0, 35.0]]


def test_classmem_of_hand_worked_values():
    activations = np.array([[1.0, 2.0], [3.0, 2.0], [6.0, 2.0], [0.0, 0.0], [2.0, 4.0]])
    # Class means: unit 0 has 2, 6, 1; unit 1 has 2, 2, 2.
    out = classmem(activations, np.array([0, 0, 1, 2, 2]))
    np.testing.assert_allclose(out, [(6 - 1.5) / (6 + 1.5), 0.0])


def test_classmem_with_one_point_a_class_is_unitmem():
    activations = np.random.default_rng(2).random((9, 4))
    labels = np.random.default_rng(3).permutation(9)
    for others in ("mean", "median"):
        np.testing.assert_allclose(
            classmem(activations, labels, others=others), unitmem(activations, others=others), rtol=1e-12
        )


def test_classmem_does_not_depend_on_the_classes_names_nor_on_the_order_of_points():
    rng = np.random.default_rng(4)
    activations, labels = rng.random((40, 5)), rng.integers(4, size=40)
    order = rng.permutation(40)
    expected = classmem(activations, labels)
    np.testing.assert_allclose(classmem(activations, np.array([9, 1, 5, 3])[labels]), expected, rtol=1e-12)
    np.testing.assert_allclose(classmem(activations[order], labels[order]), expected, rtol=1e-12)


def test_classmem_needs_two_classes():
    with pytest.raises(ValueError, match="shape"):
        classmem(np.ones((4, 2)), np.zeros(4, dtype=np.int64))
