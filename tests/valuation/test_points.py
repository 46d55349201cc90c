"""Values of an encoder's points: what they depend on, and what they must not depend on."""

import numpy as np
import pytest

from memloc import io
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.errors import InputError
from memloc.measuring import files as measures
from memloc.metrics.within import within_auroc
from memloc.valuation.oob import value
from memloc.valuation.points import LABELLINGS, SPACES, gathered_points, scored_points, value_points

N, SIZE, PATCH, SETTINGS = 40, 16, 4, {"learners": 40, "ratios": [0.5, 0.25], "patch": 4, "seed": 3}


@pytest.fixture
def world(toy):
    """Images of three classes, and measures of two encoders whose features hold the class with noise."""
    images, labels = toy(4 * N + 20)
    rng = np.random.default_rng(5)
    points = rng.permutation(len(images))[: 4 * N]
    groups = np.repeat(["shared", "candidate", "independent", "external"], N)

    def measures(seed):
        noise = np.random.default_rng(seed).normal(size=(4 * N, 6))
        return {
            "points": points,
            "groups": groups,
            "labels": labels[points],
            "features": (3 * np.eye(6)[labels[points]] + noise).astype(np.float32),
        }

    return images, measures(0), measures(1)


def test_candidates_and_external_points_are_valued_together(world):
    images, f, g = world
    got = value_points(images, f, g, {}, **SETTINGS)
    rows = np.isin(g["groups"], CANDIDATE_AND_NULL)
    assert (got["points"] == g["points"][rows]).all() and (got["groups"] == g["groups"][rows]).all()
    assert (got["classes"] == g["labels"][rows]).all() and not got["planted"].any() and not got["patched"].any()
    x = images[got["points"]].reshape(2 * N, -1) / 255
    cells = np.array([[4 * (r // 4) + c // 4 for c in range(SIZE)] for r in range(SIZE)]).ravel()
    assert got["ratios"].tolist() == [0.5, 0.25]
    for r, ratio in enumerate((0.5, 0.25)):
        expected = value(x, got["classes"], groups=cells, learners=40, ratio=ratio, seed=3)
        for key in ("rows", "cells", "counts"):
            np.testing.assert_array_equal(got[f"pixels/classes/{key}"][r], getattr(expected, key))
    for space, encoder in (("g", g), ("f", f)):
        unit = encoder["features"][rows].astype(float)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        for labelling in LABELLINGS:
            expected = value(unit, got[labelling], learners=40, ratio=0.5, seed=3)
            np.testing.assert_allclose(got[f"{space}/{labelling}/rows"][0], expected.rows, atol=1e-12)
    assert got["pixels/clusters/cells"].shape == (2, 2, 2 * N, 16)
    assert set(got) == {"points", "groups", "ratios", *LABELLINGS, "planted", "patched"} | {
        f"{space}/{labelling}/rows" for space in SPACES for labelling in LABELLINGS
    } | {f"pixels/{labelling}/{part}" for labelling in LABELLINGS for part in ("cells", "counts")}


def test_f_and_its_images_change_only_the_values_by_f(world):
    """Other features of f, and other shared and independent images, change values by f's features alone."""
    images, f, g = world
    other = f | {"features": f["features"][::-1]}
    trained_on = np.isin(g["groups"], ("shared", "independent"))
    changed = images.copy()
    changed[g["points"][trained_on]] = 0
    elsewhere = g | {"features": np.where(trained_on[:, None], 7, g["features"])}
    a, b = value_points(images, f, g, {}, **SETTINGS), value_points(changed, other, elsewhere, {}, **SETTINGS)
    differ = {key for key in a if a[key].tobytes() != b[key].tobytes()}
    assert differ == {"f/classes/rows", "f/clusters/rows"}


def test_clusters_need_only_the_number_of_classes(world):
    images, f, g = world
    got = value_points(images, f, g, {}, **SETTINGS)
    turned = g | {"labels": (g["labels"] + 1) % 3}
    again = value_points(images, f, turned, {}, **SETTINGS)
    assert (got["clusters"] == again["clusters"]).all() and (got["classes"] != again["classes"]).all()
    for space in SPACES:
        np.testing.assert_array_equal(got[f"{space}/clusters/rows"], again[f"{space}/clusters/rows"])
    # Features that hold the class make clusters of the classes, by other names.
    table = np.array([[((got["clusters"] == k) & (got["classes"] == c)).sum() for c in range(3)] for k in range(3)])
    assert table.max(axis=0).sum() > 0.8 * len(got["points"])


def test_workers_change_nothing(world):
    one, two = (value_points(*world, {}, **SETTINGS, workers=workers) for workers in (1, 2))
    assert all(one[key].tobytes() == two[key].tobytes() for key in one)


def test_planted_patches_are_marked_and_have_low_values(world):
    images, f, g = world
    planted = g["points"][np.isin(g["groups"], CANDIDATE_AND_NULL)][::8]
    swapped = images.copy()
    for point in planted:
        swapped[point, :, 4:12, 4:12] = images[
            g["points"][g["labels"] != g["labels"][g["points"] == point]][0], :, 4:12, 4:12
        ]
    at = np.full(len(planted), 4)
    swaps = {"points": planted, "donors": planted, "rows": at, "columns": at, "side": np.array(8)}
    got = value_points(swapped, f, g, swaps, **SETTINGS | {"learners": 100})
    assert (got["planted"] == np.isin(got["points"], planted)).all()
    assert np.flatnonzero(got["patched"][0]).tolist() == [5, 6, 9, 10] and not got["patched"][1].any()
    flag = got["planted"][None]
    assert within_auroc(-got["pixels/classes/rows"][0], flag, ~flag, got["classes"]).min() > 0.8


def test_measures_of_other_points_are_an_error(world):
    images, f, g = world
    with pytest.raises(InputError, match="measures of f and g differ in their points; delete both"):
        value_points(images, f | {"points": f["points"][::-1]}, g, {}, **SETTINGS)


def test_parts_of_the_learners_are_joined_to_the_bytes_of_one_call(world, tmp_path):
    io.save_arrays(value_points(*world, {}, **SETTINGS), tmp_path / "whole.npz")
    for number in (1, 2, 3, 4):  # Of 40 learners in chunks of 16 one part has none.
        about, scores = scored_points(*world, {}, number=number, of=4, **SETTINGS)
        measures.save(tmp_path / f"{number}.npz", about, scores)
    parts = [measures.Arrays(tmp_path / f"{number}.npz") for number in (1, 2, 3, 4)]
    assert any("g/classes/scores" not in part for part in parts)
    options = {key: SETTINGS[key] for key in ("learners", "ratios", "seed")}
    io.save_arrays(gathered_points(parts, **options), tmp_path / "joined.npz")
    assert (tmp_path / "joined.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    other = dict(parts[2]) | {"clusters": parts[2]["clusters"][::-1]}
    with pytest.raises(InputError, match="differ in their clusters"):
        gathered_points([parts[0], parts[1], other, parts[3]], **options)
