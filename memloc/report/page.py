"""One self-contained page: figures, captions, claims, how it was made. Opens offline."""

from __future__ import annotations

import base64
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import jinja2
import pandas as pd
import yaml

from memloc import __version__
from memloc.experiments import Experiment
from memloc.report import timing


@dataclass(frozen=True)
class Figure:
    """A drawn experiment: its name, its entry, its caption, the PNG."""

    name: str
    experiment: Experiment
    caption: str
    png: str


def render(
    template: str | Path,
    figures: Sequence[Figure],
    claims: pd.DataFrame,
    recipes: Sequence[Mapping[str, object]],
    config: Mapping[str, object],
    times: Sequence[timing.Row] = (),
) -> str:
    """The page as HTML. Every text is escaped; images are embedded; nothing is loaded from anywhere."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(Path(template).read_text(encoding="utf-8"))
    shown = [
        {
            "name": figure.name,
            "title": figure.experiment.title,
            "paper": figure.experiment.paper,
            "caption": figure.caption,
            "data": base64.b64encode(Path(figure.png).read_bytes()).decode(),
            "claims": claim_rows(claims[claims["experiment"] == figure.name]),
        }
        for figure in figures
    ]
    return page.render(
        version=__version__,
        figures=shown,
        verdicts=claims["verdict"].value_counts().to_dict(),
        total=len(claims),
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        made_with=recipes[0]["made_with"] if recipes else {},
        recipes=recipes,
        times=times,
    )


def claim_rows(claims: pd.DataFrame) -> list[dict[str, object]]:
    """Claims as a reader sees them, numbers rounded to what their intervals can carry."""
    return [
        {
            **{str(key): value for key, value in row.items()},
            "effect": number(row["effect"]),
            "paper_effect": _published(row["paper_effect"], row["paper_scale"]),
            "paper_scale": "" if pd.isna(row["paper_scale"]) else row["paper_scale"],
            "interval": f"{number(row['low'])} to {number(row['high'])}",
            "told": row["verdict"] + _p(row),
        }
        for row in claims.to_dict("records")
    ]


def _p(row: Mapping[Hashable, float]) -> str:
    """P, and of a primary claim that by Holm."""
    every = [("p", row["p"]), ("by Holm", row.get("holm", float("nan")))]
    said = ", ".join(f"{name} = {p:.2g}" for name, p in every if not pd.isna(p))
    return f" ({said})" if said else ""


def _published(effect: float, scale: str | float) -> str:
    """The paper's effect; that it gives none where it measured something of the kind."""
    if not pd.isna(effect):
        return number(effect)
    return "" if pd.isna(scale) or not scale else "no number"


def number(value: float) -> str:
    """Three significant digits, never in scientific notation, a true minus sign."""
    # What rounding leaves of nothing is nothing.
    value = 0.0 if abs(value) < 1e-12 else value
    return f"{Decimal(f'{value:.3g}'):f}".replace("-", "\N{MINUS SIGN}")
