"""Probes of towers, on planted predictions."""

import pytest

from tests.builders.charted import probed
from tests.builders.study import Study, by_claim, complaint

OPTIONS = {"own": "charts", "foreign": "clothes", "untrained": "untrained"}
SHARES = {
    "dense": (1.0, 0.4, 0.9),
    "charts": (0.94, 0.3, 0.84),
    "few": (0.9, 0.3, 0.7),
    "clothes": (0.8, 0.2, 0.6),
    "untrained": (0.7, 0.1, 0.5),
}
RISE = {"1": 0.0, "2": 0.03, "3": 0.06}
PAIRS = ("charts", "few", "clothes")


def world(folder, seeds=3):
    """Towers that hold places ever worse, three of which have a partner."""
    kept = Study(folder, "chart_towers")
    for tower, shares in SHARES.items():
        for seed in range(seeds):
            planted = probed(*shares, seed=seed, memorized=RISE if tower in PAIRS else None)
            kept.add(tower, seed, probed=planted)
    return kept


def test_planted_accuracies_and_differences_come_out(tmp_path):
    table, rows = world(tmp_path).analyse(**OPTIONS)
    held = table[(table["series"] == "held-out places") & (table["representation"] == "flattened")]
    assert held.set_index(["tower", "stage"])["value"]["clothes", "2"] == pytest.approx(0.6)
    effects = rows.set_index(["claim", "subject"])["effect"]
    assert by_claim(rows, "chart_towers.held-out")["effect"].item() == pytest.approx(0.04)
    # No claim about a tower that has a partner, for it learned without labels.
    supervised = by_claim(rows, "chart_towers.supervised")
    assert [*supervised.index] == ["dense"] and supervised["effect"].item() == pytest.approx(0.9 - 0.8)
    assert effects["chart_towers.over-untrained", "charts over untrained"] == pytest.approx(0.84 - 0.5)
    assert effects["chart_towers.over-foreign", "charts over clothes"] == pytest.approx(0.84 - 0.6)
    assert effects["chart_towers.pooled", "charts"] == pytest.approx(0.84 - 0.3 - 0.2)
    assert by_claim(rows, "chart_towers.control")["effect"].tolist() == [pytest.approx(0.04)] * 5


PLACES = {"1": 0.2, "2": 0.4, "3": 0.6}


def test_layers_that_memorize_more_hold_places_better_or_worse_as_planted(tmp_path):
    kept = Study(tmp_path, "chart_towers")
    falling = dict(zip(PLACES, reversed(PLACES.values()), strict=True))
    for tower, held in {"charts": PLACES, "clothes": falling, "untrained": 0.5}.items():
        memorized = None if tower == "untrained" else RISE
        for seed in range(3):
            kept.add(tower, seed, probed=probed(1.0, 0.3, held, seed=seed, memorized=memorized))
    table, rows = kept.analyse(**OPTIONS)
    found = rows.set_index(["claim", "subject"])
    assert found["effect"]["chart_towers.together", "charts"] == pytest.approx(1)
    assert found["effect"]["chart_towers.together", "clothes"] == pytest.approx(-1)
    assert found["effect"]["chart_towers.memorizes", "charts"] == pytest.approx(0.06, abs=0.002)
    assert (found["p"].xs("chart_towers.together") < 0.01).all() and "untrained" not in found.xs(
        "chart_towers.together"
    ).index
    mem = table[(table["series"] == "LayerMem") & (table["tower"] == "charts")]
    assert mem["stage"].tolist() == list(RISE) and mem["value"].tolist() == pytest.approx(
        list(RISE.values()), abs=0.002
    )


def test_an_order_of_layers_that_memorize_nothing_is_no_evidence(tmp_path):
    kept = Study(tmp_path, "chart_towers")
    for tower in OPTIONS.values():
        for seed in range(3):
            kept.add(tower, seed, probed=probed(1.0, 0.3, PLACES, seed=seed, memorized=dict.fromkeys(RISE, 0.0)))
    rows = by_claim(kept.analyse(**OPTIONS)[1], "chart_towers.together")
    assert (rows["p"] > 0.05).all() and not rows["verdict"].isin(["supported", "refuted"]).any()


def test_towers_and_models_must_be_those_of_charts():
    experiment = {"kind": "chart_towers", "towers": ["dense"], "own": "a", "foreign": "b", "untrained": "c"}
    assert complaint(experiment, {}) == "config: experiments.it.towers: 'dense' is none of none, for there is none"
