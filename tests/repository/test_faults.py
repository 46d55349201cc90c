"""What machines do to a training: kill it at any moment, fill its disk, take its memory (docs/faults.md)."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from memloc import io
from memloc.analysis import plotting
from memloc.data.prepared import array_sha256
from memloc.errors import InputError, disk_full, out_of_memory
from memloc.models import checkpoint
from memloc.provenance import ROOT
from memloc.training import unfinished, views
from memloc.training.loop import train
from memloc.training.settings import Training


@pytest.fixture
def trained(toy, settings, description):
    """Trains one tiny encoder in a folder, with a checkpoint and a snapshot on the way."""
    images, labels = toy(24)
    about = description | {"sha256": {"train": array_sha256(images, labels)}}
    made = settings(epochs=6) | {"snapshots": [2, 4]}

    def go(folder, **changes):
        options = {
            "training": Training.of(made),
            "description": about,
            "seed": 0,
            "role": "f",
            "save_every": 0.0,
            **changes,
        }
        learner, history, snapshots = train(images, labels, np.arange(24), folder=folder, **options)
        return learner.result().state_dict(), history, snapshots

    return go


def equal(one, other):
    (weights, history, snapshots), (again, records, kept) = one, other
    pairs = ((weights, again), (snapshots, kept))
    return history == records and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in pairs
    )


# The moments before and after each of these: in a step, in a checkpoint half written, between two renames.
MOMENTS = ((views, "augment"), (checkpoint, "save_file"), (os, "fsync"), (Path, "replace"), (Path, "chmod"))


class Clock:
    """Counts moments of a training; at one of them the process is killed as by kill -9."""

    def __init__(self, monkeypatch, die_at=None):
        self.count, self.die_at = 0, die_at
        for place, name in MOMENTS:
            monkeypatch.setattr(place, name, self.around(getattr(place, name)))

    def around(self, function):
        def called(*args, **options):
            self.tick()
            result = function(*args, **options)
            self.tick()
            return result

        return called

    def tick(self):
        self.count += 1
        if self.count == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def in_a_process(work):
    """Do something in a process of its own; the signal that ended it, or 0."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_training_killed_at_ten_random_moments_ends_in_the_same_weights_and_leaves_nothing(
    trained, monkeypatch, tmp_path
):
    with monkeypatch.context() as patch:
        clock = Clock(patch)
        whole = trained(tmp_path / "whole")
    rng, folder, ends = np.random.default_rng(0), tmp_path / "killed", []
    for moment in rng.integers(1, clock.count // 7, size=10).tolist():

        def work(moment=moment):
            Clock(monkeypatch, die_at=moment)
            trained(folder)

        ends.append(in_a_process(work))
    assert ends == [-signal.SIGKILL] * 10
    assert equal(trained(folder), whole)
    unfinished.clear(folder)
    assert list(folder.iterdir()) == []


def test_a_training_killed_at_every_moment_of_an_epoch_keeps_a_whole_checkpoint(trained, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        clock = Clock(patch)
        whole = trained(tmp_path / "whole")
    each = clock.count // 6  # Epochs.

    def work(folder, moment):
        Clock(monkeypatch, die_at=moment)
        trained(folder)

    start = tmp_path / "start"
    assert in_a_process(lambda: work(start, 3 * each)) == -signal.SIGKILL
    for moment in range(1, each + 2):
        folder = tmp_path / f"{moment}"
        shutil.copytree(start, folder)
        assert in_a_process(lambda: work(folder, moment)) == -signal.SIGKILL  # noqa: B023
        files = [path for path in folder.glob("resume-*") if "-epoch" not in path.name]
        assert 1 <= len(files) <= 2
        assert max(len(checkpoint.load(path)[1]["history"]) for path in files) >= 2
        if moment % 3 == 0:  # A third of them to the end, to save time.
            assert equal(trained(folder), whole)


def test_a_disk_that_is_full_at_a_checkpoint_keeps_the_last_one_and_the_run_goes_on(trained, small_disk, tmp_path):
    whole = trained(tmp_path / "whole")
    size = max(path.stat().st_size for path in (tmp_path / "whole").iterdir()) // 1024
    folder = small_disk(f"{2 * size}k") / "run"  # Room for a checkpoint and a half.
    with pytest.raises(Exception, match="No space left") as caught:
        trained(folder)
    assert disk_full(caught.value)
    kept = list(folder.iterdir())
    assert kept and not [path for path in kept if path.name.startswith(".")]
    done = max(len(checkpoint.load(path)[1].get("history", [])) for path in kept)
    assert done >= 1
    with pytest.raises(Exception, match="No space left"):  # Still full: nothing is lost by trying.
        trained(folder)
    assert max(len(checkpoint.load(path)[1].get("history", [])) for path in folder.iterdir()) >= done
    small_disk("20m")
    assert equal(trained(folder), whole)


@pytest.mark.parametrize("written", [0, 5000])
def test_a_full_disk_anywhere_is_the_same(trained, monkeypatch, tmp_path, written):
    # As the test above where no small disk can be made: writing stops after some bytes of the third file.
    whole, files, original = trained(tmp_path / "whole"), [], checkpoint.save_file

    def save_file(tensors, file, metadata):
        files.append(file)
        original(tensors, file, metadata)
        if len(files) == 3:
            with open(file, "rb+") as half:
                half.truncate(written)
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", save_file)
        with pytest.raises(OSError, match="No space left"):
            trained(tmp_path / "full")
    assert not list((tmp_path / "full").glob(".*"))
    assert max(len(checkpoint.load(path)[1].get("history", [])) for path in (tmp_path / "full").iterdir()) >= 1
    assert equal(trained(tmp_path / "full"), whole)


def test_what_a_killed_writer_left_goes_with_the_next_write_and_nothing_else(tmp_path):
    path = tmp_path / "x[1].json"

    def work():
        with io.atomic(path) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_process(work) == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    beside = (".x[1].json", ".y.memloc-abcdefgh.json", ".x[1].memloc-abcdefgh.npz", ".x[1].20261130.json")
    others = [tmp_path / name for name in beside]
    for other in others:
        other.write_text("mine")
    with io.atomic(path) as busy:
        busy.write_text("{}")
        io.save_json([], path)  # Two writers at a time don't disturb one another.
        assert busy.exists() and not left.exists()
    assert set(tmp_path.iterdir()) == {path, *others}


# --- What a job says -------------------------------------------------------------------------------------------------

JOB = """
import types
from memloc import job

snakemake = types.SimpleNamespace(rule="train", wildcards=[], log=["x.log"], threads=1)
job.start(snakemake)
{body}
"""


def told(tmp_path, body, **options):
    """The one line on the terminal of a job that fails, and its log."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", JOB.format(body=body)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line, (tmp_path / "x.log").read_text()


MEMORY = "error: memory isn't enough; run again with fewer --cores or more memory, what is finished is kept"


def test_memory_that_runs_out_is_one_line_with_its_traceback_in_the_log(tmp_path):
    line, log = told(tmp_path, "bytes(1 << 60)")
    assert line.endswith(MEMORY) and "Traceback" in log


def test_a_limit_on_memory_is_one_line_from_torch_too(tmp_path):
    body = "import torch\ntorch.empty(4 << 30)"

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY))

    line, log = told(tmp_path, body, preexec_fn=limit)
    assert line.endswith(MEMORY) and "Traceback" in log and "llocat" in log


@pytest.mark.parametrize("error", ["OSError(28, 'x')", "OSError(122, 'x')", "RuntimeError('I/O error: No space left')"])
def test_a_full_disk_or_quota_is_one_line(tmp_path, error):
    line, _ = told(tmp_path, f"raise {error}")
    assert line.endswith("error: the disk is full; free some space and run again, what is finished is kept")


def test_an_error_of_several_lines_is_one_on_the_terminal(tmp_path):
    line, log = told(tmp_path, "raise RuntimeError('first\\n  second')")
    assert "RuntimeError: first second (the traceback" in line and "Traceback" in log


def test_other_errors_are_neither_a_full_disk_nor_a_lack_of_memory():
    for error in (ValueError("memory"), OSError(2, "No such file"), InputError("disk"), RuntimeError("space")):
        assert not disk_full(error) and not out_of_memory(error)


def test_a_full_disk_under_a_figure_is_told_as_such(small_disk):
    figure = Figure()
    figure.subplots().plot(np.random.default_rng(0).normal(size=(100, 100)))
    folder = small_disk("16k")
    for name in ("x.pdf", "x.png"):
        with pytest.raises(Exception) as caught:
            plotting.save(figure, folder / name)
        assert disk_full(caught.value), name
    assert list(folder.iterdir()) == []
