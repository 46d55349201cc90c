from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memloc.analysis.claims import Claim, tabulate
from memloc.analysis.inputs import (
    Inputs,
    Quotes,
    dealt_layermem,
    images_of_groups,
    profiles,
    rises,
    rows_of,
    unit_activations,
)
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError
from memloc.metrics.pairs import crossed_mean, gains
from memloc.metrics.stats import Estimate
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


def test_a_rise_over_layers_has_the_p_of_its_slope():
    row = row_of(rises("rises", "simclr", profile_of(range(8)), n=5))
    assert (row["effect"], row["verdict"]) == (1, "supported") and row["p"] < 0.001
    assert row_of(rises("rises", "simclr", profile_of(range(8, 0, -1)), n=5))["verdict"] == "refuted"
    # The order of the layers is sure, as one that is far above the others is, but the slope isn't.
    values, drawn = np.array([0.0, 1, 2, 30]), np.random.default_rng(0).normal(size=(400, 1))
    estimate = Estimate(values, values + drawn * [0, 0.1, 0.2, 30], values + drawn * [0, 0.1, 0.2, 30], 3)
    slope = Estimate(*(x @ [-0.3, -0.1, 0.1, 0.3] for x in (values, estimate.nested, estimate.fixed)), 3)
    row = row_of(rises("rises", "simclr", estimate, n=5))
    assert row["p"] >= float(slope.p()) > 0.05 and row["verdict"] == "inconclusive"


def test_a_rise_with_a_null_has_the_p_of_its_slope_among_the_nulls_slopes():
    null = np.zeros((99, 3))
    null[:, 2] = np.arange(99)
    # Slopes are half the last minus the first: six of the null's are as steep as 93 / 2.
    row = row_of(rises("rises", "f", profile_of([0, 50, 93.0]), n=5, null=null))
    assert row["p"] == pytest.approx(2 * 7 / 100)


def pool(seed, *, pairs=1, n=40, effect=0.0):
    """Points of one pair: a pool of n images of four classes, their halves, and ten external images."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    labels, layers = np.arange(n + 10) % 4, ["a", "b", "c"]
    easy = fixed.normal(size=(n + 10, 3)) + 3 * labels[:, None]
    has = np.concatenate([rng.permutation(np.arange(n // 4) < n // 8) for _ in range(4)]).reshape(4, -1).T.ravel()
    group = np.where(has, "candidate", "independent").tolist() + ["external"] * 10
    sign = np.concatenate([np.where(has, 1, -1), np.zeros(10)])[:, None]
    scores = 0.01 * (easy + rng.normal(size=(n + 10, 3)) + effect * sign)
    about = {"point": np.repeat(np.arange(n + 10), 3), "group": np.repeat(group, 3), "label": np.repeat(labels, 3)}
    return pd.DataFrame(about | {"layer": layers * (n + 10), "sslmem": scores.ravel(), "parameters": 1})


def test_layermem_of_halves_is_adjusted_for_class_and_crosses_images_with_pairs():
    seeds = [pool(seed, effect=2.0) for seed in range(4)]
    crossed = profiles(seeds, resamples=4000, normalisation="ratio")["crossed"]
    wide = [t[t["group"] != "external"].pivot(index="point", columns="layer", values="sslmem") for t in seeds]
    about = [t.drop_duplicates("point").set_index("point").loc[w.index] for t, w in zip(seeds, wide, strict=True)]
    inside = np.stack([(a["group"] == "candidate").to_numpy() for a in about])
    mean = crossed_mean(gains(np.stack([w.to_numpy() for w in wide]), inside, about[0]["label"].to_numpy()))
    np.testing.assert_allclose(crossed.value, mean.value)
    np.testing.assert_allclose(crossed.spread()[0], mean.error, rtol=0.12)
    np.testing.assert_allclose(np.diff(crossed.interval(), axis=0), np.diff(mean.interval(), axis=0), rtol=0.2)
    # Seeds of other images are nested.
    seeds[1]["point"] += 1000
    assert images_of_groups(seeds) is None
    assert profiles(seeds, resamples=100, normalisation="ratio")["crossed"].apart is None


def test_dealt_layermem_is_that_of_halves_dealt_by_hand():
    seeds = [pool(seed) for seed in range(2)]
    dealt = dealt_layermem(seeds, ["a", "b", "c"])
    rng, mine = np.random.default_rng(5), np.zeros((600, 3))
    for table in seeds:
        rows = table[table["group"] != "external"]
        wide = rows.pivot(index="point", columns="layer", values="sslmem")
        label = rows.drop_duplicates("point").set_index("point").loc[wide.index, "label"].to_numpy()
        values = wide.to_numpy()
        for deal in range(600):
            f = np.concatenate([rng.choice(np.flatnonzero(label == c), 5, replace=False) for c in range(4)])
            mine[deal] += (values[f].mean(axis=0) - np.delete(values, f, axis=0).mean(axis=0)) / 4
    np.testing.assert_allclose(dealt.std(axis=0), mine.std(axis=0), rtol=0.12)
    np.testing.assert_allclose(np.corrcoef(dealt.T), np.corrcoef(mine.T), atol=0.15)


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
    assert (shared.fixed.std(axis=0) / alone.fixed.std(axis=0)).mean() == pytest.approx(1, rel=0.1)
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
