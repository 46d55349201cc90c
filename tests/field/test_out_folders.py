"""`--out` of `memloc score` and `memloc value`: whose a file is, two runs at once, runs that are killed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from memloc import cli, io
from memloc.cli import score as score_command
from memloc.cli import value as value_command
from memloc.errors import InputError, out_of_memory
from memloc.scoring import files as score_files
from memloc.scoring.stores import Store
from memloc.valuation import files as value_files
from tests.builders.outputs import half_done, output, write
from tests.workflow.running import ROOT

ENCODER = """
import torch
from torch import nn

def f():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""
QUESTIONS = {
    "score": ("encoder:f", "--images", "photos", "--size", "16", "--threads", "1", "--draws", "4", "--replicates", "2"),
    "value": ("people.csv", "--label", "who", "--learners", "20", "--workers", "1"),
}
RECORDS = {"score": "meta.json", "value": "value.json"}
NAMES = {"score": score_files.FILES, "value": value_files.FILES}
EVERY = [(command, name) for command in QUESTIONS for name in (*NAMES[command], RECORDS[command])]
BOTH = pytest.mark.parametrize("command", list(QUESTIONS))
Call = Callable[..., str]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "encoder.py").write_text(ENCODER)
    rng = np.random.default_rng(0)
    for i in range(6):
        (folder / "photos" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
            folder / "photos" / "ab"[i % 2] / f"{i}.png"
        )
    pd.DataFrame({"who": list("uv") * 8, "x": rng.random(16), "y": rng.random(16)}).to_csv(
        folder / "people.csv", index=False
    )
    return folder


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """Ask a question of a command in this process; gives the last line on stderr, an error or not."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", [str(home), *sys.path])
    log = logging.getLogger("memloc")
    handlers, level, threads = log.handlers, log.level, torch.get_num_threads()

    def ask(command: str, out: Path | str, *more: object, question: tuple[str, ...] = ()) -> str:
        capfd.readouterr()
        asked = question or QUESTIONS[command]
        status = cli.main([command, *asked, "--quiet", "--out", str(out), *map(str, more)])
        lines = capfd.readouterr().err.splitlines()
        errors = [line for line in lines if "memloc: error: " in line]
        assert all(line.startswith("memloc: ") for line in lines), lines
        assert errors == (lines[-1:] if status else []), lines
        return lines[-1].removeprefix("memloc: ")

    yield ask
    log.handlers = handlers
    log.setLevel(level)
    torch.set_num_threads(threads)
    sys.modules.pop("encoder", None)


@pytest.fixture(scope="module")
def results(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished folder of each command."""
    folder = tmp_path_factory.mktemp("results")
    for command, question in QUESTIONS.items():
        done = run(home, command, folder / command, question)
        assert done.returncode == 0, done.stderr
    return {command: folder / command for command in QUESTIONS}


@pytest.fixture
def finished(results: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a finished folder."""
    return lambda command: Path(shutil.copytree(results[command], tmp_path / "finished"))


def start(home: Path, command: str, out: Path, question: tuple[str, ...]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "memloc.cli", command, *question, "--quiet", "--out", str(out)],
        cwd=home,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(home: Path, command: str, out: Path, question: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    process = start(home, command, out, question)
    _, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess([], process.returncode, "", err)


def content(folder: Path) -> dict[str, bytes | str]:
    """All that is below a folder, links by where they lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()  # noqa: PTH115
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name in ((score_command, "_score"), (value_command, "value")):
        monkeypatch.setattr(place, name, lambda *_, **__: pytest.fail("computed"))


def signed(record: dict[str, Any]) -> str:
    """A record with the hash that belongs to it."""
    rest = {key: value for key, value in record.items() if key != "checksum"}
    return json.dumps(rest | {"checksum": hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()})


# --- Whose a file is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "name"), EVERY)
@pytest.mark.parametrize("kind", ["file", "folder", "link", "link to nothing"])
def test_a_foreign_file_of_any_name_is_named_before_any_work_and_stays(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str, kind: str
) -> None:
    for place, function in ((score_command, "open_encoder"), (value_command, "_read")):
        monkeypatch.setattr(place, function, lambda *_, **__: pytest.fail("opened"))
    path = tmp_path / "out" / name
    path.parent.mkdir()
    (tmp_path / "thesis").write_text('{"mine": 1}')
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text('{"mine": 1}')
    else:
        path.symlink_to("../thesis" if kind == "link" else "../nothing")
    before = content(tmp_path)
    for more in ((), ("--replace",)):
        message = f"error: out: {tmp_path}/out has a {name} that isn't memloc's; choose another folder"
        assert call(command, tmp_path / "out", *more) == message
    assert content(tmp_path) == before and path.is_dir() == (kind == "folder")


@BOTH
def test_all_else_in_the_folder_stays(call: Call, tmp_path: Path, results: dict[str, Path], command: str) -> None:
    looks = [f".{Path(name).stem}.{middle}{Path(name).suffix}" for name in (*NAMES[command], RECORDS[command])
             for middle in ("previous", "original", "a_cd3fgh")]  # fmt: skip
    foreign = dict.fromkeys((*looks, "notes.txt", "unfinished/thesis.tex", "unfinished/0123/work.json"), b"mine")
    for name in foreign:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"mine")
    call(command, tmp_path)
    found = content(tmp_path)
    assert found.items() >= foreign.items()
    assert {*found} - {*foreign} == {*content(results[command])}


@BOTH
def test_the_record_lists_every_file_with_size_and_hash(finished: Callable[[str], Path], command: str) -> None:
    folder = finished(command)
    record = io.load_json(folder / RECORDS[command])
    assert record["command"] == f"memloc {command}" and "unfinished" not in record
    assert {path.name for path in folder.iterdir()} == {*record["files"], RECORDS[command]}
    for name, entry in record["files"].items():
        data = (folder / name).read_bytes()
        assert entry == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert (folder / RECORDS[command]).read_text() != signed(record) and json.loads(signed(record)) == record


@BOTH
def test_another_question_asks_for_replace_which_replaces_what_is_listed_alone(
    call: Call, finished: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    folder = finished(command)
    (folder / "notes.txt").write_text("mine")
    before = content(folder)
    with monkeypatch.context() as patch:
        forbid_work(patch)
        message = call(command, folder, "--seed", 1)
        assert "holds the result of other settings, input or version; add --replace" in message
        assert content(folder) == before
        assert "nothing to do" in call(command, folder, "--replace")  # The same question.
    assert "error" not in call(command, folder, "--seed", 1, "--replace")
    after = content(folder)
    assert {*after} == {*before} and after["notes.txt"] == b"mine"
    assert json.loads(after[RECORDS[command]])["settings"]["seed"] == 1
    assert "nothing to do" in call(command, folder, "--seed", 1)


@BOTH
@pytest.mark.parametrize("change", ["longer", "other", "cut", "empty", "folder"])
def test_a_file_that_was_changed_since_is_not_finished_and_never_replaced(
    call: Call, finished: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, command: str, change: str
) -> None:
    forbid_work(monkeypatch)
    folder, name = finished(command), NAMES[command][0]
    path, data = folder / name, (folder / name).read_bytes()
    if change == "folder":
        path.unlink()
        path.mkdir()
    else:
        hurt = {"longer": data + b"x", "other": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "cut": data[:99]}
        path.write_bytes(hurt.get(change, b""))
    before = content(folder)
    for more in ((), ("--replace",), ("--seed", 1, "--replace")):
        assert call(command, folder, *more).startswith(
            f"error: out: {folder}: {name} was changed since memloc wrote it; move it away"
        )
    assert content(folder) == before


@BOTH
def test_a_missing_file_is_made_again_to_the_same_bytes(
    call: Call, finished: Callable[[str], Path], command: str
) -> None:
    folder = finished(command)
    before = content(folder)
    (folder / NAMES[command][0]).unlink()
    assert "nothing to do" not in call(command, folder)
    assert content(folder) == before


@BOTH
def test_a_file_that_was_moved_away_behind_a_link_is_still_it(
    call: Call, finished: Callable[[str], Path], tmp_path: Path, command: str
) -> None:
    folder, name = finished(command), NAMES[command][0]
    (folder / name).rename(tmp_path / "moved")
    (folder / name).symlink_to(tmp_path / "moved")
    moved = (tmp_path / "moved").read_bytes()
    assert "nothing to do" in call(command, folder)
    assert "error" not in call(command, folder, "--seed", 1, "--replace")
    assert (tmp_path / "moved").read_bytes() == moved and not (folder / name).is_symlink()


def forged(record: dict[str, Any], name: str) -> dict[str, str]:
    """Records that aren't what the command wrote, by what is wrong with them."""
    foreign = {"size": 4, "sha256": hashlib.sha256(b"mine").hexdigest()}
    parts = {key: value for key, value in record.items() if key not in ("files", "command", "checksum")}
    return {
        "isn't memloc's": '{"identity": 1, "files": {}}',
        "of an earlier version": json.dumps(parts),
        "was changed": json.dumps(record | {"seed": 1}),
        "was changed ": signed(record | {"files": record["files"] | {"notes.txt": foreign}}),
        "was changed  ": signed(record | {"files": record["files"] | {"../notes.txt": foreign}}),
        "of memloc other": signed(record | {"command": "memloc other"}),
        "isn't memloc's ": json.dumps(record)[:100],
        "isn't memloc's  ": "[" * 100_000,
        "isn't memloc's   ": "",
    }


@BOTH
@pytest.mark.parametrize("fault", range(9))
def test_a_record_that_the_command_did_not_write_proves_nothing(
    call: Call, finished: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, command: str, fault: int
) -> None:
    forbid_work(monkeypatch)
    folder, name = finished(command), RECORDS[command]
    for place in (folder, folder.parent):
        (place / "notes.txt").write_text("mine")
    reason, text = [*forged(io.load_json(folder / name), name).items()][fault]
    (folder / name).write_text(text)
    before = content(folder.parent)
    for more in ((), ("--replace",), ("--seed", 1, "--replace")):
        message = call(command, folder, *more)
        assert message.startswith(f"error: out: {folder}") and name in message and reason.strip() in message
    assert content(folder.parent) == before


@BOTH
def test_a_record_that_is_a_pipe_is_not_waited_for(call: Call, tmp_path: Path, command: str) -> None:
    os.mkfifo(tmp_path / RECORDS[command])
    assert "isn't memloc's" in call(command, tmp_path)


# --- Which folder ----------------------------------------------------------------------------------------------------


@BOTH
def test_folders_that_are_none_are_refused(call: Call, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nothing").symlink_to("absent")
    (tmp_path / "loop").symlink_to("loop")
    for name, fault in (
        ("file", " is a file; name a folder"),
        ("nothing", " is a link to nothing; name a folder"),
        ("loop", ": can't be written to (Too many levels"),
        ("file/below", ": can't be written to (Not a directory)"),
        ("v" * 300, ": can't be written to (File name too long)"),
    ):
        assert call(command, tmp_path / name).startswith(f"error: out: {tmp_path / name}{fault}")
    assert content(tmp_path) == {"file": b"mine", "nothing": "absent", "loop": "loop"}


@BOTH
def test_a_link_to_a_folder_is_that_folder(call: Call, tmp_path: Path, results: dict[str, Path], command: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert "error" not in call(command, tmp_path / "link")
    assert {*content(tmp_path / "real")} == {*content(results[command])}
    assert "nothing to do" in call(command, tmp_path / "real")


@BOTH
@pytest.mark.parametrize("kind", ["file", "link", "lock", "folder for a lock"])
def test_unfinished_work_is_not_put_into_what_is_foreign(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, kind: str
) -> None:
    forbid_work(monkeypatch)
    out, place = tmp_path / "out", tmp_path / "out/unfinished"
    (out if kind in ("file", "link") else place).mkdir(parents=True)
    (tmp_path / "else").mkdir()
    if kind == "file":
        place.write_text("mine")
    elif kind == "link":
        place.symlink_to("../else")
    elif kind == "lock":
        (place / "lock").write_text("mine")
    else:
        (place / "lock").mkdir()
    before = content(tmp_path)
    assert call(command, out).startswith(f"error: out: {out}")
    assert content(tmp_path) == before and not any((tmp_path / "else").iterdir())


def test_a_file_that_is_read_is_not_written(call: Call, home: Path, tmp_path: Path) -> None:
    table = tmp_path / "rows.parquet"
    pd.read_csv(home / "people.csv").to_parquet(table)
    before = content(tmp_path)
    (tmp_path / "link").symlink_to(table)
    for source in (table, tmp_path / "link"):
        question = (str(source), *QUESTIONS["value"][1:])
        assert call("value", tmp_path, question=question).endswith(
            "is read and would be replaced; choose another folder"
        )
    assert call("score", tmp_path, "--split", tmp_path / "units.parquet").endswith(
        "is read and would be replaced; choose another folder"
    )
    (tmp_path / "link").unlink()
    assert content(tmp_path) == before


def test_the_folder_of_a_table_is_as_good_as_another(call: Call, home: Path, tmp_path: Path) -> None:
    shutil.copy(home / "people.csv", tmp_path)
    before = (tmp_path / "people.csv").read_bytes()
    question = (str(tmp_path / "people.csv"), *QUESTIONS["value"][1:])
    for _ in range(2):
        assert "error" not in call("value", tmp_path, question=question)
    assert (tmp_path / "people.csv").read_bytes() == before


@pytest.mark.parametrize("option", ["--images", "--external"])
@pytest.mark.parametrize("named", [False, True])
def test_a_folder_whose_figures_would_be_scored_is_refused(
    call: Call, home: Path, tmp_path: Path, option: str, named: bool
) -> None:
    shutil.copytree(home / "photos", tmp_path / "set")
    (tmp_path / "here").symlink_to("set")
    (tmp_path / "c.yaml").write_text(
        json.dumps({"datasets": {"mine": {"source": "folder", "path": str(tmp_path / "set"), "image_size": 16}}})
    )
    before = content(tmp_path)
    images = "mine" if named else tmp_path / "set"
    for out in (tmp_path / "set", tmp_path / "set/scores", tmp_path / "here/a"):
        message = call("score", out, option, images, "--config", tmp_path / "c.yaml")
        assert message.startswith(f"error: out: {out} lies inside {option}, so its figures would be scored")
    assert content(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file system of its own")
@BOTH
def test_a_folder_that_can_only_be_read(
    call: Call, small_disk: Callable[..., Path], results: dict[str, Path], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    disk = small_disk("20m")
    shutil.copytree(results[command], disk / "done")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert "nothing to do" in call(command, disk / "done")
    forbid_work(monkeypatch)
    for out in ("done", "new"):
        message = call(command, disk / out, "--seed", 1, "--replace")
        assert (
            message == f"error: out: {disk / out}: can't be written to (Read-only file system); choose another folder"
        )


# --- Runs that are killed --------------------------------------------------------------------------------------------


def killed_at_every_step(folder: Path, act: str, *, home: Path) -> int:
    """``kill_at_every_step`` in a process of its own that has what ``act`` needs imported."""
    code = f"""
import sys
from pathlib import Path
import memloc.cli.value
from memloc import cli
from tests.builders.outputs import kill_at_every_step, write
print(kill_at_every_step(Path(sys.argv[1]), lambda out: {act}))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)],
        cwd=home, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


MOST = 70
"""Steps that a replacement takes at most."""


@pytest.mark.parametrize("times", [1, 2])
def test_a_replacement_that_is_killed_at_any_step_is_finished_or_done_again(
    home: Path, tmp_path: Path, times: int
) -> None:
    """Of a finished result, or of one that was itself being replaced when its run was stopped."""
    for limit in range(1, MOST):
        out = tmp_path / str(limit)
        write(out, "00", a="old a", b="old b")
        (out / ".a.previous.txt").write_text("mine")
        if times == 2:
            with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(Path, "replace", interrupted(Path.replace, at=3))
                write(out, "01", a="mid a", b="mid b", c="mid c")
            assert [(out / f"{name}.txt").exists() and (out / f"{name}.txt").read_text() for name in "abc"] == [
                *("mid a", "old b", False),
            ]
    last = killed_at_every_step(tmp_path, "write(out, '02', b='new b', c='new c')", home=home)
    assert 15 < last < MOST
    for limit in range(1, last + 1):
        out = tmp_path / str(limit)
        record = io.load_json(out / "about.json")
        whole = record["identity"] == "02" and "unfinished" not in record
        assert not whole or texts(out) == {"b.txt": "new b", "c.txt": "new c"}, limit
        assert write(out, "02", b="new b", c="new c") == (not whole), limit
        assert texts(out) == {"b.txt": "new b", "c.txt": "new c"}
        assert not write(out, "02", b="new b", c="new c")
        shutil.rmtree(out / "unfinished" / "01", ignore_errors=True)  # It is kept, as that of other settings.
        with contextlib.suppress(OSError):
            (out / "unfinished").rmdir()
        assert {path.name for path in out.iterdir()} == {".a.previous.txt", "b.txt", "c.txt", "about.json"}, limit


def interrupted(rename: Callable[[Path, Path], Path], *, at: int) -> Callable[[Path, Path], Path]:
    """A function that interrupts at its ``at``-th call of those that put files in their place."""
    calls = itertools.count(1)

    def replace(path: Path, target: Path) -> Path:
        if path.parent.name == "results" and target.parent.name != "results" and next(calls) == at:
            raise KeyboardInterrupt
        return rename(path, target)

    return replace


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("[abc].txt")}


def test_a_first_result_that_is_killed_at_any_step(
    call: Call, home: Path, results: dict[str, Path], tmp_path: Path
) -> None:
    question = ["value", *QUESTIONS["value"], "--quiet", "--out"]
    last = killed_at_every_step(tmp_path, f"cli.main([*{question!r}, str(out)])", home=home)
    assert 15 < last < MOST
    expected = content(results["value"])
    for limit in range(1, last + 1):
        out = tmp_path / str(limit)
        whole = out.is_dir() and content(out).items() >= expected.items()
        told = call("value", out)
        assert ("nothing to do" in told) == whole and content(out) == expected, (limit, told)


# --- Two runs at once ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def holding(folder: Path, identity: str, share: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """Another process at work in a folder."""
    code = f"""
import sys
from pathlib import Path
from tests.builders.outputs import half_done
with half_done(Path(sys.argv[1]), {identity!r}, share={share!r}):
    print("works", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "works\n"
        yield process
    finally:
        process.communicate()


@BOTH
def test_a_second_run_is_one_line_and_a_killed_one_blocks_nothing(
    call: Call, tmp_path: Path, results: dict[str, Path], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with holding(tmp_path, "00") as process:
        before = content(tmp_path)
        with monkeypatch.context() as patch:
            forbid_work(patch)
            message = f"error: out: {tmp_path}: another run writes there; wait until it ends"
            assert call(command, tmp_path) == message
            if command == "score":
                assert call(command, tmp_path, "--shard", "1/2") == message
        assert content(tmp_path) == before
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / "unfinished/lock").exists()
        assert "error" not in call(command, tmp_path)
    assert {*content(tmp_path)} == {*content(results[command]), "unfinished/00/part", "unfinished/00/work.json"}


def test_of_runs_that_start_together_the_results_are_of_one(home: Path, tmp_path: Path) -> None:
    runs = [start(home, "value", tmp_path / "out", (*QUESTIONS["value"], "--seed", str(seed % 2))) for seed in range(4)]
    errors = [process.communicate(timeout=300)[1].splitlines()[-1] for process in runs]
    good = [number for number, process in enumerate(runs) if process.returncode == 0]
    assert good, errors
    for number in {*range(4)} - {*good}:
        assert "another run writes there" in errors[number] or "add --replace" in errors[number]
    record = io.load_json(tmp_path / "out/value.json")
    assert {number % 2 for number in good} == {record["settings"]["seed"]}
    for name, entry in record["files"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == entry["sha256"]


def test_shards_work_side_by_side_each_once_and_beside_no_whole_run(tmp_path: Path) -> None:
    with holding(tmp_path, "00", "shard-1-of-2"):
        for identity in ("00", "01"):  # Of one question, or of two.
            with half_done(tmp_path, identity, share="shard-2-of-2") as work:
                assert work == tmp_path / "unfinished" / identity
        with (
            pytest.raises(InputError, match="another run does shard-1-of-2 there"),
            half_done(tmp_path, "00", share="shard-1-of-2"),
        ):
            pytest.fail("two at once")
        with pytest.raises(InputError, match="another run writes there"), half_done(tmp_path, "00"):
            pytest.fail("not alone")
        assert (tmp_path / "unfinished/00/part").exists()
    assert write(tmp_path, "00", a="a") and {path.name for path in tmp_path.iterdir()} == {
        *("a.txt", "about.json", "unfinished"),
    }
    assert {path.name for path in (tmp_path / "unfinished").iterdir()} == {"01"}


def test_a_stranger_s_file_that_comes_while_work_goes_on_stays(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has a b.txt that isn't memloc's"), half_done(tmp_path, "00") as work:
        assert work is not None
        staged = output(tmp_path).staged(work)
        for name in ("a.txt", "b.txt"):
            (staged / name).write_text("new")
        (work / "notes.txt").write_text("mine")
        (tmp_path / "b.txt").write_text("mine")
        output(tmp_path).publish(work, {})
    assert not (tmp_path / "a.txt").exists() and (tmp_path / "b.txt").read_text() == "mine"
    assert (tmp_path / "unfinished/00/part").exists()  # Only the end is to be done again.
    (tmp_path / "b.txt").unlink()
    assert write(tmp_path, "00", a="new") and content(tmp_path / "unfinished") == {"00/notes.txt": b"mine"}


def test_work_that_is_not_the_command_s_is_not_continued(tmp_path: Path) -> None:
    place = tmp_path / "unfinished/00"
    place.mkdir(parents=True)
    (place / "part").write_text("mine")
    for whose in (
        None,
        "",
        '{"command": "memloc other", "identity": "00"}',
        '{"command": "memloc test", "identity": "01"}',
    ):
        if whose is not None:
            (place / "work.json").write_text(whose)
        with pytest.raises(InputError, match=r"has a unfinished/00 that isn't memloc's"):
            write(tmp_path, "00", a="a")
        assert (place / "part").read_text() == "mine" and not (tmp_path / "a.txt").exists()


def test_a_file_system_without_locks_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("memloc.output.fcntl.flock", none)
    monkeypatch.setattr(logging.getLogger("memloc"), "propagate", True)
    assert write(tmp_path, "00", a="a") and "this file system has no locks" in caplog.text


# --- Memory ----------------------------------------------------------------------------------------------------------

LACK = [
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory", "units.npy"),
    RuntimeError("libx.so: failed to map segment from shared object"),
    RuntimeError("unable to mmap 800 bytes from file <w>: Cannot allocate memory (12)"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"),
    torch.OutOfMemoryError("CUDA out of memory."),
]


@BOTH
@pytest.mark.parametrize("error", LACK, ids=lambda error: str(error)[:20])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_lack_of_memory_names_what_to_lower_of_that_command(
    call: Call,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    error: Exception,
    wrapped: bool,
) -> None:
    def fail(*_: object, **__: object) -> None:
        if wrapped:
            raise InputError("weights.pth: can't be read; delete it") from error
        raise error

    monkeypatch.setattr(*((score_command, "score") if command == "score" else (value_command, "value")), fail)
    told = call(command, tmp_path)
    assert told.startswith("error: not enough memory; ") and "or use a machine with more" in told
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    help_text = capfd.readouterr().out
    named = [word.strip(",") for word in told.split() if word.startswith("--")]
    assert len(named) > 2 and all(f"  {option} " in help_text for option in named)


def test_names_do_not_make_a_lack_of_memory() -> None:
    for error in (
        InputError("images: out of memory/: no such folder"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "failed to map.png"),
    ):
        assert not out_of_memory(error)


@pytest.mark.parametrize("error", [LACK[0], LACK[1]])
def test_work_is_not_taken_for_damaged_where_memory_can_not_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    io.save_arrays({"x": np.zeros(3)}, tmp_path / "part.npz")
    io.save_array(np.zeros((3, 2), dtype=np.float32), tmp_path / "mu.npy")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(np, "load", fail)
    for read in (
        lambda: io.load_arrays(tmp_path / "part.npz"),
        lambda: io.load_array(tmp_path / "mu.npy"),
        lambda: Store.whole(tmp_path / "mu.npy", (3, 2)),
    ):
        with pytest.raises(type(error)):
            read()
