"""Whether work is the same is told by all that numbers follow: code and configuration as well as weights."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from memloc import cli
from memloc.scoring.encoders import open_encoder
from tests.builders.pictures import put

CODE = """
import torch
from torch import nn

from field_part import SLOPE


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, stride=4)

    def forward(self, x):
        return SLOPE * self.conv(x).relu().mean((2, 3))


def net():
    return Net()
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a module and the one that it imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(text: str = CODE, slope: int = 1) -> None:
        (tmp_path / "field_work.py").write_text(text)
        (tmp_path / "field_part.py").write_text(f"SLOPE = {slope}\n")
        for name in ("field_work", "field_part"):
            sys.modules.pop(name, None)

    write()
    return write


def made_of(name: str) -> str:
    return open_encoder(name).made_of


def test_edited_code_is_other_work_and_what_is_not_imported_is_not(code: Callable[..., None]) -> None:
    before = made_of("field_work:net")
    Path("unrelated.py").write_text("x = 1\n")
    code()
    assert made_of("field_work:net") == before
    code(CODE.replace(".relu()", ".tanh()"))
    edited = made_of("field_work:net")
    code(slope=2)
    assert len({before, edited, made_of("field_work:net")}) == 3


def test_a_package_is_followed_through_what_it_imports_of_itself(code: Callable[..., None]) -> None:
    def write(factor: int) -> str:
        Path("field_package/deep").mkdir(parents=True, exist_ok=True)
        Path("field_package/net.py").write_text(CODE.replace("field_part", ".deep.part"))
        Path("field_package/deep/part.py").write_text(f"SLOPE = {factor}\n")
        for name in [name for name in sys.modules if name.startswith("field_package")]:
            sys.modules.pop(name)
        return made_of("field_package.net:net")

    assert write(1) == write(1) != write(2)


def test_what_else_a_process_has_loaded_is_no_part_of_the_work(
    code: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made_of("field_work:net")
    Path("field_other.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    importlib.import_module("field_other")
    assert made_of("field_work:net") == before
    sys.modules.pop("field_other")


def test_a_finished_score_of_edited_code_is_not_taken_for_the_same(
    code: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    put(Path("photos"), *(f"{i}.png" for i in range(4)))
    call = ["score", "field_work:net", "--images", "photos", "--out", "out", "--size", "32", "--draws", "4", "--quiet"]
    assert cli.main([*call, "--activation", "abs"]) == 0
    capsys.readouterr()
    assert cli.main([*call, "--activation", "abs"]) == 0
    assert "already finished" in capsys.readouterr().err
    code(CODE.replace(".relu()", ".tanh()"))
    assert cli.main([*call, "--activation", "abs"]) == 1
    assert "--replace" in capsys.readouterr().err


def test_an_edited_config_of_a_folder_is_other_work_and_another_layout_of_it_is_not(tmp_path: Path) -> None:
    tiny = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = transformers.ViTModel(transformers.ViTConfig(**tiny, image_size=32, patch_size=8))
    config = model.config.to_dict()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    save_file(model.state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})

    def said(text: str) -> str:
        (tmp_path / "config.json").write_text(text)
        return made_of(str(tmp_path))

    assert said(json.dumps(config)) == said(json.dumps(config, indent=4))
    assert said(json.dumps(config)) != said(json.dumps(config | {"num_attention_heads": 4}))


def test_another_release_of_a_library_is_other_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from memloc.scoring.encoders import source

    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    name = f"timm:test_resnet@{tmp_path / 'w.pth'}"
    found: list[str] = []
    for release in ("1.0.1", "1.0.2", "1.0.2+cpu"):
        monkeypatch.setattr(source, "versions", lambda *names, release=release: dict.fromkeys(names, release))
        found.append(made_of(name))
    assert found[0] != found[1] == found[2]
    assert isinstance(open_encoder(name).module, nn.Module)
