"""Build the documentation site: `make docs`, or `python tools/build_docs.py` where the extra `docs` is installed.

Every page keeps its place in the repository, so links between pages hold on the site as they do in the repository. The
reference of the Python interface comes from docstrings, which are read and not run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / ".docs"
SHOWN = (
    *("*.md", "*.cff", "LICENSE", "Containerfile", "config.yaml", "config/*", "schemas/*", "results/README.md"),
    *("docs/*.md", "docs/images/*", "docs/method/*", "docs/results/**/*", "docs/groups/**/*"),
    *("examples/**/*", "profiles/**/*"),
)
API = {
    "From Python": ["memloc.live.score.score", "memloc.live.value.value"],
    "Scores of single images": ["memloc.per_image.load", "memloc.per_image.PerImage"],
    "Scoring, step by step": [
        "memloc.scoring.encoders.open_encoder",
        "memloc.data.opening.open_images",
        "memloc.scoring.passes.Settings",
        "memloc.measuring.protocol.Protocol",
        "memloc.scoring.plan.plan",
        "memloc.scoring.score.score",
        "memloc.scoring.score.Scores",
    ],
    "Values of rows and cells": [f"memloc.valuation.oob.{name}" for name in ("value", "Plan", "Values")],
    "Metrics": [f"memloc.metrics.{name}" for name in ("alignment", "units", "membership", "pairs", "tally", "stats")],
    "Adding an experiment": [
        "memloc.experiments.entry.Experiment",
        "memloc.experiments.entry.Job",
        "memloc.analysis.claims.Claim",
        "memloc.analysis.sheet.Sheet",
    ],
}
"""What the reference has, by subject."""


def main() -> None:
    """Copy what is shown, write the reference, build site/."""
    shutil.rmtree(STAGE, ignore_errors=True)
    for path in {path for pattern in SHOWN for path in ROOT.glob(pattern) if path.is_file()}:
        target = STAGE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (STAGE / "api.md").write_text(reference(), encoding="utf-8")
    try:
        built = subprocess.run([sys.executable, "-m", "zensical", "build", "--clean"], cwd=ROOT, check=False)
    finally:
        shutil.rmtree(STAGE)
    if built.returncode:
        needed = "pip install -c requirements.lock -e '.[docs]'"
        sys.exit(f"memloc: error: the site wasn't built; if zensical is missing: {needed}")
    print(f"memloc: {ROOT / 'site/index.html'}: open it in a browser")


def reference() -> str:
    """The page that docstrings are put into."""
    parts = ["# Python interface\n", "From docstrings; shapes stand in brackets.\n"]
    for subject, names in API.items():
        parts += [f"## {subject}\n", *(f"::: {name}\n" for name in names)]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
