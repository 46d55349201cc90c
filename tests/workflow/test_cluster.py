"""What jobs ask a cluster for, and how the profile for Slurm stands to the default. tools/check_slurm.py runs it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.workflow.running import ROOT, SMOKE, rule_texts, snakemake

PROFILES = {name: yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text()) for name in ("default", "slurm")}
COMPUTES = re.compile(r'device=config\["device"\]|job_settings')


# One encoder in one process, one in four.
WIDE = {"supervised": {"hardware": {"devices": 2, "nodes": 2}}}

Asked = Callable[..., dict[str, dict[str, str]]]


@pytest.fixture(scope="module")
def asked(copy: Callable[[str], Path]) -> Asked:
    """A function to what jobs ask for, by rule and, where it has one, encoder."""
    folder = copy("asking")
    for path in (folder / "rules").glob("*.smk"):
        # With a message of its own a job's resources aren't shown.
        path.write_text(re.sub(r"(?m)^ +message:\n +.*\n", "", path.read_text()))
    (folder / "my.yaml").write_text(json.dumps({"encoders": WIDE}))

    @cache
    def ask(device: str, attempt: int = 1) -> dict[str, dict[str, str]]:
        options = ("--config", f"device={device}", "--attempt", str(attempt))
        done = snakemake(folder, "--dry-run", *SMOKE, "my.yaml", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        found = {}
        for block in re.split(r"\n(?=(?:local)?rule )", done.stdout + done.stderr):
            rule, encoder = re.match(r"rule (\w+):", block), re.search(r"encoder=([\w-]+)", block)
            if rule and rule[1] != "all" and (resources := re.search(r"resources: (.*)", block)):
                name = f"{rule[1]} {encoder[1]}" if encoder else rule[1]
                found[name] = dict(pair.split("=", 1) for pair in resources[1].split(", "))
        return found

    return ask


def test_a_retry_asks_for_as_much_again_of_memory_and_time(asked: Asked) -> None:
    first, third = asked("cpu"), asked("cpu", attempt=3)
    assert len(first) > 15 and first.keys() == third.keys()
    for rule, values in first.items():
        for what in ("mem_mb", "runtime"):
            assert int(third[rule][what]) == 3 * int(values[what]) > 0, f"{what} of {rule}"


def test_a_gpu_is_asked_for_where_one_is_used_and_nowhere_else(asked: Asked) -> None:
    rules = {name: text for path in (ROOT / "rules").glob("*.smk") for name, text in rule_texts(path).items()}
    users = {name for name, rule in rules.items() if COMPUTES.search(rule)}
    assert {"train_encoder", "measure", "run_experiment"} <= users
    assert users == {name for name, rule in rules.items() if re.search(r"^        gpu=", rule, re.MULTILINE)}
    there = asked("cuda")
    assert {job for job, values in there.items() if "gpu" in values} == {
        job for job in there if re.sub("(?<=run_experiment)_\\w+", "", job.split()[0]) in users
    }
    assert not any("gpu" in values for values in asked("cpu").values())


def test_a_training_by_several_processes_asks_for_room_for_each(asked: Asked) -> None:
    wide, alone = asked("cuda")["train_encoder supervised"], asked("cuda")["train_encoder simclr"]
    parallel = {"nodes": "2", "tasks": "4", "mpi": "srun"}
    assert wide.items() >= {**parallel, "gpu": "4", "tasks_per_gpu": "1"}.items()
    # Memory is asked for by node, so for the devices of one.
    assert int(wide["mem_mb"]) == 2 * int(alone["mem_mb"])
    assert alone["gpu"] == "1" and not alone.keys() & {"tasks_per_gpu", *parallel}
    assert asked("cuda")["measure supervised"]["gpu"] == "1"
    on_cpus = asked("cpu")["train_encoder supervised"]
    assert on_cpus.items() >= parallel.items() and not on_cpus.keys() & {"gpu", "tasks_per_gpu"}


def test_the_default_profile_holds_on_slurm_too() -> None:
    """It is picked up beside --profile, and wins where both say something: so they may not contradict each other."""
    assert PROFILES["slurm"]["executor"] == "slurm" and PROFILES["slurm"]["retries"] >= 1
    assert not PROFILES["default"].keys() & PROFILES["slurm"].keys()
    assert not {"set-resources", "default-resources", "set-threads"} & PROFILES["slurm"].keys(), "rules say it"


def test_partitions_are_told_apart_by_gpus() -> None:
    path = ROOT / PROFILES["slurm"]["slurm-partition-config"].removeprefix("$PWD/")
    partitions = yaml.safe_load(path.read_text())["partitions"]
    assert {name: limits.get("max_gpu", 0) > 0 for name, limits in partitions.items()} == {"cpu": False, "gpu": True}


def test_the_profile_is_one_that_snakemake_takes(tmp_path: Path) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra slurm is not installed")
    done = snakemake(ROOT, "--dry-run", "--profile", "profiles/slurm", *SMOKE, "--directory", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "profiles/slurm and workflow specific profile profiles/default" in done.stdout + done.stderr


def test_a_run_refuses_beside_the_slurm_jobs_of_a_killed_one(
    copy: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = copy("killed"), "2db4b7cc-9f1e-4a53-8f0e-6d0b6a1c7e11"
    squeue, log = tmp_path / "squeue", folder / ".snakemake/log/2026-01-01T000000.000000.snakemake.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"SLURM run ID: {run}\n")
    squeue.write_text(f"#!/bin/sh\necho {run}\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    stopped = snakemake(folder, *SMOKE, "--", "splits")
    assert stopped.returncode != 0 and not (folder / "results/splits").exists()
    assert f"memloc: error: Slurm still has jobs of an earlier run here: scancel --name {run}" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    squeue.write_text("#!/bin/sh\n")
    assert snakemake(folder, *SMOKE, "--", "splits").returncode == 0
