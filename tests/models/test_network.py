import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from memloc.config import layers_of
from memloc.data.augment import UNIFORMS, augment
from memloc.data.augmentations import AUGMENTATIONS
from memloc.errors import InputError
from memloc.measuring.one_pass import measure_images
from memloc.measuring.protocol import Protocol
from memloc.models import checkpoint, frameworks, network
from memloc.models.architectures import HEAD, choose_layers
from memloc.models.frameworks import FRAMEWORKS
from memloc.streams import uniforms
from memloc.training.loop import build


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_normalising_standardises_and_gives_three_channels(description):
    grey = torch.rand(2, 1, 4, 4)
    out = network.Normalise(description)(grey)
    assert out.shape == (2, 3, 4, 4)
    for channel in range(3):
        torch.testing.assert_close(out[:, channel], (grey[:, 0] - 0.4) / 0.3)
    colour = torch.rand(2, 3, 4, 4)
    out = network.Normalise({"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 4.0]})(colour)
    torch.testing.assert_close(out[:, 2], (colour[:, 2] - 0.3) / 4)
    torch.testing.assert_close(out[:, 0], colour[:, 0] - 0.1)


def test_an_encoder_is_loaded_as_it_was_saved(request, tmp_path):
    encoder = request.getfixturevalue("network")()
    checkpoint.save(encoder.state_dict(), {"seed": 3, "role": "g"}, tmp_path / "w.safetensors")

    def load(width, **whose):
        options = {"width": width, "residual": True}
        return network.load("resnet9", options, tmp_path / "w.safetensors", image_size=16, **whose)

    loaded = load(0.125, seed=3, role="g")
    assert same(loaded, encoder) and not loaded.training
    with pytest.raises(InputError, match=r"w\.safetensors: belongs to another encoder"):
        load(0.25, seed=3, role="g")
    for seed, role in ((2, "g"), (3, "f")):
        with pytest.raises(InputError, match=r"w\.safetensors: belongs to g, seed 3"):
            load(0.125, seed=seed, role=role)


def test_cuda_without_cuda_is_an_input_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert network.device("auto") == network.device("cpu") == "cpu"
    with pytest.raises(InputError, match=r"device: cuda.*cpu or auto"):
        network.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert network.device("auto") == network.device("cuda") == "cuda" and network.device("cpu") == "cpu"


# What a framework added


@pytest.fixture
def job(settings, description, tmp_path):
    """A factory of an encoder, the learner it is part of, and what Snakemake would say to a job that measures it."""

    def make(framework, *, name="additions", **recipe):
        torch.manual_seed(5)
        entry = settings(framework, **recipe)
        encoder = build(entry, image_size=16, seed=0, role="f")
        learner = frameworks.build(framework, encoder, classes=3, recipe=entry["recipe"], image_size=16)
        for key, tensor in learner.state_dict().items():
            if tensor.dim() == 1 and key.endswith(("weight", "running_var")):
                tensor.uniform_(0.5, 1.5)
        checkpoint.save(learner.additions(), {"seed": 3, "role": "f"}, tmp_path / f"{name}.safetensors")
        (tmp_path / "description.json").write_text(json.dumps(description))
        told = SimpleNamespace(
            input=SimpleNamespace(
                description=tmp_path / "description.json", additions=tmp_path / f"{name}.safetensors"
            ),
            params=SimpleNamespace(framework=framework, recipe=entry["recipe"]),
            wildcards=SimpleNamespace(seed="3"),
        )
        return learner.eval(), told, entry

    return make


HEADED = [name for name, framework in FRAMEWORKS.items() if framework.head]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_learner_is_rebuilt_around_its_encoder(job, framework):
    learner, told, _ = job(framework)
    torch.manual_seed(6)
    rebuilt = network.learner_of_job(learner.result(), told, role="f")
    assert type(rebuilt) is type(learner) and not any(module.training for module in rebuilt.modules())
    found, expected = rebuilt.additions(), learner.additions()
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("mine", "other", "recipe"),
    [
        ("simclr", "supervised", {}),
        ("simclr", "byol", {}),
        ("simclr", "simclr", {"projection": 4}),
        ("mae", "mae", {"decoder_depth": 2}),
    ],
)
def test_additions_of_another_training_are_refused_in_one_line(job, mine, other, recipe):
    learner, told, _ = job(mine)
    _, foreign, _ = job(other, name="foreign", **recipe)
    told.input.additions = foreign.input.additions
    with pytest.raises(InputError, match=r"foreign\.safetensors: belongs to another training; delete it") as caught:
        network.learner_of_job(learner.result(), told, role="f")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("seed", "role"), [("4", "f"), ("3", "g")])
def test_additions_of_another_seed_or_role_are_refused_in_one_line(job, seed, role):
    learner, told, _ = job("simclr")
    told.wildcards.seed = seed
    with pytest.raises(InputError, match=r"additions\.safetensors: belongs to f, seed 3; delete it to train anew"):
        network.learner_of_job(learner.result(), told, role=role)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_additions_that_are_not_finite_are_told_where_they_are_read(job, value):
    learner, told, _ = job("simclr")
    tensors, about = checkpoint.load(told.input.additions)
    name = next(name for name, tensor in tensors.items() if tensor.dim() == 2)
    tensors[name][0, 0] = value
    checkpoint.save(tensors, about, told.input.additions)
    with pytest.raises(InputError, match=rf"additions\.safetensors: {name} isn't finite; delete it to train anew"):
        network.learner_of_job(learner.result(), told, role="f")


@pytest.mark.parametrize("framework", HEADED)
def test_a_head_is_measured_and_changes_nothing_of_what_the_encoder_puts_out(job, framework, normalise):
    learner, told, _ = job(framework)
    encoder, head = learner.result(), learner.result_head()
    images = np.random.default_rng(0).integers(0, 256, size=(3, 1, 16, 16), dtype=np.uint8)
    points, draws = np.array([4, 9, 2]), 4
    standard = [normalise(torch.from_numpy(image[None]).float() / 255) for image in images]
    with torch.no_grad():
        before = [encoder(x) for x in standard]
        network.add_head(encoder, told, role="f")
        assert all(torch.equal(encoder(x), y) for x, y in zip(standard, before, strict=True))

    learner.double(), encoder.double()
    alignment = np.zeros((3, 2, 2))
    for n, (image, point) in enumerate(zip(images, points, strict=True)):
        u = torch.from_numpy(uniforms(5, np.array([point]), (draws, UNIFORMS)))[0]
        picture = torch.from_numpy(image[None]).float() / 255
        with torch.no_grad():
            shown = [normalise(augment(picture, u[k : k + 1], AUGMENTATIONS["normal"])).double() for k in range(draws)]
            outputs = [encoder(x)[0] for x in shown]
            projected = [head(encoder(x))[0] for x in shown]
        for place, vectors in enumerate((outputs, projected)):
            units = [v / v.square().sum().sqrt() for v in vectors]
            for half in range(2):
                pairs = itertools.combinations(units[2 * half : 2 * half + 2], 2)
                alignment[n, place, half] = np.mean([float((a - b).square().sum().sqrt()) for a, b in pairs])

    layers = choose_layers("resnet9", {"width": 1, "residual": True}, ["output", "head"], sublayers=True)
    assert [layer.representation for layer in layers] == ["", HEAD]
    protocol = Protocol(draws=draws)
    options = {"recipe": AUGMENTATIONS["normal"], "normalise": normalise, "protocol": protocol, "seed": 5}
    got = measure_images(encoder, images, points, layers=layers, **options)
    assert alignment.min() > 1e-6 and not np.allclose(alignment[:, 0], alignment[:, 1], rtol=0.01)
    np.testing.assert_allclose(got.alignment, alignment, rtol=1e-7)
    np.testing.assert_allclose(got.features, torch.cat(before), rtol=1e-5, atol=1e-6)


def test_a_transformers_head_sees_only_what_is_visible(job, normalise):
    """Where patches are left out of views, whole images go through on their own, and the head follows both."""
    learner, told, entry = job("simclr", architecture="vit-tiny", augmentation="masking")
    encoder = learner.result()
    images = np.random.default_rng(0).integers(0, 256, size=(3, 1, 16, 16), dtype=np.uint8)
    entry["measure"] |= {"sublayers": True, "layers": ["output", "head"]}
    layers = layers_of(entry)
    network.add_head(encoder, told, role="f")
    seen = []
    projection = encoder.get_submodule(HEAD)
    projection.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    options = {"recipe": AUGMENTATIONS["masking"], "normalise": normalise, "seed": 5}
    protocol = Protocol(draws=4, representation="pooled")
    got = measure_images(encoder, images, np.arange(3), layers=layers, protocol=protocol, **options)
    assert got.alignment.shape == (3, 2, 2) and (got.alignment > 0).all()
    views, whole = seen
    assert (len(views[1]), len(whole[1])) == (12, 3)
    units = torch.nn.functional.normalize(views[1].double(), dim=1).unflatten(0, (3, 4))
    literal = (units[:, 0] - units[:, 1]).square().sum(dim=1).sqrt()
    np.testing.assert_allclose(got.alignment[:, 1, 0], literal, rtol=1e-4)


def test_an_encoder_without_its_head_cannot_be_measured_there(job, normalise):
    learner, _, _ = job("simclr")
    layers = choose_layers("resnet9", {"width": 1, "residual": True}, ["head"], sublayers=True)
    with pytest.raises(InputError, match="layer 'projection': the encoder has no such module"):
        measure_images(
            learner.result(), np.zeros((1, 1, 16, 16), dtype=np.uint8), np.arange(1), layers=layers,
            augmentation=AUGMENTATIONS["normal"], normalise=normalise, protocol=Protocol(draws=4), seed=0,
        )  # fmt: skip
