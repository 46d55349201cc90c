"""Every framework and every encoder goes the whole way: trained, measured, scored, drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.analysis.inputs import Inputs
from memloc.config import complete
from memloc.data import splits
from memloc.data.augment import for_encoder
from memloc.data.augmentations import AUGMENTATIONS
from memloc.experiments import module
from memloc.measuring import resamples, units
from memloc.measuring.one_pass import about_layers, by_point, measure_images
from memloc.measuring.points import point_scores
from memloc.measuring.protocol import Protocol
from memloc.models import checkpoint, network
from memloc.models.architectures import ARCHITECTURES
from memloc.models.frameworks import FRAMEWORKS
from memloc.models.layers import layers_of
from memloc.models.network import Normalise
from memloc.training.loop import train
from memloc.training.settings import Training
from tests.builders.study import About, analysed, save

SIZES = {"shared": 8, "candidate": 8, "independent": 8, "external": 8}
OPTIONS = {"resamples": 20, "normalisation": "ratio", "group_size": 3, "threshold": 0.5}


def entry(settings, *, framework="simclr", architecture=None, options=None):
    """An encoder's settings, complete, with what is measured of it."""
    made = settings(framework, epochs=1)
    if architecture:
        made = made | {"architecture": architecture, "network": options, "measure": {}}
    measure = {"layers": ["*"], "sublayers": False, "draws": 4, "activation": "as-is"}
    config = {"datasets": {}, "encoders": {"it": made}, "measure": measure}
    complete(config)
    return config["encoders"]["it"]


def scored(name, settings, folder, *, size):
    """Train f, g and the untrained null, keep and open them, measure and score; the paths of the tables by input."""
    images = np.random.default_rng(0).integers(0, 256, (32, 3, size, size), dtype=np.uint8)
    labels = np.arange(32) % 3
    split = splits.draw(32, SIZES, dataset="toy", seed=0)
    points, groups = splits.measured_points(split)
    facts = {
        "classes": ["a", "b", "c"],
        "image_size": size,
        "mean": [0.5] * 3,
        "std": [0.3] * 3,
        "sha256": {"train": "0"},
    }
    layers, measures = layers_of(settings), {}
    protocol = {
        key: value for key, value in settings["measure"].items() if key not in ("layers", "sublayers", "augmentation")
    }
    for role in ("f", "g", "untrained"):
        mine, path = splits.training_points(split, role), folder / f"{role}.safetensors"
        learner, *_ = train(
            images, labels, mine, training=Training.of(settings), description=facts, seed=0, role=role, folder=folder
        )
        checkpoint.save(learner.result().state_dict(), {"seed": 0, "role": role}, path)
        opened = network.load(settings["architecture"], settings["network"], path, image_size=size, seed=0, role=role)
        measured = measure_images(
            opened,
            images[points],
            points,
            layers=layers,
            augmentation=for_encoder(AUGMENTATIONS[settings["measure"]["augmentation"]], opened),
            normalise=Normalise(facts),
            protocol=Protocol(**protocol),
            seed=1,
        )
        about = {"points": points, "groups": groups, "labels": labels[points]}
        measures[role] = about | about_layers(layers, opened) | by_point(measured)
    out = {}
    for prefix, role in (("", "f"), ("untrained_", "untrained")):
        table = units.unit_scores(measures[role], shuffles=1, seed=0)
        out[f"{prefix}units"], out[f"{prefix}resamples"] = folder / f"{prefix}u.parquet", folder / f"{prefix}r.npz"
        save(table, out[f"{prefix}units"])
        save(resamples.unit_resamples(measures[role], resamples=20, seed=0), out[f"{prefix}resamples"])
    out["points"] = folder / "points.parquet"
    save(point_scores(measures["f"], measures["g"], normalisation="ratio"), out["points"])
    return out


def drawn(files, names):
    """Figures of LayerMem and of UnitMem of these encoders, as files on disk give them."""
    figures = []
    for kind, wanted in (("layermem", ["points"]), ("unitmem", ["units", "resamples"])):
        keys = [*wanted, *(f"untrained_{key}" for key in wanted if kind == "unitmem")]
        inputs = Inputs([(name, 0) for name in names], {key: [str(one[key]) for one in files] for key in keys}, About())
        table, rows = analysed(kind, inputs, **OPTIONS)
        assert set(table["encoder"]) == set(names)
        assert {name for subject in rows["subject"] for name in names if name in subject} == set(names)
        assert np.isfinite(table["value"].dropna()).all() and len(table["value"].dropna())
        figures.append(module(kind).draw(table, np.zeros((2, 1, 16, 16), dtype=np.uint8)))
        plt.close(figures[-1])
    return figures


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework_ends_in_a_figure(settings, tmp_path, framework):
    mine = entry(settings, framework=framework)
    if FRAMEWORKS[framework].tokens:
        mine["network"]["depth"] = 2  # An increment that isn't the last takes three layers.
    files = scored(framework, mine, tmp_path, size=16)
    assert all(figure.axes for figure in drawn([files], [framework]))


# The smallest of what each takes.
NETWORKS = {
    "resnet9": {"width": 0.0625, "residual": False},
    "resnet18": {"stem": "cifar", "width": 0.25},
    "resnet34": {"stem": "imagenet", "width": 0.25},
    "resnet50": {"stem": "imagenet", "width": 0.25},
    "vgg19": {},
    "vit-tiny": {"patch": 8, "depth": 3},
    "vit-small": {"patch": 8, "depth": 2, "width": 0.25},
    "vit-base": {"patch": 8, "depth": 2, "width": 0.125},
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_encoder_ends_in_a_figure(settings, tmp_path, architecture):
    size = max(16, ARCHITECTURES[architecture].smallest)
    mine = entry(settings, architecture=architecture, options=NETWORKS[architecture])
    assert all(figure.axes for figure in drawn([scored(architecture, mine, tmp_path, size=size)], [architecture]))
