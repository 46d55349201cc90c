"""One encoder after several epochs of its training, measured on the same images and views."""

import numpy as np
import pytest
import torch
from torch import nn

from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments.unit_epochs import job as trace
from memloc.measuring import resamples
from memloc.measuring.one_pass import measure_images
from memloc.measuring.protocol import Protocol
from memloc.models import checkpoint
from memloc.models.architectures import Layer
from memloc.models.network import Normalise
from memloc.streams import stream

LAYERS = [Layer(str(k), place, f"{place}.1", depth=k, modules=(place,)) for k, place in ((1, "one"), (2, "two"))]
SIZES = {"shared": 5, "candidate": 9, "independent": 9, "external": 9}


class Encoder(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.one = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU())

    def forward(self, x):
        return self.two(self.one(x)).mean(dim=(2, 3))


@pytest.fixture
def files(tmp_path):
    """Files of a training of 7 epochs, the encoder of epoch e with seed e."""

    def save(name, tensors, role, seed=3):
        checkpoint.save(tensors, {"role": role, "seed": seed}, tmp_path / name)
        return tmp_path / name

    kept = {f"{e}.{name}": value for e in (2, 5, 7) for name, value in Encoder(e).state_dict().items()}
    return {
        "untrained": save("untrained", Encoder(0).state_dict(), "untrained"),
        "snapshots": save("snapshots", kept, "f"),
        "weights": save("weights", Encoder(7).state_dict(), "f"),
    }


def test_the_states_are_the_untrained_the_kept_and_the_last_in_order(files):
    found = trace.states(**files, epochs=[5, 2, 7], end=7, seed=3)
    assert list(found) == [0, 2, 5, 7]
    for epoch, state in found.items():
        expected = Encoder(epoch).state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert list(trace.states(**files, epochs=[5], end=7, seed=3)) == [0, 5, 7]


def test_an_epoch_that_was_not_kept_and_files_of_another_training_are_told(files):
    with pytest.raises(InputError, match=r"snapshots: holds no epoch 3; delete it"):
        trace.states(**files, epochs=[2, 3], end=7, seed=3)
    with pytest.raises(InputError, match="belongs to f, seed 3"):
        trace.states(**files, epochs=[2], end=7, seed=4)
    with pytest.raises(InputError, match="belongs to f, seed 3"):
        trace.states(**files | {"untrained": files["weights"]}, epochs=[2], end=7, seed=3)


def test_every_epoch_has_what_measuring_that_encoder_gives():
    n = sum(SIZES.values())
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n + 4, 1, 16, 16), dtype=np.uint8)
    part, points = Part(images, rng.integers(3, size=n + 4)), rng.permutation(n + 4)[:n]
    groups = np.repeat(list(SIZES), list(SIZES.values()))
    options = {
        "layers": LAYERS,
        "augmentation": AUGMENTATIONS["mild"],
        "normalise": Normalise({"mean": [0.4], "std": [0.3]}),
        "protocol": Protocol(draws=4),
    }
    states = {epoch: Encoder(epoch).state_dict() for epoch in (0, 2, 7)}
    drawn = {"replicates": 20, "others": "median"}
    found = trace.units(Encoder(9).eval(), states, part, points, groups, **options, **drawn, seed=3, batch=7)
    assert found["epochs"].tolist() == [0, 2, 7] and found["layers"].tolist() == ["1", "2"]
    assert found["values"].shape == (3, 2, 3) and found["means"].shape == (3, 20, 2, 3) and found["size"] == 9
    for place, epoch in enumerate((0, 2, 7)):
        # The same views as the rule measure shows, and the same resamples after every epoch.
        whole = measure_images(Encoder(epoch).eval(), images[points], points, **options, seed=stream("measure", 3))
        arrays = {"groups": groups, "labels": part.labels[points], "layers": np.array(["1", "2"])}
        arrays |= {f"views/{name}": views for name, views in whole.views.items()}
        expected = resamples.unit_means(arrays, resamples=20, others="median", seed=stream("score_units", 3))
        np.testing.assert_allclose(found["values"][place], expected["values"], atol=1e-5)
        np.testing.assert_allclose(found["means"][place], expected["means"], atol=1e-5)
        np.testing.assert_allclose(found["dealt"][place], expected["dealt"], atol=1e-5)
    assert not np.allclose(found["values"][0], found["values"][1], atol=1e-3)


def test_a_state_of_another_encoder_is_told():
    part = Part(np.zeros((9, 1, 16, 16), np.uint8), np.arange(9) % 3)
    groups = np.repeat(["candidate", "independent", "external"], 3)
    with pytest.raises(InputError, match="epoch 4: belongs to another encoder"):
        trace.units(
            Encoder(0), {4: {"weight": torch.zeros(1)}}, part, np.arange(9), groups, layers=LAYERS,
            augmentation=AUGMENTATIONS["none"], normalise=Normalise({"mean": [0.4], "std": [0.3]}), protocol=Protocol(),
            others="mean", replicates=1, seed=0,
        )  # fmt: skip


def test_views_of_none_are_the_image_itself():
    images = np.random.default_rng(1).integers(0, 256, (6, 1, 16, 16), dtype=np.uint8)
    measures = measure_images(
        Encoder(1).eval(), images, np.arange(6), layers=LAYERS, augmentation=AUGMENTATIONS["none"],
        normalise=Normalise({"mean": [0.4], "std": [0.3]}), protocol=Protocol(draws=4), seed=0,
    )  # fmt: skip
    for name, views in measures.views.items():
        np.testing.assert_allclose(views, np.repeat(measures.plain[name][:, None], 2, axis=1), rtol=1e-5)
    np.testing.assert_allclose(measures.alignment, 0, atol=1e-6)
