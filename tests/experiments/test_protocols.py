"""The same weights measured in different ways: planted agreement and disagreement must come out."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import spearmanr

from memloc.metrics.alignment import sslmem
from tests.builders.planted import LAYERS, OFFSET, POINTS, points
from tests.builders.study import Study, by_claim, complaint, of, verdicts

RISING = np.array([0.02, 0.06, 0.2, 0.24])


OPTIONS = {}


def study_of(folder, profiles, *, seeds=3, noise=0.01, offset=OFFSET):
    """A study of protocols: {name: profile}, over seeds of their own splits."""
    study = Study(folder, "protocols")
    for draw, (name, profile) in enumerate(profiles.items()):
        for seed in range(seeds):
            study.add(name, seed, points=points(profile, noise=noise, offset=offset, split=seed, draw=draw))
    return study


def world(folder, seeds=3):
    return study_of(folder, {"l2": RISING, "cosine": 2 * RISING}, seeds=seeds)


@pytest.fixture
def study(tmp_path):
    return lambda profiles, **planted: study_of(tmp_path, profiles, **planted)


def test_profiles_increments_and_correlations_are_the_planted_ones(study):
    other = np.array([0.05, 0.01, 0.02, 0.3])
    table, rows = study({"l2": RISING, "l1": other}, noise=0).analyse()
    np.testing.assert_allclose(of(table, "crossed", "l1")[list(LAYERS)], other)
    np.testing.assert_allclose(of(table, "published", "l1")[list(LAYERS)], other + OFFSET)
    np.testing.assert_allclose(of(table, "increment", "l1")[["2", "3", "4"]], [-0.04, 0.01, 0.28])
    rho = spearmanr(RISING, other).statistic
    assert of(table, "rank correlation", "l1")["all"] == pytest.approx(rho)
    assert by_claim(rows, "protocols.profile")["effect"]["l1 against l2"] == pytest.approx(rho - 0.95)
    assert (table["layer"] != "res2").all()


def test_the_ratio_of_a_squared_distance_is_about_twice_as_large_with_the_same_profile(study):
    # 1 - cos is half the square of l2: (g^2 - f^2) / (g^2 + f^2) = 2 r / (1 + r^2) with r the ratio of l2.
    f, g = np.random.default_rng(0).uniform(0.2, 0.8, size=(2, 30, 4))
    ratio = sslmem(f, g)
    np.testing.assert_allclose(sslmem(f**2 / 2, g**2 / 2), 2 * ratio / (1 + ratio**2))
    small = RISING / 10
    table, rows = study({"l2": small, "cosine": 2 * small / (1 + small**2)}, noise=0, offset=0).analyse()
    np.testing.assert_allclose(of(table, "crossed", "cosine") / of(table, "crossed", "l2"), 2, rtol=1e-3)
    assert by_claim(rows, "protocols.profile")["effect"].tolist() == pytest.approx([0.05])


def test_protocols_that_agree_are_told_from_one_that_does_not(study):
    profiles = {"l2": RISING, "cosine": 2 * RISING, "pooled": [0.3, 0.28, 0.1, 0.02], "late": [0.02, 0.06, 0.1, 0.3]}
    table, rows = study(profiles, seeds=1).analyse()
    assert by_claim(rows, "protocols.profile")["verdict"].to_dict() == {
        "cosine against l2": "supported",
        "pooled against l2": "refuted",
        "late against l2": "supported",
    }
    increment = by_claim(rows, "protocols.increment")
    assert increment["verdict"].to_dict() == {
        "cosine against l2, layer 3, over layer 2": "supported",
        "pooled against l2, layer 3, over layer 2": "refuted",
        "late against l2, layer 3, over layer 4": "refuted",
    }
    # Layer 3 adds .14, which is twice that under cosine; layer 2 adds .04, and layer 4 as much.
    np.testing.assert_allclose(increment["effect"], [0.2, -0.16, -0.16], atol=0.005)
    agreement = [of(table, "same strongest layer", name)["all"] for name in ("cosine", "pooled", "late")]
    assert agreement == [1, 0, 0]
    last = by_claim(rows, "protocols.last")
    assert last["verdict"].to_dict() == {"l2, as pooled": "supported"}
    assert last["effect"].iloc[0] == pytest.approx(0.02, abs=0.005) and (rows["n"] == POINTS).all()


@pytest.mark.parametrize(("last", "verdict"), [(0.2, "supported"), (0, "inconclusive"), (-0.2, "refuted")])
def test_the_last_layer_must_memorize_under_every_protocol(study, last, verdict):
    _, rows = study({"l2": RISING, "cosine": RISING, "other": [*RISING[:3], last]}).analyse()
    assert by_claim(rows, "protocols.last")["verdict"].tolist() == [verdict]


def test_the_reference_itself_must_memorize(study):
    _, rows = study({"l2": [*RISING[:3], -0.1], "cosine": RISING}).analyse()
    assert by_claim(rows, "protocols.last")["verdict"].to_dict() == {"l2, as l2": "refuted"}


def test_profiles_of_pure_noise_do_not_agree(study):
    _, rows = study({"l2": np.zeros(4), "cosine": np.zeros(4)}, noise=0.3).analyse()
    assert "supported" not in set(rows["verdict"])


def test_protocols_of_one_training_share_its_noise(tmp_path):
    # Traits of points far larger than what is planted, the same under both: the agreement is sure, the height is not.
    made = Study(tmp_path, "protocols")
    for draw, name in enumerate(("l2", "l1")):
        for seed in range(3):
            traits = 3 * np.random.default_rng(seed).normal(size=POINTS)
            made.add(name, seed, points=points(RISING, noise=0.01, traits=traits, split=seed, draw=draw))
    _, rows = made.analyse()
    assert verdicts(rows) == {"last": "inconclusive", "profile": "supported", "increment": "supported"}


def test_the_papers_profiles_are_quoted_for_distances_alone(study):
    made = study({"l2": RISING, "l1": RISING, "pooled": RISING}, seeds=1)
    measure = made.about["l2"]["measure"]
    made.about["l1"] = made.about["l2"] | {"measure": measure | {"distance": "l1"}}
    made.about["pooled"] = made.about["l2"] | {"measure": measure | {"distance": "l1", "pairs": "image-aug"}}
    paper = by_claim(made.analyse()[1], "protocols.profile")["paper_effect"]
    assert paper["l1 against l2"] == pytest.approx(0.05) and np.isnan(paper["pooled against l2"])


@pytest.mark.parametrize("count", [2, 12])
def test_the_figure_has_every_protocol_and_estimator(study, count):
    made = study({f"p{i}": RISING * (1 + 0.1 * i) for i in range(count)}, seeds=1)
    table, _ = made.analyse(resamples=20)
    figure = made.drawn(table)
    profiles, (last, alike) = figure.axes[:count], figure.axes[count:]
    assert [axis.get_title("left") for axis in profiles] == [f"p{i}" for i in range(count)]
    assert [tick.get_text() for tick in last.get_yticklabels()] == [f"p{i}" for i in range(count)]
    for axis, name, layer in ((last, "crossed", "4"), (alike, "rank correlation", "all")):
        expected = [of(table, name, f"p{i}").get(layer, np.nan) for i in range(count)]
        np.testing.assert_allclose(axis.containers[0].lines[0].get_xdata().astype(float), expected, rtol=1e-6)
    plt.close(figure)


IT = {"kind": "protocols", "encoders": ["simclr", "mine"]}


def test_the_same_weights_may_be_measured_in_any_way():
    measure = {"distance": "cosine", "draws": 4, "representation": "pooled", "augmentation": "normal"}
    assert complaint(IT, {"mine": {"weights": "simclr", "measure": measure}}) is None
    # The reference may be the alias, too, or all may be.
    both = {"mine": {"weights": "simclr"}, "other": {"weights": "simclr", "measure": {"pairs": "image-aug"}}}
    assert complaint(IT | {"encoders": ["mine", "simclr"]}, both) is None
    assert complaint(IT | {"encoders": ["mine", "other"]}, both) is None


BAD = {
    "weights": ({}, "weights is simclr in simclr and mine in mine"),
    "another's": ({"weights": "supervised"}, "weights is simclr in simclr and supervised in mine"),
    "seeds": ({"weights": "simclr", "seeds": [0, 1]}, "seeds is [0, 1, 2] in simclr and [0, 1] in mine"),
    "layers": ({"weights": "simclr", "measure": {"layers": ["1", "2", "3"]}}, "and ['1', '2', '3']"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_protocols_of_other_weights_seeds_or_layers_are_refused_in_one_line(name):
    changes, part = BAD[name]
    message = complaint(IT, {"mine": changes})
    assert message.startswith("config: experiments.it.encoders: compares like with like, but") and part in message
    assert "\n" not in message


def test_a_single_protocol_is_refused():
    assert "experiments.it.encoders" in complaint(IT | {"encoders": ["simclr"]}, {})
