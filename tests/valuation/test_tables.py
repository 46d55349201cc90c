"""Tables by name: their entries are true, and those that need a network say so in one line."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from memloc.errors import InputError
from memloc.provenance import ROOT
from memloc.valuation.loading import load, of_images
from memloc.valuation.tables import TABLES

HERE = [name for name, table in TABLES.items() if not table.fetched]


@pytest.mark.parametrize("name", HERE)
def test_tables_are_what_their_entries_say(name):
    entry, table = TABLES[name], load(name)
    n, d = map(int, re.search(r"(\d+) x (\d+)", entry.about).groups())
    assert table["x"].shape == (n, d) and table["y"].shape == (n,) and np.isfinite(table["x"]).all()
    assert np.unique(table["y"]).tolist() == list(range(entry.classes))
    # No class is rare.
    assert np.bincount(table["y"]).min() > 0.5 * n / entry.classes or name in ("breast-cancer", "wine")
    again = load(name)
    assert (table["x"] == again["x"]).all() and (table["y"] == again["y"]).all()
    if entry.side:
        assert table["shape"].tolist() == [1, entry.side, entry.side] and d == entry.side**2
        assert table["x"].min() == 0 and table["x"].max() == 1
    else:
        assert not len(table["shape"])


def test_generated_tables_follow_their_formulas():
    x, y = (load("2dplanes")[key] for key in "xy")
    assert set(np.unique(x[:, 0])) == {-1, 1} and set(np.unique(x[:, 1:])) == {-1, 0, 1}
    plane = np.where(x[:, 0] > 0, 3 + x[:, 1:4] @ [3, 2, 1], -3 + x[:, 4:7] @ [3, 2, 1])
    # Noise of variance 2 beside planes six apart.
    assert np.corrcoef(plane, y)[0, 1] > 0.7 and ((plane > plane.mean()) == y).mean() > 0.85
    for name in ("gaussian-20", "gaussian-100"):
        correlations = np.corrcoef(load(name)["x"].T)
        assert correlations[np.triu_indices(len(correlations), 1)].mean() == pytest.approx(0.2, abs=0.03)
    fried = load("fried")
    assert np.corrcoef(fried["x"][:, 3], fried["y"])[0, 1] > 0.3 > abs(np.corrcoef(fried["x"][:, 7], fried["y"])[0, 1])


def test_images_are_tables_of_pixels():
    images = np.random.default_rng(0).integers(0, 256, size=(5, 3, 4, 4), dtype=np.uint8)
    table = of_images(images, np.arange(5))
    assert table["x"].shape == (5, 48) and table["shape"].tolist() == [3, 4, 4]
    np.testing.assert_allclose(table["x"][2].reshape(3, 4, 4) * 255, images[2], atol=1e-3)


def test_what_openml_sends_becomes_numbers(monkeypatch):
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [1.0, None, 3, 4], "c": list("wxyz"), "d": [5, 6, 7, 8]})
    requests = []

    def fetch(**options):
        requests.append(options)
        return frame, pd.Series(["4", "4", "1", "2"], dtype="category")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    table = load("gas-drift")
    # Classes 1 and 4 alone, no row with a gap, no column of words.
    assert table["x"].tolist() == [[1, 1, 5], [3, 3, 7]] and table["y"].tolist() == [1, 0]
    assert requests[0]["data_id"] == 1476 and requests[0]["data_home"] == ROOT / "data" / "openml"
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: (csr_matrix(np.eye(2)), np.array([3.0, 1.0])))
    assert load("vehicle")["x"].tolist() == np.eye(2).tolist()


def test_without_a_network_the_error_names_the_way_out(monkeypatch):
    def fetch(**_):
        raise OSError("no route\nto host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(InputError, match=r"OpenML 722: can't be fetched \(no route\); connect to a network"):
        load("pol")
