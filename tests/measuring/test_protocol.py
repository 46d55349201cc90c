"""Every way of comparing views and reading activations, against the equations in float64."""

from dataclasses import replace

import numpy as np
import pytest

from memloc.data.augmentations import AUGMENTATIONS
from memloc.errors import InputError
from memloc.measuring.protocol import ACTIVATIONS, DISTANCES, PAIRS, REPRESENTATIONS, Protocol
from memloc.models.architectures import choose_layers
from tests.builders import literal
from tests.builders.literal import LAYERS, POINTS, VIT, as_written_out

NORMAL, MASKING = AUGMENTATIONS["normal"], AUGMENTATIONS["masking"]
VIT_LAYERS = choose_layers("vit-tiny", VIT, ["*"])


@pytest.mark.parametrize("channels", [1, 3])
def test_every_layer_of_resnet9_in_single_precision_is_as_written_out(network, normalise, run, channels):
    images = np.random.default_rng(channels).integers(0, 256, size=(5, channels, 16, 16), dtype=np.uint8)
    layers = choose_layers("resnet9", {"width": 0.125, "residual": True}, ["*"])
    got = run(network(seed=2), images, layers=layers)
    forward = literal.resnet9(network(seed=2).double())
    expected = literal.measures(forward, layers, images, POINTS, normalise, Protocol(draws=6))
    assert got.alignment.shape == (5, 11, 2) and got.alignment.dtype == np.float32 and expected[0].min() > 0.001
    assert got.points.tolist() == POINTS.tolist() and got.views["1"].shape == (5, 2, 4)
    as_written_out(got, expected, rtol=3e-5, atol=2e-6)


EACH = {
    **{f"{p}, {d}, {r}": {"pairs": p, "distance": d, "representation": r}
       for p in PAIRS for d in DISTANCES for r in REPRESENTATIONS},
    **{activation: {"activation": activation} for activation in ACTIVATIONS},
}  # fmt: skip


@pytest.mark.parametrize("changes", EACH.values(), ids=EACH)
def test_every_protocol_is_as_written_out(network, images, normalise, run, changes):
    protocol, encoder = Protocol(draws=4, **changes), network(seed=2).double()
    got = run(encoder, images[:2], protocol=protocol)
    expected = literal.measures(literal.resnet9(encoder), LAYERS, images[:2], POINTS, normalise, protocol)
    assert got.alignment.dtype == np.float64 and expected[0].min() > 1e-7 and set(got.views) == {"1", "3", "8"}
    as_written_out(got, expected)
    assert (got.views["1"].min() < 0) == (protocol.activation == "as-is")


@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("augmentation", [MASKING, replace(NORMAL, mask=0.5, patch=2)], ids=["masking", "both"])
def test_a_convolutional_network_sees_hidden_patches_grey(network, images, normalise, run, augmentation, pairs):
    protocol, encoder = Protocol(draws=4, pairs=pairs), network(seed=2).double()
    got = run(encoder, images[:2], protocol=protocol, augmentation=augmentation)
    expected = literal.measures(
        literal.resnet9(encoder), LAYERS, images[:2], POINTS, normalise, protocol, augmentation=augmentation
    )
    assert expected[0].min() > 1e-3
    as_written_out(got, expected)
    # Only views hide anything.
    assert np.array_equal(got.features, run(encoder, images[:2], protocol=protocol).features)


@pytest.mark.parametrize(
    ("augmentation", "representation", "activation"),
    [
        (MASKING, "pooled", "abs"),
        (MASKING, "pooled", "as-is"),
        (replace(NORMAL, mask=0.5), "pooled", "relu"),
        (NORMAL, "flattened", "abs"),
        (NORMAL, "pooled", "abs"),
    ],
    ids=["abs", "as-is", "both", "whole", "whole-pooled"],
)
def test_a_transformer_leaves_hidden_patches_out(vit, images, normalise, run, augmentation, representation, activation):
    protocol, encoder = Protocol(draws=4, representation=representation, activation=activation), vit()
    options = {"augmentation": augmentation, "protocol": protocol}
    got = run(encoder, images[:3], layers=VIT_LAYERS, batch=2, **options)
    forward = literal.transformer(encoder)
    expected = literal.measures(forward, VIT_LAYERS, images[:3], POINTS, normalise, protocol, augmentation=augmentation)
    assert expected[0].min() > 1e-4 and set(got.views) == {"1.fc", "2.fc"}
    assert all(views.shape == (3, 2, 4 * encoder.dim) for views in got.views.values())
    as_written_out(got, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draws": 2}, "draws: 2 must be an even number of at least 4"),
        ({"draws": 7}, "draws: 7 must be an even number of at least 4"),
        ({"pairs": "image-image"}, "pairs: 'image-image' is none of aug-aug, image-aug"),
        ({"distance": "l3"}, "distance: 'l3' is none of l2, l1, cosine, angular"),
        ({"representation": "cls"}, "representation: 'cls' is none of flattened, pooled"),
        ({"activation": "gelu"}, "activation: 'gelu' is none of as-is, abs, relu"),
    ],
)
def test_a_protocol_without_meaning_is_refused_by_its_key(changes, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        Protocol(**changes)
