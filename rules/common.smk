"""Shared by all files of rules: the checked configuration, paths, and the hash of the code behind a job."""

import fcntl
import shlex
import sys
from dataclasses import asdict
from functools import partial
from types import SimpleNamespace

import yaml

from memloc import config as configuration
from memloc import training_log
from memloc.data.raw_files import files, is_fetched
from memloc.data.sources import SOURCES
from memloc.data.sources import module_path as source_module
from memloc.models.architectures import module_path as encoder_module
from memloc.errors import InputError, one_line
from memloc.job import announce
from memloc.experiments import EXPERIMENTS, caption
from memloc.models.frameworks import module_path as framework_module
from memloc.models.layers import head_measured, layers_of
from memloc.provenance import digest
from memloc.slurm import left_behind

RESULTS = Path("results")
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"
TRAINING_ENV = "../envs/training.yaml"
ANALYSIS_ENV = "../envs/analysis.yaml"

announce()

if shlex.quote(sys.executable) != sys.executable:
    sys.exit(
        f"memloc: error: {ascii(sys.executable)}: jobs can't start from a Python whose path has blanks or signs of the shell; move it"
    )

try:
    if str(ROOT / "config.yaml") in map(str, workflow.configfiles):
        configuration.check_files([Path(path) for path in workflow.configfiles])
    else:  # Imported as a module, whose `config:` takes the place of every file.
        configuration.lay_over(configuration.check_files([ROOT / "config.yaml"])[0], config)
    configuration.check(config)
    MERGED = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    configuration.complete(config)
    configuration.check_folder(RESULTS)
    training_log.check(config.get("training_log", training_log.NONE))
    configuration.check_design(RESULTS, config)
except InputError as error:
    sys.exit(f"memloc: error: {one_line(str(error))}")

TOGETHER = ("f", "g", "untrained")
ROLES, NEVER = "|".join(TOGETHER), "(?!)"
IN_PARTS = config["shards"] > 1
"""Whether what the configuration shards is done in parts that are then joined."""


wildcard_constraints:
    dataset="[A-Za-z0-9][A-Za-z0-9_-]*",
    encoder="[A-Za-z0-9][A-Za-z0-9_-]*",
    # A figure of an experiment that isn't configured has no rule.
    experiment="|".join(configuration.active(config)),
    role=ROLES,
    seed="[0-9]+",
    table="[A-Za-z0-9][A-Za-z0-9_-]*",
    number="[0-9]+",
    of="[0-9]+",


def lock_results():
    """Refuse a second run on the same results. The lock is the system's: it ends with the process, however that ends."""
    try:
        RESULTS.mkdir(exist_ok=True)
        handle = open(RESULTS / ".lock", "a", encoding="utf-8")
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


def refuse_beside(runs):
    """Refuse to start while jobs of killed runs are still with Slurm: they would write the same files."""
    if runs:
        cancel = " && ".join(f"scancel --name {run}" for run in runs)
        sys.exit(
            f"memloc: error: Slurm still has jobs of an earlier run here: {cancel}, and start again when they are gone"
        )


def write_configuration():
    """Leave the merged configuration beside the results, as a file that asks for the same run again."""
    try:
        unfinished = RESULTS / "run_config.yaml.unfinished"
        unfinished.write_text(MERGED, encoding="utf-8")
        unfinished.replace(RESULTS / "run_config.yaml")
    except OSError as error:
        sys.exit(f"memloc: error: {RESULTS.resolve()}/run_config.yaml: can't be written ({error.strerror})")


onstart:
    globals()["results_lock"] = lock_results()
    for note in configuration.notes(config):
        print(f"memloc: {note}", file=sys.stderr)
    refuse_beside(left_behind(Path(".snakemake/log")))
    write_configuration()


# GPUs of a job that computes on one; none is asked for where the configuration doesn't say that there is one.
gpus = 1 if config["device"] == "cuda" else None


def growing(amount):
    """What a job asks for: so much, and as much again every time that it is tried anew (profiles/slurm)."""
    return lambda wildcards, attempt: amount * attempt


def hardware(key):
    """A function that looks up what a rule's encoder is trained on."""
    return encoder_setting("hardware", key)


def processes(wildcards):
    """How many processes train a rule's encoder together, one a device."""
    return hardware("devices")(wildcards) * hardware("nodes")(wildcards)


def in_parallel(value):
    """A resource of trainings by several processes, for which a cluster has to give them room; others don't have it."""
    return lambda wildcards: value(wildcards) if processes(wildcards) > 1 else None


def in_parts(path):
    """The files of all parts of what is sharded, by a path with the place of a part in it."""
    return [RESULTS / path.format(part=f"{i}of{config['shards']}") for i in range(1, config["shards"] + 1)]


def dataset_of(wildcards):
    return config["encoders"][wildcards.encoder]["dataset"]


def split_of(wildcards):
    """The groups of points of a rule's encoder and seed."""
    settings = config["encoders"][wildcards.encoder]
    seed = wildcards.seed if settings["split_seed"] is None else settings["split_seed"]
    return RESULTS / f"splits/{settings['dataset']}/seed{seed}/indices.npz"


def data_file(wildcards, file):
    """A file of the prepared dataset of a rule's encoder."""
    return RESULTS / f"data/{dataset_of(wildcards)}/{file}"


def measured_files(weights, additions):
    """What a measurement reads, by name."""
    data = {"images": "train_images.npy", "labels": "train_labels.npy", "description": "dataset.json"}
    return {key: partial(data_file, file=file) for key, file in data.items()} | {
        "split": split_of,
        "weights": weights,
        "additions": additions,
    }


def half_of(wildcards):
    """The group that an encoder of a pair on complementary halves is trained on; None for the groups of the paper."""
    if len(configuration.roles(config, wildcards.encoder)) < 2:
        return None
    return "independent" if wildcards.role == "g" else "candidate"


def trained(role=None, file="weights.safetensors"):
    """A function to a file of the training behind a rule's encoder, its own or another's."""

    def path(wildcards):
        part, seed = role or wildcards.role, wildcards.seed
        owner = configuration.trained_as(config, wildcards.encoder, role=part, seed=int(seed))
        return RESULTS / f"encoders/{owner}/{part}/seed{seed}/{file}"

    return path


def trainings(*roles):
    """A function to what tells the trainings of a rule's encoder from others: by role, of its own or of those named."""

    def hashes(wildcards):
        encoder, seed = wildcards.encoder, int(wildcards.seed)
        return {
            role: configuration.training_sha256(config, encoder, role=role, seed=seed)
            for role in roles or [wildcards.role]
        }

    return hashes


def trainings_of_seeds(wildcards):
    """What tells the trainings of f and g of each seed of a rule's encoder from others."""
    seeds = config["encoders"][wildcards.encoder]["seeds"]
    return [trainings("f", "g")(SimpleNamespace(encoder=wildcards.encoder, seed=seed)) for seed in seeds]


def measures_of_seeds(role):
    """A function to the measures of a role of a rule's encoder, one file a seed."""

    def paths(wildcards):
        seeds = config["encoders"][wildcards.encoder]["seeds"]
        return [RESULTS / f"measures/{wildcards.encoder}/{role}/seed{seed}.npz" for seed in seeds]

    return paths


def in_halves():
    """Names of the encoders whose seeds are pairs on complementary halves of one pool."""
    return [
        name
        for name, encoder in config["encoders"].items()
        if "pool" in config["datasets"][encoder["dataset"]].get("split", {}) and encoder["split_seed"] is None
    ]


def pairs_in_one_job():
    """Names of the encoders of which one job computes all roles of a pair: a CPU's jobs take little more than to start."""
    return in_halves() if config["device"] == "cpu" else []


def trained_together():
    """Those of them that share no training with others, and whose trainings are no several processes each."""
    return [
        name
        for name in pairs_in_one_job()
        if processes(SimpleNamespace(encoder=name)) == 1
        and all(
            configuration.trained_as(config, name, role=role, seed=seed) == name
            for role in TOGETHER
            for seed in config["encoders"][name]["seeds"]
        )
    ]


def of_roles(path):
    """The files of all roles of a pair, by a path with {role} in it."""
    return expand(RESULTS / path, role=TOGETHER, allow_missing=True)


def of_each(function):
    """A function of a rule's encoder, asked about each role of its pair."""

    def values(wildcards):
        found = [function(SimpleNamespace(**dict(wildcards.items()), role=role)) for role in TOGETHER]
        return [value for value in found if value]

    return values


def any_of(names):
    """A pattern that matches these names."""
    return "|".join(sorted(names)) or NEVER


def of_donor(function):
    """A function of a rule's encoder, asked about the one that the experiment's option donor names."""

    def value(wildcards):
        return function(SimpleNamespace(encoder=option("donor")(wildcards), seed=wildcards.seed))

    return value


def encoder_setting(*keys):
    """A function that looks a setting of a rule's encoder up."""

    def setting(wildcards):
        value = config["encoders"][wildcards.encoder]
        for key in keys:
            value = value[key]
        return value

    return setting


def training_settings(wildcards):
    """An encoder's entry as far as it changes the training: adding a seed, or measuring otherwise, re-trains nothing."""
    settings = config["encoders"][wildcards.encoder]
    return {key: settings[key] for key in (*configuration.TRAINING, "initialisation", "snapshots")}


def followed(wildcards, role=None):
    """An encoder's entry as far as the weights of one role follow it; those of encoders that share them are equal."""
    settings, own = config["encoders"][wildcards.encoder], (role or wildcards.role) == "g"
    return {key: settings[key] for key in (*configuration.TRAINING, *(["initialisation"] if own else []))}


def measured_layers(wildcards):
    """The layers of a rule's encoder that are measured."""
    return [asdict(layer) for layer in layers_of(config["encoders"][wildcards.encoder])]


def code_of(*parts):
    """A function that hashes a script together with modules of a rule's encoder, framework or experiment."""

    def code(wildcards):
        script, *modules = parts
        return digest(script) + "".join(digest(module(wildcards)) for module in modules)

    return code


def architecture_module(wildcards):
    return encoder_module(config["encoders"][wildcards.encoder]["architecture"])


def framework_of(wildcards):
    return framework_module(config["encoders"][wildcards.encoder]["framework"])


def part_of_experiment(part):
    """A function to the file of a part of a rule's experiment: analysis or job."""
    return lambda wildcards: f"memloc/experiments/{kind_of(wildcards)}/{part}.py"


def additions_measured(wildcards):
    """The framework's head, where it is measured."""
    headed = head_measured(config["encoders"][wildcards.encoder])
    return trained(file="additions.safetensors")(wildcards) if headed else []


def protocol_of(wildcards):
    """How a rule's encoder is measured."""
    settings = config["encoders"][wildcards.encoder]["measure"]
    return {
        key: value for key, value in settings.items() if key not in ("others", "layers", "sublayers", "augmentation")
    }


def views_of(wildcards):
    """How a rule's encoder is measured, and on which views."""
    return {"augmentation": config["encoders"][wildcards.encoder]["measure"]["augmentation"], **protocol_of(wildcards)}


def option(key):
    """A function that looks an option of a rule's experiment up."""

    def value(wildcards):
        return config["experiments"][wildcards.experiment][key]

    return value


def raw_files(wildcards):
    """The files a dataset is made from, by paths that stay the same when the repository moves.

    Files that are fetched lie outside the results, where no rule's output may lie: the record that they are there is
    the input in their place.
    """
    dataset = config["datasets"][wildcards.dataset]
    if "suite" in dataset:
        return folder_of_suite(dataset["suite"])
    if is_fetched(dataset["source"], dataset.get("path")):
        return RESULTS / f"raw/{dataset['source']}.json"
    paths = files(dataset["source"], dataset.get("path"))
    for path in paths:
        if {*str(path)} & {*"{<"} or not str(path).isprintable():
            reason = "Snakemake can't handle {, < and line breaks in a name"
            sys.exit(f"memloc: error: {ascii(str(path))}: {reason}; rename it")
    return [relative(path) for path in paths]


def folder_of_suite(name):
    """Where the charts of a suite lie."""
    return RESULTS / f"charts/suites/{name}"


def dataset_settings(wildcards):
    """A dataset's entry as far as it changes the images, with the folder of its suite where it has one."""
    settings = {key: value for key, value in config["datasets"][wildcards.dataset].items() if key != "split"}
    return settings | ({"path": str(folder_of_suite(settings["suite"]))} if "suite" in settings else {})


def dataset_code(wildcards):
    """The hash of a preparation's code: the common part, and the module of its source."""
    return digest("scripts/prepare_dataset.py") + digest(source_module(config["datasets"][wildcards.dataset]["source"]))


def datasets_that(*, swapped):
    """A pattern that matches the names of the datasets with, or without, swapped patches."""
    return "|".join(name for name, value in config["datasets"].items() if ("swapped" in value) == swapped) or "(?!)"


def before_swaps(file):
    """A function to a file of the dataset whose images a rule's dataset has."""

    def path(wildcards):
        return RESULTS / f"data/{config['datasets'][wildcards.dataset]['swapped']['of']}/{file}"

    return path


def swaps_of(wildcards):
    """What is swapped into the dataset of a rule's encoder, where something is."""
    dataset = dataset_of(wildcards)
    return RESULTS / f"data/{dataset}/swaps.npz" if "swapped" in config["datasets"][dataset] else []


def relative(path):
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def experiment_files(wildcards):
    """What an experiment reads, by name."""
    inputs = configuration.experiment_inputs(config, wildcards.experiment)
    return {name: [RESULTS / path for path in paths] for name, paths in inputs.items()}


def runs(wildcards):
    """(encoder, seed), or (table, seed), in the order of an experiment's files."""
    return [list(run) for run in configuration.runs(config, wildcards.experiment)]


def roles_of_runs(wildcards):
    """By encoder of an experiment, those of a pair that count."""
    return {
        name: list(configuration.roles(config, name)) for name, _ in configuration.runs(config, wildcards.experiment)
    }


def trainings_of_runs(wildcards):
    """What tells the trainings behind each run's files from others, by role; nothing of a table."""
    experiment = config["experiments"][wildcards.experiment]
    if not encoders_of(experiment):
        return []
    found = []
    for encoder, seed in configuration.runs(config, wildcards.experiment):
        run = SimpleNamespace(experiment=wildcards.experiment, encoder=encoder, seed=seed)
        found.append(trainings("f", "g", "untrained")(run) | donor_training(run))
    return found


def donor_training(wildcards):
    """What tells the training of the experiment's donor from others, where it has one."""
    if "donor" not in config["experiments"][wildcards.experiment]:
        return {}
    return {"donor": of_donor(trainings("f"))(wildcards)["f"]}


def encoders_of(experiment):
    """Names of an experiment's encoders; one over tables has none."""
    return experiment.get("encoders", [])


def images_of(wildcards):
    """The images of an experiment's first encoder, which its figure may show; none where it has no encoders."""
    first = encoders_of(config["experiments"][wildcards.experiment])[:1]
    return [RESULTS / f"data/{config['encoders'][encoder]['dataset']}/train_images.npy" for encoder in first]


def about_encoders(wildcards):
    """What an experiment may know of each of its encoders besides their files."""
    encoders = {name: config["encoders"][name] for name in encoders_of(config["experiments"][wildcards.experiment])}
    return {
        name: {key: encoder[key] for key in ("architecture", "framework", "measure")}
        for name, encoder in encoders.items()
    }


def experiment_options(wildcards):
    """An experiment's own options, and how many resamples stand behind its intervals."""
    experiment = config["experiments"][wildcards.experiment]
    options = own_options(wildcards)
    encoders = {name: config["encoders"][name] for name in encoders_of(experiment)}
    for key in EXPERIMENTS[experiment["kind"]].known:
        options[key] = {name: (encoder["recipe"] | encoder["measure"])[key] for name, encoder in encoders.items()}
    return options | {key: config["score"][key] for key in ("resamples", "normalisation")}


def own_options(wildcards):
    """The options of an experiment besides its kind and its runs."""
    experiment = config["experiments"][wildcards.experiment]
    runs = EXPERIMENTS[experiment["kind"]].over
    return {key: value for key, value in experiment.items() if key not in ("kind", "first_seeds", *runs)}


def kind_of(wildcards):
    return config["experiments"][wildcards.experiment]["kind"]


def jobs_of_experiments():
    """By kind of the active experiments over encoders that compute with a network, how they do."""
    kinds = dict.fromkeys(value["kind"] for value in configuration.active(config).values())
    return {kind: EXPERIMENTS[kind].job for kind in kinds if EXPERIMENTS[kind].job}


def job_files(wildcards):
    """What a job of an experiment reads, by name."""
    entry = EXPERIMENTS[kind_of(wildcards)]
    reads, dataset = entry.job.reads, RESULTS / f"data/{dataset_of(wildcards)}"
    scores = RESULTS / f"scores/{wildcards.encoder}"
    files = {
        "description": dataset / "dataset.json",
        "split": split_of(wildcards),
        "weights": trained()(wildcards),
    }
    if "images" in reads:
        files |= {"images": dataset / "train_images.npy", "labels": dataset / "train_labels.npy"}
    if "learner" in reads:
        files["additions"] = trained(file="additions.safetensors")(wildcards)
    if "partner" in reads:
        files["partner"] = trained("g")(wildcards)
    if "snapshots" in reads:
        files["untrained"] = trained("untrained")(wildcards)
        files["snapshots"] = trained(file="snapshots.safetensors")(wildcards)
        files["history"] = trained(file="training.csv")(wildcards)
    if "units" in reads:
        files["units"] = scores / f"{wildcards.role}/seed{wildcards.seed}/units.parquet"
    if "points" in reads:
        files["points"] = scores / f"seed{wildcards.seed}/points.parquet"
    if "tasks" in reads:
        files["tasks"] = [RESULTS / f"data/{task}/dataset.json" for task in tasks_of(wildcards)]
    if "donor" in reads:
        donor_dataset = of_donor(dataset_of)(wildcards)
        files |= {"donor": of_donor(trained("f"))(wildcards), "donor_split": of_donor(split_of)(wildcards)}
        files["donor_description"] = RESULTS / f"data/{donor_dataset}/dataset.json"
    return files


def job_code(wildcards):
    """The hash of the code behind a job of an experiment."""
    learner = "learner" in EXPERIMENTS[kind_of(wildcards)].job.reads
    modules = [architecture_module, part_of_experiment("job"), *([framework_of] if learner else [])]
    return code_of("scripts/run_experiment.py", *modules)(wildcards)


def job_settings(wildcards):
    """What a job of an experiment gets besides files, by name. What it doesn't read can't repeat it."""
    entry = EXPERIMENTS[kind_of(wildcards)]
    reads, encoder = entry.job.reads, config["encoders"][wildcards.encoder]
    roles = {wildcards.role}
    roles |= ({"untrained"} if "snapshots" in reads else set()) | (
        {"f", "g"} if {"points", "partner"} & {*reads} else set()
    )
    settings = {
        "encoder": followed(wildcards),
        "trainings": trainings(*sorted(roles))(wildcards) | donor_training(wildcards),
        "dataset": encoder["dataset"],
        "options": {key: option(key)(wildcards) for key in entry.job.options},
        "device": config["device"],
    }
    if "layers" in reads:
        settings["layers"] = measured_layers(wildcards)
    if "protocol" in reads:
        settings["protocol"] = protocol_of(wildcards)
        settings |= {key: encoder["measure"][key] for key in ("augmentation", "others")}
    if "partner" in reads:
        settings["partner"] = followed(wildcards, "g")
    if "snapshots" in reads:
        settings["training"] = {key: encoder["recipe"][key] for key in ("epochs", "warmup_epochs")}
        settings["training"]["snapshots"] = encoder["snapshots"]
    if "tasks" in reads:
        settings["tasks"] = tasks_of(wildcards)
    if "donor" in reads:
        settings |= {"donor": of_donor(lambda donor: followed(donor, "f"))(wildcards)}
        settings["donor_dataset"] = of_donor(dataset_of)(wildcards)
    if "resamples" in reads:
        settings["resamples"] = config["score"]["resamples"]
    return settings


def tasks_of(wildcards):
    """Names of the datasets that a rule's experiment fits probes on."""
    tasks = option(EXPERIMENTS[kind_of(wildcards)].tasks)(wildcards)
    return [tasks] if isinstance(tasks, str) else tasks


def labels_of(wildcards):
    """How a figure is named in Snakemake's report."""
    return {"experiment": wildcards.experiment, "kind": kind_of(wildcards)}


def one_of(*kinds):
    """A pattern that matches the names of the experiments of some kinds."""
    return "|".join(experiments_of(*kinds)) or "(?!)"


def trained_encoders():
    """Recipes of the encoders that the active experiments use."""
    used = {encoder for value in configuration.active(config).values() for encoder in encoders_of(value)}
    used |= {value["donor"] for value in configuration.active(config).values() if "donor" in value}
    recipe = trained("f", file="recipe.json")
    made = {
        recipe(SimpleNamespace(encoder=name, seed=seed)): None
        for name in config["encoders"]
        if name in used
        for seed in config["encoders"][name]["seeds"]
    }
    return list(made)


def active_experiments():
    return list(configuration.active(config))


def experiments_of(*kinds):
    """Names of the active experiments of some kinds."""
    return [name for name, value in configuration.active(config).items() if value["kind"] in kinds]


def experiments_over(what):
    """Names of the active experiments over encoders, or over tables."""
    return [name for name, value in configuration.active(config).items() if what in EXPERIMENTS[value["kind"]].over]


def experiments_that_read(name):
    """A pattern that matches the names of the active experiments that have an input of some name."""
    active = configuration.active(config)
    return "|".join(key for key, value in active.items() if name in EXPERIMENTS[value["kind"]].inputs) or "(?!)"


def images_in(wildcards):
    """Images and labels of a dataset that is taken as a table; nothing for a table that has a name of its own."""
    if wildcards.table not in config["datasets"]:
        return []
    return [RESULTS / f"data/{wildcards.table}/train_{what}.npy" for what in ("images", "labels")]


def figures_of(experiments):
    return [RESULTS / f"figures/{name}.{kind}" for name in experiments for kind in ("pdf", "svg", "png", "csv")]


def figure_files():
    return figures_of(active_experiments())
