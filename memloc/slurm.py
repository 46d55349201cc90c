"""What an earlier run may have left with Slurm."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path


def left_behind(logs: Path) -> list[str]:
    """Runs of which Slurm still has jobs, which would write what a new run writes.

    A run that was killed can't cancel its jobs. Their name is its id, which Snakemake's log of it tells.

    Args:
        logs: the folder of Snakemake's logs.

    Returns:
        Ids; none where there is no Slurm, or it doesn't answer.
    """
    told = (path.read_text(encoding="utf-8", errors="replace") for path in logs.glob("*.snakemake.log"))
    runs = {run for text in told for run in re.findall(r"SLURM run ID: ([0-9a-f-]{36})\b", text)}
    if not runs or not shutil.which("squeue"):
        return []
    command = ["squeue", "--me", "--noheader", "--format=%j"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return []
    return sorted(runs & set(asked.stdout.split()))
