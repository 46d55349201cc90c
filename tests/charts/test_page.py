"""Pages of ask and locate: numbers as in the tables, names as they are, nothing from elsewhere, planted losses told."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from memloc.charts import ask, locate, page, patching, results
from memloc.charts.states import FLATTENED, LAST

HOSTILE = "<script>alert(1)</script>\"'\u202e"
STAGES = ("tower 1", "connector", "decoder 1", "decoder 2")


@pytest.fixture(scope="module")
def hostile(suite):
    """The suite with questions, answers and names of items that try to be HTML."""
    texts = {"question": HOSTILE, "answer": HOSTILE}
    return replace(suite, items=tuple({**item, **texts, "item": f"{item['item']}{HOSTILE}"} for item in suite.items))


@pytest.fixture(scope="module")
def answers(hostile):
    """Two in three items are answered wrongly, one in four can't be read."""
    rows = [
        {"item": item["item"], "strategy": "free", "text": HOSTILE, "reason": HOSTILE}
        | {"right": None if i % 4 == 0 else i % 3 == 0}
        | {key: item[key] for key in ask.ABOUT}
        for i, item in enumerate(hostile.choose(split="test"))
    ]
    return pd.DataFrame(rows).astype(ask.KINDS)


@pytest.fixture
def meta():
    """What meta.json says of a model and a suite with such names."""
    return {
        **{"name": f"/models/{HOSTILE}", "folder": HOSTILE, "model": "ab" * 32, "suite": "cd" * 32},
        **{"settings": {"strategies": ["free"], "strategy": "free", "batch": 4, "tasks": [HOSTILE]}},
        **{"device": "cpu", "precision": "float32", "versions": {"memloc": HOSTILE}, "taken": [HOSTILE]},
        **{"identity": "ef" * 32},
    }


def safe(html):
    """A page of which nothing runs but its own script, and which asks for nothing."""
    assert html.count("<script") == 1 and "<script>alert" not in html and "\u202e" not in html
    assert not [to for to in re.findall(r'(?:src|href)="([^"]*)"', html) if not to.startswith(("data:image/png", "#"))]
    return html.replace("&nbsp;", " ")


def test_the_page_of_answers_has_the_numbers_of_its_table(answers, hostile, meta, tmp_path):
    found = results.write_asked(answers, hostile, meta, tmp_path)
    html = safe((tmp_path / "index.html").read_text())
    whole = found[found["task"].isna()].iloc[0]
    assert f"answers {whole['right']} of {whole['items']} questions rightly, {100 * whole['accuracy']:.1f} %" in html
    assert f"(95 %: {100 * whole['low']:.1f} % to {100 * whole['high']:.1f} %)" in html
    assert f"and {whole['unparsed']} so that the answer can&#39;t be read" in html
    for row in found[found["n"].notna() & found["type"].isna()].to_dict("records"):
        cell = f"{100 * row['accuracy']:.1f}<small>{100 * row['low']:.1f} to {100 * row['high']:.1f}</small>"
        assert f"{cell}<small>of {row['items']}" in html


def test_items_are_chosen_wrong_ones_first_and_evenly():
    right = [i % 5 == 0 for i in range(20)]
    table = pd.DataFrame({"item": [str(i) for i in range(20)], "task": "count", "right": right}).astype(
        {"right": "boolean"}
    )
    assert page.chosen(table) == {"count": ["1", "6", "11", "16", "0", "10"]}
    many = pd.concat([table.assign(task=f"t{i}") for i in range(80)])
    assert [len(items) for items in page.chosen(many).values()] == [1] * page.CARDS


def located(hostile, answers, meta, tmp_path, held):
    """The page where probes of a stage are right with every mark or with none."""
    items = hostile.choose(split="test")
    rows = [
        {"stage": stage, "representation": FLATTENED, "target": "position", "chart": chart, "kind": "red square"}
        | {"n": len(hostile.charts[chart]["points"]), "held_out": False, "a": 3, "b": 5}
        | {"right": is_held, "control": 0.0}
        for stage, is_held in zip(STAGES, held, strict=True)
        for chart in dict.fromkeys(item["chart"] for item in items)
    ]
    predictions = pd.DataFrame(rows)
    pairs = [
        {"task": "position", "n": 1, "base": str(i), "stage": "connector", "unit": unit, "moved": unit == "image"}
        | {"kept": False, "shift": 0.5, "tokens": 1, "itself": 0.0}
        for i in range(7)
        for unit in ("image", "marks")
    ]
    own, cells = locate.own_answers(hostile, items, answers), patching.cells(pd.DataFrame(pairs))
    tables = {"answers": answers, "predictions": predictions, "pairs": pd.DataFrame(pairs), "patches": cells}
    tables |= {"probes": locate.accuracies(predictions, own), "drops": locate.drops(predictions, own)}
    meta = meta | {"sanity": locate.sanity(cells, crosses=True)}
    results.write_located(tables, hostile, meta, tmp_path)
    return safe((tmp_path / "index.html").read_text())


def test_a_planted_loss_is_the_first_sentence_and_stands_at_every_item(hostile, answers, meta, tmp_path):
    html = located(hostile, answers, meta, tmp_path, (True, True, False, True))
    (headline,) = re.findall(r"<h1>(.*?)</h1>", html)
    assert "lost most from connector to decoder 1: 100.0 of 100 fewer" in headline and "8 marks" in headline
    told = "Read rightly until connector; lost at decoder 1"
    wrong = answers[answers["task"].eq("position") & ~answers["right"].fillna(False).astype(bool)]
    assert html.count(f"<b>{told}.</b>") == min(len(wrong), page.WRONG) > 0
    assert "✓ (3, 5)" in html and "✗ (3, 5)" in html
    assert (
        "decoder 2" not in html.split('id="charts"')[1].split('id="meaning"')[0]
        and "Of these 8 marks 100.0 % are right" in html
    )
    (table,) = re.findall(r'id="probes-position">(.*?)</table>', html, re.DOTALL)
    widths = {len(re.findall(r"<t[hd][ >]", row)) for row in table.split("<tr>")[1:]}
    assert len(widths) == 1 and "the model’s answer" in table
    # Of both checks, and of a cell: all of the image moves each of the few pairs, the marks none.
    assert html.count("✓ holds") == 2 and html.count("<small>7 pairs, few</small>") == 2


def test_what_no_stage_loses_is_told_and_what_none_holds(hostile, answers, meta, tmp_path):
    html = located(hostile, answers, meta, tmp_path, (False, False, False, False))
    assert "better at any stage than with shuffled labels: where it is lost can&#39;t be told." in html
    assert "No probe of image tokens reads it rightly at any stage." in html


def test_what_nobody_asked_for_has_no_answer(hostile, answers, meta, tmp_path):
    html = located(hostile, answers[answers["task"].eq("count")], meta, tmp_path, (True, True, True, True))
    (headline,) = re.findall(r"<h1>(.*?)</h1>", html)
    assert headline.startswith("From no stage to the next is a mark&#39;s position read less often")


def test_the_step_to_the_answer_begins_at_the_last_image_tokens_that_are_read():
    right = {"tower 1": (1, 1, 1, 0), "decoder 1": (1, 1, 0, 0), "decoder 2": (0, 0, 0, 0)}
    rows = [
        {"stage": stage, "representation": representation, "target": "count", "chart": str(i), "kind": ""}
        | {"n": 1, "held_out": False, "right": bool(one), "control": 0.0}
        for representation in (FLATTENED, LAST)
        for stage, ones in right.items()
        for i, one in enumerate(ones)
    ]
    told = pd.DataFrame({"chart": ["0", "2"], "kind": "", "target": "count", "answered": [False, True]})
    found = locate.drops(pd.DataFrame(rows), told)
    own = found[found["answered"].isna()].set_index(["representation", "after"])
    numbers = ["rows", "accuracy_before", "accuracy_after", "change"]
    # Of chart 0 and 2: read 1, 0 before the last layer, answered 0, 1; the last token is read behind it, too.
    assert own.loc[(FLATTENED, "answer"), ["before", *numbers]].tolist() == ["decoder 1", 2, 0.5, 0.5, 0]
    assert own.loc[(LAST, "answer"), ["before", *numbers]].tolist() == ["decoder 2", 2, 0, 0.5, 0.5]
    assert (FLATTENED, "decoder 2") not in own.index
    assert own.loc[(FLATTENED, "decoder 1"), numbers].tolist() == [4, 0.75, 0.5, -0.25]


def test_tasks_that_are_as_often_right_and_held_out_places_are_counted():
    rows = [("a", 0.5), ("b", 0), ("c", 0)]
    tasks = [{"task": task, "accuracy": accuracy, "low": 0, "high": 1} for task, accuracy in rows]
    assert page._first_of(tasks, tasks[0]).startswith("is a, 50.0")
    assert page._first_of(tasks, tasks[1]).startswith("are 2 tasks, b among them")
    table = pd.DataFrame({"right": [True, None, True, False], "held_out": [True, True, False, None]}).astype("boolean")
    (told,) = page._held_out(table)
    assert "50.0 % of 2 are right; of the others, 100.0 % of 1" in told
    assert not [*page._held_out(table[2:])]
    (told,) = page._moving(pd.DataFrame(columns=["n", "stage", "task"]), none_asked=True)
    assert told == "Nothing was patched: no pairs were asked for."


def test_where_readings_turn_is_told():
    def told(*right, answered=False):
        return page._told([(f"s{i}", 0, 0, one) for i, one in enumerate(right)], answered)

    assert told(True, False, True, False) == "Read rightly until s2, but for 1 stage before; lost at s3."
    assert told(True, True).endswith("lost between there and the answer.")
    assert told(True, False, answered=True).endswith("lost at s1; the answer has it all the same.")
    assert told() == "No probe reads this mark, for too few training charts have one of its kind."


def test_charts_beyond_the_budget_have_no_picture(answers, hostile, monkeypatch):
    monkeypatch.setattr(page, "BUDGET", 2000)
    found = page._gallery(answers, hostile, ["free"])
    cards = [card for task in found["tasks"] for card in task["cards"]]
    assert 0 < found["without"] == sum(not card["picture"] for card in cards) < len(cards)
