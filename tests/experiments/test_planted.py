"""The planted control, on files in which it is known what reacts to a swapped patch."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from memloc.analysis.valued_points import MEASURES, Way
from memloc.errors import InputError
from memloc.experiments.planted.analysis import CLAIMS, SERIES
from memloc.valuation.points import LABELLINGS, SPACES
from tests.builders.study import Study, complaint
from tests.builders.valued_points import RATIOS, N, world

PLANTED = 18
NAMES = [
    Way(labels, space, ratio, w).name for labels in LABELLINGS for space in SPACES for ratio in RATIOS for w in (0, 1)
]
ALL = [*MEASURES.values(), *NAMES]


def study(folder, *, seeds=4, **planted):
    it = Study(folder, "planted")
    for seed in range(seeds):
        it.add("simclr", seed, **world(seed, **({"planted": PLANTED} | planted)))
    return it


def analyse(folder, **planted):
    return study(folder, **planted).analyse(shown=5, patch=8)


def verdicts(rows):
    return {claim.partition(".")[2]: set(mine["verdict"]) for claim, mine in rows.groupby("claim")}


YES, NO, OPEN = {"supported"}, {"refuted"}, {"inconclusive"}
REACTS = {"effect": 2.0, "far": 1.0, "found": 0.5}
WORLDS = {
    "candidates alone": (
        REACTS | {"memorized": 1.0, "owners": 2.0},
        dict.fromkeys((claim.partition(".")[2] for claim in CLAIMS), YES),
    ),
    "every image": (
        REACTS | {"common": 1.0, "common_owners": 2.0},
        {"sslmem": YES, "sslmem-excess": OPEN, "owners": YES, "owners-excess": OPEN},
    ),
    "the other way round": (
        {"effect": -2.0, "memorized": 1.0, "owners": 2.0, "far": 1.0},
        {
            "sslmem": NO,
            "sslmem-excess": NO,
            "owners": NO,
            "owners-excess": NO,
            "distance": NO,
            "value": NO,
            "median": NO,
        },
    ),
    "nothing": (
        {},
        {"sslmem": OPEN, "sslmem-excess": OPEN, "owners": OPEN, "owners-excess": OPEN, "distance": OPEN, "median": OPEN}
        # Chance is below the thresholds: .5 of .65, and five of 16 cells of a half.
        | {"value": NO, "cells": NO, "cells-excess": OPEN},
    ),
    "a low place of every image": ({"found": 0.5, "everywhere": True}, {"cells": YES, "cells-excess": OPEN}),
}


@pytest.mark.parametrize("name", list(WORLDS))
def test_claims_follow_what_is_planted(tmp_path, name):
    planted, expected = WORLDS[name]
    _, rows = analyse(tmp_path, **planted)
    found = verdicts(rows)
    assert {claim: found[claim] for claim in expected} == expected
    assert set(rows["claim"]) == set(CLAIMS)
    assert rows["claim"].value_counts()[["planted.value", "planted.median", "planted.cells"]].tolist() == [4, 4, 2]
    assert (rows["low"] <= rows["effect"]).all() and (rows["effect"] <= rows["high"]).all()


def auroc(points, column, sign):
    won = pairs = 0
    for _, mine in points.groupby("label"):
        a, b = (sign * mine.loc[mine["planted"] == flag, column].to_numpy() for flag in (True, False))
        won += (a[:, None] > b).sum() + 0.5 * (a[:, None] == b).sum()
        pairs += len(a) * len(b)
    return won / pairs


def test_aurocs_medians_and_shares_are_those_of_the_points(tmp_path):
    it = study(tmp_path, seeds=2, effect=1.0, memorized=1.0, owners=1.0, far=1.0, found=0.2)
    table, rows = it.analyse(shown=5, patch=8)
    points = table[table["series"] == "point"]
    signs = dict.fromkeys(MEASURES, 1) | dict.fromkeys(NAMES, -1)
    of = {
        group: [
            np.mean([auroc(run, column, sign) for _, run in points[points["group"] == group].groupby("run")])
            for column, sign in signs.items()
        ]
        for group in ("candidate", "external")
    }
    told = table[table["series"] == "auroc"].groupby("group")
    for group, expected in of.items():
        assert told.get_group(group)["name"].tolist() == list(ALL)
        np.testing.assert_allclose(told.get_group(group)["value"], expected)
    np.testing.assert_allclose(told.get_group("both")["value"], np.mean([*of.values()], axis=0))
    gap = table[table["series"] == "difference"]
    np.testing.assert_allclose(gap["value"], np.subtract(of["candidate"], of["external"]), atol=1e-9)
    assert gap[["low", "high", "p"]].notna().all(axis=None)
    by_claim = rows.set_index("claim")["effect"]
    assert by_claim["planted.sslmem"] == pytest.approx(of["candidate"][0] - 0.5)
    assert by_claim["planted.distance"] == pytest.approx((of["candidate"][2] + of["external"][2]) / 2 - 0.5)
    lower = []
    for _, run in points.groupby("run"):
        centred = run[NAMES].astype(float)
        for label in (0, 1, 2):
            mine = run["label"] == label
            centred[mine] -= centred[mine & ~run["planted"].astype(bool)].median()
        lower.append([centred[run["planted"] == flag].median() for flag in (False, True)])
    expected = np.mean([clean - low for clean, low in lower], axis=0)
    np.testing.assert_allclose(table.loc[table["series"] == "clean median minus planted", "value"], expected)

    # One cell of 16 is the patch's: how often it is among the five lowest, and in clean images of the class.
    shares = []
    for path in it.files["values"]:
        with np.load(path) as values:
            cells, planted, labels = values["pixels/clusters/cells"][1, 1], values["planted"], values["clusters"]
        low = (np.argsort(np.argsort(cells, axis=1), axis=1) < 5)[:, 5]
        clean = {c: low[~planted & (labels == c)].mean() for c in np.unique(labels)}
        shares.append([low[planted].mean(), np.mean([clean[c] for c in labels[planted]])])
    own, clean = np.mean(shares, axis=0)
    name = "pixels, clusters, ratio 0.5, w = 1"
    for series, expected in zip(SERIES, (own, clean, own - clean), strict=True):
        row = table[(table["series"] == series) & (table["name"] == name)]
        assert row["value"].tolist() == pytest.approx([expected])


def test_the_median_has_a_sign_test_over_images(tmp_path):
    """Each is below the median of its class's clean ones, and counts once, however many seeds have it: p = 2 / 2^n."""
    it = study(tmp_path, seeds=2, planted=10, effect=9.0)
    _, rows = it.analyse(shown=5, patch=8)
    assert rows.loc[rows["claim"] == "planted.median", "p"].tolist() == pytest.approx([2 / 2 ** len(_planted(it))] * 4)


def _planted(it):
    points = set()
    for path in it.files["values"]:
        with np.load(path) as values:
            points |= set(values["points"][values["planted"]])
    return points


def test_maps_are_of_planted_images_of_each_group(tmp_path):
    table, _ = analyse(tmp_path, seeds=1)
    cells = table[table["series"] == "cell"]
    assert cells.groupby("strip")["point"].nunique().to_dict() == {"planted, candidate": 5, "planted, external": 5}
    planted = table[(table["series"] == "point") & table["planted"].eq(True)]
    assert set(cells["point"]) <= set(planted["point"])
    assert set(cells.loc[cells["patched"].astype(bool), "cell"]) == {5}


def test_the_figure_is_drawn_from_the_table_as_a_csv_holds_it(tmp_path):
    it = study(tmp_path, seeds=1)
    table, _ = it.analyse(shown=5, patch=8)
    plt.close(it.drawn(table, np.zeros((300, 3, 32, 32), dtype=np.uint8)))


def test_an_analysis_is_the_same_every_time(tmp_path):
    it = study(tmp_path, seeds=1)
    (a, first), (b, second) = (it.analyse(shown=5, patch=8) for _ in range(2))
    pd.testing.assert_frame_equal(a, b)
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("planted", [0, N])
def test_nothing_or_all_planted_is_an_error(tmp_path, planted):
    with pytest.raises(InputError, match=rf"simclr, seed 0: {planted} of 60 candidate images have .*swapped.share"):
        analyse(tmp_path, seeds=1, planted=planted)


def test_encoders_of_images_without_swapped_patches_are_told_in_one_line():
    it = {"kind": "planted", "encoders": ["simclr"], "learners": 10, "ratios": [0.5], "patch": 4, "shown": 5}
    message = complaint(it, {})
    assert message == (
        "config: experiments.it.encoders: nothing is swapped into fashion; take encoders of a dataset with swapped"
    )
