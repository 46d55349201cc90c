"""Shared by all files of rules: the checked configuration, paths, and the hash of the code behind a job."""

import fcntl
import sys

from memloc import config as configuration
from memloc.datasets import raw
from memloc.errors import InputError
from memloc.job import announce
from memloc.experiments import EXPERIMENTS
from memloc.provenance import digest

RESULTS = Path("results")
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"
TRAINING_ENV = "../envs/training.yaml"
ANALYSIS_ENV = "../envs/analysis.yaml"

announce()

try:
    for path in workflow.configfiles:
        configuration.check_file(Path(path))
    configuration.check(config)
    configuration.check_folder(RESULTS)
except InputError as error:
    sys.exit(f"memloc: error: {error}")


wildcard_constraints:
    dataset="[A-Za-z0-9][A-Za-z0-9_-]*",
    encoder="[A-Za-z0-9][A-Za-z0-9_-]*",
    experiment="[A-Za-z0-9][A-Za-z0-9_-]*",
    role="f|g|untrained",
    seed="[0-9]+",


def lock_results():
    """Refuse a second run on the same results. The lock is the system's: it ends with the process, however that ends."""
    try:
        RESULTS.mkdir(exist_ok=True)
        handle = open(RESULTS / ".lock", "a")
    except OSError as error:
        sys.exit(
            f"memloc: error: {RESULTS.resolve()}: can't be written ({error.strerror}); free it or choose another --directory"
        )
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"memloc: error: {RESULTS.resolve()}: another run is writing here; wait until it ends")
    except OSError:
        print("memloc: this file system has no locks: don't start a second run on these results", file=sys.stderr)
    return handle


onstart:
    globals()["results_lock"] = lock_results()


def dataset_of(wildcards):
    return config["encoders"][wildcards.encoder]["dataset"]


def encoder_setting(*keys):
    """A function that looks a setting of a rule's encoder up."""

    def setting(wildcards):
        value = config["encoders"][wildcards.encoder]
        for key in keys:
            value = value[key]
        return value

    return setting


def training_settings(wildcards):
    """An encoder's entry without its seeds: adding a seed re-trains nothing."""
    settings = config["encoders"][wildcards.encoder]
    return {key: value for key, value in settings.items() if key not in ("seeds", "dataset")}


def option(key):
    """A function that looks an option of a rule's experiment up."""

    def value(wildcards):
        return config["experiments"][wildcards.experiment][key]

    return value


def raw_files(wildcards):
    """The files a dataset is made from, by paths that stay the same when the repository moves."""
    dataset = config["datasets"][wildcards.dataset]
    return [relative(path) for path in raw(dataset["source"], dataset.get("path"))]


def relative(path):
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def experiment_files(wildcards):
    """What an experiment reads, by name."""
    inputs = configuration.experiment_inputs(config, wildcards.experiment)
    return {name: [RESULTS / path for path in paths] for name, paths in inputs.items()}


def runs(wildcards):
    """(encoder, seed) in the order of an experiment's files."""
    encoders = config["experiments"][wildcards.experiment]["encoders"]
    return [[encoder, seed] for encoder in encoders for seed in config["encoders"][encoder]["seeds"]]


def experiment_options(wildcards):
    """An experiment's own options, and how many resamples stand behind its intervals."""
    experiment = config["experiments"][wildcards.experiment]
    options = {key: value for key, value in experiment.items() if key not in ("kind", "encoders")}
    return options | {key: config["score"][key] for key in ("replicates", "normalisation")}


def experiment_code(script):
    """A function that hashes a script together with the module of a rule's experiment."""

    def code(wildcards):
        kind = config["experiments"][wildcards.experiment]["kind"]
        return digest(script) + digest(f"memloc/experiments/{kind}.py")

    return code


def kind_of(wildcards):
    return config["experiments"][wildcards.experiment]["kind"]


def labels_of(wildcards):
    """How a figure is named in Snakemake's report."""
    return {"experiment": wildcards.experiment, "kind": kind_of(wildcards)}


def one_of(kind):
    """A pattern that matches the names of the experiments of a kind."""
    names = [name for name, value in configuration.active(config).items() if value["kind"] == kind]
    return "|".join(names) or "(?!)"


def trained_encoders():
    """Recipes of the encoders that the active experiments use."""
    used = {encoder for value in configuration.active(config).values() for encoder in value["encoders"]}
    return [
        RESULTS / f"encoders/{name}/f/seed{seed}/recipe.json"
        for name, encoder in config["encoders"].items()
        if name in used
        for seed in encoder["seeds"]
    ]


def active_experiments():
    return list(configuration.active(config))


def figure_files():
    return [RESULTS / f"figures/{name}.{kind}" for name in active_experiments() for kind in ("pdf", "png", "csv")]
