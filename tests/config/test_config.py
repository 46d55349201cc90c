import copy

import pytest
import yaml
from jsonschema import Draft202012Validator

from memloc.config import (
    active,
    check,
    check_files,
    complete,
    experiment_inputs,
    schema,
    trained_as,
    training_sha256,
)
from memloc.errors import InputError
from memloc.experiments import EXPERIMENTS
from memloc.models.architectures import ARCHITECTURES
from memloc.models.frameworks import FRAMEWORKS
from memloc.models.layers import head_measured, layers_of
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
    whole = merge(read("config.yaml"), {"experiments": {"layermem": {"group_size": 50}}})
    whole["datasets"]["fashion"]["split"] = sizes
    for name in ("pairs", "losses", "dose"):
        del whole["experiments"][name]
    for part in ("datasets", "encoders"):
        del whole[part]["dosed"]
    for encoder in whole["encoders"].values():
        encoder["seeds"], encoder["recipe"]["epochs"] = [0, 1, 2], 250
    return whole


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
    ("shards", 0, ["shards: 0", "minimum of 1"]),
    ("shards", 1.5, ["shards: 1.5", "integer"]),
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
    ("encoders.simclr.network.width", float("nan"), ["encoders.simclr.network.width: nan", "number"]),
    ("experiments.unitmem.threshold", float("nan"), ["experiments.unitmem.threshold: nan", "number"]),
    ("experiments.unitmem.threshold", True, ["experiments.unitmem.threshold: True", "number"]),
    ("experiments.pruning.fractions", [float("nan")], ["experiments.pruning.fractions.0: nan", "number"]),
    (f"{RECIPE}.batch_size", 50.0, [f"{RECIPE}.batch_size: 50.0", "integer"]),
    (f"{RECIPE}.epochs", True, [f"{RECIPE}.epochs: True", "integer"]),
    ("encoders.simclr.seeds", [0.0], ["encoders.simclr.seeds.0: 0.0", "integer"]),
    ("measure.draws", 10.0, ["measure.draws: 10.0", "integer"]),
    ("experiments.layermem.group_size", 50.0, ["experiments.layermem.group_size: 50.0", "integer"]),
    ("datasets.fashion.split.external", float("nan"), ["datasets.fashion.split.external: nan", "integer"]),
    (f"{RECIPE}.optimizer", "rmsprop", [f"{RECIPE}.optimizer: 'rmsprop'", "adam, adamw, sgd, lars"]),
    (f"{RECIPE}.augmentation", "hard", [f"{RECIPE}.augmentation: 'hard'", "weak", "normal", "strong"]),
    (f"{RECIPE}.batch_size", 751, [f"{RECIPE}.batch_size: 751", "lower it"]),
    (f"{RECIPE}.warmup_epochs", 9999, [f"{RECIPE}.warmup_epochs", "9999", "epochs", "lower it"]),
    (RECIPE, GONE, [f"{RECIPE}: missing", "add it"]),
    ("encoders.simclr.framework", "moco", ["encoders.simclr.framework: 'moco'", "simclr, simsiam"]),
    ("encoders.simclr.architecture", "vit", ["encoders.simclr.architecture: 'vit'", "resnet9"]),
    ("encoders.simclr.dataset", "cifar", ["encoders.simclr.dataset: 'cifar'", "fashion"]),
    ("encoders.simclr.dataset", "fashion-unseen", ["datasets.fashion-unseen.split: missing", "simclr"]),
    ("encoders.simclr.seeds", [], ["encoders.simclr.seeds", "[]", "non-empty"]),
    ("encoders.simclr.seeds", [1, 1], ["encoders.simclr.seeds: 1 is there twice; name it once"]),
    ("encoders.simclr.network.width", 0, ["encoders.simclr.network.width: 0", "minimum"]),
    ("encoders.simclr.network.patch", 4, ["encoders.simclr.network.patch: unknown key", "residual, width"]),
    ("encoders.simclr.width", 0.5, ["encoders.simclr.width: unknown key", "network"]),
    ("encoders.my encoder", {}, ["encoders", "'my encoder'"]),
    ("measure.layers", ["1", "conv"], ["measure.layers: 'conv'", "it has 1, 2", "res6"]),
    ("measure.draws", 5, ["measure.draws: 5", "multiple of 2"]),
    ("measure.draws", 2, ["measure.draws: 2", "minimum of 4"]),
    ("score.neighbours", 501, ["score.neighbours: 501", "shared points, 500", "lower it"]),
    ("score.normalisation", "max", ["score.normalisation: 'max'", "ratio, none, range"]),
    ("datasets.fashion.source", "cifar", ["datasets.fashion.source: 'cifar'", "fashion-mnist-12k", "folder"]),
    (
        "datasets.fashion.path",
        "no/such/folder",
        ["datasets.fashion.path: no/such/folder", "no such folder", "four idx .gz files"],
    ),
    ("datasets.mine", {"source": "folder", "image_size": 32}, ["datasets.mine.path: missing", "needs the folder"]),
    ("datasets.fashion.suite", "marks", ["datasets.fashion.suite: source fashion-mnist-12k has none; leave it out"]),
    (
        "datasets.mine",
        {"source": "charts", "suite": "mark", "image_size": 32},
        ["datasets.mine.suite: 'mark' is none of none, for there is none"],
    ),
    ("datasets.fashion.image_size", 8, ["datasets.fashion.image_size: 8", "minimum of 16"]),
    ("datasets.fashion.classes", [1, 1], ["datasets.fashion.classes: 1 is there twice; name it once"]),
    ("datasets.fashion.classes", [0, 10], ["datasets.fashion.classes: 10 is no class of", "0 to 9", "change it"]),
    ("datasets.fashion.split.shared", GONE, ["datasets.fashion.split.shared: missing", "add it"]),
    ("datasets.fashion.split.candidates", 5, ["split.candidates: unknown key", "did you mean candidate?"]),
    (
        "experiments.layermem.kind",
        "layermen",
        ["experiments.layermem.kind: 'layermen'", "layermem, pairs, scale, unitmem"],
    ),
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
    ("experiments.pruning.counts", [1], ["experiments.pruning.counts: unknown key", "images, kind, scopes, tasks"]),
    ("experiments.finetuning.fractions", [0.1], ["experiments.finetuning.fractions: unknown key", "counts", "task"]),
    ("experiments.unitmem.kind", "pruning", ["experiments.unitmem.threshold: unknown key", "fractions", "trials"]),
    (
        "experiments.pruning.kind",
        "prunning",
        ["experiments.pruning.kind: 'prunning'", "layermem, pairs, scale, unitmem"],
    ),
    ("experiments.pruning.kind", GONE, ["experiments.pruning.kind: missing", "add it"]),
    ("experiments.layermem", "on", ["experiments.layermem: 'on'", "null"]),
    ("experiments.unitmem.threshold", 1.5, ["experiments.unitmem.threshold: 1.5", "maximum of 1"]),
    ("experiments.ssl_vs_supervised.encoders", ["simclr"], ["experiments.ssl_vs_supervised.encoders", "too short"]),
    ("experiments.pruning.fractions", [0.1, 1.0], ["experiments.pruning.fractions.1: 1.0", "maximum"]),
    ("experiments.pruning.scopes", ["block"], ["experiments.pruning.scopes.0: 'block'", "layer, total"]),
    ("experiments.pruning.scopes", [], ["experiments.pruning.scopes", "[]", "non-empty"]),
    (
        "experiments.pruning.baselines",
        ["active"],
        ["experiments.pruning.baselines.0: 'active'", "matched, matched-magnitude, top-unseen, excess"],
    ),
    ("experiments.pruning.tasks", ["mnist"], ["experiments.pruning.tasks: 'mnist'", "fashion, fashion-unseen"]),
    ("experiments.finetuning.task", "mnist", ["experiments.finetuning.task: 'mnist'", "fashion, fashion-unseen"]),
    ("experiments.finetuning.counts", [1, 8], ["experiments.finetuning.counts", "counts: 8", "layers, 8", "lower it"]),
    ("measure.layers", ["1", "2", "3"], ["experiments.finetuning.counts", "counts: 3", "layers, 3", "lower it"]),
    (
        "measure.layers",
        ["1", "res*"],
        ["measure.layers of simclr, ['1', 'res*']", "1 layers with parameters", "name at least 3"],
    ),
    ("measure.layers", ["res*"], ["measure.layers of simclr, ['res*']", "0 layers with parameters", "name at least 3"]),
    ("experiments.finetuning.recipe.lr", 1, ["experiments.finetuning.recipe.lr: unknown key", "learning_rate"]),
    ("datasets", None, ["datasets: None", "object"]),
]


@pytest.mark.parametrize(("path", "value", "parts"), BAD, ids=[f"{p}-{i}" for i, (p, _, _) in enumerate(BAD)])
def test_a_bad_edit_is_told_in_one_line_with_key_value_and_remedy(config, path, value, parts):
    put(config, path, value)
    message = complaint(config)
    for part in parts:
        assert part in message


def test_matched_units_need_a_fraction_that_leaves_a_choice(config):
    put(config, "experiments.pruning.baselines", ["matched"])
    put(config, "experiments.pruning.fractions", [0.5, 0.3])
    check(config)
    put(config, "experiments.pruning.fractions", [0.7, 0.5])
    message = complaint(config)
    assert (
        "experiments.pruning.fractions" in message
        and "0.5 is too large for matched" in message
        and "leave matched out" in message
    )


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
        "outcomes": ["outcomes/pruning/simclr/f/seed4.npz", "outcomes/pruning/simclr/f/seed7.npz"]
    }


# --- An encoder of one's own, beside those of the committed configuration ---------------------------------------------


@pytest.fixture
def mine(config):
    """Adds an encoder ``mine`` with the committed recipe: changes of it, of its recipe and of its dataset's entry."""

    def add(framework="simclr", architecture="resnet9", *, recipe=None, dataset=None, **changes):
        entry = {"framework": framework, "architecture": architecture, "dataset": "own", "seeds": [0]}
        entry["recipe"] = config["encoders"]["simclr"]["recipe"] | (recipe or {})
        config["encoders"]["mine"] = entry | changes
        config["datasets"]["own"] = config["datasets"]["fashion"] | (dataset or {})
        return config

    return add


def completed(config):
    check(config)
    complete(config)
    return config["encoders"]["mine"]


PRIVACY = {"augmentation": "masking", "privacy": {"epsilon": 8, "delta": 1e-3, "clip": 1.0}}

# what is asked for, what the line must hold
TOGETHER = {
    "a key of another framework": (
        {"framework": "simsiam", "recipe": {"temperature": 0.5}},
        ["encoders.mine.recipe.temperature: unknown key", "prediction", "projection"],
    ),
    "no option of its own": (
        {"framework": "supervised", "recipe": {"projection": 8}},
        ["encoders.mine.recipe.projection: unknown key", "privacy", "warmup_epochs"],
    ),
    "a misspelt key of a framework": (
        {"framework": "byol", "recipe": {"emma": 0.9}},
        ["encoders.mine.recipe.emma: unknown key; did you mean ema?"],
    ),
    "an option out of bounds": (
        {"framework": "byol", "recipe": {"ema": 2}},
        ["encoders.mine.recipe.ema: 2", "the maximum of 1"],
    ),
    "an option of another architecture": (
        {"architecture": "vit-tiny", "network": {"residual": True}},
        ["encoders.mine.network.residual: unknown key; known here: depth, patch, width"],
    ),
    "hidden patches on a convolution": (
        {"framework": "mae"},
        ["encoders.mine.architecture: mae hides patches", "vit-tiny, vit-small, vit-base"],
    ),
    "privacy of a loss of pairs": (
        {"architecture": "vit-tiny", "recipe": PRIVACY},
        ["encoders.mine.recipe.privacy: simclr does not support differential privacy", "use mae"],
    ),
    "privacy with batch normalisation": (
        {"framework": "supervised", "recipe": PRIVACY},
        ["encoders.mine.recipe.privacy: ", "use mae"],
    ),
    "privacy beside another clipping": (
        {"framework": "mae", "architecture": "vit-tiny", "recipe": PRIVACY | {"clip": 3.0}},
        ["encoders.mine.recipe.privacy: ", "leave clip and precision out"],
    ),
    "privacy in half precision": (
        {"framework": "mae", "architecture": "vit-tiny", "recipe": PRIVACY, "hardware": {"precision": "bf16-mixed"}},
        ["encoders.mine.recipe.privacy: ", "leave clip and precision out"],
    ),
    "privacy that lacks a part": (
        {"framework": "mae", "architecture": "vit-tiny", "recipe": {"privacy": {"epsilon": 8, "clip": 1}}},
        ["encoders.mine.recipe.privacy.delta: missing"],
    ),
    "labels where there are none": (
        {"framework": "supervised", "dataset": {"source": "stl10-unlabeled"}},
        ["encoders.mine.dataset: own has no labels, which supervised learns from"],
    ),
    "lars without decay": (
        {"recipe": {"optimizer": "lars", "weight_decay": 0}},
        ["encoders.mine.recipe.weight_decay: 0", "lars", "raise it"],
    ),
    "a batch that devices can't share": (
        {"recipe": {"batch_size": 98}, "hardware": {"devices": 2, "nodes": 2}},
        ["encoders.mine.recipe.batch_size: 98", "devices, 4", "multiple"],
    ),
    "patches that don't fill an image": (
        {"architecture": "vit-tiny", "network": {"patch": 5}},
        ["encoders.mine.network.patch: image_size 32 is no multiple of 5"],
    ),
    "patches that don't fill a local view": (
        {"framework": "dino", "architecture": "vit-tiny", "recipe": {"local_size": 18}},
        ["encoders.mine.network.patch: local_size 18 is no multiple of 4"],
    ),
    "local views beyond the image": (
        {"framework": "lejepa", "recipe": {"local_size": 33}},
        ["encoders.mine.recipe.local_size: 33 must be at most the image's size, 32; lower it"],
    ),
    "the authors' local views beyond the image": (
        {"framework": "dino"},
        ["encoders.mine.recipe.local_size: 96 must be at most the image's size, 32; lower it"],
    ),
    "images too small": (
        {"architecture": "vgg19", "dataset": {"image_size": 16}},
        ["datasets.own.image_size: 16", "vgg19 takes images from 32 pixels", "raise it"],
    ),
    "a layer of another architecture": (
        {"architecture": "vit-tiny", "measure": {"layers": ["res2"]}},
        ["'res2' matches no layer of vit-tiny", "1.att, 1.res-att, 1.fc"],
    ),
    "an unknown key of measure": ({"measure": {"draw": 4}}, ["encoders.mine.measure.draw: unknown key", "draws"]),
    "an odd number of draws": ({"measure": {"draws": 5}}, ["encoders.mine.measure.draws: 5", "multiple of 2"]),
    "an unknown precision": ({"hardware": {"precision": "16"}}, ["hardware.precision: '16'", "32-true, bf16-mixed"]),
    "no device": ({"hardware": {"devices": 0}}, ["encoders.mine.hardware.devices: 0", "minimum of 1"]),
}


@pytest.mark.parametrize("name", list(TOGETHER))
def test_what_does_not_go_together_is_told_in_one_line(mine, name):
    changes, parts = TOGETHER[name]
    config = mine(**changes)
    if config["datasets"]["own"]["source"] == "stl10-unlabeled":
        del config["datasets"]["own"]["classes"]
    message = complaint(config)
    for part in parts:
        assert part in message


SOUND = {
    "lars that decays": {"recipe": {"optimizer": "lars"}},
    "a batch in four": {"hardware": {"devices": 2, "nodes": 2}},
    "no local views, whatever their size": {"framework": "dino", "recipe": {"local_crops": 0}},
    "local views of the image's size": {"framework": "dino", "recipe": {"local_size": 32}},
    "a small image": {"dataset": {"image_size": 16}},
    "vgg19 from 32 pixels": {"architecture": "vgg19"},
    "privacy of single images": {
        "framework": "mae",
        "architecture": "vit-tiny",
        "recipe": PRIVACY | {"augmentation": "masking"},
    },
    "hidden patches on convolutions": {"recipe": {"augmentation": "masking"}},
}


@pytest.mark.parametrize("name", list(SOUND))
def test_what_goes_together_passes(mine, name):
    check(mine(**SOUND[name]))


def test_retraining_that_would_not_keep_privacy_is_told(mine):
    config = mine(**SOUND["privacy of single images"])
    rounds = {"fraction": 0.1, "rounds": 2, "epochs": 1, "learning_rate": 1e-3, "tasks": ["own"], "images": 60}
    config["experiments"]["pruned"] = {"kind": "iterative_pruning", "encoders": ["mine"], **rounds}
    assert "experiments.pruned.encoders: mine is trained under differential privacy" in complaint(config)
    config["encoders"]["mine"]["recipe"]["privacy"] = None
    check(config)


def test_an_unlabelled_source_trains_what_learns_without_labels(mine):
    config = mine(dataset={"source": "stl10-unlabeled"})
    del config["datasets"]["own"]["classes"]
    check(config)


def test_defaults_are_completed(mine):
    entry = completed(mine())
    assert entry["network"] == {"width": 1, "residual": True}
    assert entry["hardware"] == {"devices": 1, "nodes": 1, "precision": "32-true", "compile": False}
    own = {"temperature": 0.5, "projection": 64}
    common = {"momentum": 0.9, "beta2": 0.999, "weight_decay_end": None, "clip": None, "privacy": None}
    written = read("config.yaml")["encoders"]["simclr"]["recipe"] | {"epochs": 250}
    assert entry["recipe"] == written | own | common


def test_what_is_written_stays(mine):
    recipe = {"temperature": 0.1, "beta2": 0.95, "clip": 3.0}
    entry = completed(mine(recipe=recipe, network={"residual": False}, hardware={"nodes": 2}))
    assert recipe.items() <= entry["recipe"].items()
    assert entry["network"] == {"width": 1, "residual": False}
    assert (entry["hardware"]["nodes"], entry["hardware"]["devices"]) == (2, 1)


def test_completing_twice_changes_nothing_more(mine):
    config = mine("mae", "vit-tiny", recipe={"augmentation": "masking"})
    completed(config)
    once = copy.deepcopy(config)
    complete(config)
    assert config == once
    check(config)


def test_completed_encoders_share_no_defaults(config):
    complete(config)
    config["encoders"]["simclr"]["network"]["width"] = 3
    config["encoders"]["simclr"]["recipe"]["clip"] = 3
    assert config["encoders"]["supervised"]["network"]["width"] == 0.5
    assert config["encoders"]["supervised"]["recipe"]["clip"] is None


def test_an_encoder_or_dataset_that_is_null_is_dropped(mine):
    config = mine()
    config["encoders"]["mine"] = None
    config["datasets"]["own"] = None
    check(config)
    complete(config)
    assert list(config["encoders"]) == ["simclr", "supervised"]
    assert list(config["datasets"]) == ["fashion", "fashion-unseen"]
    config["encoders"]["simclr"] = None
    assert "experiments.layermem.encoders: 'simclr' is none of supervised" in complaint(config)


def test_measuring_of_an_encoder_goes_before_measuring_of_all(mine):
    config = mine(measure={"draws": 4, "layers": ["1", "2", "3"], "augmentation": "weak"})
    entry = completed(config)
    common = read("config.yaml")["measure"]
    assert entry["measure"] == common | {"draws": 4, "layers": ["1", "2", "3"], "augmentation": "weak"}
    assert config["encoders"]["simclr"]["measure"] == common | {"augmentation": "mild"}
    assert [layer.name for layer in layers_of(entry)] == ["1", "2", "3"]
    assert len(layers_of(config["encoders"]["simclr"])) == 11


@pytest.mark.parametrize(
    ("augmentation", "measure", "expected"),
    [
        ("mild", {}, ("mild", "flattened", "abs")),
        ("masking", {}, ("masking", "pooled", "abs")),
        ("masking", {"augmentation": "weak"}, ("weak", "flattened", "abs")),
        ("mild", {"augmentation": "masking"}, ("masking", "pooled", "abs")),
        ("masking", {"representation": "flattened"}, ("masking", "flattened", "abs")),
        ("mild", {"activation": "relu"}, ("mild", "flattened", "relu")),
    ],
)
def test_transformers_are_measured_by_size_and_pooled_where_patches_are_hidden(mine, augmentation, measure, expected):
    entry = completed(mine("simclr", "vit-tiny", recipe={"augmentation": augmentation}, measure=measure))
    assert tuple(entry["measure"][key] for key in ("augmentation", "representation", "activation")) == expected


def test_convolutions_are_measured_as_the_configuration_says_even_with_hidden_patches(mine):
    entry = completed(mine(recipe={"augmentation": "masking"}))
    assert (entry["measure"]["representation"], entry["measure"]["activation"]) == ("flattened", "as-is")


# --- An encoder with another's weights, measured otherwise -----------------------------------------------------------


@pytest.fixture
def alias(config):
    """Adds an encoder ``other`` with the weights of simclr, behind those of the configuration or before them."""

    def add(*, first=False, **entry):
        other = {"other": {"weights": "simclr", **entry}}
        config["encoders"] = other | config["encoders"] if first else config["encoders"] | other
        return config

    return add


@pytest.mark.parametrize("first", [False, True])
def test_an_alias_has_everything_of_its_owner_and_its_own_measuring_on_top(alias, first):
    config = alias(first=first, measure={"draws": 4, "layers": ["1", "2", "8"]})
    config["encoders"]["simclr"] |= {"split_seed": 3, "initialisation": "shared", "measure": {"distance": "l1"}}
    config["encoders"]["supervised"]["measure"] = {"distance": "l1"}
    check(config)
    complete(config)
    owner, other = config["encoders"]["simclr"], config["encoders"]["other"]
    assert other["weights"] == "simclr" and "weights" not in owner
    assert {key: value for key, value in other.items() if key not in ("weights", "measure")} == {
        key: value for key, value in owner.items() if key != "measure"
    }
    assert other["measure"] == owner["measure"] | {"draws": 4, "layers": ["1", "2", "8"]}
    assert (owner["measure"]["distance"], owner["measure"]["draws"]) == ("l1", read("config.yaml")["measure"]["draws"])


def test_an_alias_may_have_some_of_its_owners_seeds_and_has_all_unless_told(alias):
    config = alias(seeds=[2])
    config["encoders"]["whole"] = {"weights": "simclr"}
    check(config)
    complete(config)
    assert config["encoders"]["other"]["seeds"] == [2]
    assert config["encoders"]["whole"]["seeds"] == config["encoders"]["simclr"]["seeds"] == [0, 1, 2]
    config["encoders"]["whole"]["recipe"]["epochs"] = -1
    assert config["encoders"]["simclr"]["recipe"]["epochs"] > 0 and config["encoders"]["other"]["recipe"]["epochs"] > 0


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    ("trained", "measured", "representation"), [("masking", "normal", "flattened"), ("mild", "masking", "pooled")]
)
def test_what_follows_from_an_aliass_views_follows_from_its_own(config, first, trained, measured, representation):
    recipe = config["encoders"]["simclr"]["recipe"] | {"augmentation": trained}
    vit = {"framework": "simclr", "architecture": "vit-tiny", "dataset": "fashion", "seeds": [0], "recipe": recipe}
    other = {"weights": "vit", "measure": {"augmentation": measured}}
    both = {"other": other, "vit": vit} if first else {"vit": vit, "other": other}
    config["encoders"] |= both
    check(config)
    complete(config)
    assert config["encoders"]["vit"]["measure"]["augmentation"] == trained
    assert config["encoders"]["other"]["measure"]["augmentation"] == measured
    assert config["encoders"]["other"]["measure"]["representation"] == representation


@pytest.mark.parametrize("first", [False, True])
def test_completing_an_alias_twice_changes_nothing_more(alias, first):
    config = alias(first=first, measure={"draws": 4})
    complete(config)
    once = copy.deepcopy(config)
    complete(config)
    assert config == once


ALIASES = {
    "of nobody": ({"weights": "nobody"}, "encoders.other.weights: 'nobody' is none of simclr, supervised"),
    "of itself": ({"weights": "other"}, "encoders.other.weights: 'other' is none of simclr, supervised"),
    "of no name": ({"weights": 3}, "encoders.other.weights: 3 is not of type string"),
    "with a recipe": ({"recipe": {"epochs": 3}}, "encoders.other: 'recipe' is none of weights, seeds, measure"),
    "with a dataset": ({"dataset": "fashion"}, "encoders.other: 'dataset' is none of weights, seeds, measure"),
    "with a start": ({"initialisation": "own"}, "encoders.other: 'initialisation' is none of weights, seeds, measure"),
    "with an unknown key": ({"colour": 3}, "encoders.other: 'colour' is none of weights, seeds, measure"),
    "of seeds never trained": (
        {"seeds": [0, 7]},
        "encoders.other.seeds: [7] aren't trained; simclr has [0, 1, 2]",
    ),
    "with a bad measure": ({"measure": {"draw": 4}}, "encoders.other.measure.draw: unknown key; did you mean draws?"),
    "of no layer": ({"measure": {"layers": ["conv1"]}}, "encoders.other.measure.layers: 'conv1' matches no layer of"),
}


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("name", list(ALIASES))
def test_a_bad_alias_is_told_in_one_line(alias, name, first):
    changes, line = ALIASES[name]
    assert complaint(alias(first=first, **changes)).startswith(f"config: {line}")


@pytest.mark.parametrize("first", [False, True])
def test_an_alias_of_an_alias_is_told_in_one_line(alias, first):
    config = alias(first=first)
    config["encoders"]["third"] = {"weights": "other"}
    assert complaint(config) == "config: encoders.third.weights: 'other' is none of simclr, supervised"


def test_an_alias_of_an_encoder_that_is_null_is_told(alias):
    config = alias()
    config["encoders"]["simclr"] = None
    assert complaint(config) == "config: encoders.other.weights: 'simclr' is none of supervised"


def test_an_experiment_of_an_alias_reads_its_own_scores(alias):
    config = alias(seeds=[2])
    config["experiments"]["layermem"]["encoders"] = ["other"]
    check(config)
    complete(config)
    assert experiment_inputs(config, "layermem") == {"points": ["scores/other/seed2/points.parquet"]}


# --- Splits, starts and sublayers ------------------------------------------------------------------------------------


def test_every_training_has_a_split_and_a_start_of_its_own_unless_told(config):
    config["encoders"]["supervised"] |= {"split_seed": 5, "initialisation": "shared"}
    check(config)
    complete(config)
    chosen = [(entry["split_seed"], entry["initialisation"]) for entry in config["encoders"].values()]
    assert chosen == [(None, "own"), (5, "shared")]


def owner(config, name, *, role="f", seed=0):
    """Under whose name an encoder is trained, by a configuration that is completed first."""
    whole = copy.deepcopy(config)
    check(whole)
    complete(whole)
    return trained_as(whole, name, role=role, seed=seed)


def test_f_is_trained_once_where_only_g_starts_otherwise(config):
    config["encoders"]["near"] = copy.deepcopy(config["encoders"]["simclr"]) | {"initialisation": "shared"}
    roles = ("f", "untrained", "g")
    assert [owner(config, "near", role=role) for role in roles] == ["simclr", "simclr", "near"]
    assert [owner(config, "simclr", role=role) for role in roles] == ["simclr"] * 3


@pytest.mark.parametrize("change", [{"network": {"width": 0.25}}, {"dataset": "other"}, {"split_seed": 1}])
def test_an_encoder_that_differs_is_trained_itself(config, change):
    config["datasets"]["other"] = config["datasets"]["fashion"]
    config["encoders"]["near"] = copy.deepcopy(config["encoders"]["simclr"]) | change
    assert owner(config, "near") == "near"
    config["encoders"]["near"] = copy.deepcopy(config["encoders"]["simclr"])
    assert owner(config, "near") == "simclr"
    config["encoders"]["near"]["recipe"]["epochs"] += 1
    assert owner(config, "near") == "near"


def test_a_split_of_ones_own_is_the_split_of_that_seed(config):
    config["encoders"]["near"] = copy.deepcopy(config["encoders"]["simclr"]) | {"split_seed": 1}
    assert [owner(config, "near", seed=seed) for seed in (0, 1, 2)] == ["near", "simclr", "near"]


def test_a_training_is_shared_only_with_one_that_has_the_seed_and_keeps_the_epochs(config):
    config["encoders"]["near"] = copy.deepcopy(config["encoders"]["simclr"]) | {"seeds": [2, 7], "snapshots": []}
    assert [owner(config, "near", seed=seed) for seed in (2, 7)] == ["simclr", "near"]
    config["encoders"]["near"]["snapshots"] = [3]
    assert owner(config, "near", seed=2) == "near"
    config["encoders"]["simclr"]["snapshots"] = [1, 3]
    assert owner(config, "near", seed=2) == "simclr"


def test_an_encoder_that_keeps_snapshots_does_not_take_a_training_over(config):
    # Snakemake puts the keys of a user's own file first.
    plain = config["encoders"]["simclr"]
    config["encoders"] = {"kept": copy.deepcopy(plain) | {"snapshots": [1, 10]}} | config["encoders"]
    assert owner(config, "simclr") == "simclr" and owner(config, "kept") == "kept"


def test_an_alias_is_trained_as_its_owner(alias):
    assert owner(alias(first=True), "other") == "simclr"


def trainings(config, name, seed=0):
    """By role, what tells an encoder's training from others, by a configuration that is completed first."""
    whole = copy.deepcopy(config)
    complete(whole)
    return {role: training_sha256(whole, name, role=role, seed=seed) for role in ("f", "g", "untrained")}


OF_A_TRAINING = [
    ("encoders", "simclr", "recipe", "learning_rate", 0.07),
    ("encoders", "simclr", "network", "width", 0.25),
    ("encoders", "simclr", "split_seed", 5),
    ("encoders", "simclr", "hardware", "precision", "bf16-mixed"),
    ("datasets", "fashion", "split", "shared", 99),
    ("datasets", "fashion", "image_size", 64),
]


@pytest.mark.parametrize("change", OF_A_TRAINING, ids=lambda change: change[-2])
def test_a_training_is_told_from_one_that_follows_another_configuration(config, change):
    before, (*keys, last, value) = trainings(config, "simclr"), change
    assert len({*before.values(), *trainings(config, "simclr", seed=1).values()}) == 6
    entry = config
    for key in keys:
        entry = entry.setdefault(key, {})
    entry[last] = value
    after = trainings(config, "simclr")
    assert not {*before.values()} & {*after.values()}


def test_a_training_stays_the_one_that_it_is_where_nothing_changes_that_it_follows(config, alias):
    before = trainings(config, "simclr")
    assert trainings(alias(first=True), "other") == trainings(alias(first=True), "simclr") == before
    entry = config["encoders"]["simclr"]
    entry |= {"seeds": [0, 8], "snapshots": [1], "measure": {"draws": 6}}
    config["encoders"]["one more"] = copy.deepcopy(entry)
    assert trainings(config, "simclr") == before == trainings(config, "one more")
    assert trainings(config, "simclr", seed=8) == trainings(config, "one more", seed=8) != before
    entry["initialisation"] = "shared"
    after = trainings(config, "simclr")
    assert [role for role in after if after[role] != before[role]] == ["g"]


def test_an_epoch_after_the_last_cannot_be_kept(config):
    config["encoders"]["simclr"]["snapshots"] = [1, 251]
    told = "config: encoders.simclr.snapshots: 251 must be at most epochs, 250; leave it out"
    assert complaint(config) == told
    config["encoders"]["simclr"]["snapshots"] = [250]
    check(config)


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("snapshots", [0], ["snapshots.0: 0", "minimum of 1"]),
        ("snapshots", 5, ["snapshots: 5 is not of type array"]),
        ("split_seed", -1, ["split_seed: -1", "minimum of 0"]),
        ("split_seed", "own", ["split_seed: 'own'", "integer"]),
        ("split_seed", 1.0, ["split_seed: 1.0", "integer"]),
        ("initialisation", "same", ["initialisation: 'same' is none of own, shared"]),
        ("initialisation", None, ["initialisation: None is none of own, shared"]),
    ],
)
def test_a_bad_split_or_start_is_told_in_one_line(config, key, value, parts):
    config["encoders"]["simclr"][key] = value
    message = complaint(config)
    for part in ("encoders.simclr.", *parts):
        assert part in message


def test_sublayers_and_the_head_are_measured_where_they_are_asked_for(alias):
    config = alias(measure={"sublayers": True})
    check(config)
    complete(config)
    owner, other = config["encoders"]["simclr"], config["encoders"]["other"]
    assert not owner["measure"]["sublayers"] and not head_measured(owner) and head_measured(other)
    added = [layer.name for layer in layers_of(other) if layer not in layers_of(owner)]
    assert len(layers_of(owner)) + len(added) == len(layers_of(other))
    pools = {1, 2, 5, 6}
    expected = [name for i in range(1, 9) for name in (f"{i}.norm", *([f"{i}.pool"] if i in pools else []))]
    assert added == [*expected, "head"]


def test_a_head_is_measured_only_if_it_is_chosen(mine):
    entry = completed(mine(measure={"sublayers": True, "layers": ["1", "2", "3", "*.norm"]}))
    assert not head_measured(entry) and "1.norm" in [layer.name for layer in layers_of(entry)]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_head_is_measured_only_if_there_is_one(mine, framework):
    views = {"augmentation": "masking"} | ({"local_size": 16} if framework in ("dino", "lejepa") else {})
    entry = completed(mine(framework, "vit-tiny", recipe=views, measure={"sublayers": True}))
    kinds = {layer.kind for layer in layers_of(entry)}
    assert head_measured(entry) == ("head" in kinds) == (framework != "mae")
    assert kinds - {"head"} == {"attention", "sum", "fully-connected", "output"}


def test_only_a_framework_without_a_head_on_the_encoders_output_has_none():
    assert [name for name, framework in FRAMEWORKS.items() if not framework.head] == ["mae"]


def options():
    for registry in (FRAMEWORKS, ARCHITECTURES):
        for name, entry in registry.items():
            for key, rule in entry.options.items():
                yield f"{name}.{key}", rule
    rules = schema()["$defs"]["encoder"]["properties"]
    for part in ("recipe", "hardware"):
        for key, rule in rules[part]["properties"].items():
            if "default" in rule:
                yield f"{part}.{key}", rule


@pytest.mark.parametrize(("name", "rule"), options(), ids=[name for name, _ in options()])
def test_every_default_is_valid_by_its_own_schema(name, rule):
    Draft202012Validator.check_schema(rule)
    Draft202012Validator(rule).validate(rule["default"])


def test_every_option_has_a_default_and_none_is_a_key_of_all_frameworks():
    common = set(schema()["$defs"]["encoder"]["properties"]["recipe"]["properties"])
    for registry in (FRAMEWORKS, ARCHITECTURES):
        for name, entry in registry.items():
            assert all("default" in rule for rule in entry.options.values()), name
            assert not common & set(entry.options), name


@pytest.mark.parametrize(
    ("kind", "layer", "way"),
    [("attention", "attention", "measure.layers"), ("sublayers", "normalisation", "measure.sublayers: true")],
)
def test_an_experiment_on_layers_that_are_not_measured_is_told_before_any_job(config, kind, layer, way):
    config["experiments"] = {"mine": {"kind": kind, "encoders": ["simclr"]}}
    message = complaint(config)
    assert message.startswith(f"config: experiments.mine.encoders: no {layer} layer of resnet9 is measured")
    assert way in message


@pytest.mark.parametrize(
    ("layers", "whole"),
    [
        (None, True),
        (["1.att", "1.fc", "1.res-att", "1.res-fc", "2.fc"], False),
        (["1.att", "1.res-att", "1.fc", "2.att", "2.res-att", "2.fc"], True),
        (["1.att", "1.res-att", "1.fc", "2.att", "2.res-fc", "2.fc"], False),
        (["1.att", "1.res-att", "1.fc", "2.att"], False),
    ],
)
def test_attention_and_fully_connected_layers_are_compared_in_whole_blocks(config, layers, whole):
    vit = {"architecture": "vit-tiny", "network": GONE, "recipe.augmentation": "normal"}
    for key, value in vit.items():
        put(config, f"encoders.simclr.{key}", value)
    if layers:
        put(config, "encoders.simclr.measure", {"layers": layers})
    config["experiments"] = {"mine": {"kind": "attention", "encoders": ["simclr"]}}
    if whole:
        check(config)
    else:
        message = complaint(config)
        assert message.startswith(
            "config: experiments.mine.encoders: simclr must be measured at every part of two or more blocks"
        )
        assert "name every part of each block in measure.layers" in message


ON_UNITS = {
    "unitmem": {"threshold": 0.1},
    "gallery": {"units": 2},
    "ablation": {"units": 2, "matched": 5},
    "injection": {"layer": "1.fc", "steps": [2], "batch_size": 4, "learning_rate": 0.1},
}


@pytest.mark.parametrize("kind", list(ON_UNITS))
def test_an_experiment_on_units_of_layers_without_any_is_told_before_any_job(mine, kind):
    config = mine("mae", "vit-tiny", recipe={"augmentation": "masking"}, measure={"layers": ["*.att"]})
    config["experiments"] = {"it": {"kind": kind, "encoders": ["mine"], **ON_UNITS[kind]}}
    none = "no layer of mine has units (measure.layers: ['*.att']); name some, such as 1.fc"
    assert complaint(config) == f"config: experiments.it.encoders: {none}"
    config["experiments"] = {"it": {"kind": "layermem", "encoders": ["mine"], "group_size": 5}}
    check(config)


@pytest.mark.parametrize(
    ("experiment", "line"),
    [
        ({"kind": "transfer", "tasks": ["fashion"], "images": 1, "order": "falling"}, "experiments.it.images: 1 "),
        ({"kind": "unit_sets", "size": 20, "draws": 2, "classes": 3}, "experiments.it.classes: 3 must be smaller"),
        (
            {"kind": "injection", **ON_UNITS["injection"], "learning_rate": 1e200},
            "experiments.it.learning_rate: 1e+200",
        ),
    ],
)
def test_a_number_that_can_not_work_is_told_before_any_job(config, experiment, line):
    config["datasets"]["fashion"]["classes"] = [0, 1, 2]
    config["experiments"] = {"it": {"encoders": ["simclr", "supervised"], **experiment}}
    assert line in complaint(config)


def test_every_experiment_that_reads_what_is_made_of_units_asks_for_them():
    made = ("/units.parquet", "measures/")
    reads = {
        kind for kind, entry in EXPERIMENTS.items() if any(m in path for path in entry.inputs.values() for m in made)
    }
    changes = {"pruning", "iterative_pruning", "ablation", "injection", "recovery", "unit_epochs"}
    assert {kind for kind, entry in EXPERIMENTS.items() if "units" in entry.needs} == reads | changes


def test_changing_an_experiment_without_the_file_that_defines_it_is_told(config):
    config["experiments"]["replacement"] = {"counts": [1]}
    message = complaint(config)
    assert message.startswith("config: experiments.replacement.kind: missing") and "config/layers.yaml" in message


def test_a_type_that_may_be_null_is_said_so(config):
    config["encoders"]["simclr"]["split_seed"] = "a"
    assert "'a' is not of type integer or null" in complaint(config)


def test_a_null_that_leaves_out_nothing_is_told(tmp_path):
    base, mine = tmp_path / "config.yaml", tmp_path / "mine.yaml"
    base.write_text("experiments: {dejavu: {kind: dejavu}, power: {kind: power}}\nencoders: {}\n")
    mine.write_text("experiments: {dejavu: null}\n")
    for order in ((base, mine), (mine, base)):
        check_files(order)
    mine.write_text("experiments: {djavu: null}\n")
    with pytest.raises(InputError, match=r"mine.yaml: experiments.djavu: null leaves out nothing; did you mean dejavu"):
        check_files([mine, base])


ASKS = {
    "another size": ({"image_size": 16, "classes": [2, 4]}, "task has images of 16 pixels, simclr takes 32"),
    "training images": ({"image_size": 32}, "task has images of fashion, on which simclr is trained"),
}


@pytest.mark.parametrize("kind", ["finetuning", "pruning"])
@pytest.mark.parametrize("name", list(ASKS))
def test_tasks_that_are_no_new_images_of_one_size_are_told(config, kind, name):
    entry, line = ASKS[name]
    config["datasets"]["task"] = {"source": "fashion-mnist-12k", **entry}
    asked = {"finetuning": {"task": "task"}, "pruning": {"tasks": ["fashion", "task"]}}[kind]
    config["experiments"][kind].update(asked)
    with pytest.raises(InputError, match=line):
        check(config)


def test_corners_are_seen_and_neighbours_chosen(config):
    config["experiments"]["dejavu"] = mine = {
        "kind": "dejavu", "encoders": ["simclr"], "public": 60, "neighbours": 60, "crop": 0.35
    }  # fmt: skip
    with pytest.raises(InputError, match="neighbours: 60 must be smaller than public, 60; lower it"):
        check(config)
    mine |= {"neighbours": 5, "crop": 0.1}
    with pytest.raises(InputError, match=r"crop: 0.1 of 32 pixels makes a corner of less than 4 pixels; raise it"):
        check(config)
