"""What may be wrong with a table: labels, copies, deviating cells."""

import numpy as np
import pandas as pd
import pytest

from memloc.valuation import issues
from memloc.valuation.inject import flip_labels
from memloc.valuation.loading import load
from memloc.valuation.oob import value
from memloc.valuation.sources import read_table


def test_labels_by_hand():
    # Of ten trees each. Class 0: shares of its own .9, .8, .1: t = .6; class 1: .7, .9: t = .8; class 2 has one row.
    votes = np.array([[9, 1, 0], [8, 2, 0], [1, 9, 0], [3, 7, 0], [1, 9, 0], [5, 5, 0], [0, 0, 0]])
    y = np.array([0, 0, 0, 1, 1, 2, 1])
    found = issues.labels(votes[:6], y[:6])
    assert found.predicted.tolist() == [0, 0, 1, 1, 1, 0] and found.wrong.tolist() == [0, 0, 1, 0, 0, 0]
    np.testing.assert_allclose(found.score, [0.9, 0.8, 0.1, 0.7, 0.9, 0])
    # Two of class 0 count as it, one as 1; of class 1 one counts, as itself; of class 2 none.
    np.testing.assert_allclose(found.joint, [[2, 1, 0], [0, 2, 0], [0, 0, 1]])
    assert found.number == pytest.approx(1)
    assert found.low[0] == pytest.approx(0.595850, abs=1e-5) and found.high[0] == pytest.approx(0.982123, abs=1e-5)
    # 0 and 1 are one class, spelt in two ways: none is wrong, and none counts as the other.
    same = issues.labels(votes[:6], y[:6], np.array([0, 0, 2]))
    assert not same.wrong.any() and same.number == 0 and same.joint.sum() == found.joint.sum()
    assert issues.spellings(["Flu", "cold", "flu ", "COLD", "Cold\u200b"]).tolist() == [0, 1, 0, 1, 1]
    unseen = issues.labels(votes, y)  # No tree missed the last row.
    assert unseen.predicted[6] == -1 and not unseen.wrong[6] and np.isnan(unseen.low[6])


def test_planted_labels_are_counted_and_named():
    table = load("digits-8x8")
    x, y = table["x"][:600].astype(float), table["y"][:600]
    clean = issues.labels(value(x, y, learners=150).votes, y)
    flipped, which = flip_labels(y, share=0.1, seed=1)
    dirty = issues.labels(value(x, flipped, learners=150).votes, flipped)
    assert clean.number < 6 and 45 < dirty.number < 75
    assert (dirty.wrong & which).sum() > 30 and (dirty.wrong & ~which).sum() <= 3
    assert (dirty.predicted[dirty.wrong & which] == y[dirty.wrong & which]).mean() > 0.9


def test_copies_are_of_the_first_and_near_ones_of_the_nearest():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    x[7], x[9], x[20] = x[3], x[3], x[11] + 1e-3
    of, exact = issues.copies(x)
    assert np.flatnonzero(exact).tolist() == [7, 9] and of[[7, 9]].tolist() == [3, 3]
    assert np.flatnonzero((of >= 0) & ~exact).tolist() == [11, 20] and of[[11, 20]].tolist() == [20, 11]


def test_issues_of_a_table_name_the_cell_and_what_is_usual(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    y = np.arange(60) % 2
    made = pd.DataFrame({"y": np.array(["no", "yes"])[y], "a": 10 * y + rng.normal(size=60), "b": rng.normal(size=60)})
    made["c"] = np.where(y, "up", "down")
    made.loc[10, ["a", "c"]] = [500.0, "down"]
    made.loc[12, "c"] = "up"
    made.loc[14, "y"] = "yes"
    made.loc[20, "b"] = np.nan
    made.to_csv("t.csv", index=False)
    source = read_table("t.csv", label="y")
    values = value(source.x, source.y, groups=source.groups, learners=200)
    found, deviating = issues.labels(values.votes, source.y), issues.deviations(source)
    table = issues.table(source, values, found, deviating)
    assert table["label_score"].tolist() == values.rows[0].tolist() and list(table["given_label"]) == list(made["y"])
    assert table.loc[14, ["is_label_issue", "predicted_label"]].tolist() == [True, "no"]
    assert table.loc[10, "deviating_cell"] == "a" and table["deviation"].idxmax() == 10
    assert table.loc[12, ["odd_cell", "odd_cell_holds"]].tolist() == ["c", "up"]
    assert issues.usual(source, 12, 2) == "down 100%"
    assert deviating[20, 1] == 0 and (deviating[:, 2] == 0).all()
    middle, low, high = np.quantile(np.delete(made["a"][made["y"] == "no"].to_numpy(), 5), [0.5, 0.05, 0.95])
    assert issues.usual(source, 10, 0) == f"{middle:.4g} ({low:.4g} to {high:.4g})"
