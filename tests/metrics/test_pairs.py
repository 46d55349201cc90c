"""Pairs on complementary halves: hand-worked values, closed forms, coverage by simulation, planted memories."""

import numpy as np
import pytest

from memloc.metrics.pairs import (
    crossed_mean,
    dealt_means,
    dealt_sums,
    gains,
    pairs_for,
    reliability,
    shuffled,
    spearman_brown,
    sums,
)
from memloc.metrics.stats import permutation_p


def halves(labels, pairs, seed):
    """Membership of random halves within classes, [pairs, images]."""
    rng = np.random.default_rng([5, seed])
    inside = np.zeros((pairs, len(labels)), dtype=bool)
    for row in inside:
        for label in np.unique(labels):
            of_class = rng.permutation(np.flatnonzero(labels == label))
            row[of_class[: len(of_class) // 2]] = True
    return inside


def test_gains_by_hand():
    sslmem = np.array([[0.5, 0.1, 0.3, 0.2]])
    inside = np.array([[True, False, True, False]])
    # One class: the halves' means are .4 and .15, the offset .275.
    assert gains(sslmem, inside, np.zeros(4, dtype=int))[0] == pytest.approx([0.225, 0.175, 0.025, 0.075])
    # Two classes: (.5, .1) has the offset .3, (.3, .2) has .25.
    assert gains(sslmem, inside, np.array([0, 0, 1, 1]))[0] == pytest.approx([0.2, 0.2, 0.05, 0.05])


def test_the_mean_of_gains_is_crossed_layermem_within_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [6, 5, 9])
    inside, sslmem = halves(labels, 4, 0), rng.normal(size=(4, 20, 3))
    expected = [
        sum(
            np.mean(labels == c) * (m[has & (labels == c)].mean(axis=0) - m[~has & (labels == c)].mean(axis=0)) / 2
            for c in range(3)
        )
        for m, has in zip(sslmem, inside, strict=True)
    ]
    np.testing.assert_allclose(gains(sslmem, inside, labels).mean(axis=1), expected, atol=1e-12)


def test_offsets_of_pairs_and_classes_and_the_name_of_an_encoder_change_nothing():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 10)
    inside, sslmem = halves(labels, 3, 1), rng.normal(size=(3, 20, 2))
    plain = gains(sslmem, inside, labels)
    offset = rng.normal(size=(3, 2, 2))[:, labels]
    np.testing.assert_allclose(gains(sslmem + offset, inside, labels), plain, atol=1e-12)
    np.testing.assert_allclose(gains(-sslmem, ~inside, labels), plain, atol=1e-12)


def test_a_class_that_a_half_lacks_is_refused():
    with pytest.raises(ValueError, match="class 1 is not in both halves of pair 0"):
        gains(np.zeros((1, 4)), np.array([[True, False, True, True]]), np.array([0, 0, 1, 1]))


def test_crossed_mean_by_hand():
    values = np.array([[1.0, 2.0], [3.0, 6.0]])
    # MS: pairs 2 * var(1.5, 4.5) = 9, images 2 * var(2, 4) = 4, rest (.25 + .25 + .25 + .25) / 1 = 1.
    mean = crossed_mean(values)
    assert mean.value == 3 and mean.error == pytest.approx(np.sqrt((9 + 4 - 1) / 4)) and mean.of_pairs == 9 / 12
    low, high = mean.interval()
    # Both have one degree of freedom, whose t is 12.706.
    assert (low, high) == pytest.approx((3 - 12.706 * np.sqrt(3), 3 + 12.706 * np.sqrt(3)), rel=1e-4)


def test_one_pair_has_the_error_of_images_alone():
    values = np.random.default_rng(2).normal(size=(1, 50))
    mean = crossed_mean(values)
    assert mean.error == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    assert mean.interval()[1] - mean.value == pytest.approx(2.0096 * mean.error, rel=1e-4)  # t of 49.


@pytest.mark.parametrize("pairs", [3, 6, 10, 16])
@pytest.mark.parametrize("spreads", [(0.3, 1, 1), (1, 0, 1), (0, 1, 0.2), (0.1, 0.5, 1), (0, 0, 1)], ids=str)
def test_intervals_cover_as_often_as_they_say(pairs, spreads):
    """Of pairs, images and what is left, in any mixture; the tails too, which chosen places need."""
    rng = np.random.default_rng([3, pairs])
    of_pairs, of_images, rest = spreads
    trials, n = 4000, 60
    values = of_pairs * rng.normal(size=(pairs, 1, trials)) + of_images * rng.normal(size=(1, n, trials))
    mean = crossed_mean(values + rest * rng.normal(size=(pairs, n, trials)))
    for level, least, most in ((0.95, 0.025, 0.06), (0.99, 0.001, 0.014), (0.999, 0, 0.003)):
        low, high = mean.interval(level)
        assert least <= ((low > 0) | (high < 0)).mean() < most, level


def test_dealt_membership_is_exact_and_finds_what_is_there():
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], 12)
    ps = []
    for trial in range(300):
        inside = halves(labels, 3, trial)
        # Images differ, classes differ, pairs have offsets; membership does nothing.
        sslmem = rng.normal(size=36) + labels + 0.5 * rng.normal(size=(3, 1)) + rng.normal(size=(3, 36))
        null = dealt_means(sslmem, inside, labels, deals=199, seed=trial)
        ps.append(permutation_p(gains(sslmem, inside, labels).mean(), null))
    ps = np.array(ps)
    assert abs((ps <= 0.05).mean() - 0.05) < 0.03 and abs((ps <= 0.5).mean() - 0.5) < 0.09
    there = sslmem + 1.5 * np.where(inside, 1, -1)
    null = dealt_means(there, inside, labels, deals=999, seed=0)
    assert permutation_p(gains(there, inside, labels).mean(), null) == pytest.approx(0.002)


def test_dealt_means_leave_each_class_its_numbers():
    labels = np.array([0, 0, 0, 1, 1])
    inside = np.array([[True, False, False, True, False]])
    sslmem = np.array([[3.0, 0.0, 0.0, 8.0, 0.0]])
    null = dealt_means(sslmem, inside, labels, deals=400, seed=0)
    # Class 0: f has one of three, so 3/2 or -3/4 of .5 * 3/5; class 1 adds or takes 8/2 of 2/5.
    expected = {round(0.6 * a + 0.4 * b, 9) for a in (1.5, -0.75) for b in (4, -4)}
    assert {round(float(v), 9) for v in null} == expected


def test_reliability_of_planted_images_and_its_interval():
    rng = np.random.default_rng(6)
    labels = np.repeat([0, 1, 2, 3], 25)
    inside_interval = []
    for _ in range(300):
        # A quarter of the variance within a class is the image's; classes differ, which must not count.
        values = 0.5 * rng.normal(size=100) + 3 * labels + np.sqrt(0.75) * rng.normal(size=(6, 100))
        low, high = reliability(values, labels).interval()
        inside_interval.append(low < 0.25 < high)
    assert 0.92 < np.mean(inside_interval) < 0.98
    many = 0.5 * rng.normal(size=4000) + np.sqrt(0.75) * rng.normal(size=(10, 4000))
    assert reliability(many, np.zeros(4000, dtype=int)).value == pytest.approx(0.25, abs=0.02)


def test_reliability_is_the_mean_correlation_of_pairs_of_equal_spread():
    rng = np.random.default_rng(7)
    values = rng.normal(size=200) + rng.normal(size=(5, 200))
    values = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    r = np.corrcoef(values)[np.triu_indices(5, 1)].mean()
    assert reliability(values, np.zeros(200, dtype=int)).value == pytest.approx(r, abs=1e-12)


def test_images_dealt_anew_have_no_reliability():
    rng = np.random.default_rng(8)
    labels = np.repeat([0, 1], 40)
    values = 2 * rng.normal(size=80) + rng.normal(size=(4, 80))
    null = [float(reliability(dealt, labels).value) for dealt in shuffled(values, labels, deals=200, seed=0)]
    assert abs(np.mean(null)) < 0.02 and max(null) < float(reliability(values, labels).value)
    assert reliability(values, labels).z() > 8 > abs(reliability(rng.normal(size=(4, 80)), labels).z())


def test_spearman_brown_and_pairs_for_undo_each_other():
    assert spearman_brown(np.array(0.14), np.array([1, 10])) == pytest.approx([0.14, 1.4 / (1 + 9 * 0.14)])
    for single in (0.03, 0.22, 0.6):
        assert spearman_brown(np.array(single), np.array(pairs_for(single, 0.8))) == pytest.approx(0.8)
    assert pairs_for(0.0, 0.8) == np.inf


def test_sums_have_the_weighted_sum_as_their_mean_and_no_noise_from_doses():
    values = np.array([[1.0, 2.0, 5.0, 7.0]])
    doses, weights = np.array([[1, 1, 2, 2]]), np.array([[-0.5, -0.5, 0.5, 0.5]])
    # Means 1.5 and 6, difference 4.5; residuals -.5, .5, -1, 1 times 4 * -.5 or 4 * .5.
    assert sums(values, weights, doses).tolist() == [[5.5, 3.5, 2.5, 6.5]]
    even = sums(np.array([[1.5, 1.5, 6.0, 6.0]]), weights, doses)
    assert crossed_mean(even).error == 0 and crossed_mean(even).value == 4.5


def test_dealt_sums_keep_the_weights_of_every_stratum():
    values, weights = np.array([[[1.0], [10], [100], [1000]]]), np.array([[0.0, 1, 0, 2]])
    got = dealt_sums(values, weights, np.array([[0, 0, 1, 1]]), deals=4000, seed=0)[:, 0]
    found, counts = np.unique(got, return_counts=True)
    # One of the first two counts once, one of the last two twice: four sums, each as likely.
    assert found.tolist() == [201, 210, 2001, 2010] and counts.min() > 900


@pytest.mark.parametrize("pairs", [1, 4])
def test_intervals_of_slopes_cover_and_p_is_uniform(pairs):
    """Pairs whose slopes differ, images that differ by themselves, doses dealt anew in each pair."""
    rng, n = np.random.default_rng(3), 40
    covered, p = [], []
    for _ in range(300):
        doses = np.stack([rng.permutation(np.repeat([1, 2, 4, 8], [16, 8, 8, 8])) for _ in range(pairs)])
        x = np.log2(doses)
        slopes = 0.2 * rng.normal(size=(pairs, 1)) * (pairs > 1)
        values = rng.normal(size=n) + rng.normal(size=(pairs, n)) * (1 + x / 3)
        weights = (x - x.mean(axis=1, keepdims=True)) / ((x - x.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)[:, None]
        low, high = crossed_mean(sums(values + (1 + slopes) * x, weights, doses)).interval()
        covered.append(low < 1 < high)
        null = dealt_sums(rng.normal(size=(pairs, n)), weights, np.zeros((pairs, n), int), deals=99, seed=0)
        p.append(float(permutation_p((weights * rng.normal(size=(pairs, n))).sum() / pairs, null)))
    assert np.mean(covered) >= 0.92 and np.mean(np.array(p) <= 0.1) < 0.16
