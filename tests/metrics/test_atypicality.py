import math

import numpy as np
import pytest

from memloc.metrics.atypicality import neighbour_distance


def test_distances_between_unit_vectors_of_hand_worked_values():
    reference = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    out = neighbour_distance(np.array([[5.0, 0.0]]), reference, neighbours=1)
    assert out.tolist() == [0.0]
    out = neighbour_distance(np.array([[5.0, 0.0]]), reference, neighbours=3)
    assert out[0] == pytest.approx((0 + math.sqrt(2) + 2) / 3)


def test_neighbour_distance_equals_a_literal_loop():
    rng = np.random.default_rng(0)
    features, reference = rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=(11, 5)).astype(np.float32)
    for row, got in zip(features, neighbour_distance(features, reference, neighbours=4), strict=True):
        x = row.astype(float) / math.sqrt(sum(float(v) ** 2 for v in row))
        distances = []
        for other in reference:
            y = other.astype(float) / math.sqrt(sum(float(v) ** 2 for v in other))
            distances.append(math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True))))
        assert got == pytest.approx(sum(sorted(distances)[:4]) / 4, rel=1e-9)


def test_neighbour_distance_ignores_length_and_the_order_of_the_reference():
    rng = np.random.default_rng(1)
    features, reference = rng.normal(size=(6, 3)), rng.normal(size=(9, 3))
    expected = neighbour_distance(features, reference, neighbours=2)
    scaled = features * rng.uniform(0.1, 9, size=(6, 1))
    np.testing.assert_allclose(neighbour_distance(scaled, rng.permutation(reference), neighbours=2), expected)


def test_neighbour_distance_grows_with_the_number_of_neighbours():
    rng = np.random.default_rng(2)
    features, reference = rng.normal(size=(6, 3)), rng.normal(size=(9, 3))
    distances = [neighbour_distance(features, reference, neighbours=k) for k in range(1, 10)]
    assert (np.diff(distances, axis=0) > 0).all()


def test_an_outlier_is_the_most_atypical():
    rng = np.random.default_rng(3)
    direction = rng.normal(size=8)
    features = direction + 0.1 * rng.normal(size=(20, 8))
    features[13] = -direction
    distance = neighbour_distance(features, direction + 0.1 * rng.normal(size=(30, 8)), neighbours=5)
    assert distance.argmax() == 13 and distance[13] > 1.9


def test_a_feature_of_length_zero_gives_a_finite_distance():
    out = neighbour_distance(np.zeros((1, 3)), np.eye(3), neighbours=3)
    assert np.isfinite(out).all()


def test_more_neighbours_than_points_are_refused():
    with pytest.raises(ValueError, match="4 neighbours asked for among 3"):
        neighbour_distance(np.eye(3), np.eye(3), neighbours=4)
    assert neighbour_distance(np.eye(3), np.eye(3), neighbours=3).shape == (3,)
