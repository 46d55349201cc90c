"""The model that is trained here: its words, what its tower learns, and that training again gives the same."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from memloc.charts.models import build, open_model
from memloc.charts.reading import kind_of
from tests.builders.complaints import complaint
from tests.charts.conftest import SHAPE


def test_words_come_back_as_they_were():
    words = build.tokenizer([" Where is the red square?", " (3, 12.5)"])
    for text in ("(3, 12.5)", "Where is the red square?", "the (5, 2) 31"):
        ids = words(f" {text}")["input_ids"]
        assert words.decode(ids).strip() == text
    # Digits are words of their own, so every number can be said that has known ones.
    assert len(words(" 12.5")["input_ids"]) == 5 and words.unk_token_id in words(" zebra")["input_ids"]


def test_patches_are_labelled_where_values_lie(suite):
    charts = [name for name, row in suite.charts.items() if row["n"] == 2][:3]
    labels, kinds = build.patch_labels(suite, charts, 9)
    assert kinds == ["blue square", "red square"]
    for row, name in enumerate(charts):
        for point in suite.charts[name]["points"]:
            # Cells are patches.
            place = (8 - point["y"]) * 9 + point["x"]
            assert labels[row, place].tolist() == [1 + kinds.index(kind_of(point)), point["x"], point["y"]]
        assert (labels[row, :, 0] == 0).sum() == 79 and (labels[row, :, 1] == build.IGNORED).sum() == 79


def test_training_again_gives_the_same_weights_and_another_seed_others(single, tmp_path):
    items = single.choose(tasks=["position"], split="train")[:12]

    def weights(name, **options):
        short = build.Schedule(3, batch=6)
        build.train(single, items, tmp_path / name, shape=SHAPE, tower=short, decoder=short, **options)
        return load_file(tmp_path / name / "model.safetensors")

    one, same, other = weights("one"), weights("same"), weights("other", seed=1)
    free = weights("free", frozen=False)
    assert all((one[key] == same[key]).all() for key in one)
    assert any((one[key] != other[key]).any() for key in one)
    tower = [key for key in one if "vision_tower.encoder" in key]
    assert any((one[key] != free[key]).any() for key in tower)


def test_a_rate_that_is_too_high_is_one_line(single, tmp_path):
    items = single.choose(tasks=["position"], split="train")[:4]
    steep = build.Schedule(6, batch=4, rate=1e30)
    said = complaint(build.train, single, items, tmp_path / "m", shape=SHAPE, tower=steep, decoder=build.Schedule(0))
    assert said.startswith("rate: 1e+30: the loss is no number") and not (tmp_path / "m").exists()


def test_positions_begin_as_different_waves():
    waves = build._waves(8, 32).numpy()
    near = np.linalg.norm(waves[:, None] - waves[None], axis=-1)
    assert waves.shape == (64, 32) and near[~np.eye(64, dtype=bool)].min() > 0.3
    # Neighbours are nearer than others.
    assert near[0, 1] == pytest.approx(near[0, 8]) and near[0, 1] < near[0, 63]


def test_a_connector_learns_to_name_marks_before_a_new_model_is_asked(suite, tmp_path):
    items = suite.choose(tasks=["position"], split="train")
    build.train(
        suite, items, tmp_path / "m", shape=SHAPE, tower=build.Schedule(0), decoder=build.Schedule(1, rate=1e-9)
    )
    found = open_model(tmp_path / "m")
    charts = list(suite.charts)
    labels, kinds = build.patch_labels(suite, charts, 9)
    words = np.array([found.processor.tokenizer.convert_tokens_to_ids(f"▁{kind.split()[0]}") for kind in kinds])
    with torch.inference_mode():
        seen = build._features(found.module, build._pixels(found.processor, suite, charts))
        tokens = found.module.model.multi_modal_projector(seen)
        likely = (tokens @ found.module.get_input_embeddings().weight.T).topk(2).indices.numpy()
    marks = labels[..., 0] > 0
    assert (likely[marks] == words[labels[marks, 0] - 1][:, None]).any(axis=1).mean() > 0.8
