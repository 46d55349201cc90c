"""``memloc charts make`` as users call it."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from memloc import cli
from memloc.charts import draw as drawing
from memloc.charts import files
from memloc.charts.check import faults
from memloc.charts.marks import Chart
from memloc.provenance import file_sha256

SMALL = ["--size", "64", "--charts", "40"]


@pytest.fixture(autouse=True)
def _log_again():
    yield
    logging.getLogger("memloc").handlers = []


def make(*options):
    return cli.main(["charts", "make", "--quiet", *map(str, options)])


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_suite_is_complete_and_the_same_bytes_again(tmp_path, capsys):
    assert make("--out", tmp_path / "a", *SMALL) == 0
    told = capsys.readouterr().out
    folder = tmp_path / "a"
    manifest = json.loads((folder / "manifest.json").read_text())
    charts, items = lines(folder / "charts.jsonl"), lines(folder / "items.jsonl")
    assert manifest["format"] == 1 and manifest["seed"] == 0 and manifest["settings"]["size"] == 64
    assert "matplotlib" in manifest["versions"]
    assert {*manifest["files"]} | {"manifest.json"} == {*contents(folder)}
    assert all(file_sha256(folder / name) == sha for name, sha in manifest["files"].items())
    assert f"{len(charts)} charts" in told and f"{len(items)} items" in told and "held-out" in told
    assert faults(charts, items) == []
    for row in charts[::5]:
        image, elements = drawing.draw(Chart.read(row), 64)
        with Image.open(folder / f"images/{row['chart']}.png") as png:
            assert np.array_equal(np.asarray(png), image)
        with np.load(folder / f"masks/{row['chart']}.npz", allow_pickle=False) as masks:
            assert np.array_equal(masks["elements"], elements)
    assert all((folder / item["image"]).is_file() for item in items)
    assert make("--out", tmp_path / "b", *SMALL) == 0
    assert contents(tmp_path / "b") == contents(folder)


def test_a_large_suite_is_the_same_bytes_again(tmp_path):
    options = ["--charts", "12", "--tasks", "count", "position"]
    for name in ("a", "b"):
        assert make("--out", tmp_path / name, *options) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    image = np.asarray(Image.open(next((tmp_path / "a/images").iterdir())))
    assert image.shape == (560, 560, 3)


def test_a_folder_is_the_users(tmp_path, capsys):
    folder = tmp_path / "charts"
    (folder / "images").mkdir(parents=True)
    (folder / "images/mine.png").write_bytes(b"mine")
    options = ["--out", folder, "--tasks", "position", "--types", "scatter", "--size", "64"]
    assert make(*options, "--charts", "12") == 0
    first = contents(folder)
    assert make(*options, "--charts", "12") == 0 and "nothing to do" in capsys.readouterr().err
    assert make(*options, "--charts", "6") == 1
    assert "holds the result of other settings" in capsys.readouterr().err and contents(folder) == first
    assert make(*options, "--charts", "6", "--replace") == 0
    assert len([*(folder / "images").iterdir()]) == 7 and (folder / "images/mine.png").read_bytes() == b"mine"
    # An image that was changed since is never replaced.
    changed = next(path for path in (folder / "images").iterdir() if path.name != "mine.png")
    changed.write_bytes(b"painted over")
    assert make(*options, "--charts", "12", "--replace") == 1
    assert "was changed since memloc wrote it" in capsys.readouterr().err and changed.read_bytes() == b"painted over"


def test_what_stands_in_the_way_stays(tmp_path, capsys):
    folder = tmp_path / "charts"
    folder.mkdir()
    (folder / "masks").write_text("a list of masks")
    assert make("--out", folder, *SMALL) == 1
    assert "has a masks that isn't memloc's" in capsys.readouterr().err
    assert contents(folder) == {"masks": b"a list of masks"}


def test_nothing_is_left_of_a_run_that_fails(tmp_path, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "draw", full)
    assert make("--out", tmp_path / "charts", *SMALL) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert contents(tmp_path / "charts") == {}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tasks", "size"], "tasks: size: no such task"),
        (["--size", "65000"], "size: 65000; give 54 to 560"),
        (["--charts", "1"], "charts: 1; these tasks and types take"),
        (["--config", "none.yaml"], "none.yaml: can't be read"),
        (["--seed", "-1"], "seed: -1; give 0 to"),
    ],
)
def test_bad_options_get_one_line(tmp_path, capsys, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    assert make("--out", tmp_path / "charts", *options) == 1
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1
    assert not (tmp_path / "charts").exists()
