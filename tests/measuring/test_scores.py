import numpy as np
import pandas as pd
import pytest

from memloc.errors import InputError
from memloc.measuring import scores
from memloc.metrics.units import classmem, unitmem

LAYERS = ["1", "res2", "2"]
OWN = [True, False, True]
KINDS = ["convolution", "sum", "fully-connected"]
PARAMETERS = [40, 0, 7]


def measures(sizes, *, seed=0, labels=None):
    """What ``measure.pack`` gives for groups of these sizes."""
    rng = np.random.default_rng(seed)
    n = sum(sizes.values())
    arrays = {
        "points": rng.permutation(1000)[:n],
        "groups": np.repeat(list(sizes), list(sizes.values())),
        "labels": rng.integers(3, size=n) if labels is None else labels,
        "layers": np.array(LAYERS),
        "own": np.array(OWN),
        "kinds": np.array(KINDS),
        "parameters": np.array(PARAMETERS),
        "alignment": rng.random((n, 3, 2)).astype(np.float32),
        "features": rng.normal(size=(n, 4)).astype(np.float32),
    }
    for name, units in (("1", 3), ("2", 5)):
        arrays[f"views/{name}"] = rng.random((n, 2, units)).astype(np.float32)
        arrays[f"plain/{name}"] = rng.random((n, units)).astype(np.float32)
    return arrays


SIZES = {"shared": 7, "candidate": 12, "independent": 12, "external": 12}


def test_every_point_has_its_sslmem_at_every_layer_from_all_draws_and_from_each_half():
    f, g = measures(SIZES), {**measures(SIZES), "alignment": measures(SIZES, seed=1)["alignment"]}
    table = scores.point_scores(f, g, normalisation="ratio")
    assert len(table) == 43 * 3
    for i in (0, 8, 42):
        for k, layer in enumerate(LAYERS):
            row = table[(table["point"] == f["points"][i]) & (table["layer"] == layer)]
            assert len(row) == 1
            row = row.iloc[0]
            assert (row["group"], row["label"]) == (f["groups"][i], f["labels"][i])
            assert (row["own"], row["kind"], row["parameters"]) == (OWN[k], KINDS[k], PARAMETERS[k])
            a, b = f["alignment"][i, k].astype(float), g["alignment"][i, k].astype(float)
            assert row["alignment_f"] == pytest.approx(a.mean()) and row["alignment_g"] == pytest.approx(b.mean())
            assert row["sslmem"] == pytest.approx((b.mean() - a.mean()) / (b.mean() + a.mean()))
            assert row["sslmem_choose"] == pytest.approx((b[0] - a[0]) / (b[0] + a[0]))
            assert row["sslmem_score"] == pytest.approx((b[1] - a[1]) / (b[1] + a[1]))


def test_the_normalisation_asked_for_is_the_one_used():
    f, g = measures(SIZES), {**measures(SIZES), "alignment": measures(SIZES, seed=1)["alignment"]}
    table = scores.point_scores(f, g, normalisation="none")
    np.testing.assert_allclose(table["sslmem"], table["alignment_g"] - table["alignment_f"])


@pytest.mark.parametrize("name", ["points", "groups", "layers"])
def test_measures_of_other_images_or_layers_are_refused(name):
    f, g = measures(SIZES), measures(SIZES)
    g[name] = g[name][::-1]
    with pytest.raises(InputError, match=rf"differ in their {name}"):
        scores.point_scores(f, g, normalisation="ratio")


def test_atypicality_is_judged_for_what_g_has_not_seen_against_shared_points():
    g = measures(SIZES)
    table = scores.atypicality_scores(g, neighbours=2)
    assert table["group"].value_counts().to_dict() == {"candidate": 12, "external": 12}
    unit = g["features"].astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    i = 9
    nearest = np.sort(np.linalg.norm(unit[:7] - unit[i], axis=1))[:2]
    row = table[table["point"] == g["points"][i]].iloc[0]
    assert row["atypicality"] == pytest.approx(nearest.mean()) and row["label"] == g["labels"][i]


def test_units_are_scored_in_each_group_apart():
    m = measures(SIZES)
    table = scores.unit_scores(m, shuffles=2, seed=0)
    assert set(table["group"]) == {"candidate", "independent", "external"}
    assert set(table["layer"]) == {"1", "2"}
    rows = m["groups"] == "external"
    mine = table[(table["group"] == "external") & (table["layer"] == "2")]
    assert mine["unit"].tolist() == list(range(5))
    views = m["views/2"][rows].mean(axis=1)
    np.testing.assert_allclose(mine["unitmem"], unitmem(views))
    np.testing.assert_allclose(mine["unitmem_median"], unitmem(views, others="median"))
    np.testing.assert_allclose(mine["classmem"], classmem(m["plain/2"][rows], m["labels"][rows]))
    assert mine["owner"].tolist() == m["points"][rows][views.argmax(axis=0)].tolist()
    np.testing.assert_allclose(mine["activation"], views.mean(axis=0), rtol=1e-6)


def test_a_dead_unit_has_no_owner():
    m = measures(SIZES)
    m["views/1"][:, :, 1] = 0
    table = scores.unit_scores(m, shuffles=1, seed=0)
    dead = table[(table["layer"] == "1") & (table["unit"] == 1)]
    assert (dead["owner"] == -1).all() and (dead["unitmem"] == 0).all() and len(dead) == 3


def test_shuffled_labels_take_class_knowledge_away():
    m = measures({"candidate": 60, "independent": 60, "external": 60}, labels=np.arange(180) % 3)
    m["plain/1"][:, 0] = m["labels"] == 2
    table = scores.unit_scores(m, shuffles=10, seed=0)
    unit = table[(table["layer"] == "1") & (table["unit"] == 0) & (table["group"] == "candidate")].iloc[0]
    assert unit["classmem"] == 1 and unit["classmem_shuffled"] < 0.4


def test_groups_are_compared_at_equal_sizes():
    sizes = {"candidate": 30, "independent": 12, "external": 30}
    m = measures(sizes)
    m["views/1"][:] = 0.5
    m["views/1"][[0, 30, 42], :, 0] = 1.0
    table = scores.unit_scores(m, shuffles=1, seed=0)
    unit = table[(table["layer"] == "1") & (table["unit"] == 0)].set_index("group")["unitmem"]
    assert unit["independent"] == pytest.approx((1 - 0.5) / (1 + 0.5))
    counted = scores.unit_replicates(m, replicates=3, seed=0)
    assert counted["means"].shape == (3, 2, 3, len(scores.METRICS))


def test_a_larger_group_is_cut_without_regard_to_the_order_of_its_points():
    # Images of a folder are sorted by class, and so are the points of a group.
    sizes = {"candidate": 60, "independent": 12, "external": 60}
    m = measures(sizes, labels=np.concatenate([np.arange(60) // 20, np.arange(12) // 4, np.arange(60) // 20]))
    table = scores.unit_scores(m, shuffles=1, seed=0)
    assert np.isfinite(table["classmem"]).all()


def test_scores_of_units_are_a_function_of_their_seed():
    m = measures(SIZES)
    a, b, c = (scores.unit_scores(m, shuffles=2, seed=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(a, b)
    assert not a["classmem_shuffled"].equals(c["classmem_shuffled"])
    pd.testing.assert_series_equal(a["classmem"], c["classmem"])


def test_replicates_hold_means_and_90th_percentiles_of_layers_over_resampled_points():
    m = measures(SIZES, labels=np.arange(43) % 3)
    out = scores.unit_replicates(m, replicates=200, seed=0)
    assert out["layers"].tolist() == ["1", "2"]
    assert out["groups"].tolist() == ["candidate", "independent", "external"]
    means = out["means"]
    assert scores.METRICS[:3] == ("unitmem", "unitmem_top", "unitmem_max")
    assert means.shape == (200, 2, 3, len(scores.METRICS)) and np.isfinite(means).all()
    rows = m["groups"] == "candidate"
    values = unitmem(m["views/2"][rows].mean(axis=1))
    full = values.mean()
    # A maximum over a resample is at most the maximum, so the replicates lie around the value or below.
    assert abs(means[:, 1, 0, 0].mean() - full) < 0.1 and means[:, 1, 0, 0].std() > 0
    assert abs(means[:, 1, 0, 1].mean() - np.quantile(values, 0.9)) < 0.1 and means[:, 1, 0, 1].std() > 0
    assert (means[:, :, :, 1] > means[:, :, :, 0]).all() and (means[:, :, :, 2] >= means[:, :, :, 1]).all()
    again = scores.unit_replicates(m, replicates=200, seed=0)["means"]
    assert np.array_equal(means, again)


def test_the_90th_percentile_of_replicates_is_that_of_the_units():
    m = measures(SIZES)
    # Three units of twenty answer, all alike: so the 90th percentile is their value, and the mean 3 / 20 of it.
    m["views/2"] = np.zeros((43, 2, 20), dtype=np.float32)
    m["views/2"][:, :, :3] = (np.arange(43) % 2)[:, None, None]
    m["plain/2"] = np.zeros((43, 20), dtype=np.float32)
    means = scores.unit_replicates(m, replicates=30, seed=0)["means"][:, 1]
    np.testing.assert_allclose(means[..., 0], means[..., 1] * 3 / 20)
    assert (means[..., 1] > 0).all()


def test_replicates_are_the_metrics_of_the_resampled_rows():
    m = measures(SIZES, labels=np.arange(43) % 3)
    got = scores.unit_replicates(m, replicates=4, seed=3)["means"]
    rng = np.random.default_rng(3)
    for g, rows in enumerate(scores._groups(m, 3).values()):
        for i in range(4):
            drawn = rows[rng.integers(len(rows), size=len(rows))]
            labels = m["labels"][drawn]
            shuffled = rng.permutation(labels)
            for k, layer in enumerate(("1", "2")):
                values, plain = unitmem(m[f"views/{layer}"][drawn].mean(axis=1, dtype=np.float64)), m[f"plain/{layer}"]
                shares = [(values > threshold).mean() for threshold in (0.3, 0.5, 0.7)]
                expected = [values.mean(), np.quantile(values, 0.9), values.max(), *shares]
                classes, chance = (classmem(plain[drawn], of) for of in (labels, shuffled))
                expected += [classes.mean(), chance.mean(), (values > classes).mean()]
                np.testing.assert_allclose(got[i, k, g], expected, atol=1e-6)


def test_layer_metrics_of_a_table_are_those_of_its_units():
    m = measures(SIZES, labels=np.arange(43) % 3)
    table = scores.unit_scores(m, shuffles=1, seed=0)
    table = table[table["group"] == "external"]
    values = table[table["layer"] == "2"]["unitmem"].to_numpy()
    assert scores.layer_metrics(table, "unitmem")["2"] == pytest.approx(values.mean())
    assert scores.layer_metrics(table, "unitmem_max")["2"] == values.max()
    assert scores.layer_metrics(table, "unitmem_above_0.5")["2"] == (values > 0.5).mean()
    classes = table[table["layer"] == "2"]["classmem"].mean()
    assert scores.layer_metrics(table, "classmem")["2"] == pytest.approx(classes)


def test_excess_is_dealt_to_groups_of_the_same_points_at_random():
    m = measures(SIZES)
    dealt = scores.unit_replicates(m, replicates=1, seed=0, permutations=300)["dealt"]
    assert dealt.shape == (300, 2)
    # Any third of the points may be the first group, so on average there is no excess; one deal is not like another.
    assert (np.abs(dealt.mean(axis=0)) < 4 * dealt.std(axis=0) / np.sqrt(300)).all() and (dealt.std(axis=0) > 0).all()
    # A point in each unit's favour among candidates is an excess that no deal reaches.
    m["views/2"][:] = 0.5
    m["views/2"][np.flatnonzero(m["groups"] == "candidate")[:2]] = 50.0
    m["views/2"][np.flatnonzero(m["groups"] == "candidate")[1]] += 1
    units = scores.unit_scores(m, shuffles=1, seed=0).query("layer == '2'").groupby("group")["unitmem"].mean()
    excess = units["candidate"] - (units["independent"] + units["external"]) / 2
    dealt = scores.unit_replicates(m, replicates=1, seed=0, permutations=300)["dealt"][:, 1]
    assert excess > 0.5 and (dealt <= excess + 1e-9).all() and (dealt < 0).any()


def test_replicates_of_identical_points_are_exact():
    m = measures(SIZES)
    m["views/1"][:] = 0.25
    means = scores.unit_replicates(m, replicates=5, seed=0)["means"]
    assert (means[:, 0, :, :2] == 0).all() and (means[:, 1, :, :2] > 0).all()


def test_a_resample_that_holds_a_single_class_does_not_end_the_run():
    sizes = {"candidate": 3, "independent": 3, "external": 3}
    m = measures(sizes, labels=np.array([0, 1, 1] * 3))
    means = scores.unit_replicates(m, replicates=60, seed=0)["means"]
    assert np.isfinite(means).all()


def test_units_are_pruned_by_candidates_and_by_what_these_have_over_unseen_images():
    m = measures(SIZES)
    traits = scores.unit_traits(scores.unit_scores(m, shuffles=1, seed=0))
    groups = {name: m["views/2"][m["groups"] == name].mean(axis=1) for name in scores.UNSHARED}
    unseen = (unitmem(groups["independent"]) + unitmem(groups["external"])) / 2
    np.testing.assert_allclose(traits["excess"]["2"], unitmem(groups["candidate"]) - unseen, atol=1e-6)
    np.testing.assert_allclose(traits["unitmem"]["2"], unitmem(groups["candidate"]))
    np.testing.assert_allclose(traits["activation"]["2"], groups["candidate"].mean(axis=0), rtol=1e-5)
    # Candidates and external images in each other's place.
    np.testing.assert_allclose(traits["unitmem-unseen"]["2"], unitmem(groups["external"]))
    unseen = (unitmem(groups["independent"]) + unitmem(groups["candidate"])) / 2
    np.testing.assert_allclose(traits["excess-unseen"]["2"], unitmem(groups["external"]) - unseen, atol=1e-6)
    assert all(list(trait) == ["1", "2"] for trait in traits.values())


def test_pruning_and_fine_tuning_read_candidates_and_crossed_increments_from_the_tables():
    m = measures(SIZES)
    units = scores.unit_scores(m, shuffles=1, seed=0)
    by_layer = scores.by_layer(units)
    assert list(by_layer) == ["1", "2"]
    np.testing.assert_allclose(by_layer["2"], unitmem(m["views/2"][m["groups"] == "candidate"].mean(axis=1)))
    points = pd.DataFrame(
        {
            "point": [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4],
            "group": ["candidate"] * 6 + ["independent"] * 3 + ["external"] * 3,
            "layer": LAYERS * 4,
            "own": OWN * 4,
            "sslmem": [0.5, 9, 0.25, 0.25, 9, 0.75, -0.25, 9, -0.5, 7, 7, 7],
        }
    )
    layers, profile = scores.crossed_profile(points)
    assert layers == ["1", "2"] and profile.tolist() == [(0.375 + 0.25) / 2, (0.5 + 0.5) / 2]


@pytest.mark.parametrize("others", ["mean", "median"])
def test_unitmem_compares_with_the_average_of_the_others_that_is_asked_for(others):
    m = measures(SIZES, labels=np.arange(43) % 3)
    options = {"seed": 0, "others": others}
    table = scores.unit_scores(m, shuffles=1, **options)
    mine = table[(table["group"] == "external") & (table["layer"] == "2")]
    views = m["views/2"][m["groups"] == "external"].mean(axis=1)
    np.testing.assert_allclose(mine["unitmem"], unitmem(views, others=others))
    assert (mine["unitmem"].to_numpy() == mine["unitmem_median"].to_numpy()).all() == (others == "median")
    # The points that are drawn, and all that isn't UnitMem, stay as they are.
    drawn = scores.unit_replicates(m, replicates=40, **options)
    plain = scores.unit_replicates(m, replicates=40, seed=0)
    at = [scores.METRICS.index(name) for name in ("classmem", "classmem_shuffled")]
    np.testing.assert_array_equal(drawn["means"][..., at], plain["means"][..., at])
    assert np.array_equal(drawn["means"], plain["means"]) == (others == "mean")
    assert np.array_equal(drawn["dealt"], plain["dealt"]) == (others == "mean")


def test_the_share_of_units_above_the_diagonal_is_counted_unit_by_unit():
    m = measures(SIZES, labels=np.arange(43) % 3)
    rows = m["groups"] == "candidate"
    single = unitmem(m["views/2"][rows].mean(axis=1))
    # One unit more to each side than the views decide, and one that nothing excites: it is not above.
    m["plain/2"][rows, 0], m["plain/2"][rows, 1] = m["labels"][rows] == 1, 1.0
    m["views/2"][rows, :, 2] = m["plain/2"][rows, 2:3] = 0
    table = scores.unit_scores(m, shuffles=1, seed=0)
    share = scores.layer_metrics(table[table["group"] == "candidate"], "over_classmem")
    classes = classmem(m["plain/2"][rows], m["labels"][rows])
    assert classes[0] == 1 and classes[1] == 0 and single[0] < 1
    expected = [False, True, False, *(single[3:] > classes[3:])]
    assert share["2"] == np.mean(expected)
    drawn = scores.unit_replicates(m, replicates=300, seed=0)["means"][:, 1, 0, scores.METRICS.index("over_classmem")]
    assert (
        set(np.round(5 * drawn).astype(int)) <= {0, 1, 2, 3, 4}
        and (np.abs(5 * drawn - np.round(5 * drawn)) < 1e-9).all()
    )
    assert (drawn >= 0.2).all(), "the unit of no class is above in every resample"
    unlabelled = scores.unit_replicates(measures(SIZES, labels=np.full(43, -1)), replicates=3, seed=0)
    assert np.isnan(unlabelled["means"][..., scores.METRICS.index("over_classmem")]).all()


@pytest.mark.parametrize("others", ["mean", "median"])
def test_every_unit_is_told_on_the_points_themselves_and_on_resamples_of_them(others):
    m = measures(SIZES)
    found = {key: values for *key, values in scores.resampled_units(m, replicates=1200, seed=3, others=others)
             for key in [tuple(key)]}  # fmt: skip
    assert list(found) == [(g, layer) for g in scores.UNSHARED for layer in ("1", "2")]
    views = m["views/2"][m["groups"] == "independent"].mean(axis=1, dtype=np.float64)
    values = found["independent", "2"]
    assert values.shape == (1201, 5)
    np.testing.assert_allclose(values[0], unitmem(views, others=others))
    rng = np.random.default_rng(0)
    literal = np.array([unitmem(views[rng.integers(12, size=12)], others=others) for _ in range(4000)])
    np.testing.assert_allclose(values[1:].mean(axis=0), literal.mean(axis=0), atol=0.015)
    np.testing.assert_allclose(values[1:].std(axis=0), literal.std(axis=0), atol=0.015)


def test_resamples_are_those_of_every_measure_of_the_same_groups():
    m, louder = measures(SIZES), measures(SIZES)
    for name in ("1", "2"):
        louder[f"views/{name}"] = 2 * m[f"views/{name}"]
    options = {"replicates": 30, "others": "mean"}
    one, two = (scores.unit_means(x, seed=3, **options) for x in (m, louder))
    # UnitMem is a ratio: twice the activation changes nothing, resample by resample.
    np.testing.assert_allclose(one["means"], two["means"], rtol=1e-6)
    assert not np.allclose(one["means"], scores.unit_means(m, seed=4, **options)["means"])
    assert one["size"] == 12 and one["values"].shape == (2, 3) and one["means"].shape == (30, 2, 3)
    views = m["views/1"][m["groups"] == "candidate"].mean(axis=1)
    assert one["values"][0, 0] == pytest.approx(unitmem(views).mean())


def test_unitmem_means_are_taken_at_equal_sizes():
    m = measures({"candidate": 30, "independent": 12, "external": 30})
    assert scores.unit_means(m, replicates=2, seed=0, others="mean")["size"] == 12
    m["views/1"][:] = 0.5
    m["views/1"][[0, 30, 42], :, 0] = 1.0
    values = scores.unit_means(m, replicates=2, seed=0, others="mean")["values"]
    assert values[0, 1] == pytest.approx((1 - 0.5) / (1 + 0.5) / 3)
