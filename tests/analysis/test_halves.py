"""Scores of single images over all pairs, and what claims may say by them."""

from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from memloc import config
from memloc.analysis import witnesses
from memloc.analysis.claims import Claim, Finding, tabulate
from memloc.analysis.halves import Crossing, Memorized, in_minus_out, reliability_of_mean
from memloc.errors import InputError
from memloc.metrics.pairs import CrossedMean, agreement_of_all, agreement_within, deal, elsewhere, gains

PAIRS, IMAGES = 6, 60


def test_elsewhere_is_the_mean_of_the_other_pairs():
    np.testing.assert_allclose(elsewhere(np.array([[1.0, 0], [2, 3], [6, 9]])), [[4, 6], [3.5, 4.5], [1.5, 1.5]])


def test_owners_of_either_encoder_count_in_minus_out():
    # f has images 5 and 7, g has 6 and 8; each encoder's own groups are candidate (in) and independent (out).
    f = {"candidate": {5: 3, 7: 1}, "independent": {6: 2}}
    g = {"candidate": {6: 5, 8: 1}, "independent": {5: 1}}
    inside = np.array([[True, False, True, False]])
    pool = Crossing(np.array([5, 6, 7, 8]), np.zeros(4, int), np.zeros((1, 4, 1)), inside, np.ones((1, 4), int))
    got = in_minus_out(pool, [(f, g)], lambda units, group: pd.Series(units[group]))
    np.testing.assert_array_equal(got, [[3 - 1, 5 - 2, 1, 1]])


def planted(*, own):
    """SSLMem of pairs that memorize a trait of images, or what is a pair's own; the trait, as each pair tells it."""
    rng, labels = np.random.default_rng(3), np.arange(IMAGES) % 3
    trait = rng.normal(size=IMAGES)
    inside = np.stack([np.isin(np.arange(IMAGES) // 3 % 2, k % 2) for k in range(PAIRS)])
    alone = rng.normal(size=(PAIRS, IMAGES))
    told = np.where(own, alone, trait + 0.1 * alone)
    return (np.where(inside, told, -told) + 5 * labels, inside, labels), told


def test_what_pairs_memorize_alike_agrees_with_other_pairs_and_what_is_their_own_does_not():
    scores, trait = planted(own=False)
    found, null = agreement_of_all(scores, [trait, -trait], in_minus_out=[False, True], deals=50, seed=0)
    assert found.value[0] > 0.95 and found.value[1] == pytest.approx(-found.value[0])
    assert abs(null[:, 0]).max() < 0.8 * found.value[0]
    alone, trait = planted(own=True)
    assert abs(agreement_of_all(alone, [trait], in_minus_out=[False], deals=1, seed=0)[0].value[0]) < 0.3
    # Within a pair it agrees with itself, whatever it is.
    same = np.repeat(trait[..., None], 2, axis=-1)
    np.testing.assert_allclose(agreement_within(same, alone[2]).mean(axis=(0, 1)), 1)


def test_noise_that_a_trait_shares_in_a_pair_widens_its_null_as_much_as_it_widens_the_correlation():
    rng, labels, found, null = np.random.default_rng(3), np.repeat([0, 1], 10), [], []
    for trial in range(250):
        noise = rng.normal(size=(3, 20))
        inside = deal(np.tile(np.arange(20) % 2 == 0, (3, 1)), labels, rng)
        trait = np.where(inside, noise, -noise)
        told = agreement_of_all((noise, inside, labels), [trait], in_minus_out=[True], deals=3, seed=trial)
        found.append(told[0].value[0])
        null.append(told[1][:, 0])
    assert np.std(null) == pytest.approx(np.std(found), rel=0.15)


def test_a_witness_that_tells_images_less_reliably_than_sslmem_says_how_reliable_the_correlation_is(monkeypatch):
    (sslmem, inside, labels), _ = planted(own=False)
    points = np.arange(IMAGES)
    pool = Crossing(points, labels, sslmem, inside, np.ones_like(inside, dtype=int))
    every = Memorized(pool, gains(sslmem, inside, labels), points[:0], labels[:0], sslmem[:, :0])
    noise = np.random.default_rng(0).normal(size=(PAIRS, IMAGES))
    tables = [pd.DataFrame({"point": points, "advantage": of_pair}) for of_pair in noise]
    monkeypatch.setattr(witnesses, "DEALS", 19)
    sheet = Mock()
    witnesses._find_over_pairs(sheet, "simclr", tables, every)
    expected = reliability_of_mean(gains(noise, inside, labels), labels, PAIRS - 1)
    assert sheet.find.call_args.kwargs["reliability"] == pytest.approx(expected) and expected < every.reliability(PAIRS)


def told(effect, error, **finding):
    estimate = CrossedMean(np.array(effect), np.array(error), np.array(1.0), 10, 100)
    rows = tabulate(
        {"it": Claim("it: x", least=0.1)}, [Finding("it", "a", estimate, 100, **finding)], kind="k", experiment="e"
    )
    return rows["verdict"].item()


@pytest.mark.parametrize(
    ("effect", "finding", "expected"),
    [
        (0.2, {}, "supported"),
        (0.2, {"reliability": 0.6}, "supported"),
        (0.2, {"reliability": 0.4}, "inconclusive"),
        (0.2, {"reliability": 0.4, "p": 0.01}, "supported"),
        (0.0, {}, "negligible"),
        (0.0, {"reliability": 0.6}, "negligible"),
        (0.0, {"reliability": 0.4}, "inconclusive"),
        (0.0, {"p": 0.9, "spread": 0.05}, "negligible"),
        (0.0, {"p": 0.9, "spread": 0.15}, "inconclusive"),
    ],
)
def test_weak_scores_need_an_exact_test_and_negligible_its_spread(effect, finding, expected):
    assert told(effect, 0.02, **finding) == expected


@pytest.mark.parametrize("there", [0, 5])
def test_results_of_another_design_are_refused_in_one_line(tmp_path, there):
    folder = tmp_path / "splits" / "d" / "seed0"
    folder.mkdir(parents=True)
    np.savez(folder / "indices.npz", shared=np.arange(there), candidate=np.arange(3))
    halves, groups = {"pool": 8, "external": 4}, {"shared": 5, "candidate": 3, "independent": 3, "external": 4}
    own, other = (halves, groups) if there == 0 else (groups, halves)
    config.check_design(tmp_path, {"datasets": {"d": {"split": own}}})
    with pytest.raises(InputError, match=r"indices.npz: results here are of .*; choose another --directory") as error:
        config.check_design(tmp_path, {"datasets": {"d": {"split": other}}})
    assert "\n" not in str(error.value)
