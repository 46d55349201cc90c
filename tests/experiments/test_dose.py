"""Images that stand several times in an epoch: what is planted by dose comes out, and nothing where nothing is."""

import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from memloc import config
from memloc.errors import InputError
from memloc.provenance import ROOT
from tests.builders.layers import dots, many_but
from tests.builders.study import Study, single, verdicts
from tests.builders.study import of as series_of

PLACES, UNITS = ("1", "2", "output"), {"1": 20, "2": 40}
IMAGES, CLASSES, OF_EACH = 80, 2, 5
OPTIONS = {"deals": 400}
many = many_but("once", "2 times", "4 times", "8 times")
DOSES = np.repeat([1, 2, 4, 8], [IMAGES // 2 - 3 * OF_EACH, OF_EACH, OF_EACH, OF_EACH])


def planted(pair, *, slope, units):
    """Points, and measures of f and g, of a pool that is dealt to two halves in which doses are dealt.

    Args:
        slope: of SSLMem at the output over log2 dose; half of it in layer 2.
        units: share of layer 2's units that an image of the highest dose excites in the encoder that has it.
    """
    rng = np.random.default_rng([11, pair])
    labels = np.arange(IMAGES) % CLASSES
    order = rng.permutation(IMAGES)
    groups, doses = np.full(IMAGES, "independent", dtype=object), np.zeros(IMAGES, dtype=np.int64)
    groups[order[: IMAGES // 2]] = "candidate"
    doses[order] = np.tile(rng.permutation(DOSES), 2)
    sign = np.where(groups == "candidate", 1, -1)[:, None]
    profile = np.array([0, slope / 2, slope])
    sslmem = rng.normal(size=3) + sign * (0.01 + np.log2(doses)[:, None] * profile)
    sslmem = sslmem + 0.05 * rng.normal(size=(IMAGES, 3))
    table = pd.DataFrame(
        {
            "point": np.repeat(100 + np.arange(IMAGES), 3),
            "group": np.repeat(groups, 3),
            "label": np.repeat(labels, 3),
            "dose": np.repeat(doses, 3),
            "layer": [*PLACES] * IMAGES,
            "own": [True, True, False] * IMAGES,
            "sslmem": sslmem.ravel(),
        }
    )
    made = {"points": table}
    for role, own in (("f", "candidate"), ("g", "independent")):
        mine = np.flatnonzero((groups == own) & (doses == 8))
        activations = {name: 1 + 0.2 * rng.random((IMAGES, 2, count)) for name, count in UNITS.items()}
        for unit in range(int(units * UNITS["2"])):
            activations["2"][rng.choice(mine), :, unit] += 3
        rows = rng.permutation(IMAGES)
        made[role] = {
            "points": 100 + rows,
            "layers": np.array(PLACES),
            **{f"views/{name}": values[rows].astype(np.float32) for name, values in activations.items()},
        }
    return made


def world(folder, seeds=5, slope=0.05, units=0.25):
    study = Study(folder, "dose")
    for pair in range(seeds):
        study.add("simclr", pair, **planted(pair, slope=slope, units=units))
    return study


def test_a_planted_dose_comes_out_in_every_measure(tmp_path):
    table, rows = world(tmp_path).analyse(**OPTIONS)
    found = single(rows)
    assert set(verdicts(rows).values()) == {"supported"}
    assert (found["p"].dropna() <= 2 / 401 + 1e-12).all()
    assert found.loc["slope", "effect"] == pytest.approx(0.05, abs=0.01) and found.loc["slope", "n"] == IMAGES
    # Once .01, eight times .01 + 3 * .05.
    assert series_of(table, "once", "simclr")["output"] == pytest.approx(0.01, abs=0.02)
    assert series_of(table, "8 times", "simclr")["output"] == pytest.approx(0.16, abs=0.03)
    assert series_of(table, "slope", "simclr")["1"] == pytest.approx(0, abs=0.01)
    assert series_of(table, "AUROC of SSLMem", "simclr")["output"] > 0.9
    # The top tenth of 40 units, each of which answers to an image of the highest dose alone.
    owned = table[(table["series"] == "owned in") & (table["at"] == "layer 2")].set_index("layer")["value"]
    assert owned["8 times"] == pytest.approx(1) and owned.sum() == pytest.approx(1)
    out = table[(table["series"] == "owned out") & (table["at"] == "layer 2")].set_index("layer")["value"]
    assert out["8 times"] < 0.4 and out.sum() == pytest.approx(1)
    shares = series_of(table, "share of images", "simclr")
    assert shares.to_dict() == {"once": 50 / 80, "2 times": 10 / 80, "4 times": 10 / 80, "8 times": 10 / 80}


def test_excess_unitmem_is_that_of_five_images_by_hand(tmp_path):
    study = Study(tmp_path, "dose")
    made = planted(0, slope=0.0, units=0.0)
    # In f alone an image of the highest dose excites unit 0 of layer 2 four times as much as all others.
    points = made["points"].drop_duplicates("point")
    chosen = points[(points["group"] == "candidate") & (points["dose"] == 8)]["point"].iloc[0]
    for role in "fg":
        for name in UNITS:
            made[role][f"views/{name}"][:] = 1.0
    made["f"]["views/2"][made["f"]["points"] == chosen, :, 0] = 4.0
    table, _ = study.add("simclr", 0, **made).analyse(**OPTIONS)
    # (4 - 1) / (4 + 1), half of it in each encoder of two, one unit of 40.
    assert series_of(table, "excess UnitMem, 8 times", "simclr")["2"] == pytest.approx(0.6 / 2 / 40)
    assert series_of(table, "excess UnitMem, once", "simclr")["2"] == pytest.approx(0)


def test_nothing_planted_gives_nothing(tmp_path):
    table, rows = world(tmp_path, slope=0.0, units=0.0).analyse(**OPTIONS)
    assert set(verdicts(rows).values()) == {"inconclusive"}
    assert series_of(table, "AUROC of SSLMem", "simclr").to_numpy() == pytest.approx(0.5, abs=0.1)


def test_the_figure_shows_the_output_and_the_last_layer_by_dose(tmp_path):
    study = world(tmp_path, seeds=2)
    table, _ = study.analyse(**OPTIONS)
    figure = study.drawn(table)
    a, _, c, d = figure.axes
    plt.close(figure)
    doses = ("once", "2 times", "4 times", "8 times")
    assert [text.get_text() for text in a.get_xticklabels()] == [*doses]
    np.testing.assert_allclose(dots(a)["effect"], [series_of(table, dose, "simclr")["output"] for dose in doses])
    owned = table[(table["series"] == "owned in") & (table["at"] == "layer 2")]["value"]
    np.testing.assert_allclose(dots(c)["in"], owned)
    excess = [series_of(table, f"excess UnitMem, {dose}", "simclr")["2"] for dose in doses]
    np.testing.assert_allclose(dots(d)["effect"], excess)


@pytest.fixture
def dosed():
    whole = config.check_files([ROOT / "config.yaml"])[0]
    whole["experiments"] = {"dose": whole["experiments"]["dose"]}
    return whole


def told(whole):
    with pytest.raises(InputError) as caught:
        config.check(whole)
    return str(caught.value)


def test_encoders_must_have_images_that_are_repeated(dosed):
    config.check(copy.deepcopy(dosed))
    del dosed["datasets"]["dosed"]["split"]["dose"]
    assert "all images of dosed stand once in an epoch; datasets with split.dose: none" in told(dosed)
    dosed["datasets"]["dosed"]["split"] = {"shared": 50, "candidate": 50, "independent": 50, "external": 50}
    assert "dosed isn't trained on halves of a pool; datasets with one: fashion" in told(dosed)


def test_batches_and_halves_must_be_large_enough_for_the_dose(dosed):
    split, recipe = dosed["datasets"]["dosed"]["split"], dosed["encoders"]["dosed"]["recipe"]
    split.update(pool=180, dose={"images": 10, "times": [2, 4, 8]})
    recipe["batch_size"] = 26
    assert told(dosed) == (
        "config: encoders.dosed.recipe.batch_size: 26 makes 7 batches of an epoch's 200 presentations, but "
        "datasets.dosed.split.dose has images that stand 8 times, never twice in one; lower it to at most 25"
    )
    recipe["batch_size"] = 25
    config.check(copy.deepcopy(dosed))
    split["dose"]["images"] = 30
    assert "datasets.dosed.split.dose: repeats 90 of the 90 images of a half; lower images" in told(dosed)
    split.update(dose={"images": 10})
    assert "datasets.dosed.split.dose.times: missing" in told(dosed)
