"""Benchmarks of scoring: time over bare forward passes, over a literal loop, and peak memory."""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import timm
import torch
from bench_common import Outcome, child, peak_memory, ratio, seconds, sized
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from memloc.data.augment import UNIFORMS
from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.preparing import prepare
from memloc.measuring.one_pass import measure_batches
from memloc.measuring.protocol import Protocol
from memloc.measuring.reader import Reader
from memloc.measuring.views import with_views
from memloc.metrics.tally import Tally
from memloc.models.architectures.resnet9 import ResNet9
from memloc.models.capture import discover, reading
from memloc.models.network import Normalise
from memloc.scoring.passes import together
from memloc.scoring.run import one_blas_thread, window_of
from memloc.scoring.stores import JOINED
from memloc.streams import uniforms

NORMALISE = Normalise({"mean": [0.5] * 3, "std": [0.25] * 3})
RECIPE, PROTOCOL = AUGMENTATIONS["normal"], Protocol(**sized({}, {"draws": 4}))
LARGE = sized(224, 32)


def real_images(count: int, size: int) -> np.ndarray:
    """Images of the repository's dataset in three channels, [count, 3, size, size] uint8."""
    parts, _ = prepare("fashion-mnist-12k", path=None, classes=None, image_size=32)
    grey = torch.from_numpy(parts["train"].images[:count].copy()).float()
    scaled = nn.functional.interpolate(grey, size=(size, size), mode="bilinear")
    return scaled.expand(-1, 3, -1, -1).round().byte().numpy()


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    # How it is made, its image size, how many images.
    "ResNet9, 32 px": (ResNet9, 32, sized(2048, 64)),
    "ResNet50, 224 px": (lambda: timm.create_model("resnet50"), LARGE, sized(64, 4)),
    "ViT-S/16, 224 px": (lambda: timm.create_model("vit_small_patch16_224", img_size=LARGE), LARGE, sized(64, 4)),
}


def overhead(name: str) -> Iterator[Outcome]:
    """All layers and all units against the bare forward passes of the same views through the same encoder.

    Window by window in turn: bare, read by hooks, and from images to activations. What the tally takes is added.
    """
    build, size, count = ARCHITECTURES[name]
    torch.manual_seed(0)
    encoder = build().eval().to(memory_format=torch.channels_last)
    # Hooks stay on as long as a pass lasts, so each contender has a copy of its own.
    read, whole = copy.deepcopy(encoder), copy.deepcopy(encoder)
    images, window = real_images(count, size), min(count, window_of(size))
    layers = discover(encoder, NORMALISE(torch.zeros(2, 3, size, size)))
    windows = [(images[s : s + window], np.arange(s, s + window)) for s in range(0, count, window)]
    reader = Reader(layers, PROTOCOL, alignment=True, activations=True, plain=False)
    options = {"layers": layers, "protocol": PROTOCOL, "augmentation": RECIPE, "normalise": NORMALISE, "seed": 0}
    batches = measure_batches(whole, [windows[0], *windows], plain=False, **options)
    times: dict[str, list[float]] = {"bare": [], "read": [], "whole": [], "tally": []}
    tally, waiting, room = None, [], None

    def forward() -> None:
        with torch.inference_mode():
            encoder(room)

    def forward_and_read(points: np.ndarray) -> None:
        reader.expect(len(points))
        reader.measures(points, read(room))

    with one_blas_thread(), reading(read, reader.readers):
        for number, (mine, points) in enumerate([windows[0], *windows]):
            u = torch.from_numpy(uniforms(0, points, (PROTOCOL.draws, UNIFORMS)))
            room = with_views(mine, u, RECIPE, NORMALISE, plain=False, room=room)
            took = {"bare": seconds(forward), "read": seconds(lambda points=points: forward_and_read(points))}
            took["whole"] = seconds(lambda: waiting.append(next(batches)))
            if not number:
                waiting.clear()  # The first one warms up.
                continue
            for key, value in took.items():
                times[key].append(value)
            if sum(len(batch.points) for batch in waiting) >= JOINED:
                mu = np.concatenate([together(batch) for batch in waiting])
                tally = tally or Tally(mu.shape[1], replicates=32)
                seen = points[-1] + 1 - np.arange(len(mu))
                times["tally"].append(seconds(lambda tally=tally, mu=mu, seen=seen: tally.add(mu, seen)))
                waiting.clear()
        batches.close()  # Here, or else it leaves gradients off for whoever comes next.
    tallied = sum(times["tally"]) / sum(times["bare"])
    yield Outcome(f"LayerMem and UnitMem / forward, {name}", ratio(times["read"], times["bare"]) + tallied, "<=", 1.15)
    yield Outcome(f"with augmentation / forward, {name}", ratio(times["whole"], times["bare"]) + tallied, "<=", 1.3)


def literal() -> Iterator[Outcome]:
    """Images a second of UnitMem in all 8 layers of ResNet9, against one image, one view, one layer at a time."""
    torch.manual_seed(0)
    encoder = ResNet9().eval()
    images = real_images(sized(256, 4), 32)
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
    few = [Image.fromarray(image.transpose(1, 2, 0)) for image in images[: sized(4, 1)]]

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
        for batch in measure_batches(
            fast,
            ((images[s : s + window], points[s : s + window]) for s in range(0, len(images), window)),
            layers=layers,
            protocol=PROTOCOL,
            augmentation=RECIPE,
            normalise=NORMALISE,
            seed=0,
            alignment=False,
            plain=False,
        ):
            tally.add(together(batch), batch.points)

    with one_blas_thread():
        one_at_a_time(), all_at_once()
        both = [(seconds(one_at_a_time), seconds(all_at_once)) for _ in range(sized(3, 1))]
    slow, quick = (list(times) for times in zip(*both, strict=True))
    faster = ratio(slow, quick) * len(images) / len(few)
    yield Outcome("images a second / one image, view and layer at a time, ResNet9", faster, ">=", 150)


def memory() -> Iterator[Outcome]:
    """Peak memory of scoring 50,000 images, against 5,000."""
    few, many = (child(__file__, str(count)) for count in sized((5_000, 50_000), (20, 40)))
    yield Outcome("peak memory of 50,000 images / of 5,000", many / few, "<=", 1.15)


def main(images: str) -> None:
    """Score so many images through the command itself and print the process's peak memory in MiB."""
    from memloc.cli import main
    from memloc.data.prepared import array_sha256
    from memloc.io import save_json

    count = int(images)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "images"
        made.mkdir()
        pixels = np.lib.format.open_memmap(
            made / "train_images.npy", mode="w+", dtype=np.uint8, shape=(count, 1, 32, 32)
        )
        rng = np.random.default_rng(0)
        for start in range(0, count, 1000):
            part = pixels[start : start + 1000]
            part[:] = rng.integers(0, 256, part.shape, dtype=np.uint8)
        labels = rng.integers(0, 10, count)
        np.save(made / "train_labels.npy", labels)
        classes = [str(c) for c in range(10)]
        about = {"classes": classes, "image_size": 32, "channels": 1, "sizes": {"train": count}}
        save_json({**about, "sha256": {"train": array_sha256(pixels, labels)}}, made / "dataset.json")
        del pixels
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
    print(peak_memory())


def small() -> nn.Module:
    """The encoder whose memory is watched: quick, so that the images are what counts."""
    torch.manual_seed(0)
    return ResNet9(0.25)


BENCHMARKS: dict[str, Callable[[], Iterator[Outcome]]] = {
    **{f"overhead, {name}": lambda name=name: overhead(name) for name in ARCHITECTURES},
    "literal": literal,
    "memory": memory,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
