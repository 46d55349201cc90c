"""The planted control, on files in which it is known what reacts to a swapped patch."""

import numpy as np
import pytest

from memloc.analysis.valued_points import SCORES
from memloc.errors import InputError
from memloc.experiments.planted.analysis import CELL_SERIES, CLAIMS
from tests.builders.study import complaint
from tests.builders.valued_points import GROUPS, NAMES, OPTIONS, N, by_witness, study

PLANTED = 18
YES, NO, OPEN = {"supported"}, {"refuted"}, {"inconclusive"}
REACTS = {"effect": 2.0, "far": 1.0, "below": 0.5}
WORLDS = {
    "candidates alone": (REACTS | {"memorized": 1.0, "owners": 2.0}, dict.fromkeys(CLAIMS, YES)),
    "every image": (
        REACTS | {"common": 1.0, "common_owners": 2.0},
        {"sslmem": YES, "sslmem-excess": OPEN, "owners": YES, "owners-excess": OPEN},
    ),
    "the other way round": (
        {"effect": -2.0, "memorized": 1.0, "owners": 2.0, "far": 1.0},
        dict.fromkeys(("sslmem", "sslmem-excess", "owners", "owners-excess", "distance", "value", "median"), NO),
    ),
    "nothing": (
        {},
        # Chance is below the thresholds: .5 of .65, and five of 16 cells of a half.
        dict.fromkeys(CLAIMS, OPEN) | {"value": NO, "cells": NO},
    ),
    "a low place of every image": ({"below": 0.5, "everywhere": True}, {"cells": YES, "cells-excess": OPEN}),
}


def world(folder, seeds=3, **planted):
    return study(folder, "planted", seeds, **{"planted": PLANTED} | planted)


@pytest.mark.parametrize("name", list(WORLDS))
def test_claims_follow_what_is_planted(tmp_path, name):
    planted, expected = WORLDS[name]
    _, rows = world(tmp_path, 4, **planted).analyse(**OPTIONS)
    said = by_witness(rows)
    assert {claim: said[claim] for claim in expected} == expected
    assert rows["claim"].value_counts()[["planted.value", "planted.median", "planted.cells"]].tolist() == [4, 4, 2]


@pytest.fixture
def analysed(tmp_path):
    """A study of two seeds with its table, rows of claims and points."""
    it = world(tmp_path, 2, effect=1.0, memorized=1.0, owners=1.0, far=1.0, below=0.2)
    table, rows = it.analyse(**OPTIONS)
    return it, table, rows, table[table["series"] == "point"]


def auroc(points, column, sign):
    won = pairs = 0
    for _, of_class in points.groupby("label"):
        a, b = (sign * of_class.loc[of_class["planted"] == flag, column].to_numpy() for flag in (True, False))
        won += (a[:, None] > b).sum() + 0.5 * (a[:, None] == b).sum()
        pairs += len(a) * len(b)
    return won / pairs


def test_aurocs_are_those_of_the_points(analysed):
    _, table, rows, points = analysed
    signs = dict.fromkeys(SCORES, 1) | dict.fromkeys(NAMES, -1)
    of = {
        group: [
            np.mean([auroc(run, column, sign) for _, run in points[points["group"] == group].groupby("run")])
            for column, sign in signs.items()
        ]
        for group in GROUPS
    }
    aurocs = table[table["series"] == "auroc"].groupby("group")
    for group, expected in of.items():
        assert aurocs.get_group(group)["name"].tolist() == [*SCORES.values(), *NAMES]
        np.testing.assert_allclose(aurocs.get_group(group)["value"], expected)
    np.testing.assert_allclose(aurocs.get_group("both")["value"], np.mean([*of.values()], axis=0))
    gap = table[table["series"] == "difference"]
    np.testing.assert_allclose(gap["value"], np.subtract(of["candidate"], of["external"]), atol=1e-9)
    assert gap[["low", "high", "p"]].notna().all(axis=None)
    effects = rows.set_index("claim")["effect"]
    assert effects["planted.sslmem"] == pytest.approx(of["candidate"][0] - 0.5)
    assert effects["planted.distance"] == pytest.approx((of["candidate"][2] + of["external"][2]) / 2 - 0.5)


def test_medians_are_those_of_the_points(analysed):
    _, table, _, points = analysed
    lower = []
    for _, run in points.groupby("run"):
        centred = run[NAMES].astype(float)
        for label in (0, 1, 2):
            of_class = run["label"] == label
            centred[of_class] -= centred[of_class & ~run["planted"].astype(bool)].median()
        clean, swapped = (centred[run["planted"] == flag].median() for flag in (False, True))
        lower.append(clean - swapped)
    rows = table[table["series"] == "clean median minus planted"]
    np.testing.assert_allclose(rows["value"], np.mean(lower, axis=0))


def test_shares_of_low_cells_are_those_of_the_files(analysed):
    """One cell of 16 is the patch's: how often it is among the five lowest, and in clean images of the class."""
    it, table, _, _ = analysed
    shares = []
    for path in it.files["values"]:
        with np.load(path) as values:
            cells, planted, labels = values["pixels/clusters/cells"][1, 1], values["planted"], values["clusters"]
        low = (np.argsort(np.argsort(cells, axis=1), axis=1) < 5)[:, 5]
        clean = {c: low[~planted & (labels == c)].mean() for c in np.unique(labels)}
        shares.append([low[planted].mean(), np.mean([clean[c] for c in labels[planted]])])
    own, clean = np.mean(shares, axis=0)
    for series, expected in zip(CELL_SERIES, (own, clean, own - clean), strict=True):
        row = table[(table["series"] == series) & (table["name"] == "pixels, clusters, ratio 0.5, w = 1")]
        assert row["value"].tolist() == pytest.approx([expected])


def test_the_median_has_a_sign_test_over_images(tmp_path):
    """Each is below the median of its class's clean ones, and counts once, however many seeds have it: p >= 2 / 2^n."""
    table, rows = world(tmp_path, 2, planted=10, effect=9.0).analyse(**OPTIONS)
    points = table[(table["series"] == "point") & table["planted"].eq(True)]
    p = rows.loc[rows["claim"] == "planted.median", "p"]
    # The interval's p, over seeds, is the larger one.
    assert (p >= 2 / 2 ** points["point"].nunique()).all() and (p < 0.05).all()
    assert points["point"].nunique() < len(points)


def test_maps_are_of_planted_images_of_each_group(tmp_path):
    table, _ = world(tmp_path, 1).analyse(**OPTIONS)
    cells = table[table["series"] == "cell"]
    assert cells.groupby("strip")["point"].nunique().to_dict() == {"planted, candidate": 4, "planted, external": 4}
    planted = table[(table["series"] == "point") & table["planted"].eq(True)]
    assert set(cells["point"]) <= set(planted["point"])
    assert set(cells.loc[cells["patched"].astype(bool), "cell"]) == {5}


@pytest.mark.parametrize("planted", [0, N])
def test_nothing_or_all_planted_is_an_error(tmp_path, planted):
    with pytest.raises(InputError, match=rf"simclr, seed 0: {planted} of 60 candidate images have .*swapped.share"):
        world(tmp_path, 1, planted=planted).analyse(**OPTIONS)


def test_encoders_need_images_with_swapped_patches():
    it = {"kind": "planted", "encoders": ["simclr"], "learners": 10, "ratios": [0.5], "patch": 4, "shown": 5}
    message = complaint(it, {})
    assert message.startswith("config: experiments.it.encoders: ") and "swapped" in message and "\n" not in message
