import math

import pytest
import torch
from torch import nn

from memloc.models import architectures
from memloc.training.optim import OPTIMIZERS, optimizer_of, schedule, set_rates
from tests.builders.trainings import recipe


class Kinds(nn.Module):
    """A parameter of every kind."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.token, self.position = nn.Parameter(torch.ones(1, 1, 4)), nn.Parameter(torch.ones(1, 5, 4))
        self.frozen = nn.Parameter(torch.ones(3, 3), requires_grad=False)


def decays(module, **changes):
    """By name of parameter, its weight decay; names of those that aren't trained are missing."""
    optimizer = optimizer_of(module, recipe(**{"optimizer": "sgd", **changes}))
    of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    return {name: of[id(p)] for name, p in module.named_parameters() if id(p) in of}


def test_weights_decay_and_biases_normalisation_and_single_tokens_do_not():
    assert decays(Kinds()) == {
        "conv.weight": 0.01,
        "conv.bias": 0.0,
        "norm.weight": 0.0,
        "norm.bias": 0.0,
        "linear.weight": 0.01,
        "linear.bias": 0.0,
        "token": 0.0,
        "position": 0.01,
    }


def test_every_trained_parameter_of_an_encoder_is_in_one_group():
    encoder = architectures.build("vit-tiny", {"patch": 4, "depth": 1, "width": 1}, image_size=16)
    for name in OPTIMIZERS:
        found = decays(encoder, optimizer=name)
        assert found.keys() == {n for n, p in encoder.named_parameters() if p.requires_grad}
        assert found["blocks.0.attn.qkv.weight"] == 0.01 and found["cls_token"] == found["norm.weight"] == 0.0


def test_a_module_without_weights_has_an_optimizer_all_the_same():
    (group,) = optimizer_of(nn.BatchNorm2d(3), recipe()).param_groups
    assert group["weight_decay"] == 0 and len(group["params"]) == 2


def walk(name, gradients, **changes):
    """Weight [2, 2] and bias [2] after steps along gradients; the learning rate stays."""
    module = nn.Linear(2, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        module.bias.copy_(torch.tensor([1.0, -2.0]))
    optimizer = optimizer_of(module, recipe(optimizer=name, **changes))
    for weight, bias in gradients:
        module.weight.grad, module.bias.grad = torch.tensor(weight), torch.tensor(bias)
        optimizer.step()
    return module.weight.detach().double(), module.bias.detach().double()


ONE = [([[0.0, 2.0], [0.0, 0.0]], [1.0, 0.0])]


def test_a_step_of_lars_is_in_proportion_to_the_weights():
    # Norms: weights 5, gradient 2. Trust: 0.001 * 5 / (2 + 5 * 0.01). Biases take the plain step.
    weight, bias = walk("lars", ONE)
    trust = 0.001 * 5 / (2 + 0.05)
    step = 0.1 * trust * torch.tensor([[0.03, 2.0], [0.0, 0.04]], dtype=torch.float64)
    expected = torch.tensor([[3.0, 0.0], [0.0, 4.0]], dtype=torch.float64) - step
    torch.testing.assert_close(weight, expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(bias, torch.tensor([0.9, -2.0], dtype=torch.float64), rtol=1e-6, atol=1e-7)


def test_momentum_reaches_lars_and_sgd():
    # Of biases, which neither decay nor are scaled: two equal gradients move them by 0.1 * (1 + (1 + momentum)).
    for name in ("lars", "sgd"):
        for momentum in (0.0, 0.5):
            _, bias = walk(name, ONE * 2, momentum=momentum)
            assert bias.tolist() == pytest.approx([1 - 0.1 * (2 + momentum), -2]), (name, momentum)


def test_sgd_adds_the_decay_to_the_gradient():
    weight, _ = walk("sgd", ONE)
    assert weight.flatten().tolist() == pytest.approx([3 - 0.1 * 0.03, -0.2, 0, 4 - 0.1 * 0.04])


def test_beta2_reaches_adam_and_adamw():
    # After gradients 1 and 0: m = 0.9 * 0.1 / (1 - 0.81), v = beta2 * (1 - beta2) / (1 - beta2^2).
    for name in ("adam", "adamw"):
        for beta2 in (0.999, 0.5):
            _, bias = walk(name, [*ONE, ([[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0])], beta2=beta2)
            second = 0.09 / 0.19 / math.sqrt(beta2 * (1 - beta2) / (1 - beta2**2))
            assert bias[0].item() == pytest.approx(1 - 0.1 * (1 + second), rel=1e-5), (name, beta2)


def test_adamw_shrinks_weights_apart_from_the_gradient_and_adam_within():
    # A large decay: adam's first step is the learning rate whatever it is, adamw's shrinks by their product besides.
    weight, _ = walk("adamw", ONE, weight_decay=2.0)
    assert weight.flatten().tolist() == pytest.approx([3 * 0.8, -0.1, 0, 4 * 0.8])
    weight, _ = walk("adam", ONE, weight_decay=2.0)
    assert weight.flatten().tolist() == pytest.approx([2.9, -0.1, 0, 3.9])


def rates(step, **changes):
    optimizer = optimizer_of(Kinds(), recipe(**changes))
    rate = set_rates(optimizer, recipe(**changes), step, steps=100, warmup=20)
    decayed, rest = optimizer.param_groups
    assert decayed["lr"] == rest["lr"] == rate and rest["weight_decay"] == 0
    return rate, decayed["weight_decay"]


def test_the_schedule_is_a_linear_warm_up_and_half_a_cosine():
    def rate(step):
        return schedule(step, total=110, warmup=10, peak=0.8)

    assert [rate(s) for s in (0, 4, 9)] == pytest.approx([0.08, 0.4, 0.8])
    assert [rate(s) for s in (10, 60, 110)] == pytest.approx([0.8, 0.4, 0.0])
    assert rate(35) == pytest.approx(0.4 * (1 + math.sqrt(0.5)))
    assert all(rate(s) > rate(s + 1) > 0 for s in range(10, 108))


def test_a_schedule_that_is_all_warm_up_ends_at_its_peak():
    rates = [schedule(s, total=5, warmup=5, peak=1.0) for s in range(5)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_weight_decay_stays_without_an_end():
    assert [rates(step)[1] for step in (0, 50, 99)] == [0.01] * 3


@pytest.mark.parametrize("end", [0.41, 0.0])
def test_weight_decay_goes_along_a_cosine_to_its_end(end):
    half = (0.01 + end) / 2
    found = [rates(step, weight_decay_end=end)[1] for step in (0, 25, 50, 100)]
    assert found == pytest.approx([0.01, half + (0.01 - half) / math.sqrt(2), half, end])


def test_the_learning_rate_of_a_step_is_that_of_the_schedule():
    for step in (0, 7, 20, 60, 99):
        assert rates(step)[0] == schedule(step, total=100, warmup=20, peak=0.1)


def test_a_rate_that_was_set_is_the_one_a_step_takes():
    module = nn.Linear(1, 1)
    plain = recipe(optimizer="sgd", weight_decay=0.0, momentum=0.0)
    optimizer = optimizer_of(module, plain)
    set_rates(optimizer, plain, 9, steps=100, warmup=20)
    before, module.bias.grad = module.bias.item(), torch.ones(1)
    optimizer.step()
    assert module.bias.item() == pytest.approx(before - 0.05)
