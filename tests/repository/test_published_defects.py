"""Mistakes that published code for these measures has made, one test each that shows they aren't made here."""

import copy
import types

import numpy as np
import pytest
import torch
from torch import nn

from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.prepared import Part
from memloc.experiments.finetuning import job as finetune
from memloc.experiments.pruning.job import choose, prune
from memloc.measuring.distances import alignments
from memloc.measuring.one_pass import measure_batches, measure_images
from memloc.measuring.protocol import HALVES, Protocol
from memloc.metrics.tally import ClassTally, Tally
from memloc.metrics.units import classmem, unitmem
from memloc.models import probe
from memloc.models.architectures import Layer
from memloc.models.architectures.resnet9 import ResNet9
from memloc.models.capture import discover

SUM = (Layer("res2", "res2", "res2", 1.0), Layer("res6", "res6", "res6", 2.0))
BLOCKS = tuple(Layer(str(i), f"block{i}.conv", f"block{i}", float(i)) for i in range(1, 9))
POINTS = np.array([12, 3, 40, 7])


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, size=(4, 1, 16, 16), dtype=np.uint8)


@pytest.fixture
def run(normalise):
    def go(encoder, images, points=POINTS, layers=BLOCKS, protocol=None, **changes):
        options = {"augmentation": AUGMENTATIONS["normal"], "seed": 5, **changes}
        protocol = protocol or Protocol(draws=4)
        return measure_images(encoder, images, points, layers=layers, protocol=protocol, normalise=normalise, **options)

    return go


def tensors(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(module, before):
    return all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def by_hand(encoder, x):
    """Outputs of a ResNet9's blocks and sums in eval mode, written out."""
    out = {}
    for i in range(1, 9):
        block = encoder.get_submodule(f"block{i}")
        if i in (3, 7):
            entry = x
        x = out[str(i)] = block.pool(torch.relu(block.norm(block.conv(x))))
        if i in (4, 8):
            x = out["res2" if i == 4 else "res6"] = x + entry
    return out


# Measuring


def test_batch_norm_uses_its_running_statistics_however_the_encoder_comes(network, images, run):
    """A training-mode encoder, measured one image at a time, gave the statistics of that image."""
    evaluated, training = network(seed=2).eval(), network(seed=2).train()
    expected = run(evaluated, images)
    before = tensors(training)
    got = run(training, images, batch=1)
    np.testing.assert_allclose(got.alignment, expected.alignment, rtol=3e-5)
    for name in expected.views:
        np.testing.assert_allclose(got.views[name], expected.views[name], rtol=1e-4, atol=1e-6)
    assert same(training, before) and training.training and all(m.training for m in training.modules())


def test_looking_for_layers_does_not_move_statistics_either(network):
    """Measuring rewrote running statistics."""
    encoder = network(seed=2).train()
    before = tensors(encoder)
    discover(encoder, torch.rand(3, 3, 16, 16))
    assert same(encoder, before)


def test_features_of_a_probe_are_taken_in_eval_mode(network, images, normalise):
    """The loss of performance was computed without eval mode."""
    encoder = network(seed=2)
    expected = probe.features(encoder, images, normalise)
    before = tensors(encoder)
    got = [probe.features(encoder.train(), images[i : i + 1], normalise) for i in range(4)]
    np.testing.assert_allclose(np.concatenate(got), expected, rtol=1e-4, atol=1e-5)
    assert same(encoder, before)


def test_residual_sums_enter_what_is_measured_after_them(network, images, normalise, run):
    """Children run one after the other leave both additions out."""
    encoder = network(seed=2)
    with torch.no_grad():
        for i in range(1, 9):
            encoder.get_submodule(f"block{i}").conv.weight *= 4
    got = run(encoder, images, layers=(*BLOCKS, *SUM))
    with torch.no_grad():
        out = by_hand(encoder, normalise(torch.from_numpy(images).float() / 255))
        bare = normalise(torch.from_numpy(images).float() / 255)
        for i in range(1, 9):
            bare = encoder.get_submodule(f"block{i}")(bare)
    for name in ("4", "5", "8", "res2", "res6"):
        np.testing.assert_allclose(got.plain[name], out[name].mean(dim=(2, 3)).numpy(), rtol=1e-4, atol=1e-6)
    without = bare.mean(dim=(2, 3)).numpy()
    assert np.linalg.norm(got.plain["8"] - without) > 0.05 * np.linalg.norm(got.plain["8"])


def test_views_are_made_of_pixels_and_standardised_afterwards(network, images, normalise, run, monkeypatch):
    """Colour jitter of standardised pixels loses all negative ones: it clamps to [0, 1]."""
    seen, entered = [], []
    original = __import__("memloc.measuring.views", fromlist=["augment"]).augment

    def spy(pixels, *args):
        views = original(pixels, *args)
        seen.append((pixels, views))
        return views

    monkeypatch.setattr("memloc.measuring.views.augment", spy)
    encoder = network(seed=2)
    encoder.register_forward_pre_hook(lambda module, inputs: entered.append(inputs[0].clone()))
    run(encoder, images)
    ((pixels, views),), (x,) = seen, entered
    assert torch.equal(pixels[::4], torch.from_numpy(images).float() / 255)
    assert views.min() >= 0 and views.max() <= 1
    torch.testing.assert_close(x.view(4, 5, 3, 16, 16)[:, 1:].flatten(0, 1), normalise(views))
    assert x.min() < -1 and (x < 0).float().mean() > 0.3


def tiny_vit():
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    return timm.models.vision_transformer.VisionTransformer(
        img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, num_classes=0
    )


def still(pixels, u, recipe):
    """An augmentation that changes nothing."""
    return pixels.clone()


def test_one_image_seen_twice_is_no_distance_away_from_itself(images, run, monkeypatch):
    """Patches were shuffled anew in every pass, and position by position other tokens were compared."""
    monkeypatch.setattr("memloc.measuring.views.augment", still)
    vit = tiny_vit().train()
    layers = discover(vit, torch.zeros(1, 3, 16, 16))
    assert len(layers) == 9
    for protocol in (Protocol(draws=4), Protocol(draws=4, pairs="image-aug"), Protocol(draws=4, distance="l1")):
        got = run(vit, images, layers=layers, protocol=protocol)
        # Where in a batch a view stands may change its last bits, on some CPUs; shuffled patches are about 1 apart.
        assert got.alignment.max() < 1e-6


def test_tokens_are_compared_with_those_of_the_same_place():
    """Tokens in another order are another representation."""
    torch.manual_seed(0)
    tokens = torch.randn(1, 1, 6, 5)
    moved = tokens[:, :, torch.tensor([1, 0, 2, 3, 4, 5])]
    views = torch.cat([tokens, moved] * 2, dim=1)
    unit = tokens.flatten() / tokens.norm()
    expected = float((unit - moved.flatten() / tokens.norm()).norm())
    got = alignments(views, Protocol(draws=4), plain=False)
    np.testing.assert_allclose(got.numpy(), [[expected, expected]], rtol=1e-5)
    assert expected > 0.3


def test_the_mean_of_a_class_is_of_its_own_images():
    """The running mean over all images so far stood for a class, and labels went unused."""
    rng = np.random.default_rng(0)
    labels = np.array([2, 0, 1, 0, 2, 2, 1, 0])
    activations = rng.random((8, 3)) + 10 * (labels == 2)[:, None]
    means = np.array([activations[labels == c].mean(axis=0) for c in range(3)])
    tally = ClassTally(3, labels[None], 3)
    for row in range(8):
        tally.add(activations[row : row + 1], np.array([row]))
    np.testing.assert_allclose(tally.means()[0][1], means, rtol=1e-13)
    top = np.sort(means, axis=0)[-1]
    rest = np.sort(means, axis=0)[:-1].mean(axis=0)
    np.testing.assert_allclose(classmem(activations, labels), (top - rest) / (top + rest), rtol=1e-12)
    order = rng.permutation(8)
    np.testing.assert_allclose(classmem(activations[order], labels[order]), classmem(activations, labels), rtol=1e-12)


def test_every_image_given_counts(network, normalise):
    """UnitMem was computed from two images, whatever ids were named."""
    images = np.random.default_rng(3).integers(0, 256, size=(30, 1, 16, 16), dtype=np.uint8)
    points = np.random.default_rng(4).choice(1000, size=30, replace=False)
    encoder = network(seed=2)
    tally = Tally(encoder.block8.conv.out_channels, keep=4)
    windows = ((images[start : start + 7], points[start : start + 7]) for start in range(0, 30, 7))
    every = []
    for batch in measure_batches(
        encoder,
        windows,
        layers=BLOCKS[-1:],
        protocol=Protocol(draws=4),
        augmentation=AUGMENTATIONS["normal"],
        normalise=normalise,
        seed=0,
    ):
        every.append((batch.points, batch.views["8"].mean(axis=1)))
        tally.add(every[-1][1], every[-1][0])
    seen, mu = np.concatenate([p for p, _ in every]), np.concatenate([m for _, m in every]).astype(np.float64)
    assert seen.tolist() == points.tolist() and tally.points == 30
    top, others = tally.highest()
    alive = top > 0
    ratio = (top[alive] - others[alive]) / (top[alive] + others[alive])
    np.testing.assert_allclose(ratio, unitmem(mu)[alive], rtol=1e-9)
    assert len(set(tally.top_ids[0][alive])) > 5
    two = unitmem(mu[:2])[alive]
    assert np.median(np.abs(unitmem(mu)[alive] - two) / (unitmem(mu)[alive] + two)) > 0.2


def test_units_that_nothing_excites_have_a_score(network, images, run):
    """0 / 0 was NaN."""
    encoder = network(seed=2)
    with torch.no_grad():
        encoder.block8.norm.weight[3], encoder.block8.norm.bias[3] = 0, -1
    mu = run(encoder, images).views["8"].mean(axis=1)
    assert (mu[:, 3] == 0).all()
    scores = unitmem(mu)
    assert scores[3] == 0 and np.isfinite(scores).all() and np.isfinite(unitmem(mu, others="median")).all()
    assert classmem(mu, np.array([0, 0, 1, 1]))[3] == 0


def test_all_layers_are_measured_and_at_any_size(network, run):
    """One layer of one network at one size of image was hard-coded."""
    for size in (16, 24, 33):
        images = np.random.default_rng(size).integers(0, 256, size=(2, 3, size, size), dtype=np.uint8)
        got = run(network(), images, points=POINTS[:2])
        assert got.alignment.shape == (2, 8, HALVES) and np.isfinite(got.alignment).all()
        assert [v.shape[-1] for v in got.views.values()] == [4, 8, 8, 8, 16, 32, 32, 32]


# Pruning


MODULES = {str(i): [f"block{i}.conv", f"block{i}.norm"] for i in range(1, 9)}


def silent(encoder, layer):
    """Units of a block that put out exactly zero on every one of many random images."""
    x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps = by_hand(encoder, x)[layer]
    return np.flatnonzero((maps == 0).flatten(2).all(dim=2).all(dim=0).numpy()).tolist()


@pytest.fixture
def wide():
    """An encoder whose batch norms would put out much on a convolution of nothing."""
    torch.manual_seed(3)
    encoder = ResNet9(0.25).eval()
    for name, tensor in encoder.state_dict().items():
        if name.endswith("running_mean"):
            tensor.fill_(-1.0)
        elif name.endswith("norm.bias"):
            tensor.fill_(0.7)
    return encoder


@pytest.mark.parametrize("by", ["top", "low", "random"])
def test_as_many_units_are_pruned_at_random_as_by_score_and_exactly_those_fall_silent(wide, by):
    """Units were drawn anew for every tensor, so random pruning touched far more of them than top or low."""
    scores = {
        str(i): np.random.default_rng(i).random(wide.get_submodule(f"block{i}").conv.out_channels) for i in range(1, 9)
    }
    assert [silent(wide, layer) for layer in scores] == [[]] * 8
    chosen = choose(scores, fraction=0.2, by=by, seed=1)
    for layer, values in scores.items():
        assert len(chosen[layer]) == round(0.2 * len(values))
        # One layer at a time: silence further back can silence nothing here.
        pruned = prune(wide, {layer: chosen[layer]}, MODULES)
        assert silent(pruned, layer) == chosen[layer].tolist()


def test_a_pruned_unit_is_the_same_in_all_its_tensors(wide):
    """Weight, bias, scale and shift each lost units of their own."""
    rows = choose({"6": np.arange(64.0)}, fraction=0.25, by="random", seed=0)["6"]
    block, before = prune(wide, {"6": rows}, MODULES).block6, wide.block6
    for name in ("conv.weight", "conv.bias", "norm.weight", "norm.bias"):
        changed = (block.get_parameter(name) != before.get_parameter(name)).reshape(64, -1).any(dim=1)
        zero = (block.get_parameter(name) == 0).reshape(64, -1).all(dim=1)
        assert torch.equal(changed, zero) and zero.nonzero().ravel().tolist() == rows.tolist(), name


def test_a_pruned_unit_is_silent_whatever_its_running_mean(wide):
    """A convolution without weights left the constant that batch normalisation makes of it."""
    rows = np.array([0, 5])
    alone = copy.deepcopy(wide)
    with torch.no_grad():
        alone.block2.conv.weight[rows] = 0
        alone.block2.conv.bias[rows] = 0
    assert silent(alone, "2") == []
    pruned = prune(wide, {"2": rows}, MODULES)
    assert (pruned.block2.norm.running_mean == -1).all() and silent(pruned, "2") == [0, 5]


def test_pruning_at_random_is_a_function_of_its_seed(wide):
    """Nobody could draw the same units again."""
    values = {"6": np.zeros(64), "7": np.zeros(64)}
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    first = choose(values, fraction=0.5, by="random", seed=4)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    again, other = (choose(values, fraction=0.5, by="random", seed=seed) for seed in (4, 5))
    assert all(np.array_equal(first[k], again[k]) for k in values)
    assert not np.array_equal(first["6"], other["6"]) and not np.array_equal(first["6"], first["7"])


# Probes and fine-tuning


def test_a_probe_trains_nothing_but_itself(network, toy, normalise):
    """Every parameter was optimised: fine-tuning under the name of a probe."""
    encoder = network(seed=2).train()
    before = tensors(encoder)
    (images, labels), (others, expected) = toy(30), toy(12, seed=1)
    train, test = (probe.features(encoder, x, normalise) for x in (images, others))
    marks = probe.correct(train, labels, test, expected)
    assert same(encoder, before) and all(p.grad is None for p in encoder.parameters())
    assert marks.mean() > 0.6


def test_evaluation_covers_every_image(network, toy, normalise):
    """Evaluation stopped after one batch."""
    encoder = network(seed=2)
    seen = []
    encoder.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    images, labels = toy(601)
    features = probe.features(encoder, images, normalise)
    assert sum(seen) == len(features) == 601
    alone = probe.features(encoder, images[[0, 250, 600]], normalise)
    np.testing.assert_allclose(features[[0, 250, 600]], alone, rtol=1e-4, atol=1e-5)
    recipe = {"epochs": 1, "batch_size": 10, "learning_rate": 1e-3}

    def marks(rows):
        part = Part(images[rows], labels[rows])
        return finetune.finetune(encoder, [], Part(*toy(30)), part, recipe=recipe, normalise=normalise, seed=0)

    whole = marks(slice(None))
    assert whole.shape == (601,) and 0.05 < whole.mean() < 0.95
    assert np.array_equal(whole[501:], marks(slice(501, None)))


@pytest.mark.parametrize("layers", [[], ["5"], ["2", "8"]])
def test_frozen_layers_keep_weights_and_statistics_exactly(network, toy, normalise, monkeypatch, layers):
    """Freezing did nothing, and training mode moved the statistics of layers that were called frozen."""
    tuned = []

    def deepcopy(value):
        tuned.append(copy.deepcopy(value))
        return tuned[-1]

    monkeypatch.setattr(finetune, "copy", types.SimpleNamespace(deepcopy=deepcopy))
    encoder = network(seed=2).train()
    before = tensors(encoder)
    recipe = {"epochs": 2, "batch_size": 10, "learning_rate": 1e-2}
    parts = Part(*toy(30)), Part(*toy(6, seed=1))
    modules = [name for layer in layers for name in MODULES[layer]]
    finetune.finetune(encoder, modules, *parts, recipe=recipe, normalise=normalise, seed=0)
    assert same(encoder, before)
    after = tuned[0].state_dict()
    for i in range(1, 9):
        names = [n for n in before if n.startswith(f"block{i}.")]
        moved = [n for n in names if not torch.equal(after[n], before[n])]
        if str(i) in layers:
            wanted = {f"block{i}.{n}" for n in ("conv.weight", "norm.weight", "norm.running_mean", "norm.running_var")}
            assert wanted <= {*moved}
        else:
            assert moved == []


def test_fine_tuning_sees_all_images_named_and_no_others(network, toy, normalise):
    """A subset was made and then not used."""
    encoder = network(seed=2)
    images, labels = toy(30)
    batches = []

    class Spy(nn.Module):
        def __call__(self, x):
            batches.append(x)
            return normalise(x)

    recipe = {"epochs": 2, "batch_size": 10, "learning_rate": 1e-3}
    part = Part(images, labels)
    finetune.finetune(encoder, [], part, Part(images[:4], labels[:4]), recipe=recipe, normalise=Spy(), seed=0)
    for epoch in (batches[:3], batches[3:6]):
        seen = np.round(torch.cat(epoch).numpy() * 255).astype(np.uint8)
        assert sorted(map(bytes, seen)) == sorted(map(bytes, images))
