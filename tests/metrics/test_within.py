"""Statistics within classes: by hand, against scipy and literal loops, and on resamples that are written out."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from memloc.metrics.within import lift_within, lowest_within, reached, within_auroc, within_orders, within_ranks


def once(values, labels):
    return within_ranks(np.atleast_2d(np.asarray(values, float)), np.asarray(labels), np.ones((len(labels), 1)))[..., 0]


def correlation(x, y, labels):
    return (once(x, labels) * once(y, labels)).sum()


def test_a_class_that_rises_and_one_of_half_its_size_that_falls_make_a_third():
    # Four points in order, rho 1; two against it, rho -1: (4 - 2) / 6. Over all points together rho is far higher.
    labels = [0, 0, 0, 0, 1, 1]
    assert correlation([1, 2, 3, 4, 100, 101], [10, 20, 30, 40, 900, 800], labels) == pytest.approx(1 / 3)


def test_ties_share_their_mean_rank():
    # Ranks 1.5, 1.5, 3 against 1, 2, 3: covariance 1.5 over sqrt(1.5 * 2).
    assert correlation([5, 5, 9], [1, 2, 3], [0, 0, 0]) == pytest.approx(np.sqrt(3) / 2)
    # Equal means that were added up in another order.
    assert correlation([0.1 + 0.2, 0.3, 9], [1, 2, 3], [0, 0, 0]) == pytest.approx(np.sqrt(3) / 2)


def test_a_class_without_differences_counts_as_zero():
    assert correlation([1, 2, 7, 7], [1, 2, 1, 2], [0, 0, 1, 1]) == pytest.approx(0.5)
    assert correlation([1, 2, 7], [1, 2, 1], [0, 0, 1]) == pytest.approx(2 / 3)


def test_what_sets_classes_apart_has_no_part():
    rng = np.random.default_rng(0)
    x, y, labels = rng.normal(size=40), rng.normal(size=40), np.arange(40) % 4
    moved = correlation(x + 10 * labels, y - 7 * labels, labels)
    assert moved == pytest.approx(correlation(x, y, labels)) and abs(moved) < 0.6
    assert spearmanr(x + 10 * labels, y - 7 * labels).statistic < -0.8


def literal(x, y, labels):
    total = 0.0
    for label in np.unique(labels):
        mine = labels == label
        if np.ptp(x[mine]) and np.ptp(y[mine]):
            total += mine.sum() / len(x) * spearmanr(x[mine], y[mine]).statistic
    return total


def test_resamples_are_the_points_written_out_as_often_as_they_are_drawn():
    rng = np.random.default_rng(1)
    n = 30
    values, labels = np.round(rng.normal(size=(3, n)), 1), rng.integers(4, size=n)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=20)
    z = within_ranks(values, labels, counts.T)
    got = np.einsum("rn,knr,lnr->rkl", counts, z, z)
    for r, held in enumerate(counts):
        x, of = np.repeat(values, held, axis=1), np.repeat(labels, held)
        for k in range(3):
            for j in range(k):
                assert got[r, k, j] == pytest.approx(literal(x[k], x[j], of), abs=1e-12)


def test_orders_move_points_within_their_class_alone():
    labels = np.array([0, 1, 0, 1, 1, 2])
    orders = within_orders(labels, 500, np.random.default_rng(2))
    assert (np.sort(orders, axis=1) == np.arange(6)).all() and (labels[orders] == labels).all()
    assert {tuple(order) for order in orders[:, [0, 2]]} == {(0, 2), (2, 0)}
    assert len({tuple(order) for order in orders[:, [1, 3, 4]]}) == 6
    assert len({tuple(order) for order in orders}) == 12


def auroc(score, positive, labels):
    won = pairs = 0.0
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(~positive & (labels == labels[i])):
            won += (score[i] > score[j]) + 0.5 * (score[i] == score[j])
            pairs += 1
    return won / pairs if pairs else 0.5


def test_auroc_counts_pairs_of_one_class():
    labels = np.array([0, 0, 0, 1, 1])
    positive = np.array([[1, 0, 0, 1, 0]])
    # One of two pairs won and one tied in class 0, one lost in class 1; class 1 has far higher scores altogether.
    got = within_auroc(np.array([[2.0, 1.0, 2.0, 50.0, 60.0]]), positive, 1 - positive, labels)
    assert got.shape == (1, 1) and got[0, 0] == pytest.approx(1.5 / 3)


def test_auroc_of_resamples_is_that_of_points_written_out():
    rng = np.random.default_rng(3)
    n = 25
    scores, labels, planted = np.round(rng.normal(size=(2, n)), 1), rng.integers(3, size=n), rng.random(n) < 0.3
    counts = rng.multinomial(n, np.full(n, 1 / n), size=15)
    got = within_auroc(scores, counts * planted, counts * ~planted, labels)
    for r, held in enumerate(counts):
        of = [np.repeat(a, held, axis=-1) for a in (scores, planted, labels)]
        for k in range(2):
            assert got[r, k] == pytest.approx(auroc(of[0][k], of[1], of[2]))


def test_auroc_without_a_pair_tells_nothing():
    positive = np.array([[1, 0]])
    assert within_auroc(np.array([[1.0, 0.0]]), positive, 1 - positive, np.array([0, 1]))[0, 0] == 0.5


def test_the_lowest_of_each_class():
    values = np.array([5.0, 1.0, 3.0, 2.0, 100.0, 99.0])
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert np.flatnonzero(lowest_within(values, labels, 0.5)).tolist() == [1, 3, 5]
    assert np.flatnonzero(lowest_within(values, labels, 0.01)).tolist() == [1, 5]


def test_a_marked_cell_is_reached_or_not_and_ties_deal():
    cells = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4], [0, 0, 0, 0], [1, 2, 2, 2]])
    marked = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 1]], dtype=bool)
    # Two of four tied cells are drawn: one marked is among them half the time. One of three, two marked: two thirds.
    np.testing.assert_allclose(reached(cells, marked, 2), [1, 0, 0.5, 2 / 3])


def test_ties_are_dealt_as_often_as_random_choices_do():
    rng = np.random.default_rng(4)
    cells, marked = rng.integers(3, size=(6, 9)).astype(float), rng.random((6, 9)) < 0.3
    expected = np.zeros(6)
    for _ in range(4000):
        order = np.argsort(rankdata(cells, axis=1) + 0.1 * rng.random(cells.shape), axis=1)[:, :4]
        expected += np.take_along_axis(marked, order, axis=1).any(axis=1) / 4000
    np.testing.assert_allclose(reached(cells, marked, 4), expected, atol=0.03)


def test_lift_is_that_of_sets_written_out():
    rng = np.random.default_rng(4)
    n = 40
    values, other, labels = rng.normal(size=(2, n)), rng.normal(size=n), np.arange(n) % 3
    halves = np.zeros((5, n), dtype=bool)
    for row in halves:
        for label in range(3):
            mine = np.flatnonzero(labels == label)
            row[rng.choice(mine, 7, replace=False)] = True
    got = lift_within(values, other, halves, labels, 0.3)
    for r, inside in enumerate(halves):
        for k in range(2):
            both = 0
            for label in range(3):
                mine = np.flatnonzero(inside & (labels == label))
                both += len({*mine[np.argsort(values[k, mine])[:2]]} & {*mine[np.argsort(other[mine])[:2]]})
            assert got[r, k] == pytest.approx(both / (3 * 2 * 2 / 7) - 1)


def test_a_class_without_members_has_no_part_in_lift():
    labels, inside = np.repeat([0, 1], 10), np.arange(20)[None] < 10
    assert lift_within(np.arange(20.0)[None], np.arange(20.0), inside, labels, 0.1)[0, 0] == pytest.approx(9)
