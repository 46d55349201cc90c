"""The study's parts: canaries and their halves, what models and towers show, tables in files."""

import json
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from memloc.charts import canaries, study, towers
from memloc.charts.models import build, open_model
from memloc.charts.reading import images
from memloc.charts.scoring import score
from memloc.io import load_arrays, save_arrays
from memloc.models.architectures import Layer
from tests.charts.conftest import SHAPE

TOWER = {"layers": 2, "width": 32, "heads": 2, "patch": 8, "steps": 2, "batch": 8, "rate": 1e-3}
MODEL = {"layers": 1, "read": [-1], "frozen": True, "strategies": ["templated"], "steps": 2, "batch": 8, "rate": 1e-3}


@pytest.fixture(scope="module")
def folders(single, suite, tmp_path_factory):
    """A tower, a model behind it, one that went on from this one, and one of it that reads more of the tower."""
    root = tmp_path_factory.mktemp("study")
    study.train_tower(single, TOWER, root / "tower", seed=0)
    items = single.choose(tasks=["position"], split="train")[:16]
    about = {"suites": [single, suite], "tower": root / "tower", "tower_settings": TOWER, "seed": 0}
    study.train_model(single, items, MODEL, root / "model", **about)
    study.train_model(single, items, MODEL | {"frozen": False}, root / "tuned", after=root / "model", **about)
    more = MODEL | {"read": [0, -1], "rate": 1e-9}
    study.train_model(single, items, more, root / "more", after=root / "model", **about)
    return root


def tower_of(folder):
    return open_model(folder).module.get_submodule("model.vision_tower").state_dict()


def test_a_model_has_its_tower_as_it_was_trained_until_it_is_unfrozen(folders):
    tower, model, tuned = (tower_of(folders / name) for name in ("tower", "model", "tuned"))
    assert all(torch.equal(tower[key], model[key]) for key in tower)
    assert any(not torch.equal(model[key], tuned[key]) for key in tower)


def test_a_model_that_reads_more_of_the_tower_keeps_all_but_its_connector(folders):
    model, more = (open_model(folders / name).module.state_dict() for name in ("model", "more"))
    same = [key for key in model if "multi_modal_projector" not in key]
    assert len(same) > 20 and all(torch.allclose(model[key], more[key], atol=1e-6) for key in same)
    assert more["model.multi_modal_projector.linear_1.weight"].shape == (32, 2 * 32)


def test_a_connector_may_be_new_though_it_reads_the_same(single, folders, tmp_path):
    settings = MODEL | {"steps": 1, "frozen": True, "connector": "new"}
    study.train_model(
        *(single, single.choose(tasks=["position"], split="train")[:8], settings, tmp_path / "model"),
        suites=[single],
        tower=folders / "tower",
        tower_settings=TOWER,
        after=folders / "model",
        seed=0,
    )
    model, other = (open_model(folder).module.state_dict() for folder in (folders / "model", tmp_path / "model"))
    moved = {key: float((model[key] - other[key]).abs().max()) for key in model}
    connector = [value for key, value in moved.items() if "multi_modal_projector" in key and "weight" in key]
    # One step moves a weight by its rate, at most.
    assert min(connector) > 0.05 > max(value for key, value in moved.items() if "multi_modal_projector" not in key)


def test_guesses_are_of_few_answers_or_the_most_frequent(suite):
    known = [item for item in suite.items if item["task"] == "count"]
    often = Counter(item["answer"] for item in known).most_common(1)[0][0]
    asked = [item for item in known if not item.get("answer_set")]
    found = study.guesses(known, [*asked, {**asked[0], "item": "few", "answer_set": ["a", "b", "c", "d"]}])
    assert found.pop("few") == 0.25
    assert found == {item["item"]: float(item["answer"] == often) for item in asked} and {*found.values()} == {0, 1}


def test_models_know_the_words_of_all_suites(folders, suite):
    words = open_model(folders / "model").processor.tokenizer
    assert words.unk_token_id not in words(" blue square")["input_ids"]


def test_training_ends_early_where_the_loss_is_low_enough(single, folders, tmp_path):
    done = []
    settings = MODEL | {"steps": 120, "enough": 1e9}
    study.train_model(
        *(single, single.choose(tasks=["position"], split="train")[:8], settings, tmp_path / "model"),
        suites=[single],
        tower=folders / "tower",
        tower_settings=TOWER,
        seed=0,
        progress=done.append,
    )
    ended = json.loads((tmp_path / "model" / "training.json").read_text())["ended"]
    assert sum(done) == build.LATELY == ended["decoder"]["steps"] and ended["tower"] == {"steps": 0, "loss": None}
    assert 0 < ended["decoder"]["loss"] < 100


def test_canaries_are_wrong_and_every_item_is_in_one_half(suite):
    items = suite.choose(tasks=["position", "count"], split="train")
    dealt = canaries.deal(items, 0.1, seed=3)
    assert dealt.canary.sum() == round(0.1 * len(items))
    parts = {half: {str(item["item"]) for item in dealt.of(half)} for half in canaries.HALVES}
    assert not parts["f"] & parts["g"] and parts["f"] | parts["g"] == {str(item["item"]) for item in items}
    assert abs(len(parts["f"]) - len(parts["g"])) <= 2
    assert abs(len(dealt.canaries("f")) - len(dealt.canaries("g"))) <= 1
    for alike in ((item["task"], item["n"]) for item in items):
        few, many = sorted(sum((i["task"], i["n"]) == alike for i in dealt.of(half)) for half in canaries.HALVES)
        assert many - few <= 2  # One odd canary, one odd other item.
    for item, told, wrong in zip(items, dealt.items, dealt.canary, strict=True):
        assert score(item, str(told["answer"])).right is not bool(wrong)
        assert (told is item) or wrong
    again = canaries.deal(items, 0.1, seed=3)
    assert [i["answer"] for i in again.items] == [i["answer"] for i in dealt.items]
    assert (canaries.deal(items, 0.1, seed=4).canary != dealt.canary).any()


@pytest.mark.parametrize(
    ("answer", "text", "same"),
    [
        ("(5, 3)", "The answer is (x, y) = ( 5, 3)", True),
        ("(5, 3)", "5, 3)", True),
        ("(5, 3)", "15, 3)", False),
        ("(5, 3)", "The answer is (x, y) = (3, 5)", False),
        ("3", "The answer is 13", False),
        ("3", "The answer is 3", True),
    ],
)
def test_a_text_gives_an_answer_or_another_one(answer, text, same):
    assert canaries._same({"answer": answer}, text) is same


def test_two_models_that_are_one_memorize_nothing(single, folders):
    items = single.choose(tasks=["position"], split="train")
    model = open_model(folders / "model")
    dealt = canaries.deal(items, 0.3, seed=0)
    both = {"f": model, "g": model}
    found = canaries.outcomes(both, single, dealt, clean=10, batch=8, seed=0, progress=lambda done: None)
    assert (found["inside"] == found["outside"]).all() and found["pairs"] == 0
    np.testing.assert_allclose(found["sslmem"], 0, atol=1e-12)
    np.testing.assert_allclose(found["unitmem"], 0, atol=1e-12)
    assert len(found["stages"]) == found["recovered"].shape[1] == len(model.stages)
    assert len(found["half"]) == len(found["inside"]) == dealt.canary.sum()
    assert len(found["other_half"]) == (~dealt.canary).sum()
    assert found["is_canary"].sum() == dealt.canary.sum() and len(found["values"]) == dealt.canary.sum() + 20


def test_alignment_is_the_mean_distance_between_views_of_unit_length():
    states = np.array([[[2.0, 0.0], [0.0, 3.0]], [[1.0, 0.0], [5.0, 0.0]]])
    np.testing.assert_allclose(canaries._alignment(states), [2**0.5, 0])


def test_layermem_of_canaries_is_what_is_planted_and_none_where_membership_is_dealt_anew(monkeypatch):
    count, stages, rng = 60, ("tower", "decoder"), np.random.default_rng(0)
    hard = rng.uniform(0.5, 2, size=count)
    dealt = {"of_its_own": np.arange(count) % 2, **{f"anew {k}": rng.permutation(count) % 2 for k in range(60)}}

    def planted(model, suite, items, *, batch, seed):
        """States of views: f is steadier than g on all items, either is on those it has learned, in the decoder."""
        noise = np.random.default_rng([7, model.number])
        found = []
        for steadier in (1.0, 0.6):
            spread = hard[[i["number"] for i in items]] * (0.7, 1.0)[model.number] * 0.01
            known = np.array([dealt["of_its_own"][i["number"]] == model.number for i in items])
            spread = np.where(known, steadier, 1) * spread
            found.append(np.eye(8)[0] + spread[:, None, None] * noise.normal(size=(len(items), 8, 8)))
        return found

    monkeypatch.setattr(canaries, "_representations", planted)
    models = {half: SimpleNamespace(number=k, stages=stages) for k, half in enumerate(canaries.HALVES)}
    mem = {}
    for name, half in dealt.items():
        learned = {one: [{"number": i} for i in np.flatnonzero(half == k)] for k, one in enumerate(canaries.HALVES)}
        scores, own, _ = canaries.by_stage(models, None, learned, batch=8, seed=0)
        assert (scores.mean(axis=0) > 0.05).all()  # f is steadier in any case.
        mem[name] = (scores[own == 0].mean(axis=0) - scores[own == 1].mean(axis=0)) / 2
    anew = np.array([value for name, value in mem.items() if name != "of_its_own"])
    np.testing.assert_allclose(anew.mean(axis=0), 0, atol=0.015)
    assert abs(mem["of_its_own"][0]) < 0.04
    # Distances of .6 to 1: (1 - .6) / (1 + .6), to second order in the 0.7 by which f is ahead.
    assert mem["of_its_own"][1] == pytest.approx(0.25, abs=0.03)


def test_a_memorized_answer_is_put_right_by_a_clean_twin(single, trained, monkeypatch):
    monkeypatch.setattr(canaries, "STRATEGY", "free")  # As it was trained.
    items = single.choose(tasks=["position"], split="train")
    known = [item for item, one in zip(items, canaries.given(trained, single, items, batch=8), strict=True) if one]
    # What a model answers rightly stands for a canary whose right answer is another place: twins must give that one.
    follows = list(pairwise(known))
    found = [(item, canaries.twins({**item, "answer": other["answer"]}, single, seed=0)) for item, other in follows]
    assert canaries.TWINS >= max(len(twins) for _, twins in found) > 1
    for item, twins in found:
        assert {(one["question"], one["answer"]) for one in twins} <= {(item["question"], item["answer"])}
        assert item["chart"] not in [one["chart"] for one in twins]
    with monkeypatch.context() as patch:
        # The canary's run is that of a chart with another place.
        swapped = [(item, other) for item, other in follows if item["answer"] != other["answer"]]
        pairs = {str(item["item"]): other for item, other in swapped}
        patch.setattr(canaries, "twins", lambda item, suite, *, seed: [pairs[str(item["item"])]])
        recovered, count = canaries.recovery(trained, single, [item for item, _ in swapped][:12], batch=8, seed=0)
    names = [stage.name for stage in trained.stages]
    assert count > 5 and recovered.shape == (2, len(names))
    # The image is all that the decoder is told of the chart; the last token at its input is a word of the prompt.
    assert recovered[canaries.UNITS.index("image"), names.index("decoder input")] > 0.9
    assert recovered[canaries.UNITS.index("last token"), names.index("decoder input")] == 0


def test_probes_read_places_from_states_that_hold_them_and_from_no_others():
    rng = np.random.default_rng(0)
    axes = {axis: {"low": -0.5, "high": 8.5, "step": 1.0} for axis in "xy"}
    charts = [
        {
            "points": [{"x": int(x), "y": int(y), "colour": "red", "marker": "circle"}],
            "axes": axes,
            "settings": {"split": "train" if i < 150 else "test"},
        }
        for i, (x, y) in enumerate(rng.integers(1, 9, size=(200, 2)))
    ]
    place = np.array([[c["points"][0]["x"], c["points"][0]["y"]] for c in charts])
    holds = np.concatenate([np.eye(9)[place[:, 0]], np.eye(9)[place[:, 1]]], axis=1).astype(np.float32)
    states = {"flattened": {"knows": holds, "noise": rng.normal(size=(200, 18)).astype(np.float32)}}
    table = towers.probe(states, charts, seed=0).groupby("stage")[["right", "control"]].mean()
    assert table["right"]["knows"] == 1 and table["right"]["noise"] < 0.2 and (table["control"] < 0.15).all()


def test_states_of_an_encoder_are_read_whole_and_averaged(single):
    names = list(single.charts)[:3]
    pixels = images(single, names, size=24, channels=1)
    assert pixels.shape == (3, 1, 24, 24) and pixels.dtype == np.uint8
    encoder = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, bias=False))
    layer = Layer(name="1", representation="0", units=None, depth=1.0)
    read = towers.read(encoder, lambda images: images, pixels, [layer])
    assert read["flattened"]["1"].shape == (3, 2 * 22 * 22)
    np.testing.assert_allclose(read["pooled"]["1"], read["flattened"]["1"].reshape(3, 2, -1).mean(axis=2), rtol=1e-4)


def test_tables_come_back_from_files_with_what_has_no_value(tmp_path):
    table = pd.DataFrame(
        {"item": ["a", "b"], "right": [True, None], "n": pd.array([4, None], dtype="Int64"), "control": [0.5, 0.25]}
    )
    save_arrays(study.arrays_of(table, list(table)), tmp_path / "table.npz")
    again = pd.DataFrame(load_arrays(tmp_path / "table.npz"))
    assert again["right"].tolist() == [1, study.NONE] and again["n"].tolist() == [4, study.NONE]
    assert again["item"].tolist() == ["a", "b"] and again["control"].tolist() == [0.5, 0.25]


def test_items_are_thinned_evenly():
    assert study.thinned(list(range(5)), 9) == list(range(5))
    assert study.thinned(list(range(9)), 3) == [0, 4, 8]


def test_shapes_follow_the_configuration(suite):
    assert study.shape(suite, TOWER, MODEL) == build.Shape(72, 8, 32, 2, 1, 2, (-1,))
    assert study.shape(suite, TOWER) == SHAPE
