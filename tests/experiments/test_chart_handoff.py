"""Models that differ in the handoff, on planted answers."""

import numpy as np
import pandas as pd
import pytest

from memloc.experiments.chart_handoff.analysis import gained
from tests.builders.charted import answered
from tests.builders.study import Study, by_claim

OPTIONS = {}
SHARES = {"plain": 0.4, "wider": 0.4, "positions": 0.6, "unfrozen": 0.3}


def world(folder, seeds=3):
    """Positions help, a tower that learns on harms; at held-out places all gain half as much."""
    kept = Study(folder, "chart_handoff")
    for model, share in SHARES.items():
        for seed in range(seeds):
            asked = {
                ("templated", task, n, place): (share + place * 0.4) / (1 + place)
                for task in ("position", "count")
                for n in (1, 4)
                for place in (0, 1)
            }
            kept.add(model, seed, answers=answered(asked, seed=seed))
    return kept


def test_planted_gains_come_out_at_either_place(tmp_path):
    table, rows = world(tmp_path).analyse()
    found = rows.set_index(["claim", "subject"])["effect"]
    for model, gain in {"wider": 0, "positions": 0.2, "unfrozen": -0.1}.items():
        assert found[f"chart_handoff.{model}", f"{model}, places of training charts"] == pytest.approx(gain)
        assert found[f"chart_handoff.{model}", f"{model}, held-out places"] == pytest.approx(gain / 2)
    own = table[(table["series"] == "accuracy") & (table["model"] == "positions") & (table["held_out"] == 0)]
    assert (own["value"].round(6) == 0.6).all()


def test_a_gain_at_a_few_held_out_places_is_less_certain_than_one_of_as_many_items(tmp_path):
    """All items of a place gain, or none does; 64 items are of 16 places."""
    kept = Study(tmp_path, "chart_handoff")
    for seed in range(3):
        for model in ("plain", "wider"):
            table = answered({("templated", "position", 4, place): 0.0 for place in (0, 1)}, seed=seed, items=64)
            table["right"] = ((table["place"] % 4 == 0) & (model == "wider")).astype(np.int8)
            kept.add(model, seed, answers=table)
    rows = by_claim(kept.analyse()[1], "chart_handoff.wider")
    width = rows["high"] - rows["low"]
    assert (rows["effect"] == 0.25).all()
    assert width["wider, held-out places"] > 1.7 * width["wider, places of training charts"]


def test_gains_are_of_the_same_items():
    about = {"strategy": "templated", "task": "position", "n": 4, "held_out": 0, "place": 12}
    one = pd.DataFrame({"item": ["a", "b", "c"], "right": [True, True, False], **about})
    other = pd.DataFrame({"item": ["c", "a", "b"], "right": [True, True, False], **about})
    assert gained(one, other).set_index("item")["gain"].to_dict() == {"a": 0, "b": 1, "c": -1}
