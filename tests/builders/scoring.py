"""A tiny network and images in memory, for tests of scoring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from memloc.data.images import Images
from memloc.measuring.protocol import Protocol
from memloc.models.architectures import Layer
from memloc.scoring.encoders import OpenEncoder
from memloc.scoring.passes import Settings
from memloc.scoring.plan import plan
from memloc.scoring.score import Scores, score

WINDOW = 7
"""Images in a window, where a test says so."""
SETTINGS = Settings(protocol=Protocol(draws=4), replicates=20, shuffles=3)
LAYERS = (Layer("1", "conv1", "act1", 1.0), Layer("2", "conv2", "act2", 2.0))


class Most(nn.Module):
    """ReLU of all units but the first few, which go below 0."""

    def __init__(self, signed: int) -> None:
        super().__init__()
        self.signed = signed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, : self.signed], torch.relu(x[:, self.signed :])], dim=1)


class Net(nn.Module):
    """Two convolutions with batch norm; 6 and 8 units."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv1, self.norm1, self.act1 = nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU()
        self.drop = nn.Dropout(0.5)
        self.conv2, self.norm2, self.act2 = nn.Conv2d(6, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.drop(self.act1(self.norm1(self.conv1(x))))
        return self.act2(self.norm2(self.conv2(x))).mean(dim=(2, 3))


def encoder(
    seed: int = 0,
    *,
    dead: Sequence[int] = (),
    signed: tuple[int, int] = (0, 0),
    untrained: Callable[[int], nn.Module] | None = lambda seed: Net(seed).eval(),
    size: int = 16,
    layers: tuple[Layer, ...] | None = LAYERS,
) -> OpenEncoder:
    """A network whose units of layer 1 in ``dead`` are 0, and the first ``signed`` of each layer below 0 at times."""
    with torch.random.fork_rng(devices=[]):
        module = Net(seed).eval()
    if any(signed):
        module.act1, module.act2 = map(Most, signed)
    for unit in dead:
        nn.init.constant_(module.norm1.weight[unit : unit + 1].detach(), 0)
        nn.init.constant_(module.norm1.bias[unit : unit + 1].detach(), -1)
    return OpenEncoder(
        name=f"net{seed}",
        module=module,
        size=size,
        mean=(0.5,),
        std=(0.25,),
        layers=layers,
        absent=(),
        sha256=str(seed),
        untrained=untrained,
        augmentation=None,
    )


class Memory(Images):
    """Random images of blobs. Rows in ``bad`` can't be read; ``seen`` are those that were asked for."""

    def __init__(
        self, n: int, *, classes: int = 3, bad: Sequence[int] = (), seed: int = 0, labels: Any = None, size: int = 16
    ) -> None:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, size=(n, 3, 4, 4)).repeat(size // 4, axis=2).repeat(size // 4, axis=3)
        self.pixels = (coarse * rng.uniform(0.2, 1, size=(n, 1, 1, 1))).astype(np.uint8)
        self.bad, self.seen = {*bad}, set()  # type: ignore[var-annotated]
        names, kinds = [f"{i}.png" for i in range(n)], [f"class {c}" for c in range(classes)]
        known = (np.arange(n) % classes if labels is None else np.asarray(labels)) if classes else None
        super().__init__(names, known, kinds, channels=3, size=size, sha256=str(seed))

    def load(self, rows: Any) -> Any:
        self.seen.update(rows.tolist())
        kept = np.array([row for row in rows.tolist() if row not in self.bad], dtype=np.int64)
        return self.pixels[kept], kept, {row: f"bad {row}" for row in rows.tolist() if row in self.bad}

    def thumbnail(self, row: int, side: int) -> Any:
        return self.pixels[row]


def scores(
    f: OpenEncoder, images: Images, settings: Settings = SETTINGS, *, run: Any = None, **chosen: Any
) -> Scores | Any:
    """Plan and score; ``run`` goes to ``score``, the rest to ``plan``."""
    return score(plan(f, images, settings=settings, **chosen), settings=settings, **(run or {}))


SPLIT = {
    "candidate": np.arange(0, 26),
    "independent": np.arange(26, 42),
    "external": np.arange(42, 60),
}


def everything(settings: Settings = SETTINGS, *, bad: Sequence[int] = (3, 30, 44), run: Any = None) -> Any:
    """All that can be scored at once: a pair, a split of unequal groups, labels, nulls, unreadable images."""
    return scores(encoder(0), Memory(60, bad=bad), settings, run=run, against=encoder(1), split=SPLIT)
