"""Encoders, images and splits that memloc itself made are taken together only where they belong together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from memloc.data import splits
from memloc.data.images import Images
from memloc.data.prepared import array_sha256
from memloc.data.stored_images import StoredImages
from memloc.scoring import belonging
from memloc.scoring.encoders import OpenEncoder
from memloc.scoring.splits import Split, load_split
from tests.builders.complaints import complaint
from tests.builders.scoring import Memory, encoder

SIZES = {"shared": 4, "candidate": 5, "independent": 5, "external": 5}
SETTINGS = {"framework": "simclr", "recipe": {"epochs": 3}}


def groups(seed: int = 0) -> dict[str, np.ndarray]:
    return splits.draw(40, SIZES, dataset="d", seed=seed)


def drawn(folder: Path, seed: int = 0, images: int = 40) -> Path:
    about = splits.manifest(groups(seed), dataset="d", seed=seed, images=images)
    splits.save(groups(seed), about, folder / f"{seed}.npz")
    return folder / f"{seed}.npz"


def net(role: str, number: int = 0, *, seed: int = 0, **changes: Any) -> OpenEncoder:
    points = array_sha256(splits.training_points(groups(seed), role))
    training = {"role": role, "seed": seed, "dataset": "abc", "points": points, "settings": SETTINGS}
    return replace(encoder(number), name=f"{role}{number}", training=training | changes)


def stored(sha256: str) -> StoredImages:
    pixels = np.zeros((40, 3, 16, 16), dtype=np.uint8)
    return StoredImages(lambda: pixels, np.zeros(40, dtype=np.int64), ["a"], part="train", size=16, sha256=sha256)


def check(f: OpenEncoder, g: OpenEncoder | None, path: Path | None, images: Images | None = None) -> list[str]:
    images = images or Memory(40)
    split: Split | None = None if path is None else load_split(path, images.names)
    return belonging.check(f, images, against=g, split=split, path=path)


def test_f_and_g_of_one_training_with_its_split_belong_together(tmp_path: Path) -> None:
    for images in (stored("abc"), Memory(40)):
        assert check(net("f"), net("g", 1), drawn(tmp_path), images) == []
        assert check(net("f"), None, drawn(tmp_path), images) == []
        assert check(net("untrained"), None, drawn(tmp_path), images) == []


def test_what_does_not_belong_is_one_line(tmp_path: Path) -> None:
    right, other = drawn(tmp_path), drawn(tmp_path, seed=1)
    assert "another split" in complaint(check, net("f"), None, other)
    assert "another split" in complaint(check, net("f"), net("g", 1), other)
    assert "g1 was trained with another split" in complaint(check, net("f"), net("g", 1, seed=1), right)
    assert "exchange" in complaint(check, net("g"), net("f", 1), right)
    assert "same images" in complaint(check, net("f"), net("f", 1, settings={"framework": "supervised"}), right)
    assert "same images" in complaint(check, net("f"), net("f", 1), None)
    assert "another dataset" in complaint(check, net("f"), net("g", 1), right, stored("xyz"))
    assert "drawn from 40" in complaint(check, net("f"), net("g", 1), right, Memory(41))


def test_rows_that_were_edited_under_their_record_are_one_line(tmp_path: Path) -> None:
    path = drawn(tmp_path)
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["candidate"] = arrays["candidate"][1:]
    np.savez(path, **arrays)
    assert "other rows" in complaint(check, encoder(), None, path)


def test_a_pair_of_several_trainings_is_told_of(tmp_path: Path) -> None:
    other = {"framework": "simclr", "recipe": {"epochs": 9}}
    (line,) = check(net("f"), net("g", 1, settings=other), drawn(tmp_path))
    assert "recipe.epochs" in line and "framework" not in line
    (line,) = check(net("f"), net("untrained", 1), drawn(tmp_path))
    assert "untrained1 is untrained" in line
    (line,) = check(net("g"), None, drawn(tmp_path))
    assert "never saw" in line


def test_what_says_nothing_of_its_making_is_taken_as_it_is(tmp_path: Path) -> None:
    rows = "".join(f"{row},{group}\n" for group, found in groups(1).items() for row in found)
    (tmp_path / "own.csv").write_text(f"row,group\n{rows}")
    np.savez(tmp_path / "own.npz", **groups(1))
    for path in (tmp_path / "own.csv", tmp_path / "own.npz"):
        assert check(net("g"), net("f", 1), path) == []
    assert check(encoder(), encoder(1), drawn(tmp_path)) == []
    assert check(net("f"), encoder(1), drawn(tmp_path)) == []


def test_a_split_in_which_images_are_repeated_belongs_to_its_encoders(tmp_path: Path) -> None:
    sizes = {"pool": 20, "external": 5, "dose": {"images": 2, "times": [2, 4]}}
    dosed = splits.draw_halves(np.arange(40) % 2, sizes, dataset="d", seed=0)
    path = tmp_path / "dosed.npz"
    splits.save(dosed, splits.manifest(dosed, dataset="d", seed=0, images=40), path)
    f, g = (net(role, points=array_sha256(splits.training_points(dosed, role))) for role in "fg")
    assert check(f, None, path) == []
    # It is told what g saw, not that its split is another.
    (line,) = check(g, None, path)
    assert "never saw the candidate images" in line
    once = net("f", points=array_sha256(dosed["candidate"]))
    assert "was trained with another split" in complaint(check, once, None, path)
