import numpy as np
import pytest
import torch

from memloc import io
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.models import probe


def clouds(n, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    features = rng.normal(size=(n, 3)) * [0.3, 1, 1] + 4 * labels[:, None] * [1, 0, 0]
    return features.astype(np.float32), labels


def test_features_are_the_encoders_outputs_in_eval_mode_whatever_the_batch(network, toy, normalise):
    encoder = network()
    images, _ = toy(260)
    with torch.no_grad():
        expected = encoder(normalise(torch.from_numpy(images[-20:]).float() / 255)).numpy()
    got = probe.features(encoder.train(), images, normalise)
    assert got.shape == (260, 32)
    np.testing.assert_allclose(got[-20:], expected, rtol=1e-4, atol=1e-5)


def test_a_probe_tells_classes_apart_that_a_plane_parts():
    train, labels = clouds(60)
    test, expected = clouds(40, seed=1)
    assert probe.correct(train, labels, test, expected).all()
    wrong = expected.copy()
    wrong[3] = 1 - wrong[3]
    assert np.flatnonzero(~probe.correct(train, labels, test, wrong)).tolist() == [3]


def test_a_probe_ignores_scale_shift_and_constant_features():
    train, labels = clouds(60)
    test, expected = clouds(200, seed=2)
    test[:, 0] += np.random.default_rng(3).normal(size=200) * 2
    plain = probe.correct(train, labels, test, expected)
    assert 0.5 < plain.mean() < 1
    scale = np.array([1e3, 1e-3, 5], dtype=np.float32)
    moved = [np.hstack([x * scale + 7, np.ones((len(x), 1))]).astype(np.float32) for x in (train, test)]
    assert (probe.correct(moved[0], labels, moved[1], expected) == plain).mean() > 0.98


def test_a_probe_on_noise_is_at_chance():
    rng = np.random.default_rng(4)
    marks = probe.correct(rng.normal(size=(300, 3)), rng.integers(2, size=300),
                          rng.normal(size=(600, 3)), rng.integers(2, size=600))  # fmt: skip
    assert marks.mean() == pytest.approx(0.5, abs=0.09)


def test_training_images_of_a_probe_are_none_of_the_excluded():
    part = Part(np.arange(50, dtype=np.uint8)[:, None, None, None], np.arange(50))
    exclude = np.arange(0, 50, 2)
    drawn = [probe.draw_training(part, images=10, exclude=exclude, dataset="d", seed=s) for s in (0, 0, 1)]
    for chosen in drawn:
        assert len(set(chosen.labels.tolist())) == 10 and not set(chosen.labels.tolist()) & set(exclude.tolist())
        assert np.array_equal(chosen.images[:, 0, 0, 0], chosen.labels)
    assert np.array_equal(drawn[0].labels, drawn[1].labels) and not np.array_equal(drawn[0].labels, drawn[2].labels)


def test_too_many_training_images_are_an_input_error():
    part = Part(np.zeros((50, 1, 1, 1), dtype=np.uint8), np.arange(50))
    assert len(probe.draw_training(part, images=40, exclude=np.arange(10), dataset="d", seed=0).labels) == 40
    with pytest.raises(InputError, match="41 labelled images are too many: 40 of d are in no group; lower images"):
        probe.draw_training(part, images=41, exclude=np.arange(10), dataset="d", seed=0)


def test_training_images_of_one_class_are_an_input_error():
    part = Part(np.zeros((50, 1, 1, 1), dtype=np.uint8), np.arange(50))
    with pytest.raises(InputError, match="1 labelled images of d have one class; raise images"):
        probe.draw_training(part, images=1, exclude=np.arange(10), dataset="d", seed=0)


def test_a_task_is_drawn_outside_the_split_and_tested_on_all_test_images(tmp_path):
    for name, n in (("train", 30), ("test", 7)):
        io.save_array(np.zeros((n, 1, 2, 2), dtype=np.uint8), tmp_path / f"{name}_images.npy")
        io.save_array(np.arange(n), tmp_path / f"{name}_labels.npy")
    split = {"shared": np.arange(10), "external": np.arange(20, 25)}
    train, test = probe.task(tmp_path, split, images=15, dataset="d", seed=0)
    assert train.labels.tolist() == [*range(10, 20), *range(25, 30)] and len(test.labels) == 7
    train, _ = probe.task(tmp_path, {}, images=30, dataset="d", seed=0)
    assert train.labels.tolist() == list(range(30))


def test_outcomes_are_described_arm_by_arm():
    out = probe.describe([{"by": "a", "k": 1}, {"by": "b", "k": 2}], [np.array([True]), np.array([False])])
    assert {k: v.tolist() for k, v in out.items()} == {"by": ["a", "b"], "k": [1, 2], "correct": [[True], [False]]}
