import math

import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant
from scipy.stats import kstest
from torch import nn

from memloc.data.augment import UNIFORMS, augment, hidden
from memloc.data.augmentations import Augmentation
from memloc.errors import InputError
from memloc.models import architectures, frameworks
from memloc.models.architectures.vit import ViT
from memloc.models.frameworks.learner import Group, Learner, Views
from memloc.models.frameworks.recipe import Privacy
from memloc.training import privacy
from memloc.training.privacy import Account, noise, poisson, private_gradients, spent
from tests.builders.trainings import recipe

DELTA = 1e-5


class Line(Learner):
    """Half the squared error of a linear map of flat images."""

    def __init__(self, inputs, *, views=1, frozen=False):
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 1))
        super().__init__(encoder, [Group(views, Augmentation(), 1)])
        encoder[1].weight.requires_grad_(not frozen)

    def forward(self, views, labels, progress):
        return 0.5 * (self.encoder(views[0].images)[:, 0] - labels).square().mean()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def account(clip=1.0, noise=0.0):
    return Account(clip=clip, noise=noise, delta=DELTA, rate=0.1)


def filled(learner, views, labels, *, expected, seed=0, chunk=16, **rest):
    """The loss and a step's gradient, all parameters in one row."""
    learner.zero_grad()
    loss = private_gradients(
        learner,
        [views],
        labels,
        0.0,
        account=account(**rest),
        expected=expected,
        generator=seeded(seed),
        chunk=chunk,
    )
    return loss, torch.cat([p.grad.flatten() for p in learner.parameters() if p.requires_grad])


def points(n, inputs=2, seed=0):
    draws = seeded(seed)
    return Views(torch.randn(n, inputs, 1, 1, generator=draws)), torch.randn(n, generator=draws)


@pytest.fixture(scope="module")
def mae():
    """A masked autoencoder of one block each, with views of seven images."""
    torch.manual_seed(0)
    made = recipe("mae", augmentation="masking", decoder_dim=8, decoder_depth=1, decoder_heads=2)
    encoder = ViT(16, patch=4, dim=12, depth=1, heads=2)
    learner = frameworks.build("mae", encoder, classes=2, recipe=made, image_size=16)
    u = torch.rand(7, UNIFORMS, generator=seeded())
    # Images of very different contrast, for gradients of different norms.
    images = torch.randn(7, 3, 16, 16, generator=seeded()) * torch.arange(1, 8).view(-1, 1, 1, 1) / 4
    return learner, Views(images, hidden(u, learner.groups[0].augmentation, 16)), torch.zeros(7, dtype=torch.long)


def one_by_one(learner, views, labels, clip):
    """Clipped gradients and losses by a backward pass for each image."""
    gradients, losses = [], []
    for i in range(len(labels)):
        learner.zero_grad()
        part = slice(i, i + 1)
        loss = learner([Views(*(None if t is None else t[part] for t in views))], labels[part], 0.0)
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in learner.parameters() if p.requires_grad])
        gradients.append(gradient * min(1.0, clip / gradient.norm().item()))
        losses.append(loss.detach())
    return torch.stack(gradients), torch.stack(losses)


def test_gradients_of_a_line_are_clipped_one_by_one_and_summed():
    learner = Line(2)
    with torch.no_grad():
        learner.encoder[1].weight.copy_(torch.tensor([[1.0, -1.0]]))
        learner.encoder[1].bias.zero_()
    # Residuals 1, -2 and 0; gradients (residual x, residual): (2, 1, 1), (0, -2, -2) and (0, 0, 0).
    images = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 3.0]]).view(3, 2, 1, 1)
    labels = torch.tensor([0.0, 1.0, 0.0])
    loss, gradient = filled(learner, Views(images), labels, clip=2.5, expected=4)
    cut = 2.5 / math.sqrt(8)
    # The first is shorter than 2.5, the norm of weight and bias together; the second isn't.
    expected = torch.tensor([2.0, 1 - 2 * cut, 1 - 2 * cut]) / 4
    torch.testing.assert_close(gradient, expected)
    assert loss.item() == pytest.approx((0.5 + 2.0 + 0.0) / 4)
    assert not loss.requires_grad


def test_without_clipping_and_noise_it_is_the_gradient_of_the_mean_loss():
    learner, (views, labels) = Line(5), points(9, 5)
    loss, gradient = filled(learner, views, labels, clip=1e6, expected=9)
    learner.zero_grad()
    plain = learner([views], labels, 0.0)
    plain.backward()
    torch.testing.assert_close(gradient, torch.cat([p.grad.flatten() for p in learner.parameters()]))
    torch.testing.assert_close(loss, plain.detach())


@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_gradients_of_a_masked_autoencoder_are_those_of_backward_passes_in_any_chunks(mae, chunk):
    learner, views, labels = mae
    whole, _ = one_by_one(learner, views, labels, clip=1e9)
    clip = whole.norm(dim=1).median().item()
    gradients, losses = one_by_one(learner, views, labels, clip=clip)
    loss, gradient = filled(learner, views, labels, clip=clip, expected=5, chunk=chunk)
    # Some are clipped, others are not.
    assert 0 < (gradients.norm(dim=1) < 0.99 * clip).sum() < 7
    torch.testing.assert_close(gradient, gradients.sum(dim=0) / 5, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(loss, losses.sum() / 5)


def test_every_parameter_of_a_masked_autoencoder_gets_a_gradient_class_and_mask_token_included(mae):
    learner, views, labels = mae
    filled(learner, views, labels, clip=1.0, expected=7)
    for name, p in learner.named_parameters():
        assert (p.grad is not None) == p.requires_grad, name
    assert learner.encoder.cls_token.grad.norm() > 0
    assert learner.decoder.mask_token.grad.norm() > 0


@pytest.mark.parametrize("sigma", [0.0, 1.3])
def test_no_image_moves_a_step_by_more_than_the_clipping_norm(mae, sigma):
    learner, views, labels = mae
    other = Views(views.images.clone(), views.hidden)
    other.images[3] = 1000 * torch.randn(3, 16, 16, generator=seeded(1))
    clip, expected = 0.1, 7
    rows = torch.tensor([0, 1, 2, 4, 5, 6])
    less = Views(views.images[rows], views.hidden[rows])
    _, before = filled(learner, views, labels, clip=clip, noise=sigma, expected=expected)
    _, without = filled(learner, less, labels[rows], clip=clip, noise=sigma, expected=expected)
    _, swapped = filled(learner, other, labels, clip=clip, noise=sigma, expected=expected)
    bound = clip / expected
    # All seven are clipped, so the bound is reached: an image counts fully, and no more.
    assert (before - without).norm().item() == pytest.approx(bound, rel=1e-3)
    assert (swapped - without).norm().item() == pytest.approx(bound, rel=1e-3)
    assert (swapped - before).norm().item() <= 2 * bound * 1.001


def test_noise_is_gaussian_of_the_clipping_norm_times_the_multiplier():
    learner, (views, labels) = Line(20_000), points(4, 20_000)
    _, still = filled(learner, views, labels, clip=0.5, expected=8)
    _, noisy = filled(learner, views, labels, clip=0.5, noise=3.0, expected=8)
    drawn = (noisy - still).numpy() / (3.0 * 0.5 / 8)
    # The standard error of a standard deviation from n numbers is 1 / sqrt(2 n): half a percent.
    assert drawn.std() == pytest.approx(1, abs=0.02)
    assert kstest(drawn, "norm").pvalue > 0.01


def test_noise_follows_from_the_generator():
    learner, (views, labels) = Line(50), points(3, 50)
    first, again, other = (
        filled(learner, views, labels, noise=1.0, expected=3, seed=seed)[1].clone() for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_steps_draw_new_noise():
    learner, (views, labels), generator = Line(50), points(0, 50), seeded()
    drawn = []
    for _ in range(2):
        private_gradients(learner, [views], labels, 0.0, account=account(noise=1.0), expected=1, generator=generator)
        drawn.append(learner.encoder[1].weight.grad.clone())
    assert not torch.equal(*drawn)


def test_a_step_without_images_is_noise_alone(mae):
    learner, views, labels = mae
    none = Views(views.images[:0], views.hidden[:0])
    loss, gradient = filled(learner, none, labels[:0], clip=2.0, noise=1.5, expected=4, seed=3)
    generator = seeded(3)
    drawn = [torch.randn(p.shape, generator=generator).flatten() for p in learner.parameters() if p.requires_grad]
    torch.testing.assert_close(gradient, torch.cat(drawn) * 2.0 * 1.5 / 4)
    assert loss.item() == 0


def test_a_step_without_images_has_views():
    u, augmentation = (
        torch.rand(0, UNIFORMS),
        Augmentation(0.4, 0.4, 0.4, 0.1, jitter=0.8, flip=0.5, grey=0.2, mask=0.5),
    )
    assert augment(torch.rand(0, 3, 8, 8), u, augmentation).shape == (0, 3, 8, 8)
    assert hidden(u, augmentation, 8).shape == (0, 4)


def test_what_is_not_trained_gets_no_gradient_and_does_not_count():
    learner, (views, labels) = Line(3, frozen=True), points(1, 3)
    _, gradient = filled(learner, views, labels, clip=1e-3, expected=1)
    assert learner.encoder[1].weight.grad is None
    # The bias is all there is, so its gradient has the clipping norm.
    assert gradient.abs().item() == pytest.approx(1e-3)


def test_gradients_lie_in_memory_as_their_parameters(mae):
    learner, views, labels = mae
    learner.to(memory_format=torch.channels_last)
    filled(learner, views, labels, noise=1.0, expected=7)
    kernel = learner.encoder.patch_embed.proj.weight
    assert not kernel.is_contiguous()
    for p in learner.parameters():
        assert p.grad is None or p.grad.stride() == p.stride()


def test_parameters_are_left_alone(mae):
    learner, views, labels = mae
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    filled(learner, views, labels, noise=1.0, expected=7)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())


def test_processes_add_their_sums_and_the_noise_once(monkeypatch):
    learner, (views, labels) = Line(6), points(4, 6)
    twice = Views(views.images.repeat(2, 1, 1, 1))
    together = filled(learner, twice, labels.repeat(2), clip=0.5, noise=1.0, expected=8)
    # The other process has the same four images.
    monkeypatch.setattr(privacy, "world", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.mul_(2))
    apart = filled(learner, views, labels, clip=0.5, noise=1.0, expected=8)
    torch.testing.assert_close(apart, together)


def test_a_framework_that_compares_views_is_refused():
    with pytest.raises(InputError, match=r"recipe\.privacy: .* 2 views .*mae") as error:
        filled(Line(2, views=2), *points(4), expected=2)
    assert "\n" not in str(error.value)


def test_batch_normalisation_is_refused():
    encoder = architectures.build("resnet9", {"width": 0.0625, "residual": True}, image_size=16)
    learner = frameworks.build("supervised", encoder, classes=2, recipe=recipe(), image_size=16)
    views, labels = Views(torch.rand(2, 3, 16, 16)), torch.zeros(2, dtype=torch.long)
    with pytest.raises(InputError, match=r"recipe\.privacy: batch normalisation"):
        filled(learner, views, labels, expected=2)


@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_a_step_draws_each_image_with_the_same_probability(rate):
    generator, steps, n = seeded(), 2000, 50
    drawn = np.zeros((steps, n))
    for step in range(steps):
        rows = poisson(n, rate, generator)
        assert (rows.diff() > 0).all()
        drawn[step, rows.numpy()] = 1
    error = math.sqrt(rate * (1 - rate) / steps)
    assert np.abs(drawn.mean(axis=0) - rate).max() < 4 * error
    # Independent draws: the number of images in a step is binomial.
    assert drawn.sum(axis=1).var() == pytest.approx(n * rate * (1 - rate), rel=0.15)


def test_steps_may_be_empty_or_whole():
    assert len(poisson(100, 1e-9, seeded())) == 0
    assert poisson(5, 1.0, seeded()).tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(poisson(100, 0.3, seeded(4)), poisson(100, 0.3, seeded(4)))


def test_noise_grows_as_epsilon_falls_and_costs_it():
    multipliers = [noise(epsilon, DELTA, 0.05, 1000) for epsilon in (20.0, 8.0, 1.0, 0.05)]
    assert multipliers == sorted(multipliers)
    for epsilon, sigma in zip((20.0, 8.0, 1.0, 0.05), multipliers, strict=True):
        assert 0.999 * epsilon <= spent(sigma, DELTA, 0.05, 1000) <= epsilon


def test_cost_grows_with_steps_and_rate_and_falls_with_noise_and_delta():
    usual = spent(1.0, DELTA, 0.05, 500)
    assert spent(1.0, DELTA, 0.05, 0) == 0
    assert spent(1.0, DELTA, 0.05, 100) < usual < spent(1.0, DELTA, 0.05, 2000)
    assert spent(1.0, DELTA, 0.01, 500) < usual < spent(1.0, DELTA, 0.2, 500)
    assert spent(2.0, DELTA, 0.05, 500) < usual < spent(0.7, DELTA, 0.05, 500)
    assert spent(1.0, 1e-3, 0.05, 500) < usual < spent(1.0, 1e-9, 0.05, 500)


def test_cost_is_that_of_opacus_stepping():
    accountant = RDPAccountant()
    for _ in range(70):
        accountant.step(noise_multiplier=1.1, sample_rate=0.03)
    assert spent(1.1, DELTA, 0.03, 70) == pytest.approx(accountant.get_epsilon(DELTA), rel=1e-12)


def test_cost_of_whole_batches_is_that_of_the_gaussian_mechanism():
    # Renyi divergence of order a: steps a / (2 sigma^2); to epsilon by Theorem 21 of Balle et al. (2020).
    orders = np.linspace(1.01, 200, 200_000)
    divergence = 12 * orders / (2 * 4.0**2)
    bound = divergence - (np.log(DELTA) + np.log(orders)) / (orders - 1) + np.log((orders - 1) / orders)
    assert spent(4.0, DELTA, 1.0, 12) == pytest.approx(bound.min(), rel=1e-3)


def test_cost_of_one_step_bounds_what_delta_allows():
    # A step that sees the image with probability q: P(S | image) - e^epsilon P(S) is at most delta for the best sets S,
    # half-lines, of both directions; integrated by hand over a fine grid.
    q, sigma = 0.2, 0.8
    epsilon = spent(sigma, DELTA, q, 1)
    x = np.linspace(-12, 14, 400_001)
    without = np.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    given = q * np.exp(-((x - 1) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)) + (1 - q) * without
    width = x[1] - x[0]
    for p, other in ((given, without), (without, given)):
        assert np.clip(p - math.exp(epsilon) * other, 0, None).sum() * width <= DELTA
    # And not by far: a third less would not be enough.
    assert np.clip(given - math.exp(epsilon * 2 / 3) * without, 0, None).sum() * width > DELTA


def test_an_account_is_made_from_a_recipe():
    made = Account.of(Privacy(8, DELTA, 0.7), rate=0.1, steps=300)
    assert (made.clip, made.delta, made.rate) == (0.7, DELTA, 0.1)
    assert made.noise == noise(8, DELTA, 0.1, 300)
    assert made.spent(150) < made.spent(300) <= 8


def test_an_account_of_no_steps_costs_nothing():
    made = Account.of(Privacy(8, DELTA, 1.0), rate=0.1, steps=0)
    assert made.spent(0) == 0


def test_an_epsilon_out_of_reach_is_refused():
    with pytest.raises(InputError, match=r"recipe\.privacy\.epsilon: 0\.001 .*raise one") as error:
        noise(0.001, 1e-12, 1.0, 1000)
    assert "\n" not in str(error.value)
