"""What entries of ``charts`` may not ask of one another."""

import copy

import pytest
import yaml
from snakemake.utils import update_config

from memloc import config
from memloc.provenance import ROOT


@pytest.fixture(scope="module")
def whole():
    """The default configuration under that of charts."""
    merged = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(merged, yaml.safe_load((ROOT / "config/charts.yaml").read_text()))
    return merged


WRONG = {
    "suite": ("towers", "dense", {"suite": "mark"}, "suite: 'mark' is none of marks, tasks"),
    "patch": ("towers", "dense", {"patch": 7}, "patch: 7 doesn't divide the 72 pixels of tasks; change one"),
    "heads": ("towers", "dense", {"heads": 3}, "heads: 3 don't divide width 64; change one"),
    "encoder": ("towers", "untrained", {"encoder": "nobody"}, "encoder: 'nobody' is none of "),
    "seed of an encoder": (
        "towers",
        "untrained",
        {"seeds": [7]},
        "seeds: charts has no seed 7; take of 3, 4, 5",
    ),
    "tower": ("models", "plain", {"tower": "untrained"}, "tower: untrained is of kind untrained; name one of kind sup"),
    "seed of a tower": ("models", "plain", {"seeds": [3, 8]}, "seeds: dense has no seed 8; take of 3, 4, 5"),
    "read": ("models", "plain", {"read": [4]}, "read: [4]: the tower has 3 layers; take of 0 and -3 to -1"),
    "after": (
        "models",
        "tuned",
        {"layers": 1},
        "after: tasks has another tower, other layers or other seeds; make them",
    ),
    "suite of a model": ("models", "plain", {"suite": "crowds"}, "suite: 'crowds' is none of marks, tasks"),
    "tasks": ("models", "plain", {"tasks": ["count"]}, "tasks: marks has no task count; take of position"),
    "after one another": ("models", "tasks", {"after": "tuned"}, "after: tuned goes on from tasks itself; let one"),
    "after canaries": ("models", "wider", {"after": "canaries"}, "after: canaries has canaries; name a model without"),
    "after itself": ("models", "tuned", {"after": "tuned"}, "after: 'tuned' is none of plain, longer, unfrozen"),
    "read twice": ("models", "plain", {"read": [3, -1]}, "read: [3, -1]: names a layer twice; keep one of its names"),
    "asked": ("models", "plain", {"asked": ["blank"]}, "asked: ['blank'] lack templated, which claims are about; add"),
    "connector": (
        "models",
        "plain",
        {"connector": "new"},
        "connector: a model that goes on from no other has a new one",
    ),
    "unknown key": ("models", "plain", {"eyes": 2}, "eyes: unknown key"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_what_charts_may_not_ask(whole, name):
    part, entry, changes, expected = WRONG[name]
    changed = copy.deepcopy(whole)
    changed["charts"][part][entry] |= changes
    with pytest.raises(config.InputError) as caught:
        config.check(changed)
    line = f"config: charts.{part}.{entry}.{expected}"
    assert str(caught.value).startswith(line), str(caught.value)


def test_experiments_run_over_models_with_their_seeds(whole):
    changed = copy.deepcopy(whole)
    for name in ("tasks", "tasks-longer", "tuned"):
        changed["charts"]["models"][name]["seeds"] = [4]
    config.check(changed)
    assert config.runs(changed, "chart_answers") == [("plain", 3), ("plain", 4), ("plain", 5), ("tasks", 4)]
    inputs = config.experiment_inputs(changed, "chart_towers")["probed"]
    assert (
        inputs[:2] == ["charts/probed/dense-marks/seed3.npz", "charts/probed/dense-marks/seed4.npz"]
        and len(inputs) == 15
    )


def test_models_that_are_compared_have_seeds_and_charts_in_common(whole):
    changed = copy.deepcopy(whole)
    changed["charts"]["models"]["unfrozen"]["seeds"] = [3, 4]
    with pytest.raises(config.InputError) as caught:
        config.check(changed)
    line = "chart_handoff.models: seeds of unfrozen and longer differ, [3, 4] and [3, 4, 5]; make them equal"
    assert str(caught.value) == f"config: experiments.{line}"


def test_a_canary_model_is_not_asked_and_others_have_no_canaries(whole):
    changed = copy.deepcopy(whole)
    changed["experiments"]["chart_answers"]["models"] = ["canaries"]
    with pytest.raises(config.InputError, match="models: canaries has canaries"):
        config.check(changed)
    changed["experiments"]["chart_answers"]["models"] = ["plain"]
    changed["experiments"]["chart_canaries"]["models"] = ["plain"]
    with pytest.raises(config.InputError, match="models: plain has no canaries"):
        config.check(changed)


COMPARED = {
    "chart_tuning": (
        {"models": ["tuned", "tasks-longer"]},
        "models: tuned needs frozen: true, for the first keeps its tower and the others are tuned; change their order",
    ),
    "chart_handoff": ({"models": ["longer", "canaries"]}, "models: canaries has canaries, so it is two models"),
    "chart_towers": ({"own": "untrained"}, "own: untrained is of kind untrained; name one of kind trained"),
    "chart_coordinates": ({"models": ["plain"]}, "models: plain isn't asked true and wrong, which this is about"),
}


@pytest.mark.parametrize("name", list(COMPARED))
def test_what_is_compared_has_its_part(whole, name):
    changed, (changes, expected) = copy.deepcopy(whole), COMPARED[name]
    changed["experiments"][name] |= changes
    with pytest.raises(config.InputError) as caught:
        config.check(changed)
    assert str(caught.value).startswith(f"config: experiments.{name}.{expected}"), str(caught.value)


def test_what_is_about_places_needs_a_model_that_tells_them(whole):
    changed = copy.deepcopy(whole)
    changed["charts"]["models"]["tasks"]["tasks"] = ["distance"]
    changed["experiments"]["chart_patches"]["models"] = ["tasks"]
    with pytest.raises(config.InputError, match="models: tasks learns distance, not position, which this is about"):
        config.check(changed)


ALIKE = {
    "no model before": ("unfrozen", {"after": None}, "unfrozen goes on from no other model; name one that does"),
    "another model before": ("unfrozen", {"after": "longer"}, "after of unfrozen and longer differ, longer and plain"),
    "more steps": ("unfrozen", {"steps": 500}, "steps of unfrozen and longer differ, 500 and 400; make them equal"),
    "nothing unfrozen": ("unfrozen", {"frozen": True}, "unfrozen is what a claim is about and needs frozen: false"),
    "two differences": (
        "unfrozen",
        {"read": [-2]},
        "the connector of one of unfrozen and longer is new; give the other",
    ),
    "an old connector": ("renewed", {"connector": "kept"}, "the connector of one of wider and renewed is new"),
    "nothing wider": ("wider", {"read": [-2]}, "wider is what a claim is about and needs read: more states than the"),
    "no positions": (
        "positions",
        {"read": [-2, -1]},
        "positions is what a claim is about and needs read: 0 among others",
    ),
}


@pytest.mark.parametrize("name", list(ALIKE))
def test_models_that_are_compared_differ_in_one_thing(whole, name):
    changed, (model, changes, expected) = copy.deepcopy(whole), ALIKE[name]
    entry = changed["charts"]["models"][model]
    entry |= changes
    changed["charts"]["models"][model] = {key: value for key, value in entry.items() if value is not None}
    with pytest.raises(config.InputError) as caught:
        config.check(changed)
    said = str(caught.value).partition(".models: ")[2]
    assert said.startswith(expected), str(caught.value)


FOREIGN = {
    "own of clothes": (
        ("charts.towers.charts-simclr.encoder", "clothes"),
        "own: charts-simclr has not learned charts of",
    ),
    "own of other charts": (("datasets.charts.suite", "tasks"), "own: charts-simclr has not learned charts of marks"),
    "foreign of charts": (
        ("encoders.clothes.dataset", "charts"),
        "foreign: clothes-simclr has learned charts; name one",
    ),
    "foreign of another size": (
        ("datasets.clothes.image_size", 48),
        "foreign: image_size of clothes-simclr and charts-",
    ),
    "foreign trained longer": (("encoders.clothes.recipe.epochs", 90), "foreign: recipe of clothes-simclr and charts-"),
    "another untrained": (
        ("charts.towers.untrained.encoder", "clothes"),
        "untrained: untrained is another encoder than",
    ),
    "no charts of one mark": (
        ("charts.suites.marks.n", [2, 4]),
        "towers: marks has no charts of one mark, which probes",
    ),
}


@pytest.mark.parametrize("name", list(FOREIGN))
def test_towers_that_are_compared_are_what_claims_say(whole, name):
    changed, ((path, value), expected) = copy.deepcopy(whole), FOREIGN[name]
    *keys, last = path.split(".")
    part = changed
    for key in keys:
        part = part[key]
    part[last] = value
    with pytest.raises(config.InputError) as caught:
        config.check(changed)
    assert str(caught.value).startswith(f"config: experiments.chart_towers.{expected}"), str(caught.value)
