import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from memloc.analysis.inputs import Inputs
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments import module
from memloc.experiments.pruning.job import (
    NEAREST,
    activity,
    arms,
    check_fractions,
    choose,
    choose_matched,
    magnitudes,
    probe_pruned,
    prune,
)
from memloc.metrics.stats import ranks
from memloc.models import architectures as encoders
from memloc.models.capture import capture
from tests.builders.desk import desk
from tests.builders.study import Study

BLOCKS = [f"block{i}" for i in range(1, 9)]
MODULES = {str(i): [f"block{i}.conv", f"block{i}.norm"] for i in range(1, 9)}


def scores(encoder, seed=0):
    rng = np.random.default_rng(seed)
    return {str(i): rng.random(encoder.get_submodule(f"block{i}").conv.out_channels) for i in range(1, 9)}


def test_top_and_low_are_the_highest_and_lowest_scores():
    values = {"1": np.array([0.3, 0.9, 0.1, 0.9, 0.5]), "2": np.array([0.2, 0.1])}
    assert {k: v.tolist() for k, v in choose(values, fraction=0.4, by="top", seed=0).items()} == {"1": [1, 3], "2": [0]}
    low = choose(values, fraction=0.4, by="low", seed=0)
    assert {k: v.tolist() for k, v in low.items()} == {"1": [0, 2], "2": [1]}


def test_ties_go_to_the_lower_unit():
    for by in ("top", "low"):
        assert choose({"1": np.zeros(6)}, fraction=0.5, by=by, seed=0)["1"].tolist() == [0, 1, 2]


def test_every_choice_has_the_same_number_of_distinct_units_in_each_layer(network):
    values = scores(network())
    chosen = [choose(values, fraction=0.2, by=by, seed=1) for by in ("top", "low", "random")]
    for layer, units in values.items():
        assert {len(set(c[layer].tolist())) for c in chosen} == {round(0.2 * len(units))}


def test_random_choices_depend_on_the_seed_and_the_layer_and_not_on_the_scores(network):
    values = scores(network())
    draws = ((values, 1), (scores(network(), 5), 1), (values, 2))
    a, b, c = (choose(v, fraction=0.5, by="random", seed=s) for v, s in draws)
    assert all(np.array_equal(a[k], b[k]) for k in a)
    assert any(not np.array_equal(a[k], c[k]) for k in a)
    assert not np.array_equal(a["6"], a["7"])


def test_random_choices_reach_every_unit_equally():
    counts = np.zeros(20)
    for seed in range(400):
        counts[choose({"1": np.zeros(20)}, fraction=0.25, by="random", seed=seed)["1"]] += 1
    assert np.abs(counts - 100).max() < 4.5 * np.sqrt(400 * 0.25 * 0.75)


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="'best' is none of"):
        choose({"1": np.zeros(4)}, fraction=0.5, by="best", seed=0)
    with pytest.raises(ValueError, match="'block' is none of"):
        choose({"1": np.zeros(4)}, fraction=0.5, by="top", seed=0, scope="block")


def test_random_units_of_a_seed_are_those_of_the_runs_before():
    """Published results were made with them: the same seed must go on choosing the same units."""
    values = {"1": np.zeros(16), "5": np.zeros(32)}
    chosen = choose(values, fraction=0.2, by="random", seed=1_000_003 + 1_009 + 200)
    assert {name: rows.tolist() for name, rows in chosen.items()} == {"1": [5, 6, 8], "5": [9, 16, 17, 20, 30, 31]}


def test_one_ranking_over_all_units_takes_the_highest_wherever_they_are():
    values = {"1": np.array([0.3, 0.9]), "2": np.array([0.1, 0.9, 0.5]), "3": np.array([0.2])}
    top, low = (choose(values, fraction=0.5, by=by, seed=0, scope="total") for by in ("top", "low"))
    assert {k: v.tolist() for k, v in top.items()} == {"1": [1], "2": [1, 2], "3": []}
    assert {k: v.tolist() for k, v in low.items()} == {"1": [0], "2": [0], "3": [0]}


def test_random_units_of_all_layers_are_as_many_as_asked_for_and_equally_likely():
    values, counts = {"1": np.zeros(4), "2": np.zeros(16)}, np.zeros(20)
    for seed in range(400):
        chosen = choose(values, fraction=0.25, by="random", seed=seed, scope="total")
        assert sum(map(len, chosen.values())) == 5
        counts[np.concatenate([chosen["1"], chosen["2"] + 4])] += 1
    assert np.abs(counts - 100).max() < 4.5 * np.sqrt(400 * 0.25 * 0.75)


@pytest.mark.parametrize("scope", ["layer", "total"])
def test_matched_units_are_others_of_the_same_layers_and_about_as_active(scope):
    rng = np.random.default_rng(2)
    # Top units are the weakly active ones, as in an encoder: random units are far more active.
    activation = {name: rng.random(60) for name in "123"}
    scores = {name: 1 - a + 0.3 * rng.random(60) for name, a in activation.items()}
    rank = activity(activation)
    top = choose(scores, fraction=0.1, by="top", seed=0, scope=scope)
    gaps, seen = {"matched": [], "random": []}, {name: set() for name in scores}
    for seed in range(30):
        matched = choose_matched(scores, activation, fraction=0.1, seed=seed, scope=scope)
        for name, rows in matched.items():
            assert len(set(rows)) == len(top[name]) and not set(rows) & set(top[name])
            seen[name] |= set(rows)
        random = choose(scores, fraction=0.1, by="random", seed=seed, scope=scope)
        mean = {kind: np.concatenate([rank[n][r] for n, r in units.items()]).mean()
                for kind, units in (("top", top), ("matched", matched), ("random", random))}  # fmt: skip
        for kind in gaps:
            gaps[kind].append(mean[kind] - mean["top"])
    assert abs(np.mean(gaps["matched"])) < 0.12 < 0.25 < np.mean(gaps["random"])
    assert all(len(units) > len(top[name]) for name, units in seen.items())  # they are drawn, not fixed


def test_a_matched_unit_is_one_of_the_nearest_in_rank():
    activation = {"1": np.array([9.0, 1, 2, 3, 10, 20, 30, 40, 50, 60])}
    scores = {"1": np.array([1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0])}
    drawn = {int(choose_matched(scores, activation, fraction=0.1, seed=s)["1"][0]) for s in range(60)}
    # In order of activation: 1, 2, 3, 9 (the top one), 10, 20, ...: one rank away 3 and 10, two away 2 (before 20).
    assert drawn == {2, 3, 4} and NEAREST == 3


def test_a_layer_without_others_borrows_from_the_rest():
    scores = {"1": np.array([0.9, 0.8]), "2": np.zeros(6)}
    matched = choose_matched(
        scores, {"1": np.array([1.0, 2.0]), "2": np.arange(6.0)}, fraction=0.25, seed=0, scope="total"
    )
    assert len(matched["1"]) == 0 and len(matched["2"]) == 2


def test_more_than_a_third_can_not_be_matched():
    with pytest.raises(ValueError, match=r"0\.4 leaves less than two"):
        choose_matched({"1": np.zeros(9)}, {"1": np.zeros(9)}, fraction=0.4, seed=0)
    assert {a["fraction"] for a in arms([0.1, 1 / 3, 0.4], 1, baselines=["matched"]) if a["by"] == "matched"} == {
        0.1,
        1 / 3,
    }


def test_units_of_other_layers_are_not_matched():
    scores, trait = {"1": np.zeros(9), "2": np.zeros(9)}, {"2": np.zeros(9), "1": np.zeros(9)}
    for other in (trait, scores | {"1.att": np.zeros(9)}):
        with pytest.raises(ValueError, match=r"can't be matched with those of 1, 2"):
            choose_matched(scores, other, fraction=0.2, seed=0)


def test_a_transformer_is_pruned_by_magnitude_in_its_layers_that_have_units(toy, normalise):
    options = {"patch": 4, "depth": 2, "width": 0.125}
    torch.manual_seed(0)
    encoder = encoders.build("vit-tiny", options, image_size=16).eval()
    modules = encoders.unit_modules(encoders.choose_layers("vit-tiny", options, ["*"]))
    assert modules == {"1.fc": ["blocks.0.mlp.fc1"], "2.fc": ["blocks.1.mlp.fc1"]}
    sizes = {name: encoder.get_submodule(names[0]).out_features for name, names in modules.items()}
    rng = np.random.default_rng(0)
    known = {trait: {name: rng.random(size) for name, size in sizes.items()} for trait in ("unitmem", "activation")}
    baselines = ["matched-magnitude", "magnitude-low"]
    tasks = {"a": (Part(*toy(12)), Part(*toy(4, seed=1)))}
    asked = {"fractions": [0.2], "scopes": ["layer"], "baselines": baselines, "trials": 1}
    it = desk(encoder=encoder, unit_modules=modules, tasks=tasks, normalise=normalise, options=asked)
    out = probe_pruned(it, known)
    assert out["by"].tolist() == ["none", "top", "low", "random", *baselines]


def test_activity_is_a_rank_within_the_layer():
    got = activity({"1": np.array([5.0, 0.0, 0.0, 7.0]), "2": np.array([100.0])})
    assert got["1"].tolist() == [0.625, 0.25, 0.25, 0.875] and got["2"].tolist() == [0.5]


def test_magnitudes_are_norms_of_filters_over_the_mean_of_their_layer(network):
    encoder = network()
    with torch.no_grad():
        encoder.block5.norm.weight[0] = 1000  # no weight of a filter
        encoder.block5.conv.bias[0] = 1000
    found = magnitudes(encoder, MODULES)
    norms = [float((w**2).sum() ** 0.5) for w in encoder.block5.conv.weight.detach().double()]
    np.testing.assert_allclose(found["5"], np.array(norms) / np.mean(norms))
    assert all(values.mean() == pytest.approx(1) for values in found.values())


def test_pruned_units_put_out_exactly_zero_in_every_block(network):
    encoder = network(seed=3)
    units = choose(scores(encoder), fraction=0.3, by="random", seed=0)
    pruned = prune(encoder, units, MODULES)
    x = torch.rand(4, 3, 32, 32)
    with capture(encoder, BLOCKS) as before:
        encoder(x)
    with capture(pruned, BLOCKS) as after:
        pruned(x)
    for layer, rows in units.items():
        assert (after[f"block{layer}"][:, rows] == 0).all()
    assert sum(bool((before[f"block{layer}"][:, rows] != 0).any()) for layer, rows in units.items()) >= 6
    kept = np.setdiff1d(np.arange(4), units["1"])
    assert len(units["1"]) == 1
    assert torch.equal(after["block1"][:, kept], before["block1"][:, kept])


def test_every_tensor_of_a_layer_loses_the_same_units_and_no_other_changes(network):
    encoder = network()
    units = {"3": np.array([1, 4]), "8": np.array([0])}
    before, after = encoder.state_dict(), prune(encoder, units, MODULES).state_dict()
    for name, tensor in before.items():
        layer = name[len("block")]
        if layer in units and not name.split(".")[-1].startswith(("running", "num")):
            changed = np.flatnonzero((after[name] != tensor).reshape(len(tensor), -1).any(dim=1).numpy())
            assert changed.tolist() == units[layer].tolist(), name
            assert (after[name][units[layer]] == 0).all()
        else:
            assert torch.equal(after[name], tensor), name


def test_the_encoder_itself_is_left_as_it_was(network):
    encoder = network()
    before = {n: t.clone() for n, t in encoder.state_dict().items()}
    prune(encoder, {"2": np.arange(3)}, MODULES)
    assert all(torch.equal(t, before[n]) for n, t in encoder.state_dict().items())


def test_pruning_nothing_changes_nothing(network):
    encoder, x = network(), torch.rand(2, 3, 16, 16)
    assert torch.equal(prune(encoder, {}, MODULES)(x), encoder(x))


def test_the_arms_are_one_unpruned_and_for_each_fraction_top_low_and_every_trial():
    got = [(a["by"], a["fraction"], a["trial"]) for a in arms([0.1, 0.2], 2)]
    assert got[0] == ("none", 0.0, 0)
    assert sorted(got[1:]) == sorted(
        [(by, f, 0) for by in ("top", "low") for f in (0.1, 0.2)]
        + [("random", f, t) for f in (0.1, 0.2) for t in (0, 1)]
    )


def traits(encoder):
    return {name: scores(encoder, seed) for seed, name in enumerate(("unitmem", "excess", "activation"))}


def test_a_run_marks_every_test_point_of_every_task_in_every_arm(network, toy, normalise):
    tasks = {"a": (Part(*toy(30)), Part(*toy(9, seed=1))), "b": (Part(*toy(30, seed=2)), Part(*toy(6, seed=3)))}
    encoder = network()
    asked = {"fractions": [0.5], "trials": 2, "scopes": ["layer"], "baselines": []}
    it = desk(encoder=encoder, unit_modules=MODULES, tasks=tasks, normalise=normalise, options=asked)
    out = probe_pruned(it, traits(encoder))
    assert out["by"].tolist() == ["none"] * 2 + ["top"] * 2 + ["low"] * 2 + ["random"] * 4
    assert out["dataset"].tolist() == ["a", "b"] * 5 and out["tested"].tolist() == [9, 6] * 5
    assert out["trial"].tolist() == [0] * 8 + [1, 1] and out["correct"].shape == (10, 9)
    assert out["scope"].tolist() == ["none"] * 2 + ["layer"] * 8
    assert not out["correct"][out["dataset"] == "b"][:, 6:].any()
    assert out["correct"][0].mean() > 0.6  # classes of the toy images are easy to tell apart


@pytest.mark.parametrize(
    ("fraction", "scope", "line"),
    [
        (1e-9, "layer", r"fractions: 1e-09 of at most \d+ units \(scope layer\) is none; raise it"),
        (1e-9, "total", r"fractions: 1e-09 of at most \d+ units \(scope total\) is none; raise it"),
        (0.99, "layer", r"fractions: 0\.99 \(scope layer\) leaves layer 1 no unit; lower it"),
    ],
)
def test_fractions_that_prune_nothing_or_a_whole_layer_are_told_before_any_probe(
    network, toy, normalise, monkeypatch, fraction, scope, line
):
    monkeypatch.setattr("memloc.experiments.pruning.job.probe.features", None)
    encoder, tasks = network(), {"a": (Part(*toy(12)), Part(*toy(4, seed=1)))}
    asked = {"fractions": [0.5, fraction], "trials": 1, "scopes": [scope], "baselines": []}
    it = desk(encoder=encoder, unit_modules=MODULES, tasks=tasks, normalise=normalise, options=asked)
    with pytest.raises(InputError, match=line):
        probe_pruned(it, traits(encoder))


def test_one_ranking_of_all_units_may_empty_a_layer():
    check_fractions([0.9], ["total"], {"1": 4, "2": 40})
    with pytest.raises(InputError, match="leaves layer 1 no unit"):
        check_fractions([0.9], ["layer"], {"1": 4, "2": 40})


def test_every_arm_prunes_by_its_own_trait(network, toy, normalise, monkeypatch):
    encoder, pruned = network(), []
    known = traits(encoder)
    # A layer ten times as active must not win a ranking over all units.
    known["activation"]["1"] = 10 * known["activation"]["1"]
    known["unitmem"] = {name: known["unitmem"][name] for name in MODULES}

    def noted(encoder, units, modules):
        pruned.append(units)
        return prune(encoder, units, modules)

    monkeypatch.setattr("memloc.experiments.pruning.job.prune", noted)
    tasks = {"a": (Part(*toy(12)), Part(*toy(4, seed=1)))}
    baselines = ["matched", "excess", "activation-low", "activation-high", "magnitude-low"]
    asked = {"fractions": [0.2], "trials": 2, "scopes": ["layer", "total"], "baselines": baselines}
    it = desk(encoder=encoder, unit_modules=MODULES, tasks=tasks, normalise=normalise, options=asked, seed=3)
    out = probe_pruned(it, known)
    assert out["by"].tolist() == ["none"] + 2 * ["top", "low", *["random"] * 2, *["matched"] * 2, *baselines[1:]]
    relative = {name: values / values.mean() for name, values in known["activation"].items()}
    ranked = {
        "top": (known["unitmem"], "top"),
        "low": (known["unitmem"], "low"),
        "excess": (known["excess"], "top"),
        "activation-low": (relative, "low"),
        "activation-high": (relative, "top"),
        "magnitude-low": (magnitudes(encoder, MODULES), "low"),
    }
    rank = {name: (ranks(values) - 0.5) / len(values) for name, values in known["activation"].items()}
    for by, scope, active, units in zip(out["by"], out["scope"], out["active"], pruned, strict=True):
        if by in ranked:
            values, end = ranked[by]
            expected = choose(values, fraction=0.2, by=end, seed=0, scope=scope)
            assert all(np.array_equal(units[name], expected[name]) for name in MODULES), by
        if by != "none":
            assert active == pytest.approx(np.mean([rank[n][u] for n, rows in units.items() for u in rows]))
    # The draws of every trial, of every kind, are other ones.
    drawn = [units for by, units in zip(out["by"], pruned, strict=True) if by in ("random", "matched")]
    assert len({str({name: rows.tolist() for name, rows in units.items()}) for units in drawn}) == len(drawn) == 8
    # In the arms' own words: random units of trial 1 are those that this seed has always drawn.
    first = choose(known["unitmem"], fraction=0.2, by="random", seed=3 * 1_000_003 + 1_009 + 200)
    assert all(np.array_equal(pruned[4][name], first[name]) for name in MODULES)


@pytest.mark.parametrize(
    ("architecture", "options", "layer"),
    [
        ("resnet18", {"stem": "cifar", "width": 0.25}, "layer2.1.conv1"),
        ("vgg19", {}, "conv5"),
        ("vit-tiny", {"patch": 4, "depth": 1, "width": 1}, "1.fc"),
    ],
)
def test_units_of_every_family_fall_silent_and_the_others_do_not(architecture, options, layer):
    torch.manual_seed(0)
    encoder = encoders.build(architecture, options, image_size=32).eval()
    (entry,) = encoders.choose_layers(architecture, options, [layer])
    rows = np.array([0, 3])
    x = torch.rand(2, 3, 32, 32)
    pruned = prune(encoder, {layer: rows}, {layer: entry.modules})
    with torch.no_grad(), capture(encoder, [entry.units]) as before, capture(pruned, [entry.units]) as after:
        encoder(x), pruned(x)
    put_out = [maps[entry.units].movedim(entry.axis, 0).flatten(1).abs().amax(dim=1) for maps in (before, after)]
    assert (put_out[0][rows] > 0).all() and (put_out[1][rows] == 0).all()
    kept = np.setdiff1d(np.arange(len(put_out[0])), rows)
    assert torch.equal(put_out[0][kept], put_out[1][kept])


# --- The analysis on planted outcomes --------------------------------------------------------------------------------


def planted(made, accuracy, *, seeds=3, tests=None, trials=4, alike=False, scopes=("layer",), fractions=(0.1, 0.2)):
    """Outcomes whose arms get points right at planted rates; a task with fewer test points is padded with False.

    Args:
        accuracy: by arm, or by arm and scope or fraction where these differ.
        alike: all seeds have the same outcomes.
    """
    tests = tests or {"seen": 300, "unseen": 200}
    kinds = [by for by in accuracy if by != "none"]
    for seed in range(seeds):
        rng = np.random.default_rng([10, 0 if alike else seed])
        rows = []
        for task, n in tests.items():
            hard = rng.random(n)
            arms = [("none", "none", 0.0, 0)]
            for scope, fraction, by in itertools.product(scopes, fractions, kinds):
                if not by.startswith("matched") or fraction <= 1 / 3:
                    drawn = trials if by in ("random", "matched", "matched-magnitude") else 1
                    arms += [(by, scope, fraction, trial) for trial in range(drawn)]
            for by, scope, fraction, trial in arms:
                rate = accuracy[by]
                if isinstance(rate, dict):
                    rate = rate[scope] if scope in rate else rate[fraction]
                right = np.zeros(max(tests.values()), dtype=bool)
                right[:n] = hard + 0.03 * rng.normal(size=n) < rate
                about = {"by": by, "scope": scope, "fraction": fraction, "trial": trial, "dataset": task, "tested": n}
                rows.append({**about, "active": fraction, "correct": right})
        order = rng.permutation(len(rows))
        made.add("simclr", seed, outcomes={key: np.array([rows[i][key] for i in order]) for key in rows[0]})
    return made


PRUNED = {"none": 0.9, "top": 0.7, "random": 0.8, "low": 0.88, "matched": 0.78, "excess": 0.72, "activation-low": 0.86}
NULLS = {"matched-magnitude": 0.79, "top-unseen": 0.77, "excess-unseen": 0.8}


def test_planted_costs_of_pruning_come_out(tmp_path):
    rates = {"none": 0.9, "top": 0.7, "random": 0.8, "low": 0.88}
    study = planted(Study(tmp_path, "pruning"), rates)
    table, rows = study.analyse()
    for task in ("seen", "unseen"):
        mine = table[table["task"] == task]
        for by, rate in rates.items():
            np.testing.assert_allclose(mine.loc[mine["series"] == by, "value"], rate, atol=0.06)
    outcomes = Inputs(study.runs, study.files).arrays("outcomes", "simclr")
    for task, n in (("seen", 300), ("unseen", 200)):
        mine = table[(table["task"] == task) & (table["fraction"] == 0.2)].set_index("series")
        for by in ("top", "random", "low"):
            expected = [
                o["correct"][(o["dataset"] == task) & (o["by"] == by) & (o["fraction"] == 0.2)][:, :n].mean()
                for o in outcomes
            ]
            assert mine.loc[[by], "value"].iloc[0] == pytest.approx(np.mean(expected))
        trials = mine.loc[["random trial"], "value"]
        assert len(trials) == 3 * 4 and trials.mean() == pytest.approx(mine.loc["random", "value"])
    assert set(rows["subject"]) == {f"simclr on {task}, mean over 10 and 20 %" for task in ("seen", "unseen")}
    assert len(rows) == 4
    assert (rows["verdict"] == "supported").all()
    assert rows.set_index(["claim", "subject"])["n"]["pruning.top", "simclr on unseen, mean over 10 and 20 %"] == 200
    for claim, effect in (("pruning.top", 0.1), ("pruning.low", 0.08)):
        np.testing.assert_allclose(rows.loc[rows["claim"] == claim, "effect"], effect, atol=0.03)


def test_a_cost_is_the_mean_of_those_at_the_fractions(tmp_path):
    rates = {"none": 0.9, "top": {0.1: 0.7, 0.2: 0.5}, "random": {0.1: 0.8, 0.2: 0.76}, "low": 0.88}
    _, rows = planted(Study(tmp_path, "pruning"), rates).analyse()
    for claim, effect in (("pruning.top", (0.1 + 0.26) / 2), ("pruning.low", (0.08 + 0.12) / 2)):
        np.testing.assert_allclose(rows.loc[rows["claim"] == claim, "effect"], effect, atol=0.015)


def test_pruning_that_costs_the_other_way_round_refutes(tmp_path):
    rates = {"none": 0.9, "top": 0.88, "random": 0.8, "low": 0.7, "matched": 0.75, "excess": 0.86}
    _, rows = planted(Study(tmp_path, "pruning"), rates).analyse()
    assert (rows["verdict"] == "refuted").all() and len(rows) == 8


def test_pruning_that_is_all_one_gives_no_verdict(tmp_path):
    arms = ("none", "top", "random", "low", "matched", "excess")
    _, rows = planted(Study(tmp_path, "pruning"), dict.fromkeys(arms, 0.8)).analyse()
    assert (rows["verdict"] == "inconclusive").all()


def test_pruning_is_told_for_each_scope_at_the_fractions_of_the_paper(tmp_path):
    # One ranking over all units does nothing here; half of the units would turn every verdict round.
    rates = {by: {"layer": rate, "total": 0.8} for by, rate in PRUNED.items() if by != "none"} | {"none": 0.9}
    study = planted(Study(tmp_path, "pruning"), rates, scopes=("total", "layer"))
    table, rows = study.analyse()
    assert set(table.loc[table["series"] == "matched", "scope"]) == {"layer", "total"}
    rows = rows.set_index(["claim", "subject"])["verdict"]
    assert len(rows) == 4 * 2 * 2
    for (_, subject), verdict in rows.items():
        assert verdict == ("inconclusive" if "of all units" in subject else "supported")


def test_fractions_that_the_paper_lacks_and_arms_that_end_are_left_out_of_verdicts(tmp_path):
    study = planted(
        Study(tmp_path, "pruning"),
        PRUNED,
        fractions=(0.05, 0.1, 0.5),
        tests={"fashion": 300},
        scopes=("total", "layer"),
    )
    table, rows = study.analyse()
    assert table.loc[table["series"] == "matched", "fraction"].max() == 0.1
    assert len(rows) == 4 * 2
    rows = rows.set_index(["claim", "subject"])
    at = table[(table["fraction"] == 0.1) & (table["scope"] == "total")].set_index("series")["value"]
    gap = at["random"] - at["top"]
    assert rows["effect"]["pruning.top", "simclr on fashion, of all units, 10 %"] == pytest.approx(gap)
    assert rows["paper_effect"]["pruning.top", "simclr on fashion, of all units, 10 %"] == (
        pytest.approx(0.5677 - 0.4916)
    )


def test_the_papers_accuracies_stand_beside_the_setting_that_they_belong_to(tmp_path):
    study = planted(
        Study(tmp_path, "pruning"),
        PRUNED,
        tests={"fashion": 200, "digits": 100, "mine": 100},
        scopes=("layer", "total"),
    )
    table, rows = study.analyse()
    paper = table.dropna(subset=["paper"]).set_index(["task", "scope", "fraction", "series"])["paper"]
    # Three arms, and the differences of two of them that figures show.
    differences = [" minus " in series for *_, series in paper.index]
    assert len(paper) == 3 * (3 + 1) + 2 and sum(differences) == 2
    assert paper["fashion", "layer", 0.1, "top"] == 0.5304 and paper["digits", "layer", 0.1, "low"] == 0.7226
    assert paper["fashion", "total", 0.1, "random"] == 0.5677 and paper["fashion", "layer", 0.2, "low"] == 0.5484
    effects = rows.set_index(["claim", "subject"])["paper_effect"].dropna().round(6).to_dict()
    assert effects == {
        ("pruning.top", "simclr on fashion, mean over 10 and 20 %"): 0.04045,
        ("pruning.top", "simclr on fashion, 10 % of each layer"): 0.0505,
        ("pruning.top", "simclr on fashion, 20 % of each layer"): 0.0304,
        ("pruning.top", "simclr on fashion, 10 % of all units"): 0.0761,
        ("pruning.top", "simclr on digits, 10 % of each layer"): 0.032,
        ("pruning.low", "simclr on fashion, mean over 10 and 20 %"): 0.03995,
        ("pruning.low", "simclr on fashion, 10 % of each layer"): 0.0449,
        ("pruning.low", "simclr on fashion, 20 % of each layer"): 0.035,
        ("pruning.low", "simclr on fashion, 10 % of all units"): 0.0585,
        ("pruning.low", "simclr on digits, 10 % of each layer"): 0.0522,
    }


def test_where_an_arm_lies_among_the_random_trials_is_counted_over_seeds(tmp_path):
    study = Study(tmp_path, "pruning")
    # Trials of seed 0: 0.5, 0.6, 0.7 right; of seed 1: all 0.6.
    for seed, trials in enumerate(([500, 600, 700], [600, 600, 600])):
        arms = [("none", "none", 0.0, 1000), ("top", "layer", 0.1, 500), ("low", "layer", 0.1, (800, 500)[seed])]
        arms += [("excess", "layer", 0.1, (507, 600)[seed]), ("excess-unseen", "layer", 0.1, (693, 600)[seed])]
        arms += [("random", "layer", 0.1, right) for right in trials]
        about = {"by": [a[0] for a in arms], "scope": [a[1] for a in arms], "fraction": [a[2] for a in arms]}
        marks = np.stack([np.arange(1000) < a[3] for a in arms])
        about |= {"dataset": ["fashion"] * 8, "tested": [1000] * 8, "active": [0.5] * 8}
        about["trial"] = [0] * 6 + [1, 2]
        study.add("simclr", seed, outcomes={key: np.array(value) for key, value in about.items()} | {"correct": marks})
    table, _ = study.analyse()
    rows = table.set_index("series")[["below", "above", "spread", "value"]]
    # The 2.5 % quantile of 0.5, 0.6, 0.7 is 0.505, and the 97.5 % one 0.695.
    assert (rows.loc[["excess", "excess-unseen"], ["below", "above"]] == 0).all(axis=None)
    assert rows.loc["top", ["below", "above", "value"]].tolist() == pytest.approx([1.0, 0.0, 0.5])
    assert rows.loc["low", ["below", "above", "value"]].tolist() == pytest.approx([0.5, 0.5, 0.65])
    assert rows.loc["random", "spread"] == pytest.approx(0.05) and np.isnan(rows.loc["top", "spread"])
    assert rows.loc["none"][["below", "above", "spread"]].isna().all()


def test_seeds_are_tested_on_the_same_images_so_more_of_them_say_no_more_about_those(tmp_path):
    one, many = (
        planted(Study(tmp_path / str(seeds), "pruning"), PRUNED, seeds=seeds, alike=True).analyse() for seeds in (1, 5)
    )
    a, b = (rows.set_index(["claim", "n"]).drop_duplicates() for _, rows in (one, many))
    assert (b["high"] > b["low"]).all()
    np.testing.assert_allclose(b[["effect", "low", "high"]], a[["effect", "low", "high"]])
    columns = ["value", "low", "high"]
    a, b = (table.dropna(subset=["low"]).reset_index(drop=True)[columns] for table, _ in (one, many))
    np.testing.assert_allclose(b, a)


def test_pruning_by_a_single_fraction_is_drawn():
    arms = ["none", "top minus random", "low minus random"]
    table = pd.DataFrame({"encoder": "simclr", "task": "seen", "series": arms, "fraction": [0.0, np.nan, np.nan]})
    table = table.assign(scope=["none", "layer", "layer"], value=[0.9, -0.3, 0.1], low=-0.4, high=0.2, paper=np.nan)
    figure = module("pruning").draw(table, np.zeros((1, 1, 2, 2), np.uint8))
    values = [shown.lines[0].get_xdata()[0] for shown in figure.axes[0].containers]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    plt.close(figure)
    # As the claims have it: above 0 where pruning costs as the paper says.
    assert values == [0.3, 0.1]
    assert names == ["above 0 if as claimed:", "random minus highest UnitMem", "lowest UnitMem minus random"]


def test_planted_nulls_of_pruning_come_out(tmp_path):
    _, rows = planted(Study(tmp_path, "pruning"), PRUNED | NULLS).analyse()
    rows = rows.set_index(["claim", "subject"])["effect"]
    gaps = {"matched-magnitude": 0.09, "top-unseen": 0.07, "excess-unseen": 0.08}
    for claim, gap in gaps.items():
        assert rows[f"pruning.{claim}", "simclr on seen, mean over 10 and 20 %"] == pytest.approx(gap, abs=0.03)


OPTIONS = {}


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    return planted(Study(folder, "pruning"), PRUNED | NULLS, seeds=seeds, scopes=("layer", "total"))
