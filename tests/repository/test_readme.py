"""The README says what the frozen run found."""

from __future__ import annotations

import importlib.util
import re
import shutil
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


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """The tool with a repository of its own, in which a run is frozen."""
    tool = _publish()
    monkeypatch.setattr(tool, "FROZEN", tmp_path / "docs/results")
    monkeypatch.setattr(tool, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "ABOUT", {tool.FROZEN: "", tool.GROUPS: ""})
    shutil.copytree(ROOT / "docs/results", tool.FROZEN)
    tool.GROUPS.mkdir()
    shutil.copy(ROOT / "docs/groups/results/claims.csv", tool.GROUPS)
    for page in ("README.md", "docs/claims.md", "docs/deviations.md"):
        shutil.copy(ROOT / page, tmp_path / page)
    return tool


def _run(folder: Path, *experiments: str) -> Path:
    """A finished run with some of the published experiments."""
    frozen = ROOT / "docs/results"
    (folder / "figures").mkdir(parents=True)
    claims = pd.read_csv(frozen / "claims.csv")
    claims[claims["experiment"].isin(experiments)].to_csv(folder / "claims.csv", index=False)
    for name in experiments:
        for suffix in (".png", ".csv"):
            shutil.copy(frozen / f"{name}{suffix}", folder / "figures")
    shutil.copy(frozen / reference.CONFIG, folder)
    return folder


def _everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_cannot_be_published_changes_nothing(publish, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    one, two = _run(tmp_path / "one", "dose"), _run(tmp_path / "two", "dose")
    config = yaml.safe_load((two / reference.CONFIG).read_text())
    del config["experiments"]["dose"]
    other = _run(tmp_path / "other", "dose")
    (other / reference.CONFIG).write_text(yaml.safe_dump(config))
    before = _everything(tmp_path)
    for folders, said in (
        ([one, two], r"two: .*one has an experiment dose, too"),
        ([one, tmp_path / "two/../one"], "named twice"),
        ([one, one], "named twice"),
        ([other], "run_config.yaml has no experiment dose"),
        ([one], r"docs/claims.md: \S+ is in no claims.csv"),
    ):
        with pytest.raises(SystemExit, match=said):
            publish.main(*folders)
        assert _everything(tmp_path) == before


def test_a_run_is_published_with_its_pages_and_old_ones_go(publish, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    page = tmp_path / "docs/claims.md"
    page.write_text(publish.CAME_OUT.sub("", page.read_text()))
    publish.main(_run(tmp_path / "run", "dose"))
    assert {path.name for path in publish.FROZEN.glob("*.md")} == {"README.md", "dose.md"}
    assert set(pd.read_csv(publish.FROZEN / "claims.csv")["experiment"]) == {"dose"}


def test_a_verdict_is_put_down_to_the_least_effect_only_where_the_old_interval_lay_within_it() -> None:
    why = _publish()._why
    new = {"verdict": "negligible", "low": 0.001, "high": 0.007, "seeds": 10, "least": 0.01}
    assert "0.01, is fixed now" in why({"low": -0.009, "high": 0.008, "seeds": 3}, new)
    for low, high in ((-0.0229, 0.008), (-0.008, 0.0318)):
        assert why({"low": low, "high": high, "seeds": 3}, new).startswith("10 pairs")


def test_thresholds_are_those_of_the_claims() -> None:
    """A claim's statement says which number its effect is counted from."""
    for claim, (_, sign, threshold) in _publish().THRESHOLDS.items():
        kind, _, name = claim.partition(".")
        statement = importlib.import_module(f"memloc.experiments.{kind}.analysis").CLAIMS[name].statement
        told = f"{threshold:.5f}".strip("0")
        wanted = {f"minus {told}"} if sign > 0 else {f"{told} minus", f"plus {told}"}
        assert threshold == 0 or any(text in statement for text in wanted), (claim, statement)


def test_thresholds_are_told_with_what_was_measured_and_by_how_much_they_fail() -> None:
    tool = _publish()
    rows = [
        {"claim": "chart_answers.blank", "subject": "plain", "effect": 0.03, "verdict": "supported"},
        {"claim": "chart_answers.one", "subject": "plain", "effect": -0.2, "verdict": "refuted"},
    ]
    one, blank = list(tool.thresholds(rows))[1:]
    assert one.endswith("| plain | at least 0.9 | 0.7 | fails by 0.2 | refuted |")
    assert blank.endswith("| plain | at most 0.05 | 0.02 | holds by 0.03 | supported |")
    assert len(list(tool.thresholds([]))) == 1
