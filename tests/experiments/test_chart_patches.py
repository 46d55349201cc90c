"""Patched answers, on planted pairs."""

import pytest

from tests.builders.charted import STAGES, patched
from tests.builders.study import Study, single

OPTIONS = {}
MOVED = {
    **{(stage, "image"): 1.0 for stage in STAGES},
    **{(stage, "marks"): 0.75 for stage in STAGES},
    **{(stage, "background"): 0.05 for stage in STAGES},
    **{(stage, "last token"): share for stage, share in zip(STAGES[4:], (0.0, 0.05, 1.0), strict=True)},
}


def world(folder, seeds=3, **options):
    """A model whose image tokens carry the answer, most of it those that show marks."""
    kept = Study(folder, "chart_patches")
    for seed in range(seeds):
        kept.add("plain", seed, pairs=patched(MOVED, **options))
    return kept


def test_planted_cells_come_out_and_claims_follow(tmp_path):
    table, rows = world(tmp_path).analyse()
    cells = table[table["series"] == "task"].set_index(["stage", "unit"])["value"]
    assert cells["decoder 1", "last token"] == pytest.approx(0.05) and cells["tower 2", "marks"] == pytest.approx(0.75)
    shifts = table[table["series"] == "shift"].set_index(["stage", "unit"])["value"]
    assert shifts["tower 2", "marks"] == pytest.approx(0.75)
    expected = {"entry": 0.01, "itself": 1e-5 - 1e-7, "background": 0.05, "marks": 0.15, "last": 0.05, "pairs": 0.5}
    assert single(rows)["effect"].to_dict() == {name: pytest.approx(effect) for name, effect in expected.items()}


def test_shares_that_are_all_alike_are_judged_by_how_many_rows_there_are(tmp_path):
    verdicts = {}
    for pairs in (60, 300):
        _, rows = world(tmp_path / str(pairs), pairs=pairs, numbers=(1,)).analyse()
        verdicts[pairs] = single(rows)["verdict"]["entry"]
    # 60 of 60 don't show that more than .99 become the other's: 2 * .99^60 = 1.1; 2 * .99^300 = .098, of 600: .005.
    assert verdicts == {60: "inconclusive", 300: "inconclusive"}
    _, rows = world(tmp_path / "many", pairs=600, numbers=(1,)).analyse()
    assert single(rows)["verdict"]["entry"] == "supported"
    assert single(rows)["p"]["entry"] == pytest.approx(2 * 0.99**600)


def test_no_pair_at_all_is_told_and_drawn(tmp_path):
    kept = Study(tmp_path, "chart_patches")
    kept.add("plain", 0, pairs={name: values[:0] for name, values in patched(MOVED).items()})
    table, rows = kept.analyse()
    assert single(rows)["effect"].to_dict() == {"pairs": -0.5} and table.empty
    assert kept.drawn(table).axes[0].get_title(loc="left") == "no pair of charts was answered rightly"


def test_few_pairs_and_runs_that_differ_from_themselves_are_told(tmp_path):
    table, rows = world(tmp_path, pairs=20, itself=1e-3).analyse()
    assert table.loc[table["series"] == "task, n", "few"].all()
    assert single(rows)["verdict"][["itself", "pairs"]].tolist() == ["refuted", "refuted"]
