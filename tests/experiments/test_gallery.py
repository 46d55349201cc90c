"""The gallery of units and the number of their owners, on planted activations."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.analysis.claims import tabulate
from memloc.analysis.inputs import Inputs
from memloc.analysis.tables import load_table, save_table
from memloc.experiments.gallery import analysis as experiment
from memloc.io import save_arrays
from memloc.metrics.units import unitmem

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


def study(folder, seeds, **options):
    paths = []
    for seed, arrays in enumerate(seeds):
        paths.append(str(folder / f"{seed}.npz"))
        save_arrays(arrays, paths[-1])
    inputs = Inputs([("simclr", seed) for seed in range(len(paths))], {"measures": paths})
    table, findings = experiment.analyse(inputs, {"units": 4, "replicates": 80, **options})
    return table, tabulate(experiment.CLAIMS, findings, experiment="gallery").set_index("claim")


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
    value = experiment.CLAIMS["gallery.few-owners"].value
    assert value == pytest.approx((chance - sum(counts.values())) / 26, abs=0.005)


@pytest.mark.parametrize(("few", "said"), [(("candidate",), ("supported", "supported")),
                                           (("external",), (None, "refuted")),
                                           (("candidate", "external"), ("supported", "inconclusive"))])  # fmt: skip
def test_planted_owners_come_out(tmp_path, few, said):
    _, rows = study(tmp_path, [measures(seed, few=few) for seed in range(3)])
    assert rows.loc["gallery.few-owners-excess", "verdict"] == said[1]
    if said[0]:
        assert rows.loc["gallery.few-owners", "verdict"] == said[0]
        # Six top units: chance makes nearly six owners, here there are two.
        assert rows.loc["gallery.few-owners", "effect"] == pytest.approx((5.8 - 2) / 6, abs=0.1)
    assert (rows["n"] == N).all() and (rows["seeds"] == 3).all()


def test_units_are_shown_with_the_images_that_excite_them_most(tmp_path):
    arrays = measures(0)
    table, _ = study(tmp_path, [arrays, measures(1)])
    shown = table[table["series"] == "unit"]
    assert len(shown) == len(LAYERS) * 4 * (3 + 1)
    for layer in LAYERS:
        mu = arrays[f"views/{layer}"].mean(axis=1)
        score = {g: unitmem(mu[arrays["groups"] == g]) for g in ("candidate", "external")}
        mine = shown[shown["layer"] == layer]
        order = np.argsort(-score["candidate"], kind="stable")[:4]
        assert mine[(mine["place"] == 0) & (mine["group"] == "candidate")]["unit"].tolist() == order.tolist()
        for unit, rows in mine.astype({"unit": int}).groupby("unit"):
            for group, some in rows.groupby("group"):
                activity = mu[arrays["groups"] == group][:, unit]
                best = arrays["points"][arrays["groups"] == group][np.argsort(-activity)[: len(some)]]
                assert some.sort_values("place")["point"].tolist() == best.tolist()
                assert some["value"].to_numpy() == pytest.approx(score[group][unit])


def test_groups_are_drawn_down_to_one_size(tmp_path):
    arrays = measures(0)
    kept = (arrays["groups"] != "external") | (arrays["points"] % 2 == 0)
    arrays = {k: a[kept] if len(a) == len(kept) else a for k, a in arrays.items()}
    groups, layers, begins = experiment._groups(arrays, 0)
    assert {g: mu.shape for g, (mu, _) in groups.items()} == dict.fromkeys(groups, (N // 2, 3 * UNITS))
    assert layers == list(LAYERS) and begins.tolist() == [0, UNITS, 2 * UNITS]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seeds", [1, 2])
def test_the_figure_shows_the_owners(tmp_path, seeds, channels):
    (table, rows), (again, _) = (study(tmp_path, [measures(s) for s in range(seeds)]) for _ in range(2))
    assert table.equals(again) and set(rows.index) == set(experiment.CLAIMS)
    assert rows["effect"].between(rows["low"], rows["high"]).all()
    save_table(table, tmp_path / "table.csv")
    # Every image has a grey of its own: which one stands where can be read from the picture.
    grey = np.arange(3 * N + 7, dtype=np.uint8)
    images = np.broadcast_to(grey[:, None, None, None], (len(grey), channels, 16, 16))
    figure = experiment.draw(load_table(tmp_path / "table.csv"), images)
    figure.canvas.draw()
    (picture,) = figure.axes[0].images
    canvas, shown = picture.get_array(), table[table["series"] == "unit"]
    owners = shown[(shown["place"] == 0) & (shown["rank"] == 0) & (shown["group"] == "candidate")]["point"]
    height = canvas.shape[0] // len(LAYERS)
    assert [canvas[height * k + height - 1, 0].tolist() for k in range(3)] == [[grey[int(p)]] * 3 for p in owners]
    assert len(figure.axes[0].texts) == len(LAYERS) * 4 * 2
    plt.close(figure)
