"""The gallery of units and the number of their owners, on planted activations."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.experiments.gallery import analysis as experiment
from memloc.metrics.units import unitmem
from tests.builders.study import Study, single, verdicts

OPTIONS = {"units": 4, "resamples": 80}
LAYERS, UNITS, N = ("1", "2", "3"), 60, 80


def measures(seed, *, few=(), n=N):
    """Activations in which a unit has one image far above the others: any, or in the groups ``few`` one of two."""
    rng, parts = np.random.default_rng([43, seed]), {}
    for group in ("shared", "candidate", "external"):
        mu = [0.5 + 0.1 * rng.random((n, UNITS)) for _ in LAYERS]
        for layer in mu:
            owner = rng.integers(2 if group in few else n, size=UNITS)
            layer[owner, np.arange(UNITS)] += 2 + rng.random(UNITS)
        parts[group] = mu
    arrays = {"points": 7 + np.arange(3 * n), "groups": np.repeat([*parts], n), "layers": np.array([*LAYERS, "output"])}
    for k, layer in enumerate(LAYERS):
        mu = np.concatenate([mu[k] for mu in parts.values()])
        arrays[f"views/{layer}"] = np.stack([0.5 * mu, 1.5 * mu], axis=1)
    return arrays


def world(folder, seeds=3, **planted):
    it = Study(folder, "gallery")
    for seed in range(seeds):
        it.add("simclr", seed, measures=measures(seed, **planted))
    return it


def test_owners_are_counted_against_independent_draws():
    # 20 units a layer, the top two of each with one owner, with two, and in a layer that nothing excites.
    mu = np.full((5, 60), 0.5)
    mu[3, [4, 9]] = 5.0
    mu[[1, 2], [20, 21]] = 5.0
    mu[:, 40:] = 0.0
    chance = 5 * (1 - (1 - 1 / 5) ** 2)
    found = experiment.too_few_owners(mu, np.array([0, 20, 40]))
    np.testing.assert_allclose(found, [(chance - 1) / 2, (chance - 2) / 2, 0])


def test_chance_is_what_random_owners_make():
    rng, found = np.random.default_rng(1), []
    for _ in range(300):
        mu = 0.5 + 0.1 * rng.random((30, 200))
        mu[rng.integers(30, size=200), np.arange(200)] += 3
        found.append(experiment.too_few_owners(mu, np.array([0]))[0])
    assert abs(np.mean(found)) < 4 * np.std(found) / 300**0.5


def test_the_paper_effect_is_that_of_table_12():
    chance, counts = 5000 * (1 - (1 - 1 / 5000) ** 26), {1: 10, 2: 2, 3: 1, 4: 1, 5: 1}
    assert sum(k * points for k, points in counts.items()) == 26
    value = experiment.CLAIMS["few-owners"].value
    assert value == pytest.approx((chance - sum(counts.values())) / 26, abs=0.005)


@pytest.mark.parametrize(
    ("few", "expected"),
    [
        (("candidate",), {"few-owners": "supported", "few-owners-excess": "supported"}),
        (("external",), {"few-owners-excess": "refuted"}),
        (("candidate", "external"), {"few-owners": "supported", "few-owners-excess": "inconclusive"}),
    ],
)
def test_planted_owners_come_out(tmp_path, few, expected):
    _, rows = world(tmp_path, few=few).analyse(**OPTIONS)
    assert expected.items() <= verdicts(rows).items()
    if "candidate" in few:
        # Six top units: chance makes nearly six owners, here there are two.
        assert single(rows)["effect"]["few-owners"] == pytest.approx((5.8 - 2) / 6, abs=0.1)
    assert (rows["n"] == N).all()


def test_units_are_shown_with_the_images_that_excite_them_most(tmp_path):
    arrays = measures(0)
    table, _ = world(tmp_path, seeds=2).analyse(**OPTIONS)
    shown = table[table["series"] == "unit"]
    assert len(shown) == len(LAYERS) * 4 * (3 + 1)
    for layer in LAYERS:
        mu = arrays[f"views/{layer}"].mean(axis=1)
        score = {g: unitmem(mu[arrays["groups"] == g]) for g in ("candidate", "external")}
        of_layer = shown[shown["layer"] == layer]
        order = np.argsort(-score["candidate"], kind="stable")[:4]
        firsts = of_layer[(of_layer["place"] == 0) & (of_layer["group"] == "candidate")]
        assert firsts["unit"].tolist() == order.tolist()
        for unit, rows in of_layer.astype({"unit": int}).groupby("unit"):
            for group, some in rows.groupby("group"):
                activity = mu[arrays["groups"] == group][:, unit]
                best = arrays["points"][arrays["groups"] == group][np.argsort(-activity)[: len(some)]]
                assert some.sort_values("place")["point"].tolist() == best.tolist()
                assert some["value"].to_numpy() == pytest.approx(score[group][unit])


def test_groups_are_subsets_of_one_size():
    arrays = measures(0)
    rows = (arrays["groups"] != "external") | (arrays["points"] % 2 == 0)
    arrays = {name: array[rows] if len(array) == len(rows) else array for name, array in arrays.items()}
    groups = experiment._groups(arrays, 0)
    sizes = {name: (*group.activations.shape, len(group.points)) for name, group in groups.items()}
    assert sizes == dict.fromkeys(("candidate", "external"), (N // 2, 3 * UNITS, N // 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_figure_shows_the_owners(tmp_path, channels):
    it = world(tmp_path, seeds=1)
    table, _ = it.analyse(**OPTIONS)
    # Every image has its own grey: which one is where can be read from the picture.
    grey = np.arange(3 * N + 7, dtype=np.uint8)
    figure = it.drawn(table, np.broadcast_to(grey[:, None, None, None], (len(grey), channels, 16, 16)))
    (picture,) = figure.axes[0].images
    canvas, shown = picture.get_array(), table[table["series"] == "unit"]
    owners = shown[(shown["place"] == 0) & (shown["rank"] == 0) & (shown["group"] == "candidate")]["point"]
    height = canvas.shape[0] // len(LAYERS)
    assert [canvas[height * k + height - 1, 0].tolist() for k in range(3)] == [[grey[int(p)]] * 3 for p in owners]
    assert len(figure.axes[0].texts) == len(LAYERS) * experiment.SHOWN_UNITS * 2
    plt.close(figure)
