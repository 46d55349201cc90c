"""What all HTML pages share: a frame, a style, a script, and how text gets into them. Pages open offline.

A page's template extends the frame::

    {% extends "frame.html" %}
    {% import "parts.html" as parts %}
    {% block title %}memloc value: {{ title }}{% endblock %}
    {% block style %}.mine { color: var(--soft); }{% endblock %}
    {% block main %}
    <h1>...</h1>
    <table class="sortable" id="rows">...</table>
    {% endblock %}

and is rendered by ``render(__package__, "page.html", title=...)``. The script sorts every ``table.sortable`` (by
``data-value`` of a cell, where it has one) and filters a table by controls that name it:
``<input type="search" data-filter="rows">`` looks into all text of a row, ``<select data-filter="rows"
data-key="kind">`` compares ``data-kind`` of a row. ``<output data-count="rows">`` says how many are left.
"""

from __future__ import annotations

import base64
import hashlib
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from memloc import __version__

LENGTH = 160
"""Characters of a text that are shown; a longer one loses its middle."""
MISSING = "\N{EN DASH}"


def render(package: str, template: str, **values: Any) -> str:
    """A page as HTML, from a template in a package's folder. Every text is escaped; nothing is loaded from anywhere.

    Filters beside Jinja's own: ``short``, ``decimal``, ``number``, ``count``, ``percent``, ``lines`` (of several).
    """
    return _environment(package).get_template(template).render(version=__version__, **values)


@cache
def _environment(package: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printable,
        loader=jinja2.FunctionLoader(lambda name: _read(package, name) or _read(__name__, name)),
    )
    environment.filters |= {"short": short, "decimal": decimal, "number": number, "lines": lines}
    environment.filters |= {"count": "{:,}".format, "percent": "{:.0%}".format}
    script = _read(__name__, "page.js") or ""
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    environment.globals |= {"script": Markup(script), "policy": Markup(policy)}
    environment.globals |= {"style": Markup(_read(__name__, "style.css") or "")}
    return environment


def _read(package: str, name: str) -> str | None:
    file = resources.files(package).joinpath(name)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def printable(value: object) -> object:
    """Text with invisible characters spelled out: newlines, changes of direction, undecodable bytes."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value)


def lines(text: str) -> Markup:
    """Text of several lines, for a ``pre``."""
    return Markup("\n").join(escape(str(printable(line))) for line in text.splitlines())


def short(text: object, most: int = LENGTH) -> str:
    """A text that is not longer than ``most`` characters."""
    text = str(text)
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most // 2 - 1) :]}"


def present(value: Any) -> bool:
    """Whether a cell of a table holds something; a number that isn't one, None and an empty text don't."""
    return value is not None and not pd.isna(value) and value != ""


def decimal(value: Any, places: int = 3) -> str:
    """A number with its decimals and a true minus sign; a dash if it is missing."""
    if not present(value):
        return MISSING
    # Adding 0 turns the -0.0 that rounding may leave into 0.
    return f"{round(float(value), places) + 0.0:.{places}f}".replace("-", "\N{MINUS SIGN}")


def number(value: float, digits: int = 3) -> str:
    """Three significant digits, never in scientific notation, a true minus sign."""
    # What rounding leaves of nothing is nothing.
    value = 0.0 if abs(value) < 1e-12 else value
    return f"{Decimal(f'{value:.{digits}g}'):f}".replace("-", "\N{MINUS SIGN}")
