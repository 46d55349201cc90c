"""The JSON schema of a configuration, as the file and the registries make it."""

from __future__ import annotations

import copy
from functools import cache

import yaml

from memloc.aliases import Json, Options
from memloc.data.augmentations import AUGMENTATIONS, TRAINED_WITH
from memloc.experiments import EXPERIMENTS, Experiment
from memloc.experiments.entry import OVER_ENCODERS
from memloc.models.architectures import ARCHITECTURES
from memloc.models.frameworks import FRAMEWORKS
from memloc.provenance import ROOT

Config = Options
SCHEMA = ROOT / "schemas" / "config.schema.yaml"


def schema() -> Json:
    """The JSON schema of a configuration: the file's, and what each framework, encoder and experiment asks for."""
    joined = copy.deepcopy(_of_file())
    encoder = joined["$defs"]["encoder"]
    encoder["properties"]["framework"]["enum"] = list(FRAMEWORKS)
    encoder["properties"]["architecture"]["enum"] = list(ARCHITECTURES)
    common = encoder["properties"]["recipe"]["properties"]
    common["augmentation"]["enum"] = list(TRAINED_WITH)
    encoder["properties"]["measure"]["properties"]["augmentation"]["enum"] = list(AUGMENTATIONS)
    encoder["allOf"] = [
        {
            "if": {"required": [key], "properties": {key: {"const": name}}},
            "then": {"properties": {part: {"additionalProperties": False, "properties": shared | dict(entry.options)}}},
        }
        for key, part, shared, entries in (
            ("framework", "recipe", common, FRAMEWORKS),
            ("architecture", "network", {}, ARCHITECTURES),
        )
        for name, entry in entries.items()
    ]
    experiment, over = joined["$defs"]["experiment"], joined["$defs"]["over"]
    experiment["properties"]["kind"]["enum"] = list(EXPERIMENTS)
    experiment["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {
                "required": [*entry.over, *entry.options],
                "properties": {
                    **entry.options,
                    **({"first_seeds": over["first_seeds"]} if entry.over == OVER_ENCODERS else {}),
                    **{key: over[key] | (_how_many(entry) if key == "encoders" else {}) for key in entry.over},
                },
            },
        }
        for kind, entry in EXPERIMENTS.items()
    ]
    return joined


@cache
def _of_file() -> Json:
    found: Json = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return found


def _how_many(entry: Experiment) -> dict[str, int]:
    return {"minItems": entry.encoders or entry.fewest, "maxItems": entry.encoders or 1 << 30}
