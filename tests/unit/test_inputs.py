import numpy as np
import pytest

from memloc.errors import InputError
from memloc.experiments.inputs import Inputs
from memloc.io import save_arrays


def test_arrays_that_are_not_finite_are_told_by_file_and_name(tmp_path):
    path = tmp_path / "seed0.npz"
    inputs = Inputs([("simclr", 0)], {"f": [str(path)]})
    save_arrays({"losses": np.array([0.5, 1.0]), "points": np.arange(2), "groups": np.array(["a", "b"])}, path)
    (held,) = inputs.arrays("f", "simclr")
    assert held["losses"].tolist() == [0.5, 1.0]
    save_arrays(held | {"losses": np.array([0.5, np.nan])}, path)
    with pytest.raises(InputError, match=r"seed0\.npz: losses isn't finite; delete it and run snakemake again"):
        inputs.arrays("f", "simclr")


def test_an_array_that_is_missing_is_told_by_file_and_name(tmp_path):
    path = tmp_path / "seed0.npz"
    save_arrays({"points": np.arange(2)}, path)
    (held,) = Inputs([("simclr", 0)], {"f": [str(path)]}).arrays("f", "simclr")
    with pytest.raises(InputError, match=r"seed0\.npz: holds no losses; delete it and run snakemake again"):
        held["losses"]
