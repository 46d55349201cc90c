"""Speed and memory of scoring, as ratios of two things measured side by side: what `make bench` runs.

python tools/bench.py [NAME ...]     all benchmarks, or those whose names contain one of the words

Prints a table and writes results/benchmarks/bench.csv: name, ratio, bar, holds. Ratios carry over between machines,
absolute times don't, so nothing here is asserted by a test. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import operator
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from memloc.augment import RECIPES, UNIFORMS
from memloc.capture import discover, reading
from memloc.datasets import prepare
from memloc.encoders.resnet9 import ResNet9
from memloc.io import save_rows
from memloc.measure import Protocol, Reader, measured, with_views
from memloc.metrics.tally import Tally
from memloc.network import Normalise
from memloc.scoring.run import JOINED, one_blas_thread, together, window_of
from memloc.streams import uniforms

OUT = ROOT / "results" / "benchmarks" / "bench.csv"
NORMALISE = Normalise({"mean": [0.5] * 3, "std": [0.25] * 3})
RECIPE, PROTOCOL = RECIPES["normal"], Protocol()
COMPARE = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Outcome:
    """One ratio and the bar it is held against."""

    name: str
    ratio: float
    sense: str
    bar: float

    def row(self) -> dict[str, Any]:
        """As written to the table."""
        holds = COMPARE[self.sense](self.ratio, self.bar)
        return {"name": self.name, "ratio": f"{self.ratio:.3f}", "bar": f"{self.sense} {self.bar:g}", "holds": holds}


def real_images(count: int, size: int) -> np.ndarray:
    """Images of the repository's dataset in three channels, [count, 3, size, size] uint8."""
    parts, _ = prepare("fashion-mnist-12k", path=None, classes=None, image_size=32)
    grey = torch.from_numpy(parts["train"].images[:count].copy()).float()
    scaled = nn.functional.interpolate(grey, size=(size, size), mode="bilinear")
    return scaled.expand(-1, 3, -1, -1).round().byte().numpy()


def seconds(*functions: Callable[[], object], rounds: int) -> list[list[float]]:
    """Times of functions called in turn, by function, after one call of each to warm up."""
    times: list[list[float]] = [[] for _ in functions]
    for number in range(rounds + 1):
        for function, mine in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if number:
                mine.append(time.perf_counter() - start)
    return times


def ratio(numerator: list[float], denominator: list[float]) -> float:
    """Median over rounds: what disturbs one round disturbs both of its sides."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


ENCODERS: dict[str, tuple[Callable[[], nn.Module], int, int, int]] = {
    # How it is made, its image size, images in a round, rounds.
    "ResNet9, 32 px": (ResNet9, 32, 256, 9),
    "ResNet50, 224 px": (lambda: timm.create_model("resnet50"), 224, 8, 5),
    "ViT-S/16, 224 px": (lambda: timm.create_model("vit_small_patch16_224"), 224, 8, 5),
}


def overhead(name: str) -> Iterator[Outcome]:
    """All layers and all units against the bare forward passes of the same views through the same encoder."""
    build, size, count, rounds = ENCODERS[name]
    torch.manual_seed(0)
    encoder = build().eval().to(memory_format=torch.channels_last)
    images, points = real_images(count, size), np.arange(count)
    window = window_of(size)
    layers = discover(encoder, NORMALISE(torch.zeros(2, 3, size, size)))
    starts = range(0, count, window)
    u = torch.from_numpy(uniforms(0, points, (PROTOCOL.draws, UNIFORMS)))
    views = [with_views(images[s : s + window], u[s : s + window], RECIPE, NORMALISE, plain=False) for s in starts]

    def bare() -> None:
        with torch.inference_mode():
            for batch in views:
                encoder(batch)

    def take(batches: Any) -> None:
        tally, waiting = None, []
        for batch in batches:
            waiting.append(together(batch))
            tally = tally or Tally(waiting[0].shape[1], replicates=32)
            if len(waiting) * window >= JOINED or batch.points[-1] == count - 1:
                mu = np.concatenate(waiting)
                last = int(batch.points[-1]) + 1
                tally.add(mu, points[last - len(mu) : last])
                waiting = []

    def read() -> Iterator[Any]:
        reader = Reader(layers, PROTOCOL, alignment=True, activations=True, plain=False)
        with reading(encoder, reader.readers):
            for start, batch in zip(starts, views, strict=True):
                mine = points[start : start + window]
                reader.expect(len(mine))
                yield reader.batch(mine, encoder(batch))

    def whole() -> Iterator[Any]:
        windows = ((images[s : s + window], points[s : s + window]) for s in starts)
        return measured(
            encoder,
            windows,
            layers=layers,
            protocol=PROTOCOL,
            recipe=RECIPE,
            normalise=NORMALISE,
            seed=0,
            plain=False,
        )

    with one_blas_thread():
        base, reading_time, whole_time = seconds(bare, lambda: take(read()), lambda: take(whole()), rounds=rounds)
    yield Outcome(f"LayerMem and UnitMem / forward, {name}", ratio(reading_time, base), "<=", 1.15)
    yield Outcome(f"the same with augmentation / forward, {name}", ratio(whole_time, base), "<=", 1.3)


def literal() -> Iterator[Outcome]:
    """Images a second of UnitMem in all 8 layers of ResNet9, against one image, one view, one layer at a time."""
    torch.manual_seed(0)
    encoder = ResNet9().eval()
    images = real_images(256, 32)
    augmentation = v2.Compose(
        [
            v2.RandomResizedCrop(32, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    few = [Image.fromarray(image.transpose(1, 2, 0)) for image in images[:4]]

    def one_at_a_time() -> None:
        for number in range(1, 9):
            kept: list[Tensor] = []
            handle = encoder.get_submodule(f"block{number}").register_forward_hook(
                lambda module, inputs, output, kept=kept: kept.append(output.mean(dim=(2, 3)))
            )
            with torch.no_grad():
                for image in few:
                    for _ in range(PROTOCOL.draws):
                        encoder(augmentation(image)[None])
            handle.remove()

    fast = ResNet9().eval().to(memory_format=torch.channels_last)
    layers = discover(fast, NORMALISE(torch.zeros(2, 3, 32, 32)))

    def all_at_once() -> None:
        tally = Tally(1120, replicates=32)
        points, window = np.arange(len(images)), window_of(32)
        for batch in measured(
            fast,
            ((images[s : s + window], points[s : s + window]) for s in range(0, len(images), window)),
            layers=layers,
            protocol=PROTOCOL,
            recipe=RECIPE,
            normalise=NORMALISE,
            seed=0,
            alignment=False,
            plain=False,
        ):
            tally.add(together(batch), batch.points)

    with one_blas_thread():
        slow, quick = seconds(one_at_a_time, all_at_once, rounds=3)
    faster = ratio(slow, quick) * len(images) / len(few)
    yield Outcome("images a second / one image, view and layer at a time, ResNet9", faster, ">=", 150)


def memory() -> Iterator[Outcome]:
    """Peak memory of scoring 50,000 images, against 5,000."""
    peaks = []
    for count in (5_000, 50_000):
        command = [sys.executable, __file__, "--peak", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout.split()[-1]))
    yield Outcome("peak memory of 50,000 images / of 5,000", peaks[1] / peaks[0], "<=", 1.15)


def peak(count: int) -> None:
    """Score so many images through the command itself and print the process's peak memory in MiB."""
    from memloc.cli import main
    from memloc.io import save_json
    from memloc.prepared import array_sha256

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "images"
        made.mkdir()
        images = np.lib.format.open_memmap(
            made / "train_images.npy", mode="w+", dtype=np.uint8, shape=(count, 1, 32, 32)
        )
        rng = np.random.default_rng(0)
        for start in range(0, count, 1000):
            images[start : start + 1000] = rng.integers(0, 256, (1000, 1, 32, 32), dtype=np.uint8)
        labels = rng.integers(0, 10, count)
        np.save(made / "train_labels.npy", labels)
        classes = [str(c) for c in range(10)]
        about = {"classes": classes, "image_size": 32, "channels": 1, "sizes": {"train": count}}
        save_json({**about, "sha256": {"train": array_sha256(images, labels)}}, made / "dataset.json")
        del images
        command = [
            "score",
            f"{Path(__file__).stem}:small",
            "--images",
            str(made),
            "--out",
            f"{folder}/out",
            "--size",
            "32",
        ]
        sys.path.insert(0, str(Path(__file__).parent))
        status = main([*command, "--draws", "4", "--quiet"])
        if status:
            sys.exit(status)
    highest = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(highest.split()[1]) / 1024)


def small() -> nn.Module:
    """The encoder whose memory is watched: quick, so that the images are what counts."""
    torch.manual_seed(0)
    return ResNet9(0.25)


BENCHMARKS: dict[str, Callable[[], Iterator[Outcome]]] = {
    **{f"overhead, {name}": lambda name=name: overhead(name) for name in ENCODERS},
    "literal": literal,
    "memory": memory,
}


def main(words: list[str]) -> None:
    """Run the benchmarks and write what came out."""
    rows = []
    for name, benchmark in BENCHMARKS.items():
        if words and not any(word.lower() in name.lower() for word in words):
            continue
        for outcome in benchmark():
            row = outcome.row()
            rows.append(row)
            held = "holds" if row["holds"] else "MISSED"
            print(f"{row['ratio']:>9}  {row['bar']:>8}  {held:6}  {row['name']}", flush=True)
    save_rows(rows, ["name", "ratio", "bar", "holds"], OUT)
    print(f"{OUT.relative_to(ROOT)}: {sum(row['holds'] for row in rows)} of {len(rows)} bars hold")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak(int(sys.argv[2]))
    else:
        main(sys.argv[1:])
