"""Tiny vision-language models of every family, saved as the folders that real ones come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from memloc.charts.models import build
from memloc.charts.models.build import END, IMAGE, PAD, Shape, tokenizer
from memloc.charts.reading import open_suite

WIDTH = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2}
TEXT = {**WIDTH, "num_hidden_layers": 2, "num_key_value_heads": 2, "max_position_embeddings": 512}
EXTRA = {
    **{"video_token": "<video>", "start_image_token": "<start>", "end_image_token": "<end>"},
    **{"context_image_token": IMAGE, "bos_token": "<start>"},
}
SQUARE = {"height": 32, "width": 32}


def texts(suite: Path) -> list[str]:
    opened = open_suite(suite)
    return list(build.texts(opened, opened.items))


def write_model(family: str, suite: Path, folder: Path, *, seed: int = 0) -> Path:
    """An untrained model of a family, whose tokenizer knows a suite's words."""
    if family == "llava":
        build.save(*build.build(texts(suite), Shape(width=32, tower=2, decoder=2, heads=2), seed=seed), folder)
        return folder
    words = tokenizer(texts(suite), EXTRA)
    torch.manual_seed(seed)
    ids = {token: words.convert_tokens_to_ids(token) for token in EXTRA.values()}
    model, processor = FAMILIES[family](words, ids)
    build.save(model, processor, folder)
    return folder


def _ends(words: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(words),
        "pad_token_id": words.convert_tokens_to_ids(PAD),
        "eos_token_id": words.convert_tokens_to_ids(END),
        "bos_token_id": words.convert_tokens_to_ids("<start>"),
    }


def _onevision(words: Any, ids: dict[str, int]) -> tuple[Any, Any]:
    grid = [[32, 32], [64, 64]]
    config = transformers.LlavaOnevisionConfig(
        vision_config=transformers.SiglipVisionConfig(
            **WIDTH, num_hidden_layers=2, image_size=32, patch_size=8
        ).to_dict(),
        text_config=transformers.Qwen2Config(**TEXT, **_ends(words)).to_dict(),
        image_token_id=ids[IMAGE],
        video_token_id=ids["<video>"],
        image_grid_pinpoints=grid,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    processor = transformers.LlavaOnevisionProcessor(
        image_processor=transformers.LlavaOnevisionImageProcessor(size=SQUARE, image_grid_pinpoints=grid),
        video_processor=transformers.LlavaOnevisionVideoProcessor(size=SQUARE),
        tokenizer=words,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
    )
    return transformers.LlavaOnevisionForConditionalGeneration(config), processor


def _internvl(words: Any, ids: dict[str, int]) -> tuple[Any, Any]:
    config = transformers.InternVLConfig(
        vision_config=transformers.InternVLVisionConfig(
            **WIDTH, num_hidden_layers=2, image_size=[32, 32], patch_size=[4, 4]
        ),
        text_config=transformers.Qwen2Config(**TEXT, **_ends(words)),
        image_token_id=ids[IMAGE],
        image_seq_length=16,
        tie_word_embeddings=False,
    )
    processor = transformers.InternVLProcessor(
        image_processor=transformers.GotOcr2ImageProcessor(size=SQUARE, crop_to_patches=False),
        video_processor=transformers.InternVLVideoProcessor(size=SQUARE),
        tokenizer=words,
        image_seq_length=16,
    )
    return transformers.InternVLForConditionalGeneration(config), processor


def _mllama(words: Any, ids: dict[str, int]) -> tuple[Any, Any]:
    config = transformers.MllamaConfig(
        vision_config=transformers.MllamaVisionConfig(
            hidden_size=32,
            intermediate_size=48,
            attention_heads=2,
            num_hidden_layers=2,
            num_global_layers=1,
            vision_output_dim=64,
            image_size=32,
            patch_size=8,
            max_num_tiles=1,
            supported_aspect_ratios=[[1, 1]],
            intermediate_layers_indices=[0],
        ),
        text_config=transformers.MllamaTextConfig(**TEXT, **_ends(words), cross_attention_layers=[1]),
        image_token_index=ids[IMAGE],
    )
    model = transformers.MllamaForConditionalGeneration(config)
    for name, parameter in model.named_parameters():
        if "gate" in name and "proj" not in name:
            torch.nn.init.constant_(parameter, 1.0)
    processor = transformers.MllamaProcessor(
        image_processor=transformers.MllamaImageProcessor(size=SQUARE, max_image_tiles=1), tokenizer=words
    )
    return model, processor


def _qwen(words: Any, ids: dict[str, int]) -> tuple[Any, Any]:
    config = transformers.Qwen2VLConfig(
        vision_config={
            **{"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2},
            **{"patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2},
        },
        text_config={
            **{**TEXT, **_ends(words)},
            "max_window_layers": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
        },
        image_token_id=ids[IMAGE],
        video_token_id=ids["<video>"],
        vision_start_token_id=ids["<start>"],
        vision_end_token_id=ids["<end>"],
    )
    pixels = {"patch_size": 8, "merge_size": 2, "temporal_patch_size": 2, "min_pixels": 1024, "max_pixels": 4096}
    processor = transformers.Qwen2VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(**pixels),
        video_processor=transformers.Qwen2VLVideoProcessor(**pixels),
        tokenizer=words,
    )
    return transformers.Qwen2VLForConditionalGeneration(config), processor


FAMILIES = {"onevision": _onevision, "internvl": _internvl, "mllama": _mllama, "qwen": _qwen}
EVERY = ("llava", *FAMILIES)
