"""What a configuration's schema finds wrong, as one line each that says what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import yaml

from memloc.aliases import Options
from memloc.config.schemas import Config, schema
from memloc.provenance import ROOT
from memloc.wording import dot, meant

if TYPE_CHECKING:
    from jsonschema import ValidationError


def faults(config: Config) -> Iterable[str]:
    """Keys and values that the schema doesn't have, one line each, unknown names first."""
    from jsonschema import Draft202012Validator as Draft
    from jsonschema.validators import extend

    # A number that is no number, or 50.0 for an integer, would pass JSON Schema and fail much later.
    types = Draft.TYPE_CHECKER.redefine("integer", lambda _, v: isinstance(v, int) and not isinstance(v, bool))
    types = types.redefine("number", lambda _, v: type(v) in (int, float) and abs(v) < 1e300)
    strict = extend(Draft, type_checker=types)  # type: ignore[no-untyped-call]
    validator = strict(schema())
    # A name that is none of those known first: what else is wrong may follow from it.
    # Without its kind nobody knows what else an experiment lacks, or has too much.
    every = list(validator.iter_errors(config))
    nameless = {e.absolute_path[1] for e in every if _lacks_kind(e)}
    found = [e for e in every if _lacks_kind(e) or not nameless & {*list(e.absolute_path)[1:2]}]
    errors = sorted(found, key=lambda e: (not _lacks_kind(e), e.validator != "enum", *map(str, e.absolute_path)))
    for error in errors:
        # An error of a combined schema is best explained by what failed inside it.
        while error.context:
            error = error.context[0]
        path = ".".join(str(part) for part in error.absolute_path)
        if error.validator in ("additionalProperties", "unevaluatedProperties") and isinstance(error.instance, dict):
            known = _known(error.schema, error.instance)
            for key in error.instance:
                if key not in known:
                    yield f"config: {dot(path, key)}: unknown key{meant(str(key), known)}"
        elif error.validator == "required":
            key = error.message.split("'")[1]
            way = f"{_documents(path)} shows every key"
            if key == "kind":
                name = path.rpartition(".")[2]
                way = f"or give the file that defines {name} first: --configfile {_defines(name)} mine.yaml"
            yield f"config: {dot(path, key)}: missing; add it ({way})"
        elif error.validator == "enum":
            choices = [str(choice) for choice in error.validator_value]
            close = difflib.get_close_matches(str(error.instance), choices, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"config: {path}: {error.instance!r} is none of {', '.join(choices)}{hint}"
        elif error.validator == "type":
            wanted = {"object": "object (a mapping)", "array": "array (a list)"}
            kind = error.validator_value
            # Null alone is one of two schemas, the other that of a mapping.
            kinds = ["object", "null"] if kind == "null" else [kind] if isinstance(kind, str) else kind
            what = " or ".join(wanted.get(k, k) for k in kinds)
            way = _rewritten(error.instance, kinds) or f"see {_documents(path)}"
            yield f"config: {path}: {error.instance!r} is not of type {what}; {way}"
        elif error.validator == "uniqueItems" and isinstance(error.instance, list):
            twice = next(item for item in error.instance if error.instance.count(item) > 1)
            yield f"config: {path}: {twice!r} is there twice; name it once"
        else:
            yield f"config: {path}: {error.message}; change it ({_documents(path)} says what it may be)"


def _rewritten(value: object, kinds: list[str]) -> str:
    """How to write a value as what it was meant to be; empty if that can't be known."""
    if kinds == ["string"]:
        return f"quote it: '{value}'"
    if kinds == ["array"] and isinstance(value, int | str):
        return f"write [{value}]"
    if "number" in kinds and isinstance(value, str) and re.fullmatch(r"[-+]?\d+e[-+]?\d+", value, re.IGNORECASE):
        return f"write {value.lower().replace('e', '.0e')}, or YAML takes it for a text"
    return ""


def _lacks_kind(error: ValidationError) -> bool:
    return bool(error.validator == "required" and "'kind'" in error.message)


def _documents(path: str) -> str:
    """Where the keys at a place are documented."""
    return {"experiments": "docs/experiments.md", "encoders": "docs/training.md"}.get(path.split(".")[0], "config.yaml")


def _defines(name: str) -> str:
    """The file of the repository that has an experiment of that name."""
    for path in sorted((ROOT / "config").glob("*.yaml")):
        if ((yaml.safe_load(path.read_text(encoding="utf-8")).get("experiments") or {}).get(name) or {}).get("kind"):
            return f"config/{path.name}"
    return "config/layers.yaml"


def _known(schema: Options, instance: Options) -> list[str]:
    """Keys that a mapping may have; an experiment's depend on its kind."""
    from jsonschema import Draft202012Validator

    known = set(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        if Draft202012Validator(part["if"]).is_valid(instance):
            known |= set(part["then"].get("properties", {}))
    return sorted(known)
