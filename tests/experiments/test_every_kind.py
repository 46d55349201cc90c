"""What holds for every kind of experiment: its folder, its entry, its claims, its figure."""

import importlib
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from memloc.analysis import plotting
from memloc.experiments import EXPERIMENTS, caption, module
from memloc.experiments.entry import NEEDS, OVER_TABLES, READS, THEMES
from memloc.provenance import ROOT
from tests.builders.figures import faults, many

KINDS = list(EXPERIMENTS)
LEANING = re.compile(r"(So|That|The same (for|as|in|with)|It|They|These|This|Their|Its|There|Likewise|Also)\b")
"""How a statement begins that needs the one before it."""
NO_LAYERS = {"dejavu", "injection", "losses", "power", "reconstruction", "recovery"}
"""Kinds whose tables hold something else than layers in the column of that name."""
WITH_OPTIONS = [(kind, key) for kind, entry in EXPERIMENTS.items() for key in entry.options]


def planted(kind):
    """A kind's own tests: ``world(folder, seeds)``, a study, and OPTIONS, one or several that let all claims speak."""
    return importlib.import_module(f"tests.experiments.test_{kind}")


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    """A kind's study with its table and rows, made once for a number of seeds."""
    made = {}

    def make(kind, seeds=3):
        if (kind, seeds) not in made:
            study = planted(kind).world(tmp_path_factory.mktemp(kind), seeds=seeds)
            options = planted(kind).OPTIONS
            several = [study.analyse(**each) for each in (options if isinstance(options, list) else [options])]
            made[kind, seeds] = study, several[0][0], pd.concat([rows for _, rows in several], ignore_index=True)
        return made[kind, seeds]

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_every_claim_has_a_finding_and_every_finding_a_claim(analysed, kind):
    _, _, rows = analysed(kind)
    assert {claim.removeprefix(f"{kind}.") for claim in rows["claim"]} == set(module(kind).CLAIMS)
    assert np.isfinite(rows[["effect", "low", "high"]]).all(axis=None)
    assert ((rows["low"] <= rows["high"]) & (rows["n"] > 0)).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if EXPERIMENTS[kind].over != OVER_TABLES])
def test_one_seed_is_enough_for_rows_and_a_figure(analysed, kind):
    study, table, rows = analysed(kind, seeds=1)
    assert len(table) and len(rows)
    plt.close(study.drawn(table))


@pytest.mark.parametrize("kind", KINDS)
def test_the_figure_reads_well_with_many_encoders_and_layers(analysed, kind):
    """Drawn from the table that a file holds. Where encoders are compared, eight; else a second one, for its row."""
    study, table, _ = analysed(kind)
    entry = EXPERIMENTS[kind]
    encoders = 1 if entry.encoders else 8 if entry.fewest > 1 or entry.equal or entry.trained_apart else 2
    more = getattr(planted(kind), "many", many)
    figure = study.drawn(more(table, encoders=encoders, layers=kind not in NO_LAYERS), settled=False)
    assert figure.axes
    found = faults(figure)
    plt.close(figure)
    assert not found


@pytest.mark.parametrize("kind", KINDS)
def test_every_statement_makes_sense_alone(kind):
    for name, claim in module(kind).CLAIMS.items():
        assert not LEANING.match(claim.statement), name
        assert not claim.statement[0].islower() and not claim.statement.endswith("."), name
        assert len(claim.statement) > 30 and claim.paper, name


def test_no_two_claims_say_the_same():
    statements = [claim.statement for kind in KINDS for claim in module(kind).CLAIMS.values()]
    assert len(statements) == len(set(statements))


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_says_what_is_there(kind):
    entry, folder = EXPERIMENTS[kind], ROOT / "memloc" / "experiments" / kind
    assert entry.theme in THEMES and entry.asks and set(entry.needs) <= set(NEEDS)
    assert entry.smallest.keys() == {*entry.over, *entry.options}
    assert set(entry.colours.values()) <= set(plotting.PALETTE) and not set(entry.colours) & set(plotting.COLOURS)
    computes = entry.job is not None or entry.over == OVER_TABLES
    assert (folder / "job.py").exists() == computes
    if entry.job:
        assert set(entry.job.options) <= set(entry.options) and set(entry.job.reads) <= set(READS)
        assert any(path.startswith("outcomes/") for path in entry.inputs.values())
    assert len(caption(kind)) > 100 and (folder / "caption.md").read_text().count("\n\n") == 0


@pytest.mark.parametrize(("kind", "key"), WITH_OPTIONS)
def test_every_option_is_described_and_its_smallest_value_is_valid(kind, key):
    rule = EXPERIMENTS[kind].options[key]
    Draft202012Validator.check_schema(rule)
    Draft202012Validator(rule).validate(EXPERIMENTS[kind].smallest[key])
    assert rule["description"].endswith(".") and len(rule["description"].split()) >= 3


def test_places_in_the_report_are_all_different():
    assert len({entry.order for entry in EXPERIMENTS.values()}) == len(EXPERIMENTS)


def test_entries_import_the_standard_library_alone():
    names = "{name.split('.')[0] for name in sys.modules} - {*sys.stdlib_module_names}"
    code = f"import sys; import memloc.experiments; print({names})"
    plain = {"memloc", "__main__"}
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(re.findall(r"'([\w.]+)'", done.stdout)) <= plain
