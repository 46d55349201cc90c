"""Charts of a suite that ``memloc charts make`` wrote, in grey. Their classes are chart types and numbers of marks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from memloc.charts.reading import images, open_suite
from memloc.data.preparing import Raw


def read(folder: Path, part: str, image_size: int) -> Raw:
    """One part, as the suite has it."""
    suite = open_suite(folder)
    kinds = {name: f"{row['type']}, {len(row['points'])}" for name, row in suite.charts.items()}
    names = [name for name, row in suite.charts.items() if row["settings"]["split"] == part]
    classes = sorted(set(kinds.values()))
    labels = np.array([classes.index(kinds[name]) for name in names], dtype=np.int64)
    return Raw(labels, classes, lambda at: images(suite, [names[i] for i in at], size=image_size, channels=1))
