import numpy as np
import pandas as pd
import pytest

from memloc.errors import InputError
from memloc.measuring.units import by_layer, layer_metrics, unit_scores, unit_traits
from memloc.metrics.units import classmem, unitmem
from tests.builders.measures import SIZES, THREE_CLASSES, random_measures, uneven_measures

UNSHARED = ("candidate", "independent", "external")


def scores(measures, group, layer, **options):
    table = unit_scores(measures, **{"shuffles": 1, "seed": 0, **options})
    return table[(table["group"] == group) & (table["layer"] == layer)]


@pytest.mark.parametrize("others", ["mean", "median"])
def test_units_are_scored_in_each_group_apart(others):
    m = random_measures()
    table = unit_scores(m, shuffles=2, seed=0, others=others)
    assert set(table["group"]) == set(UNSHARED) and set(table["layer"]) == {"1", "2"}
    rows, units = m["groups"] == "external", scores(m, "external", "2", others=others)
    views = m["views/2"][rows].mean(axis=1)
    assert units["unit"].tolist() == list(range(5))
    np.testing.assert_allclose(units["unitmem"], unitmem(views, others=others))
    np.testing.assert_allclose(units["unitmem_median"], unitmem(views, others="median"))
    assert np.allclose(units["unitmem"], units["unitmem_median"]) == (others == "median")
    np.testing.assert_allclose(units["classmem"], classmem(m["plain/2"][rows], m["labels"][rows]))
    assert units["owner"].tolist() == m["points"][rows][views.argmax(axis=0)].tolist()
    np.testing.assert_allclose(units["activation"], views.mean(axis=0), rtol=1e-6)


def test_a_dead_unit_has_no_owner():
    m = random_measures()
    m["views/1"][:, :, 1] = 0
    table = unit_scores(m, shuffles=1, seed=0)
    dead = table[(table["layer"] == "1") & (table["unit"] == 1)]
    assert (dead["owner"] == -1).all() and (dead["unitmem"] == 0).all() and len(dead) == 3


def test_shuffled_labels_take_class_knowledge_away():
    m = random_measures({"candidate": 60, "independent": 60, "external": 60}, labels=np.arange(180) % 3)
    m["plain/1"][:, 0] = m["labels"] == 2
    unit = scores(m, "candidate", "1", shuffles=10).iloc[0]
    assert unit["classmem"] == 1 and unit["classmem_shuffled"] < 0.4


def test_classmem_of_shuffled_labels_is_the_mean_over_shuffles():
    m = random_measures(labels=THREE_CLASSES)
    rows, rng = m["groups"] == "candidate", np.random.default_rng(4)
    shuffled = [classmem(m["plain/2"][rows], rng.permutation(m["labels"][rows])) for _ in range(3)]
    found = scores(m, "candidate", "2", shuffles=3, seed=4)["classmem_shuffled"]
    np.testing.assert_allclose(found, np.mean(shuffled, axis=0))


def test_groups_are_compared_at_equal_sizes():
    unit = scores(uneven_measures(), "independent", "1").iloc[0]
    assert unit["unitmem"] == pytest.approx((1 - 0.5) / (1 + 0.5))


def test_a_larger_group_is_reduced_without_regard_to_the_order_of_its_points():
    # The points of a group may be sorted by class, as images in folders are.
    sizes = {"candidate": 60, "independent": 12, "external": 60}
    labels = np.concatenate([np.arange(60) // 20, np.arange(12) // 4, np.arange(60) // 20])
    assert np.isfinite(unit_scores(random_measures(sizes, labels=labels), shuffles=1, seed=0)["classmem"]).all()


def test_a_group_of_one_class_is_refused_and_one_without_labels_has_no_classmem():
    labels = np.where(random_measures()["groups"] == "independent", 1, THREE_CLASSES)
    with pytest.raises(InputError, match=r"^all independent points belong to one class, [^\n]*datasets\.\*\.split$"):
        unit_scores(random_measures(labels=labels), shuffles=1, seed=0)
    table = unit_scores(random_measures(labels=np.full(43, -1)), shuffles=1, seed=0)
    assert table[["classmem", "classmem_shuffled"]].isna().all(axis=None) and table["unitmem"].notna().all()


def test_scores_of_units_are_a_function_of_their_seed():
    m = random_measures()
    a, b, c = (unit_scores(m, shuffles=2, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(a, b)
    assert not a["classmem_shuffled"].equals(c["classmem_shuffled"])
    pd.testing.assert_series_equal(a["classmem"], c["classmem"])


def test_metrics_of_a_layer_are_those_of_its_units():
    table = unit_scores(random_measures(labels=THREE_CLASSES), shuffles=1, seed=0)
    table = table[table["group"] == "external"]
    units = table[table["layer"] == "2"]
    values = units["unitmem"].to_numpy()
    expected = {
        "unitmem": values.mean(),
        "unitmem_top": np.quantile(values, 0.9),
        "unitmem_max": values.max(),
        "unitmem_above_0.5": (values > 0.5).mean(),
        "classmem": units["classmem"].mean(),
        "over_classmem": (values > units["classmem"]).mean(),
    }
    assert {metric: layer_metrics(table, metric)["2"] for metric in expected} == pytest.approx(expected)


def test_traits_are_those_of_candidates_of_external_points_and_their_excess_over_unseen_points():
    m = random_measures(SIZES)
    table = unit_scores(m, shuffles=1, seed=0)
    traits = unit_traits(table)
    mu = {group: m["views/2"][m["groups"] == group].mean(axis=1) for group in UNSHARED}
    candidate, independent, external = (unitmem(mu[group]) for group in UNSHARED)
    expected = {
        "unitmem": candidate,
        "unitmem-unseen": external,
        "excess": candidate - (independent + external) / 2,
        "excess-unseen": external - (independent + candidate) / 2,
        "activation": mu["candidate"].mean(axis=0),
    }
    assert traits.keys() == expected.keys()
    for name, trait in traits.items():
        assert list(trait) == ["1", "2"]
        np.testing.assert_allclose(trait["2"], expected[name], rtol=1e-5, atol=1e-6)
    assert list(by_layer(table)) == ["1", "2"]
    np.testing.assert_allclose(by_layer(table)["2"], candidate)


def test_layers_stand_by_depth_and_not_by_name():
    table = pd.DataFrame({"layer": ["9", "10"], "group": "candidate", "unitmem": [0.25, 0.5]})
    assert [(layer, values.tolist()) for layer, values in by_layer(table).items()] == [("9", [0.25]), ("10", [0.5])]
