"""Detection curves, ROC and precision-recall: by hand, in closed form, and as scikit-learn has them."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from memloc.metrics.detection import auroc, average_precision, chance_precision, detection_area, detection_rate


def test_a_curve_by_hand():
    values = np.array([[3.0, 1.0], [2.0, 4.0]])
    marked = np.array([[False, True], [False, True]])
    # In ascending order: marked, not, not, marked.
    np.testing.assert_allclose(detection_rate(values, marked, [0, 0.25, 0.5, 0.75, 1]), [0, 0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(detection_rate(values, marked, [0.125]), 0.25)
    assert detection_area(values, marked) == pytest.approx((0.25 + 0.5 + 0.5 + 0.75) / 4)


def test_ties_count_by_their_average_order():
    # One marked among four equal values is found after two and a half on average, wherever it stands.
    for place in range(4):
        marked = np.arange(4) == place
        np.testing.assert_allclose(detection_rate(np.zeros(4), marked, [0.25, 0.5]), [0.25, 0.5])
        assert detection_area(np.zeros(4), marked) == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    values, marked = rng.integers(3, size=60).astype(float), rng.random(60) < 0.3
    shuffled = [detection_area(values + 1e-6 * rng.random(60), marked) for _ in range(4000)]
    assert detection_area(values, marked) == pytest.approx(np.mean(shuffled), abs=0.002)


@pytest.mark.parametrize("share", [0.04, 0.5])
def test_best_worst_and_chance(share):
    n = 1000
    marked = np.arange(n) < share * n
    assert detection_area(np.arange(n), marked) == pytest.approx(1 - share / 2)
    assert detection_area(-np.arange(n), marked) == pytest.approx(share / 2)
    values = np.random.default_rng(1).random((500, n))
    assert np.mean([detection_area(row, marked) for row in values]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("ties", [3, 1000])
def test_roc_and_precision_are_those_of_scikit_learn(ties):
    rng = np.random.default_rng(2)
    for _ in range(20):
        values, marked = rng.integers(ties, size=80).astype(float), rng.random(80) < 0.2
        assert auroc(values, marked) == pytest.approx(roc_auc_score(marked, values))
        assert average_precision(values, marked) == pytest.approx(average_precision_score(marked, values))


def test_nothing_to_find_is_no_number():
    with pytest.raises(ValueError, match="nothing is marked"):
        detection_area(np.arange(3), np.zeros(3, dtype=bool))
    for marked in (np.zeros(3, dtype=bool), np.ones(3, dtype=bool)):
        with pytest.raises(ValueError, match=r"needed|marked"):
            auroc(np.arange(3), marked)


@pytest.mark.parametrize(("n", "marked"), [(1, 1), (5, 1), (5, 5), (8, 3)])
def test_precision_by_chance_is_the_mean_over_all_orders(n, marked):
    of = [average_precision(np.arange(n), np.isin(np.arange(n), some)) for some in combinations(range(n), marked)]
    assert chance_precision(n, marked) == pytest.approx(np.mean(of))
