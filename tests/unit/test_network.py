import pytest
import torch

from memloc import checkpoint, network
from memloc.errors import InputError


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_normalising_standardises_and_gives_three_channels(description):
    grey = torch.rand(2, 1, 4, 4)
    out = network.Normalise(description)(grey)
    assert out.shape == (2, 3, 4, 4)
    for channel in range(3):
        torch.testing.assert_close(out[:, channel], (grey[:, 0] - 0.4) / 0.3)
    colour = torch.rand(2, 3, 4, 4)
    out = network.Normalise({"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 4.0]})(colour)
    torch.testing.assert_close(out[:, 2], (colour[:, 2] - 0.3) / 4)
    torch.testing.assert_close(out[:, 0], colour[:, 0] - 0.1)


def test_an_encoder_is_loaded_as_it_was_saved(request, tmp_path):
    encoder = request.getfixturevalue("network")()
    checkpoint.save(encoder.state_dict(), {"seed": 3, "role": "g"}, tmp_path / "w.safetensors")

    def load(width, **whose):
        options = {"width": width, "residual": True}
        return network.load("resnet9", options, tmp_path / "w.safetensors", image_size=16, **whose)

    loaded = load(0.125, seed=3, role="g")
    assert same(loaded, encoder) and not loaded.training
    with pytest.raises(InputError, match=r"w\.safetensors: belongs to another encoder"):
        load(0.25, seed=3, role="g")
    for seed, role in ((2, "g"), (3, "f")):
        with pytest.raises(InputError, match=r"w\.safetensors: belongs to g, seed 3"):
            load(0.125, seed=seed, role=role)


def test_cuda_without_cuda_is_an_input_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert network.device("auto") == network.device("cpu") == "cpu"
    with pytest.raises(InputError, match=r"device: cuda.*cpu or auto"):
        network.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert network.device("auto") == network.device("cuda") == "cuda" and network.device("cpu") == "cpu"
