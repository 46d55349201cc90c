"""The check on a Slurm of its own: where it does nothing. That it passes is for make test-slurm to see."""

import os
import shutil
import signal

import pytest

from tools import check_slurm


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A machine where root has no Slurm, and its folder of configurations."""
    files = tmp_path / "slurm.conf", tmp_path / "gres.conf"
    monkeypatch.setattr(check_slurm, "CONFIGURATION", files)
    monkeypatch.setattr(check_slurm, "OTHERS", files)
    monkeypatch.setattr(check_slurm.sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    monkeypatch.setattr(signal, "signal", lambda *given: None)
    monkeypatch.setattr(check_slurm, "check", lambda folder: pytest.fail("something was started"))
    monkeypatch.delenv("SLURM_CONF", raising=False)
    return tmp_path


def skipped(capsys):
    check_slurm.main()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("memloc: test-slurm was skipped: ")
    return line


def test_a_slurm_that_is_configured_is_left_alone(here, capsys):
    (here / "slurm.conf").write_text("ClusterName=ours\n")
    assert "slurm.conf is there" in skipped(capsys)
    check_slurm._clear()
    assert (here / "slurm.conf").read_text() == "ClusterName=ours\n"


def test_a_configuration_elsewhere_counts_too(here, capsys, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "/opt/slurm.conf")
    assert "SLURM_CONF is set" in skipped(capsys)


def test_it_takes_root(here, capsys, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in skipped(capsys)


def test_what_a_killed_one_left_is_removed(here, capsys):
    (here / "slurm.conf").write_text(check_slurm.MARK + "ClusterName=memloc\n")
    assert "no apt-get" in skipped(capsys)
    assert not (here / "slurm.conf").exists()


def test_nothing_is_started_where_packages_cannot_be_installed(here, capsys, monkeypatch):
    (here / "apt-get").write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
    (here / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}:{os.environ['PATH']}")
    monkeypatch.setattr(shutil, "which", lambda program: "/x" if program == "apt-get" else None)
    check_slurm.main()
    assert capsys.readouterr().out.splitlines()[-1].endswith("was skipped: apt-get can't install Slurm (E: no network)")


def test_a_slurm_that_does_not_come_up_is_skipped_with_what_it_said(here, capsys, monkeypatch):
    log = here / "slurmctld.log"
    log.write_text("starting\nfatal: no name for this machine\n")
    monkeypatch.setattr(shutil, "which", lambda program: "/x")
    times = iter([0.0, 31.0, 60.0, 90.0])
    monkeypatch.setattr(check_slurm.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(check_slurm, "check", lambda folder: check_slurm._wait("the nodes", lambda: False, log))
    assert skipped(capsys).endswith("no Slurm comes up here: the nodes did not start; fatal: no name for this machine")
