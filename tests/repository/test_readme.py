"""The README says what the frozen run found."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from memloc import config
from memloc.report import reference

ROOT = Path(__file__).resolve().parents[2]


def _publish():  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location("publish_results", ROOT / "tools/publish_results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_what_the_frozen_claims_render_to() -> None:
    publish = _publish()
    made = publish.pages()
    stale = [str(path) for path, text in made.items() if not path.is_file() or path.read_text() != text]
    assert not stale, "run python tools/publish_results.py"
    for folder in (publish.FROZEN, publish.GROUPS):
        assert set(folder.glob("*.md")) <= made.keys()


def test_the_published_run_has_the_configurations_that_it_is_said_to_have() -> None:
    said = yaml.safe_load((ROOT / "config.yaml").read_text())
    for name in re.findall(r"`config/(\w+)\.yaml`", (ROOT / "docs/findings.md").read_text().partition("Made by")[0]):
        update_config(said, yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))
    config.complete(said)
    published = reference.load(ROOT / "docs/results")
    assert published is not None
    alike = published.verdicts(published.claims.to_dict("records"), said)
    assert alike == dict(enumerate(published.claims["verdict"]))


def test_runs_with_one_experiment_of_a_name_are_refused_before_anything_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = _publish()
    monkeypatch.setattr(tool, "FROZEN", tmp_path / "frozen")
    monkeypatch.setattr(tool, "load_claims", lambda path: pd.DataFrame({"experiment": ["dose"]}))
    (tmp_path / "frozen").mkdir()
    with pytest.raises(SystemExit, match=r"b: .*a has an experiment dose, too"):
        tool.freeze(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "frozen").is_dir()
