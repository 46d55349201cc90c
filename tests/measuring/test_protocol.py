"""Every way of comparing views and reading activations, against the equations in float64, and on odd encoders."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from memloc.data.augment import UNIFORMS, augment, hidden
from memloc.data.augmentations import AUGMENTATIONS, Augmentation
from memloc.errors import InputError
from memloc.measuring.distances import alignments
from memloc.measuring.one_pass import measure_batches, measure_images
from memloc.measuring.protocol import ACTIVATIONS, DISTANCES, PAIRS, REPRESENTATIONS, Protocol
from memloc.measuring.views import with_views
from memloc.metrics.units import unitmem
from memloc.models.architectures import Layer, build, choose_layers
from memloc.streams import uniforms

RECIPE = AUGMENTATIONS["normal"]
POINTS = np.array([12, 3, 40, 7, 25])
# Units before a ReLU too, where abs and relu are no identity.
LAYERS = (
    Layer("1", "block1.conv", "block1.conv", 1.0),
    Layer("3", "block3.conv", "block3.norm", 2.0),
    Layer("res6", "res6", None, 3.0),
    Layer("8", "block8.conv", "block8", 4.0),
)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, size=(5, 1, 16, 16), dtype=np.uint8)


@pytest.fixture
def run(normalise):
    def go(encoder, images, points=None, **changes):
        points = POINTS[: len(images)] if points is None else points
        options = {"layers": LAYERS, "recipe": RECIPE, "protocol": Protocol(draws=6), "seed": 5, **changes}
        return measure_images(encoder, images, points, normalise=normalise, **options)

    return go


def literal_outputs(encoder, x):
    """What the modules of a ResNet9 put out on one image, block by block, without hooks."""
    out = {}
    for i in range(1, 9):
        block = encoder.get_submodule(f"block{i}")
        if i in (3, 7):
            entry = x
        out[f"block{i}.conv"] = block.conv(x)
        out[f"block{i}.norm"] = block.norm(out[f"block{i}.conv"])
        x = out[f"block{i}"] = block.pool(torch.relu(out[f"block{i}.norm"]))
        if i in (4, 8):
            x = out["res2" if i == 4 else "res6"] = x + entry
    return out


def literal_distance(x, y, distance):
    """Between two representations scaled to unit length, in float64."""
    x, y = x.double().flatten(), y.double().flatten()
    x, y = x / math.sqrt(float((x * x).sum())), y / math.sqrt(float((y * y).sum()))
    if distance == "l2":
        return math.sqrt(float(((x - y) ** 2).sum()))
    if distance == "l1":
        return float((x - y).abs().sum())
    if distance == "cosine":
        return float(((x - y) ** 2).sum()) / 2  # 1 - x.y without cancellation.
    # The angle from its tangent; the cosine of a small angle would cancel.
    return math.atan2(math.sqrt(float(((x - (x @ y) * y) ** 2).sum())), float(x @ y)) / math.pi


def literal_alignment(views, protocol, image=None):
    """[2] mean distance within each half of the views."""
    out = []
    for half in (views[: len(views) // 2], views[len(views) // 2 :]):
        pairs = [(image, v) for v in half] if protocol.pairs == "image-aug" else itertools.combinations(half, 2)
        out.append(np.mean([literal_distance(x, y, protocol.distance) for x, y in pairs]))
    return out


ACT = {"as-is": lambda v: v, "abs": abs, "relu": lambda v: max(v, 0.0)}


def literal_view(picture, row, recipe, normalise):
    """One view of one image as an encoder sees it, its hidden patches grey, and which patches are visible."""
    shown = normalise(augment(picture[None], row[None], recipe)).double()
    if not recipe.mask:
        return shown, None
    covered, side = hidden(row[None], recipe, shown.shape[-1])[0], recipe.patch
    across = shown.shape[-1] // side
    for number in covered.nonzero()[:, 0].tolist():
        top, left = number // across * side, number % across * side
        shown[..., top : top + side, left : left + side] = 0
    return shown, (~covered).nonzero()[:, 0]


def literal_measures(encoder, images, normalise, protocol, *, seed, recipe=RECIPE):
    """Eqs. 1 and 5 written out, one image, one view, one pair at a time: alignment, views, plain."""
    act = ACT[protocol.activation]
    alignment = np.zeros((len(images), len(LAYERS), 2))
    views, plain = {x.name: [] for x in LAYERS if x.units}, {x.name: [] for x in LAYERS if x.units}
    for n, picture in enumerate(torch.from_numpy(images).float() / 255):
        u = torch.from_numpy(uniforms(seed, POINTS[n : n + 1], (protocol.draws, UNIFORMS)))[0]
        shown = [normalise(picture[None]).double(), *(literal_view(picture, row, recipe, normalise)[0] for row in u)]
        with torch.no_grad():
            passes = [literal_outputs(encoder, x) for x in shown]
        for k, layer in enumerate(LAYERS):
            maps = [p[layer.representation][0] for p in passes]
            if protocol.representation == "pooled":
                maps = [m.mean(dim=(1, 2)) for m in maps]
            alignment[n, k] = literal_alignment(maps[1:], protocol, maps[0])
            if layer.units:
                means = [[np.mean([act(float(v)) for v in c.flatten()]) for c in p[layer.units][0]] for p in passes]
                plain[layer.name].append(means[0])
                views[layer.name].append([np.mean(half, axis=0) for half in np.array_split(means[1:], 2)])
    return alignment, views, plain


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("pairs", PAIRS)
def test_alignment_equals_a_literal_reference(network, images, normalise, run, pairs, distance, representation):
    protocol = Protocol(draws=4, pairs=pairs, distance=distance, representation=representation)
    encoder = network(seed=2).double()
    got = run(encoder, images[:2], protocol=protocol)
    expected, _, _ = literal_measures(encoder, images[:2], normalise, protocol, seed=5)
    assert got.alignment.dtype == np.float64 and expected.min() > 1e-7
    np.testing.assert_allclose(got.alignment, expected, rtol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_equal_a_literal_reference(network, images, normalise, run, activation):
    protocol = Protocol(draws=4, activation=activation)
    encoder = network(seed=2).double()
    got = run(encoder, images[:2], protocol=protocol)
    _, views, plain = literal_measures(encoder, images[:2], normalise, protocol, seed=5)
    assert set(got.views) == set(got.plain) == {"1", "3", "8"}
    for name in views:
        np.testing.assert_allclose(got.views[name], views[name], rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(got.plain[name], plain[name], rtol=1e-9, atol=1e-14)
    assert (got.views["1"].min() < 0) == (activation == "as-is")


def test_the_plain_image_is_compared_with_its_views_whether_it_is_asked_for_or_not(network, images, normalise, run):
    encoder, protocol = network(), Protocol(draws=4, pairs="image-aug")
    whole = run(encoder, images, protocol=protocol)
    options = {"layers": LAYERS, "recipe": RECIPE, "normalise": normalise, "protocol": protocol, "seed": 5}
    (bare,) = measure_batches(encoder, [(images, POINTS)], plain=False, **options)
    assert bare.features is None and bare.plain == {}
    assert np.array_equal(bare.alignment, whole.alignment) and np.array_equal(bare.views["3"], whole.views["3"])
    (mute,) = measure_batches(encoder, [(images, POINTS)], plain=False, alignment=False, **options)
    assert mute.alignment is None and mute.views["3"].shape == whole.views["3"].shape
    np.testing.assert_allclose(mute.views["3"], whole.views["3"], rtol=1e-5, atol=1e-6)
    (blind,) = measure_batches(encoder, [(images, POINTS)], activations=False, **options)
    assert blind.views == blind.plain == {} and np.array_equal(blind.alignment, whole.alignment)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"draws": 2}, "draws"),
        ({"draws": 7}, "draws"),
        ({"pairs": "image-image"}, "pairs"),
        ({"distance": "l3"}, "distance"),
        ({"representation": "cls"}, "representation"),
        ({"activation": "gelu"}, "activation"),
    ],
)
def test_a_protocol_that_means_nothing_is_an_input_error_of_its_key(changes, key):
    with pytest.raises(InputError, match=f"^{key}: ") as caught:
        Protocol(**changes)
    assert "\n" not in str(caught.value)


# Distances in float32


def near_views(apart, *, images=3, views=6, length=900, seed=0):
    """Representations whose views lie about so far apart once scaled to unit length."""
    draws = torch.Generator().manual_seed(seed)
    base = torch.randn(images, 1, length, generator=draws)
    return base + apart / math.sqrt(2) * torch.randn(images, views, length, generator=draws)


def literally(representations, protocol, *, plain=False):
    rows = representations.flatten(2)
    return np.array([literal_alignment([*r[int(plain) :]], protocol, r[0] if plain else None) for r in rows])


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("apart", [1.0, 0.2, 0.1, 0.09, 0.03, 1e-2, 1e-3, 3e-4])
def test_near_views_are_told_apart_in_single_precision(apart, distance):
    views, protocol = near_views(apart), Protocol(draws=6, distance=distance)
    got = alignments(views, protocol, plain=False)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), literally(views, protocol), rtol=1e-3)


def test_one_near_pair_among_distant_ones_is_as_exact():
    views, protocol = near_views(1.0, views=4), Protocol(draws=4)
    views[1, 3] = views[1, 2] + 1e-3 * torch.randn(900, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(alignments(views, protocol, plain=False).numpy(), literally(views, protocol), rtol=1e-3)
    views[1, 3] = views[1, 2]
    assert alignments(views, protocol, plain=False)[1, 1] == 0


def test_a_network_that_hardly_moves_is_measured_alike_in_single_and_double_precision(network, run):
    still = Augmentation(0.02, 0.02, 0, 0, jitter=1.0, flip=0.0, grey=0.0, scale=(0.999, 1.0), ratio=(1.0, 1.0))
    images = np.random.default_rng(1).integers(0, 256, size=(3, 1, 16, 16), dtype=np.uint8)
    single = run(network(seed=2), images, recipe=still).alignment
    double = run(network(seed=2).double(), images, recipe=still).alignment
    assert double.min() > 1e-5 and double.max() < 0.1
    np.testing.assert_allclose(single, double, rtol=1e-3)


@pytest.mark.parametrize("apart", [0.5, 1e-2])
@pytest.mark.parametrize("length", [33 * 1024 - 1, 33 * 1024, 34_000, 70_001])
@pytest.mark.parametrize("pairs", PAIRS)
def test_long_representations_are_compared_in_full(length, apart, pairs):
    plain = pairs == "image-aug"
    views, protocol = near_views(apart, images=2, views=4 + plain, length=length), Protocol(draws=4, pairs=pairs)
    # The end weighs most, so that leaving it out would show.
    views[:, :, -150:] *= torch.linspace(5, 50, 150)
    views[:, :, -1] += 300 * torch.arange(4 + plain) * apart
    got = alignments(views, protocol, plain=plain)
    np.testing.assert_allclose(got.numpy(), literally(views, protocol, plain=plain), rtol=1e-3)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("scale", [1e-25, 1e-12, 1e-3, 1e12, 1e25])
def test_neither_tiny_nor_huge_representations_lose_their_distances(scale, distance):
    for apart in (0.7, 1e-2):
        views, protocol = near_views(apart), Protocol(draws=6, distance=distance)
        got = alignments(views * scale, protocol, plain=False).numpy()
        np.testing.assert_allclose(got, literally(views, protocol), rtol=1e-3)


@pytest.mark.parametrize("distance", DISTANCES)
def test_every_view_is_scaled_by_its_own_length(distance):
    views, protocol = near_views(0.5), Protocol(draws=6, distance=distance)
    factor = torch.tensor([1e-12, 1.0, 7.0, 1e12, 0.3, 1e3])[:, None]
    got = alignments(views * factor, protocol, plain=False).numpy()
    np.testing.assert_allclose(got, literally(views, protocol), rtol=1e-3)


@pytest.mark.parametrize("distance", DISTANCES)
def test_representations_of_zeros_are_aligned_and_never_nan(distance):
    protocol = Protocol(draws=6, distance=distance)
    views = near_views(0.7)
    views[0] = 0
    views[1, 0] = 0
    got = alignments(views, protocol, plain=False)
    assert torch.isfinite(got).all() and (got[0] == 0).all() and (got[1:] > 0).all()
    np.testing.assert_allclose(got[2], literally(views[2:], protocol)[0], rtol=1e-3)
    if distance == "l2":  # What has no direction is one unit length away from what has.
        assert got[1, 0] == pytest.approx((1 + 1 + literal_distance(views[1, 1], views[1, 2], "l2")) / 3, rel=1e-4)


# Hidden patches

MASKING = AUGMENTATIONS["masking"]
MASKED = replace(RECIPE, mask=0.5, patch=2)
DEPTH = 2
VIT = {"patch": 4, "depth": DEPTH, "width": 1}
VIT_LAYERS = choose_layers("vit-tiny", VIT, ["*"])


@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("recipe", [MASKING, MASKED], ids=["masking", "both"])
def test_a_convolutional_network_sees_hidden_patches_grey(network, images, normalise, run, recipe, pairs):
    protocol = Protocol(draws=4, pairs=pairs)
    encoder = network(seed=2).double()
    got = run(encoder, images[:2], protocol=protocol, recipe=recipe)
    alignment, views, plain = literal_measures(encoder, images[:2], normalise, protocol, seed=5, recipe=recipe)
    assert alignment.min() > 1e-3
    np.testing.assert_allclose(got.alignment, alignment, rtol=1e-9)
    for name in views:
        np.testing.assert_allclose(got.views[name], views[name], rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(got.plain[name], plain[name], rtol=1e-9, atol=1e-14)
    # Only views hide anything.
    assert np.array_equal(got.features, run(encoder, images[:2], protocol=protocol).features)


def test_hidden_patches_are_grey_or_nan_in_the_views_and_nothing_in_the_image(images, normalise):
    u = torch.from_numpy(uniforms(5, POINTS, (4, UNIFORMS)))
    grey = with_views(images, u, MASKING, normalise, plain=True).clone()
    gaps = with_views(images, u, MASKING, normalise, plain=True, nan=True)
    covered = gaps.isnan().unflatten(0, (5, 5))
    assert not covered[:, 0].any() and (covered[:, 1:].flatten(2).sum(dim=2) == 3 * 12 * 4 * 4).all()
    assert torch.equal(gaps.nan_to_num(0.0), grey)
    whole = normalise(torch.from_numpy(images).float() / 255)
    for k in range(5):
        seen = ~covered[:, k]
        assert torch.equal(grey.unflatten(0, (5, 5))[:, k][seen], whole[seen])


@pytest.fixture
def vit():
    """A factory of transformers whose blocks do more than they do before training."""

    def make(seed=0):
        torch.manual_seed(seed)
        encoder = build("vit-tiny", VIT, image_size=16)
        with torch.no_grad():
            for parameter in encoder.blocks.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return encoder.double().eval()

    return make


def literal_tokens(encoder, x, keep):
    """What each place and activation holds for the visible patches of one image, block by block, and the output."""
    out = {}
    with torch.no_grad():
        x = encoder._pos_embed(encoder.patch_embed(x))
        if keep is not None:
            x = x[:, [0, *(int(k) + 1 for k in keep)]]
        for i, block in enumerate(encoder.blocks):
            at = f"blocks.{i}"
            out[f"{at}.attn.proj"] = block.attn(block.norm1(x))
            x = out[f"{at}.norm2@input"] = x + out[f"{at}.attn.proj"]
            out[f"{at}.mlp.act"] = block.mlp.act(block.mlp.fc1(block.norm2(x)))
            out[f"{at}.mlp.fc2"] = block.mlp.fc2(out[f"{at}.mlp.act"])
            x = out[at] = x + out[f"{at}.mlp.fc2"]
        output = encoder.norm(x)[:, 0]
    return {name: values[0] for name, values in out.items()} | {"": output}, output[0]


def literal_transformer(encoder, images, normalise, protocol, recipe):
    """Alignment, views, plain and features of a transformer, one image, one view, one pair at a time."""
    act = np.vectorize(ACT[protocol.activation])
    alignment = np.zeros((len(images), len(VIT_LAYERS), 2))
    views, plain = ({x.name: [] for x in VIT_LAYERS if x.units} for _ in range(2))
    features = []
    for n, picture in enumerate(torch.from_numpy(images).float() / 255):
        u = torch.from_numpy(uniforms(5, POINTS[n : n + 1], (protocol.draws, UNIFORMS)))[0]
        whole, feature = literal_tokens(encoder, normalise(picture[None]).double(), None)
        passes = [literal_tokens(encoder, *literal_view(picture, row, recipe, normalise))[0] for row in u]
        features.append(feature.numpy())
        for k, layer in enumerate(VIT_LAYERS):
            maps = [p[layer.representation] for p in passes]
            if protocol.representation == "pooled":
                maps = [m.mean(dim=0) for m in maps]
            alignment[n, k] = literal_alignment(maps, protocol)
            if layer.units:
                means = [act(p[layer.units].numpy()).mean(axis=0) for p in passes]
                plain[layer.name].append(act(whole[layer.units].numpy()).mean(axis=0))
                views[layer.name].append([np.mean(half, axis=0) for half in np.array_split(means, 2)])
    return alignment, views, plain, np.array(features)


@pytest.mark.parametrize(
    ("recipe", "representation", "activation"),
    [
        (MASKING, "pooled", "abs"),
        (MASKING, "pooled", "as-is"),
        (replace(RECIPE, mask=0.5), "pooled", "relu"),
        (RECIPE, "flattened", "abs"),
        (RECIPE, "pooled", "abs"),
    ],
    ids=["abs", "as-is", "both", "whole", "whole-pooled"],
)
def test_a_transformer_leaves_hidden_patches_out(vit, images, normalise, run, recipe, representation, activation):
    protocol = Protocol(draws=4, representation=representation, activation=activation)
    encoder = vit()
    got = run(encoder, images[:3], layers=VIT_LAYERS, recipe=recipe, protocol=protocol, batch=2)
    alignment, views, plain, features = literal_transformer(encoder, images[:3], normalise, protocol, recipe)
    assert alignment.min() > 1e-4 and set(got.views) == set(got.plain) == {"1.fc", "2.fc"}
    np.testing.assert_allclose(got.alignment, alignment, rtol=1e-8)
    np.testing.assert_allclose(got.features, features, rtol=1e-9, atol=1e-12)
    for name in views:
        assert got.views[name].shape == (3, 2, 4 * encoder.dim)
        np.testing.assert_allclose(got.views[name], views[name], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(got.plain[name], plain[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("changes", [{"representation": "flattened"}, {"pairs": "image-aug"}], ids=["flat", "image"])
def test_views_of_other_patches_are_not_compared_position_by_position(vit, images, run, normalise, changes):
    protocol = Protocol(**{"draws": 4, "representation": "pooled", **changes})
    with pytest.raises(InputError, match=r"^representation: .*only pooled ones compare, and pairs aug-aug$") as caught:
        run(vit(), images, layers=VIT_LAYERS, recipe=MASKING, protocol=protocol)
    assert "\n" not in str(caught.value)
    # Activations alone have nothing to compare.
    options = {"layers": VIT_LAYERS, "recipe": MASKING, "normalise": normalise, "protocol": protocol, "seed": 5}
    (mute,) = measure_batches(vit(), [(images, POINTS)], alignment=False, **options)
    assert mute.alignment is None and mute.features is not None and set(mute.views) == {"1.fc", "2.fc"}


def test_each_part_of_what_a_transformer_does_with_hidden_patches_can_be_had_alone(vit, images, normalise):
    protocol = Protocol(draws=4, representation="pooled")
    options = {"layers": VIT_LAYERS, "recipe": MASKING, "normalise": normalise, "protocol": protocol, "seed": 5}
    encoder = vit()
    asked = tight(encoder, 100)
    (whole,) = measure_batches(encoder, [(images, POINTS)], **options)
    assert asked == [20, 5]  # views, then images
    (bare,) = measure_batches(encoder, [(images, POINTS)], plain=False, **options)
    assert asked[2:] == [20] and bare.features is None and bare.plain == {}
    (blind,) = measure_batches(encoder, [(images, POINTS)], activations=False, **options)
    assert blind.views == blind.plain == {} and np.array_equal(blind.features, whole.features)
    assert np.array_equal(bare.alignment, whole.alignment) and np.array_equal(blind.alignment, whole.alignment)
    assert all(np.array_equal(bare.views[name], whole.views[name]) for name in whole.views)


def test_memory_that_runs_out_on_the_whole_images_counts_too(vit, images, run):
    """The views of all images fit, as most of each is hidden; the images themselves don't."""
    protocol = Protocol(draws=4, representation="pooled")
    options = {"layers": VIT_LAYERS, "recipe": MASKING, "protocol": protocol}
    expected = run(vit(), images, **options)
    encoder = vit()
    calls = []

    def check(module, inputs):
        calls.append(tuple(inputs[0].shape[:2]))
        if calls[-1][1] == 17 and calls[-1][0] > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    encoder.blocks[0].register_forward_pre_hook(check)
    got = run(encoder, images, **options)
    assert calls == [(20, 5), (5, 17), (8, 5), (2, 17), (8, 5), (2, 17), (4, 5), (1, 17)]
    np.testing.assert_allclose(got.alignment, expected.alignment, rtol=1e-9)
    np.testing.assert_allclose(got.features, expected.features, rtol=1e-9, atol=1e-12)
    for name in expected.views:
        np.testing.assert_allclose(got.views[name], expected.views[name], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(got.plain[name], expected.plain[name], rtol=1e-9, atol=1e-12)


# Shapes and memory


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
        cut = tokens.reshape(n, 2, h // 2, 2, w // 2, c).transpose(2, 3)
        self.windows(cut.reshape(n * 4, h * w // 4, c))
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
    got = run(encoder.to(memory_format=torch.channels_last), images)
    np.testing.assert_allclose(got.alignment, expected.alignment, rtol=1e-10)
    for name in expected.views:
        np.testing.assert_allclose(got.views[name], expected.views[name], rtol=1e-10, atol=1e-14)


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
def test_an_output_that_does_not_count_views_is_an_input_error_of_its_layer(images, run, bad, axis):
    for layer in (Layer("x", "other", None, 1.0, axis), Layer("x", "conv", "other", 1.0, axis)):
        with pytest.raises(InputError, match=r"^layer x: its output \[.* has no dimension for 35 views") as caught:
            run(shapes(bad), images, layers=(layer,))
        assert "\n" not in str(caught.value)


def test_a_layer_that_is_not_called_is_an_input_error(images, run):
    with pytest.raises(InputError, match=r"^layer x: the encoder didn't call it"):
        run(shapes(), images, layers=(Layer("x", "conv", "other", 1.0),))


# What must not matter


def test_images_in_another_order_or_batch_measure_alike(network, images, run):
    encoder, order = network(seed=3).double(), np.array([3, 0, 4, 1, 2])
    whole = run(encoder, images)
    for batch in (1, 2, 5):
        got = run(encoder, images[order], points=POINTS[order], batch=batch)
        np.testing.assert_allclose(got.alignment, whole.alignment[order], rtol=1e-10)
        np.testing.assert_allclose(got.views["1"], whole.views["1"][order], rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(got.plain["8"], whole.plain["8"][order], rtol=1e-10, atol=1e-14)


def test_the_number_of_threads_does_not_matter(network, images, run):
    one = run(network(), images)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = run(network(), images)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(two.alignment, one.alignment, rtol=3e-5)
    for name in one.views:
        np.testing.assert_allclose(two.views[name], one.views[name], rtol=1e-5, atol=1e-6)


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


def test_a_units_scale_changes_its_activations_in_proportion_and_unitmem_not_at_all(network, images, run):
    encoder = network(seed=3).double()
    before = run(encoder, images).views["8"]
    factor = torch.linspace(0.1, 40, encoder.block8.norm.num_features, dtype=torch.float64)
    with torch.no_grad():
        encoder.block8.norm.weight *= factor
        encoder.block8.norm.bias *= factor
    after = run(encoder, images).views["8"]
    np.testing.assert_allclose(after, before * factor.numpy(), rtol=1e-9)
    np.testing.assert_allclose(unitmem(after.mean(axis=1)), unitmem(before.mean(axis=1)), rtol=1e-9)


# Memory


def tight(encoder, rows, error=None):
    """The encoder fails on more than so many rows; gives the numbers of rows it was asked for."""
    asked = []

    def check(module, inputs):
        asked.append(len(inputs[0]))
        if asked[-1] > rows:
            raise error or RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")

    encoder.register_forward_pre_hook(check)
    return asked


@pytest.mark.parametrize(
    "error",
    [
        None,
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
    ],
    ids=["linux", "windows", "cuda", "numpy"],
)
def test_a_batch_that_memory_cannot_hold_is_halved_and_those_after_it(network, images, normalise, run, error):
    expected = run(network().double(), images)
    encoder = network().double()
    asked = tight(encoder, 2 * 7, error)
    options = {"layers": LAYERS, "recipe": RECIPE, "normalise": normalise, "protocol": Protocol(draws=6), "seed": 5}
    parts = list(measure_batches(encoder, [(images[:4], POINTS[:4]), (images[4:], POINTS[4:])] * 2, **options))
    assert asked == [4 * 7, 2 * 7, 2 * 7, 1 * 7, 2 * 7, 2 * 7, 1 * 7]
    assert np.concatenate([part.points for part in parts]).tolist() == [*POINTS, *POINTS]
    alignment = np.concatenate([part.alignment for part in parts])
    np.testing.assert_allclose(alignment, np.concatenate([expected.alignment] * 2), rtol=1e-10)
    views = np.concatenate([part.views["3"] for part in parts])
    np.testing.assert_allclose(views, np.concatenate([expected.views["3"]] * 2), rtol=1e-10, atol=1e-14)


def test_batches_are_halved_down_to_one_image(network, images, run):
    encoder = network().double()
    asked = tight(encoder, 7)
    got = run(encoder, images)
    assert asked == [5 * 7, 2 * 7, *[7] * 5]
    np.testing.assert_allclose(got.alignment, run(network().double(), images).alignment, rtol=1e-10)


def test_memory_that_runs_out_in_a_layer_counts_too(network, images, run):
    encoder = network().double()
    calls = []

    def check(module, inputs, output):
        calls.append(len(output))
        if len(output) > 3 * 7:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    encoder.block4.register_forward_hook(check)
    got = run(encoder, images)
    assert calls == [5 * 7, 2 * 7, 2 * 7, 7]
    np.testing.assert_allclose(got.alignment, run(network().double(), images).alignment, rtol=1e-10)


def test_one_image_that_memory_cannot_hold_is_an_input_error(network, images, run):
    encoder = network()
    tight(encoder, 6)
    with pytest.raises(InputError, match="draws: memory can't hold 6 views of one image") as caught:
        run(encoder, images)
    assert "\n" not in str(caught.value) and not encoder.block3.conv._forward_hooks


def test_other_errors_are_not_taken_for_a_lack_of_memory(network, images, run):
    encoder = network()
    asked = tight(encoder, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run(encoder, images)
    assert asked == [5 * 7]


# Numbers that are none


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_activations_that_are_not_finite_name_their_layer(network, images, normalise, activation, bad):
    encoder = network()
    with torch.no_grad():
        encoder.block3.norm.bias[1] = bad
    protocol = Protocol(draws=4, activation=activation)
    options = {"layers": LAYERS, "recipe": RECIPE, "normalise": normalise, "protocol": protocol, "seed": 5}
    with pytest.raises(InputError, match=r"^layer 3: output isn't finite") as caught:
        list(measure_batches(encoder, [(images, POINTS)], alignment=False, **options))
    assert "\n" not in str(caught.value)


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
