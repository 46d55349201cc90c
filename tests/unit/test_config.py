import copy

import pytest
import yaml

from memloc.config import active, check, experiment_inputs
from memloc.errors import InputError
from memloc.provenance import ROOT

GONE = object()
RECIPE = "encoders.simclr.recipe"


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


def merge(base, over):
    """As Snakemake merges configuration files: mappings merge, all else replaces."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value
    return base


@pytest.fixture
def config():
    """The committed configuration with sizes of its own, so that a change of scale fails no test."""
    sizes = {"shared": 500, "candidate": 250, "independent": 250, "external": 250}
    small = {"datasets": {"fashion": {"split": sizes}}, "experiments": {"layermem": {"group_size": 50}}}
    return merge(read("config.yaml"), small)


def put(config, path, value):
    *above, last = path.split(".")
    for key in above:
        config = config[key]
    if value is GONE:
        del config[last]
    else:
        config[last] = copy.deepcopy(value)


def complaint(config):
    with pytest.raises(InputError) as caught:
        check(config)
    message = str(caught.value)
    assert "\n" not in message and message.startswith("config: ")
    return message


def test_the_committed_configuration_passes():
    check(read("config.yaml"))


def test_the_smoke_configuration_passes_when_merged_over_it():
    check(merge(read("config.yaml"), read("config/smoke.yaml")))


def test_a_check_changes_nothing(config):
    before = copy.deepcopy(config)
    check(config)
    assert config == before


# path, value, what the line must hold: the key, the value, the way out
BAD = [
    ("devise", "cpu", ["devise: unknown key", "did you mean device?"]),
    ("device", "gpu", ["device: 'gpu'", "cpu, cuda, auto"]),
    ("device", GONE, ["device: missing", "add it"]),
    (f"{RECIPE}.epoch", 3, [f"{RECIPE}.epoch: unknown key", "did you mean epochs?"]),
    (f"{RECIPE}.zzz", 3, [f"{RECIPE}.zzz: unknown key", "epochs", "learning_rate"]),
    (f"{RECIPE}.epochs", "3", [f"{RECIPE}.epochs: '3'", "integer"]),
    (f"{RECIPE}.epochs", 0, [f"{RECIPE}.epochs: 0", "minimum of 1"]),
    (f"{RECIPE}.learning_rate", "1e-3", [f"{RECIPE}.learning_rate: '1e-3'", "number"]),
    (f"{RECIPE}.learning_rate", -1, [f"{RECIPE}.learning_rate: -1", "minimum"]),
    (f"{RECIPE}.learning_rate", float("nan"), [f"{RECIPE}.learning_rate: nan", "number"]),
    (f"{RECIPE}.learning_rate", float("inf"), [f"{RECIPE}.learning_rate: inf", "number"]),
    (f"{RECIPE}.weight_decay", float("inf"), [f"{RECIPE}.weight_decay: inf", "number"]),
    (f"{RECIPE}.temperature", float("nan"), [f"{RECIPE}.temperature: nan", "number"]),
    ("encoders.simclr.width", float("nan"), ["encoders.simclr.width: nan", "number"]),
    ("experiments.unitmem.threshold", float("nan"), ["experiments.unitmem.threshold: nan", "number"]),
    ("experiments.unitmem.threshold", True, ["experiments.unitmem.threshold: True", "number"]),
    ("experiments.pruning.fractions", [float("nan")], ["experiments.pruning.fractions.0: nan", "number"]),
    (f"{RECIPE}.batch_size", 50.0, [f"{RECIPE}.batch_size: 50.0", "integer"]),
    (f"{RECIPE}.epochs", True, [f"{RECIPE}.epochs: True", "integer"]),
    ("encoders.simclr.seeds", [0.0], ["encoders.simclr.seeds.0: 0.0", "integer"]),
    ("measure.draws", 10.0, ["measure.draws: 10.0", "integer"]),
    ("experiments.layermem.group_size", 50.0, ["experiments.layermem.group_size: 50.0", "integer"]),
    ("datasets.fashion.split.external", float("nan"), ["datasets.fashion.split.external: nan", "integer"]),
    (f"{RECIPE}.optimizer", "lars", [f"{RECIPE}.optimizer: 'lars'", "adam, adamw, sgd"]),
    (f"{RECIPE}.augmentation", "hard", [f"{RECIPE}.augmentation: 'hard'", "weak", "normal", "strong"]),
    (f"{RECIPE}.batch_size", 751, [f"{RECIPE}.batch_size: 751", "lower it"]),
    (f"{RECIPE}.warmup_epochs", 9999, [f"{RECIPE}.warmup_epochs", "9999", "epochs", "lower it"]),
    (RECIPE, GONE, [f"{RECIPE}: missing", "add it"]),
    ("encoders.simclr.framework", "byol", ["encoders.simclr.framework: 'byol'", "simclr, supervised"]),
    ("encoders.simclr.architecture", "vit", ["encoders.simclr.architecture: 'vit'", "resnet9"]),
    ("encoders.simclr.dataset", "cifar", ["encoders.simclr.dataset: 'cifar'", "fashion"]),
    ("encoders.simclr.dataset", "fashion-unseen", ["datasets.fashion-unseen.split: missing", "simclr"]),
    ("encoders.simclr.seeds", [], ["encoders.simclr.seeds", "[]", "non-empty"]),
    ("encoders.simclr.seeds", [1, 1], ["encoders.simclr.seeds", "[1, 1]", "unique"]),
    ("encoders.simclr.width", 0, ["encoders.simclr.width: 0", "minimum"]),
    ("encoders.my encoder", {}, ["encoders", "'my encoder'"]),
    ("measure.layers", ["1", "conv"], ["measure.layers: 'conv'", "it has 1, 2", "res6"]),
    ("measure.draws", 5, ["measure.draws: 5", "multiple of 2"]),
    ("measure.draws", 2, ["measure.draws: 2", "minimum of 4"]),
    ("score.neighbours", 501, ["score.neighbours: 501", "500 shared", "lower it"]),
    ("score.normalisation", "max", ["score.normalisation: 'max'", "ratio, none, range"]),
    ("datasets.fashion.source", "cifar10", ["datasets.fashion.source: 'cifar10'", "fashion-mnist-12k", "folder"]),
    (
        "datasets.fashion.path",
        "no/such/folder",
        ["datasets.fashion.path: no/such/folder", "no such folder", "four idx .gz files"],
    ),
    ("datasets.mine", {"source": "folder", "image_size": 32}, ["datasets.mine.path: missing", "needs the folder"]),
    ("datasets.fashion.image_size", 8, ["datasets.fashion.image_size: 8", "minimum of 16"]),
    ("datasets.fashion.classes", [1, 1], ["datasets.fashion.classes", "[1, 1]", "unique"]),
    ("datasets.fashion.split.shared", GONE, ["datasets.fashion.split.shared: missing", "add it"]),
    ("datasets.fashion.split.candidates", 5, ["split.candidates: unknown key", "did you mean candidate?"]),
    ("experiments.layermem.kind", "layermen", ["experiments.layermem.kind: 'layermen'", "layermem, unitmem"]),
    ("experiments.layermem.encoders", ["simsiam"], ["experiments.layermem.encoders: 'simsiam'", "simclr, supervised"]),
    ("experiments.layermem.group_size", 126, ["experiments.layermem.group_size", "126", "250 candidate", "lower it"]),
    ("experiments.layermem.group_size", "a", ["experiments.layermem.group_size: 'a'", "integer"]),
    ("experiments.layermem.group_size", GONE, ["experiments.layermem.group_size: missing", "add it"]),
    ("experiments.layermem.grup_size", 5, ["experiments.layermem.grup_size: unknown key", "did you mean group_size?"]),
    ("experiments.atypicality.group_size", 126, ["experiments.atypicality.group_size", "126", "250", "lower it"]),
    ("datasets.fashion.split.external", 80, ["experiments.layermem.group_size", "50", "80 external", "lower it"]),
    ("datasets.fashion.split.candidate", 80, ["experiments.layermem.group_size", "50", "80 candidate", "lower it"]),
    ("experiments.layermem.threshold", 0.5, ["experiments.layermem.threshold: unknown key", "group_size"]),
    ("experiments.unitmem.group_size", 5, ["experiments.unitmem.group_size: unknown key", "threshold"]),
    ("experiments.ssl_vs_supervised.group_size", 5, ["experiments.ssl_vs_supervised.group_size: unknown key"]),
    ("experiments.pruning.counts", [1], ["experiments.pruning.counts: unknown key", "fractions, images, kind, tasks"]),
    ("experiments.finetuning.fractions", [0.1], ["experiments.finetuning.fractions: unknown key", "counts", "task"]),
    ("experiments.unitmem.kind", "pruning", ["experiments.unitmem.threshold: unknown key", "fractions", "trials"]),
    ("experiments.pruning.kind", "prunning", ["experiments.pruning.kind: 'prunning'", "layermem, unitmem"]),
    ("experiments.pruning.kind", GONE, ["experiments.pruning.kind: missing", "add it"]),
    ("experiments.layermem", "on", ["experiments.layermem: 'on'", "null"]),
    ("experiments.unitmem.threshold", 1.5, ["experiments.unitmem.threshold: 1.5", "maximum of 1"]),
    ("experiments.ssl_vs_supervised.encoders", ["simclr"], ["experiments.ssl_vs_supervised.encoders", "too short"]),
    ("experiments.pruning.fractions", [0.1, 1.0], ["experiments.pruning.fractions.1: 1.0", "maximum"]),
    ("experiments.pruning.tasks", ["mnist"], ["experiments.pruning.tasks: 'mnist'", "fashion, fashion-unseen"]),
    ("experiments.finetuning.task", "mnist", ["experiments.finetuning.task: 'mnist'", "fashion, fashion-unseen"]),
    ("experiments.finetuning.counts", [1, 8], ["experiments.finetuning.counts", "8 layers", "among 8", "lower it"]),
    ("measure.layers", ["1", "2", "3"], ["experiments.finetuning.counts", "3 layers", "among 3", "lower it"]),
    (
        "measure.layers",
        ["1", "res*"],
        ["measure.layers: ['1', 'res*']", "1 of the numbered layers", "name at least three"],
    ),
    ("measure.layers", ["res*"], ["measure.layers: ['res*']", "0 of the numbered layers", "name at least three"]),
    ("experiments.finetuning.recipe.lr", 1, ["experiments.finetuning.recipe.lr: unknown key", "learning_rate"]),
    ("datasets", None, ["datasets: None", "object"]),
]


@pytest.mark.parametrize(("path", "value", "parts"), BAD, ids=[f"{p}-{i}" for i, (p, _, _) in enumerate(BAD)])
def test_a_bad_edit_is_told_in_one_line_with_key_value_and_remedy(config, path, value, parts):
    put(config, path, value)
    message = complaint(config)
    for part in parts:
        assert part in message


def test_a_batch_must_fit_into_the_smaller_of_the_two_training_sets(config):
    config["datasets"]["fashion"]["split"]["independent"] = 2
    config["encoders"]["simclr"]["recipe"]["batch_size"] = 503
    assert "batch_size: 503" in complaint(config)


def test_an_experiment_that_is_switched_off_is_not_checked_nor_active(config):
    config["experiments"]["layermem"] = None
    check(config)
    assert "layermem" not in active(config) and "unitmem" in active(config)


def test_an_experiment_reads_one_file_for_each_encoder_and_seed(config):
    config["encoders"]["simclr"]["seeds"] = [4, 7]
    config["encoders"]["supervised"]["seeds"] = [1]
    assert experiment_inputs(config, "ssl_vs_supervised")["units"] == [
        "scores/simclr/f/seed4/units.parquet",
        "scores/simclr/f/seed7/units.parquet",
        "scores/supervised/f/seed1/units.parquet",
    ]
    assert experiment_inputs(config, "pruning") == {
        "outcomes": ["interventions/pruning/simclr/seed4.npz", "interventions/pruning/simclr/seed7.npz"]
    }
