"""What `make bench` runs, on next to nothing: its numbers mean nothing here, but it runs."""

import math
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_benchmark_comes_to_its_end():
    command = [sys.executable, "tools/bench.py", "--quick"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    rows = [line for line in done.stdout.splitlines() if "  holds   " in line or "  MISSED  " in line]
    assert len(rows) > 30 and all(math.isfinite(float(row.split()[0])) for row in rows)
    assert done.stdout.endswith(f" of {len(rows)} bars hold\n")
