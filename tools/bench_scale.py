"""Benchmarks of scale: how time and memory grow with the number of images, and how long planning takes.

python tools/bench_scale.py STAGE FOLDER     one of STAGES in this process; prints CPU seconds and peak memory in MiB

Folders of small JPEGs go through the jobs of the workflow, each as Snakemake runs it, and through `memloc score`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_common import ROOT, Outcome, as_job, children, peak_memory, seconds, sized
from PIL import Image

from memloc import io, job

SIZE, CLASSES, DRAWS = 32, 10, 4
COUNTS = sized((12_500, 25_000, 50_000, 100_000, 200_000), (40, 80))
PLAN = (
    "-m",
    "snakemake",
    "--dry-run",
    "--quiet",
    "--configfile",
    f"config/{sized('paper', 'smoke')}.yaml",
    "--directory",
)


def photographs(folder: Path, count: int) -> None:
    """So many JPEGs in the folders of ten classes, smooth noise, and a few for tests."""
    rng = np.random.default_rng(count)
    for part, many in (("train", count), ("test", CLASSES)):
        for label in range(CLASSES):
            (folder / part / str(label)).mkdir(parents=True)
        for number in range(many):
            image = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((SIZE, SIZE))
            image.save(folder / part / str(number % CLASSES) / f"{number:07}.jpg", quality=85)


def small() -> Any:
    """The encoder: quick, so that the images are what counts."""
    import torch

    from memloc.models.architectures.resnet9 import ResNet9

    torch.manual_seed(0)
    return ResNet9(0.125).eval()


def prepare(folder: Path) -> None:
    """Images to arrays."""
    output = {
        f"{part}_{what}": str(folder / f"{part}_{what}.npy")
        for part in ("train", "test")
        for what in ("images", "labels")
    }
    output["description"] = str(folder / "dataset.json")
    settings = {"source": "folder", "path": str(folder / "photographs"), "image_size": SIZE}
    as_job(
        "prepare_dataset",
        folder,
        wildcards={"dataset": "it"},
        output=output,
        params={"dataset": settings},
    )


def split(folder: Path) -> None:
    """Groups of a quarter of the images each."""
    count = len(io.load_array(folder / "train_labels.npy"))
    as_job(
        "make_splits",
        folder,
        wildcards={"dataset": "it", "seed": "0"},
        input={"labels": str(folder / "train_labels.npy")},
        output={"indices": str(folder / "indices.npz"), "manifest": str(folder / "manifest.json")},
        params={"split": dict.fromkeys(("shared", "candidate", "independent", "external"), count // 4)},
    )


def measure(folder: Path) -> None:
    """Every layer and unit on all images."""
    from dataclasses import asdict

    from memloc.data import splits
    from memloc.models import checkpoint
    from memloc.models.architectures import choose_layers
    from memloc.models.trained import training

    network = {"width": 0.125, "residual": True}
    description = io.load_json(folder / "dataset.json")
    groups = splits.load(str(folder / "indices.npz"), description)
    encoder = {"architecture": "resnet9", "network": network}
    about = training(encoder, description, groups, role="f", seed=0)
    checkpoint.save(small().state_dict(), about, folder / "weights.safetensors")
    layers = [asdict(layer) for layer in choose_layers("resnet9", network, ["*"])]
    protocol = {"draws": DRAWS, "pairs": "aug-aug", "distance": "l2", "representation": "flattened"}
    files = {
        "images": "train_images.npy",
        "labels": "train_labels.npy",
        "description": "dataset.json",
        "split": "indices.npz",
        "weights": "weights.safetensors",
    }
    as_job(
        "measure",
        folder,
        wildcards={"encoder": "it", "role": "f", "seed": "0"},
        input=dict(additions=[], **{name: str(folder / file) for name, file in files.items()}),
        output={"measures": str(folder / "measures.npz")},
        params={
            "encoders": {"f": encoder},
            "trainings": {"f": "it"},
            "layers": layers,
            "views": {"augmentation": "normal", **protocol, "activation": "as-is"},
            "device": "cpu",
        },
    )


def score(folder: Path) -> None:
    """The command on the folder of files."""
    from memloc.cli import main

    sys.path.insert(0, str(Path(__file__).parent))
    status = main(
        [
            "score",
            f"{Path(__file__).stem}:small",
            "--images",
            str(folder / "photographs" / "train"),
            "--out",
            str(folder / "scores"),
            "--size",
            str(SIZE),
            "--draws",
            str(DRAWS),
            "--threads",
            "1",
            "--quiet",
        ]
    )
    if status:
        sys.exit(status)


@dataclass(frozen=True)
class Stage:
    """What is done, what it leaves, and MiB that it may hold however many images."""

    run: Callable[[Path], None]
    left: str
    bound: float


STAGES = {
    "prepare": Stage(prepare, "train_images.npy", 400),
    "split": Stage(split, "indices.npz", 400),
    "measure": Stage(measure, "measures.npz", 1000),
    "memloc score": Stage(score, "scores", 1100),
}


def warmed(stage: str) -> Stage:
    """A stage after it was done once, with those before it, on next to nothing."""
    with tempfile.TemporaryDirectory() as name:
        photographs(Path(name) / "photographs", sized(200, 40))
        for each, about in STAGES.items():
            about.run(Path(name))
            if each == stage:
                break
    return STAGES[stage]


def scale() -> Iterator[Outcome]:
    """CPU time and peak memory of each stage on folders of ever more images."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in STAGES}
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            photographs(folder / "photographs", count)
            for stage, about in STAGES.items():
                took, peak = children(__file__, stage, name)[-2:]
                found[stage].append((took, peak))
                size = sum(each.stat().st_size for each in _files(folder / about.left))
                print(
                    f"{count:>8,} images  {stage:13} {took:8.1f} s  {1e6 * took / count:7.1f} us an image "
                    f"{peak:6.0f} MiB at most {size / count:7.0f} bytes an image",
                    flush=True,
                )
    for stage, about in STAGES.items():
        times, peaks = zip(*found[stage], strict=True)
        if times[-1] > 1:  # Splits take no time that could be fitted.
            power = float(np.polyfit(np.log(COUNTS), np.log(times), 1)[0])
            yield Outcome(
                f"{stage}: CPU time grows with images to the power {power:.3f}, off 1 by", abs(power - 1), "<=", 0.05
            )
        yield Outcome(f"{stage}: peak memory of {COUNTS[-1]:,} images in MiB", peaks[-1], "<=", about.bound)
        yield Outcome(f"{stage}: peak memory of {COUNTS[-1]:,} images / of {COUNTS[0]:,}", peaks[-1] / peaks[0])


def planning() -> Iterator[Outcome]:
    """Seconds in which the paper's scale is planned, every job of it."""
    with tempfile.TemporaryDirectory() as folder:
        took = seconds(
            lambda: subprocess.run([sys.executable, *PLAN, folder], cwd=ROOT, check=True, capture_output=True)
        )
    yield Outcome("seconds in which config/paper.yaml is planned", took, "<=", 20)


def _files(path: Path) -> list[Path]:
    return [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]


BENCHMARKS: dict[str, Callable[[], Iterator[Outcome]]] = {"scale": scale, "planning": planning}


def main(stage: str, folder: str) -> None:
    """Do one stage and print CPU seconds and peak memory."""
    job.keep_memory()
    about = warmed(stage)
    began = time.process_time()
    about.run(Path(folder))
    print(time.process_time() - began, peak_memory())


if __name__ == "__main__":
    main(*sys.argv[1:])
