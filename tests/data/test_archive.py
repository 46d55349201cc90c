"""Published archives: read packed or unpacked, and refused before anything in an altered one is used."""

import os
import pickle
import tarfile

import pytest

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
def temporary(monkeypatch, tmp_path):
    """Where temporary folders are made."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


@pytest.mark.parametrize("source", published.ARCHIVED)
def test_the_unpacked_folder_is_taken_in_the_archives_place(packed, source):
    sample = packed(source)
    expected = prepare(source, sample.folder)[1]
    sample.unpack()
    sample.archive.write_bytes(b"never looked at")
    assert prepare(source, sample.folder)[1] == expected
    sample.archive.unlink()
    assert prepare(source, sample.folder)[1] == expected
    assert missing(source, str(sample.folder)) == []
    assert files(source, str(sample.folder)) == sorted(sample.inner / name for name in sample.members)


@pytest.mark.parametrize("source", ["cifar10", "stl10"])
@pytest.mark.parametrize("change", ["truncated", "flipped", "empty", "missing"])
def test_an_archive_that_is_not_the_published_one_is_refused(packed, source, change):
    sample = packed(source)
    data = bytearray(sample.archive.read_bytes())
    data[len(data) // 2] ^= 1
    changed = {"truncated": data[: len(data) // 2], "flipped": data, "empty": b"", "missing": None}[change]
    sample.archive.unlink() if changed is None else sample.archive.write_bytes(bytes(changed))
    message = complaint(source, sample.folder)
    assert message.startswith(f"{sample.archive}: {'missing' if changed is None else 'altered or truncated'}")


def test_an_archive_that_breaks_off_is_refused_though_its_sum_is_right(packed, monkeypatch):
    sample = packed("cifar10")
    sample.archive.write_bytes(sample.archive.read_bytes()[:5000])
    published.declare(monkeypatch, "cifar10", sample.folder)
    assert f"{sample.archive}: can't be unpacked" in complaint("cifar10", sample.folder)


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("where", ["archive", "archive with its sum", "folder"])
def test_nothing_altered_is_unpickled(packed, monkeypatch, tmp_path, name, where):
    sample = packed("cifar10")
    mark = tmp_path / "executed"
    members = sample.members | {name: pickle.dumps(Payload(mark), protocol=2)}
    published.pack(sample.archive, sample.inner.name, members)
    if where == "archive with its sum":
        published.declare(monkeypatch, "cifar10", sample.folder)
    if where == "folder":
        sample.unpack()
    message = complaint("cifar10", sample.folder)
    assert not mark.exists() and "altered or truncated" in message
    place = sample.folder if where == "folder" else sample.archive
    assert message.startswith(f"{place}:" if where == "archive" else f"{place / sample.inner.name / name}:")
    pickle.loads(members[name])
    assert mark.exists()


@pytest.mark.parametrize("name", ["../outside", "/tmp/../outside", "cifar-10-batches-py/../../outside"])
def test_a_member_that_would_land_outside_is_refused(packed, monkeypatch, tmp_path, temporary, name):
    sample = packed("cifar10")
    published.pack(sample.archive, "", {name: b"x"})
    published.declare(monkeypatch, "cifar10", sample.folder)
    message = complaint("cifar10", sample.folder)
    assert message.startswith(str(sample.archive))
    assert not list(tmp_path.rglob("outside*")) and not list(temporary.iterdir())


def test_a_link_that_leads_outside_is_refused(packed, monkeypatch):
    sample = packed("cifar10")
    with tarfile.open(sample.archive, "w:gz") as tar:
        link = tarfile.TarInfo(sample.inner.name)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    published.declare(monkeypatch, "cifar10", sample.folder)
    assert "can't be unpacked" in complaint("cifar10", sample.folder)


def test_unpacked_files_are_removed(packed, temporary):
    sample = packed("cifar10")
    prepare("cifar10", sample.folder)
    assert not list(temporary.iterdir())
    assert sorted(sample.folder.iterdir()) == sorted([sample.archive, temporary])
