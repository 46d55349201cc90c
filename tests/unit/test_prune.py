import numpy as np
import pytest
import torch

from memloc import encoders
from memloc.capture import capture
from memloc.prepared import Part
from memloc.prune import arms, choose, prune, run

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


def test_a_run_marks_every_test_point_of_every_task_in_every_arm(network, toy, normalise):
    tasks = {"a": (Part(*toy(30)), Part(*toy(9, seed=1))), "b": (Part(*toy(30, seed=2)), Part(*toy(6, seed=3)))}
    encoder = network()
    options = {"modules": MODULES, "fractions": [0.5], "trials": 2, "normalise": normalise, "seed": 0}
    out = run(encoder, scores(encoder), tasks, **options)
    assert out["by"].tolist() == ["none"] * 2 + ["top"] * 2 + ["low"] * 2 + ["random"] * 4
    assert out["dataset"].tolist() == ["a", "b"] * 5 and out["tested"].tolist() == [9, 6] * 5
    assert out["trial"].tolist() == [0] * 8 + [1, 1] and out["correct"].shape == (10, 9)
    assert not out["correct"][out["dataset"] == "b"][:, 6:].any()
    assert out["correct"][0].mean() > 0.6  # classes of the toy images are easy to tell apart


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
