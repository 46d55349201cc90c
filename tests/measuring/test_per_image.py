"""One file of scores per image: what it holds is what the measures and the tables of scores hold."""

import json
from dataclasses import replace

import numpy as np
import pytest

from memloc import io, per_image, provenance
from memloc.errors import InputError
from memloc.measuring.per_image import joined
from memloc.measuring.points import point_scores
from memloc.measuring.units import unit_scores
from memloc.metrics.pairs import crossed_mean, gains
from tests.builders.measures import LAYERS, UNITS, random_measures

SIZES = {"candidate": 12, "independent": 12, "external": 12}
LABELS = np.arange(36) % 3
ABOUT = {"dataset": "digits", "classes": ["a", "b", "c"], "normalisation": "ratio"}


def halves(seed):
    """Measures of f and g on one pool, dealt anew for every seed."""
    rng = np.random.default_rng(seed)
    pool = rng.permuted(np.arange(24).reshape(8, 3), axis=0).ravel()  # Rows keep their class, the number modulo 3.
    points = 7 * np.concatenate([pool, np.arange(24, 36)])
    pair = [random_measures(SIZES, seed=10 * seed + i, labels=points // 7 % 3) | {"points": points} for i in range(2)]
    return tuple(pair)


@pytest.fixture(scope="module")
def pairs():
    return [halves(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def scores(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("scores") / "halves.npz"
    names = [f"halves/{role}/seed{seed}" for seed in range(3) for role in "fg"]
    joined(pairs, names, ABOUT).save(path, provenance.record(path))
    return per_image.load(path)


def test_membership_and_alignment_are_those_of_the_tables_of_points(pairs, scores):
    assert scores.layers.tolist() == LAYERS and scores.about["dataset"] == "digits"
    assert len(scores.encoders) == 6 and scores.encoders[3] == "halves/g/seed1"
    for seed, (f, g) in enumerate(pairs):
        for row in point_scores(f, g, normalisation="ratio").itertuples():
            image = scores.names.tolist().index(f"digits/train/{row.point}")
            layer = LAYERS.index(row.layer)
            inside = scores.membership[2 * seed : 2 * seed + 2, image].tolist()
            assert inside == [row.group == "candidate", row.group == "independent"]
            assert scores.alignment[2 * seed, image, layer] == pytest.approx(row.alignment_f, rel=1e-6)
            assert scores.alignment[2 * seed + 1, image, layer] == pytest.approx(row.alignment_g, rel=1e-6)
            assert scores.labels[image] == row.label
    assert len(scores.pool) == 24 and not scores.membership[:, scores.names == "digits/train/245"].any()


def test_owners_are_those_of_the_tables_of_units(pairs, scores):
    assert scores.unit_layers.tolist() == [0] * UNITS["1"] + [2] * UNITS["2"]
    for number, measures in enumerate(side for pair in pairs for side in pair):
        table = unit_scores(measures, shuffles=1, seed=0)
        own, other = ("candidate", "independent") if number % 2 == 0 else ("independent", "candidate")
        for name, group in (("with", own), ("without", other)):
            owners = getattr(scores, f"owners_{name}")[number]
            expected = table[table["group"] == group]["owner"]
            assert scores.names[owners].tolist() == [f"digits/train/{point}" for point in expected]
            mu = np.concatenate([measures[f"views/{layer}"].mean(axis=1) for layer in UNITS], axis=1)
            at = [measures["points"].tolist().index(point) for point in expected]
            assert getattr(scores, f"activations_{name}")[number] == pytest.approx(mu[at, range(8)], rel=1e-6)


def test_memorization_is_that_of_the_pairs_experiment(pairs, scores):
    sslmem, inside = [], []
    for f, g in pairs:
        table = point_scores(f, g, normalisation="ratio")
        pool = table[table["group"] != "external"]
        sslmem.append(pool.pivot(index="point", columns="layer", values="sslmem")[LAYERS].to_numpy())
        inside.append(pool.drop_duplicates("point").set_index("point")["group"].sort_index() == "candidate")
    expected = gains(np.stack(sslmem), np.stack(inside), np.arange(24) % 3)
    found = scores.memorization(deals=50)
    assert found.pairs == ((0, 1), (2, 3), (4, 5))
    assert found.values == pytest.approx(expected.mean(axis=0), abs=1e-6)
    assert found.error == pytest.approx(expected.std(axis=0, ddof=1) / np.sqrt(3), abs=1e-6)
    for ours, theirs in zip(found.layermem.interval(), crossed_mean(expected).interval(), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_pairs_of_different_pools_are_refused(pairs):
    f, g = pairs[0]
    other = ({**f, "points": f["points"] + 1}, {**g, "points": g["points"] + 1})
    with pytest.raises(InputError, match="different pools"):
        joined([pairs[1], other], ["a", "b", "c", "d"], ABOUT)


def test_files_that_hold_something_else_are_one_line(scores, tmp_path):
    arrays = {name: getattr(scores, name) for name in per_image.AXES}
    for change, said in (
        ({"extra": np.zeros(1)}, "no scores per image"),
        ({"labels": scores.labels[:-1]}, "fits no other array"),
        ({"membership": scores.membership.astype(float)}, "membership is float64"),
        ({"alignment": np.full_like(scores.alignment, np.nan)}, "isn't finite"),
    ):
        io.save_arrays({**arrays, **change}, tmp_path / "x.npz")
        with pytest.raises(InputError, match=said):
            per_image.load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (None, "record"),
        ([], "record"),
        ({"about": {}, "sha256": ""}, "record"),
        ({"about": "ratio", "sha256": ""}, "record"),
        ({"about": ABOUT}, "record"),
        ({"about": {"normalisation": "half"}, "sha256": ""}, "'half' is none of ratio, range, none"),
        ({"about": ABOUT, "sha256": "0"}, "other arrays than were written"),
    ],
)
def test_a_file_that_does_not_say_how_to_read_it_is_refused(scores, tmp_path, record, said):
    stated = {} if record is None else {provenance.RECORD: np.array(json.dumps(record))}
    io.save_arrays({**{name: getattr(scores, name) for name in per_image.AXES}, **stated}, tmp_path / "x.npz")
    with pytest.raises(InputError, match=said):
        per_image.load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("name", "at", "value", "said"),
    [
        ("names", 1, "digits/train/0", "names: digits/train/0 is there twice"),
        ("encoders", 1, "halves/f/seed0", "encoders: halves/f/seed0 is there twice"),
        ("alignment", (0, 0, 0), -0.5, "alignment has -0.5"),
        ("unit_layers", 0, 3, "unit_layers has 3"),
        ("owners_with", (0, 0), 36, "owners_with has 36"),
        ("owners_without", (0, 0), -2, "owners_without has -2"),
    ],
)
def test_values_that_no_measure_gives_are_refused(scores, tmp_path, name, at, value, said):
    array = getattr(scores, name).copy()
    array[at] = value
    path = tmp_path / "x.npz"
    replace(scores, **{name: array}).save(path, provenance.record(path))
    with pytest.raises(InputError, match=said):
        per_image.load(path)


def test_normalisation_comes_back_with_the_file(scores, tmp_path):
    path, about = tmp_path / "x.npz", {**ABOUT, "normalisation": "none"}
    replace(scores, about=about).save(path, provenance.record(path))
    pool, inside = scores.pool, scores.membership[::2, scores.pool]
    differences = scores.alignment[1::2, pool].astype(float) - scores.alignment[::2, pool]
    expected = gains(differences, inside, scores.labels[pool]).mean(axis=0)
    assert per_image.load(path).memorization(deals=2).values == pytest.approx(expected)


def test_memorization_of_what_has_no_other_side_is_one_line(scores):
    labels = scores.labels.copy()
    labels[scores.membership[0]] = 5
    with pytest.raises(InputError, match="is not in both halves of pair 0"):
        replace(scores, labels=labels).memorization(deals=2)
    membership = scores.membership[:5]
    with pytest.raises(InputError, match="halves/f/seed2 has no partner"):
        replace(scores, membership=membership, alignment=scores.alignment[:5]).memorization(deals=2)
