"""UnitMem by the make-up of the evaluated images: what was planted comes out, and sets are what they say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.analysis.claims import tabulate
from memloc.analysis.inputs import Inputs
from memloc.analysis.tables import load_table, save_table
from memloc.errors import InputError
from memloc.experiments.unit_sets import analysis as experiment
from memloc.io import save_arrays
from memloc.metrics.units import unitmem
from tests.builders.study import complaint

LAYERS, UNITS, CLASSES, EACH = ("1", "2", "3"), 24, 4, 12
OPTIONS = {"size": 8, "draws": 4, "classes": 2, "replicates": 40}


def measures(views, *, each=EACH):
    """A file of measures from activations [images of a group, units], by group and layer."""
    groups = list(views)
    n = CLASSES * each
    arrays = {
        "points": np.arange(n * len(groups)),
        "groups": np.repeat(groups, n),
        "labels": np.tile(np.repeat(np.arange(CLASSES), each), len(groups)),
        "layers": np.array([*LAYERS, "output"]),
    }
    for k, layer in enumerate(LAYERS):
        mu = np.concatenate([views[group][k] for group in groups])
        # Halves that differ, with the planted mean.
        arrays[f"views/{layer}"] = np.stack([0.5 * mu, 1.5 * mu], axis=1)
    return arrays


def same(rng, *, each=EACH, **planted):
    """Activations of both groups, alike, and those of shared images, which nobody asks for."""
    return {group: planted_views(rng, each=each, **planted) for group in ("shared", "candidate", "external")}


def planted_views(rng, *, each=EACH, peaks=1.0, selective=0.0, heavy=0.0):
    """Activations by layer, [images, units].

    Args:
        peaks: what one image of each class, another for each unit, has above the others.
        selective: what a class of its own adds to a unit.
        heavy: log-normal spread, so that a maximum grows with the number of images.
    """
    labels = np.repeat(np.arange(CLASSES), each)
    out = []
    for _ in LAYERS:
        mu = np.exp(heavy * rng.normal(size=(CLASSES * each, UNITS)) + 0.01 * rng.normal(size=(CLASSES * each, UNITS)))
        mu += selective * (labels[:, None] == np.arange(UNITS) % CLASSES)
        for c in range(CLASSES):
            mu[c * each + rng.integers(each, size=UNITS), np.arange(UNITS)] += peaks
        out.append(mu)
    return out


@pytest.fixture(autouse=True)
def _few_permutations(monkeypatch):
    monkeypatch.setattr(experiment, "PERMUTATIONS", 60)


def study(folder, worlds, **options):
    paths = []
    for seed, views in enumerate(worlds):
        paths.append(str(folder / f"seed{seed}.npz"))
        save_arrays(measures(views) if "groups" not in views else views, paths[-1])
    inputs = Inputs([("simclr", seed) for seed in range(len(paths))], {"measures": paths})
    table, findings = experiment.analyse(inputs, {**OPTIONS, **options})
    return table, tabulate(experiment.CLAIMS, findings, experiment="unit_sets").set_index("claim")


def worlds(seeds=3, **planted):
    return [same(np.random.default_rng([40, seed]), **planted) for seed in range(seeds)]


def value(table, name, group="candidate", what="mean", column="value"):
    rows = table[(table["series"] == name) & (table["group"] == group) & (table["what"] == what)]
    return rows.set_index("layer")[column]


@pytest.mark.parametrize("group", ["candidate", "external"])
def test_sets_without_a_choice_have_the_unitmem_of_a_literal_reference(tmp_path, group):
    views = worlds(1, heavy=0.5)[0]
    table, _ = study(tmp_path, [views])
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


def test_groups_are_cut_to_as_many_images_of_each_class(tmp_path):
    arrays = measures(worlds(1)[0])
    kept = ~((arrays["groups"] == "external") & (arrays["labels"] == 1) & (arrays["points"] % 2 == 0))
    arrays = {k: a[kept] if len(a) == len(kept) else a for k, a in arrays.items()}
    sample = experiment._by_class(arrays, 0, OPTIONS)
    sizes = {name: len(rows) for name, rows in sample.items()}
    assert sizes == {f"{g} {c}": EACH - 6 * (c == 1) for g in ("candidate", "external") for c in range(CLASSES)}
    assert next(iter(sample.values())).shape[1] == len(LAYERS) * UNITS


def test_one_peak_in_every_class_is_found_on_any_class(tmp_path):
    # Of 12 images of one class one has 101, eleven have 1: 100 / 102. Few images drawn at random lack it.
    table, rows = study(tmp_path, worlds(peaks=100.0))
    np.testing.assert_allclose(value(table, "one class"), 100 / 102, atol=0.01)
    assert (value(table, "evenly") < 0.9).all()
    said = rows["verdict"]
    assert said["unit_sets.one-class-max"] == "supported"
    assert rows.loc["unit_sets.one-class-max", "effect"] == pytest.approx(100 / 102 - 0.8, abs=0.01)
    assert rows.loc["unit_sets.one-class-max", "paper_effect"] == 0.07
    assert said["unit_sets.make-up"] == "refuted" and said["unit_sets.size"] == "supported"
    assert said["unit_sets.excess"] == "inconclusive"


def test_even_activations_have_no_make_up(tmp_path):
    _, rows = study(tmp_path, worlds(peaks=0.0))
    said = rows["verdict"]
    for claim in ("make-up", "evenly", "drop", "drop-cut"):
        assert said[f"unit_sets.{claim}"] == "supported", claim
    assert said["unit_sets.one-class-max"] == "refuted"
    assert rows.loc["unit_sets.drop", "effect"] == pytest.approx(0.04, abs=0.02)


def test_a_maximum_that_grows_with_the_number_is_told_from_make_up(tmp_path):
    _, rows = study(tmp_path, worlds(peaks=0.0, heavy=0.7))
    said = rows["verdict"]
    assert said["unit_sets.make-up"] == said["unit_sets.drop"] == "refuted"
    assert said["unit_sets.size"] == "supported"
    # As many images of one class as of all: nothing but the number differs.
    assert abs(rows.loc["unit_sets.drop-cut", "effect"] - 0.04) < 0.03


def test_units_of_a_class_fall_where_that_class_is_alone(tmp_path):
    _, rows = study(tmp_path, worlds(peaks=0.0, selective=3.0))
    assert rows.loc["unit_sets.drop-cut", "verdict"] == rows.loc["unit_sets.drop", "verdict"] == "refuted"
    # Few at random may lack a unit's class, few of every class may not: the even ones have more.
    assert rows.loc["unit_sets.evenly", "effect"] < 0.04


def test_units_whose_order_is_another_on_every_class_are_told(tmp_path):
    def ordered(rng, keep):
        views = same(rng, peaks=0.0)
        for mu in (mu for group in ("candidate", "external") for mu in views[group]):
            heights = rng.permutation(np.linspace(1, 20, UNITS))
            for c in range(CLASSES):
                mu[c * EACH, :] += heights if keep else rng.permutation(heights) * (0.2 + c)
        return views

    for keep, verdict in ((True, "supported"), (False, "refuted")):
        _, rows = study(tmp_path, [ordered(np.random.default_rng([41, s]), keep) for s in range(3)])
        assert rows.loc["unit_sets.order", "verdict"] == verdict


def test_an_excess_on_one_class_is_that_of_candidates(tmp_path):
    made = worlds(peaks=1.0)
    for views in made:
        views["candidate"] = planted_views(np.random.default_rng(5), peaks=5.0)
    table, rows = study(tmp_path, made)
    assert rows.loc["unit_sets.excess", "verdict"] == "supported"
    # No deal is as extreme: 2 (1 + 0) / (1 + 60).
    assert rows.loc["unit_sets.excess", "p"] == pytest.approx(2 / 61)
    gap = value(table, "one class")["3"] - value(table, "one class", "external")["3"]
    assert rows.loc["unit_sets.excess", "effect"] == pytest.approx(gap) and gap == pytest.approx(
        5 / 7 - 1 / 3, abs=0.02
    )


def test_an_excess_of_chance_is_rarely_taken_for_one(tmp_path):
    samples = [[experiment._by_class(measures(w), 0, OPTIONS)] for w in worlds(40, peaks=0.0, heavy=0.5)]
    p = np.array([experiment._p_of_excess(sample, 2 * UNITS) for sample in samples])
    # Uniform where there is nothing: half of them above one half.
    assert 0.25 < (p < 0.5).mean() < 0.75 and (p <= 0.05).mean() < 0.2


@pytest.mark.parametrize("seeds", [1, 3])
def test_every_claim_has_a_finding_and_the_figure_is_drawn(tmp_path, seeds):
    table, rows = study(tmp_path, worlds(seeds, heavy=0.4))
    assert set(rows.index) == set(experiment.CLAIMS) and (rows["seeds"] == seeds).all()
    assert np.isfinite(rows[["effect", "low", "high"]].to_numpy()).all()
    assert rows["effect"].between(rows["low"], rows["high"]).all() and (rows["n"] == CLASSES * EACH).all()
    again, _ = study(tmp_path, worlds(seeds, heavy=0.4))
    assert again.equals(table)
    save_table(table, tmp_path / "table.csv")
    figure = experiment.draw(load_table(tmp_path / "table.csv"), np.zeros((1, 1, 16, 16), np.uint8))
    figure.canvas.draw()
    assert len(figure.axes) == 3
    plt.close(figure)


def test_too_few_classes_or_images_of_one_are_told(tmp_path):
    with pytest.raises(InputError, match="classes: 4 of 4 is no choice; lower it"):
        study(tmp_path, worlds(1), classes=4)
    with pytest.raises(InputError, match="size: 49 take 13 images of each class, a group has 12 of class 0; lower it"):
        study(tmp_path, worlds(1), size=49)


def test_a_set_as_large_as_a_group_is_no_choice():
    options = {"kind": "unit_sets", "encoders": ["simclr"], "draws": 3, "classes": 3}
    assert complaint({**options, "size": 6}, {}) is None
    assert "experiments.it.size: 200 of 200" in complaint({**options, "size": 200}, {})
