"""UnitMem against ClassMem: planted images and classes come out."""

import numpy as np
import pytest

from memloc.experiments.ssl_vs_supervised.analysis import SHARE
from tests.builders.planted import UNITS, unit_files
from tests.builders.study import Study, of, single, verdicts

OPTIONS = {}
SSL = {"unitmem": [0.6, 0.6, 0.6, 0.6], "classmem": [0.2, 0.2, 0.2, 0.2], "classmem_shuffled": [0.15] * 4}
SUPERVISED = {"unitmem": [0.5, 0.5, 0.45, 0.4], "classmem": [0.2, 0.4, 0.5, 0.7], "classmem_shuffled": [0.15] * 4}
UNTRAINED = {
    "simclr": {"unitmem": [0.5] * 4, "classmem": [0.3] * 4, "classmem_shuffled": [0.15] * 4},
    "supervised": {"unitmem": [0.45] * 4, "classmem": [0.3] * 4, "classmem_shuffled": [0.15] * 4},
}


def world(folder, seeds=3, *, first=SSL, second=SUPERVISED):
    it = Study(folder, "ssl_vs_supervised")
    for name, trained in (("simclr", first), ("supervised", second)):
        for seed in range(seeds):
            files = {}
            for prefix, means, start in (("", trained, 0), ("untrained_", UNTRAINED[name], 50)):
                # Classes of the images trained on stand out more than those of others: under supervision, not else.
                extra = {"classmem": 0.1 if means is SUPERVISED else -0.1}
                planted = {}
                for metric, values in means.items():
                    unseen = [value - extra.get(metric, 0) for value in values]
                    planted[metric] = {"candidate": values, "independent": unseen, "external": unseen}
                units, resamples = unit_files(planted, seed=start + seed + 10 * (name == "simclr"))
                files |= {f"{prefix}units": units, f"{prefix}resamples": resamples}
            it.add(name, seed, **files)
    return it


def test_planted_images_and_classes_come_out(tmp_path):
    table, rows = world(tmp_path).analyse()
    for name, means in (("simclr", SSL), ("supervised", SUPERVISED)):
        series = {
            "UnitMem": means["unitmem"],
            "ClassMem": means["classmem"],
            "ClassMem, shuffled labels": means["classmem_shuffled"],
            "UnitMem, untrained": UNTRAINED[name]["unitmem"],
            "ClassMem, untrained": UNTRAINED[name]["classmem"],
        }
        for label, values in series.items():
            np.testing.assert_allclose(of(table, label, name), values, err_msg=label)
        units = table[(table["series"] == "unit") & (table["encoder"] == name)]
        assert set(units["layer"]) == {"1", "4"} and len(units) == 3 * 2 * UNITS
    np.testing.assert_allclose(of(table, SHARE, "simclr"), 1)
    said = verdicts(rows)
    # Four layers are in order by chance once in 24 times.
    assert set(said.values()) == {"supported"}
    effects = {"ssl-images": 0.4, "supervised-classes": 0.3, "classes-rise": 1, "interaction": 0.7}
    effects |= {"interaction-depth": 0.6, "beyond-sampling": 0.5, "ssl-training": 0.2, "supervised-training": 0.45}
    effects |= {"supervised-excess": 0.1, "excess-interaction": 0.2}
    # All units of one are above the diagonal, none of the other's last layer.
    effects |= {"ssl-share": 0.5, "supervised-share": 0.5}
    assert single(rows)["effect"].to_dict() == pytest.approx(effects)


def test_exchanged_encoders_refute(tmp_path):
    said = verdicts(world(tmp_path, first=SUPERVISED, second=SSL).analyse()[1])
    assert said.pop("classes-rise") == "inconclusive" and set(said.values()) == {"refuted"}
