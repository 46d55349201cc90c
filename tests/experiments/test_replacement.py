"""Replacing layers: what is copied, what is probed, and what an analysis makes of planted effects."""

import copy
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.stats import pearsonr, rankdata, spearmanr

from memloc import config
from memloc.analysis.inputs import Inputs, layer_traits, membership, random_orders
from memloc.analysis.tables import load_table, save_table
from memloc.data.prepared import Part
from memloc.errors import InputError
from memloc.experiments import EXPERIMENTS, module
from memloc.experiments.replacement import job as replace
from memloc.experiments.replacement.analysis import _scales, chance, cosine, of_blocks, permuted
from memloc.metrics.stats import partial_rank_correlation, rank_correlation
from memloc.models.architectures import blocks_of, build, choose_layers
from memloc.provenance import ROOT
from tests.builders.study import Study, analysed, save

MODULES = {str(i): [f"block{i}.conv", f"block{i}.norm"] for i in range(1, 9)}

# --- replacing --------------------------------------------------------------------------------------------------------


def test_scales_and_shifts_stand_beside_one_another_base_first(network):
    base, donor = network(0), network(1)
    scales = replace.affine(base, donor, {"2": MODULES["2"], "5": ["block5.conv"]})
    assert list(scales) == ["2"]
    for column, (encoder, name) in enumerate(itertools.product((base, donor), ("weight", "bias"))):
        np.testing.assert_array_equal(scales["2"][:, column], getattr(encoder.block2.norm, name).detach())


def test_arms_are_the_references_and_every_subset_of_each_size_in_both_ways():
    todo = replace.arms(list("abcd"), [1, 3], norms=("with", "without"))
    assert [arm["by"] for arm in todo[:2]] == ["base", "donor"] and todo[1]["layers"] == "a b c d"
    rest = [(arm["layers"], arm["norms"]) for arm in todo[2:]]
    assert len(set(rest)) == len(rest) == 2 * (4 + 4)
    assert {layers for layers, _ in rest} == {"a", "b", "c", "d", "a b c", "a b d", "a c d", "b c d"}
    assert all(arm["count"] == len(arm["layers"].split()) for arm in todo)


def test_test_images_are_the_same_for_every_seed_and_not_all_of_one_end():
    part = Part(np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1), np.arange(50))
    a, b = (replace.draw_tested(part, tested=20, dataset="toy") for _ in range(2))
    assert np.array_equal(a.labels, b.labels) and len(set(a.labels)) == 20
    assert a.labels.min() < 20 and a.labels.max() > 30
    np.testing.assert_array_equal(a.images[:, 0, 0, 0], a.labels)
    with pytest.raises(InputError, match="tested: 51 images asked for, toy has 50"):
        replace.draw_tested(part, tested=51, dataset="toy")


FEW = {layer: MODULES[layer] for layer in ("1", "4", "8")}


def test_a_run_probes_every_arm_on_both_tasks_with_the_task_s_own_standardisation(network, toy, normalise):
    base, donor = network(0), network(1)
    seen = {"one": 0, "two": 0}

    def counting(name):
        def standardise(images):
            seen[name] += len(images)
            return normalise(images)

        return standardise

    tasks = {
        name: (Part(*toy(24, seed=seed)), Part(*toy(12, seed=seed + 1))) for name, seed in (("one", 0), ("two", 5))
    }
    before = copy.deepcopy(base.state_dict())
    out = replace.probe_replaced(
        base, donor, tasks, modules=FEW, counts=[1], normalise={name: counting(name) for name in tasks}
    )
    arms = 2 + 2 * 3
    assert out["dataset"].tolist() == ["one", "two"] * arms and out["correct"].shape == (2 * arms, 12)
    assert seen == {"one": 36 * arms, "two": 36 * arms}
    assert all(torch.equal(tensor, before[key]) for key, tensor in base.state_dict().items())
    assert {key for key in out if key.startswith("affine/")} == {f"affine/{layer}" for layer in FEW}
    # The whole donor, from the base with all layers replaced; and a donor that is the base changes nothing.
    same = replace.probe_replaced(
        base, copy.deepcopy(base), tasks, modules=FEW, counts=[1], normalise=dict.fromkeys(tasks, normalise)
    )
    for task in tasks:
        rows = same["correct"][same["dataset"] == task]
        assert (rows == rows[0]).all()
        assert np.array_equal(rows[0], out["correct"][(out["dataset"] == task) & (out["by"] == "base")][0])
    alone = replace.probe_replaced(
        donor, base, tasks, modules=FEW, counts=[1], normalise=dict.fromkeys(tasks, normalise)
    )
    assert np.array_equal(alone["correct"][:2], out["correct"][2:4])


# --- partial rank correlation -----------------------------------------------------------------------------------------


def literal_partial(x, y, given):
    """Pearson's correlation of residuals of ranks, by least squares."""
    design = np.column_stack([np.ones(len(x)), *map(rankdata, given)])
    left = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in (rankdata(x), rankdata(y))]
    return pearsonr(*left)[0]


def test_a_partial_rank_correlation_has_its_closed_form_with_one_and_with_two_confounders():
    rng = np.random.default_rng(0)
    z, w = rng.normal(size=(2, 40))
    x, y = z + rng.normal(size=40), z - w + rng.normal(size=40)

    def given_one(a, b, c):
        ab, ac, bc = (spearmanr(*pair)[0] for pair in ((a, b), (a, c), (b, c)))
        return (ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2))

    assert partial_rank_correlation(x, y, [z]) == pytest.approx(given_one(x, y, z))
    xy, xw, yw = (given_one(a, b, z) for a, b in ((x, y), (x, w), (y, w)))
    expected = (xy - xw * yw) / np.sqrt((1 - xw**2) * (1 - yw**2))
    assert partial_rank_correlation(x, y, [z, w]) == pytest.approx(expected)
    assert partial_rank_correlation(x, y, [z, w]) == pytest.approx(literal_partial(x, y, [z, w]))


def test_a_partial_rank_correlation_broadcasts_and_depends_on_ranks_alone():
    rng = np.random.default_rng(1)
    x, y, z = rng.normal(size=(3, 1, 12)), rng.normal(size=(4, 12)), rng.integers(4, size=12)
    got = partial_rank_correlation(x, y, [z])
    assert got.shape == (3, 4)
    for i, j in itertools.product(range(3), range(4)):
        assert got[i, j] == pytest.approx(literal_partial(x[i, 0], y[j], [z]))
    np.testing.assert_allclose(partial_rank_correlation(np.exp(x), y**3, [z * 5.0]), got)


def test_what_confounders_explain_wholly_leaves_nothing():
    rng = np.random.default_rng(2)
    z, y = rng.normal(size=60), rng.normal(size=60)
    assert partial_rank_correlation(z**3, y, [z]) == 0 and partial_rank_correlation(y, z**3, [z]) == 0
    assert partial_rank_correlation(z, y, [np.ones(60)]) == pytest.approx(spearmanr(z, y)[0])
    # A confounder that is the sole reason of a correlation.
    x, y = z + 0.3 * rng.normal(size=60), z + 0.3 * rng.normal(size=60)
    assert rank_correlation(x, y) > 0.8 and abs(partial_rank_correlation(x, y, [z])) < 0.3


# --- what tells subsets apart -----------------------------------------------------------------------------------------

PROFILE = np.array([0.10, 0.12, 0.20, 0.17, 0.31, 0.36])
LAYERS = [str(i) for i in range(1, len(PROFILE) + 1)]
PARAMETERS = [10, 40, 20, 60, 30, 50]
OPTIONS = {"by": "layers", "resamples": 40, "normalisation": "ratio"}


def points_of(profile, *, offset=0.3, parameters=PARAMETERS):
    """Without noise, with a residual sum in between and offsets that only the crossed estimator is free of."""
    rows = []
    for g, (group, sign) in enumerate((("candidate", 1), ("independent", -1), ("external", 0))):
        for point in range(3):
            for layer, value, size in zip(LAYERS, profile, parameters, strict=True):
                about = {"point": 10 * g + point, "group": group}
                rows.append({**about, "layer": layer, "own": True, "parameters": size, "sslmem": offset + sign * value})
                if layer == "2":
                    rows.append({**about, "layer": "res2", "own": False, "parameters": 0, "sslmem": 9.0})
    return pd.DataFrame(rows)


def test_traits_of_layers_leave_sums_out_and_the_first_layer_without_an_increment():
    traits = layer_traits(points_of(PROFILE), estimator="crossed")
    assert list(traits.index) == LAYERS
    np.testing.assert_allclose(traits["layermem"], PROFILE)
    assert np.isnan(traits["increment"].iloc[0])
    np.testing.assert_allclose(traits["increment"].iloc[1:], np.diff(PROFILE))
    assert traits["parameters"].tolist() == PARAMETERS and traits["depth"].tolist() == [1, 2, 3, 4, 5, 6]
    published = layer_traits(points_of(PROFILE), estimator="published")
    np.testing.assert_allclose(published["layermem"], 0.3 + PROFILE)


def test_membership_tells_names_apart_that_hold_one_another():
    assert membership(["1 11", "11"], ["1", "11", "111"]).tolist() == [[1, 1, 0], [0, 1, 0]]


def test_random_orders_are_permutations_that_keep_what_is_fixed():
    orders = random_orders(5, permutations=400, fixed=2)
    assert (orders[:, :2] == [0, 1]).all() and (np.sort(orders, axis=1) == np.arange(5)).all()
    # Every order of the other three comes up, about as often as any.
    _, times = np.unique(orders[:, 2:], axis=0, return_counts=True)
    assert len(times) == 6 and times.min() > 400 / 6 * 0.6


# --- cosines ----------------------------------------------------------------------------------------------------------


def test_the_cosine_has_its_worked_value_and_chance_is_its_mean_over_all_permutations():
    affine = np.array([[1.0, 0.0, 2.0, 1.0], [3.0, -1.0, 1.0, 0.5], [2.0, 2.0, 0.0, 1.0]])
    a, b = affine[:, :2].ravel(), affine[:, 2:].ravel()
    assert cosine(affine) == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)))
    every = [cosine(np.hstack([affine[:, :2], affine[list(p), 2:]])) for p in itertools.permutations(range(3))]
    assert chance(affine) == pytest.approx(np.mean(every))
    drawn = permuted(affine, np.random.default_rng(0))
    assert all(min(abs(value - e) for e in every) < 1e-12 for value in drawn)
    assert drawn.mean() == pytest.approx(np.mean(every), abs=0.02)


# --- analysis ---------------------------------------------------------------------------------------------------------

COUNTS = (1, 2, 3)
SUBSETS = [" ".join(s) for count in COUNTS for s in itertools.combinations(LAYERS, count)]


def outcomes_of(rates, *, seed, tested=200, alike=None, norms=("with", "without"), shuffle=True):
    """Outcomes whose hybrids get points right at planted rates.

    Args:
        rates: (task, subset or base or donor, norms) to a share of points.
        alike: how alike scales are to permuted ones, from 0 to 1; None for an encoder without normalisations.
    """
    rng = np.random.default_rng([3, seed])
    rows = []
    for dataset, task in (("here", "base"), ("there", "donor")):
        hard = np.random.default_rng(4).permutation((np.arange(tested) + 0.5) / tested)
        arms = [("base", "", "with"), ("donor", " ".join(LAYERS), "with")]
        arms += [("subset", subset, kind) for subset in SUBSETS for kind in norms]
        for by, layers, kind in arms:
            rate = rates(task, layers if by == "subset" else by, kind)
            right = hard + 0.01 * rng.normal(size=tested) < rate
            rows.append({"by": by, "count": len(layers.split()), "layers": layers, "norms": kind, "dataset": dataset,
                         "correct": right})  # fmt: skip
    order = np.concatenate([rng.permutation(len(rows) // 2), len(rows) // 2 + rng.permutation(len(rows) // 2)])
    out = {key: np.array([rows[i][key] for i in (order if shuffle else range(len(rows)))]) for key in rows[0]}
    if alike is not None:
        for layer in LAYERS:
            common, mine, theirs = rng.normal(size=(3, 40, 2))
            both = [1 + 0.3 * (alike**0.5 * common + (1 - alike) ** 0.5 * own) for own in (mine, theirs)]
            out[f"affine/{layer}"] = np.hstack(both).astype(np.float32)
    return out


@pytest.fixture(autouse=True)
def _few_permutations(monkeypatch):
    monkeypatch.setattr(module("replacement"), "PERMUTATIONS", 200)


class Desk:
    """Writes an experiment's files and analyses them."""

    def __init__(self, folder, *, seeds=3, profile=PROFILE, parameters=PARAMETERS, **planted):
        self.runs = [("simclr", seed) for seed in range(seeds)]
        files = {"outcomes": [], "points": []}
        for seed in range(seeds):
            for name, path in files.items():
                path.append(str(folder / EXPERIMENTS["replacement"].inputs[name].format(
                    experiment="replacement", encoder="simclr", role="f", seed=seed)))  # fmt: skip
            save(outcomes_of(seed=seed, **planted), files["outcomes"][-1])
            save(points_of(profile, parameters=parameters), files["points"][-1])
        self.inputs = Inputs(self.runs, files)

    def analyse(self):
        return analysed("replacement", self.inputs, **OPTIONS)


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    made, desk = Study(folder, "replacement"), Desk(folder, seeds=seeds, rates=by_increment, alike=0.8)
    made.runs, made.files = list(desk.inputs.runs), dict(desk.inputs.files)
    return made


RISE = dict(zip(LAYERS, np.append(0, np.diff(PROFILE)), strict=True))


def by_increment(task, layers, norms, *, sign=1):
    """The base loses and the donor gains what the replaced layers' LayerMem rises, all else equal."""
    if layers in ("base", "donor"):
        return 0.9 if layers == task else 0.2
    loss = sign * sum(RISE[layer] for layer in layers.split())
    start = 0.6 if norms == "with" else 0.5
    return start + (loss if task == "donor" else -loss)


def nothing(task, layers, norms):
    return 0.6


def test_planted_costs_of_replacing_come_out(tmp_path):
    table, rows = Desk(tmp_path, rates=by_increment, alike=0.8).analyse()
    held = rows[rows["claim"].str.contains("increment|random|least|scales")]
    # Five layers can be dealt in 120 ways: given two confounders, chance comes too near.
    few = held["claim"].str.endswith("partial") & held["subject"].str.contains("k = 1,")
    assert (held.loc[~few, "verdict"] == "supported").all(), held[held["verdict"] != "supported"]["claim"].tolist()
    assert (held.loc[few, "low"] > 0).all() and (held.loc[few & (held["p"] > 0.05), "verdict"] == "inconclusive").all()
    # Table 33 replaces three.
    by_count = rows["claim"].str.contains("increment|layermem")
    assert (rows.loc[by_count, "paper_effect"].notna() == rows.loc[by_count, "subject"].str.contains("k = 3,")).all()
    assert (rows[rows["claim"] != "replacement.scales"]["n"] == 200).all() and (rows["seeds"] == 3).all()
    # All 15 pairs but the five with the first layer.
    subjects = rows.loc[rows["claim"] == "replacement.base-increment", "subject"].tolist()
    assert subjects == [f"simclr, k = {k}, {n} subsets" for k, n in ((1, 5), (2, 10), (3, 10))]
    assert rows.loc[rows["claim"] == "replacement.base-layermem", "subject"].str.contains("20 subsets").sum() == 1
    correlations = table[(table["series"] == "correlation") & (table["sum"] == "increment")]
    crossed = correlations[(correlations["estimator"] == "crossed") & (correlations["norms"] == "with")]
    values = crossed.set_index(["count", "given", "task"])["value"]
    for count in COUNTS:
        assert values[count, "nothing", "base"] < -0.95 and values[count, "nothing", "donor"] > 0.95


def test_correlations_are_those_of_each_seed_s_accuracies_with_all_that_is_given(tmp_path):
    desk = Desk(tmp_path, rates=by_increment, seeds=2)
    table, _ = desk.analyse()
    chosen = [s for s in SUBSETS if len(s.split()) == 2 and "1" not in s.split()]
    rise = [sum(RISE[layer] for layer in s.split()) for s in chosen]
    size = [sum(PARAMETERS[int(layer) - 1] for layer in s.split()) for s in chosen]
    depth = [np.mean([int(layer) for layer in s.split()]) for s in chosen]
    alone, given = [], []
    for outcome in desk.inputs.arrays("outcomes", "simclr"):
        arms = zip(outcome["layers"], outcome["norms"], outcome["dataset"], strict=True)
        right = dict(zip(arms, outcome["correct"].mean(axis=1), strict=True))
        accuracy = [right[s, "without", "there"] for s in chosen]
        alone.append(spearmanr(rise, accuracy)[0])
        given.append(literal_partial(rise, accuracy, [size, depth]))
    mine = table[(table["series"] == "correlation") & (table["sum"] == "increment") & (table["count"] == 2)]
    mine = mine[(mine["norms"] == "without") & (mine["task"] == "donor") & (mine["subsets"] == 10)]
    for estimator in ("published", "external-corrected", "crossed"):
        values = mine[mine["estimator"] == estimator].set_index("given")["value"]
        assert values["nothing"] == pytest.approx(np.mean(alone))
        assert values["parameters and depth"] == pytest.approx(np.mean(given))


def test_costs_the_other_way_round_refute(tmp_path):
    _, rows = Desk(tmp_path, rates=lambda *arm: by_increment(*arm, sign=-1)).analyse()
    held = rows[rows["claim"].str.contains("increment$|random|least")]
    assert (held["verdict"] == "refuted").all() and "replacement.scales" not in set(rows["claim"])


def test_where_nothing_is_planted_nothing_is_found(tmp_path):
    table, rows = Desk(tmp_path, rates=nothing, alike=0.0).analyse()
    # Test points are the same in all claims, so one that strays takes others with it: a twentieth, with some room.
    assert (rows["verdict"] != "inconclusive").sum() <= 4
    assert rows.set_index("claim").loc["replacement.scales", "verdict"] == "inconclusive"
    cosines = table[table["series"] == "cosine"]
    inside = (cosines["value"] > cosines["null_low"]) & (cosines["value"] < cosines["null_high"])
    assert inside.sum() >= len(LAYERS) - 1 and (cosines["value"] > 0.8).all()


def test_what_parameters_do_is_not_laid_to_increments(tmp_path):
    """The base loses what parameters say, and a layer rises by what it has of them: beyond them nothing is left."""
    sizes = [10, 41, 23, 67, 29, 53]

    def rates(task, layers, norms):
        if layers in ("base", "donor"):
            return 0.9
        change = sum(sizes[int(layer) - 1] for layer in layers.split()) / 400
        return 0.6 + (change if task == "donor" else -change)

    _, rows = Desk(tmp_path, rates=rates, profile=np.cumsum(sizes) / 1000, parameters=sizes).analyse()
    threes = rows[rows["subject"].str.contains("k = 3, ")].set_index("claim")["effect"]
    for task in ("base", "donor"):
        assert threes[f"replacement.{task}-increment"] > 0.95
        assert threes[f"replacement.{task}-increment-partial"] == 0


def test_the_null_deals_increments_to_layers_and_p_counts_what_reaches_the_effect(tmp_path):
    table, _ = Desk(tmp_path, rates=by_increment, seeds=1).analyse()
    mine = table[(table["series"] == "correlation") & (table["sum"] == "increment") & (table["count"] == 1)]
    mine = mine[(mine["norms"] == "with") & (mine["estimator"] == "crossed") & (mine["given"] == "nothing")]
    # Single layers: all 120 orders of five values, of which one reaches a rho of 1.
    exact = [spearmanr(order, range(5))[0] for order in itertools.permutations(range(5))]
    for low, high in mine[["null_low", "null_high"]].to_numpy():
        np.testing.assert_allclose([low, high], np.quantile(exact, [0.025, 0.975]), atol=0.05)
    assert mine["p"].between(0.002, 0.04).all()


def test_cosines_of_permuted_channels_lie_in_their_band_in_95_percent_of_cases(monkeypatch):
    monkeypatch.setattr(module("replacement"), "PERMUTATIONS", 4000)
    outcome = outcomes_of(nothing, seed=0, alike=0.5)
    table, _ = _scales([[outcome]], "simclr", 10)
    band = table[table["series"] == "cosine"]
    rng = np.random.default_rng(1)
    spread = [permuted(outcome[f"affine/{layer}"].astype(np.float64), rng).std() for layer in LAYERS]
    width = (band["null_high"] - band["null_low"]).to_numpy() / spread
    assert width.mean() == pytest.approx(2 * 1.96, rel=0.04)


def test_the_highest_increments_are_chosen_in_every_seed_by_its_own_profile(tmp_path):
    desk = Desk(tmp_path, rates=by_increment, seeds=2)
    # In the second seed other layers rise most.
    other = np.array([0.1, 0.3, 0.31, 0.5, 0.52, 0.7])
    save(points_of(other), desk.inputs.files["points"][1])
    table, _ = desk.analyse()
    expected = {"highest increment": [], "lowest increment": [], "random": []}
    chosen = [("3 5 6", other_three("3 5 6", PROFILE)), ("2 4 6", other_three("2 4 6", other))]
    threes = [s for s in SUBSETS if len(s.split()) == 3 and "1" not in s.split()]
    for outcome, (best, worst) in zip(desk.inputs.arrays("outcomes", "simclr"), chosen, strict=True):
        rows = (outcome["norms"] == "with") & (outcome["dataset"] == "here") & (outcome["by"] == "subset")
        right = dict(zip(outcome["layers"][rows], outcome["correct"][rows].mean(axis=1), strict=True))
        expected["highest increment"].append(right[best])
        expected["lowest increment"].append(right[worst])
        expected["random"].append(np.mean([right[subset] for subset in threes]))
    for name, values in expected.items():
        mine = table[(table["series"] == name) & (table["task"] == "base")]
        assert mine["value"].tolist() == [pytest.approx(np.mean(values))], name


def other_three(best, profile):
    """Of layers 2 to 6 the three that rise least."""
    rises = np.diff(profile)
    three = sorted(int(i) + 2 for i in np.argsort(rises)[:3])
    assert set(best.split()) == {str(int(i) + 2) for i in np.argsort(rises)[-3:]}
    return " ".join(map(str, three))


def test_more_seeds_of_the_same_outcomes_say_no_more_about_the_test_images(tmp_path):
    widths = []
    for seeds in (1, 4):
        desk = Desk(tmp_path / str(seeds), rates=by_increment, seeds=seeds)
        for path in desk.inputs.files["outcomes"][1:]:
            save(desk.inputs.arrays("outcomes", "simclr")[0], path)
        table, _ = desk.analyse()
        mine = table[table["series"] == "base alone"]
        widths.append((mine["high"] - mine["low"]).to_numpy())
    np.testing.assert_allclose(*widths)


@pytest.mark.parametrize(("seeds", "alike"), [(1, None), (3, 0.5)])
def test_the_figure_is_drawn_from_the_table_as_a_csv_holds_it(tmp_path, seeds, alike):
    norms = ("with",) if alike is None else ("with", "without")
    table, rows = Desk(tmp_path, rates=by_increment, seeds=seeds, alike=alike, norms=norms).analyse()
    assert {claim.partition(".")[2] for claim in rows["claim"]} >= set(module("replacement").CLAIMS) - {"scales"}
    assert np.isfinite(rows[["effect", "low", "high"]].to_numpy()).all()
    save_table(table, tmp_path / "table.csv")
    figure = module("replacement").draw(load_table(tmp_path / "table.csv"), np.zeros((1, 1, 16, 16), dtype=np.uint8))
    figure.canvas.draw()
    dots = sum(len(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() == "o")
    counts = [len(patches) for patches in (figure.axes[2].patches, figure.axes[3].patches)]
    labels = [text.get_text() for text in figure.axes[1].get_xticklabels()]
    plt.close(figure)
    # Of two tasks base, donor and three choices; a null a task, sum and number of replaced layers.
    assert dots == 2 * 5 and counts == [2 * 2 * table["count"].nunique()] * 2 and (alike is None or labels == LAYERS)


TABLE_33 = """
1 2 3 49.77 21.95; 1 2 4 48.33 23.28; 1 2 5 49.51 22.18; 1 2 6 45.31 26.41; 1 2 7 48.99 22.54;
1 2 8 46.29 25.74; 1 3 4 47.66 24.37; 1 3 5 49.04 22.20; 1 3 6 45.19 26.57; 1 3 7 48.19 23.76;
1 3 8 46.20 25.67; 1 4 5 47.35 24.99; 1 4 6 43.89 29.57; 1 4 7 44.53 27.55; 1 4 8 43.94 29.26;
1 5 6 44.23 27.89; 1 5 7 48.03 23.30; 1 5 8 44.71 26.99; 1 6 7 43.30 29.81; 1 6 8 41.72 30.71;
1 7 8 44.59 28.06; 2 3 4 48.89 22.76; 2 3 5 50.48 21.71; 2 3 6 46.98 25.68; 2 3 7 49.81 22.31;
2 3 8 48.07 23.74; 2 4 5 48.55 23.90; 2 4 6 44.99 27.88; 2 4 7 47.78 24.87; 2 4 8 45.41 26.98;
2 5 6 45.91 26.47; 2 5 7 48.37 22.90; 2 5 8 47.18 25.57; 2 6 7 45.62 26.78; 2 6 8 42.99 29.41;
2 7 8 46.89 25.77; 3 4 5 47.90 24.74; 3 4 6 43.32 28.73; 3 4 7 45.80 26.59; 3 4 8 44.49 28.36;
3 5 6 45.49 26.89; 3 5 7 48.14 23.66; 3 5 8 46.61 25.90; 3 6 7 44.01 28.20; 3 6 8 42.00 29.93;
3 7 8 45.21 27.26; 4 5 6 41.84 30.20; 4 5 7 44.20 27.64; 4 5 8 42.31 29.81; 4 6 7 40.02 32.55;
4 6 8 37.66 31.94; 4 7 8 40.96 30.78; 5 6 7 42.77 29.66; 5 6 8 40.55 31.02; 5 7 8 43.79 28.54;
6 7 8 38.95 31.59
"""
TABLE_1 = [0.091, 0.123, 0.154, 0.183, 0.212, 0.246, 0.276, 0.308]
SIZES = [896, 18496, 36928, 36928, 73856, 295168, 590080, 590080]


def test_the_effects_of_the_paper_are_those_of_its_own_tables():
    rows = [[float(cell) for cell in row.split()] for row in TABLE_33.split(";")]
    assert len({tuple(row[:3]) for row in rows}) == 56
    for sum_, values in (("increment", np.append(0, np.diff(TABLE_1))), ("layermem", np.array(TABLE_1))):
        mine = [row for row in rows if sum_ == "layermem" or row[0] != 1]
        sums = [round(sum(values[int(layer) - 1] for layer in row[:3]), 6) for row in mine]
        sizes = [sum(SIZES[int(layer) - 1] for layer in row[:3]) for row in mine]
        depths = [np.mean(row[:3]) for row in mine]
        for task, sign, column in (("base", -1, 3), ("donor", 1, 4)):
            accuracy = [row[column] for row in mine]
            alone = sign * spearmanr(sums, accuracy)[0]
            given = sign * literal_partial(sums, accuracy, [sizes, depths])
            claims, published = module("replacement").CLAIMS, module("replacement").PUBLISHED
            if sum_ == "increment":
                most, least = accuracy[int(np.argmax(sums))], accuracy[int(np.argmin(sums))]
                gaps = {"random": sign * (most - np.mean(accuracy)) / 100, "least": sign * (most - least) / 100}
                for name, gap in gaps.items():
                    assert claims[f"{task}-{name}"].value == pytest.approx(gap, abs=6e-5)
            assert published[task, sum_, ""] == pytest.approx(alone, abs=6e-4)
            assert published[task, sum_, "-partial"] == pytest.approx(given, abs=6e-4)


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_blocks_hold_all_of_their_layers_and_their_shortcuts():
    chosen = choose_layers("resnet18", {"stem": "imagenet", "width": 0.25}, ["*"])
    blocks = blocks_of(chosen)
    assert list(blocks) == ["conv1", *(f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1))]
    assert blocks["conv1"] == ("conv1", "bn1") and blocks["layer2.0"] == ("layer2.0",)
    base, donor = (build("resnet18", {"stem": "imagenet", "width": 0.25}, image_size=32) for _ in range(2))
    state = replace.replaced(base, donor, blocks["layer2.0"], norms=True)
    theirs, mine = donor.state_dict(), base.state_dict()
    taken = {key for key in state if key.startswith("layer2.0.")}
    assert any("downsample" in key for key in taken) and all(torch.equal(state[key], theirs[key]) for key in taken)
    assert all(torch.equal(state[key], mine[key]) for key in state.keys() - taken)
    options = {"patch": 8, "depth": 2, "width": 0.334}
    transformer = blocks_of(choose_layers("vit-tiny", options, ["*"]))
    assert transformer == {"1": ("blocks.0",), "2": ("blocks.1",)}
    # ResNet9 has no blocks of several layers.
    assert list(blocks_of(choose_layers("resnet9", {"width": 0.125, "residual": True}, ["*"]))) == list("12345678")


def test_traits_of_blocks_are_those_of_their_layers():
    traits = {"increment": [np.nan, 0.1, 0.2, -0.1, 0.3], "layermem": [0.0, 0.1, 0.3, 0.2, 0.5]}
    about = {"parameters": [1, 2, 3, 4, 5], "depth": [1, 2, 3, 4, 5]}
    layers = pd.DataFrame(traits | about, index=["conv1", "a.0.conv1", "a.0.conv2", "a.1.conv1", "a.1.conv2"])
    blocks = of_blocks(layers, ["conv1", "a.0", "a.1"])
    assert list(blocks.index) == ["conv1", "a.0", "a.1"] and list(blocks["depth"]) == [1, 2, 3]
    assert list(blocks["layermem"]) == [0.0, 0.3, 0.5] and list(blocks["parameters"]) == [1, 5, 9]
    np.testing.assert_allclose(blocks["increment"], [np.nan, 0.3, 0.2])


def test_blocks_have_the_papers_effects_on_blocks(tmp_path):
    desk = Desk(tmp_path, rates=by_increment)
    _, rows = analysed("replacement", desk.inputs, **{**OPTIONS, "by": "blocks"})
    known = rows[rows["paper_effect"].notna()]
    assert set(known["claim"]) == {"replacement.base-random", "replacement.base-least"}
    assert known["paper_scale"].str.contains("Table 24").all()


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.fixture
def whole():
    edited = yaml.safe_load((ROOT / "config.yaml").read_text())
    edited["datasets"]["fashion-unseen"]["split"] = dict(edited["datasets"]["fashion"]["split"])
    edited["encoders"]["other"] = copy.deepcopy(edited["encoders"]["simclr"]) | {"dataset": "fashion-unseen"}
    edited["experiments"] = {
        "exchange": {"kind": "replacement", "encoders": ["simclr"], "donor": "other", "by": "layers",
                     "tasks": ["fashion", "fashion-unseen"], "counts": [1, 2], "images": 50, "tested": 50}
    }  # fmt: skip
    return edited


def test_a_donor_that_fits_passes(whole):
    config.check(whole)


def alias(edited):
    edited["encoders"]["again"] = {"weights": "simclr", "seeds": [0, 1, 2]}
    edited["experiments"]["exchange"]["donor"] = "again"


def changed(name, **values):
    return lambda edited: edited["encoders"][name].update(values)


def donor(name):
    return lambda edited: edited["experiments"]["exchange"].update(donor=name)


def larger(edited):
    edited["datasets"]["fashion-unseen"]["image_size"] = 48


def same_images(edited):
    edited["datasets"]["fashion-unseen"]["classes"] = [2, *edited["datasets"]["fashion"]["classes"][:1]]


UNFIT = {
    "the base's images by another name": (
        same_images,
        ["same images as simclr", "fashion-unseen has images of fashion"],
    ),
    "none of the encoders": (donor("otter"), ["'otter' is none of simclr"]),
    "the base itself": (donor("simclr"), ["trained on fashion, as simclr"]),
    "the base measured otherwise": (alias, ["again is trained on fashion, as simclr", "another dataset"]),
    "another architecture": (
        changed("other", architecture="resnet18", network={}),
        ["architecture of other is resnet18, of simclr resnet9"],
    ),
    "another width": (changed("other", network={"width": 0.25}), ["network of other is", "0.25", "0.5"]),
    "missing seeds": (
        changed("other", seeds=[0, 7]),
        ["other lacks seeds [1, 2, 3, 4, 5, 6, 8, 9] of simclr", "other.seeds"],
    ),
    "another image size": (larger, ["other takes images of 48 pixels, simclr of 32"]),
}


@pytest.mark.parametrize("name", list(UNFIT))
def test_a_donor_that_does_not_fit_is_told_in_one_line(whole, name):
    edit, parts = UNFIT[name]
    edit(whole)
    with pytest.raises(InputError) as caught:
        config.check(whole)
    message = str(caught.value)
    assert "\n" not in message and message.startswith("config: experiments.exchange.donor: ")
    assert all(part in message for part in parts), message


def test_tasks_are_two_labelled_datasets_of_the_encoders_image_size(whole):
    experiment = whole["experiments"]["exchange"]
    # The donor may be trained on images without labels: its task is another dataset.
    whole["datasets"]["third"] = whole["datasets"]["fashion-unseen"]
    split = whole["datasets"]["fashion"]["split"]
    whole["datasets"]["fashion-unseen"] = {"source": "stl10-unlabeled", "image_size": 32, "split": split}
    experiment["tasks"] = ["fashion", "third"]
    config.check(whole)
    whole["datasets"]["third"]["image_size"] = 48
    with pytest.raises(InputError, match=r"exchange\.tasks: third has images of 48 pixels, simclr takes 32"):
        config.check(whole)
    for tasks in (["fashion"], ["fashion", "fashion"], ["fashion", "thrid"]):
        experiment["tasks"] = tasks
        with pytest.raises(InputError, match=r"exchange\.tasks: "):
            config.check(whole)


@pytest.mark.parametrize(
    ("tasks", "line"),
    [
        (["fashion-unseen", "fashion"], "fashion-unseen, but simclr is trained on fashion"),
        (["fashion", "third"], "third, but other is trained on fashion-unseen"),
        (["third", "fashion-unseen"], "third, but simclr is trained on fashion"),
    ],
)
def test_tasks_are_the_base_s_own_and_then_the_donor_s(whole, tasks, line):
    whole["datasets"]["fashion-unseen"]["classes"] = [2, 4]
    whole["datasets"]["third"] = {"source": "fashion-mnist-12k", "classes": [6, 9], "image_size": 32}
    whole["experiments"]["exchange"]["tasks"] = tasks
    with pytest.raises(InputError) as caught:
        config.check(whole)
    way = "write the base's dataset, then the donor's"
    assert str(caught.value) == f"config: experiments.exchange.tasks: {line}; {way}"


def test_only_the_base_is_measured(whole):
    config.complete(whole)
    inputs = config.experiment_inputs(whole, "exchange")
    assert inputs["points"] == [f"scores/simclr/seed{seed}/points.parquet" for seed in range(10)]
    of = [f"outcomes/exchange/simclr/{role}/seed{seed}.npz" for seed in range(10) for role in "fg"]
    assert inputs["outcomes"] == of
