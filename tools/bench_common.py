"""What all benchmarks share: outcomes, time, jobs, processes of their own, a quick form of each."""

from __future__ import annotations

import contextlib
import importlib
import io
import operator
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
COMPARE = {"<=": operator.le, ">=": operator.ge}
QUICK = "--quick" in sys.argv[1:]
"""Whether benchmarks run on next to nothing, in one process: to see that they run."""
T = TypeVar("T")


def sized(usual: T, quick: T) -> T:
    """One of two sizes of a benchmark."""
    return quick if QUICK else usual


@dataclass(frozen=True)
class Outcome:
    """One ratio and the bar it is held against; a bar of at least 0 is none."""

    name: str
    ratio: float
    sense: str = ">="
    bar: float = 0.0

    def row(self) -> dict[str, Any]:
        """As written to the table."""
        holds = COMPARE[self.sense](self.ratio, self.bar)
        return {"name": self.name, "ratio": f"{self.ratio:.3f}", "bar": f"{self.sense} {self.bar:g}", "holds": holds}


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ratio(numerator: list[float], denominator: list[float]) -> float:
    """Median over things done in turn: what disturbs one side disturbs the other as well."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def child(file: str, *words: str) -> float:
    """Run a file of benchmarks in a process of its own; returns the number it prints last."""
    return children(file, *words)[-1]


def children(file: str, *words: str) -> list[float]:
    """The same with all numbers of its last line."""
    if QUICK:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            importlib.import_module(Path(file).stem).main(*words)
        return [float(word) for word in out.getvalue().splitlines()[-1].split()]
    done = subprocess.run([sys.executable, file, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr}{' '.join(words)}: exit status {done.returncode}")
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


def peak_memory() -> float:
    """The most memory that this process has had, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


class Named(dict[str, Any]):
    """What a script reads its files and parameters from."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        return self[name]


def as_job(rule: str, folder: Path, *, threads: int = 1, **about: dict[str, Any]) -> None:
    """Run a rule's script as Snakemake does."""
    named = {key: Named(value) for key, value in about.items()}
    snakemake = SimpleNamespace(rule=rule, threads=threads, log=[str(folder / f"{rule}.log")], **named)
    importlib.import_module(f"scripts.{rule}").main(snakemake)
