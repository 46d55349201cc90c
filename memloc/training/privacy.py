"""Differentially private training: DP-SGD (Abadi et al., 2016).

Each step draws its images independently, clips the gradient of each image and adds Gaussian noise to their sum, so
that no image moves the encoder much. Two sets of images are neighbours if one of them has one image more.

The guarantee holds against those who know neither the draws nor the noise. Here both follow from published seeds: this
is for measuring what privacy does to memorization, not for protecting images.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from memloc.errors import InputError
from memloc.models.frameworks import FRAMEWORKS
from memloc.models.frameworks.learner import Learner, Views, world
from memloc.models.frameworks.recipe import Privacy


@dataclass(frozen=True)
class Account:
    """What a private training does in each step, and what that costs.

    Attributes:
        clip: largest norm of one image's gradient.
        noise: standard deviation of the noise on the sum of gradients, in units of ``clip``.
        delta: probability with which the guarantee may fail.
        rate: probability with which a step sees an image.
    """

    clip: float
    noise: float
    delta: float
    rate: float

    @classmethod
    def of(cls, privacy: Privacy, *, rate: float, steps: int) -> Account:
        """The account whose ``steps`` steps cost the epsilon of a recipe's ``privacy``.

        Raises:
            InputError: so small an epsilon is out of reach.
        """
        return cls(privacy.clip, noise(privacy.epsilon, privacy.delta, rate, steps), privacy.delta, rate)

    def spent(self, steps: int) -> float:
        """Epsilon that a number of steps has cost."""
        return spent(self.noise, self.delta, self.rate, steps)


def noise(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The least noise, in units of the clipping norm, for which ``steps`` steps cost ``epsilon``, to 1 in 1,000.

    Accounted by Renyi divergence of the sampled Gaussian mechanism (Mironov et al., 2019): a bound that holds for any
    setting and takes no time. Numerical composition (Gopi et al., 2021) would need about 5 % less noise.

    Raises:
        InputError: so small an epsilon is out of reach.
    """
    from opacus.accountants.utils import get_noise_multiplier

    if not steps:
        return 0.0
    try:
        with _any_order():
            multiplier: float = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=rate,
                steps=steps,
                accountant="rdp",
                epsilon_tolerance=epsilon / 1000,
                alphas=_orders(),
            )
    except ValueError:
        raise InputError(
            f"recipe.privacy.epsilon: {epsilon} is out of reach with delta {delta}; raise one of them"
        ) from None
    return multiplier


def spent(noise: float, delta: float, rate: float, steps: int) -> float:
    """Epsilon that a number of steps costs at most, see ``noise``."""
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise, rate, steps)] if steps else []
    with _any_order():
        return float(accountant.get_epsilon(delta, alphas=_orders()))


def _orders() -> list[float]:
    """Orders of the Renyi divergence: Opacus' own, and higher ones, without which no epsilon below 0.1 is found."""
    from opacus.accountants import RDPAccountant

    return [*RDPAccountant.DEFAULT_ALPHAS, 128, 256, 512, 1024]


@contextmanager
def _any_order() -> Iterator[None]:
    # Every order gives a bound: at the first or last of them it is only less tight.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the (smallest|largest) alpha")
        yield


def poisson(n: int, rate: float, generator: torch.Generator) -> Tensor:
    """Rows of one step: each of n with probability ``rate``, independently of the others. There may be none."""
    # In double precision: numbers of 24 bits would be below a small rate noticeably too often.
    return (torch.rand(n, dtype=torch.float64, generator=generator) < rate).nonzero()[:, 0]


def private_gradients(
    learner: Learner,
    views: Sequence[Views],
    labels: Tensor,
    progress: float,
    *,
    account: Account,
    expected: int,
    generator: torch.Generator,
    chunk: int = 16,
) -> Tensor:
    """Fill a step's gradients: the sum of single images' clipped gradients, plus noise, over the expected number.

    Args:
        views: one of each image.
        labels: [n], n may be 0.
        progress: steps done as a share of all.
        expected: images that a step draws on average, of all processes together.
        generator: for the noise, the same in every process.
        chunk: images whose gradients are in memory at a time.

    Returns:
        Sum of the losses of all processes' images over ``expected``: on average the mean loss.

    Raises:
        InputError: the learner takes several views of an image or normalises over a batch.
    """
    _check(learner)
    parameters = {name: p for name, p in learner.named_parameters() if p.requires_grad}
    # As parameters lie in memory: a fused optimizer walks both side by side.
    sums = {name: torch.zeros_like(p.detach()) for name, p in parameters.items()}
    total = torch.zeros((), device=views[0].images.device)
    for gradients, losses in _by_image(learner, views[0], labels, progress, chunk=chunk):
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients.values()]).norm(dim=0)
        factors = account.clip / norms.clamp(min=account.clip)
        for name, gradient in gradients.items():
            sums[name] += torch.tensordot(factors, gradient, dims=1)
        total += losses.sum()
    if world() > 1:
        for tensor in (*sums.values(), total):
            torch.distributed.all_reduce(tensor)
    for name, p in parameters.items():
        normal = torch.randn(p.shape, generator=generator, device=generator.device).to(p.device)
        p.grad = sums[name].add_(normal, alpha=account.noise * account.clip).div_(expected)
    return total / expected


def _by_image(
    learner: Learner, views: Views, labels: Tensor, progress: float, *, chunk: int
) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Gradients [chunk, ...] by parameter and losses [chunk] of single images, chunk by chunk.

    The loss of an image is what the learner's forward makes of it alone. Opacus' hooks on modules would miss
    parameters that are used outside of one, such as class and mask tokens, so gradients come from torch.func, for
    which a forward may not branch on the values of images.
    """
    images, hidden = views
    values = {name: p.detach() for name, p in learner.named_parameters() if p.requires_grad}

    def loss(values: dict[str, Tensor], image: Tensor, label: Tensor, hidden: Tensor | None) -> Tensor:
        view = Views(image[None], None if hidden is None else hidden[None])
        out: Tensor = functional_call(learner, values, ([view], label[None], progress))
        return out

    each = vmap(grad_and_value(loss), in_dims=(None, 0, 0, None if hidden is None else 0), randomness="different")
    for start in range(0, len(labels), chunk):
        rows = slice(start, start + chunk)
        # torch.func has no rule for fused attention.
        with sdpa_kernel(SDPBackend.MATH):
            gradients, losses = each(values, images[rows], labels[rows], None if hidden is None else hidden[rows])
        yield gradients, losses


def _check(learner: Learner) -> None:
    views = sum(group.count for group in learner.groups)
    able = " or ".join(name for name, framework in FRAMEWORKS.items() if framework.image_losses)
    if views != 1:
        raise InputError(f"recipe.privacy: this framework compares {views} views in one loss; use {able}")
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in learner.modules()):
        raise InputError(
            "recipe.privacy: batch normalisation mixes images; use an architecture without it, such as a ViT"
        )
