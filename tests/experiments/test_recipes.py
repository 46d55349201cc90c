"""Recipes against one another: what was planted must come out, at equal points and seeds."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.errors import InputError
from memloc.experiments.recipes import analysis as recipes
from tests.builders.planted import LAYERS, OFFSET, POINTS, points
from tests.builders.study import Study, by_claim, complaint, of

RISING = np.array([0.02, 0.06, 0.1, 0.3])


OPTIONS = [{"order": "falling"}, {"order": "same"}]
"""Its claims; those of the order ``same`` are others."""


def study_of(folder, profiles, *, seeds=3, noise=0.01, offsets=(OFFSET,)):
    """A study of recipes: {name: profile}, over seeds of their own splits."""
    study = Study(folder, "recipes")
    for draw, (name, profile) in enumerate(profiles.items()):
        offset = offsets[draw % len(offsets)]
        for seed in range(seeds):
            study.add(name, seed, points=points(profile, noise=noise, offset=offset, split=seed, draw=draw))
    return study


def world(folder, seeds=3):
    return study_of(folder, lowered(0, 0.05, 0.1), seeds=seeds)


@pytest.fixture
def study(tmp_path):
    return lambda profiles, **planted: study_of(tmp_path, profiles, **planted)


def lowered(*steps):
    """Profiles by name whose last layer has less by each step."""
    return {f"r{i}": RISING - np.array([0, 0, 0, step]) for i, step in enumerate(steps)}


def test_profiles_and_differences_are_the_planted_ones_in_every_estimator(study):
    table, _ = study({"one": RISING, "other": 2 * RISING, "two": RISING / 2}, noise=0).analyse(order="same")
    for name, shift in (("published", OFFSET), ("external-corrected", 0), ("crossed", 0)):
        np.testing.assert_allclose(of(table, name, "two")[list(LAYERS)], RISING / 2 + shift)
        np.testing.assert_allclose(of(table, f"{name}, minus the first's", "two")[list(LAYERS)], -RISING / 2)
    np.testing.assert_allclose(of(table, "external images", "one"), OFFSET)
    np.testing.assert_allclose(of(table, "external images, minus the first's", "two"), 0, atol=1e-12)
    # No sums, and the first has no difference to itself.
    assert set(table["layer"]) == set(LAYERS)
    assert not table[table["series"].str.contains("minus") & (table["encoder"] == "one")].size


FALLING = {
    (0, 0.05, 0.1): ("supported", "supported"),
    (0, 0.05, 0.02): ("refuted", "supported"),
    (0.1, 0.05, 0): ("refuted", "refuted"),
    (0, 0.05, 0.05): ("inconclusive", "supported"),
    (0, 0, 0): ("inconclusive", "inconclusive"),
}


@pytest.mark.parametrize("steps", list(FALLING), ids=str)
def test_a_fall_must_be_there_at_every_step(study, steps):
    _, rows = study(lowered(*steps)).analyse(order="falling")
    assert tuple(rows["verdict"]) == FALLING[steps]
    assert rows["claim"].tolist() == ["recipes.falls", "recipes.weakest-over-strongest"]
    assert rows["effect"].iloc[1] == pytest.approx(steps[2] - steps[0], abs=0.005)


def test_the_step_that_is_least_sure_is_named(study):
    _, rows = study(lowered(0, 0.08, 0.1), seeds=1).analyse(order="falling")
    assert rows["subject"].tolist() == ["r0 to r2, r1 over r2", "r0 to r2"]
    assert rows["effect"].iloc[0] == pytest.approx(0.02, abs=0.005) and (rows["n"] == POINTS).all()


def test_recipes_that_are_alike_are_found_alike_and_others_not(study):
    last = np.array([0, 0, 0, 0.05])
    profiles = {"first": RISING, "alike": RISING - last[::-1] / 5, "higher": RISING + last, "lower": RISING - last}
    _, rows = study({**profiles, "reverse": RISING[::-1]}).analyse(order="same")
    last, shape = by_claim(rows, "recipes.same-last"), by_claim(rows, "recipes.same-shape")
    verdicts = {subject.split(" ")[0]: verdict for subject, verdict in last["verdict"].items()}
    assert verdicts == {"alike": "supported", "higher": "refuted", "lower": "refuted", "reverse": "refuted"}
    assert last["effect"].iloc[1] == pytest.approx(0.01 - 0.05, abs=0.005)
    assert last.index[1] == "higher against first, layer 4 below 0.01"
    assert last.index[2] == "lower against first, layer 4 above -0.01"
    shapes = shape["verdict"].tolist()
    assert shapes[:3] == ["supported"] * 3 and shapes[3] == "refuted"
    np.testing.assert_allclose(shape["effect"], [0.1, 0.1, 0.1, -1.9])
    assert shape.index[0] == "alike against first"


@pytest.mark.parametrize("order", ["falling", "same"])
def test_an_offset_of_one_recipes_encoders_is_no_difference(study, order):
    _, rows = study({"one": RISING, "two": RISING}, offsets=(0.4, 0.2)).analyse(order=order)
    assert set(rows["verdict"]) == {"inconclusive" if order == "falling" else "supported"}


def test_a_difference_that_is_unknown_is_not_called_none(study):
    _, rows = study({"first": RISING, "noisy": RISING}, noise=0.3).analyse(order="same")
    assert rows["verdict"].tolist() == ["inconclusive", "inconclusive"]


def test_each_order_has_its_claims_and_both_have_all(study):
    made = study(lowered(0, 0.1))
    claims = {order: {*made.analyse(order=order)[1]["claim"]} for order in ("falling", "same")}
    assert not claims["falling"] & claims["same"]
    assert claims["falling"] | claims["same"] == {f"recipes.{claim}" for claim in recipes.CLAIMS}


def test_points_and_seeds_are_kept_together(tmp_path):
    # Points and seeds differ by far more than recipes do, but alike under both.
    made = Study(tmp_path, "recipes")
    for name, less in (("one", 0.0), ("two", 0.02)):
        for seed in range(3):
            traits = np.random.default_rng(seed).normal(size=POINTS)
            made.add(name, seed, points=points(RISING + 0.1 * seed - less, noise=0.001, traits=traits, split=seed))
    table, rows = made.analyse(order="falling")
    assert (rows["verdict"] == "supported").all()
    assert (rows["high"] - rows["low"]).max() < 0.005
    assert (of(table, "crossed", "one", "high") - of(table, "crossed", "one", "low")).min() > 0.2


def test_the_interval_has_the_closed_form_of_one_seed(study):
    # Half the difference of two means of paired differences, each of variance 2 sigma^2 / n.
    table, _ = study({"one": RISING, "two": RISING}, seeds=1, noise=0.05).analyse(order="same", resamples=2000)
    half = 1.96 * 0.05 * np.sqrt(2 / POINTS * 2) / 2
    rows = "crossed, minus the first's"
    width = (of(table, rows, "two", "high") - of(table, rows, "two", "low")) / 2
    assert width.mean() == pytest.approx(half, rel=0.1)


def test_seeds_of_one_split_say_no_more_about_its_points(tmp_path):
    tables = []
    for seeds in (1, 4):
        made = Study(tmp_path / str(seeds), "recipes")
        for name, less in (("one", 0), ("two", 0.02)):
            for seed in range(seeds):
                made.add(name, seed, points=points(RISING - less, noise=0.05, split=0))
        tables.append(made.analyse(order="same")[0][["value", "low", "high"]])
    # The bounds are of other resamples.
    np.testing.assert_allclose(*tables, atol=0.003)


def test_encoders_of_other_points_are_not_compared(tmp_path):
    made = Study(tmp_path, "recipes")
    made.add("one", 0, points=points(RISING, split=0)).add("two", 0, points=points(RISING, split=1))
    with pytest.raises(InputError, match="one, two: points or layers differ; delete their scores"):
        made.analyse(order="same")


@pytest.mark.parametrize("order", ["falling", "same"])
@pytest.mark.parametrize("count", [2, 12])
def test_the_figure_has_every_recipe(study, order, count):
    made = study(lowered(*(0.01 * i for i in range(count))), seeds=1)
    figure = made.drawn(made.analyse(order=order, resamples=20)[0])
    profiles, (last, difference) = figure.axes[:count], figure.axes[count:]
    assert [axis.get_title("left") for axis in profiles] == [f"r{i}" for i in range(count)]
    assert [tick.get_text() for tick in last.get_yticklabels()] == [f"r{i}" for i in range(count)]
    # The first recipe has no difference to itself.
    shown = difference.containers[0].lines[0].get_xdata().astype(float)
    assert np.isnan(shown).tolist() == [True] + [False] * (count - 1)
    plt.close(figure)


IT = {"kind": "recipes", "encoders": ["simclr", "mine"], "order": "same"}


def test_recipes_of_one_architecture_may_differ_in_what_leaves_the_layers_the_same():
    assert complaint(IT, {"mine": {"network": {"width": 0.5, "residual": False}, "initialisation": "shared"}}) is None


BAD = {
    "seeds": ({"seeds": [0, 1]}, "seeds is [0, 1, 2] in simclr and [0, 1] in mine"),
    "split": ({"split_seed": 0}, "split_seed is None in simclr and 0 in mine"),
    "architecture": ({"architecture": "resnet18"}, "architecture is resnet9 in simclr and resnet18 in mine"),
    "layers": ({"measure": {"layers": ["1", "2", "3"]}}, "and ['1', '2', '3']"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_recipes_that_differ_in_more_are_refused_in_one_line(name):
    changes, part = BAD[name]
    message = complaint(IT, {"mine": changes})
    assert message.startswith("config: experiments.it.encoders: compares like with like, but") and part in message
    assert "\n" not in message


def test_an_unknown_order_and_a_single_recipe_are_refused():
    assert "experiments.it.order: 'rising' is none of falling, same" in complaint(
        IT | {"order": "rising"}, {"mine": {}}
    )
    assert "experiments.it.encoders" in complaint(IT | {"encoders": ["simclr"]}, {})
