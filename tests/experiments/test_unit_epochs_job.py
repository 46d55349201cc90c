"""One encoder after several epochs of its training, measured on the same images and views."""

from types import SimpleNamespace

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
from memloc.provenance import file_sha256
from memloc.streams import stream
from tests.builders.desk import desk

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
        beside = {"weights": checkpoint.stated(tmp_path / "weights")[0]} if name == "snapshots" else {}
        checkpoint.save(tensors, {"role": role, "seed": seed, **beside}, tmp_path / name)
        return tmp_path / name

    kept = {f"{e}.{name}": value for e in (2, 5, 7) for name, value in Encoder(e).state_dict().items()}
    return {
        "weights": save("weights", Encoder(7).state_dict(), "f"),
        "untrained": save("untrained", Encoder(0).state_dict(), "untrained"),
        "snapshots": save("snapshots", kept, "f"),
    }


def of(seed):
    return lambda role: {"role": role, "seed": seed}


def test_the_states_are_the_untrained_the_kept_and_the_last_in_order(files):
    found = trace.states(**files, epochs=[5, 2, 7], end=7, training=of(3))
    assert list(found) == [0, 2, 5, 7]
    for epoch, state in found.items():
        expected = Encoder(epoch).state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert list(trace.states(**files, epochs=[5], end=7, training=of(3))) == [0, 5, 7]


def test_an_epoch_that_was_not_kept_and_files_of_another_training_are_told(files):
    with pytest.raises(InputError, match=r"snapshots: holds no epoch 3; delete it"):
        trace.states(**files, epochs=[2, 3], end=7, training=of(3))
    with pytest.raises(InputError, match="belongs to f, seed 3"):
        trace.states(**files, epochs=[2], end=7, training=of(4))
    with pytest.raises(InputError, match="belongs to f, seed 3"):
        trace.states(**files | {"untrained": files["weights"]}, epochs=[2], end=7, training=of(3))


def test_snapshots_beside_other_weights_are_told(files):
    checkpoint.save(Encoder(8).state_dict(), {"role": "f", "seed": 3}, files["weights"])
    with pytest.raises(InputError, match=r"snapshots: belongs to another training \(weights differ\)"):
        trace.states(**files, epochs=[2], end=7, training=of(3))


def lay(encoder, **things):
    """A desk with an encoder, images of all groups and a way to measure them."""
    bounds = np.cumsum([0, *SIZES.values()])
    rng = np.random.default_rng(0)
    points = rng.permutation(bounds[-1] + 4)[: bounds[-1]]
    images = rng.integers(0, 256, (bounds[-1] + 4, 1, 16, 16), dtype=np.uint8)
    return desk(
        encoder=encoder.eval(),
        part=Part(images, rng.integers(3, size=bounds[-1] + 4)),
        split={group: points[bounds[i] : bounds[i + 1]] for i, group in enumerate(SIZES)},
        unit_layers=LAYERS,
        augmentation=AUGMENTATIONS["mild"],
        normalise=Normalise({"mean": [0.4], "std": [0.3]}),
        protocol=Protocol(draws=4),
        others="median",
        resamples=20,
        seed=3,
        **things,
    )


def test_every_epoch_has_what_measuring_that_encoder_gives():
    it = lay(Encoder(9))
    out = trace.units(it, {epoch: Encoder(epoch).state_dict() for epoch in (0, 2, 7)})
    assert out["epochs"].tolist() == [0, 2, 7] and out["layers"].tolist() == ["1", "2"]
    assert out["values"].shape == (3, 2, 3) and out["means"].shape == (3, 20, 2, 3) and out["size"] == 9
    groups = np.repeat(list(SIZES), list(SIZES.values()))
    points = np.concatenate([it.split[group] for group in SIZES])
    ways = {"layers": LAYERS, "augmentation": it.augmentation, "normalise": it.normalise, "protocol": it.protocol}
    for place, epoch in enumerate((0, 2, 7)):
        # The same views as the rule measure shows, and the same resamples after every epoch.
        seed, images = stream("measure", 3), it.part.images[points]
        whole = measure_images(Encoder(epoch).eval(), images, points, **ways, seed=seed)
        arrays = {"groups": groups, "labels": it.part.labels[points], "layers": np.array(["1", "2"])}
        arrays |= {f"views/{name}": views for name, views in whole.views.items()}
        expected = resamples.unit_means(arrays, resamples=20, others="median", seed=stream("score_units", 3))
        for name in ("values", "means", "dealt"):
            np.testing.assert_allclose(out[name][place], expected[name], atol=1e-5)
    assert not np.allclose(out["values"][0], out["values"][1], atol=1e-3)


def test_a_history_of_another_training_is_told(files, tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "units", lambda desk, states: {"epochs": np.array(list(states))})
    history = tmp_path / "history.csv"
    history.write_text("epoch,loss\n1,0.5\n2,0.25\n")
    kept, about = checkpoint.load(files["snapshots"])
    checkpoint.save(kept, about | {"history": file_sha256(history)}, files["snapshots"])
    told = {"training": {"snapshots": [2, 5], "epochs": 7, "warmup_epochs": 1}}
    it = desk(settings=told, files=SimpleNamespace(**files, history=history), training=of(3))
    out = trace.run(it)
    assert out["epochs"].tolist() == [0, 2, 5, 7] and out["loss"].tolist() == [0.5, 0.25] and out["warmup"] == 1
    history.write_text("epoch,loss\n1,0.5\n2,0.125\n")
    with pytest.raises(InputError, match=r"history\.csv: belongs to another training; delete it to train anew"):
        trace.run(it)


def test_a_state_of_another_encoder_is_told():
    with pytest.raises(InputError, match="epoch 4: belongs to another encoder"):
        trace.units(lay(Encoder(0)), {4: {"weight": torch.zeros(1)}})


def test_views_of_none_are_the_image_itself():
    images = np.random.default_rng(1).integers(0, 256, (6, 1, 16, 16), dtype=np.uint8)
    measures = measure_images(
        Encoder(1).eval(), images, np.arange(6), layers=LAYERS, augmentation=AUGMENTATIONS["none"],
        normalise=Normalise({"mean": [0.4], "std": [0.3]}), protocol=Protocol(draws=4), seed=0,
    )  # fmt: skip
    for name, views in measures.views.items():
        np.testing.assert_allclose(views, np.repeat(measures.plain[name][:, None], 2, axis=1), rtol=1e-5)
    np.testing.assert_allclose(measures.alignment, 0, atol=1e-6)
