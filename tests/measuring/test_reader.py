"""Reading outputs of every layout, and refusing those that can't be read."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from memloc.errors import InputError
from memloc.measuring.protocol import ACTIVATIONS, DISTANCES, REPRESENTATIONS, Protocol
from memloc.metrics.units import unitmem
from memloc.models.architectures import Layer, choose_layers
from tests.builders.literal import same


class Shapes(nn.Module):
    """The same feature maps laid out in every way that encoders have."""

    def __init__(self, bad=None):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bad = bad
        for name in ("rows", "last", "tokens", "grid", "windows", "other"):
            self.add_module(name, nn.Identity())

    def forward(self, x):
        x = self.conv(x)
        n, c, h, w = x.shape
        self.rows(x.contiguous())
        self.last(x.contiguous(memory_format=torch.channels_last))
        tokens = x.flatten(2).transpose(1, 2)
        self.tokens(tokens.contiguous())
        self.grid(x.permute(0, 2, 3, 1).contiguous())
        windows = tokens.reshape(n, 2, h // 2, 2, w // 2, c).transpose(2, 3)
        self.windows(windows.reshape(n * 4, h * w // 4, c))
        if self.bad is not None:
            self.other(self.bad(tokens))
        return x.mean(dim=(2, 3))


AXES = {"rows": 1, "last": 1, "tokens": -1, "grid": -1, "windows": -1}


def shapes(bad=None):
    torch.manual_seed(0)
    return Shapes(bad).double().eval()


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_maps_tokens_and_windows_measure_alike(images, run, representation, activation):
    layers = tuple(Layer(name, name, name, 1.0, axis) for name, axis in AXES.items())
    protocol = Protocol(draws=4, representation=representation, activation=activation)
    got = run(shapes(), images, layers=layers, protocol=protocol)
    assert got.views["rows"].shape == (5, 2, 8) and np.abs(got.views["rows"]).min() > 1e-3
    for k, name in enumerate(AXES):
        np.testing.assert_allclose(got.alignment[:, k], got.alignment[:, 0], rtol=1e-10)
        np.testing.assert_allclose(got.views[name], got.views["rows"], rtol=1e-10, atol=1e-15)
        np.testing.assert_allclose(got.plain[name], got.plain["rows"], rtol=1e-10, atol=1e-15)


def test_the_memory_format_of_an_encoder_does_not_matter(network, images, run):
    encoder = network(seed=4).double()
    expected = run(encoder, images)
    same(run(encoder.to(memory_format=torch.channels_last), images), expected)


@pytest.mark.parametrize(
    ("bad", "axis"),
    [
        (lambda tokens: tokens[:1], -1),
        (lambda tokens: tokens[1:], -1),
        (lambda tokens: torch.cat([tokens, tokens[:1]]), -1),
        (lambda tokens: tokens[0, :, 0], -1),
        (lambda tokens: torch.cat([tokens, tokens]), 1),
    ],
    ids=["one", "fewer", "more", "flat", "windows-of-maps"],
)
@pytest.mark.parametrize("places", [("other", None), ("conv", "other")], ids=["representation", "units"])
def test_an_output_that_does_not_count_views_is_refused_by_its_layer(images, run, bad, axis, places):
    with pytest.raises(InputError, match=r"^layer x: its output \[.* has no dimension for 35 views; [^\n]*$"):
        run(shapes(bad), images, layers=(Layer("x", *places, 1.0, axis),))


def test_a_layer_that_is_not_called_is_refused(images, run):
    with pytest.raises(InputError, match=r"^layer x: the encoder didn't call it"):
        run(shapes(), images, layers=(Layer("x", "conv", "other", 1.0),))


def test_permuted_units_are_measured_in_their_new_places(network, images, run):
    layers = choose_layers("resnet9", {"width": 0.125, "residual": True}, ["*"])
    encoder = network(seed=3).double()
    before = run(encoder, images, layers=layers)
    order = torch.randperm(encoder.block5.conv.out_channels, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for module in (encoder.block5.conv, encoder.block5.norm):
            for tensor in (*module.parameters(), *(b for b in module.buffers() if b.dim())):
                tensor.copy_(tensor[order].clone())
        encoder.block6.conv.weight.copy_(encoder.block6.conv.weight[:, order].clone())
    after = run(encoder, images, layers=layers)
    np.testing.assert_allclose(after.alignment, before.alignment, rtol=1e-10)
    np.testing.assert_allclose(after.views["5"], before.views["5"][..., order.numpy()], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(after.views["8"], before.views["8"], rtol=1e-10, atol=1e-14)
    assert not np.allclose(after.views["5"], before.views["5"])


def test_the_scale_of_a_unit_scales_its_activations_and_leaves_unitmem(network, images, run):
    encoder = network(seed=3).double()
    before = run(encoder, images).views["8"]
    factor = torch.linspace(0.1, 40, encoder.block8.norm.num_features, dtype=torch.float64)
    with torch.no_grad():
        encoder.block8.norm.weight *= factor
        encoder.block8.norm.bias *= factor
    after = run(encoder, images).views["8"]
    np.testing.assert_allclose(after, before * factor.numpy(), rtol=1e-9)
    np.testing.assert_allclose(unitmem(after.mean(axis=1)), unitmem(before.mean(axis=1)), rtol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_activations_that_are_not_finite_name_their_layer(network, images, one_batch, activation, bad):
    encoder = network()
    with torch.no_grad():
        encoder.block3.norm.bias[1] = bad
    with pytest.raises(InputError, match=r"^layer 3: output isn't finite[^\n]*$"):
        one_batch(encoder, images, protocol=Protocol(draws=4, activation=activation), alignment=False)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_representations_that_are_not_finite_name_their_layer(network, images, run, distance, representation, bad):
    encoder = network()
    with torch.no_grad():
        encoder.block3.conv.bias[1] = bad
    protocol = Protocol(draws=4, distance=distance, representation=representation)
    with pytest.raises(InputError, match=r"^layer 3: output isn't finite"):
        run(encoder, images[:2], protocol=protocol)


def test_features_that_are_not_finite_are_refused(network, images, run):
    encoder = network()
    with torch.no_grad():
        encoder.block8.norm.bias[0] = math.nan
    with pytest.raises(InputError, match=r"^layer output: output isn't finite"):
        run(encoder, images, layers=choose_layers("resnet9", {"residual": True}, ["1"]))
