"""What repaired cells win back, on planted outcomes of trials."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.experiments.cell_fixation.analysis import CLAIMS
from memloc.valuation.trials import CHANGED
from tests.builders.planted import trial
from tests.builders.study import Study

OTHERS = ["2D-KNN", "two-stage", "DDC", "z-score", "random"]
OPTIONS = {}


def study(folder, *, won, chance, gap=0.2, tables=("wine",), seeds=5):
    """Accuracy that rises from .7 in a straight line to what the lowest 10 % win back, as a share of the gap."""
    kept = Study(folder, "cell_fixation")
    for table in tables:
        for seed in range(seeds):
            noise = 0.001 * np.random.default_rng([6, seed]).normal(size=(9, 1))
            shares = np.array([won] * 8 + [chance])[:, None]
            accuracy = 0.7 + (gap * shares + noise) * CHANGED / 0.1
            kept.add(table, seed, outcomes=trial(OTHERS, accuracy=accuracy, clean=0.7 + gap, changed=CHANGED))
    return kept


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    return study(folder, won=0.5, chance=0.1, seeds=seeds)


@pytest.mark.parametrize(("won", "chance", "gap", "said"), [
    (0.6, 0.05, 0.2, ("supported", "supported", "supported")),
    (0.1, 0.4, 0.2, ("refuted", "refuted", "supported")),
    (0.3, 0.15, 0.2, ("inconclusive", "inconclusive", "supported")),
    (0.6, 0.05, -0.1, ("refuted", "refuted", "refuted")),
    # Nothing was lost, and something is won all the same.
    (0.1, 0.05, -0.1, ("refuted", "refuted", "refuted")),
])  # fmt: skip
def test_planted_gains_come_out(tmp_path, won, chance, gap, said):
    table, rows = study(tmp_path, won=won, chance=chance, gap=gap).analyse()
    rows = rows.set_index("claim")
    assert tuple(rows.loc[[f"cell_fixation.{claim}" for claim in CLAIMS], "verdict"]) == said
    weakest = (won - 0.3) * gap if gap > 0 else min((won - 0.3) * gap, gap)
    assert rows.loc["cell_fixation.recovers", "effect"] == pytest.approx(weakest, abs=0.002)
    assert rows.loc["cell_fixation.random", "effect"] == pytest.approx((0.15 - chance) * gap, abs=0.002)
    back = table[(table["series"] == "won back") & (table["method"] == "random")]["value"].item()
    assert back == pytest.approx(chance * gap, abs=0.002)


@pytest.mark.parametrize("tables", [("wine",), ("a", "b", "c", "d", "e")])
def test_the_figure_has_a_panel_a_table(tmp_path, tables):
    kept = study(tmp_path, won=0.5, chance=0.1, tables=tables, seeds=2)
    table, _ = kept.analyse()
    figure = kept.drawn(table)
    assert [axis.get_title("left") for axis in figure.axes if axis.get_title("left")] == list(tables)
    dotted = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert dotted[0].get_ydata()[0] == pytest.approx(0.9)
    plt.close(figure)
