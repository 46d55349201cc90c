"""Linear probes on several tasks: the probing itself, and the experiment on planted outcomes."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.config import check
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.transfer import job as transfer
from memloc.models import probe
from tests.builders.study import Study, configured, save

TASKS = {"own": 400, "near": 300, "far": 500}


def test_every_task_has_a_probe_of_its_own(network, toy, normalise):
    encoder = network()
    tasks = {"a": (Part(*toy(30)), Part(*toy(9, seed=1))), "b": (Part(*toy(30, seed=2)), Part(*toy(7, seed=3)))}
    out = transfer.probe_tasks(encoder, tasks, normalise=normalise)
    assert out["dataset"].tolist() == ["a", "b"] and out["tested"].tolist() == [9, 7]
    assert out["chance"].tolist() == [3 / 9, 3 / 7] and out["correct"].shape == (2, 9)
    for row, (train, test) in zip(out["correct"], tasks.values(), strict=True):
        expected = probe.correct(
            probe.features(encoder, train.images, normalise), train.labels,
            probe.features(encoder, test.images, normalise), test.labels,
        )  # fmt: skip
        assert np.array_equal(row[: len(test.labels)], expected) and not row[len(test.labels) :].any()
    assert out["correct"][0].mean() > 0.6


def planted(folder, accuracy, *, seeds=3, alike=False):
    """Outcomes of encoders that get a task's test points right at planted rates.

    Args:
        accuracy: by encoder, rates on TASKS.
    """
    made = Study(folder, "transfer")
    for e, (encoder, rates) in enumerate(accuracy.items()):
        for seed in range(seeds):
            correct = np.zeros((len(TASKS), max(TASKS.values())), dtype=bool)
            for row, (n, rate) in enumerate(zip(TASKS.values(), rates, strict=True)):
                # How hard an image is, all encoders and seeds have in common.
                hard = np.random.default_rng([31, row]).random(n)
                noise = np.random.default_rng([32, row, e, 0 if alike else seed]).normal(size=n)
                correct[row, :n] = hard + 0.02 * noise < rate
            path = folder / f"{encoder}-{seed}.npz"
            about = {"dataset": np.array([*TASKS]), "tested": np.array([*TASKS.values()])}
            save(about | {"chance": np.full(3, 0.2), "correct": correct}, path)
            made.runs.append((encoder, seed))
            made.files["outcomes"].append(str(path))
    return made


@pytest.fixture
def study(tmp_path):
    return partial(planted, tmp_path)


OPTIONS = [{"order": order, "tasks": [*TASKS], "images": 10} for order in ("own-task", "falling")]


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    return planted(folder, OWN["supported"], seeds=seeds)


def analysed(made, order, **options):
    return made.analyse(order=order, tasks=[*TASKS], images=10, **options)


OWN = {
    "supported": {"supervised": [0.9, 0.6, 0.5], "simclr": [0.8, 0.7, 0.6]},
    "refuted": {"supervised": [0.8, 0.7, 0.6], "simclr": [0.9, 0.6, 0.5]},
    "inconclusive": {"supervised": [0.8, 0.7, 0.6], "simclr": [0.8, 0.7, 0.6]},
}


@pytest.mark.parametrize("said", list(OWN))
def test_each_encoder_wins_where_planted(study, said):
    table, rows = analysed(study(OWN[said]), "own-task")
    assert rows.set_index("claim")["verdict"].to_dict() == {"transfer.own": said, "transfer.elsewhere": said}
    for encoder, rates in OWN[said].items():
        mine = table[(table["encoder"] == encoder) & (table["series"] == "accuracy")]
        assert mine["task"].tolist() == [*TASKS] and (mine["chance"] == 0.2).all()
        np.testing.assert_allclose(mine["value"], rates, atol=0.06)


def test_effects_are_differences_of_accuracy(study):
    made = study(OWN["supported"])
    table, rows = analysed(made, "own-task")
    outcomes = dict(zip(made.runs, (np.load(path) for path in made.files["outcomes"]), strict=True))

    def rate(encoder, task):
        row, n = [*TASKS].index(task), TASKS[task]
        return np.mean([outcomes[encoder, seed]["correct"][row, :n].mean() for seed in range(3)])

    own, elsewhere = (rows[rows["claim"] == f"transfer.{name}"].iloc[0] for name in ("own", "elsewhere"))
    assert own["effect"] == pytest.approx(rate("supervised", "own") - rate("simclr", "own"))
    assert own["subject"] == "supervised and simclr on own" and own["n"] == 400
    place = elsewhere["subject"].rpartition(", ")[2]
    assert place in ("near", "far") and elsewhere["n"] == 300
    assert elsewhere["effect"] == pytest.approx(rate("simclr", place) - rate("supervised", place))
    more = table[table["series"] == "minus the first"].set_index("task")["value"]
    for task in TASKS:
        assert more[task] == pytest.approx(rate("simclr", task) - rate("supervised", task))
    for item in outcomes.values():
        item.close()


def test_one_task_on_which_the_second_loses_refutes_every_other(study):
    _, rows = analysed(study({"supervised": [0.9, 0.6, 0.7], "simclr": [0.8, 0.7, 0.5]}), "own-task")
    assert rows.set_index("claim")["verdict"]["transfer.elsewhere"] == "refuted"


FALLING = {
    "supported": {"none": [0.9] * 3, "some": [0.8] * 3, "much": [0.7] * 3},
    "refuted": {"none": [0.7] * 3, "some": [0.8] * 3, "much": [0.9] * 3},
    "inconclusive": dict.fromkeys(("none", "some", "much"), [0.8] * 3),
}


@pytest.mark.parametrize("said", list(FALLING))
def test_a_planted_order_comes_out_on_every_task(study, said):
    _, rows = analysed(study(FALLING[said]), "falling")
    assert len(rows) == 2 * len(TASKS) and set(rows["verdict"]) == {said}
    assert set(rows["claim"]) == {"transfer.falls", "transfer.first-over-last"}
    assert all(sum(f"none to much on {task}" in s for s in rows["subject"]) == 2 for task in TASKS)


def test_seeds_are_tested_on_the_same_images_so_more_of_them_say_no_more_about_those(study):
    one, many = (analysed(study(OWN["supported"], seeds=seeds, alike=True), "own-task")[1] for seeds in (1, 4))
    np.testing.assert_allclose(many[["effect", "low", "high"]], one[["effect", "low", "high"]])


def test_outcomes_on_other_test_images_or_tasks_are_refused(study):
    made = study(OWN["supported"], seeds=1)
    with np.load(made.files["outcomes"][1]) as file:
        arrays = dict(file)
    save(arrays | {"tested": arrays["tested"] - 1}, made.files["outcomes"][1])
    with pytest.raises(InputError, match="own: tested on 399 and 400 images"):
        analysed(made, "own-task")
    save(arrays | {"dataset": np.array(["own", "near", "other"])}, made.files["outcomes"][1])
    with pytest.raises(InputError, match="outcomes lack task far"):
        analysed(made, "own-task")


@pytest.mark.parametrize(("order", "world"), [("own-task", OWN), ("falling", FALLING)])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_figure_is_drawn(study, order, world, seeds):
    made = study(world["supported"], seeds=seeds)
    table, _ = analysed(made, order)
    figure = made.drawn(table)
    assert len(figure.axes) == 2
    plt.close(figure)


# --- Configuration ----------------------------------------------------------------------------------------------------

ASKED = {
    "kind": "transfer",
    "encoders": ["supervised", "simclr"],
    "tasks": ["fashion", "fashion-unseen"],
    "images": 100,
    "order": "own-task",
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoders": ["simclr", "supervised"]}, "it.encoders: own-task compares two encoders; write a supervised one"),
        ({"encoders": ["supervised", "simclr", "again"]}, "it.encoders: own-task compares two"),
        ({"tasks": ["fashion-unseen", "fashion"]}, "it.tasks: write the encoders' own, fashion, first and"),
        ({"tasks": ["fashion"]}, "it.tasks: write the encoders' own, fashion, first and at least one other"),
        ({"tasks": ["fashion", "nowhere"]}, "it.tasks: 'nowhere' is none of"),
        ({"encoders": ["supervised", "same"]}, "supervised and same are the same training; keep one"),
    ],
)
def test_what_cannot_be_compared_is_told_before_any_job(changes, words):
    encoders = {"again": {"network": {"width": 0.25}}, "same": {"weights": "supervised"}}
    check(configured(ASKED, encoders))
    check(configured(ASKED | {"encoders": ["simclr", "supervised"], "order": "falling"}, encoders))
    with pytest.raises(InputError) as caught:
        check(configured(ASKED | changes, encoders))
    assert words in str(caught.value)
