"""Every experiment on score files with a planted effect: what was planted must come out."""

import copy
import importlib
import itertools
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from memloc import config
from memloc.analysis.claims import tabulate
from memloc.analysis.inputs import Inputs
from memloc.analysis.tables import load_table, save_table
from memloc.errors import InputError
from memloc.experiments import EXPERIMENTS, as_list, module, registry
from memloc.io import save_arrays
from memloc.provenance import ROOT
from tests.builders.planted import UNITS, unit_files
from tests.builders.study import About

GROUPS = ("candidate", "independent", "external")
LAYERS = ("1", "2", "res2", "3", "4")
NUMBERED = ("1", "2", "3", "4")
POINTS = 60
SIZE = 12
OPTIONS = {"replicates": 120, "group_size": SIZE, "threshold": 0.5, "normalisation": "ratio"}


class Desk:
    """Writes an experiment's files where its entry expects them."""

    def __init__(self, folder, kind):
        self.folder, self.kind = folder, kind
        self.runs, self.files = [], {name: [] for name in EXPERIMENTS[kind].inputs}

    def add(self, encoder, seed, **contents):
        assert contents.keys() == self.files.keys()
        self.runs.append((encoder, seed))
        for name, value in contents.items():
            pattern = EXPERIMENTS[self.kind].inputs[name]
            path = self.folder / pattern.format(experiment=self.kind, encoder=encoder, seed=seed)
            (save_table if isinstance(value, pd.DataFrame) else save_arrays)(value, path)
            self.files[name].append(str(path))

    def analyse(self, **options):
        return module(self.kind).analyse(Inputs(self.runs, self.files, About()), {**OPTIONS, **options})


@pytest.fixture
def desk(tmp_path):
    return lambda kind: Desk(tmp_path, kind)


def told(kind, findings):
    return tabulate(module(kind).CLAIMS, findings, experiment=kind)


def verdicts(kind, findings):
    """By claim, of an analysis in which each claim has one subject."""
    rows = told(kind, findings)
    assert rows["claim"].is_unique
    return rows.set_index("claim")["verdict"].to_dict()


def series(table, name, column="value"):
    """A series by layer."""
    return table[table["series"] == name].set_index("layer")[column]


# --- LayerMem ---------------------------------------------------------------------------------------------------------


def points_table(profile, *, seed, offset=0.2, trait=0.0, common=0.0, noise=0.02, layers=LAYERS):
    """SSLMem with a profile planted on candidates (negative on independent points, where f and g change roles).

    Args:
        profile: by numbered layer; a residual sum has that of the layer before.
        offset: on every point.
        trait, common: spread of a trait of candidates, and of points of every group, at all layers.
    """
    rng = np.random.default_rng([7, seed])
    planted = dict(zip([name for name in layers if name.isdigit()], profile, strict=True))
    tables = []
    for g, group in enumerate(GROUPS):
        sign = {"candidate": 1, "independent": -1, "external": 0}[group]
        traits = rng.permutation(np.linspace(-1, 1, POINTS))
        latest = 0.0
        for layer in layers:
            latest = planted.get(layer, latest)
            true = offset + sign * latest + (common + trait * (group == "candidate")) * traits
            choose, score = (true + noise * rng.normal(size=POINTS) for _ in range(2))
            tables.append(
                pd.DataFrame(
                    {
                        "point": 100 * g + np.arange(POINTS),
                        "group": group,
                        "layer": layer,
                        "own": layer.isdigit(),
                        "parameters": 100 * int(layer) if layer.isdigit() else 0,
                        "sslmem": (choose + score) / 2,
                        "sslmem_choose": choose,
                        "sslmem_score": score,
                    }
                )
            )
    table = pd.concat(tables)
    table["depth"] = table["layer"].map(list(layers).index)
    return table.sort_values(["point", "depth"]).drop(columns="depth").reset_index(drop=True)


def layermem(desk, profile, *, encoder="simclr", seeds=3, **planted):
    for seed in range(seeds):
        desk.add(encoder, seed, points=points_table(profile, seed=seed, **planted))
    return desk


def test_an_offset_common_to_all_groups_is_in_published_layermem_and_in_no_other(desk):
    table, findings = layermem(desk("layermem"), [0, 0, 0, 0.3]).analyse()
    planted = pd.Series([0, 0, 0, 0, 0.3], index=list(LAYERS))
    for name, extra in (("published", 0.2), ("external-corrected", 0.0), ("crossed", 0.0)):
        np.testing.assert_allclose(series(table, name)[list(LAYERS)], planted + extra, atol=0.01)
    np.testing.assert_allclose(series(table, "external images"), 0.2, atol=0.01)
    rise = series(table, "increment")
    assert list(rise.index) == list(NUMBERED) and np.isnan(rise["1"])
    np.testing.assert_allclose(rise[["2", "3", "4"]], [0, 0, 0.3], atol=0.01)
    assert (series(table, "crossed", "low") < planted).all() and (series(table, "crossed", "high") > planted).all()
    said = verdicts("layermem", findings)
    assert said["layermem.last"] == said["layermem.last-over-first"] == "supported"
    assert said["layermem.not-last"] == "refuted" and said["layermem.every-increment"] == "inconclusive"


FEW = "inconclusive"
"""Four layers rise, or fall, all the way in one of 24 orders each: too many for a finding (test_inputs has more)."""
LAYERMEM = {
    "rising": ([0.1, 0.2, 0.3, 0.4], {"last": "supported", "rises": FEW, "last-over-first": "supported",
                                      "every-increment": "supported"}),
    "falling": ([0.4, 0.3, 0.2, 0.1], {"last": "supported", "rises": FEW, "last-over-first": "refuted",
                                       "every-increment": "refuted"}),
    "early": ([0, 0.3, 0.3, 0.3], {"last": "supported", "last-over-first": "supported", "not-last": "supported"}),
    "negative": ([0, 0, 0, -0.3], {"last": "refuted", "last-over-first": "refuted", "every-increment": "refuted",
                                   "not-last": "supported"}),
    "nothing": ([0, 0, 0, 0], {"last": "inconclusive", "rises": "inconclusive", "last-over-first": "inconclusive",
                               "every-increment": "inconclusive", "not-last": "inconclusive"}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(LAYERMEM))
def test_claims_of_layermem_follow_the_planted_profile(desk, name):
    profile, expected = LAYERMEM[name]
    _, findings = layermem(desk("layermem"), profile).analyse()
    said = verdicts("layermem", findings)
    assert {claim: said[f"layermem.{claim}"] for claim in expected} == expected


def test_residual_sums_have_no_part_in_increments(desk):
    table, _ = layermem(desk("layermem"), [0.1, 0.2, 0.3, 0.4]).analyse()
    crossed, rise = series(table, "crossed"), series(table, "increment")
    np.testing.assert_allclose(rise["3"], crossed["3"] - crossed["2"])


def test_groups_of_extremes_are_told_from_the_same_choice_among_external_images(desk):
    # A trait of candidates alone, and one that every image has: both tell groups apart, the null tells which is which.
    table, findings = layermem(desk("layermem"), [0.1] * 4, trait=0.2).analyse()
    most, least = series(table, "most memorized"), series(table, "least memorized")
    tail = np.linspace(-1, 1, POINTS)[-SIZE:].mean()
    np.testing.assert_allclose(most - least, 2 * 0.2 * tail, atol=0.02)
    assert abs(series(table, "most, external") - series(table, "least, external")).max() < 0.02
    said = verdicts("layermem", findings)
    assert said["layermem.groups"] == said["layermem.groups-excess"] == "supported"

    table, findings = layermem(desk("layermem"), [0.1] * 4, common=0.2).analyse()
    said = verdicts("layermem", findings)
    assert said["layermem.groups"] == "supported" and said["layermem.groups-excess"] == "inconclusive"


def test_claims_about_layers_leave_residual_sums_out(desk):
    # The last place is a sum, in which the groups that are chosen there do not differ.
    names = (*NUMBERED, "res4")
    kept = desk("layermem")
    for seed in range(3):
        points = points_table([0.1] * 4, seed=seed, trait=0.2, layers=names)
        summed = points["layer"] == "res4"
        points.loc[summed, "sslmem_score"] = 0.2 + 0.02 * np.random.default_rng(seed).normal(size=summed.sum())
        kept.add("simclr", seed, points=points)
    table, findings = kept.analyse()
    gap = series(table, "most memorized") - series(table, "least memorized")
    assert abs(gap["res4"]) < 0.02 and (gap[list(NUMBERED)] > 0.2).all()
    rows = told("layermem", findings).set_index("claim")
    for claim in ("layermem.groups", "layermem.groups-excess"):
        assert rows.loc[claim, "verdict"] == "supported", claim
    null = series(table, "most, external") - series(table, "least, external")
    assert rows.loc["layermem.groups-excess", "effect"] == pytest.approx(gap["4"] - null["4"])
    assert not rows["subject"].str.contains("res").any()


def test_extremes_of_pure_noise_are_not_told_apart(desk):
    # They are scored on the half of the draws on which they were not chosen.
    _, findings = layermem(desk("layermem"), [0.1] * 4).analyse()
    said = verdicts("layermem", findings)
    assert said["layermem.groups"] == said["layermem.groups-excess"] == "inconclusive"


def test_encoders_are_told_apart(desk):
    both = layermem(desk("layermem"), [0, 0, 0, 0.3], encoder="one")
    table, findings = layermem(both, [0, 0, 0, 0], encoder="two", seeds=2).analyse()
    rows = told("layermem", findings)
    last = rows[rows["claim"] == "layermem.last"].set_index("subject")
    assert last["verdict"].to_dict() == {"one": "supported", "two": "inconclusive"}
    assert last["seeds"].to_dict() == {"one": 3, "two": 2} and (last["n"] == POINTS).all()
    assert series(table[table["encoder"] == "two"], "crossed")["4"] == pytest.approx(0, abs=0.01)


def test_seeds_that_differ_widen_the_interval(desk):
    widths = []
    for scale in (0.0, 0.2):
        kept = desk("layermem")
        for seed in range(3):
            kept.add("simclr", seed, points=points_table([0, 0, 0, 0.3 + scale * (seed - 1)], seed=seed))
        _, findings = kept.analyse()
        row = told("layermem", findings).set_index("claim").loc["layermem.last"]
        assert row["effect"] == pytest.approx(0.3, abs=0.01)
        widths.append(row["high"] - row["low"])
    # Two degrees of freedom: 4.303 * 0.2 / sqrt(3) on either side.
    assert widths[0] < 0.05 and widths[1] == pytest.approx(2 * 4.303 * 0.2 / 3**0.5, rel=0.2)


def test_a_rank_correlation_with_depth_stays_below_one(desk):
    _, findings = layermem(desk("layermem"), [0.1, 0.2, 0.3, 0.4], noise=0.3).analyse()
    rows = told("layermem", findings).set_index("claim")
    assert rows.loc["layermem.rises", "high"] <= 1


def test_layermem_can_be_analysed_with_as_few_layers_as_the_configuration_allows(desk):
    edited = yaml.safe_load((ROOT / "config.yaml").read_text())
    edited["experiments"]["finetuning"]["counts"] = [1]
    for count in range(1, 5):
        trial = copy.deepcopy(edited)
        trial["measure"]["layers"] = list(NUMBERED[:count])
        try:
            config.check(trial)
        except InputError:
            continue
        break
    profile = [0.1, 0.2, 0.3, 0.4][:count]
    _, findings = layermem(desk("layermem"), profile, layers=NUMBERED[:count]).analyse()
    assert {f.claim for f in findings} == set(module("layermem").CLAIMS)


def test_bars_and_whiskers_of_increments_stand_at_the_same_places(desk, tmp_path, images):
    # Without residual sums all names of layers are numbers, which a CSV gives back as numbers.
    table, _ = layermem(desk("layermem"), [0.1, 0.2, 0.3, 0.4], layers=NUMBERED).analyse()
    figure = module("layermem").draw(again(table, tmp_path), images)
    axis = figure.axes[2]
    bars = [patch.get_x() + patch.get_width() / 2 for patch in axis.patches]
    whiskers = [segment[0, 0] for segment in axis.collections[0].get_segments()]
    plt.close(figure)
    np.testing.assert_allclose(axis.convert_xunits(bars), axis.convert_xunits(whiskers))


# --- units ------------------------------------------------------------------------------------------------------------

HIGH = np.quantile(np.linspace(-0.1, 0.1, UNITS), 0.9)


def flat(value):
    return dict.fromkeys(GROUPS, [value] * 4)


def unitmem(desk, candidate, external, untrained, *, independent=None, seeds=3):
    for seed in range(seeds):
        rest = {"classmem": flat(0.3), "classmem_shuffled": flat(0.2)}
        profiles = {"candidate": candidate, "independent": independent or external, "external": external}
        units, replicates = unit_files({"unitmem": profiles, **rest}, seed=seed)
        before, drawn = unit_files({"unitmem": flat(untrained), **rest}, seed=50 + seed)
        files = {"untrained_units": before, "untrained_replicates": drawn}
        desk.add("simclr", seed, units=units, replicates=replicates, **files)
    return desk


def test_planted_unitmem_and_its_excess_come_out(desk):
    candidate, external, independent = [0.6, 0.65, 0.7, 0.75], [0.55, 0.55, 0.55, 0.5], [0.45, 0.45, 0.45, 0.5]
    kept = unitmem(desk("unitmem"), candidate, external, 0.4, independent=independent)
    table, findings = kept.analyse(threshold=0.5)
    np.testing.assert_allclose(series(table, "candidate"), candidate)
    np.testing.assert_allclose(series(table, "external"), external)
    np.testing.assert_allclose(series(table, "untrained"), 0.4)
    # Above the mean of external and independent images.
    np.testing.assert_allclose(series(table, "excess"), [0.1, 0.15, 0.2, 0.25])
    np.testing.assert_allclose(series(table, "90th percentile minus threshold"), np.array(candidate) + HIGH - 0.5)
    said = verdicts("unitmem", findings)
    assert said.pop("unitmem.excess-rises") == said.pop("unitmem.rises") == FEW and set(said.values()) == {"supported"}
    effects = told("unitmem", findings).set_index("claim")["effect"]
    assert effects["unitmem.excess"] == pytest.approx(0.175) and effects["unitmem.rises"] == 1
    assert effects["unitmem.excess-rises"] == 1
    assert effects["unitmem.excess-last"] == pytest.approx(0.25)
    assert effects["unitmem.trained"] == pytest.approx(0.275)
    assert (table["series"] == "unit").sum() == 3 * 4 * UNITS


def test_intervals_of_units_come_from_resampled_points(desk):
    table, findings = unitmem(desk("unitmem"), [0.7] * 4, [0.5] * 4, 0.4).analyse(threshold=0.5)
    # Replicates of one seed's layer have 0.005, of its 90th percentile three times as much; three seeds share it.
    half = 1.96 * 0.005 / 3**0.5
    for name, expected in (
        ("candidate", half),
        ("90th percentile minus threshold", 3 * half),
        ("excess", half * 1.5**0.5),
    ):
        width = (series(table, name, "high") - series(table, name, "low")) / 2
        assert width.mean() == pytest.approx(expected, rel=0.3), name
    row = told("unitmem", findings).set_index("claim").loc["unitmem.everywhere"]
    assert (row["high"] - row["low"]) / 2 == pytest.approx(3 * half, rel=0.5)


def test_units_that_answer_to_external_images_alike_show_no_excess(desk):
    _, findings = unitmem(desk("unitmem"), [0.7, 0.7, 0.6, 0.5], [0.7, 0.7, 0.6, 0.5], 0.9).analyse(threshold=0.95)
    said = verdicts("unitmem", findings)
    assert said["unitmem.excess"] == said["unitmem.excess-last"] == said["unitmem.excess-rises"] == "inconclusive"
    assert said["unitmem.trained"] == said["unitmem.everywhere"] == "refuted" and said["unitmem.rises"] == FEW


def test_an_excess_that_groups_dealt_at_random_have_too_is_none(desk, monkeypatch):
    kept = unitmem(desk("unitmem"), [0.6, 0.65, 0.7, 0.75], [0.5] * 4, 0.4)
    assert verdicts("unitmem", kept.analyse(threshold=0.5)[1])["unitmem.excess"] == "supported"
    wide = np.random.default_rng(0).normal(scale=0.5, size=(500, 4))
    monkeypatch.setattr("memloc.experiments.unitmem.analysis.dealt_excess", lambda inputs, encoder: wide)
    rows = told("unitmem", kept.analyse(threshold=0.5)[1]).set_index("claim")
    held = rows.loc[["unitmem.excess", "unitmem.excess-last"]]
    assert (held["low"] > 0).all() and (held["p"] > 0.05).all() and (held["verdict"] == "inconclusive").all()


SSL = {"unitmem": [0.6, 0.6, 0.6, 0.6], "classmem": [0.2, 0.2, 0.2, 0.2], "classmem_shuffled": [0.15] * 4}
SUPERVISED = {"unitmem": [0.5, 0.5, 0.45, 0.4], "classmem": [0.2, 0.4, 0.5, 0.7], "classmem_shuffled": [0.15] * 4}
UNTRAINED = {
    "simclr": {"unitmem": [0.5] * 4, "classmem": [0.3] * 4, "classmem_shuffled": [0.15] * 4},
    "supervised": {"unitmem": [0.45] * 4, "classmem": [0.3] * 4, "classmem_shuffled": [0.15] * 4},
}


def contrast(desk, first, second, *, seeds=3):
    for name, means in (("simclr", first), ("supervised", second)):
        for seed in range(seeds):
            files = {}
            for prefix, about, start in (("", means, 0), ("untrained_", UNTRAINED[name], 50)):
                # Classes of the images trained on stand out more than those of others: under supervision, not else.
                extra = {"classmem": 0.1 if about is SUPERVISED else -0.1}
                planted = {}
                for metric, values in about.items():
                    unseen = [value - extra.get(metric, 0) for value in values]
                    planted[metric] = {"candidate": values, "independent": unseen, "external": unseen}
                units, replicates = unit_files(planted, seed=start + seed + 10 * (name == "simclr"))
                files |= {f"{prefix}units": units, f"{prefix}replicates": replicates}
            desk.add(name, seed, **files)
    return desk


def test_planted_images_and_classes_come_out(desk):
    table, findings = contrast(desk("ssl_vs_supervised"), SSL, SUPERVISED).analyse()
    for name, means in (("simclr", SSL), ("supervised", SUPERVISED)):
        mine = table[table["encoder"] == name]
        np.testing.assert_allclose(series(mine, "UnitMem"), means["unitmem"])
        np.testing.assert_allclose(series(mine, "ClassMem"), means["classmem"])
        np.testing.assert_allclose(series(mine, "ClassMem, shuffled labels"), means["classmem_shuffled"])
        for label, metric in (("UnitMem, untrained", "unitmem"), ("ClassMem, untrained", "classmem")):
            np.testing.assert_allclose(series(mine, label), UNTRAINED[name][metric])
        units = mine[mine["series"] == "unit"]
        assert set(units["layer"]) == {"1", "4"} and len(units) == 3 * 2 * UNITS
    said = verdicts("ssl_vs_supervised", findings)
    assert said.pop("ssl_vs_supervised.classes-rise") == FEW and set(said.values()) == {"supported"}
    effects = told("ssl_vs_supervised", findings).set_index("claim")["effect"]
    expected = {"ssl-images": 0.4, "supervised-classes": 0.3, "classes-rise": 1, "interaction": 0.7}
    expected |= {"interaction-depth": 0.6, "beyond-sampling": 0.5}
    expected |= {"supervised-excess": 0.1, "excess-interaction": 0.2}
    expected |= {"ssl-training": 0.2, "supervised-training": 0.45}
    # All units of one lie above the diagonal, none of the other's last layer.
    expected |= {"ssl-share": 0.5, "supervised-share": 0.5}
    np.testing.assert_allclose(series(table[table["encoder"] == "simclr"], module("ssl_vs_supervised").SHARE), 1)
    for claim, value in expected.items():
        assert effects[f"ssl_vs_supervised.{claim}"] == pytest.approx(value)


def test_exchanged_encoders_refute(desk):
    _, findings = contrast(desk("ssl_vs_supervised"), SUPERVISED, SSL).analyse()
    said = verdicts("ssl_vs_supervised", findings)
    assert said.pop("ssl_vs_supervised.classes-rise") == "inconclusive"
    assert set(said.values()) == {"refuted"}


# --- atypicality ------------------------------------------------------------------------------------------------------


def atypicality(desk, *, candidate=0.8, external=0.0, owners=("candidate",), sharp=("candidate",), seeds=3):
    """Candidates' and external images' rank correlation of atypicality and last-layer SSLMem are planted.

    Args:
        candidate, external: correlations, of one value or of one a seed.
        owners: groups whose units that memorize more belong to more memorized points; else to any.
        sharp: groups on whose most memorized points units answer to a single image.
    """
    for seed in range(seeds):
        rng = np.random.default_rng([9, seed])
        points = points_table([0.1] * 4, seed=seed, trait=0.2, common=0.2, noise=0.01)
        last = points[points["layer"] == "4"].set_index("point")
        about = {
            "candidate": np.broadcast_to(candidate, seeds)[seed],
            "external": np.broadcast_to(external, seeds)[seed],
        }
        tables = []
        for group, rho in about.items():
            mine = last[last["group"] == group]
            z = mine["sslmem"].rank(method="first").to_numpy() / len(mine) - 0.5
            other = rng.permutation(z)
            tables.append(
                pd.DataFrame(
                    {
                        "point": mine.index.to_numpy(),
                        "group": group,
                        "label": 0,
                        "atypicality": np.exp(rho * z + np.sqrt(1 - rho**2) * other),
                    }
                )
            )
        held = [owned(last[last["group"] == group], group, group in owners, rng) for group in about]
        measures = measured(last, sharp, rng)
        files = {"points": points, "atypicality": pd.concat(tables, ignore_index=True), "measures": measures}
        desk.add("simclr", seed, units=pd.concat(held, ignore_index=True), **files)
    return desk


def owned(mine, group, follows, rng):
    """Units of a group and their owners; one owner may have several."""
    order = mine["sslmem"].sort_values().index.to_numpy()
    strength = np.sort(rng.random(UNITS))
    units = pd.DataFrame({"layer": np.repeat(NUMBERED, UNITS), "unit": np.tile(np.arange(UNITS), 4)})
    units = units.assign(group=group, unitmem=np.tile(strength, 4))
    held = np.sort(rng.choice(POINTS, UNITS)) if follows else rng.choice(POINTS, UNITS)
    # Earlier layers say the opposite, and a dead unit of the last layer has no owner.
    units["owner"] = np.concatenate([np.tile(order[::-1][held], 3), order[held]])
    units.loc[units.index[-UNITS], "owner"] = -1
    return units


def measured(last, sharp, rng):
    """Views of every unit: even on all points but one of the most memorized in each sharp group.

    So on the half of the draws that did not choose those points; on the other half all is the other way round.
    """
    arrays = {"points": last.index.to_numpy(), "groups": last["group"].to_numpy(str), "layers": np.array(LAYERS)}
    for layer in NUMBERED:
        views = 0.5 + 0.02 * rng.random((len(last), 2, UNITS))
        for group in ("candidate", "external"):
            mine = last.reset_index()
            mine = mine[mine["group"] == group]
            best = mine.nlargest(SIZE, "sslmem_choose").index.to_numpy()
            worst = mine.nsmallest(SIZE, "sslmem_choose").index.to_numpy()
            views[rng.choice(worst, UNITS), 0, np.arange(UNITS)] = 9.0
            if group in sharp:
                views[rng.choice(best, UNITS), 1, np.arange(UNITS)] = 3.0
        arrays[f"views/{layer}"] = views
    return arrays


def test_planted_rank_correlations_come_out(desk):
    kept = atypicality(desk("atypicality"))
    table, findings = kept.analyse()
    inputs = Inputs(kept.runs, kept.files)
    expected = {"candidate": [], "external": []}
    for points, judged in zip(inputs.tables("points", "simclr"), inputs.tables("atypicality", "simclr"), strict=True):
        last = points[points["layer"] == "4"].set_index("point")["sslmem"]
        for group, values in expected.items():
            mine = judged[judged["group"] == group]
            values.append(spearmanr(mine["atypicality"].round(12), last[mine["point"]]).statistic)
    rho = series(table, "correlation")
    assert rho["candidate"] == pytest.approx(np.mean(expected["candidate"])) and rho["candidate"] > 0.6
    assert rho["external"] == pytest.approx(np.mean(expected["external"])) and abs(rho["external"]) < 0.2
    said = verdicts("atypicality", findings)
    # Four top units have too few owners to tell them by how many they own.
    assert said.pop("atypicality.owned") == said.pop("atypicality.owned-excess") == "inconclusive"
    assert set(said.values()) == {"supported"}
    rows = told("atypicality", findings).set_index("claim")
    effects = rows["effect"]
    assert effects["atypicality.owners"] > 0.95 and effects["atypicality.top-owners"] > 0.1
    assert effects["atypicality.owners-excess"] > 0.5 and effects["atypicality.top-owners-excess"] > 0.1
    # A row an owner, however many units are its own.
    units = inputs.tables("units", "simclr")[0]
    held = units[(units["group"] == "candidate") & (units["layer"] == "4") & (units["owner"] >= 0)]["owner"]
    for claim in ("owners", "owners-excess"):
        assert rows.loc[f"atypicality.{claim}", "n"] == held.nunique() < len(held)
    for claim in ("top-owners", "top-owners-excess"):
        assert rows.loc[f"atypicality.{claim}", "n"] == held.tail(round(0.1 * len(held))).nunique()
    # One point at 3, the others at 0.51, is a UnitMem of 0.71; without it there is next to none.
    np.testing.assert_allclose(series(table, "most memorized"), 0.71, atol=0.02)
    np.testing.assert_allclose(series(table, "least memorized"), 0.015, atol=0.01)
    for name in ("most, external", "least, external"):
        np.testing.assert_allclose(series(table, name), 0.015, atol=0.01)
    assert list(series(table, "most memorized").index) == list(NUMBERED)


def test_typical_images_refute(desk):
    _, findings = atypicality(desk("atypicality"), candidate=-0.8).analyse()
    said = verdicts("atypicality", findings)
    assert said["atypicality.correlation"] == said["atypicality.correlation-excess"] == "refuted"


def test_a_correlation_that_external_images_show_too_is_no_excess(desk):
    kept = atypicality(desk("atypicality"), candidate=0.8, external=0.8, owners=(), sharp=("candidate", "external"))
    table, findings = kept.analyse()
    np.testing.assert_allclose(series(table, "most, external"), 0.71, atol=0.02)
    np.testing.assert_allclose(series(table, "least, external"), 0.015, atol=0.01)
    said = verdicts("atypicality", findings)
    assert said["atypicality.correlation"] == said["atypicality.units"] == "supported"
    assert said["atypicality.correlation-excess"] == said["atypicality.units-excess"] == "inconclusive"
    assert said["atypicality.owners"] == "inconclusive"


def test_owners_that_external_images_have_too_are_no_excess(desk):
    _, findings = atypicality(desk("atypicality"), owners=("candidate", "external")).analyse()
    rows = told("atypicality", findings).set_index("claim")
    assert rows.loc["atypicality.owners", "verdict"] == rows.loc["atypicality.top-owners", "verdict"] == "supported"
    assert rows.loc["atypicality.owners-excess", "verdict"] == "inconclusive"
    assert abs(rows.loc["atypicality.owners-excess", "effect"]) < 0.02


def test_owners_among_external_images_alone_refute_an_excess(desk):
    _, findings = atypicality(desk("atypicality"), owners=("external",)).analyse()
    said = verdicts("atypicality", findings)
    assert said["atypicality.owners"] == said["atypicality.top-owners"] == "inconclusive"
    assert said["atypicality.owners-excess"] == said["atypicality.top-owners-excess"] == "refuted"


def counted(kept, *, follows):
    """Give the last layer of each seed 200 units whose 20 top ones have owners with one to four of them.

    Args:
        follows: by group, 1 where those that own more are more memorized, -1 where less.

    Returns:
        Of each seed, {group: {owner: number owned}}.
    """
    inputs, planted = Inputs(kept.runs, kept.files), []
    for points, path in zip(inputs.tables("points", "simclr"), kept.files["units"], strict=True):
        tables, counts = [], {}
        for group, sign in follows.items():
            last = points[(points["layer"] == "4") & (points["group"] == group)]
            order = last.sort_values("sslmem")["point"].to_numpy()[::sign]
            counts[group] = dict(zip(order[[5, 15, 25, 30, 45, 50, 55, 58]], (1, 1, 2, 2, 3, 3, 4, 4), strict=True))
            top = np.repeat(list(counts[group]), list(counts[group].values()))
            owner = np.concatenate([top, np.repeat(order[:6], 30)])
            about = {"layer": "4", "unit": np.arange(200), "group": group, "unitmem": np.linspace(1, 0, 200)}
            tables.append(pd.DataFrame({**about, "owner": owner}))
        save_table(pd.concat(tables, ignore_index=True), path)
        planted.append(counts)
    return planted


@pytest.mark.parametrize(("candidate", "external", "said"), [(1, -1, ("supported", "supported")),
                                                             (-1, 1, ("refuted", "refuted")),
                                                             (1, 1, ("supported", "inconclusive"))])  # fmt: skip
def test_owners_of_more_top_units_are_told(desk, candidate, external, said):
    kept = atypicality(desk("atypicality"))
    planted = counted(kept, follows={"candidate": candidate, "external": external})
    table, findings = kept.analyse()
    found = verdicts("atypicality", findings)
    assert (found["atypicality.owned"], found["atypicality.owned-excess"]) == said
    row = told("atypicality", findings).set_index("claim").loc["atypicality.owned"]
    assert row["n"] == 8 and np.sign(row["effect"]) == candidate and abs(row["effect"]) > 0.9
    # Table 12: how many points own k of the top units, and their mean SSLMem, in all seeds.
    points = Inputs(kept.runs, kept.files).tables("points", "simclr")
    for group in ("candidate", "external"):
        rows = table[table["series"] == f"owners, {group}"].set_index("owns")
        assert rows["points"].to_dict() == dict.fromkeys((1, 2, 3, 4), 2 * 3)
        for k in (1, 2, 3, 4):
            scores = [
                p[p["layer"] == "4"].set_index("point")["sslmem"][[o for o, count in c[group].items() if count == k]]
                for p, c in zip(points, planted, strict=True)
            ]
            assert rows.loc[k, "value"] == pytest.approx(np.mean(scores))
            assert rows.loc[k, "low"] < rows.loc[k, "value"] < rows.loc[k, "high"]


def test_rank_correlations_have_intervals_between_minus_one_and_one(desk):
    table, findings = atypicality(desk("atypicality"), candidate=[0.6, 0.9, 0.999], external=-0.999).analyse()
    low, high = series(table, "correlation", "low"), series(table, "correlation", "high")
    assert high.max() <= 1 and low.min() >= -1
    rows = told("atypicality", findings).set_index("claim")
    assert rows.loc["atypicality.correlation", "high"] <= 1 and rows.loc["atypicality.owners", "high"] <= 1


def test_the_most_and_least_memorized_candidates_are_named_in_order(desk):
    kept = atypicality(desk("atypicality"))
    table, _ = kept.analyse()
    points = table[table["series"] == "point"]
    assert len(points) == 3 * POINTS
    inputs = Inputs(kept.runs, kept.files).tables("points", "simclr")
    for scored, (_, run) in zip(inputs, points.groupby("run"), strict=True):
        named = run[run["place"] != ""].set_index("place")["point"]
        # As chosen: on the first half of the draws.
        mine = scored[(scored["layer"] == "4") & (scored["group"] == "candidate")]
        best = mine.sort_values("sslmem_choose", ascending=False)["point"].to_numpy()
        assert len(named) == 2 * SIZE
        assert [named[f"most {i}"] for i in range(SIZE)] == best[:SIZE].tolist()
        assert [named[f"least {i}"] for i in range(SIZE)] == best[::-1][:SIZE].tolist()


# --- interventions ----------------------------------------------------------------------------------------------------


def pruning(desk, accuracy, *, seeds=3, tests=None, trials=4, alike=False, scopes=("layer",), fractions=(0.1, 0.2)):
    """Outcomes whose arms get points right at planted rates; a task with fewer test points is padded with False.

    Args:
        accuracy: by arm, or by (arm, scope) where that differs.
        alike: all seeds have the same outcomes.
    """
    tests = tests or {"seen": 300, "unseen": 200}
    kinds = [by for by in accuracy if by != "none"]
    for seed in range(seeds):
        rng = np.random.default_rng([10, 0 if alike else seed])
        rows = []
        for task, n in tests.items():
            hard = rng.random(n)
            arms = [("none", "none", 0.0, 0)]
            for scope, fraction, by in itertools.product(scopes, fractions, kinds):
                if not by.startswith("matched") or fraction <= 1 / 3:
                    drawn = trials if by in ("random", "matched", "matched-magnitude") else 1
                    arms += [(by, scope, fraction, trial) for trial in range(drawn)]
            for by, scope, fraction, trial in arms:
                rate = accuracy[by][scope] if isinstance(accuracy[by], dict) else accuracy[by]
                right = np.zeros(max(tests.values()), dtype=bool)
                right[:n] = hard + 0.03 * rng.normal(size=n) < rate
                about = {"by": by, "scope": scope, "fraction": fraction, "trial": trial, "dataset": task, "tested": n}
                rows.append({**about, "active": fraction, "correct": right})
        order = rng.permutation(len(rows))
        desk.add("simclr", seed, outcomes={key: np.array([rows[i][key] for i in order]) for key in rows[0]})
    return desk


PRUNED = {"none": 0.9, "top": 0.7, "random": 0.8, "low": 0.88, "matched": 0.78, "excess": 0.72, "activation-low": 0.86}
NULLS = {"matched-magnitude": 0.79, "top-unseen": 0.77, "excess-unseen": 0.8}


def test_planted_costs_of_pruning_come_out(desk):
    planted = {"none": 0.9, "top": 0.7, "random": 0.8, "low": 0.88}
    kept = pruning(desk("pruning"), planted)
    table, findings = kept.analyse()
    for task in ("seen", "unseen"):
        mine = table[table["task"] == task]
        for by, rate in planted.items():
            np.testing.assert_allclose(mine.loc[mine["series"] == by, "value"], rate, atol=0.06)
    outcomes = Inputs(kept.runs, kept.files).arrays("outcomes", "simclr")
    for task, n in (("seen", 300), ("unseen", 200)):
        mine = table[(table["task"] == task) & (table["fraction"] == 0.2)].set_index("series")
        for by in ("top", "random", "low"):
            expected = [
                o["correct"][(o["dataset"] == task) & (o["by"] == by) & (o["fraction"] == 0.2)][:, :n].mean()
                for o in outcomes
            ]
            assert mine.loc[[by], "value"].iloc[0] == pytest.approx(np.mean(expected))
        trials = mine.loc[["random trial"], "value"]
        assert len(trials) == 3 * 4 and trials.mean() == pytest.approx(mine.loc["random", "value"])
    rows = told("pruning", findings)
    assert set(rows["subject"]) == {f"simclr on {task}, mean over 10 and 20 %" for task in ("seen", "unseen")}
    assert len(rows) == 4
    assert (rows["verdict"] == "supported").all()
    assert rows.set_index(["claim", "subject"])["n"]["pruning.top", "simclr on unseen, mean over 10 and 20 %"] == 200
    for claim, effect in (("pruning.top", 0.1), ("pruning.low", 0.08)):
        np.testing.assert_allclose(rows.loc[rows["claim"] == claim, "effect"], effect, atol=0.03)


def test_pruning_that_costs_the_other_way_round_refutes(desk):
    planted = {"none": 0.9, "top": 0.88, "random": 0.8, "low": 0.7, "matched": 0.75, "excess": 0.86}
    _, findings = pruning(desk("pruning"), planted).analyse()
    rows = told("pruning", findings)
    assert (rows["verdict"] == "refuted").all() and len(rows) == 8


def test_pruning_that_is_all_one_gives_no_verdict(desk):
    arms = ("none", "top", "random", "low", "matched", "excess")
    _, findings = pruning(desk("pruning"), dict.fromkeys(arms, 0.8)).analyse()
    assert (told("pruning", findings)["verdict"] == "inconclusive").all()


def test_pruning_is_told_for_each_scope_at_the_fractions_of_the_paper(desk):
    # One ranking over all units does nothing here; half of the units would turn every verdict round.
    planted = {by: {"layer": rate, "total": 0.8} for by, rate in PRUNED.items() if by != "none"} | {"none": 0.9}
    kept = pruning(desk("pruning"), planted, scopes=("total", "layer"))
    table, findings = kept.analyse()
    assert set(table.loc[table["series"] == "matched", "scope"]) == {"layer", "total"}
    rows = told("pruning", findings).set_index(["claim", "subject"])["verdict"]
    assert len(rows) == 4 * 2 * 2
    for (_, subject), verdict in rows.items():
        assert verdict == ("inconclusive" if "of all units" in subject else "supported")


def test_fractions_that_the_paper_lacks_and_arms_that_end_are_left_out_of_verdicts(desk):
    kept = pruning(
        desk("pruning"), PRUNED, fractions=(0.05, 0.1, 0.5), tests={"fashion": 300}, scopes=("total", "layer")
    )
    table, findings = kept.analyse()
    assert table.loc[table["series"] == "matched", "fraction"].max() == 0.1
    assert len(findings) == 4 * 2
    rows = told("pruning", findings).set_index(["claim", "subject"])
    at = table[(table["fraction"] == 0.1) & (table["scope"] == "total")].set_index("series")["value"]
    gap = at["random"] - at["top"]
    assert rows["effect"]["pruning.top", "simclr on fashion, of all units, 10 %"] == pytest.approx(gap)
    assert rows["paper_effect"]["pruning.top", "simclr on fashion, of all units, 10 %"] == (
        pytest.approx(0.5677 - 0.4916)
    )


def test_the_papers_accuracies_stand_beside_the_setting_that_they_belong_to(desk):
    kept = pruning(
        desk("pruning"), PRUNED, tests={"fashion": 200, "digits": 100, "mine": 100}, scopes=("layer", "total")
    )
    table, findings = kept.analyse()
    paper = table.dropna(subset=["paper"]).set_index(["task", "scope", "fraction", "series"])["paper"]
    assert len(paper) == 3 * (3 + 1)
    assert paper["fashion", "layer", 0.1, "top"] == 0.5304 and paper["digits", "layer", 0.1, "low"] == 0.7226
    assert paper["fashion", "total", 0.1, "random"] == 0.5677 and paper["fashion", "layer", 0.2, "low"] == 0.5484
    effects = told("pruning", findings).set_index(["claim", "subject"])["paper_effect"].dropna().round(6).to_dict()
    assert effects == {
        ("pruning.top", "simclr on fashion, mean over 10 and 20 %"): 0.04045,
        ("pruning.top", "simclr on fashion, 10 % of each layer"): 0.0505,
        ("pruning.top", "simclr on fashion, 20 % of each layer"): 0.0304,
        ("pruning.top", "simclr on fashion, 10 % of all units"): 0.0761,
        ("pruning.top", "simclr on digits, 10 % of each layer"): 0.032,
        ("pruning.low", "simclr on fashion, mean over 10 and 20 %"): 0.03995,
        ("pruning.low", "simclr on fashion, 10 % of each layer"): 0.0449,
        ("pruning.low", "simclr on fashion, 20 % of each layer"): 0.035,
        ("pruning.low", "simclr on fashion, 10 % of all units"): 0.0585,
        ("pruning.low", "simclr on digits, 10 % of each layer"): 0.0522,
    }


def test_where_an_arm_lies_among_the_random_trials_is_counted_over_seeds(desk):
    kept = desk("pruning")
    # Trials of seed 0: 0.5, 0.6, 0.7 right; of seed 1: all 0.6.
    for seed, trials in enumerate(([5, 6, 7], [6, 6, 6])):
        arms = [("none", "none", 0.0, 10), ("top", "layer", 0.1, 5), ("low", "layer", 0.1, (8, 5)[seed])]
        arms += [("random", "layer", 0.1, right) for right in trials]
        about = {"by": [a[0] for a in arms], "scope": [a[1] for a in arms], "fraction": [a[2] for a in arms]}
        marks = np.stack([np.arange(10) < a[3] for a in arms])
        about |= {"dataset": ["fashion"] * 6, "tested": [10] * 6, "active": [0.5] * 6, "trial": [0, 0, 0, 0, 1, 2]}
        kept.add("simclr", seed, outcomes={key: np.array(value) for key, value in about.items()} | {"correct": marks})
    table, _ = kept.analyse()
    rows = table.set_index("series")[["below", "above", "spread", "value"]]
    # The 2.5 % quantile of 0.5, 0.6, 0.7 is 0.505.
    assert rows.loc["top", ["below", "above", "value"]].tolist() == [1.0, 0.0, 0.5]
    assert rows.loc["low", ["below", "above", "value"]].tolist() == [0.5, 0.5, 0.65]
    assert rows.loc["random", "spread"] == pytest.approx(0.05) and np.isnan(rows.loc["top", "spread"])
    assert rows.loc["none"][["below", "above", "spread"]].isna().all()


INTERVENTIONS = {
    "pruning": lambda desk, seeds: pruning(desk, PRUNED, seeds=seeds, alike=True),
    "finetuning": lambda desk, seeds: finetuning(desk, 0.8, 0.7, seeds=seeds, alike=True),
}


@pytest.mark.parametrize("kind", list(INTERVENTIONS))
def test_seeds_are_tested_on_the_same_images_so_more_of_them_say_no_more_about_those(desk, tmp_path, kind):
    one, many = (INTERVENTIONS[kind](Desk(tmp_path / str(seeds), kind), seeds).analyse() for seeds in (1, 5))
    a, b = (told(kind, findings).set_index(["claim", "n"]).drop_duplicates() for _, findings in (one, many))
    assert (b["high"] > b["low"]).all()
    np.testing.assert_allclose(b[["effect", "low", "high"]], a[["effect", "low", "high"]])
    columns = ["value", "low", "high"]
    a, b = (table.dropna(subset=["low"]).reset_index(drop=True)[columns] for table, _ in (one, many))
    np.testing.assert_allclose(b, a)


def finetuning(desk, increment, last, *, seeds=3, counts=(1, 2), alike=False, agree=(), subsets=False):
    """Outcomes of planted rates; in the seeds that ``agree`` the layers chosen are the last ones."""
    for seed in range(seeds):
        rng = np.random.default_rng([11, 0 if alike else seed])
        hard = rng.random(300)
        arms = [("head", 0, "", 0.6)]
        for k in counts:
            arms += [
                ("increment", k, " ".join(NUMBERED[-k:] if seed in agree else NUMBERED[1 : 1 + k]), increment),
                ("last", k, " ".join(NUMBERED[-k:]), last),
            ]
            if subsets:
                arms += [("subset", k, " ".join(names), last) for names in itertools.combinations(NUMBERED, k)]
        outcomes = {"by": np.array([a[0] for a in arms]), "count": np.array([a[1] for a in arms])}
        outcomes |= {"layers": np.array([a[2] for a in arms])}
        outcomes["correct"] = np.stack([hard + 0.03 * rng.normal(size=300) < a[3] for a in arms])
        points = points_table([0.1, 0.2, 0.3, 0.4], seed=0 if alike else seed)
        desk.add("simclr", seed, outcomes=outcomes, points=points)
    return desk


@pytest.mark.parametrize(("rates", "said"), [((0.8, 0.7), "supported"), ((0.7, 0.8), "refuted"),
                                             ((0.7, 0.7), "inconclusive")])  # fmt: skip
def test_planted_gains_of_fine_tuning_come_out(desk, rates, said):
    table, findings = finetuning(desk("finetuning"), *rates).analyse()
    rows = told("finetuning", findings)
    assert rows["subject"].tolist() == [f"simclr, k = {k}, choices differ in 3 of 3 seeds" for k in (1, 2)]
    assert (rows["verdict"] == said).all() and (rows["n"] == 300).all() and (rows["seeds"] == 3).all()
    np.testing.assert_allclose(rows["effect"], rates[0] - rates[1], atol=0.03)
    for name, rate in (("head", 0.6), ("increment", rates[0]), ("last", rates[1])):
        np.testing.assert_allclose(table.loc[table["series"] == name, "value"], rate, atol=0.06)
    chosen = table[(table["series"] == "last") & (table["count"] == 2)]["layers"].iloc[0]
    assert [re.findall(r"\d+", seed) for seed in chosen.split(" | ")] == [["3", "4"]] * 3


def test_how_many_seeds_chose_other_than_the_last_layers_is_said(desk):
    _, findings = finetuning(desk("finetuning"), 0.8, 0.7, seeds=4, agree=(0, 2, 3)).analyse()
    subjects = told("finetuning", findings)["subject"].tolist()
    assert subjects == [f"simclr, k = {k}, choices differ in 1 of 4 seeds" for k in (1, 2)]


def test_choices_that_agree_in_every_seed_say_nothing(desk):
    table, findings = finetuning(desk("finetuning"), 0.8, 0.7, seeds=2, agree=(0, 1)).analyse()
    assert findings == [] and {"head", "increment", "last"} <= set(table["series"])


def test_one_seed_that_fine_tunes_one_layer_is_drawn(desk, tmp_path, images):
    # Its chosen layers are then bare numbers, which a CSV gives back as numbers.
    table, _ = finetuning(desk("finetuning"), 0.8, 0.7, seeds=1, counts=(1,)).analyse()
    figure = module("finetuning").draw(again(table, tmp_path), images)
    texts = [text.get_text() for text in figure.axes[0].texts]
    plt.close(figure)
    assert [re.findall(r"\d+", text) for text in texts] == [["2"], ["4"]]


# --- every experiment -------------------------------------------------------------------------------------------------

WORLDS = {
    "layermem": lambda desk, seeds: layermem(desk, [0.1, 0.2, 0.3, 0.4], trait=0.1, seeds=seeds),
    "unitmem": lambda desk, seeds: unitmem(desk, [0.6, 0.65, 0.7, 0.75], [0.5] * 4, 0.4, seeds=seeds),
    "ssl_vs_supervised": lambda desk, seeds: contrast(desk, SSL, SUPERVISED, seeds=seeds),
    "atypicality": lambda desk, seeds: atypicality(desk, seeds=seeds),
    "pruning": lambda desk, seeds: pruning(desk, PRUNED | NULLS, seeds=seeds, scopes=("layer", "total")),
    "finetuning": lambda desk, seeds: finetuning(desk, 0.8, 0.7, seeds=seeds, subsets=True),
}


@pytest.fixture
def images():
    return np.random.default_rng(12).integers(0, 256, size=(300, 1, 16, 16), dtype=np.uint8)


def again(table, folder):
    """The table as the figure's job reads it."""
    save_table(table, folder / "table.csv")
    return load_table(folder / "table.csv")


def test_every_part_of_the_registry_is_joined_and_no_kind_stands_in_two():
    files = [path for path in Path(registry.__file__).parent.glob("[a-z]*.py") if path.stem != "entry"]
    parts = [importlib.import_module(f"memloc.experiments.registry.{path.stem}").ENTRIES for path in files]
    assert len(parts) > 1 and sorted(kind for part in parts for kind in part) == sorted(EXPERIMENTS)


def test_every_experiment_is_tried():
    """Here or in tests of its own, which plant an effect and tell every claim that it has."""
    for kind in EXPERIMENTS.keys() - WORLDS.keys():
        texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py") if kind in path.stem]
        assert any(".analyse(" in text and "CLAIMS" in text and "verdict" in text for text in texts), kind


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("kind", list(WORLDS))
def test_every_claim_has_a_finding_and_every_finding_a_claim(desk, kind, seeds):
    _, findings = WORLDS[kind](desk(kind), seeds).analyse()
    claims = module(kind).CLAIMS
    assert {finding.claim for finding in findings} == set(claims)
    assert all(claim.startswith(f"{kind}.") for claim in claims)
    rows = told(kind, findings)
    numbers = rows[["effect", "low", "high"]].to_numpy()
    assert np.isfinite(numbers).all() and (rows["low"] <= rows["high"]).all()
    assert rows["effect"].between(rows["low"], rows["high"]).all()
    assert (rows["seeds"] == seeds).all() and (rows["n"] > 0).all()
    assert set(rows["subject"].str.contains("simclr|supervised")) == {True}


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("kind", list(WORLDS))
def test_every_figure_is_drawn_from_the_table_as_a_csv_holds_it(desk, tmp_path, images, kind, seeds):
    table, _ = WORLDS[kind](desk(kind), seeds).analyse()
    read = again(table, tmp_path)
    assert list(read.columns) == list(table.columns) and len(read) == len(table)
    figure = module(kind).draw(read, images)
    assert isinstance(figure, Figure) and figure.axes
    figure.canvas.draw()
    plt.close(figure)


@pytest.mark.parametrize("kind", list(WORLDS))
def test_an_analysis_is_the_same_every_time(desk, kind):
    kept = WORLDS[kind](desk(kind), 2)
    (a, first), (b, second) = kept.analyse(), kept.analyse()
    pd.testing.assert_frame_equal(a, b)
    pd.testing.assert_frame_equal(told(kind, first), told(kind, second))


def test_a_kind_that_is_none_is_never_imported():
    with pytest.raises(KeyError):
        module("inputs")


def test_one_file_comes_as_a_bare_string():
    assert as_list("a.csv") == ["a.csv"] and as_list(("a", "b")) == ["a", "b"]


def test_pruning_by_a_single_fraction_is_drawn():
    arms = ["none", "top", "low", "random", "random trial"]
    table = pd.DataFrame({"encoder": "simclr", "task": "seen", "series": arms, "fraction": [0.0, 0.5, 0.5, 0.5, 0.5]})
    table = table.assign(scope=["none"] + ["layer"] * 4, value=0.5, low=0.4, high=0.6)
    figure = module("pruning").draw(table, np.zeros((1, 1, 2, 2), np.uint8))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()]
    plt.close(figure)


def test_planted_nulls_of_pruning_come_out(desk):
    _, findings = pruning(desk("pruning"), PRUNED | NULLS).analyse()
    rows = told("pruning", findings).set_index(["claim", "subject"])["effect"]
    gaps = {"matched-magnitude": 0.09, "top-unseen": 0.07, "excess-unseen": 0.08}
    for claim, gap in gaps.items():
        assert rows[f"pruning.{claim}", "simclr on seen, mean over 10 and 20 %"] == pytest.approx(gap, abs=0.03)
