"""The law of images and passes: planted exponents come out, with intervals and forecasts that hold the truth."""

import numpy as np
import pytest

from memloc.metrics.scaling import Fitted, fit, left_out

IMAGES = np.array([50, 50, 100, 100, 100, 200, 400, 400, 800, 1600])
PASSES = np.array([250, 1000, 125, 250, 500, 250, 125, 250, 125, 125])
TRUE = np.array([-6.0, 0.35, 0.65])


def planted(images=IMAGES, passes=PASSES, coefficients=TRUE):
    a, b, c = coefficients
    return np.exp(a) * images**-b * passes**c


def test_a_law_without_noise_is_found_and_forecasts():
    law = fit(planted(), 0.01 * planted(), IMAGES, PASSES, seeds=7)
    assert law.coefficients == pytest.approx(TRUE, abs=1e-6) and law.spread == 0 and law.exponents().seeds == 7
    ahead = law.logarithm(np.array(45000.0), np.array(600.0))
    assert ahead.value == pytest.approx(-6 - 0.35 * np.log(45000) + 0.65 * np.log(600))
    # Every size is forecast by the others.
    assert left_out(planted(), 0.01 * planted(), IMAGES, PASSES).value == pytest.approx(0, abs=1e-6)


def test_errors_alone_give_the_covariance_of_weighted_least_squares():
    values, errors = planted(), planted() * np.linspace(0.05, 0.2, len(IMAGES))
    x = np.stack([np.ones(len(IMAGES)), -np.log(IMAGES), np.log(PASSES)], axis=1)
    literal = np.linalg.inv(sum(np.outer(row, row) / e**2 for row, e in zip(x, errors / values, strict=True)))
    assert fit(values, errors, IMAGES, PASSES).covariance == pytest.approx(literal)


def test_intervals_and_predictions_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(4)
    held = []
    for _ in range(200):
        # Encoders differ from the law by a tenth, and each is measured with an error of its own.
        errors = planted() * 0.1
        values = planted() * (1 + 0.1 * rng.normal(size=len(IMAGES))) + errors * rng.normal(size=len(IMAGES))
        law = fit(values, errors, IMAGES, PASSES)
        low, high = law.exponents().interval()
        below, above = law.logarithm(np.array(6400.0), np.array(125.0)).interval()
        new = np.log(planted(6400.0, 125.0)) + 0.1 * rng.normal()
        held.append([*((low < TRUE[1:]) & (high > TRUE[1:])), below < new < above])
    assert (np.mean(held, axis=0) > 0.92).all() and (np.mean(held, axis=0) < 0.995).all()


def test_a_value_below_zero_counts_as_noise_and_nothing_has_no_law():
    values, errors = planted(), 0.1 * planted()
    errors[-1] = 0.8 * planted()[-1]
    values[-1] = -0.1 * planted()[-1]
    assert fit(values, errors, IMAGES, PASSES).coefficients == pytest.approx(TRUE, abs=0.15)
    rng = np.random.default_rng(5)
    assert all(fit(0.01 * rng.normal(size=10), np.full(10, 0.01), IMAGES, PASSES) is None for _ in range(10))


def test_what_does_not_determine_a_law_has_none():
    together = np.array([50.0, 100.0, 200.0, 400.0])
    assert fit(planted(together, together), 0.1 * planted(together, together), together, together) is None
    # With as many encoders as coefficients, nothing is known of how sure they are.
    three = [0, 1, 2]
    law = fit(planted()[three], 0.1 * planted()[three], IMAGES[three], PASSES[three])
    assert law.coefficients == pytest.approx(TRUE) and np.isinf(law.exponents().interval()[0]).all()
    off = left_out(planted()[three], 0.1 * planted()[three], IMAGES[three], PASSES[three])
    assert np.isinf(off.error).all()


def test_the_law_without_a_size_misses_one_that_departs_from_it():
    values = planted()
    values[-1] *= 3
    off = left_out(values, 0.05 * values, IMAGES, PASSES)
    assert off.value[-1] == pytest.approx(np.log(3)) and off.interval()[0][-1] > np.log(1.5)


def test_an_interval_is_that_of_t():
    low, high = Fitted(np.array([1.0]), np.array([0.5]), np.array([4.0]), 3).interval()
    assert (low[0], high[0]) == pytest.approx((1 - 2.776445 * 0.5, 1 + 2.776445 * 0.5))
