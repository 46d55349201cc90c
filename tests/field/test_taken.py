"""What was taken of an encoder is said before the work: on the terminal, on the page and in meta.json."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from memloc import cli

SPLIT = [*["candidate"] * 4, *["independent"] * 4]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight images, their split, and two models in one file."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"photos/{i}.png")
    rows = "".join(f"{i},{group}\n" for i, group in enumerate(SPLIT))
    (tmp_path / "split.csv").write_text(f"image,group\n{rows}")
    torch.manual_seed(0)
    models = {key: timm.create_model("test_resnet").state_dict() for key in ("model", "model_ema")}
    torch.save(models, tmp_path / "w.pth")
    return tmp_path


def score(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    common = ["--images", "photos", "--out", "out", "--size", "32", "--draws", "4", "--quiet", "--activation", "abs"]
    status = cli.main(["score", *arguments, *common, "--layers", "layer1*"])
    return status, capsys.readouterr().err


def test_it_is_on_the_terminal_on_the_page_and_in_meta_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, err = score(capsys, "timm:test_resnet@w.pth", "--weights-key", "model_ema", "--mean", "0.4")
    meta: dict[str, Any] = json.loads((place / "out/meta.json").read_text())
    pixels, weights = meta["taken"][:2]
    page = html.unescape((place / "out/index.html").read_text())
    for line in meta["taken"]:
        assert f"memloc: {line}\n" in err and line in page
    assert status == 0 and pixels.startswith("timm:test_resnet@w.pth: input: 32 pixels (given), RGB, mean 0.4 (given)")
    assert "std 0.5 0.5 0.5" in pixels
    assert weights.startswith("timm:test_resnet@w.pth: weights: 92 of 184") and "model (92)" in weights
    assert any("untrained" in line and line in err for line in meta["taken"])
    assert meta["settings"]["weights_key"] == "model_ema" and meta["settings"]["channels"] == "RGB"


def test_identical_weights_of_a_pair_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = "timm:test_resnet@w.pth"
    torch.save({"model": torch.load("w.pth", weights_only=True)["model"]}, "copy.pth")
    for other in (one, "timm:test_resnet@copy.pth"):
        status, err = score(capsys, one, "--against", other, "--split", "split.csv", "--weights-key", "model")
        assert status == 1 and err.splitlines()[-1] == (
            f"memloc: error: against: {other} has the same weights as {one}, and an encoder differs in nothing from"
            " itself; name the encoder that was trained on the independent images instead"
        )
        assert not (place / "out").exists()


def test_of_a_pair_what_differs_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = ("timm:test_resnet@w.pth", "--against", "timm:test_resnet@untrained", "--weights-key", "model_ema")
    status, err = score(capsys, *pair, "--split", "split.csv")
    assert status == 0 and "same weights" not in err
    of_g = [line for line in err.splitlines() if line.startswith("memloc: timm:test_resnet@untrained: ")]
    assert of_g == ["memloc: timm:test_resnet@untrained: weights: random, as @untrained says"]


UNTRAINED = "an untrained encoder"


@pytest.mark.parametrize(
    ("groups", "more", "expected"),
    [
        ("", "", "scored: 8 images; null: none, as no external images are named; 1 pass over 8 images in all"),
        ("", "external", f"scored: 8 images; null: 3 external images and {UNTRAINED}; 3 passes over 14 images in all"),
        (
            "cccxxxsi",
            "",
            f"scored: 3 candidate images; null: 3 external images and {UNTRAINED}; shared and independent images aren't"
            " used; 3 passes over 9 images in all",
        ),
        (
            "ccccii",
            "",
            "scored: 4 candidate images; null: none, as no external images are named; independent images aren't used;"
            " 1 pass over 4 images in all",
        ),
        (
            "ccciixxs",
            "against",
            f"scored: 3 candidate images; null: 2 external images and {UNTRAINED}; LayerMem: 3 candidate, 2"
            " independent, 2 external images; shared images aren't used; 7 passes over 16 images in all",
        ),
        (
            "ccccii",
            "against external",
            f"scored: 4 candidate images; null: 3 external images and {UNTRAINED}; LayerMem: 4 candidate, 2 independent"
            " images; 6 passes over 18 images in all",
        ),
    ],
)
def test_what_is_scored_is_said(
    place: Path, capsys: pytest.CaptureFixture[str], groups: str, more: str, expected: str
) -> None:
    options = ["timm:test_resnet@w.pth", "--weights-key", "model_ema"]
    if groups:
        full = {"c": "candidate", "x": "external", "s": "shared", "i": "independent"}
        rows = "".join(f"{i},{full[group]}\n" for i, group in enumerate(groups))
        Path("split.csv").write_text(f"image,group\n{rows}")
        options += ["--split", "split.csv"]
    if "external" in more:
        (place / "held").mkdir()
        for i in range(3):
            Image.new("RGB", (32, 32), (i, 40 * i, 9)).save(place / f"held/{i}.png")
        options += ["--external", "held"]
    if "against" in more:
        options += ["--against", "timm:test_resnet@untrained"]
    status, err = score(capsys, *options)
    assert status == 0 and f"memloc: {expected}\n" in err, err
    assert json.loads((place / "out/meta.json").read_text())["taken"][-1] == expected


def test_images_that_cannot_be_read_are_not_counted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "photos/broken.png").write_bytes(b"?")
    status, err = score(capsys, "timm:test_resnet@untrained")
    assert status == 0 and "photos: 8 images without classes" in err and "scored: 8 images; " in err


def test_the_part_of_a_dataset_is_said_and_recorded(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for i in range(4):
            path = place / f"set/{part}/{'ab'[i % 2]}/{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    (place / "config.yaml").write_text("datasets: {own: {source: folder, path: set, image_size: 32}}")
    for part in ("train", "test"):
        options = ["--images", "own", "--out", part, "--size", "32", "--draws", "4", "--quiet", "--activation", "abs"]
        more = [] if part == "train" else ["--part", part]
        assert cli.main(["score", "timm:test_resnet@untrained", *options, *more, "--layers", "layer1*"]) == 0
        assert f"memloc: own ({part} part): 4 images of 2 classes" in capsys.readouterr().err
        assert json.loads((place / part / "meta.json").read_text())["part"] == part
    assert score(capsys, "timm:test_resnet@untrained")[0] == 0
    assert json.loads((place / "out/meta.json").read_text())["part"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("timm:test_resnet@w.pth",), "choose one with --weights-key"),
        (("timm:test_resnet@w.pth", "--weights-key", "ema"), "it has model, model_ema"),
        (("timm:test_resnet@untrained", "--weights-key", "model"), "no @FILE"),
        (("timm:test_resnet@untrained", "--mean", "123.675", "116.28", "103.53"), "--mean 0.485 0.456 0.406"),
    ],
)
def test_what_is_refused_leaves_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    status, err = score(capsys, *arguments)
    assert status == 1 and message in err and "Traceback" not in err and not (place / "out").exists()
