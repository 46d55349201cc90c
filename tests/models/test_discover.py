import pytest
import torch
from torch import nn

from memloc.errors import InputError
from memloc.models.architectures import ARCHITECTURES
from memloc.models.capture import capture, discover, reading

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")

X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def found(encoder, *patterns, hook="paper", x=X):
    return {layer.name: layer for layer in discover(encoder, x, patterns, hook=hook)}


def places(encoder, *patterns, hook="paper", x=X):
    return {name: (v.representation, v.units) for name, v in found(encoder, *patterns, hook=hook, x=x).items()}


def complaint(encoder, *patterns, hook="paper"):
    with pytest.raises(InputError) as caught:
        discover(encoder, X, patterns, hook=hook)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def seeded(build):
    """A network in eval mode whose batch norms are not the identity."""
    torch.manual_seed(0)
    encoder = build().eval()
    for name, tensor in encoder.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    return encoder


def seen(encoder, *names, x=X):
    """What readers see of the named outputs while they pass by."""
    out = {}
    with reading(encoder, {name: [lambda tensor, name=name: out.update({name: tensor.clone()})] for name in names}):
        encoder(x)
    return out


@pytest.fixture(scope="module")
def vgg():
    return seeded(lambda: torchvision.models.vgg11(num_classes=3, dropout=0.5))


@pytest.fixture(scope="module")
def resnet():
    return seeded(lambda: torchvision.models.resnet18(num_classes=3))


def tiny_vit(**options):
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 0}
    return timm.models.vision_transformer.VisionTransformer(**sizes | options)


def tiny_swin():
    return timm.models.swin_transformer.SwinTransformer(
        img_size=32, patch_size=2, embed_dim=8, depths=(2, 1), num_heads=(2, 2), window_size=4, num_classes=0
    )


# Which layers


def test_layers_of_resnet9_are_found_where_the_registry_has_them(network):
    got = discover(network(), X)
    assert [v.representation for v in got] == [
        v.representation
        for v in ARCHITECTURES["resnet9"].layers({"width": 0.125, "residual": True})
        if v.units is not None
    ]
    assert [v.units for v in got] == [f"block{i}.act#1" for i in range(1, 9)]
    assert [v.depth for v in got] == list(range(1, 9)) and {v.axis for v in got} == {1}


def test_every_convolution_and_linear_layer_of_torchvisions_resnet_is_found_in_order_of_the_pass(resnet):
    got = places(resnet)
    expected = [n for n, m in resnet.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sorted(got) == sorted(expected) and next(iter(got)) == "conv1" and [*got][-1] == "fc"
    assert got["conv1"] == ("conv1", "relu#1")
    # One ReLU serves a whole block: its second call follows the second convolution and holds the sum.
    assert got["layer2.0.conv1"] == ("layer2.0.conv1", "layer2.0.relu#1")
    assert got["layer2.0.conv2"] == ("layer2.0.conv2", "layer2.0.relu#2")
    assert got["layer2.0.downsample.0"] == ("layer2.0.downsample.0", "layer2.0.downsample.1#1")
    assert got["fc"] == ("fc", "fc")


def test_timms_resnet_has_an_activation_for_each_convolution():
    got = places(seeded(lambda: timm.create_model("resnet18", num_classes=0)))
    assert got["layer1.0.conv1"] == ("layer1.0.conv1", "layer1.0.act1#1")
    assert got["layer1.0.conv2"] == ("layer1.0.conv2", "layer1.0.act2#1")
    assert "fc" not in got


def test_a_normalisation_that_holds_its_activation_is_both():
    encoder = seeded(lambda: timm.create_model("mobilenetv3_small_050", num_classes=0))
    got = places(encoder)
    assert got["conv_stem"] == ("conv_stem", "bn1#1")
    assert got["blocks.1.0.conv_pw"] == ("blocks.1.0.conv_pw", "blocks.1.0.bn1#1")
    # The last of a block has a normalisation without activation.
    assert got["blocks.1.0.conv_pwl"] == ("blocks.1.0.conv_pwl", "blocks.1.0.bn3#1")
    out = seen(encoder, "conv_stem", "bn1#1")
    norm = encoder.bn1
    scaled = (out["conv_stem"] - norm.running_mean[:, None, None]) / (norm.running_var + norm.eps).sqrt()[:, None, None]
    scaled = scaled * norm.weight[:, None, None] + norm.bias[:, None, None]
    close(out["bn1#1"], nn.functional.hardswish(scaled))


def test_behind_a_normalisation_that_holds_its_activation_comes_no_other():
    norm = timm.layers.BatchNormAct2d
    for holds, units in ((True, "1#1"), (False, "2#1")):
        encoder = nn.Sequential(nn.Conv2d(3, 4, 3), norm(4, apply_act=holds), nn.Sigmoid())
        assert places(encoder) == {"0": ("0", units)}


def test_a_transformers_linear_layers_are_found_and_the_activation_of_the_first():
    encoder = tiny_vit()
    got = found(encoder)
    inner = [f"blocks.{i}.{n}" for i in range(2) for n in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    assert [*got] == ["patch_embed.proj", *inner]
    assert got["patch_embed.proj"].axis == 1 and {got[n].axis for n in inner} == {-1}
    assert got["blocks.1.mlp.fc1"].units == "blocks.1.mlp.act#1"
    # Dropouts and identities lie behind the second; nothing acts on it.
    assert got["blocks.1.mlp.fc2"].units == "blocks.1.mlp.fc2"
    out = seen(encoder, "blocks.1.mlp.fc1", "blocks.1.mlp.act")
    close(out["blocks.1.mlp.act"], nn.functional.gelu(out["blocks.1.mlp.fc1"]))


def test_an_attention_that_does_not_call_its_layers_is_a_layer_itself():
    vit = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=3
    ).eval()
    got = found(vit)
    block = "encoder.layers.encoder_layer_0"
    assert [*got] == ["conv_proj", f"{block}.self_attention", f"{block}.mlp.0", f"{block}.mlp.3", "heads.head"]
    assert got[f"{block}.mlp.0"].units == f"{block}.mlp.1#1"
    assert [v.axis for v in got.values()] == [1, -1, -1, -1, 1]
    assert seen(vit, f"{block}.self_attention")[f"{block}.self_attention"].shape == (2, 17, 16)


def test_windows_lie_side_by_side_in_rows_and_are_still_tokens():
    swin = seeded(tiny_swin)
    got = found(swin)
    assert {v.axis for n, v in got.items() if n != "patch_embed.proj"} == {-1}
    out = seen(swin, "layers.0.blocks.0.attn.qkv", "layers.0.blocks.0.attn.proj")
    assert out["layers.0.blocks.0.attn.qkv"].shape == (2 * 16, 16, 24)  # 16 x 16 tokens in 16 windows
    assert out["layers.0.blocks.0.attn.proj"].shape == (2 * 16, 16, 8)
    alone = seen(swin, "layers.0.blocks.0.attn.proj", x=X[1:])["layers.0.blocks.0.attn.proj"]
    close(out["layers.0.blocks.0.attn.proj"][16:], alone)


def test_a_normalisation_that_may_be_followed_by_a_dropout_and_an_activation_is_seen_through():
    encoder = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Identity(), nn.GroupNorm(2, 4), nn.Dropout(0.5), nn.SiLU(), nn.ReLU()
    )
    assert places(encoder) == {"0": ("0", "4#1")}


def test_what_comes_after_something_else_does_not_count():
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU())
    assert places(encoder) == {"0": ("0", "0")}
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.ReLU())
    assert places(encoder) == {"0": ("0", "1#1")}
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(dim=1))
    assert places(encoder) == {"0": ("0", "0")}


# Patterns and hooks


def test_hooks_move_both_readings_before_or_after(resnet):
    raw, act = "layer1.0.conv2", "layer1.0.relu#2"
    for hook, expected in (("paper", (raw, act)), ("before", (raw, raw)), ("after", (act, act))):
        assert places(resnet, raw, hook=hook) == {raw: expected}


def test_patterns_choose_modules_of_any_kind_in_order_of_the_pass(resnet):
    assert [*found(resnet, "layer2.*.conv?", "conv1")] == [
        "conv1",
        *(f"layer2.{i}.conv{j}" for i in (0, 1) for j in (1, 2)),
    ]
    assert [*found(resnet, "layer?")] == ["layer1", "layer2", "layer3", "layer4"]
    assert {v.axis for v in found(resnet, "layer?", "layer1.0.bn1", "layer1.0.relu").values()} == {1}
    got = places(resnet, "layer1.0.bn1")
    assert got == {"layer1.0.bn1": ("layer1.0.bn1", "layer1.0.relu#1")}
    assert [*found(resnet, "layer1.0.relu")] == ["layer1.0.relu#1", "layer1.0.relu#2"]
    assert [v.depth for v in discover(resnet, X, ["layer?"])] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("pattern", "axis"),
    [("stem.1", 1), ("stages.1.downsample.0", 1), ("*.norm", -1), ("*.mlp.act", -1), ("stages.?", 1)],
)
def test_units_of_maps_and_of_tokens_with_a_height_and_a_width_are_told_apart(pattern, axis):
    encoder = timm.models.convnext.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 16, 24, 32), num_classes=0)
    pattern = f"stages*{pattern.removeprefix('*')}" if pattern.startswith("*") else pattern
    got = found(encoder, pattern, x=torch.randn(1, 3, 64, 64))
    assert got and {v.axis for v in got.values()} == {axis}
    for name, tensor in seen(encoder, *(v.units for v in got.values()), x=torch.randn(1, 3, 64, 64)).items():
        assert tensor.dim() == 4 and tensor.shape[axis] in (8, 16, 24, 32, 64, 96, 128), name


def test_a_pattern_that_matches_nothing_is_told_with_what_there_is(resnet):
    text = complaint(resnet, "conv1", "layer9.*")
    assert text.startswith("layers: 'layer9.*' matches no module") and "conv1" in text


def test_a_module_that_is_never_called_is_told():
    vit = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    text = complaint(vit, "*out_proj")
    assert "self_attention.out_proj" in text and "never calls" in text


@pytest.mark.parametrize("hook", ["", "raw", "AFTER"])
def test_an_unknown_hook_is_told(resnet, hook):
    assert complaint(resnet, hook=hook) == f"hook {hook!r} is none of paper, before, after"


# What is read is what passes by


def test_an_activation_in_place_does_not_spoil_the_convolution_before_it(vgg):
    layer = found(vgg, "features.0")["features.0"]
    assert vgg.features[1].inplace and (layer.representation, layer.units) == ("features.0", "features.1#1")
    out = seen(vgg, layer.representation, layer.units)
    with torch.no_grad():
        raw = vgg.features[0](X)
    assert raw.min() < -0.1
    close(out["features.0"], raw)
    close(out["features.1#1"], raw.relu())


def test_a_sum_in_place_is_part_of_the_activation_after_it(resnet):
    layer, block = found(resnet, "layer1.0.conv2")["layer1.0.conv2"], resnet.layer1[0]
    out = seen(resnet, layer.representation, layer.units)
    with torch.no_grad():
        entry = resnet.maxpool(torch.relu(resnet.bn1(resnet.conv1(X))))
        raw = block.conv2(torch.relu(block.bn1(block.conv1(entry))))
        alone = torch.relu(block.bn2(raw))
        close(out[layer.representation], raw)
        close(out[layer.units], torch.relu(block.bn2(raw) + entry))
    assert not torch.allclose(out[layer.units], alone, atol=0.1)


class Twice(nn.Module):
    """Calls one convolution twice, and one norm and one activation behind each."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        self.idle = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        for _ in range(2):
            x = self.act(self.norm(self.conv(x)))
        return x.mean(dim=(2, 3))


def test_a_shared_module_is_numbered_by_its_calls():
    encoder = seeded(Twice)
    got = places(encoder)
    assert got == {"conv#1": ("conv#1", "act#1"), "conv#2": ("conv#2", "act#2")}
    assert [v.depth for v in found(encoder).values()] == [1, 2]
    out = seen(encoder, "conv#1", "conv#2", "act#1", "act#2")
    with torch.no_grad():
        first = encoder.conv(X)
        second = encoder.conv(torch.relu(encoder.norm(first)))
    close(out["conv#1"], first)
    close(out["conv#2"], second)
    close(out["act#2"], torch.relu(encoder.norm(second)))
    assert not torch.allclose(first, second)
    # Numbers start anew in every pass.
    with capture(encoder, ["conv#2"]) as outputs:
        encoder(X)
        close(outputs["conv#2"], second)
        encoder(X[:1])
        close(outputs["conv#2"], second[:1])


def test_a_module_that_lies_idle_is_no_layer_and_told_when_asked_for():
    assert "'idle'" in complaint(Twice(), "idle")


def test_looking_through_an_encoder_leaves_it_as_it_was():
    encoder = seeded(Twice).train()
    encoder.norm.eval()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    discover(encoder, X)
    assert encoder.training and encoder.conv.training and not encoder.norm.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in encoder.modules())


def test_an_encoder_that_fails_keeps_no_hooks():
    encoder = seeded(Twice).train()
    with pytest.raises(RuntimeError):
        discover(encoder, X[:, :2])
    assert encoder.training and not any(module._forward_hooks for module in encoder.modules())


def test_an_output_that_is_no_tensor_is_an_input_error_of_its_layer():
    class Named(nn.Module):
        def forward(self, x):
            return {"maps": x}

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Named()

        def forward(self, x):
            return self.inner(x)["maps"].flatten(1)

    with pytest.raises(InputError, match=r"^layer inner: puts out a dict, not a tensor"):
        seen(Wrapped(), "inner")
    assert not discover(Wrapped(), X)


def test_of_several_outputs_the_first_is_read():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention

        def forward(self, x):
            tokens = x.flatten(1)[:, :40].reshape(-1, 5, 8)
            return self.attention(tokens, tokens, tokens)[0].mean(dim=1)

    tokens = X.flatten(1)[:, :40].reshape(-1, 5, 8)
    with torch.no_grad():
        close(seen(Attending(), "attention")["attention"], attention(tokens, tokens, tokens)[0])
