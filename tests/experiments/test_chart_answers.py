"""Answers to charts, on planted ones."""

import pandas as pd
import pytest

from memloc.analysis.charted import counted
from tests.builders.charted import answered
from tests.builders.study import Study, by_claim

OPTIONS = {}
FALLING = {1: 0.95, 2: 0.8, 4: 0.4, 8: 0.1}


def world(folder, seeds=3, *, falling=FALLING, unread=0):
    """A model that tells fewer places as marks become more, none of a blank image, fewer where it saw none."""
    kept = Study(folder, "chart_answers")
    for seed in range(seeds):
        asked = {("templated", "position", n, 0): share for n, share in falling.items()}
        asked |= {("templated", "position", n, 1): share / 2 for n, share in falling.items()}
        asked |= {("templated", "count", n, 0): share for n, share in falling.items()}
        asked |= {("blank", "position", n, 0): 0.0 for n in falling}
        kept.add("plain", seed, answers=answered(asked, seed=seed, unread=unread))
    return kept


def test_planted_accuracies_come_out_and_claims_follow(tmp_path):
    table, rows = world(tmp_path).analyse()
    by_n = table[(table["series"] == "task, n") & (table["strategy"] == "templated") & (table["task"] == "count")]
    assert by_n.set_index("n")["value"].round(3).to_dict() == {1: 0.95, 2: 0.8, 4: 0.4, 8: 0.1}
    assert ((by_n["low"] < by_n["value"]) & (by_n["value"] < by_n["high"])).all()
    places = table[(table["series"] == "task, held_out") & (table["task"] == "position")]
    of_place = places[places["strategy"] == "templated"].set_index("held_out")["value"]
    assert of_place[0] == pytest.approx(2 * of_place[1], abs=0.01)
    effects = rows.set_index("claim")["effect"]
    expected = {"one": 0.05, "two": 0.2, "fewest": 0.85, "held-out": 0.475, "blank": 0.05, "readable": 0.01}
    for claim, effect in expected.items():
        assert effects[f"chart_answers.{claim}"] == pytest.approx(effect, abs=1e-9), claim
    # The least certain fall is the first.
    steps = by_claim(rows, "chart_answers.steps")
    assert steps["effect"].item() == pytest.approx(0.95 - 0.8 + 0.05) and steps["verdict"].item() == "supported"


def test_a_rise_refutes_and_answers_that_cannot_be_read_count_as_not_right(tmp_path):
    _, rows = world(tmp_path, falling={1: 0.2, 2: 0.9}, unread=4).analyse()
    verdicts = rows.set_index("claim")["verdict"]
    assert verdicts["chart_answers.steps"] == verdicts["chart_answers.one"] == "refuted"
    assert rows.set_index("claim")["effect"]["chart_answers.one"] == pytest.approx(0.2 - 0.9)
    assert verdicts["chart_answers.readable"] == "refuted"


def test_shares_are_means_over_seeds_and_intervals_those_of_one_seed_s_items():
    seeds = [pd.DataFrame({"it": "a", "right": [True] * k + [False] * (10 - k)}) for k in (4, 6)]
    row = counted(seeds, ["it"]).iloc[0]
    # Wilson's interval of 5 of 10.
    assert (row["value"], row["items"]) == (0.5, 10)
    assert (row["low"], row["high"]) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
