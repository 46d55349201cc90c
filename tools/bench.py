"""Speed and memory as ratios of two things measured side by side: what `make bench` runs.

python tools/bench.py [NAME ...]     all benchmarks, or those whose names contain one of the words
python tools/bench.py --quick        the same on next to nothing, written nowhere: to see that they run

Prints a table and writes results/benchmarks/bench.csv: name, ratio, bar, holds. Ratios carry over between machines,
absolute times don't (the one that is held against seconds says so), so nothing here is asserted by a test. Run it on
an otherwise idle machine.
"""

from __future__ import annotations

import sys

import bench_scale
import bench_scoring
import bench_training
import bench_valuation
from bench_common import QUICK, ROOT

from memloc.io import save_rows
from memloc.job import keep_memory

OUT = ROOT / "results" / "benchmarks" / "bench.csv"
BENCHMARKS = bench_scoring.BENCHMARKS | bench_training.BENCHMARKS | bench_valuation.BENCHMARKS | bench_scale.BENCHMARKS


def main(words: list[str]) -> None:
    """Run the benchmarks and write what came out."""
    keep_memory()  # As every job and `memloc score` do.
    rows = []
    for name, benchmark in BENCHMARKS.items():
        if words and not any(word.lower() in name.lower() for word in words):
            continue
        for outcome in benchmark():
            row = outcome.row()
            rows.append(row)
            held = "holds" if row["holds"] else "MISSED"
            print(f"{row['ratio']:>9}  {row['bar']:>8}  {held:6}  {row['name']}", flush=True)
            if not QUICK:
                save_rows(rows, ["name", "ratio", "bar", "holds"], OUT)
    print(f"{sum(row['holds'] for row in rows)} of {len(rows)} bars hold")


if __name__ == "__main__":
    main([word for word in sys.argv[1:] if word != "--quick"])
