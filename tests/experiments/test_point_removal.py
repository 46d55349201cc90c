"""Flipped labels found, rows removed, on planted outcomes of trials."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.metrics.detection import average_precision
from memloc.valuation.trials import CHANGED
from tests.builders.planted import trial
from tests.builders.study import Study

OTHERS = ["Data-OOB", "KNN-Shapley", "z-score", "random"]
OPTIONS = {"flipped": 0.1}


def study(folder, *, found, data_oob=0.8, gain=0.05, tables=("wine", "iris"), seeds=5):
    kept = Study(folder, "point_removal")
    for table in tables:
        for seed in range(seeds):
            noise = 0.003 * np.random.default_rng([7, seed]).normal(size=8)
            areas = np.array([found] * 4 + [data_oob, 0.5, 0.3, 0.1]) + noise
            gains = np.array([gain] * 7 + [0.0])[:, None] + noise[:, None]
            accuracy = 0.8 + gains * CHANGED / 0.1
            outcome = trial(OTHERS, found=areas, accuracy=accuracy, flipped=0.1, changed=CHANGED)
            kept.add(table, seed, outcomes=outcome)
    return kept


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    return study(folder, found=0.8, seeds=seeds)


@pytest.mark.parametrize(("found", "gain", "said"), [
    (0.8, 0.05, {"finds": "supported", "as-data-oob": "supported", "helps": "supported"}),
    (0.6, -0.05, {"finds": "supported", "as-data-oob": "refuted", "helps": "refuted"}),
    (0.05, 0.0, {"finds": "refuted", "as-data-oob": "refuted", "helps": "inconclusive"}),
])  # fmt: skip
def test_planted_finds_come_out(tmp_path, found, gain, said):
    table, rows = study(tmp_path, found=found, gain=gain).analyse(**OPTIONS)
    for claim, verdict in said.items():
        mine = rows[rows["claim"] == f"point_removal.{claim}"]
        assert set(mine["verdict"]) == {verdict}, claim
        assert len(mine) == (1 if claim == "as-data-oob" else 2)
    effect = rows[rows["claim"] == "point_removal.finds"]["effect"]
    chance = table[table["series"] == "chance"].set_index("table")["value"]
    np.testing.assert_allclose(effect, found - chance["iris"], atol=0.01)
    # Of the rows of a trial, a tenth: what random orders come to.
    rng, n = np.random.default_rng(0), int(rows["n"].iloc[0])
    marked = np.arange(n) < round(0.1 * n)
    assert (
        chance.tolist()
        == [pytest.approx(np.mean([average_precision(rng.random(n), marked) for _ in range(2000)]), abs=0.005)] * 2
    )
    mine = table[(table["series"] == "found") & (table["table"] == "iris") & (table["method"] == "Data-OOB")]
    assert mine["value"].item() == pytest.approx(0.8, abs=0.01)


def test_other_ratios_have_no_claims(tmp_path):
    kept = Study(tmp_path, "point_removal")
    for seed in range(2):
        half = np.full((8, 11), 0.5)
        outcome = trial(OTHERS, found=half[:, 0], accuracy=half, flipped=0.1, changed=CHANGED)
        kept.add("wine", seed, outcomes=outcome | {"ratios": outcome["ratios"] + 0.1})
    table, rows = kept.analyse(**OPTIONS)
    assert len(table) and not len(rows)


@pytest.mark.parametrize("tables", [("wine",), ("a", "b", "c", "d", "e")])
def test_the_figure_shows_all_tables_above_and_three_below(tmp_path, tables):
    kept = study(tmp_path, found=0.8, tables=tables, seeds=2)
    table, _ = kept.analyse(**OPTIONS)
    figure = kept.drawn(table)
    assert len(figure.axes) == 2 * len(tables)
    assert [axis.get_title("left") for axis in figure.axes if axis.get_title("left")] == list(tables)
    plt.close(figure)
