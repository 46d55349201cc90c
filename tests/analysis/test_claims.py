import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

from memloc.analysis.claims import COLUMNS, Claim, Finding, tabulate
from memloc.metrics import stats
from memloc.metrics.stats import Estimate, bootstrap

CLAIMS = {"b": Claim("LayerMem rises", "Table 1")}
PLACES = [f"layer {i}" for i in range(1, 9)]


def estimate_of(value, error, *, seeds=1):
    """An estimate whose resamples have exactly this standard error, of points alone."""
    value = np.asarray(value, dtype=float)
    shape = norm.ppf((np.arange(4001) + 0.5) / 4001)
    shape = (shape / shape.std(ddof=1)).reshape(-1, *[1] * value.ndim)
    resamples = value + shape * np.asarray(error, dtype=float)
    return Estimate(value, resamples, resamples, seeds)


def rows_of(findings, claims=CLAIMS):
    return tabulate(claims, findings, kind="a", experiment="e")


def verdicts(findings):
    return rows_of(findings)["verdict"].to_list()


def test_a_row_holds_effect_interval_and_verdict():
    finding = Finding("b", "simclr", estimate_of(0.5, 0.2), n=7)
    table = rows_of([finding])
    assert list(table.columns) == COLUMNS and len(table) == 1
    row = table.iloc[0]
    assert (row["claim"], row["experiment"]) == ("a.b", "e")
    assert (row["paper"], row["statement"]) == ("Table 1", "LayerMem rises")
    assert (row["subject"], row["n"], row["seeds"], row["level"]) == ("simclr", 7, 1, 0.95)
    half = 0.2 * norm.ppf(0.975)
    assert (row["effect"], row["low"], row["high"]) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert row["z"] == pytest.approx(2.5)
    assert row["verdict"] == "supported"
    assert np.isnan(row["paper_effect"]) and row["paper_scale"] == ""


def test_the_papers_effect_stands_beside_ours_and_says_nothing_to_the_verdict():
    finding = Finding("b", "simclr", estimate_of(-0.5, 0.2), n=7)
    quoted = Claim("LayerMem rises", "Table 1", 0.308, "ResNet9, SimCLR, CIFAR10")
    row = rows_of([finding], {"b": quoted}).iloc[0]
    assert (row["paper_effect"], row["paper_scale"]) == (0.308, "ResNet9, SimCLR, CIFAR10")
    assert row["verdict"] == "refuted" and row["effect"] == -0.5
    assert rows_of([finding], {"b": Claim("LayerMem rises", "Table 1", 0.0)})["paper_effect"][0] == 0.0


def test_an_interval_that_permutations_reach_as_well_gives_no_verdict():
    estimate = estimate_of(0.5, 0.1)
    assert verdicts([Finding("b", "s", estimate, n=7, p=p) for p in (0.01, 0.05, 0.051, 0.9, np.nan)]) == [
        "supported", "supported", "inconclusive", "inconclusive", "supported"
    ]  # fmt: skip
    assert rows_of([Finding("b", "s", estimate, n=7, p=0.01)])["p"].tolist() == [0.01]
    down = Finding("b", "s", estimate_of(-0.5, 0.1), n=7, p=0.2)
    assert verdicts([down]) == ["inconclusive"]


def test_a_subject_may_have_the_papers_effect_of_its_own():
    claims = {"b": Claim("LayerMem rises", "Table 1", 0.3, "ResNet9")}
    findings = [Finding("b", "s", estimate_of(0.5, 0.2), n=7, value=value) for value in (None, 0.0, 0.7)]
    assert rows_of(findings, claims)["paper_effect"].tolist() == [0.3, 0.0, 0.7]


def test_a_table_of_claims_with_and_without_a_number_of_the_papers_is_read_back_as_written(tmp_path):
    claims = CLAIMS | {"c": Claim("LayerMem falls", "Table 2", 1.5, "ViT")}
    findings = [Finding(name, "s", estimate_of(0.5, 0.2), n=7) for name in claims]
    table = rows_of(findings, claims)
    table.to_csv(tmp_path / "claims.csv", index=False)
    back = pd.read_csv(tmp_path / "claims.csv")
    assert list(back.columns) == COLUMNS
    assert np.isnan(back["paper_effect"][0]) and back["paper_effect"][1] == 1.5
    assert pd.isna(back["paper_scale"][0]) and back["paper_scale"][1] == "ViT"


def test_three_seeds_that_differ_speak_with_two_degrees_of_freedom():
    # Means 1, 2 and 3 without noise of points: an error of 1 / sqrt(3), as nested resamples show 2 / 3 of its square.
    nested = estimate_of(2.0, np.sqrt(2 / 9)).nested
    finding = Finding("b", "s", Estimate(np.asarray(2.0), nested, np.full(len(nested), 2.0), 3), n=9)
    row = rows_of([finding]).iloc[0]
    half = t.ppf(0.975, 2) / np.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((2 - half, 2 + half))
    assert row["z"] == pytest.approx(2 * np.sqrt(3)) and row["verdict"] == "inconclusive"


def test_a_bounded_effect_has_a_bounded_interval():
    rho = estimate_of(0.9, 0.2).map(np.asarray, limit=1)
    row = rows_of([Finding("b", "s", rho, n=1)]).iloc[0]
    assert row["high"] == 1 and row["low"] == pytest.approx(0.9 - 0.2 * norm.ppf(0.975))


def test_no_findings_give_a_table_of_the_same_columns():
    table = rows_of([])
    assert list(table.columns) == COLUMNS and table.empty


def test_an_unknown_claim_is_an_error():
    with pytest.raises(KeyError):
        rows_of([Finding("c", "simclr", estimate_of(0.0, 1.0), n=1)])


def test_the_verdict_is_that_of_the_interval_at_the_findings_own_level():
    estimate = estimate_of(0.5, 0.27)
    assert verdicts([Finding("b", "s", estimate, n=1)]) == ["inconclusive"]
    assert verdicts([Finding("b", "s", estimate, n=1, level=0.9)]) == ["supported"]


def test_a_claim_about_every_place_is_told_by_the_weakest_and_one_about_any_by_the_strongest():
    estimate = estimate_of([5.0, 9.0, 1.0, 7.0], 1.0)
    every = Finding.of_every("b", "s", estimate, PLACES[:4], n=3)
    some = Finding.of_any("b", "s", estimate, PLACES[:4], n=3)
    assert (every.subject, float(every.estimate.value)) == ("s, layer 3", 1.0)
    assert (some.subject, float(some.estimate.value)) == ("s, layer 2", 9.0)
    assert every.level == some.level == pytest.approx(1 - 0.05 / 4)
    assert every.n == some.n == 3


def test_the_weakest_place_is_the_least_certain_not_the_smallest():
    estimate = estimate_of([0.2, 1.0], [0.01, 1.0])
    assert Finding.of_every("b", "s", estimate, PLACES[:2], n=1).subject == "s, layer 2"
    assert Finding.of_any("b", "s", estimate, PLACES[:2], n=1).subject == "s, layer 1"


def test_a_claim_about_every_place_needs_each_place_at_95_percent_and_no_more():
    # Every place alone is told at 95 %, none would be at the level that a choice among eight needs.
    estimate = estimate_of([2.4, 2.2, 2.5, 2.3, 2.6, 2.2, 2.4, 2.3], 1.0)
    assert (estimate.interval()[0] > 0).all() and (estimate.interval(1 - 0.05 / 8)[0] < 0).all()
    finding = Finding.of_every("b", "s", estimate, PLACES, n=1)
    assert finding.level == 0.95 and verdicts([finding]) == ["supported"]
    row = rows_of([finding]).iloc[0]
    assert row["level"] == 0.95 and row["low"] == pytest.approx(2.2 - norm.ppf(0.975))
    # One place that is not told at 95 % is enough to leave it open.
    (estimate.value)[3] = 1.9
    finding = Finding.of_every("b", "s", estimate, PLACES, n=1)
    assert finding.subject == "s, layer 4" and verdicts([finding]) == ["inconclusive"]
    assert finding.level == pytest.approx(1 - 0.05 / 8)


def test_a_claim_about_every_place_is_refuted_only_at_the_level_of_a_choice():
    for value, verdict in ((-2.4, "inconclusive"), (-2.9, "refuted")):
        finding = Finding.of_every("b", "s", estimate_of([9.0] * 7 + [value], 1.0), PLACES, n=1)
        assert finding.subject == "s, layer 8" and finding.level == pytest.approx(1 - 0.05 / 8)
        assert verdicts([finding]) == [verdict]


def test_a_claim_about_any_place_is_refuted_if_each_place_refutes_at_95_percent():
    estimate = estimate_of([-2.4, -2.2, -2.5, -2.3, -2.6, -2.2, -2.4, -2.3], 1.0)
    assert (estimate.interval(1 - 0.05 / 8)[1] > 0).all()
    finding = Finding.of_any("b", "s", estimate, PLACES, n=1)
    assert finding.level == 0.95 and verdicts([finding]) == ["refuted"]
    (estimate.value)[3] = -1.9
    finding = Finding.of_any("b", "s", estimate, PLACES, n=1)
    assert finding.subject == "s, layer 4" and verdicts([finding]) == ["inconclusive"]
    assert finding.level == pytest.approx(1 - 0.05 / 8)


def test_a_claim_about_any_place_is_supported_only_at_the_level_of_a_choice():
    for value, verdict in ((2.4, "inconclusive"), (2.9, "supported")):
        finding = Finding.of_any("b", "s", estimate_of([-9.0] * 7 + [value], 1.0), PLACES, n=1)
        assert finding.subject == "s, layer 8" and finding.level == pytest.approx(1 - 0.05 / 8)
        assert verdicts([finding]) == [verdict]


def mixed(few, many, *, sign=1):
    """Two places of two seeds: z ``few`` known from their difference alone, z ``many`` known from points alone."""
    shape = estimate_of(0.0, 1.0).fixed
    # Twice the nested variance in excess of that of points is the error^2 that two seeds show.
    nested = np.stack([shape / np.sqrt(2), shape], axis=1)
    fixed = np.stack([np.zeros(len(shape)), shape], axis=1)
    return Estimate(sign * np.array([few, many], dtype=float), nested, fixed, 2)


@pytest.mark.parametrize(("form", "sign"), [(Finding.of_every, 1), (Finding.of_any, -1)])
def test_the_least_sure_place_may_have_the_larger_z(form, sign):
    # With one degree of freedom z = 6 is told apart from 0 with 94.7 %, z = 3 of points with 99.9 %.
    estimate = mixed(6, 3, sign=sign)
    assert estimate.z() == pytest.approx(sign * np.array([6, 3]))
    freedom = estimate.spread()[1]
    assert freedom[0] == pytest.approx(1) and freedom[1] > 1e6
    finding = form("b", "s", estimate, PLACES[:2], n=1)
    # Least sure that there is an effect (every), or that there is none (any).
    assert finding.subject == "s, layer 1" and verdicts([finding]) == ["inconclusive"]


@pytest.mark.parametrize(("form", "sign"), [(Finding.of_any, 1), (Finding.of_every, -1)])
def test_the_surest_place_may_have_the_smaller_z(form, sign):
    finding = form("b", "s", mixed(6, 3, sign=sign), PLACES[:2], n=1)
    assert finding.subject == "s, layer 2"
    assert verdicts([finding]) == ["supported" if sign > 0 else "refuted"]


def test_a_place_keeps_its_limit_and_its_seeds():
    estimate = estimate_of([0.9, 0.99], [0.5, 0.5], seeds=3).map(np.asarray, limit=1)
    assert Finding.of_any("b", "s", estimate, PLACES[:2], n=1).estimate.interval()[1] == 1


def test_clear_effects_are_supported_and_refuted():
    every = [Finding.of_every("b", "s", estimate_of(v, 1.0), PLACES, n=1) for v in ([9.0] * 8, [9.0] * 7 + [-9.0])]
    assert verdicts(every) == ["supported", "refuted"]
    some = [Finding.of_any("b", "s", estimate_of(v, 1.0), PLACES, n=1) for v in ([-9.0] * 7 + [9.0], [-9.0] * 8)]
    assert verdicts(some) == ["supported", "refuted"]


def test_a_place_without_any_spread_does_not_hide_a_place_that_refutes():
    estimate = estimate_of([-5.0, 0.25], [1.0, 0.0])
    assert verdicts([Finding.of_every("b", "s", estimate, PLACES[:2], n=1)]) == ["refuted"]


def test_a_place_without_any_spread_does_not_hide_a_place_that_supports():
    estimate = estimate_of([5.0, -0.25], [1.0, 0.0])
    assert verdicts([Finding.of_any("b", "s", estimate, PLACES[:2], n=1)]) == ["supported"]


@pytest.mark.parametrize("form", [Finding.of_every, Finding.of_any])
def test_places_of_exactly_nothing_give_no_verdict(form):
    assert verdicts([form("b", "s", estimate_of([0.0] * 3, 0.0), PLACES[:3], n=1)]) == ["inconclusive"]


def smallest(claim, subject, estimate, places, *, n):
    """The naive way: a bootstrap of the smallest effect."""
    return Finding(claim, subject, estimate.map(lambda v: v.min(axis=-1)), n)


def spoken(form, *, seeds, between, within, batches=6, size=100, points=60):
    """Verdicts of null simulations with 8 places: deviations as those of one seed's mean, each place's its own."""
    rng = np.random.default_rng([seeds, round(10 * between), round(10 * within)])
    findings = []
    for batch in range(batches):
        shifts = rng.normal(size=(seeds, 1, size, 8))
        drawn = between * shifts + within * np.sqrt(points) * rng.normal(size=(seeds, points, size, 8))
        samples = [{"x": x} for x in drawn]
        estimate = bootstrap(samples, lambda s: s["x"].mean(axis=0), resamples=200, seed=batch)
        findings += [form("b", "s", estimate[i], PLACES, n=points) for i in range(size)]
    return np.array(verdicts(findings))


@pytest.mark.parametrize("form", [Finding.of_every, Finding.of_any])
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_noise_of_points_rarely_gives_a_verdict(form, seeds):
    # A family-wise error of at most 5 %: 600 trials give 30, and 51 with four standard deviations.
    assert (spoken(form, seeds=seeds, between=0, within=1) != "inconclusive").mean() < 0.085


@pytest.mark.parametrize("form", [Finding.of_every, Finding.of_any])
@pytest.mark.parametrize("seeds", [3, 5])
def test_noise_of_seeds_rarely_gives_a_verdict(form, seeds):
    assert (spoken(form, seeds=seeds, between=1, within=0) != "inconclusive").mean() < 0.085


@pytest.mark.parametrize("form", [Finding.of_every, Finding.of_any])
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("between", [0.5, 1, 2])
def test_noise_of_both_rarely_gives_a_verdict(form, seeds, between):
    assert (spoken(form, seeds=seeds, between=between, within=1) != "inconclusive").mean() < 0.12


def test_the_naive_minimum_would_refute_pure_noise_often():
    assert (spoken(smallest, seeds=1, between=0, within=1, batches=1) == "refuted").mean() > 0.25


def test_a_place_of_no_interest_does_not_stand_for_one_that_matters():
    """The first place is surely small; the second is large and less sure."""
    rng = np.random.default_rng(0)
    value, error = np.array([0.0015, 0.05]), np.array([0.0001, 0.006])
    drawn = value + error * rng.normal(size=(4000, 2))
    estimate = Estimate(value, drawn, drawn, 10)
    finding = Finding.of_any("b", "s", estimate, PLACES[:2], n=3, least=0.005)
    assert finding.subject == f"s, {PLACES[1]}"
    # Where all are small, the surest tells so.
    small = Finding.of_any("b", "s", estimate, PLACES[:2], n=3, least=0.5)
    assert small.subject == f"s, {PLACES[0]}"


def test_seeds_that_are_all_alike_decide_nothing():
    assert stats.verdict(0.2, 0.2) == stats.verdict(-0.125, -0.125) == "inconclusive"
    assert stats.verdict(0.2, 0.3) == "supported"
    # An exact test may.
    assert stats.verdict(1.0, 1.0, p=0.01) == "supported"
