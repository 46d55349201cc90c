"""Installation: every failure is one line, and what is done is not done again. Nothing is really installed."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Stands in for the standard library's: a .venv whose python and uv write down how they were called.
VENV = """
import pathlib, shutil, sys

if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[-1])
    if (folder.parent / "no-venv").exists():
        sys.exit("Error: [Errno 30] Read-only file system")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    for name in ("python", "uv"):
        program = folder / "bin" / name
        program.write_text(
            '#!/bin/sh\\n[ "$1" = -c ] && exit 0\\n'
            f'echo "{name} $*" >> "{folder.parent}/calls"\\n'
            f'[ -e "{folder.parent}/output" ] || exit 0\\ncat "{folder.parent}/output"\\nexit 1\\n'
        )
        program.chmod(0o755)
"""

ROOM = "shutil.disk_usage = lambda path: type('Usage', (), {'free': %d * 10**9})"


@pytest.fixture
def root(tmp_path):
    """A repository with just what bootstrap reads."""
    root = tmp_path / "memloc"
    for name in ("tools/bootstrap.py", "pyproject.toml", "requirements.lock", "memloc/__init__.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (tmp_path / "fakes").mkdir()
    (tmp_path / "fakes" / "venv.py").write_text(VENV)
    return root


def boot(root, *options, given=ROOM % 100):
    script = str(root / "tools/bootstrap.py")
    code = f"import runpy, shutil, subprocess, sys\n{given}\nrunpy.run_path({script!r}, run_name='__main__')"
    command = [sys.executable, "-c", code, *options]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root.parent / "fakes")}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


def calls(root):
    file = root / "calls"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def refusal(outcome):
    """The one line of a failure."""
    assert outcome.returncode == 1
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("memloc: error: ")
    return line


def test_parses_on_an_old_python():
    source = (ROOT / "tools/bootstrap.py").read_text()
    tree = ast.parse(source, feature_version=(3, 7))
    # Postponed annotations are 3.7's.
    assert not any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in ast.walk(tree))


def test_old_python(root):
    line = refusal(boot(root, given="sys.version_info = (3, 6, 9, 'final', 0)"))
    assert "needs Python 3.11" in line
    assert "3.6.9" in line
    assert not (root / ".venv").exists()


def test_a_place_that_a_shell_would_take_apart(root):
    moved = root.rename(root.with_name("my memloc"))
    done = boot(moved)
    assert done.returncode == 1 and "my memloc': jobs can't start where the path has blanks" in done.stderr
    assert done.stderr.count("\n") == 1 and not (moved / ".venv").exists()


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_no_venv_module(root, module):
    line = refusal(boot(root, given=f"{ROOM % 100}; sys.modules[{module!r}] = None"))
    assert "apt install python3-venv" in line


def test_no_disk_space(root):
    line = refusal(boot(root, given=ROOM % 5))
    assert "5.0 GB free" in line
    assert "TORCH=cpu" in line
    assert not (root / ".venv").exists()


def test_cpu_build_needs_less_space(root):
    assert boot(root, "--cpu", given=ROOM % 5).returncode == 0
    shutil.rmtree(root / ".venv")
    assert "needs about 3" in refusal(boot(root, "--cpu", given=ROOM % 2))


def test_venv_that_cannot_be_made(root):
    (root / "no-venv").touch()
    assert "Read-only file system" in refusal(boot(root))


def test_folder_that_is_no_venv_is_left_alone(root):
    (root / ".venv").mkdir()
    (root / ".venv" / "notes").touch()
    assert "no virtual environment" in refusal(boot(root))
    assert (root / ".venv" / "notes").exists()


def test_missing_lock(root):
    (root / "requirements.lock").unlink()
    assert "requirements.lock" in refusal(boot(root))


def test_failing_pip(root):
    (root / "output").write_text(
        "Collecting torch\n"
        "ERROR: Could not find a version that satisfies the requirement torch (from versions: none)\n"
        "ERROR: No matching distribution found for torch==2.14.1\n"
        "note: this is no error\n"
    )
    line = refusal(boot(root))
    assert "pip failed (No matching distribution found for torch==2.14.1)" in line
    assert "network" not in line
    assert "Collecting torch" in (root / ".venv" / "install.log").read_text()


def test_no_network(root):
    (root / "output").write_text(
        "  WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\n"
        "  ERROR: No matching distribution found for setuptools>=77\n"
        "error: subprocess-exited-with-error\n\n"
        "ERROR: ResolutionImpossible: for help visit the manual\n"
        "× pip subprocess to install build dependencies did not run successfully.\n"
        "╰─> See above for output.\n"
    )
    line = refusal(boot(root))
    assert "No matching distribution found for setuptools>=77" in line
    assert "check the network" in line


def test_silent_failure(root):
    (root / "output").touch()
    assert "it said nothing" in refusal(boot(root))


def test_interrupted(root):
    given = "def stop(*args, **kwargs):\n    raise KeyboardInterrupt\nsubprocess.run = stop"
    outcome = boot(root, given=given)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("memloc: interrupted")


def test_installs_with_the_lock_and_then_does_nothing(root):
    assert boot(root).returncode == 0
    (call,) = calls(root)
    assert call.startswith("python -m pip install")
    assert call.endswith("-c requirements.lock -e .[charts,workflow]")
    again = boot(root)
    assert (again.returncode, again.stdout, again.stderr, calls(root)) == (0, "", "", [])


def test_a_failed_installation_is_repeated(root):
    (root / "output").write_text("ERROR: disk on fire\n")
    refusal(boot(root))
    calls(root)
    (root / "output").unlink()
    assert boot(root).returncode == 0
    assert len(calls(root)) == 1


def test_an_extra_is_added_once_and_kept(root):
    boot(root)
    calls(root)
    assert boot(root, "--test").returncode == 0
    assert calls(root)[0].endswith("-e .[charts,test,workflow]")
    assert boot(root).returncode == boot(root, "--test").returncode == 0
    assert calls(root) == []
    assert boot(root, "--slurm").returncode == 0
    assert calls(root)[0].endswith("-e .[charts,slurm,test,workflow]")


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements.lock", "memloc/__init__.py"])
def test_a_change_installs_again_with_what_was_asked_for_before(root, name):
    boot(root, "--test")
    calls(root)
    with (root / name).open("a") as file:
        file.write("\n# changed\n")
    assert boot(root).returncode == 0
    assert calls(root)[0].endswith("-e .[charts,test,workflow]")


def test_cpu_build_comes_from_uv_and_stays(root):
    assert boot(root, "--cpu").returncode == 0
    pip, uv = calls(root)
    assert pip.endswith("uv>=0.7")
    assert uv.startswith("uv pip install --python ")
    assert uv.endswith("--torch-backend cpu --compile-bytecode -c requirements.lock -e .[charts,workflow]")
    torch = root / ".venv/lib/python3.11/site-packages/torch/version.py"
    torch.parent.mkdir(parents=True)
    torch.touch()
    assert boot(root, "--test").returncode == 0
    assert "--torch-backend cpu" in calls(root)[1]


def test_a_moved_repository_gets_a_new_venv(root):
    boot(root)
    calls(root)
    moved = root.rename(root.with_name("moved"))
    assert boot(moved).returncode == 0
    assert len(calls(moved)) == 1
    assert json.loads((moved / ".venv" / "memloc.json").read_text())["root"] == str(moved)


def test_a_venv_whose_python_is_gone_is_made_anew(root):
    boot(root)
    calls(root)
    (root / ".venv/bin/python").unlink()
    assert boot(root).returncode == 0
    assert len(calls(root)) == 1
