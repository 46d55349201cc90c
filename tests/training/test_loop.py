"""What a training ends in: streams, starts, statistics, losses, gradients."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from memloc.data.augment import UNIFORMS, augment
from memloc.data.augmentations import AUGMENTATIONS
from memloc.errors import InputError
from memloc.models import checkpoint
from memloc.models.frameworks import FRAMEWORKS
from memloc.training import loop, views
from memloc.training.optim import schedule
from memloc.training.settings import Training
from tests.builders.trainings import Killed, kill_in, same, same_weights


@pytest.fixture
def start(settings):
    """Makes the initial encoder of a role."""

    def make(role, *, seed=0, framework="simclr", **entry):
        return loop.build(Training.of(settings(framework) | entry), image_size=16, seed=seed, role=role)

    return make


@pytest.mark.parametrize("role", ["f", "untrained"])
def test_weights_follow_from_the_seed_and_not_from_the_global_generator(run, tmp_path, role):
    a = run(role=role, folder=tmp_path / "a").encoder
    torch.manual_seed(12345)
    torch.rand(7)
    assert same(a, run(role=role, folder=tmp_path / "b").encoder)
    assert not same(a, run(role=role, seed=1).encoder) and not same(a, run(role="g").encoder)


def test_f_starts_from_the_untrained_encoder_s_weights(run, monkeypatch, start):
    untrained = run(role="untrained")
    assert untrained.history == [] and same_weights(untrained.encoder, start("f"))
    starts, original = [], loop.build
    monkeypatch.setattr(loop, "build", lambda *a, **k: starts.append(original(*a, **k)) or starts[-1])
    kill_in(monkeypatch, 1)
    with pytest.raises(Killed):
        run(role="f")
    assert same_weights(starts[0], untrained.encoder)


def test_f_and_g_start_alike_only_if_the_start_is_shared(settings, start):
    assert settings()["initialisation"] == "own"
    f, shared = start("f"), {"initialisation": "shared"}
    assert not same_weights(start("g"), f) and same(start("g", **shared), f)
    for role in ("f", "untrained"):
        assert same(start(role), f) and same(start(role, **shared), f)
    assert not same_weights(start("g", **shared), start("g", seed=1, **shared))


def test_encoders_that_start_alike_see_batches_and_views_of_their_own(run):
    f, g = (run(role=role, recipe={"epochs": 1}, entry={"initialisation": "shared"}).encoder for role in ("f", "g"))
    assert not same_weights(f, g)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework_s_learner_comes_back_trained_and_in_eval_mode(run, start, framework):
    trained = run(framework, recipe={"epochs": 1})
    assert not any(module.training for module in trained.learner.modules())
    assert not same_weights(trained.encoder, start("f", framework=framework))
    if framework == "dino":
        teacher = trained.learner.teacher
        assert trained.encoder is teacher["encoder"] and trained.learner.result_head() is teacher["head"]
        assert trained.learner.additions()["loss.center"].abs().sum() > 0


def test_points_that_are_not_chosen_change_nothing(run, tmp_path, toy):
    def weights(images, folder):
        return run("supervised", data=(images, labels), points=np.arange(0, 48, 2), folder=tmp_path / folder).encoder

    images, labels = toy(48)
    other = images.copy()
    other[1::2] = 255 - other[1::2]
    first = weights(images, "a")
    assert same(first, weights(other, "b"))
    other[0] = 255 - other[0]
    assert not same(first, weights(other, "c"))


# The untrained encoder's statistics


def batch_norm_outputs(encoder, x):
    """What each batch norm puts out, by name, one row a channel."""
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.transpose(0, 1).flatten(1)}))
        for name, module in encoder.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    ]
    with torch.no_grad():
        encoder(x)
    for hook in hooks:
        hook.remove()
    return seen


def drawn_views(images, normalise, *, seed):
    u = torch.rand(5 * len(images), UNIFORMS, generator=torch.Generator().manual_seed(seed))
    pixels = torch.from_numpy(images).float().div(255).repeat(5, 1, 1, 1)
    return normalise(augment(pixels, u, AUGMENTATIONS["normal"]))


def test_an_untrained_encoder_has_the_statistics_of_its_views(run, toy, normalise, start):
    images, labels = toy(200)
    x = drawn_views(images, normalise, seed=99)
    outputs = batch_norm_outputs(run(role="untrained", data=(images, labels)).encoder, x)
    assert len(outputs) == 8
    for name, rows in outputs.items():
        assert rows.mean(dim=1).abs().max() < 0.15, name
        assert rows.var(dim=1).min() > 0.7 and rows.var(dim=1).max() < 1.4, name
    # Those it starts from are far from that.
    fresh = batch_norm_outputs(start("untrained").eval(), x)
    assert max(float((rows.var(dim=1) - 1).abs().max()) for rows in fresh.values()) > 0.5


def test_statistics_of_an_untrained_encoder_are_those_of_views_and_not_of_plain_images(run, toy, normalise):
    images, labels = toy(200)
    images = np.full_like(images, 255)  # Plain, every image is white; only jitter and crops' edges make a difference.
    encoder = run(role="untrained", data=(images, labels)).encoder
    expected = encoder.block1.conv(drawn_views(images, normalise, seed=98)).transpose(0, 1).flatten(1)
    plain = encoder.block1.conv(normalise(torch.from_numpy(images).float().div(255))).transpose(0, 1).flatten(1)
    got, scale = encoder.block1.norm.running_mean, expected.std(dim=1)
    assert ((got - expected.mean(dim=1)).abs() < 0.15 * scale).all()
    assert ((got - plain.mean(dim=1)).abs() > 0.2 * scale).any()


def test_an_untrained_encoder_of_another_framework_or_length_of_training_is_the_same(run):
    a = run(role="untrained").encoder
    assert same(a, run("supervised", role="untrained").encoder)
    assert same(a, run(role="untrained", recipe={"epochs": 9}).encoder)


# Losses


@pytest.mark.parametrize("framework", ["simclr", "supervised"])
def test_the_loss_falls(run, framework):
    losses = run(framework, n=48, recipe={"epochs": 30, "batch_size": 16, "learning_rate": 5e-3}).losses
    assert np.mean(losses[-5:]) < 0.95 * np.mean(losses[:3])


def test_a_supervised_encoder_tells_its_training_classes_apart(run, toy, normalise):
    images, labels = toy(48)
    recipe = {"epochs": 30, "batch_size": 16, "learning_rate": 5e-3, "augmentation": "weak"}
    encoder = run("supervised", data=(images, labels), recipe=recipe).encoder
    with torch.no_grad():
        out = encoder(normalise(torch.from_numpy(images).float() / 255)).numpy()
    means = np.stack([out[labels == c].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(out[:, None] - means, axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.6


def test_the_first_losses_are_those_of_chance(run):
    recipe = {"epochs": 1, "warmup_epochs": 0, "learning_rate": 1e-9}
    assert run("supervised", n=48, recipe=recipe).losses == [pytest.approx(math.log(3), abs=0.8)]
    # NT-Xent at temperature 0.5 lies within 2 / 0.5 of the logarithm of its 31 candidates.
    assert run(n=48, recipe=recipe | {"batch_size": 16}).losses == [pytest.approx(math.log(31), abs=4)]


def test_a_loss_that_is_not_finite_is_an_input_error_and_the_checkpoint_is_kept(run, monkeypatch, tmp_path):
    original, calls = views.augment, []

    def augment(*args, **options):
        calls.append(1)
        return original(*args, **options) * (math.nan if len(calls) > 6 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(views, "augment", augment)
        with pytest.raises(InputError) as caught:
            run()
    message = str(caught.value)
    assert "nan" in message and "epoch 3" in message and "learning_rate 0.001" in message and "lower it" in message
    assert "\n" not in message
    (newest,) = (path for path in (tmp_path / "unfinished").iterdir() if ".previous" not in path.name)
    tensors, about = checkpoint.load(newest)
    assert len(about["history"]) == 2 and all(torch.isfinite(t).all() for t in tensors.values())
    assert same(run().encoder, run(folder=tmp_path / "fresh").encoder)


def test_clipped_steps_that_diverge_are_an_input_error_too(run):
    rates = {"optimizer": "sgd", "learning_rate": 1e30, "clip": 1.0, "warmup_epochs": 0, "epochs": 4}
    with pytest.raises(InputError, match=r"learning_rate 1e\+30 .* is too high; lower it"):
        run(recipe=rates)


def test_the_recorded_learning_rates_follow_the_schedule(run):
    expected = [schedule(3 * epoch + 2, total=12, warmup=3, peak=1e-3) for epoch in range(4)]
    assert [record["learning_rate"] for record in run().history] == pytest.approx(expected)


# Gradients


def steps_of_sgd(run, monkeypatch, **recipe):
    """Norms of the gradients that an optimizer was given, step by step."""
    norms, original = [], torch.optim.SGD.step

    def step(self, *args, **options):
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
        return original(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", step)
        run(recipe={"optimizer": "sgd", "learning_rate": 1e-9, "epochs": 2, **recipe})
    return np.array(norms)


def test_no_step_has_a_gradient_longer_than_clip(run, monkeypatch):
    free = steps_of_sgd(run, monkeypatch)
    assert len(free) == 6 and free.min() > 0
    middle = float(np.median(free))
    # Steps of next to no length: every gradient is that of the free run, cut if it is longer.
    clipped = steps_of_sgd(run, monkeypatch, clip=middle)
    np.testing.assert_allclose(clipped, np.minimum(free, middle), rtol=1e-3)
    assert (clipped < free).any()
    np.testing.assert_allclose(steps_of_sgd(run, monkeypatch, clip=100 * free.max()), free, rtol=1e-3)


PRIVATE = {"epsilon": 4.0, "delta": 1e-3, "clip": 0.5}


def test_privacy_changes_the_weights_and_spends_the_epsilon_of_the_recipe(run, tmp_path, settings):
    plain, private, stricter = (
        run("mae", recipe={"privacy": privacy}, folder=tmp_path / "private")
        for privacy in (None, PRIVATE, PRIVATE | {"epsilon": 1.0})
    )
    assert not same_weights(plain.encoder, private.encoder) and not same_weights(private.encoder, stricter.encoder)
    spent = [record["epsilon"] for record in private.history]
    assert len(spent) == 4 and spent[0] > 0 and all(a < b for a, b in pairwise(spent))
    assert 0.95 * PRIVATE["epsilon"] < spent[-1] <= PRIVATE["epsilon"]
    for privacy, made in ((None, plain), (PRIVATE, private)):
        columns = loop.columns(Training.of(settings("mae", privacy=privacy)))
        assert all(list(record) == columns for record in made.history)
