"""What an experiment asks of its encoders together, of a donor and of tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from memloc.config.datasets import same_images
from memloc.config.entries import TRAINING, active, layers_of
from memloc.config.one_encoder import faults_of_encoder
from memloc.config.schemas import Config
from memloc.config.tables import faults_of_tables
from memloc.config.wording import none_of
from memloc.data.sources import SOURCES
from memloc.experiments import EXPERIMENTS, POINTS
from memloc.models.frameworks import FRAMEWORKS


def faults(config: Config) -> Iterable[str]:
    """What experiments ask for and do not get, one line each."""
    datasets, encoders = config["datasets"], config["encoders"]
    if not active(config):
        yield "config: experiments: none is active; leave at least one that isn't null"
    for name, experiment in active(config).items():
        key = f"experiments.{name}"
        if "tables" in EXPERIMENTS[experiment["kind"]].over:
            yield from faults_of_tables(key, experiment, datasets)
            continue
        for encoder in experiment["encoders"]:
            if encoder not in encoders:
                yield f"config: {key}.encoders: {none_of(encoder, encoders)}"
        for option, task in _tasks(experiment):
            if task not in datasets:
                yield f"config: {key}.{option}: {none_of(task, datasets)}"
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
                yield from faults_of_encoder(key, experiment, encoder, config)
                yield from _donates(key, experiment, encoder, config)
                for other in dict.fromkeys((encoder, experiment.get("donor", encoder))):
                    yield from _takes_tasks(key, experiment, other, config)


def _tasks(experiment: Config) -> Iterable[tuple[str, str]]:
    """The tasks that an experiment names, each with its option."""
    for option in ("tasks", "task"):
        tasks = experiment.get(option, [])
        yield from ((option, task) for task in ([tasks] if isinstance(tasks, str) else tasks))


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


def _contrasts(key: str, experiment: Config, encoders: Config) -> Iterable[str]:
    """What a supervised encoder and a self-supervised one must be to be compared on their own task and on others."""
    names, own = experiment["encoders"], encoders[experiment["encoders"][0]]["dataset"]
    labels = [FRAMEWORKS[encoders[name]["framework"]].labels for name in names]
    if labels != [True, False]:
        yield f"config: {key}.encoders: own-task compares two: write a supervised one, then a self-supervised one"
    if experiment["tasks"][0] != own or len(experiment["tasks"]) < 2:
        yield f"config: {key}.tasks: write the encoders' own, {own}, first and at least one other after it"


def _donates(key: str, experiment: Config, name: str, config: Config) -> Iterable[str]:
    """What the encoder that gives its layers and the one that takes them must have in common, and what not."""
    donor, encoders, datasets = experiment.get("donor"), config["encoders"], config["datasets"]
    if donor is None:
        return
    if donor not in encoders:
        yield f"config: {key}.donor: {none_of(donor, encoders)}"
        return
    base, other = encoders[name], encoders[donor]
    if other["dataset"] == base["dataset"]:
        yield f"config: {key}.donor: {donor} is trained on {base['dataset']}, as {name}; name one of another dataset"
    elif same_images(datasets[base["dataset"]], datasets[other["dataset"]]):
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


def _takes_tasks(key: str, experiment: Config, name: str, config: Config) -> Iterable[str]:
    """What the tasks of an experiment must be for one of its encoders."""
    datasets, trained_on = config["datasets"], config["encoders"][name]["dataset"]
    size = datasets[trained_on]["image_size"]
    for option, task in _tasks(experiment):
        if (theirs := datasets[task]["image_size"]) != size:
            pixels = f"{task} has images of {theirs} pixels, {name} takes {size}"
            yield f"config: {key}.{option}: {pixels}; make them equal"
        if task != trained_on and same_images(datasets[task], datasets[trained_on]):
            both = f"{task} has images of {trained_on}, on which {name} is trained"
            yield f"config: {key}.{option}: {both}; name {trained_on} itself or other classes"
