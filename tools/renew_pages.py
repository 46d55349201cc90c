"""Renew what pages and configurations say of the registries: `python tools/renew_pages.py`.

Tables of options in docs/training.md, tables of experiments in docs/experiments.md, the graph of rules in
docs/running.md, and the experiments of the smoke configurations. A test fails where one of them isn't as this makes it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from memloc.config import schema
from memloc.experiments import EXPERIMENTS
from memloc.experiments.entry import THEMES
from memloc.models.architectures import ARCHITECTURES
from memloc.models.frameworks import FRAMEWORKS

MADE, END = "made by tools/renew_pages.py", "end of"


def main() -> None:
    """Write every page anew."""
    for page in PAGES:
        page.write_text(renewed(page), encoding="utf-8")


def renewed(page: Path) -> str:
    """A page, the parts between its marks as the registries have them."""
    text = page.read_text(encoding="utf-8")
    for name, lines in PAGES[page].items():
        pattern = rf"(?m)^([^\w\n]*){name}: {MADE}([^\w\n]*)\n(?:.*\n)*?([^\w\n]*){END} {name}"
        if not re.search(pattern, text):
            raise SystemExit(f"{page}: has no marks for {name}")
        body = "\n".join(lines())
        text = re.sub(pattern, lambda m, n=name, b=body: f"{m[1]}{n}: {MADE}{m[2]}\n{b}\n{m[3]}{END} {n}", text)
    return text


def _options() -> Iterator[str]:
    encoder = schema()["$defs"]["encoder"]["properties"]
    yield "\n| `framework` | what | options in `recipe`, with defaults |\n|---|---|---|"
    for name, framework in FRAMEWORKS.items():
        yield f"| `{name}` | {framework.title} | {_defaults(framework.options)} |"
    yield "\n| `architecture` | what | options in `network`, with defaults |\n|---|---|---|"
    for name, entry in ARCHITECTURES.items():
        yield f"| `{name}` | {entry.title} | {_defaults(entry.options)} |"
    yield "\n| key | default | what |\n|---|---|---|"
    for part in ("recipe", "hardware"):
        for key, rule in encoder[part]["properties"].items():
            if "default" in rule:
                yield f"| `{part}.{key}` | `{_value(rule['default'])}` | {rule['description']} |"
    yield ""


def _defaults(options: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}: {_value(rule['default'])}`" for key, rule in options.items()) or "none"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _experiments(theme: str) -> Callable[[], Iterator[str]]:
    """A table of the kinds of a theme, and one of their options."""

    def lines() -> Iterator[str]:
        default = {entry["kind"] for entry in _yaml("config.yaml")["experiments"].values()}
        kinds = {kind: entry for kind, entry in EXPERIMENTS.items() if entry.theme == theme}
        yield "\n| `kind` | asks | paper |\n|---|---|---|"
        for kind, entry in kinds.items():
            yield f"| `{kind}`{' •' * (kind in default)} | {entry.asks} | {entry.paper} |"
        yield "\n| `kind` | option | what |\n|---|---|---|"
        for kind, entry in kinds.items():
            for key, rule in entry.options.items():
                yield f"| `{kind}` | `{key}` | {rule['description']} |"
        yield ""

    return lines


def _smallest(*, default: bool) -> Callable[[], Iterator[str]]:
    """Every kind's smallest options: those of the default run, or of the other experiments."""

    def lines() -> Iterator[str]:
        experiments = _yaml("config.yaml")["experiments"]
        for kind, entry in EXPERIMENTS.items():
            if (kind in experiments) == default:
                written = entry.smallest if default else {"kind": kind, **entry.smallest}
                flow = yaml.safe_dump(dict(written), default_flow_style=True, width=1000, sort_keys=False)
                yield f"  {kind}: {flow.strip()}"

    return lines


def _rules() -> Iterator[str]:
    """The graph of the default run's rules, as Snakemake has it, for renderers of Mermaid."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [*command, "--directory", empty], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
        )
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", done.stdout))
    arrows = {(names[first], names[last]) for first, last in re.findall(r"(id\d+) --> (id\d+)", done.stdout)}
    yield "\n```mermaid\nflowchart LR"
    yield from (f"    {first} --> {last}" for first, last in sorted(arrows))
    yield "```\n"


def _yaml(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return content


PAGES: dict[Path, dict[str, Callable[[], Iterator[str]]]] = {
    ROOT / "docs/running.md": {"rules": _rules},
    ROOT / "docs/training.md": {"options": _options},
    ROOT / "docs/experiments.md": {theme: _experiments(theme) for theme in THEMES},
    ROOT / "config/smoke.yaml": {"experiments": _smallest(default=True)},
    ROOT / "config/smoke-all.yaml": {"experiments": _smallest(default=False)},
}
"""By page, the parts that are made: name to lines."""


if __name__ == "__main__":
    main()
