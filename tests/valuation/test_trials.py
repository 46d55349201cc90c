"""Trials find what was planted into tables, and nothing where there is nothing; the same bytes every time."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from memloc.errors import InputError
from memloc.experiments import module
from memloc.experiments.backdoor.job import trigger_scores
from memloc.valuation.loading import load
from memloc.valuation.oob import value
from memloc.valuation.trials import CHANGED, INSPECTED, divide

CELLS = {
    "rows": 150,
    "learners": 60,
    "ratios": [0.5],
    "permutations": 2,
    "dirty_rows": 0.2,
    "dirty_columns": 0.2,
    "injectors": ["tail", "swap"],
    "injector": "tail",
}
POINTS = {"rows": 150, "learners": 60, "ratios": [0.5], "flipped": 0.1}
TRIGGER = {"rows": 300, "learners": 150, "ratios": [0.25], "classes": [3, 8], "side": 2, "poisoned": 0.15, "grids": [4]}
COST = {
    "dirty_rows": 0.2,
    "dirty_columns": 0.2,
    "row_counts": [50, 100],
    "learner_counts": [10, 20],
    "permutation_counts": [1, 3],
}
OPTIONS = {
    "cell_outliers": CELLS,
    "cell_fixation": CELLS,
    "point_removal": POINTS,
    "backdoor": TRIGGER,
    "valuation_cost": COST,
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """As jobs have it: threads of small products only wait for one another."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def digits():
    return load("digits-8x8")


@pytest.fixture(scope="module")
def wine():
    return load("wine")


def by_method(outcome, name):
    return dict(zip(outcome["methods"].tolist(), outcome[name], strict=True))


def test_parts_are_apart_and_standardised_by_what_is_valued(wine):
    parts = divide(wine, rows=1000, tested=0.3, seed=0)
    sizes = [len(y) for y in (parts.y, parts.held_y, parts.test_y)]
    assert sum(sizes) == 178 and sizes == [178 - 17 - 53, 17, 53]
    np.testing.assert_allclose(parts.x.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(parts.x.std(axis=0), 1)
    every = np.concatenate([parts.x, parts.held_x, parts.test_x])
    assert len(np.unique(every, axis=0)) == len(np.unique(wine["x"], axis=0))
    few = divide(wine, rows=60, tested=0, seed=0)
    assert len(few.y) == 60 and len(few.test_y) == 178 - 60 - 17
    assert (divide(wine, rows=60, tested=0, seed=1).y != few.y).any()


def test_outlier_cells_are_found_in_the_order_of_their_values(wine):
    outcome = module("cell_outliers", "job").run(wine, CELLS, 0)
    tail, swap = (dict(zip(outcome["methods"].tolist(), areas, strict=True)) for areas in outcome["areas"])
    assert tail["z-score"] > 0.9 and tail["2D-OOB, w = 1"] > 0.75 and swap["2D-OOB, w = 0"] > 0.7
    assert 0.4 < tail["random"] < 0.6
    assert outcome["rates"].shape == (2, len(outcome["methods"]), len(INSPECTED))
    assert (outcome["rates"][..., 0] == 0).all() and (outcome["rates"][..., -1] == 1).all()


def test_known_areas_come_out_on_real_tables():
    """Closeness finds tail outliers, accuracy alone fails on sums: thresholds that earlier trials left room to."""
    few = CELLS | {"rows": 1000, "learners": 300, "permutations": 1, "injectors": ["tail"]}
    found = {}
    for name, ratio in (("breast-cancer", 0.25), ("fried", 0.5)):
        outcome = module("cell_outliers", "job").run(load(name), few | {"ratios": [ratio]}, 0)
        found[name] = dict(zip(outcome["methods"].tolist(), outcome["areas"][0], strict=True))
    bc, fried = found["breast-cancer"], found["fried"]
    assert bc["2D-OOB, w = 1"] > 0.8 and bc["2D-OOB, w = 1"] > bc["2D-OOB, w = 0"] + 0.02
    assert fried["2D-OOB, w = 1"] > 0.85 and fried["2D-OOB, w = 0"] < 0.65
    assert bc["2D-OOB, w = 1"] > bc["2D-KNN"] and bc["z-score"] > 0.9


def test_repairing_all_outliers_is_the_clean_table(wine, monkeypatch):
    # Values that know where the outliers are: cells that differ from what they were.
    monkeypatch.setattr(
        module("cell_fixation", "job"), "cell_values", lambda dirty, parts, *_: [("oracle", 0.0, -abs(dirty - parts.x))]
    )
    outcome = module("cell_fixation", "job").run(wine, CELLS, 0)
    assert (outcome["accuracy"][0][CHANGED >= 0.06] == outcome["clean"]).all()
    assert outcome["accuracy"][0, 0] <= outcome["clean"]


def test_flipped_labels_are_found_and_their_removal_helps(digits):
    outcome = module("point_removal", "job").run(digits, POINTS | {"rows": 300}, 0)
    found = by_method(outcome, "found")
    assert found["Data-OOB"] > 0.7 and found["2D-OOB, w = 0"] > 0.7 and found["KNN-Shapley"] > 0.5
    assert found["random"] < 0.3 and outcome["flipped"] == pytest.approx(0.1)
    accuracy = by_method(outcome, "accuracy")
    assert len({row[0] for row in accuracy.values()}) == 1
    assert accuracy["Data-OOB"][5] > accuracy["random"][5]


def test_a_trigger_is_high_within_poisoned_images(digits):
    outcome = module("backdoor", "job").run(digits, TRIGGER, 0)
    areas = dict(zip(outcome["methods"].tolist(), outcome["areas"][0], strict=True))
    tops = dict(zip(outcome["methods"].tolist(), outcome["tops"][0], strict=True))
    assert areas["2D-OOB, w = 0"] > 0.95 and tops["2D-OOB, w = 0"] > 0.9 and tops["random"] < 0.3
    maps = outcome["map4"]
    assert maps.shape == (3, 4, 4) and maps[1].argmax() == 15
    assert maps[2].argmax() != 15 or maps[2].max() - np.median(maps[2]) < 0.1
    assert (outcome["image"][-2:, -2:] == 1).all() and outcome["image"].shape == (8, 8)


def test_scores_of_a_trigger_by_hand():
    values = np.array([[0.9, 0.1, 0.8, 0.2], [0.1, 0.9, 0.3, 0.2]])
    area, hits, top = trigger_scores(values, np.array([True, False, True, False]))
    # In the second image one of four pairs is in order, and one of the two highest is hit.
    assert (area, hits, top) == (pytest.approx((1 + 0.25) / 2), pytest.approx(0.75), pytest.approx(0.5))


def test_a_class_that_is_not_there_is_told(digits):
    with pytest.raises(InputError, match=r"classes \[12\]: not in the table, which has 0 to 9; change classes"):
        module("backdoor", "job").run(digits, TRIGGER | {"classes": [3, 12]}, 0)


def test_costs_are_measured_for_every_size(wine):
    outcome = module("valuation_cost", "job").run(wine, COST, 0)
    measured = list(zip(*(outcome[key].tolist() for key in ("methods", "rows", "amounts")), strict=True))
    expected = [
        ("2D-OOB, w = 1", 10),
        ("2D-OOB, w = 1", 20),
        ("2D-KNN", 1),
        ("2D-KNN", 3),
        ("two-stage", 20),
        ("z-score", 1),
    ]
    assert measured == [(name, rows, amount) for rows in (50, 100) for name, amount in expected]
    # Those behind the cells that 2D-OOB values: 10 learners leave one without any.
    fewest = value(
        divide(wine, rows=100, tested=0, seed=0).x, np.arange(100) % 3, learners=20, ratio=0.5, seed=0
    ).counts
    assert outcome["fewest"][7] == fewest.min() and (outcome["fewest"][2:6] == 0).all()
    assert (outcome["seconds"] >= 0).all() and outcome["seconds"].sum() > 0 and (outcome["areas"] > 0).all()


@pytest.mark.parametrize("kind", [kind for kind in OPTIONS if kind != "valuation_cost"])
def test_a_trial_is_the_same_every_time_and_another_with_another_seed(kind, digits, wine):
    options, table = OPTIONS[kind] | {"rows": 100, "learners": 10}, digits if kind == "backdoor" else wine
    one, same, other = (module(kind, "job").run(table, options, seed) for seed in (0, 0, 1))
    assert one.keys() == same.keys() and all(one[key].tobytes() == same[key].tobytes() for key in one)
    assert any((one[key] != other[key]).any() for key in one if key not in ("methods", "ratios"))
