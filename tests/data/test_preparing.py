"""From raw files to parts: checked, chosen, relabelled, described and kept in memory or in files."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
from PIL import Image

from memloc import io, streams
from memloc.data import prepared, preparing
from memloc.data.chunks import in_memory
from memloc.data.raw_files import missing
from memloc.data.sources import SOURCES
from tests.builders import complaints
from tests.builders.charts import write_suite
from tests.builders.pictures import two_classes

IMAGES = "train-images-idx3-ubyte.gz"
LABELS = "train-labels-idx1-ubyte.gz"


def prepare(folder, source="fashion-mnist", classes=None, image_size=32, images=None):
    return preparing.prepare(source, path=str(folder), classes=classes, image_size=image_size, images=images)


def complaint(folder, **options):
    return complaints.complaint(prepare, folder, **options)


@pytest.fixture
def folder(tmp_path):
    return two_classes(tmp_path / "images")


def test_charts_of_a_suite_keep_its_parts_and_are_classes_by_type_and_marks(tmp_path):
    parts, description = prepare(write_suite(tmp_path / "suite", train=4, test=2), source="charts")
    assert description["classes"] == ["scatter, 1", "scatter, 2"] and description["sizes"] == {"train": 4, "test": 2}
    assert parts["train"].labels.tolist() == [0, 1, 0, 1] and parts["test"].images.shape == (2, 1, 32, 32)
    last = Image.open(tmp_path / "suite/images/chart0005.png").convert("L").resize((32, 32), Image.Resampling.BOX)
    assert np.array_equal(parts["test"].images[1, 0], last)


# --- Fashion-MNIST ---------------------------------------------------------------------------------------------------


def test_idx_files_become_padded_images_with_their_labels_and_a_description(idx_folder):
    parts, description = prepare(idx_folder)
    raw = np.frombuffer(gzip.decompress((idx_folder / IMAGES).read_bytes())[16:], dtype=np.uint8).reshape(12, 28, 28)
    train, test = parts["train"], parts["test"]
    assert train.images.shape == (12, 1, 32, 32) and train.images.dtype == np.uint8
    assert np.array_equal(train.images[:, 0], np.pad(raw, ((0, 0), (2, 2), (2, 2))))
    assert train.labels.tolist() == [i % 10 for i in range(12)] and train.labels.dtype == np.int64
    assert description["sizes"] == {"train": 12, "test": 10} and len(description["classes"]) == 10
    assert (description["channels"], description["image_size"]) == (1, 32)
    scaled = train.images / 255
    assert description["mean"] == pytest.approx([scaled.mean()], abs=1e-6)
    assert description["std"] == pytest.approx([scaled.std()], abs=1e-6)
    assert description["sha256"]["test"] == prepared.array_sha256(test.images, test.labels)
    assert description["labels_sha256"]["train"] == prepared.array_sha256(train.labels)


def test_chosen_classes_are_relabelled_in_the_order_given(idx_folder):
    parts, description = prepare(idx_folder, classes=[3, 0])
    everything = prepare(idx_folder)[0]["train"]
    assert parts["train"].labels.tolist() == [1, 0, 1]  # labels 0, 3, 0
    assert np.array_equal(parts["train"].images, everything.images[[0, 3, 10]])
    assert description["classes"] == ["Dress", "T-shirt"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": [0, 10]}, ["classes", "[10]", "0 to 9"]),
        ({"classes": [3]}, ["only 1 class"]),
        ({"image_size": 27}, ["image_size 27", "28"]),
        ({"images": 9}, ["no train images of", "among the 9 drawn"]),
        ({"classes": [1, 0], "images": 5}, ["images 5", "4 training images"]),
    ],
)
def test_a_request_that_the_files_cannot_meet_is_named(idx_folder, options, words):
    message = complaint(idx_folder, **options)
    assert all(word in message for word in words)


def test_an_image_size_may_be_that_of_the_images(idx_folder):
    assert prepare(idx_folder, image_size=28)[0]["train"].images.shape[-1] == 28


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_missing_file_is_named_with_what_to_do_and_a_truncated_one_too(idx_folder, name):
    data = (idx_folder / name).read_bytes()
    (idx_folder / name).write_bytes(data[: len(data) // 2])
    assert name in complaint(idx_folder)
    (idx_folder / name).unlink()
    message = complaint(idx_folder)
    sums = {file.name: file.md5 for file in SOURCES["fashion-mnist"].files}
    assert f"{idx_folder / name}: missing; get {name} (MD5 {sums[name]}) from http" in message
    assert message.endswith(f"put it into {idx_folder}")
    assert missing("fashion-mnist", str(idx_folder)) == [name]


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    assert str(tmp_path / "nowhere") in complaint(tmp_path / "nowhere")


def test_a_file_altered_anywhere_in_its_data_is_refused(idx_folder):
    data = (idx_folder / LABELS).read_bytes()
    for at in range(10, len(data)):  # the ten bytes before don't concern the content
        altered = bytearray(data)
        altered[at] ^= 0x11
        (idx_folder / LABELS).write_bytes(bytes(altered))
        assert str(idx_folder) in complaint(idx_folder), f"byte {at}"


NOT_IDX = {
    "empty": (IMAGES, b"", ""),
    "text": (IMAGES, b"text, not an idx file", ""),
    "other type": (IMAGES, b"\0\0\x77\3" + bytes(12), ""),
    "short": (IMAGES, struct.pack(">4i", 0x803, 12, 28, 28) + b"short", ""),
    "other number": (LABELS, struct.pack(">2i", 0x801, 11) + bytes(11), "12 train images but 11 labels"),
    "images as labels": (LABELS, struct.pack(">4i", 0x803, 12, 28, 28) + bytes(12 * 784), ""),
}


@pytest.mark.parametrize("case", NOT_IDX)
def test_files_with_other_content_are_refused(idx_folder, case):
    name, content, reason = NOT_IDX[case]
    (idx_folder / name).write_bytes(gzip.compress(content))
    message = complaint(idx_folder)
    assert str(idx_folder) in message and reason in message


def test_files_are_checked_against_the_folders_hashes(idx_folder):
    sums = idx_folder / "SHA256SUMS"
    text = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in sorted(idx_folder.glob("*.gz")))
    for good in (text, text + "\n", text.replace("  ", " *")):  # blank lines and marks of binary mode do no harm
        sums.write_text(good)
        assert prepare(idx_folder)[1]["sizes"]["train"] == 12
    sums.write_text(text + "0" * 64 + "  gone.txt\n")
    assert "gone.txt: missing" in complaint(idx_folder)
    sums.write_text(text)
    content = bytearray(gzip.decompress((idx_folder / IMAGES).read_bytes()))
    content[-1] ^= 1
    (idx_folder / IMAGES).write_bytes(gzip.compress(bytes(content)))  # a good gzip file, other pixels
    message = complaint(idx_folder)
    assert IMAGES in message and "SHA256SUMS" in message


def test_the_embedded_images_are_complete():
    assert missing("fashion-mnist-12k", None) == []
    parts, description = preparing.prepare("fashion-mnist-12k", path=None, classes=None, image_size=32)
    assert description["sizes"] == {"train": 10000, "test": 2000}
    for part in parts.values():
        assert (np.bincount(part.labels) == len(part.labels) // 10).all()


# --- Where images are kept -------------------------------------------------------------------------------------------


def test_many_images_lie_in_a_file_and_are_the_same(folder, monkeypatch):
    inside = prepare(folder, source="folder", image_size=16)
    assert not isinstance(inside[0]["train"].images, np.memmap)
    monkeypatch.setattr("memloc.data.chunks.IN_MEMORY", 6 * 3 * 16 * 16 - 1)
    outside = prepare(folder, source="folder", image_size=16)
    images = outside[0]["train"].images
    assert isinstance(images, np.memmap) and not isinstance(outside[0]["test"].images, np.memmap)
    assert np.array_equal(images, inside[0]["train"].images) and outside[1] == inside[1]


def test_an_array_in_a_file_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("memloc.data.chunks.IN_MEMORY", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = in_memory("train", (2, 3), iter([np.full((2, 3), 7, dtype=np.uint8)]))
    assert list(tmp_path.iterdir()) == [] and array.sum() == 42


@pytest.mark.parametrize("source", ["folder", "fashion-mnist"])
def test_files_that_are_written_in_chunks_are_those_of_whole_arrays(source, folder, idx_folder, tmp_path, monkeypatch):
    options = {"path": str(folder if source == "folder" else idx_folder), "classes": [1, 0], "image_size": 32}
    parts, description = preparing.prepare(source, **options)
    monkeypatch.setattr("memloc.data.chunks.CHUNK", 3 * 32 * 32)
    into = {part: tmp_path / f"{part}.npy" for part in prepared.PARTS}
    written, about = preparing.write(source, into, **options)
    joined, again = preparing.prepare(source, **options)
    assert about == again == description
    for name, part in parts.items():
        assert len(part.images) > 1 and isinstance(written[name].images, np.memmap)
        assert np.array_equal(joined[name].images, part.images)
        io.save_array(part.images, tmp_path / "whole.npy")
        assert into[name].read_bytes() == (tmp_path / "whole.npy").read_bytes()
        assert description["sha256"][name] == prepared.array_sha256(part.images, part.labels)


def test_a_failed_preparation_leaves_no_file(folder, tmp_path):
    (folder / "test" / "bee" / "0.png").write_bytes(b"no image")
    into = {part: tmp_path / "out" / part for part in prepared.PARTS}
    complaints.complaint(preparing.write, "folder", into, path=str(folder), classes=None, image_size=16)
    assert list((tmp_path / "out").iterdir()) == []


# --- Drawn images ----------------------------------------------------------------------------------------------------


def test_training_images_are_drawn_before_any_is_decoded(folder):
    whole = prepare(folder, source="folder", image_size=16)[0]
    parts, description = prepare(folder, source="folder", image_size=16, images=4)
    assert description["sizes"] == {"train": 4, "test": 4}
    rows = np.sort(streams.generator("limit", "folder").choice(6, 4, replace=False))
    assert np.array_equal(parts["train"].labels, whole["train"].labels[rows])
    assert np.array_equal(parts["train"].images, whole["train"].images[rows])
    assert np.array_equal(parts["test"].images, whole["test"].images)
    row = min({*range(6)} - {*rows})
    (folder / "train" / ("ant", "bee")[row // 3] / f"{row % 3}.png").write_bytes(b"no image")
    assert prepare(folder, source="folder", image_size=16, images=4)[1] == description


def test_images_are_drawn_among_the_chosen_classes_and_keep_their_order(idx_folder):
    whole, part = (prepare(idx_folder, classes=[1, 0], images=images)[0]["train"] for images in (None, 3))
    rows = streams.generator("limit", "fashion-mnist").choice(4, 3, replace=False)
    assert rows.tolist() != sorted(rows)
    assert np.array_equal(part.images, whole.images[np.sort(rows)]) and set(part.labels) == {0, 1}


# --- Prepared parts --------------------------------------------------------------------------------------------------


def test_a_prepared_part_is_read_back_as_written(tmp_path):
    images, labels = np.arange(48, dtype=np.uint8).reshape(3, 1, 4, 4), np.array([2, 0, 1])
    io.save_array(images, tmp_path / "train_images.npy")
    io.save_array(labels, tmp_path / "train_labels.npy")
    part = prepared.load(tmp_path, "train")
    assert np.array_equal(part.images, images) and np.array_equal(part.labels, labels)
    assert "test_images.npy" in complaints.complaint(prepared.load, tmp_path, "test")
    io.save_array(labels[:2], tmp_path / "train_labels.npy")
    assert "3 train images, 2 labels" in complaints.complaint(prepared.load, tmp_path, "train")


@pytest.mark.parametrize("part", prepared.PARTS)
def test_labels_are_held_against_the_hash_that_the_description_has(tmp_path, part):
    labels = np.array([2, 0, 1])
    io.save_array(np.zeros((3, 1, 4, 4), dtype=np.uint8), tmp_path / f"{part}_images.npy")
    io.save_array(labels, tmp_path / f"{part}_labels.npy")
    io.save_json({"labels_sha256": {part: prepared.array_sha256(labels)}}, tmp_path / "dataset.json")
    assert prepared.load(tmp_path, part).labels.tolist() == [2, 0, 1]
    io.save_array(labels[::-1], tmp_path / f"{part}_labels.npy")
    message = complaints.complaint(prepared.load, tmp_path, part)
    assert message == f"{tmp_path}/{part}_labels.npy: altered since it was prepared; delete it and run snakemake again"
    io.save_json({"sizes": {part: 3}}, tmp_path / "dataset.json")  # As an earlier version wrote it.
    assert prepared.load(tmp_path, part).labels.tolist() == [1, 0, 2]


def test_the_hash_of_arrays_depends_on_shape_type_and_content():
    a = np.arange(6, dtype=np.int64)
    others = [a.reshape(2, 3), a.astype(np.int32), a[::-1], a[:5]]
    assert len({prepared.array_sha256(x) for x in [a, *others]}) == 5
    assert prepared.array_sha256(a) == prepared.array_sha256(np.arange(12)[::2] // 2)
    assert prepared.array_sha256(a, a) != prepared.array_sha256(a)
