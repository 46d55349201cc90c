import json
from dataclasses import FrozenInstanceError

import pytest

from memloc.config import TRAINING
from memloc.models.frameworks import FRAMEWORKS
from memloc.models.frameworks.recipe import Recipe
from memloc.training.settings import Training

PRIVATE = {"epsilon": 4.0, "delta": 1e-3, "clip": 0.5}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_settings_go_back_to_the_mapping_that_they_were_made_of(settings, framework):
    entry = settings(framework, privacy=PRIVATE) | {"snapshots": [1, 3]}
    made = {key: entry[key] for key in (*TRAINING, "initialisation", "snapshots")}
    training = Training.of(entry)  # Other keys, such as seeds and measure, are ignored.
    assert training.plain() == made and json.loads(json.dumps(training.plain())) == made
    assert training.recipe.options.keys() == FRAMEWORKS[framework].options.keys()
    assert Recipe.of(training.recipe.plain()) == training.recipe


def test_settings_cant_be_changed(settings):
    training = Training.of(settings())
    for record, key in ((training, "framework"), (training.recipe, "epochs"), (training.hardware, "devices")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, key, 1)


def test_options_of_a_framework_keep_their_types(settings):
    recipe = Recipe.of(settings("byol", ema=1)["recipe"])
    assert (recipe.count("hidden"), recipe.number("ema")) == (8, 1)
    with pytest.raises(AssertionError):
        Recipe.of(settings("byol", ema=0.5)["recipe"]).count("ema")
