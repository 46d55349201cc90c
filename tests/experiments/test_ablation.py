"""Zeroing single units: the intervention against a literal reference, the analysis against planted harm."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from memloc.analysis.inputs import Inputs
from memloc.analysis.tables import load_table, save_table
from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.prepared import Part
from memloc.experiments.ablation import analysis as experiment
from memloc.experiments.ablation.job import choose, matches, run
from memloc.measuring.one_pass import measure_images
from memloc.measuring.protocol import Protocol
from memloc.models import architectures as encoders
from memloc.models.units import prune
from memloc.streams import stream
from tests.builders.desk import desk
from tests.builders.study import Study, analysed, complaint, save

MODULES = {str(i): [f"block{i}.conv", f"block{i}.norm"] for i in range(1, 9)}


def units_table(scores, owners):
    """Units of one layer: UnitMem and owner by group."""
    parts = [
        pd.DataFrame({"layer": "8", "unit": np.arange(len(values)), "group": g, "unitmem": values, "owner": owners[g]})
        for g, values in scores.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_each_group_has_its_own_top_units_and_the_same_random_ones():
    scores = {"candidate": [0.1, 0.9, 0.5, 0.9, 0.2], "external": [0.8, 0.1, 0.7, 0.2, 0.3], "independent": [1.0] * 5}
    owners = {"candidate": [3, 1, 4, 1, 5], "external": [12, 16, 15, 13, 15], "independent": [20] * 5}
    chosen = choose(units_table(scores, owners), count=2, seed=0).set_index(["group", "by"])
    assert set(chosen.index) == {(g, by) for g in ("candidate", "external") for by in ("top", "random")}
    # Ties go to the lower unit.
    assert chosen.loc[("candidate", "top"), "unit"].tolist() == [1, 3]
    assert chosen.loc[("external", "top"), "unit"].tolist() == [0, 2]
    assert chosen.loc[("candidate", "top"), "owner"].tolist() == [1, 1]
    assert chosen.loc[("external", "top"), "unitmem"].tolist() == [0.8, 0.7]
    random = [chosen.loc[(g, "random")] for g in ("candidate", "external")]
    assert random[0]["unit"].tolist() == random[1]["unit"].tolist()
    assert random[1]["owner"].tolist() == [owners["external"][u] for u in random[1]["unit"]]


def test_random_units_follow_the_seed_and_a_unit_that_one_group_leaves_dead_is_not_chosen():
    scores, owners = {g: np.linspace(1, 0, 8) for g in ("candidate", "external")}, {}
    owners = {"candidate": np.arange(8), "external": np.array([10, -1, 12, 13, 14, 15, 16, 17])}
    picked = [choose(units_table(scores, owners), count=3, seed=s) for s in range(20)]
    drawn = [tuple(c[(c["by"] == "random") & (c["group"] == "candidate")]["unit"]) for c in picked]
    assert len(set(drawn)) > 12 and {u for d in drawn for u in d} == {0, 2, 3, 4, 5, 6, 7}
    assert picked[0][picked[0]["by"] == "top"]["unit"].tolist() == [0, 2, 3] * 2
    assert len(choose(units_table(scores, owners), count=20, seed=0)) == 4 * 7


def test_images_like_an_owner_are_of_its_group_and_class_and_nearest():
    alignment = np.array([0.50, 0.90, 0.52, 0.40, 0.51, 0.505, 0.50])
    groups = np.array(["candidate"] * 6 + ["external"])
    labels = np.array([0, 0, 0, 0, 1, 1, 0])
    assert matches(0, alignment, groups, labels, count=2).tolist() == [2, 3]
    # Three others of its class: for four, all classes are taken.
    assert matches(0, alignment, groups, labels, count=3).tolist() == [2, 3, 1]
    assert matches(0, alignment, groups, labels, count=4).tolist() == [5, 4, 2, 3]


@pytest.fixture
def job(network, toy, normalise):
    """A desk with a small encoder, 12 candidates, 12 external images, and units of layers 5 and 8 that these own."""
    encoder, part = network(seed=4), Part(*toy(40, seed=1))
    split = {"shared": np.arange(5), "candidate": np.arange(5, 17), "independent": np.arange(17, 20)}
    split["external"] = np.arange(20, 32)
    rng, tables = np.random.default_rng(0), []
    for layer in ("5", "8"):
        n = encoder.get_submodule(f"block{layer}").conv.out_channels
        scores = {group: rng.random(n) for group in ("candidate", "external")}
        tables.append(units_table(scores, {group: rng.choice(split[group], n) for group in scores}).assign(layer=layer))
    return desk(
        encoder=encoder,
        part=part,
        split=split,
        units=pd.concat(tables, ignore_index=True),
        unit_modules=MODULES,
        every_layer=encoders.choose_layers("resnet9", {"residual": True}, ["*"]),
        protocol=Protocol(draws=4),
        augmentation=AUGMENTATIONS["mild"],
        normalise=normalise,
        options={"units": 2, "matched": 3},
    )


def test_alignments_before_and_after_are_those_of_the_intact_and_the_pruned_encoder(job):
    encoder = job.encoder
    state = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    out = run(job)
    assert all((tensor == state[name]).all() for name, tensor in encoder.state_dict().items())
    assert out["after"].shape == (2 * 2 * 2 * 2,) and out["matched_after"].shape == (16, 3)
    chosen = choose(job.units, count=2, seed=0)
    assert out["owner"].tolist() == chosen["owner"].tolist() and out["unit"].tolist() == chosen["unit"].tolist()

    def alignment(network, point):
        measures = measure_images(
            network,
            job.part.images[[point]],
            np.array([point]),
            layers=encoders.choose_layers("resnet9", {"residual": True}, ["output"]),
            augmentation=job.augmentation,
            normalise=job.normalise,
            protocol=job.protocol,
            seed=stream("ablate", 0),
        )
        return measures.alignment[0, 0].mean()

    for k in range(16):
        pruned = prune(encoder, {str(out["layer"][k]): out["unit"][[k]]}, MODULES)
        assert out["before"][k] == pytest.approx(alignment(encoder, out["owner"][k]), rel=1e-4)
        assert out["after"][k] == pytest.approx(alignment(pruned, out["owner"][k]), rel=1e-4)
        one = k % 3
        mate = out["matched"][k, one]
        assert out["matched_before"][k, one] == pytest.approx(alignment(encoder, mate), rel=1e-4)
        assert out["matched_after"][k, one] == pytest.approx(alignment(pruned, mate), rel=1e-4)
        others = job.split[out["group"][k]]
        assert set(out["matched"][k]) <= set(others) - {out["owner"][k]}
    assert np.abs(out["after"] - out["before"]).max() > 1e-4


# --- analysis ---------------------------------------------------------------------------------------------------------

LAYERS, UNITS, MATCHED = ("1", "2", "3"), 8, 4
HARM = {("candidate", "top"): 0.5, ("external", "top"): 0.2, ("candidate", "random"): 0.1, ("external", "random"): 0.1}
OPTIONS = {"units": UNITS, "matched": MATCHED}


def outcomes(harm, seed, *, noise=0.05, owners=30, last=None):
    """Outcomes with a planted mean harm by group and arm, on top of a growth that all images of a unit share.

    Args:
        owners: images among which a unit's owner is drawn.
        last: of the last layer, where that is another.
    """
    rng, rows = np.random.default_rng([42, seed]), []
    for group, by in harm:
        for layer in LAYERS:
            planted = (last or harm) if layer == LAYERS[-1] else harm
            for unit in range(UNITS):
                common = rng.normal()
                before, mates = rng.random(), rng.random(MATCHED)
                true = common + planted[group, by] + noise * rng.normal()
                rows.append(
                    {
                        "group": group,
                        "by": by,
                        "layer": layer,
                        "unit": unit,
                        "unitmem": rng.random(),
                        "owner": rng.integers(owners) + 100 * (group == "external"),
                        "before": before,
                        "after": before + true,
                        "matched": np.arange(MATCHED),
                        "matched_before": mates,
                        "matched_after": mates + common,
                    }
                )
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def study(folder, seeds):
    paths = []
    for seed, arrays in enumerate(seeds):
        paths.append(str(folder / f"{seed}.npz"))
        save(arrays, paths[-1])
    inputs = Inputs([("simclr", seed) for seed in range(len(paths))], {"outcomes": paths})
    table, rows = analysed("ablation", inputs, resamples=400, **OPTIONS)
    return table, rows.set_index("claim")


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    made = Study(folder, "ablation")
    for seed in range(seeds):
        made.add("simclr", seed, outcomes=outcomes(HARM, seed))
    return made


def test_planted_harm_comes_out(tmp_path):
    worlds = [outcomes(HARM, seed) for seed in range(3)]
    table, rows = study(tmp_path, worlds)
    assert set(rows["verdict"]) == {"supported"}
    for claim, effect in {
        "owners": 0.5,
        "owners-last": 0.5,
        "excess": 0.3,
        "excess-last": 0.3,
        "selective": 0.4,
    }.items():
        assert rows.loc[f"ablation.{claim}", "effect"] == pytest.approx(effect, abs=0.04), claim
    assert rows.loc["ablation.selective-excess", "effect"] == pytest.approx(0.3, abs=0.04)
    units = table[table["series"] == "unit"]
    assert len(units) == 3 * len(HARM) * len(LAYERS) * UNITS
    for (group, by), _ in HARM.items():
        mine = units[(units["group"] == group) & (units["by"] == by)]
        profile = table[table["series"] == f"{by}, {group}"].set_index("layer")
        # Means over units, however many an owner has.
        assert profile.loc["all", "value"] == pytest.approx(mine["value"].mean())
        for layer in LAYERS:
            assert profile.loc[layer, "value"] == pytest.approx(mine.loc[mine["layer"] == layer, "value"].mean())
    owners = {len(set(w["owner"][(w["group"] == "candidate") & (w["by"] == "top")])) for w in worlds}
    assert rows.loc["ablation.owners", "n"] in owners


@pytest.mark.parametrize(("candidate", "verdict"), [(0.2, "inconclusive"), (-0.1, "refuted")])
def test_harm_that_external_images_suffer_too_is_no_excess(tmp_path, candidate, verdict):
    # The same resamples and seeds, so nothing planted must not come out as something.
    harm = HARM | {("candidate", "top"): candidate}
    _, rows = study(tmp_path, [outcomes(harm, seed, noise=0.1) for seed in range(3)])
    assert rows.loc["ablation.excess", "verdict"] == rows.loc["ablation.selective-excess", "verdict"] == verdict
    assert rows.loc["ablation.owners", "verdict"] == ("supported" if candidate > 0 else "refuted")


def test_random_units_that_matter_as_much_are_told(tmp_path):
    harm = HARM | {("candidate", "random"): 0.5}
    _, rows = study(tmp_path, [outcomes(harm, seed, noise=0.1) for seed in range(3)])
    assert rows.loc["ablation.selective", "verdict"] == "inconclusive"


def test_the_last_layer_is_told_apart(tmp_path):
    last = HARM | {("candidate", "top"): -0.2}
    _, rows = study(tmp_path, [outcomes(HARM, seed, last=last) for seed in range(3)])
    assert rows.loc["ablation.owners-last", "verdict"] == rows.loc["ablation.excess-last", "verdict"] == "refuted"
    assert rows.loc["ablation.owners", "verdict"] == "supported"
    assert rows.loc["ablation.owners-last", "n"] <= UNITS < rows.loc["ablation.owners", "n"]


def test_units_of_one_owner_are_one_observation(tmp_path):
    # Eight owners with three units of equal harm each: the standard error is that of eight, not of 24.
    arrays = outcomes(HARM, 0, noise=0.0)
    values = np.random.default_rng(3).normal(size=UNITS)
    for group, start in (("candidate", 0), ("external", 100)):
        mine = arrays["group"] == group
        arrays["owner"][mine] = start + arrays["unit"][mine]
        arrays["after"][mine] += values[arrays["unit"][mine]]
    table, _ = study(tmp_path, [arrays])
    row = table[(table["series"] == "top, candidate") & (table["layer"] == "all")].iloc[0]
    assert row["owners"] == UNITS
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * values.std(ddof=1) / UNITS**0.5, rel=0.15)


def test_two_owners_say_nothing_of_others(tmp_path):
    arrays = outcomes(HARM, 0)
    last = (arrays["layer"] == "3") & (arrays["group"] == "candidate")
    arrays["owner"][last] = arrays["unit"][last] % 2
    table, rows = study(tmp_path, [arrays, outcomes(HARM, 1)])
    assert set(experiment.CLAIMS) - {claim.partition(".")[2] for claim in rows.index} == {"owners-last", "excess-last"}
    row = table[(table["series"] == "top, candidate") & (table["layer"] == "3")].iloc[0]
    assert row["owners"] == 2 and np.isnan(row["low"]) and np.isfinite(row["value"])


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_figure_is_drawn_and_an_analysis_is_the_same_every_time(tmp_path, seeds):
    (table, rows), (again, _) = (study(tmp_path, [outcomes(HARM, s) for s in range(seeds)]) for _ in range(2))
    pd.testing.assert_frame_equal(table, again)
    assert rows["effect"].between(rows["low"], rows["high"]).all() and (rows["seeds"] == seeds).all()
    save_table(table, tmp_path / "table.csv")
    figure = experiment.draw(load_table(tmp_path / "table.csv"), np.zeros((1, 1, 16, 16), np.uint8))
    figure.canvas.draw()
    series = [[dots.get_label() for dots in axis.containers if dots.get_label()[0] != "_"] for axis in figure.axes]
    assert series == [["candidate", "external"], ["top", "random"], ["effect"]]
    plt.close(figure)


def test_more_matched_images_than_a_group_has_are_told():
    options = {"kind": "ablation", "encoders": ["simclr"], "units": 8}
    assert complaint({**options, "matched": 10}, {}) is None
    said = complaint({**options, "matched": 200}, {})
    assert "experiments.it.matched: 200 must be smaller than the number of candidate points, 200; lower it" in said
