"""Coordinates given to a model, on planted answers."""

import pytest

from tests.builders.charted import answered
from tests.builders.study import Study

OPTIONS = {}


def world(folder, seeds=3):
    """A model that true coordinates help with few marks and harm with many, and that follows wrong ones."""
    kept = Study(folder, "chart_coordinates")
    shares = {"templated": (0.3, 0.6), "true": (0.7, 0.5), "wrong": (0.1, 0.4)}
    for seed in range(seeds):
        asked = {
            (strategy, task, n, 0): share
            for strategy, both in shares.items()
            for share, n, tasks in zip(both, (4, 16), (("distance", "mean"), ("cluster",)), strict=True)
            for task in tasks
        }
        kept.add("tasks", seed, answers=answered(asked, seed=seed))
    return kept


def test_planted_gains_and_harm_come_out(tmp_path):
    table, rows = world(tmp_path).analyse()
    assert table.set_index(["task", "strategy"])["value"]["mean", "true"] == pytest.approx(0.7)
    effects = rows.set_index("claim")["effect"]
    expected = {"true": 0.4 - 0.15, "wrong": 0.2, "crowds": 0.1}
    assert effects.to_dict() == {f"chart_coordinates.{name}": pytest.approx(e) for name, e in expected.items()}
