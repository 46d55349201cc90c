"""Fetching public files from a server: complete and verified, or not at all."""

import dataclasses
import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from memloc.data.fetching import fetch, fetch_file
from memloc.data.sources import SOURCES, File
from tests.builders.complaints import complaint

CONTENT = bytes(range(256)) * 300
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
NAME = "cifar-10-python.tar.gz"


@pytest.fixture
def server():
    """Serves CONTENT as /good, half of it as /short, other bytes as /other, and records the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            body = {"/good": CONTENT, "/short": CONTENT[:100], "/other": b"<html>sign in first</html>"}.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", len(CONTENT if self.path == "/short" else body or b""))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args):
            pass

    requests = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests, running.address = requests, f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def addresses(monkeypatch):
    """Sets the addresses of CIFAR-10's archive, and its MD5 sum to CONTENT's."""
    monkeypatch.setenv("no_proxy", "*")

    def put(*urls):
        entry = dataclasses.replace(SOURCES["cifar10"], files=(File(NAME, MD5, urls),))
        monkeypatch.setitem(SOURCES, "cifar10", entry)

    return put


def test_a_file_is_fetched_into_a_folder_that_is_made_for_it(server, addresses, tmp_path):
    addresses(f"{server.address}/good")
    before = socket.getdefaulttimeout()
    fetch_file("cifar10", NAME, tmp_path / "data" / "cifar10")
    (file,) = (tmp_path / "data" / "cifar10").iterdir()
    assert file.name == NAME and file.read_bytes() == CONTENT
    assert file.stat().st_mode & 0o444 == 0o444 and socket.getdefaulttimeout() == before


@pytest.mark.parametrize("first", ["other", "short", "absent"])
def test_the_next_address_is_tried_when_one_fails(server, addresses, tmp_path, first):
    addresses(f"{server.address}/{first}", f"{server.address}/good")
    fetch_file("cifar10", NAME, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "reason"), [("other", "MD5 sum differs"), ("short", "MD5 sum differs"), ("absent", "404")]
)
def test_a_file_that_cannot_be_fetched_is_named_and_leaves_nothing(server, addresses, tmp_path, path, reason):
    address = f"{server.address}/{path}"
    addresses(address)
    message = complaint(fetch_file, "cifar10", NAME, tmp_path)
    assert message.startswith(f"{tmp_path / NAME}: can't be fetched (") and reason in message
    assert f"get {NAME} (MD5 {MD5}) from {address} and put it into {tmp_path}" in message
    assert list(tmp_path.iterdir()) == [] and f"/{path}" in server.requests


def test_addresses_without_a_server_are_named(addresses, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    addresses(f"http://127.0.0.1:{port}/a", "http://no-such-host.invalid/b")
    message = complaint(fetch_file, "cifar10", NAME, tmp_path)
    assert f"from http://127.0.0.1:{port}/a or http://no-such-host.invalid/b" in message
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_is_given_up(addresses, monkeypatch, tmp_path):
    monkeypatch.setattr("memloc.data.fetching.TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        addresses(f"http://127.0.0.1:{silent.getsockname()[1]}/a")
        assert "timed out" in complaint(fetch_file, "cifar10", NAME, tmp_path)
    assert socket.getdefaulttimeout() is None


def test_a_folder_that_cannot_be_made_is_an_error(server, addresses, tmp_path):
    addresses(f"{server.address}/good")
    (tmp_path / "file").write_text("in the way")
    assert "can't be fetched" in complaint(fetch_file, "cifar10", NAME, tmp_path / "file" / "folder")


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
def test_files_without_an_address_come_with_advice(tmp_path, source, file, words):
    message = complaint(fetch_file, source, file, tmp_path)
    assert message.startswith(f"{tmp_path / file}: missing") and all(word in message for word in words)


def test_only_a_sources_own_files_are_fetched(tmp_path):
    with pytest.raises(KeyError):
        fetch_file("cifar10", "../other", tmp_path)


def test_files_that_exist_are_not_fetched_again(server, addresses, monkeypatch, tmp_path):
    addresses(f"{server.address}/good")
    monkeypatch.setitem(SOURCES, "cifar10", dataclasses.replace(SOURCES["cifar10"], folder=tmp_path))
    assert fetch("cifar10") == {"source": "cifar10", "files": [NAME]}
    assert (tmp_path / NAME).read_bytes() == CONTENT and server.requests
    server.requests.clear()
    assert fetch("cifar10") == {"source": "cifar10", "files": [NAME]} and not server.requests
