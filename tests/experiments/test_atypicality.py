"""Which images are memorized: planted correlations, owners and extremes come out."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from memloc.analysis.inputs import Inputs
from memloc.experiments.atypicality.analysis import CLAIMED, _extreme_units
from tests.builders.layers import many_but
from tests.builders.study import Study, of, save, single, verdicts

LAYERS, NUMBERED = ("1", "2", "res2", "3", "4"), ("1", "2", "3", "4")
GROUPS = ("candidate", "external")
POINTS, UNITS, SIZE = 60, 40, 12
OPTIONS = {"group_size": SIZE}
many = many_but(*GROUPS)


def world(folder, seeds=3, *, candidate=0.8, external=0.0, owners=("candidate",), sharp=("candidate",), spread=0.4):
    """Candidates' and external images' rank correlation of atypicality and last-layer SSLMem are planted.

    Args:
        candidate, external: correlations, of one value or of one a seed.
        owners: groups whose units that memorize more belong to more memorized points; else to any.
        sharp: groups on whose most memorized points units answer to a single image.
        spread: of candidates' SSLMem; that of other points is 0.2.
    """
    it = Study(folder, "atypicality")
    for seed in range(seeds):
        rng = np.random.default_rng([9, seed])
        points = sslmem(rng, spread)
        last = points[points["layer"] == "4"].set_index("point")
        tables = []
        for group, correlations in zip(GROUPS, (candidate, external), strict=True):
            rho, rows = np.broadcast_to(correlations, seeds)[seed], last[last["group"] == group]
            z = rows["sslmem"].rank(method="first").to_numpy() / len(rows) - 0.5
            atypicality = np.exp(rho * z + np.sqrt(1 - rho**2) * rng.permutation(z))
            about = {"point": rows.index.to_numpy(), "group": group, "label": 0}
            tables.append(pd.DataFrame({**about, "atypicality": atypicality}))
        units = [owned(last[last["group"] == group], group, group in owners, rng) for group in GROUPS]
        files = {"points": points, "atypicality": pd.concat(tables), "measures": measured(last, sharp, rng)}
        it.add("simclr", seed, units=pd.concat(units), **files)
    return it


def sslmem(rng, spread):
    """SSLMem that is a trait of every point, the same in all layers but for noise."""
    tables = []
    for g, group in enumerate(("candidate", "independent", "external")):
        trait = (spread if group == "candidate" else 0.2) * rng.permutation(np.linspace(-1, 1, POINTS))
        scores = 0.2 + trait[:, None, None] + 0.01 * rng.normal(size=(POINTS, len(LAYERS), 2))
        about = {"point": np.repeat(100 * g + np.arange(POINTS), len(LAYERS)), "group": group}
        half = {"sslmem": scores.mean(axis=-1).ravel(), "sslmem_choose": scores[..., 0].ravel()}
        tables.append(pd.DataFrame({**about, "layer": [*LAYERS] * POINTS, **half}))
    return pd.concat(tables, ignore_index=True)


def owned(rows, group, follows, rng):
    """Units of a group and their owners; one owner may have several."""
    order = rows["sslmem"].sort_values().index.to_numpy()
    units = pd.DataFrame({"layer": np.repeat(NUMBERED, UNITS), "unit": np.tile(np.arange(UNITS), 4)})
    units = units.assign(group=group, unitmem=np.tile(np.sort(rng.random(UNITS)), 4))
    places = np.sort(rng.choice(POINTS, UNITS)) if follows else rng.choice(POINTS, UNITS)
    # Earlier layers say the opposite, and a dead unit of the last layer has no owner.
    units["owner"] = np.concatenate([np.tile(order[::-1][places], 3), order[places]])
    units.loc[units.index[-UNITS], "owner"] = -1
    return units


def measured(last, sharp, rng):
    """Views of every unit: even on all points but one of the most memorized in each sharp group.

    So on the half of the draws that did not choose those points; on the other half all is the other way round.
    """
    arrays = {"points": last.index.to_numpy(), "groups": last["group"].to_numpy(str), "layers": np.array(LAYERS)}
    numbered = last.reset_index()
    for layer in NUMBERED:
        views = 0.5 + 0.02 * rng.random((len(last), 2, UNITS))
        for group in GROUPS:
            rows = numbered[numbered["group"] == group]
            best = rows.nlargest(SIZE, "sslmem_choose").index.to_numpy()
            worst = rows.nsmallest(SIZE, "sslmem_choose").index.to_numpy()
            views[rng.choice(worst, UNITS), 0, np.arange(UNITS)] = 9.0
            if group in sharp:
                views[rng.choice(best, UNITS), 1, np.arange(UNITS)] = 3.0
        arrays[f"views/{layer}"] = views
    return arrays


def scores(it, name):
    """Tables of an input, by seed."""
    return Inputs(it.runs, it.files).tables(name, "simclr")


def test_planted_rank_correlations_come_out(tmp_path):
    it = world(tmp_path)
    table, rows = it.analyse(**OPTIONS)
    expected = {group: [] for group in GROUPS}
    for points, atypicality in zip(scores(it, "points"), scores(it, "atypicality"), strict=True):
        last = points[points["layer"] == "4"].set_index("point")["sslmem"]
        for group, values in expected.items():
            of_group = atypicality[atypicality["group"] == group]
            values.append(spearmanr(of_group["atypicality"].round(12), last[of_group["point"]]).statistic)
    rho = of(table, "correlation", "simclr").to_dict()
    assert rho == pytest.approx({group: np.mean(values) for group, values in expected.items()})
    assert rho["candidate"] > 0.6 and abs(rho["external"]) < 0.2
    said, found = verdicts(rows), single(rows)
    # Four top units have too few owners to tell them by how many they own.
    assert said.pop("owned") == said.pop("owned-excess") == "inconclusive" and set(said.values()) == {"supported"}
    effects = found["effect"]
    assert effects["owners"] > 0.95 and effects["owners-excess"] > 0.5
    assert effects["top-owners"] > 0.1 and effects["top-owners-excess"] > 0.1
    # A row an owner, however many units it owns.
    units = scores(it, "units")[0]
    owners = units[(units["group"] == "candidate") & (units["layer"] == "4") & (units["owner"] >= 0)]["owner"]
    assert set(found["n"][["owners", "owners-excess"]]) == {owners.nunique()} and owners.nunique() < len(owners)
    assert set(found["n"][["top-owners", "top-owners-excess"]]) == {owners.tail(round(0.1 * len(owners))).nunique()}
    # One point at 3, the others at 0.51, is a UnitMem of 0.71; without it there is next to none.
    np.testing.assert_allclose(of(table, "most memorized", "simclr"), 0.71, atol=0.02)
    for name in ("least memorized", "most, external", "least, external"):
        np.testing.assert_allclose(of(table, name, "simclr"), 0.015, atol=0.01)
    assert list(of(table, "most memorized", "simclr").index) == list(NUMBERED)


def test_typical_images_refute(tmp_path):
    said = verdicts(world(tmp_path, candidate=-0.8).analyse(**OPTIONS)[1])
    assert said["correlation"] == said["correlation-excess"] == "refuted"


def test_a_correlation_that_external_images_show_too_is_no_excess(tmp_path):
    table, rows = world(tmp_path, external=0.8, owners=(), sharp=GROUPS).analyse(**OPTIONS)
    np.testing.assert_allclose(of(table, "most, external", "simclr"), 0.71, atol=0.02)
    np.testing.assert_allclose(of(table, "least, external", "simclr"), 0.015, atol=0.01)
    said = verdicts(rows)
    assert said["correlation"] == said["units"] == "supported"
    assert said["correlation-excess"] == said["units-excess"] == said["owners"] == "inconclusive"


def test_owners_that_external_images_have_too_are_no_excess(tmp_path):
    _, rows = world(tmp_path, owners=GROUPS).analyse(**OPTIONS)
    said = verdicts(rows)
    assert said["owners"] == said["top-owners"] == "supported" and said["owners-excess"] == "inconclusive"
    assert abs(single(rows)["effect"]["owners-excess"]) < 0.02


def test_owners_among_external_images_alone_refute_an_excess(tmp_path):
    said = verdicts(world(tmp_path, owners=("external",), spread=0.1).analyse(**OPTIONS)[1])
    assert said["owners"] == said["top-owners"] == "inconclusive"
    assert said["owners-excess"] == said["top-owners-excess"] == "refuted"


def counted(it, *, follows):
    """Give the last layer of each seed 200 units whose 20 top ones have owners with one to four of them.

    Args:
        follows: by group, 1 where those that own more are more memorized, -1 where less.

    Returns:
        Of each seed, {group: {owner: number owned}}.
    """
    planted = []
    for points, path in zip(scores(it, "points"), it.files["units"], strict=True):
        tables, counts = [], {}
        for group, sign in follows.items():
            last = points[(points["layer"] == "4") & (points["group"] == group)]
            order = last.sort_values("sslmem")["point"].to_numpy()[::sign]
            counts[group] = dict(zip(order[[5, 15, 25, 30, 45, 50, 55, 58]], (1, 1, 2, 2, 3, 3, 4, 4), strict=True))
            top = np.repeat(list(counts[group]), list(counts[group].values()))
            about = {"layer": "4", "unit": np.arange(200), "group": group, "unitmem": np.linspace(1, 0, 200)}
            tables.append(pd.DataFrame({**about, "owner": np.concatenate([top, np.repeat(order[:6], 30)])}))
        save(pd.concat(tables, ignore_index=True), path)
        planted.append(counts)
    return planted


@pytest.mark.parametrize(
    ("candidate", "external", "expected"),
    [(1, -1, ("supported", "supported")), (-1, 1, ("refuted", "refuted")), (1, 1, ("supported", "inconclusive"))],
)
def test_owners_of_more_top_units_come_out(tmp_path, candidate, external, expected):
    it = world(tmp_path)
    planted = counted(it, follows={"candidate": candidate, "external": external})
    table, rows = it.analyse(**OPTIONS)
    found = single(rows)
    assert tuple(found["verdict"][["owned", "owned-excess"]]) == expected
    assert found["n"]["owned"] == 8 and candidate * found["effect"]["owned"] > 0.9
    # Table 12: how many points own k of the top units, and their mean SSLMem, in all seeds.
    for group in GROUPS:
        rows = table[table["series"] == f"owners, {group}"].set_index("owns")
        assert rows["points"].to_dict() == dict.fromkeys((1, 2, 3, 4), 2 * 3)
        for k in (1, 2, 3, 4):
            means = [
                p[p["layer"] == "4"].set_index("point")["sslmem"][[o for o, count in c[group].items() if count == k]]
                for p, c in zip(scores(it, "points"), planted, strict=True)
            ]
            assert rows["value"][k] == pytest.approx(np.mean(means))
            assert rows["low"][k] < rows["value"][k] < rows["high"][k]


def test_rank_correlations_have_intervals_between_minus_one_and_one(tmp_path):
    table, rows = world(tmp_path, candidate=[0.6, 0.9, 0.999], external=-0.999).analyse(**OPTIONS)
    assert of(table, "correlation", "simclr", "high").max() <= 1
    assert of(table, "correlation", "simclr", "low").min() >= -1
    assert (single(rows)["high"][["correlation", "owners"]] <= 1).all()


def test_the_most_and_least_memorized_candidates_are_named_in_order(tmp_path):
    it = world(tmp_path)
    table, _ = it.analyse(**OPTIONS)
    points = table[table["series"] == "point"]
    assert len(points) == 3 * POINTS
    for of_seed, (_, run) in zip(scores(it, "points"), points.groupby("run"), strict=True):
        named = run[run["place"] != ""].set_index("place")["point"]
        # As chosen: on the first half of the draws.
        rows = of_seed[(of_seed["layer"] == "4") & (of_seed["group"] == "candidate")]
        best = rows.sort_values("sslmem_choose", ascending=False)["point"].to_numpy()
        assert len(named) == 2 * SIZE
        assert [named[f"most {i}"] for i in range(SIZE)] == best[:SIZE].tolist()
        assert [named[f"least {i}"] for i in range(SIZE)] == best[::-1][:SIZE].tolist()


def test_on_complementary_halves_the_figure_shows_what_is_claimed_over_all_pairs(tmp_path):
    it = world(tmp_path)
    table, _ = it.analyse(**OPTIONS)
    rows = {"layer": ["correlation", "owners", "owned"], "value": [0.4, 0.2, 0.1], "low": 0.0, "high": 0.5}
    claimed = pd.DataFrame(rows).assign(encoder="simclr", series="over all pairs")
    figure = it.drawn(pd.concat([table, claimed], ignore_index=True), settled=False)
    (axis,) = (one for one in figure.axes if "over all pairs" in one.get_xlabel())
    assert [label.get_text() for label in axis.get_yticklabels()] == CLAIMED
    np.testing.assert_allclose(sorted(axis.containers[0].lines[0].get_xdata()), [0.1, 0.2, 0.4])
    plt.close(figure)


def test_extremes_of_every_seed_and_kind_are_resampled_apart():
    # Both kinds and both seeds have the same activations: nothing but the resamples tells them apart.
    views = np.tile(np.random.default_rng(0).random((SIZE, 2, UNITS)), (2, 1, 1))
    measures = {"layers": np.array(["1"]), "points": np.arange(2 * SIZE), "views/1": views}
    chosen = {("candidate", "most"): np.arange(SIZE), ("candidate", "least"): SIZE + np.arange(SIZE)}
    one, two = (
        _extreme_units(
            SimpleNamespace(arrays=lambda *_, n=n: [measures] * n, options={"resamples": 30}), "simclr", [chosen] * n
        )[1]
        for n in (1, 2)
    )
    most, least = one["candidate", "most"], one["candidate", "least"]
    assert np.array_equal(most.value, least.value) and not np.allclose(most.fixed, least.fixed)
    assert not np.allclose(two["candidate", "most"].fixed, most.fixed)
