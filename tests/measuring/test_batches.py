import numpy as np
import pytest

from memloc import io
from memloc.measuring.batches import BATCH, TOGETHER, batches_of_file, shard


@pytest.mark.parametrize("points", [0, 1, 25, 26, 103])
@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_shards_are_whole_batches_and_together_everything(points, of):
    shards = [shard(points, number=number, of=of) for number in range(1, of + 1)]
    assert [row for part in shards for row in range(points)[part]] == list(range(points))
    assert all(part.start % BATCH == 0 for part in shards if part.start < points)


def test_batches_of_a_file_hold_its_images_and_batches_of_shards_are_those_of_the_whole(tmp_path):
    stored = np.random.default_rng(0).integers(0, 256, (80, 1, 4, 4), dtype=np.uint8)
    path = tmp_path / "images.npy"
    io.save_array(stored, path)
    points = np.random.default_rng(1).permutation(80)[:60]
    whole = list(batches_of_file(path, points))
    assert [len(rows) for _, rows in whole] == [25, 25, 10]
    assert all(np.array_equal(images, stored[rows]) for images, rows in whole)
    assert not any(isinstance(images, np.memmap) for images, _ in whole)
    parts = [batch for number in (1, 2) for batch in batches_of_file(path, points[shard(60, number=number, of=2)])]
    assert [rows.tolist() for _, rows in parts] == [rows.tolist() for _, rows in whole]
    (together,) = batches_of_file(path, points, device="cuda")
    assert len(together[1]) == min(60, BATCH * TOGETHER["cuda"]) == 60
