"""Tables of scores: what is written comes back, what can't be is told with the file."""

import numpy as np
import pandas as pd
import pytest

from memloc import provenance
from memloc.analysis import tables
from memloc.measuring.points import atypicality_scores, point_scores
from memloc.measuring.units import unit_scores
from tests.builders.complaints import complaint
from tests.builders.measures import THREE_CLASSES, random_measures

VIEWS = {"distance": "l2", "normalisation": "ratio"}
MADE = {"weights": {"f": "a", "g": "b"}, "settings": VIEWS}


@pytest.fixture
def kept(tmp_path):
    """A factory of files of scores, changed after they were written."""
    f, g = (random_measures(labels=THREE_CLASSES) for _ in "fg")
    g["alignment"] = random_measures(seed=1)["alignment"]
    made = {
        "points": point_scores(f, g, normalisation="ratio"),
        "atypicality": atypicality_scores(f, g, neighbours=3),
        "units": unit_scores(f, shuffles=2, seed=0),
    }

    def make(kind, change=lambda table: table):
        path = tmp_path / f"{kind}.parquet"
        tables.save_table(made[kind], path, provenance.record(path, **MADE))
        change(pd.read_parquet(path)).to_parquet(path, index=False)
        return path, made[kind]

    return make


@pytest.mark.parametrize("kind", tables.KINDS)
def test_scores_come_back_with_their_record(kept, kind):
    path, table = kept(kind)
    read, record = tables.load_scores(path, kind, weights={"f": "a"})
    assert read.equals(table) and read.attrs == {}
    assert (record["weights"], record["settings"], record["rows"]) == (MADE["weights"], VIEWS, len(table))
    assert "other weights of g" in complaint(tables.load_scores, path, kind, weights={"g": "c"})


def test_scores_have_the_same_bytes_again(kept):
    first = kept("points")[0].read_bytes()
    assert kept("points")[0].read_bytes() == first


def test_scores_without_labels_have_no_classmem(kept):
    empty = {"classmem": np.nan, "classmem_shuffled": np.nan}
    path, _ = kept("units", lambda table: table.assign(**empty))
    assert tables.load_scores(path, "units")[0]["classmem"].isna().all()


def setting(column, value):
    return lambda table: table.assign(**{column: [value, *table[column][1:]]})


FAULTS = [
    *[("points", setting(c, v), f"{c} isn't finite") for c in ("sslmem", "alignment_g") for v in (np.nan, np.inf)],
    ("points", setting("sslmem", 1.01), "sslmem is out of range somewhere: 1.01"),
    ("points", setting("sslmem_score", -1.01), "sslmem_score is out of range"),
    ("points", setting("alignment_f", -0.01), "alignment_f is out of range"),
    ("points", setting("alignment_f", 2.1), "alignment_f is out of range"),
    ("points", setting("point", -1), "point is out of range"),
    ("points", setting("group", "none"), "group is none of shared"),
    ("points", setting("group", "external"), "a point has two values of group"),
    ("points", setting("layer", "9"), "not every point has the same rows of layer"),
    ("points", setting("layer", None), "point or layer is missing"),
    ("points", lambda table: table.drop(columns="sslmem"), "lacks sslmem"),
    ("points", lambda table: table[1:], "lacks a row"),
    ("points", lambda table: table[3:], "has 126 rows, 129 were written"),
    ("points", lambda table: table[table["layer"] != "2"], "has 86 rows, 129 were written"),
    ("points", lambda table: table[:0], "has no rows"),
    ("points", lambda table: pd.concat([table, table[-1:]]), "is there twice"),
    ("atypicality", setting("atypicality", np.nan), "atypicality isn't finite"),
    ("atypicality", setting("atypicality", -0.1), "atypicality is out of range"),
    ("atypicality", setting("group", "shared"), "group is none of candidate, independent, external"),
    ("atypicality", lambda table: table[1:], "has 23 rows, 24 were written"),
    ("atypicality", lambda table: pd.concat([table, table[-1:]]), "is there twice"),
    ("units", setting("unitmem", 1.01), "unitmem is out of range"),
    ("units", setting("classmem", np.nan), "classmem isn't finite"),
    ("units", setting("owner", -2), "owner is out of range"),
    ("units", lambda table: table[1:], "lacks a row"),
    ("units", lambda table: pd.concat([table, table[-1:]]), "is there twice"),
    ("units", lambda table: table.drop(columns="activation"), "lacks activation"),
]


@pytest.mark.parametrize(("kind", "change", "message"), FAULTS)
def test_scores_that_cannot_be_are_told(kept, kind, change, message):
    path, _ = kept(kind, change)
    told = complaint(tables.load_scores, path, kind)
    assert told.startswith(f"{path}: ") and message in told
    assert told.endswith("; delete it and run snakemake again")


def test_scores_of_another_place_and_without_a_record_are_told(kept, tmp_path):
    path, table = kept("units")
    other = tmp_path / "other.parquet"
    other.write_bytes(path.read_bytes())
    assert "is in the place of another file" in complaint(tables.load_scores, other, "units")
    tables.save_table(table, path)
    assert "doesn't say what it was made with; delete it" in complaint(tables.load_scores, path, "units")


def test_claims_of_another_experiment_are_told(tmp_path):
    path = tmp_path / "one.csv"
    claims = pd.DataFrame({"claim": ["k.a"], "experiment": ["one"], "verdict": ["supported"]})
    tables.save_table(claims, path)
    assert len(tables.load_claims(path, experiment="one")) == 1
    assert "has claims of one; delete it" in complaint(tables.load_claims, path, experiment="two")
    tables.save_table(claims[["claim"]], path)
    assert "lacks experiment, verdict; delete it" in complaint(tables.load_claims, path)
