import os
import subprocess
import sys

import pytest

from memloc import job
from memloc.provenance import ROOT

SCRIPT = """
import types
from memloc import errors, job

snakemake = types.SimpleNamespace(rule="train", wildcards=["simclr", "f"], log=["logs/deep/x.log"], threads=1)
job.start(snakemake)
job.log.info("progress %d", 3)
{body}
"""


@pytest.fixture
def run(tmp_path):
    """Runs a body as a job of its own; gives the process and the log file's text."""

    def go(body):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", SCRIPT.format(body=body)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        return done, (tmp_path / "logs" / "deep" / "x.log").read_text()

    return go


def test_an_input_error_is_one_line_without_a_traceback_and_exit_code_1(run):
    done, log = run("raise errors.InputError('datasets.x.path: /nowhere is missing; create it')")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "[train simclr f] progress 3",
        "[train simclr f] error: datasets.x.path: /nowhere is missing; create it",
    ]
    assert "error: datasets.x.path" in log and "Traceback" not in log + done.stdout


def test_names_can_neither_forge_a_line_nor_steer_a_terminal(run):
    done, log = run(r"job.log.info('skipped %s', 'a\nmemloc: error: b\x1b[31m\u202e')")
    assert done.stderr.splitlines()[1:] == [r"[train simclr f] skipped a\nmemloc: error: b\x1b[31m\u202e"]
    assert log.splitlines()[-1].endswith(r"skipped a\nmemloc: error: b\x1b[31m\u202e")


def test_any_other_error_is_one_line_with_its_traceback_in_the_log(run):
    done, log = run("def broken():\n    return 1 / 0\nbroken()")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()[1:]
    assert "ZeroDivisionError: division by zero" in line and "log" in line
    assert "Traceback" in log and "in broken" in log


def test_an_error_of_the_system_names_its_file(run):
    done, log = run("open('gone.txt')")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()[1:]
    assert "gone.txt: No such file or directory" in line and "Traceback" in log


def test_an_interrupted_job_says_so_and_fails(run):
    done, log = run("raise KeyboardInterrupt")
    assert done.returncode != 0 and "Traceback" not in done.stderr + log and "interrupted" in done.stderr


def test_a_job_that_ends_well_says_nothing_but_its_progress(run):
    done, log = run("")
    assert done.returncode == 0 and done.stderr == "[train simclr f] progress 3\n" and "INFO progress 3" in log


def test_threads_are_those_of_the_rule(run):
    done, _ = run("")
    assert done.returncode == 0
    body = "import torch\nsnakemake.threads = 2\njob.start(snakemake)\nprint(torch.get_num_threads(), job.threads())"
    body += "\nprint(torch.are_deterministic_algorithms_enabled())"
    assert run(body)[0].stdout.split() == ["2", "2", "True"]


def test_a_job_ends_when_its_parent_ends(tmp_path):
    body = "import time, pathlib\npathlib.Path('began').touch()\ntime.sleep(30)\npathlib.Path('survived').touch()"
    (tmp_path / "child.py").write_text(SCRIPT.format(body=body))
    parent = "import subprocess, sys, time, pathlib\n"
    parent += "child = subprocess.Popen([sys.executable, 'child.py'])\nprint(child.pid, flush=True)\n"
    parent += "while not pathlib.Path('began').exists(): time.sleep(0.05)\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # The pipe closes when the child, which inherits it, is gone as well.
    done = subprocess.run(
        [sys.executable, "-c", parent], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=25
    )
    assert "is gone: stopping" in done.stderr and not (tmp_path / "survived").exists()


def test_a_workflow_elsewhere_is_not_taken_for_one_that_ended(run, monkeypatch):
    """Clusters hand variables on to other machines, where the number of the workflow's process means nothing."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    wait = "import time\ntime.sleep(0.5)"
    monkeypatch.setenv("MEMLOC_PID", f"{gone.pid}@another-node/pid:[1]")
    assert run(wait)[0].returncode == 0
    job.announce()
    monkeypatch.setenv("MEMLOC_PID", os.environ["MEMLOC_PID"].replace(str(os.getpid()), str(gone.pid), 1))
    done, _ = run(wait)
    assert done.returncode == 1 and "is gone: stopping" in done.stderr


@pytest.fixture
def parallel(tmp_path, monkeypatch):
    """Runs a job of two tasks beside an srun that starts both here; gives the process and srun's options."""
    (tmp_path / "bin").mkdir()
    srun = tmp_path / "bin" / "srun"
    srun.write_text(
        '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do echo "$1" >> options; shift; done\n'
        'SLURM_NTASKS=2 SLURM_PROCID=0 "$@" && SLURM_NTASKS=2 SLURM_PROCID=1 "$@"\n'
    )
    srun.chmod(0o755)
    for name in ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "LOCAL_RANK", "MEMLOC_SPREAD"):
        monkeypatch.delenv(name, raising=False)
    body = "import os\njob.log.warning('task %s of %s', *map(os.environ.get, ('SLURM_PROCID', 'SLURM_NTASKS')))"
    given = SCRIPT.replace("threads=1)", "threads=1, resources={resources})")

    def go(resources, **variables):
        (tmp_path / "job.py").write_text(given.format(resources=resources, body=body))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        command = [sys.executable, "job.py"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment | variables, capture_output=True, text=True, timeout=60
        )
        options = tmp_path / "options"
        return done, options.read_text().split() if options.exists() else []

    return go


def test_a_slurm_job_of_several_tasks_starts_them_through_srun(parallel):
    done, options = parallel({"tasks": 2, "nodes": 2}, SLURM_JOB_ID="7")
    assert done.returncode == 0, done.stderr
    assert options[:4] == ["--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=1"]
    # Once each, and the second one tells nothing of its progress.
    said = ["progress 3", "task 0 of 2", "task 1 of 2"]
    assert [line.removeprefix("[train simclr f] ") for line in done.stderr.splitlines()] == said


@pytest.mark.parametrize("variables", [{}, {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}])
def test_elsewhere_the_processes_of_one_machine_are_left_to_lightning(parallel, variables):
    """It must not take a Slurm job of other tasks, such as salloc's, for one that started this process."""
    done, options = parallel({"tasks": 2, "nodes": 1}, **variables)
    assert done.returncode == 0 and not options and "of None" in done.stderr


def test_several_machines_without_slurm_are_refused(parallel):
    done, options = parallel({"tasks": 2, "nodes": 2})
    assert done.returncode == 1 and not options
    assert done.stderr.splitlines() == [
        "[train simclr f] error: hardware.nodes: 2, which needs Slurm (docs/cluster.md); lower it"
    ]
