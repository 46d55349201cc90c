"""UnitMem of the same weights measured in different ways: what was planted must come out."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import spearmanr

from memloc.metrics.units import unitmem
from tests.builders.study import Study, by_claim, complaint, configured, of

KIND = "unit_protocols"
LAYERS, GROUPS, POINTS, UNITS = ("1", "2", "3"), ("candidate", "independent", "external"), 40, 24
SHARPNESS = np.linspace(0.5, 4, UNITS)


def measured(*, seed, sharp=1.0, seen=0.0, shuffled=False, draw=0):
    """Measures of units that single images excite, some more sharply than others.

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
        # What this way of measuring adds.
        own = 0.02 * np.random.default_rng([3, seed, draw]).random(base.shape)
        arrays[f"views/{layer}"] = np.repeat(base**exponents + own, 2, axis=1).astype(np.float32)
    return arrays


PLAIN, SHARP, FLAT = {"sharp": 1.0}, {"sharp": 1.6}, {"sharp": 0.6}
WAYS = {"simclr": (SHARP, PLAIN), "other": (PLAIN, PLAIN)}
OPTIONS = {"first": "highest", "others": dict.fromkeys(WAYS, "mean")}


def world(folder, seeds=3, *, ways=WAYS, split=None):
    """Encoders by name: what is planted in the trained and in the untrained one.

    Args:
        split: the seed of all points, if all seeds have the same.
    """
    it = Study(folder, KIND)
    for draw, (name, (trained, untrained)) in enumerate(ways.items()):
        for seed in range(seeds):
            about = {"seed": seed if split is None else split, "draw": draw}
            it.add(name, seed, measures=measured(**about, **trained), untrained_measures=measured(**about, **untrained))
    return it


def analyse(folder, ways, *, first="highest", others=None, seeds=3, split=None):
    averages = dict.fromkeys(ways, "mean") | (others or {})
    return world(folder, seeds, ways=ways, split=split).analyse(first=first, others=averages, resamples=120)


def literal(group, *, others="mean", seeds=3, draw=0, **planted):
    """Mean UnitMem by layer over seeds."""
    return np.mean(
        [
            [unitmem(m[f"views/{layer}"][m["groups"] == group].mean(axis=1), others=others).mean() for layer in LAYERS]
            for m in (measured(seed=seed, draw=draw, **planted) for seed in range(seeds))
        ],
        axis=0,
    )


def test_means_leads_excess_and_order_are_those_of_the_measures(tmp_path):
    table, rows = analyse(tmp_path, {"simclr": (SHARP | {"seen": 0.5}, FLAT), "other": (PLAIN, PLAIN)})
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
    pairs = [(measured(seed=s, **SHARP, seen=0.5), measured(seed=s, draw=1, **PLAIN)) for s in range(3)]

    def scores(pair, layer, group="candidate"):
        return [unitmem(m[f"views/{layer}"][m["groups"] == group].mean(axis=1)) for m in pair]

    apart = {name: max(np.abs(np.subtract(*scores(pair, name))).max() for pair in pairs) for name in LAYERS}
    assert unit["layer"] == max(apart, key=apart.get) and unit["value"] == pytest.approx(max(apart.values()), rel=1e-6)
    for group in ("candidate", "external"):
        rho = [spearmanr(*scores(pair, "3", group)).statistic for pair in pairs]
        assert of(table, f"order, {group}", "other")["3"] == pytest.approx(np.mean(rho), rel=1e-5)
    order = by_claim(rows, "unit_protocols.order")
    assert order.index.tolist() == ["other against simclr, 24 units of layer 3"]
    assert order["effect"].iloc[0] == pytest.approx(of(table, "order, candidate", "other")["3"] - 0.9)
    assert (rows["n"] == POINTS).all() and (rows["seeds"] == 3).all()


def test_the_first_is_highest_in_every_layer_or_one_of_them_refutes(tmp_path):
    ways = {
        "simclr": (SHARP, PLAIN),
        "lower": (PLAIN, PLAIN),
        "higher": ({"sharp": 3}, PLAIN),
        "once": ({"sharp": [1, 1, 3]}, PLAIN),
        "same": (SHARP, PLAIN),
    }
    _, rows = analyse(tmp_path, ways)
    found = by_claim(rows, "unit_protocols.first-highest")["verdict"]
    subjects = [subject.split(", layer ") for subject in found.index]
    assert dict(zip([s for s, _ in subjects], found, strict=True)) == {
        "simclr over lower": "supported",
        "simclr over higher": "refuted",
        "simclr over once": "refuted",
        "simclr over same": "inconclusive",
    }
    assert ["simclr over once", "3"] in subjects
    order = by_claim(rows, "unit_protocols.order")["verdict"]
    assert (order == "supported").sum() >= 2


def test_a_lead_that_the_untrained_encoder_has_too_does_not_count(tmp_path):
    ways = {"simclr": (PLAIN, FLAT), "artefact": (SHARP, PLAIN), "trained": (FLAT, FLAT), "less": (SHARP, FLAT)}
    _, rows = analyse(tmp_path, ways)
    beyond = by_claim(rows, "unit_protocols.first-highest-trained")
    assert beyond["verdict"]["simclr over trained"] == "supported"
    assert beyond["verdict"]["simclr over less"] == "refuted"
    # The first is lower by what the same two ways make of the untrained encoder, or so.
    planted = literal("candidate", **PLAIN) - literal("candidate", draw=1, **SHARP)
    artefact = literal("candidate", **FLAT) - literal("candidate", draw=1, **PLAIN)
    effect = beyond["effect"]["simclr over artefact"]
    assert effect == pytest.approx((planted - artefact).mean(), rel=1e-4)


def test_units_that_change_their_order_refute_and_noise_does_not_support(tmp_path):
    ways = {"simclr": (PLAIN, PLAIN), "shuffled": ({"shuffled": True}, PLAIN), "same order": (SHARP, PLAIN)}
    table, rows = analyse(tmp_path, ways, first="any")
    order = by_claim(rows, "unit_protocols.order")["verdict"]
    assert order["shuffled against simclr, 24 units of layer 3"] == "refuted"
    assert order["same order against simclr, 24 units of layer 3"] == "supported"
    # Where no first is claimed to be highest, there is no finding on it.
    assert set(rows["claim"]) == {"unit_protocols.order", "unit_protocols.excess"}
    assert {"first minus this", "largest difference"} <= set(table["series"])


@pytest.mark.parametrize(("seen", "verdict"), [(0.0, "inconclusive"), (3.0, "supported"), (-0.4, "refuted")])
def test_the_surest_way_decides_on_the_excess(tmp_path, seen, verdict):
    # Refuted only where every way says so.
    other = PLAIN if seen > 0 else {"seen": seen}
    _, rows = analyse(tmp_path, {"simclr": (other, PLAIN), "sees": ({"seen": seen}, PLAIN)})
    row = rows[rows["claim"] == "unit_protocols.excess"].iloc[0]
    assert row["verdict"] == verdict
    assert row["subject"].startswith("simclr, layer 3, ")
    if verdict == "supported":
        assert row["subject"].endswith("sees") and row["level"] == pytest.approx(0.975)


def test_every_encoder_has_its_own_average_of_the_others(tmp_path):
    ways = {"simclr": (PLAIN, PLAIN), "median": (PLAIN, PLAIN)}
    table, rows = analyse(tmp_path, ways, first="any", others={"median": "median"})
    np.testing.assert_allclose(
        of(table, "candidate", "median"), literal("candidate", others="median", draw=1), rtol=1e-6
    )
    assert (of(table, "first minus this", "median") < -0.05).all()
    assert (of(table, "order, untrained", "median") > 0.9).all()
    assert by_claim(rows, "unit_protocols.order")["verdict"].tolist() == ["supported"]


def test_differences_between_ways_are_paired(tmp_path):
    # Two ways that differ by next to nothing: their difference is sure to be small, the height of either is not.
    table, _ = analyse(tmp_path, {"simclr": ({"sharp": 1.02}, PLAIN), "near": (PLAIN, PLAIN)})
    height = of(table, "candidate", "simclr", "high") - of(table, "candidate", "simclr", "low")
    lead = of(table, "first minus this", "near", "high") - of(table, "first minus this", "near", "low")
    assert (lead < 0.25 * height).all()


def test_seeds_of_one_split_are_resampled_alike(tmp_path):
    ways = {"simclr": (SHARP, PLAIN), "other": (PLAIN, PLAIN)}
    one, _ = analyse(tmp_path, ways, seeds=1, split=4)
    many, _ = analyse(tmp_path, ways, seeds=4, split=4)
    np.testing.assert_allclose(many[["value", "low", "high"]], one[["value", "low", "high"]], atol=1e-9)


@pytest.mark.parametrize("count", [2, 6])
def test_the_figure_has_every_way(tmp_path, count):
    ways = {f"way{i}": ({"sharp": 1 + 0.2 * i}, PLAIN) for i in range(count)}
    it = world(tmp_path, seeds=1, ways=ways)
    table, _ = it.analyse(first="highest", others=dict.fromkeys(ways, "mean"), resamples=20)
    figure = it.drawn(table)
    *profiles, excess, leads, order = figure.axes
    assert [axis.get_title("left") for axis in profiles] == list(ways)
    for axis, name in zip(profiles, ways, strict=True):
        np.testing.assert_allclose(axis.lines[0].get_ydata().astype(float), of(table, "candidate", name), rtol=1e-6)
    assert [len(axis.containers) for axis in (excess, leads, order)] == [1, 2, 3]
    assert [tick.get_text() for tick in excess.get_yticklabels()] == list(ways)
    plt.close(figure)


IT = {"kind": "unit_protocols", "encoders": ["simclr", "mine"], "first": "highest"}


def test_the_same_weights_may_be_measured_without_views_and_against_the_median():
    measure = {"augmentation": "none", "others": "median", "draws": 4}
    assert complaint(IT, {"mine": {"weights": "simclr", "measure": measure}}) is None


BAD = {
    "weights": ({}, {}, "weights is simclr in simclr and mine in mine"),
    "first": ({"weights": "simclr"}, {"first": "lowest"}, "experiments.it.first: 'lowest' is none of highest, any"),
    "alone": ({"weights": "simclr"}, {"encoders": ["simclr"]}, "experiments.it.encoders"),
    "others": ({"weights": "simclr", "measure": {"others": "mode"}}, {}, "others: 'mode' is none of mean, median"),
    "views": ({"weights": "simclr", "measure": {"augmentation": "no"}}, {}, "augmentation: 'no' is none of mild, weak"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_settings_get_one_line(name):
    encoder, experiment, part = BAD[name]
    message = complaint(IT | experiment, {"mine": encoder})
    assert message.startswith("config: ") and part in message and "\n" not in message


def test_training_needs_views():
    plain = configured(IT, {})["encoders"]["simclr"]["recipe"]
    message = complaint(IT, {"mine": {"recipe": plain | {"augmentation": "none"}}})
    assert message.startswith("config: encoders.mine.recipe.augmentation: 'none' is none of mild, weak, normal")


@pytest.mark.parametrize("pairs", ["aug-aug", "image-aug"])
def test_without_views_there_is_no_alignment_to_compare(pairs):
    alias = {"mine": {"weights": "simclr", "measure": {"augmentation": "none", "pairs": pairs}}}
    message = complaint({"kind": "layermem", "encoders": ["mine"], "group_size": 5}, alias)
    assert message.startswith("config: experiments.it.encoders: all views of mine are the image itself")
    assert "\n" not in message
