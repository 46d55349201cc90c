import copy
import itertools
import re
import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.finetuning import job as finetune
from memloc.models.capture import capture
from memloc.models.units import isolate
from memloc.streams import stream
from tests.builders.layers import dots
from tests.builders.planted import LAYERS as NUMBERED
from tests.builders.planted import points
from tests.builders.study import Study, complaint

LAYERS = [str(i) for i in range(1, 9)]
MODULES = {str(i): [f"block{i}.conv", f"block{i}.norm"] for i in range(1, 9)}
PROFILE = np.array([0.1, 0.15, 0.16, 0.3, 0.31, 0.5, 0.45, 0.46])  # increments .05 .01 .14 .01 .19 -.05 .01


@pytest.fixture
def tune(toy, normalise, monkeypatch):
    """Fine-tunes an encoder; gives the encoder that was tuned and the marks."""

    def go(encoder, layers, *, seed=0, epochs=3):
        copies = []

        def deepcopy(value):
            copies.append(copy.deepcopy(value))
            return copies[-1]

        monkeypatch.setattr(finetune, "copy", types.SimpleNamespace(deepcopy=deepcopy))
        recipe = {"epochs": epochs, "batch_size": 10, "learning_rate": 1e-2}
        parts = Part(*toy(30)), Part(*toy(15, seed=1))
        modules = [name for layer in layers for name in MODULES[layer]]
        marks = finetune.finetune(encoder, modules, *parts, recipe=recipe, normalise=normalise, seed=seed)
        return copies[0], marks

    return go


def test_layers_of_highest_increment_are_chosen_in_order_of_depth():
    def names(count):
        return finetune.choose(PROFILE, LAYERS, count=count, by="increment")

    assert [names(1), names(2), names(3)] == [["6"], ["4", "6"], ["2", "4", "6"]]


def test_the_first_layer_has_no_increment_and_is_never_chosen_by_it():
    profile = np.array([9.0, 1.0, 2.0])
    assert finetune.choose(profile, ["1", "2", "3"], count=2, by="increment") == ["2", "3"]


def test_the_last_layers_are_the_last():
    assert finetune.choose(PROFILE, LAYERS, count=2, by="last") == ["7", "8"]
    with pytest.raises(ValueError, match="'best' is neither"):
        finetune.choose(PROFILE, LAYERS, count=2, by="best")


@pytest.mark.parametrize("layers", [[], ["3"], ["2", "8"]])
def test_only_the_named_blocks_change_and_frozen_statistics_stay(network, tune, layers):
    encoder = network()
    before = {n: t.clone() for n, t in encoder.state_dict().items()}
    tuned, _ = tune(encoder, layers)
    for name, tensor in tuned.state_dict().items():
        if name.split(".")[0].removeprefix("block") in layers:
            # A convolution's shift before a batch norm has no gradient of its own.
            assert name.endswith("conv.bias") or not torch.equal(tensor, before[name]), name
        else:
            assert torch.equal(tensor, before[name]), name


def test_the_encoder_handed_in_is_left_as_it_was(network, tune):
    encoder = network()
    before = {n: t.clone() for n, t in encoder.state_dict().items()}
    tune(encoder, ["1", "8"])
    assert all(torch.equal(t, before[n]) for n, t in encoder.state_dict().items())
    assert all(p.requires_grad for p in encoder.parameters()) and not encoder.training


def test_the_head_learns_the_task_from_frozen_features(network, tune):
    encoder = network()
    _, before = tune(encoder, [], epochs=1)
    _, after = tune(encoder, [], epochs=60)
    assert after.shape == (15,) and after.dtype == bool
    assert after.mean() >= max(0.8, before.mean())


def test_fine_tuning_that_diverges_is_no_outcome(network, toy, normalise):
    recipe = {"epochs": 3, "batch_size": 10, "learning_rate": 1e30}
    parts = Part(*toy(30)), Part(*toy(15, seed=1))
    with pytest.raises(InputError, match=r"recipe\.learning_rate: 1e\+30 makes fine-tuning diverge; lower it"):
        finetune.finetune(network(), MODULES["8"], *parts, recipe=recipe, normalise=normalise, seed=0)


def test_fine_tuning_is_a_function_of_its_seed(network, tune):
    encoder = network()
    (a, x), (b, y), (c, _) = (tune(encoder, ["8"], seed=s) for s in (0, 0, 1))
    assert np.array_equal(x, y)
    assert torch.equal(a.block8.conv.weight, b.block8.conv.weight)
    assert not torch.equal(a.block8.conv.weight, c.block8.conv.weight)


def test_the_order_of_images_follows_the_seed(network, tune, monkeypatch):
    # All seeds get the same head.
    monkeypatch.setattr(finetune, "stream", lambda *names: stream(*names) if names[0] == "finetune" else 0)
    encoder = network()
    (a, _), (b, _) = (tune(encoder, ["8"], seed=seed, epochs=1) for seed in (0, 1))
    assert not torch.equal(a.block8.conv.weight, b.block8.conv.weight)


def test_a_run_has_the_head_alone_and_two_arms_for_every_count(network, toy, normalise):
    out = finetune.finetune_choices(
        network(),
        PROFILE,
        LAYERS,
        Part(*toy(20)),
        Part(*toy(6, seed=1)),
        modules=MODULES,
        counts=[1, 2],
        subsets=False,
        recipe={"epochs": 1, "batch_size": 10, "learning_rate": 1e-3},
        normalise=normalise,
        seed=0,
    )
    assert out["by"].tolist() == ["head", "increment", "last", "increment", "last"]
    assert out["count"].tolist() == [0, 1, 1, 2, 2]
    assert out["layers"].tolist() == ["", "6", "8", "4 6", "7 8"]
    assert out["correct"].shape == (5, 6) and out["correct"].dtype == bool


def test_every_subset_is_tuned_once_and_arms_of_the_same_layers_are_one(network, toy, normalise, monkeypatch):
    tuned = []

    def finetune_(encoder, modules, train, test, **kwargs):
        tuned.append(tuple(modules))
        return np.random.default_rng(len(tuned)).random(6) < 0.5

    monkeypatch.setattr(finetune, "finetune", finetune_)
    options = {"modules": MODULES, "recipe": {}, "normalise": normalise, "seed": 0}
    parts = Part(*toy(20)), Part(*toy(6, seed=1))
    out = finetune.finetune_choices(network(), PROFILE, LAYERS, *parts, counts=[1, 2], subsets=True, **options)
    subsets = out["layers"][out["by"] == "subset"].tolist()
    assert subsets == LAYERS + [" ".join(pair) for pair in itertools.combinations(LAYERS, 2)]
    assert len(tuned) == len(set(tuned)) == 1 + 8 + 28
    marks = {}
    for layers, right in zip(out["layers"], out["correct"], strict=True):
        assert np.array_equal(right, marks.setdefault(layers, right)), layers


def test_training_a_single_unit_changes_that_unit_and_nothing_else(network):
    encoder = network(seed=1).train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with capture(encoder, ["block8"]) as seen:
        encoder(images)
    unit = int(seen["block8"].mean(dim=(0, 2, 3)).argmax())
    optimizer = torch.optim.Adam(isolate(encoder, {"8": [unit]}, MODULES), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        encoder(images).square().mean().backward()
        optimizer.step()
    for name, tensor in encoder.state_dict().items():
        changed = (tensor != before[name]).reshape(len(tensor) if tensor.dim() else 1, -1).any(dim=1)
        mine = name.startswith("block8.") and not name.split(".")[-1].startswith(("running", "num_batches"))
        assert changed.nonzero()[:, 0].tolist() == ([unit] if mine else []), name


# --- The analysis on planted outcomes --------------------------------------------------------------------------------


def planted(made, increment, last, *, seeds=3, counts=(1, 2), alike=False, agree=(), subsets=False):
    """Outcomes of planted rates; in the seeds that ``agree`` the layers chosen are the last ones."""
    for seed in range(seeds):
        rng = np.random.default_rng([11, 0 if alike else seed])
        hard = rng.random(300)
        arms = [("head", 0, "", 0.6)]
        for k in counts:
            arms += [
                ("increment", k, " ".join(NUMBERED[-k:] if seed in agree else NUMBERED[1 : 1 + k]), increment),
                ("last", k, " ".join(NUMBERED[-k:]), last),
            ]
            if subsets:
                arms += [("subset", k, " ".join(names), last) for names in itertools.combinations(NUMBERED, k)]
        outcomes = {"by": np.array([a[0] for a in arms]), "count": np.array([a[1] for a in arms])}
        outcomes |= {"layers": np.array([a[2] for a in arms])}
        outcomes["correct"] = np.stack([hard + 0.03 * rng.normal(size=300) < a[3] for a in arms])
        profile = points([0.1, 0.2, 0.3, 0.4], split=0 if alike else seed).assign(parameters=100)
        made.add("simclr", seed, outcomes=outcomes, points=profile)
    return made


@pytest.mark.parametrize(("rates", "said"), [((0.8, 0.7), "supported"), ((0.7, 0.8), "refuted"),
                                             ((0.7, 0.7), "inconclusive")])  # fmt: skip
def test_planted_gains_of_fine_tuning_come_out(tmp_path, rates, said):
    table, rows = planted(Study(tmp_path, "finetuning"), *rates).analyse()
    assert rows["subject"].tolist() == [f"simclr, k = {k}, choices differ in 3 of 3 seeds" for k in (1, 2)]
    assert (rows["verdict"] == said).all() and (rows["n"] == 300).all() and (rows["seeds"] == 3).all()
    np.testing.assert_allclose(rows["effect"], rates[0] - rates[1], atol=0.03)
    for name, rate in (("head", 0.6), ("increment", rates[0]), ("last", rates[1])):
        np.testing.assert_allclose(table.loc[table["series"] == name, "value"], rate, atol=0.06)
    chosen = table[(table["series"] == "last") & (table["count"] == 2)]["layers"].iloc[0]
    assert [re.findall(r"\d+", seed) for seed in chosen.split(" | ")] == [["3", "4"]] * 3


def test_how_many_seeds_chose_other_than_the_last_layers_is_said(tmp_path):
    _, rows = planted(Study(tmp_path, "finetuning"), 0.8, 0.7, seeds=4, agree=(0, 2, 3)).analyse()
    subjects = rows["subject"].tolist()
    assert subjects == [f"simclr, k = {k}, choices differ in 1 of 4 seeds" for k in (1, 2)]


def test_choices_that_agree_in_every_seed_say_nothing(tmp_path):
    table, rows = planted(Study(tmp_path, "finetuning"), 0.8, 0.7, seeds=2, agree=(0, 1)).analyse()
    assert not len(rows) and {"head", "increment", "last"} <= set(table["series"])


@pytest.mark.parametrize("agree", [(), (0,)])
def test_one_seed_that_fine_tunes_one_layer_is_drawn(tmp_path, agree):
    study = planted(Study(tmp_path, "finetuning"), 0.8, 0.7, seeds=1, counts=(1,), agree=agree)
    table, rows = study.analyse()
    figure = study.drawn(table)
    accuracy, gain = figure.axes
    plt.close(figure)
    assert dots(accuracy).keys() == {"increment", "last"}
    assert list(dots(gain).get("effect", [])) == pytest.approx(list(rows["effect"]))
    assert [text.get_text() for text in gain.get_xticklabels()] == ["k = 1\n(same layers)" if agree else "k = 1"]


def test_seeds_are_tested_on_the_same_images_so_more_of_them_say_no_more_about_those(tmp_path):
    one, many = (
        planted(Study(tmp_path / str(seeds), "finetuning"), 0.8, 0.7, seeds=seeds, alike=True).analyse()
        for seeds in (1, 5)
    )
    a, b = (rows.set_index(["claim", "n"]).drop_duplicates() for _, rows in (one, many))
    assert (b["high"] > b["low"]).all()
    np.testing.assert_allclose(b[["effect", "low", "high"]], a[["effect", "low", "high"]])
    columns = ["value", "low", "high"]
    a, b = (table.dropna(subset=["low"]).reset_index(drop=True)[columns] for table, _ in (one, many))
    np.testing.assert_allclose(b, a)


OPTIONS = {}


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    return planted(Study(folder, "finetuning"), 0.8, 0.7, seeds=seeds, subsets=True)


def test_a_rate_that_can_not_work_is_told_before_any_job():
    recipe = {"epochs": 2, "batch_size": 10, "learning_rate": 1e-3}
    asked = {
        "kind": "finetuning",
        "encoders": ["simclr"],
        "counts": [1],
        "subsets": False,
        "task": "fashion",
        "images": 40,
    }
    assert complaint(asked | {"recipe": recipe}, {}) is None
    told = complaint(asked | {"recipe": recipe | {"learning_rate": 1e29}}, {})
    assert told.startswith("config: experiments.it.recipe.learning_rate: 1e+29 is greater than the maximum of 1000")
