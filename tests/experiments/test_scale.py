"""LayerMem against images and passes: a planted law comes out by layer, and forecasts; encoders must fit together."""

import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml

from memloc import config
from memloc.errors import InputError
from memloc.provenance import ROOT
from tests.builders.layers import dots
from tests.builders.study import Study, single, verdicts

PLACES = ("1", "2", "3", "output")
HEIGHTS = np.array([0.0, 0.5, 1.0, 0.8])
"""By place, times the law."""
GRID = [(20, 100), (20, 400), (40, 100), (40, 200), (80, 100), (80, 400), (160, 100)]
EPOCHS = {f"e{n}-{t}": t for n, t in GRID}
OPTIONS = {"forecast": {"images": 1000, "epochs": 400}, "epochs": EPOCHS}
B, C = 0.4, 0.7


def planted(n, t):
    return 0.02 * (n / 40) ** -B * (t / 200) ** C


def points(n, t, *, pair, noise=0.003, law=planted):
    """Scores of a pool of 2 n images, dealt to two halves."""
    rng = np.random.default_rng([11, n, t, pair])
    groups = rng.permutation(np.repeat(["candidate", "independent"], n))
    sign = np.where(groups == "candidate", 1, -1)[:, None]
    scores = 0.1 + sign * HEIGHTS * law(n, t) + noise * rng.normal(size=(2 * n, len(PLACES)))
    about = {"point": np.repeat(np.arange(2 * n), len(PLACES)), "group": np.repeat(groups, len(PLACES))}
    return pd.DataFrame({**about, "label": 0, "layer": [*PLACES] * (2 * n), "own": True, "sslmem": scores.ravel()})


def world(folder, seeds=3, **how):
    study = Study(folder, "scale")
    for name, (n, t) in zip(EPOCHS, GRID, strict=True):
        for pair in range(seeds):
            study.add(name, pair, points=points(n, t, pair=pair, **how))
    return study


def series(table, name):
    return table[table["series"] == name].set_index("layer")


def test_a_planted_law_comes_out_in_the_layers_that_have_it(tmp_path):
    study = world(tmp_path)
    table, rows = study.analyse(**OPTIONS)
    for name, true in (("exponent of images", B), ("exponent of passes", C)):
        found = series(table, name)
        # Nothing is memorized in the first.
        assert list(found.index) == ["2", "3", "output"]
        assert found["value"].to_numpy() == pytest.approx(true, abs=0.1)
        assert (found["low"] < true).all() and (found["high"] > true).all()
    ahead = series(table, "forecast")
    truth = HEIGHTS[1:] * planted(1000, 400)
    assert (ahead["low"] < truth).all() and (ahead["high"] > truth).all()
    assert ahead["value"].to_numpy() == pytest.approx(truth, rel=0.3)
    assert verdicts(rows) == {"images": "supported", "passes": "supported", "law": "supported"}
    assert single(rows).loc["images", "seeds"] == 21
    # The paper's numbers stand beside the forecast, at the same place.
    assert series(table, "paper").loc["2", ["value", "images", "epochs"]].tolist() == [0.123, 1000, 400]
    figure = study.drawn(table)
    output, exponents = figure.axes
    assert output.get_yscale() == "log" and len(dots(exponents)) == 2
    plt.close(figure)


def test_no_law_is_claimed_where_nothing_is_memorized(tmp_path):
    study = world(tmp_path, law=lambda n, t: 0.0)
    table, rows = study.analyse(**OPTIONS)
    assert not set(table["series"]) & {"law", "forecast", "exponent of images"}
    assert set(verdicts(rows).values()) == {"inconclusive"} and np.isinf(rows["low"]).all()
    plt.close(study.drawn(table))


def test_a_size_off_the_law_refutes_it(tmp_path):
    _, rows = world(tmp_path, law=lambda n, t: planted(n, t) * (4 if n == 160 else 1)).analyse(**OPTIONS)
    assert verdicts(rows)["law"] == "refuted" and "e160-100 left out" in single(rows).loc["law", "subject"]


def test_encoders_differ_in_images_and_passes_alone():
    def told(change):
        whole = copy.deepcopy(base)
        change(whole)
        with pytest.raises(InputError) as error:
            config.check(whole)
        return str(error.value)

    base = config.check_files([ROOT / "config.yaml"])[0]
    mine = yaml.safe_load((ROOT / "config/scale.yaml").read_text(encoding="utf-8"))
    base["datasets"] |= copy.deepcopy(mine["datasets"])
    base["encoders"] |= copy.deepcopy(mine["encoders"])
    base["experiments"] = {"scale": mine["experiments"]["scale"]}
    config.check(base)
    rate = told(
        lambda c: c["encoders"]["scale-200-250"].update(
            recipe={**mine["encoders"]["scale-50-250"]["recipe"], "learning_rate": 0.1}
        )
    )
    assert "recipe has learning_rate 0.002 in scale-50-250 and 0.1 in scale-200-250; make them equal" in rate
    assert "network is" in told(lambda c: c["encoders"]["scale-200-250"].update(network={"width": 0.25}))
    together = told(
        lambda c: c["experiments"]["scale"].update(encoders=["scale-100-125", "scale-400-125", "scale-800-125"])
    )
    assert "can't be told apart" in together
    dosed = told(lambda c: c["datasets"]["scale-200"]["split"].update(dose={"images": 2, "times": [2]}))
    several = "images of scale-200-250 stand several times in an epoch (split.dose)"
    assert f"encoders: {several}; take encoders of a dataset without" in dosed
