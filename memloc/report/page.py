"""One self-contained page: what was found, all claims, figures, how it was made. Opens offline."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from memloc import page
from memloc.experiments import Experiment
from memloc.report import telling, timing
from memloc.report.reference import Reference

FINDINGS = 5
"""Findings on the first screen."""
UNFOLDED = 8
"""Claims of an experiment that are listed unfolded."""


@dataclass(frozen=True)
class Figure:
    """A drawn experiment: its name, entry and caption, the picture's file, and files to download, by what they are."""

    name: str
    experiment: Experiment
    caption: str
    picture: str
    downloads: Mapping[str, str]


def render(
    figures: Sequence[Figure],
    claims: pd.DataFrame,
    recipes: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    times: Sequence[timing.Row] = (),
    reference: Reference | None = None,
) -> str:
    """The page as HTML. Every text is escaped; images are embedded; nothing is loaded from anywhere.

    Args:
        reference: the published run; claims of experiments with its configuration are compared with it.
    """
    rows: list[telling.Row] = [{str(key): value for key, value in row.items()} for row in claims.to_dict("records")]
    other = reference.verdicts(rows, config) if reference else {}
    shown = [_claim(place, row, config, other.get(place)) for place, row in enumerate(rows)]
    shown.sort(key=lambda row: not row["primary"])
    titles = Counter(figure.experiment.title for figure in figures)
    anchors = {row["place"]: row["anchor"] for row in shown}
    return page.render(
        __package__,
        "page.html",
        findings=[
            {
                "text": telling.sentence(headline, row),
                "measure": headline.measure if headline else telling.measured(row),
                "anchor": anchors[rows.index(row)],
                **next(one for one in shown if one["place"] == rows.index(row)),
            }
            for headline, row in telling.chosen(rows, FINDINGS)
        ],
        primary=telling.decided_primary(rows),
        verdicts=telling.counts(rows),
        limits=list(telling.limits(rows, config)),
        claims=shown,
        compared=len(other),
        otherwise=[row for row in shown if row["otherwise"]],
        papers=sorted({row["paper"] for row in shown}),
        unfolded=UNFOLDED,
        figures=[
            {
                "name": figure.name,
                "title": _title(figure, repeated=titles[figure.experiment.title] > 1),
                "paper": figure.experiment.paper,
                "asks": telling.asked(figure.experiment.asks),
                "caption": figure.caption,
                "data": _data(Path(figure.picture)),
                "downloads": figure.downloads,
                "claims": [row for row in shown if row["experiment"] == figure.name],
                "counted": telling.counted(row for row in shown if row["experiment"] == figure.name),
            }
            for figure in figures
        ],
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        made_with=recipes[0]["made_with"] if recipes else {},
        recipes=recipes,
        times=times,
    )


def _title(figure: Figure, *, repeated: bool) -> str:
    """What an experiment is called in the contents: those of one kind are told apart by their names."""
    return f"{figure.experiment.title}: {figure.name}" if repeated else figure.experiment.title


def _data(picture: Path) -> str:
    kind = {".svg": "svg+xml"}.get(picture.suffix, "png")
    return f"data:image/{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def _claim(place: int, row: telling.Row, config: Mapping[str, Any], other: str | None) -> dict[str, Any]:
    """A claim as a reader sees it, numbers rounded to what their intervals can carry."""
    return {
        **row,
        "place": place,
        "anchor": f"claim-{place}",
        "primary": telling.is_primary(row),
        "claimed": telling.claimed(row),
        "measured": telling.measured(row),
        "told": telling.judged(row),
        "interval": telling.interval(row),
        "numbers": telling.numbers(row),
        "published": telling.published(row),
        "paper_scale": row["paper_scale"] if telling.there(row["paper_scale"]) else "",
        "note": telling.note(row, telling.scale_of(config, row)),
        "borderline": telling.is_borderline(row),
        "otherwise": other if other != row["verdict"] else None,
        "at": places(row),
    }


def places(row: telling.Row) -> dict[str, float | None]:
    """Where the marks of an interval plot are, from 0 to 100: 0 is in the middle, and what lies furthest at a side."""
    marks = {"value": row["effect"], "low": row["low"], "high": row["high"], "reference": row["paper_effect"]}
    marks["least"] = row.get("least")
    known = {name: float(value) for name, value in marks.items() if telling.there(value)}
    furthest = max(map(abs, known.values()), default=0.0) or 1.0
    at = {name: round(50 + 48 * value / furthest, 2) for name, value in known.items()}
    return {"reference": None, "least": 50.0, **at, "zero": 50.0}
