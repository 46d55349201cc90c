"""Memories in known places: what is trained, zeroed and ranked, and what an analysis makes of planted outcomes."""

import copy

import numpy as np
import pytest
import torch

from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.groups import GROUPS
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.recovery import job as recovery
from memloc.experiments.recovery.analysis import CLAIMS
from memloc.experiments.recovery.job import METRICS, TRAINED, Reading
from memloc.measuring.protocol import Protocol
from memloc.models import architectures, frameworks
from memloc.models.frameworks.recipe import Recipe
from tests.builders.desk import desk
from tests.builders.study import Study, complaint, verdicts
from tests.builders.study import of as series_of

# --- What is trained --------------------------------------------------------------------------------------------------


def test_targets_and_controls_are_of_the_same_classes_and_no_image_is_both():
    labels = np.array([0] * 8 + [1] * 12 + [2] * 20)
    targets, controls = recovery.draw_images(labels, 20, seed=0)
    assert sorted([*targets, *controls]) == list(range(40))
    np.testing.assert_array_equal(np.bincount(labels[targets]), [4, 6, 10])
    again, other = (recovery.draw_images(labels, 20, seed=seed)[0] for seed in (0, 1))
    assert np.array_equal(again, targets) and not np.array_equal(other, targets)


def test_filters_are_a_share_of_the_layer_and_neither_none_nor_all():
    (layer,) = architectures.choose_layers("resnet9", {"residual": True}, ["8"])
    assert len(set(recovery.draw_filters(layer, 40, 0.05, seed=0))) == 2
    for fraction, count in ((0.01, 0), (0.99, 40)):
        with pytest.raises(InputError, match=rf"fraction: {fraction} of the 40 filters of layer 8 is {count}; change"):
            recovery.draw_filters(layer, 40, fraction, seed=0)


def test_units_are_ranked_by_hand():
    targets = np.array([True, True, False, False])
    # UnitMem of two images is (high - low) / (high + low).
    before = Reading(np.zeros((4, 1)), {"8": np.array([[1.0, 2.0], [1.0, 1.0], [3.0, 1.0], [1.0, 1.0]])})
    after = Reading(np.zeros((4, 1)), {"8": np.array([[3.0, 2.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])})
    found = recovery.ranked(before, after, "8", targets)
    # Unit 0: .5 on targets and 0 on controls, before 0 and .5. Unit 1: 1/3 and 0, both times.
    assert found["crossed excess"] == pytest.approx([0.5, 0.0]) and found["excess"] == pytest.approx([0.5, 1 / 3])
    assert found["UnitMem"] == pytest.approx([0.5, 1 / 3]) and found["activation"] == pytest.approx([2, 1.5])


@pytest.fixture
def study(settings, network, toy, normalise):
    """A factory of desks with SimCLR's ResNet9 and 12 external images."""

    def make(**changes):
        recipe = Recipe.of(settings("simclr")["recipe"])
        learner = frameworks.build("simclr", network(seed=3), classes=3, recipe=recipe, image_size=16).eval()
        options = {"layers": ["4", "8"], "targets": 5, "fraction": 0.2, "steps": 3, "learning_rate": 1e-2, "trials": 2}
        return desk(
            learner=learner,
            encoder=learner.encoder,
            part=Part(*toy(24)),
            split={group: np.arange(12 * (group == "external")) + 12 for group in GROUPS},
            layers=architectures.choose_layers("resnet9", {"residual": True}, ["*"]),
            protocol=Protocol(draws=4),
            augmentation=AUGMENTATIONS["mild"],
            normalise=normalise,
            options=options | changes,
        )

    return make


def test_only_the_filters_change_and_what_lies_below_the_layer_stays_as_it_was(study):
    it = study()
    before = copy.deepcopy(it.learner.state_dict())
    out = recovery.run(it)
    assert all(torch.equal(tensor, before[name]) for name, tensor in it.learner.state_dict().items())
    places, units = out["places"].tolist(), out["unit_layers"]
    assert out["gap"].shape == (2, 2, 10, len(places)) and out["arms"].tolist()[-3:] == [
        TRAINED,
        "random 0",
        "random 1",
    ]
    for row, layer in enumerate(out["layers"]):
        here, below = units == layer, np.isin(units, [str(i) for i in range(1, int(layer))])
        marks = out["trained"][row]
        assert marks.sum() == round(0.2 * here.sum()) and marks[here].sum() == marks.sum()
        crossed = out["scores"][row][METRICS.index("crossed excess")]
        assert not crossed[below | (here & ~marks)].any() and crossed[marks].any()
        at = places.index(layer)
        assert not out["gap"][:, row, :, :at].any() and (out["gap"][:, row, :, at] != 0).any(axis=1).all()
        # Without the filters that were trained both encoders are the same; without others they aren't.
        without = dict(zip(out["arms"], out["without"][row], strict=True))
        assert not without[TRAINED].any()
        assert any(without[arm].any() for arm in without if arm != TRAINED)


def test_a_rate_that_makes_training_diverge_is_told(study):
    with pytest.raises(InputError, match=r"learning_rate: 1e\+30 makes training layer of layer 4 diverge; lower it"):
        recovery.run(study(learning_rate=1e30))


def test_layers_without_units_and_too_many_targets_are_refused_before_any_job():
    experiment = {"kind": "recovery", "encoders": ["simclr"], "layers": ["8"], "targets": 100, "fraction": 0.1}
    experiment |= {"steps": 1, "learning_rate": 0.1, "trials": 1}
    assert complaint(experiment, {}) is None
    assert "it.layers: 'output' is none of 1, 2, 3" in complaint(experiment | {"layers": ["output"]}, {})
    assert "it.targets: 101 targets and as many controls don't fit into 200" in complaint(
        experiment | {"targets": 101}, {}
    )


# --- The experiment ---------------------------------------------------------------------------------------------------

OPTIONS = {}
PLACES, LAYERS, UNITS, POINTS = ("1", "2", "res2", "3", "4", "output"), ("2", "4"), 20, 12
ARMS = (*METRICS, TRAINED, "random 0", "random 1")


def outcome(seed, *, named=True, placed=True, remembered=0.1):
    """Memories in layers 2 and 4, which crossed excess names, or nothing does.

    Args:
        placed: a memory's largest step is in its own layer, else in the last; its highest value is in the last.
    """
    rng = np.random.default_rng([31, seed])
    targets = np.arange(POINTS) < POINTS // 2
    unit_layers = np.repeat(["1", "2", "3", "4"], UNITS)
    trained = np.array([(unit_layers == layer) & (np.arange(4 * UNITS) % UNITS < 4) for layer in LAYERS])
    scores = rng.normal(size=(len(LAYERS), len(METRICS), 4 * UNITS))
    scores[:, 0] += 5 * (trained if named else 0)
    steps = {"2": [0, 0.6, 0, 0.2, 0.2, 0], "4": [0, 0, 0, 0, 1, 0]}
    profiles = np.cumsum([steps[layer] if placed else [0, 0.1, 0, 0.1, 0.8, 0] for layer in LAYERS], axis=1)
    noise = 0.01 * rng.normal(size=(2, len(LAYERS), POINTS, len(PLACES)))
    left = {arm: 0.0 if arm in (TRAINED, *(["crossed excess"] if named else [])) else 0.9 for arm in ARMS}
    without = remembered * np.array([[*left.values()]] * len(LAYERS))[..., None] * targets
    return {
        "places": np.array(PLACES),
        "own": np.array([place.isdigit() for place in PLACES]),
        "layers": np.array(LAYERS),
        "metrics": np.array(METRICS),
        "arms": np.array(ARMS),
        "targets": targets,
        "gap": remembered * profiles[None, :, None] * targets[:, None] + noise,
        "without": without + 0.01 * rng.normal(size=without.shape),
        "unit_layers": unit_layers,
        "trained": trained,
        "scores": scores,
    }


def world(folder, seeds=3, **planted):
    made = Study(folder, "recovery")
    for seed in range(seeds):
        made.add("simclr", seed, outcomes=outcome(seed, **planted))
    return made


def said(rows):
    """Verdicts by claim, those of whole layers where a claim has two."""
    return verdicts(rows[~rows["subject"].str.endswith(", filters")])


def test_planted_memories_are_found_in_filters_and_layers(tmp_path):
    table, rows = world(tmp_path, seeds=5).analyse()
    # Pairs that name the same layers tell nothing of others.
    alike = rows["low"] == rows["high"]
    assert set(rows.loc[alike, "claim"]) <= {"recovery.layer", "recovery.layer-over-value", "recovery.units"}
    assert set(said(rows[~alike]).values()) == {"supported"} and set(said(rows)) == set(CLAIMS)
    effect = rows.set_index("claim")["effect"]
    assert effect["recovery.units"] == pytest.approx(0.5, abs=0.01)
    # Four layers proper: chance is a quarter. The highest value is in the last layer, whichever was trained.
    assert effect["recovery.layer"] == 0.75 and effect["recovery.layer-over-value"] == 0.5
    # All but nothing of .1 is lost, and .01 with random filters.
    assert effect["recovery.deleted"] == pytest.approx(0.09, abs=0.01)
    inside = table[table["series"] == "AUROC in the layer"]
    assert inside[inside["by"] == "UnitMem"]["value"].to_numpy() == pytest.approx(0.5, abs=0.2)
    filters = table[(table["way"] == "filters") & (table["trained"] == "in 2")]
    increments = series_of(filters, "increment", "simclr")
    assert increments.to_numpy() == pytest.approx([0, 0.06, 0.02, 0.02], abs=0.012)


def test_nothing_is_found_where_nothing_is_named_or_placed(tmp_path):
    rows = world(tmp_path, seeds=5, named=False, placed=False).analyse()[1]
    found = said(rows)
    assert found["gain"] == "supported" and found["units"] == found["deleted"] == "inconclusive"
    # The last layer is one of the two that were trained: half are right by that alone, by increment and by value.
    effect = rows.set_index("claim")["effect"]
    assert effect["recovery.layer"] == 0.25 and effect["recovery.layer-over-value"] == 0


def test_seeds_of_other_settings_are_refused(tmp_path):
    made = world(tmp_path, seeds=2)
    made.add("simclr", 2, outcomes=outcome(2) | {"layers": np.array(["3", "4"])})
    with pytest.raises(InputError, match="differs from the other seeds in layers"):
        made.analyse()
