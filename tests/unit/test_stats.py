import numpy as np
import pytest
from scipy.stats import spearmanr

from memloc.metrics.stats import Estimate, bootstrap, nest, rank_correlation, ranks, resample, verdict


def mean(sample):
    return sample["x"].mean(axis=0)


def test_an_estimate_is_sliced_mapped_and_subtracted_with_its_replicates():
    rng = np.random.default_rng(0)
    a = Estimate(np.arange(3.0), rng.normal(size=(5, 3)))
    b = Estimate(np.ones(3), rng.normal(size=(5, 3)))
    np.testing.assert_array_equal((a - b).value, [-1, 0, 1])
    np.testing.assert_array_equal((a - b).replicates, a.replicates - b.replicates)
    np.testing.assert_array_equal(a[1:].replicates, a.replicates[:, 1:])
    assert a[2].value == 2 and a[2].replicates.shape == (5,)
    doubled = a.map(lambda v: 2 * v.sum(axis=-1))
    assert doubled.value == 6
    np.testing.assert_allclose(doubled.replicates, 2 * a.replicates.sum(axis=1))


def test_the_interval_holds_the_share_of_replicates_it_promises():
    replicates = np.random.default_rng(1).permutation(np.arange(1001.0))
    low, high = Estimate(np.asarray(500.0), replicates).interval()
    assert (low, high) == pytest.approx((25, 975))
    low, high = Estimate(np.asarray(500.0), replicates).interval(0.5)
    assert (low, high) == pytest.approx((250, 750))


def test_z_is_the_value_in_standard_errors():
    assert Estimate(np.array([3.0]), np.array([[1.0], [2.0], [3.0]])).z().tolist() == [3.0]


def test_bootstrap_reports_the_mean_over_seeds_and_not_over_points():
    samples = [{"x": np.array([0.0])}, {"x": np.array([4.0] * 9)}]
    estimate = bootstrap(samples, mean, replicates=200, seed=0)
    assert estimate.value == 2.0
    assert set(estimate.replicates.tolist()) == {0.0, 2.0, 4.0}


def test_bootstrap_standard_error_of_one_seeds_mean_is_the_textbook_one():
    x = np.random.default_rng(2).normal(size=400)
    estimate = bootstrap([{"x": x}], mean, replicates=2000, seed=1)
    assert estimate.replicates.std() == pytest.approx(x.std() / np.sqrt(400), rel=0.06)
    assert estimate.replicates.mean() == pytest.approx(x.mean(), abs=4 * x.std() / np.sqrt(400 * 2000))


def test_bootstrap_variance_adds_seeds_and_points():
    rng = np.random.default_rng(3)
    samples = [{"x": shift + rng.normal(size=50)} for shift in (-1.0, 0.0, 2.0, 5.0)]
    means = np.array([s["x"].mean() for s in samples])
    expected = means.var() / 4 + np.mean([s["x"].var() / 50 for s in samples]) / 4
    estimate = bootstrap(samples, mean, replicates=4000, seed=2)
    assert estimate.replicates.var() == pytest.approx(expected, rel=0.1)


def test_bootstrap_keeps_rows_of_one_array_together_and_arrays_apart():
    x = np.arange(30.0)
    together = bootstrap(
        [{"pair": np.stack([x, x], axis=1)}],
        lambda s: np.asarray(np.ptp(s["pair"], axis=1).max()),
        replicates=50,
        seed=3,
    )
    assert (together.replicates == 0).all()
    apart = bootstrap([{"a": x, "b": x}], lambda s: np.asarray(s["a"].mean() - s["b"].mean()), replicates=50, seed=3)
    assert apart.value == 0 and (apart.replicates != 0).any()


def test_bootstrap_is_a_function_of_its_seed():
    samples = [{"x": np.random.default_rng(4).normal(size=20)}]
    a, b, c = (bootstrap(samples, mean, replicates=20, seed=s).replicates for s in (5, 5, 6))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_intervals_of_point_noise_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(200):
        samples = [{"x": 1 + rng.normal(size=60)} for _ in range(3)]
        low, high = bootstrap(samples, mean, replicates=150, seed=trial).interval()
        covered += low <= 1 <= high
    assert covered >= 174  # 95 % of 200 less five standard deviations


def test_resample_draws_rows_with_replacement():
    drawn = resample({"x": np.arange(100)}, np.random.default_rng(6))["x"]
    assert len(drawn) == 100 and set(drawn) < set(range(100))
    assert 50 < len(set(drawn)) < 75  # about 1 - 1 / e of them


def test_nest_centres_replicates_on_the_values():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(3, 4))
    replicates = values[:, None] - 5 + rng.normal(size=(3, 3000, 4))  # biased low, as a resampled maximum is
    estimate = nest(values, replicates, seed=0)
    np.testing.assert_allclose(estimate.value, values.mean(axis=0))
    np.testing.assert_allclose(estimate.replicates.mean(axis=0), values.mean(axis=0), atol=0.12)
    expected = values.var(axis=0) / 3 + 1 / 3
    np.testing.assert_allclose(estimate.replicates.var(axis=0), expected, rtol=0.15)


def test_nest_keeps_the_places_of_one_replicate_together():
    rng = np.random.default_rng(8)
    shared = rng.normal(size=(2, 100, 1))
    estimate = nest(np.zeros((2, 2)), np.concatenate([shared, shared], axis=2), seed=0)
    assert np.ptp(estimate.replicates, axis=1).max() < 1e-12


def test_ranks_share_ties():
    assert ranks(np.array([[10.0, 20.0, 10.0], [3.0, 2.0, 1.0]])).tolist() == [[1.5, 3.0, 1.5], [3.0, 2.0, 1.0]]


def test_rank_correlation_is_spearmans_also_with_ties():
    rng = np.random.default_rng(9)
    x, y = rng.integers(5, size=(4, 30)), rng.integers(5, size=(4, 30))
    expected = [spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(rank_correlation(x, y), expected, rtol=1e-12)


def test_rank_correlation_ignores_monotone_transforms_and_knows_its_sign():
    x = np.random.default_rng(10).normal(size=12)
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)
    assert rank_correlation(x, np.ones(12)) == 0


def test_a_verdict_needs_the_whole_interval_on_one_side_of_zero():
    assert verdict(0.1, 0.2) == "supported"
    assert verdict(-0.2, -0.1) == "refuted"
    assert [verdict(-0.1, 0.1), verdict(0.0, 0.1), verdict(-0.1, 0.0), verdict(0.0, 0.0)] == ["inconclusive"] * 4
