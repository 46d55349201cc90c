"""`memloc score --members`: what the table says of encoders and images, what comes out, one line for each fault."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from memloc import cli, per_image
from memloc.data.prepared import array_sha256
from memloc.data.stored_images import StoredImages
from memloc.errors import InputError
from memloc.metrics.membership import memorization
from memloc.scoring.members import check_trained, load_members
from tests.builders.scoring import Memory, encoder

ENCODERS = ["enc/f.safetensors", "enc/g.safetensors", "my.net:a", "timm:x@w/b.pth"]
COLUMNS = ["f", "g.safetensors", "my.net:a", "b"]
HALF = [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0]
OTHER = [1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1]


def table(**changes: Any) -> pd.DataFrame:
    """Two pairs on twelve images of three classes, i modulo 3."""
    columns = {"f": HALF, "g.safetensors": [1 - x for x in HALF], "my.net:a": OTHER, "b": [1 - x for x in OTHER]}
    return pd.DataFrame({"image": [f"{i}.png" for i in range(12)], **columns}).assign(**changes)


def load(frame: pd.DataFrame, path: Path, encoders: list[str] = ENCODERS, images: Memory | None = None) -> Any:
    frame.to_parquet(path, index=False) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return load_members(path, images or Memory(12), encoders)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("long", [False, True])
def test_encoders_and_images_are_found_in_either_form_in_any_order(tmp_path: Path, ending: str, long: bool) -> None:
    frame = table()[["image", *COLUMNS[::-1]]].sample(frac=1, random_state=0)
    if long:
        frame = frame.melt(id_vars="image", var_name="encoder", value_name="in")
        frame["in"] = frame["in"].map({1: "yes", 0: "No"})
    found = load(frame, tmp_path / f"m.{ending}")
    assert found.rows.tolist() == [*range(12)] and found.pairs == ((0, 1), (2, 3))
    assert found.inside.astype(int).tolist() == [table()[name].tolist() for name in COLUMNS]
    assert found.taken[0].endswith("4 encoders in 2 pairs of complementary images, each trained on 6 of 12 images")


def test_encoders_without_partners_and_images_left_out_are_said(tmp_path: Path) -> None:
    frame = table(f=[0, *HALF[1:]]).drop(columns=["b"])
    frame["y"] = [0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 0]
    frame.loc[4, "g.safetensors"] = 0
    found = load(frame, tmp_path / "m.csv", [*ENCODERS[:3], "y"], Memory(15))
    assert found.pairs == () and "an image is in 1 to 3 of them" in found.taken[0]
    assert "says nothing of 3 images (first 12.png): left out" in found.taken[1]


def test_one_pair_and_images_without_classes_are_said(tmp_path: Path) -> None:
    found = load(table()[["image", *COLUMNS[:2]]], tmp_path / "m.csv", ENCODERS[:2], Memory(12, classes=0))
    assert found.taken[1:] == (
        "one pair: its intervals are over images alone, and say nothing of another pair",
        "images have no classes, so nothing is adjusted for class",
    )


FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "unknown image": (lambda t: t.assign(image=["x.png", *t["image"][1:]]), "no image 'x.png' among the images"),
    "an image twice": (lambda t: t.assign(image=["1.png", *t["image"][1:]]), "image 1.png is there twice"),
    "no column of an encoder": (lambda t: t.drop(columns="b"), "no column for timm:x@w/b.pth"),
    "a column of no encoder": (lambda t: t.assign(z=1), "column z is of none of the encoders"),
    "an encoder twice": (lambda t: t.assign(g=t["f"]), "has two columns for enc/g.safetensors"),
    "no images": (lambda t: t.rename(columns={"image": "file"}), "has no column image"),
    "no rows": (lambda t: t.iloc[:0], "no rows"),
    "another word": (lambda t: t.assign(f=["maybe", *t["f"][1:]]), "f is 'maybe' for 0.png; write 1"),
    "a gap": (lambda t: t.assign(f=[None, *t["f"][1:]]), "row 1 has no f"),
    "in none": (lambda t: t.assign(b=[0] * 12, f=[0] * 12), "3 images (first 1.png) in none of the 4 encoders"),
    "in all": (lambda t: t.assign(b=[1, *t["b"][1:]], **{"g.safetensors": 1}), "(first 0.png) in all of"),
    "no partner": (lambda t: t.assign(b=[1, *t["b"][1:]]), "my.net:a has no partner"),
    "a class that a half lacks": (
        lambda t: t.assign(f=[1, 0, 0] * 4, **{"g.safetensors": [0, 1, 1] * 4}),
        "enc/f.safetensors has all of the images of class class 0",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_one_line(tmp_path: Path, fault: str) -> None:
    change, said = FAULTS[fault]
    with pytest.raises(InputError) as caught:
        load(change(table()), tmp_path / "m.csv")
    assert said in str(caught.value) and "\n" not in str(caught.value), caught.value


def test_a_long_table_lacks_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    long = table().melt(id_vars="image", var_name="encoder", value_name="in")
    for frame, said in (
        (long.iloc[1:], "says nothing of 0.png for f"),
        (pd.concat([long, long[:1]]), "0.png of f is there"),
    ):
        with pytest.raises(InputError, match=said):
            load(frame, tmp_path / "m.csv")


def test_one_encoder_and_two_that_are_no_pair_are_refused(tmp_path: Path) -> None:
    for columns, said in (
        (COLUMNS[:1], "compares two or more"),
        ([COLUMNS[0], COLUMNS[2]], "in none of|complementary"),
    ):
        encoders = [ENCODERS[COLUMNS.index(name)] for name in columns]
        with pytest.raises(InputError, match=said):
            load(table()[["image", *columns]], tmp_path / "m.csv", encoders)


def test_what_numbers_were_taken_for_is_said(tmp_path: Path) -> None:
    rows = load(table(image=range(12)), tmp_path / "m.csv", images=Memory(12))
    order = "its numbers are rows, from 0 in the order of names: 0 is 0.png, 11 is 11.png"
    assert rows.taken[-1].endswith(order) and rows.rows.tolist() == [*range(12)]
    shifted = Memory(12)
    shifted.names = [f"{i}.png" for i in range(5, 17)]
    names = load(table(image=range(5, 17)), tmp_path / "m.csv", images=shifted)
    assert names.taken[-1].endswith("its numbers are names of images, not rows") and names.rows.tolist() == [*range(12)]


def trained(folder: Path, name: str, points: Any, *, recipe: bool = True) -> Any:
    """An encoder of memloc that was trained on rows of dataset d, each as often as it is there."""
    stated = {"points": array_sha256(np.array(points))}
    (folder / name).mkdir(exist_ok=True)
    facts = {"images": len({*points})} | ({"presentations": len(points)} if len(points) > len({*points}) else {})
    if recipe:
        (folder / name / "recipe.json").write_text(json.dumps(stated | facts))
    changes = {"name": str(folder / f"{name}/weights.safetensors"), "sha256": name}
    return replace(encoder(), training={"dataset": "d", **stated}, **changes)


F, G = np.flatnonzero(HALF).tolist(), np.flatnonzero(1 - np.array(HALF)).tolist()
TRAININGS: dict[str, tuple[list[int], list[int], bool, str]] = {
    "as the table says": (F, G, True, ""),
    "some several times": (sorted([*F, 0, 0]), G, True, "some images stood several times in an epoch, so its column"),
    "several times, and nothing says so": (sorted([*F, 0]), G, False, "no recipe.json beside it says"),
    "on images that the table lacks": (sorted([*F, 12, 13]), G, True, "was trained on 8 images, of which 6 are listed"),
    "on others": ([*F[1:], 12], G, True, "!f/weights.safetensors was trained on other images"),
    "on fewer, some several times": ([0, 0, 1], G, True, "!f/weights.safetensors was trained on other images"),
    "on the other half": (G, F, False, "!f/weights.safetensors was trained on other images"),
}


@pytest.mark.parametrize("training", TRAININGS)
def test_a_column_is_refused_only_where_its_training_contradicts_it(tmp_path: Path, training: str) -> None:
    f, g, recipe, said = TRAININGS[training]
    pixels = np.zeros((14, 3, 4, 4), dtype=np.uint8)
    images = StoredImages(lambda: pixels, np.arange(14) % 3, ["a", "b", "c"], part="train", size=4, sha256="d")
    frame = table(image=[f"train/{i}" for i in range(12)])[["image", *COLUMNS[:2]]]
    members = load(frame, tmp_path / "m.csv", ENCODERS[:2], images)
    encoders = [trained(tmp_path, name, points, recipe=recipe) for name, points in (("f", f), ("g", g))]
    if said.startswith("!"):
        with pytest.raises(InputError, match=said[1:]):
            check_trained(encoders, images, members)
    else:
        lines = check_trained(encoders, images, members)
        assert [said in line for line in lines] == [True] * bool(said), lines


NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.act = nn.Conv2d(3, 4, 3, stride=4), nn.ReLU()

    def forward(self, x):
        return self.act(self.conv(x)).mean((2, 3))


def a():
    return Net(0)


def b():
    return Net(1)


def c():
    return Net(2)


def d():
    return Net(3)
"""


@pytest.fixture
def score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run the command on four networks and twelve images in a folder; status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "member_nets.py").write_text(NETS)
    rng = np.random.default_rng(0)
    for i in range(12):
        path = tmp_path / f"photos/{'abc'[i % 3]}/{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, size=(4, 4, 3), dtype=np.uint8)).resize((32, 32)).save(path)
    frame = table().rename(columns=dict(zip(COLUMNS, [f"member_nets:{name}" for name in "abcd"], strict=True)))
    frame.assign(image=[f"{'abc'[i % 3]}/{i:02}.png" for i in range(12)]).to_csv("members.csv", index=False)
    log, threads = logging.getLogger("memloc"), torch.get_num_threads()
    handlers, level = log.handlers, log.level

    def run(*more: str) -> tuple[int, str, str]:
        capsys.readouterr()
        nets = [f"member_nets:{name}" for name in "abcd"]
        asked = ["--images", "photos", "--members", "members.csv", "--size", "32", "--draws", "4", "--threads", "1"]
        status = cli.main(["score", *nets, *asked, "--quiet", *more])
        return status, *capsys.readouterr()

    yield run
    log.handlers = handlers
    log.setLevel(level)
    torch.set_num_threads(threads)
    sys.modules.pop("member_nets", None)


def test_the_command_gives_the_estimates_of_what_it_measured(score: Any, tmp_path: Path) -> None:
    status, out, err = score("--out", "out")
    assert status == 0, err
    assert out.splitlines()[0].startswith("No layer's crossed LayerMem differs from 0 (2 layers, corrected")
    assert "Single images, by 2 pairs of encoders: reliability" in out
    scores = per_image.load(tmp_path / "out/per_image.npz")
    assert scores.names[:2].tolist() == ["a/00.png", "a/03.png"] and scores.layers.tolist() == ["conv", "output"]
    assert scores.encoders.tolist() == [f"member_nets:{name}" for name in "abcd"]
    found = memorization(scores.alignment.astype(float), scores.membership, scores.labels)
    layers, images = (pd.read_parquet(tmp_path / f"out/{name}.parquet") for name in ("layers", "images"))
    assert layers["layermem_crossed"].to_numpy() == pytest.approx(found.layermem.value)
    assert layers["layermem_crossed_p"].to_numpy() == pytest.approx(found.p)
    low, _ = found.layermem.interval()
    assert layers["layermem_crossed_low"].to_numpy() == pytest.approx(low)
    assert images["memorization"].to_numpy().reshape(12, 2) == pytest.approx(found.values)
    assert images["class"].tolist()[:2] == ["a", "a"] and (images["encoders_with"] == 2).all()
    page = (tmp_path / "out/index.html").read_text()
    assert "The most memorized images" in page and "--members members.csv" in page
    status, out, err = score("--out", "out", "--json")
    told = json.loads(out)
    assert "nothing to do" in err and told["layers"] == 2 and told["about"]["pairs"] == 2 and told["largest"]["low"] < 0
    for number in (1, 2):
        assert score("--out", "parts", "--shard", f"{number}/2")[0] == 0
    assert score("--out", "parts")[0] == 0
    for name in ("images.parquet", "layers.csv", "per_image.npz", "meta.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_options_that_members_leave_no_room_for_are_refused(score: Any) -> None:
    status, out, err = score("--out", "out", "--external", "photos")
    assert status == 1 and out == "" and "leave --external out" in err
