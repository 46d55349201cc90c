"""The README says what the frozen run found."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from memloc.analysis.tables import load_table

ROOT = Path(__file__).resolve().parents[2]


def _publish():  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location("publish_results", ROOT / "tools/publish_results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_results_are_what_the_frozen_claims_render_to() -> None:
    publish = _publish()
    claims = load_table(ROOT / "docs/results/claims.csv")
    readme = (ROOT / "README.md").read_text()
    assert publish.insert(readme, publish.table(publish.headlines(claims), scales=False)) == readme
    assert publish.page(claims) == (ROOT / "docs/results/README.md").read_text()
    # Each of the questions that were chosen has its answer, whatever it is.
    assert set(publish.headlines(claims)["claim"]) == set(publish.HEADLINES)
