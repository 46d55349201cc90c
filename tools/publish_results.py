"""Freeze a finished default run: its claims and figures into docs/results, its table into README.md.

    python tools/publish_results.py [RESULTS]

The README's numbers come from here and nowhere else; a test holds the two together.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from memloc.report import claim_rows
from memloc.tables import load_table

FROZEN = ROOT / "docs" / "results"
MARKS = ("<!-- results: made by tools/publish_results.py -->", "<!-- end of results -->")


def main(results: Path) -> None:
    """Copy claims.csv, the PNGs and their tables, then rewrite the README between its marks."""
    FROZEN.mkdir(parents=True, exist_ok=True)
    shutil.copy(results / "claims.csv", FROZEN / "claims.csv")
    for figure in sorted((results / "figures").glob("*")):
        if figure.suffix in (".png", ".csv"):
            shutil.copy(figure, FROZEN / figure.name)
    readme = ROOT / "README.md"
    readme.write_text(insert(readme.read_text(), table(FROZEN / "claims.csv")))


def table(claims: Path) -> str:
    """The claims as Markdown."""
    lines = ["| Claim (paper) | Subject | Effect | Interval | Verdict |", "|---|---|---|---|---|"]
    for row in claim_rows(load_table(claims)):
        statement, paper = row["statement"], row["paper"]
        lines.append(
            f"| {statement} ({paper}) | {row['subject']} | {row['effect']} | {row['interval']} | {row['verdict']} |"
        )
    return "\n".join(lines)


def insert(readme: str, text: str) -> str:
    """The README with ``text`` between its marks."""
    first, last = map(re.escape, MARKS)
    return re.sub(f"{first}.*?{last}", lambda _: f"{MARKS[0]}\n{text}\n{MARKS[1]}", readme, flags=re.DOTALL)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results")
