"""What claims.csv says, in words: for the report, for pages of published results and for the end of a run.

Imports the standard library alone. A row is a mapping as ``read`` makes it, or a record of a table.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memloc.errors import AGAIN, InputError
from memloc.report.headlines import HEADLINES, Headline
from memloc.wording import number

Row = Mapping[Any, Any]
VERDICTS = ("supported", "refuted", "negligible", "inconclusive")
NUMBERS = (
    "paper_effect",
    "effect",
    "low",
    "high",
    "level",
    "z",
    "p",
    "n",
    "seeds",
    "least",
    "pairs_needed",
    "holm",
    "q",
)
HAIR = 0.1
"""Share of half an interval by which a bound may miss 0 for the verdict to be borderline."""
PAPER = "45,000 images of CIFAR10"
"""What the paper's encoders were trained on."""


def read(path: str | Path) -> list[dict[str, Any]]:
    """Rows of claims.csv; a number that is missing is nan.

    Raises:
        InputError: the file can't be read or has something else.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        for row in rows:
            row |= {key: float(row[key] or "nan") for key in NUMBERS if key in row}
            row["experiment"], row["claim"], row["verdict"]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: can't be read as claims ({error}); {AGAIN}") from error
    return rows


def there(value: Any) -> bool:
    """Whether a cell holds something."""
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))


def is_primary(row: Row) -> bool:
    """Whether a claim was named before the run (``claims.PRIMARY``)."""
    return str(row.get("primary", "")) == "True"


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many claims have each verdict, in the order of VERDICTS; verdicts that none has are left out."""
    found = Counter(row["verdict"] for row in rows)
    return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}


def counted(rows: Iterable[Row]) -> str:
    """``counts`` as text."""
    return ", ".join(f"{n} {verdict}" for verdict, n in counts(rows).items())


def chosen(rows: Sequence[Row], most: int | None = None) -> list[tuple[Headline | None, Row]]:
    """The rows that speak for a run: of HEADLINES, then, if these are too few, the first of each other experiment."""
    by_claim: dict[str, list[Row]] = {}
    for row in rows:
        by_claim.setdefault(row["claim"], []).append(row)
    found: list[tuple[Headline | None, Row]] = [
        (headline, _speaker(headline, by_claim[headline.claim])) for headline in HEADLINES if headline.claim in by_claim
    ]
    if most is not None and len(found) < most:
        told = {row["experiment"] for _, row in found}
        firsts = {row["experiment"]: row for row in reversed(rows) if row["experiment"] not in told}
        found += [(None, firsts[name]) for name in dict.fromkeys(row["experiment"] for row in rows) if name in firsts]
    return found[:most]


def _speaker(headline: Headline, rows: Sequence[Row]) -> Row:
    """An experiment that is called as its kind stands for its variants, and the subject that is asked for others."""
    own = [row for row in rows if row["experiment"] == headline.claim.partition(".")[0]] or rows
    begins, longer = headline.subject, f"{headline.subject}-"
    asked = [row for row in own if row["subject"].startswith(begins) and not row["subject"].startswith(longer)]
    return (asked or own)[0]


def sentence(headline: Headline | None, row: Row) -> str:
    """What a row says, in plain words."""
    if headline is None:
        return f"{claimed(row)}: {row['verdict']}."
    text: str = getattr(headline, row["verdict"])
    return text


def claimed(row: Row) -> str:
    """What a claim says, without what its effect is."""
    return str(row["statement"]).rpartition(": ")[0] or str(row["statement"])


def measured(row: Row) -> str:
    """What a claim's effect is; empty where its statement doesn't tell it apart."""
    parts = str(row["statement"]).rpartition(": ")
    return parts[2] if parts[0] else ""


def asked(asks: str) -> str:
    """What an experiment asks, without the link to a page of the documentation in it."""
    return re.sub(r" \(\[.*?\]\(.*?\)\)", "", asks)


def numbers(row: Row) -> str:
    """Effect and interval."""
    return f"{number(row['effect'])} ({interval(row)})"


def interval(row: Row) -> str:
    """The interval."""
    return f"{number(row['low'])} to {number(row['high'])}"


def judged(row: Row) -> str:
    """The verdict with p, and that by Holm where several claims were judged together."""
    every = [("p", row.get("p")), ("by Holm", row.get("holm"))]
    said = ", ".join(f"{name} = {p:.2g}" if p else f"{name} < 1e-15" for name, p in every if there(p))
    if not said and row["low"] == row["high"]:
        said = "no spread over seeds, so no test"
    return f"{row['verdict']} ({said})" if said else str(row["verdict"])


def published(row: Row) -> str:
    """The paper's effect; that it gives none where it measured something of the kind."""
    if there(row["paper_effect"]):
        return number(row["paper_effect"])
    return "no number" if there(row["paper_scale"]) else ""


def below_paper(row: Row) -> bool:
    """Whether an interval lies wholly below the paper's effect."""
    return there(row["paper_effect"]) and row["paper_effect"] > 0 and row["high"] < row["paper_effect"]


def note(row: Row, scale: str = "") -> str:
    """What an inconclusive interval still excludes: the paper's effect, on two scales that are named; else empty."""
    if row["verdict"] != "inconclusive" or not below_paper(row):
        return ""
    theirs = row["paper_scale"] if there(row["paper_scale"]) else "the paper's scale"
    return f"Wholly below the paper's {number(row['paper_effect'])} ({theirs}); here {scale or 'another scale'}."


def is_borderline(row: Row) -> bool:
    """Whether little would change the verdict: a bound lies within a tenth of half its interval from what decides.

    That is 0, for *negligible* the smallest effect of interest, with which the narrower interval of two one-sided tests
    is compared.
    """
    half = (row["high"] - row["low"]) / 2
    if row["verdict"] != "negligible":
        return any(abs(row[bound]) < HAIR * half for bound in ("low", "high"))
    from scipy.stats import t

    middle, beyond = (row["high"] + row["low"]) / 2, 1 - row["level"]
    half *= float(t.isf(beyond, row["seeds"] - 1) / t.isf(beyond / 2, row["seeds"] - 1)) if row["seeds"] > 1 else 1
    return bool(abs(middle) + half > row["least"] - HAIR * half)


def scale_of(config: Mapping[str, Any], row: Row) -> str:
    """What the encoder of a row was trained on, as a configuration has it; empty where it is about none."""
    names = [name for name in config.get("encoders", {}) if str(row["subject"]).startswith(name)]
    if not names:
        return ""
    encoder = config["encoders"][max(names, key=len)]
    dataset = config["datasets"][encoder["dataset"]]
    images = images_of(dataset)
    width = f" of width {encoder['network']['width']}" if encoder["network"].get("width", 1) != 1 else ""
    of = f"{images:,} images of {dataset['source']}" if images else dataset["source"]
    return f"{encoder['architecture']}{width}, {encoder['framework']}, {of}"


def images_of(dataset: Mapping[str, Any]) -> int:
    """How many images an encoder is trained on."""
    split = dataset.get("split", {})
    return int(split.get("shared", 0)) + int(split.get("candidate", 0))


def limits(rows: Sequence[Row], config: Mapping[str, Any] | None = None) -> Iterator[tuple[str, str]]:
    """What a run can't tell: a heading and a sentence each."""
    sizes = sorted(
        {images_of(config["datasets"][encoder["dataset"]]) for encoder in config["encoders"].values()} - {0}
        if config
        else []
    )
    if sizes:
        trained = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        yield (
            "Other scales",
            f"Encoders here were trained on {trained} images each, the paper's on {PAPER}. Verdicts are about these.",
        )
    open_ = [row for row in rows if row["verdict"] == "inconclusive"]
    if open_:
        needed = [row["pairs_needed"] / row["seeds"] for row in open_ if there(row.get("pairs_needed"))]
        soon = sum(ratio <= 4 for ratio in needed)
        never = sum(not math.isfinite(ratio) for ratio in needed)
        yield (
            "What stays open",
            f"{len(open_)} of {len(rows)} claims are undecided. Four times as many pairs or seeds would probably "
            f"decide {soon} of them; {never} would stay open with a thousand.",
        )
    yield (
        "Chance",
        f"Of claims with nothing behind them one in twenty is decided all the same: up to {math.ceil(len(rows) / 20)} "
        f"of {len(rows)}. Primary claims of ten pairs or more are judged together, so that at most one run in twenty "
        "has a false one.",
    )
    known = [row for row in rows if there(row["paper_effect"])]
    if known:
        below = sum(below_paper(row) for row in known)
        yield (
            "The paper's numbers",
            f"{below} of {len(known)} intervals lie wholly below the paper's effect. Scale and often the estimator "
            "differ, so this doesn't say that the paper is wrong.",
        )
    yield "Risk", "Memorization is measured here, not whether images can be extracted. This gives no privacy guarantee."


def decided(rows: Sequence[Row]) -> str:
    """How decided a run is."""
    return " ".join(filter(None, [f"{len(rows)} claims: {counted(rows)}.", decided_primary(rows)]))


def decided_primary(rows: Sequence[Row]) -> str:
    """What came out of the claims that were named before the run; empty where there is none."""
    primary = [row for row in rows if is_primary(row)]
    together = sum(there(row.get("holm")) for row in primary)
    said = f"Of {len(primary)} primary claims, named before the run, {counted(primary)}"
    return (said + (f" ({together} of them corrected jointly, Holm)." if together else ".")) if primary else ""


def ending(rows: Sequence[Row], page: str) -> Iterator[str]:
    """The lines that a finished run leaves on the terminal."""
    yield f"{page} has everything that was found. {decided(rows)}"
    for headline, row in chosen(rows, 5):
        yield f"  {row['verdict']:<12} {sentence(headline, row)} {number(row['effect'])} ({interval(row)})"
