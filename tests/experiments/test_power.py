"""Power of a t-test over seeds: closed forms, simulations, and the experiment on planted effects."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import chi2, t, ttest_1samp

from memloc.experiments.power.analysis import EFFECTS, MEASURED, MOST_SEEDS, Effect, effects_of, fewest_seeds, power
from tests.builders.planted import SIGNS, places_of, score_table
from tests.builders.study import Study

LAYERS = ["1", "2", "3", "4"]
OPTIONS = {"resamples": 50, "candidates": [50, 5000], "seeds": [3, 5, 10]}


@pytest.mark.parametrize(("size", "spread", "seeds"), [(0.5, 1, 3), (1, 1, 3), (1, 0.5, 4), (-1, 1, 10), (0.3, 1, 40)])
def test_power_is_the_share_of_simulated_tests_that_find_the_effect(size, spread, seeds):
    rng = np.random.default_rng([1, seeds])
    values = size + spread * rng.normal(size=(20_000, seeds))
    found = ttest_1samp(values, 0, axis=1).pvalue < 0.05
    assert power(size, spread, seeds) == pytest.approx(found.mean(), abs=0.012)


def test_power_without_effect_is_the_level_and_without_spread_is_certain():
    for seeds in (2, 3, 30):
        assert power(0.0, 1.0, seeds) == pytest.approx(0.05, abs=1e-6)
        assert power(0.1, np.inf, seeds) == pytest.approx(0.05, abs=1e-6)
        assert power(0.1, 0.0, seeds) == 1 and power(0.0, 0.0, seeds) == pytest.approx(0.05)


def test_power_has_no_gaps_and_never_falls():
    for seeds in (2, 3, 4, 5, 6, 11, 31):
        values = [power(size, 1.0, seeds) for size in np.geomspace(0.01, 1e5, 200)]
        assert np.isfinite(values).all() and (np.diff(values) > -1e-9).all() and values[-1] > 0.999
    values = [power(0.3, 1.0, seeds) for seeds in range(2, 300)]
    assert (np.diff(values) > -1e-9).all()


def test_fewest_seeds_are_enough_and_one_less_is_not():
    for size in (0.2, 0.5, 1.0, 3.0):
        seeds = int(fewest_seeds(size, 1.0))
        assert power(size, 1.0, seeds) >= 0.8
        assert seeds == 2 or power(size, 1.0, seeds - 1) < 0.8
    # Cohen's d of .5: 34 pairs, in every textbook.
    assert fewest_seeds(0.5, 1.0) == 34
    assert fewest_seeds(0.001, 1.0) == np.inf and fewest_seeds(0.0, 1.0) == np.inf
    assert fewest_seeds(5.0, 0.1) == 2 and MOST_SEEDS >= 34


def test_the_spread_of_a_seeds_value_follows_its_points():
    effect = Effect(size=0.1, within=2.0, between=0.05, candidates=100, seeds=5)
    # tau^2 = .05 - 2 / 100 = .03
    assert effect.spread(100, between=0.05) == pytest.approx(np.sqrt(0.05))
    assert effect.spread(400, between=0.05) == pytest.approx(np.sqrt(0.03 + 0.005))
    assert effect.spread(400, between=0.01) == pytest.approx(np.sqrt(0.005))
    two = Effect(size=0.1, within=2.0, between=0.05, candidates=100, seeds=5, arms=2)
    assert two.spread(400, between=0.05) == pytest.approx(np.sqrt(2 * 0.035))


def test_limits_are_the_powers_at_the_chi_square_limits_of_the_variance():
    effect = Effect(size=0.3, within=2.0, between=0.05, candidates=100, seeds=3)
    low, high = (0.05 * 2 / chi2.ppf(q, 2) for q in (0.975, 0.025))
    assert effect.variances() == pytest.approx((0.05, low, high))
    value, least, most = effect.power(400, 5)
    assert value == pytest.approx(power(0.3, np.sqrt(0.035), 5))
    assert least == pytest.approx(power(0.3, np.sqrt(high - 0.02 + 0.005), 5))
    assert most == pytest.approx(power(0.3, np.sqrt(max(0, low - 0.02) + 0.005), 5))
    assert least < value < most
    needed, few, many = effect.seeds_needed(400)
    assert few <= needed <= many and effect.power(400, int(needed))[0] >= 0.8


def test_the_limits_hold_the_true_variance_as_often_as_they_say():
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(4000):
        between = rng.normal(scale=0.3, size=4).var(ddof=1)
        _, low, high = Effect(0.0, 0.0, between, 10, 4).variances()
        inside.append(low < 0.09 < high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


def test_one_seed_leaves_everything_open():
    value, low, high = Effect(0.5, 1.0, np.nan, 100, 1).power(100, 3)
    assert low == pytest.approx(0.05, abs=1e-6) and value == high == pytest.approx(power(0.5, 0.1, 3))


def points(profile, *, n, tau, noise, rng):
    """One seed's SSLMem with a crossed profile that differs between seeds by tau, at all layers alike but the first."""
    true = np.array(profile) + tau * rng.normal() * (np.arange(len(LAYERS)) > 0)
    scores = {group: 0.1 + sign * true + noise * rng.normal(size=(n, len(LAYERS))) for group, sign in SIGNS.items()}
    return score_table(scores, places_of(LAYERS))


def seeds_of(profile, *, seeds, n=40, tau=0.05, noise=0.2, start=0):
    rngs = [np.random.default_rng([4, start, seed]) for seed in range(seeds)]
    return [points(profile, n=n, tau=tau, noise=noise, rng=rng) for rng in rngs]


def test_sizes_and_variances_are_those_planted():
    effects = effects_of(seeds_of([0.0, 0.1, 0.4, 0.5], seeds=120), LAYERS)
    # (mean_C - mean_I) / 2 of points of variance .04: w = .04 (1 + 1) / 4, for a difference of layers .08 (1 + 1) / 4.
    for name, size, within, tau in (
        ("last layer", 0.5, 0.02, 0.05),
        ("last over first layer", 0.5, 0.04, 0.05),
        # Weights 1, -2 ... of (3 - 2) - (4 - 3): -1, 2, -1, whose squares add up to 6; shifts cancel.
        ("strongest earlier over last increment", 0.2, 0.12, 0.0),
    ):
        effect = effects[name]
        assert effect.size == pytest.approx(size, abs=0.02), name
        assert effect.within == pytest.approx(within, rel=0.05), name
        assert effect.between == pytest.approx(tau**2 + within / 40, rel=0.4), name
        assert (effect.candidates, effect.seeds, effect.arms) == (40, 120, 1)
    assert effects["LayerMem of .308"].size == 0.308
    assert effects["difference of .005"].size == 0.005 and effects["difference of .005"].arms == 2
    assert effects["difference of 1.6 %"].size == pytest.approx(0.005 / 0.308 * effects["last layer"].size)
    assert tuple(effects) == EFFECTS


def test_the_last_increment_is_compared_with_the_strongest_of_the_others():
    effects = effects_of(seeds_of([0.0, 0.3, 0.4, 1.0], seeds=3, tau=0.0, noise=0.001), LAYERS)
    assert effects["strongest earlier over last increment"].size == pytest.approx(0.3 - 0.6, abs=0.005)


def test_within_is_the_bootstraps_variance_over_points():
    (table,) = seeds_of([0.0, 0.1, 0.2, 0.3], seeds=1, n=300)
    effect = effects_of([table], LAYERS)["last over first layer"]
    rng = np.random.default_rng(6)
    wide = {g: r.pivot(index="point", columns="layer", values="sslmem") for g, r in table.groupby("group")}
    d = {group: (values["4"] - values["1"]).to_numpy() for group, values in wide.items()}
    drawn = [
        (rng.choice(d["candidate"], 300).mean() - rng.choice(d["independent"], 300).mean()) / 2 for _ in range(4000)
    ]
    assert effect.within / 300 == pytest.approx(np.var(drawn), rel=0.1)


def test_power_from_points_is_that_of_repeated_experiments():
    """Whole experiments drawn anew, points and seeds: as often as told, their t-test finds the effect."""
    size, seeds, n, tau, noise = 0.1, 4, 30, 0.05, 0.2
    found = 0
    for start in range(1000):
        values = []
        for seed in range(seeds):
            rng = np.random.default_rng([8, start, seed])
            shift = tau * rng.normal()
            c, i = (s * (size + shift) + noise * rng.normal(size=n) for s in (1, -1))
            values.append((c.mean() - i.mean()) / 2)
        found += abs(np.mean(values)) > t.ppf(0.975, seeds - 1) * np.std(values, ddof=1) / np.sqrt(seeds)
    many = seeds_of([0.0, 0.1, 0.1, size], seeds=100, n=90, tau=tau, noise=noise)
    # Told by a run of other candidates: what is extrapolated is the points' share.
    assert effects_of(many, LAYERS)["last layer"].power(n, seeds)[0] == pytest.approx(found / 1000, abs=0.07)


# --- The experiment ---------------------------------------------------------------------------------------------------


def world(folder, seeds=3, profile=(0.0, 0.1, 0.2, 0.3), **planted):
    study = Study(folder, "power")
    for seed, table in enumerate(seeds_of(profile, seeds=seeds, **planted)):
        study.add("simclr", seed, points=table)
    return study


def analyse(folder, *args, **planted):
    return world(folder, *args, **planted).analyse(**OPTIONS)


def power_of(table, effect, n, seeds):
    mine = table[(table["effect"] == effect) & (table["series"] == "power")]
    return mine.set_index(["candidates", "seeds"]).loc[(n, seeds)]


def test_large_effects_are_found_and_small_ones_are_not(tmp_path):
    table, rows = analyse(tmp_path, profile=[0.0, 0.1, 0.5, 0.6], seeds=12, tau=0.01, noise=0.05)
    for effect in MEASURED:
        assert power_of(table, effect, 40, 12)["low"] > 0.8
    assert power_of(table, "LayerMem of .308", 5000, 3)["low"] > 0.8
    assert power_of(table, "difference of .005", 5000, 3)["high"] < 0.8
    (row,) = rows.itertuples()
    assert row.subject == "simclr, difference of 1.6 %: 3 seeds, 5000 candidates"
    assert row.verdict == "refuted" and row.low <= row.effect <= row.high
    for name in ("published", "external-corrected", "crossed"):
        (value,) = table.loc[table["series"] == name, "value"]
        assert value == pytest.approx(0.7 if name == "published" else 0.6, abs=0.03)


def test_the_claim_is_the_power_of_a_share_of_layermem_for_two_encoders(tmp_path):
    table, rows = analyse(tmp_path, profile=[0.0, 0.1, 0.5, 0.6], seeds=12, tau=0.002, noise=0.02)
    mine = table[table["effect"] == "difference of 1.6 %"].set_index("series")["value"]
    last = table[table["effect"] == "last layer"].set_index("series")["value"]
    assert mine["size"] == pytest.approx(0.005 / 0.308 * last["size"])
    assert mine["between seeds"] == pytest.approx(2**0.5 * last["between seeds"])
    assert rows["effect"].iloc[0] + 0.8 == pytest.approx(power_of(table, "difference of 1.6 %", 5000, 3)["value"])


def test_seeds_that_differ_leave_it_open(tmp_path):
    table, rows = analyse(tmp_path, profile=[0.0, 0.1, 0.2, 0.3], tau=0.1, noise=0.1)
    last = power_of(table, "last layer", 40, 3)
    assert last["low"] < 0.8 < last["high"] and last["high"] - last["low"] > 0.4
    assert rows["z"].isna().all()


def test_effects_of_nothing_are_not_found(tmp_path):
    table, _ = analyse(tmp_path, profile=[0.0] * 4, seeds=8, tau=0.05)
    for effect in ("last layer", "last over first layer"):
        assert power_of(table, effect, 40, 8)["value"] < 0.8


def test_the_table_holds_every_number_of_candidates_and_seeds(tmp_path):
    table, _ = analyse(tmp_path, profile=[0.0, 0.1, 0.2, 0.3])
    for effect in EFFECTS:
        mine = table[(table["effect"] == effect) & (table["series"] == "power")]
        assert {*zip(mine["candidates"], mine["seeds"], strict=True)} == {
            (n, s) for n in (40, 50, 5000) for s in (3, 5, 10)
        }
        assert (mine["low"] <= mine["value"]).all() and (mine["value"] <= mine["high"]).all()
        assert (mine.groupby("candidates")["value"].agg(lambda v: v.is_monotonic_increasing)).all()


def test_the_figure_has_a_map_for_each_effect(tmp_path):
    study = world(tmp_path)
    table, _ = study.analyse(**OPTIONS)
    figure = study.drawn(table)
    for axis, effect in zip(figure.axes, EFFECTS, strict=False):
        power = table[(table["series"] == "power") & (table["effect"] == effect)].sort_values(["candidates", "seeds"])
        np.testing.assert_allclose(axis.collections[0].get_array().ravel(), 100 * power["value"], atol=1e-6)
    plt.close(figure)
