import numpy as np
import pytest

from memloc.claims import COLUMNS, Claim, Finding, tabulate
from memloc.metrics.stats import Estimate, bootstrap

CLAIMS = {"a.b": Claim("Table 1", "It rises")}
PLACES = [f"layer {i}" for i in range(1, 9)]


def normal(value, *, seed=0, error=1.0, count=4000):
    """An estimate with normal replicates around its value."""
    value = np.asarray(value, dtype=float)
    return Estimate(value, value + error * np.random.default_rng(seed).normal(size=(count, *value.shape)))


def verdicts(findings):
    return tabulate(CLAIMS, findings, experiment="e")["verdict"].to_list()


def test_a_row_holds_effect_interval_and_verdict():
    estimate = Estimate(np.asarray(0.5), np.linspace(0.0, 1.0, 1001) + 0.1)
    table = tabulate(CLAIMS, [Finding("a.b", "simclr", estimate, n=7, seeds=3)], experiment="e")
    assert list(table.columns) == COLUMNS and len(table) == 1
    row = table.iloc[0]
    assert (row["claim"], row["experiment"], row["paper"], row["statement"]) == ("a.b", "e", "Table 1", "It rises")
    assert (row["subject"], row["n"], row["seeds"], row["level"]) == ("simclr", 7, 3, 0.95)
    assert (row["effect"], row["low"], row["high"]) == pytest.approx((0.5, 0.125, 1.075))
    assert row["z"] == pytest.approx(0.5 / np.linspace(0, 1, 1001).std(ddof=1))
    assert row["verdict"] == "supported"


def test_no_findings_give_a_table_of_the_same_columns():
    table = tabulate(CLAIMS, [], experiment="e")
    assert list(table.columns) == COLUMNS and table.empty


def test_an_unknown_claim_is_an_error():
    with pytest.raises(KeyError):
        tabulate(CLAIMS, [Finding("a.c", "simclr", normal(0.0), n=1, seeds=1)], experiment="e")


def test_the_verdict_is_that_of_the_interval_at_the_findings_own_level():
    estimate = Estimate(np.asarray(0.5), np.linspace(-0.03, 1.0, 1001))
    assert verdicts([Finding("a.b", "s", estimate, n=1, seeds=1)]) == ["inconclusive"]
    assert verdicts([Finding("a.b", "s", estimate, n=1, seeds=1, level=0.9)]) == ["supported"]


def test_a_claim_about_every_place_is_told_by_the_weakest_and_one_about_any_by_the_strongest():
    estimate = normal([5.0, 9.0, 1.0, 7.0])
    every = Finding.of_every("a.b", "s", estimate, PLACES[:4], n=3, seeds=2)
    some = Finding.of_any("a.b", "s", estimate, PLACES[:4], n=3, seeds=2)
    assert (every.subject, float(every.estimate.value)) == ("s, layer 3", 1.0)
    assert (some.subject, float(some.estimate.value)) == ("s, layer 2", 9.0)
    assert every.level == some.level == pytest.approx(1 - 0.05 / 4)
    assert (every.n, every.seeds) == (3, 2)


def test_the_weakest_place_is_the_least_certain_not_the_smallest():
    value = np.array([0.2, 1.0])
    replicates = value + np.random.default_rng(0).normal(size=(2000, 2)) * [0.01, 1.0]
    every = Finding.of_every("a.b", "s", Estimate(value, replicates), PLACES[:2], n=1, seeds=1)
    assert every.subject == "s, layer 2"


def test_clear_effects_are_supported_and_refuted():
    every = [Finding.of_every("a.b", "s", normal(v), PLACES, n=1, seeds=1) for v in ([9.0] * 8, [9.0] * 7 + [-9.0])]
    assert verdicts(every) == ["supported", "refuted"]
    some = [Finding.of_any("a.b", "s", normal(v), PLACES, n=1, seeds=1) for v in ([-9.0] * 7 + [9.0], [-9.0] * 8)]
    assert verdicts(some) == ["supported", "refuted"]


def test_a_place_without_any_spread_does_not_hide_a_place_that_refutes():
    value = np.array([-5.0, 0.25])
    replicates = value + np.random.default_rng(1).normal(size=(500, 2)) * [1.0, 0.0]
    assert verdicts([Finding.of_every("a.b", "s", Estimate(value, replicates), PLACES[:2], n=1, seeds=1)]) == [
        "refuted"
    ]


def test_a_place_without_any_spread_does_not_hide_a_place_that_supports():
    value = np.array([5.0, -0.25])
    replicates = value + np.random.default_rng(1).normal(size=(500, 2)) * [1.0, 0.0]
    assert verdicts([Finding.of_any("a.b", "s", Estimate(value, replicates), PLACES[:2], n=1, seeds=1)]) == [
        "supported"
    ]


def pick_by_minimum(claim, subject, estimate, places, *, n, seeds):
    """The naive way: a bootstrap of the smallest effect."""
    return Finding(claim, subject, estimate.map(lambda v: v.min(axis=-1)), n, seeds)


@pytest.mark.parametrize("form", [Finding.of_every, Finding.of_any])
def test_pure_noise_rarely_gives_a_verdict(form):
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(4000, 8))
    said = [
        verdicts([form("a.b", "s", Estimate(value, value + noise), PLACES, n=1, seeds=1)])[0]
        for value in rng.normal(size=(300, 8))
    ]
    # A family-wise error of at most 5 %: 300 trials give 15, and 31 with four standard deviations.
    assert sum(v != "inconclusive" for v in said) <= 31


def test_the_naive_minimum_would_refute_pure_noise_often():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(1000, 8))
    said = [
        verdicts([pick_by_minimum("a.b", "s", Estimate(v, v + noise), PLACES, n=1, seeds=1)])[0]
        for v in rng.normal(size=(100, 8))
    ]
    assert sum(v == "refuted" for v in said) > 50


@pytest.mark.parametrize("form", [Finding.of_every, Finding.of_any])
def test_noise_of_points_through_the_whole_bootstrap_rarely_gives_a_verdict(form):
    rng = np.random.default_rng(4)
    said = []
    for trial in range(120):
        samples = [{"x": rng.normal(size=(80, 8))} for _ in range(3)]
        estimate = bootstrap(samples, lambda s: s["x"].mean(axis=0), replicates=300, seed=trial)
        said += verdicts([form("a.b", "s", estimate, PLACES, n=80, seeds=3)])
    # 5 % of 120 are 6, and 16 with four standard deviations.
    assert sum(v != "inconclusive" for v in said) <= 16
