from itertools import permutations

import numpy as np
import pytest

from memloc.analysis.claims import Claim, Finding, tabulate
from memloc.analysis.inputs import Inputs, quoted, rises
from memloc.errors import InputError
from memloc.io import save_arrays
from memloc.metrics.stats import Estimate, rank_correlation


def test_arrays_that_are_not_finite_are_told_by_file_and_name(tmp_path):
    path = tmp_path / "seed0.npz"
    inputs = Inputs([("simclr", 0)], {"f": [str(path)]})
    save_arrays({"losses": np.array([0.5, 1.0]), "points": np.arange(2), "groups": np.array(["a", "b"])}, path)
    (held,) = inputs.arrays("f", "simclr")
    assert held["losses"].tolist() == [0.5, 1.0]
    save_arrays(held | {"losses": np.array([0.5, np.nan])}, path)
    with pytest.raises(InputError, match=r"seed0\.npz: losses isn't finite; delete it and run snakemake again"):
        inputs.arrays("f", "simclr")


def test_an_array_that_is_missing_is_told_by_file_and_name(tmp_path):
    path = tmp_path / "seed0.npz"
    save_arrays({"points": np.arange(2)}, path)
    (held,) = Inputs([("simclr", 0)], {"f": [str(path)]}).arrays("f", "simclr")
    with pytest.raises(InputError, match=r"seed0\.npz: holds no losses; delete it and run snakemake again"):
        held["losses"]


def test_a_seed_that_was_made_with_other_settings_is_told_by_file_and_name(tmp_path):
    paths = [str(tmp_path / f"seed{seed}.npz") for seed in range(3)]
    inputs = Inputs([("simclr", seed) for seed in range(3)], {"f": paths})
    for path, steps in zip(paths, ([2, 4], [1, 2], [1, 2]), strict=True):
        save_arrays({"steps": np.array(steps), "dataset": np.array(["a" * len(path)])}, path)
    assert len(inputs.arrays("f", "simclr", same=["dataset"])) == 3
    with pytest.raises(InputError, match=r"seed0\.npz: differs from the other seeds in steps; delete it and run snake"):
        inputs.arrays("f", "simclr", same=["steps"])
    save_arrays({"steps": np.array([2, 1])}, paths[0])
    assert len(inputs.arrays("f", "simclr", rows=["steps"])) == 3
    with pytest.raises(InputError, match="differs from the other seeds in steps"):
        inputs.arrays("f", "simclr", same=["steps"])


def profile_of(values, *, spread=0.01, seeds=3):
    values = np.asarray(values, dtype=np.float64)
    drawn = values + spread * np.random.default_rng(0).normal(size=(400, len(values)))
    return Estimate(values, drawn, drawn, seeds)


def told(found):
    return tabulate({found.claim: Claim("Table 1", "It rises")}, [found], experiment="e").iloc[0]


def test_a_rise_over_layers_is_a_finding_where_few_orders_of_them_rise_as_much():
    row = told(rises("e.rises", "simclr", profile_of(range(8)), n=5))
    assert (row["effect"], row["verdict"]) == (1, "supported") and row["p"] < 0.001
    assert told(rises("e.rises", "simclr", profile_of(range(8, 0, -1)), n=5))["verdict"] == "refuted"
    # Of four layers one order of 24 rises all the way, and one falls.
    row = told(rises("e.rises", "simclr", profile_of(range(4)), n=5))
    assert row["low"] > 0 and row["verdict"] == "inconclusive" and row["p"] == pytest.approx(2 / 24, abs=0.01)


def test_a_rise_of_most_layers_has_the_p_of_spearmans_test():
    values = [0, 1, 2, 5, 4, 3, 7, 6]
    orders = np.array(list(permutations(values)))
    rho = rank_correlation(np.arange(8) + 0.0 * orders, orders)
    observed = rank_correlation(np.arange(8.0), np.array(values, dtype=float))
    assert told(rises("e.rises", "f", profile_of(values), n=5))["p"] == pytest.approx(
        2 * (rho >= observed - 1e-12).mean(), abs=0.005
    )


def test_the_papers_effects_stand_beside_its_own_kind_of_encoder_alone():
    about = {
        "mine": {"framework": "simclr", "architecture": "resnet18"},
        "other": {"framework": "dino", "architecture": "resnet18"},
    }
    published = {("simclr", "resnet18"): ("ResNet18, CIFAR10", {"e.last": 0.295})}
    inputs, found = Inputs([], {}, about), Finding("e.last", "mine", profile_of([1.0])[0], 5)
    (mine,), (other,) = (quoted(inputs, name, [found], published) for name in about)
    assert (mine.value, mine.scale) == (0.295, "ResNet18, CIFAR10")
    claims = {"e.last": Claim("Table 1", "It is there", 0.308, "ResNet9")}
    rows = [tabulate(claims, [f], experiment="e").iloc[0] for f in (found, mine, other)]
    assert [row["paper_scale"] for row in rows] == ["ResNet9", "ResNet18, CIFAR10", ""]
    assert rows[0]["paper_effect"] == 0.308 and rows[1]["paper_effect"] == 0.295 and np.isnan(rows[2]["paper_effect"])
