import io as bytesio
import os
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
import yaml
from PIL import Image

from memloc import io
from memloc.data import images as scoring
from memloc.data import prepared
from memloc.data import sources as datasets
from memloc.data.images import open_images, stream
from memloc.errors import InputError
from memloc.provenance import ROOT


def noise(height, width, channels=3, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, size=(height, width, channels), dtype=np.uint8)
    return pixels if channels > 1 else pixels[..., 0]


def rows(images):
    return np.arange(len(images))


def flat(colour, mode="RGB", side=20):
    return Image.new(mode, (side, side), colour)


def complaint(text, **options):
    with pytest.raises(InputError) as caught:
        open_images(str(text), **{"size": 8, **options})
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    return root


@pytest.fixture
def read(folder):
    """Write one file by a function of its path; read it back as [3, 8, 8]."""

    def one(name, save, size=8):
        save(folder / name)
        images = open_images(str(folder), size=size)
        pixels, kept = images.read(rows(images))
        assert images.names == [name] and kept.tolist() == [0] and not images.skipped
        assert pixels.dtype == np.uint8 and pixels.shape == (1, 3, size, size)
        return pixels[0]

    return one


def is_flat(pixels, colour):
    return np.array_equal(pixels, np.broadcast_to(np.array(colour)[:, None, None], pixels.shape))


def with_transparency():
    """A palette of green, opaque in the left half, and red, clear in the right."""
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 200, 0, 250, 0, 0])
    image.paste(0, (0, 0, 10, 20))
    return image


def save_16_bits(path, value, mode="<u2"):
    Image.fromarray(np.full((20, 20), value, dtype=mode)).save(path)


EXACT = {
    "grey.png": (lambda p: flat(77, "L").save(p), (77, 77, 77)),
    "bit.png": (lambda p: flat(1, "1").save(p), (255, 255, 255)),
    "colour.png": (lambda p: flat((10, 20, 30)).save(p), (10, 20, 30)),
    "opaque.png": (lambda p: flat((10, 20, 30, 255), "RGBA").save(p), (10, 20, 30)),
    "half.png": (lambda p: flat((10, 20, 200, 51), "RGBA").save(p), (2, 4, 40)),
    "clear.png": (lambda p: flat((10, 20, 200, 0), "RGBA").save(p), (0, 0, 0)),
    "grey-half.png": (lambda p: flat((100, 51), "LA").save(p), (20, 20, 20)),
    "grey-key.png": (lambda p: flat(100, "L").save(p, transparency=100), (0, 0, 0)),
    "key.png": (lambda p: flat((9, 8, 7)).save(p, transparency=(9, 8, 7)), (0, 0, 0)),
    "palette.png": (lambda p: flat((10, 20, 30)).quantize().save(p), (10, 20, 30)),
    "white16.png": (lambda p: save_16_bits(p, 65535), (255, 255, 255)),
    "middle16.png": (lambda p: save_16_bits(p, 100 * 257), (100, 100, 100)),
    "rounded16.png": (lambda p: save_16_bits(p, 100 * 257 + 129), (101, 101, 101)),
    "16.tif": (lambda p: save_16_bits(p, 100 * 257 + 128), (100, 100, 100)),
    "big-endian16.tif": (lambda p: save_16_bits(p, 100 * 257, ">u2"), (100, 100, 100)),
    "32.tiff": (lambda p: save_16_bits(p, 65535, "<i4"), (255, 255, 255)),
    "colour.bmp": (lambda p: flat((10, 20, 30)).save(p), (10, 20, 30)),
    "colour.webp": (lambda p: flat((10, 20, 30)).save(p, lossless=True), (10, 20, 30)),
    "half.webp": (lambda p: flat((10, 20, 200, 51), "RGBA").save(p, lossless=True), (2, 4, 40)),
    "colour.tiff": (lambda p: flat((10, 20, 30)).save(p), (10, 20, 30)),
    "colour.gif": (lambda p: flat((10, 20, 30)).save(p), (10, 20, 30)),
    "grey.jpg": (lambda p: flat(77, "L").save(p), (77, 77, 77)),
    "CAPITALS.JPEG": (lambda p: flat(77, "L").save(p), (77, 77, 77)),
    "cmyk.jpg": (lambda p: flat((0, 0, 0, 255), "CMYK").save(p), (0, 0, 0)),
    "really-a-jpeg.png": (lambda p: flat(77, "L").save(p, format="JPEG"), (77, 77, 77)),
}


@pytest.mark.parametrize("name", list(EXACT))
def test_each_type_of_image_becomes_three_channels(read, name):
    save, colour = EXACT[name]
    assert is_flat(read(name, save), colour)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_jpeg_gives_what_pil_decodes(read, mode):
    image = Image.fromarray(noise(16, 16)).convert(mode)
    stored = bytesio.BytesIO()
    image.save(stored, format="JPEG")
    expected = np.asarray(Image.open(stored).convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(read("a.jpg", lambda p: p.write_bytes(stored.getvalue()), size=16), expected)


@pytest.mark.parametrize("name", ["clear.png", "clear.gif"])
def test_clear_palette_entries_are_black(read, name):
    pixels = read(name, lambda p: with_transparency().save(p, transparency=1), size=20)
    assert is_flat(pixels[..., :10], (0, 200, 0)) and is_flat(pixels[..., 10:], (0, 0, 0))


@pytest.mark.parametrize("name", ["moves.gif", "moves.webp", "moves.png", "pages.tif"])
def test_of_an_animation_the_first_frame_counts(read, name):
    frames = [flat(c) for c in ((10, 20, 30), (200, 0, 0), (0, 200, 0))]
    lossless = {"lossless": True} if name.endswith("webp") else {}
    assert is_flat(
        read(name, lambda p: frames[0].save(p, save_all=True, append_images=frames[1:], **lossless)), (10, 20, 30)
    )


def test_orientation_of_exif_is_left_alone(read):
    pixels = noise(8, 8)
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter
    found = read("a.png", lambda p: Image.fromarray(pixels).save(p, exif=exif))
    assert np.array_equal(found, pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_the_size_asked_for_comes_pixel_by_pixel(read, channels):
    pixels = noise(8, 8, channels)
    expected = np.broadcast_to(pixels.reshape(8, 8, channels).transpose(2, 0, 1), (3, 8, 8))
    assert np.array_equal(read("a.png", lambda p: Image.fromarray(pixels).save(p)), expected)


def test_the_middle_is_cut_out(read):
    pixels = noise(8, 20)
    assert np.array_equal(read("a.png", lambda p: Image.fromarray(pixels).save(p)), pixels[:, 6:14].transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(31, 50), (50, 31), (7, 9), (100, 20), (64, 64)])
def test_geometry_is_torchvisions(read, shape):
    from torchvision.transforms.v2.functional import center_crop, resize

    image = Image.fromarray(noise(*shape))
    expected = np.asarray(center_crop(resize(image, [16]), [16])).transpose(2, 0, 1).astype(int)
    assert np.abs(read("a.png", lambda p: image.save(p), size=16) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1), (1, 1)])
def test_a_very_long_image_stays_small(read, shape):
    assert is_flat(read("a.png", lambda p: Image.new("L", shape, 9).save(p), size=64), (9, 9, 9))


def bomb(width, height):
    """A PNG of which nothing but the header is there."""
    header = b"IHDR" + struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def encoded(image, form, **options):
    stored = bytesio.BytesIO()
    image.save(stored, format=form, **options)
    return stored.getvalue()


BAD = {
    "empty.png": (b"", "empty file"),
    "text.png": (b"no image\nat all", "not an image"),
    "zeros.jpg": (bytes(5000), "not an image"),
    "truncated.jpg": (encoded(Image.fromarray(noise(64, 64)), "JPEG")[:1500], "truncated"),
    "truncated.png": (encoded(Image.fromarray(noise(64, 64)), "PNG")[:3000], "truncated"),
    "truncated.bmp": (encoded(Image.fromarray(noise(64, 64)), "BMP")[:3000], "truncated"),
    "bomb.png": (bomb(60_000, 60_000), "too many pixels"),
    "warned.png": (bomb(10_000, 10_000), "too many pixels"),
    "float.tif": (encoded(flat(0.5, "F"), "TIFF"), "32-bit float"),
    "wide.tif": (encoded(flat(65536, "I"), "TIFF"), "beyond 16 bits"),
    "negative.tif": (encoded(flat(-1, "I"), "TIFF"), "beyond 16 bits"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not an image"),
}


@pytest.mark.parametrize("filters", ["error", "ignore"])
@pytest.mark.parametrize("name", list(BAD))
def test_what_cannot_be_read_is_skipped_with_a_reason(folder, name, filters):
    content, reason = BAD[name]
    (folder / name).write_bytes(content)
    flat((1, 2, 3)).save(folder / "a.png")
    flat((4, 5, 6)).save(folder / "zz.png")
    images = open_images(str(folder), size=8)
    with warnings.catch_warnings():
        warnings.simplefilter(filters)  # PIL only warns of some; what comes out must not hang on that
        pixels, kept = images.read(rows(images))
    assert kept.tolist() == [0, 2] and is_flat(pixels[0], (1, 2, 3)) and is_flat(pixels[1], (4, 5, 6))
    assert list(images.skipped) == [1] and reason in images.skipped[1] and "\n" not in images.skipped[1]


@pytest.mark.parametrize("name", list(BAD))
def test_strict_mode_names_the_file(folder, name):
    content, reason = BAD[name]
    (folder / name).write_bytes(content)
    images = open_images(str(folder), size=8, strict=True)
    for call in (lambda: images.read(rows(images)), lambda: list(stream(images, rows(images), batch=2))):
        with pytest.raises(InputError) as caught:
            call()
        message = str(caught.value)
        assert name in message and reason in message and "remove it" in message and "\n" not in message


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
def test_an_altered_file_is_read_or_skipped(folder, form):
    data, rng = encoded(Image.fromarray(noise(12, 12)), form), np.random.default_rng(0)
    for _ in range(150):
        altered = bytearray(data)
        altered[rng.integers(len(data))] ^= rng.integers(1, 256)
        (folder / "a.png").write_bytes(altered)
        images = open_images(str(folder), size=8)
        assert len(images.read(np.array([0]))[1]) + len(images.skipped) == 1


def test_a_file_that_went_away_a_broken_link_and_a_pipe_are_skipped(folder):
    for name in ("a.png", "gone.png"):
        flat((1, 2, 3)).save(folder / name)
    (folder / "link.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    images = open_images(str(folder), size=8)
    (folder / "gone.png").unlink()
    assert images.read(rows(images))[1].tolist() == [0]
    assert {images.names[row]: reason for row, reason in images.skipped.items()} == {
        "gone.png": "No such file or directory",
        "link.png": "No such file or directory",
        "pipe.png": "not a file",
    }


def test_reading_none_that_can_be_read_gives_an_empty_array(folder):
    (folder / "a.png").write_bytes(b"")
    pixels, kept = open_images(str(folder), size=8).read(np.array([0]))
    assert pixels.shape == (0, 3, 8, 8) and kept.shape == (0,) and kept.dtype == np.int64


def put(folder, *names):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        flat((i, 0, 0), side=8).save(folder / name, format="PNG")


def test_names_are_sorted_relative_paths_and_rows_follow_them(folder):
    put(folder, "b/2.png", "b/10.png", "a/deep/er/1.PNG", "b.png", "a b/1.png", "a/1.jpg")
    (folder / "notes.txt").write_text("no image")
    images = open_images(str(folder), size=8)
    assert images.names == ["a b/1.png", "a/1.jpg", "a/deep/er/1.PNG", "b.png", "b/10.png", "b/2.png"]
    assert len(images) == 6 and images.channels == 3 and images.size == 8
    pixels, kept = images.read(np.array([5, 0, 3]))
    assert pixels[:, 0, 0, 0].tolist() == [0, 4, 3] and kept.tolist() == [5, 0, 3]


def test_hidden_files_and_folders_are_left_out_but_the_folder_itself_may_be_hidden(tmp_path):
    put(tmp_path / ".images", "a.png", ".b.png", "._a.png", ".c/d.png", "e/.f/g.png")
    assert open_images(str(tmp_path / ".images"), size=8).names == ["a.png"]


def test_links_to_files_and_folders_are_followed_and_loops_end(tmp_path, folder):
    put(tmp_path, "elsewhere/1.png", "elsewhere/deep/2.png", "stray.png")
    put(folder, "real/3.png")
    (folder / "4.png").symlink_to(folder / "real" / "3.png")
    for name, target in {
        "other": tmp_path / "elsewhere",
        "real/again": tmp_path / "elsewhere",
        "real/loop": folder,
        "alias": folder / "real",
        "up": tmp_path,
        "self": folder / "self",
    }.items():
        (folder / name).symlink_to(target)
    assert open_images(str(folder), size=8).names == ["4.png", "other/1.png", "other/deep/2.png", "real/3.png"]


@pytest.mark.parametrize(
    ("names", "classes", "labels"),
    [
        (["b/1.png", "a/2.png", "a/deep/3.png"], ["a", "b"], [0, 0, 1]),
        (["a b/1.png", "a/1.png"], ["a", "a b"], [1, 0]),
        (["a/1.png", "a/b/1.png"], [], None),
        (["a/1.png", "b/1.png", "c.png"], [], None),
        (["1.png", "2.png"], [], None),
    ],
)
def test_labels_are_the_first_folders_where_all_images_are_in_several(folder, names, classes, labels):
    put(folder, *names)
    (folder / "no images").mkdir()
    images = open_images(str(folder), size=8)
    assert images.classes == classes
    assert (None if images.labels is None else images.labels.tolist()) == labels
    assert labels is None or images.labels.dtype == np.int64


ODD = ["new\nline.png", "<script>alert(1)<script>.png", "  .png", "é ü 漢字 🙂.png", "'\".png", "%s{0}.png", "-rf.png"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_stay_as_they_are_and_errors_one_line(folder, name):
    put(folder, name)
    images = open_images(str(folder), size=8, strict=True)
    assert images.names == [name] and len(images.read(np.array([0]))[1]) == 1
    (folder / name).write_bytes(b"")
    with pytest.raises(InputError) as caught:
        images.read(np.array([0]))
    assert "\n" not in str(caught.value) and "empty file" in str(caught.value)


def test_a_name_that_is_not_utf8_is_read_and_can_be_written_down(folder):
    put(folder, os.fsdecode(b"caf\xe9.png"), "b.png")
    images = open_images(str(folder), size=8)
    assert images.names == ["b.png", r"caf\udce9.png"]
    assert images.read(rows(images))[1].tolist() == [0, 1]


def test_the_hash_sees_names_sizes_and_times_but_not_the_size_asked_for(folder):
    put(folder, "a.png", "b.png")

    def sha(size=8):
        return open_images(str(folder), size=size).sha256

    seen = [sha()]
    assert sha(16) == seen[0] and len(seen[0]) == 64
    os.utime(folder / "a.png", ns=(0, 5))
    seen.append(sha())
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes() + b"0")
    os.utime(folder / "a.png", ns=(0, 5))
    seen.append(sha())
    (folder / "a.png").rename(folder / "c.png")
    seen.append(sha())
    (folder / "b.png").unlink()
    seen.append(sha())
    assert len(set(seen)) == 5


def test_many_files_are_listed_without_being_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "decode", None)
    for i in range(20):
        (tmp_path / str(i)).mkdir()
        for j in range(500):
            (tmp_path / str(i) / f"{j}.png").touch()
    started = time.perf_counter()
    assert len(open_images(str(tmp_path), size=8)) == 10_000
    assert time.perf_counter() - started < 2


def test_thumbnails_are_of_the_image_itself_and_never_enlarged(folder):
    pixels = noise(40, 60)
    Image.fromarray(pixels).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"")
    images = open_images(str(folder), size=8)
    assert np.array_equal(images.thumbnail(0, 64), pixels[:, 10:50].transpose(2, 0, 1))
    assert images.thumbnail(0, 16).shape == (3, 16, 16)
    with pytest.raises(InputError, match=r"b\.png: empty file"):
        images.thumbnail(1, 16)


# --- What can't be opened --------------------------------------------------------------------------------------------


def test_an_empty_folder_says_what_it_should_hold(folder):
    (folder / "notes.txt").write_text("no image")
    message = complaint(folder)
    assert str(folder) in message and "no images" in message and ".gif" in message


def test_a_file_is_no_folder(folder):
    put(folder, "a.png")
    assert "is a file" in complaint(folder / "a.png")


def test_a_missing_folder_is_named(tmp_path):
    message = complaint(tmp_path / "nowhere", config=tmp_path / "config.yaml")
    assert str(tmp_path / "nowhere") in message and "no such folder" in message


@pytest.mark.parametrize("below", ["", "closed"])
def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch, below):
    put(folder, "a.png", "closed/b.png")
    scandir = os.scandir

    def closed(path):
        if path == str(folder / below):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    message = complaint(folder)
    assert f"{folder / below}: can't be read (Permission denied)" in message


@pytest.mark.parametrize("text", ["", "new\nline", "nul\0", "x" * 5000, "café/x"])
def test_texts_that_are_no_names_are_refused(text, tmp_path):
    assert "images: " in complaint(text, config=tmp_path / "config.yaml")


def test_a_part_that_does_not_exist_is_refused(folder):
    assert "'val' is none of train, test" in complaint(folder, part="val")


@pytest.fixture
def config(tmp_path):
    """A configuration of one small dataset of six training and four test images."""
    root = tmp_path / "raw"
    for part, n in (("train", 3), ("test", 2)):
        for label, name in enumerate(("ant", "bee")):
            (root / part / name).mkdir(parents=True)
            for i in range(n):
                Image.fromarray(noise(20, 20, seed=10 * i + label)).save(root / part / name / f"{i}.png")
    entry = {"source": "folder", "path": str(root), "image_size": 16}
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump({"datasets": {"insects": entry, "others": {"source": "nonsense"}}}))
    return path


def test_an_unknown_name_is_told_what_there_is(config):
    message = complaint("insect", config=config)
    assert "'insect'" in message and "did you mean insects?" in message and "insects, others" in message
    assert "did you mean" not in complaint("zzz", config=config)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"datasets: [", "can't be read"),
        (b"\xff\xfe\0", "can't be read"),
        (b"!!python/object/apply:os.getcwd []", "can't be read"),
        (b"a: 2001-99-99", "can't be read"),
        (b"", "no datasets"),
        (b"- a", "no datasets"),
        (b"datasets: x", "no datasets"),
        (b"datasets: {x: 3}", "needs a source"),
        (b"datasets: {x: {source: [folder], image_size: 16}}", "needs a source"),
        (b"datasets: {x: {source: folder, path: a, image_size: big}}", "needs a source"),
        (b"datasets: {x: {source: folder, path: 3, image_size: 16}}", "needs a source"),
        (b"datasets: {x: {source: folder, path: a, image_size: 16, classes: [a]}}", "needs a source"),
        (b"datasets: {x: {source: folder, path: nowhere, image_size: 16}}", "nowhere"),
    ],
)
def test_a_configuration_that_does_not_say_is_named(tmp_path, content, reason):
    path = tmp_path / "my.yaml"
    path.write_bytes(content)
    assert reason in complaint("x", config=path)


def test_a_folder_in_place_of_the_configuration_is_refused(tmp_path):
    assert "can't be read" in complaint("x", config=tmp_path)


# --- Datasets --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path, config):
    """That dataset prepared, as scripts/prepare_dataset.py does it."""
    entry = yaml.safe_load(config.read_text())["datasets"]["insects"]
    parts, description = datasets.prepare("folder", path=entry["path"], classes=None, image_size=16)
    return save(tmp_path / "prepared", parts, description)


def save(folder, parts, description):
    for name, part in parts.items():
        io.save_array(part.images, folder / f"{name}_images.npy")
        io.save_array(part.labels, folder / f"{name}_labels.npy")
    io.save_json(description, folder / "dataset.json")
    return folder


def made(folder, images, labels):
    """A prepared training part of these images."""
    part = prepared.Part(images, np.asarray(labels, dtype=np.int64))
    description = {"classes": ["a", "b"], "sha256": {"train": prepared.array_sha256(part.images, part.labels)}}
    return save(folder, {"train": part}, description)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_prepared_dataset_and_its_name_give_the_same(stored, config, part):
    expected = prepared.load(stored, part)
    for images in (
        open_images(str(stored), size=16, part=part),
        open_images("insects", size=16, part=part, config=config),
    ):
        assert images.names == [f"{part}/{i}" for i in range(len(expected.labels))]
        assert images.labels.tolist() == expected.labels.tolist() and images.classes == ["ant", "bee"]
        assert images.sha256 == io.load_json(stored / "dataset.json")["sha256"][part]
        order = np.array([3, 0, 1, 2, 0])
        pixels, kept = images.read(order[order < len(images)])
        assert np.array_equal(pixels, expected.images[order]) and kept.tolist() == order.tolist()
        assert np.array_equal(images.thumbnail(1, 99), expected.images[1])


def test_the_repositorys_own_dataset_is_found_by_name():
    images = open_images("fashion", size=32, part="test", config=ROOT / "config.yaml")
    assert len(images) == 1200 and images.channels == 1 and images.classes[1] == "Trouser"
    assert images.read(np.array([7]))[0].shape == (1, 1, 32, 32)


def test_a_folder_goes_before_a_dataset_of_that_name(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "insects", "a.png")
    assert open_images("insects", size=8, config=config).names == ["a.png"]


@pytest.mark.parametrize("channels", [1, 3])
def test_stored_images_are_resized_where_another_size_is_asked_for(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, size=(3, channels, 16, 16), dtype=np.uint8)
    images = open_images(str(made(tmp_path / "p", pixels, [0, 1, 0])), size=24)
    found, _ = images.read(np.array([2, 1]))
    assert found.shape == (2, channels, 24, 24) and images.channels == channels
    for image, row in zip(found, (2, 1), strict=True):
        for band, expected in zip(image, pixels[row], strict=True):
            assert np.array_equal(
                band, np.asarray(Image.fromarray(expected).resize((24, 24), Image.Resampling.BILINEAR))
            )
    assert images.thumbnail(0, 8).shape == (channels, 8, 8) and images.thumbnail(0, 99).shape == (channels, 16, 16)


def test_an_altered_prepared_dataset_is_refused(stored):
    images = np.array(io.load_array(stored / "train_images.npy"))
    images[3, 0, 0, 0] ^= 1
    io.save_array(images, stored / "train_images.npy")
    assert "altered" in complaint(stored)
    assert len(open_images(str(stored), size=16, part="test")) == 4


def test_altered_labels_are_refused(stored):
    io.save_array(np.array([1, 0, 0, 1, 1, 1]), stored / "train_labels.npy")
    assert "altered" in complaint(stored)


@pytest.mark.parametrize("name", ["train_images.npy", "train_labels.npy", "dataset.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_prepared_dataset_that_is_not_whole_is_named(stored, name, content):
    (stored / name).unlink()
    if content is not None:
        (stored / name).write_bytes(content)
    message = complaint(stored)
    assert name in message
    assert "no train part" in message if (name, content) == ("train_images.npy", None) else "delete it" in message


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 1, 4, 4)),
        np.zeros((2, 4, 4), np.uint8),
        np.zeros((2, 2, 4, 4), np.uint8),
        np.zeros((2, 1, 4, 5), np.uint8),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, images):
    assert "not bytes of square images" in complaint(made(tmp_path / "p", images, [0, 1]))


@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (2, 1, 0, 0)])
def test_arrays_without_images_are_refused(tmp_path, shape):
    assert "no images" in complaint(made(tmp_path / "p", np.zeros(shape, np.uint8), np.zeros(shape[0])))


@pytest.mark.parametrize("bad", [[-1], [6], [0, 99]])
def test_rows_that_do_not_exist_are_an_error(stored, folder, bad):
    put(folder, *(f"{i}.png" for i in range(6)))
    for place in (stored, folder):
        with pytest.raises(IndexError):
            open_images(str(place), size=16).read(np.array(bad))


def test_memory_does_not_grow_with_the_number_of_stored_images(tmp_path):
    place = made(tmp_path / "p", np.ones((50_000, 3, 32, 32), np.uint8), np.zeros(50_000))
    code = f"""
import numpy as np
import psutil
from memloc.scoring.images import open_images, stream
process = psutil.Process()
before = process.memory_info().rss
peak = total = 0
images = open_images({str(place)!r}, size=32)
for pixels, _ in stream(images, np.arange(50_000), batch=256):
    total += int(pixels[:, 0, 0, 0].sum())
    peak = max(peak, process.memory_info().rss)
assert total == 50_000
print((peak - before) / 1e6)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert float(out.stdout) < 80  # of 154 MB


# --- Windows ---------------------------------------------------------------------------------------------------------


def test_windows_are_the_rows_cut_up_whatever_the_threads(folder):
    for i in range(75):
        Image.fromarray(noise(9, 12, seed=i)).save(folder / f"{i:02}.png")
    for i in (3, 8, 9, 10, 11, 60):
        (folder / f"{i:02}.png").write_bytes(b"")
    order = np.random.default_rng(0).permutation(75)
    results = []
    for threads, batch in ((1, 40), (2, 40), (7, 40)):
        images = open_images(str(folder), size=8)
        results.append(([*stream(images, order, batch=batch, threads=threads)], list(images.skipped.items())))
    everything, kept = open_images(str(folder), size=8).read(order)
    for windows, skipped in results:
        assert len(windows) == 2 and skipped == results[0][1]
        assert [row for row, _ in skipped] == [row for row in order if row in (3, 8, 9, 10, 11, 60)]
        for (_, found), part in zip(windows, (order[:40], order[40:]), strict=True):
            assert found.tolist() == [row for row in part if row in kept] and found.dtype == np.int64
        assert np.array_equal(np.concatenate([pixels for pixels, _ in windows]), everything)


def test_stored_images_stream_in_the_order_asked_for(stored):
    images = open_images(str(stored), size=16)
    order = np.array([5, 4, 3, 0, 1])
    windows = list(stream(images, order, batch=2))
    assert [found.tolist() for _, found in windows] == [[5, 4], [3, 0], [1]]
    assert np.array_equal(
        np.concatenate([pixels for pixels, _ in windows]), prepared.load(stored, "train").images[order]
    )


def test_a_window_of_unreadable_images_is_empty(folder):
    put(folder, "a.png", "b.png", "c.png", "d.png", "e.png")
    for name in ("c.png", "d.png"):
        (folder / name).write_bytes(b"")
    windows = list(stream(open_images(str(folder), size=8), np.arange(5), batch=2))
    assert [found.tolist() for _, found in windows] == [[0, 1], [], [4]]
    assert windows[1][0].shape == (0, 3, 8, 8)


def test_no_rows_are_no_windows(stored):
    assert list(stream(open_images(str(stored), size=16), np.array([], dtype=np.int64), batch=4)) == []


class Slow(scoring.Images):
    """Images that note which of them were read, and fail at one."""

    def __init__(self, count, fails=None, wait=0.0):
        super().__init__([str(i) for i in range(count)], None, [], channels=1, size=1, sha256="")
        self.seen, self.fails, self.wait = set(), fails, wait

    def load(self, rows):
        time.sleep(self.wait)
        self.seen.update(rows.tolist())
        if self.fails is not None and self.fails in rows:
            raise self.error
        return np.zeros((len(rows), 1, 1, 1), np.uint8), rows, {}

    error = KeyError("a bug")

    def thumbnail(self, row, side):
        raise NotImplementedError


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("memloc-images")]


def test_two_windows_are_read_ahead_and_no_more():
    images = Slow(1000)
    windows = stream(images, np.arange(1000), batch=10)
    for i in range(3):
        next(windows)
        expected = set(range(10 * (i + 3)))
        deadline = time.monotonic() + 10
        while images.seen != expected and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert images.seen == expected
    windows.close()


def test_threads_end_with_the_windows_and_where_they_are_left_early():
    images = Slow(1000)
    for _ in stream(images, np.arange(1000), batch=100):
        assert readers()
    assert not readers()
    windows = stream(Slow(100_000, wait=0.01), np.arange(100_000), batch=10_000)
    assert not readers()
    next(windows)
    assert readers()
    started = time.monotonic()
    windows.close()
    assert not readers() and time.monotonic() - started < 1  # 600 chunks would take 1.5 seconds


def test_an_error_in_a_thread_comes_out_as_it_is_and_in_its_turn():
    images = Slow(100, fails=55)
    windows = stream(images, np.arange(100), batch=10)
    for i in range(5):
        assert next(windows)[1][0] == 10 * i
    with pytest.raises(KeyError) as caught:
        next(windows)
    assert caught.value is images.error and not readers()


def test_skipped_holds_only_what_was_handed_over(folder):
    put(folder, *(f"{i}.png" for i in range(6)))
    for i in (1, 4):
        (folder / f"{i}.png").write_bytes(b"")
    images = open_images(str(folder), size=8)
    windows = stream(images, np.arange(6), batch=2)
    next(windows)
    windows.close()
    assert list(images.skipped) == [1]
