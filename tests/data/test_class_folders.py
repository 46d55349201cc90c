"""A user's training images, in one folder for each class."""

import numpy as np
import pytest
from PIL import Image

from memloc.data import preparing
from memloc.data.pixels import in_threads
from tests.builders import complaints
from tests.builders.pictures import encoded, flat, is_flat, two_classes


@pytest.fixture
def folder(tmp_path):
    return two_classes(tmp_path / "images")


def prepare(folder):
    return preparing.prepare("folder", path=str(folder), classes=None, image_size=16)


def complaint(folder):
    return complaints.complaint(prepare, folder)


def test_images_are_resized_and_labelled_by_sorted_class(folder):
    parts, description = prepare(folder)
    assert description["classes"] == ["ant", "bee"] and description["channels"] == 3
    assert parts["train"].images.shape == (6, 3, 16, 16) and parts["test"].images.shape == (4, 3, 16, 16)
    assert parts["train"].labels.tolist() == [0, 0, 0, 1, 1, 1] and parts["train"].labels.dtype == np.int64
    assert is_flat(parts["train"].images[0], (100, 0, 0)) and is_flat(parts["train"].images[-1], (0, 0, 200))
    assert description["mean"] == pytest.approx([50 / 255, 0, 100 / 255], abs=1e-6)


def test_other_types_and_modes_are_read_hidden_and_other_files_left_out(folder):
    ant = folder / "train" / "ant"
    flat(77, "L").save(ant / "7.BMP", format="BMP")
    flat((10, 20, 200, 51), "RGBA").save(ant / "8.png")  # transparency is ignored
    (ant / "notes.txt").write_text("hello")
    (ant / "._0.png").write_bytes(b"what some systems leave behind")
    images = prepare(folder)[0]["train"].images
    assert len(images) == 8 and is_flat(images[3], (77, 77, 77)) and is_flat(images[4], (10, 20, 200))


@pytest.mark.parametrize("image", [None, Image.fromarray(np.full((20, 20), 5, dtype="<u2"))], ids=["text", "16 bits"])
def test_the_first_of_several_unreadable_images_is_named(folder, image):
    for name in ("ant/2.png", "bee/0.png"):
        (folder / "train" / name).write_bytes(b"no image" if image is None else encoded(image, "PNG"))
    message = complaint(folder)
    assert message.startswith(f"{folder / 'train' / 'ant' / '2.png'}: ") and "repair or remove" in message


def test_folders_without_classes_images_or_a_test_part_are_named(folder):
    for file in (folder / "test").glob("*/*"):
        file.unlink()
    message = complaint(folder)
    assert str(folder / "test") in message and "no images" in message
    (folder / "test" / "cow").mkdir()
    assert f"{folder / 'test'}: cow isn't among the classes" in complaint(folder)
    (folder / "test").rename(folder / "tset")
    assert f"{folder / 'test'}: missing" in complaint(folder)
    (folder / "tset").rename(folder / "test")
    (folder / "train").rename(folder / "old")
    (folder / "train").mkdir()
    message = complaint(folder)
    assert "no class folders" in message and "<class>" in message


def test_images_keep_their_order_over_threads_and_chunks():
    rows = np.random.default_rng(0).permutation(200)
    images = in_threads(lambda row: np.full((3, 4, 4), row, dtype=np.uint8), rows, (3, 4, 4))
    assert np.array_equal(images[:, 0, 0, 0], rows) and np.array_equal(images[:, 2, 3, 3], rows)
