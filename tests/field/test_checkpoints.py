"""Weights as users have them: every entry of a file is used, named as left out, or the reason for one line."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from memloc.errors import InputError
from memloc.models import architectures, checkpoint
from memloc.scoring.encoders import OpenEncoder, open_encoder
from tests.builders.complaints import complaint

State = dict[str, Any]
SIZE = 32
FAR = 1e-3
"""A difference of outputs from which two networks are taken for different ones."""


def trained(model: nn.Module, seed: int = 0) -> nn.Module:
    """A network no tensor of which has the value that it starts with, so that a lost one shows."""
    rng = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = 0.1 * torch.randn(tensor.shape, generator=rng)
            tensor.copy_(tensor + (noise.abs() if name.endswith("running_var") else noise))
    return model.eval()


def resnet() -> nn.Module:
    return trained(timm.create_model("test_resnet"))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return resnet()


@torch.no_grad()
def outputs(module: nn.Module, size: int = SIZE) -> Tensor:
    return module(torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(5)))


def opened(state: object, folder: Path, name: str = "timm:test_resnet", size: int = SIZE, **options: Any) -> Any:
    torch.save(state, folder / "w.pth")
    return open_encoder(f"{name}@{folder / 'w.pth'}", size=size, **options)


def refused(state: object, folder: Path, name: str = "timm:test_resnet", size: int = SIZE, **options: Any) -> str:
    return complaint(opened, state, folder, name, size, **options)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def headless(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


# Entries that the network has no place for

ONE = torch.ones(1)
ADDED: dict[str, tuple[str, State]] = {
    "registers": ("reg_token", {"reg_token": torch.ones(1, 4, 64)}),
    "registers of DINOv2": ("register_tokens", {"register_tokens": torch.ones(1, 4, 64)}),
    "a class token": ("dist_token", {"dist_token": torch.ones(1, 1, 64)}),
    "layer scales": ("blocks.0.ls1.gamma", {"blocks.0.ls1.gamma": torch.ones(64), "blocks.0.ls2.gamma": ONE}),
    "biases": ("patch_embed.norm.bias", {"patch_embed.norm.bias": torch.ones(64)}),
    "LoRA": ("blocks.0.attn.qkv.lora_A.weight", {"blocks.0.attn.qkv.lora_A.weight": torch.ones(4, 64)}),
    "LoRA of peft, beside": ("lora_B.default", {"lora_B.default.weight": ONE}),
    "an adapter": ("blocks.1.adapter.down", {"blocks.1.adapter.down": ONE}),
    "a prompt": ("prompt_embeddings", {"prompt_embeddings": torch.ones(1, 5, 64)}),
    "DoRA": ("blocks.0.mlp.fc1.magnitude", {"blocks.0.mlp.fc1.magnitude": ONE}),
    "a parametrisation": ("proj.parametrizations", {"patch_embed.proj.parametrizations.weight.original0": ONE}),
    "a pruning mask": ("patch_embed.proj.weight_mask", {"patch_embed.proj.weight_mask": torch.ones(64, 3, 16, 16)}),
    "a mistyped name": ("norm.wieght", {"norm.wieght": torch.ones(64)}),
    "a deeper network": ("blocks.11.norm1.weight", {"blocks.11.norm1.weight": torch.ones(64)}),
    "a relative position bias": ("rel_pos_bias", {"rel_pos_bias.relative_position_bias_table": ONE}),
    "an adapter of the head that is used": ("head.lora_A.weight", {"head.lora_A.weight": torch.ones(4, 64)}),
    "an adapter that is linear": ("linear_adapter.weight", {"linear_adapter.weight": torch.ones(3, 3)}),
    "a projection of pixels": ("proj_in.weight", {"proj_in.weight": torch.ones(3, 3, 1, 1)}),
    "LoRA of a head": ("head_lora_A", {"head_lora_A": torch.ones(4, 64)}),
    "a scaler of the input": ("scaler.mean", {"scaler.mean": torch.ones(3), "scaler.std": torch.ones(3)}),
    "a scale of quantised weights": ("patch_embed.proj.weight_scale", {"patch_embed.proj.weight_scale": ONE}),
}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "module.", "state_dict/", "state_dict/module.backbone."])
@pytest.mark.parametrize("kind", ADDED)
def test_an_entry_without_a_place_is_named(tmp_path: Path, kind: str, prefix: str) -> None:
    named, added = ADDED[kind]
    container, _, prefix = prefix.rpartition("/")
    state = prefixed(timm.create_model("test_vit").state_dict() | added, prefix)
    message = refused({container: state} if container else state, tmp_path, "timm:test_vit", 160)
    assert named in message and "no place" in message


def test_biases_of_convolutions_are_named(tmp_path: Path, net: nn.Module) -> None:
    # They were left out without a word, and outputs were far from right.
    state = net.state_dict()
    biases = {n.replace(".weight", ".bias"): torch.ones(len(t)) for n, t in state.items() if t.ndim == 4}
    message = refused(state | biases, tmp_path)
    assert "conv1.0.bias" in message and "and " in message and "more" in message


BESIDE: dict[str, State] = {
    "heads of training": {"projector.0.weight": ONE, "predictor.weight": ONE, "projection_head.bias": ONE},
    "a queue": {"queue": torch.ones(4, 8), "queue_ptr": torch.zeros(1, dtype=torch.long)},
    "prototypes": {"prototypes.weight": ONE, "dino_head.last_layer.weight_g": ONE},
    "a decoder": {"decoder_blocks.0.weight": ONE, "decoder_pos_embed": ONE, "mask_token": ONE},
    "attention of a decoder": {"decoder.layers.0.self_attn.in_proj_weight": ONE, "proj.norm.running_mean": ONE},
    "a scaler of gradients": {"scaler.scale": ONE, "loss_scaler._growth_tracker": ONE},
}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "_orig_mod.", "encoder_q."])
@pytest.mark.parametrize("kind", BESIDE)
def test_heads_and_queues_of_training_are_left_out_and_said(
    tmp_path: Path, net: nn.Module, kind: str, prefix: str
) -> None:
    encoder = opened(prefixed(net.state_dict(), prefix) | BESIDE[kind], tmp_path)
    assert torch.equal(outputs(encoder.module), outputs(net))
    assert f"92 of {92 + len(BESIDE[kind])} entries of w.pth" in encoder.weights
    assert all(name.partition(".")[0] in encoder.weights for name in BESIDE[kind])
    assert not prefix or f"below {prefix}" in encoder.weights


def test_what_an_optimiser_keeps_is_left_out_and_said(tmp_path: Path, net: nn.Module) -> None:
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 3, SIZE, SIZE)).sum().backward()
    optimiser.step()
    fresh = resnet()
    content = {"state_dict": fresh.state_dict(), "optimizer": optimiser.state_dict(), "epoch": torch.tensor(3)}
    encoder = opened(content | {"arch": "resnet", "lr_scheduler": {"last": torch.ones(1)}}, tmp_path)
    assert torch.equal(outputs(encoder.module), outputs(fresh))
    assert (
        "optimizer" in encoder.weights and "lr_scheduler" in encoder.weights and "below state_dict." in encoder.weights
    )


def test_counts_of_batches_may_lack_or_be_too_many(tmp_path: Path, net: nn.Module) -> None:
    state = {n: t for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert torch.equal(outputs(opened(state, tmp_path).module), outputs(net))
    more = net.state_dict() | {"layer1.0.bn9.num_batches_tracked": torch.tensor(7)}
    assert torch.equal(outputs(opened(more, tmp_path).module), outputs(net))


@pytest.mark.parametrize("change", [Tensor.half, Tensor.bfloat16, lambda t: t[None] if t.ndim == 0 else t])
def test_counts_of_batches_may_have_any_type_and_shape(
    tmp_path: Path, net: nn.Module, change: Callable[[Tensor], Tensor]
) -> None:
    state = net.state_dict()
    counts = {n: change(t) for n, t in state.items() if n.endswith("num_batches_tracked")}
    assert torch.equal(outputs(opened(state | counts, tmp_path).module), outputs(net))


def test_the_whole_of_a_plain_file_is_said_to_be_used(tmp_path: Path, net: nn.Module) -> None:
    save_file(net.state_dict(), tmp_path / "w.safetensors", metadata={"format": "pt", "note": "mine"})
    encoder = open_encoder(f"timm:test_resnet@{tmp_path / 'w.safetensors'}", size=SIZE)
    assert "92 of 92 entries of w.safetensors" in encoder.weights and "left out" not in encoder.weights
    assert torch.equal(outputs(encoder.module), outputs(net))


# Several models in one file


@pytest.mark.parametrize(
    ("one", "other"),
    [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("student", "teacher"), ("net", "ema")],
)
@pytest.mark.parametrize("inner", ["", "module."])
def test_several_models_are_not_chosen_between_but_by_a_key(tmp_path: Path, one: str, other: str, inner: str) -> None:
    models = {one: resnet(), other: trained(timm.create_model("test_resnet"), 1)}
    content = {key: prefixed(model.state_dict(), inner) for key, model in models.items()}
    message = refused(content, tmp_path)
    assert f"{one}.{inner}" in message and f"{other}.{inner}" in message and "--weights-key" in message
    for key, model in models.items():
        encoder = opened(content, tmp_path, weights_key=key)
        assert encoder.remarks == ()
        assert torch.equal(outputs(encoder.module), outputs(model))
        assert f"below {key}.{inner}" in encoder.weights and "92 of 184" in encoder.weights


def test_copies_under_two_prefixes_are_chosen_between_by_a_key(tmp_path: Path, net: nn.Module) -> None:
    key = trained(timm.create_model("test_resnet"), 1)
    state = prefixed(headless(net.state_dict()), "module.encoder_q.") | prefixed(
        headless(key.state_dict()), "module.encoder_k."
    )
    state |= {"module.encoder_q.fc.0.weight": ONE, "module.encoder_k.fc.0.weight": ONE, "module.queue": ONE}
    assert "module.encoder_k., module.encoder_q." in refused(state, tmp_path)
    encoder = opened(state, tmp_path, weights_key="module.encoder_q")
    net.reset_classifier(0)
    assert torch.equal(outputs(encoder.module), outputs(net)) and encoder.absent == ("fc",)
    net.reset_classifier(1000)


@pytest.mark.parametrize("key", ["model", "state", "state_dict.x", "", "."])
def test_a_key_that_the_file_lacks_is_refused_with_those_it_has(tmp_path: Path, net: nn.Module, key: str) -> None:
    message = refused({"state_dict": net.state_dict()}, tmp_path, weights_key=key)
    assert "--weights-key" in message and "state_dict" in message


def test_a_key_without_a_file_is_refused() -> None:
    assert "--weights-key" in complaint(open_encoder, "timm:test_resnet@untrained", size=SIZE, weights_key="model")


def test_a_copy_of_a_part_beside_the_model_is_named(tmp_path: Path, net: nn.Module) -> None:
    state = net.state_dict() | {"ema.layer1.0.conv1.weight": torch.ones(32, 32, 3, 3)}
    assert "ema.layer1.0.conv1.weight" in refused(state, tmp_path)


# Heads


def test_a_head_of_other_classes_is_left_out_and_said(tmp_path: Path, net: nn.Module) -> None:
    encoder = opened(net.state_dict() | {"fc.weight": torch.ones(10, 96), "fc.bias": torch.ones(10)}, tmp_path)
    assert encoder.absent == ("fc",) and "fc" in encoder.weights and "10" in encoder.weights
    features = net.forward_head(net.forward_features(images := torch.randn(2, 3, SIZE, SIZE)), pre_logits=True)
    with torch.no_grad():
        assert torch.equal(encoder.module(images), features)


def test_a_head_of_other_classes_is_left_out_of_a_model_of_torchvision(tmp_path: Path) -> None:
    model = trained(torchvision.models.squeezenet1_1(num_classes=7))
    encoder = opened(model.state_dict(), tmp_path, "torchvision:squeezenet1_1", 64)
    model.classifier[1] = nn.Identity()
    assert torch.equal(outputs(encoder.module, 64), outputs(model, 64)) and "7" in encoder.weights


def test_half_a_head_is_named(tmp_path: Path, net: nn.Module) -> None:
    assert "lack fc.bias" in refused({n: t for n, t in net.state_dict().items() if n != "fc.bias"}, tmp_path)


def test_an_absent_head_is_said(tmp_path: Path, net: nn.Module) -> None:
    assert "fc" in opened(headless(net.state_dict()), tmp_path).weights.rpartition("entries")[2]


# Types and values


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "bool", "complex64", "float8_e4m3fn", "float8_e5m2"])
def test_weights_that_are_no_plain_floats_are_named(tmp_path: Path, net: nn.Module, dtype: str) -> None:
    state = net.state_dict()
    message = refused(state | {"bn1.bias": state["bn1.bias"].to(getattr(torch, dtype))}, tmp_path)
    assert "bn1.bias" in message and dtype in message


def test_quantised_and_sparse_weights_are_refused(tmp_path: Path, net: nn.Module) -> None:
    state = net.state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.quantize_per_tensor(state["fc.weight"], 0.1, 0, torch.qint8)
        assert "w.pth" in refused(state | {"fc.weight": quantised}, tmp_path)
        assert "fc.weight" in refused(state | {"fc.weight": state["fc.weight"].to_sparse()}, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_plain_floats_become_float32_and_are_said(tmp_path: Path, net: nn.Module, dtype: torch.dtype) -> None:
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in net.state_dict().items()}
    encoder = opened(state, tmp_path)
    assert str(dtype).removeprefix("torch.") in encoder.weights
    own = encoder.module.state_dict()
    assert all(torch.equal(own[n], t.to(own[n].dtype)) for n, t in state.items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, net: nn.Module, value: float) -> None:
    state = {n: t.clone() for n, t in net.state_dict().items()}
    state["layer2.0.bn1.running_mean"][3] = value
    assert "layer2.0.bn1.running_mean" in refused(state, tmp_path)


def test_weights_that_were_never_trained_are_remarked(tmp_path: Path, net: nn.Module) -> None:
    torch.manual_seed(0)
    fresh = timm.create_model("test_resnet").state_dict()
    assert any("untrained" in remark for remark in opened(fresh, tmp_path).remarks)
    vit = timm.create_model("test_vit").state_dict()
    assert any("untrained" in remark for remark in opened(vit, tmp_path, "timm:test_vit", 160).remarks)
    assert opened(net.state_dict(), tmp_path).remarks == ()


def test_weights_that_are_0_are_remarked(tmp_path: Path, net: nn.Module) -> None:
    state = net.state_dict()
    remarks = opened(state | {"layer1.0.conv1.weight": torch.zeros(32, 32, 3, 3)}, tmp_path).remarks
    assert any("layer1.0.conv1.weight" in remark and "0" in remark for remark in remarks)
    nothing = {n: torch.zeros_like(t) for n, t in state.items()}
    assert any("same output" in remark for remark in opened(nothing, tmp_path).remarks)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e5m2])
def test_weights_of_memloc_are_not_cast_either(tmp_path: Path, dtype: torch.dtype) -> None:
    network = {"width": 0.125, "residual": True}
    state = architectures.build("resnet9", network, image_size=16).state_dict()
    name = next(iter(state))
    pixels = {"mean": [0.4], "std": [0.2], "image_size": 16, "channels": 1}
    about = {"settings": {"architecture": "resnet9", "network": network}, "input": pixels}
    checkpoint.save(state | {name: state[name].to(dtype)}, about, tmp_path / "w.safetensors")
    assert name in complaint(open_encoder, str(tmp_path / "w.safetensors"))


def test_torchscript_is_not_run(tmp_path: Path, net: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(net, torch.ones(1, 3, SIZE, SIZE)).save(tmp_path / "w.pt")
    message = complaint(open_encoder, f"timm:test_resnet@{tmp_path / 'w.pt'}", size=SIZE)
    assert "TorchScript, which is code" in message


# Shapes and names of other networks


@pytest.mark.parametrize(
    ("name", "shape"),
    [("bn1.bias", (1,)), ("bn1.bias", (1, 32)), ("bn1.bias", ()), ("conv1.0.weight", (16, 1, 3, 3)),
     ("conv1.0.weight", (16, 3, 1, 1)), ("layer1.0.conv1.weight", (32, 32, 9))],
)  # fmt: skip
def test_shapes_that_would_broadcast_are_refused(
    tmp_path: Path, net: nn.Module, name: str, shape: tuple[int, ...]
) -> None:
    assert f"{name} {list(shape)} instead of" in refused(net.state_dict() | {name: torch.ones(shape)}, tmp_path)


def test_position_embeddings_of_another_size_are_refused(tmp_path: Path) -> None:
    state = timm.create_model("test_vit", img_size=64).state_dict()
    message = refused(state, tmp_path, "timm:test_vit", 160)
    assert "pos_embed" in message and "--size" in message


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    message = refused(timm.create_model("test_vit").state_dict(), tmp_path)
    assert "lack conv1.0.weight" in message


@pytest.mark.parametrize("prefix", ["", "backbone.", "state_dict/model.0."])
def test_children_that_a_sequential_numbers_are_told_by_name(tmp_path: Path, net: nn.Module, prefix: str) -> None:
    container, _, prefix = prefix.rpartition("/")
    children = list(net.children())
    state = prefixed(nn.Sequential(*children[:-1]).state_dict(), prefix)
    message = refused({container: state} if container else state, tmp_path)
    first = f"{container}.{prefix}" if container else prefix
    assert f"{first}0 is conv1" in message and f"{first}1 is bn1" in message and "rename" in message


def test_names_of_older_layer_norms_are_told(tmp_path: Path) -> None:
    state = {
        n.replace("norm1.weight", "norm1.gamma").replace("norm1.bias", "norm1.beta"): t
        for n, t in timm.create_model("test_vit").state_dict().items()
    }
    message = refused(state, tmp_path, "timm:test_vit", 160)
    assert "blocks.0.norm1.weight" in message and "blocks.0.norm1.gamma" in message


def test_data_parallel_in_a_compiled_module_is_one_prefix(tmp_path: Path, net: nn.Module) -> None:
    encoder = opened({"model": prefixed(net.state_dict(), "module._orig_mod.backbone.")}, tmp_path)
    assert torch.equal(outputs(encoder.module), outputs(net))
    assert "below model.module._orig_mod.backbone." in encoder.weights


def test_two_spellings_of_one_name_are_refused(tmp_path: Path, net: nn.Module) -> None:
    state = net.state_dict()
    assert "fc.bias" in refused({**state, "fc": {"bias": state["fc.bias"] + 1}}, tmp_path)


def test_entries_that_share_memory_are_read_as_they_are(tmp_path: Path, net: nn.Module) -> None:
    state = dict(net.state_dict())
    state["layer1.0.bn1.bias"] = state["bn1.bias"] = torch.linspace(0, 1, 32)
    encoder = opened(state, tmp_path)
    assert torch.equal(encoder.module.state_dict()["layer1.0.bn1.bias"], state["bn1.bias"])


def test_dictionaries_that_hold_themselves_are_one_line(tmp_path: Path, net: nn.Module) -> None:
    endless: State = {"state_dict": net.state_dict()}
    endless["self"] = endless
    assert "without end" in refused(endless, tmp_path)


# Any change of a file


def changed(data: st.DataObject, state: State) -> tuple[State, str]:
    """A state with one change, and the name that the change is about."""
    name = data.draw(st.sampled_from(sorted(n for n in state if not n.endswith("num_batches_tracked"))))
    other = data.draw(st.sampled_from(sorted(state)))
    kind = data.draw(st.sampled_from(["drop", "rename", "add", "retype", "reshape", "beside", "twice"]))
    out = dict(state)
    if kind == "drop":
        del out[name]
    elif kind == "rename":
        out[name + "x"] = out.pop(name)
    elif kind == "add":
        module = other.rpartition(".")[0]
        name = f"{module}.{data.draw(st.sampled_from(['lora_A', 'scale', 'bias_', 'gamma', 'weight_g', 'alpha']))}"
        out[name] = torch.ones(data.draw(st.sampled_from([(1,), (3, 4), (32,)])))
    elif kind == "retype":
        out[name] = out[name].to(data.draw(st.sampled_from([torch.int8, torch.complex64, torch.float8_e5m2])))
    elif kind == "reshape":
        out[name] = out[name][None] if data.draw(st.booleans()) else out[name][..., :1].clone()
        if out[name].shape == state[name].shape:
            out[name] = out[name][None]
    elif kind == "beside":
        name = data.draw(st.sampled_from(["adapter.weight", "tokens", "stem.bias", "layer9.0.conv1.weight"]))
        out[name] = torch.ones(3)
    elif kind == "twice":
        out[f"copy.{name}"] = out[name] + 1
    return out, name


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_any_change_of_a_file_gives_the_right_outputs_or_names_the_entry(
    tmp_path: Path, net: nn.Module, data: st.DataObject
) -> None:
    prefix = data.draw(st.sampled_from(["", "module.", "backbone."]))
    state, name = changed(data, net.state_dict())
    try:
        encoder = opened({"state_dict": prefixed(state, prefix)}, tmp_path)
    except InputError as error:
        assert name in str(error) and "\n" not in str(error)
    else:
        raise AssertionError(f"{name} was changed, and {encoder.weights}")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_any_harmless_change_gives_the_same_outputs(tmp_path: Path, net: nn.Module, data: st.DataObject) -> None:
    state = net.state_dict()
    names = data.draw(st.permutations(sorted(state)))
    prefix = data.draw(st.sampled_from(["", "module.", "encoder.", "_orig_mod.", "model.backbone."]))
    beside = data.draw(st.sets(st.sampled_from(["projector.0.weight", "queue", "predictor.bias", "prototypes.weight"])))
    where = data.draw(st.sampled_from(["", prefix]))
    content: State = {prefix + name: state[name] for name in names} | {where + name: ONE for name in beside}
    for key in data.draw(st.lists(st.sampled_from(["state_dict", "model", "weights"]), max_size=2)):
        content = {key: content, "epoch": 3, "optimizer": {"state": {0: {"step": ONE}}}}
    assert torch.equal(outputs(opened(content, tmp_path).module), outputs(net))


# Folders in Hugging Face's format

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32}
TINY |= {"patch_size": 8}
PIXELS = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": 32, "width": 32}}

Folder = Callable[..., tuple[Path, nn.Module]]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(kind: str = "ViTModel", change: Callable[[State], State] = dict, **config: Any) -> tuple[Path, nn.Module]:
        family = kind.partition("For")[0].removesuffix("Model")
        configuration = getattr(transformers, f"{family}Config")
        model = trained(getattr(transformers, kind)(configuration(**TINY)))
        path = tmp_path / "model"
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(json.dumps(model.config.to_dict() | config))
        (path / "preprocessor_config.json").write_text(json.dumps(PIXELS))
        save_file(change(model.state_dict()), path / "model.safetensors", metadata={"format": "pt"})
        return path, model

    return make


def test_a_folder_whose_entries_are_all_used_says_so(folder: Folder) -> None:
    path, model = folder()
    encoder = open_encoder(str(path))
    n = len(model.state_dict())
    assert f"{n} of {n} entries of model.safetensors" in encoder.weights


def test_registers_that_a_config_does_not_say_are_named(folder: Folder) -> None:
    path, _ = folder("Dinov2WithRegistersModel", model_type="dinov2")
    message = complaint(open_encoder, str(path))
    assert "register_tokens" in message and "no place" in message


@torch.no_grad()
def test_a_mask_token_changes_no_output_and_is_left_out(folder: Folder) -> None:
    path, model = folder("ViTForMaskedImageModeling")
    encoder = open_encoder(str(path))
    assert "mask_token (1)" in encoder.weights and "decoder" in encoder.weights
    right = model.vit(images := torch.randn(2, 3, SIZE, SIZE)).last_hidden_state.mean(1)
    assert torch.allclose(encoder.module(images), right, atol=1e-5)


@pytest.mark.parametrize("name", ["encoder.layer.0.lora_A.weight", "embeddings.extra", "layers.0.layer_scale1.lambda1"])
def test_an_entry_of_a_folder_without_a_place_is_named(folder: Folder, name: str) -> None:
    path, _ = folder(change=lambda state: state | {name: torch.ones(2)})
    # transformers tells of it by the name that it has now.
    assert ".".join(name.split(".")[-2:]) in complaint(open_encoder, str(path))


def test_a_classifier_of_a_folder_is_left_out_and_said(folder: Folder) -> None:
    path, _ = folder("ViTForImageClassification")
    encoder = open_encoder(str(path))
    assert "classifier" in encoder.weights and "pooler" in encoder.weights


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_types_in_a_folder_are_never_cast(folder: Folder, dtype: torch.dtype) -> None:
    path, _ = folder(change=lambda state: state | {"layernorm.bias": state["layernorm.bias"].to(dtype)})
    message = complaint(open_encoder, str(path))
    assert "layernorm.bias" in message and str(dtype).removeprefix("torch.") in message


def test_half_precision_in_a_folder_is_said(folder: Folder) -> None:
    path, _ = folder(change=lambda state: {n: t.half() for n, t in state.items()})
    encoder = open_encoder(str(path))
    assert "converted from float16" in encoder.weights
    assert all(p.dtype == torch.float32 for p in encoder.module.parameters())


def test_adapters_beside_a_folder_are_refused(folder: Folder) -> None:
    path, _ = folder()
    (path / "adapter_config.json").write_text("{}")
    assert "adapter_config.json" in complaint(open_encoder, str(path))


def test_a_quantised_folder_is_refused(folder: Folder) -> None:
    path, _ = folder(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    assert "quantization_config" in complaint(open_encoder, str(path))


def shards(path: Path, *, lose: str = "", extra: str = "") -> None:
    from safetensors.torch import load_file

    state = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for part, own in parts.items():
        if part != lose:
            save_file({n: state[n] for n in own}, path / part, metadata={"format": "pt"})
    if extra:
        save_file({"layernorm.bias": torch.ones(16)}, path / extra, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {n: part for part, own in parts.items() for n in own}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


def test_shards_are_joined(folder: Folder) -> None:
    path, model = folder()
    whole = open_encoder(str(path))
    shards(path)
    encoder = open_encoder(str(path))
    n = len(model.state_dict())
    assert torch.equal(outputs(encoder.module), outputs(whole.module))
    assert f"{n} of {n} entries of 2 shards" in encoder.weights


def test_a_missing_shard_and_one_too_many_are_named(folder: Folder) -> None:
    path, _ = folder()
    shards(path, lose="model-00002-of-00002.safetensors")
    assert "model-00002-of-00002.safetensors" in complaint(open_encoder, str(path))
    path, _ = folder()
    shards(path, extra="model-00003-of-00003.safetensors")
    assert "model-00003-of-00003.safetensors" in complaint(open_encoder, str(path))


def test_an_index_beside_a_whole_file_is_refused(folder: Folder) -> None:
    path, _ = folder()
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))
    assert "model.safetensors.index.json" in complaint(open_encoder, str(path))


@pytest.mark.parametrize(
    "config",
    [{"num_hidden_layers": 10**9}, {"hidden_size": 10**9}, {"intermediate_size": 10**12}, {"image_size": 10**7}],
)
def test_a_config_of_a_network_without_end_is_one_line(folder: Folder, config: dict[str, int]) -> None:
    path, _ = folder()
    (path / "config.json").write_text(json.dumps(json.loads((path / "config.json").read_text()) | config))
    assert str(path) in complaint(open_encoder, str(path))


@pytest.mark.parametrize("config", [{"depth": 10**9}, {"embed_dim": 10**9}, {"embed_dim": 2**15}, {"img_size": 2**18}])
def test_a_config_of_timm_without_end_is_one_line(tmp_path: Path, config: dict[str, int]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_vit", "model_args": config}))
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "model.safetensors")
    assert str(tmp_path) in complaint(open_encoder, str(tmp_path))


def test_pixels_and_weights_are_one_line_each_for_every_kind(tmp_path: Path, net: nn.Module, folder: Folder) -> None:
    encoders: list[OpenEncoder] = [opened(net.state_dict(), tmp_path), open_encoder(str(folder()[0]))]
    encoders.append(open_encoder("timm:test_resnet@untrained", size=SIZE))
    for encoder in encoders:
        assert all(word in encoder.pixels for word in ("input: 32 pixels", "mean", "std", "RGB"))
        assert encoder.weights.startswith("weights: ") and "\n" not in encoder.pixels + encoder.weights
