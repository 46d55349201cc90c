"""Cost of values, on planted times."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.builders.study import Study

ROWS, LEARNERS, PERMUTATIONS = (250, 500, 1000), (10, 30, 100, 300), (1, 5, 30)
OPTIONS = {}


def study(folder, *, knn=0.1, knn_area=0.7, learners=1.0, rows=1.0, fewest=0.5, seeds=5):
    """2D-OOB takes .001 s a learner at 1000 rows and finds .6 to .9; 2D-KNN ``knn`` s a permutation, at any rows."""
    kept = Study(folder, "valuation_cost")
    for seed in range(seeds):
        rng, measured = np.random.default_rng([9, seed]), []
        for n in ROWS:
            scale = (n / 1000) ** rows
            for place, amount in enumerate(LEARNERS):
                measured.append(("2D-OOB, w = 1", n, amount, 0.001 * amount**learners * scale, 0.6 + 0.1 * place))
            measured += [("2D-KNN", n, amount, knn * amount, knn_area) for amount in PERMUTATIONS]
            measured += [("two-stage", n, 300, 2.0, 0.7), ("z-score", n, 1, 1e-4, 0.95)]
        columns = [np.array(column) for column in zip(*measured, strict=True)]
        arrays = dict(zip(("methods", "rows", "amounts", "seconds", "areas"), columns, strict=True))
        # Behind the cell that has fewest, half of the learners.
        arrays["fewest"] = np.where(arrays["methods"] == "2D-OOB, w = 1", fewest * arrays["amounts"], 0).astype(int)
        arrays["seconds"] = arrays["seconds"] * np.exp(0.01 * rng.normal(size=len(measured)))
        kept.add("wine", seed, outcomes=arrays)
    return kept


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    return study(folder, seeds=seeds)


def test_planted_ratios_and_exponents_come_out(tmp_path):
    # 30 permutations take 3 s, the 30 learners that find .7 take .03 s.
    table, rows = study(tmp_path).analyse()
    said = rows.set_index("claim")
    assert set(said["verdict"]) == {"supported"}
    assert said.loc["valuation_cost.tenth", "effect"] == pytest.approx(1, abs=0.02)
    assert said.loc["valuation_cost.tenth", "subject"] == "wine, 30 learners"
    assert said.loc["valuation_cost.any", "effect"] == pytest.approx(np.log10(0.1 / 0.03), abs=0.02)
    assert said.loc["valuation_cost.any", "subject"] == "wine, 1 permutation"
    for axis in ("learners", "rows"):
        assert said.loc[f"valuation_cost.{axis}", "effect"] == pytest.approx(0.25, abs=0.02)
    mine = table[(table["series"] == "seconds") & (table["method"] == "2D-KNN") & (table["amount"] == 5)]
    np.testing.assert_allclose(mine["value"], 0.5, rtol=0.02)
    assert (mine["low"] > 0).all()


def test_a_faster_2d_knn_and_steeper_costs_are_refuted(tmp_path):
    _, rows = study(tmp_path, knn=0.005, learners=1.5, rows=1.4).analyse()
    said = rows.set_index("claim")
    assert set(said["verdict"]) == {"refuted"}
    assert said.loc["valuation_cost.rows", "effect"] == pytest.approx(1.25 - 1.4, abs=0.02)


def test_where_2d_oob_is_never_as_good_its_longest_time_counts(tmp_path):
    _, rows = study(tmp_path, knn_area=0.99).analyse()
    row = rows.set_index("claim").loc["valuation_cost.tenth"]
    assert row["subject"] == "wine, 300 learners (not as good)"
    assert row["effect"] == pytest.approx(np.log10(3 / 0.3) - 1, abs=0.02)


def test_learners_that_leave_cells_with_fewer_than_ten_do_not_count(tmp_path):
    for number, (fewest, said) in enumerate(((0.3, "wine, 100 learners"), (0.01, "wine, 300 learners (too few)"))):
        _, rows = study(tmp_path / str(number), fewest=fewest).analyse()
        assert rows.set_index("claim").loc["valuation_cost.tenth", "subject"] == said


def test_the_figure_shows_areas_against_time(tmp_path):
    kept = study(tmp_path, seeds=2)
    table, _ = kept.analyse()
    figure = kept.drawn(table)
    above, middle, below = figure.axes
    assert above.get_xscale() == middle.get_yscale() == below.get_xscale() == "log"
    assert [text.get_text() for text in middle.get_xticklabels()] == list(map(str, LEARNERS))
    assert len(figure.legends[0].get_texts()) == 4
    plt.close(figure)
