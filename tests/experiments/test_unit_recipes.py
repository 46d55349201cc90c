"""UnitMem of encoders trained otherwise: planted means come out, in order or not."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.experiments.unit_recipes.analysis import CLAIMS
from tests.builders.planted import RESAMPLES, UNITS, unit_files
from tests.builders.study import Study, by_claim, complaint, of


@pytest.fixture
def study(tmp_path):
    """Encoders of planted UnitMem on candidates and on unseen images, of the last layer (half of it before that)."""

    def make(planted, seeds=3):
        made = Study(tmp_path, "unit_recipes")
        for number, (name, (seen, unseen)) in enumerate(planted.items()):
            for seed in range(seeds):
                means = {group: [value / 2] * 3 + [value] for group, value in
                         (("candidate", seen), ("independent", unseen), ("external", unseen))}  # fmt: skip
                rest = {group: [0.2] * 4 for group in means}
                start = dict.fromkeys(means, [0.4] * 4)
                files = []
                for unitmem, draw in ((means, 10 * number + seed), (start, 500 + 10 * number + seed)):
                    files += unit_files({"unitmem": unitmem, "classmem": rest, "classmem_shuffled": rest}, seed=draw)
                names = ("units", "replicates", "untrained_units", "untrained_replicates")
                made.add(name, seed, **dict(zip(names, files, strict=True)))
        return made

    return make


FALLING = {"plain": (0.7, 0.6), "some": (0.6, 0.55), "much": (0.5, 0.5)}
"""By .1 from step to step; by .05 on unseen images, so the excess falls by .05 too."""


def test_planted_steps_come_out(study):
    table, rows = study(FALLING).analyse(order="falling", replicates=RESAMPLES)
    assert set(rows["claim"]) == set(CLAIMS)
    effects = rows.set_index("claim")["effect"]
    assert effects["unit_recipes.falls"] == pytest.approx(0.1)
    assert effects[["unit_recipes.excess", "unit_recipes.unseen"]].tolist() == pytest.approx([0.05, 0.05])
    # Three layers of half a step, and one of a whole.
    assert effects["unit_recipes.all-layers"] == pytest.approx((3 * 0.05 + 0.1) / 4)
    # The last encoder's highest unit: .1 above its mean.
    assert effects["unit_recipes.still"] == pytest.approx(0.5 + 0.1 - 0.5)
    # Above the untrained .4: plain .3, some .2, much .1; told by whichever is least sure. Unseen images excite much's
    # units as candidates do.
    assert 0.1 - 1e-6 <= effects["unit_recipes.trained"] <= 0.3 + 1e-6
    assert abs(effects["unit_recipes.still-excess"]) < 1e-6
    assert by_claim(rows, "unit_recipes.falls").index[0].startswith("plain to much, ")
    np.testing.assert_allclose(of(table, "excess", "plain"), [0.05, 0.05, 0.05, 0.1])
    np.testing.assert_allclose(of(table, "unseen images", "some")["4"], 0.55)
    assert (table["series"] == "unit").sum() == 3 * 3 * UNITS
    told = rows.set_index("claim")["verdict"]
    # Every unit of all encoders is above .3: no share of them falls there.
    assert told.pop("unit_recipes.shares") == told.pop("unit_recipes.still-excess") == "inconclusive"
    assert set(told) == {"supported"}


def test_shares_fall_where_units_cross_every_threshold(study):
    wide = {"plain": (0.78, 0.5), "some": (0.5, 0.5), "much": (0.25, 0.5)}
    _, rows = study(wide).analyse(order="falling", replicates=RESAMPLES)
    # Between plain and some no unit goes below .3: the least of six differences is none.
    assert by_claim(rows, "unit_recipes.shares")["effect"].iloc[0] == 0


WORLDS = {
    "rising": ({"a": (0.5, 0.5), "b": (0.6, 0.5)}, "falling", "refuted"),
    "alike": ({"a": (0.5, 0.5), "b": (0.5, 0.5)}, "falling", "inconclusive"),
    "one step the other way": ({"a": (0.7, 0.5), "b": (0.5, 0.5), "c": (0.6, 0.5)}, "falling", "refuted"),
    # Two that the last is below, in whatever order these two are.
    "the last lowest": ({"a": (0.6, 0.5), "b": (0.7, 0.5), "c": (0.5, 0.5)}, "last-lowest", "supported"),
    "the last in between": ({"a": (0.6, 0.5), "b": (0.4, 0.5), "c": (0.5, 0.5)}, "last-lowest", "refuted"),
}


@pytest.mark.parametrize("name", list(WORLDS))
def test_verdicts_follow_what_is_planted(study, name):
    planted, order, verdict = WORLDS[name]
    _, rows = study(planted).analyse(order=order, replicates=RESAMPLES)
    assert by_claim(rows, "unit_recipes.falls")["verdict"].tolist() == [verdict]
    assert by_claim(rows, "unit_recipes.excess")["verdict"].tolist() == [verdict]
    assert by_claim(rows, "unit_recipes.unseen")["verdict"].tolist() == ["inconclusive"]


def test_a_last_encoder_whose_units_are_low_memorizes_highly_no_more(study):
    _, rows = study({"a": (0.5, 0.5), "b": (0.3, 0.3)}).analyse(order="falling", replicates=RESAMPLES)
    row = by_claim(rows, "unit_recipes.still")
    assert row.index.tolist() == ["b"] and row["verdict"].tolist() == ["refuted"]


def test_the_figure_has_every_encoder(study):
    made = study(FALLING, seeds=1)
    figure = made.drawn(made.analyse(order="falling", replicates=RESAMPLES)[0])
    profiles, _, units, last = figure.axes
    assert [line.get_label() for line in profiles.lines] == [*FALLING, *(f"_{name}" for name in FALLING)]
    assert [tick.get_text() for tick in last.get_xticklabels()] == list(FALLING)
    # Of plain's units, at .6 to .8, half are above .7.
    x, y = next(iter(units.lines)).get_data()
    assert y[np.searchsorted(x, 0.7)] == pytest.approx(0.5, abs=0.03)
    plt.close(figure)


def test_encoders_that_differ_in_how_they_are_measured_are_told():
    it = {"kind": "unit_recipes", "encoders": ["simclr", "mine"], "order": "falling"}
    recipe = {"recipe": {"epochs": 5, "warmup_epochs": 1, "batch_size": 100, "optimizer": "adam", "learning_rate": 1e-3,
                         "weight_decay": 0.0, "augmentation": "mild"}}  # fmt: skip
    assert complaint(it, {"mine": recipe}) is None
    assert "measure is" in complaint(it, {"mine": recipe | {"measure": {"augmentation": "weak"}}})
    assert "simclr and mine are one and the same; keep one" in complaint(it, {"mine": {"weights": "simclr"}})


def test_encoders_that_hardly_trained_are_told(study):
    _, rows = study({"a": (0.6, 0.5), "b": (0.35, 0.35)}).analyse(order="falling", replicates=RESAMPLES)
    row = by_claim(rows, "unit_recipes.trained")
    assert row["verdict"].tolist() == ["refuted"] and row.index[0].endswith(", b")


def test_an_excess_that_dealt_groups_have_too_is_inconclusive(study, monkeypatch):
    wide = np.random.default_rng(0).normal(scale=0.5, size=(500, 4))
    dealt = iter([wide, -wide, wide])
    monkeypatch.setattr("memloc.experiments.unit_recipes.analysis.dealt_excess", lambda inputs, encoder: next(dealt))
    _, rows = study(FALLING).analyse(order="falling", replicates=RESAMPLES)
    told = rows.set_index("claim").loc["unit_recipes.excess"]
    assert told["low"] > 0 and told["verdict"] == "inconclusive"
    # Differences of what was dealt to the two, twice as wide here.
    reached = (np.abs(2 * wide[:, -1]) >= 0.05).mean()
    assert told["p"] == pytest.approx(reached, abs=0.1)
