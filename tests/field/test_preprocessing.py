"""What a folder says of its images, held against what transformers' own processors make of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from memloc.models.network import Normalise
from memloc.scoring.encoders import OpenEncoder, open_encoder
from tests.builders.complaints import complaint

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32}
TINY |= {"patch_size": 8}
PLAIN = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25], "size": {"height": 32, "width": 32}}

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(**says: Any) -> Path:
        torch.manual_seed(0)
        model = transformers.ViTModel(transformers.ViTConfig(**TINY))
        (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(PLAIN | says))
        save_file(model.state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})
        return tmp_path

    return make


def pixels() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8))


@torch.no_grad()
def scored(encoder: OpenEncoder) -> Tensor:
    """What memloc makes of images of the right size."""
    normalise = Normalise({"mean": [*encoder.mean], "std": [*encoder.std]})
    return encoder.module(normalise(pixels().float().div(255)))


@torch.no_grad()
def reference(path: Path, processor: str) -> Tensor:
    """What transformers makes of them."""
    process = getattr(transformers, processor).from_pretrained(path)
    images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in pixels()]
    model: nn.Module = transformers.ViTModel.from_pretrained(path)
    return model.eval()(process(images, return_tensors="pt")["pixel_values"]).pooler_output


@pytest.mark.parametrize(
    ("processor", "says"),
    [
        ("ViTImageProcessor", {}),
        ("ViTImageProcessor", {"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]}),
        ("ViTImageProcessor", {"rescale_factor": 1 / 128}),
        ("ViTImageProcessor", {"do_rescale": False, "image_mean": [123, 116, 103], "image_std": [58, 57, 57]}),
        ("ViTImageProcessor", {"do_normalize": False}),
        ("ViTImageProcessor", {"do_normalize": False, "do_rescale": False}),
        ("ViTImageProcessor", {"image_mean": 0.5, "image_std": 0.5}),
        ("EfficientNetImageProcessor", {"rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False,
                                        "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}),
        ("EfficientNetImageProcessor", {"include_top": True}),
        ("EfficientNetImageProcessor", {}),
        ("MobileViTImageProcessor", {"do_center_crop": False, "do_flip_channel_order": True}),
        ("MobileViTImageProcessor", {"do_center_crop": False}),
        ("MobileViTImageProcessor", {"do_center_crop": False, "do_flip_channel_order": False}),
    ],
)  # fmt: skip
def test_values_of_pixels_are_those_of_the_processor(folder: Folder, processor: str, says: dict[str, Any]) -> None:
    path = folder(image_processor_type=processor, **says)
    encoder = open_encoder(str(path))
    assert torch.allclose(scored(encoder), reference(path, processor), atol=1e-4)
    flips = processor == "MobileViTImageProcessor" and says.get("do_flip_channel_order", True)
    assert encoder.channels == ("BGR" if flips else "RGB") and f" {encoder.channels}" in encoder.pixels


def test_a_processor_may_be_written_in_the_newer_file(folder: Folder) -> None:
    path = folder()
    (path / "preprocessor_config.json").unlink()
    says = {"image_processor": PLAIN | {"rescale_factor": 1 / 128}, "processor_class": "Own"}
    (path / "processor_config.json").write_text(json.dumps(says))
    encoder = open_encoder(str(path))
    assert encoder.mean == pytest.approx([0.4 * 128 / 255, 0.5 * 128 / 255, 0.6 * 128 / 255])
    assert "processor_config.json" in encoder.pixels
    says["image_processor"] |= {"do_grayscale": True}
    (path / "processor_config.json").write_text(json.dumps(says))
    assert "do_grayscale" in complaint(open_encoder, str(path))


def test_untrained_weights_get_the_same_order_of_channels(folder: Folder) -> None:
    path = folder(image_processor_type="MobileViTImageProcessor", do_center_crop=False, do_flip_channel_order=True)
    flipped = open_encoder(str(path))
    plain = open_encoder(str(folder(do_normalize=False)))
    images = torch.randn(2, 3, 32, 32)
    assert flipped.untrained is not None and plain.untrained is not None
    with torch.no_grad():
        assert torch.equal(flipped.untrained(1)(images), plain.untrained(1)(images.flip(1)))


def test_a_plain_folder_has_exactly_the_numbers_that_it_says(folder: Folder) -> None:
    encoder = open_encoder(str(folder(do_rescale=True, rescale_factor=0.00392156862745098)))
    assert (encoder.mean, encoder.std) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


@pytest.mark.parametrize(
    ("says", "messages"),
    [
        ({"do_pad": True, "pad_size": {"height": 40, "width": 40}}, ["do_pad"]),
        ({"do_grayscale": True}, ["do_grayscale"]),
        ({"do_color_quantize": True}, ["do_color_quantize"]),
        ({"do_whiten": True}, ["do_whiten"]),
        ({"do_affine_transform": True}, ["do_affine_transform"]),
        ({"do_pan_and_scan": True}, ["do_pan_and_scan"]),
        ({"do_split_image": True}, ["do_split_image"]),
        ({"gamma": 2.2}, ["gamma"]),
        ({"clusters": [[0, 0, 0]]}, ["clusters"]),
        ({"do_flip_channel_order": True}, ["do_flip_channel_order", "image_mean"]),
        ({"size": {"height": 32, "width": 64}}, ["size", "square"]),
        ({"do_center_crop": True, "crop_size": {"height": 32, "width": 40}}, ["crop_size", "square"]),
        ({"size": {"longest_edge": 32}}, ["size"]),
        ({"rescale_factor": 0}, ["rescale_factor"]),
        ({"rescale_factor": "1/255"}, ["rescale_factor"]),
        ({"rescale_factor": 1}, ["rescale_factor"]),
        ({"do_rescale": "no"}, ["do_rescale"]),
        ({"rescale_offset": "no"}, ["rescale_offset"]),
        ({"image_mean": [123.675, 116.28, 103.53]}, ["mean", "0.485 0.456 0.406"]),
        ({"image_std": [58.395, 57.12, 57.375]}, ["std", "0.229 0.224 0.225"]),
        ({"image_std": [0.2, 0, 0.2]}, ["std"]),
        ({"image_std": [1e-9] * 3}, ["std"]),
        ({"image_mean": [0.5, 0.5]}, ["mean"]),
        ({"image_mean": [-0.5] * 3}, ["mean"]),
        ({"image_processor_type": "OwnImageProcessor", "auto_map": {"AutoImageProcessor": "own.Own"}}, ["OwnImage"]),
    ],
)  # fmt: skip
def test_what_changes_pixels_otherwise_is_refused_by_name(
    folder: Folder, says: dict[str, Any], messages: list[str]
) -> None:
    message = complaint(open_encoder, str(folder(**says)))
    assert all(part in message for part in messages)


def test_keys_that_change_no_pixel_of_an_rgb_square_are_fine(folder: Folder) -> None:
    says: dict[str, Any] = {
        "do_convert_rgb": True,
        "do_pad": False,
        "do_reduce_labels": False,
        "resample": 2,
        "do_grayscale": None,
    }
    encoder = open_encoder(
        str(folder(**says, feature_extractor_type="ViTFeatureExtractor", _valid_processor_keys=["a"]))
    )
    assert encoder.mean == (0.4, 0.5, 0.6)


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ({"resample": 3}, "bicubic"),
        ({"resample": 1}, "lanczos"),
        ({"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": 32}, "40"),
        ({"crop_pct": 0.875, "size": {"shortest_edge": 32}}, "crop_pct 0.875"),
        ({"size": {"height": 32, "width": 32}}, "squash"),
        ({"do_resize": False}, "do_resize"),
        ({"feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": None, "size": 32}, "bicubic"),
    ],
)
def test_cuts_and_filters_of_the_source_that_are_not_taken_are_said(
    folder: Folder, says: dict[str, Any], said: str
) -> None:
    assert said in open_encoder(str(folder(**says))).pixels


def test_nothing_is_said_where_the_source_does_the_same(folder: Folder) -> None:
    for size in ({"shortest_edge": 32}, 32):
        says = {"image_processor_type": "LevitImageProcessor", "do_center_crop": False, "resample": 2, "size": size}
        assert "differs" not in open_encoder(str(folder(**says))).pixels


def test_what_timm_says_of_cuts_is_said() -> None:
    taken = open_encoder("timm:test_convnext@untrained", size=32).pixels
    config = timm.create_model("test_convnext").pretrained_cfg
    assert f"crop_pct {config['crop_pct']}" in taken and config["interpolation"] in taken and "as timm says" in taken


def timm_folder(path: Path, **says: Any) -> Path:
    pixels = {"input_size": [3, 32, 32], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "num_classes": 1000}
    config = {"architecture": "test_resnet", "pretrained_cfg": pixels | says}
    (path / "config.json").write_text(json.dumps(config))
    save_file(timm.create_model("test_resnet").state_dict(), path / "model.safetensors")
    return path


def test_a_folder_of_timm_says_what_it_takes(tmp_path: Path) -> None:
    taken = open_encoder(str(timm_folder(tmp_path, crop_pct=0.9, interpolation="nearest", crop_mode="squash"))).pixels
    assert all(said in taken for said in ("0.1 0.2 0.3", "crop_pct 0.9", "nearest", "squash"))


@pytest.mark.parametrize(
    ("says", "messages"),
    [
        ({"input_size": [1, 32, 32]}, ["input_size"]),
        ({"input_size": [3, 32, 64]}, ["input_size"]),
        ({"mean": [123.675, 116.28, 103.53]}, ["0.485 0.456 0.406"]),
        ({"do_flip": True}, ["do_flip"]),
        ({"channel_order": "bgr"}, ["channel_order"]),
    ],
)
def test_a_folder_of_timm_with_other_pixels_is_refused(
    tmp_path: Path, says: dict[str, Any], messages: list[str]
) -> None:
    message = complaint(open_encoder, str(timm_folder(tmp_path, **says)))
    assert all(part in message for part in messages)


# What the command line says


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        ({"mean": [123.675, 116.28, 103.53]}, ["mean", "--mean 0.485 0.456 0.406"]),
        ({"mean": [0.485, 0.456, 1.5]}, ["mean"]),
        ({"mean": [127.5]}, ["--mean 0.5"]),
        ({"std": [58.395, 57.12, 57.375]}, ["std", "--std 0.229 0.224 0.225"]),
        ({"std": [0.0009]}, ["std"]),
        ({"mean": [-0.1]}, ["mean"]),
        ({"mean": [1e9]}, ["mean"]),
    ],
)
def test_numbers_that_are_not_of_pixels_up_to_1_are_refused_with_the_right_ones(
    options: dict[str, Any], messages: list[str]
) -> None:
    message = complaint(open_encoder, "timm:test_resnet@untrained", size=32, **options)
    assert all(part in message for part in messages)


def test_numbers_at_the_bounds_are_taken_and_said_to_be_given() -> None:
    encoder = open_encoder("timm:test_resnet@untrained", size=32, mean=[0], std=[1])
    assert (encoder.mean, encoder.std) == ((0.0,), (1.0,))
    assert (
        "32 pixels (given)" in encoder.pixels
        and "mean 0 (given)" in encoder.pixels
        and "std 1 (given)" in encoder.pixels
    )


def test_networks_of_torchvision_that_transform_their_input_do_so_with_weights_from_a_file(tmp_path: Path) -> None:
    # Their pretrained builders set transform_input; a state_dict doesn't hold it.
    models = torchvision.models
    torch.manual_seed(0)
    model = models.get_model("googlenet", weights=None, transform_input=True, init_weights=False)
    for tensor in model.parameters():
        if tensor.ndim == 4:
            nn.init.kaiming_normal_(tensor)
    model.eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    encoder = open_encoder(f"torchvision:googlenet@{tmp_path / 'w.pth'}", size=64)
    images = torch.randn(2, 3, 64, 64) + torch.randn(2, 3, 1, 1)
    with torch.no_grad():
        right = model(images)
        assert torch.equal(encoder.module(images), right)
        model.transform_input = False
        assert not torch.allclose(model(images), right, rtol=1e-3)
    assert any("transform_input" in line for line in encoder.remarks)
    assert encoder.untrained is not None and vars(encoder.untrained(0))["transform_input"] is True


@pytest.mark.parametrize("lacks", [["mean"], ["mean", "std"], ["input_size"]])
def test_what_timm_assumes_is_not_said_to_be_in_the_file(tmp_path: Path, lacks: list[str]) -> None:
    says = {"input_size": [3, 160, 160], "mean": [0.5] * 3, "std": [0.5] * 3}
    path = timm_folder(tmp_path, **says)
    assert "as config.json says;" in open_encoder(str(path)).pixels
    config = json.loads((path / "config.json").read_text())
    for key in lacks:
        config["pretrained_cfg"].pop(key)
    (path / "config.json").write_text(json.dumps(config))
    named = ", ".join("size" if key == "input_size" else key for key in lacks)
    assert f"but {named} as timm assumes" in open_encoder(str(path), size=160).pixels


@pytest.mark.parametrize("side", [0, -32, 10**30, True])
@pytest.mark.parametrize("key", ["size", "crop_size"])
def test_sides_that_no_image_has_are_named(folder: Folder, key: str, side: int) -> None:
    message = complaint(open_encoder, str(folder(**{key: {"height": side, "width": side}})))
    assert f"{key} in preprocessor_config.json is {str(side)[:20]}" in message and "10000 pixels" in message


def test_json_that_no_two_readers_read_alike_is_one_line(folder: Folder) -> None:
    path = folder(image_mean=[True, False, True])
    assert "image_mean in preprocessor_config.json" in complaint(open_encoder, str(path))
    for name in ("preprocessor_config.json", "config.json"):
        right = (path / name).read_text()
        for text, said in ((f'{{"size": 1, {right[1:]}', "twice"), ('{"a":' * 100_000 + "1" + "}" * 100_000, "deep")):
            (path / name).write_text(text if said == "deep" or name[0] == "p" else f'{{"image_size": 1, {right[1:]}')
            message = complaint(open_encoder, str(path))
            assert name in message and said in message
        (path / name).write_text(right if name[0] == "c" else json.dumps(PLAIN))
