"""What all benchmarks share: outcomes, time, processes of their own."""

from __future__ import annotations

import operator
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
COMPARE = {"<=": operator.le, ">=": operator.ge}


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
    done = subprocess.run([sys.executable, file, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr}{' '.join(words)}: exit status {done.returncode}")
    return [float(word) for word in done.stdout.splitlines()[-1].split()]
