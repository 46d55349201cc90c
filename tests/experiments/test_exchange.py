"""Layers that f and g exchange: what is put where, and what an analysis makes of planted gaps."""

import numpy as np
import pytest

from memloc.data.augmentations import AUGMENTATIONS
from memloc.data.groups import UNSHARED
from memloc.data.prepared import Part
from memloc.experiments.exchange import job as exchange
from memloc.measuring.protocol import Protocol
from memloc.models import architectures
from memloc.streams import stream
from tests.builders.desk import desk
from tests.builders.planted import LAYERS, POINTS, points
from tests.builders.study import Study, single, verdicts
from tests.builders.study import of as series_of

# --- What is measured -------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(network, toy, normalise):
    """A factory of desks with a pair of encoders."""

    def make(seeds):
        f, g = (network(seed=seed) for seed in seeds)
        return desk(
            encoder=f,
            partner=g,
            part=Part(*toy(12)),
            split={"shared": np.arange(0), **{name: np.arange(4 * i, 4 * i + 4) for i, name in enumerate(UNSHARED)}},
            layers=architectures.choose_layers("resnet9", {"residual": True}, ["*"]),
            protocol=Protocol(draws=4),
            augmentation=AUGMENTATIONS["mild"],
            normalise=normalise,
            options={},
        )

    return make


def test_the_first_of_all_layers_are_the_other_encoder_and_one_alone_is_a_hybrid(pair):
    it = pair((0, 1))
    out = exchange.run(it)
    assert out["layers"].tolist() == [str(i) for i in range(1, 9)] and out["alignment"].shape == (2, 17, 12)
    f, g = out["alignment"]
    # All eight layers are all of a ResNet9.
    np.testing.assert_allclose(f[16], g[0], rtol=1e-5)
    np.testing.assert_allclose(g[16], f[0], rtol=1e-5)
    # The first layer alone is the first of the first ones; all but the last are g with f's last.
    np.testing.assert_array_equal(f[1], f[9])
    np.testing.assert_allclose(f[15], g[8], rtol=1e-5)
    assert len({row.tobytes() for row in f[:9]}) == 9
    # The output of f as it is, on the views of rule measure.
    plain = it.measured(out["points"], layers=it.layers[-1:], seed=stream("measure", 0), alignment=True)
    np.testing.assert_array_equal(f[0], plain["alignment"].mean(axis=(1, 2), dtype=np.float64))


def test_equal_encoders_exchange_nothing(pair):
    out = exchange.run(pair((2, 2)))["alignment"]
    assert (out == out[0, 0]).all()


# --- The experiment ---------------------------------------------------------------------------------------------------

OPTIONS = {}
PROFILE = [0.01, 0.02, 0.05, 0.12]
STEPS = np.array([0.01, 0.01, 0.03, 0.07])
GAP = 0.12


def outcome(seed, takes, *, harm=(0.3, 0.1, 0.2, 0.15)):
    """Alignment of a pair whose gap is GAP, of which an exchange of one layer takes so much.

    Args:
        takes: by layer; together what an exchange of the first layers takes.
        harm: by how much an exchange raises the alignment of all images, as a share.
    """
    rng = np.random.default_rng([41, seed])
    groups = np.repeat(["candidate", "independent", "external"], POINTS)
    gaps = GAP - np.array([0, *takes, *np.cumsum(takes)])
    level = 0.5 * (1 + np.array([0, *harm, *harm]))
    alignment = np.empty((2, len(gaps), len(groups)))
    for body, seen, unseen in ((0, "candidate", "independent"), (1, "independent", "candidate")):
        sign = np.where(groups == seen, -1, np.where(groups == unseen, 1, 0))
        alignment[body] = level[:, None] * (1 + gaps[:, None] * sign)
    # An offset that f and g don't share cancels.
    alignment[0] *= 1.3
    table = points(PROFILE, split=seed, noise=0.01)
    places = table.drop_duplicates("point")
    order = rng.permutation(len(groups))
    arrays = {
        "points": places["point"].to_numpy()[order],
        "groups": groups[order],
        "layers": np.array(LAYERS),
        "alignment": alignment[..., order] * (1 + 0.005 * rng.normal(size=alignment.shape)),
    }
    assert (places["group"].to_numpy()[order] == arrays["groups"]).all()
    return {"outcomes": arrays, "points": table}


def world(folder, seeds=3, takes=STEPS, **planted):
    made = Study(folder, "exchange")
    for seed in range(seeds):
        made.add("simclr", seed, **outcome(seed, takes, **planted))
    return made


def test_planted_gaps_come_out(tmp_path):
    table, rows = world(tmp_path).analyse(**OPTIONS)
    left = series_of(table, "one layer", "simclr")
    assert left["none"] == pytest.approx(GAP, abs=0.003)
    assert left[list(LAYERS)].to_numpy() == pytest.approx(GAP - STEPS, abs=0.003)
    first = series_of(table, "first layers", "simclr")
    assert first[list(LAYERS)].to_numpy() == pytest.approx(GAP - np.cumsum(STEPS), abs=0.003)
    assert series_of(table, "increment", "simclr").to_numpy() == pytest.approx(STEPS, abs=0.005)
    share = series_of(table, "share taken, one layer", "simclr")
    assert share.to_numpy() == pytest.approx(STEPS / GAP, abs=0.03)
    # (1.3 - 1) / 2.3 of the first layer's harm, whatever the encoder's own level.
    assert series_of(table, "unseen images", "simclr")["1"] == pytest.approx(0.3 / 2.3, abs=0.003)
    assert verdicts(rows)["gap"] == "supported" and verdicts(rows)["crosses"] == "refuted"


def test_agreement_of_order_is_found_and_four_layers_are_too_few_to_be_sure(tmp_path):
    rows = single(world(tmp_path).analyse(**OPTIONS)[1])
    # Layers 1 and 2 tie but for noise.
    assert rows.loc["agrees", "effect"] >= 0.8 and rows.loc["first", "effect"] >= 0.8
    # Four layers stand in order once in 24 times, so two-sided p is at least 1/12.
    assert rows.loc["agrees", "p"] > 0.05 and rows.loc["agrees", "verdict"] == "inconclusive"
    other = single(world(tmp_path / "other", takes=STEPS[::-1]).analyse(**OPTIONS)[1])
    assert other.loc["agrees", "effect"] <= -0.8 and other.loc["over-value", "effect"] == pytest.approx(0, abs=0.25)


def test_a_layer_that_takes_all_of_the_gap_over_is_told(tmp_path):
    rows = world(tmp_path, takes=[0.0, 0.0, 2 * GAP, 0.0]).analyse(**OPTIONS)[1]
    crosses = single(rows).loc["crosses"]
    assert crosses["subject"] == "simclr, 3" and crosses["effect"] == pytest.approx(GAP, abs=0.003)
    assert crosses["verdict"] == "supported"
