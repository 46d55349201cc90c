"""The registry of datasets: what planning is told, what is fetched, and that the page says the same."""

import dataclasses
import hashlib
import importlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision import datasets as published

from memloc.data import sources as datasets
from memloc.data.sources import SOURCES, File
from memloc.errors import InputError
from memloc.provenance import ROOT

CONTENT = bytes(range(256)) * 300
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
NAME = "cifar-10-python.tar.gz"


@pytest.fixture
def server():
    """Serves CONTENT as /good, half of it as /short, other bytes as /other, and counts what is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = {"/good": CONTENT, "/short": CONTENT[:100], "/other": b"<html>sign in first</html>"}.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", len(CONTENT if self.path == "/short" else body or b""))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args):
            pass

    asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked, running.address = asked, f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def addresses(monkeypatch):
    """Sets where CIFAR-10's archive is, and its MD5 sum to CONTENT's."""
    monkeypatch.setenv("no_proxy", "*")

    def put(*where):
        entry = dataclasses.replace(SOURCES["cifar10"], files=(File(NAME, MD5, where),))
        monkeypatch.setitem(SOURCES, "cifar10", entry)

    return put


def complaint(*args):
    with pytest.raises(InputError) as caught:
        datasets.get(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- Fetching --------------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_into_a_folder_that_is_made_for_it(server, addresses, tmp_path):
    addresses(f"{server.address}/good")
    before = socket.getdefaulttimeout()
    datasets.get("cifar10", NAME, tmp_path / "data" / "cifar10")
    (file,) = (tmp_path / "data" / "cifar10").iterdir()
    assert file.name == NAME and file.read_bytes() == CONTENT
    assert file.stat().st_mode & 0o444 == 0o444 and socket.getdefaulttimeout() == before


@pytest.mark.parametrize("first", ["other", "short", "absent"])
def test_the_next_address_is_tried_where_one_fails(server, addresses, tmp_path, first):
    addresses(f"{server.address}/{first}", f"{server.address}/good")
    datasets.get("cifar10", NAME, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "reason"), [("other", "MD5 sum differs"), ("short", "MD5 sum differs"), ("absent", "404")]
)
def test_what_cannot_be_fetched_is_told_and_leaves_nothing(server, addresses, tmp_path, path, reason):
    address = f"{server.address}/{path}"
    addresses(address)
    message = complaint("cifar10", NAME, tmp_path)
    assert message.startswith(f"{tmp_path / NAME}: can't be fetched (") and reason in message
    assert f"get {NAME} (MD5 {MD5}) from {address} and put it into {tmp_path}" in message
    assert list(tmp_path.iterdir()) == [] and f"/{path}" in server.asked


def test_a_server_that_is_not_there_is_told(addresses, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    addresses(f"http://127.0.0.1:{port}/a", "http://no-such-host.invalid/b")
    message = complaint("cifar10", NAME, tmp_path)
    assert f"from http://127.0.0.1:{port}/a or http://no-such-host.invalid/b" in message
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_says_nothing_is_given_up(addresses, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        addresses(f"http://127.0.0.1:{silent.getsockname()[1]}/a")
        assert "timed out" in complaint("cifar10", NAME, tmp_path)
    assert socket.getdefaulttimeout() is None


def test_a_folder_that_cannot_be_made_is_told(server, addresses, tmp_path):
    addresses(f"{server.address}/good")
    (tmp_path / "file").write_text("in the way")
    assert "can't be fetched" in complaint("cifar10", NAME, tmp_path / "file" / "folder")


@pytest.mark.parametrize(
    ("source", "file", "words"),
    [
        ("imagenet", "train", ["train/<wnid>/*.JPEG", "image-net.org"]),
        ("imagenet", "val", ["val/<wnid>/*.JPEG", "image-net.org"]),
        ("fashion-mnist-12k", "SHA256SUMS", ["in the repository"]),
        ("digits", "digits.csv.gz", ["scikit-learn"]),
        ("folder", "train", ["<path>/train/<class>/"]),
    ],
)
def test_what_nobody_may_fetch_is_told(tmp_path, source, file, words):
    message = complaint(source, file, tmp_path)
    assert message.startswith(f"{tmp_path / file}: missing") and all(word in message for word in words)


def test_only_a_sources_own_files_are_fetched(tmp_path):
    with pytest.raises(KeyError):
        datasets.get("cifar10", "../other", tmp_path)


# --- Planning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
def test_files_are_known_before_they_are_there(source, monkeypatch, tmp_path):
    entry = SOURCES[source]
    if entry.folder is None:
        return
    monkeypatch.setitem(SOURCES, source, dataclasses.replace(entry, folder=tmp_path / "later"))
    assert datasets.missing(source, None) == []
    assert datasets.files(source, None) == [tmp_path / "later" / file.name for file in entry.files]
    with pytest.raises(InputError) as caught:
        datasets.prepare(source, path=None, classes=None, image_size=32)
    assert str(caught.value).startswith(f"{tmp_path / 'later' / entry.files[0].name}: missing; ")


@pytest.mark.parametrize("source", SOURCES)
def test_a_path_that_lacks_files_is_told_while_planning(source, tmp_path):
    assert datasets.missing(source, str(tmp_path)) == [file.name for file in SOURCES[source].files]
    assert datasets.missing(source, str(tmp_path / "nowhere")) == ["."]
    assert datasets.missing(source, "x" * 5000) == ["."]


def test_a_package_that_is_not_there_has_no_folder():
    assert datasets._bundled("no_such_package", "data") is None
    assert datasets._bundled("sklearn", "datasets/data") == SOURCES["digits"].folder


@pytest.mark.parametrize("source", SOURCES)
def test_an_entry_is_complete(source):
    entry = SOURCES[source]
    assert callable(importlib.import_module(f"memloc.data.sources.{entry.module}").read)
    assert (ROOT / datasets.module_path(source)).is_file()
    assert entry.title and entry.terms and entry.size and entry.hint and entry.files
    if source != "digits":  # It lies where scikit-learn does.
        assert entry.folder is None or entry.folder.parent == ROOT / "data"
    assert not entry.unpacked or len(entry.files) == 1
    for file in entry.files:
        assert bool(file.addresses) == bool(file.md5) and Path(file.name).name == file.name


def test_addresses_and_sums_are_torchvisions():
    known = {(file.name, file.md5): file.addresses for entry in SOURCES.values() for file in entry.files if file.md5}
    expected = {
        (kind.filename, kind.tgz_md5): kind.url for kind in (published.CIFAR10, published.CIFAR100, published.STL10)
    }
    expected |= {(name, md5): url for url, name, md5 in list(published.SVHN.split_list.values())[:2]}
    mirror = published.FashionMNIST.mirrors[0]
    expected |= {(name, md5): mirror + name for name, md5 in published.FashionMNIST.resources}
    assert {key: where[0] for key, where in known.items()} == expected
    unpacked = {"cifar10": published.CIFAR10, "cifar100": published.CIFAR100, "stl10": published.STL10}
    assert {source: SOURCES[source].unpacked for source in unpacked} == {
        source: kind.base_folder for source, kind in unpacked.items()
    }


def test_the_page_has_every_source_file_sum_and_address():
    page = (ROOT / "docs" / "data.md").read_text()
    for source, entry in SOURCES.items():
        assert f"| `{source}` |" in page
        for file in entry.files:
            assert file.name in page and file.md5 in page
            assert all(address.removesuffix(file.name) in page for address in file.addresses)
