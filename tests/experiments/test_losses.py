"""The loss of training on images in and out: that it is the training's own, and planted gaps."""

import copy

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from memloc import config
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.losses import job
from memloc.models import architectures, frameworks
from memloc.models.frameworks.recipe import Recipe
from memloc.provenance import ROOT
from tests.builders.desk import desk
from tests.builders.study import Study, single
from tests.builders.study import of as series_of

OPTIONS = {}
DRAWS = 4


@pytest.fixture
def learner(settings):
    def make(framework="simclr", seed=0):
        torch.manual_seed(seed)
        entry = settings(framework)
        encoder = architectures.build(entry["architecture"], entry["network"], image_size=16)
        recipe = Recipe.of(entry["recipe"])
        return frameworks.build(framework, encoder, classes=3, recipe=recipe, image_size=16).eval()

    return make


@pytest.mark.parametrize("framework", [name for name, entry in frameworks.FRAMEWORKS.items() if not entry.teacher])
def test_losses_are_the_same_again_and_other_images_have_others(learner, toy, normalise, framework):
    part, how = Part(*toy(24)), {"batch": 4, "draws": 2, "normalise": normalise, "seed": 5}
    found = [
        job.losses(learner(framework), part, points, **how) for points in (np.arange(9), np.arange(9), np.arange(9, 18))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0].shape == (2,) and np.isfinite(found).all() and not np.isclose(found[0], found[2]).any()
    assert found[0][0] != found[0][1]


def test_the_loss_is_that_of_training_which_falls_on_what_is_trained(learner, toy, normalise):
    part, points = Part(*toy(16)), np.arange(8)
    trained = learner()
    how = {"batch": 8, "draws": 3, "normalise": normalise, "seed": 0}
    before = [job.losses(trained, part, rows, **how).mean() for rows in (points, points + 8)]
    viewer = job.Viewer(
        job.Pixels(part.images, part.labels, points, device=torch.device("cpu")), trained.groups, normalise
    )
    optimizer, draws = torch.optim.Adam(trained.parameters(), 3e-3), torch.Generator().manual_seed(1)
    for _ in range(60):
        optimizer.zero_grad()
        trained.train()(*viewer(torch.arange(8), draws), 0.0).backward()
        optimizer.step()
    after = [job.losses(trained, part, rows, **how).mean() for rows in (points, points + 8)]
    assert after[0] < before[0] - 0.1 and after[0] < after[1]


def test_f_and_g_are_asked_the_same_about_every_group(learner, toy, normalise):
    split = {"candidate": np.arange(8), "independent": np.arange(8, 16), "external": np.arange(16, 24)}
    given = {
        "part": Part(*toy(24)),
        "split": split,
        "normalise": normalise,
        "options": {"draws": 2},
        "settings": {"encoder": {"recipe": {"batch_size": 4}}},
    }
    f, g = (job.run(desk(**given, learner=learner(), role=role)) for role in "fg")
    assert f["groups"].tolist() == [*split] and f["losses"].shape == (3, 2)
    np.testing.assert_array_equal(f["losses"], g["losses"])
    assert not np.isclose(job.run(desk(**given, learner=learner(), seed=1))["losses"], f["losses"]).all()


def world(folder, seeds=5, gap=0.3):
    """Encoders that differ by an offset each, groups by another, and a gap between images in and out."""
    study, rng = Study(folder, "losses"), np.random.default_rng(2)
    groups = ["candidate", "independent", "external"]
    for seed in range(seeds):
        of_group = rng.normal(size=(3, 1))
        made = {}
        for role, own in (("f", 0), ("g", 1)):
            losses = 5 + rng.normal() + of_group + 0.02 * rng.normal(size=(3, DRAWS))
            losses[own] -= gap
            made[role] = {"groups": np.array(groups), "losses": losses}
        study.add("simclr", seed, **made)
    return study


def test_a_planted_gap_comes_out_without_the_offsets_of_encoders_and_groups(tmp_path):
    table, rows = world(tmp_path).analyse()
    found = single(rows).loc["gap"]
    assert found["effect"] == pytest.approx(0.3, abs=0.02) and found["verdict"] == "supported"
    assert found["low"] < 0.3 < found["high"] and found["seeds"] == 5
    losses = series_of(table, "loss", "simclr")
    assert losses["out"] - losses["in"] == pytest.approx(found["effect"])
    assert single(world(tmp_path / "none", gap=0.0).analyse()[1]).loc["gap", "verdict"] == "inconclusive"


def test_the_figure_has_a_line_for_every_pair(tmp_path):
    study = world(tmp_path)
    figure = study.drawn(study.analyse()[0])
    # Every pair, and three means.
    assert len(figure.axes[0].lines) == 5 + 3
    plt.close(figure)


def test_what_has_no_loss_of_one_encoder_or_too_few_external_images_is_refused():
    whole = config.check_files([ROOT / "config.yaml"])[0]
    whole["experiments"] = {"losses": whole["experiments"]["losses"] | {"encoders": ["dosed"]}}
    config.check(copy.deepcopy(whole))

    def told(change):
        changed = copy.deepcopy(whole)
        change(changed)
        with pytest.raises(InputError) as caught:
            config.check(changed)
        return str(caught.value)

    teacher = told(lambda it: it["encoders"]["dosed"].update(framework="byol"))
    assert "byol keeps one of the two encoders that its loss needs; take encoders of simclr, simsiam" in teacher
    few = told(lambda it: it["datasets"]["dosed"]["split"].update(external=10))
    assert "10 external images don't fill a batch of dosed" in few and "raise datasets.dosed.split.external" in few
