"""What claims say in words, by rows made by hand."""

import csv
import math

import pytest

from memloc.provenance import ROOT
from memloc.report import telling
from memloc.report.headlines import HEADLINES

NAN = math.nan


def row(claim="kind.claim", verdict="supported", low=0.1, high=0.3, subject="simclr", **more):
    numbers = {"effect": (low + high) / 2, "low": low, "high": high, "level": 0.95, "seeds": 10, "least": 0.05}
    paper = {"paper_effect": NAN, "paper_scale": "", "statement": "It holds: a difference"}
    return {"claim": claim, "experiment": claim.partition(".")[0], "subject": subject, "verdict": verdict} | (
        numbers | paper | {"n": 5, "p": NAN, "holm": NAN, "pairs_needed": NAN, "primary": False} | more
    )


def test_the_findings_are_those_that_were_chosen_beforehand_in_their_order():
    rows = [row("unitmem.excess"), row("pairs.last", subject="other"), row("pairs.last", "refuted"), row("x.y")]
    (first, one), (second, other) = telling.chosen(rows)
    assert (first.claim, one["subject"], second.claim) == ("pairs.last", "simclr", "unitmem.excess")
    assert telling.sentence(first, one) == first.refuted != first.supported
    assert telling.sentence(second, other) == second.supported


def test_every_headline_is_of_a_claim_of_a_published_run():
    published = set()
    for run in ("docs/results", "docs/groups/results"):
        with (ROOT / run / "claims.csv").open(encoding="utf-8") as file:
            published |= {line["claim"] for line in csv.DictReader(file)}
    kinds = {name.partition(".")[0] for name in published}
    told = [name for one in HEADLINES for name in (one.claim, *one.beside) if name.partition(".")[0] in kinds]
    assert told and [name for name in told if name not in published] == []


def test_a_variant_speaks_only_where_the_experiment_of_the_kinds_name_is_missing():
    variant = row("pairs.last") | {"experiment": "pairs-more"}
    assert telling.chosen([variant, row("pairs.last")])[0][1]["experiment"] == "pairs"
    assert telling.chosen([variant])[0][1]["experiment"] == "pairs-more"
    longer = [row("pairs.last", subject="simclr-wide"), row("pairs.last", subject="simclr, layer 2")]
    assert telling.chosen(longer)[0][1]["subject"] == "simclr, layer 2"


def test_the_probe_that_speaks_for_wrong_answers_is_that_of_many_at_held_out_places():
    places = ("", ", held-out places")
    subjects = [f"plain, {probe} tokens{place}" for probe in ("single", "all") for place in places]
    rows = [row(f"chart_probes.{name}", subject=each) for name in ("wrong", "handoff") for each in subjects]
    told = {headline.claim: one["subject"] for headline, one in telling.chosen(rows)}
    assert told["chart_probes.wrong"] == subjects[1] and told["chart_probes.handoff"] == subjects[0]


def test_other_experiments_fill_the_places_that_are_left():
    rows = [row("x.first", "inconclusive"), row("x.second"), row("y.first"), row("losses.gap")]
    found = telling.chosen(rows, 5)
    assert [one["claim"] for _, one in found] == ["losses.gap", "x.first", "y.first"]
    assert telling.sentence(*found[1]) == "It holds: inconclusive."
    assert len(telling.chosen(rows, 2)) == 2 and len(telling.chosen(rows)) == 1


@pytest.mark.parametrize(
    ("verdict", "low", "high", "is_borderline"),
    [
        ("supported", 0.019, 0.4, True),  # half of the interval is .1905
        ("supported", 0.02, 0.4, False),
        ("refuted", -0.4, -0.019, True),
        ("inconclusive", -0.018, 0.36, True),
        ("inconclusive", -0.1, 0.1, False),
        # Half of the narrower interval is .81 of half of this one (nine degrees of freedom): .0405, a tenth more .0446.
        ("negligible", -0.044, 0.056, True),
        ("negligible", -0.045, 0.055, False),
    ],
)
def test_a_verdict_is_borderline_where_a_bound_nearly_touches_what_decides(verdict, low, high, is_borderline):
    assert telling.is_borderline(row(verdict=verdict, low=low, high=high)) == is_borderline


def test_what_a_run_cannot_tell_is_counted():
    rows = [
        row(paper_effect=0.4),
        row(paper_effect=0.2),
        row(verdict="inconclusive", pairs_needed=40.0),
        row(verdict="inconclusive", pairs_needed=41.0),
        row(verdict="inconclusive", pairs_needed=math.inf),
    ]
    split = {"shared": 3, "candidate": 4}
    config = {"encoders": {"a": {"dataset": "d"}}, "datasets": {"d": {"split": split}}}
    told = dict(telling.limits(rows, config))
    assert "trained on 7 images each" in told["Other scales"]
    assert (
        "3 of 5 claims are undecided" in told["What stays open"]
        and "decide 1 of them; 1 would" in told["What stays open"]
    )
    assert "1 of 2 intervals lie wholly below" in told["The paper's numbers"]
    assert "Other scales" not in dict(telling.limits(rows)) and "What stays open" not in dict(telling.limits(rows[:1]))


def test_links_of_the_documentation_are_left_out_of_questions():
    assert telling.asked("whether it is so ([at risk](claims.md))") == "whether it is so"
