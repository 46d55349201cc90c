"""Probes: the closed form against scikit-learn, sketches, controls, and a place that a connector drops."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from memloc.charts import ask, locate, states
from memloc.charts.models import build, open_model
from memloc.charts.probes import POINTED, STRENGTHS, kernel, pointed, predict, probed, sketch
from tests.charts.conftest import SHAPE


def rows(n, classes=4, width=30, noise=0.6, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(classes, width))
    labels = rng.integers(classes, size=n)
    return (centres[labels] + noise * rng.normal(size=(n, width))).astype(np.float32), labels


def test_a_probe_is_the_ridge_regression_with_the_least_error_on_rows_left_out():
    (x, y), (new, _) = rows(25, noise=1.5), rows(40, noise=1.5, seed=1)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    a, b, target = (x - mean) / spread, (new - mean) / spread, np.eye(4)[y]
    scale = np.linalg.eigvalsh(a @ a.T).clip(0).mean()
    # Each row left out in turn, literally; the mean of the others' features is not theirs alone, so it is fitted anew.
    errors = []
    for strength in STRENGTHS * scale:
        left = [
            Ridge(strength).fit(np.delete(a, i, 0), np.delete(target, i, 0)).predict(a[i : i + 1])[0] for i in range(25)
        ]
        errors.append(((target - left) ** 2).mean())
    expected = Ridge(STRENGTHS[int(np.argmin(errors))] * scale).fit(a, target).predict(b).argmax(axis=1)
    assert (predict(kernel(x, new), y) == expected).all()


def test_a_probe_reads_what_is_there_and_its_control_does_not():
    (x, y), (new, true) = rows(200), rows(200, seed=1)
    found = probed(kernel(x, new), [y, y[::-1].copy() * 0 + y], [true, true], seed=0, names=("it",))
    assert found.right.mean() > 0.95 and found.control.mean() == pytest.approx(1 / 4, abs=0.1)
    again = probed(kernel(x, new), [y], [true], seed=0, names=("it",))
    assert (again.control == probed(kernel(x, new), [y], [true], seed=0, names=("it",)).control).all()
    # Numbers that never vary in training say nothing, whatever they are elsewhere.
    wide, odd = np.pad(x, ((0, 0), (0, 1))), np.pad(new, ((0, 0), (0, 1)), constant_values=1e6)
    assert (predict(kernel(wide, odd), y) == predict(kernel(x, new), y)).all()


def test_a_probe_of_single_tokens_points_at_a_mark_among_others_also_where_none_was():
    rng, cells = np.random.default_rng(0), np.array([-1, *range(9)])
    kinds = rng.normal(size=(3, 6))

    def charts(n, places):
        tokens, at = rng.normal(scale=0.1, size=(n, 10, 6)), rng.choice(places, n)
        for row, cell in zip(tokens, at, strict=True):
            others = rng.permutation([c for c in range(9) if c != cell])[:2]
            row[1 + np.array([cell, *others])] += kinds
        return tokens.astype(np.float32), at

    (x, at), (new, true) = charts(80, range(7)), charts(60, range(9))
    found = pointed(x, at, new, true, cells, seed=0, kind="it")
    assert found.right.all() and (true >= 7).any()
    # What learned cells at random points at none in particular: at one of nine, or of three that stand out.
    assert 0.05 < found.control.mean() < 0.4
    mean, spread = (getattr(x[:, 1:], name)(axis=(0, 1)) for name in ("mean", "std"))
    a, b = ((tokens[:, 1:] - mean) / spread for tokens in (x, new))
    shown = (cells[1:] == at[:, None]).astype(float)
    slow = Ridge(POINTED * 80 * 9, fit_intercept=False).fit(a.reshape(-1, 6), shown.ravel())
    assert (found.read[0] == (b @ slow.coef_).argmax(axis=1)).all()


def test_a_sketch_keeps_inner_products_and_short_states():
    x = np.random.default_rng(0).normal(size=(20, 50, 40)).astype(np.float32)
    assert (sketch(x, width=2000) == x.reshape(20, -1)).all()
    small = sketch(x, width=500)
    true, seen = (one @ one.T for one in (x.reshape(20, -1), small))
    assert small.shape == (20, 500) and np.abs(seen - true).max() < 0.25 * np.diag(true).mean()
    assert sketch(x[:0], width=500).shape == (0, 500)
    # Linear in the states.
    assert sketch(x[:1] + 2 * x[1:2], width=500) == pytest.approx(small[:1] + 2 * small[1:2], abs=1e-3)


def test_a_place_that_the_connector_drops_is_read_before_it_and_not_behind(single, tmp_path):
    model, processor = build.build(build.texts(single, single.items), SHAPE, seed=3)
    for parameter in model.model.multi_modal_projector.linear_1.parameters():
        parameter.data.zero_()
    build.save(model, processor, tmp_path / "model")
    opened = open_model(tmp_path / "model")
    items = single.choose(tasks=["position"])
    tested = [item for item in items if item["split"] == "test"]
    predictions = locate.probe(
        opened, single, items, states.read(opened, single, items, "free", work=tmp_path, batch=32), seed=0
    )
    told = locate.own_answers(single, tested, ask.answers(opened, single, tested, ["free"]))
    found = locate.accuracies(predictions, told)
    whole = found[found["n"].isna() & found["held_out"].isna() & found["answered"].isna()]
    flat = whole[whole["representation"].eq("flattened") & whole["target"].eq("position")].set_index("stage")
    assert (flat.loc[["patch embedding", "tower 1", "tower 2"], "accuracy"] >= 0.95).all()
    assert (flat.loc[["connector", "decoder input", "decoder 2"], "accuracy"] <= 0.4).all()
    assert (flat["control"] <= 0.4).all()
    pointing = whole[whole["representation"].eq("single tokens")].set_index("stage")["accuracy"]
    assert (pointing[["patch embedding", "tower 1", "tower 2"]] >= 0.95).all() and pointing["connector"] <= 0.4
    # All is lost from the tower to the connector, also where the answer is wrong.
    drops = locate.drops(predictions, told)
    step = drops[drops["after"].eq("connector") & drops["representation"].eq("flattened")]
    assert (
        {*step["answered"].fillna(True)} == {True, False}
        and (step["change"] <= -0.5).all()
        and (step["high"] < 0).all()
    )
