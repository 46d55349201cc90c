"""What experiments ask of their encoders, tables, tasks and donors. What one kind asks besides is in its own entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from memloc.config.entries import TRAINING, active
from memloc.config.schemas import Config
from memloc.data.sources import SOURCES
from memloc.experiments import EXPERIMENTS, POINTS, Experiment
from memloc.experiments.entry import CHART_CANARIES, OF_CHARTS, OVER_TABLES, same_images
from memloc.models.architectures import ARCHITECTURES, SUBLAYERS
from memloc.models.frameworks import FRAMEWORKS
from memloc.models.layers import layers_of
from memloc.valuation.tables import TABLES
from memloc.wording import none_of

FEWEST_LAYERS = 3


def faults(config: Config) -> Iterable[str]:
    """What experiments ask for and do not get, one line each."""
    if not active(config):
        yield "config: experiments: none is active; leave at least one that isn't null"
    for name, experiment in active(config).items():
        entry, key = EXPERIMENTS[experiment["kind"]], f"config: experiments.{name}"
        over = _over_tables if entry.over == OVER_TABLES else _over_encoders
        if entry.over in OF_CHARTS:
            over = _over_charts
        for fault in over(entry, experiment, config):
            # A fault of a whole encoder is one of its own entry, not of the experiment's.
            yield f"config: {fault} (experiments.{name})" if fault.startswith("encoders.") else f"{key}.{fault}"


def _over_tables(entry: Experiment, experiment: Config, config: Config) -> Iterable[str]:
    """Tables must be known, by one name, and have labels."""
    datasets = config["datasets"]
    for name in experiment["tables"]:
        if name in datasets and name in TABLES:
            yield f"tables: {name} is a table and a dataset; call the dataset something else"
        elif name in datasets and SOURCES[datasets[name]["source"]].unlabeled:
            yield f"tables: {name} has no labels, which values are about; take another"
        elif name not in datasets and name not in TABLES:
            yield f"tables: {none_of(name, [*TABLES, *datasets])}"
        else:
            yield from entry.faults(experiment, name, config)


def _over_charts(entry: Experiment, experiment: Config, config: Config) -> Iterable[str]:
    """Models or towers must be known."""
    (key,) = entry.over
    known = config.get("charts", {}).get(key, {})
    for name in experiment[key]:
        if name not in known:
            yield f"{key}: {none_of(name, known)}"
        elif key == "models" and (CHART_CANARIES in entry.inputs.values()) != ("canaries" in known[name]):
            able = [other for other in known if ("canaries" in known[other]) != ("canaries" in known[name])]
            has = "has canaries, so it is two models of halves" if "canaries" in known[name] else "has no canaries"
            yield f"models: {name} {has}; take of {', '.join(able)}"
        else:
            yield from entry.faults(experiment, name, config)


def _over_encoders(entry: Experiment, experiment: Config, config: Config) -> Iterable[str]:
    """Encoders and tasks must be known; then what they must have in common, and each must have."""
    encoders, datasets = config["encoders"], config["datasets"]
    missing = [name for name in experiment["encoders"] if name not in encoders]
    yield from (f"encoders: {none_of(name, encoders)}" for name in missing)
    for task in _tasks(entry, experiment):
        if task not in datasets:
            yield f"{entry.tasks}: {none_of(task, datasets)}"
        elif SOURCES[datasets[task]["source"]].unlabeled:
            yield f"{entry.tasks}: {task} has no labels to fit a probe on; name another"
    if missing:
        return
    yield from _have_in_common(entry, experiment, encoders)
    for name in experiment["encoders"]:
        for check in (_has_units, _has_layers, _suits, _has_snapshots):
            yield from check(entry, name, config)
        yield from entry.faults(experiment, name, config)
        for other in dict.fromkeys((name, experiment[entry.donor] if entry.donor else name)):
            yield from _takes_tasks(entry, experiment, other, config)


def _tasks(entry: Experiment, experiment: Config) -> list[str]:
    tasks = experiment[entry.tasks] if entry.tasks else []
    return [tasks] if isinstance(tasks, str) else list(tasks)


def _have_in_common(entry: Experiment, experiment: Config, encoders: Config) -> Iterable[str]:
    """What the encoders that are compared must have in common, and what not."""
    names = experiment["encoders"]
    for option in entry.equal:
        values = [_setting(encoders, name, option, experiment.get("first_seeds")) for name in names]
        if values.count(values[0]) < len(values):
            first = dict(zip(map(str, reversed(values)), reversed(names), strict=True))
            listed = " and ".join(f"{value} in {first[value]}" for value in dict.fromkeys(map(str, values)))
            yield f"encoders: compares like with like, but {option} is {listed}; make them equal"
    if not entry.trained_apart:
        return
    # How g starts says nothing of f alone.
    starts = ["initialisation"] if POINTS in entry.inputs.values() else []
    keys = (*TRAINING, "dataset", "split_seed", *starts)
    trainings = [[encoders[name][key] for key in keys] for name in names]
    for place, (name, training) in enumerate(zip(names, trainings, strict=True)):
        for other in (other for other, same in zip(names[:place], trainings, strict=False) if same == training):
            yield f"encoders: compares trainings, but {other} and {name} are the same training; keep one"


def _setting(encoders: Config, name: str, option: str, first: int | None) -> object:
    """What an experiment wants to be equal: a key of an encoder, its seeds that take part, weights or layers."""
    if option == "seeds":
        return encoders[name]["seeds"][:first]
    if option == "weights":
        return encoders[name].get("weights", name)
    if option == "layers":
        return [layer.name for layer in layers_of(encoders[name]) if layer.modules]
    return encoders[name][option]


def _has_units(entry: Experiment, name: str, config: Config) -> Iterable[str]:
    """Some layer that is measured must have units."""
    encoder = config["encoders"][name]
    if "units" in entry.needs and not any(layer.units for layer in layers_of(encoder)):
        every = ARCHITECTURES[encoder["architecture"]].layers(encoder["network"])
        able = next(layer.name for layer in every if layer.units)
        none = f"no layer of {name} has units (measure.layers: {encoder['measure']['layers']})"
        yield f"encoders: {none}; name some, such as {able}"


def _has_layers(entry: Experiment, name: str, config: Config) -> Iterable[str]:
    """Layers of the kinds that are asked for must be measured, and enough of them."""
    encoder = config["encoders"][name]
    layers = layers_of(encoder)
    for kind in entry.layers:
        if kind not in {layer.kind for layer in layers}:
            way = "set measure.sublayers: true" if kind in SUBLAYERS else "name them in measure.layers"
            none = f"no {kind} layer of {encoder['architecture']} is measured"
            yield f"encoders: {none}; {way}, or take another encoder"
    proper = sum(bool(layer.modules) for layer in layers)
    if proper < FEWEST_LAYERS:
        few = f"measure.layers of {name}, {encoder['measure']['layers']}, match {proper} layers with parameters"
        yield f"encoders: {few}; name at least {FEWEST_LAYERS} or raise network.depth"


def _suits(entry: Experiment, name: str, config: Config) -> Iterable[str]:
    """An encoder's images, framework and views must be what the experiment needs."""
    encoder = config["encoders"][name]
    dataset, framework = encoder["dataset"], encoder["framework"]
    if "labels" in entry.needs and SOURCES[config["datasets"][dataset]["source"]].unlabeled:
        yield f"encoders: {dataset} has no labels, which this experiment needs; take encoders of another dataset"
    if "swapped" in entry.needs and "swapped" not in config["datasets"][dataset]:
        yield f"encoders: nothing is swapped into {dataset}; take encoders of a dataset with swapped"
    if "image_losses" in entry.needs and not FRAMEWORKS[framework].image_losses:
        able = ", ".join(other for other, known in FRAMEWORKS.items() if known.image_losses)
        yield f"encoders: {framework} has no loss of single images; take encoders of {able}"
    if encoder["measure"]["augmentation"] == "none" and POINTS in entry.inputs.values():
        same = f"all views of {name} are the image itself (measure.augmentation: none), so its SSLMem is 0"
        yield f"encoders: {same}; take another encoder"


def _has_snapshots(entry: Experiment, name: str, config: Config) -> Iterable[str]:
    """Epochs before the last must be kept, among them the one at which warm-up ends."""
    encoder = config["encoders"][name]
    if "snapshots" not in entry.needs:
        return
    snapshots, recipe, owner = encoder["snapshots"], encoder["recipe"], f"encoders.{encoder.get('weights', name)}"
    warmup, epochs = recipe["warmup_epochs"], recipe["epochs"]
    if sum(epoch < epochs for epoch in snapshots) < 2:
        few = f"{snapshots} keep fewer than two epochs before the last, {epochs}"
        yield f"{owner}.snapshots: {few}; name more, such as [1, 10]"
    if not 0 < warmup < epochs:
        none = f"{warmup} of {epochs} epochs leave nothing to compare before or after warm-up"
        yield f"{owner}.recipe.warmup_epochs: {none}; choose one between"
    elif warmup not in snapshots:
        yield f"{owner}.snapshots: {snapshots} lack epoch {warmup}, where warm-up ends; add it"


def _takes_tasks(entry: Experiment, experiment: Config, name: str, config: Config) -> Iterable[str]:
    """Tasks must have images of an encoder's size, and none that it is trained on under another name."""
    datasets: Mapping[str, Config] = config["datasets"]
    if name not in config["encoders"]:
        return
    own = config["encoders"][name]["dataset"]
    size = datasets[own]["image_size"]
    for task in (task for task in _tasks(entry, experiment) if task in datasets):
        if datasets[task]["image_size"] != size:
            pixels = f"{task} has images of {datasets[task]['image_size']} pixels, {name} takes {size}"
            yield f"{entry.tasks}: {pixels}; make them equal"
        if task != own and same_images(datasets[task], datasets[own]):
            both = f"{task} has images of {own}, on which {name} is trained"
            yield f"{entry.tasks}: {both}; name {own} itself or other classes"
