"""A workflow on a machine that misbehaves, and on input that means harm (docs/faults.md, docs/security.md)."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from tests.workflow.running import (
    SMOKE,
    command,
    environment,
    job_counts,
    kill_in_training,
    snakemake,
    wait_for_a_checkpoint,
)

WEIGHTS = "results/encoders/simclr/f/seed0/weights.safetensors"
DAY = 86_400


@pytest.fixture(scope="module")
def trained(copy: Callable[[str], Path]) -> Path:
    """A copy in which one encoder has been trained."""
    folder = copy("trained")
    done = snakemake(folder, *SMOKE, "--", WEIGHTS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def planned(folder: Path, *options: str) -> dict[str, int]:
    """Jobs by rule that a run would do; none where there is nothing to do."""
    done = snakemake(folder, *SMOKE, "--dry-run", *options, "--", WEIGHTS)
    assert done.returncode == 0, done.stderr[-2000:]
    output = done.stdout + done.stderr
    return {} if "Nothing to be done" in output else job_counts(output)


def test_wrong_clocks_and_touched_files_re_run_nothing(trained: Path) -> None:
    assert planned(trained) == {}
    tomorrow = time.time() + DAY
    for name, when in (("data", tomorrow), ("results/data", tomorrow + DAY), ("results/encoders", 1_000_000.0)):
        for path in (trained / name).rglob("*"):
            os.utime(path, (when, when))
    assert planned(trained) == {}
    # Beyond the size up to which contents are compared, dates decide.
    assert planned(trained, "--max-checksum-file-size", "1000")["train_pair"] == 1


def test_images_from_the_future_are_told_and_a_touch_helps(copy: Callable[[str], Path]) -> None:
    folder = copy("future")
    images = folder / "data/fashion-mnist-12k/train-images-idx3-ubyte.gz"
    os.utime(images, (time.time() + DAY,) * 2)
    done = snakemake(folder, *SMOKE, "--", "results/data/fashion/dataset.json")
    output = done.stdout + done.stderr
    assert done.returncode == 1 and "clock skew" in output and f"input {images.relative_to(folder)} (" in output
    assert not list((folder / "results/data").rglob("*.npy"))
    images.touch()
    assert snakemake(folder, *SMOKE, "--", "results/data/fashion/dataset.json").returncode == 0


def test_an_input_of_other_content_re_runs_what_follows_from_it(trained: Path) -> None:
    path = trained / "results/data/fashion/dataset.json"
    before = path.read_text()
    try:
        path.write_text(before + "\n")
        assert planned(trained) == {"train_pair": 1}
    finally:
        path.write_text(before)
    assert planned(trained) == {}


def test_a_training_that_is_killed_alone_or_with_the_workflow_ends_in_the_same_weights(
    trained: Path, copy: Callable[[str], Path]
) -> None:
    folder = copy("starved")
    # Long enough that a job left behind can't come to its end before it notices.
    (folder / "long.yaml").write_text("encoders: {simclr: {recipe: {epochs: 80, optimizer: adam}}}\n")
    for part in ("data", "splits"):  # With dates of their own.
        shutil.copytree(trained / f"results/{part}", folder / f"results/{part}", copy_function=shutil.copy)
    arguments = (*SMOKE, "long.yaml", "--retries", "1", "--", WEIGHTS)
    made = (folder / WEIGHTS, (folder / WEIGHTS).with_name("training.csv"))
    assert snakemake(folder, *arguments).returncode == 0
    undisturbed = [path.read_bytes() for path in made]

    # As the kernel does where memory runs out: signal 9 to the job alone, which is run again.
    shutil.rmtree(made[0].parent)
    with subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        wait_for_a_checkpoint(folder, process)
        jobs = psutil.Process(process.pid).children(recursive=True)
        (job,) = (it for it in jobs if any(".train_encoder.py" in part for part in it.cmdline()[:3]))
        job.send_signal(signal.SIGKILL)
        output = process.communicate(timeout=200)[0]
    assert process.returncode == 0, output[-3000:]
    assert "died with <Signals.SIGKILL: 9>" in output and "Trying to restart job" in output
    assert "continues after epoch" in output
    assert [path.read_bytes() for path in made] == undisturbed

    shutil.rmtree(made[0].parent)
    kill_in_training(folder, *arguments)
    assert not made[0].exists()
    done = snakemake(folder, *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "continues after epoch" in done.stdout + done.stderr
    assert [path.read_bytes() for path in made] == undisturbed


def test_a_second_run_refuses_whatever_it_is_asked_for_and_planning_is_allowed(copy: Callable[[str], Path]) -> None:
    folder = copy("locked")
    (folder / "results").mkdir()
    (folder / "mine.yaml").write_text("experiments: {overlap: null}\n")
    with open(folder / "results/.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Another file, the same file by another way, from another folder.
        for arguments in ((*SMOKE, "mine.yaml"), SMOKE):
            done = snakemake(folder, *arguments, "--", "splits")
            assert done.returncode == 1 and "another run is writing here; wait until it ends" in done.stderr
        from_elsewhere = ("--snakefile", str(folder / "Snakefile"), "--directory", str(folder))
        profile = ("--workflow-profile", str(folder / "profiles/default"))
        smoke = ("--configfile", str(folder / SMOKE[1]))
        done = snakemake(folder.parent, *from_elsewhere, *profile, *smoke, "--", "splits")
        assert done.returncode == 1 and "another run is writing here; wait until it ends" in done.stderr
        done = snakemake(folder, *SMOKE, "--dry-run", "--", "splits")
        assert done.returncode == 0 and job_counts(done.stdout + done.stderr)["make_splits"] >= 2
    assert [path.name for path in (folder / "results").iterdir() if path.name != "README.md"] == [".lock"]


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that even root can't write to."""

    def mount(*options: str) -> bool:
        try:
            return subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    if not mount("--bind", str(folder), str(folder)):
        if os.geteuid() == 0:
            pytest.skip("needs to mount a folder read-only")
        folder.chmod(0o500)
        try:
            yield
        finally:
            folder.chmod(0o700)
        return
    try:
        if not mount("-o", "remount,ro,bind", str(folder)):
            pytest.skip("needs to mount a folder read-only")
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_read_only_data_are_read(copy: Callable[[str], Path]) -> None:
    folder = copy("sealed")
    with read_only(folder / "data"):
        done = snakemake(folder, *SMOKE, "--", "splits")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_read_only_results_are_one_line(copy: Callable[[str], Path]) -> None:
    folder = copy("sealed")
    (folder / "results").mkdir()
    with read_only(folder / "results"):
        done = snakemake(folder, *SMOKE, "--", "splits")
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if "error" in line)
    assert line == f"memloc: error: {folder / 'results'}: can't be written; free it, or run with --directory elsewhere"
    assert "Traceback" not in done.stdout + done.stderr


# --- Input that means harm -------------------------------------------------------------------------------------------


def odd_images(folder: Path, *, place: str, kinds: tuple[str, str], name: str) -> Path:
    """Images under names that a shell, a template or a terminal would do something with."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for kind in kinds:
            inside = folder / place / part / kind
            inside.mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(inside / f"{number}{name}.png")
    entry = {"source": "folder", "path": str(folder / place), "image_size": 16}
    (folder / "odd.yaml").write_text(yaml.safe_dump({"datasets": {"odd": entry}}))
    return folder / "odd.yaml"


def test_names_of_folders_and_files_are_no_commands(copy: Callable[[str], Path]) -> None:
    folder = copy("odd")
    harmful = {
        "place": "im $(touch pwned);touch pwned 'q\" `touch pwned`",
        "kinds": ("$(touch pwned)", "&& touch pwned"),
        "name": "`touch pwned`; $HOME",
    }
    mine = odd_images(folder, **harmful)  # type: ignore[arg-type]
    done = snakemake(folder, *SMOKE, str(mine), "--", "results/data/odd/dataset.json")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert not list(folder.rglob("pwned"))


@pytest.mark.parametrize("name", ["{role}", "<script>alert(1)<script>", "\x1b[2J", "\n"])
def test_names_that_snakemake_or_a_terminal_would_act_on_are_one_line(copy: Callable[[str], Path], name: str) -> None:
    folder = copy("odd")
    mine = odd_images(folder, place="images", kinds=("ant", "bee"), name=name)
    done = snakemake(folder, *SMOKE, str(mine), "--", "results/data/odd/dataset.json")
    assert done.returncode == 1 and "\x1b[2J" not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if "error" in line)
    assert "images/t" in line and line.endswith("; rename it") and "Snakemake can't handle" in line


def test_a_template_or_tag_in_a_configuration_file_is_one_line(copy: Callable[[str], Path]) -> None:
    folder = copy("evil")
    for content, told in (
        ("__use_yte__: true\n", "__use_yte__: a template, whose code Snakemake runs; write plain YAML"),
        ("device: !!python/name:os.system\n", "not plain YAML (could not determine a constructor for the tag"),
        ("device: !!python/object/apply:os.mkdir [pwned]\n", "not valid JSON or YAML"),
    ):
        (folder / "mine.yaml").write_text(content)
        done = snakemake(folder, *SMOKE, "mine.yaml", "--dry-run")
        output = done.stdout + done.stderr
        assert done.returncode == 1 and told in output and "Traceback" not in output
    assert not (folder / "pwned").exists()
