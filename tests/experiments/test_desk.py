"""What a job has at hand: its own encoder's files alone, and images for probes that no encoder was trained on."""

import json
from collections.abc import Mapping
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from memloc.config import TRAINING
from memloc.data import splits
from memloc.data.groups import UNSHARED
from memloc.errors import InputError
from memloc.experiments import EXPERIMENTS, module
from memloc.experiments.desk import Desk
from memloc.experiments.entry import OVER_TABLES
from memloc.io import save_array
from memloc.models import architectures, checkpoint, frameworks, probe
from memloc.models.frameworks.recipe import Recipe
from memloc.models.trained import training
from memloc.valuation.loading import load
from tests.builders.planted import points
from tests.builders.study import save

N = 40
SPLIT = {
    "shared": [0, 1, 2, 3],
    "candidate": [4, 5, 6, 7],
    "independent": [12, 13, 14, 15],
    "external": [20, 21, 22, 23],
}
DONOR_SPLIT = {"shared": [10, 11], "candidate": [30], "independent": [31], "external": [32]}
FREE = {
    "here": sorted(set(range(N)) - {point for points in SPLIT.values() for point in points}),
    "there": sorted(set(range(N)) - {point for points in DONOR_SPLIT.values() for point in points}),
    "elsewhere": list(range(N)),
}


GROUPS_HERE, GROUPS_THERE = (
    {group: np.array(points, dtype=np.int64) for group, points in split.items()} for split in (SPLIT, DONOR_SPLIT)
)


@pytest.fixture
def desk(tmp_path, settings, description):
    """A factory of desks with SimCLR's ResNet9 trained on ``here``; labels of all datasets are the points' numbers."""
    entry, description = settings("simclr"), description | {"sizes": {"train": N, "test": N}}
    torch.manual_seed(0)
    encoder = architectures.build("resnet9", entry["network"], image_size=16)
    learner = frameworks.build("simclr", encoder, classes=3, recipe=Recipe.of(entry["recipe"]), image_size=16)
    for role in "fg":
        for name, tensors in (("weights", learner.result().state_dict()), ("additions", learner.additions())):
            path = tmp_path / f"{role}-{name}.safetensors"
            weights = tmp_path / f"{role}-weights.safetensors"
            beside = {"weights": checkpoint.stated(weights)[0]} if name == "additions" else {}
            about = training({key: entry[key] for key in TRAINING}, description, GROUPS_HERE, role=role, seed=0)
            checkpoint.save(tensors, about | beside, path)
    for name, split in (("split", GROUPS_HERE), ("donor_split", GROUPS_THERE)):
        about = splits.manifest(split, dataset="here", seed=0, images=N)
        splits.save(split, about, tmp_path / f"{name}.npz")
    donor = training({key: entry[key] for key in TRAINING}, description, GROUPS_THERE, role="f", seed=0)
    checkpoint.save(learner.result().state_dict(), donor, tmp_path / "donor.safetensors")
    for dataset in FREE:
        folder = tmp_path / dataset
        folder.mkdir()
        (folder / "dataset.json").write_text(json.dumps(description))
        for part in ("train", "test"):
            images = np.random.default_rng(1).integers(0, 256, (N, 1, 16, 16), dtype=np.uint8)
            save_array(images, folder / f"{part}_images.npy")
            save_array(np.arange(N), folder / f"{part}_labels.npy")

    def make(*, role="f", tasks=(), donor=None, partner=False, seed=0, **options):
        files = {
            "description": tmp_path / "here/dataset.json",
            "images": tmp_path / "here/train_images.npy",
            "split": tmp_path / "split.npz",
            "weights": tmp_path / f"{role}-weights.safetensors",
            "additions": tmp_path / f"{role}-additions.safetensors",
            "tasks": [tmp_path / name / "dataset.json" for name in tasks],
        }
        given = {
            "encoder": {key: entry[key] for key in TRAINING},
            "trainings": {"f": "F", "g": "G", "donor": "D"},
            "dataset": "here",
            "layers": [vars(layer) for layer in architectures.choose_layers("resnet9", entry["network"], ["*"])],
            "protocol": {"draws": 4},
            "augmentation": "mild",
            "others": "mean",
            "resamples": 3,
            "device": "cpu",
            "tasks": list(tasks),
            "options": options,
        }
        if partner:
            files |= {"partner": tmp_path / "g-weights.safetensors"}
            given |= {"partner": given["encoder"]}
        if donor:
            files |= {"donor": tmp_path / "donor.safetensors", "donor_split": tmp_path / "donor_split.npz"}
            files["donor_description"] = tmp_path / "there/dataset.json"
            given |= {"donor": given["encoder"], "donor_dataset": donor}
        job = SimpleNamespace(
            input=SimpleNamespace(**files, get=files.get),
            params=SimpleNamespace(settings=given),
            wildcards=SimpleNamespace(seed=str(seed), role=role),
        )
        return Desk(job)

    return make


@pytest.mark.parametrize("task", ["here", "elsewhere"])
def test_a_probe_is_fitted_on_no_image_of_the_encoders_split(desk, task):
    train, test = desk(tasks=[task], images=len(FREE[task])).tasks[task]
    assert sorted(train.labels.tolist()) == FREE[task] and len(test.labels) == N


def test_a_probe_is_fitted_on_no_image_of_the_donors_split_either(desk):
    tasks = desk(tasks=["here", "there"], donor="there", images=20).tasks
    for name, (train, _) in tasks.items():
        assert len(train.labels) == 20 and set(train.labels.tolist()) <= set(FREE[name])
    with pytest.raises(InputError, match=f"{len(FREE['there'])} of there are in no group"):
        _ = desk(tasks=["there"], donor="there", images=1 + len(FREE["there"])).tasks


@pytest.mark.parametrize("role", ["f", "g"])
def test_public_images_of_label_inference_are_in_no_group(desk, monkeypatch, role):
    given = []

    def infer(encoder, images, labels, public, **_):
        given.append(public)
        return np.zeros((len(labels), N)), np.zeros(len(labels), dtype=bool)

    job = module("dejavu", "job")
    monkeypatch.setattr(job, "infer", infer)
    # As many as there are in no group: all of them, and nothing else.
    outcome = job.run(desk(role=role, public=len(FREE["here"]), crop=0.35, neighbours=3))
    assert sorted(given[0].labels.tolist()) == FREE["here"]
    points = {group: sorted(outcome["points"][outcome["groups"] == group].tolist()) for group in SPLIT}
    assert points == SPLIT | {"shared": []}
    assert (outcome["chance"] == 0).all()  # No public image has the label of a judged one.


@pytest.mark.parametrize("task", ["here", "elsewhere"])
def test_fine_tuning_leaves_the_encoders_own_groups_out(desk, monkeypatch, task):
    given, job = [], module("finetuning", "job")
    monkeypatch.setattr(job, "finetune", lambda encoder, modules, train, test, **_: given.append(train) or np.ones(N))
    monkeypatch.setattr(job, "crossed_profile", lambda _: (["1", "2"], np.zeros(2)))
    options = {"counts": [1], "subsets": False, "recipe": {}, "task": task, "images": len(FREE[task])}
    it = desk(tasks=[task], **options)
    it.scores = None
    job.run(it)
    assert given and all(sorted(train.labels.tolist()) == FREE[task] for train in given)


def test_pruning_in_rounds_follows_the_desk(desk, monkeypatch):
    job, recipes = module("iterative_pruning", "job"), []
    make = job.optimizer_of
    monkeypatch.setattr(job, "optimizer_of", lambda model, recipe: (recipes.append(recipe), make(model, recipe))[1])
    options = {"fraction": 0.25, "rounds": 1, "epochs": 1, "learning_rate": 1e-3, "images": 20}
    out = job.run(desk(tasks=["here", "elsewhere"], **options))
    assert out["dataset"].tolist() == ["here", "elsewhere"] * 4 and out["round"].max() == 1 and len(recipes) == 3


def test_files_of_another_role_or_seed_are_refused(desk):
    with pytest.raises(InputError, match="belongs to f, seed 0; delete it"):
        _ = desk(seed=1).encoder
    it = desk(role="g")
    it.files.weights = it.files.weights.with_name("f-weights.safetensors")
    with pytest.raises(InputError, match="belongs to f, seed 0"):
        _ = it.encoder


def test_weights_of_another_training_with_the_same_shapes_are_refused(desk, tmp_path):
    it = desk(tasks=["here", "there"], donor="there", images=20)
    assert it.encoder and it.donor and it.record["weights"].keys() == {"f", "donor"}
    for exchanged, name in ((it.files.donor, "weights"), (it.files.weights, "donor")):
        again = desk(tasks=["here", "there"], donor="there", images=20)
        setattr(again.files, name, exchanged)
        with pytest.raises(InputError, match=r"belongs to another training \(points differ\); delete it"):
            _ = again.donor if name == "donor" else again.encoder
    it, again = desk(partner=True), desk(partner=True)
    assert it.partner and it.record["trainings"] == {"f": "F", "g": "G"}
    again.files.partner = it.files.weights
    with pytest.raises(InputError, match=r"f-weights\.safetensors: belongs to f, seed 0; delete it to train anew"):
        _ = again.partner
    it = desk()
    it.settings["encoder"] |= {"recipe": it.settings["encoder"]["recipe"] | {"learning_rate": 7}}
    with pytest.raises(InputError, match=r"f-weights\.safetensors: belongs to another training .recipe differ"):
        _ = it.encoder


@pytest.mark.parametrize("key", ["mean", "std", "channels"])
def test_a_description_with_other_moments_than_the_encoder_takes_is_refused(desk, key):
    it, again = desk(), desk()
    tensors, about = checkpoint.load(it.files.weights)
    description = it.description | {"channels": 1}
    checkpoint.save(
        tensors, about | {"input": {key: description[key] for key in ("mean", "std", "channels")}}, it.files.weights
    )
    it.files.description.write_text(json.dumps(description))
    del it.description
    assert it.encoder
    again.files.description.write_text(json.dumps(description | {key: 3 if key == "channels" else [0.41]}))
    told = rf"dataset\.json: has other {key} than .*f-weights\.safetensors takes; delete it and run snakemake again$"
    with pytest.raises(InputError, match=told):
        _ = again.encoder


def test_additions_of_another_run_and_scores_of_other_weights_are_refused(desk, tmp_path):
    it = desk()
    tensors, about = checkpoint.load(it.files.additions)
    checkpoint.save(tensors, about | {"weights": "0"}, it.files.additions)
    with pytest.raises(InputError, match=r"additions\.safetensors: belongs to another training .weights differ"):
        _ = it.learner
    units = {"layer": ["1"], "unit": [0], "group": ["candidate"], "unitmem": [0.5], "owner": [3], "activation": [1.0]}
    it.files.units = str(tmp_path / "units.parquet")
    save(pd.DataFrame(units), it.files.units, weights=it.weights, trainings={"f": "F"})
    assert len(it.units) == 1
    again = desk()
    again.files.units = it.files.units
    save(pd.DataFrame(units), it.files.units, weights={"f": "0"})
    with pytest.raises(InputError, match=r"units\.parquet: was made with other weights of f than"):
        _ = again.units
    it.files.points = again.files.points = str(tmp_path / "points.parquet")
    save(points([0.1, 0.3, 0.2, 0.4]), it.files.points, weights=it.weights, trainings={"f": "F"})
    assert len(it.scores)
    save(points([0.1, 0.3, 0.2, 0.4]), it.files.points, weights={"f": "0"}, trainings={"f": "F"})
    with pytest.raises(InputError, match=r"points\.parquet: was made with other weights of f than"):
        _ = again.scores


def test_scores_behind_which_another_training_stands_are_refused(desk, tmp_path):
    it, again = desk(), desk()
    assert it.record["trainings"] == {"f": "F"}
    it.files.points = again.files.points = str(tmp_path / "points.parquet")
    table = pd.DataFrame({"point": [4, 5], "layer": "1", "group": "candidate", "sslmem": [0.1, 0.2]})
    made = {"weights": it.weights | {"g": "1"}, "trainings": {"f": "F", "g": "G"}}
    save(table, it.files.points, **made)
    assert len(it.scores) == 2
    save(table, it.files.points, **made | {"trainings": {"f": "F", "g": "H"}})
    with pytest.raises(InputError, match=r"points\.parquet: was made with another training of g than the config"):
        _ = again.scores


def test_points_are_those_of_the_named_groups_in_the_order_of_the_split(desk):
    points, groups = desk().points("external", "candidate")
    assert points.tolist() == SPLIT["candidate"] + SPLIT["external"]
    assert groups.tolist() == ["candidate"] * 4 + ["external"] * 4


# --- What a job is told -----------------------------------------------------------------------------------------------


class Told(Mapping):
    """Options that note which of them are read."""

    def __init__(self, options):
        self.options, self.read = options, set()

    def __getitem__(self, key):
        self.read.add(key)
        return self.options[key]

    def __iter__(self):
        return iter(self.options)

    def __len__(self):
        return len(self.options)


FITTING = {"images": 20, "public": 20, "tested": 20, "matched": 1, "targets": 2}
"""Sizes that so few images allow."""
COMPUTING = [kind for kind, entry in EXPERIMENTS.items() if entry.job and entry.options]


@pytest.mark.parametrize("kind", COMPUTING)
def test_a_job_gets_the_options_that_it_reads_and_no_others(desk, tmp_path, monkeypatch, kind):
    """One that is lacking would repeat no job when it changes, one too many would repeat jobs for nothing."""
    entry = EXPERIMENTS[kind]
    for dataset, part in product(FREE, ("train", "test")):
        save_array(np.arange(N) % 3, tmp_path / dataset / f"{part}_labels.npy")
    monkeypatch.setattr(probe, "correct", lambda train, labels, test, expected: expected == 0)
    sizes = {key: size for key, size in FITTING.items() if key in entry.options}
    needs = {"tasks": ["here"] if isinstance(entry.smallest.get(entry.tasks), str) else ["here", "elsewhere"]}
    needs |= {"donor": "there"} if entry.donor else {}
    it = desk(partner="partner" in entry.job.reads, **(needs if entry.tasks else {}))
    it.options = told = Told(entry.smallest | sizes)
    sizes = {layer: len(it.encoder.get_submodule(first).weight) for layer, (first, *_) in it.unit_modules.items()}
    places = [(layer, unit, group) for layer, size in sizes.items() for unit in range(size) for group in UNSHARED]
    it.units = pd.DataFrame(places, columns=["layer", "unit", "group"])
    it.units = it.units.assign(owner=it.units["group"].map({group: SPLIT[group][0] for group in UNSHARED}))
    it.units[["unitmem", "activation"]] = np.random.default_rng(0).random((len(places), 2))
    it.scores = points([0.1, 0.3, 0.2, 0.4])
    module(kind, "job").run(it)
    assert told.read == set(entry.job.options)


@pytest.mark.parametrize("kind", [kind for kind, entry in EXPERIMENTS.items() if entry.over == OVER_TABLES])
def test_a_trial_reads_all_options(kind):
    """It gets all: one that an analysis alone reads would repeat trials for nothing."""
    entry = EXPERIMENTS[kind]
    told = Told({key: entry.smallest[key] for key in entry.options})
    module(kind, "job").run(load(entry.smallest["tables"][0]), told, 0)
    assert told.read == set(entry.options)
