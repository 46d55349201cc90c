"""Detection of outlier cells, on planted outcomes of trials."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.analysis.inputs import Inputs
from memloc.analysis.valued import outcomes
from memloc.errors import InputError
from memloc.valuation.trials import INSPECTED
from tests.builders.planted import TRIED, trial
from tests.builders.study import Study, by_claim

OTHERS = ["2D-KNN", "two-stage", "DDC", "z-score", "random"]
OPTIONS = {"dirty_rows": 0.2, "dirty_columns": 0.2, "injectors": ["tail", "swap"], "ratios": [0.25, 0.5]}
TAIL = {("2D-OOB, w = 0", 0.25): 0.81, ("2D-OOB, w = 1", 0.25): 0.86, ("2D-OOB, w = 0", 0.5): 0.53,
        ("2D-OOB, w = 1", 0.5): 0.9, "2D-KNN": 0.7, "two-stage": 0.8, "DDC": 0.93, "z-score": 0.95,
        "random": 0.5}  # fmt: skip
SWAP = TAIL | {"z-score": 0.6, ("2D-OOB, w = 0", 0.5): 0.75}


def study(folder, *, tail=TAIL, swap=SWAP, tables=("breast-cancer", "fried", "digits-8x8"), seeds=5):
    kept = Study(folder, "cell_outliers")
    for table in tables:
        for seed in range(seeds):
            noise = 0.002 * np.random.default_rng([5, seed]).normal(size=(2, 9))
            areas = np.array([[*(areas[m] for m in TRIED), *(areas[m] for m in OTHERS)] for areas in (tail, swap)])
            # A curve that is straight up to where its area asks, and then flat.
            rates = np.minimum(1, INSPECTED / np.maximum(1e-9, 2 * (1 - areas))[..., None])
            kept.add(table, seed, outcomes=trial(OTHERS, areas=areas + noise, rates=rates, inspected=INSPECTED))
    return kept


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    return study(folder, seeds=seeds)


def test_planted_areas_come_out_and_claims_follow(tmp_path):
    kept = study(tmp_path)
    table, rows = kept.analyse(**OPTIONS)
    mine = table[(table["series"] == "area") & (table["injector"] == "tail") & (table["table"] == "fried")]
    np.testing.assert_allclose(mine["value"], [*(TAIL[m] for m in TRIED), *(TAIL[m] for m in OTHERS)], atol=0.005)
    expected = {
        "finds": 0.06, "closeness": 0.03, "found": 1 - 0.85, "chance": 0.03,
        "additive": 0.05, "additive-accuracy": 0.12,
    }  # fmt: skip
    said = rows.set_index("claim")
    for claim, effect in expected.items():
        row = said.loc[f"cell_outliers.{claim}"]
        assert row["effect"] == pytest.approx(effect, abs=0.005) and row["verdict"] == "supported", claim
    swapped = by_claim(rows, "cell_outliers.swapped")["effect"]
    assert swapped["breast-cancer, swap, ratio 0.25"] == pytest.approx(0.81 - 0.6 - 0.03, abs=0.005)
    assert swapped["digits-8x8, swap, ratio 0.5"] == pytest.approx(0.75 - 0.6 - 0.03, abs=0.005)
    over = {
        (row.claim.split("-", 1)[1], row.subject.split(", ")[3]): row
        for row in rows.itertuples()
        if "over" in row.claim
    }
    assert (
        over["ddc", "tail"].verdict == over["z-score", "tail"].verdict == "refuted"
        and over["z-score", "swap"].verdict == "supported"
    )
    assert (
        over["knn", "tail"].effect == pytest.approx(0.2, abs=0.005) and over["two-stage", "tail"].verdict == "supported"
    )
    assert (rows["n"] == 99).all() and (rows["seeds"] == 5).all()


def test_what_is_not_there_is_refuted(tmp_path):
    worse = dict.fromkeys(TAIL, 0.7)
    _, rows = study(tmp_path, tail=worse, swap=worse).analyse(**OPTIONS)
    said = rows.set_index("claim")["verdict"]
    for claim in ("finds", "closeness", "found", "chance", "additive", "additive-accuracy"):
        assert said[f"cell_outliers.{claim}"] == "refuted", claim
    assert set(by_claim(rows, "cell_outliers.over-knn")["verdict"]) == {"inconclusive"}


def test_claims_with_a_threshold_are_about_their_tables_alone(tmp_path):
    _, rows = study(tmp_path, tables=("wine",)).analyse(**OPTIONS)
    assert {claim.split(".")[1][:4] for claim in rows["claim"]} == {"over"}
    _, rows = study(tmp_path, tables=("breast-cancer",)).analyse(
        injectors=["tail"], dirty_rows=0.2, dirty_columns=0.2, ratios=[0.75]
    )
    assert not len(rows)


def test_outcomes_that_lack_a_method_are_told(tmp_path):
    kept = study(tmp_path, tables=("breast-cancer",))
    mine = outcomes(Inputs(kept.runs, kept.files), "breast-cancer")
    with pytest.raises(InputError, match=r"outcomes lack 2D-OOB, w = 0, ratio 0.75; delete them"):
        mine.of("areas", ("2D-OOB, w = 0", 0.75), axis=1)


@pytest.mark.parametrize("tables", [("wine",), ("breast-cancer", "fried", "digits-8x8")])
def test_the_figure_shows_every_method_of_every_table(tmp_path, tables):
    kept = study(tmp_path, tables=tables, seeds=2)
    table, _ = kept.analyse(**OPTIONS)
    figure = kept.drawn(table)
    # Areas, and differences to four baselines, for two injectors.
    assert len(figure.axes) == 10 and [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(tables)
    assert [axis.get_title("left") for axis in figure.axes[1:5]] == [
        "Better than 2D-KNN?",
        "Better than two-stage?",
        "Better than DDC?",
        "Better than z-score?",
    ]
    plt.close(figure)
