"""Models that differ in the handoff, on planted answers."""

import pandas as pd
import pytest

from memloc.experiments.chart_handoff.analysis import gained
from tests.builders.charted import answered
from tests.builders.study import Study, single

OPTIONS = {}
SHARES = {"plain": 0.4, "wider": 0.4, "positions": 0.6, "unfrozen": 0.3}


def world(folder, seeds=3):
    """Positions help, a tower that learns on harms."""
    kept = Study(folder, "chart_handoff")
    for model, share in SHARES.items():
        for seed in range(seeds):
            asked = {("templated", task, n, 0): share for task in ("position", "count") for n in (1, 4)}
            kept.add(model, seed, answers=answered(asked, seed=seed))
    return kept


def test_planted_gains_come_out(tmp_path):
    table, rows = world(tmp_path).analyse()
    effects = single(rows)["effect"]
    assert effects.to_dict() == {"wider": 0, "positions": pytest.approx(0.2), "unfrozen": pytest.approx(-0.1)}
    own = table[(table["series"] == "accuracy") & (table["model"] == "positions")]
    assert (own["value"].round(6) == 0.6).all()


def test_gains_are_of_the_same_items():
    about = {"strategy": "templated", "task": "position", "n": 4}
    one = pd.DataFrame({"item": ["a", "b", "c"], "right": [True, True, False], **about})
    other = pd.DataFrame({"item": ["c", "a", "b"], "right": [True, True, False], **about})
    assert gained(one, other).set_index("item")["gain"].to_dict() == {"a": 0, "b": 1, "c": -1}
