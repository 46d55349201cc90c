"""The page of ``memloc value``: labels and cells to look at, each beside what its class holds. It opens offline."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc import page
from memloc.valuation import issues
from memloc.valuation.issues import Floats, Labels
from memloc.valuation.oob import Values, interval
from memloc.valuation.sources import Source

ROWS = 200
"""Rows of a table on the page; ``issues.csv`` has all."""
CARDS = 12
"""Cells, or images, that are drawn one by one."""
BINS = 24
SPARE = 0.08
"""Share of a histogram on either side for what lies beyond."""
TEXTS = 4
"""Texts of a class that are drawn."""


def render(
    source: Source,
    values: Values,
    found: Labels,
    deviating: Floats | None,
    table: pd.DataFrame,
    *,
    headline: Sequence[str],
    meta: Mapping[str, Any],
) -> str:
    """The page as HTML.

    Args:
        table: what ``issues.table`` made of the others.
        headline: what was found, in sentences.
        meta: what value.json says.
    """
    known = values.row_counts > 0
    contradicted = table["is_label_issue"].to_numpy() & known
    order = np.lexsort((np.arange(len(table)), values.rows[1], table["label_score"], ~contradicted))
    order = order[known[order]]
    settings = meta["settings"]
    most = [] if deviating is None else _cards(source, values, deviating, deviating)
    return page.render(
        __package__ or "",
        "page.html",
        title=str(settings["source"]),
        headline=headline[0],
        more=headline[1:],
        wrong=[_label(source, values, found, int(i)) for i in order[: int(contradicted.sum())][:ROWS]],
        total=int(contradicted.sum()),
        low=[_label(source, values, found, int(i)) for i in order[int(contradicted.sum()) :][:CARDS]],
        swaps=_swaps(source, found),
        odd=[card for card in _cards(source, values, issues.below(values), deviating) if card not in most],
        deviating=most,
        unusual=None if deviating is None else issues.unusual(source),
        sought=issues.sought(source),
        images=_images(source, values, settings.get("patch", 1)),
        copies=_copies(source, table),
        near=len(source.rows) <= issues.COMPARED,
        look=meta.get("look", []),
        remarks=meta.get("remarks", meta.get("taken", [])),
        skipped=list((meta.get("skipped") or {}).items())[:ROWS],
        command=meta.get("called"),
        settings={str(key): str(value) for key, value in settings.items()},
        versions=dict(meta["versions"]),
    )


def _label(source: Source, values: Values, found: Labels, row: int) -> dict[str, Any]:
    predicted = int(found.predicted[row])
    return {
        "row": source.rows[row],
        "given": source.classes[source.y[row]],
        "suggested": source.classes[predicted] if predicted >= 0 else "",
        "share": found.share[row],
        "low": found.low[row],
        "high": found.high[row],
        "own": found.score[row],
        "learners": int(values.row_counts[row]),
        "picture": _picture(source, row),
    }


def _swaps(source: Source, found: Labels) -> list[dict[str, Any]]:
    """Pairs of classes by the estimated number of rows that are labelled as the first and are the second."""
    joint = found.joint.copy()
    np.fill_diagonal(joint, 0)
    pairs = [divmod(int(i), len(joint)) for i in np.argsort(-joint, axis=None)[:CARDS]]
    return [
        {"given": source.classes[a], "true": source.classes[b], "number": joint[a, b]}
        for a, b in pairs
        if joint[a, b] >= 0.5
    ]


def _cards(source: Source, values: Values, order: Floats, deviating: Floats | None) -> list[dict[str, Any]]:
    """The highest cells of ``order`` [n, cells], one a row, with what their classes hold."""
    if not source.columns:
        return []
    cards = []
    for row in issues.first(order.max(axis=1), CARDS):
        cell = int(order[row].argmax())
        one = np.s_[:, row, cell : cell + 1]
        low, high = interval(values.cells[one], values.cell_errors[one], values.counts[one[1:]])
        cards.append(
            {
                "row": source.rows[row],
                "label": source.classes[source.y[row]],
                "cell": source.cells[cell],
                "holds": source.holds(row, cell),
                "usual": issues.usual(source, row, cell),
                "numbers": source.columns[cell].dtype.kind == "f",
                "below": values.rows[1, row] - values.cells[1, row, cell],
                "value": values.cells[1, row, cell],
                "low": low[1, 0],
                "high": high[1, 0],
                "deviation": None if deviating is None or not deviating[row, cell] else deviating[row, cell],
                "learners": int(values.counts[row, cell]),
                "drawn": _drawn(source, row, cell),
            }
        )
    return cards


def _drawn(source: Source, row: int, cell: int) -> dict[str, Any]:
    """What is drawn of a cell: bars of its class's numbers beside those of the others, or its class's texts."""
    held, mine = source.columns[cell], source.y == source.y[row]
    if held.dtype.kind != "f":
        texts, counts = np.unique(held[mine], return_counts=True)
        order = list(np.argsort(-counts, kind="stable")[:TEXTS])
        own = int(np.flatnonzero(texts == held[row])[0])
        shown = order if own in order else [*order[: TEXTS - 1], own]
        return {"texts": [{"text": str(texts[i]), "share": counts[i] / mine.sum(), "own": i == own} for i in shown]}
    there = ~np.isnan(held)
    others = held[there & (np.arange(len(held)) != row)]
    low, high = np.quantile(others, [0.01, 0.99]) if len(others) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    own_heights, others_heights = (_heights(held[there & part], edges) for part in (mine, ~mine))
    width = (1 - 2 * SPARE) / BINS
    value = held[row]
    place = float(np.clip(SPARE + (value - low) / (high - low) * (1 - 2 * SPARE), 0.01, 0.99))
    at = None if np.isnan(value) else place
    return {
        "bars": [(SPARE + i * width, width, own_heights[i], others_heights[i]) for i in range(BINS)],
        "at": at,
        "beyond": "" if at is None or low <= value <= high else ("lower" if value < low else "higher"),
        "from": low,
        "to": high,
    }


def _heights(numbers: Floats, edges: Floats) -> Floats:
    """Heights of a histogram, the highest 1."""
    counts, _ = np.histogram(numbers, edges)
    return np.asarray(counts / max(counts.max(), 1))


def _images(source: Source, values: Values, patch: int) -> list[dict[str, Any]]:
    """The images with the cells that are furthest below, each with a map of all of them."""
    if source.pixels is None:
        return []
    below, side = issues.below(values), round(len(source.cells) ** 0.5)
    cards = []
    for row in issues.first(below.max(axis=1), CARDS):
        worst = int(below[row].argmax())
        scale = below[row, worst]
        cards.append(
            {
                "row": source.rows[row],
                "label": source.classes[source.y[row]],
                "picture": _picture(source, row),
                "side": source.pixels.shape[-1] / patch,
                "squares": [
                    (cell % side, cell // side, max(below[row, cell], 0.0) / scale)
                    for cell in range(side * side)
                    if below[row, cell] > 0.05 * scale
                ],
                "worst": (worst % side, worst // side),
                "cell": source.cells[worst],
                "below": scale,
                "value": values.cells[1, row, worst],
                "learners": int(values.counts[row, worst]),
            }
        )
    return cards


def _copies(source: Source, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows that are copies, those with another label first."""
    place = {name: i for i, name in enumerate(source.rows)}
    found = table[table["duplicate_of"] != ""]
    rows = [
        {
            "row": name,
            "of": of,
            "exact": exact,
            "label": label,
            "other": source.classes[source.y[place[of]]],
            "pictures": (_picture(source, place[name]), _picture(source, place[of])),
        }
        for name, of, exact, label in zip(
            *(found[column] for column in ("row", "duplicate_of", "is_exact_duplicate_issue", "given_label")),
            strict=True,
        )
    ]
    return sorted(rows, key=lambda one: (one["label"] == one["other"], not one["exact"]))[:ROWS]


def _picture(source: Source, row: int) -> str:
    """An image as a data URI; empty for a row of a table."""
    if source.pixels is None:
        return ""
    from PIL import Image

    pixels: NDArray[np.uint8] = source.pixels[row]
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    picture.thumbnail((112, 112))
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
