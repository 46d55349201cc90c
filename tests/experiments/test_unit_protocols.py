"""UnitMem of the same weights measured in different ways: what was planted must come out."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import spearmanr

from memloc.analysis.claims import tabulate
from memloc.analysis.inputs import Inputs
from memloc.analysis.tables import load_table, save_table
from memloc.experiments.unit_protocols import analysis as unit_protocols
from memloc.io import save_arrays
from memloc.metrics.units import unitmem
from tests.builders.study import by_claim, complaint, of

LAYERS, GROUPS, POINTS, UNITS = ("1", "2", "3"), ("candidate", "independent", "external"), 40, 24
SHARPNESS = np.linspace(0.5, 4, UNITS)


def measured(*, seed, sharp=1.0, seen=0.0, shuffled=False, draw=0):
    """What ``measure.pack`` gives of units that each single images excite, some more sharply than others.

    Args:
        sharp: factor of every unit's exponent, by layer or one for all: what a way of measuring does to the contrast.
        seen: what is added to the exponent on candidates.
        shuffled: whether units have the sharpness of one another.
    """
    rng = np.random.default_rng([2, seed])
    arrays = {
        "points": 1000 * seed + np.arange(3 * POINTS),
        "groups": np.repeat(GROUPS, POINTS),
        "labels": np.tile(np.arange(4), 3 * POINTS // 4),
        "layers": np.array([*LAYERS, "output"]),
    }
    for k, layer in enumerate(LAYERS):
        base = rng.random((3 * POINTS, 1, UNITS))
        exponents = SHARPNESS[np.random.default_rng(9).permutation(UNITS)] if shuffled else SHARPNESS
        exponents = exponents * np.broadcast_to(sharp, 3)[k] + seen * (arrays["groups"] == "candidate")[:, None, None]
        # What this way of measuring adds of its own.
        own = 0.02 * np.random.default_rng([3, seed, draw]).random(base.shape)
        arrays[f"views/{layer}"] = np.repeat(base**exponents + own, 2, axis=1).astype(np.float32)
    return arrays


@pytest.fixture
def study(tmp_path):
    """The analysis of encoders by name: what was planted in the trained and in the untrained one."""

    def analysed(ways, *, seeds=3, first="highest", others=None, replicates=120, split=None):
        runs, files = [], {"measures": [], "untrained_measures": []}
        for draw, (name, (trained, untrained)) in enumerate(ways.items()):
            for seed in range(seeds):
                runs.append((name, seed))
                about = {"seed": seed if split is None else split, "draw": draw}
                for key, planted in (("measures", trained), ("untrained_measures", untrained)):
                    files[key].append(str(tmp_path / f"{name}-{seed}-{key}.npz"))
                    save_arrays(measured(**about, **planted), files[key][-1])
        options = {"first": first, "replicates": replicates, "others": dict.fromkeys(ways, "mean") | (others or {})}
        table, findings = unit_protocols.analyse(Inputs(runs, files), options)
        return table, tabulate(unit_protocols.CLAIMS, findings, experiment="unit_protocols")

    return analysed


PLAIN, SHARP, FLAT = {"sharp": 1.0}, {"sharp": 1.6}, {"sharp": 0.6}


def literal(group, *, others="mean", seeds=3, draw=0, **planted):
    """Mean UnitMem by layer over seeds."""
    return np.mean(
        [
            [unitmem(m[f"views/{layer}"][m["groups"] == group].mean(axis=1), others=others).mean() for layer in LAYERS]
            for m in (measured(seed=seed, draw=draw, **planted) for seed in range(seeds))
        ],
        axis=0,
    )


def test_means_leads_excess_and_order_are_those_of_the_measures(study):
    table, rows = study({"simclr": (SHARP | {"seen": 0.5}, FLAT), "other": (PLAIN, PLAIN)})
    ours = {group: literal(group, **SHARP, seen=0.5) for group in GROUPS}
    np.testing.assert_allclose(of(table, "candidate", "simclr"), ours["candidate"], rtol=1e-6)
    unseen = (ours["independent"] + ours["external"]) / 2
    np.testing.assert_allclose(of(table, "unseen images", "simclr"), unseen, rtol=1e-6)
    np.testing.assert_allclose(of(table, "excess", "simclr"), ours["candidate"] - unseen, rtol=1e-5)
    np.testing.assert_allclose(of(table, "untrained", "other"), literal("candidate", draw=1, **PLAIN), rtol=1e-6)
    lead = ours["candidate"] - literal("candidate", draw=1, **PLAIN)
    np.testing.assert_allclose(of(table, "first minus this", "other"), lead, rtol=1e-5)
    untrained = literal("candidate", **FLAT) - literal("candidate", draw=1, **PLAIN)
    np.testing.assert_allclose(of(table, "first minus this, untrained", "other"), untrained, rtol=1e-5)
    largest = table[table["series"] == "largest difference"].iloc[0]
    assert largest["layer"] == LAYERS[lead.argmax()] and largest["value"] == pytest.approx(lead.max(), rel=1e-5)
    unit = table[table["series"] == "largest difference of a unit"].set_index("encoder").loc["other"]
    apart = {
        layer: max(
            np.abs(
                np.subtract(*(unitmem(m[f"views/{layer}"][m["groups"] == "candidate"].mean(axis=1)) for m in pair))
            ).max()
            for pair in ((measured(seed=s, **SHARP, seen=0.5), measured(seed=s, draw=1, **PLAIN)) for s in range(3))
        )
        for layer in LAYERS
    }
    assert unit["layer"] == max(apart, key=apart.get) and unit["value"] == pytest.approx(max(apart.values()), rel=1e-6)
    pairs = [(measured(seed=s, **SHARP, seen=0.5), measured(seed=s, draw=1, **PLAIN)) for s in range(3)]
    for group in ("candidate", "external"):
        rho = [
            spearmanr(*(unitmem(m["views/3"][m["groups"] == group].mean(axis=1)) for m in pair)).statistic
            for pair in pairs
        ]
        assert of(table, f"order, {group}", "other")["3"] == pytest.approx(np.mean(rho), rel=1e-5)
    order = by_claim(rows, "unit_protocols.order")
    assert order.index.tolist() == ["other against simclr, 24 units of layer 3"]
    assert order["effect"].iloc[0] == pytest.approx(of(table, "order, candidate", "other")["3"] - 0.9)
    assert (rows["n"] == POINTS).all() and (rows["seeds"] == 3).all()


def test_the_first_is_highest_in_every_layer_or_one_of_them_refutes(study):
    ways = {
        "simclr": (SHARP, PLAIN),
        "lower": (PLAIN, PLAIN),
        "higher": ({"sharp": 3}, PLAIN),
        "once": ({"sharp": [1, 1, 3]}, PLAIN),
        "same": (SHARP, PLAIN),
    }
    _, rows = study(ways)
    assert set(rows["claim"]) == set(unit_protocols.CLAIMS)
    told = by_claim(rows, "unit_protocols.first-highest")["verdict"]
    subjects = [subject.split(", layer ") for subject in told.index]
    assert dict(zip([s for s, _ in subjects], told, strict=True)) == {
        "simclr over lower": "supported",
        "simclr over higher": "refuted",
        "simclr over once": "refuted",
        "simclr over same": "inconclusive",
    }
    assert ["simclr over once", "3"] in subjects
    order = by_claim(rows, "unit_protocols.order")["verdict"]
    assert (order == "supported").sum() >= 2


def test_a_lead_that_the_untrained_encoder_has_too_is_the_measurements(study):
    ways = {"simclr": (PLAIN, FLAT), "artefact": (SHARP, PLAIN), "trained": (FLAT, FLAT), "less": (SHARP, FLAT)}
    _, rows = study(ways)
    beyond = by_claim(rows, "unit_protocols.first-highest-trained")
    assert beyond["verdict"]["simclr over trained"] == "supported"
    assert beyond["verdict"]["simclr over less"] == "refuted"
    # The first is lower by what the same two ways make of the untrained encoder, or so.
    planted = literal("candidate", **PLAIN) - literal("candidate", draw=1, **SHARP)
    artefact = literal("candidate", **FLAT) - literal("candidate", draw=1, **PLAIN)
    effect = beyond["effect"]["simclr over artefact"]
    assert effect == pytest.approx((planted - artefact).mean(), rel=1e-4)


def test_units_that_change_their_order_refute_and_noise_does_not_support(study):
    ways = {"simclr": (PLAIN, PLAIN), "dealt anew": ({"shuffled": True}, PLAIN), "same order": (SHARP, PLAIN)}
    table, rows = study(ways, first="any")
    order = by_claim(rows, "unit_protocols.order")["verdict"]
    assert order["dealt anew against simclr, 24 units of layer 3"] == "refuted"
    assert order["same order against simclr, 24 units of layer 3"] == "supported"
    # Without a first that is to be highest no such claim is made.
    assert set(rows["claim"]) == {"unit_protocols.order", "unit_protocols.excess"}
    assert {"first minus this", "largest difference"} <= set(table["series"])


@pytest.mark.parametrize(("seen", "verdict"), [(0.0, "inconclusive"), (3.0, "supported"), (-0.4, "refuted")])
def test_excess_is_told_by_the_surest_way(study, seen, verdict):
    # Refuted only where every way says so.
    other = PLAIN if seen > 0 else {"seen": seen}
    _, rows = study({"simclr": (other, PLAIN), "sees": ({"seen": seen}, PLAIN)})
    row = rows[rows["claim"] == "unit_protocols.excess"].iloc[0]
    assert row["verdict"] == verdict
    assert row["subject"].startswith("simclr, layer 3, ")
    if verdict == "supported":
        assert row["subject"].endswith("sees") and row["level"] == pytest.approx(0.975)


def test_every_encoder_has_its_own_average_of_the_others(study):
    ways = {"simclr": (PLAIN, PLAIN), "median": (PLAIN, PLAIN)}
    table, rows = study(ways, first="any", others={"median": "median"})
    np.testing.assert_allclose(
        of(table, "candidate", "median"), literal("candidate", others="median", draw=1), rtol=1e-6
    )
    assert (of(table, "first minus this", "median") < -0.05).all()
    assert (of(table, "order, untrained", "median") > 0.9).all()
    assert by_claim(rows, "unit_protocols.order")["verdict"].tolist() == ["supported"]


def test_ways_of_one_resample_are_paired(study):
    # Two ways that differ by next to nothing: their difference is sure to be small, the height of either is not.
    table, _ = study({"simclr": ({"sharp": 1.02}, PLAIN), "near": (PLAIN, PLAIN)})
    height = of(table, "candidate", "simclr", "high") - of(table, "candidate", "simclr", "low")
    lead = of(table, "first minus this", "near", "high") - of(table, "first minus this", "near", "low")
    assert (lead < 0.25 * height).all()


def test_seeds_of_one_split_are_resampled_alike_so_more_of_them_say_no_more(study):
    ways = {"simclr": (SHARP, PLAIN), "other": (PLAIN, PLAIN)}
    one, _ = study(ways, seeds=1, split=4)
    many, _ = study(ways, seeds=4, split=4)
    np.testing.assert_allclose(many[["value", "low", "high"]], one[["value", "low", "high"]], atol=1e-9)


@pytest.mark.parametrize("count", [2, 6])
def test_the_figure_has_every_way(study, tmp_path, count):
    ways = {f"way{i}": ({"sharp": 1 + 0.2 * i}, PLAIN) for i in range(count)}
    table, rows = study(ways, seeds=1, replicates=20)
    assert np.isfinite(rows[["effect", "low", "high"]].to_numpy()).all()
    save_table(table, tmp_path / "table.csv")
    figure = unit_protocols.draw(load_table(tmp_path / "table.csv"), np.zeros((1, 1, 4, 4), np.uint8))
    figure.canvas.draw()
    means, leads, excess, order = figure.axes
    solid = [line for line in means.lines if line.get_linestyle() == "-"]
    assert [line.get_label() for line in solid] == list(ways) and len(means.lines) == 2 * count
    for line, name in zip(solid, ways, strict=True):
        np.testing.assert_allclose(line.get_ydata().astype(float), of(table, "candidate", name), rtol=1e-6)
    assert len(leads.lines) == 2 * (count - 1) + 1 and len(excess.lines) == count + 1
    colours = {line.get_label(): line.get_color() for line in solid}
    assert all(colours[line.get_label()] == line.get_color() for line in leads.lines[:-1:2])
    assert [tick.get_text() for tick in order.get_xticklabels()] == list(ways)[1:]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(ways)
    plt.close(figure)


IT = {"kind": "unit_protocols", "encoders": ["simclr", "mine"], "first": "highest"}


def test_the_same_weights_may_be_measured_without_views_and_against_the_median():
    measure = {"augmentation": "none", "others": "median", "draws": 4}
    assert complaint(IT, {"mine": {"weights": "simclr", "measure": measure}}) is None


BAD = {
    "weights": ({}, {}, "weights is simclr and mine"),
    "first": ({"weights": "simclr"}, {"first": "lowest"}, "experiments.it.first: 'lowest' is none of highest, any"),
    "alone": ({"weights": "simclr"}, {"encoders": ["simclr"]}, "experiments.it.encoders"),
    "others": ({"weights": "simclr", "measure": {"others": "mode"}}, {}, "others: 'mode' is none of mean, median"),
    "views": ({"weights": "simclr", "measure": {"augmentation": "no"}}, {}, "augmentation: 'no' is none of mild, weak"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_what_cannot_be_compared_is_told_in_one_line(name):
    encoder, experiment, part = BAD[name]
    message = complaint(IT | experiment, {"mine": encoder})
    assert message.startswith("config: ") and part in message and "\n" not in message


def test_no_training_goes_without_views():
    from tests.builders.study import configured

    plain = configured(IT, {})["encoders"]["simclr"]["recipe"]
    message = complaint(IT, {"mine": {"recipe": plain | {"augmentation": "none"}}})
    assert message.startswith("config: encoders.mine.recipe.augmentation: 'none' is none of mild, weak, normal")


@pytest.mark.parametrize("pairs", ["aug-aug", "image-aug"])
def test_without_views_there_is_no_alignment_to_compare(pairs):
    alias = {"mine": {"weights": "simclr", "measure": {"augmentation": "none", "pairs": pairs}}}
    message = complaint({"kind": "layermem", "encoders": ["mine"], "group_size": 5}, alias)
    assert message.startswith("config: experiments.it.encoders: views of mine are all the image itself")
    assert "\n" not in message
