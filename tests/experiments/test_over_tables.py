"""Experiments over tables: what they share, and what the configuration may ask of them."""

import numpy as np
import pytest
import yaml
from scipy.stats import t

from memloc import config
from memloc.analysis.valued import label, over_seeds, share
from memloc.provenance import ROOT
from tests.builders.study import complaint, configured

IT = {
    "kind": "backdoor",
    "tables": ["digits-8x8"],
    "seeds": [0, 1],
    "rows": 100,
    "learners": 10,
    "ratios": [0.5],
    "classes": [3, 8],
    "side": 2,
    "poisoned": 0.1,
    "grids": [8, 4],
}


def test_medians_over_seeds_and_their_intervals():
    values = np.array([[0.1, 5.0], [0.4, 5.0], [0.2, 5.0], [0.9, 5.0], [0.3, 5.0]])
    estimate = over_seeds(values)
    np.testing.assert_allclose(estimate.value, [0.3, 5])
    low, high = estimate.interval()
    assert low[1] == high[1] == 5 and low[0] < 0.2 and high[0] > 0.4
    # The error of a median over resampled seeds, found by going through all of them, with 4 degrees of freedom.
    every = np.array(np.meshgrid(*[values[:, 0]] * 5)).reshape(5, -1)
    error = np.median(every, axis=0).std() * np.sqrt(5 / 4)
    assert (high - low)[0] / 2 == pytest.approx(error * t.ppf(0.975, 4), rel=0.1)


def test_intervals_over_seeds_cover_what_they_should():
    rng, inside = np.random.default_rng(0), []
    for _ in range(300):
        low, high = over_seeds(rng.normal(size=5)).interval()
        inside.append(low <= 0 <= high)
    assert np.mean(inside) > 0.92


def test_shares_have_intervals_that_end_where_they_do():
    low, high = share(np.array([0.0, 1.0])).interval()
    assert (low, high) == (0, 1)


def test_methods_are_named_with_their_ratio():
    assert label(("2D-OOB, w = 1", 0.5)) == "2D-OOB, w = 1, ratio 0.5"
    assert label(("random", 0.0)) == label(("random", np.nan)) == "random"


def test_runs_are_tables_and_seeds_and_files_follow_them():
    whole = {"experiments": {"it": IT | {"tables": ["digits-8x8", "fashion"]}}, "encoders": {}}
    runs = [("digits-8x8", 0), ("digits-8x8", 1), ("fashion", 0), ("fashion", 1)]
    assert config.runs(whole, "it") == runs
    expected = [f"valuation/it/{table}/seed{seed}.npz" for table, seed in runs]
    assert config.experiment_inputs(whole, "it") == {"outcomes": expected}


WRONG = {
    "no table": ({"tables": ["iriss"]}, "it.tables: 'iriss' is none of breast-cancer, wine"),
    "no images": ({"tables": ["iris"]}, "it.tables: iris has no images to put a trigger into; take of digits"),
    "patches": ({"grids": [8, 3]}, "it.grids: 3 patches don't divide the 8 pixels of digits-8x8; change one"),
    "patches of a dataset": ({"tables": ["fashion"], "classes": [0, 1], "grids": [5]}, "it.grids: 5 patches don't"),
    "trigger": ({"side": 8}, "it.side: 8 must be smaller than an image of digits-8x8, 8 pixels; lower it"),
    "class": ({"classes": [3, 10]}, "it.classes: 10 is no class of digits-8x8, which has 0 to 9; change it"),
    "class of a dataset": ({"tables": ["fashion"], "classes": [0, 6]}, "it.classes: 6 is no class of fashion"),
    "encoders": ({"encoders": ["simclr"]}, "it.encoders: unknown key"),
    "one seed": ({"seeds": [0]}, "it.seeds: [0] is too short"),
    "ratio": ({"ratios": [1.5]}, "it.ratios.0: 1.5 is greater than the maximum of 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(WRONG))
def test_what_an_experiment_over_tables_may_not_ask(name):
    changes, expected = WRONG[name]
    message = complaint(IT | changes, {})
    assert message.startswith(f"config: experiments.{expected}"), message


def test_a_class_is_one_of_those_that_a_dataset_s_source_or_folder_has(tmp_path):
    whole = configured(IT | {"tables": ["mine"], "classes": [3, 10], "grids": [8]}, {})
    for name in ("train/a", "train/b", "train/.hidden", "test"):
        (tmp_path / name).mkdir(parents=True)
    # Classes of a folder that isn't there yet aren't known: the job tells.
    for source, known in (("fashion-mnist-12k", 9), ("folder", 1), ("imagenet", None)):
        path = {"path": str(tmp_path)} if source == "folder" else {}
        whole["datasets"]["mine"] = {"source": source, "image_size": 32, **path}
        if known is None:
            config.check(whole)
            continue
        whole["experiments"]["it"]["classes"] = [known - 1, known]
        config.check(whole)
        whole["experiments"]["it"]["classes"] = [0, known + 1]
        with pytest.raises(config.InputError) as caught:
            config.check(whole)
        line = f"classes: {known + 1} is no class of mine, which has 0 to {known}; change it"
        assert str(caught.value) == f"config: experiments.it.{line}"


def test_tables_or_encoders_are_asked_for_by_the_kind():
    assert complaint(IT, {}) is None
    assert complaint({k: v for k, v in IT.items() if k != "tables"}, {}).startswith(
        "config: experiments.it.tables: missing"
    )
    assert "it.tables: unknown key" in complaint({"kind": "attention", "encoders": ["simclr"], "tables": ["iris"]}, {})


def test_a_dataset_without_labels_is_no_table():
    whole = yaml.safe_load((ROOT / "config.yaml").read_text())
    whole["datasets"]["raw"] = {"source": "stl10-unlabeled", "image_size": 96}
    whole["experiments"] = {"it": IT | {"tables": ["raw"], "classes": [0, 1]}}
    with pytest.raises(config.InputError, match=r"it.tables: raw has no labels, which values are about; take another"):
        config.check(whole)


def test_a_dataset_does_not_take_the_place_of_a_table():
    whole = yaml.safe_load((ROOT / "config.yaml").read_text())
    whole["datasets"]["digits-8x8"] = {"source": "digits", "image_size": 32}
    whole["experiments"] = {"it": IT}
    with pytest.raises(config.InputError, match=r"it.tables: digits-8x8 is a table and a dataset"):
        config.check(whole)
