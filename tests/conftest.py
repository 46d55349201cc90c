"""Fixtures that several test files share: one thread, tiny networks, tiny images, raw files to damage."""

import gzip
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from memloc.config import complete
from memloc.models.architectures.resnet9 import ResNet9
from memloc.models.frameworks import FRAMEWORKS
from memloc.models.network import Normalise

RECIPE = {
    "epochs": 4,
    "warmup_epochs": 1,
    "batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "weight_decay": 1e-6,
    "augmentation": "normal",
}
# Options of each framework and architecture that leave little to compute.
_LOCAL = {"local_crops": 1, "local_size": 16}
TINY = {
    "simclr": {"projection": 8},
    "simsiam": {"projection": 8, "prediction": 4},
    "byol": {"hidden": 8, "projection": 8},
    "vicreg": {"projection": 8},
    "barlow-twins": {"projection": 8},
    "dino": {"hidden": 8, "bottleneck": 4, "outputs": 16, **_LOCAL},
    "mae": {"decoder_dim": 12, "decoder_depth": 1, "decoder_heads": 3, "augmentation": "masking"},
    "lejepa": {"hidden": 8, "projection": 4, "slices": 8, **_LOCAL},
    "supervised": {},
}
NETWORKS = {"resnet9": {"width": 0.0625}, "vit-tiny": {"patch": 4, "depth": 1}}


def pytest_addoption(parser):
    parser.addoption("--renew-golden", action="store_true", help="write tests/golden anew instead of comparing with it")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def description():
    """What ``datasets.prepare`` says about a grey dataset of three classes."""
    return {
        "classes": ["a", "b", "c"],
        "image_size": 16,
        "mean": [0.4],
        "std": [0.3],
        "sha256": {"train": "0" * 64, "test": "1" * 64},
    }


@pytest.fixture
def normalise(description):
    return Normalise(description)


@pytest.fixture(scope="session")
def settings():
    """A factory of entries of ``encoders`` in the configuration, complete and tiny."""

    def make(framework="simclr", *, architecture=None, hardware=None, **recipe):
        architecture = architecture or ("vit-tiny" if FRAMEWORKS[framework].tokens else "resnet9")
        entry = {
            "framework": framework,
            "architecture": architecture,
            "network": NETWORKS[architecture],
            "dataset": "toy",
            "seeds": [0],
            "recipe": {**RECIPE, **TINY[framework], **recipe},
            "hardware": hardware or {},
        }
        config = {"datasets": {}, "encoders": {"it": entry}, "measure": {"layers": ["*"], "sublayers": False}}
        complete(config)
        return config["encoders"]["it"]

    return make


@pytest.fixture(scope="session")
def toy():
    """A factory of (images [n, 1, 16, 16] uint8, labels [n]): blobs whose place tells the class, with noise."""

    def make(n, *, seed=0, classes=3):
        rng = np.random.default_rng(seed)
        labels = np.arange(n) % classes
        images = rng.integers(0, 60, size=(n, 1, 16, 16))
        for image, label in zip(images, labels, strict=True):
            image[0, 1 + 5 * label : 5 + 5 * label, 3:13] += 180
        return images.astype(np.uint8), labels.astype(np.int64)

    return make


@pytest.fixture
def network():
    """A factory of small encoders in eval mode whose batch norms are not the identity."""

    def make(seed=0, width=0.125):
        torch.manual_seed(seed)
        encoder = ResNet9(width)
        for name, tensor in encoder.state_dict().items():
            if name.endswith(("running_mean", "norm.bias")):
                tensor.normal_(std=0.3)
            elif name.endswith(("running_var", "norm.weight")):
                tensor.uniform_(0.5, 1.5)
        return encoder.eval()

    return make


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a size that can be changed."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def resize(size, *more):
        options = ",".join([*more, f"size={size}"])
        called = ["mount", "-t", "tmpfs", "-o", options, "memloc-test", str(disk)]
        try:
            return subprocess.run(called, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    if not resize("4k"):
        pytest.skip("needs a file system of its own")
    try:
        yield lambda size: disk if resize(size, "remount") else pytest.fail("can't be resized")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def idx_folder(tmp_path):
    """A folder of Fashion-MNIST's four files, with 12 training and 10 test images of random pixels."""
    folder = tmp_path / "idx"
    write_idx(folder)
    return folder


def write_idx(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, n in (("train", 12), ("t10k", 10)):
        pixels = rng.integers(0, 256, size=n * 784, dtype=np.uint8).tobytes()
        images = struct.pack(">4i", 0x803, n, 28, 28) + pixels
        labels = struct.pack(">2i", 0x801, n) + bytes(i % 10 for i in range(n))
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, mtime=0))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, mtime=0))
