"""UnitMem by layer with its nulls: planted means and excesses come out."""

import numpy as np
import pytest

from tests.builders.planted import UNITS, unit_files
from tests.builders.study import Study, of, single, verdicts

OPTIONS = {"threshold": 0.5}
HIGH = np.quantile(np.linspace(-0.1, 0.1, UNITS), 0.9)
CANDIDATE, EXTERNAL, INDEPENDENT = [0.6, 0.65, 0.7, 0.75], [0.55, 0.55, 0.55, 0.5], [0.45, 0.45, 0.45, 0.5]


def everywhere(values):
    return dict.fromkeys(("candidate", "independent", "external"), values)


def world(folder, seeds=3, *, candidate=CANDIDATE, external=EXTERNAL, independent=None, untrained=0.4, **replaced):
    """Planted UnitMem by layer.

    Args:
        independent: as external if candidates are planted and these are not.
        replaced: arrays of the resamples.
    """
    if independent is None:
        independent = INDEPENDENT if external is EXTERNAL else external
    it = Study(folder, "unitmem")
    rest = {"classmem": everywhere([0.3] * 4), "classmem_shuffled": everywhere([0.2] * 4)}
    for seed in range(seeds):
        profiles = {"candidate": candidate, "independent": independent, "external": external}
        units, resamples = unit_files({"unitmem": profiles, **rest}, seed=seed)
        before, drawn = unit_files({"unitmem": everywhere([untrained] * 4), **rest}, seed=50 + seed)
        files = {"untrained_units": before, "untrained_resamples": drawn}
        it.add("simclr", seed, units=units, resamples=resamples | replaced, **files)
    return it


def test_planted_unitmem_and_its_excess_come_out(tmp_path):
    table, rows = world(tmp_path).analyse(**OPTIONS)
    planted = {
        "candidate": CANDIDATE,
        "unseen": [0.5] * 4,
        "external": EXTERNAL,
        "untrained": [0.4] * 4,
        # Above the mean of external and independent images.
        "excess": [0.1, 0.15, 0.2, 0.25],
        "90th percentile minus threshold": np.array(CANDIDATE) + HIGH - 0.5,
    }
    for name, values in planted.items():
        np.testing.assert_allclose(of(table, name, "simclr"), values, err_msg=name)
    assert (table["series"] == "unit").sum() == 3 * 4 * UNITS
    said = verdicts(rows)
    # Groups dealt at random rise as well where four layers can: once in 24 times.
    assert said.pop("excess-rises") == "inconclusive" and set(said.values()) == {"supported"}
    effects = {"excess": 0.175, "excess-last": 0.25, "excess-rises": 1, "rises": 1, "trained": 0.275}
    assert single(rows)["effect"][[*effects]].tolist() == pytest.approx([*effects.values()])


def test_intervals_come_from_resampled_points(tmp_path):
    table, rows = world(tmp_path, candidate=[0.7] * 4, external=[0.5] * 4).analyse(**OPTIONS)
    # Resamples of one seed's layer have 0.005, of its 90th percentile three times as much; three seeds share it.
    half = 1.96 * 0.005 / 3**0.5
    for name, expected in (
        ("candidate", half),
        ("90th percentile minus threshold", 3 * half),
        ("excess", half * 1.5**0.5),
    ):
        width = (of(table, name, "simclr", "high") - of(table, name, "simclr", "low")) / 2
        assert width.mean() == pytest.approx(expected, rel=0.3), name
    weakest = single(rows).loc["everywhere"]
    assert (weakest["high"] - weakest["low"]) / 2 == pytest.approx(3 * half, rel=0.5)


def test_units_that_answer_to_external_images_alike_show_no_excess(tmp_path):
    falling = [0.7, 0.7, 0.6, 0.5]
    _, rows = world(tmp_path, candidate=falling, external=falling, untrained=0.9).analyse(threshold=0.95)
    said = verdicts(rows)
    assert said["excess"] == said["excess-last"] == said["excess-rises"] == "inconclusive"
    assert said["trained"] == said["everywhere"] == said["rises"] == "refuted"


def test_an_excess_that_random_groups_have_too_is_inconclusive(tmp_path):
    wide = np.random.default_rng(0).normal(scale=0.5, size=(500, 4))
    _, rows = world(tmp_path, external=[0.5] * 4, dealt=wide).analyse(**OPTIONS)
    excess = single(rows).loc[["excess", "excess-last"]]
    assert (excess["low"] > 0).all() and (excess["p"] > 0.05).all() and (excess["verdict"] == "inconclusive").all()
