"""Fine-tuning, on planted answers."""

import pytest

from tests.builders.charted import answered
from tests.builders.study import Study, single

OPTIONS = {}


def world(folder, seeds=3, *, mean=0.85):
    """Every task gains, and one stays below its ceiling."""
    kept = Study(folder, "chart_tuning")
    for model, shares in (("tasks", (0.3, 0.5)), ("tuned", (0.5, mean))):
        for seed in range(seeds):
            asked = {("templated", "position", 4, 0): shares[0], ("templated", "mean", 4, 0): shares[1]}
            asked[("templated", "count", 4, 0)] = 1.0
            kept.add(model, seed, answers=answered(asked, seed=seed))
    return kept


def test_planted_gain_and_ceiling_come_out(tmp_path):
    table, rows = world(tmp_path).analyse()
    effects, subjects = single(rows)["effect"], single(rows)["subject"]
    assert effects["gain"] == pytest.approx(0.2 - 0.05)
    assert effects["ceiling"] == pytest.approx(0.95 - 0.5) and subjects["ceiling"] == "tuned, position"
    assert table.set_index(["model", "task"])["value"]["tuned", "mean"] == pytest.approx(0.85)
