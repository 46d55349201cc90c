"""Datasets into which patches are swapped: by hand, by their rule's script, and in the configuration."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from memloc import config, io
from memloc.data.prepared import array_sha256
from memloc.data.swapped import covered, swap
from memloc.provenance import ROOT
from scripts import swap_patches
from tests.builders.complaints import complaint


class Output(dict):
    __getattr__ = dict.__getitem__


def images(n=400, size=16, channels=1):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(n, channels, size, size), dtype=np.uint8), rng.integers(3, size=n)


def test_a_planted_image_is_its_own_but_for_one_square_which_is_the_donors():
    plain, labels = images(channels=3)
    before = plain.copy()
    swapped, swaps = swap(plain, labels, share=0.2, side=4, dataset="toy")
    assert (plain == before).all() and swapped.dtype == np.uint8
    clean = np.ones(len(plain), dtype=bool)
    clean[swaps["points"]] = False
    assert (swapped[clean] == plain[clean]).all() and 50 < len(swaps["points"]) < 110
    for point, donor, row, column in zip(*(swaps[k] for k in ("points", "donors", "rows", "columns")), strict=True):
        assert labels[donor] != labels[point] and row % 4 == column % 4 == 0
        inside = np.zeros((16, 16), dtype=bool)
        inside[row : row + 4, column : column + 4] = True
        assert (swapped[point][:, inside] == plain[donor][:, inside]).all()
        assert (swapped[point][:, ~inside] == plain[point][:, ~inside]).all()


def test_the_square_is_where_image_and_donor_differ_most():
    plain, labels = np.zeros((40, 1, 8, 8), dtype=np.uint8), np.arange(40) % 2
    # Class 1 is bright at one place, and a little at another.
    plain[labels == 1, 0, 4:, :4], plain[labels == 1, 0, 0, 0] = 200, 255
    swapped, swaps = swap(plain, labels, share=0.9, side=4, dataset="toy")
    assert set(swaps["rows"]) == {4} and set(swaps["columns"]) == {0}
    bright = swapped[:, 0, 4:, :4].reshape(40, -1)
    planted = np.isin(np.arange(40), swaps["points"])
    assert (bright == np.where((labels == 1) ^ planted, 200, 0)[:, None]).all()


def test_who_is_planted_depends_on_the_point_alone():
    plain, labels = images(600)
    _, few = swap(plain, labels, share=0.1, side=4, dataset="toy")
    _, more = swap(plain, labels, share=0.3, side=4, dataset="toy")
    _, first = swap(plain[:200], labels[:200], share=0.1, side=8, dataset="toy")
    _, other = swap(plain, labels, share=0.1, side=4, dataset="another")
    assert set(few["points"]) < set(more["points"])
    assert first["points"].tolist() == [point for point in few["points"] if point < 200]
    assert few["points"].tolist() != other["points"].tolist()
    share = len(more["points"]) / 600
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 600)


def test_a_share_of_none_is_an_error():
    plain, labels = images(3)
    message = complaint(swap, plain, labels, share=1e-6, side=4, dataset="toy")
    assert "swapped.share: 1e-06 plants none of 3 images of toy; raise it" in message


def test_cells_that_a_patch_reaches_into():
    swaps = {k: np.array(v) for k, v in {"points": [7, 9], "rows": [4, 0], "columns": [8, 0], "side": 4}.items()}
    # Cells of 4: one. Of 3, pixels 4 to 7 by 8 to 11: rows 1 and 2, columns 2 and 3 of six. Of 8: one of four.
    points = np.array([9, 3, 7])
    assert [np.flatnonzero(row).tolist() for row in covered(swaps, points, size=16, patch=4)] == [[0], [], [6]]
    assert np.flatnonzero(covered(swaps, points, size=16, patch=3)[2]).tolist() == [8, 9, 14, 15]
    assert [np.flatnonzero(row).tolist() for row in covered(swaps, points, size=16, patch=8)] == [[0], [], [1]]


def test_the_rule_changes_training_images_alone_and_says_what(tmp_path, monkeypatch):
    plain, labels = images(100)
    names = ("train_images", "train_labels", "test_images", "test_labels")
    for name, array in zip(names, (plain, labels, plain[:10], labels[:10]), strict=True):
        io.save_array(array, tmp_path / f"plain/{name}.npy")
    sha = {"train": array_sha256(plain, labels), "test": array_sha256(plain[:10], labels[:10])}
    io.save_json({"source": "toy", "mean": [0.5], "sha256": sha}, tmp_path / "plain/dataset.json")
    output = {name: tmp_path / f"out/{name}.npy" for name in names}
    output |= {"description": tmp_path / "out/dataset.json", "swaps": tmp_path / "out/swaps.npz"}
    settings = {"of": "toy", "share": 0.2, "side": 4}
    job = SimpleNamespace(
        input=SimpleNamespace(description=tmp_path / "plain/dataset.json"),
        output=Output(output),
        params=SimpleNamespace(swapped=settings),
    )
    monkeypatch.setattr(swap_patches.job, "start", lambda _: None)
    swap_patches.main(job)
    expected, swaps = swap(plain, labels, share=0.2, side=4, dataset="toy")
    for name, array in zip(names, (expected, labels, plain[:10], labels[:10]), strict=True):
        assert (io.load_array(output[name]) == array).all()
    np.testing.assert_equal(io.load_made(output["swaps"])[0], swaps)
    description = io.load_json(output["description"])
    assert description["swapped"] == settings | {"images": len(swaps["points"])} and description["mean"] == [0.5]
    assert description["sha256"] == sha | {"train": array_sha256(expected, labels)}


# --- In the configuration ---------------------------------------------------------------------------------------------


def with_swapped(entry, **more):
    whole = yaml.safe_load((ROOT / "config.yaml").read_text())
    whole["datasets"]["swapped"] = entry
    whole["datasets"] |= more
    return whole


OF = {"of": "fashion", "share": 0.05, "side": 8}


def test_a_dataset_with_swapped_patches_has_all_of_the_other_one_and_its_own_split():
    whole = with_swapped({"swapped": OF})
    config.check(whole)
    config.complete(whole)
    assert whole["datasets"]["swapped"] == whole["datasets"]["fashion"] | {"swapped": OF}
    split = {"shared": 100, "candidate": 50, "independent": 50, "external": 50}
    whole = with_swapped({"swapped": OF, "split": split})
    config.check(whole)
    config.complete(whole)
    before = copy.deepcopy(whole["datasets"]["fashion"])
    config.complete(whole)
    assert whole["datasets"]["swapped"]["split"] == split and whole["datasets"]["fashion"] == before


BAD = [
    (
        {"swapped": OF | {"of": "fashio"}},
        "datasets.swapped.swapped.of: 'fashio' is none of fashion, dosed",
    ),
    (
        {"swapped": OF | {"of": "swapped"}},
        "datasets.swapped.swapped.of: 'swapped' is none of fashion, dosed",
    ),
    ({"swapped": OF | {"side": 5}}, "side: images of 32 pixels can't be cut into squares of 5; take a divisor"),
    ({"swapped": OF | {"side": 32}}, "side: images of 32 pixels can't be cut into squares of 32; take a divisor"),
    ({"swapped": OF | {"share": 1}}, "datasets.swapped.swapped.share: 1"),
    ({"swapped": {"of": "fashion", "share": 0.5}}, "datasets.swapped.swapped.side: missing"),
    ({"swapped": OF | {"sides": 8}}, "datasets.swapped.swapped.sides: unknown key; did you mean side?"),
    ({"swapped": OF, "image_size": 32}, "datasets.swapped"),
    ({"image_size": 32}, "datasets.swapped.source: missing"),
    ({"swapped": OF | {"of": "plain"}}, "of: plain has no labels, so no other class to take patches of; name another"),
]


@pytest.mark.parametrize(("entry", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_a_wrong_entry_is_refused_in_one_line(entry, message):
    plain = {"plain": {"source": "stl10-unlabeled", "image_size": 32}} if "plain" in message else {}
    assert message in complaint(config.check, with_swapped(entry, **plain))


def test_the_original_of_swapped_images_is_not_another_task():
    whole = with_swapped({"swapped": OF})
    whole["encoders"]["simclr"]["dataset"] = "swapped"
    whole["experiments"] = {"pruning": whole["experiments"]["pruning"]}
    assert "fashion has images of swapped, on which simclr is trained" in complaint(config.check, whole)
