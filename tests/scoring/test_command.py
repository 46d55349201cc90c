"""`memloc score` as users call it: on folders of images, interrupted, in parts, from Snakemake, with bad input."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from memloc import cli
from memloc.scoring import run as running
from tests.workflow.running import environment

MEMLOC = Path(sys.executable).with_name("memloc")
TABLES = ("units.parquet", "tops.parquet", "layers.parquet", "points.parquet", "layers.csv", "summary.csv", "meta.json")

ENCODER = """
import time
from pathlib import Path

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.conv1, self.act1 = nn.Conv2d(3, 8, 5, stride=4), nn.ReLU()
        self.conv2, self.act2 = nn.Conv2d(8, 8, 3, stride=2), nn.ReLU()

    def forward(self, x):
        if Path("slow").exists():
            time.sleep(0.15)
        return self.act2(self.conv2(self.act1(self.conv1(x)))).mean(dim=(2, 3))


def f():
    return Net(0)


def g():
    return Net(1)


def signed():
    net = Net(0)
    net.act1, net.act2 = nn.Identity(), nn.Identity()
    return net


def overflows():
    net = Net(0)
    net.conv1.weight.data.fill_(3e38)
    return net
"""


def photos(folder: Path, *, count: int = 40, side: int = 40, seed: int = 0) -> Path:
    """Images of blobs in two classes."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        place = folder / ("cat", "dog")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        coarse = (rng.integers(0, 256, size=(5, 5, 3)) * rng.uniform(0.2, 1)).astype(np.uint8)
        Image.fromarray(coarse).resize((side, side)).save(place / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: images, an encoder of their own, a split."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "encoder.py").write_text(ENCODER)
    photos(folder / "photos")
    names = sorted(str(path.relative_to(folder / "photos")) for path in (folder / "photos").rglob("*.png"))
    groups = ["candidate"] * 18 + ["independent"] * 10 + ["external"] * 12
    shuffled = np.random.default_rng(0).permutation(groups)
    pd.DataFrame({"image": names, "group": shuffled}).to_csv(folder / "split.csv", index=False)
    return folder


# A window holds 16 images of 64 pixels; one thread, so that bits can be compared.
COMMON = ("--size", "64", "--threads", "1", "--draws", "4", "--quiet")
PAIR = ("encoder:f", "--against", "encoder:g", "--images", "photos", "--split", "split.csv", *COMMON)
SINGLE = ("encoder:f", "--images", "photos", *COMMON)


@pytest.fixture
def score(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, list[str]]]]:
    """Run the command in this process, in that folder; gives its status and the lines on stderr."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
    log = logging.getLogger("memloc")
    handlers, level, threads = log.handlers, log.level, torch.get_num_threads()

    def run(*arguments: object) -> tuple[int, list[str]]:
        capsys.readouterr()
        status = cli.main(["score", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert not out or status == 0
        return status, err.splitlines()

    yield run
    log.handlers = handlers
    log.setLevel(level)
    torch.set_num_threads(threads)
    sys.modules.pop("encoder", None)


def start(place: Path, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(MEMLOC), "score", *map(str, arguments)],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def tables(folder: Path, names: Sequence[str] = TABLES) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Path:
    """A pair, scored by the installed command."""
    process = start(place, *PAIR, "--out", "undisturbed")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "open it in a browser" in err and "Warning" not in err
    assert out.splitlines()[0] in json.loads((place / "undisturbed/meta.json").read_text())["verdict"]["headline"]
    return place / "undisturbed"


# --- What comes out --------------------------------------------------------------------------------------------------


def test_the_command_is_installed_and_prints_its_version() -> None:
    done = subprocess.run([str(MEMLOC), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("memloc ")


def test_help_has_examples_and_imports_no_heavy_library() -> None:
    code = """
import sys
from memloc import cli
try:
    cli.main(["score", "--help"])
except SystemExit as end:
    assert end.code == 0
heavy = {"torch", "numpy", "pandas", "PIL", "matplotlib", "timm", "torchvision", "transformers"} & {*sys.modules}
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "examples:" in done.stdout and "memloc score timm:" in done.stdout and "--shard $k/4" in done.stdout
    for option in ("--images", "--external", "--against", "--split", "--layers", "--strict", "--draws", "--others"):
        assert option in done.stdout


def test_all_files_are_written(undisturbed: Path) -> None:
    assert {path.name for path in undisturbed.iterdir()} == {*TABLES, "index.html", "summary.png"}
    page = (undisturbed / "index.html").read_text()
    assert "encoder:f" in page and "<script src" not in page and "conv2" in page
    units = pd.read_parquet(undisturbed / "units.parquet")
    assert units["layer"].tolist() == ["conv1"] * 8 + ["conv2"] * 8
    layers = pd.read_csv(undisturbed / "layers.csv")
    assert layers["layer"].tolist() == ["conv1", "conv2", "output"]
    assert {"unitmem", "excess", "classmem", "layermem_crossed", "layermem_crossed_low"} <= {*layers}
    assert len(pd.read_parquet(undisturbed / "points.parquet")) == 40 * 3
    meta = json.loads((undisturbed / "meta.json").read_text())
    assert meta["counts"]["f-candidate"] == 18 and meta["settings"]["draws"] == 4 and meta["skipped"] == {}
    assert (undisturbed / "summary.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_call_has_nothing_to_do_and_a_missing_file_is_made_again(score: Any, undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.iterdir()}
    for more in ((), ("--shard", "1/2")):
        status, lines = score(*PAIR, "--out", undisturbed, *more)
        assert status == 0 and "nothing to do" in lines[-1]
    assert {path: path.stat().st_mtime_ns for path in undisturbed.iterdir()} == before
    expected = tables(undisturbed)
    (undisturbed / "index.html").unlink()
    status, lines = score(*PAIR, "--out", undisturbed)
    assert status == 0 and "nothing to do" not in lines[-1] and (undisturbed / "index.html").exists()
    assert tables(undisturbed) == expected


def test_other_scores_in_the_same_folder_replace_the_first_where_that_is_asked_for(score: Any, tmp_path: Path) -> None:
    assert score(*PAIR, "--out", tmp_path)[0] == 0
    before = tables(tmp_path)
    for more in ((), ("--shard", "1/2")):
        assert "add --replace" in refused(score(*SINGLE, "--out", tmp_path, *more))
    assert tables(tmp_path) == before
    assert score(*SINGLE, "--out", tmp_path, "--replace")[0] == 0
    assert not (tmp_path / "points.parquet").exists() and not (tmp_path / "unfinished").exists()
    assert "layermem_crossed" not in pd.read_csv(tmp_path / "layers.csv")


def test_a_torchvision_network_and_its_nulls(score: Any, place: Path, tmp_path: Path) -> None:
    photos(tmp_path / "unseen", count=8, seed=1)
    status, lines = score(
        "torchvision:resnet18@untrained", "--images", "photos", "--external", tmp_path / "unseen", "--size", 32,
        "--draws", 4, "--layers", "conv1", "layer1.*.conv?", "--quiet", "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 0, lines
    layers = pd.read_csv(tmp_path / "out/layers.csv")
    assert layers["layer"].tolist() == ["conv1", *(f"layer1.{i}.conv{j}" for i in (0, 1) for j in (1, 2))]
    assert (layers["units"] == 64).all()
    for column in ("unitmem", "unitmem_matched", "unitmem_external", "unitmem_untrained", "excess", "gain"):
        assert layers[column].notna().all(), column
    # The encoder is itself untrained, with other weights and statistics than its null.
    units = pd.read_parquet(tmp_path / "out/units.parquet")
    assert not np.allclose(units["unitmem_matched"], units["unitmem_untrained"])


def test_threads_and_windows_change_no_more_than_the_last_digits(
    score: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert score(*SINGLE, "--out", tmp_path / "one")[0] == 0
    assert score(*SINGLE, "--threads", "2", "--out", tmp_path / "two")[0] == 0
    monkeypatch.setattr(running, "window_of", lambda size: 5)
    assert score(*SINGLE, "--out", tmp_path / "three")[0] == 0
    one, *others = (pd.read_parquet(tmp_path / name / "units.parquet") for name in ("one", "two", "three"))
    for other in others:
        assert (one["owner"] == other["owner"]).all()
        for column in ("unitmem", "highest", "others", "classmem"):
            np.testing.assert_allclose(one[column], other[column], atol=1e-5)


# --- Stopped, in parts, from a workflow ------------------------------------------------------------------------------


def stop(place: Path, out: Path, finished: str, with_signal: int) -> tuple[int, list[str]]:
    """Start it slowly, and send a signal as soon as a pass is finished."""
    (place / "slow").touch()
    try:
        process = start(place, *PAIR, "--out", out)
        deadline = time.monotonic() + 120
        while not list(out.glob(f"unfinished/*/{finished}-1of1.npz")):
            assert process.poll() is None, "ended before it could be stopped"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(with_signal)
        _, err = process.communicate(timeout=60)
    finally:
        (place / "slow").unlink()
    return process.returncode, err.splitlines()


def test_a_run_that_was_interrupted_and_killed_ends_in_the_same_bytes(
    place: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    status, lines = stop(place, out, "f-candidate", signal.SIGINT)
    assert status == 130
    assert lines[-1] == "memloc: interrupted; the same command continues where it stopped"
    assert all(line.startswith("memloc: ") for line in lines)
    assert [path.name for path in out.iterdir()] == ["unfinished"]
    kept = next(out.glob("unfinished/*/f-candidate-1of1.npz"))
    before = kept.stat().st_mtime_ns
    status, _ = stop(place, out, "f-independent", signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert kept.stat().st_mtime_ns == before  # Not done again.
    process = start(place, *PAIR, "--out", out)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert tables(out) == tables(undisturbed)
    assert not (out / "unfinished").exists()


def test_shards_in_any_order_join_to_the_same_bytes(score: Any, undisturbed: Path, tmp_path: Path) -> None:
    for number in (3, 1, 2):
        status, lines = score(*PAIR, "--shard", f"{number}/3", "--out", tmp_path)
        assert status == 0 and f"shard {number}/3 is done" in lines[-1]
        assert [path.name for path in tmp_path.iterdir()] == ["unfinished"]
    parts = {path.name for path in tmp_path.glob("unfinished/*/*.npz")}
    assert len(parts) == 3 * 7
    assert score(*PAIR, "--out", tmp_path)[0] == 0
    assert tables(tmp_path) == tables(undisturbed)


def test_one_shard_of_two_is_reported_and_everything_computed(score: Any, undisturbed: Path, tmp_path: Path) -> None:
    assert score(*PAIR, "--shard", "1/2", "--out", tmp_path)[0] == 0
    status, lines = score(*PAIR, "--out", tmp_path)
    assert status == 0 and any("only 1 of 2 shards are finished; the whole pass" in line for line in lines)
    assert tables(tmp_path) == tables(undisturbed)


def test_foreign_files_and_work_of_other_settings_are_left_alone(score: Any, tmp_path: Path) -> None:
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "thesis.tex").write_text("mine")
    assert score(*SINGLE, "--activation", "abs", "--shard", "1/2", "--out", tmp_path)[0] == 0
    parts = list(tmp_path.glob("unfinished/*/*.npz"))
    status, lines = score(*SINGLE, "--out", tmp_path)
    assert status == 0 and any("it is kept and not joined" in line for line in lines)
    assert parts and all(path.exists() for path in parts)
    assert (tmp_path / "unfinished" / "thesis.tex").read_text() == "mine"


def test_a_folder_with_a_foreign_page_is_refused(score: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    status, lines = score(*SINGLE, "--out", tmp_path)
    assert status == 1 and "isn't memloc's" in lines[-1] and (tmp_path / "index.html").read_text() == "mine"


def test_results_inside_the_images_are_refused(score: Any, place: Path) -> None:
    status, lines = score(*SINGLE, "--out", place / "photos" / "scores")
    assert status == 1 and "lies inside --images" in lines[-1] and not (place / "photos" / "scores").exists()


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    # By name: the file's ending, and what is done to it.
    "short": (".npz", lambda part: part.write_bytes(part.read_bytes()[:1000])),
    "other": (".npz", lambda part: np.savez(part, x=np.zeros(3))),
    "far": (".npz", lambda part: np.savez(part, **{**np.load(part), "done": np.array(10**6)})),
    "gone": (".mu.npy", lambda mu: mu.unlink()),
    "cut": (".mu.npy", lambda mu: mu.write_bytes(mu.read_bytes()[:2000])),
}


@pytest.mark.parametrize("others", ["mean", "median"])
def test_a_damaged_shard_is_reported_and_computed_again(score: Any, tmp_path: Path, others: str) -> None:
    command = (*SINGLE, "--others", others)
    assert score(*command, "--out", tmp_path / "whole")[0] == 0
    assert score(*command, "--shard", "1/1", "--out", tmp_path / "part")[0] == 0
    for name, (ending, damage) in DAMAGE.items():
        if others == "mean" and ending == ".mu.npy":
            continue  # Only a median keeps activations.
        hurt = shutil.copytree(tmp_path / "part", tmp_path / name)
        damage(next(hurt.glob("unfinished/*/f-candidate-1of1.npz")).with_suffix(ending))
        status, lines = score(*command, "--out", hurt)
        assert status == 0 and any("is damaged and computed again" in line for line in lines), name
        for table in ("units.parquet", "layers.csv"):
            assert (hurt / table).read_bytes() == (tmp_path / "whole" / table).read_bytes(), name


def test_a_terminal_that_goes_away_stops_nothing(place: Path, tmp_path: Path) -> None:
    for redirect in ("2>&-", "2>/dev/full"):
        line = " ".join(
            [sys.executable, "-m", "memloc.cli", "score", *map(str, SINGLE), "--out", str(tmp_path / "out")]
        )
        done = subprocess.run(["bash", "-c", f"{line} {redirect}"], cwd=place, env=environment(), check=False)
        assert done.returncode == 0 and (tmp_path / "out" / "index.html").exists()
        shutil.rmtree(tmp_path / "out")


def test_a_rule_of_snakemake_may_call_it(place: Path, score: Any, undisturbed: Path) -> None:
    (place / "Snakefile").write_text(f"""
rule score:
    input: "photos"
    output: "scores/units.parquet", "scores/index.html"
    threads: 1
    shell: "memloc score {" ".join(PAIR)} --out scores"
""")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1"],
        cwd=place, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert tables(place / "scores") == tables(undisturbed)
    # Before it runs a rule anew, snakemake removes its outputs and nothing else.
    for name in ("units.parquet", "index.html"):
        (place / "scores" / name).unlink()
    assert score(*PAIR, "--out", "scores")[0] == 0
    assert tables(place / "scores") == tables(undisturbed)


# --- Images of all kinds ---------------------------------------------------------------------------------------------


def mixed(folder: Path) -> Path:
    """Images of every kind that can be read, and three files that can't."""
    folder.mkdir()
    rng = np.random.default_rng(0)

    def noise(*shape: int) -> Any:
        return rng.integers(0, 256, size=shape, dtype=np.uint8)

    for i in range(4):
        Image.fromarray(noise(30 + 10 * i, 50, 3)).save(folder / f"colour{i}.png")
    Image.fromarray(noise(20, 300)).save(folder / "grey.png")
    Image.fromarray(noise(40, 40).astype(np.uint16) * 257).save(folder / "16bit.png")
    Image.fromarray(noise(64, 64, 4)).save(folder / "clear.png")
    Image.fromarray(noise(33, 65)).convert("P").save(folder / "palette.png")
    frames = [Image.fromarray(noise(40, 40, 3)) for _ in range(3)]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "photo.JPEG")
    Image.fromarray(noise(1, 1, 3)).save(folder / "dot.bmp")
    (folder / "empty.png").touch()
    (folder / "no.jpg").write_text("a text")
    (folder / "short.png").write_bytes((folder / "colour0.png").read_bytes()[:300])
    return folder


BAD = {"empty.png", "no.jpg", "short.png"}


def test_images_of_all_kinds_are_read_and_the_others_are_listed(score: Any, tmp_path: Path) -> None:
    mixed(tmp_path / "mixed")
    status, lines = score("encoder:f", "--images", tmp_path / "mixed", *COMMON, "--out", tmp_path / "out")
    assert status == 0, lines
    skipped = [line.split()[2].rstrip(":") for line in lines if line.startswith("memloc: skipped")]
    assert {*skipped} == BAD and len(skipped) == 3
    meta = json.loads((tmp_path / "out/meta.json").read_text())
    assert {*meta["skipped"]} == BAD and meta["counts"] == {"f-candidate": 14}
    page = (tmp_path / "out/index.html").read_text()
    assert all(name in page for name in BAD)
    tops = pd.read_parquet(tmp_path / "out/tops.parquet")
    every = {path.name for path in (tmp_path / "mixed").iterdir()}
    assert {*tops["name"]} == every - BAD and (tops.groupby(["layer", "unit"]).size() == 11).all()


def test_a_strict_run_stops_at_a_file_that_cannot_be_read(score: Any, tmp_path: Path) -> None:
    mixed(tmp_path / "mixed")
    error = refused(score("encoder:f", "--images", tmp_path / "mixed", *COMMON, "--strict", "--out", tmp_path / "out"))
    assert "empty.png" in error and "repair or remove it" in error
    assert not files(tmp_path / "out")


# --- Bad input -------------------------------------------------------------------------------------------------------


def refused(done: tuple[int, list[str]]) -> str:
    """The one line that says what is wrong."""
    status, lines = done
    assert status == 1, lines
    errors = [line for line in lines if line.startswith("memloc: error: ")]
    assert errors == lines[-1:], lines
    assert all(line.startswith("memloc: ") for line in lines), lines
    return errors[0]


def files(out: Path) -> list[str]:
    """Files in the folder for results, except unfinished work."""
    return [str(path.relative_to(out)) for path in out.rglob("*") if path.is_file() and path.parts[-3] != "unfinished"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("encoder:f", "--layers", "nope"), "'nope' matches no module of the encoder; it has for example conv1"),
        (("encoder:f", "--images", "empty"), "no images in it"),
        (("encoder:f", "--images", "nowhere"), "no such folder"),
        (("encoder:f", "--images", "encoder.py"), "is a file; name a folder of images"),
        (("encoder:f", "--images", "single"), "1 candidate image"),
        (("encoder:f", "--images", "unreadable"), "0 readable in f-candidate"),
        (("encoder:f", "--external", "single"), "1 external image"),
        (("encoder:signed",), "add --activation abs"),
        (("encoder:overflows",), "output isn't finite"),
        (("nonsense",), "no such encoder"),
        (("encoder:f", "--against", "no.module:g"), "--against needs --split FILE, which says"),
        (("encoder:f", "--split", "nowhere.csv"), "nowhere.csv: can't be read"),
        (("encoder:f", "--split", "split.csv", "--external", "photos"), "the same images as --images"),
        (("encoder:f", "--shard", "0/3"), "'0/3'; write K/N"),
        (("encoder:f", "--shard", "half"), "'half'; write K/N"),
        (("encoder:f", "--draws", "3"), "draws: 3 must be an even number of at least 4"),
        (("encoder:f", "--replicates", "1"), "replicates: 1; give 2 to 1000"),
        (("encoder:f", "--seed", "-1"), "seed: -1; give 0 to"),
        (("encoder:f", "--threads", "0"), "threads: 0; give 1 to"),
        (("encoder:f", "--size", "0"), "size: 0"),
        (("encoder:f", "--size", "2"), "can't take images"),
        (("encoder:f", "--out", "encoder.py"), "encoder.py is a file; name a folder"),
        (("encoder:f", "--out", "encoder.py/below"), "encoder.py"),
        pytest.param(
            ("encoder:f", "--device", "cuda"),
            "PyTorch finds no such device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, tuple) else "",
)
def test_bad_input_is_one_line_and_leaves_nothing(
    score: Any, place: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    prepare_bad_input(place)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*") if "__pycache__" not in path.parts}
    images = [] if "--images" in arguments else ["--images", "photos"]
    out = [] if "--out" in arguments else ["--out", tmp_path / "out"]
    assert message in refused(score(arguments[0], *COMMON, *images, *out, *arguments[1:]))
    assert files(tmp_path) == []
    after = {path: path.stat().st_mtime_ns for path in place.rglob("*") if "__pycache__" not in path.parts}
    assert before == after


def prepare_bad_input(place: Path) -> None:
    if (place / "empty").exists():
        return
    (place / "empty").mkdir()
    photos(place / "single", count=1)
    (place / "unreadable").mkdir()
    for name in ("a.png", "b.png"):
        (place / "unreadable" / name).touch()


def test_bad_input_of_the_installed_command_is_one_line(place: Path) -> None:
    process = start(place, *SINGLE, "--shard", "5/3", "--out", "bad")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and out == ""
    assert err == "memloc: error: shard: '5/3'; write K/N with K from 1 to N, as in 2/8\n"
    assert not (place / "bad").exists()


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["score"], ["score", "timm:x"], ["nothing"], ["score", "x", "--others", "mode"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 2
    assert "memloc score: error: " in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(score: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "Permission denied" in refused(score(*SINGLE, "--out", tmp_path / "out"))


@pytest.mark.parametrize("others", ["mean", "median"])
def test_a_full_disk_is_one_line_and_a_later_run_succeeds(
    score: Any, small_disk: Callable[[str], Path], tmp_path: Path, others: str
) -> None:
    out = small_disk("4k") / "out"
    # Work is kept first, then tables are written, the figure, the page.
    for size in ("4k", "40k", "100k", "180k"):
        small_disk(size)
        error = refused(score(*SINGLE, "--others", others, "--out", out))
        assert "the disk is full" in error and "the same command again" in error, size
        assert {path.name for path in out.iterdir()} <= {"unfinished"} and not list(out.rglob(".*"))
    small_disk("20m")
    assert score(*SINGLE, "--others", others, "--out", out)[0] == 0
    assert score(*SINGLE, "--others", others, "--out", tmp_path / "else")[0] == 0
    names = [name for name in TABLES if name != "points.parquet"]
    assert tables(out, names) == tables(tmp_path / "else", names)


def test_a_limit_on_file_sizes_is_one_line_and_a_later_run_succeeds(score: Any, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (2_000, 12_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            done = score(*SINGLE, "--out", tmp_path / "out")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "File too large" in refused(done)
        assert not (tmp_path / "out/meta.json").exists() and not list((tmp_path / "out").rglob(".*"))
    assert score(*SINGLE, "--out", tmp_path / "out")[0] == 0
