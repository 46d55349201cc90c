"""Which experiments of a run are those of the published one."""

import copy

import pandas as pd
import pytest

from memloc.report.reference import Reference

CHARTS = {
    "suites": {"marks": {"charts": 900}, "other": {"charts": 5}},
    "towers": {"dense": {"suite": "marks"}, "encoded": {"suite": "marks", "encoder": "simclr"}},
    "models": {"plain": {"tower": "dense", "steps": 9}, "longer": {"tower": "dense", "after": "plain"}},
    "locate": {"charts": 50},
}
CONFIG = {
    "encoders": {"simclr": {"dataset": "d"}},
    "datasets": {"d": {"source": "digits"}},
    "charts": CHARTS,
    "experiments": {
        "models": {"kind": "chart_probes", "models": ["longer"]},
        "towers": {"kind": "chart_towers", "towers": ["encoded"]},
    },
}
CLAIMS = pd.DataFrame(
    {"experiment": name, "claim": f"{name}.it", "subject": "it", "verdict": "supported", "effect": 1.0}
    for name in CONFIG["experiments"]
)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("charts.suites.marks.charts", []),
        ("charts.suites.other.charts", ["towers"]),
        ("charts.towers.dense.suite", ["towers"]),
        ("charts.models.plain.steps", ["towers"]),
        ("charts.locate.charts", []),
        ("datasets.d.source", ["models"]),
    ],
)
def test_what_stands_behind_an_experiment_is_all_that_it_names_and_what_that_names(path, kept):
    changed = copy.deepcopy(CONFIG)
    *keys, last = path.split(".")
    part = changed
    for key in keys:
        part = part[key]
    part[last] = "another"
    rows = CLAIMS.to_dict("records")
    found = Reference(CLAIMS, CONFIG).verdicts(rows, changed)
    assert [rows[place]["experiment"] for place in found] == kept
    assert len(Reference(CLAIMS, CONFIG).verdicts(rows, CONFIG)) == 2
