from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from memloc.analysis.claims import Claim, tabulate
from memloc.analysis.inputs import Inputs, Quotes, profiles, rises, rows_of, unit_activations
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError
from memloc.metrics.stats import Estimate, rank_correlation
from tests.builders.planted import points
from tests.builders.study import save


def test_arrays_that_are_not_finite_are_named_with_their_file(tmp_path):
    path = tmp_path / "seed0.npz"
    inputs = Inputs([("simclr", 0)], {"f": [str(path)]})
    save({"losses": np.array([0.5, 1.0]), "points": np.arange(2), "groups": np.array(["a", "b"])}, path)
    (arrays,) = inputs.arrays("f", "simclr")
    assert arrays["losses"].tolist() == [0.5, 1.0]
    save(arrays | {"losses": np.array([0.5, np.nan])}, path)
    with pytest.raises(InputError, match=r"seed0\.npz: losses isn't finite; delete it and run snakemake again"):
        inputs.arrays("f", "simclr")


def test_an_array_that_is_missing_is_named_with_its_file(tmp_path):
    path = tmp_path / "seed0.npz"
    save({"points": np.arange(2)}, path)
    (arrays,) = Inputs([("simclr", 0)], {"f": [str(path)]}).arrays("f", "simclr")
    with pytest.raises(InputError, match=r"seed0\.npz: lacks losses; delete it and run snakemake again"):
        arrays["losses"]


def test_a_seed_that_was_made_with_other_settings_is_named_with_its_file(tmp_path):
    paths = [str(tmp_path / f"seed{seed}.npz") for seed in range(3)]
    inputs = Inputs([("simclr", seed) for seed in range(3)], {"f": paths})
    for path, steps in zip(paths, ([2, 4], [1, 2], [1, 2]), strict=True):
        save({"steps": np.array(steps), "dataset": np.array(["a" * len(path)])}, path)
    assert len(inputs.arrays("f", "simclr", same=["dataset"])) == 3
    with pytest.raises(InputError, match=r"seed0\.npz: differs from the other seeds in steps; delete it and run snake"):
        inputs.arrays("f", "simclr", same=["steps"])
    save({"steps": np.array([2, 1])}, paths[0])
    assert len(inputs.arrays("f", "simclr", rows=["steps"])) == 3
    with pytest.raises(InputError, match="differs from the other seeds in steps"):
        inputs.arrays("f", "simclr", same=["steps"])


def test_files_of_one_run_are_of_the_same_weights_and_seeds_of_the_same_settings(tmp_path):
    runs, paths = [("simclr", 0), ("simclr", 1)], [str(tmp_path / f"seed{seed}.npz") for seed in (0, 1)]
    others = [str(tmp_path / f"other{seed}.npz") for seed in (0, 1)]
    content = {"points": np.arange(2)}
    for seed, path in enumerate(paths + others):
        save(content, path, weights={"f": str(seed % 2)}, settings={"draws": 4})
    inputs = Inputs(runs, {"one": paths, "other": others})
    assert len(inputs.arrays("one", "simclr")) == len(inputs.arrays("other", "simclr")) == 2
    save(content, others[1], weights={"f": "2"}, settings={"draws": 4})
    told = r"other1\.npz: was made with other weights of f than .*seed1\.npz; delete both and run snakemake again"
    with pytest.raises(InputError, match=told):
        inputs.arrays("other", "simclr")
    save(content, paths[1], weights={"f": "1"}, settings={"draws": 6})
    with pytest.raises(InputError, match=r"seed.\.npz: was made with other settings than the other seeds'; delete it"):
        inputs.arrays("one", "simclr")
    Path(paths[0]).rename(paths[1])
    with pytest.raises(InputError, match=r"seed1\.npz: is in the place of another file, it was made as .*seed0\.npz"):
        Inputs(runs[1:], {"one": paths[1:]}).arrays("one", "simclr")


@pytest.mark.parametrize("trainings", [{"f": "A"}, {}, None])
def test_files_behind_which_another_training_stands_are_refused(tmp_path, trainings):
    runs, paths = [("simclr", 0), ("simclr", 1)], [str(tmp_path / f"seed{seed}.npz") for seed in (0, 1)]
    inputs = Inputs(runs, {"one": paths}, trainings=[{"f": "A", "g": "X"}, {"f": "B", "g": "Y"}])
    for path, training in zip(paths, "AB", strict=True):
        save({"points": np.arange(2)}, path, weights={"f": training}, trainings={"f": training})
    assert len(inputs.arrays("one", "simclr")) == 2
    save({"points": np.arange(2)}, paths[1], weights={"f": "B"}, trainings=trainings)
    told = (
        r"seed1\.npz: was made with another training of f than the configuration's; delete it and run snakemake again"
    )
    with pytest.raises(InputError, match=told):
        inputs.arrays("one", "simclr")


def profile_of(values, *, spread=0.01, seeds=3):
    values = np.asarray(values, dtype=np.float64)
    drawn = values + spread * np.random.default_rng(0).normal(size=(400, len(values)))
    return Estimate(values, drawn, drawn, seeds)


def row_of(finding):
    claims = {finding.claim: Claim("LayerMem rises", "Table 1")}
    return tabulate(claims, [finding], kind="e", experiment="e").iloc[0]


def test_a_rise_over_layers_is_a_finding_where_few_orders_of_them_rise_as_much():
    row = row_of(rises("rises", "simclr", profile_of(range(8)), n=5))
    assert (row["effect"], row["verdict"]) == (1, "supported") and row["p"] < 0.001
    assert row_of(rises("rises", "simclr", profile_of(range(8, 0, -1)), n=5))["verdict"] == "refuted"
    # Of four layers one order of 24 rises all the way, and one falls.
    row = row_of(rises("rises", "simclr", profile_of(range(4)), n=5))
    assert row["low"] > 0 and row["verdict"] == "inconclusive" and row["p"] == pytest.approx(2 / 24, abs=0.01)


def test_a_rise_of_most_layers_has_the_p_of_spearmans_test():
    values = [0, 1, 2, 5, 4, 3, 7, 6]
    orders = np.array(list(permutations(values)))
    rho = rank_correlation(np.arange(8) + 0.0 * orders, orders)
    observed = rank_correlation(np.arange(8.0), np.array(values, dtype=float))
    assert row_of(rises("rises", "f", profile_of(values), n=5))["p"] == pytest.approx(
        2 * (rho >= observed - 1e-12).mean(), abs=0.005
    )


def test_the_papers_effects_are_quoted_for_its_own_kind_of_encoder_alone():
    about = {
        "own": {"framework": "simclr", "architecture": "resnet18", "measure": {}},
        "other": {"framework": "dino", "architecture": "resnet18", "measure": {}},
    }
    published = {("simclr", "resnet18"): Quotes("ResNet18, CIFAR10", {"last": 0.295})}
    claims = {"last": Claim("The last layer memorizes", "Table 1", 0.308, "ResNet9")}
    sheet = Sheet(Inputs([], {}, about), {}, claims)
    sheet.find("last", "unquoted", profile_of([1.0])[0], 5)
    for name in about:
        with sheet.quoting(sheet.inputs.quotes(name, published)):
            sheet.find("last", name, profile_of([1.0])[0], 5)
    rows = sheet.rows(kind="e", experiment="e").set_index("subject")
    assert rows["paper_scale"].to_dict() == {"unquoted": "ResNet9", "own": "ResNet18, CIFAR10", "other": ""}
    assert rows["paper_effect"].to_dict() == pytest.approx(
        {"unquoted": 0.308, "own": 0.295, "other": np.nan}, nan_ok=True
    )


def test_points_are_resampled_alike_in_seeds_that_share_them_and_apart_in_others():
    one, other = (points([0.1, 0.2, 0.3, 0.4], noise=0.1, split=split) for split in (0, 1))
    # The same values, so that nothing but the resamples tells the seeds apart.
    other["sslmem"] = one["sslmem"]
    alone, shared, apart = (
        profiles(seeds, resamples=300, normalisation="ratio")["crossed"] for seeds in ([one], [one, one], [one, other])
    )
    np.testing.assert_allclose(shared.fixed, alone.fixed)
    assert (apart.fixed.std(axis=0) / alone.fixed.std(axis=0)).mean() == pytest.approx(0.5**0.5, rel=0.1)


def test_activations_are_means_over_all_views_with_the_layers_side_by_side():
    views = np.arange(12.0).reshape(2, 3, 2)
    measures = {"layers": np.array(["9", "sum", "10"]), "views/9": views, "views/10": views[..., :1] ** 2}
    layers, activations, begins = unit_activations(measures, np.array([1]))
    assert layers == ["9", "10"] and begins.tolist() == [0, 2]
    np.testing.assert_allclose(activations, [[8, 9, (36 + 64 + 100) / 3]])


def test_rows_of_a_profile_have_its_interval_at_95_percent():
    estimate = profile_of([1.0, 2.0], seeds=1)
    rows = rows_of(estimate, ["9", "10"], encoder="f")
    assert rows[["encoder", "layer", "value"]].to_numpy().tolist() == [["f", "9", 1.0], ["f", "10", 2.0]]
    half = 1.96 * estimate.fixed.std(axis=0, ddof=1)
    np.testing.assert_allclose(rows["low"], estimate.value - half, rtol=1e-4)
    np.testing.assert_allclose(rows["high"], estimate.value + half, rtol=1e-4)
