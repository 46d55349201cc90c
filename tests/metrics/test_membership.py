"""Memorization by many encoders: values by hand, planted effects, intervals that cover, what membership can't tell."""

import numpy as np
import pytest

from memloc.metrics.membership import memorization, partners
from memloc.metrics.stats import permutation_p

ONE_CLASS = np.zeros(4, dtype=int)


def dealt(rng, encoders, labels, *, complementary=False):
    """Membership: stratified halves and their complements, or any in which each image is in and out twice or more."""
    if complementary:
        halves = np.zeros((encoders // 2, len(labels)), dtype=bool)
        for half in halves:
            for label in np.unique(labels):
                rows = rng.permutation(np.flatnonzero(labels == label))
                half[rows[: len(rows) // 2]] = True
        return np.stack([halves, ~halves], axis=1).reshape(encoders, -1)
    while True:
        inside = rng.random((encoders, len(labels))) < 0.5
        count = inside.sum(axis=0)
        if ((count > 1) & (count < encoders - 1)).all():
            return inside


def aligned(rng, inside, effect, *, noise=0.05):
    """Alignment [encoders, images, 1] with levels of encoders and images, less where an encoder had the image."""
    encoders, images = inside.shape
    level = 0.5 + 0.05 * rng.normal(size=(encoders, 1)) + 0.1 * rng.normal(size=images)
    return (level - inside * effect + noise * rng.normal(size=inside.shape))[..., None]


def test_partners_are_encoders_of_complementary_images():
    half, other = np.array([1, 1, 0, 0], dtype=bool), np.array([1, 0, 1, 0], dtype=bool)
    assert partners(np.stack([half, other, ~half, ~other])) == ((0, 2), (1, 3))
    assert partners(np.stack([half, half, ~half, ~half])) == ((0, 2), (1, 3))  # Two pairs on the same halves.
    assert partners(np.stack([half, other, half])) == ()
    with pytest.raises(LookupError) as lonely:
        partners(np.stack([half, other, ~half]))
    assert lonely.value.args == (1,)


def test_a_pair_by_hand():
    # m = (A_g - A_f) / (A_g + A_f): 1/3 and 0 where f had the image, 0 and -1/5 where g had it; offset (1/6 - 1/10) / 2.
    a_f, a_g = [1, 1, 1, 3], [2, 1, 1, 2]
    inside = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=bool)
    found = memorization(np.array([a_f, a_g], dtype=float)[..., None], inside, ONE_CLASS, deals=20)
    offset = (1 / 6 - 1 / 10) / 2
    assert found.values[:, 0] == pytest.approx([1 / 3 - offset, -offset, offset, offset + 1 / 5])
    assert found.layermem.value[0] == pytest.approx((1 / 6 + 1 / 10) / 2)
    assert np.isnan(found.error).all() and np.isnan(found.reliable).all() and found.pairs == ((0, 1),)


def test_encoders_without_partners_by_hand():
    inside = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 1]], dtype=bool)
    a = np.array([[1.0, 2, 5, 6], [2, 4, 2, 2], [7, 8, 3, 4]])
    # Levels (1.5 + 5.5) / 2, (2 + 3) / 2, (5 + 7) / 2.
    d = a - np.array([[3.5], [2.5], [6.0]])
    expected = [d[2, 0] - (d[0, 0] + d[1, 0]) / 2, d[1, 1] - (d[0, 1] + d[2, 1]) / 2]
    expected += [d[0, 2] - (d[1, 2] + d[2, 2]) / 2, (d[0, 3] + d[1, 3]) / 2 - d[2, 3]]
    found = memorization(a[..., None], inside, ONE_CLASS, deals=20)
    assert found.values[:, 0] == pytest.approx(expected) and found.layermem.value[0] == pytest.approx(np.mean(expected))
    assert found.pairs == () and np.isnan(found.error).all()  # Every image has one encoder on a side.


@pytest.mark.parametrize("complementary", [True, False])
def test_levels_of_encoders_and_of_classes_change_nothing(complementary):
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    inside = dealt(rng, 6, labels, complementary=complementary)
    a = aligned(rng, inside, 0.1)
    base = memorization(a, inside, labels, normalisation="none", deals=20)
    levels = rng.normal(size=(6, 3))[:, labels][..., None]
    found = memorization(a + levels, inside, labels, normalisation="none", deals=20)
    assert found.values == pytest.approx(base.values) and found.error == pytest.approx(base.error)
    assert memorization(a[::-1], inside[::-1], labels, normalisation="none", deals=20).values == pytest.approx(
        base.values
    )


@pytest.mark.parametrize("complementary", [True, False])
def test_planted_images_come_out_with_the_reliability_that_is_told(complementary):
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 2
    inside, effect = dealt(rng, 12, labels, complementary=complementary), 0.03 + 0.04 * rng.normal(size=200)
    found = memorization(aligned(rng, inside, effect), inside, labels, normalisation="none", deals=400)
    within = np.concatenate([found.values[labels == c, 0] - found.values[labels == c, 0].mean() for c in (0, 1)])
    planted = np.concatenate([effect[labels == c] - effect[labels == c].mean() for c in (0, 1)])
    assert np.corrcoef(within, planted)[0, 1] ** 2 == pytest.approx(found.reliable[0], abs=0.08)
    assert np.mean(np.abs(found.values[:, 0] - effect) < 2 * found.error[:, 0]) > 0.85
    low, high = found.layermem.interval()
    assert low[0] < effect.mean() < high[0] and found.p[0] == pytest.approx(2 / 401)


def test_intervals_and_p_hold_without_partners():
    rng = np.random.default_rng(2)
    labels, covered, p = np.arange(40) % 2, [], []
    for _ in range(100):
        inside = dealt(rng, 8, labels)
        found = memorization(aligned(rng, inside, 0.02 * rng.normal(size=(8, 1))), inside, labels, deals=39)
        low, high = found.layermem.interval()
        covered.append(low[0] <= 0 <= high[0])
        p.append(memorization(aligned(rng, inside, 0), inside, labels, deals=39).p[0])
    assert 0.9 < np.mean(covered) <= 1
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.06)


def test_p_does_not_depend_on_how_many_deals_memory_holds(monkeypatch):
    rng = np.random.default_rng(3)
    inside = dealt(rng, 6, ONE_CLASS.repeat(5))
    a = aligned(rng, inside, 0.05)
    monkeypatch.setattr("memloc.metrics.membership.TOGETHER", 20 * 7)
    found = memorization(a, inside, ONE_CLASS.repeat(5), deals=50)
    assert found.p[0] >= permutation_p(np.array(1.0), np.zeros(50)) and found.p[0] * 51 / 2 == round(
        found.p[0] * 51 / 2
    )


def test_membership_that_tells_nothing_is_refused():
    a = np.ones((3, 4, 1))
    inside = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1]], dtype=bool)
    with pytest.raises(ValueError, match="every image in some"):
        memorization(a, inside, ONE_CLASS)
    with pytest.raises(ValueError, match="three encoders"):
        memorization(a[:2], inside[:2], ONE_CLASS)
    inside = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=bool)
    with pytest.raises(ValueError, match="class 1 is not in both halves"):
        memorization(a[:2], inside, np.array([0, 1, 0, 0]))
