"""The first sentence: right for nothing, something and less than nothing, and never a maximum alone."""

import numpy as np
import pandas as pd
import pytest

from memloc.scoring.verdict import corrected, holm, of_effect, of_layers


def layers(values, errors, *, column="excess", **more):
    values, half = np.asarray(values, dtype=float), 1.959964 * np.asarray(errors, dtype=float)
    table = pd.DataFrame({"layer": [f"l{i}" for i in range(len(values))], "units": 10, "signed": 3, column: values})
    table[f"{column}_low"], table[f"{column}_high"] = values - half, values + half
    table[f"{column}_holm"] = corrected(table, column)
    return table.assign(**more)


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, np.nan])) == pytest.approx([0.03, 0.06, 0.06, np.nan], nan_ok=True)
    assert holm(np.array([np.nan])).tolist() == pytest.approx([np.nan], nan_ok=True)
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]


def test_p_is_that_of_the_interval():
    # 1.96 errors: .05, of one layer; times two, of two.
    assert corrected(layers([1.959964], [1]), "excess")[0] == pytest.approx(0.05, abs=1e-6)
    assert corrected(layers([1.959964, 0], [1, 1]), "excess").tolist() == pytest.approx([0.1, 1], abs=1e-6)
    assert corrected(layers([0, 1, np.nan], [0, 0, 1]), "excess").tolist() == pytest.approx([1, 0, np.nan], nan_ok=True)


def test_nothing_is_called_nothing_even_if_a_layer_leaves_0_before_correction():
    found = of_layers(layers([0.022, 0.01, -0.01], [0.01] * 3), {"scored": 40, "external": 30})
    expected = "No layer's excess of UnitMem over external images differs from 0 (3 layers, corrected for their number)"
    assert found.headline == f"{expected}: UnitMem shows no memorization here."
    # Bonferroni's interval of three: 2.394 errors.
    assert found.more == (
        "Largest excess of UnitMem over external images: 0.022 in l0 (95 % interval \N{MINUS SIGN}0.0019 to 0.046; 7"
        " scored units; 40 scored, 30 external images; picked of 3 layers, so its interval is one for all of them"
        " together).",
    )


def test_a_layer_called_by_a_number_is_called_a_layer():
    found = of_layers(layers([0.022], [0.01]).assign(layer="0"), {"scored": 40})
    assert found.more[0].startswith("Largest excess of UnitMem over external images: 0.022 in layer 0 (")


def test_where_and_how_much():
    found = of_layers(layers([0.01, 0.05, 0.08, np.nan], [0.01] * 4), {"scored": 40})
    judged = "2 of 3 layers that have one, corrected for their number"
    assert found.headline == f"The excess of UnitMem over external images is above 0 in {judged}: l2, l1."
    assert "only if all groups of images are random parts" in found.more[-1] and found.largest.layer == "l2"
    assert found.record()["above"] == ["l2", "l1"] and found.record()["largest"]["units"] == 7


def test_less_than_nothing_is_a_sign_that_groups_differ():
    found = of_layers(layers([0.01, -0.05], [0.01] * 2), {"scored": 40})
    assert (
        "is above 0, and layer l1 lies below" in found.headline
        and "differ in more than what was seen" in found.headline
    )


def test_layermem_speaks_before_excess_and_both_are_told():
    table = layers([0.3, 0.01], [0.01] * 2, column="layermem_crossed")
    found = of_layers(pd.concat([table, layers([0, 0], [1, 1]).drop(columns=["layer", "units", "signed"])], axis=1), {})
    assert found.effect == "layermem_crossed" and "scored units" not in found.more[0]
    assert found.more[1].startswith("No layer's excess of UnitMem")
    # Beside a LayerMem that shows memorization, no sentence denies that there is any.
    assert found.more[1].endswith("UnitMem alone does not show it.")
    nothing = of_effect(layers([0.01], [0.01], column="layermem_crossed"), "layermem_crossed", {})
    assert nothing.headline.endswith("LayerMem shows no memorization here.")


def test_without_a_null_nothing_is_shown():
    table = layers([0.5], [0.01], column="unitmem")
    assert "add --external" in of_layers(table, {}).headline
    published = table.assign(layermem_published=0.3)
    assert "as published it is not 0" in of_layers(published, {}).headline
    assert "take --others mean" in of_layers(layers([0.5], [np.nan]), {}).headline


def test_ends_that_hold_for_all_layers_may_be_given():
    found = of_effect(layers([0.1, 0.2], [0.01] * 2), "excess", {}, (np.array([0.0, 0.1]), np.array([0.3, 0.4])))
    assert (found.largest.low, found.largest.high) == (0.1, 0.4)
