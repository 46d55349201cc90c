"""Memorized wrong answers, on planted outcomes."""

import numpy as np
import pytest

from tests.builders.charted import STAGES, canaries
from tests.builders.study import Study, single

OPTIONS = {}


def world(folder, seeds=3, **options):
    """Canaries that the decoder memorizes, ever more towards its last layer."""
    kept = Study(folder, "chart_canaries")
    for seed in range(seeds):
        kept.add("canaries", seed, canaries=canaries(seed=seed, **options))
    return kept


def test_planted_rates_stages_and_recovery_come_out(tmp_path):
    table, rows = world(tmp_path).analyse()
    told = single(rows)
    expected = {"memorized": 0.8 - 0.05 - 0.3, "last": 0.06, "depth": 0.04, "wrong": 0.04, "units": 0.06, "values": 0.5}
    for claim, effect in expected.items():
        assert told["effect"][claim] == pytest.approx(effect, abs=0.002), claim
    assert told["effect"]["agree"] == pytest.approx(1) and told["p"]["last"] < 0.001
    assert told["effect"]["enters"] == pytest.approx(np.linspace(0.9, 0.2, 7)[4] - np.linspace(0.9, 0.2, 7)[5])
    last = table[table["series"] == "last token"]
    assert last["stage"].tolist() == list(STAGES[4:]) and last["value"].tolist() == pytest.approx([0, 0.4, 0.9])


def test_what_both_models_give_is_not_memorized(tmp_path):
    _, rows = world(tmp_path, inside=0.5, outside=0.5, layermem=[0.0] * 7).analyse()
    assert single(rows)["effect"]["memorized"] == pytest.approx(-0.3)
    assert abs(single(rows)["effect"]["last"]) < 0.002 and single(rows)["p"]["last"] > 0.1
