"""Renew the tables of options in docs/training.md from the registries: `python tools/document_options.py`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from memloc.config import schema
from memloc.models.architectures import ARCHITECTURES
from memloc.models.frameworks import FRAMEWORKS

PAGE = ROOT / "docs" / "training.md"
START, END = "<!-- options: made by tools/document_options.py -->", "<!-- end of options -->"


def main() -> None:
    """Write the tables into the page."""
    PAGE.write_text(renewed(PAGE.read_text()))


def renewed(page: str) -> str:
    """The page with its tables as the registries have them."""
    before, _, rest = page.partition(START)
    return before + START + "\n\n" + "\n".join(_tables()) + "\n" + END + rest.partition(END)[2]


def _tables() -> Iterator[str]:
    encoder = schema()["$defs"]["encoder"]["properties"]
    yield "| `framework` | what | options in `recipe`, with defaults |\n|---|---|---|"
    for name, framework in FRAMEWORKS.items():
        yield f"| `{name}` | {framework.title} | {_options(framework.options)} |"
    yield ""
    yield "| `architecture` | what | options in `network`, with defaults |\n|---|---|---|"
    for name, entry in ARCHITECTURES.items():
        yield f"| `{name}` | {entry.title} | {_options(entry.options)} |"
    yield ""
    yield "| key | default | what |\n|---|---|---|"
    for part in ("recipe", "hardware"):
        for key, rule in encoder[part]["properties"].items():
            if "default" in rule:
                yield f"| `{part}.{key}` | `{_value(rule['default'])}` | {rule['description']} |"
    yield ""


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}: {_value(rule['default'])}`" for key, rule in options.items()) or "none"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    main()
