"""LayerMem of subsets: unbiased, and as far spread as drawing without replacement makes it."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest

from memloc.analysis.tables import load_table
from memloc.experiments.set_size import analysis as experiment
from memloc.metrics.alignment import ESTIMATORS
from tests.builders.layers import dots
from tests.builders.planted import SIGNS, places_of, score_table
from tests.builders.study import Study, by_claim, complaint, single, verdicts

N = 60
LAYERS = ("1", "2", "3")
GROUPS = tuple(SIGNS)
OPTIONS = {"sizes": [10, 30], "draws": 50}


def points(scores, *, split=0):
    """SSLMem of each group, [n, layers], with a sum that must not matter."""
    scores = {group: np.column_stack([values, np.full(len(values), 9.0)]) for group, values in scores.items()}
    return score_table(scores, places_of([*LAYERS, "res"]), split=split)


def scattered(seed, spread, *, n=N, profile=(0.0, 0.1, 0.3)):
    rng = np.random.default_rng([30, seed])
    return {
        group: 0.2 + sign * np.array(profile) + spread * rng.normal(size=(n, len(profile)))
        for group, sign in SIGNS.items()
    }


def study_of(folder, *seeds):
    made = Study(folder, "set_size")
    for seed, scores in enumerate(seeds):
        made.add("simclr", seed, points=points(scores, split=seed))
    return made


def world(folder, seeds=3):
    return study_of(folder, *(scattered(seed, 0.1) for seed in range(seeds)))


@pytest.fixture
def study(tmp_path):
    return lambda *seeds: study_of(tmp_path, *seeds)


def column(table, name, series, size):
    return table[(table["series"] == series) & (table["size"] == size)].set_index("layer")[name]


FORMS = {
    "published": lambda c, i, e: c,
    "external-corrected": lambda c, i, e: c + e,
    "crossed": lambda c, i, e: (c + i) / 4,
}


@pytest.mark.parametrize(("name", "groups"), [("published", 1), ("external-corrected", 2), ("crossed", 2)])
def test_the_closed_form_is_the_variance_over_all_subsets(study, name, groups):
    rng = np.random.default_rng(1)
    scores = {group: rng.normal(size=(5, 3)) for group in GROUPS}
    subsets = list(itertools.combinations(range(5), 2))
    other = {"published": "candidate", "external-corrected": "external", "crossed": "independent"}[name]
    scale = 0.5 if name == "crossed" else 1
    means = [
        scale
        * (scores["candidate"][list(a)].mean(axis=0) - (scores[other][list(b)].mean(axis=0) if groups == 2 else 0))
        for a, b in itertools.product(subsets, subsets)
    ]
    table, _ = study(scores).analyse(sizes=[2], draws=3)
    np.testing.assert_allclose(column(table, "expected_sd", name, 2), np.std(means, axis=0))


def test_subsets_have_the_mean_of_all_points_and_spread_as_the_closed_form_says(study):
    worlds = [scattered(seed, 0.1) for seed in range(2)]
    table, _ = study(*worlds).analyse(sizes=[54, 15], draws=600, resamples=20)
    assert set(table["layer"]) == set(LAYERS) and sorted(set(table["size"])) == [15, 54, N]
    for name in ESTIMATORS:
        form = FORMS[name]
        for size in (15, 54):
            variance = [form(*(w[g].var(axis=0, ddof=1) for g in GROUPS)) * (1 / size - 1 / N) for w in worlds]
            expected = np.sqrt(np.mean(variance, axis=0))
            np.testing.assert_allclose(column(table, "expected_sd", name, size), expected)
            np.testing.assert_allclose(column(table, "sd", name, size), expected, rtol=0.1)
            error = expected.max() / np.sqrt(600 * 2)
            np.testing.assert_allclose(
                column(table, "value", name, size), column(table, "value", name, N), atol=4 * error
            )
        assert (column(table, "sd", name, N) == 0).all() and (column(table, "expected_sd", name, N) == 0).all()


def test_all_points_have_layermem_of_all_points(study):
    scores = scattered(0, 0.1)
    table, _ = study(scores).analyse(sizes=[10], draws=2)
    c, i, e = (scores[group].mean(axis=0) for group in GROUPS)
    for name, expected in zip(ESTIMATORS, (c, c - e, (c - i) / 2), strict=True):
        np.testing.assert_allclose(column(table, "value", name, N), expected)


def test_groups_are_drawn_apart(study):
    # A candidate and the independent point beside it have the same score: drawn together they would cancel.
    scores = scattered(0, 0.1)
    scores["independent"] = scores["external"] = scores["candidate"]
    table, _ = study(scores).analyse(sizes=[12], draws=600, resamples=20)
    for name in ("crossed", "external-corrected"):
        np.testing.assert_allclose(column(table, "sd", name, 12), column(table, "expected_sd", name, 12), rtol=0.1)


def test_points_that_are_all_alike_leave_no_spread(study):
    table, rows = study(*(scattered(seed, 0) for seed in range(3))).analyse(sizes=[6, 30], draws=5)
    assert table["sd"].max() < 1e-12
    effects = single(rows)["effect"]
    assert effects["mean"] == pytest.approx(0.01) and effects["published-spread"] == pytest.approx(0.001)
    # Fewer than 50 draws can't tell a spread.
    assert set(effects.index) == set(experiment.CLAIMS) - {"spread"}
    np.testing.assert_allclose(column(table, "value", "crossed", 6), [0, 0.1, 0.3], atol=1e-12)


def test_claims_hold_where_points_differ_little(study):
    # A deviation of points of .001 makes one of .0003 at 10 points.
    _, rows = study(*(scattered(seed, 0.001) for seed in range(3))).analyse(sizes=[10, 30], draws=200)
    assert verdicts(rows) == dict.fromkeys(experiment.CLAIMS, "supported")
    row = by_claim(rows, "set_size.published-spread").loc["simclr"]
    assert row["effect"] == pytest.approx(0.001 - 0.001 * np.sqrt(1 / 10 - 1 / N), abs=5e-5)
    assert (rows["n"] == N).all() and (rows["seeds"] == 3).all()


def test_the_papers_spread_is_refuted_where_points_differ_much(study):
    _, rows = study(*(scattered(seed, 0.1) for seed in range(3))).analyse(sizes=[30, 10], draws=200)
    said = verdicts(rows)
    assert said["published-spread"] == "refuted" and said["spread"] == "supported"
    # At the smallest size, whatever the order.
    effect = by_claim(rows, "set_size.published-spread").loc["simclr", "effect"]
    assert effect == pytest.approx(0.001 - 0.1 * np.sqrt(1 / 10 - 1 / N), rel=0.15)


def test_the_last_layer_alone_is_judged(study):
    worlds = [scattered(seed, np.array([0.5, 0.5, 0.001])) for seed in range(2)]
    _, rows = study(*worlds).analyse(sizes=[10], draws=100)
    assert verdicts(rows)["mean"] == verdicts(rows)["published-spread"] == "supported"


def test_few_draws_of_wide_points_leave_the_mean_open(study):
    _, rows = study(scattered(0, 0.5)).analyse(sizes=[4], draws=2)
    assert verdicts(rows)["mean"] in ("inconclusive", "refuted")
    row = by_claim(rows, "set_size.mean").iloc[0]
    assert row.name.startswith("simclr, 4 points") and row["high"] - row["low"] > 0.1


def test_the_ratio_of_spreads_has_the_noise_of_its_draws(study):
    # The deviation of k draws is known to 1 / sqrt(2 (k - 1)).
    scores, widths = scattered(0, 0.1), []
    for draws in (50, 200):
        _, rows = study(scores).analyse(sizes=[10], draws=draws, resamples=400)
        row = by_claim(rows, "set_size.spread").iloc[0]
        widths.append((row["effect"] - row["low"]) / (2.4 if row["level"] > 0.96 else 1.96))
        expected = 1 / np.sqrt(2 * (draws - 1))
        assert expected * 0.8 < widths[-1] < 1.3 * expected
    assert widths[1] < 0.7 * widths[0]


def test_an_analysis_is_the_same_every_time(tmp_path):
    made = world(tmp_path, seeds=2)
    (a, first), (b, second) = (made.analyse(sizes=[10, 20], draws=5, resamples=20) for _ in range(2))
    assert a.equals(b) and first.equals(second)


def test_the_figure_shows_values_and_closed_form_by_size(study):
    made = study(scattered(0, 0.1))
    made.add("longer-name", 0, points=points(scattered(1, 0.1)))
    table, _ = made.analyse(sizes=[10, 20, 40], draws=5, resamples=20)
    figure = made.drawn(table)
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels == ["10", "20", "40", f"{N} (all)"]
    # Values and closed form of the last layer, by estimator, without the size that has no spread.
    lines = [line for line in figure.axes[1].lines if line.get_marker() == "_"]
    read = load_table(made.folder / "table.csv")
    mine = read[(read["encoder"] == "simclr") & (read["layer"] == 3) & (read["size"] < N)]
    for line, name in zip(lines, ESTIMATORS, strict=True):
        np.testing.assert_allclose(line.get_ydata(), mine.loc[mine["series"] == name, "expected_sd"])
        np.testing.assert_allclose(dots(figure.axes[1])[name], mine.loc[mine["series"] == name, "sd"])
    plt.close(figure)


@pytest.mark.parametrize(("options", "message"), [
    ({"sizes": [20, 199], "draws": 3}, None),
    ({"sizes": [20, 200], "draws": 3}, "it.sizes: 200 must be smaller than the number of candidate points, 200"),
    ({"sizes": [1], "draws": 3}, "experiments.it.sizes.0: 1"),
    ({"sizes": [], "draws": 3}, "experiments.it.sizes: []"),
    ({"sizes": [20, 20], "draws": 3}, "experiments.it.sizes"),
    ({"sizes": [20], "draws": 1}, "experiments.it.draws: 1"),
])  # fmt: skip
def test_sizes_must_be_parts_of_the_groups(options, message):
    said = complaint({"kind": "set_size", "encoders": ["simclr"], **options}, {})
    assert said is None if message is None else message in said and "\n" not in said
