"""Fine-tuning every subset of layers: what tells good ones from others must be what was planted."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr

from memloc.analysis.inputs import Inputs
from memloc.analysis.tables import load_table, save_table
from memloc.experiments import EXPERIMENTS, module
from tests.builders.study import analysed, save

PROFILE = np.array([0.10, 0.13, 0.21, 0.18, 0.33, 0.38])
LAYERS = [str(i) for i in range(1, 7)]
RISE = dict(zip(LAYERS, np.append(0, np.diff(PROFILE)), strict=True))
PARAMETERS = dict(zip(LAYERS, [10, 41, 67, 29, 23, 53], strict=True))
COUNTS = (1, 2)
SUBSETS = [s for count in COUNTS for s in itertools.combinations(LAYERS, count)]
TESTED = 400


def points_of(profile):
    groups = (("candidate", 1), ("independent", -1), ("external", 0))
    return pd.DataFrame(
        {"point": 10 * g + point, "group": group, "layer": layer, "own": True, "parameters": PARAMETERS[layer],
         "sslmem": 0.2 + sign * value}
        for g, (group, sign) in enumerate(groups)
        for point in range(3)
        for layer, value in zip(LAYERS, profile, strict=True)
    )  # fmt: skip


def outcomes_of(rate, seed):
    rng = np.random.default_rng([5, seed])
    hard = np.random.default_rng(6).permutation((np.arange(TESTED) + 0.5) / TESTED)
    arms = [("head", 0, "", 0.5)]
    for count in COUNTS:
        arms += [(by, count, " ".join(LAYERS[-count:]), 0.7) for by in ("increment", "last")]
        arms += [("subset", count, " ".join(s), rate(s)) for s in SUBSETS if len(s) == count]
    by, counts, layers, rates = (np.array(column) for column in zip(*arms, strict=True))
    correct = np.stack([hard + 0.01 * rng.normal(size=TESTED) < float(r) for r in rates])
    return {"by": by, "count": counts, "layers": layers, "correct": correct}


def inputs_of(folder, rate, *, seeds=3):
    runs, files = [("simclr", seed) for seed in range(seeds)], {"outcomes": [], "points": []}
    for seed in range(seeds):
        for name, paths in files.items():
            pattern = EXPERIMENTS["finetuning"].inputs[name]
            paths.append(str(folder / pattern.format(experiment="finetuning", encoder="simclr", seed=seed, role="f")))
        save(outcomes_of(rate, seed), files["outcomes"][-1])
        save(points_of(PROFILE), files["points"][-1])
    return Inputs(runs, files)


def analyse(inputs):
    table, rows = analysed("finetuning", inputs, resamples=60)
    return table, rows[rows["claim"] == "finetuning.subsets"]


def test_what_permuted_layers_do_as_well_gives_no_verdict(tmp_path):
    table, rows = analyse(inputs_of(tmp_path, lambda s: 0.5 + sum(RISE[layer] for layer in s)))
    given = table[(table["given"] == "parameters") & (table["estimator"] == "crossed")]
    assert rows["p"].to_numpy() == pytest.approx(given["p"].to_numpy()) and (rows["p"] <= 0.05).all()
    single = table[(table["given"] == "nothing") & (table["estimator"] == "crossed") & (table["count"] == 1)]
    # Of the 120 orders of five layers one has a rho of 1 and four have .9: these are the last 2.5 %.
    np.testing.assert_allclose(single[["null_low", "null_high"]], [[-0.9, 0.9]])
    # One layer decides: an interval that takes layers as given is sure of it, but any might have been that one.
    _, rows = analyse(inputs_of(tmp_path, lambda s: 0.5 + 0.3 * (max(RISE, key=RISE.get) in s)))
    open_ = rows["p"] > 0.05
    assert open_.any() and (rows.loc[open_, "verdict"] == "inconclusive").all()
    assert (rows.loc[open_, "low"] > 0).all()


@pytest.mark.parametrize(("sign", "said"), [(1, "supported"), (-1, "refuted")])
def test_a_planted_gain_by_increment_comes_out_given_parameters(tmp_path, sign, said):
    _, rows = analyse(inputs_of(tmp_path, lambda s: 0.5 + sign * sum(RISE[layer] for layer in s)))
    assert rows["subject"].tolist() == ["simclr, k = 1, 5 subsets", "simclr, k = 2, 10 subsets"]
    assert (rows["verdict"] == said).all() and (sign * rows["effect"] > 0.9).all()
    assert (rows["n"] == TESTED).all() and (rows["seeds"] == 3).all()


def test_correlations_and_sums_are_those_of_the_accuracies_of_each_seed(tmp_path):
    inputs = inputs_of(tmp_path, lambda s: 0.5 + 0.4 * np.sin(sum(map(int, s))), seeds=2)
    table, rows = analyse(inputs)
    chosen = [" ".join(s) for s in SUBSETS if len(s) == 2 and "1" not in s]
    rise, size = ([sum(by[n] for n in s.split()) for s in chosen] for by in (RISE, PARAMETERS))
    alone, given = [], []
    for outcome in inputs.arrays("outcomes", "simclr"):
        mine = outcome["by"] == "subset"
        right = dict(zip(outcome["layers"][mine], outcome["correct"][mine].mean(axis=1), strict=True))
        accuracy = [right[s] for s in chosen]
        xy, xz, yz = (spearmanr(*pair)[0] for pair in ((rise, accuracy), (rise, size), (accuracy, size)))
        alone.append(xy)
        given.append((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))
    pairs = table[(table["series"] == "correlation") & (table["count"] == 2)]
    for estimator in ("published", "external-corrected", "crossed"):
        values = pairs[pairs["estimator"] == estimator].set_index("given")["value"]
        assert values["nothing"] == pytest.approx(np.mean(alone))
        assert values["parameters"] == pytest.approx(np.mean(given))
    assert rows["effect"].iloc[1] == pytest.approx(np.mean(given))
    depths = [np.mean([int(n) for n in s.split()]) for s in chosen]
    deep = []
    for outcome in inputs.arrays("outcomes", "simclr"):
        mine = outcome["by"] == "subset"
        right = dict(zip(outcome["layers"][mine], outcome["correct"][mine].mean(axis=1), strict=True))
        design = np.column_stack([np.ones(len(chosen)), rankdata(size), rankdata(depths)])
        ends = [rankdata(v) for v in (rise, [right[s] for s in chosen])]
        left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in ends]
        deep.append(np.corrcoef(*left)[0, 1])
    values = pairs[pairs["estimator"] == "crossed"].set_index("given")["value"]
    assert values["parameters and depth"] == pytest.approx(np.mean(deep))
    subsets = table[table["series"] == "subset"].set_index("layers")["increment"]
    assert subsets["layers 3 5 | 3 5"] == pytest.approx(RISE["3"] + RISE["5"])
    assert np.isnan(subsets["layers 1 5 | 1 5"]) and np.isnan(table.loc[table["series"] == "head", "increment"]).all()


def test_what_parameters_explain_leaves_increments_nothing(tmp_path):
    _, rows = analyse(inputs_of(tmp_path, lambda s: 0.3 + sum(PARAMETERS[layer] for layer in s) / 300))
    # With accuracy in the order of parameters nothing of it is left.
    assert (rows["effect"] == 0).all() and (rows["verdict"] == "inconclusive").all()


def test_accuracies_that_owe_nothing_to_layers_give_no_verdict(tmp_path):
    table, rows = analyse(inputs_of(tmp_path, lambda s: 0.6))
    assert (rows["verdict"] == "inconclusive").all()
    mine = table[(table["series"] == "correlation") & (table["estimator"] == "crossed")]
    assert (mine["null_low"] < 0).all() and (mine["null_high"] > 0).all() and mine["p"].between(0, 1).all()


def test_a_second_row_of_panels_shows_every_subset_without_the_first_layer(tmp_path):
    table, _ = analyse(inputs_of(tmp_path, lambda s: 0.6, seeds=1))
    save_table(table, tmp_path / "table.csv")
    figure = module("finetuning").draw(load_table(tmp_path / "table.csv"), np.zeros((1, 1, 16, 16), dtype=np.uint8))
    figure.canvas.draw()
    (panel,) = (axis for axis in figure.axes if axis.get_title("left") == "Every subset of k layers")
    dots = sum(len(line.get_xdata()) for line in panel.lines)
    plt.close(figure)
    assert len(figure.axes) == 4 and dots == 5 + 10
