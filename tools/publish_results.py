"""Freeze finished runs: claims, figures, tables and headlines.

    python tools/publish_results.py results

The README's numbers come from here and nowhere else; a test holds the two together.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pandas as pd

from memloc.analysis.claims import joined
from memloc.analysis.tables import load_claims, save_table
from memloc.experiments import EXPERIMENTS, caption
from memloc.report.page import claim_rows

FROZEN = ROOT / "docs" / "results"
MARKS = ("<!-- results: made by tools/publish_results.py -->", "<!-- end of results -->")
HEADLINES = {
    "pairs.last": "simclr",
    "pairs.slope": "simclr",
    "unitmem.excess": "simclr",
    "losses.gap": "simclr",
    "pairs.atypical": "simclr",
    "dose.slope": "dosed",
    "dose.owners": "dosed",
    "pairs.single": "simclr",
    "layermem.every-increment": "simclr",
    "unitmem.everywhere": "simclr",
    "ssl_vs_supervised.ssl-images": "simclr",
    "ssl_vs_supervised.interaction": "supervised - simclr",
    "pruning.top": "simclr on fashion, mean",
    "finetuning.increment": "simclr, k = 3",
    "valued_atypicality.memorized-excess": "simclr, pixels, classes",
    "cell_outliers.over-knn": "2D-OOB, w = 1, ratio 0.5, tail",
}
"""Claims of the README, chosen for what they ask, not for what came out, and how the subjects that it names begin."""


def main(*folders: Path) -> None:
    """Join the claims, copy figures and tables, write the page of all claims, renew the README between its marks."""
    drawn, parts = [], []
    for results in folders:
        parts.append(load_claims(results / "claims.csv"))
        names = parts[-1]["experiment"].unique()
        drawn += [results / "figures" / f"{name}{suffix}" for name in names for suffix in (".png", ".csv")]
    missing = [str(path) for path in drawn if not path.exists()]
    if missing:
        sys.exit(f"{missing[0]}: not there; run snakemake over the configuration whose claims these are")
    shutil.rmtree(FROZEN, ignore_errors=True)
    FROZEN.mkdir(parents=True)
    for path in drawn:
        shutil.copy(path, FROZEN)
    save_table(joined(pd.concat(parts, ignore_index=True)), FROZEN / "claims.csv")
    claims = load_claims(FROZEN / "claims.csv")
    (FROZEN / "README.md").write_text(page(claims), encoding="utf-8")
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    readme.write_text(insert(before, table(headlines(claims), scales=False)), encoding="utf-8")


def headlines(claims: pd.DataFrame) -> pd.DataFrame:
    """Rows of HEADLINES; what several experiments claim comes from the one that is called as its kind, or the first."""
    rows = claims[claims["claim"].isin(HEADLINES.keys())]
    chosen = [
        subject.startswith(HEADLINES[claim]) and not subject.startswith(f"{HEADLINES[claim]}-")
        for claim, subject in zip(rows["claim"], rows["subject"], strict=True)
    ]
    rows = rows[chosen]
    # An experiment that is called as its kind stands for its variants.
    own = rows["experiment"] == rows["claim"].str.partition(".")[0]
    rows = rows[own | ~rows["claim"].isin(rows["claim"][own])]
    return rows.drop_duplicates(["claim", "subject"])


def page(claims: pd.DataFrame) -> str:
    """Every experiment's figure, caption and claims, as Markdown."""
    return "\n".join(_page(claims)) + "\n"


def _page(claims: pd.DataFrame) -> Iterator[str]:
    verdicts = claims["verdict"].value_counts()
    together = ", primary ones ([claims.md](../claims.md)) of ten pairs or more by Holm" if "holm" in claims else ""
    yield "# Results\n"
    yield (
        "What the default run found. Made by `tools/publish_results.py` from [claims.csv](claims.csv); "
        f"{len(claims)} claims: " + ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items()) + ". "
        f"Each is judged by itself at 95 %{together}: of those with nothing behind them, one in twenty is decided all "
        "the same. "
        "A subject is what was looked at; where a claim is about every one of several places or pairs, the one after "
        "the comma is the least sure, which decided. What other configurations found under the paper's groups, before "
        "complementary halves became the default, is in [groups](../groups/findings.md)."
    )
    for name, rows in claims.groupby("experiment", sort=False):
        kind = rows["claim"].iloc[0].partition(".")[0]
        entry = EXPERIMENTS[kind]
        yield f"\n## {name}: {entry.title}\n\n{entry.paper}. [Table]({name}.csv)\n\n![{entry.title}]({name}.png)\n"
        yield f"{caption(kind)}\n\n{table(rows)}"


def table(claims: pd.DataFrame, *, scales: bool = True) -> str:
    """Claims as Markdown, with or without what the paper's effects were measured on."""
    lines = ["| Claim (paper) | Subject | In the paper | Effect | Interval | Verdict |", "|---|---|---|---|---|---|"]
    for row in claim_rows(claims):
        published = (
            [row["paper_effect"], row["paper_scale"]] if scales else [row["paper_effect"].replace("no number", "")]
        )
        cells = [f"{row['statement']} ({row['paper']})", row["subject"], ", ".join(filter(None, published))]
        cells += [row["effect"], row["interval"], row["told"]]
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines)


def insert(readme: str, text: str) -> str:
    """The README with ``text`` between its marks."""
    first, last = map(re.escape, MARKS)
    return re.sub(f"{first}.*?{last}", lambda _: f"{MARKS[0]}\n{text}\n{MARKS[1]}", readme, flags=re.DOTALL)


if __name__ == "__main__":
    main(*(map(Path, sys.argv[1:]) if len(sys.argv) > 1 else [ROOT / "results"]))
