"""Frameworks against one another: planted likeness and unlikeness of profiles and units must come out."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp, spearmanr

from memloc.analysis.inputs import Inputs
from memloc.experiments.frameworks import analysis as frameworks
from memloc.metrics.stats import ks_distance
from tests.builders.planted import LAYERS, OFFSET, POINTS, points
from tests.builders.study import Study, by_claim, complaint, of

RISING = np.array([0.02, 0.06, 0.1, 0.3])
UNITS = 80
OPTIONS = {}


def units(values, *, layers=LAYERS):
    """UnitMem planted on candidates in the last layer; other layers and groups have other values."""
    values = np.asarray(values, dtype=np.float64)
    tables = []
    for group in ("candidate", "independent", "external"):
        for layer in layers:
            planted = values if (group, layer) == ("candidate", layers[-1]) else np.zeros(len(values))
            about = {"layer": layer, "unit": np.arange(len(values)), "group": group, "unitmem": planted}
            tables.append(pd.DataFrame(about))
    return pd.concat(tables, ignore_index=True)


def study_of(folder, planted, *, seeds=3, noise=0.01, layers=LAYERS, many=UNITS, offsets=(OFFSET,)):
    """A study of frameworks: {name: (profile, mean UnitMem)}, over seeds of their own splits."""
    study = Study(folder, "frameworks")
    for draw, (name, (profile, mean)) in enumerate(planted.items()):
        offset = offsets[draw % len(offsets)]
        for seed in range(seeds):
            rng = np.random.default_rng([14, seed, draw])
            table = units(mean + 0.1 * rng.normal(size=many), layers=layers)
            of_points = points(profile, noise=noise, offset=offset, split=seed, draw=draw)
            study.add(name, seed, units=table, points=of_points)
    return study


def world(folder, seeds=3):
    return study_of(folder, {"simclr": (RISING, 0.5), "dino": (RISING + 0.01, 0.51)}, seeds=seeds)


@pytest.fixture
def study(tmp_path):
    return lambda planted, **settings: study_of(tmp_path, planted, **settings)


@pytest.mark.parametrize("scale", [1, 10])
def test_a_distance_of_distributions_is_the_one_of_kolmogorov_and_smirnov(scale):
    rng = np.random.default_rng(0)
    for n, m in ((1, 1), (7, 30), (50, 50)):
        # Rounded, so that values are tied.
        x, y = np.round(rng.normal(size=n) * scale, 1), np.round(rng.normal(0.5, size=m) * scale, 1)
        assert ks_distance(x, y) == pytest.approx(ks_2samp(x, y).statistic)
        assert ks_distance(x, y) == ks_distance(y, x) and ks_distance(x, x) == 0
    assert ks_distance(np.array([1.0, 2.0]), np.array([3.0])) == 1
    assert ks_distance(np.array([1.0, 3.0]), np.array([2.0, 3.0])) == 0.5


def test_every_pair_has_its_correlation_difference_and_distance(study):
    planted = {"simclr": (RISING, 0.5), "dino": (RISING[[1, 0, 2, 3]], 0.6), "vicreg": (RISING / 2, 0.5)}
    made = study(planted, noise=0)
    table, rows = made.analyse()
    seeds = {e: Inputs(made.runs, made.files).tables("units", e) for e in planted}
    last = {e: [t[(t["group"] == "candidate") & (t["layer"] == "4")]["unitmem"] for t in seeds[e]] for e in planted}
    for a, b in combinations(planted, 2):
        x, y = planted[a][0], planted[b][0]
        rho, apart = spearmanr(x, y).statistic, np.abs(x - y)
        far = np.mean([ks_2samp(s, t).statistic for s, t in zip(last[a], last[b], strict=True)])
        pair = table[(table["encoder"] == a) & (table["other"] == b)].set_index("series")
        by_name = {name: pair.loc[name] for name in frameworks.PAIRS}
        assert by_name["rank correlation"]["value"] == pytest.approx(rho)
        assert by_name["largest difference"]["value"] == pytest.approx(apart.max())
        assert by_name["largest difference"]["layer"] in np.array(LAYERS)[np.isclose(apart, apart.max())]
        assert by_name["distance of UnitMem"]["value"] == pytest.approx(far)
        np.testing.assert_allclose(pair.loc["difference", "value"], x - y, atol=1e-12)
        effects = {claim: by_claim(rows, f"frameworks.{claim}")["effect"] for claim in frameworks.CLAIMS}
        assert effects["shape"][f"{a} and {b}"] == pytest.approx(rho - 0.9)
        assert effects["units"][f"{a} and {b}"] == pytest.approx(0.2 - far)
    for estimator, shift in (("published", OFFSET), ("external-corrected", 0), ("crossed", 0)):
        np.testing.assert_allclose(of(table, estimator, "vicreg")[list(LAYERS)], RISING / 2 + shift)
    np.testing.assert_allclose(of(table, "external images", "vicreg"), OFFSET)
    assert (table["series"] == "unit").sum() == 3 * 3 * UNITS


def test_an_encoders_own_seeds_are_the_null(study):
    made = study({"simclr": (RISING, 0.5), "dino": (RISING, 0.5)}, noise=0.3)
    table, _ = made.analyse()
    inputs = Inputs(made.runs, made.files, made.about)
    for name in ("simclr", "dino"):
        means = [t[t["own"]].groupby(["group", "layer"])["sslmem"].mean() for t in inputs.tables("points", name)]
        single = [(m["candidate"] - m["independent"]) / 2 for m in means]
        last = [t[(t["group"] == "candidate") & (t["layer"] == "4")]["unitmem"] for t in inputs.tables("units", name)]
        expected = {
            "rank correlation": [spearmanr(a, b).statistic for a, b in combinations(single, 2)],
            "largest difference": [np.abs(a - b).max() for a, b in combinations(single, 2)],
            "distance of UnitMem": [ks_2samp(a, b).statistic for a, b in combinations(last, 2)],
        }
        mine = table[(table["encoder"] == name) & (table["other"] == name)].set_index("series")["value"]
        assert mine.to_dict() == pytest.approx({key: np.mean(values) for key, values in expected.items()})
    one = study({"simclr": (RISING, 0.5), "dino": (RISING, 0.5)}, seeds=1)
    table, _ = one.analyse()
    assert not (table["encoder"] == table["other"]).any()


def test_frameworks_that_are_alike_are_found_alike(study):
    # As many units as it takes to tell: two samples of one distribution differ by chance.
    _, rows = study({"simclr": (RISING, 0.5), "dino": (RISING + 0.01, 0.51)}, many=500).analyse()
    assert (rows["verdict"] == "supported").all() and (rows["subject"].str.startswith("simclr and dino")).all()
    assert by_claim(rows, "frameworks.shape")["effect"].tolist() == pytest.approx([0.1])
    assert by_claim(rows, "frameworks.height")["effect"].iloc[0] == pytest.approx(0.04, abs=0.005)
    assert by_claim(rows, "frameworks.units")["n"].tolist() == [500]
    assert by_claim(rows, "frameworks.shape")["n"].tolist() == [POINTS]


def test_an_offset_of_one_frameworks_encoders_is_no_difference(study):
    _, rows = study({"simclr": (RISING, 0.5), "dino": (RISING, 0.5)}, offsets=(0.4, 0.2)).analyse()
    assert by_claim(rows, "frameworks.height")["verdict"].tolist() == ["supported"]


def test_frameworks_that_are_unlike_are_found_unlike(study):
    higher = RISING + np.array([0, 0.15, 0, 0])
    planted = {"simclr": (RISING, 0.5), "higher": (higher, 0.8), "reverse": (RISING[::-1], 0.5)}
    _, rows = study(planted).analyse()
    verdicts = {claim: by_claim(rows, f"frameworks.{claim}")["verdict"] for claim in frameworks.CLAIMS}
    assert verdicts["shape"]["simclr and reverse"] == "refuted"
    assert verdicts["height"]["simclr and higher, layer 2 above -0.05"] == "refuted"
    assert verdicts["units"]["simclr and higher"] == "refuted"
    heights = by_claim(rows, "frameworks.height")
    assert heights["effect"]["simclr and higher, layer 2 above -0.05"] == pytest.approx(-0.1, abs=0.01)


def test_noise_is_not_likeness(study):
    _, rows = study({"simclr": (np.zeros(4), 0.5), "dino": (np.zeros(4), 0.5)}, noise=0.5, many=10).analyse()
    assert "supported" not in set(rows["verdict"])


def test_the_last_layer_that_has_units_counts(study):
    table, _ = study({"simclr": (RISING, 0.5), "dino": (RISING, 0.5)}, layers=("1", "2", "3")).analyse()
    assert set(table.loc[table["series"] == "unit", "layer"]) == {"3"}
    assert table.loc[table["series"] == "unit", "value"].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("count", "seeds"), [(2, 1), (3, 3), (12, 1)])
def test_the_figure_has_every_framework_and_pair(study, count, seeds):
    made = study({f"f{i}": (RISING + 0.01 * i, 0.5) for i in range(count)}, seeds=seeds)
    table, _ = made.analyse(resamples=20)
    figure = made.drawn(table)
    profiles, pairs = figure.axes[:count], figure.axes[count:]
    assert [axis.get_title("left") for axis in profiles] == [f"f{i}" for i in range(count)] and len(pairs) == 3
    # Every pair, and where there are seeds to compare, those of each framework.
    names = [tick.get_text() for tick in pairs[0].get_yticklabels()]
    assert len(names) == count * (count - 1) // 2 + count * (seeds > 1) and names[0] == "f0, f1"
    first = pairs[1].containers[0].lines[0].get_xdata()[0]
    assert first == pytest.approx(of(table, "largest difference", "f0").iloc[-(count - 1)], abs=6e-4)
    plt.close(figure)


IT = {"kind": "frameworks", "encoders": ["simclr", "mine"]}


def test_encoders_that_differ_in_framework_and_recipe_pass():
    options = {"augmentation": "normal", "epochs": 7, "projection": 64}
    recipe = {"warmup_epochs": 1, "batch_size": 50, "optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0}
    other = {"framework": "vicreg", "recipe": options | recipe, "measure": {"augmentation": "mild"}}
    assert complaint(IT, {"mine": other}) is None


def test_encoders_that_are_measured_otherwise_are_refused():
    said = complaint(IT, {"mine": {"measure": {"augmentation": "masking"}}})
    assert "compares like with like, but measure is" in said and "make them equal" in said


@pytest.mark.parametrize("kind", [{"kind": "frameworks"}, {"kind": "recipes", "order": "same"}])
def test_one_training_is_not_compared_with_itself(kind):
    said = complaint(IT | kind, {"mine": {"weights": "simclr", "seeds": [0, 1, 2]}})
    assert "compares trainings, but simclr and mine are the same training; keep one" in said


@pytest.mark.parametrize("change", [{}, {"snapshots": [1]}])
def test_one_training_that_is_spelt_out_twice_is_not_compared_with_itself(change):
    said = complaint(IT, {"mine": change})
    assert "compares trainings, but simclr and mine are the same training; keep one" in said


def test_encoders_that_start_otherwise_in_g_alone_differ_where_g_is_read():
    other = {"mine": {"initialisation": "shared"}}
    assert complaint(IT, other) is None
    said = complaint(
        {"kind": "transfer", "tasks": ["fashion"], "images": 100, "order": "falling"} | {"encoders": IT["encoders"]},
        other,
    )
    assert "simclr and mine are the same training" in said


BAD = {
    "architecture": ({"architecture": "resnet18"}, "architecture is resnet9 in simclr and resnet18 in mine"),
    "network": ({"network": {"width": 1}}, "network is {'width': 0.5"),
    "seeds": ({"seeds": [0]}, "seeds is [0, 1, 2] in simclr and [0] in mine"),
    "split": ({"split_seed": 4}, "split_seed is None in simclr and 4 in mine"),
    "layers": ({"measure": {"layers": ["1", "2", "3"]}}, "and ['1', '2', '3']"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_encoders_of_other_networks_images_or_layers_are_refused_in_one_line(name):
    changes, part = BAD[name]
    message = complaint(IT, {"mine": changes})
    assert message.startswith("config: experiments.it.encoders: compares like with like, but") and part in message
    assert "\n" not in message


def test_a_single_framework_is_refused():
    assert "experiments.it.encoders" in complaint(IT | {"encoders": ["simclr"]}, {})
