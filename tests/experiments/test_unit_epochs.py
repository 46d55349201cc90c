"""UnitMem in the course of training: planted curves must come out."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import yaml
from scipy.stats import spearmanr

from memloc import config
from memloc.analysis.tables import load_table, save_table
from memloc.experiments.unit_epochs import analysis as unit_epochs
from memloc.metrics.stats import Estimate
from memloc.provenance import ROOT
from tests.builders.study import Study, complaint

EPOCHS = np.array([0, 1, 2, 5, 10, 20, 50, 100])
WARMUP, SIZE = 10, 40
LAYERS, GROUPS = ("1", "2", "3"), ("candidate", "independent", "external")
FAST = np.minimum(EPOCHS, 10) * 0.02 + np.maximum(EPOCHS - 10, 0) * 0.001


def planted(folder, candidate, independent, external, *, seeds=3, noise=0.004, chance=0.002, encoder="simclr"):
    """Curves [epochs] of the last layer; other layers have the opposite."""
    made = Study(folder, "unit_epochs")
    for seed in range(seeds):
        rng = np.random.default_rng([5, seed])
        last = np.stack([np.broadcast_to(c, len(EPOCHS)) for c in (candidate, independent, external)], axis=-1)
        values = np.stack([0.5 - last, 0.5 - last, 0.4 + last], axis=1)
        # What all epochs of a resample have in common, biased as a maximum's resamples are, and a little besides.
        common = 20 * noise * rng.normal(size=(1, 150, 3, 3)) - 0.05
        means = values[:, None] + common + noise * rng.normal(size=(len(EPOCHS), 150, 3, 3))
        arrays = {"epochs": EPOCHS, "layers": np.array(LAYERS), "groups": np.array(GROUPS), "values": values}
        arrays |= {"size": np.array(SIZE), "warmup": np.array(WARMUP), "means": means}
        arrays["dealt"] = chance * np.random.default_rng([6, seed]).normal(size=(len(EPOCHS), 300, 3))
        made.add(encoder, seed, traces=arrays | {"loss": np.linspace(4 + seed, 1 + seed, 100)})
    return made


OPTIONS = {}


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    return planted(folder, FAST + 0.1, 0.5 * FAST, 0.3 * FAST, seeds=seeds)


@pytest.fixture
def study(tmp_path):
    """The analysis of planted curves."""

    def make(*curves, **settings):
        table, rows = planted(tmp_path, *curves, **settings).analyse()
        return table, rows.set_index(rows["claim"].str.removeprefix("unit_epochs."))

    return make


def of(table, series, layer="3", column="value"):
    rows = table[(table["series"] == series) & (table["layer"] == layer)]
    return rows[column].to_numpy()


def test_planted_curves_excess_slopes_and_gains_come_out(study):
    table, rows = study(FAST + 0.1, 0.5 * FAST, 0.3 * FAST)
    np.testing.assert_array_equal(of(table, "candidate", column="epoch"), EPOCHS)
    np.testing.assert_allclose(of(table, "candidate"), 0.5 + FAST)
    np.testing.assert_allclose(of(table, "unseen images"), 0.4 + 0.4 * FAST)
    np.testing.assert_allclose(of(table, "excess"), 0.1 + 0.6 * FAST)
    np.testing.assert_allclose(of(table, "candidate", "1"), 0.4 - FAST)
    assert of(table, "candidate, slope until epoch 10")[0] == pytest.approx(0.02)
    assert of(table, "candidate, slope from epoch 10")[0] == pytest.approx(0.001)
    assert of(table, "unseen images, slope from epoch 10")[0] == pytest.approx(0.0004)
    assert of(table, "candidate, gain")[0] == pytest.approx(0.29)
    assert of(table, "unseen images, gain")[0] == pytest.approx(0.4 * 0.29)
    loss = table[table["series"] == "loss"]
    assert loss["value"].iloc[[0, -1]].tolist() == [5, 2] and loss["epoch"].tolist() == list(range(1, 101))
    assert (rows["verdict"] == "supported").all()
    effects = {"rises": 1, "warm-up": 0.019, "gain": 0.29, "gain-excess": 0.6 * 0.29, "excess-rises": 1}
    assert rows["effect"].to_dict() == pytest.approx(effects)
    assert (rows["n"] == SIZE).all() and (rows["seeds"] == 3).all() and (rows["subject"] == "simclr, layer 3").all()


SLOW = np.maximum(EPOCHS - 10, 0) * 0.003
CURVES = {
    # Late rise, which unseen images show alone.
    "late": ((0, SLOW, SLOW), {"rises": "inconclusive", "gain": "inconclusive", "gain-excess": "refuted",
                               "excess-rises": "refuted", "warm-up": "inconclusive"}),
    "late on candidates": ((SLOW, 0, 0), {"gain": "supported", "warm-up": "refuted", "gain-excess": "supported"}),
    "falls": ((-FAST, 0, 0), {"rises": "refuted", "gain": "refuted", "gain-excess": "refuted", "warm-up": "refuted",
                              "excess-rises": "refuted"}),
    # All images alike: training raises UnitMem, but not of what was trained on.
    "everywhere": ((FAST, FAST, FAST), {"rises": "supported", "gain": "supported", "warm-up": "supported",
                                        "gain-excess": "inconclusive", "excess-rises": "inconclusive"}),
    "nothing": ((0, 0, 0), dict.fromkeys(("rises", "gain", "warm-up", "gain-excess", "excess-rises"), "inconclusive")),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CURVES))
def test_verdicts_follow_the_planted_curves(study, name):
    curves, expected = CURVES[name]
    _, rows = study(*curves)
    assert {claim: rows["verdict"][claim] for claim in expected} == expected


def test_what_a_resample_has_in_common_in_all_epochs_takes_nothing_from_a_gain(study):
    # A gain of a fifth of the noise that epochs share: paired, it is sure; the height of a curve is not.
    table, rows = study(0.004 * np.arange(len(EPOCHS)), 0, 0, noise=0.004)
    assert rows["verdict"]["gain"] == "supported"
    assert rows["high"]["gain"] - rows["low"]["gain"] < 0.015
    width = of(table, "candidate", column="high") - of(table, "candidate", column="low")
    assert (width > 0.1).all()


def test_a_slope_is_the_least_squares_line_through_the_chosen_epochs():
    values = np.random.default_rng(0).random((4, len(EPOCHS)))
    profile = Estimate(values[0], values, values, 1, limit=1)
    chosen = EPOCHS >= 10
    got = unit_epochs.slope(profile, EPOCHS, chosen)
    np.testing.assert_allclose(got.nested, [np.polyfit(EPOCHS[chosen], v[chosen], 1)[0] for v in values])
    # Between two points a profile within -1 and 1 rises by 2 at most.
    assert unit_epochs.slope(profile, EPOCHS, EPOCHS <= 1).limit == pytest.approx(2)


def test_epochs_count_by_rank(study):
    curve = np.array([0, 0.3, 0.1, 0.2, 0.05, 0.25, 0.4, 0.35])
    _, rows = study(curve, 0, 0)
    assert rows["effect"]["rises"] == pytest.approx(spearmanr(EPOCHS, curve).statistic)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_figure_shows_the_last_layer_its_excess_and_what_layers_gain(study, tmp_path, seeds):
    table, rows = study(FAST, 0.5 * FAST, 0.5 * FAST, seeds=seeds)
    assert np.isfinite(rows[["effect", "low", "high"]].to_numpy()).all()
    save_table(table, tmp_path / "table.csv")
    read = load_table(tmp_path / "table.csv")
    figure = unit_epochs.draw(read, np.zeros((1, 1, 4, 4), np.uint8))
    figure.canvas.draw()
    means, excess, gains = figure.axes
    np.testing.assert_allclose(means.lines[0].get_ydata(), 0.4 + FAST)
    np.testing.assert_allclose(means.lines[0].get_xdata(), EPOCHS)
    np.testing.assert_allclose(excess.lines[0].get_ydata(), 0.5 * FAST, atol=1e-8)
    for axis in (means, excess):
        assert any(list(line.get_xdata()) == [WARMUP, WARMUP] for line in axis.lines)
    drawn = {container.get_label(): container.lines[0].get_ydata() for container in gains.containers}
    np.testing.assert_allclose(drawn["excess"][-1], 0.5 * (FAST[-1] - FAST[0]), atol=1e-8)
    np.testing.assert_allclose(drawn["candidate"][-1], FAST[-1] - FAST[0], atol=1e-8)
    plt.close(figure)


IT = {"kind": "unit_epochs", "encoders": ["mine"]}
RECIPE = yaml.safe_load((ROOT / "config.yaml").read_text())["encoders"]["simclr"]["recipe"]


def test_an_encoder_whose_warm_up_and_another_epoch_are_kept_may_be_traced():
    assert complaint(IT, {"mine": {"snapshots": [10, 1]}}) is None
    # Its weights may be another's, whose snapshots they are.
    both = {"owner": {"snapshots": [5, 10]}, "mine": {"weights": "owner", "measure": {"others": "median"}}}
    assert complaint(IT, both) is None


BAD = {
    "none": ({}, "encoders.mine.snapshots: [] keep fewer than two epochs before the last, 400; name more"),
    "one": ({"snapshots": [10, 400]}, "encoders.mine.snapshots: [10, 400] keep fewer than two epochs before the last"),
    "other": (
        {"snapshots": [5, 20]},
        "encoders.mine.snapshots: [5, 20] lack epoch 10, where warm-up ends; add it (ex",
    ),
    "no warm-up": ({"snapshots": [5, 10], "recipe": RECIPE | {"warmup_epochs": 0}}, "encoders.mine.recipe.warmup_epoc"),
    "all": ({"snapshots": [5, 10], "recipe": RECIPE | {"warmup_epochs": 400}}, "encoders.mine.recipe.warmup_epochs: 4"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_what_cannot_be_traced_is_told_in_one_line(name):
    changes, part = BAD[name]
    message = complaint(IT, {"mine": changes})
    assert message.startswith(f"config: {part}") and "\n" not in message


def test_the_owner_of_weights_is_named():
    message = complaint(IT, {"mine": {"weights": "simclr"}})
    assert message.startswith("config: encoders.simclr.snapshots: []")


def test_the_experiment_reads_its_own_traces():
    whole = yaml.safe_load((ROOT / "config.yaml").read_text())
    whole["encoders"]["simclr"]["snapshots"] = [1, 10]
    whole["experiments"] = {"it": {"kind": "unit_epochs", "encoders": ["simclr"]}}
    config.complete(whole)
    expected = [f"outcomes/it/simclr/f/seed{seed}.npz" for seed in whole["encoders"]["simclr"]["seeds"]]
    assert config.experiment_inputs(whole, "it") == {"traces": expected}


def test_an_excess_that_dealt_groups_gain_as_well_is_no_finding(study):
    _, rows = study(FAST + 0.1, 0.5 * FAST, 0.3 * FAST)
    assert rows.loc["gain-excess", "verdict"] == "supported" and rows.loc["gain-excess", "p"] < 0.05
    _, rows = study(FAST + 0.1, 0.5 * FAST, 0.3 * FAST, chance=2.0)
    assert rows.loc["gain-excess", "low"] > 0 and rows.loc["gain-excess", "p"] > 0.05
    assert rows.loc["gain-excess", "verdict"] == "inconclusive"
    assert rows["p"].notna().all()
