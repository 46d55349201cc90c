"""Make .venv and install memloc into it: what `make` does before anything else. Done once, it does nothing.

    python3 tools/bootstrap.py [--test] [--slurm] [--docs] [--cpu]

Standard library only, and in syntax that Python 3.6 reads, so that an old Python gets a sentence to read.
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "install.log"
STAMP = VENV / "memloc.json"
# What the workflow and all commands need.
ALWAYS = {"charts", "workflow"}

# What an installation depends on; memloc/__init__.py holds the version.
SOURCES = ("pyproject.toml", "requirements.lock", "memloc/__init__.py")
# Gigabytes on disk, with some room for downloads.
SPACE, SPACE_CPU = 8, 3

SHOWN = re.compile(r"\s*(Downloading .*[0-9 ][MG]i?B\)|Building|Installing collected|Resolved|Prepared|Installed)")
ERROR = re.compile(r"(?i)error: (?!subprocess-exited|failed to build|ResolutionImpossible)")
OFFLINE = re.compile(
    r"(?i)NewConnectionError|failed to establish a new connection|name resolution|name or service not known"
    r"|nodename nor servname|network is unreachable|ConnectTimeout|dns error|tcp connect error|cannot connect to proxy"
)


class BootstrapError(Exception):
    """Something the user can put right; the message says how."""


def main():
    """Check, install, and turn every failure into one line."""
    parser = argparse.ArgumentParser(description="Make .venv and install memloc into it.")
    parser.add_argument("--test", action="store_true", help="also what the tests need")
    parser.add_argument("--slurm", action="store_true", help="also what hands jobs to Slurm")
    parser.add_argument("--docs", action="store_true", help="also what builds the documentation site")
    parser.add_argument("--cpu", action="store_true", help="PyTorch's build without GPU libraries")
    options = parser.parse_args()
    try:
        check_python()
        check_place()
        install({name for name in ("test", "slurm", "docs") if getattr(options, name)}, options.cpu)
    except (BootstrapError, OSError) as error:
        sys.exit(f"memloc: error: {error}")
    except KeyboardInterrupt:
        sys.exit("memloc: interrupted; the same command starts the installation again")


def check_python():
    """Refuse what can't run memloc."""
    if os.name != "posix":
        raise BootstrapError("memloc runs on Linux and macOS; on Windows use WSL")
    if sys.version_info < (3, 11):  # noqa: UP036
        version = ".".join(map(str, sys.version_info[:3]))
        hint = "name another one, as in: make figures PYTHON=python3.12"
        raise BootstrapError(f"needs Python 3.11 or newer, but {sys.executable} is {version}; {hint}")


def check_place():
    """Refuse a place whose name a shell would take apart: Snakemake starts jobs by the path of .venv's Python."""
    if shlex.quote(str(ROOT)) != str(ROOT):
        raise BootstrapError(
            f"{str(ROOT)!a}: jobs can't start where the path has blanks or signs of a shell; rename or move it"
        )


def install(extras, cpu):
    """Bring .venv to what SOURCES and the options ask for; the stamp tells a later call that it is done."""
    stamp, key = read_stamp(), fingerprint()
    whole = works() and stamp.get("root", str(ROOT)) == str(ROOT)
    has_torch = any(VENV.glob("lib/python*/site-packages/torch/version.py"))
    if whole and has_torch:
        if cpu and stamp.get("cpu") is False:
            print("memloc: .venv keeps the PyTorch it has; for the CPU build: make clean-venv, then again", flush=True)
        cpu = stamp.get("cpu", cpu)
    if whole and stamp.get("key") == key and extras <= set(stamp["extras"]):
        return
    if not has_torch:
        check_space(cpu)
    if not whole:
        make_venv()
    stamp = {"key": None, "root": str(ROOT), "extras": sorted(extras.union(stamp.get("extras", []))), "cpu": cpu}
    STAMP.write_text(json.dumps(stamp), encoding="utf-8")
    print("memloc: installing into .venv, which takes minutes at first (all output: .venv/install.log)", flush=True)
    with LOG.open("w", encoding="utf-8") as log:
        add_packages(stamp["extras"], cpu, log)
    STAMP.write_text(json.dumps(dict(stamp, key=key)), encoding="utf-8")


def fingerprint():
    """Hash of the files that decide what is installed."""
    sha = hashlib.sha256()
    for name in SOURCES:
        sha.update((ROOT / name).read_bytes() + b"\0")
    return sha.hexdigest()


def read_stamp():
    """What the last call left; nothing where there was none."""
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def works():
    """Whether .venv has a Python that is new enough and its own pip: not so after the system's Python was replaced."""
    check = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([str(PYTHON), "-c", check], env=environment(), stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def check_space(cpu):
    """Refuse to fill the disk."""
    need = SPACE_CPU if cpu or sys.platform == "darwin" else SPACE
    free = shutil.disk_usage(str(VENV if VENV.exists() else ROOT)).free / 1e9
    if free < need:
        hint = "" if need == SPACE_CPU else f" (or use PyTorch's CPU build, {SPACE_CPU} GB: TORCH=cpu)"
        raise BootstrapError(f"{ROOT}: {free:.1f} GB free, and the installation needs about {need}; free some{hint}")


def make_venv():
    """Make .venv, anew where one is there that doesn't work."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise BootstrapError(
            f"{sys.executable} has no venv module; install it (Debian and Ubuntu: apt install python3-venv)"
        ) from None
    if VENV.is_dir() and any(VENV.iterdir()) and not (VENV / "pyvenv.cfg").exists():
        raise BootstrapError(f"{VENV}: is no virtual environment; move it away")
    # The Python behind an activated environment, which may be the very .venv that is made anew.
    base = getattr(sys, "_base_executable", None) or sys.executable
    code, lines = run([base, "-m", "venv", "--clear", str(VENV)], os.environ)
    if code:
        raise BootstrapError(f"can't make {VENV} ({reason(lines)})")


def add_packages(extras, cpu, log):
    """Install memloc and what it needs in the locked versions."""
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    target = ".[{}]".format(",".join(sorted(ALWAYS.union(extras))))
    locked = ["-c", "requirements.lock", "-e", target]
    commands = [pip + locked]
    if cpu:
        # pip can't ask for PyTorch's CPU build without naming where it lies; uv knows.
        uv = [str(VENV / "bin" / "uv"), "pip", "install", "--python", str(PYTHON)]
        commands = [[*pip, "uv>=0.7"], [*uv, "--torch-backend", "cpu", "--compile-bytecode", *locked]]
    for command in commands:
        code, lines = run(command, environment(), log)
        if code:
            tool = "uv" if command[0].endswith("uv") else "pip"
            cause = (
                "no package index in reach, check the network" if any(map(OFFLINE.search, lines)) else tool + " failed"
            )
            raise BootstrapError(f"{cause} ({reason(lines)}); all that {tool} said is in {LOG}")


def environment():
    """The environment without what would mix other packages into .venv."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def run(command, env, log=None):
    """Run a command; show what it is busy with, keep all its output. Returns its exit status and its lines."""
    lines = []
    with subprocess.Popen(
        command, cwd=str(ROOT), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace"
    ) as process:
        for line in process.stdout:
            lines.append(line.rstrip())
            if log:
                log.write(line)
                log.flush()
                if SHOWN.match(line):
                    print("  " + line.strip()[:100], flush=True)
    return process.returncode, lines


def reason(lines):
    """The last error in a program's output, or else its last line."""
    lines = [line.strip(" ×╰─▶├│>") for line in lines]
    lines = [line for line in lines if line] or ["it said nothing"]
    return ([ERROR.sub("", line, count=1) for line in lines if ERROR.match(line)] or lines)[-1]


if __name__ == "__main__":
    main()
