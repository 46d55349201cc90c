"""Points that layers and encoders memorize in common: what was planted must come out, and chance where nothing was."""

import itertools
import logging

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from memloc.analysis.tables import load_table
from memloc.experiments.overlap import analysis as experiment
from memloc.metrics.overlap import chance, kendall, overlap, top
from tests.builders.figures import VIT
from tests.builders.planted import places_of, score_table
from tests.builders.study import Study, by_claim, complaint, single

N, SIZE = 80, 16
LAYERS = ("1", "2", "3", "4", "5", "6", "7")
DEEP = len(LAYERS)
OPTIONS = {"size": SIZE}


# --- the metric -------------------------------------------------------------------------------------------------------


def test_the_highest_points_are_members_and_ties_share_what_is_left():
    scores = np.array([[5, 1, 0], [4, 3, 0], [3, 3, 0], [2, 3, 0], [1, 9, 0]])
    expected = [[1, 0, 0.4], [1, 1 / 3, 0.4], [0, 1 / 3, 0.4], [0, 1 / 3, 0.4], [0, 1, 0.4]]
    np.testing.assert_allclose(top(scores, 2), expected)
    np.testing.assert_array_equal(top(scores, 5), 1)


@pytest.mark.parametrize("size", [0, 6])
def test_more_points_than_there_are_or_none_are_refused(size):
    with pytest.raises(ValueError, match=f"5 points have no {size} highest"):
        top(np.zeros((5, 2)), size)


def test_overlap_is_the_share_of_common_points():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 30, 4))
    expected = [
        [len({*np.argsort(-first[:, i])[:7]} & {*np.argsort(-second[:, j])[:7]}) / 7 for j in range(4)]
        for i in range(4)
    ]
    got = overlap(top(first, 7), top(second, 7), 7)
    np.testing.assert_allclose(got, expected)
    # Ranks alone count, and not which point is which.
    order = rng.permutation(30)
    np.testing.assert_allclose(overlap(top(np.exp(first)[order], 7), top(second[order] * 3 - 1, 7), 7), got)


def test_what_lies_between_points_and_columns_is_kept_apart():
    scores = np.random.default_rng(1).normal(size=(30, 3, 2))
    members = top(scores, 5)
    for k in range(3):
        alone = top(scores[:, k], 5)
        np.testing.assert_allclose(overlap(members, members, 5)[k], overlap(alone, alone, 5))


def test_a_column_that_tells_nothing_apart_overlaps_by_chance():
    scores = np.stack([np.zeros(20), np.arange(20.0), np.full(20, 3.0)], axis=1)
    shared = overlap(top(scores, 5), top(scores, 5), 5)
    np.testing.assert_allclose(shared[0], 0.25)
    assert shared[1, 1] == 1 and shared[2, 0] == 0.25


def test_chance_is_hypergeometric():
    # Of 10 points 2 and 2: nothing in common in 28 of 45 cases, one in 16, both in 1.
    assert chance(10, 2, level=0.95) == (0.2, 0.0, 0.5)
    assert chance(10, 2, level=0.99) == (0.2, 0.0, 1.0)


@pytest.mark.parametrize("ties", [False, True])
def test_rows_of_kendalls_tau_average_to_it(ties):
    scores = np.random.default_rng(2).normal(size=(40, 4)).cumsum(axis=1)
    scores = scores.round() if ties else scores
    tau = kendall(scores).mean(axis=0)
    for i, j in itertools.product(range(4), repeat=2):
        assert tau[i, j] == pytest.approx(kendalltau(scores[:, i], scores[:, j]).statistic, abs=1e-6)


def test_a_constant_column_has_no_tau():
    scores = np.stack([np.zeros(9), np.arange(9.0)], axis=1)
    np.testing.assert_allclose(kendall(scores).mean(axis=0), [[0, 0], [0, 1]], atol=1e-12)


def test_rows_of_kendalls_tau_have_its_spread():
    # Between independent rankings: variance 2 (2 n + 5) / (9 n (n - 1)).
    rng, n = np.random.default_rng(3), 100
    errors = [kendall(rng.normal(size=(n, 2)))[:, 0, 1].var() / n for _ in range(60)]
    assert np.sqrt(np.mean(errors)) == pytest.approx(np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))), rel=0.1)


@pytest.fixture(autouse=True)
def few_deals(monkeypatch):
    monkeypatch.setattr(experiment, "DEALS", 100)


# --- the experiment ---------------------------------------------------------------------------------------------------


def drift(seed, *, step=0.35, n=N, layers=DEEP):
    """A trait that drifts from layer to layer, so near layers order points more alike: [n, layers]."""
    steps = np.random.default_rng([20, seed]).normal(size=(n, layers))
    steps[:, 1:] *= step
    return steps.cumsum(axis=1)


def nothing(seed, *, n=N, layers=DEEP):
    return np.random.default_rng([21, seed]).normal(size=(n, layers))


def blank(seed, *, n=N, layers=DEEP):
    """No trait: whatever there is, is each encoder's own."""
    return np.zeros((n, layers))


def points(candidate, external, *, seed, layers=LAYERS, split=0, noise=0.1, common=0.0):
    """SSLMem with planted traits [n, layers] of candidates and external images.

    Args:
        noise: of each layer and half of the draws.
        common: noise of each half of the draws in all layers at once.
    """
    rng, scores = np.random.default_rng([22, seed]), {}
    for group, true in (("candidate", candidate), ("independent", 0 * candidate), ("external", external)):
        halves = [
            true + common * rng.normal(size=(len(true), 1)) + noise * rng.normal(size=true.shape) for _ in range(2)
        ]
        summed = rng.normal(size=len(true))  # A sum among the layers, which orders points at random.
        choose, score = (np.column_stack([half, summed]) for half in halves)
        scores[group] = {"sslmem": (choose + score) / 2, "sslmem_choose": choose, "sslmem_score": score}
    return score_table(scores, places_of([*layers, "res"]), split=split)


@pytest.fixture
def study(tmp_path):
    """Encoder ``simclr`` with these traits by seed, every seed a split of its own."""

    def make(candidate, external, *, seeds=3, **planted):
        made = Study(tmp_path, "overlap")
        for seed in range(seeds):
            table = points(candidate(seed), external(seed + 50), seed=seed, split=seed, **planted)
            made.add("simclr", seed, points=table)
        return made

    return make


def of_one_split(folder, candidate, external, *, own, runs=3, splits=1, **planted):
    """A study of encoders trained on one split: trait [n, layers] of the split, and how far each encoder has its own.

    ``splits`` of them, ``runs`` encoders each, called a, b, c.
    """
    made = Study(folder, "overlap")
    for run in range(runs):
        for split in range(splits):
            seed = 10 * split + run
            traits = [
                trait(split + 50 * g) + own * nothing(seed + 100 * (g + 1))
                for g, trait in enumerate((candidate, external))
            ]
            made.add("abc"[run], split, points=points(*traits, seed=seed, split=split, **planted))
    return made


def of_halves(made, trait, *, seeds, own=0.0, noise=0.1):
    """Encoder ``halves``: pairs on complementary halves of one pool of 2 N images, which have a trait [2 N, layers].

    SSLMem is that of f's half, and minus that of g's.

    Args:
        own: how much of its own, alike in all layers, a pair says of every image.
    """
    made.roles["halves"] = ("f", "g")
    for seed in range(seeds):
        rng = np.random.default_rng([23, seed])
        order = rng.permutation(2 * N)
        known = (trait + own * rng.normal(size=(2 * N, 1)))[order]
        table = points(known[:N], nothing(seed + 70), seed=seed, noise=noise)
        of_g = table["group"] == "independent"
        scores = [name for name in table if name.startswith("sslmem")]
        width = len(LAYERS) + 1
        g = points(-known[N:], nothing(seed), seed=seed + 40, noise=noise)
        table.loc[of_g, scores] = g.loc[g["group"] == "candidate", scores].to_numpy()
        for group, ids in (("candidate", order[:N]), ("independent", order[N:]), ("external", 2 * N + np.arange(N))):
            table.loc[table["group"] == group, "point"] = np.repeat(ids, width)
        made.add("halves", seed, points=table)
        made.roles["halves"] = ("f", "g")
    return made


def world(folder, seeds=3):
    made = of_one_split(folder, drift, nothing, own=0.3, runs=2, splits=seeds)
    return of_halves(made, drift(5, n=2 * N), seeds=seeds)


def many(table, *, encoders, layers):
    """The table with a transformer's layers: pairs of layers as far apart as they are, the same over and over."""
    grown = []
    every = [(i, j) for i in range(len(VIT)) for j in range(i, len(VIT))]
    for (_, _, part), rows in table.groupby(["encoder", "series", "part"], sort=False):
        if part in ("images", "reliability") or len(rows) == 1:
            grown.append(rows)
            continue
        count = {"layers": len(every), "distance": len(VIT) - 1}.get(part, len(VIT))
        more = rows.iloc[np.arange(count) % len(rows)].reset_index(drop=True)
        if part == "layers":
            i, j = np.array(every).T
            more = more.assign(layer=np.array(VIT)[i], other=np.array(VIT)[j], distance=j - i)
        elif part == "distance":
            more = more.assign(layer=np.arange(1, len(VIT)).astype(str), distance=np.arange(1, len(VIT)))
        else:
            more = more.assign(layer=VIT)
        grown.append(more)
    return pd.concat(grown, ignore_index=True)


@pytest.fixture
def again(tmp_path):
    return lambda *traits, **planted: of_one_split(tmp_path, *traits, **planted)


def verdicts(rows, claims):
    return {claim: by_claim(rows, f"overlap.{claim}")["verdict"].iloc[0] for claim in claims}


LAYERED = ("falls", "near", "adjacent", "excess", "tau", "tau-excess")
SEEDED = ("seeds", "seeds-rises", "seeds-excess")


def test_every_pair_of_layers_has_the_overlap_of_its_sets(study):
    made = study(drift, nothing, noise=0.4, seeds=2)
    table, _ = made.analyse(**OPTIONS, resamples=20)
    pairs = table[table["part"] == "layers"].set_index(["series", "layer", "other"])["value"]
    seeds = [load_table(path) for path in made.files["points"]]
    for group, (i, j) in itertools.product(("candidate", "external"), itertools.combinations(LAYERS, 2)):
        halves, same, tau = [], [], []
        for seed in seeds:
            mine = seed[seed["group"] == group].set_index(["layer", "point"])
            best = {
                (score, layer): set(mine.loc[layer, score].nlargest(SIZE).index)
                for score in ("sslmem", "sslmem_choose", "sslmem_score")
                for layer in (i, j)
            }
            halves += [len(best["sslmem_choose", a] & best["sslmem_score", b]) / SIZE for a, b in ((i, j), (j, i))]
            same.append(len(best["sslmem", i] & best["sslmem", j]) / SIZE)
            tau.append(kendalltau(mine.loc[i, "sslmem"], mine.loc[j, "sslmem"]).statistic)
        assert pairs[group, i, j] == pytest.approx(np.mean(halves))
        assert pairs[f"{group}, same draws", i, j] == pytest.approx(np.mean(same))
        assert pairs[f"{group}, tau", i, j] == pytest.approx(np.mean(tau), abs=1e-6)
    # A layer with itself: how well the two halves agree. Nothing of the sum is there.
    halves = []
    for seed in seeds:
        mine = seed[(seed["group"] == "candidate") & (seed["layer"] == "1")]
        best = (set(mine.nlargest(SIZE, score)["point"]) for score in ("sslmem_choose", "sslmem_score"))
        halves.append(len(set.intersection(*best)) / SIZE)
    assert pairs["candidate", "1", "1"] == pytest.approx(np.mean(halves)) and np.mean(halves) < 1
    assert "res" not in set(table["layer"])
    assert ("candidate, same draws", "1", "1") not in pairs.index


def test_overlap_by_distance_is_the_mean_over_pairs(study):
    table, rows = study(drift, nothing).analyse(**OPTIONS)
    pairs = table[(table["part"] == "layers") & (table["series"] == "candidate")]
    curve = table[(table["part"] == "distance") & (table["series"] == "candidate")].set_index("distance")["value"]
    for distance in range(1, len(LAYERS)):
        assert curve[distance] == pytest.approx(pairs.loc[pairs["distance"] == distance, "value"].mean())
    near = pairs.loc[pairs["distance"] == 1, "value"].mean() - pairs.loc[pairs["distance"] >= 5, "value"].mean()
    assert by_claim(rows, "overlap.near")["effect"]["simclr"] == pytest.approx(near)
    level = table[table["series"] == "chance"].iloc[0]
    assert tuple(level[["value", "low", "high"]]) == chance(N, SIZE, level=0.95)


WORLDS = {
    "memorized": (drift, nothing, {}, dict.fromkeys(LAYERED, "supported")),
    "nothing": (nothing, nothing, {}, dict.fromkeys(LAYERED, "inconclusive")),
    # Every image has the trait, also one that neither encoder has seen.
    "images": (
        drift,
        drift,
        {},
        {
            "falls": "supported",
            "adjacent": "supported",
            "excess": "inconclusive",
            "tau": "supported",
            "tau-excess": "inconclusive",
        },
    ),
    "external": (
        nothing,
        drift,
        {},
        {
            "falls": "inconclusive",
            "adjacent": "inconclusive",
            "excess": "refuted",
            "tau": "inconclusive",
            "tau-excess": "refuted",
        },
    ),
    # What draws have in common is no overlap of layers.
    "draws": (nothing, nothing, {"common": 3.0}, {"near": "inconclusive", "adjacent": "inconclusive"}),
    "rising": (lambda seed: drift(seed)[:, [0, 5, 1, 4, 2, 6, 3]], nothing, {}, {"near": "inconclusive"}),
}


@pytest.mark.parametrize("name", list(WORLDS))
def test_claims_about_layers_follow_what_was_planted(study, name):
    candidate, external, planted, expected = WORLDS[name]
    table, rows = study(candidate, external, **planted).analyse(**OPTIONS)
    assert verdicts(rows, expected) == expected
    if name == "draws":
        pairs = table[table["part"] == "layers"].set_index(["series", "layer", "other"])["value"]
        assert pairs["candidate, same draws", "1", "7"] > 0.6
        assert pairs["candidate", "1", "7"] < 0.4
    if name == "nothing":
        curve = table[(table["part"] == "distance") & (table["series"] == "candidate")]["value"]
        np.testing.assert_allclose(curve, SIZE / N, atol=0.1)


def test_adjacent_layers_are_told_by_the_weakest_pair(study):
    def broken(seed):
        traits = drift(seed, step=0.1)
        traits[:, 3:] = drift(seed + 10, step=0.1)[:, 3:]
        return traits

    _, rows = study(broken, nothing).analyse(**OPTIONS)
    assert by_claim(rows, "overlap.adjacent").index.tolist() == ["simclr, layers 3 and 4"]
    assert verdicts(rows, ["adjacent"]) == {"adjacent": "inconclusive"}


def test_few_layers_have_the_first_and_the_last_as_distant(study):
    few = lambda trait: lambda seed: trait(seed, layers=3)  # noqa: E731
    table, rows = study(few(drift), few(nothing), layers=("1", "2", "3")).analyse(**OPTIONS)
    pairs = table[(table["part"] == "layers") & (table["series"] == "candidate")].set_index(["layer", "other"])["value"]
    effect = (pairs["1", "2"] + pairs["2", "3"]) / 2 - pairs["1", "3"]
    assert by_claim(rows, "overlap.near")["effect"]["simclr"] == pytest.approx(effect)


def test_without_encoders_of_one_split_overlap_between_seeds_is_left_out(study, caplog, monkeypatch):
    monkeypatch.setattr(experiment.log, "propagate", True)
    with caplog.at_level(logging.INFO, logger="memloc"):
        table, rows = study(drift, nothing).analyse(**OPTIONS)
    assert [record.getMessage() for record in caplog.records] == [
        "no two encoders share a split and layers: overlap between seeds is left out"
    ]
    assert set(table["part"]) == {"layers", "distance", "images"}
    assert set(rows["claim"]) == {f"overlap.{claim}" for claim in LAYERED}


def test_encoders_of_one_split_are_compared_pair_by_pair(again, caplog):
    made = again(drift, nothing, own=0.5, noise=0.5)
    # Another split, and the same one with other layers, have no part in it.
    alone = points(drift(7), nothing(8), seed=9, split=7)
    made.add("d", 0, points=alone)
    other = points(drift(0)[:, :4], nothing(50)[:, :4], seed=9, layers=LAYERS[:4])
    made.add("e", 0, points=other)
    table, rows = made.analyse(**OPTIONS)
    assert not caplog.records
    subject = "a, b, c: 3 encoders of 1 split"
    mine = table[table["part"] == "seeds"]
    assert set(mine["encoder"]) == {subject}
    values = mine.set_index(["series", "layer"])["value"]
    tables = [load_table(path) for path in made.files["points"][:3]]
    for group, layer in itertools.product(("candidate", "external"), LAYERS):
        best = [
            {
                score: set(t[(t["group"] == group) & (t["layer"] == layer)].nlargest(SIZE, score)["point"])
                for score in ("sslmem", "sslmem_choose", "sslmem_score")
            }
            for t in tables
        ]
        halves = [len(a["sslmem_choose"] & b["sslmem_score"]) / SIZE for a, b in itertools.permutations(best, 2)]
        same = [len(a["sslmem"] & b["sslmem"]) / SIZE for a, b in itertools.combinations(best, 2)]
        assert values[group, layer] == pytest.approx(np.mean(halves))
        assert values[f"{group}, same draws", layer] == pytest.approx(np.mean(same))
    row = by_claim(rows, "overlap.seeds-rises").loc[subject]
    assert row["seeds"] == 1 and row["n"] == N


def rising(seed):
    """A trait of the split that is the larger the deeper the layer."""
    return nothing(seed) * np.linspace(0, 3, len(LAYERS)) ** 2


SEEDS = {
    "memorized": (drift, blank, 0.3, {"seeds": "supported", "seeds-excess": "supported"}),
    "nothing": (blank, blank, 1.0, {"seeds": "inconclusive", "seeds-excess": "inconclusive"}),
    "images": (drift, drift, 0.3, {"seeds": "supported", "seeds-excess": "inconclusive"}),
    "external": (blank, drift, 1.0, {"seeds": "inconclusive", "seeds-excess": "refuted"}),
    "rising": (rising, blank, 1.0, {"seeds": "inconclusive", "seeds-rises": "supported"}),
    "falling": (lambda seed: rising(seed)[:, ::-1], blank, 1.0, {"seeds-rises": "refuted"}),
}


@pytest.mark.parametrize("name", list(SEEDS))
def test_claims_between_seeds_follow_what_was_planted(again, name):
    candidate, external, own, expected = SEEDS[name]
    _, rows = again(candidate, external, own=own).analyse(**OPTIONS)
    assert verdicts(rows, expected) == expected


def test_orders_of_nothing_are_seldom_taken_for_one(tmp_path):
    seen = []
    for trial in range(6):
        made = Study(tmp_path / str(trial), "overlap")
        for run in range(2):
            traits = [nothing(1000 * trial + 10 * run + g, n=40) for g in range(2)]
            made.add("ab"[run], 0, points=points(*traits, seed=100 * trial + run))
        _, rows = made.analyse(size=8, resamples=40)
        seen += [by_claim(rows, f"overlap.{claim}")["verdict"].iloc[0] for claim in ("falls", "seeds-rises")]
    assert seen.count("inconclusive") >= 9


def test_every_split_counts_as_a_seed(again):
    _, rows = again(drift, blank, own=0.3, runs=2, splits=3).analyse(**OPTIONS)
    row = by_claim(rows, "overlap.seeds-excess").iloc[0]
    assert row.name == "a, b: 2 + 2 + 2 encoders of 3 splits" and row["seeds"] == 3


def test_encoders_of_one_split_have_the_same_points_so_more_of_them_say_no_more(tmp_path):
    table = points(drift(0), nothing(50), seed=0)
    results = []
    for count in (2, 3):
        made = Study(tmp_path / str(count), "overlap")
        for run in range(count):
            made.add("abc"[run], 0, points=table)
        _, rows = made.analyse(**OPTIONS)
        results.append(rows[rows["claim"].isin([f"overlap.{claim}" for claim in SEEDED])])
    columns = ["effect", "low", "high"]
    np.testing.assert_allclose(*(result[columns].to_numpy() for result in results))


@pytest.mark.parametrize("layers", [LAYERS, tuple(f"{k}.{part}" for k in range(1, 7) for part in ("att", "fc"))])
def test_the_figure_names_layers_and_shows_the_most_memorized_images(again, tmp_path, layers):
    if layers is LAYERS:
        made = again(drift, nothing, own=0.3, runs=2)
    else:
        made = Study(tmp_path, "overlap")
        traits = [trait(0, layers=len(layers)) for trait in (drift, nothing)]
        made.add("vit", 0, points=points(*traits, seed=0, layers=layers))
    table, _ = made.analyse(**OPTIONS, resamples=20)
    images = np.random.default_rng(4).integers(0, 256, size=(300, 1, 16, 16), dtype=np.uint8)
    figure = made.drawn(table, images)
    heat = figure.axes[0]
    assert [label.get_text() for label in heat.get_yticklabels()] == list(layers)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    plt.close(figure)
    # The best eight of the first, the middle and the last layer, of the first encoder's first seed.
    first = load_table(made.files["points"][0]).query("group == 'candidate'")
    chosen = [first[first["layer"] == layers[k]].nlargest(8, "sslmem")["point"] for k in (0, len(layers) // 2, -1)]
    assert len(shown) == 24
    for got, point in zip(shown, np.concatenate(chosen), strict=True):
        np.testing.assert_array_equal(got, images[point, 0])


@pytest.mark.parametrize(("size", "message"), [
    (199, None),
    (200, "experiments.it.size: 200 must be smaller than the number of candidate points, 200"),
    (0, "experiments.it.size: 0"),
    (2.0, "experiments.it.size: 2.0"),
])  # fmt: skip
def test_a_choice_must_leave_something(size, message):
    said = complaint({"kind": "overlap", "encoders": ["simclr"], "size": size}, {})
    assert said is None if message is None else message in said and "\n" not in said


# --- across pairs -----------------------------------------------------------------------------------------------------


def across(folder, trait, **planted):
    table, rows = of_halves(Study(folder, "overlap"), trait, seeds=6, **planted).analyse(**OPTIONS, resamples=5)
    return table, single(rows)


def test_layers_that_memorize_the_same_images_agree_across_pairs(tmp_path):
    _, rows = across(tmp_path, drift(5, n=2 * N))
    assert set(rows.index) == {"across", "across-near", "shared-noise"}
    assert (rows.loc[["across", "across-near"], "verdict"] == "supported").all()
    assert rows.loc["across", "reliability"] > 0.9


def test_what_a_pair_says_alike_in_all_layers_is_no_agreement_across_pairs(tmp_path):
    table, rows = across(tmp_path, blank(0, n=2 * N), own=1.0)
    assert rows.loc["across", "verdict"] == "inconclusive" and rows.loc["shared-noise", "verdict"] == "supported"
    within = table[(table["series"] == "within a pair") & (table["part"] == "distance")]
    assert (within["value"] > 0.9).all() and rows.loc["across", "reliability"] < 0.5
