"""Pairs on complementary halves: planted memories of layers and of images come out, and nothing where nothing is."""

import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml

from memloc import config
from memloc.errors import InputError
from memloc.metrics.pairs import spearman_brown
from memloc.provenance import ROOT
from tests.builders.study import Study, single, verdicts
from tests.builders.study import of as series_of

PLACES = ("1", "2", "res2", "3", "4", "output")
IMAGES, CLASSES = 60, 3
OPTIONS = {"deals": 400, "pairs": [1, 4, 100]}
RISING = [0.0, 0.02, 0.02, 0.04, 0.06, 0.06]


# Of mean 0 and variance 1 in every class.
TRAITS = np.repeat(np.linspace(-1, 1, IMAGES // CLASSES), CLASSES)
TRAITS /= TRAITS.std()


def points(profile, *, pair, trait=0.0, noise=0.05):
    """Scores of a pool that is dealt to two halves; class, image and pair have offsets that membership doesn't."""
    rng = np.random.default_rng([9, pair])
    labels = np.arange(IMAGES) % CLASSES
    groups = np.full(IMAGES, "independent", dtype=object)
    for label in range(CLASSES):
        rows = rng.permutation(np.flatnonzero(labels == label))
        groups[rows[: len(rows) // 2]] = "candidate"
    sign = np.where(groups == "candidate", 1, -1)[:, None]
    traits = TRAITS[:, None]
    offset = rng.normal(size=len(PLACES)) + rng.normal(size=(CLASSES, len(PLACES)))[labels]
    scores = offset + sign * (np.asarray(profile) + trait * traits) + noise * rng.normal(size=(IMAGES, len(PLACES)))
    order = rng.permutation(IMAGES)
    return pd.DataFrame(
        {
            "point": np.repeat(100 + order, len(PLACES)),
            "group": np.repeat(groups[order], len(PLACES)),
            "label": np.repeat(labels[order], len(PLACES)),
            "layer": [*PLACES] * IMAGES,
            "own": [name.isdigit() for name in PLACES] * IMAGES,
            "sslmem": scores[order].ravel(),
        }
    )


def atypicality(scores, *, pair, odd=0.5):
    """Traits and noise, with what the encoder itself adds: as much as it adds to the scores."""
    each = scores[scores["layer"] == "output"][["point", "group", "label", "sslmem"]]
    noise = np.random.default_rng([4, pair]).normal(size=len(each))
    sign = np.where(each["group"] == "candidate", 1, -1)
    own = sign * (each["sslmem"] - each.groupby("label")["sslmem"].transform("mean")) / each["sslmem"].std()
    return each.drop(columns="sslmem").assign(atypicality=5 + odd * TRAITS[each["point"] - 100] + noise / 4 + own / 4)


def world(folder, seeds=4, profile=RISING, *, odd=0.5, **planted):
    study = Study(folder, "pairs")
    for pair in range(seeds):
        scores = points(profile, pair=pair, **planted)
        study.add("simclr", pair, points=scores, atypicality=atypicality(scores, pair=pair, odd=odd))
    return study


def test_a_planted_profile_comes_out_with_intervals_that_hold_it(tmp_path):
    table, rows = world(tmp_path).analyse(**OPTIONS)
    crossed = series_of(table, "crossed", "simclr")
    assert crossed.to_numpy() == pytest.approx(RISING, abs=0.015)
    low, high = (series_of(table, "crossed", "simclr", side).to_numpy() for side in ("low", "high"))
    assert ((low < RISING) & (high > RISING)).sum() >= len(RISING) - 1
    slope = single(rows).loc["slope"]
    # Layers 1 to 4 proper: 0, .02, .04, .06.
    assert slope["effect"] == pytest.approx(0.02, abs=0.005) and slope["seeds"] == 4 and slope["n"] == IMAGES
    assert verdicts(rows)["last"] == verdicts(rows)["output"] == verdicts(rows)["slope"] == "supported"
    assert (single(rows).loc[["last", "slope"], "p"] <= 2 / 401 + 1e-12).all()


def test_nothing_planted_gives_nothing(tmp_path):
    table, rows = world(tmp_path, profile=[0] * 6).analyse(**OPTIONS)
    assert set(verdicts(rows).values()) == {"inconclusive"}
    dealt = table[table["series"] == "membership dealt anew"]
    assert (dealt["low"] < 0).all() and (dealt["high"] > 0).all()


def test_reliability_is_that_of_planted_images(tmp_path):
    # The image has .05^2 of a variance of .05^2 + .05^2 in a pair.
    table, rows = world(tmp_path, seeds=12, trait=0.05).analyse(**OPTIONS)
    reliable = series_of(table, "one pair", "simclr")
    assert reliable.to_numpy() == pytest.approx(0.5, abs=0.13)
    assert verdicts(rows)["single"] == "supported"
    mean = table[table["series"] == "mean of pairs"].set_index("pairs")["value"]
    assert mean[4] == pytest.approx(float(spearman_brown(np.array(reliable["output"]), np.array(4))))


def test_atypical_images_are_found_to_be_memorized_more_where_they_are(tmp_path):
    found = single(world(tmp_path, seeds=6, trait=0.05).analyse(**OPTIONS)[1]).loc["atypical"]
    # Image and rest have the same variance in a pair, so one pair's values correlate with the trait at sqrt(1 / 2).
    assert found["effect"] == pytest.approx(np.sqrt(0.5), abs=0.12) and found["p"] < 0.01
    assert found["verdict"] == "supported" and found["reliability"] == pytest.approx(0.5, abs=0.13)


@pytest.mark.parametrize("planted", [{"trait": 0.05, "odd": 0.0}, {"trait": 0.0, "odd": 0.5}])
def test_what_an_encoder_adds_to_both_scores_of_an_image_is_no_correlation(tmp_path, planted):
    found = single(world(tmp_path, seeds=6, **planted).analyse(**OPTIONS)[1]).loc["atypical"]
    assert abs(found["effect"]) < 0.15 and found["verdict"] == "inconclusive"
    # Either score alone makes the correlation unreliable.
    assert found["reliability"] < 0.4


def test_pairs_of_different_pools_are_refused(tmp_path):
    study = world(tmp_path, seeds=1)
    other = points(RISING, pair=1).assign(point=lambda t: t["point"] + 1)
    study.add("simclr", 1, points=other, atypicality=atypicality(points(RISING, pair=1), pair=1))
    with pytest.raises(InputError, match="the pairs are of different pools"):
        study.analyse(**OPTIONS)


def test_the_figure_shows_every_pair(tmp_path):
    study = world(tmp_path)
    figure = study.drawn(study.analyse(**OPTIONS)[0])
    a, b, _, d = figure.axes
    assert len(a.lines) == 4 + 1 + 1  # Pairs, their mean, zero.
    # What chance makes of it is the one band of a panel.
    assert len(a.patches) == len(b.patches) == 1 and len(d.containers[0].lines[0].get_xdata()) == 2
    plt.close(figure)


def test_encoders_must_be_trained_on_halves():
    whole = config.check_files([ROOT / "config.yaml"])[0]
    groups = yaml.safe_load((ROOT / "config/groups.yaml").read_text(encoding="utf-8"))
    whole["datasets"] |= groups["datasets"]
    whole["encoders"] |= groups["encoders"]
    whole["experiments"] = {"pairs": whole["experiments"]["pairs"]}
    config.check(whole)
    fixed = copy.deepcopy(whole)
    fixed["encoders"]["simclr"]["split_seed"] = 3
    with pytest.raises(InputError, match="simclr has a split_seed, so all its pairs have the same halves"):
        config.check(fixed)
    whole["experiments"]["pairs"]["encoders"] = ["simclr-groups"]
    with pytest.raises(InputError, match="simclr-groups isn't trained on halves of a pool; datasets with one: fashion"):
        config.check(whole)
