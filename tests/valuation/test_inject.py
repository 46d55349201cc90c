"""Faults are planted in the cells and rows that are marked, and only there."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from memloc.valuation.inject import (
    INJECTORS,
    TAIL,
    choose_cells,
    class_moments,
    corner,
    flip_labels,
    patches,
    poison,
    swap,
    tail,
)


def table(n=400, d=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    x = rng.normal(size=(n, d)) + y[:, None] * np.linspace(0, 2, d)
    return (x - x.mean(axis=0)) / x.std(axis=0), y


def test_as_many_cells_in_as_many_rows_as_asked_for():
    marked = choose_cells(50, 10, rows=0.2, columns=0.3, seed=0)
    assert sorted(marked.sum(axis=1))[::-1][:11] == [3] * 10 + [0]
    assert choose_cells(50, 10, rows=0.001, columns=0.001, seed=0).sum() == 1
    assert (choose_cells(50, 10, rows=0.2, columns=0.3, seed=1) != marked).any()
    # Every cell is as likely as any other.
    often = np.mean([choose_cells(20, 5, rows=0.5, columns=0.4, seed=s) for s in range(2000)], axis=0)
    assert abs(often - 0.2).max() < 0.04


@pytest.mark.parametrize("name", list(INJECTORS))
def test_nothing_else_is_changed(name):
    x, y = table()
    before, marked = x.copy(), choose_cells(*x.shape, rows=0.5, columns=0.5, seed=3)
    dirty = INJECTORS[name](x, y, marked, seed=3)
    assert (x == before).all() and (dirty[~marked] == x[~marked]).all() and (dirty[marked] != x[marked]).all()
    assert (INJECTORS[name](x, y, marked, seed=3) == dirty).all()
    assert (INJECTORS[name](x, y, marked, seed=4) != dirty).any()


def test_tails_are_a_standard_normal_outside_the_class():
    x, y = table(n=4000)
    marked = choose_cells(*x.shape, rows=1.0, columns=1.0, seed=0)
    dirty = tail(x, y, marked, seed=0)
    mean, deviation = class_moments(x, y)
    assert (2 * norm.sf(abs(dirty - mean) / deviation) <= TAIL * (1 + 1e-9)).all()
    # Of the truncated normal, by its distribution function, in one class and column.
    rows, m, s = y == 2, mean[y == 2][0, 5], deviation[y == 2][0, 5]
    low, high = m - norm.isf(TAIL / 2) * s, m + norm.isf(TAIL / 2) * s
    below, above = norm.cdf(low), norm.sf(high)

    def cdf(v):
        return (np.minimum(norm.cdf(v), below) + np.maximum(above - norm.sf(v), 0)) / (below + above)

    assert kstest(dirty[rows, 5], cdf).pvalue > 0.01


@pytest.mark.parametrize("scale", [0.0, 1e3])
def test_tails_of_classes_without_spread_or_far_too_wide_are_finite(scale):
    x = scale * np.random.default_rng(0).normal(size=(30, 2))
    dirty = tail(x, np.arange(30) % 2, np.ones((30, 2), dtype=bool), seed=0)
    assert np.isfinite(dirty).all() and (dirty != x).all()


def test_swapped_cells_come_from_the_column_in_other_classes():
    x, y = table()
    marked = choose_cells(*x.shape, rows=0.5, columns=0.5, seed=1)
    dirty = swap(x, y, marked, seed=1)
    for i, j in zip(*np.nonzero(marked), strict=True):
        donors = np.flatnonzero(x[:, j] == dirty[i, j])
        assert len(donors) and (y[donors] != y[i]).all()


def test_flipped_labels_are_other_classes_evenly():
    y = np.repeat([0, 2, 5], 200)
    labels, flipped = flip_labels(y, share=0.5, seed=0)
    assert flipped.sum() == 300 and (labels[~flipped] == y[~flipped]).all() and (labels[flipped] != y[flipped]).all()
    for label in (0, 2, 5):
        to = labels[flipped & (y == label)]
        others, counts = np.unique(to, return_counts=True)
        assert sorted(others) == sorted({0, 2, 5} - {label}) and counts.min() > 0.3 * len(to)


def test_a_corner_and_its_patches():
    assert np.flatnonzero(corner((1, 4, 4), 2)).tolist() == [10, 11, 14, 15]
    assert corner((3, 4, 4), 2).sum() == 12
    groups = patches((2, 4, 4), 2)
    assert groups.reshape(2, 4, 4).tolist() == [[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]] * 2
    assert patches((1, 3, 3), 3).tolist() == list(range(9))
    # A trigger of three pixels lies in the corner patch of four.
    assert set(patches((1, 28, 28), 7)[corner((1, 28, 28), 3)]) == {48}


def test_poisoned_images_have_the_trigger_and_the_target_s_label():
    rng = np.random.default_rng(0)
    x, y = 0.9 * rng.random((100, 16)), np.arange(100) % 3
    trigger = corner((1, 4, 4), 2)
    images, labels, poisoned = poison(x, y, trigger, source=2, target=0, share=0.1, seed=0)
    assert poisoned.sum() == 10 and (y[poisoned] == 2).all() and (labels[poisoned] == 0).all()
    assert (images[poisoned][:, trigger] == 1).all() and (
        images[poisoned][:, ~trigger] == x[poisoned][:, ~trigger]
    ).all()
    assert (images[~poisoned] == x[~poisoned]).all() and (labels[~poisoned] == y[~poisoned]).all()
    # Half of the source class stay as they are.
    assert poison(x, y, trigger, source=2, target=0, share=0.4, seed=0)[2].sum() == 16
