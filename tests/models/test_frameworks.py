import copy
import math

import pytest
import torch
from torch import nn

from memloc.data.augmentations import AUGMENTATIONS
from memloc.errors import InputError
from memloc.models import checkpoint, frameworks
from memloc.models.architectures.resnet9 import ResNet9
from memloc.models.frameworks import FRAMEWORKS
from memloc.models.frameworks.learner import Views
from memloc.models.frameworks.teacher import ema_at
from memloc.training.engine import synchronised
from tests.builders.trainings import recipe

SIZE, N = 32, 6
SMALL = {
    "simclr": {"projection": 8},
    "simsiam": {"projection": 16, "prediction": 8},
    "byol": {"hidden": 16, "projection": 8, "ema": 0.9},
    "vicreg": {"projection": 12},
    "barlow-twins": {"projection": 12},
    "dino": {"hidden": 16, "bottleneck": 8, "outputs": 20, "ema": 0.9, "local_crops": 3, "local_size": 16},
    "mae": {"decoder_dim": 12, "decoder_depth": 1, "decoder_heads": 3},
    "lejepa": {"hidden": 16, "projection": 8, "slices": 32, "local_crops": 3, "local_size": 16},
    "supervised": {},
}


class Patches(nn.Module):
    """The smallest encoder of patches: each token is a linear map of its pixels, plus the mean of all that are seen."""

    def __init__(self, patch=8, dim=8):
        super().__init__()
        self.patch, self.dim, self.skips_hidden = patch, dim, True
        self.embed = nn.Conv2d(3, dim, patch, stride=patch)
        self.position = nn.Parameter(0.1 * torch.randn((SIZE // patch) ** 2, dim))
        self.cls = nn.Parameter(torch.zeros(dim))

    def tokens(self, x, keep=None):
        out = self.embed(x).flatten(2).mT + self.position
        if keep is not None:
            out = torch.gather(out, 1, keep[:, :, None].expand(-1, -1, self.dim))
        out = torch.cat([self.cls.expand(len(x), 1, -1), out], dim=1)
        return torch.tanh(out + out.mean(dim=1, keepdim=True))

    def forward(self, x):
        return self.tokens(x)[:, 0]


def build(name, *, seed=0, encoder=None, image_size=SIZE, **changes):
    torch.manual_seed(seed)
    if encoder is None:
        encoder = Patches() if FRAMEWORKS[name].tokens else ResNet9(0.0625)
    augmentation = "masking" if FRAMEWORKS[name].tokens else "normal"
    made = recipe(name, **{"batch_size": N, "augmentation": augmentation, **SMALL[name], **changes})
    return frameworks.build(name, encoder, classes=3, recipe=made, image_size=image_size).train()


def draw(learner, *, seed=0, n=N):
    """Views of every group: each image is a noise of its own, each view that image with noise of its own."""
    generator = torch.Generator().manual_seed(seed)
    whole, out = torch.randn(n, 3, SIZE, SIZE, generator=generator), []
    for group in learner.groups:
        images = whole[:, :, : group.size, : group.size].repeat(group.count, 1, 1, 1)
        images = images + 0.3 * torch.randn(images.shape, generator=generator)
        hidden = None
        if group.augmentation.mask:
            patches = (group.size // group.augmentation.patch) ** 2
            order = torch.rand(len(images), patches, generator=generator).argsort(dim=1)
            hidden = order < round(group.augmentation.mask * patches)
        out.append(Views(images, hidden))
    return out


def loss_of(learner, views, *, progress=0.0, seed=0):
    torch.manual_seed(seed)
    return learner(views, torch.arange(len(views[0].images) // learner.groups[0].count) % 3, progress)


def unit(x):
    return x / x.norm()


# ---- every framework


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_loss_falls_on_fixed_views(name):
    # Teacher and centre don't move: a loss whose target moves may rise.
    learner = build(name, **({"ema": 1.0} if "ema" in SMALL[name] else {}))
    if name == "dino":
        learner.loss.center_momentum = 1.0
    views = draw(learner)
    optimizer = torch.optim.Adam([p for p in learner.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for step in range(30):
        loss = loss_of(learner, views, progress=step / 30)
        optimizer.zero_grad()
        loss.backward()
        learner.before_update(epoch=5)
        optimizer.step()
        learner.after_update((step + 1) / 30)
        losses.append(loss.item())
    assert all(map(math.isfinite, losses))
    assert sum(losses[-5:]) < sum(losses[:5]) - 0.05 * abs(sum(losses[:5]))


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_gradient_reaches_whatever_is_trained(name):
    learner = build(name)
    loss_of(learner, draw(learner)).backward()
    without = [
        key for key, p in learner.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.abs().sum())
    ]
    # A bias before batch normalisation has a gradient of rounding errors or none; all else must have one.
    assert [key for key in without if not key.endswith("conv.bias")] == []


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_state_that_is_loaded_gives_the_same_loss(name):
    learner, other = trained(name), build(name, seed=1)
    views = draw(learner)
    state = copy.deepcopy(learner.state_dict())
    assert not torch.equal(loss_of(other, views), loss_of(learner, views))
    learner.load_state_dict(state)
    other.load_state_dict(state)
    torch.testing.assert_close(loss_of(other, views), loss_of(learner, views), rtol=0, atol=0)


def trained(name, *, seed=0):
    """A learner after two steps: nothing is at its start, batch norms have statistics, a teacher lags behind."""
    learner = build(name, seed=seed)
    views = draw(learner)
    for step in range(2):
        learner.zero_grad()
        loss_of(learner, views, seed=step).backward()
        with torch.no_grad():
            for parameter in learner.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
        learner.after_update(0.5)
    return learner


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_encoder_that_is_kept_and_the_additions_give_the_loss_bit_for_bit(name, mode, tmp_path):
    learner, path = trained(name), tmp_path / "weights.safetensors"
    weights = {key: tensor.clone() for key, tensor in learner.result().state_dict().items()}
    checkpoint.save(weights, {}, path)
    checkpoint.save(learner.additions(), {}, tmp_path / "additions.safetensors")
    # Of a student and a teacher one encoder is kept, which replaces both.
    learner.encoder.load_state_dict(weights)
    if hasattr(learner, "teacher"):
        learner.teacher["encoder"].load_state_dict(weights)

    def opened(*, add):
        encoder = build(name, seed=1).encoder
        checkpoint.restore(encoder, checkpoint.load(path)[0], path)
        fresh = build(name, seed=2, encoder=encoder)
        if add:
            fresh.add(checkpoint.load(tmp_path / "additions.safetensors")[0])
        assert all(torch.equal(tensor, weights[key]) for key, tensor in fresh.result().state_dict().items())
        return fresh.train(mode)

    views = draw(learner, seed=3)
    with torch.no_grad():
        expected = loss_of(learner.train(mode), views)
        assert torch.equal(loss_of(opened(add=True), views), expected)
        assert not torch.equal(loss_of(opened(add=False), views), expected)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_additions_are_all_but_the_encoders(name):
    learner = trained(name)
    whole, additions = learner.state_dict(), learner.additions()
    assert all(torch.equal(whole[key], tensor) for key, tensor in additions.items())
    encoders = {f"encoder.{key}" for key in learner.encoder.state_dict()}
    if hasattr(learner, "teacher"):
        encoders |= {f"teacher.{key}" for key in encoders}
        assert any(key.startswith("teacher.head.") for key in additions)
    assert {*whole} - {*additions} == encoders and {*additions} and not {*additions} & encoders


@pytest.mark.parametrize("name", [name for name, framework in FRAMEWORKS.items() if framework.head])
def test_the_head_maps_the_kept_encoders_output_to_the_space_of_the_loss(name):
    learner = trained(name).eval()
    width = {"dino": 20, "supervised": 3}.get(name) or SMALL[name]["projection"]
    out = learner.result_head()(learner.result()(torch.randn(2, 3, SIZE, SIZE)))
    assert out.shape == (2, width)
    owners = [module for module in learner.modules() if learner.result_head() in module.children()]
    assert owners == [learner.teacher if name == "dino" else learner]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_loss_does_not_depend_on_the_order_of_images(name):
    learner = build(name)
    views, order = draw(learner), torch.tensor([3, 1, 5, 0, 4, 2])
    state = copy.deepcopy(learner.state_dict())
    torch.manual_seed(0)
    before = learner(views, torch.arange(N) % 3, 0.0)
    learner.load_state_dict(state)
    turned = []
    for group, (images, hidden) in zip(learner.groups, views, strict=True):
        rows = torch.cat([order + k * N for k in range(group.count)])
        turned.append(Views(images[rows], None if hidden is None else hidden[rows]))
    torch.manual_seed(0)
    torch.testing.assert_close(learner(turned, order % 3, 0.0), before, rtol=1e-4, atol=1e-5)


def test_defaults_are_the_published_ones():
    published = {
        "simclr": {"temperature": 0.5, "projection": 64},
        "simsiam": {"projection": 2048, "prediction": 512},
        "byol": {"hidden": 4096, "projection": 256, "ema": 0.99},
        "vicreg": {"projection": 8192, "invariance": 25, "variance": 25, "covariance": 1},
        "barlow-twins": {"projection": 8192, "redundancy": 0.005},
        "dino": {
            **{"hidden": 2048, "bottleneck": 256, "outputs": 65536, "ema": 0.996, "frozen_epochs": 1},
            **{"teacher_temperature": 0.04, "student_temperature": 0.1, "local_crops": 8, "local_size": 96},
        },
        "mae": {
            **{"decoder_dim": 192, "decoder_depth": 4, "decoder_heads": 3},
            "normalise_pixels": False,
        },
        "lejepa": {
            **{"hidden": 2048, "projection": 64, "regularisation": 0.05, "slices": 1024},
            **{"local_crops": 6, "local_size": 98},
        },
        "supervised": {},
    }
    assert {
        name: {key: rule["default"] for key, rule in entry.options.items()} for name, entry in FRAMEWORKS.items()
    } == published


def test_an_unknown_name_imports_nothing():
    with pytest.raises(KeyError):
        frameworks.build("learner", ResNet9(0.0625), classes=2, recipe=recipe(), image_size=32)


def test_views_are_of_the_recipe():
    for name in ("simclr", "simsiam", "byol", "vicreg", "barlow-twins"):
        (group,) = build(name, augmentation="weak").groups
        assert (group.count, group.augmentation, group.size) == (2, AUGMENTATIONS["weak"], SIZE)
    for name, large, small in (("dino", (0.4, 1.0), (0.05, 0.4)), ("lejepa", (0.3, 1.0), (0.05, 0.3))):
        one, two = build(name).groups
        assert (one.count, one.augmentation.scale, one.size) == (2, large, SIZE)
        assert (two.count, two.augmentation.scale, two.size) == (3, small, 16)
        assert one.augmentation.jitter == two.augmentation.jitter == AUGMENTATIONS["normal"].jitter
        (only,) = build(name, local_crops=0, local_size=1000).groups
        assert only == one
    (group,) = build("mae").groups
    masking = group.augmentation
    assert (group.count, masking.mask, masking.patch, masking.crop) == (1, 0.75, 8, False)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("simclr", {"batch_size": 1}, "recipe.batch_size: 1"),
        ("vicreg", {"batch_size": 1}, "recipe.batch_size: 1"),
        ("dino", {"local_size": 96}, "recipe.local_size: 96 exceeds the image's 32 pixels"),
        ("lejepa", {"local_size": 8}, "recipe.local_size: 8 pixels are too few"),
        ("dino", {"local_size": 12, "encoder": Patches()}, "not a multiple of the encoder's patch .8."),
        ("mae", {"augmentation": "mild"}, "recipe.augmentation: mild hides 0 of 16 patches"),
        ("mae", {"decoder_dim": 16, "decoder_heads": 3}, "recipe.decoder_dim: 16"),
        ("mae", {"decoder_dim": 6, "decoder_heads": 3}, "recipe.decoder_dim: 6"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(name, changes, message):
    with pytest.raises(InputError, match=message) as error:
        build(name, **changes)
    assert "\n" not in str(error.value)


def test_the_trial_of_a_small_view_leaves_the_encoder_as_it_was():
    encoder = ResNet9(0.0625).train()
    before = copy.deepcopy(encoder.state_dict())
    build("dino", encoder=encoder)
    assert encoder.training and all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())


# ---- losses against slow references


@pytest.mark.parametrize("temperature", [0.5, 0.2])
def test_simclr_is_nt_xent(temperature):
    learner = build("simclr", temperature=temperature)
    views = draw(learner)
    z = [unit(v) for v in learner.head(learner.encoder(views[0].images))]
    total = 0.0
    for i in range(2 * N):
        partner = (i + N) % (2 * N)
        others = sum(torch.exp(z[i] @ z[k] / temperature) for k in range(2 * N) if k != i)
        total -= torch.log(torch.exp(z[i] @ z[partner] / temperature) / others)
    torch.testing.assert_close(loss_of(learner, views), total / (2 * N))


def test_simsiam_is_the_mean_negative_cosine_with_the_gradient_stopped():
    learner = build("simsiam")
    views = draw(learner)
    z = learner.head(learner.encoder(views[0].images))
    p = learner.predictor(z)
    fixed = z.detach()
    total = sum(-(unit(p[i]) @ unit(fixed[i + N])) - unit(p[i + N]) @ unit(fixed[i]) for i in range(N))
    total = total / (2 * N)
    loss = loss_of(learner, views)
    torch.testing.assert_close(loss, total)
    weight = learner.encoder.block1.conv.weight
    (expected,) = torch.autograd.grad(total, weight)
    torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], expected)


def test_byol_is_the_squared_distance_of_unit_vectors_to_the_teachers():
    learner = build("byol")
    with torch.no_grad():
        for parameter in learner.teacher.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    views = draw(learner)
    q = learner.predictor(learner.head(learner.encoder(views[0].images)))
    z = learner.teacher["head"](learner.teacher["encoder"](views[0].images))
    total = 0.0
    for i in range(N):
        total += (unit(q[i]) - unit(z[i + N])).square().sum() + (unit(q[i + N]) - unit(z[i])).square().sum()
    torch.testing.assert_close(loss_of(learner, views), total / N, rtol=1e-4, atol=1e-5)


def test_vicreg_is_its_three_terms():
    learner = build("vicreg", invariance=3.0, variance=5.0, covariance=7.0)
    views = draw(learner)
    first, second = learner.head(learner.encoder(views[0].images)).detach().chunk(2)
    d = first.shape[1]
    invariance = sum((first[i] - second[i]).square().sum() for i in range(N)) / (N * d)
    variance = covariance = 0.0
    for z in (first, second):
        centred = z - z.mean(dim=0)
        for a in range(d):
            deviation = torch.sqrt(centred[:, a].square().sum() / (N - 1) + 1e-4)
            variance += max(0.0, 1 - deviation) / d / 2
            for b in range(d):
                if a != b:
                    covariance += (centred[:, a] @ centred[:, b] / (N - 1)) ** 2 / d
    torch.testing.assert_close(loss_of(learner, views).detach(), 3 * invariance + 5 * variance + 7 * covariance)


def test_barlow_twins_draws_the_correlation_to_the_identity():
    learner = build("barlow-twins", redundancy=0.3)
    views = draw(learner)
    first, second = learner.head(learner.encoder(views[0].images)).detach().chunk(2)

    def standardised(z):
        return (z - z.mean(dim=0)) / torch.sqrt(z.var(dim=0, unbiased=False) + 1e-5)

    first, second = standardised(first), standardised(second)
    total, d = 0.0, first.shape[1]
    for a in range(d):
        for b in range(d):
            c = first[:, a] @ second[:, b] / N
            total += (1 - c) ** 2 if a == b else 0.3 * c**2
    torch.testing.assert_close(loss_of(learner, views).detach(), total)


def test_dino_is_the_cross_entropy_over_pairs_of_different_views():
    learner = build("dino", teacher_temperature=0.2, student_temperature=0.5)
    with torch.no_grad():
        for parameter in learner.teacher.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        learner.loss.center.normal_(std=0.1)
    centre = learner.loss.center[0, 0].clone()
    views = draw(learner)
    with torch.no_grad():
        student = [*learner.head(learner.encoder(views[0].images)).split(N)]
        student += learner.head(learner.encoder(views[1].images)).split(N)
        teacher = learner.teacher["head"](learner.teacher["encoder"](views[0].images)).split(N)
    assert len(student) == 5
    total, pairs = 0.0, 0
    for t in range(2):
        for s in range(5):
            if s != t:
                pairs += 1
                for i in range(N):
                    target = torch.softmax((teacher[t][i] - centre) / 0.2, dim=0)
                    total -= target @ torch.log_softmax(student[s][i] / 0.5, dim=0) / N
    assert pairs == 8
    torch.testing.assert_close(loss_of(learner, views).detach(), total / pairs, rtol=1e-4, atol=1e-5)
    moved = 0.9 * centre + 0.1 * torch.cat(teacher).mean(dim=0)
    torch.testing.assert_close(learner.loss.center[0, 0], moved, rtol=1e-4, atol=1e-5)


def test_dino_without_local_views_has_two_pairs():
    learner = build("dino", local_crops=0)
    views = draw(learner)
    assert len(views) == 1
    # Equal views, an untouched teacher and no centre: each pair is the same cross-entropy.
    same = views[0].images[:N].repeat(2, 1, 1, 1)
    with torch.no_grad():
        out = learner.head(learner.encoder(same))[:N]
    expected = -(torch.softmax(out / 0.04, dim=1) * torch.log_softmax(out / 0.1, dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(loss_of(learner, [Views(same)]).detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalise", [False, True])
def test_mae_is_the_squared_error_of_hidden_patches_alone(normalise):
    learner = build("mae", normalise_pixels=normalise)
    views = draw(learner)
    images, hidden = views[0]
    assert hidden.sum(dim=1).tolist() == [12] * N
    with torch.no_grad():
        total = 0.0
        for image, mask in zip(images, hidden, strict=True):
            visible = mask.logical_not().nonzero()[:, 0]
            tokens = learner.embed(learner.encoder.tokens(image[None], visible[None]))[0]
            sequence = learner.decoder.mask_token[0, 0].repeat(17, 1)
            sequence[0] = tokens[0]
            for place, token in zip(visible.tolist(), tokens[1:], strict=True):
                sequence[1 + place] = token
            painted = learner.head(learner.decoder(sequence[None]))[0]
            for place in mask.nonzero()[:, 0].tolist():
                row, column = divmod(place, 4)
                patch = image[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                target = patch.permute(1, 2, 0).flatten()
                if normalise:
                    target = (target - target.mean()) / torch.sqrt(target.var() + 1e-6)
                total += (painted[1 + place] - target).square().sum()
    torch.testing.assert_close(loss_of(learner, views).detach(), total / (N * 12 * 3 * 64), rtol=1e-4, atol=1e-5)


def test_mae_sees_hidden_pixels_in_the_target_alone():
    learner = build("mae")
    images, hidden = draw(learner)[0]
    keep, gone = learner.indices(hidden)
    assert torch.equal(torch.zeros_like(hidden).scatter(1, gone, True), hidden)
    assert torch.equal(torch.cat([keep, gone], dim=1).sort(dim=1).values, torch.arange(16).expand(N, 16))
    changed = images.clone()
    for i in range(N):
        row, column = divmod(int(gone[i, 0]), 4)
        changed[i, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 7.0
    before, after = learner.encoder.tokens(images, keep), learner.encoder.tokens(changed, keep)
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    assert (learner.example_losses(images, keep, gone) != learner.example_losses(changed, keep, gone)).all()


def test_mae_gives_each_images_gradient_under_vmap():
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from memloc.models.architectures.vit import ViT

    torch.manual_seed(0)
    learner = build("mae", encoder=ViT(SIZE, patch=8, dim=12, depth=1, heads=3))
    images, hidden = draw(learner, n=3)[0]
    parameters = {key: p.detach() for key, p in learner.named_parameters() if p.requires_grad}

    def single(parameters, image, mask):
        arguments = ([Views(image[None], mask[None])], torch.zeros(1), 0.0)
        return torch.func.functional_call(learner, parameters, arguments)

    with sdpa_kernel(SDPBackend.MATH):
        by_image = torch.func.vmap(torch.func.grad(single), in_dims=(None, 0, 0))(parameters, images, hidden)
    for i in range(3):
        learner.zero_grad()
        loss_of(learner, [Views(images[i : i + 1], hidden[i : i + 1])]).backward()
        for key, parameter in learner.named_parameters():
            if parameter.requires_grad:
                torch.testing.assert_close(by_image[key][i], parameter.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("local_crops", [0, 3])
def test_lejepas_invariance_is_the_distance_to_the_mean_of_global_views(local_crops):
    learner = build("lejepa", regularisation=0.0, local_crops=local_crops)
    views = draw(learner)
    z = learner.head(torch.cat([learner.encoder(group.images) for group in views])).detach().split(N)
    total = 0.0
    for i in range(N):
        centre = (z[0][i] + z[1][i]) / 2
        total += sum((view[i] - centre).square().sum() for view in z)
    torch.testing.assert_close(loss_of(learner, views).detach(), total / (N * len(z) * 8), rtol=1e-4, atol=1e-5)


def test_lejepas_regularisation_is_epps_and_pulleys_statistic_of_random_slices():
    learner = build("lejepa", regularisation=1.0, local_crops=0)
    views = draw(learner)
    z = learner.head(learner.encoder(views[0].images)).detach().split(N)
    torch.manual_seed(5)
    slices = torch.randn(8, 32)
    slices = slices / slices.norm(dim=0)
    knots = torch.linspace(0, 3, 17)
    total = 0.0
    for view in z:
        for k in range(32):
            projected = view @ slices[:, k]
            normal = torch.exp(-(knots**2) / 2)
            real = torch.stack([torch.cos(t * projected).mean() for t in knots])
            imaginary = torch.stack([torch.sin(t * projected).mean() for t in knots])
            error = ((real - normal) ** 2 + imaginary**2) * normal
            # The integrand is even: twice the integral over the half line.
            total += N * 2 * torch.trapezoid(error, knots) / (2 * 32)
    torch.testing.assert_close(loss_of(learner, views, seed=5).detach(), total, rtol=1e-4, atol=1e-5)


# ---- teachers


def test_the_moving_average_slows_down_along_a_half_cosine():
    assert ema_at(0.99, 0.0) == pytest.approx(0.99)
    assert ema_at(0.99, 0.5) == pytest.approx(0.995)
    assert ema_at(0.99, 1.0) == 1.0


@pytest.mark.parametrize("name", ["byol", "dino"])
def test_a_teacher_is_moved_by_nothing_but_the_moving_average(name):
    learner = build(name)
    # Equal at first.
    for key, value in learner.teacher["encoder"].state_dict().items():
        assert torch.equal(value, learner.encoder.state_dict()[key])
    for key, value in learner.teacher["head"].state_dict().items():
        assert torch.equal(value, learner.head.state_dict()[key])
    views = draw(learner)
    optimizer = torch.optim.SGD([p for p in learner.parameters() if p.requires_grad], lr=0.1)
    before = {key: p.detach().clone() for key, p in learner.teacher.named_parameters()}
    loss_of(learner, views).backward()
    optimizer.step()
    assert learner.teacher.training
    for key, parameter in learner.teacher.named_parameters():
        assert parameter.grad is None and not parameter.requires_grad and torch.equal(parameter, before[key])
    learner.after_update(0.25)
    share = 1 - (1 - 0.9) * (math.cos(math.pi / 4) + 1) / 2
    student = dict(nn.ModuleDict({"encoder": learner.encoder, "head": learner.head}).named_parameters())
    assert student.keys() == before.keys()
    for key, parameter in learner.teacher.named_parameters():
        torch.testing.assert_close(parameter, share * before[key] + (1 - share) * student[key])
    assert any(not torch.equal(p, before[key]) for key, p in learner.teacher.named_parameters())


def test_a_teachers_batch_norm_has_statistics_of_its_own():
    learner = build("dino")
    loss_of(learner, draw(learner)).backward()
    student, teacher = learner.encoder.block1.norm, learner.teacher["encoder"].block1.norm
    # The student saw global and local views, the teacher global ones.
    assert (student.num_batches_tracked.item(), teacher.num_batches_tracked.item()) == (2, 1)
    mean = teacher.running_mean.clone()
    learner.after_update(0.0)
    assert torch.equal(teacher.running_mean, mean)


def test_dino_keeps_its_teacher_and_the_others_their_encoder():
    for name in FRAMEWORKS:
        learner = build(name)
        assert learner.result() is (learner.teacher["encoder"] if name == "dino" else learner.encoder)


def test_dino_s_last_layer_is_frozen_in_the_first_epochs():
    learner = build("dino", frozen_epochs=2)
    for epoch, frozen in ((0, True), (1, True), (2, False)):
        learner.zero_grad()
        loss_of(learner, draw(learner)).backward()
        learner.before_update(epoch)
        assert (learner.head.last_layer.weight_v.grad is None) == frozen
        assert learner.encoder.block1.conv.weight.grad is not None


# ---- several processes


def gradients(rank, world, folder):
    """Mean loss and gradients over processes that share each batch, into a file."""
    torch.set_num_threads(1)
    if world > 1:
        torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=world)
    out = {}
    for name in FRAMEWORKS:
        learner = build(name)
        if world > 1:
            synchronised(learner)
        views = [
            Views(
                *(
                    None if x is None else x.unflatten(0, (group.count, -1)).chunk(world, 1)[rank].flatten(0, 1)
                    for x in v
                )
            )
            for group, v in zip(learner.groups, draw(learner), strict=True)
        ]
        torch.manual_seed(0)
        loss = learner(views, (torch.arange(N) % 3).chunk(world)[rank], 0.0)
        loss.backward()
        out[name] = {"loss": loss.detach()}
        out[name] |= {key: p.grad for key, p in learner.named_parameters() if p.grad is not None}
        for value in out[name].values() if world > 1 else ():
            torch.distributed.all_reduce(value)
            value /= world
    if rank == 0:
        torch.save(out, folder / f"{world}.pt")
    if world > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def test_two_processes_give_the_loss_and_gradients_of_one(tmp_path):
    gradients(0, 1, tmp_path)
    torch.multiprocessing.spawn(gradients, (2, tmp_path), nprocs=2)
    one, two = (torch.load(tmp_path / f"{world}.pt", weights_only=True) for world in (1, 2))
    for name in FRAMEWORKS:
        assert one[name].keys() == two[name].keys()
        largest = max(value.abs().max() for value in one[name].values())
        for key, value in one[name].items():
            assert (two[name][key] - value).abs().max() < 1e-4 * largest, (name, key)
