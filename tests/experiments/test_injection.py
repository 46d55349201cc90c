"""Training single units on single images: the training itself, and the experiment on planted outcomes."""

import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from memloc.config import check
from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments import module
from memloc.experiments.injection import job as injection
from memloc.experiments.injection.job import ARMS, Eye, Lessons
from memloc.measuring.one_pass import measure_images
from memloc.measuring.protocol import Protocol
from memloc.metrics.units import unitmem
from memloc.models import architectures as encoders
from memloc.models import frameworks
from memloc.models.frameworks.recipe import Recipe
from memloc.training.views import views_of
from tests.builders.desk import desk
from tests.builders.study import Study, save

# --- Training ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def learner(settings, network):
    """SimSiam on an encoder of 32 units in its last layer, whose statistics are not those of a first step."""
    encoder = network(seed=3)
    return frameworks.build(
        "simsiam", encoder, classes=3, recipe=Recipe.of(settings("simsiam")["recipe"]), image_size=16
    ).eval()  # fmt: skip


@pytest.fixture
def eye(normalise, toy):
    (layer,) = encoders.choose_layers("resnet9", {"residual": True}, ["8"])
    part, points = Part(*toy(24)), 100 + np.arange(24)
    return Eye(part, points, layer, Protocol(draws=4), AUGMENTATIONS["mild"], normalise, seed=5)


@pytest.fixture
def job(learner, eye):
    groups = np.repeat(["external", "independent"], 12)
    lessons = Lessons(steps=[2, 6], batch_size=4, learning_rate=1e-4, seed=0)
    return lambda **changes: injection.inject(learner, groups, eye=eye, lessons=replace(lessons, **changes))


def test_the_top_unit_its_image_and_the_least_active_other_unit_are_chosen():
    mu = np.array([[1.0, 0.1, 3.0, 0.0], [1.0, 0.9, 1.0, 0.2], [1.0, 0.1, 2.0, 0.1]])
    # UnitMem 0, (.9 - .1) / (.9 + .1) = .8, (3 - 1.5) / 4.5 = .33, (.2 - .05) / .25 = .6; means 1, .37, 2, .1.
    assert injection.choose(mu) == ({"top": 1, "inactive": 3}, 1)
    # A unit that only one image excites is top and least active: another one is the inactive.
    mu[:, 3] = [0.0, 0.0, 0.01]
    assert injection.choose(mu) == ({"top": 3, "inactive": 1}, 2)


def test_units_are_read_as_they_are_measured(learner, eye):
    whole = measure_images(
        learner.encoder, eye.part.images, eye.points, layers=[eye.layer], augmentation=eye.augmentation,
        normalise=eye.normalise, protocol=eye.protocol, seed=eye.seed,
    )  # fmt: skip
    np.testing.assert_allclose(eye.activations(learner), whole.views["8"].mean(axis=1), rtol=1e-5)


def test_units_choice_and_looks_are_told(job, eye, learner):
    out = job()
    assert out["steps"].tolist() == [0, 2, 6] and out["activations"].shape == (24, len(ARMS), 3)
    start = eye.activations(learner)
    units, row = injection.choose(start[:12])
    assert out["chosen"] == 100 + row
    for i, (kind, arm) in enumerate(ARMS):
        assert (out["kinds"][i], out["arms"][i], out["units"][i]) == (kind, arm, units[kind])
        assert np.array_equal(out["activations"][:, i, 0], start[:, units[kind]])


def test_a_run_looks_after_rising_numbers_of_steps_at_as_many_points_of_both_groups(learner, eye, toy, normalise):
    sizes = {"shared": 4, "candidate": 4, "independent": 6, "external": 8}
    bounds = np.cumsum([0, *sizes.values()])
    it = desk(
        learner=learner,
        part=Part(*toy(24)),
        split={name: np.arange(*bounds[i : i + 2]) for i, name in enumerate(sizes)},
        layers=(eye.layer,),
        protocol=eye.protocol,
        augmentation=eye.augmentation,
        normalise=normalise,
        options={"layer": "8", "steps": [4, 2], "batch_size": 4, "learning_rate": 1e-4},
    )
    out = injection.run(it)
    assert out["steps"].tolist() == [0, 2, 4] and out["groups"].tolist() == ["external"] * 6 + ["independent"] * 6
    assert (out["points"][:6] >= 14).all() and out["points"][6:].tolist() == [*range(8, 14)]


def test_readings_that_are_no_longer_finite_are_the_learning_rates(job, monkeypatch):
    read, seen = Eye.activations, []

    def activations(*args):
        if seen:
            raise InputError("layer 8: output isn't finite; the encoder is damaged, train it again")
        seen.append(1)
        return read(*args)

    monkeypatch.setattr(Eye, "activations", activations)
    with pytest.raises(InputError, match=r"learning_rate: 0\.0001 makes the unit's training diverge; lower it"):
        job()


def test_nothing_but_the_unit_changes_and_the_learner_handed_in_stays(job, learner):
    before = copy.deepcopy(learner.state_dict())
    out = job()
    assert not out["others"].any() and not out["parameters"].any()
    moved = np.abs(np.diff(out["activations"], axis=2)).max(axis=(0, 2))
    assert (moved[:3] > 0).all()
    # What a unit is trained on tells the arms apart.
    assert len({out["activations"][:, i, -1].tobytes() for i in range(3)}) == 3
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())


@pytest.mark.parametrize("also", ["block8.conv", "block3.norm"])
def test_a_training_that_moves_anything_else_fails(job, monkeypatch, also):
    def leaky(encoder, units, modules):
        trained = isolate(encoder, units, modules)
        parameter = encoder.get_submodule(also).weight.requires_grad_(True)
        parameter._backward_hooks = None
        return [*(p for p in trained if p is not parameter), parameter]

    isolate = injection.isolate
    monkeypatch.setattr(injection, "isolate", leaky)
    with pytest.raises(InputError, match=r"layer 8: 2 steps on unit \d+ alone changed other units by up to"):
        job()


def test_every_other_parameter_and_statistic_is_watched(learner, eye):
    for name, value in learner.encoder.state_dict().items():
        if not value.is_floating_point():
            continue
        changed = copy.deepcopy(learner)
        with torch.no_grad():
            changed.encoder.state_dict()[name][2] += 0.25
        own = name in ("block8.conv.weight", "block8.conv.bias", "block8.norm.weight", "block8.norm.bias")
        found = injection.other_parameters(learner, changed, 2, eye.layer)
        assert found == (0 if own else pytest.approx(0.25, rel=1e-3)), name
        assert injection.other_parameters(learner, changed, 3, eye.layer) == pytest.approx(0.25, rel=1e-3)


def test_training_lowers_the_loss_of_the_image(settings, network, eye, toy, normalise):
    # SimCLR's: what SimSiam follows is not the gradient of its loss.
    recipe = Recipe.of(settings("simclr")["recipe"])
    learner = frameworks.build("simclr", network(seed=3), classes=3, recipe=recipe, image_size=16).eval()
    part = Part(*(array[:1] for array in toy(6)))
    eye = replace(eye, part=part, points=np.arange(1))
    unit = int(eye.activations(learner)[0].argmax())

    def loss(of):
        draws = torch.Generator().manual_seed(99)
        image = torch.from_numpy(part.images).float().div(255).repeat(64, 1, 1, 1)
        with torch.no_grad():
            views = [views_of(image, group, normalise, draws) for group in of.groups]
            return float(of(views, torch.zeros(64), 0.0).double())

    before, lessons = loss(learner), Lessons(steps=[40], batch_size=16, learning_rate=1e-2, seed=0)
    assert list(injection.train(learner, unit, part, eye=eye, lessons=lessons)) == [40]
    assert loss(learner) < before


def test_a_rate_that_makes_training_diverge_is_told(job):
    with pytest.raises(InputError, match=r"learning_rate: 1e\+30 makes the unit's training diverge; lower it"):
        job(learning_rate=1e30)


def test_a_run_is_a_function_of_its_seed(job):
    first, second, other = job(), job(), job(seed=1)
    assert np.array_equal(first["activations"], second["activations"])
    assert not np.array_equal(first["activations"], other["activations"])


def test_groups_are_as_large_as_the_smaller_one():
    groups = np.array(["shared"] * 3 + ["candidate"] * 4 + ["independent"] * 9 + ["external"] * 5)
    rows = injection.equal_groups(groups, seed=0)
    assert groups[rows].tolist() == ["external"] * 5 + ["independent"] * 5 and len(set(rows)) == 10
    assert not np.array_equal(rows[5:], injection.equal_groups(groups, seed=1)[5:])


# --- The experiment ---------------------------------------------------------------------------------------------------

N, STEPS = 40, [0, 10, 50, 200]
FLAT = {"top": [0.5] * 4, "inactive": [0.3] * 4}
RISING = {
    ("top", "repeated"): [0.5, 0.56, 0.62, 0.7],
    ("top", "natural"): [0.5, 0.52, 0.55, 0.6],
    ("inactive", "repeated"): [0.3, 0.34, 0.38, 0.45],
    ("inactive", "natural"): [0.3, 0.31, 0.33, 0.36],
}
FALLING = {
    ("top", "repeated"): [0.5, 0.45, 0.4, 0.3],
    ("top", "natural"): [0.5, 0.55, 0.6, 0.65],
    ("top", "another"): [0.5, 0.55, 0.6, 0.65],
    ("inactive", "repeated"): [0.3, 0.28, 0.25, 0.2],
    ("inactive", "natural"): [0.3, 0.32, 0.35, 0.4],
}


def outcome(curves, seed, *, everywhere=False):
    """Images that excite every unit by about .5, and one with the UnitMem planted by arm and look.

    Args:
        everywhere: an independent image is excited as the external one is.
    """
    rng = np.random.default_rng([21, seed])
    mu = np.empty((2 * N, len(ARMS), len(STEPS)))
    # Before the first step a unit is the same in all of its arms.
    common = {kind: 0.5 + 0.02 * rng.normal(size=(2 * N, 1)) for kind in FLAT}
    factors = 1 + 0.01 * rng.normal(size=2)
    for i, arm in enumerate(ARMS):
        mu[:, i] = common[arm[0]]
        wanted = np.array(curves.get(arm, FLAT[arm[0]]))
        curve = 0.5 * (1 + wanted) / (1 - wanted)
        for row, factor in zip((7, N + 3) if everywhere else (7,), factors, strict=False):
            mu[row, i] = curve * factor
    return {
        "points": 1000 * seed + np.arange(2 * N),
        "groups": np.repeat(["external", "independent"], N),
        "chosen": np.array(1000 * seed + 7),
        "steps": np.array(STEPS),
        "kinds": np.array([kind for kind, _ in ARMS]),
        "arms": np.array([arm for _, arm in ARMS]),
        "units": np.arange(len(ARMS)),
        "activations": mu,
        "others": np.zeros((len(ARMS), len(STEPS))),
        "parameters": np.zeros((len(ARMS), len(STEPS))),
    }


class Outcomes(Study):
    def add(self, encoder, seed, arrays):
        path = self.folder / f"{encoder}-{seed}.npz"
        save(arrays, path)
        self.runs.append((encoder, seed))
        self.files["outcomes"].append(str(path))
        return self


@pytest.fixture
def study(tmp_path):
    def make(curves, *, seeds=3, encoder="it", **planted):
        made = Outcomes(tmp_path, "injection")
        for seed in range(seeds):
            made.add(encoder, seed, outcome(curves, seed, **planted))
        return made

    return make


OPTIONS = {}


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    made = Outcomes(folder, "injection")
    for seed in range(seeds):
        made.add("it", seed, outcome(RISING, seed))
    return made


def by_unit(rows):
    return {tuple(key): value for *key, value in rows[["claim", "subject", "verdict"]].to_numpy()}


@pytest.mark.parametrize(("curves", "said"), [(RISING, "supported"), (FALLING, "refuted"), ({}, "inconclusive")])
def test_claims_follow_what_was_planted(study, curves, said):
    _, rows = study(curves).analyse()
    assert set(rows["subject"]) == {"it, top unit", "it, inactive unit"} and len(rows) == 10
    assert set(rows["verdict"]) == {said}, rows[["claim", "subject", "effect", "low", "high"]]
    assert (rows["n"] == N).all() and (rows["seeds"] == 3).all()


def test_effects_are_differences_of_unitmem(study):
    made = study(RISING)
    table, rows = made.analyse()
    effects = rows.set_index(["claim", "subject"])["effect"]
    for kind, arms in (("top", (0, 1)), ("inactive", (3, 4))):
        # Literally: UnitMem of the unit over the external images, at each look, averaged over seeds.
        looks = [
            [np.mean([unitmem(outcome(RISING, s)["activations"][:N, arm, look, None])[0] for s in range(3)])
             for look in range(4)] for arm in arms
        ]  # fmt: skip
        subject = f"it, {kind} unit"
        assert effects["injection.rises", subject] == pytest.approx(looks[0][3] - looks[0][0])
        assert effects["injection.repeated", subject] == pytest.approx(looks[0][3] - looks[1][3])
        assert effects["injection.follows-steps", subject] == 1.0
        shown = table[(table["unit"] == kind) & (table["arm"] == "repeated")].set_index("series")
        np.testing.assert_allclose(shown.loc["with the image", "value"], looks[0])
        np.testing.assert_allclose(looks[0], RISING[kind, "repeated"], atol=0.02)
        assert (shown.loc["with the image", "owner"] == 1).all()
        assert (shown.loc["change of all else", "value"] == 0).all()
        assert shown.loc["with the image", "layer"].tolist() == STEPS


def test_a_rise_among_images_without_the_image_is_no_excess(study):
    said = by_unit(study(RISING, everywhere=True).analyse()[1])
    for kind in ("top", "inactive"):
        assert said["injection.rises", f"it, {kind} unit"] == "supported"
        assert said["injection.excess", f"it, {kind} unit"] == "inconclusive"


def test_a_rise_that_another_image_brings_about_is_not_the_image_s_own(study):
    said = by_unit(study(RISING | {("top", "another"): RISING["top", "repeated"]}).analyse()[1])
    assert said["injection.rises", "it, top unit"] == "supported"
    assert said["injection.own-image", "it, top unit"] == "inconclusive"


def test_an_image_that_loses_its_unit_owns_it_no_more(study, tmp_path):
    lost = outcome({("top", "repeated"): [0.5, 0.4, 0.2, -0.5]}, 0)
    table, _ = Outcomes(tmp_path, "injection").add("it", 0, lost).analyse()
    mine = table[(table["unit"] == "top") & (table["arm"] == "repeated")].set_index("series")
    assert mine.loc["with the image", "owner"].tolist() == [1, 1, 1, 0]
    # UnitMem never falls below 0; the image's own contrast does.
    assert mine.loc["with the image", "value"].iloc[-1] > 0
    assert mine.loc["the image's own", "value"].iloc[-1] == pytest.approx(-0.5, abs=0.02)


@pytest.mark.parametrize("name", ["others", "parameters"])
def test_outcomes_in_which_something_else_changed_are_refused(tmp_path, name):
    arrays = outcome(RISING, 0)
    arrays[name][2, 1] = 1e-9
    with pytest.raises(InputError, match="training one unit changed others"):
        Outcomes(tmp_path, "injection").add("it", 0, arrays).analyse()


def test_a_dead_unit_stays_at_nothing(tmp_path):
    arrays = outcome({}, 0)
    arrays["activations"][:, 3:] = 0
    rows = Outcomes(tmp_path, "injection").add("it", 0, arrays).analyse()[1]
    mine = rows[rows["subject"] == "it, inactive unit"]
    assert (mine[["effect", "low", "high"]] == 0).all(axis=None) and set(mine["verdict"]) == {"inconclusive"}


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_figure_is_drawn_and_an_analysis_is_the_same_every_time(study, seeds):
    made = study(RISING, seeds=seeds)
    table, rows = made.analyse()
    figure = made.drawn(table)
    assert len(figure.axes) == 9
    plt.close(figure)
    again, same = made.analyse()
    assert again.equals(table) and same.equals(rows)


def test_the_paper_s_effects_are_those_of_its_tables():
    paper, steps = module("injection").PAPER, [0, 10, 50, 200, 500, 1000]
    from scipy.stats import spearmanr

    column = [0.754, 0.761, 0.792, 0.814, 0.824, 0.826]
    assert paper["rises"] == {"top": pytest.approx(column[-1] - column[0])}
    assert paper["follows-steps"] == {"top": pytest.approx(spearmanr(steps, column).statistic, abs=1e-3)}


def test_a_layer_without_units_is_refused_before_any_job():
    from tests.builders.study import configured

    experiment = {"kind": "injection", "encoders": ["simclr"], "steps": [1], "batch_size": 2, "learning_rate": 0.1}
    check(configured(experiment | {"layer": "8"}, {}))
    for layer in ("output", "layer4.1.conv2"):
        message = rf"it\.layer: '{layer}' has no units; take one of 1, 2, 3"
        with pytest.raises(InputError, match=message):
            check(configured(experiment | {"layer": layer}, {}))
