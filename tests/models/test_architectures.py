import copy
import itertools
import math
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
import torchvision
from jsonschema import Draft202012Validator
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from memloc.data.augmentations import AUGMENTATIONS
from memloc.errors import InputError
from memloc.measuring.one_pass import measure_images, parameters_of
from memloc.measuring.protocol import Protocol
from memloc.models.architectures import ARCHITECTURES, KINDS, SUBLAYERS, build, choose_layers
from memloc.models.capture import capture

SMALL = {"width": 0.125, "patch": 8, "depth": 2}
VITS = ["vit-tiny", "vit-small", "vit-base"]
CNNS = [name for name in ARCHITECTURES if name not in VITS]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(7)


def options(name, **changed):
    return {key: changed.get(key, schema["default"]) for key, schema in ARCHITECTURES[name].options.items()}


def unlike_new(network):
    """The network with normalisations that are not the identity and biases that are not 0, in eval mode."""
    torch.manual_seed(1)
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_var",)) or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias", "cls_token")):
            tensor.normal_(std=0.3)
    return network.eval()


@cache
def small(name):
    torch.manual_seed(0)
    return unlike_new(build(name, options(name, **SMALL), image_size=32))


def layers_of(name, **chosen):
    return choose_layers(name, options(name, **SMALL), ["*"], **chosen)


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


def on_paper(name, image_size=32, **changed):
    """A network without memory for its weights: only their shapes."""
    with torch.device("meta"):
        return build(name, options(name, **changed), image_size=image_size)


def test_planning_imports_no_torch():
    heavy = "{'torch', 'torchvision', 'timm', 'lightly', 'pandas'}"
    some = "{'depth': 2, 'residual': 1, 'stem': 'imagenet'}"
    code = f"import sys, memloc.models.architectures as e; [x.layers({some}) for x in e.ARCHITECTURES.values()]\n"
    subprocess.run([sys.executable, "-c", f"{code}assert not {heavy} & sys.modules.keys()"], check=True)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_option_has_a_schema_that_its_default_meets(name):
    for schema in ARCHITECTURES[name].options.values():
        Draft202012Validator.check_schema(schema)
        assert Draft202012Validator(schema).is_valid(schema["default"])
    assert ARCHITECTURES[name].tokens == (name in VITS)


def test_nothing_but_an_entry_is_ever_imported():
    with pytest.raises(KeyError):
        build("os", {}, image_size=32)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_layer_is_called_once_in_order_of_depth_and_its_modules_count_its_units(name):
    encoder, layers = small(name), [layer for layer in layers_of(name, sublayers=True) if layer.kind != "head"]
    modules, called, widths = dict(encoder.named_modules()), [], {}

    def hook_of(place, axis):
        def given(_, inputs):
            called.append(place)
            widths[place] = inputs[0].shape[axis]

        def put_out(_, inputs, output):
            called.append(place)
            widths[place] = output.shape[axis]

        module = modules[place.removesuffix("@input")]
        if place.endswith("@input"):
            return module.register_forward_pre_hook(given)
        return module.register_forward_hook(put_out)

    axes = {place: layer.axis for layer in layers for place in (layer.representation, layer.units) if place is not None}
    handles = [hook_of(place, axis) for place, axis in axes.items()]
    with torch.no_grad():
        encoder(torch.rand(1, 3, 32, 32))
    for handle in handles:
        handle.remove()
    assert sorted(called) == sorted(axes)
    by_depth = sorted(layers, key=lambda layer: layer.depth)
    assert list(layers) == by_depth and len({layer.depth for layer in layers}) == len(layers)
    assert [layer.representation for layer in layers] == [
        module for module in called if module in {layer.representation for layer in layers}
    ]
    assert len({layer.name for layer in layers}) == len(layers)
    for layer in layers:
        rows = {len(parameter) for module in layer.modules for parameter in modules[module].parameters()}
        assert bool(layer.modules) == (layer.kind in ("convolution", "attention", "fully-connected"))
        assert rows == ({widths[layer.units or layer.representation]} if layer.modules else set())
        assert layer.modules or not layer.units


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_outside_layers_are_only_those_that_are_no_layer(name):
    """Every convolution and hidden unit is in one layer, none in two."""
    modules = [module for layer in layers_of(name) for module in layer.modules]
    assert len({*modules}) == len(modules)
    inside = tuple(f"{module}." for module in modules)
    outside = {key for key, _ in small(name).named_parameters() if not key.startswith(inside)}
    no_layer = ("downsample", "cls_token", "pos_embed", "patch_embed", "qkv", "norm", "fc2")
    assert all(any(word in key for word in no_layer) for key in outside)
    assert name in VITS or all("downsample" in key for key in outside)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_parameter_of_a_layer_belongs_to_that_layer_alone(name):
    """Fine-tuned, replaced and counted: all but what fits in and out of the blocks, once."""
    layers = layers_of(name, sublayers=True)
    for layer in layers:
        inside = tuple(f"{part}." for part in layer.parts)
        assert all(f"{module}.".startswith(inside) for module in layer.modules)
        assert bool(layer.parts) == bool(layer.modules)
    owners = {
        key: [layer.name for layer in layers if key.startswith(tuple(f"{part}." for part in layer.parts))]
        for key, _ in small(name).named_parameters()
    }
    assert all(len(names) <= 1 for names in owners.values())
    rest = {key for key, names in owners.items() if not names}
    if name in VITS:
        around = {key for key in owners if not key.startswith("blocks.")}
        assert rest == around | {key for key in owners if ".norm1." in key or ".norm2." in key}
        assert owners["blocks.1.attn.qkv.weight"] == ["2.att"] and owners["blocks.0.mlp.fc2.bias"] == ["1.fc"]
    else:
        assert rest == {key for key in owners if "downsample" in key}


def test_layers_of_resnet9_have_the_parameters_of_table_8_and_those_of_their_normalisation():
    filters = [896, 18496, 36928, 36928, 73856, 295168, 590080, 590080]
    channels = [32, 64, 64, 64, 128, 256, 256, 256]
    encoder, layers = on_paper("resnet9"), choose_layers("resnet9", options("resnet9"), ["*"])
    found = {layer.name: parameters_of(encoder, layer) for layer in layers}
    assert [found[str(i)] for i in range(1, 9)] == [a + 2 * b for a, b in zip(filters, channels, strict=True)]
    assert found["res2"] == found["res6"] == found["output"] == 0
    assert sum(found.values()) == size(encoder)


def test_layers_of_a_transformer_have_the_parameters_of_their_linear_maps():
    encoder, d = on_paper("vit-tiny", depth=1), 192
    found = {layer.name: parameters_of(encoder, layer) for layer in choose_layers("vit-tiny", {"depth": 1}, ["*"])}
    attention, perceptron = 4 * d * d + 4 * d, 8 * d * d + 5 * d
    assert found == {"1.att": attention, "1.res-att": 0, "1.fc": perceptron, "1.res-fc": 0, "output": 0}


# Sublayers


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", CNNS)
def test_normalisations_and_pools_follow_their_convolution(name, stem):
    """In the order of calls: the next normalisation takes a convolution's output, the next pool what was activated."""
    chosen = options(name, **SMALL, stem=stem)
    encoder = build(name, chosen, image_size=32).eval()
    layers = {layer.name: layer for layer in choose_layers(name, chosen, ["*"], sublayers=True)}
    calls = []

    def hook_of(place):
        return lambda _, inputs, output: calls.append((place, inputs[0], output))

    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
    for place, module in encoder.named_modules():
        if isinstance(module, kinds):
            module.register_forward_hook(hook_of(place))
    with torch.no_grad():
        encoder(torch.rand(1, 3, 32, 32))
    order = [place for place, _, _ in calls]
    convolutions = [layer for layer in layers.values() if layer.kind == "convolution"]
    for layer in convolutions:
        at = order.index(layer.representation)
        following, given, _ = calls[at + 1]
        norm = layers[f"{layer.name}.norm"]
        assert norm.kind == "normalisation" and norm.representation == following and given is calls[at][2]
        assert isinstance(encoder.get_submodule(following), nn.BatchNorm2d) and norm.units is None
        pool = layers.get(f"{layer.name}.pool")
        pooled = at + 2 < len(order) and isinstance(encoder.get_submodule(order[at + 2]), nn.MaxPool2d)
        assert (pool is not None) == pooled
        if pool is not None:
            assert pool.kind == "pool" and pool.representation == order[at + 2]
    assert len(convolutions) == sum(kind.endswith(".norm") for kind in layers)
    pools = [module for module in encoder.modules() if isinstance(module, nn.MaxPool2d)]
    assert sum(layer.kind == "pool" for layer in layers.values()) == len(pools)
    assert sum(layer.kind == "pool" for layer in layers.values()) == {"resnet9": 4, "vgg19": 5}.get(
        name, int(stem == "imagenet")
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sublayers_are_chosen_only_where_they_are_asked_for(name):
    few, all_ = layers_of(name), layers_of(name, sublayers=True)
    assert {layer.kind for layer in few} <= {*KINDS} - {*SUBLAYERS}
    assert [layer for layer in all_ if layer.kind not in SUBLAYERS] == list(few)
    assert [layer.name for layer in all_ if layer.kind == "head"] == ["head"] and all_[-1].name == "head"
    assert few[-1].name == "output" and few[-1].representation == ""
    assert not any(layer.units for layer in all_ if layer.kind in SUBLAYERS)
    with pytest.raises(InputError, match=f"'head' matches no layer of {name}"):
        choose_layers(name, options(name, **SMALL), ["head"])
    assert [x.name for x in choose_layers(name, options(name, **SMALL), ["head"], sublayers=True)] == ["head"]


@pytest.mark.parametrize("pixels", [32, 64])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_output_has_dim_numbers_for_images_of_other_sizes(name, pixels):
    with torch.no_grad():
        out = small(name)(torch.rand(2, 3, pixels, pixels))
    assert out.shape == (2, small(name).dim) and out.isfinite().all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_layer_can_be_measured(name, normalise):
    layers = layers_of(name)
    images = np.random.default_rng(0).integers(0, 256, size=(2, 1, 32, 32), dtype=np.uint8)
    encoder = copy.deepcopy(small(name)).to(memory_format=torch.channels_last)
    found = measure_images(
        encoder,
        images,
        np.arange(2),
        layers=layers,
        augmentation=AUGMENTATIONS["normal"],
        normalise=normalise,
        protocol=Protocol(draws=4),
        seed=0,
    )
    assert found.alignment.shape == (2, len(layers), 2)
    assert ((found.alignment > 0) & (found.alignment < 2)).all()
    assert list(found.views) == [layer.name for layer in layers if layer.units]
    modules = dict(encoder.named_modules())
    for layer in layers:
        if layer.units:
            assert found.views[layer.name].shape == (2, 2, len(next(modules[layer.modules[0]].parameters())))
    assert found.features.shape == (2, encoder.dim)


@pytest.mark.parametrize("name", CNNS)
def test_feature_maps_stay_channels_last(name):
    encoder = copy.deepcopy(small(name)).to(memory_format=torch.channels_last)
    convolutions = [layer.representation for layer in layers_of(name) if layer.modules]
    x = torch.rand(2, 3, 64, 64)
    with capture(encoder, convolutions) as maps:
        out = encoder(x.contiguous(memory_format=torch.channels_last))
        assert all(y.is_contiguous(memory_format=torch.channels_last) for y in maps.values())
    with torch.no_grad():
        torch.testing.assert_close(out, small(name)(x), rtol=1e-3, atol=1e-4)


# Parameters


@pytest.mark.parametrize(
    ("name", "published", "classifier"),
    [
        ("resnet18", 11_689_512, 512_000 + 1000),
        ("resnet34", 21_797_672, 512_000 + 1000),
        ("resnet50", 25_557_032, 2_048_000 + 1000),
    ],
)
def test_resnets_have_the_published_parameters_and_the_cifar_stem_a_smaller_first_filter(name, published, classifier):
    encoder = published - classifier
    assert size(on_paper(name, stem="imagenet")) == encoder
    assert size(on_paper(name, stem="cifar")) == encoder - 64 * 3 * (7 * 7 - 3 * 3)
    assert name != "resnet18" or size(on_paper(name)) == 11_168_832


def test_vgg19_has_the_published_parameters():
    widths = [3, 64, 64, 128, 128, *[256] * 4, *[512] * 8]
    # Filters, biases, and scale and shift of the normalisation.
    by_hand = sum(9 * a * b + 3 * b for a, b in itertools.pairwise(widths))
    classifier = (512 * 7 * 7 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert size(on_paper("vgg19")) == by_hand == 143_678_248 - classifier


@pytest.mark.parametrize(
    ("name", "dim", "published"),
    [("vit-tiny", 192, 5_717_416), ("vit-small", 384, 22_050_664), ("vit-base", 768, 86_567_656)],
)
def test_transformers_have_the_published_parameters(name, dim, published):
    def by_hand(image_size, patch, depth):
        block = 12 * dim**2 + 13 * dim
        patches = (image_size // patch) ** 2
        return depth * block + (3 * patch**2 + 1) * dim + dim + (patches + 1) * dim + 2 * dim

    assert size(on_paper(name, 224, patch=16)) == by_hand(224, 16, 12) == published - (dim + 1) * 1000
    assert size(on_paper(name)) == by_hand(32, 4, 12)
    # Heads of 64 numbers each, which no count of parameters shows.
    assert {block.attn.num_heads for block in on_paper(name).blocks} == {dim // 64}
    assert size(on_paper(name, 48, patch=8, depth=3)) == by_hand(48, 8, 3)


# ResNets


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_with_the_imagenet_stem_a_resnet_is_torchvisions(name):
    encoder = unlike_new(build(name, options(name, stem="imagenet"), image_size=64))
    reference = getattr(torchvision.models, name)(weights=None).eval()
    reference.fc = nn.Identity()
    reference.load_state_dict(encoder.state_dict())
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), reference(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "width", "channels"),
    [
        ("resnet18", 0.25, [64, 16, 32, 64, 128]),
        ("resnet34", 0.125, [64, 8, 16, 32, 64]),
        ("resnet18", 2, [64, 128, 256, 512, 1024]),
        ("resnet50", 0.5, [64, 128, 256, 512, 1024]),
        ("resnet50", 1, [64, 256, 512, 1024, 2048]),
    ],
)
def test_width_multiplies_the_channels_of_every_stage_but_not_the_stems(name, width, channels):
    encoder = on_paper(name, width=width)
    last = {"resnet18": "conv2", "resnet34": "conv2", "resnet50": "conv3"}[name]
    stages = [getattr(encoder.get_submodule(f"layer{i}")[-1], last).out_channels for i in range(1, 5)]
    assert [encoder.conv1.out_channels, *stages] == channels and encoder.dim == channels[-1]


def test_the_cifar_stem_keeps_the_resolution():
    for stem, sides in (("cifar", [32, 32, 16, 8, 4]), ("imagenet", [16, 8, 4, 2, 1])):
        encoder = build("resnet18", options("resnet18", stem=stem), image_size=32)
        names = ["conv1", "layer1", "layer2", "layer3", "layer4"]
        with capture(encoder, names) as maps:
            encoder(torch.rand(1, 3, 32, 32))
            assert [maps[name].shape[-1] for name in names] == sides


def test_untrained_resnets_have_no_silenced_normalisation_and_a_kaiming_stem():
    encoder = build("resnet18", options("resnet18"), image_size=32)
    assert all((module.weight == 1).all() for module in encoder.modules() if isinstance(module, nn.BatchNorm2d))
    # Kaiming with fan-out: variance 2 / (64 channels x 9 positions).
    assert encoder.conv1.weight.var().item() == pytest.approx(2 / (64 * 9), rel=0.1)


@pytest.mark.parametrize(
    ("name", "convolutions", "blocks"), [("resnet18", 17, 8), ("resnet34", 33, 16), ("resnet50", 49, 16)]
)
def test_resnets_number_main_path_convolutions_and_blocks(name, convolutions, blocks):
    layers = choose_layers(name, options(name), ["*"])
    assert [layer.depth for layer in layers if layer.modules] == list(range(1, convolutions + 1))
    assert [layer.kind for layer in layers if not layer.modules] == ["sum"] * blocks + ["output"]
    assert not any("downsample" in layer.representation for layer in layers)
    last = [layer for layer in layers if layer.name == ("layer4.1.conv2" if name == "resnet18" else "layer4.2.conv2")]
    assert last[0].units == last[0].name.replace("conv", "act")
    assert [x.name for x in choose_layers(name, options(name), ["layer4.0*", "output"])][-2:] == [
        "layer4.0",
        "output",
    ]


def test_resnets_last_units_of_a_block_are_read_behind_the_sum():
    encoder = small("resnet18")
    with capture(encoder, ["maxpool", "layer1.0.bn2", "layer1.0.act2", "layer1.0", "layer4.1", "global_pool"]) as seen:
        out = encoder(torch.rand(2, 3, 32, 32))
        # The sum is written into the normalisation's output, and the ReLU into the sum.
        torch.testing.assert_close(seen["layer1.0.act2"], seen["layer1.0"])
        assert torch.equal(seen["global_pool"], out)
        torch.testing.assert_close(out, seen["layer4.1"].mean(dim=(2, 3)))


# VGG


def test_vgg19_is_torchvisions_up_to_the_mean_over_positions():
    encoder = small("vgg19")
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), encoder.features(x).mean(dim=(2, 3)))
    kinds = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    layers = choose_layers("vgg19", {}, ["*"])
    assert [layer.name for layer in layers] == [*(f"conv{i}" for i in range(1, 17)), "output"]
    for layer in layers[:-1]:
        names = [*layer.modules, layer.units]
        assert [type(encoder.get_submodule(name)) for name in names] == kinds and layer.representation == names[0]
        assert [int(name.split(".")[1]) for name in names] == [int(names[0].split(".")[1]) + k for k in range(3)]


def test_vgg19_refuses_images_that_its_pools_use_up():
    with pytest.raises(InputError, match="image_size: 28 pixels; vgg19 needs at least 32"):
        build("vgg19", {}, image_size=28)
    with pytest.raises(InputError, match="view size: 16 pixels; vgg19 needs at least 32"):
        small("vgg19")(torch.rand(1, 3, 16, 16))


# Pruning


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet9", ["1", "4", "8"]),
        ("resnet18", ["conv1", "layer2.0.conv1"]),
        ("resnet50", ["layer1.0.conv1", "layer4.2.conv2"]),
        ("vgg19", ["conv1", "conv16"]),
        ("vit-tiny", ["1.fc", "2.fc"]),
    ],
)
def test_a_unit_whose_rows_of_the_modules_are_zero_puts_out_exactly_zero(name, layers):
    chosen = [layer for layer in layers_of(name) if layer.name in layers]
    assert len(chosen) == len(layers)
    encoder, x = small(name), torch.rand(2, 3, 32, 32)
    for layer in chosen:
        pruned = copy.deepcopy(encoder)
        with capture(encoder, [layer.units]) as seen:
            encoder(x)
            before = seen[layer.units].movedim(layer.axis, 0)
        active = before.flatten(1).abs().amax(dim=1).nonzero()[:, 0]
        rows, rest = active[:2], active[2:]
        zero(pruned, [layer], rows)
        with capture(pruned, [layer.units]) as seen:
            pruned(x)
            after = seen[layer.units].movedim(layer.axis, 0)
        assert (after[rows] == 0).all() and len(rest)
        torch.testing.assert_close(after[rest], before[rest])


def zero(encoder, layers, rows):
    with torch.no_grad():
        for layer in layers:
            for module in layer.modules:
                for parameter in encoder.get_submodule(module).parameters():
                    parameter[rows] = 0


def test_a_pruned_last_unit_of_a_residual_block_lets_its_neighbour_through():
    pruned = copy.deepcopy(small("resnet18"))
    zero(pruned, [layer for layer in layers_of("resnet18") if layer.name == "layer1.1.conv2"], [0, 2])
    with capture(pruned, ["layer1.0", "layer1.1"]) as seen:
        pruned(torch.rand(2, 3, 32, 32))
        assert torch.equal(seen["layer1.1"][:, [0, 2]], seen["layer1.0"][:, [0, 2]])


def test_pruned_attention_adds_exactly_nothing():
    pruned = copy.deepcopy(small("vit-tiny"))
    zero(pruned, [layer for layer in layers_of("vit-tiny") if layer.name == "1.att"], [0, 2])
    with capture(pruned, ["blocks.0.attn.proj"]) as seen:
        pruned(torch.rand(2, 3, 32, 32))
        assert (seen["blocks.0.attn.proj"][..., [0, 2]] == 0).all()


# Transformers


def vit(**changed):
    torch.manual_seed(0)
    encoder = build("vit-tiny", {"patch": 8, "depth": 2, "width": 1, **changed}, image_size=32)
    return unlike_new(encoder).double()


def by_hand(encoder, image, keep):
    """Tokens of one image [3, h, w], from the patches in ``keep`` alone, head by head."""
    p, side = encoder.patch, image.shape[-1] // encoder.patch
    weight = encoder.patch_embed.proj.weight.flatten(1)
    rows = [encoder.cls_token[0, 0] + encoder.pos_embed[0, 0]]
    for index in keep:
        r, c = divmod(index, side)
        pixels = image[:, r * p : (r + 1) * p, c * p : (c + 1) * p].reshape(-1)
        rows.append(weight @ pixels + encoder.patch_embed.proj.bias + encoder.pos_embed[0, 1 + index])
    x = torch.stack(rows)

    def norm(module, x):
        centred = x - x.mean(dim=1, keepdim=True)
        return centred / (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt() * module.weight + module.bias

    for block in encoder.blocks:
        q, k, v = (norm(block.norm1, x) @ block.attn.qkv.weight.T + block.attn.qkv.bias).chunk(3, dim=1)
        heads = []
        for h in range(3):
            rows = slice(64 * h, 64 * h + 64)
            heads.append(torch.softmax(q[:, rows] @ k[:, rows].T / math.sqrt(64), dim=1) @ v[:, rows])
        x = x + torch.cat(heads, dim=1) @ block.attn.proj.weight.T + block.attn.proj.bias
        hidden = norm(block.norm2, x) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        x = x + hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias
    return norm(encoder.norm, x)


def hide(x, keep, patch=8):
    """The images with NaN in every patch that isn't kept."""
    out = torch.full_like(x, math.nan)
    side = x.shape[-1] // patch
    for n, kept in enumerate(keep):
        for index in kept:
            r, c = divmod(int(index), side)
            where = (n, slice(None), slice(r * patch, (r + 1) * patch), slice(c * patch, (c + 1) * patch))
            out[where] = x[where]
    return out


KEEP = torch.tensor([[0, 3, 7, 10, 15], [1, 2, 3, 11, 12]])


def test_a_transformer_is_the_published_equations():
    encoder, x = vit(), torch.rand(2, 3, 32, 32, dtype=torch.double)
    with torch.no_grad():
        expected = torch.stack([by_hand(encoder, image, range(16)) for image in x])
        torch.testing.assert_close(encoder.tokens(x), expected)
        torch.testing.assert_close(encoder(x), expected[:, 0])


def test_positions_are_sines_and_cosines_of_column_and_row_that_never_train():
    encoder = vit(patch=4)
    assert not encoder.pos_embed.requires_grad and encoder.pos_embed.shape == (1, 65, 192)
    assert (encoder.pos_embed[0, 0] == 0).all()
    rates = [1 / 10000 ** (k / 48) for k in range(48)]
    for r, c in ((0, 0), (2, 5), (7, 1)):
        expected = [f(at * rate) for at in (c, r) for f in (math.sin, math.cos) for rate in rates]
        found = encoder.pos_embed[0, 1 + 8 * r + c].tolist()
        assert found == pytest.approx(expected, abs=1e-5)


def test_hidden_patches_have_no_effect():
    encoder, x = vit(), torch.rand(2, 3, 32, 32, dtype=torch.double)
    with torch.no_grad():
        expected = torch.stack([by_hand(encoder, image, kept.tolist()) for image, kept in zip(x, KEEP, strict=True)])
        torch.testing.assert_close(encoder.tokens(x, KEEP), expected)
        assert torch.equal(encoder.tokens(hide(x, KEEP)), encoder.tokens(x, KEEP))
        assert torch.equal(encoder(hide(x, KEEP)), encoder.tokens(x, KEEP)[:, 0])
        # What the hidden patches held makes no difference.
        other = hide(x, KEEP).nan_to_num(nan=7.0)
        assert torch.equal(encoder.tokens(other, KEEP), encoder.tokens(x, KEEP))


def test_hiding_nothing_or_keeping_everything_is_the_plain_pass_and_hiding_all_leaves_the_class_token():
    encoder, x = vit(), torch.rand(2, 3, 32, 32, dtype=torch.double)
    with torch.no_grad():
        everything = torch.arange(16).expand(2, -1)
        assert torch.equal(encoder.tokens(x, everything), encoder.tokens(x))
        assert torch.equal(encoder.tokens(x), encoder.forward_features(x))
        nothing = encoder.tokens(torch.full_like(x, math.nan))
        assert nothing.shape == (2, 1, 192)
        torch.testing.assert_close(nothing[0], by_hand(encoder, x[0], []))


def test_tokens_come_in_the_order_of_keep_and_do_not_depend_on_it():
    encoder, x = vit(), torch.rand(2, 3, 32, 32, dtype=torch.double)
    order = torch.tensor([4, 0, 2, 1, 3])
    with torch.no_grad():
        plain, permuted = encoder.tokens(x, KEEP), encoder.tokens(x, KEEP[:, order])
    torch.testing.assert_close(permuted[:, 0], plain[:, 0])
    torch.testing.assert_close(permuted[:, 1:], plain[:, 1:][:, order])
    assert not torch.allclose(permuted, plain)


def test_no_nan_reaches_an_output_or_a_gradient():
    encoder, x = vit(), torch.rand(2, 3, 32, 32, dtype=torch.double)
    encoder(hide(x, KEEP)).square().sum().backward()
    found = {name: p.grad.clone() for name, p in encoder.named_parameters() if p.requires_grad}
    assert all(gradient.isfinite().all() for gradient in found.values())
    encoder.zero_grad()
    encoder.tokens(x, KEEP)[:, 0].square().sum().backward()
    assert all(torch.equal(found[name], p.grad) for name, p in encoder.named_parameters() if p.requires_grad)


def test_a_stray_nan_reaches_the_output():
    encoder, x = vit(), torch.rand(2, 3, 32, 32, dtype=torch.double)
    x[0, 1, 13, 13] = math.nan
    with torch.no_grad():
        assert encoder(x)[0].isnan().all() and encoder(x)[1].isfinite().all()


def test_images_that_hide_different_numbers_of_patches_are_refused():
    x = hide(torch.rand(2, 3, 32, 32, dtype=torch.double), [[0, 1, 2], [3, 4]])
    with pytest.raises(InputError, match="hidden patches: 13 in one image of a batch, 14 in another"):
        vit()(x)


def test_gradients_of_single_images_by_vmap_are_those_one_by_one():
    encoder = vit()
    x = torch.rand(2, 3, 32, 32, dtype=torch.double)
    wrapped = _Tokens(encoder)
    trained = {name: p.detach() for name, p in wrapped.named_parameters() if p.requires_grad}

    def loss(parameters, image, keep):
        return functional_call(wrapped, parameters, (image[None], keep[None])).square().mean()

    with sdpa_kernel(SDPBackend.MATH):
        found = vmap(grad(loss), in_dims=(None, 0, 0))(trained, x, KEEP)
    for n in range(2):
        encoder.zero_grad()
        wrapped(x[n : n + 1], KEEP[n : n + 1]).square().mean().backward()
        for name, parameter in wrapped.named_parameters():
            if parameter.requires_grad:
                torch.testing.assert_close(found[name][n], parameter.grad)


class _Tokens(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x, keep):
        return self.encoder.tokens(x, keep)


def test_smaller_views_get_the_positions_interpolated():
    encoder = vit(patch=4)
    x = torch.rand(2, 3, 16, 16, dtype=torch.double)
    with torch.no_grad():
        smaller = copy.deepcopy(encoder)
        grid = encoder.pos_embed[:, 1:].float().unflatten(1, (8, 8)).permute(0, 3, 1, 2)
        grid = nn.functional.interpolate(grid, size=(4, 4), mode="bicubic", antialias=True).flatten(2).mT
        smaller.pos_embed = nn.Parameter(torch.cat([encoder.pos_embed[:, :1], grid.double()], dim=1))
        expected = torch.stack([by_hand(smaller, image, range(16)) for image in x])
        torch.testing.assert_close(encoder.tokens(x), expected, rtol=1e-5, atol=1e-5)
        kept = torch.stack([by_hand(smaller, image, [1, 6, 9]) for image in x])
        keep = torch.tensor([1, 6, 9]).expand(2, -1)
        torch.testing.assert_close(encoder.tokens(hide(x, keep, patch=4)), kept, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("pixels", "patch"), [(30, 4), (32, 64)])
def test_sizes_that_patches_do_not_fill_are_refused(pixels, patch):
    with pytest.raises(
        InputError, match=rf"image_size: {pixels} pixels are not a multiple of network\.patch, {patch};"
    ):
        build("vit-tiny", {"patch": patch, "depth": 1, "width": 1}, image_size=pixels)
    with pytest.raises(InputError, match=r"view size: 20 pixels are not a multiple of network\.patch, 8"):
        vit()(torch.rand(1, 3, 32, 20, dtype=torch.double))


def test_transformers_train_without_chance():
    encoder, x = vit().train(), torch.rand(2, 3, 32, 32, dtype=torch.double)
    with torch.no_grad():
        assert torch.equal(encoder(x), encoder(x)) and torch.equal(encoder(x), encoder.eval()(x))


def test_transformers_have_two_layers_and_two_sums_a_block():
    layers = choose_layers("vit-small", {"patch": 4, "depth": 3, "width": 1}, ["*"])
    block = ["att", "res-att", "fc", "res-fc"]
    assert [layer.name for layer in layers] == [*(f"{i}.{place}" for i in (1, 2, 3) for place in block), "output"]
    assert [layer.depth for layer in layers] == list(range(1, 14))
    assert [bool(layer.units) for layer in layers] == [False, False, True, False] * 3 + [False]
    assert [layer.kind for layer in layers] == ["attention", "sum", "fully-connected", "sum"] * 3 + ["output"]


def test_the_sums_of_a_transformer_are_the_tokens_after_each_addition():
    encoder, x = vit(), torch.rand(2, 3, 32, 32, dtype=torch.double)
    places = {layer.name: layer.representation for layer in choose_layers("vit-tiny", {"depth": 2}, ["*"])}
    with capture(encoder, list(places.values())) as seen:
        out = encoder(x)
    with torch.no_grad():
        tokens = encoder._pos_embed(encoder.patch_embed(x))
        for i, block in enumerate(encoder.blocks, start=1):
            attention = block.attn(block.norm1(tokens))
            torch.testing.assert_close(seen[places[f"{i}.att"]], attention)
            tokens = tokens + attention
            torch.testing.assert_close(seen[places[f"{i}.res-att"]], tokens)
            perceptron = block.mlp(block.norm2(tokens))
            torch.testing.assert_close(seen[places[f"{i}.fc"]], perceptron)
            tokens = tokens + perceptron
            torch.testing.assert_close(seen[places[f"{i}.res-fc"]], tokens)
        assert torch.equal(seen[places["output"]], out)
        torch.testing.assert_close(out, encoder.norm(tokens)[:, 0])


@pytest.mark.parametrize(
    ("name", "width", "dim"),
    [("vit-tiny", 0.5, 96), ("vit-tiny", 0.125, 24), ("vit-small", 0.4, 144), ("vit-base", 2, 1536)],
)
def test_width_multiplies_a_transformers_tokens_to_what_heads_and_positions_can_share(name, width, dim):
    encoder = on_paper(name, width=width, depth=1)
    heads = on_paper(name, depth=1).blocks[0].attn.num_heads
    assert (encoder.dim, encoder.blocks[0].attn.num_heads) == (dim, heads) and dim % (4 * heads) == 0
    assert encoder.blocks[0].mlp.fc1.out_features == 4 * dim


def test_a_transformer_is_never_narrower_than_four_numbers_a_head():
    assert build("vit-base", {"patch": 8, "depth": 1, "width": 0.01}, image_size=16).dim == 48
