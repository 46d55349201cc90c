import numpy as np
import pytest

from memloc.metrics.alignment import ESTIMATORS, extremes, increments, layermem, sslmem


def test_sslmem_of_hand_worked_values():
    a_f, a_g = np.array([1.0, 3.0, 0.0]), np.array([3.0, 1.0, 2.0])
    assert sslmem(a_f, a_g).tolist() == [0.5, -0.5, 1.0]
    assert sslmem(a_f, a_g, normalisation="none").tolist() == [2.0, -2.0, 2.0]
    assert sslmem(a_f, a_g, normalisation="range").tolist() == [0.5, -0.5, 0.5]


def test_sslmem_of_two_perfectly_aligned_encoders_is_zero_and_not_nan():
    zero = np.zeros((3, 2), dtype=np.float32)
    for normalisation in ("ratio", "none", "range"):
        assert (sslmem(zero, zero, normalisation=normalisation) == 0).all()


def test_range_normalisation_divides_each_layer_by_its_own_range():
    a_f = np.zeros((3, 2))
    a_g = np.array([[0.0, 10.0], [1.0, 20.0], [4.0, 30.0]])
    assert sslmem(a_f, a_g, normalisation="range").tolist() == [[0, 0.5], [0.25, 1.0], [1.0, 1.5]]


def test_range_normalisation_of_points_with_one_difference_is_zero():
    assert (sslmem(np.zeros((4, 1)), np.ones((4, 1)), normalisation="range") == 0).all()


def test_ratio_is_antisymmetric_bounded_and_free_of_scale():
    rng = np.random.default_rng(0)
    f, g = rng.random((50, 4)), rng.random((50, 4))
    m = sslmem(f, g)
    assert np.array_equal(m, -sslmem(g, f))
    assert (np.abs(m) <= 1).all() and np.abs(m).max() > 0.5
    np.testing.assert_allclose(sslmem(7 * f, 7 * g), m, rtol=1e-12)


def test_sslmem_of_single_points_equals_a_literal_loop():
    rng = np.random.default_rng(1)
    f, g = rng.random((6, 3)).astype(np.float32), rng.random((6, 3)).astype(np.float32)
    for i in range(6):
        for layer in range(3):
            a, b = float(f[i, layer]), float(g[i, layer])
            assert sslmem(f, g)[i, layer] == pytest.approx((b - a) / (b + a), rel=1e-12)
    assert sslmem(f, g).dtype == np.float64


def test_sslmem_refuses_other_shapes_and_unknown_normalisations():
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        sslmem(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="'max' is none of"):
        sslmem(np.ones(2), np.ones(2), normalisation="max")


def test_layermem_of_hand_worked_values():
    c, i, e = np.array([[0.2, 0.4], [0.4, 0.8]]), np.array([[-0.1, -0.5]]), np.array([[0.1, 0.0], [0.1, 0.2]])
    np.testing.assert_allclose(layermem(c, i, e, estimator="published"), [0.3, 0.6])
    np.testing.assert_allclose(layermem(c, i, e, estimator="external-corrected"), [0.2, 0.5])
    np.testing.assert_allclose(layermem(c, i, e, estimator="crossed"), [0.2, 0.55])


def test_an_offset_between_the_encoders_cancels_in_all_but_the_published_form():
    rng = np.random.default_rng(2)
    groups = [rng.normal(size=(9, 5)) for _ in range(3)]
    shifted = [g + 0.25 for g in groups]
    for estimator in ESTIMATORS:
        change = layermem(*shifted, estimator=estimator) - layermem(*groups, estimator=estimator)
        np.testing.assert_allclose(change, 0.25 if estimator == "published" else 0, atol=1e-12)


def test_crossed_layermem_changes_sign_when_f_and_g_change_roles():
    rng = np.random.default_rng(3)
    c, i, e = (rng.normal(size=(9, 5)) for _ in range(3))
    np.testing.assert_allclose(
        layermem(-i, -c, e, estimator="crossed"), layermem(c, i, e, estimator="crossed"), atol=1e-15
    )


def test_layermem_does_not_depend_on_the_order_of_points():
    rng = np.random.default_rng(4)
    c, i, e = (rng.normal(size=(20, 3)) for _ in range(3))
    for estimator in ESTIMATORS:
        np.testing.assert_allclose(
            layermem(rng.permutation(c), rng.permutation(i), rng.permutation(e), estimator=estimator),
            layermem(c, i, e, estimator=estimator),
            atol=1e-14,
        )


def test_layermem_refuses_an_unknown_estimator():
    with pytest.raises(ValueError, match="'median' is none of published"):
        layermem(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), estimator="median")


def test_increments_are_steps_between_neighbouring_layers():
    out = increments(np.array([0.125, 0.5, 0.25, 0.75]))
    assert np.isnan(out[0])
    assert out[1:].tolist() == [0.375, -0.25, 0.5]


def test_increments_run_along_the_last_axis_and_add_up_to_the_whole_rise():
    profile = np.random.default_rng(5).normal(size=(7, 8))
    out = increments(profile)
    assert out.shape == profile.shape and np.isnan(out[:, 0]).all()
    np.testing.assert_allclose(out[:, 1:].sum(axis=1), profile[:, -1] - profile[:, 0])


def test_extremes_are_the_highest_and_the_lowest_rows():
    most, least = extremes(np.array([0.1, 0.9, -3.0, 0.5, 0.2]), 2)
    assert most.tolist() == [1, 3] and least.tolist() == [2, 0]


def test_of_equal_scores_the_earlier_row_counts_as_the_higher():
    most, least = extremes(np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]), 1)
    assert most.tolist() == [0]
    assert least.tolist() == [5]


def test_extremes_of_equal_scores_do_not_overlap():
    most, least = extremes(np.zeros(6), 3)
    assert set(most) | set(least) == set(range(6))


def test_extremes_refuse_groups_that_would_overlap():
    with pytest.raises(ValueError, match="5 points can't give two groups of 3"):
        extremes(np.arange(5.0), 3)
