"""The README says what the frozen run found, and names what is there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from memloc.tables import load_table

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
    answered, ran = set(publish.headlines(claims)["claim"]), {claim.split(".")[0] for claim in claims["claim"]}
    assert answered == {claim for claim in publish.HEADLINES if claim.split(".")[0] in ran}
    # What hasn't run yet is said to be so.
    page = (ROOT / "docs/results/README.md").read_text()
    kinds = {
        value["kind"]: name
        for config in publish.CONFIGS
        for name, value in publish.experiments(config).items()
        if value and value.get("kind")
    }
    assert all(kinds[claim.split(".")[0]] in page for claim in publish.HEADLINES if claim not in answered)


def test_every_link_inside_the_repository_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
