"""Each downloadable set in its real format on disk, with a few images and torchvision's MD5 lists made to fit."""

import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest
import scipy.io
from PIL import Image
from torchvision import datasets as published

from memloc.data import sources as datasets
from memloc.errors import InputError

RNG = np.random.default_rng(0)
CIFAR10_BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
STL10_NAMES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


def prepare(source, folder, image_size=32, **options):
    return datasets.prepare(source, path=str(folder), **{"classes": None, "image_size": image_size} | options)


def complaint(source, folder, **options):
    with pytest.raises(InputError) as caught:
        prepare(source, folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def python2_pickle(value):
    """Protocol 2 as Python 2 and its numpy wrote it: byte strings, and booleans in a dtype's arguments as integers."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value):
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(k) + _python2(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return b"T" + struct.pack("<i", len(value)) + value.encode("latin1")
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    shape = b"(" + b"".join(map(_python2, value.shape)) + b"t"
    return empty + b"(K\x01" + shape + dtype + b"\x89" + _python2(value.tobytes().decode("latin1")) + b"tb"


def pack(path, folder, members):
    """A .tar.gz of a folder's files."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{folder}/{name}" if folder else name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def declare(monkeypatch, source, folder):
    """Let the files of a folder be what the source's MD5 sums say."""
    entry = datasets.SOURCES[source]
    files = tuple(
        dataclasses.replace(file, md5=md5((folder / file.name).read_bytes())) if (folder / file.name).exists() else file
        for file in entry.files
    )
    monkeypatch.setitem(datasets.SOURCES, source, dataclasses.replace(entry, files=files))


def declare_members(monkeypatch, kind, members):
    for listed in ("train_list", "test_list"):
        sums = [[name, md5(members[name])] for name, _ in getattr(kind, listed)]
        monkeypatch.setattr(kind, listed, sums)
    if hasattr(kind, "meta"):
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(members[kind.meta["filename"]])})


class Set:
    """A small set in its archive, and the pixels and labels that were put in."""

    def __init__(self, source, folder, archive, inner, members, images, labels):
        self.source, self.folder, self.archive, self.inner = source, folder, folder / archive, inner
        self.members, self.images, self.labels = members, images, labels


def cifar(monkeypatch, folder, source):
    kind, fine = (published.CIFAR10, False) if source == "cifar10" else (published.CIFAR100, True)
    names = CIFAR10_NAMES if not fine else [f"kind {i}" for i in range(100)]
    batches = CIFAR10_BATCHES if not fine else ["train", "test"]
    size = 2 * len(names) if fine else 10
    members, images, labels = {}, {}, {}
    for batch in batches:
        pixels = RNG.integers(0, 256, size=(size, 3072), dtype=np.uint8)
        classes = [int(c) for c in RNG.permutation(size) % len(names)]
        key = {"fine_labels": classes, "coarse_labels": [c % 20 for c in classes]} if fine else {"labels": classes}
        members[batch] = python2_pickle({"data": pixels, "batch_label": batch, **key})
        images[batch], labels[batch] = pixels, classes
    meta = {"fine_label_names": names, "coarse_label_names": ["x"] * 20} if fine else {"label_names": names}
    members[kind.meta["filename"]] = python2_pickle(meta)
    members["readme.html"] = b"<p>hello"
    pack(folder / kind.filename, kind.base_folder, members)
    declare(monkeypatch, source, folder)
    declare_members(monkeypatch, kind, members)
    return Set(source, folder, kind.filename, kind.base_folder, members, images, labels)


def stl10(monkeypatch, folder, source):
    kind, members, images = published.STL10, {}, {}
    for split, n in (("train", 20), ("test", 30), ("unlabeled", 12)):
        images[split] = RNG.integers(0, 256, size=(n, 3, 96, 96), dtype=np.uint8)
        members[f"{split}_X.bin"] = images[split].transpose(0, 1, 3, 2).tobytes()  # column by column
        if split != "unlabeled":
            members[f"{split}_y.bin"] = bytes(i % 10 + 1 for i in range(n))  # from 1
    members["class_names.txt"] = "".join(name + "\n" for name in STL10_NAMES).encode()
    members["fold_indices.txt"] = b"0 1 2 3 \n" * 10
    pack(folder / kind.filename, kind.base_folder, members)
    declare(monkeypatch, source, folder)
    declare_members(monkeypatch, kind, members)
    return Set(source, folder, kind.filename, kind.base_folder, members, images, None)


MAKERS = {"cifar10": cifar, "cifar100": cifar, "stl10": stl10, "stl10-unlabeled": stl10}


@pytest.fixture
def packed(monkeypatch, tmp_path):
    """A factory of sets that come as an archive."""
    return lambda source: MAKERS[source](monkeypatch, tmp_path, source)


# --- CIFAR -----------------------------------------------------------------------------------------------------------


def test_cifar10_is_five_batches_in_order_and_a_test_batch(packed):
    made = packed("cifar10")
    parts, description = prepare("cifar10", made.folder)
    train = np.concatenate([made.images[name] for name in CIFAR10_BATCHES[:5]])
    # A row of 3072 is 1024 red, 1024 green, 1024 blue values, each row by row.
    assert np.array_equal(parts["train"].images, train.reshape(-1, 3, 32, 32))
    assert parts["train"].images[0, 1, 2, 3] == train[0, 1024 + 2 * 32 + 3]
    assert parts["train"].labels.tolist() == [c for name in CIFAR10_BATCHES[:5] for c in made.labels[name]]
    assert np.array_equal(parts["test"].images.reshape(10, -1), made.images["test_batch"])
    assert description["classes"] == CIFAR10_NAMES and description["sizes"] == {"train": 50, "test": 10}
    assert description["channels"] == 3 and description["mean"] == pytest.approx(
        list(train.reshape(-1, 3, 1024).mean(axis=(0, 2)) / 255), abs=1e-6
    )


def test_cifar100_has_fine_labels(packed):
    made = packed("cifar100")
    parts, description = prepare("cifar100", made.folder)
    assert parts["train"].labels.tolist() == made.labels["train"] and len(description["classes"]) == 100
    assert np.array_equal(parts["test"].images.reshape(200, -1), made.images["test"])


def test_other_sizes_are_resized(packed):
    made = packed("cifar10")
    images = prepare("cifar10", made.folder, image_size=16)[0]["test"].images
    original = made.images["test_batch"].reshape(-1, 3, 32, 32)
    assert images.shape == (10, 3, 16, 16)
    # Bilinear with antialiasing halves a side with weights 1, 3, 3, 1; the corner pixel's neighbours are cut off.
    weights = np.array([1, 3, 3, 1]) / 8
    inner = np.einsum("ncij,i,j->nc", original[:, :, 3:7, 5:9].astype(float), weights, weights)
    assert np.abs(images[:, :, 2, 3] - inner).max() <= 1


# --- What isn't the set ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["cifar10", "cifar100", "stl10", "stl10-unlabeled"])
def test_the_unpacked_folder_is_taken_in_the_archives_place(packed, source):
    made = packed(source)
    expected = prepare(source, made.folder)[1]
    with tarfile.open(made.archive) as tar:
        tar.extractall(made.folder)
    made.archive.write_bytes(b"never looked at")
    assert prepare(source, made.folder)[1] == expected
    made.archive.unlink()
    assert prepare(source, made.folder)[1] == expected
    assert datasets.missing(source, str(made.folder)) == []
    inner = made.folder / made.inner
    assert datasets.files(source, str(made.folder)) == sorted(inner / name for name in made.members)


@pytest.mark.parametrize("source", ["cifar10", "stl10"])
@pytest.mark.parametrize("change", ["truncated", "flipped", "empty", "missing"])
def test_an_archive_that_is_not_the_published_one_is_refused(packed, source, change):
    made = packed(source)
    data = bytearray(made.archive.read_bytes())
    data[len(data) // 2] ^= 1
    changed = {"truncated": data[: len(data) // 2], "flipped": data, "empty": b"", "missing": None}[change]
    made.archive.unlink() if changed is None else made.archive.write_bytes(bytes(changed))
    message = complaint(source, made.folder)
    assert message.startswith(f"{made.archive}: {'missing' if changed is None else 'altered or truncated'}")


def test_an_archive_that_breaks_off_is_refused_where_its_sum_is_right(packed, monkeypatch):
    made = packed("cifar10")
    made.archive.write_bytes(made.archive.read_bytes()[:5000])
    declare(monkeypatch, "cifar10", made.folder)
    assert f"{made.archive}: can't be unpacked" in complaint("cifar10", made.folder)


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("where", ["archive", "archive with its sum", "folder"])
def test_nothing_altered_is_unpickled(packed, monkeypatch, tmp_path, name, where):
    made = packed("cifar10")
    mark = tmp_path / "executed"
    members = made.members | {name: pickle.dumps(Payload(mark), protocol=2)}
    pack(made.archive, made.inner, members)
    if where == "archive with its sum":
        declare(monkeypatch, "cifar10", made.folder)
    if where == "folder":
        with tarfile.open(made.archive) as tar:
            tar.extractall(made.folder)
    message = complaint("cifar10", made.folder)
    assert not mark.exists() and "altered or truncated" in message
    inside = f"/{made.inner}/{name}"
    place = {"archive": str(made.archive), "folder": f"{made.folder}{inside}"}.get(where, f"{made.archive}{inside}")
    assert message.startswith(f"{place}:")
    pickle.loads(members[name])
    assert mark.exists()


@pytest.mark.parametrize("name", ["../outside", "/tmp/../outside", "cifar-10-batches-py/../../outside"])
def test_a_member_that_would_land_outside_is_refused(packed, monkeypatch, tmp_path, name):
    made = packed("cifar10")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    pack(made.archive, "", {name: b"x"})
    declare(monkeypatch, "cifar10", made.folder)
    message = complaint("cifar10", made.folder)
    assert message.startswith(str(made.archive))
    assert not list(tmp_path.rglob("outside*")) and list((tmp_path / "temporary").iterdir()) == []


def test_a_link_that_leads_outside_is_refused(packed, monkeypatch):
    made = packed("cifar10")
    with tarfile.open(made.archive, "w:gz") as tar:
        link = tarfile.TarInfo(made.inner)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    declare(monkeypatch, "cifar10", made.folder)
    assert "can't be unpacked" in complaint("cifar10", made.folder)


def test_what_was_unpacked_goes(packed, monkeypatch, tmp_path):
    made = packed("cifar10")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    prepare("cifar10", made.folder)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert sorted(made.folder.iterdir()) == sorted([made.archive, tmp_path / "temporary"])


# --- SVHN ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def svhn(monkeypatch, tmp_path):
    made = {}
    for part, n in (("train", 20), ("test", 10)):
        images, digits = RNG.integers(0, 256, size=(32, 32, 3, n), dtype=np.uint8), np.arange(n) % 10 + 1
        scipy.io.savemat(tmp_path / f"{part}_32x32.mat", {"X": images, "y": digits[:, None].astype(np.uint8)})
        made[part] = images
    sums = {
        part: [url, file, md5((tmp_path / file).read_bytes()) if part in made else listed]
        for part, (url, file, listed) in published.SVHN.split_list.items()
    }
    monkeypatch.setattr(published.SVHN, "split_list", sums)
    return tmp_path, made


def test_svhn_has_the_digit_as_its_label(svhn):
    folder, made = svhn
    parts, description = prepare("svhn", folder)
    assert parts["train"].labels.tolist() == [*range(1, 10), 0] * 2 and parts["train"].labels.dtype == np.int64
    assert description["classes"] == list("0123456789")
    for part, images in made.items():
        assert np.array_equal(parts[part].images, np.moveaxis(images, (3, 2), (0, 1)))
    assert parts["test"].images[4, 1, 2, 3] == made["test"][2, 3, 1, 4]
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
    assert datasets.missing("svhn", str(svhn[0])) == [file.name]


# --- STL-10 ----------------------------------------------------------------------------------------------------------


def test_stl10_stores_columns_and_counts_classes_from_one(packed):
    made = packed("stl10")
    parts, description = prepare("stl10", made.folder, image_size=96)
    for part in ("train", "test"):
        assert np.array_equal(parts[part].images, made.images[part])
        assert parts[part].labels.tolist() == [i % 10 for i in range(len(made.images[part]))]
    raw = made.members["train_X.bin"]
    assert parts["train"].images[1, 2, 5, 7] == raw[27648 + 2 * 9216 + 7 * 96 + 5]
    assert description["classes"] == STL10_NAMES


def test_stl10_is_resized_with_antialiasing(packed):
    made = packed("stl10")
    images = prepare("stl10", made.folder, image_size=32)[0]["train"].images
    # A third of the side: a triangle of half-width 3 about the middle of three pixels, 1, 2, 3, 2, 1 of 9.
    weights = np.array([1, 2, 3, 2, 1]) / 9
    for row, column in ((10, 5), (1, 30)):
        block = made.images["train"][:, :, 3 * row - 1 : 3 * row + 4, 3 * column - 1 : 3 * column + 4].astype(float)
        assert np.abs(images[:, :, row, column] - np.einsum("ncij,i,j->nc", block, weights, weights)).max() <= 1


def test_unlabelled_images_have_no_classes(packed):
    made = packed("stl10-unlabeled")
    parts, description = prepare("stl10-unlabeled", made.folder, image_size=96)
    assert np.array_equal(parts["train"].images, made.images["unlabeled"])
    assert parts["train"].labels.tolist() == [-1] * 12
    assert parts["test"].labels.tolist() == [i % 10 for i in range(30)]
    assert description["classes"] == [] and description["sizes"] == {"train": 12, "test": 30}
    assert prepare("stl10-unlabeled", made.folder, images=5)[1]["sizes"] == {"train": 5, "test": 30}


def test_classes_of_unlabelled_images_are_refused(packed):
    made = packed("stl10-unlabeled")
    message = complaint("stl10-unlabeled", made.folder, classes=[0, 1])
    assert "classes [0, 1]" in message and "no labels" in message and "leave classes out" in message


def test_names_of_classes_that_are_not_ten_are_refused(packed):
    made = packed("stl10")
    with tarfile.open(made.archive) as tar:
        tar.extractall(made.folder)
    (made.folder / made.inner / "class_names.txt").write_text("airplane\n")
    assert "class_names.txt" in complaint("stl10", made.folder)


# --- Digits ----------------------------------------------------------------------------------------------------------


def test_digits_are_scikit_learns_three_quarters_for_training():
    from sklearn.datasets import load_digits

    published = load_digits()
    parts, description = datasets.prepare("digits", path=None, classes=None, image_size=8)
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
        datasets.prepare("digits", path=None, classes=[3, 5], image_size=size)[0]["train"] for size in (8, 32)
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


@pytest.fixture
def imagenet(tmp_path):
    """Two classes of JPEGs, each of one colour."""
    for part, n in (("train", 3), ("val", 2)):
        for name, colour in (("n02084071", (0, 0, 200)), ("n01440764", (100, 0, 0))):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(n):
                file = tmp_path / part / name / (f"{name}_{i}.JPEG" if part == "train" else f"ILSVRC2012_val_{i}.JPEG")
                Image.new("RGB", (60 + i, 40), colour).save(file, format="JPEG")
    return tmp_path


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
    assert datasets.files("imagenet", str(imagenet)) == [imagenet / "train", imagenet / "val"]


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
