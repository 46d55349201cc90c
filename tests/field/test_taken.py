"""What was taken of an encoder is said before the work: on the terminal, on the page and in meta.json."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from memloc import cli

timm = pytest.importorskip("timm")

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
    taken = meta["taken"][0]
    assert status == 0 and taken.startswith("timm:test_resnet@w.pth: ") and f"memloc: {taken}\n" in err
    assert taken in html.unescape((place / "out/index.html").read_text())
    for said in ("32 pixels (given)", "RGB", "mean 0.4 (given)", "std 0.5 0.5 0.5", "92 of 184", "model (92)"):
        assert said in taken
    assert any("untrained" in line and line in err for line in meta["taken"])
    assert meta["settings"]["weights_key"] == "model_ema" and meta["settings"]["channels"] == "RGB"


def test_identical_weights_of_a_pair_are_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = "timm:test_resnet@w.pth"
    status, err = score(capsys, one, "--against", one, "--split", "split.csv", "--weights-key", "model")
    meta = json.loads((place / "out/meta.json").read_text())
    same = [line for line in meta["taken"] if "same weights" in line]
    assert status == 0 and len(same) == 1 and same[0] in err
    assert same[0] in html.unescape((place / "out/index.html").read_text())


def test_other_weights_of_a_pair_are_not(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = ("timm:test_resnet@w.pth", "--against", "timm:test_resnet@untrained", "--weights-key", "model_ema")
    status, err = score(capsys, *pair, "--split", "split.csv")
    assert status == 0 and "same weights" not in err and "no weights but random ones" in err


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
