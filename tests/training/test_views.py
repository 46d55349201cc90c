import numpy as np
import pytest
import torch

from memloc.data.augmentations import AUGMENTATIONS
from memloc.models.frameworks.learner import Group
from memloc.training import views
from memloc.training.views import Pixels, Viewer, batches, views_of
from tests.builders.trainings import same

GROUPS = (Group(3, AUGMENTATIONS["normal"], 16), Group(2, AUGMENTATIONS["masking"], 12))


def seeded():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("framework", ["simclr", "mae"])
def test_images_read_from_disk_give_the_weights_of_those_in_memory(run, monkeypatch, tmp_path, toy, framework):
    images, labels = toy(24)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    memory = run(framework, data=(images, labels), folder=tmp_path / "memory")
    monkeypatch.setattr(views, "IN_MEMORY", 0)
    disk = run(framework, data=(mapped, labels), folder=tmp_path / "disk")
    assert same(memory.encoder, disk.encoder) and memory.history == disk.history


@pytest.mark.parametrize("limit", [views.IN_MEMORY, 0])
def test_rows_are_those_of_the_chosen_points(toy, monkeypatch, limit):
    monkeypatch.setattr(views, "IN_MEMORY", limit)
    images, labels = toy(24)
    points = np.array([20, 3, 5, 11])
    pixels = Pixels(images, labels, points, device=torch.device("cpu"))
    assert (pixels.in_memory is None) == (limit == 0) and len(pixels) == 4
    assert pixels.labels.tolist() == labels[points].tolist()
    np.testing.assert_array_equal(pixels(torch.tensor([2, 0])).numpy(), images[[5, 20]].astype(np.float32) / 255)


@pytest.mark.parametrize("n", [7, 0])
def test_processes_draw_the_views_of_one_batch_and_share_them(toy, normalise, n):
    pixels = Pixels(*toy(24), np.arange(24), device=torch.device("cpu"))
    rows = torch.arange(24)[5 : 5 + n]
    draws = seeded()
    whole, labels = Viewer(pixels, GROUPS, normalise)(rows, draws)
    parts = [Viewer(pixels, GROUPS, normalise, rank=rank, world=3)(rows, seeded()) for rank in range(3)]
    assert torch.equal(labels, pixels.labels[rows]) and torch.equal(labels, torch.cat([part[1] for part in parts]))
    for index, group in enumerate(GROUPS):
        for tensors in zip(whole[index], *(part[0][index] for part in parts), strict=True):
            if tensors[0] is None:
                assert tensors == (None,) * 4 and not group.augmentation.mask
                continue
            shared, *own = (tensor.unflatten(0, (group.count, len(tensor) // group.count)) for tensor in tensors)
            assert torch.equal(shared, torch.cat(own, dim=1)) and shared.shape[1] == n
    # A step takes as many numbers from the stream, whatever its process's share is.
    other = seeded()
    Viewer(pixels, GROUPS, normalise, rank=1, world=3)(rows, other)
    assert torch.equal(torch.rand(4, generator=draws), torch.rand(4, generator=other))


def test_views_are_ordered_by_view_then_by_image(toy, normalise):
    images = torch.from_numpy(toy(5)[0]).float() / 255
    still = Group(2, AUGMENTATIONS["none"], 16)
    shown = views_of(images, still, normalise, seeded())
    assert shown.hidden is None and torch.equal(shown.images, normalise(images).repeat(2, 1, 1, 1))


# --- Order of an epoch ------------------------------------------------------------------------------------------------


def test_the_order_of_points_that_stand_once_is_one_permutation_in_parts():
    order = torch.randperm(23, generator=seeded())
    got = batches(np.arange(23) * 5, 6, seeded())
    assert [rows.tolist() for rows in got] == [order[i : i + 6].tolist() for i in (0, 6, 12)]


@pytest.mark.parametrize(("batch", "left"), [(6, 0), (5, 0), (6, 2)])
def test_copies_are_never_in_one_batch_and_every_point_is_seen_as_often_as_it_stands(batch, left):
    # One point stands 5 times, 2 stand 4 times, 4 twice: 30 rows in all, or 32.
    times = np.array([5, 4, 4, 2, 2, 2, 2, *[1] * (9 + left)])
    points = np.repeat(100 + 3 * np.arange(len(times)), times)
    draws, seen, together = seeded(), np.zeros(len(points)), np.zeros((len(times), len(times)))
    for _ in range(600):
        order = batches(points, batch, draws)
        assert [len(rows) for rows in order] == [batch] * (len(points) // batch)
        assert all(len(set(points[rows.numpy()].tolist())) == batch for rows in order)
        for rows in order:
            seen[rows.numpy()] += 1
            images = (points[rows.numpy()] - 100) // 3
            together[np.ix_(images, images)] += 1
    # Whatever is left over in an epoch may be any row.
    assert np.abs(seen / 600 - (1 - left / len(points) * (left > 0))).max() < 0.06
    # Any two points that stand once meet as often as any other two.
    once = together[7:, 7:][~np.eye(len(times) - 7, dtype=bool)] / 600
    assert once.std() < 0.03 and once.min() > 0.04
