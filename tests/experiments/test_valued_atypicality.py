"""Values joined to memorization, on files in which the relation is planted."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from memloc.analysis.inputs import Inputs
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued_points import Valued, draw_cells, joined, resample_counts
from memloc.errors import InputError
from memloc.experiments import EXPERIMENTS
from memloc.experiments.valued_atypicality.analysis import CLAIMS, _exchanged, _statistics
from memloc.valuation.points import LABELLINGS
from tests.builders.study import Study, complaint
from tests.builders.valued_points import NAMES, OPTIONS, WAYS, N, by_witness, files, study

KIND = "valued_atypicality"
SHOWN = OPTIONS["shown"]
YES, NO, OPEN = {"supported"}, {"refuted"}, {"inconclusive"}
WORLDS = {
    "of candidates": (
        {"memorized": 1.0, "owners": 3.0, "far": 1.0},
        {"memorized": YES, "memorized-excess": YES, "owners": YES, "owners-excess": YES, "distance": YES},
    ),
    "of every image": (
        {"common": 1.0, "common_owners": 3.0},
        {"memorized": YES, "memorized-excess": OPEN, "owners": YES, "owners-excess": OPEN, "distance": OPEN},
    ),
    "the other way round": (
        {"memorized": -1.0, "owners": -3.0, "far": -1.0},
        {"memorized": NO, "memorized-excess": NO, "owners": NO, "owners-excess": NO, "distance": NO},
    ),
    "the same ones": ({"memorized": 1.0, "noise": 0.02, "seeds": 5}, {"lift": YES, "lift-excess": YES}),
    "the same of every image": ({"common": 1.0, "noise": 0.02, "seeds": 5}, {"lift": YES, "lift-excess": OPEN}),
    "values of nothing": ({"memorized": 1.0, "owners": 3.0, "far": 1.0, "low": 0.0}, dict.fromkeys(CLAIMS, OPEN)),
}


def world(folder, seeds=3, **planted):
    return study(folder, KIND, seeds, **planted)


@pytest.mark.parametrize("name", list(WORLDS))
def test_claims_follow_what_is_planted(tmp_path, name):
    planted, expected = WORLDS[name]
    said = by_witness(world(tmp_path, **planted).analyse(**OPTIONS)[1])
    assert {claim: said[claim] for claim in expected} == expected


def test_every_claim_has_a_finding_of_each_witness(tmp_path):
    _, rows = world(tmp_path, seeds=2, memorized=0.5).analyse(**OPTIONS)
    for _, of_claim in rows.groupby("claim"):
        assert [s.rsplit(", ", 2)[0] for s in of_claim["subject"]] == [
            f"simclr, {space}, {labelling}" for space in ("pixels", "g") for labelling in LABELLINGS
        ]
    assert (rows["n"] == N).all() and rows["p"].between(0, 1).all()


def rho(points, name):
    """Rank correlation of minus the value and SSLMem."""
    return spearmanr(-points[name], points["sslmem"]).statistic


def test_a_correlation_is_the_mean_over_classes_and_seeds(tmp_path):
    table, rows = world(tmp_path, seeds=2, memorized=0.5).analyse(**OPTIONS)
    expected = {}
    points = table[table["series"] == "point"]
    for name in NAMES:
        by_seed = []
        for _, run in points[points["group"] == "candidate"].groupby("run"):
            by = "cluster" if "clusters" in name else "label"
            by_seed.append(np.mean([rho(rows, name) for _, rows in run.groupby(by)]))
        expected[name] = np.mean(by_seed)
    found = table[(table["series"] == "correlation") & (table["measure"] == "sslmem") & (table["group"] == "candidate")]
    np.testing.assert_allclose(found.set_index("name")["value"], pd.Series(expected), atol=1e-12)
    # A claim is about the ratio and w that are least sure.
    claim = rows[rows["claim"] == f"{KIND}.memorized"].iloc[0]
    assert claim["effect"] == pytest.approx(expected[claim["subject"].removeprefix("simclr, ")])


def test_p_of_an_excess_is_that_of_random_candidates(tmp_path):
    """p of a difference is that of candidates and external images that change places within their class."""
    table, rows = world(tmp_path, seeds=1, memorized=0.3).analyse(**OPTIONS)
    points = table[table["series"] == "point"].reset_index(drop=True)
    claim = rows[rows["claim"] == f"{KIND}.memorized-excess"].iloc[0]
    name = claim["subject"].removeprefix("simclr, ")

    def gap(candidate):
        sides = []
        for inside in (candidate, ~candidate):
            sides.append(np.mean([rho(rows, name) for _, rows in points[inside].groupby("label")]))
        return sides[0] - sides[1]

    candidate = (points["group"] == "candidate").to_numpy()
    assert gap(candidate) == pytest.approx(claim["effect"])
    rng, null = np.random.default_rng(1), []
    for _ in range(300):
        moved = candidate.copy()
        for label in (0, 1, 2):
            of_class = (points["label"] == label).to_numpy()
            moved[of_class] = rng.permutation(candidate[of_class])
        null.append(gap(moved))
    found = table[(table["series"] == "correlation") & (table["group"] == "difference") & (table["name"] == name)]
    p = found.loc[found["measure"] == "sslmem", "p"].item()
    assert p == pytest.approx(np.mean(np.abs(null) >= abs(claim["effect"])), abs=0.08) and p <= claim["p"]


def test_seeds_that_are_valued_with_other_ratios_are_an_error(tmp_path):
    it = Study(tmp_path, KIND)
    for seed in range(3):
        of_seed = files(seed)
        if seed == 1:
            of_seed["values"]["ratios"] = np.array([0.25, 0.75])
        it.add("simclr", seed, **of_seed)
    with pytest.raises(InputError, match=r"ratios.*; delete it"):
        it.analyse(**OPTIONS)


def test_lift_by_hand(tmp_path):
    """Classes of 20: two are the lowest tenth, two the most memorized; by chance a tenth of these are the same."""
    table, _ = world(tmp_path, seeds=1, memorized=1.0, noise=0.0).analyse(**OPTIONS)
    lift = table[(table["series"] == "lift") & (table["group"] == "candidate")]
    np.testing.assert_allclose(lift["value"], 10 - 1)


def test_every_way_to_value_is_in_the_table_with_interval_and_p(tmp_path):
    table, _ = world(tmp_path, seeds=2, memorized=1.0).analyse(**OPTIONS)
    for series, measures in (("correlation", 3), ("lift", 1)):
        rows = table[table["series"] == series]
        assert len(rows) == 3 * len(WAYS) * measures  # Candidates, external images and their difference.
        assert rows[["value", "low", "high", "p"]].notna().all(axis=None) and (rows["low"] <= rows["high"]).all()
    points = table[table["series"] == "point"]
    assert len(points) == 2 * 2 * N and points[NAMES].notna().all(axis=None)


def test_maps_have_the_cells_of_the_files_they_are_drawn_from(tmp_path):
    it = world(tmp_path, seeds=2, memorized=1.0)
    table, _ = it.analyse(**OPTIONS)
    with np.load(it.files["values"][0]) as values:
        stored = {w: dict(zip(values["points"], values["pixels/classes/cells"][-1, w], strict=True)) for w in (0, 1)}
        rows = dict(zip(values["points"], values["pixels/classes/rows"][-1, 1], strict=True))
        labels = dict(zip(values["points"], values["classes"], strict=True))
    cells = table[table["series"] == "cell"]
    assert cells.groupby("strip")["point"].nunique().to_dict() == dict.fromkeys(cells["strip"], SHOWN)
    for (point, w), rows_of in cells.groupby(["point", "w"]):
        once = rows_of.drop_duplicates("cell")
        assert once["value"].sum() == pytest.approx(stored[w][point].sum(), abs=1e-6)
        np.testing.assert_allclose(once.sort_values("cell")["value"], stored[w][point], atol=1e-6)
    # Atypical ones have the lowest value of their class.
    for point in cells.loc[cells["strip"] == "most atypical", "point"].unique():
        of = sorted(rows[p] for p in rows if labels[p] == labels[point] and p < N)
        assert rows[point] in of[:2]


def test_the_most_memorized_are_chosen_on_the_other_half_of_the_draws(tmp_path):
    points = files(0)["points"]
    last = points[points["layer"] == "res"].set_index("point")
    table, _ = world(tmp_path, seeds=1).analyse(**OPTIONS)
    cells = table[(table["series"] == "cell") & (table["strip"] == "most memorized")]
    expected = last.loc[last["group"] == "candidate", "sslmem_choose"].nlargest(SHOWN).index
    assert cells.drop_duplicates("place").sort_values("place")["point"].tolist() == expected.tolist()


def test_a_map_is_red_where_a_cell_is_below_the_mean_of_its_image():
    cells = pd.DataFrame(
        {"strip": "a", "place": 0, "point": 1, "patch": 2, "w": np.repeat([0, 1], 4), "cell": [0, 1, 2, 3] * 2}
    ).assign(value=[0.0, 1, 1, 1, 1, 1, 0.8, 1], patched=[False, True, False, False] * 2)
    figure, axis = plt.subplots()
    draw_cells(axis, cells, np.full((2, 1, 4, 4), 255, dtype=np.uint8))
    canvas = axis.images[0].get_array()
    step = 5
    first, second = canvas[step : step + 4, :4], canvas[2 * step : 2 * step + 4, :4]
    assert (canvas[:4, :4] == 1).all()
    # The lowest cell of each w is as red as any; others are not.
    for picture, (row, column) in ((first, (0, 0)), (second, (2, 0))):
        red = picture[..., 1] < 0.5
        assert red[row : row + 2, column : column + 2].all() and red.sum() == 4
    # The outline, on the image and on both maps.
    assert [patch.get_xy() for patch in axis.patches] == [(1.5, k * step - 0.5) for k in (0, 1, 0, 2)]
    plt.close(figure)


def test_values_of_other_points_than_the_scores_are_an_error(tmp_path):
    of_seed = files(0)
    of_seed["values"]["points"] = of_seed["values"]["points"] + 1
    with pytest.raises(InputError, match="simclr: values and scores are of different points; delete both"):
        Study(tmp_path, KIND).add("simclr", 0, **of_seed).analyse(**OPTIONS)


def test_resamples_keep_the_size_of_each_stratum():
    strata = np.array([0, 0, 0, 1, 1])
    drawn = np.concatenate(list(resample_counts(strata, 300, np.random.default_rng(0), columns=2**18)))
    assert len(drawn) == 300 and (drawn[:, :3].sum(axis=1) == 3).all() and (drawn[:, 3:].sum(axis=1) == 2).all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.15)


IT = {"kind": KIND, "encoders": ["simclr"], "learners": 10, "ratios": [0.5], "patch": 4, "shown": 5}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"patch": 11}, ["it.patch: images of 32 pixels have fewer than three by three cells of 11", "lower it"]),
        ({"shown": 200}, ["it.shown: 200 must be smaller than the number of candidate points, 200", "lower it"]),
        ({"ratios": [1.5]}, ["it.ratios.0: 1.5", "maximum"]),
        ({"learners": 0}, ["it.learners: 0", "minimum of 1"]),
    ],
)
def test_bad_settings_get_one_line(changes, parts):
    message = complaint(IT | changes, {})
    assert message and "\n" not in message and all(part in message for part in parts), message
    assert complaint(IT, {}) is None


def test_encoders_need_labels():
    assert "labels" in EXPERIMENTS[KIND].needs


def test_seeds_and_groups_have_random_numbers_of_their_own(tmp_path):
    it = world(tmp_path, seeds=1, memorized=1.0)
    (seed,) = joined(Sheet(Inputs(it.runs, it.files, it.about), OPTIONS, CLAIMS), "simclr")
    # External images with all that candidates have, so that nothing but the draws tells the groups apart.
    half = seed.table[seed.candidates()]
    twins = Valued(pd.concat([half, half.assign(group="external")], ignore_index=True), seed.values, seed.ways)
    one, again, other_seed, other_group = (
        _statistics(twins, group, stream, resamples=20)
        for group, stream in (("candidate", 0), ("candidate", 0), ("candidate", 1), ("external", 0))
    )
    for name in ("drawn", "null"):
        drawn = getattr(one, name)
        assert np.array_equal(drawn, getattr(again, name))
        assert not np.allclose(drawn, getattr(other_seed, name))
        assert not np.allclose(drawn, getattr(other_group, name))
    assert np.array_equal(one.value, other_group.value)
    assert not np.allclose(_exchanged(seed, 0), _exchanged(seed, 1))
