"""Resamples told by counts give what the metrics give of the resampled rows themselves."""

import numpy as np
import pytest

from memloc.metrics.resampled import (
    classmem_of_counts,
    highest_of_counts,
    rank_correlation_of_counts,
    unitmem_of_counts,
)
from memloc.metrics.stats import rank_correlation
from memloc.metrics.units import classmem, unitmem

POINTS, UNITS, CLASSES = 17, 6, 4


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def mu(rng):
    values = rng.gamma(0.5, size=(POINTS, UNITS))
    values[:, 4] = 0  # A unit that nothing excites,
    values[:, 5] = np.eye(POINTS)[7]  # and one that a single point does.
    return values


def counted(drawn):
    return np.stack([np.bincount(row, minlength=POINTS) for row in drawn]).astype(float)


def test_unitmem_of_counts_is_that_of_the_resampled_rows(rng, mu):
    drawn = rng.integers(POINTS, size=(60, POINTS))
    got = unitmem_of_counts(mu, counted(drawn))
    np.testing.assert_allclose(got, [unitmem(mu[rows]) for rows in drawn], atol=1e-12)
    assert (got[:, 4] == 0).all()
    # The point that alone excites a unit is drawn once: UnitMem 1; not at all: 0; more often: in between.
    times = (drawn == 7).sum(axis=1)
    assert (got[times == 1, 5] == 1).all() and (got[times == 0, 5] == 0).all() and (got[times > 1, 5] < 1).all()


def test_sets_smaller_than_all_points_are_counted_too(rng, mu):
    chosen = [rng.choice(POINTS, size=5, replace=False) for _ in range(20)]
    got = unitmem_of_counts(mu, counted(chosen))
    np.testing.assert_allclose(got, [unitmem(mu[rows]) for rows in chosen], atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 16, 17, 40])
def test_the_median_of_the_others_is_that_of_the_resampled_rows(rng, mu, size):
    mu[:, 3] = np.round(mu[:, 3])  # Ties.
    drawn = rng.integers(POINTS, size=(60, size))
    got = unitmem_of_counts(mu, counted(drawn), others="median")
    np.testing.assert_allclose(got, [unitmem(mu[rows], others="median") for rows in drawn], atol=1e-12)
    assert (got != unitmem_of_counts(mu, counted(drawn))).any() or size == 2


def test_an_average_of_the_others_that_is_neither_is_refused(mu):
    with pytest.raises(ValueError, match="'mode' is neither mean nor median"):
        unitmem_of_counts(mu, np.ones((1, POINTS)), others="mode")


def test_the_highest_value_is_found_however_low_it_stands(mu):
    alone = np.eye(POINTS)
    np.testing.assert_array_equal(highest_of_counts(mu, alone), mu)


def test_rank_correlation_of_counts_is_that_of_the_resampled_rows(rng):
    pairs = rng.integers(6, size=(POINTS, 2)) / 3  # Ties.
    drawn = [rng.integers(POINTS, size=size) for size in (2, 3, 5, 40, 41)]
    got = rank_correlation_of_counts(pairs, counted(drawn))
    np.testing.assert_allclose(got, [rank_correlation(*pairs[rows].T) for rows in drawn], atol=1e-12)
    assert rank_correlation_of_counts(pairs, np.eye(POINTS)[:1]) == 0


def test_classmem_of_counts_is_that_of_the_resampled_rows(rng, mu):
    labels = np.arange(POINTS) % CLASSES
    drawn = rng.integers(POINTS, size=(40, 6))
    counts = np.stack([counted([rows[labels[rows] == c] for c in range(CLASSES)]) for rows in drawn])
    got = classmem_of_counts(mu, counts)
    several = [len(set(labels[rows])) > 1 for rows in drawn]
    expected = [classmem(mu[rows], labels[rows]) for rows in drawn[several]]
    np.testing.assert_allclose(got[several], expected, atol=1e-6)
    assert len({len(set(labels[rows])) for rows in drawn}) > 1


def test_a_single_class_excites_no_unit_more_than_others(mu):
    counts = np.zeros((1, CLASSES, POINTS))
    counts[0, 2, :3] = 1
    assert (classmem_of_counts(mu, counts) == 0).all()
