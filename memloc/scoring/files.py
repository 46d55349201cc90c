"""What ``memloc score`` writes, and what its numbers depend on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from memloc import io, provenance
from memloc.analysis.tables import save_table
from memloc.data.images import Images
from memloc.output import Output
from memloc.per_image import PerImage
from memloc.scoring import figure, page
from memloc.scoring.encoders import OpenEncoder
from memloc.scoring.passes import Settings
from memloc.scoring.run import PARTS
from memloc.scoring.score import Scores
from memloc.scoring.stores import Rows

FILES = (
    *("units.parquet", "tops.parquet", "layers.parquet", "points.parquet", "layers.csv"),
    *("summary.png", "summary.csv", "images.parquet", "images.csv", "per_image.npz", "index.html"),
)
"""What may be written beside meta.json."""


def output(folder: Path, *, replace: bool = False) -> Output:
    """The folder of a command's results."""
    return Output(folder, "memloc score", "meta.json", FILES, parts=PARTS, replace=replace)


def write(scores: Scores, images: Images, meta: Mapping[str, object], folder: Path) -> None:
    """Tables as Parquet, the layers also as CSV, the figure, and the page, which tells of ``meta``."""
    for name in ("units", "tops", "layers", "points"):
        table = getattr(scores, name)
        if table is not None:
            save_table(table, folder / f"{name}.parquet")
    save_table(scores.layers, folder / "layers.csv")
    figure.summary(scores.layers, scores.units, path_png=folder / "summary.png", path_csv=folder / "summary.csv")
    html = page.render(
        units=scores.units,
        tops=scores.tops,
        layers=scores.layers,
        points=scores.points,
        meta=meta,
        figure_png=(folder / "summary.png").read_bytes(),
        thumbnail=lambda row: images.thumbnail(row, page.SIDE),
    )
    io.save_text(html, folder / "index.html")


def write_members(
    scores: PerImage,
    layers: pd.DataFrame,
    images: pd.DataFrame,
    source: Images,
    meta: Mapping[str, object],
    folder: Path,
) -> None:
    """What many encoders say of layers and images: tables, the file of scores per image, and the page."""
    for name, table in (("layers", layers), ("images", images)):
        save_table(table, folder / f"{name}.parquet")
        save_table(table, folder / f"{name}.csv")
    scores.save(folder / "per_image.npz", provenance.record("per_image.npz"))
    html = page.render_members(
        layers=layers, images=images, meta=meta, thumbnail=lambda row: source.thumbnail(row, page.SIDE)
    )
    io.save_text(html, folder / "index.html")


def identity(
    encoder: OpenEncoder,
    images: Images,
    *,
    against: OpenEncoder | None = None,
    others: Sequence[OpenEncoder] = (),
    split: Mapping[str, Rows] | None,
    external: Images | None = None,
    patterns: Sequence[str],
    settings: Settings,
    device: str,
) -> str:
    """A hash of everything that the numbers depend on: only the same work is continued.

    Args:
        others: encoders beside the first, where ``split`` has the rows that each was trained on.
    """
    depends_on = {
        "encoders": [
            [
                *(e.name, re.sub(" at 0x[0-9a-f]+", "", str(e.module)), e.sha256, e.made_of),
                *(e.size, e.mean, e.std, e.channels),
            ]
            for e in (encoder, against, *others)
            if e is not None
        ],
        "images": [[i.sha256, len(i)] for i in (images, external) if i is not None],
        "split": {group: rows.tolist() for group, rows in sorted((split or {}).items())},
        "layers": list(patterns),
        "settings": asdict(settings),
        "device": device,
        "code": [provenance.digest(f"memloc/scoring/{name}.py") for name in ("plan", "files")],
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]
