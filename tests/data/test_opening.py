"""What a text may name: a folder, a prepared dataset or a dataset of the configuration."""

import os

import numpy as np
import pytest
import yaml
from PIL import Image

from memloc import io
from memloc.data import prepared
from memloc.data.opening import open_images
from memloc.data.preparing import prepare
from memloc.provenance import ROOT
from tests.builders.complaints import complaint
from tests.builders.pictures import prepared_images, put, two_classes


def refused(text, **options):
    return complaint(open_images, str(text), **{"size": 8, **options})


@pytest.fixture
def config(tmp_path):
    """A configuration of one small dataset of six training and four test images."""
    entry = {"source": "folder", "path": str(two_classes(tmp_path / "raw")), "image_size": 16}
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump({"datasets": {"insects": entry, "others": {"source": "nonsense"}}}))
    return path


@pytest.fixture
def stored(tmp_path):
    """That dataset prepared, as by scripts/prepare_dataset.py."""
    parts, description = prepare("folder", path=str(two_classes(tmp_path / "same")), classes=None, image_size=16)
    for name, part in parts.items():
        io.save_array(part.images, tmp_path / f"prepared/{name}_images.npy")
        io.save_array(part.labels, tmp_path / f"prepared/{name}_labels.npy")
    io.save_json(description, tmp_path / "prepared/dataset.json")
    return tmp_path / "prepared"


# --- Names -----------------------------------------------------------------------------------------------------------


def test_an_empty_folder_a_file_and_a_missing_folder_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("no image")
    message = refused(tmp_path / "empty")
    assert str(tmp_path / "empty") in message and "no images" in message and ".gif" in message
    assert "is a file" in refused(tmp_path / "empty/notes.txt")
    message = refused(tmp_path / "nowhere", config=tmp_path / "config.yaml")
    assert str(tmp_path / "nowhere") in message and "no such folder" in message


@pytest.mark.parametrize("below", ["", "closed"])
def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch, below):
    put(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def closed(path):
        if path == str(tmp_path / below):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert f"{tmp_path / below}: can't be read (Permission denied)" in refused(tmp_path)


@pytest.mark.parametrize("text", ["", "new\nline", "nul\0", "x" * 5000, "café/x"])
def test_texts_that_are_not_names_are_refused(text, tmp_path):
    assert "images: " in refused(text, config=tmp_path / "config.yaml")


def test_an_unknown_part_is_refused(tmp_path):
    assert "'val' is none of train, test" in refused(tmp_path, part="val")


def test_an_unknown_dataset_is_compared_with_those_of_the_configuration(config):
    message = refused("insect", config=config)
    assert "'insect'" in message and "did you mean insects?" in message and "insects, others" in message
    assert "did you mean" not in refused("zzz", config=config)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"datasets: [", "not plain YAML"),
        (b"\xff\xfe\0", "save it as UTF-8"),
        (b"!!python/object/apply:os.getcwd []", "not plain YAML"),
        (b"a: 2001-99-99", "not plain YAML"),
        (None, "not a regular file"),
        (b"", "no keys"),
        (b"- a", "no keys"),
        (b"datasets: x", "no datasets"),
        (b"datasets: {x: 3}", "needs a source"),
        (b"datasets: {x: {source: [folder], image_size: 16}}", "needs a source"),
        (b"datasets: {x: {source: folder, path: a, image_size: big}}", "needs a source"),
        (b"datasets: {x: {source: folder, path: 3, image_size: 16}}", "needs a source"),
        (b"datasets: {x: {source: folder, path: a, image_size: 16, classes: [a]}}", "needs a source"),
        (b"datasets: {x: {source: folder, path: nowhere, image_size: 16}}", "nowhere"),
    ],
)
def test_a_configuration_that_describes_no_such_dataset_is_named(tmp_path, content, reason):
    path = tmp_path / "my.yaml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    assert reason in refused("x", config=path)


# --- Datasets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_prepared_dataset_and_its_name_give_the_same(stored, config, part):
    expected = prepared.load(stored, part)
    for images in (
        open_images(str(stored), size=16, part=part),
        open_images("insects", size=16, part=part, config=config),
    ):
        assert images.names == [f"{part}/{i}" for i in range(len(expected.labels))]
        assert images.labels.tolist() == expected.labels.tolist() and images.classes == ["ant", "bee"]
        assert f" ({part} part): {len(images)} images of 2 classes" in images.taken("x")[0] and images.part == part
        assert images.sha256 == io.load_json(stored / "dataset.json")["sha256"][part]
        order = np.array([3, 0, 1, 2, 0])
        pixels, readable = images.read(order)
        assert np.array_equal(pixels, expected.images[order]) and readable.tolist() == order.tolist()
        assert np.array_equal(images.thumbnail(1, 99), expected.images[1])


def test_the_repositorys_own_dataset_is_opened_by_name():
    images = open_images("fashion", size=32, part="test", config=ROOT / "config.yaml")
    assert len(images) == 1200 and images.channels == 1 and images.classes[1] == "Trouser"
    assert images.read(np.array([7]))[0].shape == (1, 1, 32, 32)


def test_a_folder_goes_before_a_dataset_of_that_name(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "insects", "a.png")
    assert open_images("insects", size=8, config=config).names == ["a.png"]


@pytest.mark.parametrize("channels", [1, 3])
def test_stored_images_are_resized_to_another_requested_size(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, size=(3, channels, 16, 16), dtype=np.uint8)
    images = open_images(prepared_images(tmp_path / "p", pixels), size=24)
    resized, _ = images.read(np.array([2, 1]))
    assert resized.shape == (2, channels, 24, 24) and images.channels == channels
    for image, row in zip(resized, (2, 1), strict=True):
        for band, stored in zip(image, pixels[row], strict=True):
            assert np.array_equal(band, np.asarray(Image.fromarray(stored).resize((24, 24), Image.Resampling.BILINEAR)))
    assert images.thumbnail(0, 8).shape == (channels, 8, 8) and images.thumbnail(0, 99).shape == (channels, 16, 16)


@pytest.mark.parametrize("name", ["images", "labels"])
def test_an_altered_part_of_a_prepared_dataset_is_refused(stored, name):
    array = np.array(io.load_array(stored / f"train_{name}.npy"))
    array[3] ^= 1
    io.save_array(array, stored / f"train_{name}.npy")
    assert "altered" in refused(stored)
    assert len(open_images(str(stored), size=16, part="test")) == 4


@pytest.mark.parametrize("name", ["train_images.npy", "train_labels.npy", "dataset.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_an_incomplete_prepared_dataset_is_named(stored, name, content):
    (stored / name).unlink()
    if content is not None:
        (stored / name).write_bytes(content)
    message = refused(stored)
    assert name in message
    assert "no train part" in message if (name, content) == ("train_images.npy", None) else "delete it" in message


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ((2, 1, 4, 4), float, "not square uint8 images"),
        ((2, 4, 4), np.uint8, "not square uint8 images"),
        ((2, 2, 4, 4), np.uint8, "not square uint8 images"),
        ((2, 1, 4, 5), np.uint8, "not square uint8 images"),
        ((0, 1, 4, 4), np.uint8, "no images"),
        ((2, 1, 0, 0), np.uint8, "no images"),
    ],
)
def test_arrays_that_are_not_images_are_refused(tmp_path, shape, dtype, reason):
    assert reason in refused(prepared_images(tmp_path / "p", np.zeros(shape, dtype)))


@pytest.mark.parametrize("bad", [[-1], [6], [0, 99]])
def test_rows_that_do_not_exist_are_an_error(stored, tmp_path, bad):
    put(tmp_path / "files", *(f"{i}.png" for i in range(6)))
    for place in (stored, tmp_path / "files"):
        with pytest.raises(IndexError):
            open_images(str(place), size=16).read(np.array(bad))
