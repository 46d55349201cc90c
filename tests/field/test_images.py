"""Folders of images as people have them: what was taken of each, what was left out and why, is said before the work."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from memloc import cli
from memloc.config import datasets
from memloc.data import preparing
from memloc.data.opening import open_images
from memloc.errors import InputError
from tests.builders.pictures import bomb, encoded, flat, noise

SIDE = 12


def picture(path: Path, number: int = 0, **options: Any) -> Path:
    """An image file that is like no other; its form follows from its ending, unless that says nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(SIDE, SIDE, seed=abs(hash(str(path))) % 2**31 + number)).save(path, **options)
    return path


def classes(root: Path, *names: str, count: int = 4) -> Path:
    """A folder with some images of each class."""
    for name in names or ("cat", "dog"):
        for i in range(count):
            picture(root / name / f"{i}.png")
    return root


def write(path: Path, content: bytes = b"?") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


Said = Callable[..., tuple[int, str, dict[str, Any]]]


@pytest.fixture
def value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Said]:
    """Value the folder "set": status, what the terminal says, and value.json, whose lines are the terminal's."""
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("memloc")
    handlers, level = log.handlers, log.level

    def run(*options: str) -> tuple[int, str, dict[str, Any]]:
        capsys.readouterr()
        command = ["value", "set", "--size", "8", "--learners", "5", "--quiet", "--workers", "1", "--out", "out"]
        status = cli.main([*command, *options])
        said = capsys.readouterr().err
        about = json.loads(Path("out/value.json").read_text()) if status == 0 else {}
        assert status or about["taken"], said
        for line in about.get("taken", ()):
            assert f"memloc: {line}\n" in said
        return status, said, about

    yield run
    log.handlers = handlers
    log.setLevel(level)


# --- Which files -----------------------------------------------------------------------------------------------------


def many_endings(root: Path) -> None:
    classes(root)
    for name in ("cat/1.avif", "cat/2.AVIF", "dog/3.jp2", "dog/notes", "labels.csv"):
        write(root / name)


def clutter(root: Path) -> None:
    classes(root)
    for name in ("cat/Thumbs.db", "cat/.DS_Store", "desktop.ini", "cat/._0.png", ".git/a.png", "__MACOSX/cat/0.png"):
        write(root / name)
    picture(root / "dog/@eaDir/0.png/THUMB.jpg")


def lost_class(root: Path) -> None:
    classes(root, "cat", "dog")
    for i in range(3):
        write(root / f"owl/{i}.avif")


def lost_second_class(root: Path) -> None:
    classes(root, "cat")
    write(root / "owl/0.heic")


def empty_class(root: Path) -> None:
    classes(root)
    (root / "owl").mkdir()


def unread_everywhere(root: Path) -> None:
    for name in ("cat/1.avif", "dog/2.avif", "dog/3.jxl"):
        write(root / name)


def stray(root: Path) -> None:
    classes(root)
    picture(root / "cover.png")


def wrapped(root: Path) -> None:
    classes(root / "images")


def wrapped_twice(root: Path) -> None:
    classes(root / "archive" / "images")
    write(root / "readme.txt")


def nested(root: Path) -> None:
    classes(root)
    picture(root / "cat/siamese/1.png")
    picture(root / "cat/siamese/2.png")


def two_endings(root: Path) -> None:
    classes(root)
    picture(root / "cat/0.jpg")


def alike(root: Path) -> None:
    classes(root, "Cat", "cat", "dog")


def links(root: Path) -> None:
    classes(root)
    (root / "cat/loop").symlink_to(root)
    (root / "dog/gone.png").symlink_to("nowhere.png")


def odd_names(root: Path) -> None:
    classes(root, "a\nb", "caf\udce9")
    picture(root / "a\nb" / "\x1b[31m.png")


def unreadable(root: Path) -> None:
    classes(root)
    write(root / "cat/empty.png", b"")
    write(root / "cat/text.png", b"hello")
    write(root / "dog/half.jpg", encoded(Image.fromarray(noise(64, 64)), "JPEG")[:1000])
    write(root / "dog/bomb.png", bomb(60_000, 60_000))
    write(root / "dog/float.tif", encoded(flat(0.5, "F"), "TIFF"))


def sizes(root: Path) -> None:
    classes(root)
    Image.fromarray(noise(300, 40)).save(root / "cat/large.png")
    Image.fromarray(noise(3, 5)).save(root / "cat/small.png")


TAKEN: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "plain": (classes, ["set: 8 images of 2 classes (cat 4, dog 4)", "8 x 8 pixels"]),
    "endings": (many_endings, ["2 .avif", "1 .jp2", "1 without an ending", "1 .csv", "convert .avif, .jp2 to PNG"]),
    "clutter": (clutter, ["8 images", "2 hidden", "5 of the system", "Thumbs.db"]),
    "lost class": (lost_class, ["no images in owl (3 .avif)", "2 classes (cat 4, dog 4)"]),
    "empty class": (empty_class, ["no images in owl (empty)"]),
    "nested": (nested, ["2 images lie in a folder within", "cat 6, dog 4"]),
    "stems": (two_endings, ["1 name with several endings", "0.jpg"]),
    "alike": (alike, ["Cat and cat are two classes"]),
    "links": (links, ["1 repeated by a link", "1 can't be read"]),
    "names": (odd_names, [r"a\nb 5", r"caf\udce9 4"]),
    "unreadable": (unreadable, ["5 can't be read", "1 empty file", "1 truncated", "1 too many pixels"]),
    "sizes": (sizes, ["(files: 5 x 3 to 40 x 300; memloc enlarges 1 and cuts the middle square out of 2)"]),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_was_taken_of_a_folder_is_said(value: Said, case: str) -> None:
    build, expected = TAKEN[case]
    build(Path("set").absolute())
    status, said, about = value()
    assert status == 0, said
    taken = "\n".join(about["taken"])
    assert all(part in taken for part in expected), taken
    assert all(line.isprintable() for line in about["taken"])


REFUSED: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "one class left": (lost_second_class, ["no images in owl (1 .heic): convert .heic to PNG or JPEG"]),
    "no ending is read": (unread_everywhere, ["no images in it", "2 .avif", "1 .jxl"]),
    "stray": (stray, ["1 image lies in no class folder (cover.png)"]),
    "wrapped": (wrapped, ["set/images"]),
    "wrapped twice": (wrapped_twice, ["set/archive/images"]),
    "flat parts": (
        lambda root: [picture(root / f"{p}/{i}.png") for p in ("train", "val") for i in range(4)],
        ["train"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_without_classes_is_refused_with_the_reason(value: Said, case: str) -> None:
    build, expected = REFUSED[case]
    build(Path("set").absolute())
    status, said, _ = value()
    assert status == 1 and said.count("\n") == 1 and all(part in said for part in expected), said
    assert not Path("out").exists()


PARTS = [("train", "val"), ("train", "test"), ("training", "validation"), ("Train", "Valid", "test"), ("dev", "test")]
PARTS += [("train2017", "val2017"), ("Train_set", "Test_set"), ("train", "holdout"), ("train", "others")]


@pytest.mark.parametrize("parts", PARTS)
def test_parts_of_a_set_are_not_its_classes(value: Said, parts: tuple[str, ...]) -> None:
    for part in parts:
        classes(Path("set", part))
    status, said, about = value()
    assert status == 0 and about["classes"] == ["cat", "dog"], said
    assert set(pd.read_parquet("out/rows.parquet")["label"]) == {"cat", "dog"}
    assert (
        all(part in "\n".join(about["taken"]) for part in parts)
        and f"name set/{sorted(parts, key=lambda part: part[:2].lower() != 'tr')[0]}" in said
    )


def test_a_class_may_be_called_like_a_part(value: Said) -> None:
    classes(Path("set"), "bus", "train")
    assert value()[2]["classes"] == ["bus", "train"]
    for name in ("bus/day", "train/day", "train/night"):  # Folders of classes would be the same in both.
        picture(Path("set", name, "0.png"))
    assert value("--replace")[2]["classes"] == ["bus", "train"]


@pytest.mark.parametrize("names", [("images", "masks"), ("img", "Annotations")])
def test_masks_beside_images_are_remarked(value: Said, names: tuple[str, str]) -> None:
    classes(Path("set"), *names)
    assert f"set: {names[1]} is taken for a class: if it describes the images beside it, take it away" in value()[1]


def test_names_of_classes_that_look_the_same_are_told_apart_by_their_codes(value: Said) -> None:
    classes(Path("set"), "caf\u00e9", "cafe\u0301", "tea", "te\u200ba")
    said = value()[1]
    assert r"cafe\u0301 and caf\xe9 are two classes" in said and r"tea and te\u200ba are two classes" in said


def test_a_part_of_a_folder_without_parts_is_refused(value: Said) -> None:
    classes(Path("set"))
    status, said, _ = value("--part", "test")
    assert status == 1 and "part" in said and said.count("\n") == 1


@pytest.mark.parametrize("ending", [".jfif", ".JFIF", ".ppm", ".pgm"])
def test_endings_that_hold_known_forms_are_read(value: Said, ending: str) -> None:
    classes(Path("set"))
    mode, form = ("L" if ending == ".pgm" else "RGB"), ("JPEG" if "j" in ending.lower() else "PPM")
    Image.fromarray(noise(SIDE, SIDE)).convert(mode).save(f"set/cat/x{ending}", format=form)
    assert "cat 5, dog 4" in value()[1]


# --- What is in them -------------------------------------------------------------------------------------------------


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture(path.with_suffix(".jpg"), exif=exif)


def ink(path: Path) -> None:
    """Black drawn on clear ground, which lies over black."""
    image = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (3, 3, 9, 9))
    image.save(path)


def moving(path: Path) -> None:
    frames = [Image.fromarray(noise(SIDE, SIDE, seed=i)) for i in range(3)]
    frames[0].save(path.with_suffix(".gif"), save_all=True, append_images=frames[1:])


def pages(path: Path) -> None:
    frames = [Image.fromarray(noise(SIDE, SIDE, seed=i)) for i in range(3)]
    frames[0].save(path.with_suffix(".tif"), save_all=True, append_images=frames[1:])


def deep(path: Path) -> None:
    Image.fromarray(noise(SIDE, SIDE, 1).astype("<u2") * 257).save(path)


def clear(path: Path) -> None:
    pixels = noise(SIDE, SIDE, 4)
    Image.fromarray(pixels, "RGBA").save(path)


def grey_clear(path: Path) -> None:
    Image.fromarray(noise(SIDE, SIDE, 4)[..., :2].copy(), "LA").save(path)


def key(path: Path) -> None:
    image = Image.fromarray(noise(SIDE, SIDE)).quantize(8)
    image.save(path, transparency=1)


def ink_on_plates(path: Path) -> None:
    Image.fromarray(noise(SIDE, SIDE, 4), "CMYK").save(path.with_suffix(".jpg"))


def profiled(path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    Image.fromarray(noise(SIDE, SIDE)).save(path, icc_profile=lab.tobytes())


def srgb(path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    Image.fromarray(noise(SIDE, SIDE)).save(path, icc_profile=profile.tobytes())


CONTENTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "orientation": (turned, "1 image has an EXIF orientation, which is not applied", "exif_transpose"),
    "blank": (lambda path: flat((9, 9, 9), side=SIDE).save(path), "1 image is of one flat colour", "check"),
    "ink": (ink, "1 image is of one flat colour", "transparent"),
    "gif": (moving, "1 image has several frames", "first"),
    "tiff": (pages, "1 image has several frames", "first"),
    "16 bits": (deep, "1 image has 16 bits a channel", "8"),
    "transparent": (clear, "1 image has transparent parts", "black"),
    "grey transparent": (grey_clear, "1 image has transparent parts", "black"),
    "palette": (key, "1 image has transparent parts", "black"),
    "cmyk": (ink_on_plates, "1 image is in CMYK", "RGB"),
    "profile": (profiled, "1 image has a colour profile other than sRGB", "convert"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_what_reading_changes_is_one_line_with_the_count_and_what_to_do(value: Said, case: str) -> None:
    make, line, advice = CONTENTS[case]
    make(classes(Path("set")) / "cat" / "odd.png")
    status, said, about = value()
    lines = [each for each in about["taken"] if line in each]
    assert status == 0 and len(lines) == 1 and advice in lines[0], said


@pytest.mark.parametrize("make", [lambda path: None, srgb])
def test_of_plain_images_there_is_one_line_and_no_more(value: Said, make: Callable[[Path], None]) -> None:
    make(classes(Path("set")) / "cat" / "plain.png")
    assert len(value()[2]["taken"]) == 1


def test_images_that_are_the_same_are_counted_with_those_of_another_class(value: Said) -> None:
    classes(Path("set"))
    for name in ("cat/1.png", "dog/2.png"):
        write(Path("set", name), Path("set/cat/0.png").read_bytes())
    assert (
        "set: 2 images hold the same as an earlier one, the first is cat/1.png (as cat/0.png), 1 of them with another"
        " label, the first is dog/2.png (as cat/0.png)" in value()[1]
    )


def test_an_unreadable_image_stops_the_strict_before_the_work(value: Said) -> None:
    write(classes(Path("set")) / "cat" / "empty.png", b"")
    status, said, _ = value("--strict")
    assert status == 1 and "set/cat/empty.png: empty file" in said and said.count("\n") == 1


# --- memloc score says the same --------------------------------------------------------------------------------------

NET = """
from torch import nn
def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
"""


@pytest.fixture
def score(tmp_path: Path, value: Said, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Iterator[Said]:
    (tmp_path / "small_net.py").write_text(NET)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def run(*options: str) -> tuple[int, str, dict[str, Any]]:
        capsys.readouterr()
        command = ["score", "small_net:net", "--images", "set", "--out", "out", "--size", "8", "--draws", "4"]
        status = cli.main([*command, "--replicates", "2", "--shuffles", "0", "--threads", "1", "--quiet", *options])
        said = capsys.readouterr().err
        about = json.loads(Path("out/meta.json").read_text()) if status == 0 else {}
        page = Path("out/index.html").read_text() if status == 0 else ""
        for line in about.get("taken", ()):
            assert f"memloc: {line}\n" in said and line.replace("'", "&#39;").replace("&#39;t", "&#39;t") in page
        return status, said, about

    yield run
    sys.modules.pop("small_net", None)


def test_score_says_what_it_took_in_terminal_page_and_meta(score: Said) -> None:
    lost_class(Path("set"))
    turned(Path("set/cat/turned"))
    stray(Path("held"))
    status, said, about = score("--external", "held")
    assert status == 0, said
    taken = "\n".join(about["taken"])
    assert "set: 9 images of 2 classes (cat 5, dog 4)" in taken and "no images in owl (3 .avif)" in taken
    assert "1 image has an EXIF orientation" in taken
    assert "held: 9 images without classes" in taken and "cover.png" in taken


def test_score_without_classes_says_why(score: Said) -> None:
    wrapped(Path("set"))
    assert "set/images" in score()[1]


def test_score_counts_external_images_that_it_also_scores(score: Said) -> None:
    classes(Path("set"))
    classes(Path("held"))
    for i in range(3):
        write(Path(f"held/cat/copy{i}.png"), Path(f"set/cat/{i}.png").read_bytes())
    status, said, about = score("--external", "held")
    assert status == 0, said
    assert "3 images are in both candidate and external; remove them from one of the two" in about["taken"]


def test_score_counts_equal_images_of_two_groups_and_images_of_none(score: Said) -> None:
    classes(Path("set"))
    write(Path("set/dog/0.png"), Path("set/cat/0.png").read_bytes())
    names = [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(4)]
    groups = ["candidate"] * 4 + ["external"] * 3
    pd.DataFrame({"image": names[:7], "group": groups}).to_csv("split.csv", index=False)
    status, said, about = score("--split", "split.csv")
    taken = "\n".join(about["taken"])
    assert status == 0 and "4 candidate, 3 external" in taken and "1 image is in no group" in taken, said
    assert "1 image is in both candidate and external; remove it from one of the two" in taken


# --- Results that are finished ---------------------------------------------------------------------------------------


def test_exchanged_images_of_one_size_and_time_are_other_images(value: Said) -> None:
    for name, shade in (("cat", 10), ("dog", 250)):
        for i in range(4):
            picture(Path(f"set/{name}/{i}.bmp"), shade + i)
    one, other = Path("set/cat/0.bmp"), Path("set/dog/0.bmp")
    first = value()[2]
    contents = one.read_bytes(), other.read_bytes()
    times = [(path.stat().st_atime_ns, path.stat().st_mtime_ns) for path in (one, other)]
    for path, content, time in zip((one, other), contents[::-1], times, strict=True):
        path.write_bytes(content)
        os.utime(path, ns=time)
    status, said, second = value("--replace")
    assert status == 0 and "already finished" not in said and second["sha256"] != first["sha256"]


# --- A folder as a dataset of the configuration ----------------------------------------------------------------------


def prepared(root: Path) -> dict[str, Any]:
    parts, description = preparing.prepare("folder", path=str(root), classes=None, image_size=8)
    return {"parts": parts, **description}


def test_what_a_configured_folder_leaves_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "set"
    for part in ("train", "test"):
        classes(root / part)
    for name in ("train/cat/1.avif", "train/cat/Thumbs.db", "train/cat/.hidden.png"):
        write(root / name)
    picture(root / "train/cover.png")
    picture(root / "train/cat/siamese/1.png")
    turned(root / "train/cat/turned")
    clear(root / "train/dog/clear.png")
    with caplog.at_level(logging.INFO, logger="memloc"):
        assert len(prepared(root)["parts"]["train"].labels) == 10
    for part in (
        "1 .avif",
        "1 hidden",
        "1 of the system",
        "2 outside class folders (cat/siamese/1.png, cover.png)",
        "1 image has an EXIF orientation",
    ):
        assert part in caplog.text, caplog.text
    assert f"{root / 'test'}: 8 images of 2 classes (cat 4, dog 4)\n" in caplog.text


def test_a_configured_folder_with_val_says_what_to_call_it(tmp_path: Path) -> None:
    for part in ("train", "val"):
        classes(tmp_path / part)
    with pytest.raises(ValueError, match=r"test: missing; .*rename val to test"):
        prepared(tmp_path)
    config = {"datasets": {"own": {"source": "folder", "path": str(tmp_path), "image_size": 8}}}
    assert [line.partition("; ")[2] for line in datasets.faults(config)] == ["rename val to test"]


def test_a_class_whose_files_have_unread_endings_is_named_with_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for part in ("train", "test"):
        classes(tmp_path / part)
    for name in ("train/owl/1.avif", "test/owl/1.avif"):
        write(tmp_path / name)
    with caplog.at_level(logging.INFO, logger="memloc"), pytest.raises(ValueError, match="no train images of owl"):
        prepared(tmp_path)
    assert "no images in owl (1 .avif): convert .avif to PNG or JPEG" in caplog.text


PIXEL = encoded(flat((1, 2, 3), side=2), "PNG")
FILES = st.tuples(
    st.lists(st.sampled_from(["cat", "dog", "train", "val", "@eaDir", ".git", "a b"]), max_size=3),
    st.sampled_from(["1.png", "2.png", "1.JPG", "3.avif", "4", ".hidden.png", "Thumbs.db", "notes.txt", "5.png.bak"]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sets(FILES.map(lambda file: "/".join([*file[0], file[1]])), min_size=1, max_size=12))
def test_every_file_of_any_folder_is_an_image_or_counted_and_every_folder_a_class_or_named(names: set[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            write(Path(place, name), PIXEL)
        aside = {name for name in names if any(p in ("@eaDir", ".git") for p in name.split("/")[:-1])}
        read = {n for n in names - aside if n.lower().endswith((".png", ".jpg")) and n.rpartition("/")[2][0] != "."}
        try:
            images = open_images(place, size=2)
        except InputError as error:
            assert not read and "no images in it" in str(error)
            return
        assert {*images.names} == read
        said = images.taken("set")
        left = said[0].partition("; left out: ")[2].partition(";")[0]
        counts = [int(text) for text in re.findall(r"(?:^|, )(\d+) ", re.sub(r"\(.*?\)", "", left))]
        # A folder that is left out counts once, whatever it holds.
        whole = {re.sub(r"(.*?(?:^|/)(?:@eaDir|\.git))/.*", r"\1", name) for name in aside}
        assert sum(counts) == len(names - aside - read) + len(whole), (said, names)
        depth = 1 if "parts of a set" in "\n".join(said) else 0
        folders = {"/".join(n.split("/")[: depth + 1]) for n in names - aside if n.count("/") > depth}
        for folder in folders - {"/".join(n.split("/")[: depth + 1]) for n in read}:
            assert images.labels is None or f"{folder} (" in "\n".join(said), (said, names)
        assert images.labels is None or not {*images.classes} <= {"train", "val"}


def test_pixels_are_as_they_were(tmp_path: Path, value: Said) -> None:
    """Telling of orientation, profiles and transparency changes no pixel."""
    root = Path("set")
    for make in (turned, profiled, clear, deep, ink_on_plates):
        make(classes(root) / "cat" / f"{make.__name__}.png")
    images = open_images("set", size=SIDE)
    pixels, rows = images.read(np.arange(len(images)))
    by_name = {Path(images.names[row]).stem: image for row, image in zip(rows, pixels, strict=True)}
    assert np.array_equal(by_name["turned"], np.asarray(Image.open(root / "cat/turned.jpg")).transpose(2, 0, 1))
    assert np.array_equal(by_name["profiled"], noise(SIDE, SIDE).transpose(2, 0, 1))
    assert np.array_equal(by_name["deep"][0], noise(SIDE, SIDE, 1))
