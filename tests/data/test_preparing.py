import gzip
import hashlib
import struct

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms.functional import center_crop, resize

from memloc import io, streams
from memloc.data import prepared
from memloc.data import sources as datasets
from memloc.data.pixels import decode, square
from memloc.data.preparing import in_memory
from memloc.data.sources.folder import read
from memloc.errors import InputError

IMAGES = "train-images-idx3-ubyte.gz"
LABELS = "train-labels-idx1-ubyte.gz"


def prepare(folder, source="fashion-mnist", classes=None, image_size=32, images=None):
    return datasets.prepare(source, path=str(folder), classes=classes, image_size=image_size, images=images)


def complaint(*args, **kwargs):
    with pytest.raises(InputError) as caught:
        prepare(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def folder(tmp_path):
    """Colour images of two classes: ant is red, bee is blue."""
    root = tmp_path / "images"
    for part, n in (("train", 3), ("test", 2)):
        for name, colour in (("bee", (0, 0, 200)), ("ant", (100, 0, 0))):
            (root / part / name).mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (20 + i, 30), colour).save(root / part / name / f"{i}.png")
    return root


def test_idx_files_become_padded_images_with_labels_as_written(idx_folder):
    parts, description = prepare(idx_folder)
    raw = np.frombuffer(gzip.decompress((idx_folder / IMAGES).read_bytes())[16:], dtype=np.uint8).reshape(12, 28, 28)
    train = parts["train"]
    assert train.images.shape == (12, 1, 32, 32) and train.images.dtype == np.uint8
    assert np.array_equal(train.images[:, 0, 2:30, 2:30], raw)
    border = train.images.copy()
    border[:, :, 2:30, 2:30] = 0
    assert not border.any()
    assert train.labels.tolist() == [i % 10 for i in range(12)] and train.labels.dtype == np.int64
    assert description["sizes"] == {"train": 12, "test": 10} and len(description["classes"]) == 10
    assert (description["channels"], description["image_size"]) == (1, 32)


def test_the_description_holds_moments_of_the_training_part_and_hashes(idx_folder):
    parts, description = prepare(idx_folder)
    scaled = parts["train"].images / 255
    assert description["mean"] == pytest.approx([scaled.mean()], abs=1e-6)
    assert description["std"] == pytest.approx([scaled.std()], abs=1e-6)
    assert description["sha256"]["test"] == prepared.array_sha256(parts["test"].images, parts["test"].labels)


def test_chosen_classes_are_relabelled_in_the_order_given(idx_folder):
    parts, description = prepare(idx_folder, classes=[3, 0])
    everything = prepare(idx_folder)[0]["train"]
    assert parts["train"].labels.tolist() == [1, 0, 1]  # labels 0, 3, 0
    assert np.array_equal(parts["train"].images, everything.images[[0, 3, 10]])
    assert description["classes"] == ["Dress", "T-shirt"]


def test_a_class_that_does_not_exist_is_named(idx_folder):
    message = complaint(idx_folder, classes=[0, 10])
    assert "classes" in message and "[10]" in message and "0 to 9" in message


def test_an_image_size_below_the_images_is_refused(idx_folder):
    message = complaint(idx_folder, image_size=27)
    assert "image_size 27" in message and "28" in message
    assert prepare(idx_folder, image_size=28)[0]["train"].images.shape[-1] == 28


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_missing_file_is_named_with_what_to_do(idx_folder, name):
    (idx_folder / name).unlink()
    message = complaint(idx_folder)
    known = {file.name: file.md5 for file in datasets.SOURCES["fashion-mnist"].files}
    assert f"{idx_folder / name}: missing; get {name} (MD5 {known[name]}) from http" in message
    assert message.endswith(f"put it into {idx_folder}")
    assert datasets.missing("fashion-mnist", str(idx_folder)) == [name]


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    assert str(tmp_path / "nowhere") in complaint(tmp_path / "nowhere")


def test_a_source_without_a_folder_of_its_own_needs_a_path():
    with pytest.raises(InputError, match="folder needs a path"):
        datasets.prepare("folder", path=None, classes=None, image_size=32)
    assert datasets.missing("folder", None) == [] and datasets.files("folder", None) == []


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_truncated_file_is_named(idx_folder, name):
    data = (idx_folder / name).read_bytes()
    (idx_folder / name).write_bytes(data[: len(data) // 2])
    assert name in complaint(idx_folder)


def test_a_file_altered_anywhere_in_its_data_is_refused(idx_folder):
    data = (idx_folder / LABELS).read_bytes()
    for at in range(10, len(data)):  # the ten bytes before say nothing about the content
        altered = bytearray(data)
        altered[at] ^= 0x11
        (idx_folder / LABELS).write_bytes(bytes(altered))
        assert str(idx_folder) in complaint(idx_folder), f"byte {at}"


@pytest.mark.parametrize(
    "content",
    [b"", b"text that is no idx file", b"\0\0\x77\3" + bytes(12), struct.pack(">4i", 0x803, 12, 28, 28) + b"short"],
    ids=["empty", "text", "other type", "short"],
)
def test_files_that_are_not_idx_are_refused(idx_folder, content):
    (idx_folder / IMAGES).write_bytes(gzip.compress(content))
    assert str(idx_folder) in complaint(idx_folder)


def test_images_and_labels_of_different_number_are_refused(idx_folder):
    (idx_folder / LABELS).write_bytes(gzip.compress(struct.pack(">2i", 0x801, 11) + bytes(11)))
    message = complaint(idx_folder)
    assert "12 train images but 11 labels" in message


def test_images_in_place_of_labels_are_refused(idx_folder):
    (idx_folder / LABELS).write_bytes((idx_folder / IMAGES).read_bytes())
    assert str(idx_folder) in complaint(idx_folder)


def sums(folder):
    return "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in sorted(folder.glob("*.gz")))


def test_files_are_held_against_the_folders_hashes(idx_folder):
    (idx_folder / "SHA256SUMS").write_text(sums(idx_folder))
    prepare(idx_folder)
    content = bytearray(gzip.decompress((idx_folder / IMAGES).read_bytes()))
    content[-1] ^= 1
    (idx_folder / IMAGES).write_bytes(gzip.compress(bytes(content)))  # a good gzip file, other pixels
    message = complaint(idx_folder)
    assert IMAGES in message and "SHA256SUMS" in message


def test_a_file_that_the_hashes_list_must_be_there(idx_folder):
    (idx_folder / "SHA256SUMS").write_text(sums(idx_folder) + "0" * 64 + "  gone.txt\n")
    assert "gone.txt: missing" in complaint(idx_folder)


@pytest.mark.parametrize("change", [lambda text: text + "\n", lambda text: text.replace("  ", " *")])
def test_blank_lines_and_marks_of_binary_mode_in_the_hashes_do_no_harm(idx_folder, change):
    (idx_folder / "SHA256SUMS").write_text(change(sums(idx_folder)))
    assert prepare(idx_folder)[1]["sizes"]["train"] == 12


def test_the_embedded_images_are_whole():
    assert datasets.missing("fashion-mnist-12k", None) == []
    parts, description = datasets.prepare("fashion-mnist-12k", path=None, classes=None, image_size=32)
    assert description["sizes"] == {"train": 10000, "test": 2000}
    for part in parts.values():
        assert (np.bincount(part.labels) == len(part.labels) // 10).all()


def test_images_of_a_folder_are_resized_and_labelled_by_sorted_class(folder):
    parts, description = prepare(folder, source="folder", image_size=16)
    assert description["classes"] == ["ant", "bee"] and description["channels"] == 3
    assert parts["train"].images.shape == (6, 3, 16, 16) and parts["test"].images.shape == (4, 3, 16, 16)
    assert parts["train"].labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert (parts["train"].images[0] == np.array([100, 0, 0])[:, None, None]).all()
    assert (parts["train"].images[-1] == np.array([0, 0, 200])[:, None, None]).all()
    assert description["mean"] == pytest.approx([50 / 255, 0, 100 / 255], abs=1e-6)


def test_what_is_no_image_in_a_class_folder_is_left_out(folder):
    (folder / "train" / "ant" / "notes.txt").write_text("hello")
    (folder / "train" / "ant" / "._0.png").write_bytes(b"what some systems leave behind")
    assert prepare(folder, source="folder")[1]["sizes"]["train"] == 6
    listed = datasets.files("folder", str(folder))
    assert listed == sorted((folder / "train").glob("*/[0-9].png")) + sorted((folder / "test").glob("*/*.png"))


def test_folders_of_classes_stand_for_many_images(folder, monkeypatch):
    (folder / "train" / ".hidden").mkdir()
    monkeypatch.setattr("memloc.data.sources.MANY", 10)
    assert len(datasets.files("folder", str(folder))) == 10
    monkeypatch.setattr("memloc.data.sources.MANY", 9)
    assert datasets.files("folder", str(folder)) == [folder / p / c for p in ("train", "test") for c in ("ant", "bee")]


@pytest.mark.parametrize("shape", [(50, 37), (37, 50), (20, 33), (100, 24), (24, 24), (31, 64)])
def test_the_shorter_side_is_resized_and_the_middle_cut_out_as_torchvision_does_it(shape):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, size=(*shape, 3), dtype=np.uint8))
    expected = np.asarray(center_crop(resize(noise, [24]), [24, 24])).transpose(2, 0, 1).astype(int)
    assert np.abs(square(noise, 24) - expected).max() <= 1


def test_the_sides_of_a_long_image_are_cut_off():
    left, middle, right = (np.full((8, 8, 3), value, dtype=np.uint8) for value in (0, 100, 200))
    assert (square(Image.fromarray(np.concatenate([left, middle, right], axis=1)), 8) == 100).all()
    assert (square(Image.fromarray(np.concatenate([left, middle, right], axis=0)), 8) == 100).all()


def test_a_very_long_image_does_not_become_a_very_large_one():
    pixels = square(Image.new("RGB", (1, 60000), (1, 2, 3)), 64)
    assert np.array_equal(pixels, np.broadcast_to(np.array([1, 2, 3])[:, None, None], (3, 64, 64)))


def test_many_images_lie_in_a_file_and_are_the_same(folder, monkeypatch):
    inside = prepare(folder, source="folder", image_size=16)
    assert not isinstance(inside[0]["train"].images, np.memmap)
    monkeypatch.setattr("memloc.data.preparing.IN_MEMORY", 6 * 3 * 16 * 16 - 1)
    outside = prepare(folder, source="folder", image_size=16)
    images = outside[0]["train"].images
    assert isinstance(images, np.memmap) and not isinstance(outside[0]["test"].images, np.memmap)
    assert np.array_equal(images, inside[0]["train"].images) and outside[1] == inside[1]


def test_an_array_in_a_file_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("memloc.data.preparing.IN_MEMORY", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = in_memory("train", (2, 3), iter([np.full((2, 3), 7, dtype=np.uint8)]))
    assert list(tmp_path.iterdir()) == [] and array.sum() == 42


@pytest.mark.parametrize("source", ["folder", "fashion-mnist"])
def test_files_that_are_written_in_chunks_are_those_of_whole_arrays(source, folder, idx_folder, tmp_path, monkeypatch):
    options = {"path": str(folder if source == "folder" else idx_folder), "classes": [1, 0], "image_size": 32}
    parts, description = datasets.prepare(source, **options)
    monkeypatch.setattr("memloc.data.preparing.CHUNK", 3 * 32 * 32)
    into = {part: tmp_path / f"{part}.npy" for part in datasets.PARTS}
    written, about = datasets.write(source, into, **options)
    assert about == description
    for name, part in parts.items():
        assert len(part.images) > 1 and isinstance(written[name].images, np.memmap)
        io.save_array(part.images, tmp_path / "whole.npy")
        assert into[name].read_bytes() == (tmp_path / "whole.npy").read_bytes()
        assert description["sha256"][name] == prepared.array_sha256(part.images, part.labels)


def test_of_images_that_cannot_be_prepared_nothing_is_left(folder, tmp_path):
    (folder / "test" / "bee" / "0.png").write_bytes(b"no image")
    out = tmp_path / "out"
    with pytest.raises(InputError):
        datasets.write(
            "folder", {part: out / part for part in datasets.PARTS}, path=str(folder), classes=None, image_size=16
        )
    assert list(out.iterdir()) == []


def test_images_stay_in_order_over_threads_and_chunks():
    rows = np.random.default_rng(0).permutation(200)
    images = decode(lambda row: Image.new("RGB", (4, 4), (row, 0, 255 - row)), rows, 4)
    assert np.array_equal(images[:, 0, 0, 0], rows) and np.array_equal(images[:, 2, 3, 3], 255 - rows)


def test_of_several_unreadable_images_the_first_is_named(folder):
    for name in ("ant/2.png", "bee/0.png"):
        (folder / "train" / name).write_bytes(b"no image")
    assert str(folder / "train" / "ant" / "2.png") in complaint(folder, source="folder")


def test_images_draws_training_images_before_any_is_decoded(folder):
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


def test_images_are_drawn_among_the_classes_kept(idx_folder):
    parts, _ = prepare(idx_folder, classes=[1, 0], images=3)
    assert len(parts["train"].labels) == 3 and set(parts["train"].labels) == {0, 1}
    message = complaint(idx_folder, classes=[1, 0], images=5)
    assert "images 5" in message and "4 training images" in message


def test_a_class_that_the_draw_left_without_images_is_named(idx_folder):
    message = complaint(idx_folder, images=9)
    assert "among the 9 drawn" in message


def test_other_image_types_and_grey_images_are_read_too(folder):
    Image.new("L", (40, 40), 77).save(folder / "train" / "ant" / "9.BMP", format="BMP")
    images = prepare(folder, source="folder", image_size=16)[0]["train"].images
    assert len(images) == 7 and (images[3] == 77).all()


@pytest.mark.parametrize("content", [b"", b"no image", None], ids=["empty", "text", "truncated"])
def test_an_unreadable_image_is_named(folder, content):
    file = folder / "train" / "bee" / "1.png"
    if content is None:
        noise = np.random.default_rng(0).integers(0, 256, size=(64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)
        content = file.read_bytes()[:3000]
    file.write_bytes(content)
    message = complaint(folder, source="folder")
    assert str(file) in message and "repair or remove" in message


def test_an_image_altered_at_any_byte_is_read_or_named(folder):
    file = folder / "train" / "bee" / "1.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, size=(12, 12, 3), dtype=np.uint8)).save(file)
    data = file.read_bytes()
    named = 0
    for at in range(len(data)):
        altered = bytearray(data)
        altered[at] ^= 0x20
        file.write_bytes(bytes(altered))
        try:
            read(folder, "train", 16).pixels(np.arange(6))
        except InputError as error:
            named += str(file) in str(error)
    assert named > len(data) // 2


def test_a_folder_without_class_folders_says_where_images_go(folder):
    for child in sorted((folder / "train").glob("**/*"), reverse=True):
        child.rmdir() if child.is_dir() else child.unlink()
    message = complaint(folder, source="folder")
    assert "no class folders" in message and "<class>" in message


def test_class_folders_without_images_are_refused(folder):
    for file in (folder / "test").glob("*/*"):
        file.unlink()
    message = complaint(folder, source="folder")
    assert str(folder / "test") in message and "no images" in message


def test_a_folder_without_a_test_part_is_refused(folder):
    (folder / "test").rename(folder / "tset")
    assert str(folder / "test") in complaint(folder, source="folder")


def test_a_prepared_part_is_read_back_as_written(tmp_path):
    images, labels = np.arange(48, dtype=np.uint8).reshape(3, 1, 4, 4), np.array([2, 0, 1])
    io.save_array(images, tmp_path / "train_images.npy")
    io.save_array(labels, tmp_path / "train_labels.npy")
    part = prepared.load(tmp_path, "train")
    assert np.array_equal(part.images, images) and np.array_equal(part.labels, labels)
    with pytest.raises(InputError, match=r"test_images\.npy"):
        prepared.load(tmp_path, "test")


def test_the_hash_of_arrays_sees_shape_type_and_content():
    a = np.arange(6, dtype=np.int64)
    others = [a.reshape(2, 3), a.astype(np.int32), a[::-1], a[:5]]
    assert len({prepared.array_sha256(x) for x in [a, *others]}) == 5
    assert prepared.array_sha256(a) == prepared.array_sha256(np.arange(12)[::2] // 2)
    assert prepared.array_sha256(a, a) != prepared.array_sha256(a)
