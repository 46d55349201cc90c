"""Folders of image files: what each type of file becomes, which files there are and what can't be read."""

import builtins
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from memloc.data import image_folder
from memloc.data.images import stream
from memloc.data.opening import open_images
from memloc.errors import InputError
from tests.builders.complaints import complaint
from tests.builders.pictures import bomb, encoded, flat, is_flat, noise, put


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    return root


@pytest.fixture
def read(folder):
    """Write one file by a function of its path; read it back as [3, size, size]."""

    def one(name, save, size=8):
        save(folder / name)
        images = open_images(str(folder), size=size)
        pixels, readable = images.read(np.arange(len(images)))
        assert images.names == [name] and readable.tolist() == [0] and not images.skipped
        assert pixels.dtype == np.uint8 and pixels.shape == (1, 3, size, size)
        return pixels[0]

    return one


# --- Types -----------------------------------------------------------------------------------------------------------


def with_transparency():
    """A palette of green, opaque in the left half, and red, clear in the right."""
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 200, 0, 250, 0, 0])
    image.paste(0, (0, 0, 10, 20))
    return image


def of_16_bits(value, mode="<u2"):
    return Image.fromarray(np.full((20, 20), value, dtype=mode))


GREY, COLOUR, HALF = flat(77, "L"), flat((10, 20, 30)), flat((10, 20, 200, 51), "RGBA")
EXACT = {
    "grey.png": (GREY, {}, (77, 77, 77)),
    "bit.png": (flat(1, "1"), {}, (255, 255, 255)),
    "colour.png": (COLOUR, {}, (10, 20, 30)),
    "opaque.png": (flat((10, 20, 30, 255), "RGBA"), {}, (10, 20, 30)),
    "half.png": (HALF, {}, (2, 4, 40)),
    "clear.png": (flat((10, 20, 200, 0), "RGBA"), {}, (0, 0, 0)),
    "grey-half.png": (flat((100, 51), "LA"), {}, (20, 20, 20)),
    "grey-key.png": (flat(100, "L"), {"transparency": 100}, (0, 0, 0)),
    "key.png": (flat((9, 8, 7)), {"transparency": (9, 8, 7)}, (0, 0, 0)),
    "palette.png": (COLOUR.quantize(), {}, (10, 20, 30)),
    "white16.png": (of_16_bits(65535), {}, (255, 255, 255)),
    "middle16.png": (of_16_bits(100 * 257), {}, (100, 100, 100)),
    "rounded16.png": (of_16_bits(100 * 257 + 129), {}, (101, 101, 101)),
    "16.tif": (of_16_bits(100 * 257 + 128), {}, (100, 100, 100)),
    "big-endian16.tif": (of_16_bits(100 * 257, ">u2"), {}, (100, 100, 100)),
    "32.tiff": (of_16_bits(65535, "<i4"), {}, (255, 255, 255)),
    "colour.bmp": (COLOUR, {}, (10, 20, 30)),
    "colour.webp": (COLOUR, {"lossless": True}, (10, 20, 30)),
    "half.webp": (HALF, {"lossless": True}, (2, 4, 40)),
    "colour.tiff": (COLOUR, {}, (10, 20, 30)),
    "colour.gif": (COLOUR, {}, (10, 20, 30)),
    "grey.jpg": (GREY, {}, (77, 77, 77)),
    "CAPITALS.JPEG": (GREY, {}, (77, 77, 77)),
    "cmyk.jpg": (flat((0, 0, 0, 255), "CMYK"), {}, (0, 0, 0)),
    "really-a-jpeg.png": (GREY, {"format": "JPEG"}, (77, 77, 77)),
}
MOVES = {"save_all": True, "append_images": [flat((200, 0, 0)), flat((0, 200, 0))], "lossless": True}
EXACT |= dict.fromkeys(("moves.gif", "moves.webp", "moves.png", "pages.tif"), (COLOUR, MOVES, (10, 20, 30)))


@pytest.mark.parametrize("name", EXACT)
def test_each_type_of_image_becomes_three_channels_of_its_first_frame(read, name):
    image, options, colour = EXACT[name]
    assert is_flat(read(name, lambda path: image.save(path, **options)), colour)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_jpeg_is_decoded_as_by_pil(read, folder, mode):
    pixels = read("a.jpg", Image.fromarray(noise(16, 16)).convert(mode).save, size=16)
    assert np.array_equal(pixels, np.asarray(Image.open(folder / "a.jpg").convert("RGB")).transpose(2, 0, 1))


@pytest.mark.parametrize("name", ["clear.png", "clear.gif"])
def test_clear_palette_entries_are_black(read, name):
    pixels = read(name, lambda path: with_transparency().save(path, transparency=1), size=20)
    assert is_flat(pixels[..., :10], (0, 200, 0)) and is_flat(pixels[..., 10:], (0, 0, 0))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width", [8, 20])
def test_images_of_the_requested_height_come_pixel_by_pixel_from_the_middle_and_without_exifs_orientation(
    read, width, channels
):
    pixels, exif = noise(8, width, channels), Image.Exif()
    exif[274] = 6  # a quarter turn
    middle = pixels.reshape(8, width, channels)[:, (width - 8) // 2 :][:, :8].transpose(2, 0, 1)
    found = read("a.png", lambda path: Image.fromarray(pixels).save(path, exif=exif))
    assert np.array_equal(found, np.broadcast_to(middle, (3, 8, 8)))


# --- Files that can't be read ----------------------------------------------------------------------------------------


def truncated(form, size):
    return encoded(Image.fromarray(noise(64, 64)), form)[:size]


BAD = {
    "empty.png": (b"", "empty file"),
    "text.png": (b"no image\nat all", "not an image"),
    "zeros.jpg": (bytes(5000), "not an image"),
    "truncated.jpg": (truncated("JPEG", 1500), "truncated"),
    "truncated.png": (truncated("PNG", 3000), "truncated"),
    "truncated.bmp": (truncated("BMP", 3000), "truncated"),
    "bomb.png": (bomb(60_000, 60_000), "too many pixels"),
    "warned.png": (bomb(10_000, 10_000), "too many pixels"),
    "float.tif": (encoded(flat(0.5, "F"), "TIFF"), "32-bit float"),
    "wide.tif": (encoded(flat(65536, "I"), "TIFF"), "beyond 16 bits"),
    "negative.tif": (encoded(flat(-1, "I"), "TIFF"), "beyond 16 bits"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not an image"),
}


@pytest.mark.parametrize("filters", ["error", "ignore"])
@pytest.mark.parametrize("name", BAD)
def test_unreadable_files_are_skipped_with_a_reason_and_named_in_strict_mode(folder, name, filters):
    content, reason = BAD[name]
    (folder / name).write_bytes(content)
    flat((1, 2, 3)).save(folder / "a.png")
    flat((4, 5, 6)).save(folder / "zz.png")
    images, strict = (open_images(str(folder), size=8, strict=value) for value in (False, True))
    with warnings.catch_warnings():
        warnings.simplefilter(filters)  # PIL only warns of some; the result must not depend on that
        pixels, readable = images.read(np.arange(3))
        messages = [
            complaint(strict.read, np.arange(3)),
            complaint(lambda: list(stream(strict, np.arange(3), batch=2))),
        ]
    assert readable.tolist() == [0, 2] and is_flat(pixels[0], (1, 2, 3)) and is_flat(pixels[1], (4, 5, 6))
    assert list(images.skipped) == [1] and reason in images.skipped[1] and "\n" not in images.skipped[1]
    assert all(name in message and reason in message and "remove it" in message for message in messages)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
def test_an_altered_file_is_read_or_skipped(folder, form):
    data, rng = encoded(Image.fromarray(noise(12, 12)), form), np.random.default_rng(0)
    for _ in range(150):
        altered = bytearray(data)
        altered[rng.integers(len(data))] ^= rng.integers(1, 256)
        (folder / "a.png").write_bytes(altered)
        images = open_images(str(folder), size=8)
        assert len(images.read(np.array([0]))[1]) + len(images.skipped) == 1


def test_a_removed_file_a_broken_link_and_a_pipe_are_skipped(folder):
    put(folder, "a.png", "gone.png")
    (folder / "link.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    images = open_images(str(folder), size=8)
    (folder / "gone.png").unlink()
    assert images.read(np.arange(4))[1].tolist() == [0]
    assert {images.names[row]: reason for row, reason in images.skipped.items()} == {
        "gone.png": "No such file or directory",
        "link.png": "No such file or directory",
        "pipe.png": "not a file",
    }


def test_without_a_readable_row_the_array_is_empty(folder):
    put(folder, bad=("a.png",))
    pixels, readable = open_images(str(folder), size=8).read(np.array([0]))
    assert pixels.shape == (0, 3, 8, 8) and readable.shape == (0,) and readable.dtype == np.int64


# --- Which files -----------------------------------------------------------------------------------------------------


def test_names_are_sorted_relative_paths_and_rows_follow_them(folder):
    put(folder, "b/2.png", "b/10.png", "a/deep/er/1.PNG", "b.png", "a b/1.png", "a/1.jpg")
    (folder / "notes.txt").write_text("no image")
    images = open_images(str(folder), size=8)
    assert images.names == ["a b/1.png", "a/1.jpg", "a/deep/er/1.PNG", "b.png", "b/10.png", "b/2.png"]
    assert len(images) == 6 and images.channels == 3 and images.size == 8
    pixels, readable = images.read(np.array([5, 0, 3]))
    assert pixels[:, 0, 0, 0].tolist() == [0, 4, 3] and readable.tolist() == [5, 0, 3]


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
def test_odd_names_are_unchanged_and_their_errors_one_line(folder, name):
    put(folder, name)
    images = open_images(str(folder), size=8, strict=True)
    assert images.names == [name] and len(images.read(np.array([0]))[1]) == 1
    put(folder, bad=(name,))
    assert "empty file" in complaint(images.read, np.array([0]))


def test_a_name_that_is_not_utf8_is_read_and_can_be_written_down(folder):
    put(folder, os.fsdecode(b"caf\xe9.png"), "b.png")
    images = open_images(str(folder), size=8)
    assert images.names == ["b.png", r"caf\udce9.png"]
    assert images.read(np.arange(2))[1].tolist() == [0, 1]


def test_the_hash_depends_on_names_and_contents_but_not_on_times_or_the_requested_size(folder):
    put(folder, "a.png", "b.png")
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes() + b"1")

    def sha(size=8):
        return open_images(str(folder), size=size).sha256

    hashes = [sha()]
    os.utime(folder / "a.png", ns=(0, 5))
    assert sha() == sha(16) == hashes[0] and len(hashes[0]) == 64
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes() + b"0")
    hashes.append(sha())
    for old, new in (("a", "c"), ("b", "a"), ("c", "b")):  # They are exchanged; sizes are the same.
        (folder / f"{old}.png").rename(folder / f"{new}.png")
    hashes.append(sha())
    (folder / "b.png").rename(folder / "c.png")
    hashes.append(sha())
    (folder / "a.png").unlink()
    hashes.append(sha())
    assert len(set(hashes)) == 5


def test_the_hash_of_a_large_folder_depends_on_names_sizes_and_times_and_that_is_said(folder, monkeypatch):
    monkeypatch.setattr(image_folder, "HASHED", 0)
    put(folder, "a.png", "b.png")
    assert any("by their names, sizes and times" in line for line in open_images(str(folder), size=8).taken("set"))

    def sha(size=8):
        return open_images(str(folder), size=size).sha256

    hashes = [sha()]
    assert sha(16) == hashes[0] and len(hashes[0]) == 64
    os.utime(folder / "a.png", ns=(0, 5))
    hashes.append(sha())
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes() + b"0")
    os.utime(folder / "a.png", ns=(0, 5))
    hashes.append(sha())
    (folder / "a.png").rename(folder / "c.png")
    hashes.append(sha())
    (folder / "b.png").unlink()
    hashes.append(sha())
    assert len(set(hashes)) == 5


def test_files_of_a_large_folder_are_listed_without_being_opened(folder, monkeypatch):
    monkeypatch.setattr(image_folder, "HASHED", 0)
    put(folder, "a/1.png", "a/2.png", "b/1.png")
    monkeypatch.setattr(builtins, "open", lambda *_, **__: pytest.fail("a file was opened"))
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("an image was opened"))
    assert len(open_images(str(folder), size=8)) == 3


def test_thumbnails_are_made_from_the_whole_image_and_never_enlarged(folder):
    pixels = noise(40, 60)
    Image.fromarray(pixels).save(folder / "a.png")
    put(folder, bad=("b.png",))
    images = open_images(str(folder), size=8)
    assert np.array_equal(images.thumbnail(0, 64), pixels[:, 10:50].transpose(2, 0, 1))
    assert images.thumbnail(0, 16).shape == (3, 16, 16)
    with pytest.raises(InputError, match=r"b\.png: empty file"):
        images.thumbnail(1, 16)
