import numpy as np
import pandas as pd
import pytest

from memloc.errors import InputError
from memloc.measuring.points import atypicality_scores, crossed_profile, own_layers, point_scores
from tests.builders.measures import KINDS, LAYERS, OWN, PARAMETERS, SIZES, random_measures


@pytest.fixture
def f_and_g():
    return random_measures(), {**random_measures(), "alignment": random_measures(seed=1)["alignment"]}


def test_every_point_has_its_sslmem_at_every_layer_from_all_draws_and_from_each_half(f_and_g):
    f, g = f_and_g
    table = point_scores(f, g, normalisation="ratio")
    assert len(table) == sum(SIZES.values()) * 3
    for i in (0, 8, 42):
        for k, layer in enumerate(LAYERS):
            (row,) = table[(table["point"] == f["points"][i]) & (table["layer"] == layer)].to_dict("records")
            assert (row["group"], row["label"]) == (f["groups"][i], f["labels"][i])
            assert (row["own"], row["kind"], row["parameters"]) == (OWN[k], KINDS[k], PARAMETERS[k])
            a, b = f["alignment"][i, k].astype(float), g["alignment"][i, k].astype(float)
            assert row["alignment_f"] == pytest.approx(a.mean()) and row["alignment_g"] == pytest.approx(b.mean())
            assert row["sslmem"] == pytest.approx((b.mean() - a.mean()) / (b.mean() + a.mean()))
            assert row["sslmem_choose"] == pytest.approx((b[0] - a[0]) / (b[0] + a[0]))
            assert row["sslmem_score"] == pytest.approx((b[1] - a[1]) / (b[1] + a[1]))


def test_the_chosen_normalisation_is_used(f_and_g):
    table = point_scores(*f_and_g, normalisation="none")
    np.testing.assert_allclose(table["sslmem"], table["alignment_g"] - table["alignment_f"])


@pytest.mark.parametrize("name", ["points", "groups", "layers"])
def test_measures_of_other_points_or_layers_are_refused(f_and_g, name):
    f, g = f_and_g
    g[name] = g[name][::-1]
    with pytest.raises(InputError, match=rf"differ in their {name}"):
        point_scores(f, g, normalisation="ratio")


def test_atypicality_is_the_distance_of_unseen_points_to_shared_ones():
    g = random_measures()
    table = atypicality_scores(g, g, neighbours=2)
    assert table["group"].value_counts().to_dict() == {"candidate": 12, "external": 12}
    unit = g["features"].astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    i = 9
    nearest = np.sort(np.linalg.norm(unit[:7] - unit[i], axis=1))[:2]
    row = table[table["point"] == g["points"][i]].iloc[0]
    assert row["atypicality"] == pytest.approx(nearest.mean()) and row["label"] == g["labels"][i]


def test_the_crossed_profile_is_half_of_candidates_minus_independent_points_at_layers_with_parameters():
    points = pd.DataFrame(
        {
            "point": [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4],
            "group": ["candidate"] * 6 + ["independent"] * 3 + ["external"] * 3,
            "layer": LAYERS * 4,
            "own": OWN * 4,
            "sslmem": [0.5, 9, 0.25, 0.25, 9, 0.75, -0.25, 9, -0.5, 7, 7, 7],
        }
    )
    layers, profile = crossed_profile(points)
    assert own_layers(points) == layers == ["1", "2"]
    assert profile.tolist() == [(0.375 + 0.25) / 2, (0.5 + 0.5) / 2]


def test_layers_stand_by_depth_and_not_by_name():
    layers, values = ["2", "res2", "10"], [0.25, 9, 0.5]
    groups = {"candidate": 1, "independent": -1, "external": 0}
    rows = [(g, n, n != "res2", s * v) for g, s in groups.items() for n, v in zip(layers, values, strict=True)]
    points = pd.DataFrame(rows, columns=["group", "layer", "own", "sslmem"])
    assert own_layers(points) == ["2", "10"]
    names, profile = crossed_profile(points)
    assert names == ["2", "10"] and profile.tolist() == [0.25, 0.5]


def test_a_table_of_points_has_the_dose_of_each_where_some_are_repeated(f_and_g):
    f, g = f_and_g
    doses = np.arange(len(f["points"])) % 3 + 1
    table = point_scores({**f, "doses": doses}, {**g, "doses": doses}, normalisation="ratio")
    assert table.groupby("point")["dose"].first().loc[f["points"]].tolist() == doses.tolist()
    assert "dose" not in point_scores(f, g, normalisation="ratio")
