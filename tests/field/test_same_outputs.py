"""An encoder gives the same numbers for the same image, whenever it is asked and whatever lies beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

from memloc.scoring.encoders import open_encoder
from tests.builders.complaints import complaint

CODE = """
import random

import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, change=lambda x: x):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.change = nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), change

    def forward(self, x):
        return self.change(self.norm(self.conv(x))).mean((2, 3))


class Stuck(nn.Dropout):
    def train(self, mode=True):
        self.training = True
        return self


class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        self.turn = Turn()

    def forward(self, x):
        return self.turn(x.flatten(2)).permute(1, 2, 0)[..., None]


class Turn(nn.Module):
    def forward(self, x):
        return x.permute(2, 0, 1)


def plain(): return Net()
def functional_dropout(): return Net(lambda x: F.dropout(x))
def noise(): return Net(lambda x: x + torch.randn_like(x))
def python_noise(): return Net(lambda x: x * random.random())


def dropout():
    net = Net()
    net.change = Stuck(0.5)
    return net


def batch_norm():
    net = Net()
    net.norm = nn.BatchNorm2d(4, track_running_stats=False)
    return net


def functional_batch_norm(): return Net(lambda x: F.batch_norm(x, None, None, training=True))
def mean_of_batch(): return Net(lambda x: x - x.mean(0, keepdim=True))
def tokens_first():
    net = Net()
    net.norm = Turned()
    return net


def instance_norm(): return Net(lambda x: F.instance_norm(x) ** 2)


class Counts(Net):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) + self.calls


class Shuffles(Net):
    def forward(self, x):
        x = self.norm(self.conv(x)).flatten(2)
        return self.change(x[..., torch.randperm(x.shape[2])]).mean(2)


def counts(): return Counts()


def shuffles():
    net = Shuffles()
    net.change = nn.ReLU()
    return net


class Recurrent(nn.Module):
    # Its LSTM takes the batch for the sequence, as batch_first was forgotten.
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.lstm, self.last = nn.Conv2d(3, 8, 8, 8), nn.LSTM(8, 16), nn.Linear(16, 8)

    def forward(self, x):
        tokens = self.conv(x).relu().flatten(2).transpose(1, 2)
        return self.last(self.lstm(tokens)[0][:, -1])


class Side(Net):
    # Batch statistics in a branch that doesn't reach the output.
    def __init__(self):
        super().__init__()
        self.side, self.aside = nn.BatchNorm2d(4, track_running_stats=False), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        self.kept = self.aside(self.side(self.conv(x)))
        return super().forward(x)


class Joined(Net):
    # Patches of all images joined in one dimension, patch by patch, as some attention does.
    def forward(self, x):
        x = self.norm(self.conv(x)).flatten(2).permute(2, 0, 1)
        return self.change(x.flatten(0, 1)).reshape(x.shape).mean(0)


def recurrent(): return Recurrent()
def side(): return Side()
def vanishes(): return Net(lambda x: x * 1e-43 / 3)
def by_number(): return Net(lambda x: x * len(x) ** -0.5)


def joined():
    net = Joined()
    net.change = nn.Linear(4, 4)
    return net


def overflow(): return Net(lambda x: x / 0)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "field_code.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "field_code"
    sys.modules.pop("field_code", None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("functional_dropout", "another output each time"),
        ("noise", "another output each time"),
        ("python_noise", "another output each time"),
        ("counts", "another output each time"),
        ("shuffles", "another output each time"),
        ("dropout", "change"),
        ("batch_norm", "depends on the others of its batch"),
        ("functional_batch_norm", "depends on the others of its batch"),
        ("mean_of_batch", "depends on the others of its batch"),
        ("recurrent", "depends on the others of its batch (first in lstm)"),
        ("by_number", "depends on the others of its batch"),
        ("side", "depends on the others of its batch (first in side)"),
    ],
)
def test_an_encoder_whose_numbers_are_not_the_images_alone_is_refused(own: str, name: str, message: str) -> None:
    assert message in complaint(open_encoder, f"{own}:{name}")


@pytest.mark.parametrize("name", ["plain", "instance_norm", "tokens_first", "joined", "vanishes"])
def test_others_are_taken(own: str, name: str) -> None:
    encoder = open_encoder(f"{own}:{name}")
    assert "assumed" in encoder.pixels


@pytest.fixture
def mae(tmp_path: Path) -> Callable[..., tuple[Path, nn.Module]]:
    tiny = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(2)
    model = transformers.ViTMAEModel(transformers.ViTMAEConfig(**tiny, image_size=32, patch_size=8)).eval()

    def make() -> tuple[Path, nn.Module]:
        (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
        (tmp_path / "preprocessor_config.json").write_text(
            json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
        )
        save_file(model.state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})
        return tmp_path, model

    return make


@torch.no_grad()
def test_the_patches_of_a_masked_autoencoder_keep_their_order(mae: Callable[..., tuple[Path, nn.Module]]) -> None:
    path, model = mae()
    encoder = open_encoder(str(path))
    images = torch.randn(3, 3, 32, 32)
    read: list[Tensor] = []
    handle = encoder.module.layers[0].register_forward_hook(lambda module, inputs, output: read.append(inputs[0]))
    out = encoder.module(images)
    handle.remove()
    # Patches as the embedding gives them, in their order, behind the class token.
    positions = model.embeddings.position_embeddings
    patches = model.embeddings.patch_embeddings(images) + positions[:, 1:]
    assert torch.allclose(read[0][:, 1:], patches, atol=1e-6)
    model.config.mask_ratio = 0.0
    right = model(images, noise=torch.arange(16.0).expand(3, -1)).last_hidden_state
    assert torch.allclose(out, right.mean(1), atol=1e-6)
    assert "order" in encoder.weights
    assert encoder.untrained is not None
    fresh = encoder.untrained(0)
    assert torch.equal(fresh(images), fresh(images))
