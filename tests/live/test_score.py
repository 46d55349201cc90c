"""``memloc.score``: the command's numbers, of whatever holds the images; odd input is one line."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import ToTensor

import memloc
from memloc import cli
from memloc.errors import InputError
from memloc.live.images import given
from memloc.scoring.encoders import take_encoder
from tests.builders.scoring import Net

HOW = {"size": 24, "mean": 0.5, "std": 0.25, "draws": 4, "replicates": 4, "shuffles": 2, "device": "cpu", "quiet": True}
SPELLED = ["--size", 24, "--mean", 0.5, "--std", 0.25, "--draws", 4, "--replicates", 4, "--shuffles", 2, "--quiet"]
GROUPS = ["candidate", "independent", "external", None] * 6


def f() -> nn.Module:
    return Net(0)


def g() -> nn.Module:
    return Net(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of images in two classes, of one size."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    for name, count in (("photos", 24), ("unseen", 12)):
        for i in range(count):
            path = folder / name / ("cat", "dog")[i % 2] / f"{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 256, size=(8, 8, 3)) * rng.uniform(0.2, 1)
            Image.fromarray(coarse.astype(np.uint8)).resize((32, 32)).save(path)
    return folder


@pytest.fixture(scope="module")
def commanded(place: Path) -> dict[str, pd.DataFrame]:
    """What the command writes of one encoder and of a pair."""
    names = sorted(str(path.relative_to(place / "photos")) for path in (place / "photos").rglob("*.png"))
    pd.DataFrame({"image": names, "group": GROUPS}).dropna().to_csv(place / "split.csv", index=False)
    found = {}
    for name, more in (
        ("one", ["--external", place / "unseen"]),
        ("pair", ["--against", f"{__name__}:g", "--split", place / "split.csv"]),
    ):
        out = place / name
        given = ["score", f"{__name__}:f", "--images", place / "photos", *more, *SPELLED, "--out", out]
        assert cli.main([*map(str, given)]) == 0
        found |= {f"{name}/{path.stem}": pd.read_parquet(path) for path in out.glob("*.parquet")}
    return found


class Columns:
    """A stand-in for a data set of Hugging Face's: columns and features, rows as mappings."""

    def __init__(self, folder: Path) -> None:
        self.inner = ImageFolder(folder)
        self.column_names = ["id", "image", "label"]
        self.features = {"id": None, "image": None, "label": type("ClassLabel", (), {"names": self.inner.classes})}

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, key: Any) -> Any:
        if key == "label":
            return self.inner.targets
        image, label = self.inner[key]
        return {"id": key, "image": image, "label": label}


def arrays(folder: Path, data: Any = None) -> tuple[np.ndarray, list[str]]:
    data = data or ImageFolder(folder)
    return np.stack([np.asarray(image) for image, _ in data]), [data.classes[label] for label in data.targets]


def opened(kind: str, folder: Path) -> Any:
    if kind == "folder":
        return folder
    if kind == "dataset":
        return ImageFolder(folder)
    if kind == "loader":
        return DataLoader(ImageFolder(folder, transform=ToTensor()), batch_size=5, shuffle=True)
    return Columns(folder) if kind == "columns" else arrays(folder)[0]


@pytest.mark.parametrize("kind", ["folder", "dataset", "loader", "columns", "array"])
def test_whatever_holds_the_images_the_numbers_are_the_commands(kind, place, commanded):
    labels = arrays(place / "photos")[1] if kind == "array" else None
    module = f().train().double()
    scored = memloc.score(
        module, opened(kind, place / "photos"), external=opened(kind, place / "unseen"), labels=labels, **HOW
    )
    expected = commanded["one/layers"]
    if kind == "array":  # Its external images have no classes.
        expected = expected[list(scored.layers)]
    pd.testing.assert_frame_equal(scored.layers, expected, check_dtype=False)
    numbers = commanded["one/units"][list(scored.units)].select_dtypes("number")
    pd.testing.assert_frame_equal(scored.units[list(numbers)], numbers, check_dtype=False)
    assert scored.units["top_class"].astype(str).tolist() == commanded["one/units"]["top_class"].astype(str).tolist()
    # The module is as it was, and what was taken is said.
    assert module.training and next(module.parameters()).dtype == torch.float64
    assert any("24 images of 2 classes (cat 12, dog 12)" in line for line in scored.taken)


@pytest.mark.parametrize("form", ["list", "mapping", "series", "frame", "file"])
def test_a_pair_has_the_commands_layermem_whatever_the_split(form, place, commanded):
    rows = {
        group: [i for i, x in enumerate(GROUPS) if x == group] for group in ("candidate", "independent", "external")
    }
    split: Any = {
        "list": GROUPS,
        "mapping": {**rows, "candidate": np.array([group == "candidate" for group in GROUPS])},
        "series": pd.Series(GROUPS).sample(frac=1, random_state=0),
        "frame": pd.read_csv(place / "split.csv"),
        "file": place / "split.csv",
    }[form]
    data = ImageFolder(place / "photos")
    scored = memloc.score(f(), data, against=g(), split=split, **HOW)
    pd.testing.assert_frame_equal(scored.layers, commanded["pair/layers"], check_dtype=False)
    assert scored.points is not None and scored.verdict.startswith("No layer's crossed LayerMem")


def test_a_result_shows_itself_and_writes_the_page(place, tmp_path):
    pixels, _ = arrays(place / "photos")
    images = TensorDataset(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    scored = memloc.score(nn.Sequential(Net(0)), images, **{**HOW, "size": None})
    assert scored.about["settings"]["size"] == 32  # That of the images.
    assert "add external=." in scored.verdict and repr(scored) == scored.verdict
    shown = scored._repr_html_()
    assert 'src="data:image/png;base64,iVBOR' in shown and "add external=" in shown and "what was taken" in shown
    page = scored.page(tmp_path / "new" / "page.html").read_text()
    assert "<html" in page and "0.conv1" in page and "Sequential" in page
    with pytest.raises(InputError, match=r"^page: .*: can't be written \("):
        scored.page(tmp_path)


def test_what_wraps_a_module_is_taken_off_and_a_module_that_says_its_input_is_believed():
    wrapped = take_encoder(nn.DataParallel(Net(0)), "net", size=16, mean=[0.5], std=[0.25])
    assert "conv1" in dict(wrapped.module.named_modules()) and "mean 0.5 (given)" in wrapped.pixels
    states = timm.create_model("test_vit", pretrained=False, num_classes=0)
    encoder = take_encoder(states, "vit", side=32)
    stated = states.pretrained_cfg
    assert (encoder.size, encoder.mean) == (stated["input_size"][-1], tuple(stated["mean"]))
    assert "as its pretrained_cfg says" in encoder.pixels
    states.lock = threading.Lock()  # Can't be copied.
    with pytest.raises(InputError, match=r"^vit: can't be copied, .*; write a function"):
        take_encoder(states, "vit")


def noisy() -> Any:
    class Noisy(TensorDataset):
        def __getitem__(self, row: Any) -> Any:
            return (torch.rand(3, 8, 8) if row == 3 else torch.ones(3, 8, 8),)

    return Noisy(torch.zeros(4, 3, 8, 8))


ZEROS = np.zeros((6, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("images", "how", "message"),
    [
        (3, {}, "images: int isn't images in an order of their own; give a folder, an array"),
        (ZEROS[:0], {}, "images: no images"),
        (ZEROS[0, 0], {}, r"images: an array \[8, 3\]; give \[n, height"),
        (ZEROS.astype(int), {}, "images: image 0: pixels of int64; give uint8, or floats from 0 to 1"),
        (ZEROS - 1.0, {}, "images: image 0: pixels from -1 to -1, not from 0 to 1; take the normalisation out of"),
        (ZEROS + 9.0, {}, "images: image 0: pixels from 9 to 9, not from 0 to 1; divide|take"),
        ((ZEROS + 1) / 255 / 255, {}, "images: no pixel is above 1/255; if they were divided by 255 twice, divide"),
        (ZEROS, {"labels": pd.Series(range(6), index=range(1, 7))}, "labels: the index of the Series doesn't name"),
        (noisy(), {}, "images: image 3 comes otherwise each time; take random transforms out"),
        (["a.png", "b.png"], {}, "images: image 0: str isn't an image; give an array or a PIL image"),
        ([{"pic": 1}], {}, "images: no column of images among pic; call it image"),
        (DataLoader(list(ZEROS), sampler=SubsetRandomSampler([0, 1])), {}, "images: the loader's SubsetRandomSampler"),
        (ZEROS, {"labels": [0, 1]}, "labels: 2 for 6 images; give one for each"),
        (ZEROS, {"labels": [0, 1, 2, 3, 4, float("nan")]}, "labels: a label is nan"),
        (ZEROS, {"against": Net(1)}, "against= needs split="),
        (ZEROS, {"against": Net(0), "split": GROUPS[:6]}, r"against: Net \(against\) has the same weights as Net"),
        (ZEROS, {"against": Net(1), "split": GROUPS[:5]}, "split: 5 groups for 6 images; give one for each, or None"),
        (ZEROS, {"against": Net(1), "split": {"mine": [0]}}, "split: group 'mine' is none of"),
        (ZEROS, {"against": Net(1), "split": {"candidate": [9]}}, "split: candidate has image 9, but there are 6"),
        (ZEROS, {"others": "middle"}, "others: 'middle' is none of mean, median"),
        (ZEROS, {"draws": 5}, "draws: 5 must be an even number"),
        (ZEROS, {"layers": "nothing*"}, "nothing"),
        (ZEROS, {"size": 0}, "size: 0; give 1 pixel or more"),
    ],
)
def test_odd_input_is_one_line(images, how, message):
    with pytest.raises(InputError, match=rf"^{message}" if message != "nothing" else message) as error:
        memloc.score(Net(0), images, **{**HOW, **how})
    assert "\n" not in str(error.value) and "--" not in str(error.value)


def test_labels_go_by_the_index_of_a_series():
    labels = pd.Series(["a", "b", "c"], index=[2, 0, 1])
    found = given(ZEROS[:3], "images", labels)
    assert not isinstance(found, str) and found.labels is not None
    assert [found.classes[label] for label in found.labels] == ["b", "c", "a"]


def test_what_was_made_in_different_ways_is_said():
    greys = np.random.default_rng(0).integers(0, 256, (3, 24, 24), dtype=np.uint8)
    scored = memloc.score(f(), greys, external=greys.astype(float)[::-1] / 255.5, **HOW)
    assert any("[n, height, width] of grey images" in line for line in scored.taken)
    assert any(line.startswith("images and external: floats between the 256 levels in one") for line in scored.taken)


def test_something_else_than_an_encoder_is_one_line():
    with pytest.raises(InputError, match=r"^module: function isn't a torch.nn.Module"):
        memloc.score(f, ZEROS, **HOW)
    with pytest.raises(InputError, match=r"^Conv2d: gives \[3, 4, 24, 24\] for three images; its forward must"):
        memloc.score(nn.Conv2d(3, 4, 1), ZEROS, **HOW)


def test_the_package_imports_nothing_until_it_is_asked():
    code = "import memloc, sys; print({'numpy', 'torch', 'pandas', 'PIL'} & {*sys.modules}, 'score' in dir(memloc))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300).stdout
    assert out == "set() True\n"
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        _ = memloc.scores
