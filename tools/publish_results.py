"""Freeze finished runs, and renew every page that says what they found.

    python tools/publish_results.py results   # freeze: claims, figures, tables, configuration; then renew the pages
    python tools/publish_results.py           # renew the pages from what is frozen

Pages are docs/results and docs/groups/results (an index, and a page for each experiment), docs/findings.md, and between
their marks the README, thresholds and what came out in docs/claims.md, and changed verdicts in docs/deviations.md.
Their numbers come from claims.csv and nowhere else; a test holds them together. Nothing is replaced before all is made.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pandas as pd

from memloc.analysis.claims import joined
from memloc.analysis.tables import load_claims, save_table
from memloc.errors import InputError
from memloc.experiments import EXPERIMENTS, caption
from memloc.report import reference, telling
from memloc.wording import number

FROZEN, GROUPS = ROOT / "docs" / "results", ROOT / "docs" / "groups" / "results"
ABOUT = {
    FROZEN: "What the default run and, over it, `config/charts.yaml` and `config/recovery.yaml` found. What other "
    "configurations found under the paper's groups, before complementary halves became the default, is in "
    "[groups](../groups/results/README.md).",
    GROUPS: "What `snakemake --configfile config/layers.yaml config/units.yaml config/atypicality.yaml "
    "config/valuation.yaml` found under the paper's groups, before complementary halves became the default, and "
    "`config/halves.yaml` by itself. `overlap` and `cell_outliers` have less there; `finetuning` is part of "
    "`finetuning-subsets`.",
}
MARKS = ("<!-- results: made by tools/publish_results.py -->", "<!-- end of results -->")
CAME_OUT = re.compile(
    r"(<!-- came out, made by tools/publish_results.py: (.*?) -->\n).*?(<!-- end of came out -->)", re.DOTALL
)
CHANGED = (
    "<!-- verdicts that changed, made by tools/publish_results.py -->",
    "<!-- end of verdicts that changed -->",
)
FIXED = ("<!-- thresholds, made by tools/publish_results.py -->", "<!-- end of thresholds -->")
AT_LEAST, AT_MOST = 1, -1
THRESHOLDS = {
    "chart_answers.one": ("places told, one mark", AT_LEAST, 0.9),
    "chart_answers.two": ("places told, two marks", AT_LEAST, 0.6),
    "chart_answers.steps": ("rise of accuracy with more marks", AT_MOST, 0.05),
    "chart_answers.blank": ("places told from a blank image", AT_MOST, 0.05),
    "chart_answers.readable": ("answers that can't be read", AT_MOST, 0.01),
    "chart_probes.gap": ("probe of the tower minus answers", AT_LEAST, 0.2),
    "chart_probes.wrong": ("probe of the tower where the answer is wrong", AT_LEAST, 0.5),
    "chart_probes.control": ("probe of shuffled labels", AT_MOST, 0.05),
    "chart_patches.entry": ("answers that all image tokens turn", AT_LEAST, 0.99),
    "chart_patches.itself": ("change of a logit, patched into itself", AT_MOST, 1e-5),
    "chart_patches.background": ("answers that the background turns", AT_MOST, 0.1),
    "chart_patches.marks": ("answers that tokens of marks turn", AT_LEAST, 0.6),
    "chart_coordinates.true": ("gain by true coordinates", AT_LEAST, 0.15),
    "chart_coordinates.wrong": ("loss by wrong coordinates", AT_LEAST, 0.0),
    "chart_tuning.gain": ("gain by fine-tuning all", AT_LEAST, 0.05),
    "chart_canaries.memorized": ("canaries given by the model that learned them minus the other", AT_LEAST, 0.3),
    "chart_canaries.values": ("AUROC of values of other items over canaries'", AT_LEAST, 0.5),
    "chart_towers.held-out": ("probe of the surest layer, held-out places", AT_LEAST, 0.8),
    "chart_towers.pooled": ("probe of all states minus that of their mean", AT_LEAST, 0.2),
    "chart_towers.control": ("probe of shuffled labels", AT_MOST, 0.05),
}
"""Claims that tell an acceptance number of the study of charts: what is measured, in which sense, the number."""
BRIEF = 3
"""Findings in the README."""
MOST = 8
"""Subjects of a claim that are listed one by one where it says what came out."""
Row = Mapping[Any, Any]


def freeze(new: Path, *folders: Path) -> None:
    """Join the claims of runs in a new folder, and copy figures, tables and the configuration there."""
    if len({folder.resolve() for folder in folders}) < len(folders):
        sys.exit(f"{', '.join(map(str, folders))}: a folder is named twice; name each once")
    drawn, parts, of = [], [], dict[str, Path]()
    for results in folders:
        parts.append(load_claims(results / "claims.csv"))
        names = parts[-1]["experiment"].unique()
        if twice := [name for name in names if of.setdefault(name, results) != results]:
            sys.exit(f"{results}: {of[twice[0]]} has an experiment {twice[0]}, too; call one of them otherwise")
        drawn += [results / "figures" / f"{name}{suffix}" for name in names for suffix in (".png", ".csv")]
    drawn.append(folders[0] / reference.CONFIG)
    missing = [str(path) for path in drawn if not path.exists()]
    if missing:
        sys.exit(f"{missing[0]}: not there; run snakemake over the configuration whose claims these are")
    run = reference.load(folders[0])
    planned = run.config["experiments"] if run else {}
    if strange := [name for name in of if name not in planned]:
        sys.exit(f"{of[strange[0]]}: {drawn[-1]} has no experiment {strange[0]}; freeze what one configuration made")
    new.mkdir()
    for path in drawn:
        shutil.copy(path, new)
    save_table(joined(pd.concat(parts, ignore_index=True)), new / "claims.csv")


def pages(frozen: Path | None = None) -> dict[Path, str]:
    """Every page that is made from frozen claims, or from those that are about to be in a folder of their own."""
    frozen = frozen or FROZEN
    found, older = records(frozen), records(GROUPS)
    run = reference.load(frozen)
    config = run.config if run else {}
    made = {FROZEN / name: text for name, text in results_pages(found, FROZEN, config).items()}
    made |= {GROUPS / name: text for name, text in results_pages(older, GROUPS, {}).items()}
    made[ROOT / "docs/findings.md"] = findings(found, config)
    readme, claims = (path.read_text(encoding="utf-8") for path in (ROOT / "README.md", ROOT / "docs/claims.md"))
    made[ROOT / "README.md"] = insert(readme, "\n".join(brief(found)), MARKS)
    deviations = (ROOT / "docs/deviations.md").read_text(encoding="utf-8")
    made[ROOT / "docs/deviations.md"] = insert(deviations, "\n".join(changed(found, older)), CHANGED)
    claims = insert(claims, "\n".join(thresholds(found)), FIXED)
    made[ROOT / "docs/claims.md"] = CAME_OUT.sub(
        lambda mark: mark[1] + "\n".join(came_out(mark[2].split(), found, older)) + "\n" + mark[3], claims
    )
    return made


def records(folder: Path) -> list[Row]:
    """Frozen claims."""
    return [dict(row) for row in load_claims(folder / "claims.csv").to_dict("records")]


def results_pages(rows: Sequence[Row], folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The index of published results and a page for each experiment, as Markdown by name."""
    by_experiment: dict[str, list[Row]] = {}
    for row in rows:
        by_experiment.setdefault(row["experiment"], []).append(row)
    made = {f"{name}.md": "\n".join(_experiment(name, own, config)) + "\n" for name, own in by_experiment.items()}
    return {"README.md": "\n".join(_index(by_experiment, folder)) + "\n", **made}


def _index(by_experiment: Mapping[str, Sequence[Row]], folder: Path) -> Iterator[str]:
    rows = [row for own in by_experiment.values() for row in own]
    yield f"# Results\n\n{ABOUT[folder]}\n\n{telling.decided(rows)} Made by `tools/publish_results.py` from"
    yield "[claims.csv](claims.csv), which has all claims with p, n and seeds.\n"
    yield "| Experiment | Question | Claims |\n|---|---|---|"
    for name, own in by_experiment.items():
        yield _line(f"[{name}]({name}.md)", telling.asked(EXPERIMENTS[_kind(own)].asks), telling.counted(own))
    close = [row for row in rows if telling.is_borderline(row)]
    if close:
        yield f"\n## Borderline verdicts\n\nLittle would change these {len(close)}: a bound lies within a tenth of half"
        yield "the interval from what decides. Another processor or other seeds may judge them otherwise.\n"
        yield "| Claim | Subject | Effect (interval) | Verdict |\n|---|---|---|---|"
        for row in close:
            link = f"[{row['claim']}]({row['experiment']}.md)"
            yield _line(f"{link}: {telling.claimed(row)}", row["subject"], telling.numbers(row), row["verdict"])


def _experiment(name: str, rows: Sequence[Row], config: Mapping[str, Any]) -> Iterator[str]:
    kind = _kind(rows)
    entry = EXPERIMENTS[kind]
    yield f"# {name}: {entry.title}\n\nQuestion: {telling.asked(entry.asks)}. Paper: {entry.paper}."
    yield f"[All results](README.md), [table]({name}.csv).\n"
    yield f"![{entry.title}]({name}.png)\n\n{caption(kind)}\n\n{telling.counted(rows)}. A subject is what was looked"
    yield "at; where a claim is about every one of several places, the one after the comma is the least sure, which"
    yield "decided.\n"
    yield "| Claim (paper) | Subject | In the paper | Effect | Interval | Verdict |\n|---|---|---|---|---|---|"
    for row in rows:
        scale = row["paper_scale"] if telling.there(row["paper_scale"]) else ""
        theirs = ", ".join(filter(None, (telling.published(row), scale)))
        said = telling.judged(row) + (", borderline" if telling.is_borderline(row) else "")
        if note := telling.note(row, telling.scale_of(config, row)):
            said += f". {note}"
        cells = (row["subject"], theirs, number(row["effect"]), telling.interval(row), said)
        yield _line(f"{row['statement']} ({row['paper']})", *cells)


def _kind(rows: Sequence[Row]) -> str:
    return str(rows[0]["claim"]).partition(".")[0]


def _line(*cells: str) -> str:
    return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"


def brief(rows: Sequence[Row]) -> Iterator[str]:
    """The README's results."""
    for headline, row in telling.chosen(rows, BRIEF):
        yield f"- {_finding(headline, row, 'docs/results/')}"
    yield f"\n{telling.decided(rows)} [All findings](docs/findings.md), [all results](docs/results/README.md)."


def findings(rows: Sequence[Row], config: Mapping[str, Any]) -> str:
    """docs/findings.md."""
    return "\n".join(_findings(rows, config)) + "\n"


def _findings(rows: Sequence[Row], config: Mapping[str, Any]) -> Iterator[str]:
    yield "# Findings\n\nWhat the default run (`config.yaml`) and, over it, `config/charts.yaml` and"
    yield "`config/recovery.yaml` found. Made by `tools/publish_results.py` from [claims.csv](results/claims.csv)."
    yield "[Results](results/README.md) has every claim and figure, [claims.md](claims.md) what was expected,"
    yield "[groups](groups/findings.md) what was found under the paper's groups, [method.md](method.md) how a claim is"
    yield "judged.\n"
    yield f"{telling.decided(rows)}\n"
    by_claim = {row["claim"]: row for row in reversed(rows)}
    for headline, row in telling.chosen(rows):
        yield f"- {_finding(headline, row, 'results/')}"
        for other in (by_claim[name] for name in (headline.beside if headline else ()) if name in by_claim):
            measure = telling.measured(other)
            said = telling.claimed(other) + (f" ({measure})" if measure else "")
            yield f"  - {said}: {telling.numbers(other)}, {other['verdict']}."
    yield "\n## What this can't tell\n"
    for heading, text in telling.limits(rows, config or None):
        yield f"- **{heading}.** {text}"


def _finding(headline: Any, row: Row, folder: str) -> str:
    measure = headline.measure if headline else telling.measured(row)
    told = f"**{telling.sentence(headline, row)}** {measure}: {telling.numbers(row)}, {row['verdict']}"
    if telling.there(row["paper_effect"]):
        told += f"; the paper's is {telling.published(row)} ({row['paper_scale']})"
    return f"{told}. [Figure]({folder}{row['experiment']}.md)"


def came_out(names: Sequence[str], found: Sequence[Row], older: Sequence[Row]) -> Iterator[str]:
    """What became of claims: those of the default run, else those under the paper's groups.

    A name is a claim, or one and an experiment that it was asked in: ``unit_sets.drop@unit-sets``. ``older:`` before it
    asks for what was found under the paper's groups where the default run has the claim, too.
    """
    for name in names:
        claim, _, experiment = name.removeprefix("older:").partition("@")
        newer, before = (
            [row for row in rows if row["claim"] == claim and experiment in ("", row["experiment"])]
            for rows in ([] if name.startswith("older:") else found, older)
        )
        if not (own := newer or before):
            raise SystemExit(f"docs/claims.md: {name} is in no claims.csv; correct its name")
        if len(own) > MOST:
            told = f"{len(own)} subjects, {telling.counted(own)}"
        else:
            told = "; ".join(f"{row['subject']}: {telling.numbers(row)}, {row['verdict']}" for row in own)
        where = f", {experiment}" if experiment else ""
        yield f"- `{claim}`{where}{'' if newer else ', under the groups'}. {told}."


def thresholds(rows: Sequence[Row]) -> Iterator[str]:
    """Acceptance numbers that were fixed before the run, with what was measured: a line a claim and subject."""
    told = [(claim, *of, row) for claim, of in THRESHOLDS.items() for row in rows if row["claim"] == claim]
    if not told:
        yield "No run of `config/charts.yaml` is frozen yet."
        return
    yield "| claim | what | subject | threshold | measured | by how much | verdict |\n|---|---|---|---|---|---|---|"
    for claim, what, sign, threshold, row in told:
        bound = f"{'at least' if sign > 0 else 'at most'} {number(threshold)}"
        # An effect is positive where a claim holds: measured minus threshold, or the other way round.
        measured = number(threshold + sign * row["effect"])
        by = f"{'holds' if row['effect'] >= 0 else 'fails'} by {number(abs(row['effect']))}"
        yield _line(f"`{claim}`", what, row["subject"], bound, measured, by, row["verdict"])


def changed(found: Sequence[Row], older: Sequence[Row]) -> Iterator[str]:
    """Verdicts on the same claim and subject that aren't what they were under the paper's groups, and why."""
    before = {(row["claim"], row["experiment"], row["subject"]): row for row in older}
    both = [(before[key], row) for row in found if (key := (row["claim"], row["experiment"], row["subject"])) in before]
    other = [pair for pair in both if pair[0]["verdict"] != pair[1]["verdict"]]
    yield f"{len(both)} claims were asked of the same subject under both designs; {len(other)} have another verdict.\n"
    yield "| claim | subject | under the groups | now | why |\n|---|---|---|---|---|"
    for old, new in other:
        told = (f"{telling.numbers(row)}, {row['verdict']}" for row in (old, new))
        yield _line(f"`{new['claim']}`", new["subject"], *told, _why(old, new))


def _why(old: Row, new: Row) -> str:
    seeds = tuple(int(row["seeds"]) for row in (old, new))
    pairs = f"{seeds[1]} pairs on halves of one pool, not {f'{seeds[0]} ' if seeds[0] != seeds[1] else ''}on groups"
    if new["verdict"] == "negligible":
        fixed = f"a smallest effect of interest, {number(new['least'])}, is fixed now"
        within = max(abs(old["low"]), abs(old["high"])) < new["least"]
        return fixed if within else f"{pairs}; {fixed}"
    if new["verdict"] != "inconclusive":
        return pairs
    if new["low"] == new["high"]:
        return "an interval of no width decides nothing any more unless it has an exact test"
    return f"{seeds[1]} seeds in the default run, not {seeds[0]}"


def insert(page: str, text: str, marks: tuple[str, str]) -> str:
    """A page with ``text`` between its marks."""
    first, last = map(re.escape, marks)
    return re.sub(f"{first}.*?{last}", lambda _: f"{marks[0]}\n{text}\n{marks[1]}", page, flags=re.DOTALL)


def main(*folders: Path) -> None:
    """Freeze runs, if any are named; write all pages.

    What was frozen goes once all that is new is there, its pages too.
    """
    if not folders:
        write(pages())
        return
    FROZEN.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FROZEN.parent, prefix=".results-") as made:
        new, old = Path(made) / "new", Path(made) / "old"
        freeze(new, *folders)
        texts = pages(new)
        if FROZEN.exists():
            FROZEN.rename(old)
        new.rename(FROZEN)
        write(texts)


def write(texts: Mapping[Path, str]) -> None:
    """Write all pages; those of experiments that are there no more go."""
    for folder in (FROZEN, GROUPS):
        for old in set(folder.glob("*.md")) - texts.keys():
            old.unlink()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except InputError as error:
        sys.exit(str(error))
