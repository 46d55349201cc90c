"""Answers that count, that don't, and that can't be read."""

import pytest

from memloc.charts.scoring import score
from memloc.charts.settings import Settings
from memloc.charts.strategies import STRATEGIES, wrong
from memloc.charts.suite import Item, plan
from memloc.charts.tasks import TASKS
from tests.charts.test_suite import chart

MARKS = (("red", "circle", 3, 5), ("red", "star", 6, 5), ("blue", "square", 1, 2), ("orange", "triangle", 7, 1))
BARS = tuple((colour, "bar", x, y) for colour, x, y in (("red", 1, 4), ("grey", 2, 7), ("blue", 3, 7), ("pink", 5, 2)))
ALL = {
    "count": ({}, {}),
    "position": ({}, {"marks": [0]}),
    "position 100": ({"scale": "100"}, {"marks": [0]}),
    "position 1000": ({"scale": "1000"}, {"marks": [2]}),
    "position far": ({"scale": "1000", "far": True}, {"marks": [0]}),
    "position fraction": ({"scale": "fraction"}, {"marks": [0]}),
    "distance": ({}, {"marks": [0, 3]}),  # The root of 32, 5.66.
    "mean": ({}, {}),  # (4.25, 3.25).
    "extremum": ({}, {"extreme": "smallest", "axis": "y"}),
    "extremum tied": ({}, {"extreme": "largest", "axis": "y"}),
    "extremum bar": ({"type": "bar"}, {"extreme": "largest", "axis": "y"}),
    "correlation": ({}, {"threshold": 0.5, "side": "above"}),
    "function": ({}, {"families": ["exponential", "quadratic"]}),
    "cluster": ({"crowd": True}, {"groups": ["blue", "red"]}),
}


def item(name):
    task, (options, asked) = TASKS[name.split()[0]], ALL[name]
    marks = BARS if options.get("type") == "bar" else (("red", "circle", 8, 1),) if "far" in options else MARKS
    options = {key: value for key, value in options.items() if key != "far"}
    shown = chart(*marks, *([("black", "star", 2, 2)] if name == "cluster" else []), **options)
    return Item("it", shown, task, asked, 0, task.solve(shown, asked)).row()


RIGHT = {
    "count": ["4", "four", "There are 4 points.", "Answer: 4", "4.0", "**4**", "not 5 but 4", "Four (4) of them",
              "I see 3 red ones and 1 blue one. So there are 4.", "Answer: 4\n\nI counted 3 red ones and 1 blue one."],
    "position": ["(3, 5)", "3, 5", "x = 3, y = 5", "y is 5 and x is 3", "[3;5]", "(3, 5", "(x, y) = (3, 5)",
                 "three and five", "Its x-coordinate is 3.\nIts y-coordinate is 5.", '{"x": 3, "y": 5}',
                 "The point lies at 3 5",
                 "First (1, 1)? No.\nThe answer is (3, 5).", "(y, x) = (5, 3)", "$\\boxed{(3, 5)}$",
                 "x and y are 3 and 5"],
    "position 100": ["(37.5, 62.5)", "(38, 63)", "(35, 65)"],
    "position 1000": ["(125, 250)", "(125,250)", "(120, 260)"],
    "position far": ["(1,000, 125)", "1,000 and 125", "x = 1,000 and y = 125", "(1000, 125)"],
    "position fraction": ["(0.75, 1.25)", "(.75, 1.25)"],
    "distance": ["5", "6", "5.66", "about 5.7 units", "5.66, which rounds to 6",
                 "sqrt(16 + 16) is what it takes.\nSo it is about 5.66."],
    "mean": ["(4, 3)", "(5, 4)", "(4, 4)", "(4.25, 3.25)", "(4.25, 3.25), to whole numbers (4, 3)"],
    "extremum": ["orange triangle", "The orange one", "the triangle", "yellow triangle",
                 "at (7, 1): the orange triangle",
                 "It is a triangle, and it is orange.", "not the red star but the orange triangle",
                 "The orange triangle is lower than the red circle."],
    "extremum tied": ["red circle", "red star", "red", "the red circle and the red star", "The red dot"],
    "extremum bar": ["grey", "gray bar", "blue", "The grey and the blue bar"],
    "correlation": ["No", "no.", "No, r is about 0.2.", "Answer: no", "false", "No correlation above 0.5",
                    "It is weak, so no."],
    "function": ["quadratic", "A parabola.", "not exponential but quadratic", "rather quadratic than exponential",
                 "The line chart has a quadratic curve."],
    "cluster": ["blue", "The blue group", "navy", "The black point is closer to the blue points than to the red ones."],
}  # fmt: skip
WRONG = {
    "count": ["5", "three", "There are 40.", "3.5"],
    "position": ["(5, 3)", "(3, 4)", "x = 5, y = 3", "(3.4, 5)", "(-3, 5)", "(0.3, 0.5)"],
    "position 100": ["(3, 5)", "(25, 62.5)", "(62.5, 37.5)"],
    "position 1000": ["(1, 2)", "(250, 125)"],
    "position far": ["(1, 0)", "(125, 1,000)"],
    "position fraction": ["(0.8, 1.25)", "(3, 5)"],
    "distance": ["4", "7", "32", "4.9", "6.1"],
    "mean": ["(3, 4)", "(6, 3)", "(4.25, 5)"],
    "extremum": ["blue square", "red triangle", "the star", "red"],
    "extremum tied": ["blue square", "orange"],
    "extremum bar": ["red", "purple bar"],
    "correlation": ["Yes", "yes, clearly", "Yes, there is no doubt", "true"],
    "function": ["exponential", "linear"],
    "cluster": ["red", "green"],
}
UNREAD = {
    "count": ["", "  ", "many", "3 or 4", "Between 4 and 6", "I can't say", "more than 4"],
    "position": ["3", "x = 3", "(3, 5) or (4, 5)", "3, 4, 5", "top left", "x is between 3 and 4, and y is 5",
                 "red circle: x = 3, y = 5; red star: x = 6, y = 5"],
    "distance": ["5 or 6 or 7", "far", "from 3 to 7"],
    "mean": ["4", "(4, 3), (7, 3)"],
    "extremum": ["The lowest one", "the orange triangle or the blue square", "", "not the orange triangle"],
    "extremum bar": ["grey or red", "the bar"],
    "correlation": ["Yes or no", "It is weak", "Perhaps", "There is no doubt", "No image is shown."],
    "function": ["exponential or quadratic", "a curve", "not quadratic"],
    "cluster": ["blue or red", "the left one", "black"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        (name, text, right)
        for right, table in ((True, RIGHT), (False, WRONG), (None, UNREAD))
        for name, texts in table.items()
        for text in texts
    ],
)
def test_an_answer_counts_or_does_not(name, text, right):
    found = score(item(name), text)
    assert found.right is right, found
    assert found.reason and (found.read is None) == (right is None)


def test_reasons_are_for_people():
    position = item("position")
    assert score(position, "(5, 3)").reason == "(5, 3) is wrong, x and y are swapped; the answer is (3, 5)"
    assert score(position, "at (3, 5)").reason == "(3, 5) is the answer"
    assert score(position, "(3, 5) or (4, 5)").reason == "several coordinates: (3, 5) and (4, 5)"
    assert score(item("distance"), "5").reason == "5 is as good as 6"
    assert score(item("count"), "3 or 4").reason == "several numbers: 3 and 4"
    assert (
        score(item("extremum"), "red").reason == "red is wrong, which several marks are; the answer is orange triangle"
    )
    assert score(item("correlation"), "weak").reason == "none of yes and no in it"
    assert (
        score(item("function"), "linear").reason == "linear is wrong, and wasn't asked about; the answer is quadratic"
    )
    assert score(item("count"), "").reason == "no answer"


@pytest.fixture(scope="module")
def suite():
    return plan(Settings(seed=2, charts=500))


def test_every_accepted_answer_counts_and_the_others_of_the_question_do_not(suite):
    for one in suite.items:
        row, shown = one.row(), one.chart.row()
        start = STRATEGIES["templated"](row, shown).start
        for text in row["accepted"]:
            assert score(row, text).right and score(row, f"{start} {text.removeprefix('(')}").right
        for text in {*(row["answer_set"] or [])} - {row["answer"]}:
            assert score(row, text).right is False


def test_strategies_give_what_they_say(suite):
    for one in suite.items[::3]:
        row, shown = one.row(), one.chart.row()
        prompts = {name: ask(row, shown) for name, ask in STRATEGIES.items()}
        assert [name for name, prompt in prompts.items() if prompt.image != "own"] == ["text", "blank"]
        assert all(row["question"] in prompt.text for prompt in prompts.values())
        assert prompts["free"].text == row["question"]
        for mark in shown["points"]:
            place = f"{mark['colour']} {mark['marker']} at ("
            assert place in prompts["true"].text and place not in prompts["blank"].text
        assert prompts["true"].follows == row["answer"]
        # Coordinates that are wrong have an answer that is wrong, and always the same.
        assert score(row, prompts["wrong"].follows).right is False
        assert wrong(row, one.chart) == wrong(row, one.chart) != one.chart
