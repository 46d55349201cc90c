"""Windows of images that are read ahead by threads."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from memloc.data.images import Images, stream
from memloc.data.opening import open_images
from memloc.provenance import ROOT
from tests.builders.pictures import noise, prepared_images, put


def test_windows_are_the_rows_in_order_for_any_number_of_threads(tmp_path):
    for i in range(75):
        Image.fromarray(noise(9, 12, seed=i)).save(tmp_path / f"{i:02}.png")
    bad = (3, 8, 9, 10, 11, 60)
    put(tmp_path, bad=tuple(f"{i:02}.png" for i in bad))
    order = np.random.default_rng(0).permutation(75)
    everything, readable = open_images(str(tmp_path), size=8).read(order)
    for threads in (1, 2, 7):
        images = open_images(str(tmp_path), size=8)
        windows = [*stream(images, order, batch=40, threads=threads)]
        assert len(windows) == 2 and list(images.skipped) == [row for row in order if row in bad]
        assert set(images.skipped.values()) == {"empty file"}
        for (_, rows), part in zip(windows, (order[:40], order[40:]), strict=True):
            assert rows.tolist() == [row for row in part if row in readable] and rows.dtype == np.int64
        assert np.array_equal(np.concatenate([pixels for pixels, _ in windows]), everything)


def test_stored_images_stream_in_the_requested_order(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, size=(6, 1, 8, 8), dtype=np.uint8)
    prepared_images(tmp_path, pixels)
    images, order = open_images(str(tmp_path), size=8), np.array([5, 4, 3, 0, 1])
    windows = list(stream(images, order, batch=2))
    assert [rows.tolist() for _, rows in windows] == [[5, 4], [3, 0], [1]]
    assert np.array_equal(np.concatenate([window for window, _ in windows]), pixels[order])
    assert list(stream(images, order[:0], batch=4)) == []


def test_a_window_of_unreadable_images_is_empty_and_skipped_holds_only_windows_that_were_returned(tmp_path):
    put(tmp_path, "a.png", "b.png", "e.png", bad=("c.png", "d.png", "f.png"))
    images = open_images(str(tmp_path), size=8)
    windows = stream(images, np.arange(6), batch=2)
    assert next(windows)[1].tolist() == [0, 1] and not images.skipped
    pixels, rows = next(windows)
    assert pixels.shape == (0, 3, 8, 8) and rows.tolist() == [] and list(images.skipped) == [2, 3]
    windows.close()
    assert list(images.skipped) == [2, 3]


def test_memory_does_not_grow_with_the_number_of_stored_images(tmp_path):
    prepared_images(tmp_path, np.ones((50_000, 3, 32, 32), np.uint8))
    code = f"""
import numpy as np
import psutil
from memloc.data.images import stream
from memloc.data.opening import open_images
process = psutil.Process()
before = process.memory_info().rss
peak = total = 0
images = open_images({str(tmp_path)!r}, size=32)
for pixels, _ in stream(images, np.arange(50_000), batch=256):
    total += int(pixels[:, 0, 0, 0].sum())
    peak = max(peak, process.memory_info().rss)
assert total == 50_000
print((peak - before) / 1e6)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert float(out.stdout) < 80  # of 154 MB


class Slow(Images):
    """Images that note which of them were read, and fail at one."""

    error = KeyError("a bug")

    def __init__(self, count, fails=None, wait=0.0):
        super().__init__([str(i) for i in range(count)], None, [], channels=1, size=1, sha256="")
        self.seen, self.fails, self.wait = set(), fails, wait

    def load(self, rows):
        time.sleep(self.wait)
        self.seen.update(rows.tolist())
        if self.fails is not None and self.fails in rows:
            raise self.error
        return np.zeros((len(rows), 1, 1, 1), np.uint8), rows, {}

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


def test_threads_end_with_the_windows_and_when_they_are_closed_early():
    for _ in stream(Slow(1000), np.arange(1000), batch=100):
        assert readers()
    assert not readers()
    images = Slow(100_000, wait=0.01)
    windows = stream(images, np.arange(100_000), batch=10_000)
    assert not readers()
    next(windows)
    assert readers()
    windows.close()
    assert not readers() and len(images.seen) < 20_000  # of 30,000 that were to be read by then


def test_an_error_in_a_thread_is_raised_unchanged_and_at_its_window():
    images = Slow(100, fails=55)
    windows = stream(images, np.arange(100), batch=10)
    for i in range(5):
        assert next(windows)[1][0] == 10 * i
    with pytest.raises(KeyError) as caught:
        next(windows)
    assert caught.value is images.error and not readers()
