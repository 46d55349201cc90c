"""UnitMem of encoders trained otherwise: planted means come out, in order or not."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.builders.planted import UNITS, unit_files
from tests.builders.study import Study, complaint, of, single

OPTIONS = {"order": "falling"}
FALLING = {"plain": (0.7, 0.6), "some": (0.6, 0.55), "much": (0.5, 0.5)}
"""By .1 from step to step; by .05 on unseen images, so the excess falls by .05 too."""
TWO = {"a": (0.6, 0.5), "b": (0.5, 0.5)}


def world(folder, seeds=3, *, planted=TWO, chance=None):
    """Encoders of planted UnitMem on candidates and on unseen images, of the last layer (half of it before that).

    Args:
        chance: of the first, third, ... encoder's excess, and the opposite of the others'.
    """
    it = Study(folder, "unit_recipes")
    for number, (name, (seen, unseen)) in enumerate(planted.items()):
        for seed in range(seeds):
            last = {"candidate": seen, "independent": unseen, "external": unseen}
            trained = {group: [value / 2] * 3 + [value] for group, value in last.items()}
            files = {}
            for prefix, means, draw in (("", trained, 0), ("untrained_", dict.fromkeys(last, [0.4] * 4), 500)):
                classes = dict.fromkeys(("classmem", "classmem_shuffled"), dict.fromkeys(last, [0.2] * 4))
                units, resamples = unit_files({"unitmem": means, **classes}, seed=draw + 10 * number + seed)
                if chance is not None:
                    resamples["dealt"] = chance * (-1) ** number
                files |= {f"{prefix}units": units, f"{prefix}resamples": resamples}
            it.add(name, seed, **files)
    return it


def find(folder, planted, order="falling", **settings):
    """Rows of the claims about all encoders at once, by claim."""
    rows = world(folder, planted=planted, **settings).analyse(order=order)[1]
    return single(rows[rows["claim"] != "unit_recipes.step"])


def test_planted_steps_come_out(tmp_path):
    table, rows = world(tmp_path, planted=FALLING).analyse(**OPTIONS)
    steps = rows[rows["claim"] == "unit_recipes.step"].set_index("subject")["effect"].to_dict()
    assert steps == pytest.approx({"plain over some": 0.1, "some over much": 0.1})
    found = single(rows[rows["claim"] != "unit_recipes.step"])
    effects = {
        "falls": 0.1,
        "excess": 0.05,
        "unseen": 0.05,
        # Three layers of half a step, and one of a whole.
        "all-layers": (3 * 0.05 + 0.1) / 4,
        # The last encoder's highest unit: .1 above its mean.
        "still": 0.5 + 0.1 - 0.5,
        # Unseen images excite much's units as candidates do.
        "still-excess": 0,
    }
    assert found["effect"][[*effects]].tolist() == pytest.approx([*effects.values()], abs=1e-6)
    # Above the untrained .4: plain .3, some .2, much .1; whichever is least sure counts.
    assert 0.1 - 1e-6 <= found["effect"]["trained"] <= 0.3 + 1e-6
    assert found["subject"]["falls"].startswith("plain to much, ")
    np.testing.assert_allclose(of(table, "excess", "plain"), [0.05, 0.05, 0.05, 0.1])
    np.testing.assert_allclose(of(table, "unseen images", "some")["4"], 0.55)
    assert (table["series"] == "unit").sum() == 3 * 3 * UNITS
    said = found["verdict"]
    # Every unit of all encoders is above .3: no share of them falls there.
    assert said.pop("shares") == said.pop("still-excess") == "inconclusive" and set(said) == {"supported"}


def test_shares_fall_least_where_no_unit_crosses_a_threshold(tmp_path):
    # Between plain and some no unit goes below .3: the least of six differences is none.
    found = find(tmp_path, {"plain": (0.78, 0.5), "some": (0.5, 0.5), "much": (0.25, 0.5)})
    assert found["effect"]["shares"] == 0


def test_shares_that_no_unit_has_are_inconclusive(tmp_path):
    found = find(tmp_path, {"a": (0.15, 0.1), "b": (0.1, 0.1)})
    assert (found["effect"]["shares"], found["verdict"]["shares"]) == (0, "inconclusive")


WORLDS = {
    "rising": ({"a": (0.5, 0.5), "b": (0.6, 0.5)}, "falling", "refuted"),
    "alike": ({"a": (0.5, 0.5), "b": (0.5, 0.5)}, "falling", "inconclusive"),
    "one step the other way": ({"a": (0.7, 0.5), "b": (0.5, 0.5), "c": (0.6, 0.5)}, "falling", "refuted"),
    # Two that the last is below, in whatever order these two are.
    "the last lowest": ({"a": (0.6, 0.5), "b": (0.7, 0.5), "c": (0.5, 0.5)}, "last-lowest", "supported"),
    "the last in between": ({"a": (0.6, 0.5), "b": (0.4, 0.5), "c": (0.5, 0.5)}, "last-lowest", "refuted"),
}


@pytest.mark.parametrize("name", list(WORLDS))
def test_verdicts_follow_what_is_planted(tmp_path, name):
    planted, order, verdict = WORLDS[name]
    said = find(tmp_path, planted, order)["verdict"]
    assert said[["falls", "excess", "unseen"]].tolist() == [verdict, verdict, "inconclusive"]


def test_a_last_encoder_whose_units_are_low_memorizes_highly_no_more(tmp_path):
    still = find(tmp_path, {"a": (0.5, 0.5), "b": (0.3, 0.3)}).loc["still"]
    assert (still["subject"], still["verdict"]) == ("b", "refuted")


def test_an_encoder_that_hardly_trained_refutes_that_training_raised_unitmem(tmp_path):
    trained = find(tmp_path, {"a": (0.6, 0.5), "b": (0.35, 0.35)}).loc["trained"]
    assert trained["verdict"] == "refuted" and trained["subject"].endswith(", b")


def test_an_excess_that_random_groups_have_too_is_inconclusive(tmp_path):
    wide = np.random.default_rng(0).normal(scale=0.5, size=(500, 4))
    excess = find(tmp_path, FALLING, chance=wide).loc["excess"]
    assert excess["low"] > 0 and excess["verdict"] == "inconclusive"
    # The null of a difference is that of the two encoders' nulls, twice as wide here.
    assert excess["p"] == pytest.approx((np.abs(2 * wide[:, -1]) >= 0.05).mean(), abs=0.1)


def test_the_figure_has_every_encoder(tmp_path):
    it = world(tmp_path, seeds=1, planted=FALLING)
    figure = it.drawn(it.analyse(**OPTIONS)[0])
    *profiles, last, excess = figure.axes
    assert [axis.get_title("left") for axis in profiles] == list(FALLING)
    assert all(len(axis.containers) == 2 for axis in profiles)
    assert [tick.get_text() for tick in last.get_yticklabels()] == list(FALLING)
    assert len(last.containers) == 2 and len(excess.containers) == 1
    plt.close(figure)


def test_encoders_must_be_measured_alike_and_trained_apart():
    it = {"kind": "unit_recipes", "encoders": ["simclr", "mine"], "order": "falling"}
    recipe = {"recipe": {"epochs": 5, "warmup_epochs": 1, "batch_size": 100, "optimizer": "adam", "learning_rate": 1e-3,
                         "weight_decay": 0.0, "augmentation": "mild"}}  # fmt: skip
    assert complaint(it, {"mine": recipe}) is None
    assert "measure is" in complaint(it, {"mine": recipe | {"measure": {"augmentation": "weak"}}})
    assert "simclr and mine are the same training; keep one" in complaint(it, {"mine": {"weights": "simclr"}})
