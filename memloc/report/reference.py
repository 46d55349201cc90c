"""The published run, with which a run of its configuration is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from memloc import config as configuration
from memloc.analysis.tables import load_claims
from memloc.errors import InputError
from memloc.report.comparison import compare

CONFIG = "run_config.yaml"
SECTIONS = ("encoders", "datasets", "tables", "charts.suites", "charts.towers", "charts.models")
"""Parts of a configuration whose entries experiments name."""
LOOKS = "charts.locate"
"""How models on charts, and their towers, are looked into."""
SUITES = "charts.suites"
IRRELEVANT = "hardware"
"""What changes where an encoder is trained, not what it is asked to be."""


@dataclass(frozen=True)
class Reference:
    """Claims of a run and its completed configuration."""

    claims: pd.DataFrame
    config: Mapping[str, Any]

    def verdicts(self, rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> dict[int, str]:
        """The reference's verdicts on claims of another run, by their place there.

        Only experiments count that have the same options, encoders, images and scores in both configurations.
        """
        both = config["experiments"].keys() & self.config["experiments"].keys()
        alike = {name for name in both if behind(config, name) == behind(self.config, name)}
        mine = [{**row, "place": place} for place, row in enumerate(rows) if row["experiment"] in alike]
        if not mine:
            return {}
        theirs = self.claims[self.claims["experiment"].isin(alike)]
        return {other["place"]: own["verdict"] for own, other in compare(theirs, pd.DataFrame(mine)).pairs}


def load(folder: str | Path) -> Reference | None:
    """The published run in a folder, where there is one with its configuration."""
    folder = Path(folder)
    if not all((folder / name).is_file() for name in ("claims.csv", CONFIG)):
        return None
    try:
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        configuration.complete(config)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise InputError(f"{folder / CONFIG}: is no configuration of a run ({error}); restore it") from error
    return Reference(load_claims(folder / "claims.csv"), config)


def behind(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What an experiment's claims depend on: its entry, the entries that it names, theirs, and how scores are made."""
    found: dict[str, Any] = {"experiment": config["experiments"][name], "score": config.get("score")}
    waiting = list(_texts(found["experiment"]))
    while waiting:
        text = waiting.pop()
        for section in SECTIONS:
            entry = _part(config, section).get(text)
            if entry is not None and (key := f"{section}.{text}") not in found:
                found[key] = {part: value for part, value in entry.items() if part != IRRELEVANT}
                waiting += _texts(found[key])
    # Probes of a tower take as many charts as those of a model; a model knows the words of all suites.
    if any(key.startswith(("charts.models.", "charts.towers.")) for key in found):
        found[LOOKS] = _part(config, LOOKS)
    if any(key.startswith("charts.models.") for key in found):
        found[SUITES] = _part(config, SUITES)
    return found


def _part(config: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    for key in path.split("."):
        config = config.get(key) or {}
    return config


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
