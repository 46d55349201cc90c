import numpy as np
import pytest
import torch

from memloc.data.augmentations import AUGMENTATIONS
from memloc.errors import InputError
from memloc.measuring.one_pass import measure_images
from memloc.measuring.protocol import Protocol
from memloc.models import checkpoint, frameworks, network
from memloc.models.architectures import HEAD, choose_layers
from memloc.models.frameworks import FRAMEWORKS
from memloc.models.frameworks.recipe import Recipe
from memloc.models.layers import layers_of
from memloc.training.loop import build
from memloc.training.settings import Training
from tests.builders import literal


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


def test_weights_of_another_training_with_the_same_shapes_are_refused(tmp_path):
    path, about = tmp_path / "w.safetensors", {"seed": 3, "role": "g", "dataset": "a", "points": "b"}
    settings = {"framework": "simclr", "recipe": {"epochs": 2, "betas": (0.9, 0.99)}, "snapshots": []}
    checkpoint.save({"w": torch.ones(2)}, {**about, "settings": settings}, path)
    known = {key: settings[key] for key in ("framework", "recipe")}
    assert checkpoint.load_tensors(path, **about, settings=known)["w"].tolist() == [1, 1]
    for change, name in (
        ({"settings": known | {"framework": "byol"}}, "framework"),
        ({"settings": known | {"recipe": {"epochs": 3}}}, "recipe"),
        ({"dataset": "b"}, "dataset"),
        ({"points": "c"}, "points"),
        ({"weights": "d"}, "weights"),
    ):
        with pytest.raises(InputError, match=rf"w\.safetensors: belongs to another training \({name} differ\); delete"):
            checkpoint.load_tensors(path, **{**about, "settings": known, **change})


def test_cuda_without_cuda_is_an_input_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert network.device("auto") == network.device("cpu") == "cpu"
    with pytest.raises(InputError, match=r"device: cuda.*cpu or auto"):
        network.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert network.device("auto") == network.device("cuda") == "cuda" and network.device("cpu") == "cpu"


# What a framework adds


@pytest.fixture
def trained(settings, tmp_path):
    """A factory of a learner, its entry in the configuration, and the file of what the framework adds."""

    def make(framework, *, name="additions", **recipe):
        torch.manual_seed(5)
        entry = settings(framework, **recipe)
        encoder = build(Training.of(entry), image_size=16, seed=0, role="f")
        learner = frameworks.build(framework, encoder, classes=3, recipe=Recipe.of(entry["recipe"]), image_size=16)
        for key, tensor in learner.state_dict().items():
            if tensor.dim() == 1 and key.endswith(("weight", "running_var")):
                tensor.uniform_(0.5, 1.5)
        path = tmp_path / f"{name}.safetensors"
        checkpoint.save(learner.additions(), {"seed": 3, "role": "f"}, path)
        return learner.eval(), entry, path

    return make


@pytest.fixture
def load(description):
    def go(learner, entry, path, *, seed=3, role="f"):
        options = {"description": description, "seed": seed, "role": role}
        return network.load_learner(learner.result(), entry["framework"], Recipe.of(entry["recipe"]), path, **options)

    return go


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_learner_is_rebuilt_around_its_encoder(trained, load, framework):
    learner, entry, path = trained(framework)
    torch.manual_seed(6)
    rebuilt = load(learner, entry, path)
    assert type(rebuilt) is type(learner) and not any(module.training for module in rebuilt.modules())
    got, expected = rebuilt.additions(), learner.additions()
    assert got.keys() == expected.keys() and all(torch.equal(got[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("framework", "other", "recipe"),
    [
        ("simclr", "supervised", {}),
        ("simclr", "byol", {}),
        ("simclr", "simclr", {"projection": 4}),
        ("mae", "mae", {"decoder_depth": 2}),
    ],
)
def test_additions_of_another_training_are_refused(trained, load, framework, other, recipe):
    learner, entry, _ = trained(framework)
    _, _, foreign = trained(other, name="foreign", **recipe)
    with pytest.raises(InputError, match=r"foreign\.safetensors: belongs to another training; delete it[^\n]*$"):
        load(learner, entry, foreign)


@pytest.mark.parametrize(("seed", "role"), [(4, "f"), (3, "g")])
def test_additions_of_another_seed_or_role_are_refused(trained, load, seed, role):
    with pytest.raises(InputError, match=r"additions\.safetensors: belongs to f, seed 3; delete it to train anew$"):
        load(*trained("simclr"), seed=seed, role=role)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_additions_that_are_not_finite_are_refused(trained, load, value):
    learner, entry, path = trained("simclr")
    tensors, about = checkpoint.load(path)
    name = next(name for name, tensor in tensors.items() if tensor.dim() == 2)
    tensors[name][0, 0] = value
    checkpoint.save(tensors, about, path)
    with pytest.raises(InputError, match=rf"additions\.safetensors: {name} isn't finite; delete it to train anew$"):
        load(learner, entry, path)


@pytest.mark.parametrize("framework", [name for name, framework in FRAMEWORKS.items() if framework.head])
def test_a_head_is_measured_and_changes_nothing_of_the_encoders_output(trained, framework, normalise):
    learner, _, _ = trained(framework)
    encoder, head = learner.result(), learner.result_head()
    images = np.random.default_rng(0).integers(0, 256, size=(3, 1, 16, 16), dtype=np.uint8)
    points, protocol = np.array([4, 9, 2]), Protocol(draws=4)
    standard = [normalise(torch.from_numpy(image[None]).float() / 255) for image in images]
    with torch.no_grad():
        before = [encoder(x) for x in standard]
        network.add_head(encoder, head)
        assert all(torch.equal(encoder(x), y) for x, y in zip(standard, before, strict=True))
    learner.double(), encoder.double()
    layers = choose_layers("resnet9", {"width": 1, "residual": True}, ["output", "head"], sublayers=True)
    assert [layer.representation for layer in layers] == ["", HEAD]

    def forward(x, visible):
        return {"": encoder(x), HEAD: head(encoder(x))}

    expected, *_ = literal.measures(forward, layers, images, points, normalise, protocol)
    options = {"augmentation": AUGMENTATIONS["normal"], "normalise": normalise, "protocol": protocol, "seed": 5}
    got = measure_images(encoder, images, points, layers=layers, **options)
    assert expected.min() > 1e-6 and not np.allclose(expected[:, 0], expected[:, 1], rtol=0.01)
    np.testing.assert_allclose(got.alignment, expected, rtol=1e-7)
    np.testing.assert_allclose(got.features, torch.cat(before), rtol=1e-5, atol=1e-6)


def test_a_transformers_head_sees_only_what_is_visible(trained, normalise):
    """Where patches are left out of views, whole images have a pass apart, and the head follows both."""
    learner, entry, _ = trained("simclr", architecture="vit-tiny", augmentation="masking")
    encoder, head = learner.result(), learner.result_head()
    images = np.random.default_rng(0).integers(0, 256, size=(3, 1, 16, 16), dtype=np.uint8)
    entry["measure"] |= {"sublayers": True, "layers": ["output", "head"]}
    network.add_head(encoder, head)
    outputs = []
    head.register_forward_hook(lambda _, inputs, output: outputs.append(output))
    options = {"augmentation": AUGMENTATIONS["masking"], "normalise": normalise, "seed": 5}
    protocol = Protocol(draws=4, representation="pooled")
    got = measure_images(encoder, images, np.arange(3), layers=layers_of(entry), protocol=protocol, **options)
    assert got.alignment.shape == (3, 2, 2) and (got.alignment > 0).all()
    views, whole = outputs
    assert (len(views), len(whole)) == (12, 3)
    expected = [literal.alignment([*image], protocol) for image in views.unflatten(0, (3, 4))]
    np.testing.assert_allclose(got.alignment[:, 1], expected, rtol=1e-4)


def test_an_encoder_without_its_head_cannot_be_measured_there(trained, normalise):
    learner, _, _ = trained("simclr")
    layers = choose_layers("resnet9", {"width": 1, "residual": True}, ["head"], sublayers=True)
    with pytest.raises(InputError, match="layer 'projection': the encoder has no such module"):
        measure_images(
            learner.result(), np.zeros((1, 1, 16, 16), dtype=np.uint8), np.arange(1), layers=layers,
            augmentation=AUGMENTATIONS["normal"], normalise=normalise, protocol=Protocol(draws=4), seed=0,
        )  # fmt: skip
