"""Answers: right where a model has learned to, counted by hand, resumed to the same, in batches as small as memory."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from memloc.charts import ask, batches
from memloc.charts.batches import Halving, StoppedError
from tests.builders.complaints import complaint


def test_a_trained_model_is_right_with_the_chart_and_not_without(trained, single):
    items = single.choose(tasks=["position"], split="test")
    found = ask.accuracy(ask.answers(trained, single, items, ["free", "blank", "text"], batch=10))
    whole = found[found["task"].isna()].set_index("strategy")["accuracy"]
    assert whole["free"] >= 0.95 and whole["blank"] <= 0.35


def test_accuracy_is_counted_by_task_n_and_type():
    rows = [("a", "count", 1, True), ("a", "count", 1, None), ("a", "count", 2, False), ("a", "mean", 4, True)]
    table = pd.DataFrame(rows, columns=["strategy", "task", "n", "right"]).assign(type="bar")
    found = ask.accuracy(table.astype({"right": "boolean"})).set_index(["task", "n", "type"])
    assert found.loc[(np.nan, pd.NA, np.nan), ["items", "right", "unparsed"]].tolist() == [4, 2, 1]
    # An answer that can't be parsed is one of two, and not right.
    cell = found.loc[("count", 1, "bar")]
    assert cell[["items", "right", "unparsed", "accuracy"]].tolist() == [2, 1, 1, 0.5]
    # Wilson, by hand: (1/2 + z²/4) / (1 + z²/2) -+ z sqrt(1/8 + z²/16) / (1 + z²/2) for z = 1.96.
    assert cell[["low", "high"]].to_numpy(dtype=float) == pytest.approx([0.0945, 0.9055], abs=1e-4)
    assert "count" in ask.shown(ask.accuracy(table.astype({"right": "boolean"})))


def test_what_may_mislead_is_told(trained, single, monkeypatch):
    asked = single.choose(tasks=["position"], split="test")[:3]
    assert ask.remarks(trained, single, asked, ["free"]) == [
        "the model's training.json names this suite: it may have learned the items that it is asked"
    ]
    other = replace(single, files={**single.files, "more": ""})
    assert not ask.remarks(trained, other, asked, ["free"])
    odd = [{**asked[0], "question": f"{asked[0]['question']} Zebra, yak?", "split": "train"}, *asked[1:]]
    words, learned = ask.remarks(trained, other, odd, ["free"])
    assert words == "1 of 3 prompts have words that the model doesn't know, Zebra, yak among them"
    assert learned.startswith("items of the training part are asked")
    assert ask._pixels(trained, other, asked[0], "free") == (1, 72, 72)
    monkeypatch.setattr(ask, "_pixels", lambda *_: (3, 336, 384))
    (sizes,) = ask.remarks(trained, other, asked, ["free"])
    assert sizes == "charts are of 72 x 72 pixels; the processor makes of each 3 images of 336 x 384"


def test_a_run_that_was_stopped_ends_as_one_that_was_not(trained, single, tmp_path):
    items = single.choose(tasks=["position"], split="test")[:9]
    whole = ask.answers(trained, single, items, ["free", "blank"], batch=4)
    calls = iter([False, False, True])
    with pytest.raises(StoppedError):
        ask.answers(trained, single, items, ["free", "blank"], batch=4, work=tmp_path, stop=lambda: next(calls))
    assert len([*tmp_path.iterdir()]) == 2
    (tmp_path / "answers-000001.parquet").write_bytes(b"damaged")
    seen = []
    again = ask.answers(trained, single, items, ["free", "blank"], batch=4, work=tmp_path, progress=seen.append)
    pd.testing.assert_frame_equal(again, whole)
    assert sum(seen) == 18


def test_a_batch_that_memory_cannot_hold_is_halved():
    def do(some):
        if len(some) > 3:
            raise MemoryError
        return list(some)

    halving = Halving(16)
    assert [one for some in halving.over(range(20), do) for one in some] == [*range(20)]
    assert halving.size == 2
    with pytest.raises(MemoryError):
        list(Halving(4).over([1], lambda some: do(range(9))))


def test_kept_rows_without_a_thing_are_an_empty_table():
    assert batches.kept(None, "answers", [], lambda some: pd.DataFrame(), size=4).empty


def test_a_strategy_that_there_is_not_or_twice_is_one_line(trained, single):
    assert complaint(ask.answers, trained, single, [], ["fre"]).startswith("strategies: fre; give some of free")
    twice = complaint(ask.check_strategies, ["text", "free", "free"])
    assert twice == "strategies: free is there twice; name it once"
