"""What a configuration's trainings cost: `python tools/cost.py config/paper.yaml [--tflops 40]`.

Counts the operations of one step of each encoder with PyTorch's own counter, forward and backward, and multiplies by
images, epochs, seeds and the two roles. Hours are those of a device that sustains so many TFLOP/s (an A100
in mixed precision: about 40 on large encoders, a few on ResNet9). Measuring adds a few per cent.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch
import yaml
from snakemake.utils import update_config
from torch.utils.flop_counter import FlopCounterMode

from memloc import config as configuration
from memloc.data.augment import UNIFORMS, hidden
from memloc.models import architectures, frameworks
from memloc.models.frameworks.learner import Views
from memloc.models.frameworks.recipe import Recipe


def step_flop(settings: dict, size: int, classes: int, batch: int = 2) -> float:
    """Floating point operations, forward and backward, of one image in all its views."""
    network = architectures.build(settings["architecture"], settings["network"], image_size=size)
    learner = frameworks.build(
        settings["framework"], network, classes=classes, recipe=Recipe.of(settings["recipe"]), image_size=size
    )
    views = []
    for group in learner.groups:
        n = group.count * batch
        masks = hidden(torch.rand(n, UNIFORMS), group.augmentation, group.size) if group.augmentation.mask else None
        views.append(Views(torch.randn(n, 3, group.size, group.size), masks))
    with FlopCounterMode(display=False) as counter:
        learner(views, torch.zeros(batch, dtype=torch.long), 0.0).backward()
    return counter.get_total_flops() / batch


def main() -> None:
    """Print a table, one line an encoder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overlay", type=Path, help="a configuration to lay over config.yaml")
    parser.add_argument("--tflops", type=float, default=40.0, help="what a device sustains (default: 40)")
    arguments = parser.parse_args()
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    update_config(config, yaml.safe_load(arguments.overlay.read_text(encoding="utf-8")))
    configuration.check(config)
    configuration.complete(config)
    total = 0.0
    print(f"{'encoder':28}{'GFLOP an image':>16}{'images':>9}{'epochs':>8}{'trainings':>11}{'PFLOP':>10}{'hours':>9}")
    for name, settings in config["encoders"].items():
        if "weights" in settings:
            continue  # Trained as another encoder.
        dataset = config["datasets"][settings["dataset"]]
        images = dataset["split"]["shared"] + dataset["split"]["candidate"]
        flop = step_flop(settings, dataset["image_size"], 10)
        trainings, epochs = 2 * len(settings["seeds"]), settings["recipe"]["epochs"]
        all_flop = flop * images * epochs * trainings
        total += all_flop
        print(
            f"{name:28}{flop / 1e9:16.2f}{images:9,}{epochs:8,}{trainings:11}{all_flop / 1e15:10,.3g}"
            f"{all_flop / arguments.tflops / 1e12 / 3600:9,.3g}"
        )
    print(f"{'all':28}{'':44}{total / 1e15:10,.6g}{total / arguments.tflops / 1e12 / 3600:9,.3g}")


if __name__ == "__main__":
    main()
