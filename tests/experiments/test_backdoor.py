"""Where a trigger stands within poisoned images, on planted outcomes of trials."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.builders.planted import trial
from tests.builders.study import Study, by_claim

OTHERS = ["z-score", "random"]
OPTIONS = {"ratios": [0.25, 0.5], "grids": [8, 4]}


def study(folder, *, pixels, patches, tables=("digits-8x8",), seeds=5):
    """Scores (AUROC, hits, tops) of w = 0 at the first ratio; the others are at chance."""
    kept = Study(folder, "backdoor")
    for table in tables:
        for seed in range(seeds):
            rng = np.random.default_rng([8, seed])
            scores = np.full((3, 2, 6), 0.5) + 0.002 * rng.normal(size=(3, 2, 6))
            scores[:, 0, 0] += np.array(pixels) - 0.5
            scores[:, 1, 0] += np.array(patches) - 0.5
            maps = {"map8": rng.random((3, 8, 8)), "map4": rng.random((3, 4, 4)), "image": rng.random((8, 8))}
            arrays = dict(zip(("areas", "hits", "tops"), scores, strict=True))
            kept.add(table, seed, outcomes=trial(OTHERS, **arrays, **maps))
    return kept


def world(folder, seeds=3):
    """A study in which every claim has a finding."""
    return study(folder, pixels=(0.9, 0.9, 0.9), patches=(0.9, 0.9, 0.9), seeds=seeds)


@pytest.mark.parametrize(("pixels", "patches", "said"), [
    ((0.98, 0.9, 0.9), (1.0, 0.99, 0.99), {"area": "supported", "hits": "supported", "top": "supported",
                                           "top-digits": "supported"}),
    ((0.9, 0.7, 0.9), (1.0, 0.9, 0.9), {"area": "refuted", "hits": "refuted", "top": "supported",
                                        "top-digits": "refuted"}),
    ((0.6, 0.1, 0.1), (0.6, 0.1, 0.1), {"area": "refuted", "hits": "refuted", "top": "refuted",
                                        "top-digits": "refuted"}),
])  # fmt: skip
def test_planted_triggers_come_out(tmp_path, pixels, patches, said):
    table, rows = study(tmp_path, pixels=pixels, patches=patches).analyse(**OPTIONS)
    assert rows.set_index("claim")["verdict"].to_dict() == {f"backdoor.{k}": v for k, v in said.items()}
    assert by_claim(rows, "backdoor.area")["effect"].item() == pytest.approx(pixels[0] - 0.95, abs=0.005)
    assert by_claim(rows, "backdoor.top-digits")["effect"].item() == pytest.approx(patches[2] - 0.95, abs=0.005)
    mine = table[(table["series"] == "AUROC") & (table["grid"] == 8) & (table["method"] == "2D-OOB, w = 0")]
    assert mine["value"].tolist() == pytest.approx([pixels[0], 0.5], abs=0.005)


def test_maps_in_the_table_are_the_first_seed_s(tmp_path):
    kept = study(tmp_path, pixels=(0.9, 0.9, 0.9), patches=(0.9, 0.9, 0.9))
    table, _ = kept.analyse(**OPTIONS)
    rng = np.random.default_rng([8, 0])
    rng.normal(size=(3, 2, 6))
    expected = rng.random((3, 8, 8))
    drawn = table[(table["series"] == "mean, poisoned") & (table["grid"] == 8)]
    np.testing.assert_allclose(drawn.sort_values(["row", "column"])["value"], expected[1].ravel())


def test_other_tables_have_their_own_claims_and_rows_of_the_figure(tmp_path):
    kept = study(tmp_path, pixels=(0.9, 0.9, 0.9), patches=(0.9, 0.9, 0.9), tables=("digits-8x8", "shoes"), seeds=2)
    table, rows = kept.analyse(**OPTIONS)
    assert set(by_claim(rows, "backdoor.top").index) == {
        "digits-8x8, 4 x 4 cells, ratio 0.25",
        "shoes, 4 x 4 cells, ratio 0.25",
    }
    assert len(by_claim(rows, "backdoor.top-digits")) == 1
    figure = kept.drawn(table)
    # Four rows of an image and three maps, which share a bar of colours; three panels of scores.
    assert len(figure.axes) == 4 * (1 + 3) + 1 + 3
    plt.close(figure)
