"""What is read of each published set, in its real format."""

import gzip

import numpy as np
import pytest
from PIL import Image

from memloc.data import preparing
from memloc.data.raw_files import files, missing
from tests.builders import complaints, published
from tests.builders.published import prepare


def complaint(source, folder, **options):
    return complaints.complaint(prepare, source, folder, **options)


@pytest.fixture
def packed(monkeypatch, tmp_path):
    """A factory of sets that come as an archive."""
    return lambda source: published.ARCHIVED[source](monkeypatch, tmp_path, source)


@pytest.fixture
def svhn(monkeypatch, tmp_path):
    return tmp_path, published.svhn(monkeypatch, tmp_path)


@pytest.fixture
def imagenet(tmp_path):
    return published.imagenet(tmp_path)


# --- CIFAR -----------------------------------------------------------------------------------------------------------


def test_cifar10_is_five_batches_in_order_and_a_test_batch(packed):
    sample = packed("cifar10")
    parts, description = prepare("cifar10", sample.folder)
    train = np.concatenate([sample.images[name] for name in published.CIFAR10_BATCHES[:5]])
    # A row of 3072 is 1024 red, 1024 green, 1024 blue values, each row by row.
    assert np.array_equal(parts["train"].images, train.reshape(-1, 3, 32, 32))
    assert parts["train"].images[0, 1, 2, 3] == train[0, 1024 + 2 * 32 + 3]
    assert parts["train"].labels.tolist() == [c for name in published.CIFAR10_BATCHES[:5] for c in sample.labels[name]]
    assert np.array_equal(parts["test"].images.reshape(10, -1), sample.images["test_batch"])
    assert description["classes"] == published.CIFAR10_NAMES and description["sizes"] == {"train": 50, "test": 10}
    assert description["channels"] == 3 and description["mean"] == pytest.approx(
        list(train.reshape(-1, 3, 1024).mean(axis=(0, 2)) / 255), abs=1e-6
    )


def test_cifar100_has_fine_labels(packed):
    sample = packed("cifar100")
    parts, description = prepare("cifar100", sample.folder)
    assert parts["train"].labels.tolist() == sample.labels["train"] and len(description["classes"]) == 100
    assert np.array_equal(parts["test"].images.reshape(200, -1), sample.images["test"])
    assert prepare("cifar100", sample.folder, image_size=16)[0]["test"].images.shape == (200, 3, 16, 16)


# --- SVHN ------------------------------------------------------------------------------------------------------------


def test_svhn_has_the_digit_as_its_label(svhn):
    folder, images_of = svhn
    parts, description = prepare("svhn", folder)
    assert parts["train"].labels.tolist() == [*range(1, 10), 0] * 2 and parts["train"].labels.dtype == np.int64
    assert description["classes"] == list("0123456789")
    for part, images in images_of.items():
        assert np.array_equal(parts[part].images, np.moveaxis(images, (3, 2), (0, 1)))
    assert parts["test"].images[4, 1, 2, 3] == images_of["test"][2, 3, 1, 4]
    assert parts["train"].images.flags.c_contiguous


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_altered_file_of_svhn_is_named(svhn, part):
    file = svhn[0] / f"{part}_32x32.mat"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert complaint("svhn", svhn[0]).startswith(f"{file}: altered or truncated")
    file.unlink()
    message = complaint("svhn", svhn[0])
    assert message.startswith(f"{file}: missing; get {file.name} (MD5 ") and "http://ufldl.stanford.edu" in message
    assert missing("svhn", str(svhn[0])) == [file.name]


# --- STL-10 ----------------------------------------------------------------------------------------------------------


def test_stl10_stores_columns_and_counts_classes_from_one(packed):
    sample = packed("stl10")
    parts, description = prepare("stl10", sample.folder, image_size=96)
    for part in ("train", "test"):
        assert np.array_equal(parts[part].images, sample.images[part])
        assert parts[part].labels.tolist() == [i % 10 for i in range(len(sample.images[part]))]
    raw = sample.members["train_X.bin"]
    assert parts["train"].images[1, 2, 5, 7] == raw[27648 + 2 * 9216 + 7 * 96 + 5]
    assert description["classes"] == published.STL10_NAMES


def test_stl10_is_resized_with_antialiasing(packed):
    sample = packed("stl10")
    images = prepare("stl10", sample.folder, image_size=32)[0]["train"].images
    # A third of the side: a triangle of half-width 3 about the middle of three pixels, 1, 2, 3, 2, 1 of 9.
    weights = np.array([1, 2, 3, 2, 1]) / 9
    for row, column in ((10, 5), (1, 30)):
        block = sample.images["train"][:, :, 3 * row - 1 : 3 * row + 4, 3 * column - 1 : 3 * column + 4].astype(float)
        assert np.abs(images[:, :, row, column] - np.einsum("ncij,i,j->nc", block, weights, weights)).max() <= 1


def test_unlabelled_images_have_no_classes(packed):
    sample = packed("stl10-unlabeled")
    parts, description = prepare("stl10-unlabeled", sample.folder, image_size=96)
    assert np.array_equal(parts["train"].images, sample.images["unlabeled"])
    assert parts["train"].labels.tolist() == [-1] * 12
    assert parts["test"].labels.tolist() == [i % 10 for i in range(30)]
    assert description["classes"] == [] and description["sizes"] == {"train": 12, "test": 30}
    assert prepare("stl10-unlabeled", sample.folder, images=5)[1]["sizes"] == {"train": 5, "test": 30}

    message = complaint("stl10-unlabeled", sample.folder, classes=[0, 1])
    assert "classes [0, 1]" in message and "no labels" in message and "leave classes out" in message


def test_names_of_classes_that_are_not_ten_are_refused(packed):
    sample = packed("stl10")
    sample.unpack()
    (sample.inner / "class_names.txt").write_text("airplane\n")
    assert "class_names.txt" in complaint("stl10", sample.folder)


# --- Digits ----------------------------------------------------------------------------------------------------------


def test_digits_are_scikit_learns_three_quarters_for_training():
    from sklearn.datasets import load_digits

    published = load_digits()
    parts, description = preparing.prepare("digits", path=None, classes=None, image_size=8)
    images = np.concatenate([parts["train"].images, parts["test"].images])
    assert np.array_equal(images[:, 0], np.rint(published.images * 255 / 16))
    assert [*parts["train"].labels, *parts["test"].labels] == published.target.tolist()
    assert description["classes"] == list("0123456789") and description["channels"] == 1
    assert description["sizes"] == {"train": 1347, "test": 450}
    # Every class is in both parts, about as often.
    for part, n in description["sizes"].items():
        assert np.abs(np.bincount(parts[part].labels) / n - 0.1).max() < 0.02


def test_digits_are_resized_bilinearly():
    small, large = (
        preparing.prepare("digits", path=None, classes=[3, 5], image_size=size)[0]["train"] for size in (8, 32)
    )
    assert large.images.shape == (len(large.labels), 1, 32, 32) and set(large.labels) == {0, 1}
    # At four times the side the weights about the border between two pixels are 1/8, 3/8, 5/8 and 7/8.
    at = small.images[:, 0, 3:5, 4:6].astype(float)
    for i, row in enumerate((0.125, 0.375, 0.625, 0.875)):
        for j, column in enumerate((0.125, 0.375, 0.625, 0.875)):
            expected = np.einsum("nij,i,j->n", at, [1 - row, row], [1 - column, column])
            assert np.abs(large.images[:, 0, 14 + i, 18 + j] - expected).max() <= 1


@pytest.mark.parametrize("change", ["truncated", "words", "columns", "values", "short", "missing"])
def test_a_file_that_is_not_the_digits_is_refused(tmp_path, change):
    row = [0.0] * 64 + [3]
    lines = {"values": [[17.0] * 64 + [3]] * 1797, "columns": [row[1:]] * 1797, "short": [row] * 1000}.get(
        change, [row]
    )
    text = "hello,you" if change == "words" else "\n".join(",".join(map(str, line)) for line in lines)
    content = gzip.compress(text.encode())
    if change != "missing":
        (tmp_path / "digits.csv.gz").write_bytes(content[:-9] if change == "truncated" else content)
    message = complaint("digits", tmp_path)
    assert message.startswith(str(tmp_path / "digits.csv.gz")) and "install" in message


# --- ImageNet --------------------------------------------------------------------------------------------------------


def test_imagenet_has_classes_by_wordnet_id_and_tests_on_its_validation_images(imagenet):
    Image.new("CMYK", (30, 90)).save(imagenet / "train/n01440764/n01440764_9.JPEG", format="JPEG")  # it has some
    Image.new("L", (30, 30), 77).save(imagenet / "train/n01440764/n01440764_8.JPEG", format="PNG")  # and one of these
    parts, description = prepare("imagenet", imagenet, image_size=24)
    assert description["classes"] == ["n01440764", "n02084071"]
    assert description["sizes"] == {"train": 8, "test": 4}
    assert parts["train"].labels.tolist() == [0] * 5 + [1] * 3 and parts["test"].labels.tolist() == [0, 0, 1, 1]
    images = parts["train"].images.astype(int)
    assert images.shape == (8, 3, 24, 24)
    assert np.abs(images[0] - np.array([100, 0, 0])[:, None, None]).max() <= 2
    assert (images[3] == 77).all() and (images[4] == 255).all()
    assert np.abs(images[-1] - np.array([0, 0, 200])[:, None, None]).max() <= 2
    assert files("imagenet", str(imagenet)) == [imagenet / "train", imagenet / "val"]


def test_images_of_imagenet_are_drawn_before_any_is_decoded(imagenet, monkeypatch):
    opened = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda file, **options: opened.append(file) or original(file, **options))
    _, description = prepare("imagenet", imagenet, image_size=24, images=5)
    assert description["sizes"] == {"train": 5, "test": 4} and len(opened) == 9


def test_other_folders_and_missing_ones_are_named(imagenet):
    (imagenet / "train/dogs").mkdir()
    assert str(imagenet / "train/dogs") in complaint("imagenet", imagenet)
    (imagenet / "val").rename(imagenet / "test")
    message = complaint("imagenet", imagenet)
    assert message.startswith(f"{imagenet / 'val'}: missing") and "val/<wnid>/*.JPEG" in message


def test_validation_images_that_are_not_sorted_into_classes_are_refused(imagenet):
    for file in sorted((imagenet / "val").glob("*/*")):
        file.rename(imagenet / "val" / f"{file.parent.name}_{file.name}")
    for folder in [child for child in (imagenet / "val").iterdir() if child.is_dir()]:
        folder.rmdir()
    assert f"{imagenet / 'val'}: no images" in complaint("imagenet", imagenet)
