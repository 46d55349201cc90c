"""Benchmarks of training: the real loop over its bare steps, lightly's example, start-up, where a run's time goes.

python tools/bench_training.py MODE FOLDER     one job of CHILDREN in this process; prints a number

Jobs run as Snakemake runs them: scripts/train_encoder.py in a process of its own, on all cores.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from bench_common import QUICK, ROOT, Outcome, as_job, child, ratio, seconds, sized

# What takes long to import is imported where it is used: start-up is measured through this file.
from memloc import io, job
from memloc.report import timing

SIZE, BATCH, STEPS = 32, sized(256, 8), sized(8, 2)
IMAGES = BATCH * STEPS
ROUNDS, EPOCHS = sized(3, 1), sized(6, 3)
FEATURES, PROJECTION, RATE = 128, 64, 0.06
"""Of the half width ResNet9, of its head, and of lightly's example."""


def photographs(count: int) -> np.ndarray:
    """Patches of the two colour photographs that come with scikit-learn, [count, 3, 32, 32] uint8."""
    from sklearn.datasets import load_sample_images

    every = [
        np.lib.stride_tricks.sliding_window_view(photo, (SIZE, SIZE), axis=(0, 1))[::8, ::8].reshape(-1, 3, SIZE, SIZE)
        for photo in load_sample_images().images
    ]
    return np.random.default_rng(0).permutation(np.concatenate(every))[:count]


@contextmanager
def job_folder(width: float = 0.5, **hardware: Any) -> Iterator[str]:
    """A folder with all that a training job reads; it goes with what the jobs write."""
    from memloc.config import complete
    from memloc.data import splits
    from memloc.data.groups import GROUPS
    from memloc.data.prepared import array_sha256

    images, labels = photographs(IMAGES), np.arange(IMAGES) % 10
    recipe = {"epochs": EPOCHS, "warmup_epochs": 0, "batch_size": BATCH, "augmentation": "normal"}
    recipe |= {"optimizer": "sgd", "momentum": 0, "learning_rate": RATE, "weight_decay": 0}
    recipe |= {"projection": PROJECTION}
    encoder = {"framework": "simclr", "architecture": "resnet9", "network": {"width": width}, "recipe": recipe}
    config = {"datasets": {}, "encoders": {"it": {**encoder, "hardware": hardware}}, "measure": {}}
    complete(config)
    description = {
        "image_size": SIZE,
        "channels": 3,
        "classes": [str(label) for label in range(10)],
        "mean": (images.mean(axis=(0, 2, 3)) / 255).tolist(),
        "std": (images.std(axis=(0, 2, 3)) / 255).tolist(),
        "sha256": {"train": array_sha256(images, labels)},
        "sizes": {"train": IMAGES},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        io.save_array(images, folder / "train_images.npy")
        io.save_array(labels, folder / "train_labels.npy")
        io.save_json(description, folder / "dataset.json")
        io.save_json(config["encoders"]["it"], folder / "settings.json")
        groups = {"shared": np.arange(IMAGES)} | {group: np.arange(0) for group in GROUPS[1:]}
        about = splits.manifest(groups, dataset="it", seed=0, images=IMAGES)
        splits.save(groups, about, str(folder / "indices.npz"))
        yield name


def run_job(folder: Path, before_step: Callable[[int], None]) -> None:
    """Run the training script as Snakemake does, and a function before each of its steps."""
    from memloc.training import loop

    set_rates = loop.set_rates

    def after_looking(optimizer: Any, recipe: Any, step: int, **options: int) -> float:
        before_step(step)
        return set_rates(optimizer, recipe, step, **options)

    read = {"images": "train_images.npy", "description": "dataset.json", "split": "indices.npz"}
    written = {name: f"{name}.safetensors" for name in ("weights", "additions", "snapshots")}
    written |= {"recipe": "recipe.json", "history": "training.csv"}
    with mock.patch.object(loop, "set_rates", after_looking):  # The first thing a step does.
        as_job(
            "train_encoder",
            folder / "out",
            threads=sized(os.cpu_count() or 1, 1),
            wildcards={"encoder": "simclr", "role": "f", "seed": "0"},
            input={name: str(folder / file) for name, file in read.items()},
            output={name: str(folder / "out" / file) for name, file in written.items()},
            params={"settings": io.load_json(folder / "settings.json"), "code": "", "device": "cpu", "roles": ["f"]},
        )


def bare_step(folder: Path, layout: str = "channels_last") -> Callable[[], None]:
    """Forward, backward and step of a job's learner on views made once."""
    import torch

    from memloc.data import prepared
    from memloc.models import frameworks
    from memloc.models.network import Normalise
    from memloc.training import loop
    from memloc.training.optim import optimizer_of
    from memloc.training.settings import Training
    from memloc.training.views import Pixels, Viewer

    training, description = Training.of(io.load_json(folder / "settings.json")), io.load_json(folder / "dataset.json")
    recipe, like = training.recipe, {"memory_format": getattr(torch, layout)}
    encoder = loop.build(training, image_size=SIZE, seed=0, role="f")
    learner = frameworks.build("simclr", encoder, classes=10, recipe=recipe, image_size=SIZE).to(**like).train()
    optimizer = optimizer_of(learner, recipe)
    part = prepared.load(folder, "train")
    pixels = Pixels(part.images, part.labels, np.arange(BATCH), device=torch.device("cpu"))
    viewer = Viewer(pixels, learner.groups, Normalise(description))
    views, labels = viewer(torch.arange(BATCH), torch.Generator().manual_seed(0))
    views = [group._replace(images=group.images.contiguous(**like)) for group in views]

    def step() -> None:
        optimizer.zero_grad()
        learner(views, labels, 0.0).backward()
        optimizer.step()

    return step


def views_a_second(times: list[float], first: int) -> float:
    """From the times at which steps began, those before ``first`` left out."""
    return 2 * BATCH * (len(times) - 1 - first) / (times[-1] - times[first])


def job_rate(folder: Path) -> float:
    """Views a second of a job, after its first epoch."""
    times: list[float] = []
    run_job(folder, lambda step: times.append(time.perf_counter()))
    return views_a_second(times, STEPS)


def job_rate_memory_given_back(folder: Path) -> float:
    """The same where the memory of large arrays goes back to the system."""
    with mock.patch.object(job, "keep_memory"):
        return job_rate(folder)


def job_efficiency(folder: Path) -> float:
    """Time of bare steps over that of a job's steps, done in turn; median over epochs without the first."""
    bare, marks = bare_step(folder), []

    def before_step(step: int) -> None:
        start = time.perf_counter()
        bare()
        marks.append((start, time.perf_counter()))

    run_job(folder, before_step)
    alone = [end - start for start, end in marks]
    real = [start - end for (_, end), (start, _) in pairwise(marks)]
    epochs = [slice(first, first + STEPS) for first in range(STEPS, len(real) - STEPS + 1, STEPS)]
    return ratio([sum(alone[epoch]) for epoch in epochs], [sum(real[epoch]) for epoch in epochs])


class FirstStepEnded(Exception):  # noqa: N818 (nothing is wrong)
    """There is nothing more to see of a job."""


def first_step(folder: Path) -> float:
    """The time at which a job's first step has ended, which ends the job."""

    def before_step(step: int) -> None:
        if step == 1:
            raise FirstStepEnded

    with contextlib.suppress(FirstStepEnded):
        run_job(folder, before_step)
    return time.monotonic()


def example_rate(folder: Path, *, blur: float | None = None) -> float:
    """Views a second of lightly's SimCLR example for PyTorch, on the same images, encoder and head.

    As published but for those and for the number of workers, which is that of the cores. Measured within an epoch, so
    that the start of workers doesn't count, and not to its end, where they have nothing left to do.
    """
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from PIL import Image
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    from memloc.models.architectures.resnet9 import ResNet9

    arrays = np.load(folder / "train_images.npy").transpose(0, 2, 3, 1).copy()
    warm, measured, left = STEPS, (EPOCHS - 2) * STEPS, STEPS

    transform = SimCLRTransform(input_size=SIZE, **({} if blur is None else {"gaussian_blur": blur}))

    class Photographs(Dataset[tuple[list[torch.Tensor], int]]):
        def __len__(self) -> int:
            return BATCH * (warm + measured + left)

        def __getitem__(self, index: int) -> tuple[list[torch.Tensor], int]:
            return transform(Image.fromarray(arrays[index % len(arrays)])), 0

    loader = DataLoader(
        Photographs(),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=os.cpu_count() or 1,
    )
    encoder = ResNet9(0.5)
    model = nn.Sequential(encoder, SimCLRProjectionHead(FEATURES, FEATURES, PROJECTION))
    criterion, total = NTXentLoss(), torch.zeros(())
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    times: list[float] = []
    for (first, second), _ in loader:
        times.append(time.perf_counter())
        if len(times) > warm + measured:
            break
        loss = criterion(model(first), model(second))
        total += loss.detach()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return views_a_second(times, warm)


CHILDREN: dict[str, Callable[[Path], float]] = {
    "rate": job_rate,
    "rate, memory given back": job_rate_memory_given_back,
    "efficiency": job_efficiency,
    "first step": first_step,
    "example": example_rate,
    "example without blur": lambda folder: example_rate(folder, blur=0.0),
}


def in_turn(*runs: tuple[str, str]) -> list[list[float]]:
    """Numbers of several children (mode, folder), one list each, run in turn for some rounds."""
    rounds = [[child(__file__, *run) for run in runs] for _ in range(ROUNDS)]
    return [list(numbers) for numbers in zip(*rounds, strict=True)]


def loop() -> Iterator[Outcome]:
    """What augmentation, loading, schedules and checkpoints leave of the speed of bare steps."""
    for name, width in (("half", 0.5), ("full", sized(1.0, 0.125))):
        with job_folder(width) as folder:
            share = child(__file__, "efficiency", folder)
        yield Outcome(f"training / bare forward, backward and step, ResNet9 {name} width", share, ">=", 0.9)


def example() -> Iterator[Outcome]:
    """Views a second against lightly's example, and against it without the blur, which the recipe doesn't have."""
    with job_folder() as folder:
        ours, theirs, alike = in_turn(("rate", folder), ("example", folder), ("example without blur", folder))
    yield Outcome("training / lightly's SimCLR example, half width", ratio(ours, theirs), ">=", 1.6)
    yield Outcome("training / lightly's SimCLR example without blur, half width", ratio(ours, alike))


def start_up() -> Iterator[Outcome]:
    """From the start of Python to the end of the first step."""
    with job_folder() as folder:
        took = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            took.append(child(__file__, "first step", folder) - began)
    yield Outcome("start-up of a training job, seconds", sorted(took)[ROUNDS // 2], "<=", 8)


NETWORKS = ("train_encoder", "train_pair", "measure", "measure_pair")
"""Rules whose time goes into networks: what the others take is overhead."""


def share() -> Iterator[Outcome]:
    """Where the time of the default run went, by Snakemake's own record of it; nothing where there is none."""
    rows = timing.table(ROOT / "results" / "benchmarks")
    for row in rows:
        print(f"{row.seconds:9.1f} s  {row.share:6.1%}  {row.jobs:4} jobs  {row.rule}")
    if rows:
        networks = sum(row.share for row in rows if row.rule in NETWORKS)
        yield Outcome("share of the default run in training and measuring", networks, ">=", 0.85)


def choices() -> Iterator[Outcome]:
    """What single choices bring, with no bar."""
    with job_folder() as folder:
        layouts = {layout: bare_step(Path(folder), layout) for layout in ("channels_last", "contiguous_format")}
        took = [{layout: seconds(step) for layout, step in layouts.items()} for _ in range(4 * STEPS)][STEPS:]
        last, contiguous = ([times[layout] for times in took] for layout in layouts)
        yield Outcome("channels last / contiguous training, ResNet9", ratio(contiguous, last))
        kept, given_back = in_turn(("rate", folder), ("rate, memory given back", folder))
        yield Outcome("memory kept / given back, training, ResNet9", ratio(kept, given_back))
        with job_folder(compile=not QUICK) as compiled:
            fast, eager = in_turn(("rate", compiled), ("rate", folder))
        yield Outcome("torch.compile / eager training, ResNet9", ratio(fast, eager))


BENCHMARKS: dict[str, Callable[[], Iterator[Outcome]]] = {
    "training, loop": loop,
    "training, example": example,
    "training, start-up": start_up,
    "training, share": share,
    "training, choices": choices,
}


def main(mode: str, folder: str) -> None:
    """Run one job and print its number."""
    print(CHILDREN[mode](Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
