"""UnitMem by the make-up of the evaluated images: what was planted comes out, and sets are what they say."""

import numpy as np
import pytest

from memloc import config
from memloc.errors import InputError
from memloc.experiments.unit_sets import analysis as experiment
from memloc.metrics.units import unitmem
from tests.builders.study import Study, complaint, configured, single

LAYERS, UNITS, CLASSES, EACH = ("1", "2", "3"), 24, 4, 12
OPTIONS = {"size": 8, "draws": 4, "classes": 2, "resamples": 40}
CHOICE = {"size": 8, "classes": 2}


def measures(views):
    """A file of measures from activations [images of a group, units], by group and layer."""
    groups = list(views)
    n = CLASSES * EACH
    arrays = {
        "points": np.arange(n * len(groups)),
        "groups": np.repeat(groups, n),
        "labels": np.tile(np.repeat(np.arange(CLASSES), EACH), len(groups)),
        "layers": np.array([*LAYERS, "output"]),
    }
    for k, layer in enumerate(LAYERS):
        mu = np.concatenate([views[group][k] for group in groups])
        # Halves that differ, with the planted mean.
        arrays[f"views/{layer}"] = np.stack([0.5 * mu, 1.5 * mu], axis=1)
    return arrays


def same(rng, **planted):
    """Activations of both groups, alike, and those of shared images, which must not matter."""
    return {group: planted_views(rng, **planted) for group in ("shared", "candidate", "external")}


def planted_views(rng, *, peaks=1.0, selective=0.0, heavy=0.0):
    """Activations by layer, [images, units].

    Args:
        peaks: what one image of each class, another for each unit, has above the others.
        selective: what the images of one class, a unit's, add to it.
        heavy: log-normal spread, so that a maximum grows with the number of images.
    """
    labels = np.repeat(np.arange(CLASSES), EACH)
    out = []
    for _ in LAYERS:
        mu = np.exp(heavy * rng.normal(size=(CLASSES * EACH, UNITS)) + 0.01 * rng.normal(size=(CLASSES * EACH, UNITS)))
        mu += selective * (labels[:, None] == np.arange(UNITS) % CLASSES)
        for c in range(CLASSES):
            mu[c * EACH + rng.integers(EACH, size=UNITS), np.arange(UNITS)] += peaks
        out.append(mu)
    return out


@pytest.fixture(autouse=True)
def _few_permutations(monkeypatch):
    monkeypatch.setattr(experiment, "PERMUTATIONS", 60)


def views_of(seeds=3, **planted):
    return [same(np.random.default_rng([40, seed]), **planted) for seed in range(seeds)]


def world(folder, seeds=3, *, views=None, **planted):
    it = Study(folder, "unit_sets")
    for seed, of_seed in enumerate(views or views_of(seeds, **planted)):
        it.add("simclr", seed, measures=measures(of_seed))
    return it


def study(folder, *, views=None, **planted):
    table, rows = world(folder, views=views, **planted).analyse(**OPTIONS)
    return table, single(rows)


def value(table, name, group="candidate", what="mean", column="value"):
    rows = table[(table["series"] == name) & (table["group"] == group) & (table["what"] == what)]
    return rows.set_index("layer")[column]


@pytest.mark.parametrize("group", ["candidate", "external"])
def test_sets_without_a_choice_have_the_unitmem_of_a_literal_reference(tmp_path, group):
    (views,) = views_of(1, heavy=0.5)
    table, _ = study(tmp_path, views=[views])
    labels = np.repeat(np.arange(CLASSES), EACH)
    for k, layer in enumerate(LAYERS):
        mu = views[group][k]
        whole = unitmem(mu)
        single = [unitmem(mu[labels == c]) for c in range(CLASSES)]
        for name, scores in (("all", [whole]), ("one class", single)):
            mean, largest = np.mean([s.mean() for s in scores]), np.mean([s.max() for s in scores])
            assert value(table, name, group)[layer] == pytest.approx(mean)
            assert value(table, name, group, "largest")[layer] == pytest.approx(largest)
    assert value(table, "all", group, "order").to_dict() == {"3": 1.0}


def test_sets_are_what_their_names_say():
    rows = np.split(np.arange(33), [5, 13, 23])
    sets = experiment._Sets(np.array([0]), np.random.default_rng(0), size=10, draws=50, classes=2)._sets(rows)
    said = dict(zip(experiment.SETS, sets, strict=True))
    label = np.repeat(np.arange(4), [5, 8, 10, 10])
    of_each = {name: [np.bincount(label[r], minlength=4) for r in some] for name, some in said.items()}
    assert all(len(set(r.tolist())) == len(r) for some in sets for r in some)
    assert said["all"][0].tolist() == list(range(33))
    # Ten of four classes: two or three of each, which ones have three is drawn.
    evenly = np.array(of_each["evenly"])
    assert set(evenly.ravel()) == {2, 3} and (evenly.sum(axis=1) == 10).all() and (evenly == 3).any(axis=0).all()
    assert {c.sum() for c in of_each["random"]} == {10} and {tuple(c > 2) for c in of_each["random"]} != {(True,) * 4}
    assert all((np.isin(c, (0, *np.bincount(label)))).all() and (c > 0).sum() == 2 for c in of_each["some classes"])
    assert len({tuple(c > 0) for c in of_each["some classes"]}) == 6
    assert [c.tolist() for c in of_each["one class"]] == [[5, 0, 0, 0], [0, 8, 0, 0], [0, 0, 10, 0], [0, 0, 0, 10]]
    for name in ("all, cut", "some classes, cut", "one class, cut"):
        assert {c.sum() for c in of_each[name]} == {5}
    for cut, full in zip(said["some classes, cut"], said["some classes"], strict=True):
        assert set(cut) <= set(full)
    assert [np.flatnonzero(c).tolist() for c in of_each["one class, cut"]] == [[0], [1], [2], [3]]


def by_class(arrays):
    return experiment._activations(arrays, experiment._rows(arrays, 0, **CHOICE))


def test_groups_are_cut_to_as_many_images_of_each_class(tmp_path):
    arrays = measures(views_of(1)[0])
    kept = ~((arrays["groups"] == "external") & (arrays["labels"] == 1) & (arrays["points"] % 2 == 0))
    arrays = {k: a[kept] if len(a) == len(kept) else a for k, a in arrays.items()}
    sample = by_class(arrays)
    sizes = {name: len(rows) for name, rows in sample.items()}
    assert sizes == {f"{g} {c}": EACH - 6 * (c == 1) for g in ("candidate", "external") for c in range(CLASSES)}
    assert next(iter(sample.values())).shape[1] == len(LAYERS) * UNITS


def test_one_peak_in_every_class_is_found_on_any_class(tmp_path):
    # Of 12 images of one class one has 101, eleven have 1: 100 / 102. Few images drawn at random lack it.
    table, rows = study(tmp_path, peaks=100.0)
    np.testing.assert_allclose(value(table, "one class"), 100 / 102, atol=0.01)
    assert (value(table, "evenly") < 0.9).all()
    said = rows["verdict"]
    assert said["one-class-max"] == "supported"
    assert rows.loc["one-class-max", "effect"] == pytest.approx(100 / 102 - 0.8, abs=0.01)
    assert rows.loc["one-class-max", "paper_effect"] == 0.07
    assert said["make-up"] == "refuted" and said["size"] == "supported"
    assert said["excess"] == "inconclusive"


def test_even_activations_have_no_make_up(tmp_path):
    _, rows = study(tmp_path, peaks=0.0)
    said = rows["verdict"]
    for claim in ("make-up", "evenly", "drop", "drop-cut"):
        assert said[f"{claim}"] == "supported", claim
    assert said["one-class-max"] == "refuted"
    assert rows.loc["drop", "effect"] == pytest.approx(0.04, abs=0.02)


def test_a_maximum_that_grows_with_the_number_of_images_is_no_matter_of_make_up(tmp_path):
    _, rows = study(tmp_path, peaks=0.0, heavy=0.7)
    said = rows["verdict"]
    assert said["make-up"] == said["drop"] == "refuted"
    assert said["size"] == "supported"
    # As many images of one class as of all: nothing but the number differs.
    assert abs(rows.loc["drop-cut", "effect"] - 0.04) < 0.03


def test_units_of_a_class_fall_where_that_class_is_alone(tmp_path):
    _, rows = study(tmp_path, peaks=0.0, selective=3.0)
    assert rows.loc["drop-cut", "verdict"] == rows.loc["drop", "verdict"] == "refuted"
    # Few at random may lack a unit's class, few of every class may not: the even ones have more.
    assert rows.loc["evenly", "effect"] < 0.04


def test_units_keep_their_order_or_not(tmp_path):
    def ordered(rng, keep):
        views = same(rng, peaks=0.0)
        for mu in (mu for group in ("candidate", "external") for mu in views[group]):
            heights = rng.permutation(np.linspace(1, 20, UNITS))
            for c in range(CLASSES):
                mu[c * EACH, :] += heights if keep else rng.permutation(heights) * (0.2 + c)
        return views

    for keep, verdict in ((True, "supported"), (False, "refuted")):
        _, rows = study(tmp_path, views=[ordered(np.random.default_rng([41, s]), keep) for s in range(3)])
        assert rows.loc["order", "verdict"] == verdict


def test_an_excess_on_one_class_is_that_of_candidates(tmp_path):
    seeds = views_of(peaks=1.0)
    for views in seeds:
        views["candidate"] = planted_views(np.random.default_rng(5), peaks=5.0)
    table, rows = study(tmp_path, views=seeds)
    assert rows.loc["excess", "verdict"] == "supported"
    # No deal is as extreme: 2 (1 + 0) / (1 + 60).
    assert rows.loc["excess", "p"] == pytest.approx(2 / 61)
    gap = value(table, "one class")["3"] - value(table, "one class", "external")["3"]
    assert rows.loc["excess", "effect"] == pytest.approx(gap) and gap == pytest.approx(5 / 7 - 1 / 3, abs=0.02)


def test_p_of_an_excess_is_uniform_where_there_is_none():
    samples = [[by_class(measures(views))] for views in views_of(40, peaks=0.0, heavy=0.5)]
    p = np.array([experiment._p_of_excess(sample, 2 * UNITS) for sample in samples])
    # Uniform where there is nothing: half of them above one half.
    assert 0.25 < (p < 0.5).mean() < 0.75 and (p <= 0.05).mean() < 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 4}, "classes: 4 must be smaller than the number of classes, 4; lower it"),
        ({"size": 49}, "size: 49 images need 13 of each class, but a group has 12 of class 0; lower it"),
    ],
)
def test_too_few_classes_or_images_of_one_are_an_error(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        world(tmp_path, 1).analyse(**OPTIONS | changes)


def test_a_set_must_be_smaller_than_a_group():
    options = {"kind": "unit_sets", "encoders": ["simclr"], "draws": 3, "classes": 3}
    assert complaint({**options, "size": 6}, {}) is None
    assert "experiments.it.size: 200 must be smaller than" in complaint({**options, "size": 200}, {})


def test_some_classes_are_fewer_than_a_dataset_has_that_lists_none():
    whole = configured({"kind": "unit_sets", "encoders": ["simclr"], "draws": 3, "classes": 9, "size": 6}, {})
    del whole["datasets"]["fashion"]["classes"]
    del whole["datasets"]["fashion-unseen"]
    config.check(whole)
    whole["experiments"]["it"]["classes"] = 10
    with pytest.raises(InputError) as caught:
        config.check(whole)
    line = "classes: 10 must be smaller than the number of classes of fashion, 10; lower it"
    assert str(caught.value) == f"config: experiments.it.{line}"
