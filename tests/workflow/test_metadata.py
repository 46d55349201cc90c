"""What is said about the project in more than one place is the same everywhere."""

import os
from pathlib import Path

import yaml

import memloc

ROOT = Path(__file__).resolve().parents[2]


def test_citation_has_the_version_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == memloc.__version__
    (paper,) = citation["references"]
    assert paper["title"] == "Localizing Memorization in SSL Vision Encoders"
    assert [author["family-names"] for author in paper["authors"]] == ["Wang", "Dziedzic", "Backes", "Boenisch"]


def test_licence_is_the_declared_one():
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n\nCopyright (c) 2026 The memloc authors\n")
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"] == "MIT"


def test_continuous_integration_is_what_contributors_run():
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert (ROOT / ".ci/run").read_text().endswith("\nmake test\nmake test-slurm\n")
    steps = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["test"]["steps"]
    assert steps[-1] == {"run": ".ci/run"}
