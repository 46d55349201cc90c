"""Means over the units of each layer, and the null of their excess."""

import numpy as np
import pytest

from memloc.analysis.inputs import Inputs
from memloc.analysis.units import UnitMeans
from tests.builders.planted import LAYERS, unit_files
from tests.builders.study import Study

GROUPS = ("candidate", "independent", "external")


@pytest.fixture
def inputs(tmp_path):
    """Files of two seeds; what is resampled of the untrained encoder varies ten times as much as of f."""
    it = Study(tmp_path, "unitmem")
    planted = {name: dict.fromkeys(GROUPS, [0.5] * 4) for name in ("unitmem", "classmem", "classmem_shuffled")}
    for seed in range(2):
        (units, drawn), (before, before_drawn) = (unit_files(planted, seed=s) for s in (seed, 50 + seed))
        drawn["dealt"] = np.full((200, len(LAYERS)), 0.1 + 0.2 * seed)
        centre = before_drawn["means"].mean(axis=0)
        before_drawn["means"] = centre + 10 * (before_drawn["means"] - centre)
        files = {"untrained_units": before, "untrained_resamples": before_drawn}
        it.add("simclr", seed, units=units, resamples=drawn, **files)
    return Inputs(it.runs, it.files, it.about)


def test_the_null_of_the_excess_is_averaged_over_seeds(inputs):
    np.testing.assert_allclose(UnitMeans(inputs, "simclr").chance(), np.full((200, len(LAYERS)), 0.2))


def test_intervals_are_of_the_encoders_own_resamples(inputs):
    spread = [UnitMeans(inputs, "simclr", trained=trained).mean("candidate").spread()[0] for trained in (True, False)]
    # A standard deviation of .005 in each of two seeds, and ten times that.
    np.testing.assert_allclose(spread[0], 0.005 / 2**0.5, rtol=0.4)
    np.testing.assert_allclose(spread[1], 0.05 / 2**0.5, rtol=0.4)


def test_both_encoders_of_a_pair_count_and_each_has_its_own_half(tmp_path):
    """F's units have .7 on its half and .6 on the other, g's .5 on f's half and .8 on its own."""
    it = Study(tmp_path, "unitmem")
    flat = {name: dict.fromkeys(GROUPS, [0.5] * 4) for name in ("classmem", "classmem_shuffled")}
    levels = {"f": (0.7, 0.6), "g": (0.5, 0.8)}
    planted = {r: dict(zip(GROUPS, ([a] * 4, [b] * 4, [0.3] * 4), strict=True)) for r, (a, b) in levels.items()}
    for seed in range(3):
        files = {role: unit_files(flat | {"unitmem": planted[role]}, seed=seed) for role in levels}
        before = dict(zip(("untrained_units", "untrained_resamples"), files["f"], strict=True))
        of_g = dict(zip(("units", "resamples"), files["g"], strict=True))
        it.add("simclr", seed, units=files["f"][0], resamples=files["f"][1], of_g=of_g, **before)
    units = UnitMeans(Inputs(it.runs, it.files, it.about, it.roles), "simclr")
    np.testing.assert_allclose(units.mean("candidate").value, [(0.7 + 0.8) / 2] * 4, atol=0.02)
    np.testing.assert_allclose(units.excess().value, [(0.1 + 0.3) / 2] * 4, atol=0.02)
    assert units.excess().seeds == 3
    apart = UnitMeans(Inputs(it.runs, it.files, it.about, it.roles), "simclr", trained=False)
    np.testing.assert_allclose(apart.mean("candidate").value, [0.7] * 4, atol=0.02)
