"""The configurations in config/ are whole, and the paper's has the recipes of its Table 9."""

from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from memloc.config import check, complete
from memloc.models.frameworks import FRAMEWORKS

ROOT = Path(__file__).resolve().parents[2]


def overlaid(*names):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for name in names:
        update_config(config, yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()))
    check(config)
    complete(config)
    return config


@pytest.mark.parametrize(
    "name",
    [
        "paper",
        "smoke",
        "study",
        "layers",
        "units",
        "valuation",
        "atypicality",
        "groups",
        "scale",
        "recovery",
        "search",
        "charts",
    ],
)
def test_overlays_pass_the_check(name):
    assert overlaid(name)["encoders"]


def test_recovery_shares_the_trainings_of_the_default_f():
    one, other = (overlaid("recovery")["encoders"][name] for name in ("simclr", "simclr-shared-start"))
    assert other == one | {"initialisation": "shared"}


def test_layers_and_units_share_what_both_train():
    """Both can be run on one results folder, so an encoder or dataset of both is the same in both."""
    layers, units = (yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()) for name in ("layers", "units"))
    for part in ("datasets", "encoders"):
        both = layers[part].keys() & units[part].keys()
        assert both
        for name in both:
            mine, theirs = (overlaid(config)[part][name] for config in ("layers", "units"))
            assert mine == theirs, name


def test_the_planted_control_differs_from_the_default_in_images_alone():
    control = overlaid("atypicality")
    swapped, plain = (control["encoders"][name] for name in ("simclr-swapped", "simclr"))
    assert swapped == plain | {"dataset": "fashion-swapped", "seeds": [0, 1, 2]}
    images = control["datasets"]["fashion-swapped"]
    assert images == control["datasets"]["fashion"] | {"swapped": {"of": "fashion", "share": 0.05, "side": 8}}


# Epochs, warm-up, batch, optimizer, learning rate: on small images and on ImageNet.
TABLE_9 = {
    "mae": [(600, 60, 2048, "adamw", 1.2e-3), (300, 30, 2048, "adamw", 1.2e-3)],
    "simclr": [(600, 60, 4096, "lars", 4.8), (300, 30, 4096, "lars", 4.8)],
    "dino": [(600, 60, 1024, "adamw", 2e-3), (300, 30, 1024, "adamw", 2e-3)],
    "simsiam": [(200, 24, 128, "sgd", 2.5e-2), None],
}


def test_recipes_of_the_paper_are_those_of_table_9():
    seen = set()
    for name, entry in overlaid("paper")["encoders"].items():
        if entry["framework"] in TABLE_9:
            recipe, wide = entry["recipe"], entry["dataset"] == "imagenet"
            keys = ("epochs", "warmup_epochs", "batch_size", "optimizer", "learning_rate")
            assert tuple(recipe[key] for key in keys) == TABLE_9[entry["framework"]][wide], name
            # Those that tell initial weights from splits have the first seed of their like beside them.
            halves = "pool" in overlaid("paper")["datasets"][entry["dataset"]].get("split", {})
            assert len(entry["seeds"]) == (5 if halves else 3 if entry["split_seed"] is None else 2), name
            seen.add((entry["framework"], wide))
    assert len(seen) == 7


def test_the_study_has_every_framework():
    assert {entry["framework"] for entry in overlaid("study")["encoders"].values()} == set(FRAMEWORKS)
