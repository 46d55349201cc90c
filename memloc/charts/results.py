"""What ``memloc charts ask`` and ``memloc charts locate`` write, and what their numbers depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from memloc import provenance
from memloc.analysis.tables import save_table
from memloc.charts import ask, figures, locate
from memloc.charts.models import Model
from memloc.charts.reading import Suite
from memloc.output import Output

RECORD = "meta.json"
ASKED = ("answers.parquet", "accuracy.parquet", "accuracy.csv", "accuracy.png")
LOCATED = (
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


def write_asked(answers: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Answers, accuracy and its figure; the accuracy."""
    found = ask.accuracy(answers)
    save_table(answers, folder / "answers.parquet")
    for name in ("accuracy.parquet", "accuracy.csv"):
        save_table(found, folder / name)
    figures.accuracy(found, folder / "accuracy.png")
    return found


def write_located(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Tables by the names of their files, and the figures of probes and patches."""
    for name, table in tables.items():
        save_table(table, folder / f"{name}.parquet")
    figures.probes(tables["probes"], folder / "probes.png")
    figures.patches(tables["patches"], folder / "patches.png")
