"""What the entries of a checked configuration say: with defaults filled in, for trainings, layers and experiments."""

from __future__ import annotations

import copy
import hashlib
import json

from memloc.aliases import Json, Options
from memloc.config.schemas import Config, schema
from memloc.experiments import EXPERIMENTS
from memloc.experiments.entry import OF_CHARTS
from memloc.models.architectures import ARCHITECTURES
from memloc.models.frameworks import FRAMEWORKS


def complete(config: Json) -> None:
    """Fill in, in place, what a checked configuration leaves to defaults; drop datasets and encoders that are null."""
    for part in ("datasets", "encoders"):
        config[part] = {name: value for name, value in config[part].items() if value is not None}
    for name, dataset in config["datasets"].items():
        owner = config["datasets"].get(dataset["swapped"]["of"], {}) if "swapped" in dataset else {}
        if "swapped" not in owner:
            config["datasets"][name] = copy.deepcopy(owner | dataset)
    for dataset in config["datasets"].values():
        pool = dataset.get("split", {}).get("pool")
        if pool is not None:
            dataset["split"] |= {"shared": 0, "candidate": pool // 2, "independent": pool - pool // 2}
    rules = schema()["$defs"]["encoder"]["properties"]
    encoders = config["encoders"]
    for name, encoder in encoders.items():
        owner = encoders.get(encoder.get("weights"), {})
        if owner and "weights" not in owner:
            views = owner.get("measure", {}) | encoder.get("measure", {})
            encoders[name] = copy.deepcopy(owner | encoder | {"measure": views})
    for encoder in encoders.values():
        if "framework" not in encoder:
            continue  # ``check`` reports that its weights are nobody's.
        entry, framework = ARCHITECTURES[encoder["architecture"]], FRAMEWORKS[encoder["framework"]]
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


def _defaults(options: Options) -> Json:
    return {key: copy.deepcopy(rule["default"]) for key, rule in options.items() if "default" in rule}


TRAINING = ("framework", "architecture", "network", "recipe", "hardware")
"""Keys of an encoder that every training follows; g's follows ``initialisation``, too."""


def trained_as(config: Config, name: str, *, role: str, seed: int) -> str:
    """The encoder under whose name an encoder, complete, is trained: the first that asks for the very same training.

    One with another's ``weights`` does so, and f where only g starts otherwise. One that keeps no snapshots goes before
    those that do: an encoder that asks for some, in a user's own file, doesn't take over what is trained already.
    """
    mine, able = config["encoders"][name], {}
    training = _training(mine, role=role, seed=seed)
    for other, encoder in config["encoders"].items():
        trains = "weights" not in encoder and seed in encoder["seeds"]
        kept = set(mine["snapshots"]) <= set(encoder["snapshots"])
        if trains and kept and _training(encoder, role=role, seed=seed) == training:
            able[str(other)] = bool(encoder["snapshots"])
    if not able:
        raise ValueError(f"no encoder is trained as {name}, seed {seed}")
    return min(able, key=lambda other: able[other])


def training_sha256(config: Config, name: str, *, role: str, seed: int) -> str:
    """What tells the training of an encoder, complete, from others: a hash of all that the configuration says of it.

    Encoders that share weights share it, too.
    """
    encoder = config["encoders"][name]
    about = _training(encoder, role=role, seed=seed) | {"of": config["datasets"][encoder["dataset"]]}
    text = json.dumps(about | {"role": role, "seed": seed}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _training(encoder: Config, *, role: str, seed: int) -> Json:
    """What the training of one role and seed follows."""
    keys = (*TRAINING, "dataset", *(["initialisation"] if role == "g" else []))
    split_seed = seed if encoder["split_seed"] is None else encoder["split_seed"]
    return {**{key: encoder[key] for key in keys}, "split_seed": split_seed}


def active(config: Config) -> dict[str, Json]:
    """Experiments that aren't switched off."""
    experiments = {name: value for name, value in config["experiments"].items() if value is not None}
    # In the registry's order and by name, wherever a user's own file put them.
    kinds = list(EXPERIMENTS)
    return dict(sorted(experiments.items(), key=lambda item: (kinds.index(item[1]["kind"]), item[0])))


def runs(config: Config, name: str) -> list[tuple[str, int]]:
    """(encoder, seed), or (table, seed), and so on, of an experiment in the order of its files."""
    experiment = config["experiments"][name]
    over = EXPERIMENTS[experiment["kind"]].over
    names, *seeds = (experiment[key] for key in over)
    first = experiment.get("first_seeds")
    if over in OF_CHARTS:
        return [(name, seed) for name in names for seed in config["charts"][over[0]][name]["seeds"]]
    return [
        (name, seed) for name in names for seed in (seeds[0] if seeds else config["encoders"][name]["seeds"][:first])
    ]


def roles(config: Config, name: str) -> tuple[str, ...]:
    """Encoders of a pair that count: both on complementary halves, else f, which the paper's groups are named for."""
    encoder = config["encoders"].get(name)
    halves = encoder is not None and "pool" in config["datasets"][encoder["dataset"]].get("split", {})
    return ("f", "g") if halves else ("f",)


OVER = ("encoder", "table", "model", "tower")
"""What an experiment may run over, as patterns of files name it."""


def experiment_inputs(config: Config, name: str) -> dict[str, list[str]]:
    """By input name, the files (below the results folder) that an experiment reads.

    One for each of its ``runs``; where the pattern has a role, one for each of the encoder's ``roles``.
    """
    entry = EXPERIMENTS[config["experiments"][name]["kind"]]
    return {
        key: [
            pattern.format(experiment=name, seed=seed, role=role, **dict.fromkeys(OVER, it))
            for it, seed in runs(config, name)
            for role in (roles(config, it) if "{role}" in pattern else ("f",))
        ]
        for key, pattern in entry.inputs.items()
    }
