"""Checking a configuration before any job starts. Imports neither torch nor pandas."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from memloc.datasets import SOURCES, missing
from memloc.encoders import ENCODERS, choose_layers
from memloc.errors import InputError
from memloc.experiments import EXPERIMENTS
from memloc.frameworks import FRAMEWORKS
from memloc.provenance import ROOT

Config = Mapping[str, Any]
SCHEMA = ROOT / "schemas" / "config.schema.yaml"


def check(config: Config) -> None:
    """Raise an InputError for the first thing that is wrong: schema first, then what keys say about one another."""
    for message in itertools.chain(_against_schema(config), _across_keys(config)):
        raise InputError(message)


def schema() -> dict[str, Any]:
    """The JSON schema of a configuration: the file's, and what each kind of experiment asks for."""
    joined: dict[str, Any] = yaml.safe_load(SCHEMA.read_text())
    experiment = joined["$defs"]["experiment"]
    experiment["properties"]["kind"]["enum"] = list(EXPERIMENTS)
    experiment["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {
                "required": list(entry.options),
                "properties": {
                    **entry.options,
                    "encoders": {"minItems": entry.encoders or 1, "maxItems": entry.encoders or 1 << 30},
                },
            },
        }
        for kind, entry in EXPERIMENTS.items()
    ]
    return joined


def _against_schema(config: Config) -> Iterable[str]:
    from jsonschema import Draft202012Validator as Draft
    from jsonschema.validators import extend

    # A number that is no number, or 50.0 for an integer, would pass JSON Schema and fail much later.
    types = Draft.TYPE_CHECKER.redefine("integer", lambda _, v: isinstance(v, int) and not isinstance(v, bool))
    types = types.redefine("number", lambda _, v: type(v) in (int, float) and abs(v) < 1e300)
    strict = extend(Draft, type_checker=types)  # type: ignore[no-untyped-call]
    validator = strict(schema())
    # A name that is none of those known first: what else is wrong may follow from it.
    errors = sorted(validator.iter_errors(config), key=lambda e: (e.validator != "enum", *map(str, e.absolute_path)))
    for error in errors:
        # An error of a combined schema is best told by what failed inside it.
        while error.context:
            error = error.context[0]
        path = ".".join(str(part) for part in error.absolute_path)
        if error.validator in ("additionalProperties", "unevaluatedProperties") and isinstance(error.instance, dict):
            known = _known(error.schema, error.instance)
            for key in error.instance:
                if key not in known:
                    yield f"config: {_dot(path, key)}: unknown key{_meant(str(key), known)}"
        elif error.validator == "required":
            key = error.message.split("'")[1]
            yield f"config: {_dot(path, key)}: missing; add it (config.yaml shows every key)"
        elif error.validator == "enum":
            choices = ", ".join(map(str, error.validator_value))
            yield f"config: {path}: {error.instance!r} is none of {choices}"
        elif error.validator == "type":
            yield f"config: {path}: {error.instance!r} is not of type {error.validator_value}"
        else:
            yield f"config: {path}: {error.message}"


def _across_keys(config: Config) -> Iterable[str]:
    datasets, encoders = config["datasets"], config["encoders"]
    for name, dataset in datasets.items():
        key = f"datasets.{name}"
        if dataset["source"] not in SOURCES:
            yield f"config: {key}.source: {_none_of(dataset['source'], SOURCES)}"
            continue
        source, path = SOURCES[dataset["source"]], dataset.get("path")
        if path is None and source.folder is None:
            yield f"config: {key}.path: missing; source {dataset['source']} needs the folder of its files"
        for file in missing(dataset["source"], path):
            place = f"{key}.path: {path}" if path else f"{key}: {source.folder}"
            yield f"config: {place}: {'no such folder' if file == '.' else file + ' is missing'}; {source.hint}"
    for name, encoder in encoders.items():
        key = f"encoders.{name}"
        if encoder["framework"] not in FRAMEWORKS:
            yield f"config: {key}.framework: {_none_of(encoder['framework'], FRAMEWORKS)}"
        if encoder["architecture"] not in ENCODERS:
            yield f"config: {key}.architecture: {_none_of(encoder['architecture'], ENCODERS)}"
        else:
            try:
                choose_layers(encoder["architecture"], config["measure"]["layers"])
            except InputError as error:
                yield f"config: {error}"
        if encoder["dataset"] not in datasets:
            yield f"config: {key}.dataset: {_none_of(encoder['dataset'], datasets)}"
            continue
        split = datasets[encoder["dataset"]].get("split")
        if split is None:
            yield f"config: datasets.{encoder['dataset']}.split: missing; encoder {name} is trained on this dataset"
            continue
        neighbours = config["score"]["neighbours"]
        if neighbours > split["shared"]:
            yield f"config: score.neighbours: {neighbours} asked for among {split['shared']} shared images; lower it"
        if encoder["recipe"]["batch_size"] > split["shared"] + min(split["candidate"], split["independent"]):
            size = encoder["recipe"]["batch_size"]
            yield f"config: {key}.recipe.batch_size: {size} is more than the images of one epoch; lower it"
        epochs, warmup = encoder["recipe"]["epochs"], encoder["recipe"]["warmup_epochs"]
        if warmup > epochs:
            yield f"config: {key}.recipe.warmup_epochs: {warmup} is more than the {epochs} epochs; lower it"
    if not active(config):
        yield "config: experiments: none is active; leave at least one that isn't null"
    for name, experiment in active(config).items():
        key = f"experiments.{name}"
        for encoder in experiment["encoders"]:
            if encoder not in encoders:
                yield f"config: {key}.encoders: {_none_of(encoder, encoders)}"
        for option in ("tasks", "task"):
            tasks = experiment.get(option, [])
            for task in [tasks] if isinstance(tasks, str) else tasks:
                if task not in datasets:
                    yield f"config: {key}.{option}: {_none_of(task, datasets)}"
        if EXPERIMENTS[experiment["kind"]].encoders and all(e in encoders for e in experiment["encoders"]):
            for option in ("dataset", "architecture", "width", "seeds"):
                values = [encoders[encoder][option] for encoder in experiment["encoders"]]
                if values.count(values[0]) < len(values):
                    listed = " and ".join(map(str, values))
                    yield f"config: {key}.encoders: compares like with like, but {option} is {listed}; make them equal"
        for encoder in experiment["encoders"]:
            if encoder in encoders:
                yield from _fits(key, experiment, encoders[encoder], config)


def _fits(key: str, experiment: Config, encoder: Config, config: Config) -> Iterable[str]:
    """What an experiment asks of one of its encoders."""
    split, size = config["datasets"][encoder["dataset"]]["split"], experiment.get("group_size", 0)
    for group in ("candidate", "external"):
        if 2 * size > split[group]:
            room = f"{split[group]} {group} points"
            yield f"config: {key}.group_size: two groups of {size} don't fit into {room}; lower it"
    layers = choose_layers(encoder["architecture"], config["measure"]["layers"])
    blocks = [layer.name for layer in layers if layer.name in ENCODERS[encoder["architecture"]].blocks]
    if len(blocks) < 3:
        named = config["measure"]["layers"]
        yield f"config: measure.layers: {named} takes in {len(blocks)} of the numbered layers; name at least three"
    if max(experiment.get("counts", [0])) >= len(blocks):
        count = max(experiment["counts"])
        yield f"config: {key}.counts: {count} layers by increment among {len(blocks)}, the first has none; lower it"


class _NoDuplicates(yaml.SafeLoader):
    """YAML takes the last of two equal keys and drops the first without a word; this refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """One mapping, its keys all different."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != MERGE]
        for key in keys:
            if keys.count(key) > 1:
                raise InputError(f"{node.start_mark.name}: {key}: stands twice in one mapping; keep one")
        return super().construct_mapping(node, deep)


MERGE = "tag:yaml.org,2002:merge"


def check_file(path: Path) -> None:
    """Raise an InputError for a key that stands twice in one mapping of a YAML file."""
    with open(path, encoding="utf-8") as file:
        yaml.load(file, Loader=_NoDuplicates)


def check_folder(results: Path) -> None:
    """Raise an InputError unless results can be written there."""
    place = results if results.exists() else results.absolute().parent
    if not place.is_dir():
        raise InputError(f"{place.absolute()}: not a folder, so results can't be written; move it away")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{place.absolute()}: can't be written; free it, or run with --directory elsewhere")


def active(config: Config) -> dict[str, dict[str, Any]]:
    """Experiments that aren't switched off."""
    experiments = {name: value for name, value in config["experiments"].items() if value is not None}
    # In the registry's order, wherever a user's own file put them.
    return dict(sorted(experiments.items(), key=lambda item: list(EXPERIMENTS).index(item[1]["kind"])))


def experiment_inputs(config: Config, name: str) -> dict[str, list[str]]:
    """By input name, the files (below the results folder) that an experiment reads, one for each encoder and seed."""
    experiment = config["experiments"][name]
    inputs = EXPERIMENTS[experiment["kind"]].inputs
    return {
        key: [
            pattern.format(experiment=name, encoder=encoder, seed=seed)
            for encoder in experiment["encoders"]
            for seed in config["encoders"][encoder]["seeds"]
        ]
        for key, pattern in inputs.items()
    }


def _known(schema: Any, instance: Any) -> list[str]:
    """Keys that a mapping may have; an experiment's depend on its kind."""
    from jsonschema import Draft202012Validator

    known = set(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        if Draft202012Validator(part["if"]).is_valid(instance):
            known |= set(part["then"].get("properties", {}))
    return sorted(known)


def _dot(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _meant(key: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"


def _none_of(value: str, known: Iterable[str]) -> str:
    return f"{value!r} is none of {', '.join(known)}"
