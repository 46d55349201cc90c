import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm, spearmanr, t

from memloc.analysis.inputs import above, equivalent
from memloc.metrics.stats import (
    Estimate,
    Subsampled,
    benjamini_hochberg,
    bootstrap,
    bootstrap_means,
    holm,
    nest,
    permutation_p,
    permutation_test,
    rank_correlation,
    ranks,
    resample,
    verdict,
    within,
)


def mean(sample):
    return sample["x"].mean(axis=0)


def spread_out(*deviations, count=20001):
    """Replicates [count, n] around 0 of exactly these standard deviations."""
    shape = norm.ppf((np.arange(count) + 0.5) / count)
    return np.outer(shape / shape.std(ddof=1), deviations)


def noiseless(values):
    """An estimate over seeds whose points have no noise, from every possible choice of seeds in equal number."""
    picks = np.array(list(itertools.product(values, repeat=len(values)))).mean(axis=1)
    nested = np.repeat(picks, 400)
    return Estimate(np.asarray(np.mean(values)), nested, np.full(len(nested), np.mean(values)), len(values))


def test_an_estimate_is_sliced_mapped_added_and_subtracted_with_its_replicates():
    rng = np.random.default_rng(0)
    a = Estimate(np.arange(3.0), rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), 4, limit=9)
    b = Estimate(np.ones(3), rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), 4, limit=2)
    gap = a - b
    np.testing.assert_array_equal(gap.value, [-1, 0, 1])
    np.testing.assert_array_equal(gap.nested, a.nested - b.nested)
    np.testing.assert_array_equal(gap.fixed, a.fixed - b.fixed)
    assert gap.seeds == 4 and gap.limit == 9 + 2
    total = a + b
    np.testing.assert_array_equal(total.value, [1, 2, 3])
    np.testing.assert_array_equal(total.nested, a.nested + b.nested)
    np.testing.assert_array_equal(total.fixed, a.fixed + b.fixed)
    assert total.seeds == 4 and total.limit == 9 + 2
    assert (a - gap.map(np.negative)).limit == np.inf
    part = a[1:]
    assert part.value.tolist() == [1, 2] and (part.seeds, part.limit) == (4, 9)
    np.testing.assert_array_equal(part.nested, a.nested[:, 1:])
    np.testing.assert_array_equal(part.fixed, a.fixed[:, 1:])
    assert a[2].value == 2 and a[2].nested.shape == a[2].fixed.shape == (5,)
    np.testing.assert_array_equal(a[[2, 0]].fixed, a.fixed[:, [2, 0]])
    doubled = a.map(lambda v: 2 * v.sum(axis=-1), limit=7)
    assert doubled.value == 6 and (doubled.seeds, doubled.limit) == (4, 7)
    np.testing.assert_allclose(doubled.nested, 2 * a.nested.sum(axis=1))
    np.testing.assert_allclose(doubled.fixed, 2 * a.fixed.sum(axis=1))
    assert a.map(np.negative).limit == np.inf


def test_an_interval_ends_where_the_statistic_does_on_either_side():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(2, 500))
    rho = Estimate(np.asarray(0.9), *wide, 1, limit=1)
    assert rho.interval()[1] == 1 and -1 < rho.interval()[0] < 0
    over = above(rho, 0.8)
    assert over.value == pytest.approx(0.1) and over.interval()[1] == pytest.approx(0.2)
    assert Estimate(np.asarray(-1.7), *wide, 1, limit=1, centre=-0.8).interval()[0] == pytest.approx(-1.8)
    gap, total = over - rho, over + over
    assert (gap.limit, gap.centre) == (2, pytest.approx(-0.8)) and (total.limit, total.centre) == (
        2,
        pytest.approx(-1.6),
    )
    assert over[()].centre == over.centre and over.map(np.negative, limit=1, centre=0.8).centre == 0.8


def test_a_margin_may_be_a_share_of_what_is_compared_with():
    rng = np.random.default_rng(0)
    reference = 0.6 + 0.01 * rng.normal(size=(200,))
    height = Estimate(np.asarray(0.6), reference, reference, 1, limit=2)
    apart = np.array([0.02, -0.07]) + 0.01 * rng.normal(size=(200, 2))
    gap = Estimate(np.array([0.02, -0.07]), apart, apart, 1, limit=4)
    found = equivalent("claim", "a and b", gap, ["first", "second"], margin=height.scaled(0.1), n=9)
    assert found.subject == "a and b, second above -0.06" and found.estimate.value == pytest.approx(0.06 - 0.07)
    np.testing.assert_allclose(found.estimate.nested, 0.1 * reference + apart[:, 1])
    twice = equivalent("claim", "a and b", gap, ["first", "second"], margin=height.scaled(0.2), n=9)
    assert twice.estimate.value == pytest.approx(0.12 - 0.07) and twice.estimate.limit == pytest.approx(4.4)
    fixed = equivalent("claim", "a and b", gap, ["first", "second"], margin=0.1, n=9)
    assert fixed.subject == "a and b, second above -0.1" and fixed.estimate.value == pytest.approx(0.03)
    assert (fixed.estimate.limit, fixed.estimate.centre) == (4, 0.1)


def test_slices_of_a_table_of_estimates():
    rng = np.random.default_rng(0)
    a = Estimate(rng.normal(size=(2, 3)), rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 3)), 2)
    assert a[1].value.shape == (3,) and a[1].nested.shape == (5, 3)
    np.testing.assert_array_equal(a[1, 2].nested, a.nested[:, 1, 2])
    np.testing.assert_array_equal(a[:, -1].fixed, a.fixed[:, :, -1])


def test_one_seeds_error_is_that_of_its_points_whatever_nested_resamples_say():
    estimate = Estimate(np.array([3.0, 5.0]), spread_out(9.0, 9.0), spread_out(2.0, 0.5), 1)
    error, freedom = estimate.spread()
    np.testing.assert_allclose(error, [2.0, 0.5])
    assert np.isinf(freedom).all()
    low, high = estimate.interval()
    np.testing.assert_allclose(low, [3 - 1.959964 * 2, 5 - 1.959964 / 2], rtol=1e-6)
    np.testing.assert_allclose(high, [3 + 1.959964 * 2, 5 + 1.959964 / 2], rtol=1e-6)


def test_the_interval_widens_with_its_level():
    estimate = Estimate(np.asarray(1.0), np.zeros(20001), spread_out(1.0)[:, 0], 1)
    for level in (0.5, 0.9, 0.95, 0.999):
        low, high = estimate.interval(level)
        assert (low, high) == pytest.approx((1 - norm.ppf((1 + level) / 2), 1 + norm.ppf((1 + level) / 2)), rel=1e-6)


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.3, 0.1, 0.8], [1.0, -2.0, 4.0, 0.5], [5.0, 1.0, 2.0, 2.0, -3.0]])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_seeds_without_noise_of_points_give_students_interval(values, level):
    seeds = len(values)
    estimate = noiseless(values)
    error, freedom = estimate.spread()
    assert error == pytest.approx(np.std(values, ddof=1) / np.sqrt(seeds), rel=1e-3)
    assert freedom == pytest.approx(seeds - 1)
    half = t.ppf((1 + level) / 2, seeds - 1) * np.std(values, ddof=1) / np.sqrt(seeds)
    bounds = np.mean(values) - half, np.mean(values) + half
    assert estimate.interval(level) == pytest.approx(bounds, abs=1e-3 * half)


def test_so_they_do_through_the_bootstrap_itself():
    values = np.array([0.3, 0.1, 0.8, 0.2])
    samples = [{"x": np.full(30, value)} for value in values]
    estimate = bootstrap(samples, mean, resamples=20000, seed=0)
    assert np.ptp(estimate.fixed) < 1e-12
    half = t.ppf(0.975, 3) * values.std(ddof=1) / 2
    assert estimate.interval() == pytest.approx((0.35 - half, 0.35 + half), abs=0.03 * half)


def test_seeds_that_do_not_differ_give_a_normal_interval_over_points():
    # As nested: the seeds' values are equal, so resampling them adds nothing.
    estimate = Estimate(np.asarray(1.0), spread_out(0.2)[:, 0], spread_out(0.2)[:, 0], 3)
    error, freedom = estimate.spread()
    assert error == pytest.approx(0.2) and np.isinf(freedom)
    assert estimate.interval() == pytest.approx((1 - 0.2 * norm.ppf(0.975), 1 + 0.2 * norm.ppf(0.975)))


def test_so_they_do_through_the_bootstrap_too():
    x = np.random.default_rng(1).normal(size=200)
    estimate = bootstrap([{"x": x + 1 - x.mean()}] * 4, mean, resamples=6000, seed=0)
    half = norm.ppf(0.975) * x.std() / np.sqrt(200) / 2
    assert estimate.interval() == pytest.approx((1 - half, 1 + half), abs=0.04 * half)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("within", "between"), [(1.0, 0.0), (1.0, 0.5), (1.0, 1.0), (1.0, 4.0), (0.1, 9.0)])
def test_the_error_adds_points_and_seeds_and_knows_the_seeds_part_from_few(seeds, within, between):
    # within: W, between: B of the docstring, as variances of the mean.
    nested = between * (seeds - 1) / seeds + within
    estimate = Estimate(np.asarray(0.0), spread_out(nested**0.5)[:, 0], spread_out(within**0.5)[:, 0], seeds)
    error, freedom = estimate.spread()
    assert error**2 == pytest.approx(within + between)
    if between:
        assert freedom == pytest.approx((seeds - 1) * ((within + between) / between) ** 2)
    else:
        assert freedom > 1e6


def test_limits_clip_the_interval_and_not_the_value():
    estimate = Estimate(np.array([0.9, -0.9, 0.0]), spread_out(1, 1, 0.1), spread_out(1, 1, 0.1), 1, limit=1)
    low, high = estimate.interval()
    half = norm.ppf(0.975)
    np.testing.assert_allclose(low, [-1, -1, -0.1 * half], rtol=1e-6)
    np.testing.assert_allclose(high, [1, 1, 0.1 * half], rtol=1e-6)
    assert estimate.value.tolist() == [0.9, -0.9, 0.0]


def test_z_is_the_value_in_standard_errors():
    estimate = Estimate(np.array([3.0, -1.0]), spread_out(0, 0), spread_out(1.5, 0.25), 1)
    np.testing.assert_allclose(estimate.z(), [2.0, -4.0])
    assert noiseless([1.0, 2.0, 3.0]).z() == pytest.approx(2 * np.sqrt(3), rel=1e-3)


def test_confidence_is_that_of_students_t_and_agrees_with_the_interval():
    for values in ([0.3, 0.1, 0.8], [-1.0, -2.0, 0.5, 0.1], [1.0, 2.0]):
        estimate = noiseless(values)
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        expected = norm.ppf(t.cdf(np.mean(values) / error, len(values) - 1))
        assert estimate.confidence() == pytest.approx(expected, abs=1e-3)
        # At a level of 2 c - 1 the interval just touches 0.
        sure = norm.cdf(abs(float(estimate.confidence())))
        low, high = estimate.interval(2 * sure - 1)
        assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-6)
    estimate = Estimate(np.array([3.0, -1.0, 0.0]), spread_out(0, 0, 0), spread_out(1.5, 0.25, 1.0), 1)
    np.testing.assert_allclose(estimate.confidence(), [2.0, -4.0, 0.0], rtol=1e-6, atol=1e-12)


def test_confidence_tells_few_degrees_of_freedom_from_many():
    # The same z of 3, known from two seeds' difference alone and from points alone.
    few = noiseless([1.0, 2.0])
    many = Estimate(np.asarray(3.0), np.zeros(20001), spread_out(1.0)[:, 0], 1)
    assert few.z() == pytest.approx(3, rel=1e-2) and many.z() == pytest.approx(3)
    assert few.confidence() == pytest.approx(norm.ppf(t.cdf(3, 1)), abs=1e-2) and many.confidence() == pytest.approx(3)


def test_confidence_still_orders_what_no_tail_can_hold():
    estimate = Estimate(np.array([20.0, 9.0, 12.0, 50.0, 60.0]), *[spread_out(1, 1, 1, 1, 1)] * 2, 1)
    assert np.argsort(estimate.confidence()).tolist() == [1, 2, 0, 3, 4]


@pytest.mark.parametrize("seeds", [1, 3])
def test_values_without_error_are_wholly_sure_or_know_nothing(seeds):
    still = np.zeros((50, 3))
    assert Estimate(np.array([0.0, 2.0, -2.0]), still, still, seeds).confidence().tolist() == [0.0, np.inf, -np.inf]


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_value_without_error_is_infinitely_certain_unless_it_is_zero(seeds):
    still = np.zeros((50, 3))
    estimate = Estimate(np.array([0.0, 2.0, -2.0]), still, still, seeds)
    assert estimate.z().tolist() == [0.0, np.inf, -np.inf]
    low, high = estimate.interval()
    assert low.tolist() == high.tolist() == [0.0, 2.0, -2.0]


def test_scalars_have_a_z_and_an_interval_too():
    estimate = Estimate(np.asarray(0.0), np.zeros(9), np.zeros(9), 2)
    assert float(estimate.z()) == 0 and [float(v) for v in estimate.interval()] == [0, 0]


def test_bootstrap_reports_the_mean_over_seeds_and_not_over_points():
    samples = [{"x": np.array([0.0])}, {"x": np.array([4.0] * 9)}]
    estimate = bootstrap(samples, mean, resamples=200, seed=0)
    assert estimate.value == 2.0 and estimate.seeds == 2
    assert set(estimate.nested.tolist()) == {0.0, 2.0, 4.0} and set(estimate.fixed.tolist()) == {2.0}


def test_bootstrap_standard_error_of_one_seeds_mean_is_the_textbook_one():
    x = np.random.default_rng(2).normal(size=400)
    estimate = bootstrap([{"x": x}], mean, resamples=4000, seed=1)
    textbook = x.std(ddof=1) / np.sqrt(400)
    assert estimate.spread()[0] == pytest.approx(textbook, rel=0.05)
    low, high = estimate.interval()
    assert (high - low) / 2 == pytest.approx(1.96 * textbook, rel=0.05)
    assert (high + low) / 2 == pytest.approx(x.mean())


def test_fixed_seeds_share_the_error_of_their_points_and_nested_ones_add_their_own():
    rng = np.random.default_rng(3)
    samples = [{"x": shift + rng.normal(size=50)} for shift in (-1.0, 0.0, 2.0, 5.0)]
    means = np.array([s["x"].mean() for s in samples])
    points = np.mean([s["x"].var() / 50 for s in samples]) / 4
    estimate = bootstrap(samples, mean, resamples=4000, seed=2)
    assert estimate.fixed.var() == pytest.approx(points, rel=0.1)
    assert estimate.nested.var() == pytest.approx(means.var() / 4 + points, rel=0.1)
    assert estimate.spread()[0] == pytest.approx(means.std(ddof=1) / 2, rel=0.05)


def test_bootstrap_keeps_rows_of_one_array_together_and_arrays_apart():
    x = np.arange(30.0)
    together = bootstrap(
        [{"pair": np.stack([x, x], axis=1)}],
        lambda s: np.asarray(np.ptp(s["pair"], axis=1).max()),
        resamples=50,
        seed=3,
    )
    assert (together.nested == 0).all() and (together.fixed == 0).all()
    apart = bootstrap([{"a": x, "b": x}], lambda s: np.asarray(s["a"].mean() - s["b"].mean()), resamples=50, seed=3)
    assert apart.value == 0 and (apart.fixed != 0).any()


def test_bootstrap_is_a_function_of_its_seed():
    samples = [{"x": np.random.default_rng(4 + s).normal(size=20)} for s in range(2)]
    a, b, c = (bootstrap(samples, mean, resamples=20, seed=s) for s in (5, 5, 6))
    assert np.array_equal(a.nested, b.nested) and np.array_equal(a.fixed, b.fixed)
    assert not np.array_equal(a.nested, c.nested) and not np.array_equal(a.fixed, c.fixed)


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_seeds_that_share_their_points_are_no_surer_of_them_than_one_is(seeds):
    x = np.random.default_rng(11).normal(size=150)
    one = bootstrap([{"x": x}], mean, resamples=2000, seed=0, shared=True)
    many = bootstrap([{"x": x}] * seeds, mean, resamples=2000, seed=0, shared=True)
    np.testing.assert_allclose(many.fixed, one.fixed, atol=1e-12)
    np.testing.assert_allclose(many.nested, one.fixed, atol=1e-12)
    assert many.fixed.var() == pytest.approx(x.var() / 150, rel=0.1)
    assert many.spread()[0] == pytest.approx(one.spread()[0])
    np.testing.assert_allclose(many.interval(), one.interval())
    apart = bootstrap([{"x": x}] * seeds, mean, resamples=2000, seed=0)
    assert apart.fixed.var() == pytest.approx(x.var() / 150 / seeds, rel=0.1)


def test_shared_points_with_noise_of_seeds_add_both():
    # Points have a part in common to all seeds and one of each seed; seeds have shifts.
    rng = np.random.default_rng(12)
    common, own = 2 * rng.normal(size=100), rng.normal(size=(4, 100))
    samples = [{"x": shift + common + mine} for shift, mine in zip((-1.0, 0.0, 1.0, 3.0), own, strict=True)]
    estimate = bootstrap(samples, mean, resamples=4000, seed=0, shared=True)
    means = np.array([s["x"].mean() for s in samples])
    points = (common + own.mean(axis=0)).var() / 100
    assert estimate.fixed.var() == pytest.approx(points, rel=0.1)
    assert estimate.nested.var() == pytest.approx(means.var() / 4 + points, rel=0.1)
    assert estimate.spread()[0] ** 2 == pytest.approx(points + means.var(ddof=1) / 4, rel=0.1)


def test_shared_resamples_keep_a_point_together_in_all_seeds():
    # What one seed has more of in a point another has less of: alike resampled they cancel, apart they don't.
    x = np.random.default_rng(13).normal(size=80)
    samples = [{"x": x}, {"x": -x}]
    together = bootstrap(samples, mean, resamples=100, seed=0, shared=True)
    assert abs(together.fixed).max() < 1e-12
    assert bootstrap(samples, mean, resamples=100, seed=0).fixed.std() > 0.01


def test_nest_pairs_replicates_of_shared_points_and_no_others():
    row = np.random.default_rng(14).normal(size=3000)
    resamples, values = np.stack([row] * 5), np.zeros(5)
    shared = nest(values, resamples, seed=0, shared=True)
    np.testing.assert_allclose(shared.nested, row - row.mean(), atol=1e-12)
    np.testing.assert_allclose(shared.fixed, row - row.mean(), atol=1e-12)
    apart = nest(values, resamples, seed=0)
    assert apart.nested.var() == pytest.approx(row.var() / 5, rel=0.1)
    # Seeds are drawn all the same.
    values = np.array([0.0, 1.0, 2.0])
    drawn = nest(values, np.broadcast_to(values[:, None], (3, 3000)), seed=0, shared=True)
    assert drawn.nested.var() == pytest.approx(values.var() / 3, rel=0.1) and drawn.fixed.var() == 0


def test_an_estimate_of_one_seed_is_the_same_shared_or_not():
    x = np.random.default_rng(15).normal(size=40)
    a, b = (bootstrap([{"x": x}], mean, resamples=60, seed=3, shared=shared) for shared in (False, True))
    assert np.array_equal(a.fixed, b.fixed)
    np.testing.assert_allclose(a.interval(), b.interval())


def false_verdicts_on_the_same_points(*, shared, seeds=4, points=60, batches=15, size=200):
    rng = np.random.default_rng(16)
    said = []
    for batch in range(batches):
        drawn = rng.normal(size=(points, size)) + 0.5 * rng.normal(size=(seeds, points, size))
        low, high = bootstrap([{"x": x} for x in drawn], mean, resamples=200, seed=batch, shared=shared).interval()
        said.append((low > 0) | (high < 0))
    return np.concatenate(said).mean()


def test_points_all_seeds_share_give_false_verdicts_unless_they_are_resampled_alike():
    assert false_verdicts_on_the_same_points(shared=True) < 0.08
    assert false_verdicts_on_the_same_points(shared=False) > 0.15


def false_verdicts(seeds, *, between, within, points=60, batches=20, size=200):
    """Share of null simulations with a verdict. Both deviations are of one seed's mean; size of them share a resample.

    Returns 4000 simulations' share, so a true 5 % comes out within 1.4 points (four standard deviations).
    """
    rng = np.random.default_rng([seeds, round(10 * between), round(10 * within)])
    said = []
    for batch in range(batches):
        shifts, noise = rng.normal(size=(seeds, size)), rng.normal(size=(seeds, points, size))
        drawn = between * shifts[:, None] + within * np.sqrt(points) * noise
        low, high = bootstrap([{"x": x} for x in drawn], mean, resamples=200, seed=batch).interval()
        said.append((low > 0) | (high < 0))
    return np.concatenate(said).mean()


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_noise_of_points_gives_about_as_many_false_verdicts_as_intervals_say(seeds):
    assert 0.005 < false_verdicts(seeds, between=0, within=1) < 0.075


@pytest.mark.parametrize("seeds", [3, 5])
def test_noise_of_seeds_gives_about_as_many_false_verdicts_as_intervals_say(seeds):
    assert 0.035 < false_verdicts(seeds, between=1, within=0) < 0.065


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("between", [0.5, 1, 1.5, 2, 4])
def test_noise_of_both_gives_hardly_more_false_verdicts_than_intervals_say(seeds, between):
    assert 0.005 < false_verdicts(seeds, between=between, within=1) < 0.09


def test_an_effect_beyond_the_noise_is_told():
    rng = np.random.default_rng(6)
    samples = [{"x": 1 + 0.2 * rng.normal() + rng.normal(size=(60, 300))} for _ in range(5)]
    low, _ = bootstrap(samples, mean, resamples=200, seed=0).interval()
    assert (low > 0).mean() > 0.95


def test_resample_draws_rows_with_replacement():
    drawn = resample({"x": np.arange(100)}, np.random.default_rng(6))["x"]
    assert len(drawn) == 100 and set(drawn) < set(range(100))
    assert 50 < len(set(drawn)) < 75  # about 1 - 1 / e of them


def test_nest_centres_replicates_on_the_values():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(3, 4))
    resamples = values[:, None] - 5 + rng.normal(size=(3, 3000, 4))  # biased low, as a resampled maximum is
    estimate = nest(values, resamples, seed=0)
    np.testing.assert_allclose(estimate.value, values.mean(axis=0))
    np.testing.assert_allclose(estimate.fixed.mean(axis=0), values.mean(axis=0))
    np.testing.assert_allclose(estimate.nested.mean(axis=0), values.mean(axis=0), atol=0.12)
    np.testing.assert_allclose(estimate.fixed.var(axis=0), 1 / 9 * np.full(4, 3), rtol=0.15)
    np.testing.assert_allclose(estimate.nested.var(axis=0), values.var(axis=0) / 3 + 1 / 3, rtol=0.15)
    assert estimate.seeds == 3 and estimate.limit == np.inf


def test_nest_keeps_the_places_of_one_replicate_together():
    rng = np.random.default_rng(8)
    shared = rng.normal(size=(2, 100, 1))
    estimate = nest(np.zeros((2, 2)), np.concatenate([shared, shared], axis=2), seed=0)
    assert np.ptp(estimate.nested, axis=1).max() < 1e-12 and np.ptp(estimate.fixed, axis=1).max() < 1e-12


def test_differences_of_what_was_nested_with_one_seed_keep_their_resamples_together():
    rng = np.random.default_rng(9)
    values, resamples = rng.normal(size=3), rng.normal(size=(3, 100))
    gap = nest(values + 2, resamples + 2, seed=4) - nest(values, resamples, seed=4)
    np.testing.assert_allclose(gap.nested, 2)
    np.testing.assert_allclose(gap.interval(), 2)


def test_ranks_share_ties():
    assert ranks(np.array([[10.0, 20.0, 10.0], [3.0, 2.0, 1.0]])).tolist() == [[1.5, 3.0, 1.5], [3.0, 2.0, 1.0]]


def test_rank_correlation_is_spearmans_also_with_ties():
    rng = np.random.default_rng(9)
    x, y = rng.integers(5, size=(4, 30)), rng.integers(5, size=(4, 30))
    expected = [spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(rank_correlation(x, y), expected, rtol=1e-12)


def test_sums_in_another_order_are_ties():
    first, second = np.mean([0.05, 0.1, 0.15]), np.mean([0.15, 0.1, 0.05])
    assert first != second
    np.testing.assert_array_equal(ranks(np.array([first, 0.3, second])), [1.5, 3, 1.5])
    np.testing.assert_array_equal(ranks(np.array([1e-9, 2e-9, np.inf, -np.inf])), [2, 3, 4, 1])


def test_rank_correlation_ignores_monotone_transforms_and_knows_its_sign():
    x = np.random.default_rng(10).normal(size=12)
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)
    assert rank_correlation(x, np.ones(12)) == 0


def test_a_verdict_needs_the_whole_interval_on_one_side_of_zero():
    assert verdict(0.1, 0.2) == "supported"
    assert verdict(-0.2, -0.1) == "refuted"
    assert [verdict(-0.1, 0.1), verdict(0.0, 0.1), verdict(-0.1, 0.0), verdict(0.0, 0.0)] == ["inconclusive"] * 4


def test_an_effect_within_what_is_of_no_interest_is_negligible_even_if_it_is_surely_not_zero():
    # 90 % intervals of means with standard error 1 are 1.645 to both sides.
    assert within(0.5 - 1.645, 0.5 + 1.645, 2.2) and not within(0.5 - 1.645, 0.5 + 1.645, 2.1)
    assert not within(-2.0, 1.0, 1.5) and not within(-1.0, 2.0, 1.5)
    assert not within(-1.0, 1.0, 1.0) and not within(-0.1, 0.1, 0.0) and not within(0.0, 0.0, 1.0)
    assert verdict(0.1, 0.2, negligible=True) == verdict(-0.2, 0.2, p=0.9, negligible=True) == "negligible"


P = np.array([0.01, 0.04, 0.03, 0.005, 0.55, 0.03])


def test_holm_by_hand_and_by_its_steps():
    # In order .005 .01 .03 .03 .04 .55, times 6 5 4 3 2 1, each at least the one before.
    assert holm(P) == pytest.approx([0.05, 0.12, 0.12, 0.03, 0.55, 0.12])
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.random(7) ** 3
        for alpha in (0.05, 0.2):
            # Step down: the smallest is tested at alpha / m, the next at alpha / (m - 1), until one fails.
            rejected = np.zeros(7, dtype=bool)
            for step, i in enumerate(np.argsort(p)):
                if p[i] > alpha / (7 - step):
                    break
                rejected[i] = True
            assert ((holm(p) <= alpha) == rejected).all()
    assert holm(np.empty(0)).shape == (0,) and holm(np.array([0.4])) == [0.4]


def test_benjamini_and_hochbergs_q_by_hand_and_by_its_steps():
    # In order times 6 / 1, 6 / 2, ...: .03 .03 .06 .045 .048 .55; each at most the one after.
    assert benjamini_hochberg(P) == pytest.approx([0.03, 0.048, 0.045, 0.03, 0.55, 0.045])
    rng = np.random.default_rng(1)
    for _ in range(20):
        p = rng.random(7) ** 3
        for alpha in (0.05, 0.2):
            # Step up: all up to the last whose p is at most its place / m alpha.
            last = max([k for k in range(1, 8) if np.sort(p)[k - 1] <= k / 7 * alpha], default=0)
            assert ((benjamini_hochberg(p) <= alpha) == (p <= np.sort(p)[last - 1] if last else False)).all()


def crossing(pairs, n, rng):
    """Halves of a pool with what each pair has of it, and the images."""
    samples, images = [], []
    for _ in range(pairs):
        order = rng.permutation(n) + 100
        parts = {"in": order[: n // 2], "out": order[n // 2 :], "few": order[:3]}
        samples.append({name: rng.normal(size=(len(part), 2)) for name, part in parts.items()})
        images.append(parts)
    return samples, images


def test_an_image_that_is_drawn_k_times_is_drawn_k_times_in_every_pair():
    rng = np.random.default_rng(0)
    samples, images = crossing(3, 12, rng)

    def statistic(sample):
        return np.array([np.median(sample["in"]), sample["out"].std(), sample["few"].mean()])

    estimate = bootstrap(samples, statistic, resamples=60, seed=7, images=images)
    stream, pool, slow = np.random.default_rng([7, 0]), np.arange(100, 112), []
    for _ in range(60):
        while True:
            drawn = pool[stream.integers(12, size=12)]
            if all(np.isin(drawn, part).any() for of_pair in images for part in of_pair.values()):
                break
        # Draw by draw, a row for each time that its image comes.
        rows = [
            {
                name: [i for i, image in enumerate(part) for other in drawn if other == image]
                for name, part in of.items()
            }
            for of in images
        ]
        slow.append([statistic({k: s[k][r[k]] for k in s}) for s, r in zip(samples, rows, strict=True)])
    slow = np.swapaxes(slow, 0, 1)
    values = np.array([statistic(sample) for sample in samples])
    expected = (slow + (values - slow.mean(axis=1))[:, None]).mean(axis=0)
    np.testing.assert_allclose(estimate.fixed, expected)
    np.testing.assert_allclose(estimate.value, values.mean(axis=0))


def test_bootstrap_of_means_draws_images_as_the_bootstrap_does():
    samples, images = crossing(3, 12, np.random.default_rng(1))
    settings = {"resamples": 700, "seed": 2, "images": images}
    fast = bootstrap_means(samples, lambda m: m["in"] / (3 + m["out"]), **settings)
    slow = bootstrap(samples, lambda s: s["in"].mean(axis=0) / (3 + s["out"].mean(axis=0)), **settings)
    for name in ("value", "fixed", "nested", "apart"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name))


@pytest.mark.parametrize("pairs", [3, 8])
@pytest.mark.parametrize("spreads", [(0.2, 1, 1), (1, 0, 0.5), (0, 1, 0.2), (0, 0, 1)], ids=str)
def test_intervals_over_crossed_images_cover_at_least_as_often_as_they_say(pairs, spreads):
    """Of something that isn't a mean, in any mixture of pairs, images and what is left; a column is a trial.

    They are too wide where few pairs differ by no more than their noise.
    """
    rng = np.random.default_rng(pairs)
    of_pairs, of_images, rest = spreads
    trials, n = 1500, 60
    images = of_images * rng.normal(size=(n, trials))
    samples = [
        {"x": images + of_pairs * rng.normal(size=trials) + rest * rng.normal(size=(n, trials))} for _ in range(pairs)
    ]
    estimate = bootstrap_means(
        samples, lambda m: np.sinh(m["x"]), resamples=400, seed=0, images=[{"x": np.arange(n)}] * pairs
    )
    for level, least, most in ((0.95, 0.001, 0.07), (0.99, 0.0, 0.02)):
        low, high = estimate.interval(level)
        assert least <= ((low > 0) | (high < 0)).mean() < most, level
    # p is the level at which an interval ends at 0.
    picked = [i for i in range(50) if 0.001 < estimate[i].p() < 0.9][:3]
    for one in (estimate[i] for i in picked):
        low, high = one.interval(1 - float(one.p()))
        assert min(abs(low), abs(high)) < 1e-6


def parts(statistic, x, rng, resamples=200):
    place = [rng.permutation(np.arange(len(x)) % 4) for _ in range(resamples)]
    pairs = [(0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2)]
    return Subsampled(
        value=statistic(x),
        halves=np.array([[statistic(x[np.isin(p, pair)]) for pair in pairs] for p in place]),
    )


def test_subsampling_gives_the_error_at_half_the_points():
    rng = np.random.default_rng(0)
    found = [parts(np.mean, rng.normal(size=400), rng).error() for _ in range(10)]
    assert np.mean(found) == pytest.approx(1 / np.sqrt(200), rel=0.1)


def test_subsampling_finds_the_error_of_a_maximum_which_does_not_fall_with_size():
    # The largest of many exponential numbers varies by pi / sqrt 6, however many there are.
    rng = np.random.default_rng(1)
    found = [parts(np.max, rng.exponential(size=400), rng).error() ** 2 for _ in range(60)]
    assert np.mean(found) == pytest.approx(math.pi**2 / 6, rel=0.35)


def test_differences_of_subsampled_statistics_are_paired_or_not():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=200), rng.normal(size=200)
    one = parts(np.mean, x, np.random.default_rng(3))
    same = parts(lambda v: np.mean(v) - 1, x, np.random.default_rng(3))
    other = parts(np.mean, y, rng)
    paired, unpaired = one.paired(same), one.unpaired(other)
    assert paired.value == pytest.approx(1) and paired.error() == pytest.approx(0, abs=1e-12)
    assert unpaired.value == one.value - other.value
    assert unpaired.error() == pytest.approx(math.hypot(one.error(), other.error()))
    low, high = unpaired.interval()
    assert (low + high) / 2 == pytest.approx(unpaired.value)
    assert (high - low) / 2 == pytest.approx(1.96 * unpaired.error(), rel=1e-3)


def test_a_permutation_test_is_exact_for_exchangeable_rows_and_tells_a_difference():
    rng = np.random.default_rng(4)
    p = [permutation_test(*rng.exponential(size=(2, 12)), permutations=99, seed=i)[0] for i in range(400)]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=0.06)
    low, null = permutation_test(rng.normal(2, 1, (20, 3)), rng.normal(0, 1, (20, 3)), permutations=199, seed=0)
    assert low.shape == (3,) and (low == 1 / 200).all() and null.shape == (199, 3)
    assert permutation_test(np.ones(5), np.ones(4), permutations=50, seed=0)[0] == 1


def test_a_permutation_p_counts_both_tails():
    null = np.arange(1.0, 100.0)  # 99 of them
    assert permutation_p(np.array([1.0, 99.0, 98.5, 50.0, 200.0]), np.tile(null, (5, 1))) == pytest.approx(
        [2 * 2 / 100, 2 * 2 / 100, 2 * 2 / 100, 1.0, 2 / 100]
    )
    assert permutation_p(np.array(0.0), np.zeros(9)) == 1.0


@pytest.mark.parametrize("shared", [False, True])
def test_bootstrap_of_means_is_the_bootstrap_of_a_statistic_of_means(shared):
    rng = np.random.default_rng(0)
    samples = [{"a": rng.normal(size=(13, 4)), "b": rng.normal(size=(7, 4)), "one": rng.normal(size=(1, 4))}] * 2
    samples.append({name: rng.normal(size=array.shape) for name, array in samples[0].items()})

    def of_means(means):
        return np.stack([means["a"] / means["b"], means["one"] + 0 * means["a"]], axis=1)

    def of_sample(sample):
        return of_means({name: array.mean(axis=0, keepdims=True) for name, array in sample.items()})[0]

    settings = {"resamples": 1203, "seed": 4, "limit": 3.0, "shared": shared}
    fast, slow = bootstrap_means(samples, of_means, **settings), bootstrap(samples, of_sample, **settings)
    assert fast.value.shape == (2, 4) and fast.fixed.shape == (1203, 2, 4)
    np.testing.assert_allclose(fast.value, slow.value, rtol=1e-12)
    np.testing.assert_allclose(fast.fixed, slow.fixed, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fast.nested, slow.nested, rtol=1e-9, atol=1e-9)
    assert (fast.limit, fast.seeds) == (slow.limit, slow.seeds) == (3.0, 3)
