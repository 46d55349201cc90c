"""Which raw files a source has and lacks, as planning needs them."""

import dataclasses

import pytest

from memloc.data.preparing import prepare
from memloc.data.raw_files import files, is_fetched, missing
from memloc.data.sources import SOURCES
from tests.builders.complaints import complaint
from tests.builders.pictures import two_classes


@pytest.mark.parametrize("source", [source for source, entry in SOURCES.items() if entry.folder])
def test_files_are_known_before_they_exist(source, monkeypatch, tmp_path):
    entry = SOURCES[source]
    monkeypatch.setitem(SOURCES, source, dataclasses.replace(entry, folder=tmp_path / "later"))
    assert missing(source, None) == []
    assert files(source, None) == [tmp_path / "later" / file.name for file in entry.files]
    message = complaint(prepare, source, path=None, classes=None, image_size=32)
    assert message.startswith(f"{tmp_path / 'later' / entry.files[0].name}: missing; ")


@pytest.mark.parametrize("source", SOURCES)
def test_planning_names_the_files_that_a_path_lacks(source, tmp_path):
    assert missing(source, str(tmp_path)) == [file.name for file in SOURCES[source].files]
    assert missing(source, str(tmp_path / "nowhere")) == ["."]
    assert missing(source, "x" * 5000) == ["."]
    assert is_fetched(source, None) == (SOURCES[source].folder is not None and source != "fashion-mnist-12k")
    assert not is_fetched(source, str(tmp_path))


def test_a_source_without_a_folder_needs_a_path():
    assert "folder needs a path" in complaint(prepare, "folder", path=None, classes=None, image_size=32)
    assert missing("folder", None) == [] and files("folder", None) == []


def test_a_folder_lists_its_visible_images_or_where_they_are_many_its_classes(tmp_path, monkeypatch):
    folder = two_classes(tmp_path)
    images = sorted((folder / "train").glob("*/*.png")) + sorted((folder / "test").glob("*/*.png"))
    (folder / "train" / ".hidden").mkdir()
    monkeypatch.setattr("memloc.data.raw_files.MANY", 10)
    assert files("folder", str(folder)) == images and len(images) == 10
    (folder / "train/ant/notes.txt").write_text("hello")
    assert files("folder", str(folder)) == [folder / p / c for p in ("train", "test") for c in ("ant", "bee")]
    monkeypatch.setattr("memloc.data.raw_files.MANY", 12)
    (folder / "train/ant/._0.png").write_bytes(b"what some systems leave behind")
    assert files("folder", str(folder)) == images
