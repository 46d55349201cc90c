import numpy as np
import pytest

from memloc.data.groups import EXCHANGED
from memloc.measuring import resamples
from memloc.measuring.resamples import resampled_units, unit_means, unit_resamples
from memloc.measuring.units import METRICS, layer_metrics, rows_by_group, unit_scores
from memloc.metrics.units import classmem, unitmem
from memloc.streams import generator
from tests.builders.measures import THREE_CLASSES, random_measures, uneven_measures

UNSHARED = ("candidate", "independent", "external")


def means_of(measures, count, **options):
    return unit_resamples(measures, resamples=count, **{"seed": 0, **options})["means"]


def test_resamples_lie_around_the_metrics_of_the_points_themselves():
    m = random_measures(labels=THREE_CLASSES)
    out = unit_resamples(m, resamples=200, seed=0)
    assert out["layers"].tolist() == ["1", "2"] and out["groups"].tolist() == list(UNSHARED) and out["size"] == 12
    means = out["means"]
    assert METRICS[:3] == ("unitmem", "unitmem_top", "unitmem_max")
    assert means.shape == (200, 2, 3, len(METRICS)) and np.isfinite(means).all()
    values = unitmem(m["views/2"][m["groups"] == "candidate"].mean(axis=1))
    # A maximum over a resample is at most the maximum, so the resamples lie around the value or below.
    assert abs(means[:, 1, 0, 0].mean() - values.mean()) < 0.1 and means[:, 1, 0, 0].std() > 0
    assert abs(means[:, 1, 0, 1].mean() - np.quantile(values, 0.9)) < 0.1 and means[:, 1, 0, 1].std() > 0
    assert (means[:, :, :, 1] > means[:, :, :, 0]).all() and (means[:, :, :, 2] >= means[:, :, :, 1]).all()
    assert np.array_equal(means, means_of(m, 200))


@pytest.mark.parametrize("chunk", [resamples.CHUNK, 80])
def test_resamples_are_the_metrics_of_the_resampled_rows(chunk, monkeypatch):
    monkeypatch.setattr(resamples, "CHUNK", chunk)
    m = random_measures(labels=THREE_CLASSES)
    got = means_of(m, 5, seed=3)
    rng = np.random.default_rng(3)
    for g, rows in enumerate(rows_by_group(m, 3).values()):
        for i in range(5):
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


def test_the_90th_percentile_of_resamples_is_that_of_the_units():
    m = random_measures()
    # Three units of twenty respond, all alike: so the 90th percentile is their value, and the mean 3 / 20 of it.
    m["views/2"] = np.zeros((43, 2, 20), dtype=np.float32)
    m["views/2"][:, :, :3] = (np.arange(43) % 2)[:, None, None]
    m["plain/2"] = np.zeros((43, 20), dtype=np.float32)
    means = means_of(m, 30)[:, 1]
    np.testing.assert_allclose(means[..., 0], means[..., 1] * 3 / 20)
    assert (means[..., 1] > 0).all()


@pytest.mark.parametrize("permuted", [resamples.PERMUTED, 36 * 7])
def test_the_excess_of_permuted_groups_is_that_of_the_same_points_at_random(permuted, monkeypatch):
    monkeypatch.setattr(resamples, "PERMUTED", permuted)
    m = random_measures()
    chance = unit_resamples(m, resamples=1, seed=0, permutations=300)["dealt"]
    assert chance.shape == (300, 2)
    # Any third of the points may be the first group, so there is no excess on average; permutations differ.
    assert (np.abs(chance.mean(axis=0)) < 4 * chance.std(axis=0) / np.sqrt(300)).all() and (
        chance.std(axis=0) > 0
    ).all()
    # One candidate that excites every unit, before another almost as much, is an excess that no permutation exceeds.
    m["views/2"][:] = 0.5
    m["views/2"][np.flatnonzero(m["groups"] == "candidate")[:2]] = 50.0
    m["views/2"][np.flatnonzero(m["groups"] == "candidate")[1]] += 1
    units = unit_scores(m, shuffles=1, seed=0).query("layer == '2'").groupby("group")["unitmem"].mean()
    excess = units["candidate"] - (units["independent"] + units["external"]) / 2
    chance = unit_resamples(m, resamples=1, seed=0, permutations=300)["dealt"][:, 1]
    assert excess > 0.5 and (chance <= excess + 1e-9).all() and (chance < 0).any()


def test_resamples_of_identical_points_are_exact():
    m = random_measures()
    m["views/1"][:] = 0.25
    means = means_of(m, 5)
    assert (means[:, 0, :, :2] == 0).all() and (means[:, 1, :, :2] > 0).all()


def test_a_resample_with_a_single_class_has_metrics_too():
    m = random_measures(dict.fromkeys(UNSHARED, 3), labels=np.array([0, 1, 1] * 3))
    assert np.isfinite(means_of(m, 60)).all()


def test_the_median_of_others_changes_unitmem_and_nothing_else():
    m = random_measures(labels=THREE_CLASSES)
    median, mean = (unit_resamples(m, resamples=40, seed=0, others=others) for others in ("median", "mean"))
    at = [METRICS.index(name) for name in ("classmem", "classmem_shuffled")]
    np.testing.assert_array_equal(median["means"][..., at], mean["means"][..., at])
    assert not np.array_equal(median["means"], mean["means"]) and not np.array_equal(median["dealt"], mean["dealt"])
    assert np.array_equal(mean["means"], means_of(m, 40)), "the mean is the default"


def test_the_share_of_units_above_the_diagonal_is_counted_unit_by_unit():
    m = random_measures(labels=THREE_CLASSES)
    rows = m["groups"] == "candidate"
    single = unitmem(m["views/2"][rows].mean(axis=1))
    # One unit of a class, one of no class, and one that nothing excites, which is not above.
    m["plain/2"][rows, 0], m["plain/2"][rows, 1] = m["labels"][rows] == 1, 1.0
    m["views/2"][rows, :, 2] = m["plain/2"][rows, 2:3] = 0
    table = unit_scores(m, shuffles=1, seed=0)
    share = layer_metrics(table[table["group"] == "candidate"], "over_classmem")
    classes = classmem(m["plain/2"][rows], m["labels"][rows])
    assert classes[0] == 1 and classes[1] == 0 and single[0] < 1
    assert share["2"] == np.mean([False, True, False, *(single[3:] > classes[3:])])
    units = 5 * means_of(m, 300)[:, 1, 0, METRICS.index("over_classmem")]
    assert set(np.round(units)) <= {0, 1, 2, 3, 4} and (np.abs(units - np.round(units)) < 1e-9).all()
    assert (units >= 1 - 1e-9).all(), "the unit of no class is above in every resample"


def test_resamples_without_labels_have_unitmem_alone():
    means = means_of(random_measures(labels=np.full(43, -1)), 3)
    class_metrics = METRICS.index("classmem")
    assert np.isnan(means[..., class_metrics:]).all() and np.isfinite(means[..., :class_metrics]).all()


@pytest.mark.parametrize("others", ["mean", "median"])
def test_every_unit_has_its_unitmem_on_the_points_themselves_and_on_resamples_of_them(others):
    m = random_measures()
    units = {(group, layer): v for group, layer, v in resampled_units(m, resamples=1200, seed=3, others=others)}
    assert list(units) == [(group, layer) for group in UNSHARED for layer in ("1", "2")]
    views = m["views/2"][m["groups"] == "independent"].mean(axis=1, dtype=np.float64)
    values = units["independent", "2"]
    assert values.shape == (1201, 5)
    np.testing.assert_allclose(values[0], unitmem(views, others=others))
    rng = np.random.default_rng(0)
    literal = np.array([unitmem(views[rng.integers(12, size=12)], others=others) for _ in range(4000)])
    np.testing.assert_allclose(values[1:].mean(axis=0), literal.mean(axis=0), atol=0.015)
    np.testing.assert_allclose(values[1:].std(axis=0), literal.std(axis=0), atol=0.015)


def test_groups_are_resampled_apart():
    m = random_measures()
    rows = {group: m["groups"] == group for group in UNSHARED}
    for name in ("views/1", "views/2"):
        m[name][rows["independent"]] = m[name][rows["candidate"]]
    units = {(group, layer): v for group, layer, v in resampled_units(m, resamples=20, seed=3, others="mean")}
    one, other = units["candidate", "2"], units["independent", "2"]
    assert np.array_equal(one[0], other[0]) and not np.allclose(one[1:], other[1:])


def test_all_measures_of_the_same_groups_are_resampled_alike():
    m, louder = random_measures(), random_measures()
    for name in ("1", "2"):
        louder[f"views/{name}"] = 2 * m[f"views/{name}"]
    options = {"resamples": 30, "others": "mean"}
    one, two = (unit_means(x, seed=3, **options) for x in (m, louder))
    # UnitMem is a ratio: twice the activation changes nothing, resample by resample.
    np.testing.assert_allclose(one["means"], two["means"], rtol=1e-6)
    assert not np.allclose(one["means"], unit_means(m, seed=4, **options)["means"])
    assert one["size"] == 12 and one["values"].shape == (2, 3) and one["means"].shape == (30, 2, 3)
    views = m["views/1"][m["groups"] == "candidate"].mean(axis=1)
    assert one["values"][0, 0] == pytest.approx(unitmem(views).mean())


def test_means_of_unitmem_and_resamples_are_taken_at_equal_sizes():
    m = uneven_measures()
    means = unit_means(m, resamples=2, seed=0, others="mean")
    assert means["size"] == unit_resamples(m, resamples=3, seed=0)["size"] == 12
    assert means["values"][0, 1] == pytest.approx((1 - 0.5) / (1 + 0.5) / 3)


def test_an_image_of_a_pool_is_drawn_alike_for_both_halves_and_all_encoders():
    m = random_measures(labels=THREE_CLASSES)
    got = means_of(m, 4, half="candidate")
    pool = np.sort(m["points"][np.isin(m["groups"], UNSHARED[:2])])
    counts = generator("pool", len(pool)).multinomial(len(pool), np.full(len(pool), 1 / len(pool)), size=4)
    for g, rows in enumerate(list(rows_by_group(m, 0).values())[:2]):
        for i in range(4):
            drawn = np.repeat(rows, [counts[i, list(pool).index(point)] for point in m["points"][rows]])
            values = unitmem(m["views/2"][drawn].mean(axis=1, dtype=np.float64))
            np.testing.assert_allclose(got[i, 1, g, 0], values.mean(), atol=1e-6)
    # Of another seed, other points may stand in a group, but those of the pool are drawn alike.
    other = dict(m) | {"groups": np.array([EXCHANGED.get(group, group) for group in m["groups"]])}
    swapped = means_of(other, 4, half="independent")
    np.testing.assert_allclose(swapped[:, 1, [1, 0], 0], got[:, 1, :2, 0], atol=1e-6)


def test_membership_is_dealt_within_classes_alike_for_both_encoders_of_a_pair():
    m = random_measures(labels=THREE_CLASSES)
    f, g = (unit_resamples(m, resamples=1, seed=5, permutations=6, half=half)["dealt"] for half in UNSHARED[:2])
    np.testing.assert_allclose(f, -g, atol=1e-12)
    pool = np.flatnonzero(np.isin(m["groups"], UNSHARED[:2]))
    pool = pool[np.argsort(m["points"][pool])]
    rng, inside, labels = generator("membership", 5), m["groups"][pool] == "candidate", m["labels"][pool]
    dealt = np.empty((6, len(pool)), dtype=bool)
    for label in np.unique(labels):
        dealt[:, labels == label] = rng.permuted(np.tile(inside[labels == label], (6, 1)), axis=1)
    for i, has in enumerate(dealt):
        halves = (unitmem(m["views/1"][pool[of]].mean(axis=1, dtype=np.float64)).mean() for of in (has, ~has))
        np.testing.assert_allclose(f[i, 0], np.subtract(*halves), atol=1e-6)
