"""Jobs that a killed run left with Slurm, asked of a squeue that says what it is told."""

import pytest

from memloc.slurm import left_behind

OURS, THEIRS = "2db4b7cc-9f1e-4a53-8f0e-6d0b6a1c7e11", "00000000-1111-2222-3333-444444444444"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A folder of logs that names one run, and what squeue does."""
    logs, programs = tmp_path / "log", tmp_path / "bin"
    logs.mkdir(), programs.mkdir()
    (logs / "1.snakemake.log").write_text(f"host: n1\nSLURM run ID: {OURS}\n\xff")
    (logs / "2.snakemake.log").write_bytes(b"Building DAG of jobs...\n\xff")
    monkeypatch.setenv("PATH", str(programs))

    def squeue(script):
        path = programs / "squeue"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return left_behind(logs)

    return squeue


def test_jobs_of_runs_on_these_results_are_found_and_no_others(cluster):
    assert cluster(f'test "$*" = "--me --noheader --format=%j" && echo {THEIRS} && echo {OURS} && echo {OURS}') == [
        OURS
    ]
    assert cluster(f"echo {THEIRS}; echo bash") == []


@pytest.mark.parametrize("script", ["exit 0", "echo squeue: error: Unable to contact slurm controller >&2; exit 1"])
def test_a_slurm_that_is_done_or_does_not_answer_stops_nothing(cluster, script):
    assert cluster(script) == []


def test_without_slurm_or_its_runs_nothing_is_asked(tmp_path, cluster, monkeypatch):
    assert left_behind(tmp_path / "absent") == []
    monkeypatch.setenv("PATH", str(tmp_path))
    assert left_behind(tmp_path / "log") == []
