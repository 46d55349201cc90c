import itertools
import math

import numpy as np
import pytest
import torch

from memloc import io
from memloc.data.augment import UNIFORMS, augment
from memloc.data.augmentations import AUGMENTATIONS
from memloc.errors import InputError
from memloc.measuring.batches import BATCH, TOGETHER, shard, windows
from memloc.measuring.distances import _in_blocks
from memloc.measuring.one_pass import measure_images, pack
from memloc.measuring.protocol import Protocol
from memloc.models.architectures import choose_layers
from memloc.streams import uniforms

OPTIONS = {"width": 0.125, "residual": True}
LAYERS = choose_layers("resnet9", OPTIONS, ["*"])
RECIPE = AUGMENTATIONS["normal"]


def literal_forward(encoder, x):
    """Raw convolutions, residual sums and block outputs of one image in float64, block by block, without hooks."""
    raw, out = {}, {}
    for i in range(1, 9):
        block = encoder.get_submodule(f"block{i}")
        if i in (3, 7):
            entry = x
        raw[str(i)] = block.conv(x)
        x = block.pool(torch.relu(block.norm(raw[str(i)])))
        out[str(i)] = x
        if i in (4, 8):
            x = x + entry
            raw["res2" if i == 4 else "res6"] = x
    raw["output"] = x.amax(dim=(2, 3))
    return raw, out, raw["output"][0]


def literal_measures(encoder, images, points, normalise, *, draws, seed):
    """Eqs. 1 and 5 written out: one image, one view, one pair at a time, in float64."""
    encoder = encoder.double()
    mean, std = normalise.mean.double(), normalise.std.double()

    def forward(picture):
        with torch.no_grad():
            return literal_forward(encoder, ((picture.double() - mean) / std).expand(1, 3, -1, -1))

    alignment = np.zeros((len(points), len(LAYERS), 2))
    views = {str(i): [] for i in range(1, 9)}
    plain = {str(i): [] for i in range(1, 9)}
    features = []
    for n, point in enumerate(points):
        picture = torch.from_numpy(images[n : n + 1]).float() / 255
        u = torch.from_numpy(uniforms(seed, np.array([point]), (draws, UNIFORMS)))[0]
        passes = [forward(augment(picture, u[k : k + 1], RECIPE)) for k in range(draws)]
        for k, layer in enumerate(LAYERS):
            for half in range(2):
                distances = []
                for a, b in itertools.combinations(range(half * draws // 2, (half + 1) * draws // 2), 2):
                    x, y = passes[a][0][layer.name].flatten(), passes[b][0][layer.name].flatten()
                    x, y = x / math.sqrt(float((x * x).sum())), y / math.sqrt(float((y * y).sum()))
                    distances.append(math.sqrt(float(((x - y) ** 2).sum())))
                alignment[n, k, half] = sum(distances) / len(distances)
        _, out, feature = forward(picture)
        for name in views:
            units = passes[0][1][name].shape[1]
            means = [[float(p[1][name][0, u].mean()) for u in range(units)] for p in passes]
            views[name].append([np.mean(half, axis=0) for half in (means[: draws // 2], means[draws // 2 :])])
            plain[name].append([float(out[name][0, u].mean()) for u in range(units)])
        features.append(feature.numpy())
    encoder.float()
    return alignment, views, plain, np.array(features)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, size=(5, 1, 16, 16), dtype=np.uint8)


POINTS = np.array([12, 3, 40, 7, 25])


def run(encoder, images, normalise, points=POINTS, **changes):
    options = {
        "layers": LAYERS,
        "recipe": RECIPE,
        "normalise": normalise,
        "protocol": Protocol(draws=6),
        "seed": 5,
        **changes,
    }
    return measure_images(encoder, images, points, **options)


def test_measures_equal_a_literal_reference(network, images, normalise):
    encoder = network(seed=2)
    got = run(encoder, images, normalise)
    alignment, views, plain, features = literal_measures(encoder, images, POINTS, normalise, draws=6, seed=5)
    assert got.alignment.shape == (5, 11, 2) and alignment.min() > 0.001
    np.testing.assert_allclose(got.alignment, alignment, rtol=3e-5)
    for name in views:
        assert got.views[name].shape[:2] == (5, 2)
        np.testing.assert_allclose(got.views[name], views[name], rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(got.plain[name], plain[name], rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(got.features, features, rtol=2e-5, atol=2e-6)


def test_images_of_three_channels_are_measured_too(network, normalise):
    images = np.random.default_rng(1).integers(0, 256, size=(2, 3, 16, 16), dtype=np.uint8)
    encoder = network(seed=2)
    got = run(encoder, images, normalise, points=POINTS[:2])
    alignment, views, _, _ = literal_measures(encoder, images, POINTS[:2], normalise, draws=6, seed=5)
    np.testing.assert_allclose(got.alignment, alignment, rtol=3e-5)
    np.testing.assert_allclose(got.views["8"], views["8"], rtol=2e-5, atol=2e-6)


def test_measures_do_not_depend_on_the_batch_nor_on_the_order_of_points(network, images, normalise):
    encoder = network()
    whole = run(encoder, images, normalise)
    small = run(encoder, images, normalise, batch=2)
    back = run(encoder, images[::-1], normalise, points=POINTS[::-1])
    for other, rows in ((small, slice(None)), (back, slice(None, None, -1))):
        np.testing.assert_allclose(other.alignment[rows], whole.alignment, rtol=3e-5)
        np.testing.assert_allclose(other.features[rows], whole.features, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(other.views["3"][rows], whole.views["3"], rtol=1e-5, atol=1e-6)


def test_two_encoders_see_the_same_views_and_a_point_keeps_them(network, images, normalise, monkeypatch):
    seen = []

    def spy(*args):
        seen.append(augment(*args))
        return seen[-1]

    monkeypatch.setattr("memloc.measuring.views.augment", spy)
    run(network(seed=0), images, normalise)
    run(network(seed=1), images, normalise)
    run(network(seed=1), images[2:3], normalise, points=POINTS[2:3])
    run(network(seed=1), images, normalise, seed=6)
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[2], seen[0][12:18])
    assert not torch.equal(seen[3], seen[0])


def test_views_of_one_image_differ_from_one_another(network, images, normalise):
    assert (run(network(), images, normalise).alignment > 1e-3).all()


def test_an_image_whose_views_are_all_alike_is_perfectly_aligned(network, normalise):
    black = np.zeros((2, 1, 16, 16), dtype=np.uint8)
    got = run(network(), black, normalise, points=POINTS[:2])
    assert (got.alignment == 0).all()


def test_the_scale_of_a_representation_does_not_matter_to_alignment(network, images, normalise):
    encoder = network()
    before = run(encoder, images, normalise)
    with torch.no_grad():
        encoder.block8.conv.weight *= 8
        encoder.block8.conv.bias *= 8
    after = run(encoder, images, normalise)
    last = [layer.name for layer in LAYERS].index("8")
    np.testing.assert_allclose(after.alignment[:, last], before.alignment[:, last], rtol=1e-5)


def test_measuring_leaves_the_encoder_as_it_was(network, images, normalise):
    encoder = network().train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    run(encoder, images, normalise)
    assert encoder.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def test_residual_sums_have_alignment_but_no_units(network, images, normalise):
    got = run(network(), images, normalise, layers=choose_layers("resnet9", OPTIONS, ["res*", "2"]))
    assert got.alignment.shape == (5, 3, 2)
    assert set(got.views) == set(got.plain) == {"2"}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_output_that_is_not_finite_is_an_input_error(network, images, normalise, bad):
    encoder = network()
    with torch.no_grad():
        encoder.block5.conv.bias[0] = bad
    with pytest.raises(InputError, match=r"layer 5: .*isn't finite"):
        run(encoder, images, normalise)


def test_features_that_are_not_finite_are_an_input_error_too(network, images, normalise):
    encoder = network()
    with torch.no_grad():
        encoder.block8.norm.bias[0] = math.nan
    with pytest.raises(InputError, match="isn't finite"):
        run(encoder, images, normalise, layers=choose_layers("resnet9", OPTIONS, ["1"]))


def test_packed_arrays_have_names_that_scores_read(network, images, normalise):
    layers = choose_layers("resnet9", OPTIONS, ["1", "res2"])
    encoder = network()
    got = run(encoder, images, normalise, layers=layers)
    arrays = pack(got, layers, encoder, points=POINTS)
    about = {"points", "layers", "own", "kinds", "parameters"}
    assert set(arrays) == about | {"alignment", "features", "views/1", "plain/1"}
    assert arrays["layers"].tolist() == ["1", "res2"] and arrays["own"].tolist() == [True, False]
    assert arrays["kinds"].tolist() == ["convolution", "sum"]
    # Four filters of 3 x 3 pixels of three channels, their biases, and scale and shift of their normalisation.
    assert arrays["parameters"].tolist() == [4 * (3 * 9 + 1) + 2 * 4, 0]
    assert arrays["views/1"] is got.views["1"] and arrays["plain/1"] is got.plain["1"]


@pytest.mark.parametrize("points", [0, 1, 25, 26, 103])
@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_parts_are_whole_batches_and_everything(points, of):
    parts = [shard(points, number=number, of=of) for number in range(1, of + 1)]
    assert [row for part in parts for row in range(points)[part]] == list(range(points))
    assert all(part.start % BATCH == 0 for part in parts if part.start < points)


def test_windows_of_a_file_are_those_of_the_images_and_parts_of_them_those_of_the_whole(tmp_path):
    stored = np.random.default_rng(0).integers(0, 256, (80, 1, 4, 4), dtype=np.uint8)
    io.save_array(stored, tmp_path / "images.npy")
    points = np.random.default_rng(1).permutation(80)[:60]
    whole = list(windows(tmp_path / "images.npy", points))
    assert [len(some) for _, some in whole] == [25, 25, 10]
    assert all(np.array_equal(images, stored[some]) for images, some in whole)
    cut = [w for k in (1, 2) for w in windows(tmp_path / "images.npy", points[shard(60, number=k, of=2)])]
    assert [some.tolist() for _, some in cut] == [some.tolist() for _, some in whole]
    assert not any(isinstance(images, np.memmap) for images, _ in whole)
    several = windows(tmp_path / "images.npy", points, device="cuda")
    assert [len(some) for _, some in several] == [min(60, BATCH * TOGETHER["cuda"])] == [60]


@pytest.mark.parametrize("length", [5, 64, 100, 131])
def test_products_of_rows_are_the_same_from_blocks(length):
    """As few long matrices are multiplied on a GPU, and long ones on a CPU."""
    matrices = torch.randn(3, 4, length, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(_in_blocks(matrices, 32), matrices @ matrices.transpose(1, 2))
