import json
import os
import pickle
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from memloc.errors import InputError
from memloc.models import checkpoint
from memloc.models.architectures import build, choose_layers
from memloc.scoring.encoders import open_encoder
from memloc.scoring.encoders.hugging_face import _pool

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")


def complaint(text, **options):
    """The one line that opening an encoder fails with."""
    with pytest.raises(InputError) as caught:
        open_encoder(text, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def images(size, n=3):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def same(module, other, size):
    return torch.allclose(module(images(size)), other(images(size)), atol=1e-6)


@pytest.fixture
def vit():
    torch.manual_seed(1)
    return timm.create_model("test_vit").eval()


@pytest.fixture
def resnet():
    torch.manual_seed(1)
    model = torchvision.models.resnet18().eval()
    # Statistics of its own, so that a lost buffer shows.
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.1)
    return model


@pytest.fixture
def file(tmp_path):
    def make(state, name="w.pth"):
        path = tmp_path / name
        save_file(state, path) if name.endswith(".safetensors") else torch.save(state, path)
        return path

    return make


# Weights from files


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.safetensors"])
def test_a_timm_model_with_weights_of_ones_own_is_that_model(vit, file, name):
    text = f"timm:test_vit@{file(vit.state_dict(), name)}"
    encoder = open_encoder(text)
    assert encoder.name == text and encoder.absent == () and encoder.layers is None and encoder.augmentation is None
    assert (encoder.size, encoder.mean, encoder.std) == (160, (0.5,) * 3, (0.5,) * 3)
    assert not encoder.module.training and same(encoder.module, vit, 160)


def test_a_torchvision_model_with_weights_of_ones_own_is_that_model(resnet, file):
    encoder = open_encoder(f"torchvision:resnet18@{file(resnet.state_dict())}", size=64)
    assert encoder.size == 64 and encoder.mean == (0.485, 0.456, 0.406) and encoder.std == (0.229, 0.224, 0.225)
    assert encoder.absent == () and same(encoder.module, resnet, 64)


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "model.", "module.encoder.", "encoder_q."])
@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
def test_one_prefix_is_dropped_and_what_lies_beside_is_ignored(vit, file, prefix, nested):
    state = {prefix + name: tensor for name, tensor in vit.state_dict().items()}
    state |= {"projector.0.weight": torch.ones(3), "queue": torch.ones(2), f"{prefix}projector.weight": torch.ones(1)}
    path = file({nested: state, "epoch": 7, "optimizer": {"lr": 0.1}} if nested else state)
    assert same(open_encoder(f"timm:test_vit@{path}").module, vit, 160)


def test_two_copies_of_a_model_are_not_chosen_between(vit, file):
    state = {f"{who}.{name}": tensor for who in ("teacher", "student") for name, tensor in vit.state_dict().items()}
    assert "(student., teacher.); choose one with --weights-key" in complaint(f"timm:test_vit@{file(state)}")


def test_half_precision_is_scored_in_float32(resnet, file):
    half = {n: t.half() if t.is_floating_point() else t for n, t in resnet.state_dict().items()}
    module = open_encoder(f"torchvision:resnet18@{file(half)}", size=64).module
    assert all(p.dtype == torch.float32 for p in module.parameters())
    assert same(module, resnet.half().float(), 64)


def test_a_missing_head_of_timm_leaves_the_pooled_features(vit, file):
    state = {n: t for n, t in vit.state_dict().items() if not n.startswith("head.")}
    encoder = open_encoder(f"timm:test_vit@{file(state)}")
    assert encoder.absent == ("head",)
    vit.reset_classifier(0)
    assert same(encoder.module, vit, 160)
    assert "head.weight" not in encoder.untrained(0).state_dict()


def test_a_missing_head_of_torchvision_leaves_its_input(resnet, file):
    # What stands in its place in a self-supervised checkpoint is none of the model's.
    state = {f"module.{n}": t for n, t in resnet.state_dict().items() if not n.startswith("fc.")}
    encoder = open_encoder(f"torchvision:resnet18@{file({**state, 'module.fc.0.weight': torch.ones(2)})}", size=64)
    resnet.fc = nn.Identity()
    assert encoder.absent == ("fc",) and same(encoder.module, resnet, 64)
    assert encoder.untrained(0)(images(64)).shape == (3, 512)


def test_a_head_that_is_no_linear_layer_can_be_missing(file):
    model = torchvision.models.squeezenet1_1().eval()
    state = {n: t for n, t in model.state_dict().items() if not n.startswith("classifier.")}
    encoder = open_encoder(f"torchvision:squeezenet1_1@{file(state)}", size=64)
    model.classifier[1] = nn.Identity()
    assert encoder.absent == ("classifier.1",) and same(encoder.module, model, 64)


@pytest.mark.parametrize("name", ["mnasnet0_5", "resnet18"])
def test_old_files_and_parts_that_read_their_version_load(file, name):
    model = torchvision.models.get_model(name).eval()
    state = model.state_dict()
    for key in [key for key in state if name == "resnet18" and key.endswith("num_batches_tracked")]:
        del state[key]
    assert same(open_encoder(f"torchvision:{name}@{file(state)}", size=64).module, model, 64)


# Files that don't fit or can't be read


def without_layer2(state):
    return {n: t for n, t in state.items() if not n.startswith("layer2.")}


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (without_layer2, ["lack layer2.0.conv1.weight, ", " more"]),
        (
            lambda s: s | {"conv1.weight": torch.ones(64, 1, 7, 7)},
            ["conv1.weight [64, 1, 7, 7] instead of [64, 3, 7, 7]"],
        ),
        (lambda s: torchvision.models.resnet34().state_dict(), ["also hold layer1.2.conv1.weight"]),
    ],
    ids=["missing", "other shapes", "deeper model"],
)
def test_weights_of_another_model_are_refused(resnet, file, change, messages):
    message = complaint(f"torchvision:resnet18@{file(change(resnet.state_dict()))}")
    assert all(part in message for part in messages)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(vit, file, value):
    vit.blocks[1].mlp.fc1.bias.data[3] = value
    assert "aren't finite (blocks.1.mlp.fc1.bias)" in complaint(f"timm:test_vit@{file(vit.state_dict())}")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.999, None])
def test_a_file_that_is_cut_off_or_holds_no_weights_is_refused(vit, file, name, kept):
    path = file(vit.state_dict(), name)
    data = path.read_bytes()
    path.write_bytes(b"not weights" if kept is None else data[: int(kept * len(data)) if kept < 1 else kept])
    assert f"{path} isn't a complete" in complaint(f"timm:test_vit@{path}")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_that_holds_code_does_not_run_it(vit, tmp_path):
    mark = tmp_path / "ran"
    torch.save({"state_dict": vit.state_dict(), "args": Bomb(mark)}, tmp_path / "zip.pth")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Bomb(mark)))
    torch.save(vit, tmp_path / "whole.pt")
    assert "zip.pth holds " in complaint(f"timm:test_vit@{tmp_path / 'zip.pth'}")
    assert "plain.bin " in complaint(f"timm:test_vit@{tmp_path / 'plain.bin'}")
    assert "VisionTransformer, which is code" in complaint(f"timm:test_vit@{tmp_path / 'whole.pt'}")
    assert not mark.exists()
    pickle.loads((tmp_path / "plain.bin").read_bytes()).close()
    assert mark.exists()


@pytest.mark.parametrize("content", [[torch.ones(2)], {"epoch": 3}, torch.ones(2), {"state_dict": {"lr": 0.1}}])
def test_a_file_without_named_weights_is_refused(file, content):
    assert "holds no weights by name" in complaint(f"timm:test_vit@{file(content)}")


def test_files_that_are_missing_or_of_another_kind_are_refused(tmp_path):
    (tmp_path / "w.ckpt").write_bytes(b"")
    assert f"{tmp_path / 'w.ckpt'} is neither" in complaint(f"timm:test_vit@{tmp_path / 'w.ckpt'}")
    assert "gone.pth is not a file" in complaint("torchvision:resnet18@gone.pth")
    assert "what follows @ is not a file" in complaint("timm:test_vit@")


# Names


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("timm:test_vitt", "did you mean test_vit"),
        ("timm:test_vit.r160_in2k@untrained", "did you mean test_vit.r160_in1k"),
        ("timm:hf-hub:someone/model", "has no model"),
        ("timm:", "has no model"),
        ("torchvision:resnet19@untrained", "did you mean resnet1"),
        ("torchvision:fcn_resnet50@untrained", "has no model"),
    ],
)
def test_unknown_models_are_refused_with_close_names(text, meant):
    message = complaint(text)
    assert message.startswith(text) and meant in message


@pytest.mark.parametrize("text", ["resnet18", "gone/", "a:b:c", "x" * 5000, "os.path", "a b:c", ":", "hf:gone"])
def test_texts_that_name_no_encoder_are_refused(text):
    assert complaint(text).startswith(text)


def test_without_a_network_the_error_names_the_way_out(monkeypatch):
    def fail(*args, **kwargs):
        print("downloading")
        raise OSError("no network\nat all")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fail, raising=False)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setattr(timm.models._builder, "load_pretrained", fail)
    for text in ("timm:test_vit", "torchvision:resnet18"):
        assert f"can't get its pretrained weights (no network); name a file, {text}@FILE" in complaint(text)


def test_downloaded_pickles_do_not_run_code_either(monkeypatch, tmp_path):
    mark = tmp_path / "ran"
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, path, *_, **__: torch.save(Bomb(mark), path))
    assert "can't get its pretrained weights (Weights only load failed" in complaint("torchvision:resnet18")
    assert not mark.exists() and "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_pretrained_weights_are_loaded_once(monkeypatch, vit):
    asked = []

    def load(model, pretrained_cfg, **kwargs):
        asked.append(pretrained_cfg["tag"])
        model.load_state_dict(vit.state_dict())

    monkeypatch.setattr(timm.models._builder, "load_pretrained", load)
    encoder = open_encoder("timm:test_vit")
    assert asked == ["r160_in1k"] and same(encoder.module, vit, 160)
    assert not same(encoder.untrained(0), vit, 160) and asked == ["r160_in1k"]


def test_a_library_that_is_not_installed_is_named(monkeypatch, hugging_face):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "needs timm, which isn't installed: pip install '.[score]'" in complaint("timm:test_vit@untrained")
    folder, _ = hugging_face()
    monkeypatch.setitem(sys.modules, "transformers", None)
    needs = "transformers, which isn't installed: pip install '.[huggingface]' in the clone of memloc"
    assert complaint(str(folder)).endswith(needs)


# Sizes and pixels


def test_a_network_is_built_for_the_size_that_is_given():
    encoder = open_encoder("timm:test_vit@untrained", size=64)
    assert encoder.size == 64 and encoder.module.pos_embed.shape[1] == 17
    assert encoder.untrained(0)(images(64)).shape == (3, 1000)
    assert open_encoder("torchvision:vit_b_32@untrained", size=64).module.image_size == 64
    convolutional = open_encoder("timm:test_resnet@untrained", size=48)
    assert convolutional.size == 48 and convolutional.module(images(48)).shape == (3, 1000)


def test_a_size_that_does_not_fit_is_refused(vit, file):
    assert "[n, 3, 63, 63]" in complaint("timm:test_vit@untrained", size=63)
    assert "[n, 3, 8, 8]" in complaint("torchvision:squeezenet1_1@untrained", size=8)
    assert "pos_embed [1, 101, 64] instead of" in complaint(f"timm:test_vit@{file(vit.state_dict())}", size=64)
    assert complaint("torchvision:vit_b_32@untrained", size=50).startswith("torchvision:vit_b_32@untrained: can't be")
    assert complaint("timm:test_vit@untrained", size=0).startswith("size: 0")


def test_options_override_what_the_source_says():
    encoder = open_encoder("timm:test_resnet@untrained", size=32, mean=[0.1], std=[0.2, 0.3, 0.4])
    assert (encoder.mean, encoder.std) == ((0.1,), (0.2, 0.3, 0.4))


@pytest.mark.parametrize(
    "options", [{"mean": [0.1, 0.2]}, {"std": [0.0]}, {"std": [1, -1, 1]}, {"mean": [float("nan")]}]
)
def test_impossible_pixels_are_refused(options):
    assert complaint("timm:test_resnet@untrained", size=32, **options).startswith(f"{next(iter(options))}: ")


# Fresh weights, hashes, random numbers


def test_untrained_is_the_same_network_with_weights_of_its_seed(vit, file):
    encoder = open_encoder(f"timm:test_vit@{file(vit.state_dict())}")
    a, again, b = encoder.untrained(3), encoder.untrained(3), encoder.untrained(4)
    assert not a.training and a.state_dict().keys() == vit.state_dict().keys()
    assert same(a, again, 160) and not same(a, b, 160) and not same(a, vit, 160)
    assert same(encoder.module, vit, 160)


def test_untrained_by_name_is_the_same_in_every_process():
    torch.manual_seed(1)
    first = open_encoder("timm:test_resnet@untrained", size=32)
    torch.manual_seed(2)
    assert open_encoder("timm:test_resnet@untrained", size=32).sha256 == first.sha256


def test_the_hash_follows_the_weights_alone(vit, file):
    state = vit.state_dict()
    one = open_encoder(f"timm:test_vit@{file(state, 'a.pth')}").sha256
    nested = {"model": {f"module.{n}": t for n, t in reversed(state.items())}}
    assert open_encoder(f"timm:test_vit@{file(nested, 'b.pth')}").sha256 == one
    vit.blocks[0].norm1.bias.data[0] += 1e-6
    assert open_encoder(f"timm:test_vit@{file(vit.state_dict(), 'c.pth')}").sha256 != one


def test_the_caller_s_random_numbers_are_untouched(vit, file, hugging_face):
    folder, _ = hugging_face()
    path = file({n: t for n, t in vit.state_dict().items() if not n.startswith("head.")})
    before = torch.get_rng_state()
    for text in (f"timm:test_vit@{path}", "torchvision:squeezenet1_1@untrained", str(folder)):
        open_encoder(text).untrained(0)
    assert torch.equal(torch.get_rng_state(), before)


def test_libraries_are_silent(hugging_face, capfd, caplog):
    folder, _ = hugging_face("classifier")
    open_encoder(str(folder)).untrained(0)
    open_encoder("torchvision:googlenet@untrained")
    assert capfd.readouterr() == ("", "") and not caplog.records


# Folders in Hugging Face's format

PIXELS = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "size": {"height": 32, "width": 32}}


@pytest.fixture
def hugging_face(tmp_path):
    """A factory of (a folder of transformers, its model): a tiny ViT, one without a pooler, MAE or ResNet."""

    def make(kind="vit", *, pixels=PIXELS):
        transformers = pytest.importorskip("transformers")
        torch.manual_seed(2)
        tiny = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        tiny |= {"image_size": 32, "patch_size": 8}
        maps = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
        model = {
            "vit": lambda: transformers.ViTModel(transformers.ViTConfig(**tiny)),
            "classifier": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**tiny)),
            "mae": lambda: transformers.ViTMAEModel(transformers.ViTMAEConfig(**tiny)),
            "resnet": lambda: transformers.ResNetModel(transformers.ResNetConfig(**maps)),
        }[kind]()
        config = model.config
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config.to_dict() | {"architectures": [type(model).__name__]}))
        save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
        if pixels:
            (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
        return folder, model.eval()

    return make


@pytest.mark.parametrize("prefix", ["", "hf:"])
def test_a_folder_of_transformers_gives_the_pooled_output(hugging_face, prefix):
    folder, model = hugging_face()
    encoder = open_encoder(f"{prefix}{folder}")
    assert (encoder.size, encoder.mean, encoder.std) == (32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert same(encoder.module, lambda x: model(x).pooler_output, 32) and encoder.absent == ()
    # No name inside changes, and weights drawn anew come out the same way.
    assert [n for n, _ in encoder.module.named_modules()] == [n for n, _ in model.named_modules()]
    a, b = encoder.untrained(0), encoder.untrained(1)
    assert a(images(32)).shape == (3, 16) and not same(a, b, 32) and same(a, encoder.untrained(0), 32)


def test_feature_maps_are_pooled_and_flattened(hugging_face):
    folder, model = hugging_face("resnet", pixels=PIXELS | {"crop_size": {"height": 40, "width": 40}})
    encoder = open_encoder(str(folder))
    assert encoder.size == 40
    assert same(encoder.module, lambda x: model(x).last_hidden_state.mean((2, 3)), 40)


def test_feature_maps_and_tokens_are_averaged_without_a_pooled_output():
    maps = images(4)
    assert torch.equal(_pool(None, None, SimpleNamespace(last_hidden_state=maps)), maps.mean((2, 3)))
    tokens = maps.flatten(2)
    assert torch.equal(_pool(None, None, SimpleNamespace(last_hidden_state=tokens, pooler_output=None)), tokens.mean(1))


def test_a_masked_autoencoder_sees_every_patch(hugging_face):
    folder, _ = hugging_face("mae")
    module = open_encoder(str(folder)).module
    assert same(module, module, 32)


@pytest.mark.parametrize(
    ("pixels", "size"),
    [
        ({"size": 24}, 24),
        ({"size": [3, 24, 24]}, 24),
        ({"size": {"shortest_edge": 28}}, 28),
        ({"size": {"shortest_edge": 28}, "crop_size": 24}, 24),
        ({"size": 28, "crop_size": 24, "do_center_crop": False}, 28),
    ],
)
def test_the_size_of_a_folder_is_that_of_its_crops(hugging_face, pixels, size):
    assert open_encoder(str(hugging_face("resnet", pixels=PIXELS | pixels)[0])).size == size


def test_without_a_pooler_tokens_are_averaged(hugging_face):
    folder, model = hugging_face("classifier")
    encoder = open_encoder(str(folder))
    assert encoder.absent == ("pooler",) and not any("pooler" in n for n, _ in encoder.module.named_modules())
    assert same(encoder.module, lambda x: model.vit(x).last_hidden_state.mean(1), 32)
    assert encoder.untrained(0)(images(32)).shape == (3, 16)


def test_a_folder_without_pixel_statistics_needs_options(hugging_face):
    folder, _ = hugging_face(pixels=None)
    assert "give --mean" in complaint(str(folder))
    encoder = open_encoder(str(folder), mean=[0.5], std=[0.5])
    assert encoder.size == 32 and encoder.mean == (0.5,)


def test_folders_that_cannot_be_opened_are_refused(hugging_face):
    folder, model = hugging_face()
    assert "doesn't match model" in complaint(str(folder), size=40)
    weights = folder / "model.safetensors"
    state = model.state_dict()
    save_file({n: t for n, t in state.items() if "layers.1" not in n}, weights, metadata={"format": "pt"})
    assert "lack layers.1." in complaint(str(folder))
    save_file(state | {"layernorm.bias": torch.ones(3)}, weights, metadata={"format": "pt"})
    assert "other shapes than its config.json says (layernorm.bias)" in complaint(str(folder))
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "transformers can't open it (" in complaint(str(folder))
    weights.unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert "no model.safetensors" in complaint(str(folder))
    weights.write_bytes(b"")
    (folder / "config.json").write_text("{")
    assert f"{folder / 'config.json'}: not a JSON file" in complaint(str(folder))
    (folder / "config.json").unlink()
    assert "no config.json" in complaint(str(folder))


def test_code_in_a_folder_is_not_run(hugging_face):
    folder, _ = hugging_face()
    mark = folder / "ran"
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w')\n")
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    assert "no model_type 'own', and code in a folder isn't run" in complaint(str(folder))
    config |= {"model_type": "vit", "hidden_size": 16}
    (folder / "config.json").write_text(json.dumps(config))
    complaint(str(folder))
    assert not mark.exists()


@pytest.fixture
def timm_folder(tmp_path):
    torch.manual_seed(3)
    model = timm.create_model("test_vit", num_classes=5, img_size=64).eval()
    pixels = {"input_size": [3, 64, 64], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "classifier": "head"}
    config = {
        "architecture": "test_vit",
        "num_classes": 5,
        "model_args": {"img_size": 64},
        "pretrained_cfg": pixels | {"num_classes": 5},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    return tmp_path, model


def test_a_folder_of_timm_is_that_model(timm_folder):
    folder, model = timm_folder
    encoder = open_encoder(str(folder))
    assert (encoder.size, encoder.mean, encoder.std) == (64, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert same(encoder.module, model, 64)
    assert encoder.untrained(0)(images(64)).shape == (3, 5)


def test_a_folder_of_an_unknown_architecture_is_refused(timm_folder):
    folder, _ = timm_folder
    (folder / "config.json").write_text(json.dumps({"architecture": "test_vitt"}))
    assert f"{folder}: timm has no model 'test_vitt'; did you mean test_vit" in complaint(str(folder))
    (folder / "config.json").write_text(json.dumps({"architecture": "test_vit", "model_args": {"depth": "many"}}))
    assert complaint(str(folder)).startswith(f"{folder}: can't be built")


# Encoders of memloc

NETWORK = {"width": 0.125, "residual": True}
SETTINGS = {"architecture": "resnet9", "network": NETWORK, "recipe": {"augmentation": "mild"}}
INPUT = {"mean": [0.4], "std": [0.0], "image_size": 16, "channels": 1}


def test_an_encoder_of_memloc_opens_without_the_libraries(network, tmp_path, monkeypatch):
    for name in ("timm", "torchvision", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    model = network()
    checkpoint.save(model.state_dict(), {"settings": SETTINGS, "input": INPUT}, tmp_path / "w.safetensors")
    encoder = open_encoder(str(tmp_path / "w.safetensors"))
    assert (encoder.size, encoder.mean, encoder.std) == (16, (0.4,), (1.0,))
    assert encoder.layers == choose_layers("resnet9", NETWORK, ["*"]) and encoder.augmentation == "mild"
    assert same(encoder.module, model, 16)
    assert same(encoder.untrained(0), encoder.untrained(0), 16) and not same(encoder.untrained(0), model, 16)


def test_a_transformer_of_memloc_opens_with_its_layers_and_the_size_it_was_trained_on(tmp_path):
    # Trained before there was an option width.
    options = {"patch": 8, "depth": 2}
    torch.manual_seed(0)
    model = build("vit-tiny", options | {"width": 1}, image_size=32)
    settings = SETTINGS | {"architecture": "vit-tiny", "network": options}
    checkpoint.save(
        model.state_dict(), {"settings": settings, "input": INPUT | {"image_size": 32}}, tmp_path / "w.safetensors"
    )
    encoder = open_encoder(str(tmp_path / "w.safetensors"))
    assert encoder.size == 32
    places = [f"{i}.{place}" for i in (1, 2) for place in ("att", "res-att", "fc", "res-fc")]
    assert [layer.name for layer in encoder.layers] == [*places, "output"]
    assert same(encoder.module, model.eval(), 32)


def test_the_input_of_an_encoder_of_memloc_may_lie_beside_it(network, tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoint.save(network().state_dict(), {"settings": SETTINGS}, path)
    assert "give --size" in complaint(str(path))
    assert "give --mean" in complaint(str(path), size=16)
    assert open_encoder(str(path), size=16, mean=[0.5], std=[0.5]).size == 16
    (tmp_path / "recipe.json").write_text(json.dumps({"dataset": INPUT | {"std": [0.3]}}))
    encoder = open_encoder(str(path))
    assert (encoder.size, encoder.mean, encoder.std) == (16, (0.4,), (0.3,))


def test_files_that_memloc_did_not_train_are_refused(network, tmp_path):
    path, state = tmp_path / "w.safetensors", network().state_dict()
    assert "no such file" in complaint(str(path))
    save_file(state, path)
    assert f"timm:NAME@{path}" in complaint(str(path))
    checkpoint.save(state, {"history": []}, path)
    assert "doesn't say which encoder" in complaint(str(path))
    wider = SETTINGS | {"network": NETWORK | {"width": 0.25}}
    checkpoint.save(state, {"settings": wider, "input": INPUT}, path)
    message = complaint(str(path))
    assert "belongs to another encoder" in message and "delete" not in message
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert "delete" not in complaint(str(path))
    path.write_bytes(path.read_bytes()[:500])
    assert "not a complete safetensors file" in complaint(str(path))


# Functions of the user's

CODE = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, out=lambda x: x.mean((2, 3))):
        super().__init__()
        self.conv, self.drop, self.out = nn.Conv2d(3, 4, 3, dtype=torch.float64), nn.Dropout(), out

    def forward(self, x):
        return self.out(self.drop(self.conv(x)))

class Scaled(Own):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.scale * super().forward(x)

def model(): return Own()
def scaled(): return Scaled()
def maps(): return Own(lambda x: x)
def pair(): return Own(lambda x: (x, x))
def one(): return Own(lambda x: x.mean((0, 2, 3), keepdim=True)[:, :, 0, 0])
def fails(): raise RuntimeError("no weights\\nat all")
def leaves(): raise SystemExit(3)
def needs(name): return Own()
number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "owncode").mkdir()
    (tmp_path / "owncode" / "models.py").write_text(CODE)
    (tmp_path / "owncode" / "broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "owncode.models"
    for name in [name for name in sys.modules if name.split(".")[0] == "owncode"]:
        del sys.modules[name]


def test_a_function_below_the_current_folder_is_called(own):
    before = torch.get_rng_state()
    encoder = open_encoder(f"{own}:model")
    assert torch.equal(torch.get_rng_state(), before)
    assert (encoder.size, encoder.mean, encoder.std) == (224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert not encoder.module.training
    conv = encoder.module.conv
    assert conv.weight.dtype == torch.float32 and same(encoder.module, lambda x: conv(x).mean((2, 3)), 224)


def test_a_function_has_an_untrained_null_where_all_modules_reset_themselves(own):
    encoder = open_encoder(f"{own}:model")
    trained = {name: weights.clone() for name, weights in encoder.module.state_dict().items()}
    one, again, other = (encoder.untrained(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(encoder.module.state_dict()[name], trained[name]) for name in trained)
    assert torch.equal(one["conv.weight"], again["conv.weight"]) and one["conv.weight"].dtype == torch.float32
    assert len({tuple(state["conv.weight"].flatten().tolist()) for state in (one, other, trained)}) == 3
    encoder = open_encoder(f"{own}:scaled")
    assert encoder.untrained is None
    assert "it has no untrained null: Scaled has weights and no reset_parameters()" in encoder.remarks


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "has no function gone"),
        ("number", "has no function number"),
        ("fails", "calling it failed (RuntimeError: no weights)"),
        ("leaves", "calling it failed (SystemExit: 3)"),
        ("needs", "calling it failed (TypeError: "),
        ("maps", "gives [3, 4, 222, 222] for three images"),
        ("pair", "gives tuple"),
        ("one", "gives [1, 4] for three images"),
        ("torch", "has no function torch"),
        ("nn.Conv2d", "no such encoder"),
        ("os:getcwd", "returned str; it must return a torch.nn.Module"),
        ("owncode.broken:f", "importing owncode.broken failed (ZeroDivisionError: division by zero)"),
        ("owncode.gone:f", "importing owncode.gone failed (ModuleNotFoundError: "),
    ],
)
def test_functions_that_give_no_encoder_are_refused(own, name, message):
    assert message in complaint(name if ":" in name else f"{own}:{name}")


@pytest.mark.parametrize(
    "stated",
    [
        {"attn_implementation": "someone/kernel"},
        {"_attn_implementation": "someone/kernel:function"},
        {"_attn_implementation_internal": "someone/kernel"},
        {"vision_config": {"attn_implementation": "flash_attention_2"}},
    ],
)
def test_code_that_a_config_names_is_not_fetched(hugging_face, stated):
    folder, _ = hugging_face("vit")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attn_implementation": "sdpa"}))
    open_encoder(str(folder))
    (folder / "config.json").write_text(json.dumps(config | stated))
    assert "foreign code that isn't run; remove it" in complaint(str(folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": ["x"]}, "doesn't say which encoder"),
        ({"input": {"image_size": 16, "mean": "x", "std": [1]}}, "mean of its pixels: 'x' isn't one or three numbers"),
        ({"input": {"image_size": 16, "mean": [None], "std": [1]}}, "mean of its pixels: [None] isn't"),
        ({"input": {"image_size": 16, "mean": [1], "std": 5}}, "std of its pixels: 5 isn't"),
        ({"recipe": ["x"]}, "doesn't say which encoder"),
        ({"recipe": {"augmentation": "../../x"}}, "doesn't say which encoder"),
    ],
)
def test_odd_values_in_a_checkpoint_are_one_line(tmp_path, change, message):
    state = build("resnet9", NETWORK, image_size=16).state_dict()
    about = {"settings": SETTINGS | {"recipe": change.get("recipe", {})}, "input": change.get("input", INPUT)}
    checkpoint.save(state, about, tmp_path / "w.safetensors")
    assert message in complaint(str(tmp_path / "w.safetensors"))
