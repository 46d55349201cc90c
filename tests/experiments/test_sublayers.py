"""LayerMem of layers, their sublayers and the head: what was planted must come out, and noise must not."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from memloc.errors import InputError
from memloc.experiments.sublayers import analysis as sublayers
from memloc.models.architectures import ARCHITECTURES
from tests.builders.planted import OFFSET, SIGNS, score_table
from tests.builders.study import Study, by_claim, single, verdicts

POINTS = 40
OPTIONS = {}
PLACES = {
    "1": ("convolution", 900),
    "1.norm": ("normalisation", 0),
    "1.pool": ("pool", 0),
    "2": ("convolution", 20000),
    "2.norm": ("normalisation", 0),
    "res2": ("sum", 0),
    "3": ("convolution", 5000),
    "3.norm": ("normalisation", 0),
    "4": ("convolution", 5000),
    "4.norm": ("normalisation", 0),
    "output": ("output", 0),
    "head": ("head", 0),
}
LAYERS = ("1", "2", "3", "4")
# Layers add .1; sublayers and the sum .005 or nothing; the head takes .15 away.
STEADY = [0.1, 0.1, 0.105, 0.2, 0.195, 0.195, 0.295, 0.295, 0.4, 0.4, 0.4, 0.25]


def points_of(profile, *, seed=0, noise=0.0, places=PLACES, offset=OFFSET):
    """SSLMem with a crossed profile planted: added to an offset on candidates, taken from it on independent points."""
    rng = np.random.default_rng([5, seed])
    scores = {
        group: offset + sign * np.asarray(profile) + noise * rng.normal(size=(POINTS, len(places)))
        for group, sign in SIGNS.items()
    }
    about = {
        name: {"own": kind == "convolution", "kind": kind, "parameters": size} for name, (kind, size) in places.items()
    }
    return score_table(scores, about)


def study_of(folder, **encoders):
    """A study of encoders given by name, one table of points for each seed."""
    study = Study(folder, "sublayers")
    for encoder, seeds in encoders.items():
        for seed, points in enumerate(seeds):
            study.add(encoder, seed, points=points)
    return study


@pytest.fixture
def analysed(tmp_path):
    return lambda **encoders: study_of(tmp_path, **encoders).analyse(resamples=100)


def seeds_of(profile, *, count=3, **planted):
    return [points_of(profile, seed=seed, **planted) for seed in range(count)]


def world(folder, seeds=3):
    return study_of(folder, simclr=seeds_of(STEADY, count=seeds, noise=0.02))


def series(table, name):
    return table[table["series"] == name].set_index("layer")["value"]


def test_three_estimators_and_the_null_stand_in_the_table(analysed):
    table, _ = analysed(simclr=[points_of(STEADY)])
    np.testing.assert_allclose(series(table, "crossed"), STEADY, atol=1e-12)
    np.testing.assert_allclose(series(table, "external-corrected"), STEADY, atol=1e-12)
    np.testing.assert_allclose(series(table, "published"), np.array(STEADY) + OFFSET, atol=1e-12)
    np.testing.assert_allclose(series(table, "external images"), OFFSET, atol=1e-12)
    crossed = table[table["series"] == "crossed"].set_index("layer")
    assert list(crossed.index) == list(PLACES)
    assert [*zip(crossed["kind"], crossed["parameters"], strict=True)] == list(PLACES.values())
    assert list(crossed.index[crossed["own"]]) == list(LAYERS)


def test_increments_worked_by_hand(analysed):
    table, _ = analysed(simclr=[points_of(STEADY)])
    place = [np.nan, 0, 0.005, 0.095, -0.005, 0, 0.1, 0, 0.105, 0, 0, -0.15]
    layer = [np.nan, 0, 0.005, 0.1, -0.005, -0.005, 0.095, 0, 0.105, 0, 0, -0.15]
    np.testing.assert_allclose(series(table, "increment over place"), place, atol=1e-12)
    np.testing.assert_allclose(series(table, "increment over layer"), layer, atol=1e-12)


def test_increments_over_layers_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    own = rng.random(30) < 0.4
    own[:2] = False
    profile = rng.normal(size=(5, 30))
    expected = np.full_like(profile, np.nan)
    latest = None
    for i in range(30):
        if latest is not None:
            expected[:, i] = profile[:, i] - profile[:, latest]
        latest = i if own[i] else latest
    assert np.isfinite(expected).any() and np.isnan(expected[:, :3]).all()
    np.testing.assert_array_equal(sublayers.over_layer(profile, own), expected)


def test_effects_worked_by_hand(analysed):
    _, rows = analysed(simclr=[points_of(STEADY, noise=1e-4)])
    rows, approx = single(rows), partial(pytest.approx, abs=2e-4)
    # Layer 2 adds .095 over the pool before it, which adds .005: no pair is less sure.
    assert rows.loc["little", "effect"] == approx(0.09)
    assert rows.loc["little", "subject"] == "simclr, 2 against 1.pool"
    # Layers' mean .1; four normalisations' mean -.005 / 4; the pool's .005.
    assert rows.loc["little-on-average", "effect"] == approx(0.095)
    assert rows.loc["little-on-average", "subject"] == "simclr, against pools"
    assert rows.loc["head", "effect"] == approx(0.15) and rows.loc["rises", "effect"] == approx(1)
    rho = spearmanr([20000, 5000, 5000], [0.1, 0.095, 0.105])[0]
    assert rows.loc["parameters", "effect"] == pytest.approx(0.5 - abs(rho))
    assert (rows["n"] == POINTS).all() and (rows["verdict"] == "supported").all()


def test_offsets_that_differ_from_place_to_place_leave_every_effect_as_it_is(analysed):
    offset = np.random.default_rng(3).uniform(-0.3, 0.3, len(PLACES))
    tables, rows = zip(
        *(analysed(simclr=seeds_of(STEADY, noise=0.02, offset=o)) for o in (OFFSET, offset)), strict=True
    )
    pd.testing.assert_frame_equal(*rows)
    assert abs(series(tables[0], "published") - series(tables[1], "published")).max() > 0.1


def changed(**at):
    """The steady profile with other values at some places."""
    return [at.get(place.replace(".", "_").replace("1", "one"), v) for place, v in zip(PLACES, STEADY, strict=True)]


PROFILES = {
    "steady": (STEADY, {"little": "supported", "little-on-average": "supported", "head": "supported",
                        "rises": "supported"}),
    # A pool that adds three times what a layer does, and one that takes as much away (layer 2 makes up for it).
    "pool up": (changed(one_pool=0.4), {"little": "refuted", "little-on-average": "refuted"}),
    "pool down": (changed(one_pool=-0.4), {"little": "refuted", "little-on-average": "refuted"}),
    "head up": (changed(head=0.6), {"head": "refuted"}),
    "falling": ([-v for v in STEADY], {"rises": "refuted", "little": "refuted", "little-on-average": "refuted"}),
    "nothing": ([0.0] * len(PLACES), {"little": "inconclusive", "little-on-average": "inconclusive",
                                      "head": "inconclusive", "rises": "inconclusive"}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(PROFILES))
def test_claims_follow_the_planted_profile(analysed, name):
    profile, expected = PROFILES[name]
    _, rows = analysed(simclr=seeds_of(profile, noise=0.02))
    assert verdicts(rows).items() >= expected.items()


def test_one_pool_among_many_places_is_found_though_its_kind_does_little_on_average(analysed):
    places = dict(PLACES) | {"3.norm": ("pool", 0), "4.norm": ("pool", 0)}
    _, rows = analysed(simclr=seeds_of(changed(one_pool=0.25), noise=0.01, places=places))
    assert verdicts(rows).items() >= {"little": "refuted", "little-on-average": "inconclusive"}.items()


@pytest.mark.parametrize(
    ("increments", "verdict"),
    [([0.1, 0.2, 0.3, 0.4, 0.5], "refuted"), ([0.5, 0.4, 0.3, 0.2, 0.1], "refuted"),
     ([0.3, 0.1, 0.5, 0.2, 0.4], "supported")],
)  # fmt: skip
def test_parameters_that_order_increments_either_way_are_found(analysed, increments, verdict):
    places = {str(i): ("convolution", 10 ** (i + 1)) for i in range(1, 7)} | {"6.norm": ("normalisation", 0)}
    profile = np.cumsum([0.1, *increments, 0]) / 2
    _, rows = analysed(simclr=seeds_of(profile, noise=0.01, places=places))
    rho = spearmanr(range(5), increments)[0]
    row = single(rows).loc["parameters"]
    assert (row["effect"], row["verdict"]) == (pytest.approx(0.5 - abs(rho)), verdict)


def test_the_papers_effect_on_parameters_is_that_of_its_table():
    # Table 1's LayerMem and Table 8's parameters of layers 2 to 8.
    layermem = np.array([0.091, 0.123, 0.154, 0.183, 0.212, 0.246, 0.276, 0.308])
    parameters = [18496, 36928, 36928, 73856, 295168, 590080, 590080]
    rho = spearmanr(parameters, np.diff(layermem).round(4))[0]
    effects = sublayers.PUBLISHED["simclr", "resnet9"].effects
    assert effects["parameters"] == pytest.approx(0.5 - abs(rho), abs=0.005)


def test_an_encoder_without_a_head_has_no_claim_about_one(analysed):
    places = {name: about for name, about in PLACES.items() if name != "head"}
    _, rows = analysed(dino=seeds_of(STEADY[:-1], places=places), simclr=seeds_of(STEADY))
    assert list(by_claim(rows, "sublayers.head").index) == ["simclr"]


def test_an_encoder_measured_without_sublayers_is_an_error(analysed):
    places = {name: about for name, about in PLACES.items() if name in LAYERS}
    with pytest.raises(InputError, match=r"^encoders\.plain\.measure\.sublayers: .*set it to true$"):
        analysed(simclr=[points_of(STEADY)], plain=[points_of(STEADY[: len(places)], places=places)])


def real_places(name, **options):
    """Places of an encoder as it is measured, with some number of parameters."""
    layers = ARCHITECTURES[name].layers({"stem": "imagenet", "residual": True} | options)
    return {layer.name: (layer.kind, 1000 * 2 ** int(layer.depth / 3) * bool(layer.parts)) for layer in layers}


@pytest.mark.parametrize("names", [["resnet9"], ["resnet9", "resnet18", "vgg19"]])
def test_the_figure_names_layers_and_shows_every_kind_of_place(tmp_path, names):
    encoders = {}
    for name in names:
        places = real_places(name)
        profile = np.linspace(0, 0.3, len(places))
        encoders[name] = seeds_of(profile, noise=0.05, places=places, count=2)
    study = study_of(tmp_path, **encoders)
    figure = study.drawn(study.analyse(resamples=100)[0])
    assert len(figure.axes) == 3 * len(names)
    for name, (left, middle, right) in zip(names, np.reshape(figure.axes, (-1, 3)), strict=True):
        own = [place for place, (kind, _) in real_places(name).items() if kind == "convolution"]
        assert [label.get_text() for label in left.get_xticklabels()][-1] == "head"
        assert len(right.containers[0].lines[0].get_xdata()) == len(own) - 1
        kinds = {kind for kind, _ in real_places(name).values()} & {"normalisation", "pool", "head"}
        assert {label.get_text() for label in middle.get_yticklabels()} == {"layer"} | kinds
    plt.close(figure)
