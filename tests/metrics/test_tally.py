import math
from fractions import Fraction

import numpy as np
import pytest

from memloc.metrics.tally import ClassTally, ExactSum, Tally, merged, quarters
from memloc.metrics.units import class_means, unitmem


def wild(n, columns, seed=0):
    """Numbers of either sign from the smallest subnormals to 2^900, some of them zero."""
    rng = np.random.default_rng(seed)
    values = np.ldexp(rng.choice([-1.0, 1.0], (n, columns)) * (1 + rng.random((n, columns))),
                      rng.integers(-1074, 900, size=(n, columns)))  # fmt: skip
    values[rng.random((n, columns)) < 0.1] = 0
    values[:3, 0] = [5e-324, -5e-324, 2.2e-308]
    return values


def exactly(values, weights=None):
    weights = [1] * len(values) if weights is None else [int(w) for w in weights]
    return sum((w * Fraction(float(v)) for v, w in zip(values, weights, strict=True)), Fraction(0))


def parts_of(total, index):
    return sum((Fraction(float(part[index])) for part in total.parts.values()), Fraction(0))


def same(a, b):
    a, b = a.arrays(), b.arrays()
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def partition(n, rng):
    """A random order of n rows, cut into shards of random sizes, some of them empty."""
    return np.split(rng.permutation(n), np.sort(rng.integers(0, n + 1, size=rng.integers(0, 6))))


# Exact sums


def test_a_sum_keeps_every_bit_of_wild_numbers():
    values = wild(200, 4)
    total = ExactSum()
    total.add(values)
    for column in range(4):
        assert parts_of(total, column) == exactly(values[:, column])


def test_a_sum_of_one_sign_is_that_of_fsum_to_the_last_place():
    values = np.abs(wild(300, 5, seed=1))
    values[:, 1] = np.random.default_rng(2).random(300)
    values[:, 2] = np.ldexp(values[:, 1], -1060)
    total = ExactSum()
    total.add(values)
    for got, column in zip(total.value((5,)), values.T, strict=True):
        assert abs(got - math.fsum(column)) <= math.ulp(math.fsum(column))


def test_a_sum_that_a_number_can_hold_is_exactly_that():
    rng = np.random.default_rng(3)
    values = np.ldexp(rng.integers(-(2**20), 2**20, size=(1000, 3)).astype(float), rng.integers(0, 20, size=(1000, 3)))
    values = values / 2**15
    total = ExactSum()
    total.add(values)
    assert total.value((3,)).tolist() == [math.fsum(column) for column in values.T]


def test_what_cancels_leaves_what_is_small():
    total = ExactSum()
    total.add(np.array([[1e200], [3.0], [-1e200], [2.0**-300], [-3.0]]))
    assert total.value((1,)).tolist() == [2.0**-300]


def test_weighted_sums_keep_every_bit():
    rng = np.random.default_rng(4)
    values, weights = wild(60, 3, seed=4), rng.integers(0, 9, size=(5, 60)).astype(float)
    total = ExactSum()
    total.add(values, weights)
    for replicate in range(5):
        for column in range(3):
            assert parts_of(total, (replicate, column)) == exactly(values[:, column], weights[replicate])


def test_order_and_shards_do_not_change_a_single_bit_of_a_sum():
    values, rng = wild(150, 6, seed=5), np.random.default_rng(6)
    whole = ExactSum()
    whole.add(values)
    for _ in range(10):
        total = ExactSum()
        for rows in partition(150, rng):
            part = ExactSum()
            part.add(values[rows])
            total.merge(part)
        assert total.parts.keys() == whole.parts.keys()
        assert all(np.array_equal(total.parts[j], whole.parts[j]) for j in whole.parts)
        assert total.value((6,)).tobytes() == whole.value((6,)).tobytes()


def test_merging_leaves_the_other_sum_and_the_values_alone():
    values = wild(20, 2)
    kept = values.copy()
    a, b = ExactSum(), ExactSum()
    b.add(values)
    before = b.value((2,))
    a.merge(b)
    a.add(values)
    a.merge(b)
    assert np.array_equal(values, kept) and np.array_equal(b.value((2,)), before)
    assert parts_of(a, 1) == 3 * exactly(values[:, 1])


def test_a_sum_of_nothing_is_zero():
    total = ExactSum()
    total.add(np.zeros((0, 3)))
    total.add(np.zeros((4, 3)))
    assert total.value((3,)).tolist() == [0, 0, 0] and not total.parts


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sum_refuses_what_is_not_finite_and_stays_as_it_was(bad):
    total = ExactSum()
    total.add(np.ones((1, 2)))
    with pytest.raises(ValueError, match="only finite numbers"):
        total.add(np.array([[0.0, 1.0], [1.0, bad]]))
    assert total.value((2,)).tolist() == [1, 1]


# Tallies

UNITS = 7


def activations(n, seed=0):
    """Means of ReLUs: a dead unit, a sparse one, one of few values (ties) and one of all equal values."""
    rng = np.random.default_rng(seed)
    mu = np.maximum(rng.normal(size=(n, UNITS)), 0).astype(np.float32)
    mu[:, 0] = 0
    mu[:, 1] = np.where(rng.random(n) < 0.05, mu[:, 1], 0)
    mu[:, 2] = rng.integers(0, 3, size=n)
    mu[:, 3] = 0.7
    return mu


def numbers(n, seed=0):
    return np.random.default_rng(seed).choice(10 * n, size=n, replace=False)


def tally(mu, ids, keep=4, replicates=6):
    out = Tally(UNITS, keep=keep, replicates=replicates, seed=3)
    out.add(mu, ids)
    return out


def everything(got):
    return [*got.highest(), *got.halves()]


@pytest.mark.parametrize("n", [3, 30, 200])
def test_shards_in_any_order_give_the_same_bits(n):
    mu, ids, rng = activations(n), numbers(n), np.random.default_rng(n)
    whole = tally(mu, ids)
    for _ in range(12):
        shards = []
        for rows in partition(n, rng):
            shards.append(Tally(UNITS, keep=4, replicates=6, seed=3))
            for few in np.array_split(rows, rng.integers(1, 4)):
                shards[-1].add(mu[few], ids[few])
        got = merged(shards)
        assert same(got, whole)
        for one, other in zip(everything(got), everything(whole), strict=True):
            assert one.tobytes() == other.tobytes()


def test_the_top_are_the_highest_of_all_and_the_smaller_point_comes_first():
    mu, ids = activations(50), numbers(50)
    got = tally(mu, ids)
    for unit in range(UNITS):
        expected = sorted(zip(-mu[:, unit].astype(float), ids.tolist(), strict=True))[:4]
        assert got.top_ids[:, unit].tolist() == [point for _, point in expected]
        assert got.top[:, unit].tolist() == [-value for value, _ in expected]
    assert got.lowest.tolist() == mu.min(axis=0).tolist() and got.points == 50


def test_a_tie_with_what_is_kept_already_goes_to_the_smaller_point():
    got = Tally(1, keep=2)
    got.add(np.full((5, 1), 1.0), np.arange(10, 15))
    got.add(np.array([[1.0], [0.5], [0.5], [0.5]]), np.array([3, 0, 1, 2]))
    assert got.top_ids.ravel().tolist() == [3, 10]
    got.add(np.array([[1.0], [2.0]]), np.array([4, 99]))
    assert got.top_ids.ravel().tolist() == [99, 3]


def test_the_highest_and_the_others_are_those_of_unitmem():
    mu = activations(40)
    top, others = tally(mu, numbers(40)).highest()
    values = mu.astype(np.float64)
    assert np.array_equal(top, values.max(axis=0))
    np.testing.assert_allclose(others, (values.sum(axis=0) - top) / 39, rtol=1e-14)
    both = top + others
    ratio = np.divide(top - others, both, out=np.zeros(UNITS), where=both > 0)
    np.testing.assert_allclose(ratio, unitmem(mu), rtol=1e-13, atol=1e-15)


def test_fewer_points_than_are_kept_leave_places_free():
    got = tally(activations(3), np.array([8, 2, 5]), keep=5)
    assert (got.top_ids[3:] == -1).all() and (got.top[3:] == -np.inf).all()
    assert got.top_ids[:3, 0].tolist() == [2, 5, 8] and got.top[:3, 0].tolist() == [0, 0, 0]
    got.add(activations(1, seed=1), np.array([0]))
    assert got.top_ids[:4, 0].tolist() == [0, 2, 5, 8] and (got.top_ids[4] == -1).all()


def test_halves_are_literal_parts_of_the_points():
    n, replicates = 60, 20
    mu, ids = activations(n, seed=4).astype(np.float64), numbers(n, seed=4)
    top, others = tally(mu, ids, keep=n, replicates=replicates).halves()
    place = quarters(ids, replicates, seed=3)
    assert top.shape == others.shape == (replicates, 6, UNITS)
    sets = [{0, 1}, {2, 3}, {0, 2}, {1, 3}, {0, 3}, {1, 2}]
    for replicate in range(replicates):
        for number, chosen in enumerate(sets):
            part = mu[np.isin(place[replicate], [*chosen])]
            assert np.array_equal(top[replicate, number], part.max(axis=0))
            rest = np.sort(part, axis=0)[:-1].mean(axis=0)
            np.testing.assert_allclose(others[replicate, number], rest, rtol=1e-12, atol=1e-15)


def test_a_half_without_any_of_the_kept_points_is_nan_and_no_other():
    mu, ids = activations(30), numbers(30)
    got = tally(mu, ids, keep=1, replicates=50)
    top, others = got.halves()
    lost = ~np.isin(quarters(got.top_ids[0], 50, seed=3), [0, 1])
    assert 0.3 < lost.mean() < 0.7
    assert np.array_equal(np.isnan(top[:, 0]), lost) and np.array_equal(np.isnan(others[:, 0]), lost)
    assert np.array_equal(top[:, 0][~lost], np.broadcast_to(mu.max(axis=0), lost.shape)[~lost])


def test_a_half_of_fewer_than_two_points_is_nan():
    top, _ = tally(activations(3), numbers(3), replicates=30).halves()
    few = np.isin(quarters(numbers(3), 30, seed=3), [0, 1]).sum(axis=1) < 2
    assert np.array_equal(np.isnan(top[:, 0]).all(axis=1), few) and 0 < few.mean() < 1


def test_a_tally_goes_on_from_its_arrays_as_if_never_stopped():
    mu, ids = activations(60), numbers(60)
    for stop in (0, 2, 30):
        half = tally(mu[:stop], ids[:stop])
        again = Tally(UNITS, keep=4, replicates=6, seed=3)
        again.restore({name: array.copy() for name, array in half.arrays().items()})
        assert same(again, half)
        again.add(mu[stop:], ids[stop:])
        assert same(again, tally(mu, ids))


@pytest.mark.parametrize("options", [{"units": 6}, {"replicates": 5}, {"seed": 4}])
def test_tallies_of_different_things_do_not_merge(options):
    mine = {"units": UNITS, "replicates": 6, "seed": 3}
    with pytest.raises(ValueError, match="can't be merged"):
        Tally(**mine).merge(Tally(**mine | options))


# Classes


def classes(n=60):
    rng = np.random.default_rng(7)
    labels = rng.choice([0, 1, 4], size=n)
    return np.stack([labels, rng.permutation(labels), np.sort(labels)])


def class_tally(plain, labellings, rows):
    out = ClassTally(UNITS, labellings, 6)
    out.add(plain[rows], rows)
    return out


def test_class_means_are_those_of_unit_scores_for_every_labelling():
    plain, labellings = np.random.default_rng(8).normal(size=(60, UNITS)).astype(np.float32), classes()
    got = class_tally(plain, labellings, np.arange(60)).means()
    assert len(got) == 3
    for (present, means), labels in zip(got, labellings, strict=True):
        assert present.tolist() == [0, 1, 4]
        np.testing.assert_allclose(means, class_means(plain, labels), rtol=1e-12, atol=1e-14)
    assert not np.allclose(got[0][1], got[1][1])


def test_class_means_do_not_depend_on_shards_or_order():
    plain, labellings, rng = activations(60), classes(), np.random.default_rng(9)
    whole = class_tally(plain, labellings, np.arange(60))
    for _ in range(8):
        total = ClassTally(UNITS, labellings, 6)
        for rows in partition(60, rng):
            total.merge(class_tally(plain, labellings, rows))
        assert same(total, whole)


def test_a_class_that_no_point_seen_belongs_to_has_no_mean():
    plain, labellings = activations(60), classes()
    rows = np.flatnonzero(labellings[0] == 4)[:3]
    present, means = class_tally(plain, labellings[:1], rows).means()[0]
    assert present.tolist() == [4]
    np.testing.assert_allclose(means[0], plain[rows].astype(np.float64).mean(axis=0), rtol=1e-12)


def test_the_mean_of_a_class_holds_nothing_of_the_classes_before_it():
    labels = np.repeat([0, 1, 2], 4)
    plain = np.repeat([[100.0] * UNITS, [1.0] * UNITS, [0.0] * UNITS], 4, axis=0)
    _, means = class_tally(plain, labels[None], np.arange(12)).means()[0]
    assert means[:, 0].tolist() == [100, 1, 0]


def test_a_class_tally_goes_on_from_its_arrays():
    plain, labellings = activations(60), classes()
    half, again = class_tally(plain, labellings, np.arange(20)), ClassTally(UNITS, labellings, 6)
    again.restore({name: array.copy() for name, array in half.arrays().items()})
    again.add(plain[20:], np.arange(20, 60))
    assert same(again, class_tally(plain, labellings, np.arange(60)))


# Quarters


def test_each_point_falls_into_each_quarter_equally_often():
    place = quarters(np.arange(400), 250, seed=1)
    assert {*place.ravel().tolist()} == {0, 1, 2, 3}
    for number in range(4):
        assert (place == number).mean() == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / place.size))


def test_quarters_of_points_and_replicates_are_unrelated():
    first = quarters(np.arange(60), 2000, seed=2) == 0
    assert np.abs(np.corrcoef(first.T) - np.eye(60)).max() < 5 / math.sqrt(2000)
    assert np.abs(np.corrcoef(first[:40]) - np.eye(40)).max() < 5 / math.sqrt(60)


def test_the_quarter_of_a_point_depends_on_seed_and_point_alone():
    ids = np.array([5, 900, 17, 3])
    whole = quarters(ids, 30, seed=4)
    assert whole.shape == (30, 4)
    assert np.array_equal(quarters(ids[::-1], 30, seed=4), whole[:, ::-1])
    assert np.array_equal(quarters(ids[2:3], 30, seed=4), whole[:, 2:3])
    assert not np.array_equal(quarters(ids, 30, seed=5), whole)
