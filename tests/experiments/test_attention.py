"""Attention against fully-connected layers: increments as Table 10 defines them, claims, nulls."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from memloc.errors import InputError
from memloc.experiments.attention import analysis as attention
from memloc.models.architectures import ARCHITECTURES
from tests.builders import figures
from tests.builders.planted import OFFSET, SIGNS, score_table
from tests.builders.study import Study, by_claim, single, verdicts

POINTS = 40
OPTIONS = {}
# Parameters of attention and perceptron of a ViT-Tiny block.
PARAMETERS = {"attention": 148224, "fully-connected": 295872, "sum": 0, "output": 0}
# Table 10's increments of blocks 2 to 12.
D_ATT = [0.006, 0.006, 0.006, 0.007, 0.008, 0.009, 0.008, 0.009, 0.009, 0.008, 0.009]
D_FC = [0.011, 0.013, 0.017, 0.014, 0.015, 0.016, 0.018, 0.020, 0.020, 0.022, 0.023]


def layers_of(depth):
    layers = ARCHITECTURES["vit-tiny"].layers({"depth": depth})
    return [(layer.name, layer.kind) for layer in layers if layer.kind != "head"]


def points_of(blocks, *, seed=0, noise=0.0, layers=None, offset=OFFSET):
    """SSLMem with a crossed profile planted.

    Args:
        blocks: [blocks, 4] att, res-att, fc, res-fc; the encoder's output has the last value.
    """
    rng = np.random.default_rng([6, seed])
    profile = np.append(blocks, np.ravel(blocks)[-1])
    scores = {
        group: offset + sign * profile + noise * rng.normal(size=(POINTS, len(profile)))
        for group, sign in SIGNS.items()
    }
    places = {
        name: {"own": kind in ("attention", "fully-connected"), "kind": kind, "parameters": PARAMETERS[kind]}
        for name, kind in layers_of(len(blocks))
    }
    points = score_table(scores, places)
    return points if layers is None else points[points["layer"].isin(layers)].reset_index(drop=True)


def stacked(d_att, d_fc, *, after_att=0.0, after_fc=0.0):
    """[blocks, 4] LayerMem whose increments are these; the tokens have that of what is added to them, and more."""
    tokens, blocks = 0.0, []
    for a, b in zip(d_att, d_fc, strict=True):
        att = tokens + a
        fc = att + after_att + b
        tokens = fc + after_fc
        blocks.append([att, att + after_att, fc, tokens])
    return np.array(blocks)


def study_of(folder, **encoders):
    """A study of encoders given by name, one table of points for each seed."""
    study = Study(folder, "attention")
    for encoder, seeds in encoders.items():
        for seed, points in enumerate(seeds):
            study.add(encoder, seed, points=points)
    return study


@pytest.fixture
def analysed(tmp_path):
    return lambda **encoders: study_of(tmp_path, **encoders).analyse(resamples=100)


def seeds_of(blocks, *, count=3, noise=0.02, **planted):
    return [points_of(blocks, seed=seed, noise=noise, **planted) for seed in range(count)]


def world(folder, seeds=3):
    return study_of(folder, mae=seeds_of(stacked(EQUAL, [0.15] * 4), count=seeds))


def series(table, name):
    return table[table["series"] == name].set_index("layer")["value"]


HAND = np.array([[0.01, 0.02, 0.05, 0.06], [0.08, 0.10, 0.15, 0.20], [0.21, 0.25, 0.24, 0.30]])


def test_profiles_in_three_estimators_and_the_null_stand_in_the_table(analysed):
    table, _ = analysed(mae=[points_of(HAND)])
    crossed = table[table["series"] == "crossed"]
    places = ["attention", "sum after attention", "fully-connected", "sum after fully-connected"]
    assert list(crossed["layer"]) == [name for name, kind in layers_of(3) if kind != "output"]
    assert list(crossed["block"]) == [1] * 4 + [2] * 4 + [3] * 4 and list(crossed["place"]) == places * 3
    assert list(crossed["parameters"]) == [148224, 0, 295872, 0] * 3
    for name, extra in (("crossed", 0), ("external-corrected", 0), ("published", OFFSET)):
        np.testing.assert_allclose(series(table, name), HAND.ravel() + extra, atol=1e-12)
    np.testing.assert_allclose(series(table, "external images"), OFFSET, atol=1e-12)


def test_increments_worked_by_hand(analysed):
    table, _ = analysed(mae=[points_of(HAND)])
    for name, place, expected in (
        ("dATT", "att", [np.nan, 0.02, 0.01]),
        ("dFC", "fc", [0.03, 0.05, -0.01]),
        ("dBlock", "res-fc", [np.nan, 0.14, 0.10]),
    ):
        rows = series(table, name)
        assert list(rows.index) == [f"{block}.{place}" for block in (1, 2, 3)]
        np.testing.assert_allclose(rows, expected, atol=1e-12)


def test_increments_are_those_of_a_loop_over_named_layers():
    rng = np.random.default_rng(2)
    blocks = rng.normal(size=(7, 5, 4))
    for values, att, fc, whole in zip(
        blocks, attention.d_att(blocks), attention.d_fc(blocks), attention.d_block(blocks), strict=True
    ):
        names = [f"{n}.{place}" for n in range(1, 6) for place in ("att", "res-att", "fc", "res-fc")]
        layermem = dict(zip(names, values.ravel(), strict=True))
        for n in range(1, 6):
            before = layermem.get(f"{n - 1}.res-fc", np.nan)
            expected = (layermem[f"{n}.att"] - before, layermem[f"{n}.fc"] - layermem[f"{n}.res-att"],
                        layermem[f"{n}.res-fc"] - before)  # fmt: skip
            np.testing.assert_array_equal((att[n - 1], fc[n - 1], whole[n - 1]), expected)


def test_effects_worked_by_hand(analysed):
    rows = single(analysed(mae=[points_of(HAND, noise=1e-5)])[1])
    expected = {
        "rises": 1,
        "fully-connected-rises": 1,
        "fully-connected-adds-more": ((0.05 - 0.02) + (-0.01 - 0.01)) / 2,
        "blocks-add": (0.14 + 0.10) / 2,
        "every-block-adds": 0.10,
        "fully-connected-higher": (0.04 + 0.07 + 0.03) / 3,
        "fully-connected-higher-at-depth": (0.05 - (0.01 + 0.08) / 2 + 0.15 - (0.08 + 0.21) / 2) / 2,
        "per-parameter": ((0.05 - 0.01) - 295872 / 148224 * (0.02 + 0.01)) / 2,
    }
    assert rows["effect"].to_dict() == pytest.approx(expected, abs=2e-5)
    assert (rows["n"] == POINTS).all()
    assert rows.loc["every-block-adds", "subject"] == "mae, block 3"


def test_the_papers_effects_are_those_of_its_table(analysed):
    blocks = stacked([0, *D_ATT], [0.02, *D_FC])
    rows = single(analysed(mae=[points_of(blocks)])[1])
    for claim in ("fully-connected-adds-more", "per-parameter"):
        assert rows.loc[claim, "paper_effect"] == pytest.approx(rows.loc[claim, "effect"], abs=6e-5)


def test_offsets_that_differ_from_place_to_place_leave_every_effect_as_it_is(analysed):
    offset = np.random.default_rng(3).uniform(-0.3, 0.3, HAND.size + 1)
    pd.testing.assert_frame_equal(*(analysed(mae=seeds_of(HAND, offset=o))[1] for o in (OFFSET, offset)))


EQUAL = [0.05] * 4
PROFILES = {
    "as in the paper": (stacked(EQUAL, [0.15] * 4), {
        # Four blocks rise all the way in one of 24 orders: too many for a finding.
        "rises": "supported", "fully-connected-rises": "supported", "fully-connected-adds-more": "supported",
        "blocks-add": "supported", "every-block-adds": "supported", "fully-connected-higher": "supported",
        "fully-connected-higher-at-depth": "supported", "per-parameter": "supported"}),
    # Twice the parameters, less than twice the increment.
    "by size alone": (stacked(EQUAL, [0.07] * 4), {
        "fully-connected-adds-more": "supported", "per-parameter": "refuted"}),
    # Both add the same: being behind attention makes what fully-connected layers put out higher, at equal depth not.
    "by depth alone": (stacked(EQUAL, EQUAL), {
        "fully-connected-adds-more": "inconclusive", "fully-connected-higher": "supported",
        "fully-connected-higher-at-depth": "inconclusive", "per-parameter": "refuted"}),
    "attention instead": (stacked([0.15] * 4, EQUAL, after_fc=-0.3), {
        "fully-connected-adds-more": "refuted",
        "blocks-add": "refuted", "every-block-adds": "refuted", "per-parameter": "refuted"}),
    "but for one block": (stacked([0.1, 0.1, -0.2, 0.1, 0.1], [*EQUAL, 0.05]), {
        "blocks-add": "supported", "every-block-adds": "refuted"}),
    "nothing": (np.zeros((4, 4)), dict.fromkeys(attention.CLAIMS, "inconclusive")),
}  # fmt: skip


@pytest.mark.parametrize("name", list(PROFILES))
def test_claims_follow_the_planted_profile(analysed, name):
    blocks, expected = PROFILES[name]
    _, rows = analysed(mae=seeds_of(blocks))
    assert verdicts(rows).items() >= expected.items()


def test_encoders_are_told_apart(analysed):
    table, rows = analysed(mae=seeds_of(stacked(EQUAL, [0.15] * 4)), dino=seeds_of(np.zeros((2, 4)), count=2))
    assert table.groupby("encoder")["block"].max().to_dict() == {"mae": 4, "dino": 2}
    assert by_claim(rows, "attention.blocks-add")["seeds"].to_dict() == {"mae": 3, "dino": 2}


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (["1.res-att", "1.fc", "1.res-fc", "2.res-att", "2.fc", "2.res-fc"], "no attention and fully-connected layers"),
        (["1.att", "2.att"], "no attention and fully-connected layers"),
        (["1.att", "1.res-att", "1.fc", "1.res-fc"], "blocks 1; measure att, res-att, fc, res-fc of two or more"),
        ([name for name, _ in layers_of(3) if name != "2.res-fc"], "blocks 1, 2, 3; measure"),
        ([name for name, _ in layers_of(3) if not name.startswith("2")], "blocks 1, 3; measure"),
    ],
)
def test_an_encoder_that_lacks_parts_of_its_blocks_is_an_error(analysed, kept, said):
    with pytest.raises(InputError, match=rf"^encoders\.vit\.measure\.layers: {said}"):
        analysed(mae=[points_of(HAND)], vit=[points_of(HAND, layers=kept)])


def test_blocks_need_not_start_at_the_first(analysed):
    kept = [name for name, _ in layers_of(3) if not name.startswith("1")]
    table, _ = analysed(mae=[points_of(HAND, layers=kept)])
    np.testing.assert_allclose(series(table, "dATT"), [np.nan, 0.01], atol=1e-12)
    assert list(series(table, "dATT").index) == ["2.att", "3.att"]


def many(table, *, encoders, layers):
    """A table of encoders with twelve blocks."""
    table = figures.many(table, encoders=encoders, layers=False)
    blocks = [table[table["block"] == 1 + (number > 1)].assign(block=number) for number in range(1, 13)]
    return pd.concat(blocks).sort_values(["encoder", "block"], kind="stable")


@pytest.mark.parametrize("depths", [[4], [12, 4, 2]])
def test_the_figure_shows_every_block_and_place(tmp_path, depths):
    encoders = {f"vit{d}": seeds_of(stacked([0.01] * d, [0.02] * d), count=2) for d in depths}
    study = study_of(tmp_path, **encoders)
    figure = study.drawn(study.analyse(resamples=100)[0])
    for depth, (left, right) in zip(depths, np.reshape(figure.axes, (-1, 2)), strict=True):
        blocks = [str(n) for n in range(1, depth + 1)]
        assert all([t.get_text() for t in axis.get_xticklabels()] == blocks for axis in (left, right))
        dots = [bars.lines[0].get_ydata() for bars in right.containers]
        assert np.shape(dots) == (3, depth) and np.isnan([dots[0][0], dots[2][0]]).all() and dots[1][0] > 0
    plt.close(figure)
