"""LayerMem by layer: planted profiles and groups must come out, and nothing where nothing was planted."""

import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml

from memloc import config
from memloc.errors import InputError
from memloc.experiments.layermem import analysis as layermem
from memloc.provenance import ROOT
from tests.builders.layers import dots
from tests.builders.planted import SIGNS, places_of, score_table
from tests.builders.study import Study, by_claim, single, verdicts
from tests.builders.study import of as series_of

PLACES = ("1", "2", "res2", "3", "4")
LAYERS = ("1", "2", "3", "4")
POINTS, SIZE = 60, 12
OPTIONS = {"group_size": SIZE}
RISING = [0.1, 0.2, 0.3, 0.4]


def points(profile, *, seed, offset=0.2, trait=0.0, common=0.0, noise=0.02, places=PLACES):
    """SSLMem with a profile planted on candidates (negative on independent points, where f and g change roles).

    Args:
        profile: by places_of layer; a residual sum has that of the layer before.
        offset: on every point.
        trait, common: spread of a trait of candidates, and of points of every group, at all layers.
    """
    rng = np.random.default_rng([7, seed])
    planted = pd.Series(dict(zip([name for name in places if name.isdigit()], profile, strict=True)))
    true = planted.reindex(places).ffill().to_numpy()
    scores = {}
    for group, sign in SIGNS.items():
        traits = rng.permutation(np.linspace(-1, 1, POINTS))[:, None]
        values = offset + sign * true + (common + trait * (group == "candidate")) * traits
        choose, score = (values + noise * rng.normal(size=values.shape) for _ in range(2))
        scores[group] = {"sslmem": (choose + score) / 2, "sslmem_choose": choose, "sslmem_score": score}
    return score_table(scores, places_of(places))


def world(folder, seeds=3, profile=RISING, *, encoder="simclr", **planted):
    study = Study(folder, "layermem")
    planted = planted or {"trait": 0.1}
    for seed in range(seeds):
        study.add(encoder, seed, points=points(profile, seed=seed, **planted))
    return study


def analyse(folder, profile, **planted):
    """Table and rows of one encoder, without traits unless they are planted."""
    return world(folder, profile=profile, **({"trait": 0.0} | planted)).analyse(**OPTIONS)


def of(table, name, column="value"):
    return series_of(table, name, "simclr", column)


def test_an_offset_common_to_all_groups_is_in_published_layermem_and_in_no_other(tmp_path):
    table, rows = analyse(tmp_path, [0, 0, 0, 0.3])
    planted = pd.Series([0, 0, 0, 0, 0.3], index=list(PLACES))
    for name, extra in (("published", 0.2), ("external-corrected", 0.0), ("crossed", 0.0)):
        np.testing.assert_allclose(of(table, name)[list(PLACES)], planted + extra, atol=0.01)
    np.testing.assert_allclose(of(table, "external images"), 0.2, atol=0.01)
    rise = of(table, "increment")
    assert list(rise.index) == list(LAYERS) and np.isnan(rise["1"])
    np.testing.assert_allclose(rise[["2", "3", "4"]], [0, 0, 0.3], atol=0.01)
    inside = (of(table, "crossed", "low") < planted) & (of(table, "crossed", "high") > planted)
    assert inside.sum() >= len(planted) - 1
    expected = {"last": "supported", "last-over-first": "supported", "not-last": "refuted"}
    assert verdicts(rows).items() >= (expected | {"every-increment": "inconclusive"}).items()


PROFILES = {
    "rising": (RISING, {"last": "supported", "rises": "supported", "last-over-first": "supported",
                        "every-increment": "supported"}),
    "falling": (RISING[::-1], {"last": "supported", "rises": "refuted", "last-over-first": "refuted",
                               "every-increment": "refuted"}),
    "early": ([0, 0.3, 0.3, 0.3], {"last": "supported", "last-over-first": "supported", "not-last": "supported"}),
    "negative": ([0, 0, 0, -0.3], {"last": "refuted", "last-over-first": "refuted", "every-increment": "refuted",
                                   "not-last": "supported"}),
    "nothing": ([0, 0, 0, 0], dict.fromkeys(["last", "rises", "last-over-first", "every-increment", "not-last"],
                                            "inconclusive")),
}  # fmt: skip


@pytest.mark.parametrize("name", list(PROFILES))
def test_claims_follow_the_planted_profile(tmp_path, name):
    profile, expected = PROFILES[name]
    _, rows = analyse(tmp_path, profile)
    assert verdicts(rows).items() >= expected.items()


def test_residual_sums_have_no_part_in_increments(tmp_path):
    table, _ = analyse(tmp_path, RISING)
    crossed, rise = of(table, "crossed"), of(table, "increment")
    np.testing.assert_allclose(rise["3"], crossed["3"] - crossed["2"])


def test_groups_of_a_trait_of_candidates_differ_more_than_the_same_choice_among_external_images(tmp_path):
    table, rows = analyse(tmp_path, [0.1] * 4, trait=0.2)
    most, least = of(table, "most memorized"), of(table, "least memorized")
    tail = np.linspace(-1, 1, POINTS)[-SIZE:].mean()
    np.testing.assert_allclose(most - least, 2 * 0.2 * tail, atol=0.02)
    assert abs(of(table, "most, external") - of(table, "least, external")).max() < 0.02
    assert verdicts(rows).items() >= {"groups": "supported", "groups-excess": "supported"}.items()


@pytest.mark.parametrize(("common", "groups"), [(0.2, "supported"), (0.0, "inconclusive")])
def test_a_trait_of_every_image_and_noise_are_no_excess_of_groups(tmp_path, common, groups):
    # Groups are scored on the half of the draws on which they were not chosen.
    _, rows = analyse(tmp_path, [0.1] * 4, common=common)
    assert verdicts(rows).items() >= {"groups": groups, "groups-excess": "inconclusive"}.items()


def test_claims_about_layers_leave_residual_sums_out(tmp_path):
    # The last place is a sum, in which the groups that are chosen there do not differ.
    study = Study(tmp_path, "layermem")
    for seed in range(3):
        table = points([0.1] * 4, seed=seed, trait=0.2, places=(*LAYERS, "res4"))
        summed = table["layer"] == "res4"
        table.loc[summed, "sslmem_score"] = 0.2 + 0.02 * np.random.default_rng(seed).normal(size=summed.sum())
        study.add("simclr", seed, points=table)
    table, rows = study.analyse(**OPTIONS)
    gap = of(table, "most memorized") - of(table, "least memorized")
    assert abs(gap["res4"]) < 0.02 and (gap[list(LAYERS)] > 0.2).all()
    assert verdicts(rows).items() >= {"groups": "supported", "groups-excess": "supported"}.items()
    null = of(table, "most, external") - of(table, "least, external")
    assert single(rows).loc["groups-excess", "effect"] == pytest.approx(gap["4"] - null["4"])
    assert not rows["subject"].str.contains("res").any()


def test_encoders_are_told_apart(tmp_path):
    study = world(tmp_path, profile=[0, 0, 0, 0.3], encoder="one", trait=0.0)
    for seed in range(2):
        study.add("two", seed, points=points([0, 0, 0, 0], seed=seed))
    table, rows = study.analyse(**OPTIONS)
    last = by_claim(rows, "layermem.last")
    assert last["verdict"].to_dict() == {"one": "supported", "two": "inconclusive"}
    assert last["seeds"].to_dict() == {"one": 3, "two": 2} and (last["n"] == POINTS).all()
    assert series_of(table, "crossed", "two")["4"] == pytest.approx(0, abs=0.01)


def test_seeds_that_differ_widen_the_interval(tmp_path):
    widths = []
    for scale in (0.0, 0.2):
        study = Study(tmp_path, "layermem")
        for seed in range(3):
            study.add("simclr", seed, points=points([0, 0, 0, 0.3 + scale * (seed - 1)], seed=seed))
        row = single(study.analyse(**OPTIONS)[1]).loc["last"]
        assert row["effect"] == pytest.approx(0.3, abs=0.01)
        widths.append(row["high"] - row["low"])
    # Two degrees of freedom: 4.303 * 0.2 / sqrt(3) on either side.
    assert widths[0] < 0.05 and widths[1] == pytest.approx(2 * 4.303 * 0.2 / 3**0.5, rel=0.2)


def test_seeds_are_resampled_apart(tmp_path):
    # Seeds of the same scores differ in nothing but their resamples: two have half the variance of one.
    widths = []
    for seeds in (1, 2):
        study = Study(tmp_path / str(seeds), "layermem")
        for seed in range(seeds):
            same = points(RISING, seed=0, noise=0.1)
            study.add("simclr", seed, points=same.assign(point=same["point"] + 10_000 * seed))
        table, _ = study.analyse(**OPTIONS)
        widths.append((of(table, "crossed", "high") - of(table, "crossed", "low")).mean())
    assert widths[1] / widths[0] == pytest.approx(0.5**0.5, rel=0.15)


def test_a_rank_correlation_with_depth_stays_below_one(tmp_path):
    _, rows = analyse(tmp_path, RISING, noise=0.3)
    assert single(rows).loc["rises", "high"] <= 1


@pytest.mark.parametrize(("normalisation", "limit"), [("ratio", 1), ("none", np.inf), ("range", np.inf)])
def test_intervals_end_where_the_normalisation_ends(tmp_path, normalisation, limit):
    # A distance without normalisation may be above 2: that of l1 is.
    scale = 1 if normalisation == "ratio" else 3
    study = world(tmp_path, profile=[0, 0, 0, 0.9 * scale], offset=0.0, noise=3 * scale)
    table, _ = study.analyse(**OPTIONS, normalisation=normalisation)
    value, high = of(table, "published")["4"], of(table, "published", "high")["4"]
    assert value > 2 or normalisation == "ratio"
    assert high == limit if normalisation == "ratio" else high > value


def test_as_few_layers_as_the_configuration_allows_are_enough(tmp_path):
    edited = yaml.safe_load((ROOT / "config.yaml").read_text())
    edited["experiments"]["finetuning"]["counts"] = [1]
    for count in range(1, 5):
        trial = copy.deepcopy(edited)
        trial["measure"]["layers"] = list(LAYERS[:count])
        try:
            config.check(trial)
        except InputError:
            continue
        break
    _, rows = analyse(tmp_path, RISING[:count], places=LAYERS[:count])
    assert set(verdicts(rows)) == set(layermem.CLAIMS)


def test_the_figure_shows_layermem_and_how_far_extremes_lie_apart(tmp_path):
    # Without residual sums all names of layers are numbers, which a CSV gives back as numbers.
    study = world(tmp_path, places=LAYERS)
    table, _ = study.analyse(**OPTIONS)
    figure = study.drawn(table)
    crossed, *_, extremes = figure.axes[:4]
    plt.close(figure)
    np.testing.assert_allclose(dots(crossed)["crossed"], series_of(table, "crossed", "simclr"))
    for group, kinds in {"candidate": "{} memorized", "external": "{}, external"}.items():
        most, least = (series_of(table, kinds.format(kind), "simclr") for kind in ("most", "least"))
        np.testing.assert_allclose(dots(extremes)[group], most - least, atol=1e-8)
