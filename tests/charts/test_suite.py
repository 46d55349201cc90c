"""The plan of a suite: balanced, apart where it must be, and with answers that a second checker agrees to."""

import copy
from collections import Counter

import numpy as np
import pytest

from memloc.charts.check import faults
from memloc.charts.marks import HELD_OUT, SCALES, TYPES, Chart, Mark, on_grid
from memloc.charts.settings import Settings, read
from memloc.charts.suite import plan
from memloc.charts.tasks import TASKS
from memloc.errors import InputError


@pytest.fixture(scope="module")
def suite():
    return plan(Settings(charts=700))


@pytest.fixture(scope="module")
def few():
    return rows(plan(Settings(charts=150)))


def rows(suite):
    return [chart.row() for chart in suite.charts], [item.row() for item in suite.items]


def chart(*marks, type="scatter", scale="8", crowd=False):
    """A chart whose marks are colour, marker, x, y in units of the grid."""
    step = SCALES[scale].step
    made = tuple(Mark(x * step, y * step, colour, marker, colour if crowd else None) for colour, marker, x, y in marks)
    return Chart("it", type, made, scale, "2d", "test", settings={"asked": {}} if crowd else {})


def curve(y, scale="8"):
    return chart(*(("red", "star", x, y(x)) for x in (1, 2, 3, 5, 7, 8)), scale=scale)


LINES = {"families": ["linear", "quadratic"]}
TWO_BARS = (("red", "bar", 1, 2), ("blue", "bar", 3, 7), ("black", "bar", 2, 4))
TIED = {"blue star", "red square"}
RED, BLUE, GREEN = ("red", "circle", 1, 2), ("blue", "star", 4, 6), ("red", "square", 4, 3)


@pytest.mark.parametrize(
    ("task", "shown", "asked", "text", "accepted"),
    [
        ("count", chart(RED, BLUE, GREEN), {}, "3", {"3"}),
        ("position", chart(RED, BLUE), {"marks": [1]}, "(4, 6)", {"(4, 6)"}),
        ("position", chart(RED, BLUE, scale="100"), {"marks": [0]}, "(12.5, 25)", {"(12.5, 25)"}),
        ("position", chart(RED, scale="fraction"), {"marks": [0]}, "(0.25, 0.5)", {"(0.25, 0.5)"}),
        ("distance", chart(RED, BLUE), {"marks": [0, 1]}, "5", {"5"}),  # 3, 4, 5.
        ("distance", chart(RED, BLUE, scale="1000"), {"marks": [1, 0]}, "625", {"625"}),
        ("distance", chart(RED, GREEN), {"marks": [0, 1]}, "3", {"3", "4"}),  # The root of 10.
        ("extremum", chart(RED, BLUE, GREEN), {"extreme": "largest", "axis": "y"}, "blue star", {"blue star"}),
        ("extremum", chart(RED, BLUE, GREEN), {"extreme": "largest", "axis": "x"}, "blue star", TIED),
        ("extremum", chart(RED, BLUE, GREEN), {"extreme": "smallest", "axis": "y"}, "red circle", {"red circle"}),
        # The mean is (3, 11 / 3).
        ("mean", chart(RED, BLUE, GREEN), {}, "(3, 4)", {"(3, 3)", "(3, 4)"}),
        ("correlation", curve(lambda x: 9 - x), {"threshold": -0.75, "side": "below"}, "yes", {"yes"}),
        ("correlation", curve(lambda x: 9 - x), {"threshold": 0.25, "side": "above"}, "no", {"no"}),
        ("function", curve(lambda x: (x - 4.5) ** 2 / 3 + 1), LINES, "quadratic", {"quadratic"}),
        ("function", curve(lambda x: 2 + x / 2, scale="100"), LINES, "linear", {"linear"}),
        ("cluster", chart(*TWO_BARS, type="bar", crowd=True), {"groups": ["blue", "red"]}, "red", {"red"}),
        ("outlier", curve(lambda x: 6.4 if x == 5 else 3), {}, "(5, 6)", {"(5, 6)", "(5, 7)"}),
    ],
)  # fmt: skip
def test_answers_by_hand(task, shown, asked, text, accepted):
    answer = TASKS[task].solve(shown, asked)
    assert answer.text == text and {*answer.accepted} == accepted


def test_a_second_checker_agrees_to_every_answer(suite):
    assert faults(*rows(suite)) == []
    other = plan(Settings(seed=1, charts=300, size=64, crowd=(8, 64, 128), colours=("red", "blue", "green"), train=0.9))
    assert faults(*rows(other)) == []


@pytest.mark.parametrize("seed", [0, 3])
def test_marks_of_noisy_curves_stay_on_the_axes(seed):
    """In these suites noise takes one mark of thousands below the axis, or to its end."""
    many = plan(Settings(seed=seed, charts=1500, tasks=("function",), crowd=(16, 32)))
    assert faults(*rows(many)) == []
    lowest = min(mark.y / chart.step for chart in many.charts for mark in chart.marks)
    assert lowest == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("task", "change", "told"),
    [
        ("position", lambda item, chart: item.update(answer="(9, 9)"), "the answer is"),
        ("distance", lambda item, chart: item["accepted"].append("77"), "accepted are"),
        ("mean", lambda item, chart: item.update(held_out=not item["held_out"]), "held_out is"),
        ("extremum", lambda item, chart: item.update(question="Which one?"), "the question doesn't say"),
        (
            "correlation",
            lambda item, chart: item.update(answer={"yes": "no", "no": "yes"}[item["answer"]]),
            "the answer is",
        ),
        ("function", lambda item, chart: item.update(n=5), "n is 5"),
        (
            "outlier",
            lambda item, chart: [p.update(y=p["x"] / 2 if k else 999) for k, p in enumerate(chart["points"])],
            "the answer is",
        ),
        ("count", lambda item, chart: chart["points"].append(dict(chart["points"][0])), "two marks look alike"),
        ("cluster", lambda item, chart: item.update(item="count-bar-0000"), "stands twice"),
        ("position", lambda item, chart: chart["points"][0].update(x=8.5 * 125 + 1), "lies off the x axis"),
    ],
)
def test_the_second_checker_sees_what_is_wrong(few, task, change, told):
    charts, items = copy.deepcopy(few)
    by_name = {chart["chart"]: chart for chart in charts}
    item = next(
        item for item in items
        if item["task"] == task and item["type"] == "line" and item["metadata"]["scale"] == "1000" and item["n"] > 2
    )  # fmt: skip
    change(item, by_name[item["chart"]])
    assert any(told in fault for fault in faults(charts, items))


def test_tasks_types_and_numbers_are_balanced(suite):
    items = [item.row() for item in suite.items]
    assert len({*Counter(item["task"] for item in items).values()}) == 1
    for task in TASKS:
        own = [item for item in items if item["task"] == task]
        assert len({*Counter(item["type"] for item in own).values()}) == 1
        for type in TYPES:
            numbers = Counter(item["n"] for item in own if item["type"] == type)
            assert max(numbers.values()) - min(numbers.values()) <= 1
    # Of two answers in a question each is right about as often; r lies on a side of each threshold as often.
    for task in ("correlation", "function", "cluster"):
        first = np.mean([item["answer_set"][0] == item["answer"] for item in items if item["task"] == task])
        assert first == pytest.approx(0.5, abs=0.06)


def test_marks_are_unique_and_training_has_none_on_held_out_positions(suite):
    assert len(HELD_OUT) == 16
    assert {*Counter(x for x, _ in HELD_OUT).values(), *Counter(y for _, y in HELD_OUT).values()} == {2}
    seen = set()
    for one in suite.charts:
        if "asked" in one.settings:
            continue
        assert len({mark.name for mark in one.marks}) == len(one.marks)
        places = [on_grid(mark, one.step) for mark in one.marks]
        if one.split == "train":
            seen.update(places)
        elif one.held_out is not None:
            assert places[one.held_out] in HELD_OUT
    assert not seen & HELD_OUT and len(seen) == 48
    test = [item for item in suite.items if item.chart.split == "test" and item.task.name == "position"]
    assert 0.3 < np.mean([item.held_out for item in test]) < 0.7
    assert not any(item.held_out for item in suite.items if item.chart.split == "train")


def test_the_same_seed_gives_the_same_suite_and_another_gives_another(suite):
    assert plan(Settings(charts=700)) == suite
    assert plan(Settings(charts=700, seed=1)) != suite
    assert all(Chart.read(chart.row()) == chart for chart in suite.charts)


def test_no_more_charts_than_asked_for(suite):
    for charts in (36, 100, 701):
        assert len(plan(Settings(charts=charts)).charts) <= charts
    assert len(suite.charts) > 650


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"charts": 5}, "charts: 5; these tasks and types take 2"),
        ({"tasks": ["cuont"]}, "tasks: cuont: no such task; did you mean count?"),
        ({"types": []}, "types: []; give one or more of scatter, bar, line"),
        ({"size": 200}, "size: 200; give 560, or 54 to 144"),
        ({"size": 64, "scales": ["100"]}, "scales: 100; images of 64 pixels have room"),
        ({"n": [0]}, "n: 0; give 1 to 16"),
        ({"n": [1, 2]}, "has the 3 marks or more that task extremum needs"),
        ({"train": 2}, "train: 2; give a share"),
        ({"colours": ["red"], "n": [1, 2, 3]}, "colours: red; task cluster needs two or more"),
        ({"seed": True}, "seed: True; give 0 to"),
        ({"scales": "eight"}, "scales: eight: no such scale"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(given, told):
    with pytest.raises(InputError) as error:
        plan(Settings(**given))
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_configuration_is_read_and_options_go_first(tmp_path):
    path = tmp_path / "charts.yaml"
    path.write_text("charts: 90\nscales: [8, fraction]\nn: [1, 2, 4]\n")
    assert read(path, seed=3, charts=None) == Settings(seed=3, charts=90, scales=("8", "fraction"), n=(1, 2, 4))
    path.write_text("chart: 90\n")
    with pytest.raises(InputError, match=r"chart: no such key; did you mean charts\?"):
        read(path)
