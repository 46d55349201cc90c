from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from memloc.data.augmentations import AUGMENTATIONS
from memloc.measuring.one_pass import measure_batches
from memloc.metrics import alignment, units
from memloc.metrics.tally import Tally
from memloc.models.network import Normalise
from memloc.scoring import passes as scoring
from memloc.scoring import run as running
from memloc.scoring import tables
from memloc.scoring.passes import Settings
from memloc.scoring.plan import plan
from memloc.scoring.score import score
from memloc.streams import stream
from tests.builders.scoring import LAYERS, SETTINGS, SPLIT, WINDOW, Memory, encoder, everything, scores

MEDIAN = replace(SETTINGS, others="median")
POSITIVE = replace(SETTINGS, protocol=replace(SETTINGS.protocol, activation="abs"))
PAIRED = {"against": encoder(1), "split": SPLIT}


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch):
    monkeypatch.setattr(running, "window_of", lambda size: WINDOW)


def literal(f, images, rows, *, settings=SETTINGS, source="images", plain=True, layers=LAYERS):
    """Activations of views and plain images [n, units], and alignment, of some rows: no tallies, no streams."""
    normalise = Normalise({"mean": [*f.mean], "std": [*f.std]})
    parts = [rows[start : start + WINDOW] for start in range(0, len(rows), WINDOW)]
    batches = [
        *measure_batches(
            f.module,
            [(images.pixels[part], part) for part in parts],
            layers=layers,
            protocol=settings.protocol,
            augmentation=AUGMENTATIONS[settings.augmentation],
            normalise=normalise,
            seed=stream("views", settings.seed, source),
            plain=plain,
        )
    ]
    views = np.concatenate([np.concatenate([v.mean(axis=1) for v in b.views.values()], axis=1) for b in batches])
    clean = np.concatenate([np.concatenate([*b.plain.values()], axis=1) for b in batches]) if plain else None
    return views, clean, np.concatenate([b.alignment for b in batches])


def close(found, expected):
    np.testing.assert_allclose(np.asarray(found, dtype=float), expected, rtol=0, atol=1e-9)


# --- Units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", ["mean", "median"])
def test_units_are_those_of_the_metrics_on_the_same_activations(others):
    images, f = Memory(40), encoder(dead=[2])
    found = scores(f, images, replace(SETTINGS, others=others)).units
    mu, clean, _ = literal(f, images, np.arange(40))
    assert found["layer"].tolist() == ["1"] * 6 + ["2"] * 8 and found["unit"].tolist() == [*range(6), *range(8)]
    close(found["unitmem"], units.unitmem(mu, others=others))
    close(found["classmem"], units.classmem(clean, images.labels, others=others))
    assert found["owner"].tolist() == units.owners(mu).tolist()
    order = np.argsort(-mu, axis=0, kind="stable")
    close(found["highest"], mu.max(axis=0))
    close(found["runner_up"], np.take_along_axis(mu, order, 0)[1])
    rest = np.sort(mu.astype(np.float64), axis=0)[:-1]
    close(found["others"], rest.mean(axis=0) if others == "mean" else np.median(rest, axis=0))
    dead = found["status"] == "dead"
    assert dead.tolist() == [unit == 2 for unit in range(14)]
    for row, unit in found[~dead].iterrows():
        assert unit["owner_image"] == f"{order[0, row]}.png" and unit["runner_up_image"] == f"{order[1, row]}.png"
    best = units.class_means(clean, images.labels).argmax(axis=0)
    assert found["top_class"][~dead].tolist() == [f"class {c}" for c in best[~dead]]
    assert found.loc[2, ["owner_image", "runner_up_image", "top_class"]].tolist() == ["", "", ""]


def test_unread_images_are_as_if_they_were_not_there():
    bad, f = [4, 9, 17], encoder()
    found = scores(f, Memory(30, bad=bad)).units
    images = Memory(30)
    # Windows are cut before images are read.
    kept = [np.setdiff1d(np.arange(s, min(s + WINDOW, 30)), bad) for s in range(0, 30, WINDOW)]
    mu = np.concatenate([literal(f, images, rows)[0] for rows in kept])
    close(found["unitmem"], units.unitmem(mu))
    assert found["owner"].tolist() == np.concatenate(kept)[mu.argmax(axis=0)].tolist()


def test_tops_are_the_highest_activations_in_order():
    images, f = Memory(40), encoder(dead=[2])
    found = scores(f, images, replace(SETTINGS, kept=5)).tops
    mu, _, _ = literal(f, images, np.arange(40))
    for (layer, unit), rows in found.groupby(["layer", "unit"]):
        column = mu[:, unit + 6 * (layer == "2")]
        order = np.argsort(-column, kind="stable")[:5]
        assert rows["rank"].tolist() == [1, 2, 3, 4, 5]
        assert rows["image"].tolist() == order.tolist() and rows["name"].tolist() == [f"{i}.png" for i in order]
        assert np.array_equal(rows["activation"], column[order])
    assert len(scores(f, Memory(3), replace(SETTINGS, kept=5)).tops) == 3 * 14


def test_shuffled_labels_are_permutations_among_the_images_scored():
    images = Memory(60, labels=[*([0] * 26), *([1] * 17), *([2] * 17)])
    images.labels[20:26] = 1
    passes = plan(encoder(), images, **PAIRED, settings=SETTINGS)
    labels = scoring.labellings(passes["f-candidate"], SETTINGS)
    assert labels.shape == (4, 60) and np.array_equal(labels[0], images.labels)
    for shuffled in labels[1:]:
        assert np.bincount(shuffled[:26]).tolist() == [20, 6] and not np.array_equal(shuffled, images.labels)
        assert np.array_equal(shuffled[26:], images.labels[26:])
    found = scores(encoder(), images, **PAIRED).units
    clean = literal(encoder(), images, np.arange(26), layers=passes["f-candidate"].layers)[1]
    expected = [units.classmem(clean, shuffled[:26]) for shuffled in labels]
    close(found["classmem"], expected[0])
    close(found["classmem_shuffled"], np.mean(expected[1:], axis=0))


def test_without_shuffles_there_is_no_null_of_classmem():
    found = scores(encoder(), Memory(20), replace(SETTINGS, shuffles=0)).units
    assert found["classmem_shuffled"].isna().all() and found["classmem"].notna().all()


@pytest.mark.parametrize("kind", [{"classes": 0}, {"labels": [1] * 20}])
def test_classmem_is_left_out_without_classes_to_compare(kind):
    found = scores(encoder(), Memory(20, **kind))
    assert not any("class" in column for table in (found.units, found.layers) for column in table)


def test_fewer_images_than_classes_are_compared_by_those_there_are():
    images = Memory(5, classes=9)
    found = scores(encoder(), images).units
    # One image a class: ClassMem is UnitMem of the plain images.
    close(found["classmem"], units.unitmem(literal(encoder(), images, np.arange(5))[1]))


def test_a_class_of_which_nothing_can_be_read_leaves_no_classmem():
    labels = [0] * 12 + [1] * 3
    found = scores(encoder(), Memory(15, labels=labels, classes=2, bad=[12, 13, 14]))
    assert found.units["classmem"].isna().all() and found.units["unitmem"].notna().all()
    assert np.isnan(found.layers["classmem"]).all()


def test_strength_is_against_the_median_of_the_layer_and_weak_units_are_faint():
    images, f = Memory(40), encoder(dead=[2])
    with torch.no_grad():
        for parameter in (f.module.norm1.weight, f.module.norm1.bias):
            parameter[4] *= 0.02  # ReLU keeps the scale: the same UnitMem, a fiftieth of the activation.
    found, strong = scores(f, images), scores(encoder(dead=[2]), images).units
    table = found.units
    assert table["status"].tolist()[:6] == ["ok", "ok", "dead", "ok", "faint", "ok"]
    alive = [0, 1, 3, 4, 5]
    expected = table["highest"][alive] / np.median(table["highest"][alive])
    close(table["strength"][alive], expected)
    assert np.isnan(table["strength"][2]) and table["unitmem"][4] == pytest.approx(strong["unitmem"][4], abs=1e-5)
    assert found.layers[["dead", "faint", "signed"]].to_numpy().tolist()[0] == [1, 1, 0]
    # In means a faint unit counts as any other.
    assert found.layers["unitmem"][0] == pytest.approx(strong["unitmem"][:6].mean(), abs=1e-5)


def test_ties_are_counted_and_p_of_classmem_is_that_among_shuffled_labels():
    images, f = Memory(40), encoder(dead=[2])
    f.module.act1 = torch.nn.Hardtanh(0, 0.01)  # All images that excite a unit at all excite it alike at most places.
    images.pixels[1::2] = images.pixels[::2]
    passes = plan(f, images, settings=SETTINGS)
    table = scores(f, images).units
    mu, clean, _ = literal(f, images, np.arange(40))
    ties = np.minimum((mu >= mu.max(axis=0) * (1 - 1e-6)).sum(axis=0), 16)
    assert table["tied"].tolist() == np.where(table["status"] == "dead", 0, ties).tolist() and ties[:6].max() > 2
    labels = scoring.labellings(passes["f-candidate"], SETTINGS)
    shuffled = np.stack([units.classmem(clean, each) for each in labels])
    close(table["classmem_p"], (shuffled >= shuffled[0] - 1e-12).sum(axis=0) / len(labels))


def test_layers_have_blocks_and_kinds():
    net = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.Conv2d(6, 6, 3, groups=6)),
        torch.nn.Flatten(),
        torch.nn.LazyLinear(4),
    )
    net(torch.zeros(1, 3, 16, 16))
    f = replace(encoder(), module=net.eval(), layers=None)
    about = tables.about_layers(plan(f, Memory(8), settings=POSITIVE)["f-candidate"])
    assert about["layer"].tolist() == ["0.0", "0.1", "2"] and about["block"].tolist() == ["0", "0", "2"]
    assert about["kind"].tolist() == ["convolution", "depthwise convolution", "fully-connected"]
    assert [tables._block(name) for name in ("layer1.0.conv2", "blocks.3.attn.qkv", "conv1", "stem.conv")] == [
        *("layer1.0", "blocks.3", "", "stem")
    ]


# --- Nulls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", ["mean", "median"])
@pytest.mark.parametrize(("n", "m"), [(30, 18), (18, 30), (20, 20)])
def test_nulls_compare_sets_of_one_size(others, n, m):
    settings = replace(SETTINGS, others=others)
    images, external = Memory(n), Memory(m, seed=1)
    found = scores(encoder(), images, settings, external=external)
    passes = plan(encoder(), Memory(n), external=Memory(m, seed=1), settings=settings)
    inside, outside, fresh = (passes[name] for name in ("f-candidate", "f-external", "untrained-candidate"))
    mu = literal(encoder(), images, np.arange(n))[0]
    theirs = literal(encoder(), external, np.arange(m), source="external")[0]
    matched = slice(None) if inside.matched is None else inside.matched
    close(found.units["unitmem"], units.unitmem(mu, others=others))
    close(found.units["unitmem_matched"], units.unitmem(mu[matched], others=others))
    rows = slice(None) if outside.matched is None else outside.matched
    close(found.units["unitmem_external"], units.unitmem(theirs[rows], others=others))
    untrained = literal(fresh.encoder, images, fresh.rows, plain=False)[0]
    close(found.units["unitmem_untrained"], units.unitmem(untrained, others=others))
    assert len(fresh.rows) == min(n, m) == len(mu[matched]) == len(theirs[rows])
    layer = found.units.groupby("layer")
    means = layer[["unitmem_matched", "unitmem_external", "unitmem_untrained"]].mean()
    close(found.layers["excess"], means["unitmem_matched"] - means["unitmem_external"])
    close(found.layers["gain"], means["unitmem_matched"] - means["unitmem_untrained"])
    close(found.units["class_selectivity"], units.classmem(
        literal(encoder(), external, np.arange(m), source="external")[1], external.labels, others=others
    ))  # fmt: skip


def test_the_external_group_of_a_split_is_the_null_of_its_candidates():
    images = Memory(60)
    found = scores(encoder(), images, **PAIRED)
    layers = plan(encoder(), images, **PAIRED, settings=SETTINGS)["f-candidate"].layers
    mu = literal(encoder(), images, SPLIT["external"], layers=layers)[0]
    close(found.units["unitmem_external"], units.unitmem(mu))


# --- Layers ----------------------------------------------------------------------------------------------------------


def test_layers_are_means_over_their_units():
    found = scores(encoder(dead=[2], signed=(1, 0)), Memory(40))
    assert found.layers["layer"].tolist() == ["1", "2"] and found.layers["depth"].tolist() == [1, 2]
    assert found.layers["units"].tolist() == [6, 8] and found.layers["dead"].tolist() == [1, 0]
    assert found.layers["signed"].tolist() == [1, 0]
    for name, rows in found.units.groupby("layer"):
        layer = found.layers.set_index("layer").loc[name]
        assert layer["unitmem"] == pytest.approx(rows["unitmem"].mean(), abs=1e-12)
        assert layer["unitmem_p90"] == pytest.approx(rows["unitmem"].quantile(0.9), abs=1e-12)
        assert layer["classmem"] == pytest.approx(rows["classmem"].mean(), abs=1e-12)


@pytest.mark.parametrize("dead", ["zero", "nan"])
def test_dead_and_signed_units_are_marked_and_count_as_they_should(dead):
    images, settings = Memory(40), replace(SETTINGS, dead=dead)
    found = scores(encoder(dead=[2, 4], signed=(1, 0)), images, settings, external=Memory(30, seed=1))
    first = found.units[found.units["layer"] == "1"]
    assert first["status"].tolist() == ["signed", "ok", "dead", "ok", "dead", "ok"]
    expected = np.array([np.nan, 1, 0, 1, 0, 1] if dead == "zero" else [np.nan, 1, np.nan, 1, np.nan, 1])
    for column in ("unitmem", "unitmem_matched", "unitmem_external"):
        values = first[column].to_numpy()
        assert np.array_equal(np.isnan(values), np.isnan(expected)), column
        assert (values[expected == 0] == 0).all() and (values[expected == 1] > 0).all()
        mean = values[[1, 3, 5]].sum() / (5 if dead == "zero" else 3)
        assert found.layers.loc[0, column] == pytest.approx(mean, abs=1e-12)
        low, high = (found.layers.loc[0, f"{column}_{end}"] for end in ("low", "high"))
        assert low < found.layers.loc[0, column] < high
    assert np.isfinite(found.layers.loc[0, ["excess", "excess_low", "excess_high", "gain"]].astype(float)).all()
    # The values of units that are alive don't depend on the others.
    mu = literal(encoder(dead=[2, 4], signed=(1, 0)), images, np.arange(40))[0]
    close(first["unitmem"].iloc[[1, 3, 5]], units.unitmem(mu[:, [1, 3, 5]]))


def test_a_layer_whose_units_are_all_signed_has_no_mean():
    found = scores(encoder(signed=(6, 0)), Memory(40), external=Memory(20, seed=1)).layers
    assert found["signed"].tolist() == [6, 0]
    for column in ("unitmem", "unitmem_low", "unitmem_high", "excess", "gain", "unitmem_p90"):
        assert np.isnan(found[column][0]) and np.isfinite(found[column][1]), column


def test_units_that_go_below_zero_on_some_images_only_are_left_out_on_both_sides():
    f = encoder(signed=(6, 0))
    torch.nn.init.constant_(f.module.norm1.bias.detach(), 0.6)
    found = scores(f, Memory(40), external=Memory(12, seed=1)).units
    mu, theirs = (literal(f, *of, source=source)[0] for of, source in (
        ((Memory(40), np.arange(40)), "images"), ((Memory(12, seed=1), np.arange(12)), "external")
    ))  # fmt: skip
    only_here = (mu < 0).any(axis=0) & ~(theirs < 0).any(axis=0)
    assert only_here.any()
    assert found.loc[only_here, ["unitmem", "unitmem_matched", "unitmem_external"]].isna().all(axis=None)


# --- LayerMem --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalisation", ["ratio", "range", "none"])
def test_layermem_is_that_of_the_metrics_on_the_same_alignments(normalisation):
    images, settings = Memory(60), replace(SETTINGS, normalisation=normalisation)
    found = scores(encoder(0), images, settings, **PAIRED)
    layers = plan(encoder(0), images, **PAIRED, settings=settings)["f-candidate"].layers
    a_f, a_g = [], []
    for group, rows in SPLIT.items():
        # Plain images are in the same batches if classes are compared.
        a_f.append(literal(encoder(0), images, rows, plain=group != "independent", layers=layers)[2].astype(np.float64))
        a_g.append(literal(encoder(1), images, rows, plain=False, layers=layers)[2].astype(np.float64))
        points = found.points[found.points["group"] == group]
        assert points["layer"].tolist() == ["1", "2", "output"] * len(rows)
        assert points["image"].tolist() == np.repeat(rows, 3).tolist()
        assert points["name"].tolist() == [f"{i}.png" for i in np.repeat(rows, 3)]
        close(points["alignment_f"], a_f[-1].mean(axis=2).ravel())
        close(points["alignment_g"], a_g[-1].mean(axis=2).ravel())
    # One normalisation for all groups: a range of each group's own would hide differences between them.
    f, g = np.concatenate(a_f), np.concatenate(a_g)
    whole = alignment.sslmem(f.mean(axis=2), g.mean(axis=2), normalisation=normalisation)
    halves = alignment.sslmem(f, g, normalisation=normalisation)
    ends = np.cumsum([len(rows) for rows in SPLIT.values()])
    values = dict(zip(SPLIT, np.split(whole, ends), strict=False))
    for group, part in zip(SPLIT, np.split(halves, ends), strict=False):
        points = found.points[found.points["group"] == group]
        close(points["sslmem"], values[group].ravel())
        close(points[["sslmem_choose", "sslmem_score"]], part.reshape(-1, 2))
    for estimator in alignment.ESTIMATORS:
        expected = alignment.layermem(*(values[group] for group in SPLIT), estimator=estimator)
        close(found.layers[f"layermem_{estimator}"], expected)
        # The output comes after the last layer and is none itself.
        close(found.layers[f"increment_{estimator}"], [np.nan, expected[1] - expected[0], np.nan])
        for kind, rows in (("layermem", slice(0, 3)), ("increment", slice(1, 2))):
            value, low, high = (found.layers[f"{kind}_{estimator}{end}"][rows] for end in ("", "_low", "_high"))
            assert (low < value).all() and (value < high).all()
    p = found.layers[["layermem_external-corrected_p", "layermem_crossed_p"]].to_numpy()
    assert ((p > 0) & (p <= 1)).all() and "layermem_published_p" not in found.layers


def test_p_is_small_where_candidates_have_more_and_large_where_they_have_less():
    layers = pd.DataFrame({"layer": ["1"], "units": [4]})
    rng = np.random.default_rng(0)
    for shift, low, high in ((1.0, 0, 0.01), (-1.0, 0.99, 1)):
        points = pd.concat(
            pd.DataFrame({"image": range(first, first + 20), "group": group, "layer": "1", "sslmem": values})
            for first, group, values in (
                (0, "candidate", shift + 0.3 * rng.normal(size=20)),
                (20, "independent", 0.3 * rng.normal(size=20)),
                (40, "external", 0.3 * rng.normal(size=20)),
            )
        )
        found = tables._with_layermem(layers.copy(), SETTINGS, points)
        for estimator in ("external-corrected", "crossed"):
            assert low <= found[f"layermem_{estimator}_p"][0] <= high


def test_layermem_is_that_of_its_layer_and_its_interval_holds_it_in_95_percent_of_cases():
    rng = np.random.default_rng(0)
    values = pd.DataFrame({"9": rng.normal(0.1, 0.3, 60), "10": rng.normal(0.5, 0.1, 60)})
    points = values.rename_axis("image").reset_index().melt("image", var_name="layer", value_name="sslmem")
    layers = pd.DataFrame({"layer": ["9", "10"], "units": [4, 4]})
    found = tables._with_layermem(layers, SETTINGS, points.assign(group="candidate"))
    close(found["layermem_published"], values.mean())
    half = (found["layermem_published_high"] - found["layermem_published_low"]) / 2
    np.testing.assert_allclose(half, 1.96 * values.std() / 60**0.5, rtol=0.07)


def test_a_null_of_the_same_weights_has_no_gain_and_no_doubt():
    f = replace(encoder(0), untrained=lambda seed: encoder(0).module)
    passes = plan(f, Memory(40), external=Memory(25, seed=1), settings=SETTINGS)
    same = {**passes, "untrained-candidate": replace(passes["untrained-candidate"], encoder=f)}
    found = score(same, settings=SETTINGS).layers
    assert (found[["gain", "gain_low", "gain_high"]].abs() < 1e-7).all(axis=None)
    assert (found["unitmem_matched_high"] > found["unitmem_matched_low"]).all()


def test_estimators_need_their_groups():
    for lacking, absent in (("independent", "crossed"), ("external", "external-corrected")):
        split = {group: rows for group, rows in SPLIT.items() if group != lacking}
        found = scores(encoder(0), Memory(60), against=encoder(1), split=split).layers
        there = {name for name in alignment.ESTIMATORS if f"layermem_{name}" in found}
        assert there == {*alignment.ESTIMATORS} - {absent}


def test_a_twin_of_the_same_weights_has_no_layermem():
    found = scores(encoder(0), Memory(60), against=encoder(0), split=SPLIT).layers
    for estimator in alignment.ESTIMATORS:
        # f's batches also hold plain images, which changes the last bits.
        assert np.abs(found[f"layermem_{estimator}"]).max() < 1e-5


# --- Every choice reaches the numbers --------------------------------------------------------------------------------

UNIT, PAIR = ("units", "unitmem"), ("points", "sslmem")
ABS = {"activation": "abs", "hook": "before"}


@pytest.mark.parametrize(
    ("base", "change", "moves", "stays"),
    [
        ({}, {"draws": 6}, [UNIT, PAIR], []),
        ({}, {"augmentation": "weak"}, [UNIT, PAIR], [("units", "classmem")]),
        ({}, {"seed": 1}, [UNIT, PAIR], [("units", "classmem")]),
        ({}, {"others": "median"}, [UNIT, ("units", "classmem"), ("units", "others")], [PAIR, ("units", "highest")]),
        ({}, {"dead": "nan"}, [UNIT, ("layers", "unitmem")], [PAIR, ("units", "status")]),
        (ABS, {"activation": "relu"}, [UNIT, ("units", "classmem")], [PAIR]),
        (ABS, {"hook": "paper"}, [UNIT], [PAIR]),
        ({"activation": "abs"}, {"hook": "after"}, [PAIR], []),
        ({}, {"pairs": "image-aug"}, [PAIR], []),
        ({}, {"distance": "l1"}, [PAIR], [UNIT]),
        ({}, {"distance": "cosine"}, [PAIR], [UNIT]),
        ({}, {"distance": "angular"}, [PAIR], [UNIT]),
        ({}, {"representation": "pooled"}, [PAIR], [UNIT]),
        ({}, {"normalisation": "range"}, [PAIR, ("layers", "layermem_crossed")], [UNIT, ("points", "alignment_f")]),
        ({}, {"normalisation": "none"}, [PAIR, ("layers", "layermem_crossed")], [UNIT, ("points", "alignment_f")]),
        ({}, {"replicates": 30}, [("layers", "unitmem_low")], [UNIT, PAIR, ("layers", "unitmem")]),
        ({}, {"shuffles": 5}, [("units", "classmem_shuffled")], [UNIT, PAIR, ("units", "classmem")]),
        ({}, {"kept": 3}, [("tops", "rank")], [UNIT, PAIR]),
    ],
    ids=lambda x: "-".join(map(str, x.values())) if isinstance(x, dict) else "",
)
def test_every_choice_changes_its_numbers_and_no_others(base, change, moves, stays):
    def scored(choices):
        inner = {k: v for k, v in choices.items() if hasattr(SETTINGS.protocol, k)}
        outer = {k: v for k, v in choices.items() if k not in inner}
        settings = replace(SETTINGS, protocol=replace(SETTINGS.protocol, **inner), **outer)
        # Layers of an architecture have one hook; discovered ones have all.
        f, g = (encoder(seed, dead=[2], layers=None) for seed in (0, 1))
        return scores(f, Memory(30, classes=5), settings, against=g, split=split)

    split = {"candidate": np.arange(12), "independent": np.arange(12, 21), "external": np.arange(21, 30)}
    one, other = scored(base), scored({**base, **change})
    for table, column in moves:
        assert not getattr(one, table)[column].equals(getattr(other, table)[column]), (table, column)
    for table, column in stays:
        pd.testing.assert_series_equal(getattr(one, table)[column], getattr(other, table)[column], check_exact=True)


# --- Intervals -------------------------------------------------------------------------------------------------------


def test_intervals_hold_their_values():
    found = everything().layers
    for column in ("unitmem", "unitmem_matched", "unitmem_external", "unitmem_untrained", "excess", "gain"):
        value, low, high = (found[f"{column}{end}"][:2] for end in ("", "_low", "_high"))
        assert (low < value).all() and (value < high).all()
        assert np.isnan(found[column][2])  # The output has no units.


def test_a_median_has_values_and_no_intervals():
    found = everything(MEDIAN).layers
    for column in ("unitmem", "excess", "gain"):
        assert found[column][:2].notna().all()
        assert found[[f"{column}_low", f"{column}_high"]].isna().all(axis=None)


def estimate(mu, first=0, *, seed=0, replicates=32):
    tally = Tally(mu.shape[1], replicates=replicates, seed=seed)
    tally.add(mu, np.arange(first, first + len(mu)))
    values = pd.Series(units.contrast(*tally.highest()))
    return tables._estimates(tally, values, {"1": slice(0, mu.shape[1])}, Settings(seed=seed))["1"]


def width(estimate):
    low, high = estimate.interval()
    return high - low


def test_intervals_shrink_with_images_and_with_units():
    def at(n, u, seed):
        return width(estimate(np.random.default_rng(seed).random((n, u)), seed=seed))

    def mean(n, u):
        return np.mean([at(n, u, seed) for seed in range(5)])

    assert mean(1600, 5) < mean(100, 5) / 3 < mean(25, 5) / 5
    assert mean(100, 50) < mean(100, 5) / 2


def heavy(rng, n):
    """Activations that share factors and have heavy tails: where a bootstrap's intervals hold 0 in 80 % of cases."""
    return np.exp(0.7 * rng.normal(size=(n, 3)) @ np.ones((3, 16)) + 0.5 * rng.normal(size=(n, 16)))


def even(rng, n):
    return rng.exponential(size=(n, 16))


@pytest.mark.parametrize(("kind", "n"), [(even, 40), (even, 300), (heavy, 300)])
def test_the_excess_of_exchangeable_sets_covers_zero_about_as_often_as_intervals_say(kind, n):
    covered = []
    for seed in range(150):
        mu = kind(np.random.default_rng(seed), 2 * n)
        excess = estimate(mu[:n], seed=seed, replicates=12).unpaired(estimate(mu[n:], n, seed=seed, replicates=12))
        low, high = excess.interval()
        assert low < excess.value < high
        covered.append(low <= 0 <= high)
    assert np.mean(covered) >= 0.93


def test_an_excess_beyond_the_noise_is_significant():
    rng = np.random.default_rng(0)
    mu = rng.random((80, 16))
    mu[np.arange(16), np.arange(16)] += 3  # Each unit has an image of its own among the first 40.
    low, _ = estimate(mu[:40]).unpaired(estimate(mu[40:], 40)).interval()
    assert low > 0.1
