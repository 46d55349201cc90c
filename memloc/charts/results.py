"""What ``memloc charts ask`` and ``memloc charts locate`` write, and what their numbers depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from memloc import io, provenance
from memloc.analysis.tables import save_table
from memloc.charts import ask, figures, locate, page
from memloc.charts.models import Model
from memloc.charts.reading import Suite
from memloc.output import Output

RECORD, PAGE = "meta.json", "index.html"
ASKED = (PAGE, "answers.parquet", "accuracy.parquet", "accuracy.csv", "accuracy.png")
LOCATED = (
    PAGE,
    *("answers.parquet", "probes.parquet", "predictions.parquet", "drops.parquet", "patches.parquet", "pairs.parquet"),
    *("probes.png", "patches.png"),
)


def output(folder: Path, *, locating: bool = False, replace: bool = False) -> Output:
    """The folder of either command's results."""
    if locating:
        return Output(folder, "memloc charts locate", RECORD, LOCATED, parts=locate.PARTS, replace=replace)
    return Output(folder, "memloc charts ask", RECORD, ASKED, parts=ask.ANSWERS, replace=replace)


def described(model: Model, suite: Suite, settings: Mapping[str, object]) -> dict[str, object]:
    """What the record says beside the files, the hash ``identity`` of what the numbers depend on among it."""
    about = {
        **{"model": model.identity, "suite": suite.identity, "settings": dict(settings)},
        **{"device": model.device.type, "precision": str(next(model.module.parameters()).dtype).removeprefix("torch.")},
        "code": provenance.digest("memloc/charts/results.py"),
        "versions": provenance.versions("memloc", "torch", "transformers", "tokenizers", "numpy", "pillow"),
    }
    identity = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return {"name": model.name, "folder": str(suite.folder), **about, "identity": identity}


def write_asked(answers: pd.DataFrame, suite: Suite, meta: Mapping[str, object], folder: Path) -> pd.DataFrame:
    """Answers, accuracy, its figure and the page, which tells of ``meta``; the accuracy."""
    found = ask.accuracy(answers)
    save_table(answers, folder / "answers.parquet")
    for name in ("accuracy.parquet", "accuracy.csv"):
        save_table(found, folder / name)
    figures.accuracy(found, folder / "accuracy.png")
    io.save_text(page.asked(answers, found, suite, meta=meta, figure=folder / "accuracy.png"), folder / PAGE)
    return found


def write_located(tables: Mapping[str, pd.DataFrame], suite: Suite, meta: Mapping[str, object], folder: Path) -> None:
    """Tables by the names of their files, the figures of probes and patches, and the page, which tells of ``meta``."""
    for name, table in tables.items():
        save_table(table, folder / f"{name}.parquet")
    drawn = [folder / "probes.png", folder / "patches.png"]
    figures.probes(tables["probes"], drawn[0])
    figures.patches(tables["patches"], drawn[1])
    io.save_text(page.located(tables, suite, meta=meta, figures=drawn), folder / PAGE)
