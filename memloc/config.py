"""Checking a configuration before any job starts. Imports neither torch nor pandas."""

from __future__ import annotations

import copy
import difflib
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from memloc.datasets import SOURCES, missing
from memloc.encoders import ENCODERS, SUBLAYERS, Layer, block_of, choose_layers
from memloc.errors import InputError
from memloc.experiments import EXPERIMENTS, POINTS, Experiment
from memloc.frameworks import FRAMEWORKS
from memloc.provenance import ROOT
from memloc.valuation.tables import TABLES

Config = Mapping[str, Any]
SCHEMA = ROOT / "schemas" / "config.schema.yaml"


def check(config: Config) -> None:
    """Raise an InputError for the first thing that is wrong: schema first, then what keys say about one another."""
    for message in _against_schema(config):
        raise InputError(message)
    whole = copy.deepcopy(dict(config))
    complete(whole)
    for message in _across_keys(whole):
        raise InputError(message)


def complete(config: dict[str, Any]) -> None:
    """Fill in, in place, what a checked configuration leaves to defaults; drop datasets and encoders that are null."""
    for part in ("datasets", "encoders"):
        config[part] = {name: value for name, value in config[part].items() if value is not None}
    for name, dataset in config["datasets"].items():
        owner = config["datasets"].get(dataset["swapped"]["of"], {}) if "swapped" in dataset else {}
        if "swapped" not in owner:
            config["datasets"][name] = copy.deepcopy(owner | dataset)
    rules = schema()["$defs"]["encoder"]["properties"]
    encoders = config["encoders"]
    for name, encoder in encoders.items():
        owner = encoders.get(encoder.get("weights"), {})
        if owner and "weights" not in owner:
            views = owner.get("measure", {}) | encoder.get("measure", {})
            encoders[name] = copy.deepcopy(owner | encoder | {"measure": views})
    for encoder in encoders.values():
        if "framework" not in encoder:
            continue  # Its weights are nobody's: told by ``check``.
        entry, framework = ENCODERS[encoder["architecture"]], FRAMEWORKS[encoder["framework"]]
        encoder["network"] = _defaults(entry.options) | encoder.get("network", {})
        encoder["recipe"] = _defaults(rules["recipe"]["properties"] | framework.options) | encoder["recipe"]
        encoder["hardware"] = _defaults(rules["hardware"]["properties"]) | encoder.get("hardware", {})
        for key in ("split_seed", "initialisation", "snapshots"):
            encoder.setdefault(key, copy.deepcopy(rules[key]["default"]))
        views = {"augmentation": encoder["recipe"]["augmentation"]} | encoder.get("measure", {})
        if entry.tokens:
            # Units after GELU go below 0, where UnitMem's ratio has no meaning; and where patches are hidden, the
            # tokens of two views aren't those of the same patches.
            hides = {"representation": "pooled"} if views["augmentation"] == "masking" else {}
            views = {"activation": "abs"} | hides | views
        encoder["measure"] = config["measure"] | views


def _defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: copy.deepcopy(rule["default"]) for key, rule in options.items() if "default" in rule}


TRAINING = ("framework", "architecture", "network", "recipe", "hardware")
"""Keys of an encoder that every training follows; g's follows ``initialisation``, too."""


def trained_as(config: Config, name: str, *, role: str, seed: int) -> str:
    """The encoder under whose name an encoder, complete, is trained: the first that asks for the very same training.

    One with another's ``weights`` does so, and f where only g starts otherwise. One that keeps no snapshots goes before
    those that do: an encoder that asks for some, in a user's own file, doesn't take over what is trained already.
    """

    def training(encoder: Config) -> list[Any]:
        keys = (*TRAINING, "dataset", *(["initialisation"] if role == "g" else []))
        return [*(encoder[key] for key in keys), seed if encoder["split_seed"] is None else encoder["split_seed"]]

    mine, able = config["encoders"][name], {}
    for other, encoder in config["encoders"].items():
        kept = set(mine["snapshots"]) <= set(encoder["snapshots"])
        if "weights" not in encoder and seed in encoder["seeds"] and kept and training(encoder) == training(mine):
            able[str(other)] = bool(encoder["snapshots"])
    if not able:
        raise ValueError(f"no encoder is trained as {name}, seed {seed}")
    return min(able, key=lambda other: able[other])


def layers_of(encoder: Config) -> tuple[Layer, ...]:
    """The layers of an encoder, complete, that are measured."""
    measure, framework = encoder["measure"], FRAMEWORKS[encoder["framework"]]
    chosen = choose_layers(
        encoder["architecture"], encoder["network"], measure["layers"], sublayers=measure["sublayers"]
    )
    return tuple(layer for layer in chosen if framework.head or layer.kind != "head")


def head_measured(encoder: Config) -> bool:
    """Whether an encoder's layers include its framework's head."""
    return any(layer.kind == "head" for layer in layers_of(encoder))


def schema() -> dict[str, Any]:
    """The JSON schema of a configuration: the file's, and what each framework, encoder and experiment asks for."""
    joined: dict[str, Any] = yaml.safe_load(SCHEMA.read_text())
    encoder = joined["$defs"]["encoder"]
    encoder["properties"]["framework"]["enum"] = list(FRAMEWORKS)
    encoder["properties"]["architecture"]["enum"] = list(ENCODERS)
    common = encoder["properties"]["recipe"]["properties"]
    encoder["allOf"] = [
        {
            "if": {"required": [key], "properties": {key: {"const": name}}},
            "then": {"properties": {part: {"additionalProperties": False, "properties": shared | dict(entry.options)}}},
        }
        for key, part, shared, entries in (
            ("framework", "recipe", common, FRAMEWORKS),
            ("architecture", "network", {}, ENCODERS),
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
                    **{key: over[key] | (_how_many(entry) if key == "encoders" else {}) for key in entry.over},
                },
            },
        }
        for kind, entry in EXPERIMENTS.items()
    ]
    return joined


def _how_many(entry: Experiment) -> dict[str, int]:
    return {"minItems": entry.encoders or entry.fewest, "maxItems": entry.encoders or 1 << 30}


def _against_schema(config: Config) -> Iterable[str]:
    from jsonschema import Draft202012Validator as Draft
    from jsonschema.validators import extend

    # A number that is no number, or 50.0 for an integer, would pass JSON Schema and fail much later.
    types = Draft.TYPE_CHECKER.redefine("integer", lambda _, v: isinstance(v, int) and not isinstance(v, bool))
    types = types.redefine("number", lambda _, v: type(v) in (int, float) and abs(v) < 1e300)
    strict = extend(Draft, type_checker=types)  # type: ignore[no-untyped-call]
    validator = strict(schema())
    # A name that is none of those known first: what else is wrong may follow from it.
    # What an experiment without a kind lacks besides, or has too much, can't be told.
    nameless = {e.absolute_path[1] for e in validator.iter_errors(config) if _lacks_kind(e)}
    found = [e for e in validator.iter_errors(config) if _lacks_kind(e) or not nameless & {*list(e.absolute_path)[1:2]}]
    errors = sorted(found, key=lambda e: (not _lacks_kind(e), e.validator != "enum", *map(str, e.absolute_path)))
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
            way = f"{_documents(path)} shows every key"
            if key == "kind":
                name = path.rpartition(".")[2]
                way = f"or give the file that defines {name} first: --configfile {_defines(name)} mine.yaml"
            yield f"config: {_dot(path, key)}: missing; add it ({way})"
        elif error.validator == "enum":
            choices = ", ".join(map(str, error.validator_value))
            yield f"config: {path}: {error.instance!r} is none of {choices}"
        elif error.validator == "type":
            wanted = {"object": "object (a mapping)", "array": "array (a list)"}
            kind = error.validator_value
            # Null alone is one of two schemas, the other that of a mapping.
            kinds = ["object", "null"] if kind == "null" else [kind] if isinstance(kind, str) else kind
            what = " or ".join(wanted.get(k, k) for k in kinds)
            way = f"quote it: '{error.instance}'" if kinds == ["string"] else f"see {_documents(path)}"
            yield f"config: {path}: {error.instance!r} is not of type {what}; {way}"
        else:
            yield f"config: {path}: {error.message}; change it ({_documents(path)} says what it may be)"


def _lacks_kind(error: Any) -> bool:
    return bool(error.validator == "required" and "'kind'" in error.message)


def _documents(path: str) -> str:
    """Where the keys at a place are told."""
    return {"experiments": "docs/experiments.md", "encoders": "docs/training.md"}.get(path.split(".")[0], "config.yaml")


def _defines(name: str) -> str:
    """The file of the repository that has an experiment of that name."""
    for path in sorted((ROOT / "config").glob("*.yaml")):
        if (yaml.safe_load(path.read_text(encoding="utf-8")).get("experiments") or {}).get(name, {}).get("kind"):
            return f"config/{path.name}"
    return "config/layers.yaml"


def _across_keys(config: Config) -> Iterable[str]:
    datasets, encoders = config["datasets"], config["encoders"]
    for name, dataset in datasets.items():
        key = f"datasets.{name}"
        yield from _swaps(key, dataset, datasets)
        if dataset["source"] not in SOURCES:
            yield f"config: {key}.source: {_none_of(dataset['source'], SOURCES)}"
            continue
        source, path = SOURCES[dataset["source"]], dataset.get("path")
        if path is None and source.folder is None:
            yield f"config: {key}.path: missing; source {dataset['source']} needs the folder of its files"
        if source.unlabeled and dataset.get("classes"):
            yield f"config: {key}.classes: {dataset['source']} has no labels to choose by; leave classes out"
        if dataset.get("images", math.inf) < sum(dataset.get("split", {}).values()):
            yield f"config: {key}.split: {sum(dataset['split'].values())} images asked for, {dataset['images']} drawn"
        for file in missing(dataset["source"], path):
            place = f"{key}.path: {path}" if path else f"{key}: {source.folder}"
            yield f"config: {place}: {'no such folder' if file == '.' else file + ' is missing'}; {source.hint}"
    for name, encoder in encoders.items():
        if "recipe" in encoder:
            yield from _trains(f"encoders.{name}", name, encoder, config)
            yield from _shares(f"encoders.{name}", encoder, encoders)
        else:
            trained = [other for other, entry in encoders.items() if "weights" not in entry]
            yield f"config: encoders.{name}.weights: {_none_of(encoder['weights'], trained)}"
            return
    if not active(config):
        yield "config: experiments: none is active; leave at least one that isn't null"
    for name, experiment in active(config).items():
        key = f"experiments.{name}"
        if "tables" in EXPERIMENTS[experiment["kind"]].over:
            yield from _values(key, experiment, datasets)
            continue
        for encoder in experiment["encoders"]:
            if encoder not in encoders:
                yield f"config: {key}.encoders: {_none_of(encoder, encoders)}"
        for option in ("tasks", "task"):
            tasks = experiment.get(option, [])
            for task in [tasks] if isinstance(tasks, str) else tasks:
                if task not in datasets:
                    yield f"config: {key}.{option}: {_none_of(task, datasets)}"
                elif SOURCES[datasets[task]["source"]].unlabeled:
                    yield f"config: {key}.{option}: {task} has no labels, which a probe is fitted on"
        if all(e in encoders for e in experiment["encoders"]):
            for option in EXPERIMENTS[experiment["kind"]].equal:
                values = [_setting(encoders, encoder, option) for encoder in experiment["encoders"]]
                if values.count(values[0]) < len(values):
                    listed = " and ".join(dict.fromkeys(map(str, values)))
                    yield f"config: {key}.encoders: compares like with like, but {option} is {listed}; make them equal"
            if EXPERIMENTS[experiment["kind"]].trained_apart:
                yield from _trained_alike(key, experiment, encoders)
        if experiment.get("order") == "own-task" and all(e in encoders for e in experiment["encoders"]):
            yield from _contrasts(key, experiment, encoders)
        for encoder in experiment["encoders"]:
            if encoder in encoders:
                yield from _has_units(key, experiment, encoder, encoders[encoder])
                yield from _fits(key, experiment, encoders[encoder], config)
                yield from _traces(key, experiment, encoder, encoders[encoder])
                yield from _donates(key, experiment, encoder, config)
                for other in dict.fromkeys((encoder, experiment.get("donor", encoder))):
                    yield from _asks(key, experiment, other, config)


def _swaps(key: str, dataset: Config, datasets: Config) -> Iterable[str]:
    """What swapped patches ask of the dataset whose images they are put into."""
    if "swapped" not in dataset:
        return
    owner, side = dataset["swapped"]["of"], dataset["swapped"]["side"]
    plain = [name for name, entry in datasets.items() if "swapped" not in entry]
    if owner not in plain:
        yield f"config: {key}.swapped.of: {_none_of(owner, plain)}"
        return
    source, size = dataset["source"], dataset["image_size"]
    if source in SOURCES and SOURCES[source].unlabeled:
        yield f"config: {key}.swapped.of: {owner} has no labels, so no other class to take patches of; name another"
    if side >= size or size % side:
        squares = f"images of {size} pixels can't be cut into squares of {side}"
        yield f"config: {key}.swapped.side: {squares}; take a divisor below {size}"


def _trained_alike(key: str, experiment: Config, encoders: Config) -> Iterable[str]:
    """Encoders of an experiment on trainings that are one and the same, whatever they are called or keep."""
    # Of f alone how g starts says nothing.
    starts = ["initialisation"] if POINTS in EXPERIMENTS[experiment["kind"]].inputs.values() else []
    known: list[tuple[str, list[Any]]] = []
    for name in experiment["encoders"]:
        training = [encoders[name][option] for option in (*TRAINING, "dataset", "split_seed", *starts)]
        for other, theirs in known:
            if training == theirs:
                yield f"config: {key}.encoders: compares trainings, {other} and {name} are one and the same; keep one"
        known.append((name, training))


def _setting(encoders: Config, name: str, option: str) -> Any:
    """What an experiment asks to be equal: a key of an encoder, whose weights it has, or its layers proper."""
    if option == "weights":
        return encoders[name].get("weights", name)
    if option == "layers":
        return [layer.name for layer in layers_of(encoders[name]) if layer.modules]
    return encoders[name][option]


def _trains(key: str, name: str, encoder: Config, config: Config) -> Iterable[str]:
    """What an encoder's framework, architecture and dataset ask of one another."""
    framework, entry, recipe = FRAMEWORKS[encoder["framework"]], ENCODERS[encoder["architecture"]], encoder["recipe"]
    try:
        layers_of(encoder)
    except InputError as error:
        yield f"config: {key}.{error}"
    if framework.tokens and not entry.tokens:
        able = ", ".join(known for known, other in ENCODERS.items() if other.tokens)
        yield f"config: {key}.architecture: {encoder['framework']} hides patches; take one of {able}"
    elif framework.tokens and recipe["augmentation"] != "masking":
        yield f"config: {key}.recipe.augmentation: {recipe['augmentation']} hides no patches; take masking"
    if recipe["privacy"] and not framework.private:
        able = ", ".join(known for known, other in FRAMEWORKS.items() if other.private)
        yield f"config: {key}.recipe.privacy: not to be had with {encoder['framework']}; take {able}"
    if recipe["privacy"] and not entry.tokens:
        yield f"config: {key}.recipe.privacy: batch normalisation mixes images; take an architecture without, a ViT"
    if recipe["privacy"] and (recipe["clip"] is not None or encoder["hardware"]["precision"] != "32-true"):
        yield f"config: {key}.recipe.privacy: clips each image's gradient itself, in 32-true; leave clip and precision"
    if encoder["dataset"] not in config["datasets"]:
        yield f"config: {key}.dataset: {_none_of(encoder['dataset'], config['datasets'])}"
        return
    dataset = config["datasets"][encoder["dataset"]]
    split, size = dataset.get("split"), dataset["image_size"]
    if split is None:
        yield f"config: datasets.{encoder['dataset']}.split: missing; encoder {name} is trained on this dataset"
        return
    if framework.labels and SOURCES[dataset["source"]].unlabeled:
        yield f"config: {key}.dataset: {encoder['dataset']} has no labels, which {encoder['framework']} learns from"
    patch = encoder["network"].get("patch", 1)
    if framework.tokens and (size // patch) ** 2 < 2:
        yield f"config: {key}.network.patch: {patch} pixels make one patch of an image of {size}; lower it"
    width, heads = recipe.get("decoder_dim", 12), recipe.get("decoder_heads", 3)
    if width % heads or width % 4:
        yield f"config: {key}.recipe.decoder_dim: {width} is no multiple of 4 and of decoder_heads, {heads}; change one"
    local = recipe["local_size"] if recipe.get("local_crops") else patch
    for what, pixels in (("image_size", size), ("local_size", local)):
        if pixels % patch:
            yield f"config: {key}.network.patch: {what} {pixels} is no multiple of {patch}; change one of them"
    if local > size:
        yield f"config: {key}.recipe.local_size: {local} is more than the image's {size}; lower it"
    if size < entry.smallest:
        least = f"{encoder['architecture']} takes images from {entry.smallest} pixels"
        yield f"config: datasets.{encoder['dataset']}.image_size: {size}, but {least}; raise it"
    neighbours = config["score"]["neighbours"]
    if neighbours > split["shared"]:
        yield f"config: score.neighbours: {neighbours} asked for among {split['shared']} shared images; lower it"
    batch, processes = recipe["batch_size"], encoder["hardware"]["devices"] * encoder["hardware"]["nodes"]
    if batch > split["shared"] + min(split["candidate"], split["independent"]):
        yield f"config: {key}.recipe.batch_size: {batch} is more than the images of one epoch; lower it"
    if batch % processes:
        yield f"config: {key}.recipe.batch_size: {batch} can't be shared by {processes} devices; take a multiple"
    epochs, warmup = recipe["epochs"], recipe["warmup_epochs"]
    if warmup > epochs:
        yield f"config: {key}.recipe.warmup_epochs: {warmup} is more than the {epochs} epochs; lower it"
    late = [snapshot for snapshot in encoder["snapshots"] if snapshot > epochs]
    if late:
        yield f"config: {key}.snapshots: {late[0]} is more than the {epochs} epochs; leave it out"
    if recipe["optimizer"] == "lars" and not recipe["weight_decay"]:
        yield f"config: {key}.recipe.weight_decay: 0, but lars adapts its steps only where weights decay; raise it"


def _shares(key: str, encoder: Config, encoders: Config) -> Iterable[str]:
    """What an encoder with another's weights may ask for."""
    if "weights" in encoder:
        there = encoders[encoder["weights"]]["seeds"]
        if not set(encoder["seeds"]) <= set(there):
            yield f"config: {key}.seeds: {encoder['seeds']} aren't all trained; {encoder['weights']} has {there}"


def _has_units(key: str, experiment: Config, name: str, encoder: Config) -> Iterable[str]:
    """What an experiment on units asks of the layers that are measured."""
    if EXPERIMENTS[experiment["kind"]].units and not any(layer.units for layer in layers_of(encoder)):
        every = ENCODERS[encoder["architecture"]].layers(encoder["network"])
        able = next(layer.name for layer in every if layer.units)
        none = f"no layer of {name} has units (measure.layers: {encoder['measure']['layers']})"
        yield f"config: {key}.encoders: {none}; name some, such as {able}"


CORNER = 4
"""Pixels that the side of a corner has at least."""


def _fits(key: str, experiment: Config, encoder: Config, config: Config) -> Iterable[str]:
    """What an experiment asks of one of its encoders."""
    split, size = config["datasets"][encoder["dataset"]]["split"], experiment.get("group_size", 0)
    for group in ("candidate", "external"):
        if 2 * size > split[group]:
            room = f"{split[group]} {group} points"
            yield f"config: {key}.group_size: two groups of {size} don't fit into {room}; lower it"
    for option, groups in (
        ("size", ("candidate", "external")),
        ("matched", ("candidate", "external")),
        ("shown", ("candidate",)),
        ("sizes", ("candidate", "independent", "external")),
    ):
        room = min(split[group] for group in groups)
        chosen = experiment.get(option, [])
        for count in [chosen] if isinstance(chosen, int) else chosen:
            if count >= room:
                yield f"config: {key}.{option}: {count} of {room} {' or '.join(groups)} points is no choice; lower it"
    listed = config["datasets"][encoder["dataset"]].get("classes")
    if listed and experiment.get("classes", 0) >= len(listed):
        few = f"{experiment['classes']} of the {len(listed)} classes of {encoder['dataset']} is no choice"
        yield f"config: {key}.classes: {few}; lower it"
    if "layer" in experiment:
        units = [layer.name for layer in layers_of(encoder) if layer.units]
        if experiment["layer"] not in units:
            yield f"config: {key}.layer: {experiment['layer']!r} has no units; take one of {', '.join(units)}"
    entry, dataset, framework = EXPERIMENTS[experiment["kind"]], encoder["dataset"], encoder["framework"]
    if entry.labels and SOURCES[config["datasets"][dataset]["source"]].unlabeled:
        yield f"config: {key}.encoders: {dataset} has no labels, which it asks for; take encoders of another"
    if entry.swapped and "swapped" not in config["datasets"][dataset]:
        yield f"config: {key}.encoders: nothing is swapped into {dataset}; take encoders of a dataset with swapped"
    if entry.losses and not FRAMEWORKS[framework].private:
        able = ", ".join(known for known, other in FRAMEWORKS.items() if other.private)
        yield f"config: {key}.encoders: {framework} has no loss of single images; take encoders of {able}"
    if "rounds" in experiment and encoder["recipe"]["privacy"]:
        kept = "is trained under differential privacy (recipe.privacy), which the retraining would not keep"
        yield f"config: {key}.encoders: one of them {kept}; take another"
    if experiment.get("neighbours", 1) >= experiment.get("public", math.inf):
        few = f"{experiment['neighbours']} of {experiment['public']} public images is no choice"
        yield f"config: {key}.neighbours: {few}; lower it"
    size = config["datasets"][dataset]["image_size"]
    if 3 * experiment.get("patch", 0) > size:
        few = f"images of {size} pixels have fewer than three by three cells of {experiment['patch']}"
        yield f"config: {key}.patch: {few}; lower it"
    if "crop" in experiment and experiment["crop"] * size < CORNER:
        small = f"{experiment['crop']} of {size} pixels is a corner of less than {CORNER}"
        yield f"config: {key}.crop: {small}; raise it"
    matched = [arm for arm in experiment.get("baselines", []) if arm.startswith("matched")]
    if matched and min(experiment["fractions"]) > 1 / 3:
        few = f"matched units are drawn for a third at most, not for {min(experiment['fractions'])}"
        yield f"config: {key}.fractions: {few}; add a smaller one or leave {matched[0]} out of baselines"
    measured = {layer.kind for layer in layers_of(encoder)}
    for kind in entry.layers:
        if kind not in measured:
            way = "set measure.sublayers: true" if kind in SUBLAYERS else "name them in measure.layers"
            none = f"no {kind} layer of {encoder['architecture']} is measured"
            yield f"config: {key}.encoders: {none}; {way}, or take another encoder"
    compared = {"attention", "fully-connected", "sum"} <= {*entry.layers} & measured
    if compared and not _whole_blocks(layer.name for layer in layers_of(encoder)):
        way = "name every part of each block in measure.layers, or leave it out"
        yield f"config: {key}.encoders: attention is compared with fully-connected layers in two or more blocks; {way}"
    blocks = [layer.name for layer in layers_of(encoder) if layer.modules]
    if experiment.get("by") == "blocks":
        blocks = list(dict.fromkeys(map(block_of, blocks)))
    if len(blocks) < 3:
        few = f"takes in {len(blocks)} layers with parameters of {encoder['architecture']}, three are needed"
        named = encoder["measure"]["layers"]
        yield f"config: {key}: measure.layers: {named} {few}; name at least three or raise network.depth"
    if max(experiment.get("counts", [0])) >= len(blocks):
        count = max(experiment["counts"])
        yield f"config: {key}.counts: {count} layers by increment among {len(blocks)}, the first has none; lower it"


def _traces(key: str, experiment: Config, name: str, encoder: Config) -> Iterable[str]:
    """What an experiment on views, or on the course of a training, asks of one of its encoders."""
    entry, recipe = EXPERIMENTS[experiment["kind"]], encoder["recipe"]
    if encoder["measure"]["augmentation"] == "none" and POINTS in entry.inputs.values():
        same = f"views of {name} are all the image itself (measure.augmentation: none), so SSLMem is 0"
        yield f"config: {key}.encoders: {same}; take another encoder"
    if not entry.snapshots:
        return
    kept, where, warmup = encoder["snapshots"], f"encoders.{encoder.get('weights', name)}", recipe["warmup_epochs"]
    if sum(epoch < recipe["epochs"] for epoch in kept) < 2:
        few = f"{kept} keep fewer than two epochs before the last, {recipe['epochs']}, for {key}"
        yield f"config: {where}.snapshots: {few}; name more, such as [1, 10]"
    if not 0 < warmup < recipe["epochs"]:
        none = f"{warmup} of {recipe['epochs']} epochs leave nothing before or after it for {key} to compare"
        yield f"config: {where}.recipe.warmup_epochs: {none}; choose one between"
    elif warmup not in kept:
        yield f"config: {where}.snapshots: {kept} lack epoch {warmup}, where warm-up ends, for {key}; add it"


def _contrasts(key: str, experiment: Config, encoders: Config) -> Iterable[str]:
    """What a supervised encoder and a self-supervised one must be to be compared on their own task and on others."""
    names, own = experiment["encoders"], encoders[experiment["encoders"][0]]["dataset"]
    labels = [FRAMEWORKS[encoders[name]["framework"]].labels for name in names]
    if labels != [True, False]:
        yield f"config: {key}.encoders: own-task compares two: write a supervised one, then a self-supervised one"
    if experiment["tasks"][0] != own or len(experiment["tasks"]) < 2:
        yield f"config: {key}.tasks: write the encoders' own, {own}, first and at least one other after it"


def _whole_blocks(names: Iterable[str]) -> bool:
    """Whether places such as 3.att and 3.res-att make up two or more blocks with the same parts each."""
    parts: dict[str, set[str]] = {}
    for block, dot, part in (name.partition(".") for name in names):
        if dot:
            parts.setdefault(block, set()).add(part)
    return len(parts) > 1 and len({frozenset(found) for found in parts.values()}) == 1


def _donates(key: str, experiment: Config, name: str, config: Config) -> Iterable[str]:
    """What the encoder that gives its layers and the one that takes them must have in common, and what not."""
    donor, encoders, datasets = experiment.get("donor"), config["encoders"], config["datasets"]
    if donor is None:
        return
    if donor not in encoders:
        yield f"config: {key}.donor: {_none_of(donor, encoders)}"
        return
    base, other = encoders[name], encoders[donor]
    if other["dataset"] == base["dataset"]:
        yield f"config: {key}.donor: {donor} is trained on {base['dataset']}, as {name}; name one of another dataset"
    elif _same_images(datasets[base["dataset"]], datasets[other["dataset"]]):
        both = f"{other['dataset']} has images of {base['dataset']}"
        yield f"config: {key}.donor: {donor} is trained on the same images as {name}: {both}; name one of other classes"
    for option in ("architecture", "network"):
        if other[option] != base[option]:
            both = f"{option} of {donor} is {other[option]}, of {name} {base[option]}"
            yield f"config: {key}.donor: {both}; only equal ones can exchange layers"
    lacking = sorted(set(base["seeds"]) - set(other["seeds"]))
    if lacking:
        yield f"config: {key}.donor: {donor} lacks seeds {lacking} of {name}; add them to encoders.{donor}.seeds"
    for place, (role, encoder) in enumerate((("base", base), ("donor", other))):
        if (at := [i for i, task in enumerate(experiment["tasks"]) if task == encoder["dataset"]]) and at != [place]:
            where = f"{encoder['dataset']} is the {role}'s"
            yield f"config: {key}.tasks: {where}; write the base's first, then the donor's"
    size = datasets[base["dataset"]]["image_size"]
    if (theirs := datasets[other["dataset"]]["image_size"]) != size:
        yield f"config: {key}.donor: {donor} takes images of {theirs} pixels, {name} of {size}; make them equal"


def _asks(key: str, experiment: Config, name: str, config: Config) -> Iterable[str]:
    """What the tasks of an experiment must be for one of its encoders."""
    datasets, trained_on = config["datasets"], config["encoders"][name]["dataset"]
    size = datasets[trained_on]["image_size"]
    for option in ("tasks", "task"):
        tasks = experiment.get(option, [])
        for task in [tasks] if isinstance(tasks, str) else tasks:
            if task not in datasets:
                continue
            if (theirs := datasets[task]["image_size"]) != size:
                pixels = f"{task} has images of {theirs} pixels, {name} takes {size}"
                yield f"config: {key}.{option}: {pixels}; make them equal"
            if task != trained_on and _same_images(datasets[task], datasets[trained_on]):
                both = f"{task} has images of {trained_on}, on which {name} is trained"
                yield f"config: {key}.{option}: {both}; name {trained_on} itself or other classes"


def _values(key: str, experiment: Config, datasets: Config) -> Iterable[str]:
    """What an experiment on valuation asks of its tables."""
    for name in experiment["tables"]:
        if name in datasets and name in TABLES:
            yield f"config: datasets.{name}: {key} asks for a table of this name; call the dataset something else"
        if name in datasets:
            side, classes = datasets[name]["image_size"], len(datasets[name].get("classes", [])) or math.inf
            if SOURCES[datasets[name]["source"]].unlabeled:
                yield f"config: {key}.tables: {name} has no labels, which values are of; take another"
        elif name in TABLES:
            side, classes = TABLES[name].side, TABLES[name].classes
        else:
            yield f"config: {key}.tables: {_none_of(name, [*TABLES, *datasets])}"
            continue
        if "grids" in experiment and not side:
            images = ", ".join([*(known for known, entry in TABLES.items() if entry.side), *datasets])
            yield f"config: {key}.tables: {name} has no images, which a trigger is put into; take of {images}"
        for grid in experiment.get("grids", []):
            if side % grid:
                yield f"config: {key}.grids: {grid} patches don't divide the {side} pixels of {name}; change one"
        if experiment.get("side", 0) >= side > 0:
            yield f"config: {key}.side: a trigger of {experiment['side']} of the {side} pixels of {name}; lower it"
        for label in experiment.get("classes", []):
            if label >= classes:
                yield f"config: {key}.classes: {label}, but {name} has 0 to {classes - 1}; change it"


def _same_images(one: Config, other: Config) -> bool:
    """Whether two entries of datasets may hold the same images: one source and place, and a class in common."""
    if any(one.get(key) != other.get(key) for key in ("source", "path")):
        return False
    mine, theirs = one.get("classes"), other.get("classes")
    return not mine or not theirs or bool(set(mine) & set(theirs))


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
TEMPLATE = "__use_yte__"


def check_files(paths: Iterable[Path]) -> None:
    """Raise an InputError for a key that stands twice in one mapping of a YAML file, a null that leaves out nothing, or
    what is no plain YAML: tags that make objects of Python, templates.

    Once Snakemake has merged the files, none of it can be seen any more.
    """
    known: dict[str, set[str]] = {part: set() for part in ("datasets", "encoders", "experiments")}
    nulls = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                content = yaml.load(file, Loader=_NoDuplicates)
        except (yaml.YAMLError, UnicodeError) as error:
            raise InputError(f"{path}: not plain YAML ({' '.join(str(error).split())}); change it") from error
        if isinstance(content, dict) and TEMPLATE in content:
            raise InputError(f"{path}: {TEMPLATE}: a template, whose code Snakemake runs; write plain YAML")
        for part, names in known.items():
            entries = content.get(part) if isinstance(content, dict) else None
            for name, value in entries.items() if isinstance(entries, dict) else ():
                if value is None:
                    nulls.append((path, part, str(name)))
                else:
                    names.add(str(name))
    for path, part, name in nulls:
        if name not in known[part]:
            raise InputError(f"{path}: {part}.{name}: null leaves out nothing{_meant(name, known[part])}")


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
    # In the registry's order and by name, wherever a user's own file put them.
    kinds = list(EXPERIMENTS)
    return dict(sorted(experiments.items(), key=lambda item: (kinds.index(item[1]["kind"]), item[0])))


def runs(config: Config, name: str) -> list[tuple[str, int]]:
    """(encoder, seed), or (table, seed), of an experiment in the order of its files."""
    experiment = config["experiments"][name]
    names, *seeds = (experiment[key] for key in EXPERIMENTS[experiment["kind"]].over)
    return [(name, seed) for name in names for seed in (seeds[0] if seeds else config["encoders"][name]["seeds"])]


def experiment_inputs(config: Config, name: str) -> dict[str, list[str]]:
    """By input name, the files (below the results folder) that an experiment reads, one for each of its ``runs``."""
    entry = EXPERIMENTS[config["experiments"][name]["kind"]]
    return {
        key: [pattern.format(experiment=name, encoder=it, table=it, seed=seed) for it, seed in runs(config, name)]
        for key, pattern in entry.inputs.items()
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
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known) or 'none'}"


def _none_of(value: str, known: Iterable[str]) -> str:
    return f"{value!r} is none of {', '.join(known) or 'none, for there is none'}"
