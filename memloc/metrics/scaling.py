"""A power law of memorization: how LayerMem follows the number of images and of passes over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.metrics.stats import LEVEL

Floats = NDArray[np.floating]

STEPS = 500
"""Most steps of the fit. Data with a law take some tens."""
LOST = 100
"""Standard errors over what the law says of an encoder at which the fit is given up: it is on its way to 0."""


@dataclass(frozen=True)
class Fitted:
    """Values of a regression with standard errors of so many degrees of freedom; without any, nothing is known.

    Attributes:
        value, error, freedom: [...].
        seeds: number of pairs behind them.
    """

    value: NDArray[np.float64]
    error: NDArray[np.float64]
    freedom: NDArray[np.float64]
    seeds: int

    def __getitem__(self, index: Any) -> Fitted:
        """Some of the values."""
        return Fitted(self.value[index], self.error[index], self.freedom[index], self.seeds)

    @property
    def of_pairs(self) -> NDArray[np.float64]:
        """The share of the squared error that more pairs make smaller: all [...]."""
        return np.ones_like(self.value)

    def z(self) -> NDArray[np.float64]:
        """Value over standard error."""
        return np.asarray(self.value / self.error)

    def confidence(self) -> NDArray[np.float64]:
        """How sure it is that a value is above 0: the normal z of the same tail as t's; 0 where nothing is known."""
        from scipy.stats import norm, t

        z = self.z()
        return np.where(self.freedom > 0, np.sign(z) * norm.isf(t.sf(np.abs(z), np.maximum(self.freedom, 1))), 0.0)

    def interval(self, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Confidence interval: value -+ t error."""
        from scipy.stats import t

        q = np.where(self.freedom > 0, t.ppf((1 + level) / 2, np.maximum(self.freedom, 1)), np.inf)
        return self.value - q * self.error, self.value + q * self.error


@dataclass(frozen=True)
class Law:
    """LayerMem of n images a half and T passes is exp(a) n^-b T^c, times what tells one kind of encoder from another:

        y_k ~ N(mu_k, s_k^2 + (tau mu_k)^2),   log mu_k = a - b log n_k + c log T_k

    for encoder k with LayerMem y_k and its standard error s_k over pairs and images.

    Attributes:
        coefficients: (a, b, c).
        covariance: theirs, [3, 3].
        spread: tau, by how much encoders differ from the law beyond their errors, as a share of it.
        freedom: number of encoders less three.
        seeds: number of pairs.
    """

    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    spread: float
    freedom: int
    seeds: int

    def exponents(self) -> Fitted:
        """The exponents b and c, [2]."""
        error = np.sqrt(np.diagonal(self.covariance))[1:]
        return Fitted(self.coefficients[1:], error, np.full(2, float(self.freedom)), self.seeds)

    def logarithm(self, images: Floats, passes: Floats) -> Fitted:
        """The logarithm of LayerMem of a new kind of encoder, [...]: its interval is that of prediction."""
        x = _design(images, passes)
        variance = np.einsum("...i,ij,...j->...", x, self.covariance, x) + self.spread**2
        return Fitted(x @ self.coefficients, np.sqrt(variance), np.full(x.shape[:-1], float(self.freedom)), self.seeds)


def _design(images: Floats, passes: Floats) -> NDArray[np.float64]:
    n, t = np.broadcast_arrays(np.asarray(images, dtype=np.float64), np.asarray(passes, dtype=np.float64))
    return np.stack([np.ones(n.shape), -np.log(n), np.log(t)], axis=-1)


def fit(values: Floats, errors: Floats, images: Floats, passes: Floats, *, seeds: int = 0) -> Law | None:
    """The law of several encoders by iterated weighted least squares; None where they have none.

    In every step the residual spread is what makes the weighted squares of the residuals as large as their degrees of
    freedom (Paule and Mandel, 1982). LayerMem itself is fitted, not its logarithm, so that one that noise has put below
    0 counts as what it is. There is no law where encoders don't determine one, where the steps don't end, or where it
    puts an encoder's LayerMem below its standard error.

    Args:
        values, errors: [encoders] LayerMem and its standard error.
        images, passes: [encoders] images a half, and passes over them.
        seeds: number of pairs.
    """
    x = _design(images, passes)
    if np.linalg.matrix_rank(x - x.mean(axis=0)) < 2:
        return None
    eta, freedom = np.log(np.maximum(values, errors)), len(x) - x.shape[1]
    for _ in range(STEPS):
        mu = np.exp(eta)
        if (errors > LOST * mu).any():
            return None
        relative, work = np.maximum(errors / mu, 1e-4), eta + values / mu - 1
        squared = _spread(work, x, relative, freedom)
        beta, covariance = _least_squares(work, x, relative**2 + squared)
        step = x @ beta - eta
        eta = eta + np.clip(step / 2, -1, 1)  # Whole steps overshoot where a value is low.
        if np.abs(step).max() < 1e-9:
            known = bool((errors <= np.exp(eta)).all())
            return Law(beta, covariance, float(np.sqrt(squared)), freedom, seeds) if known else None
    return None


def _least_squares(y: Floats, x: Floats, variance: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weighted = x / variance[:, None]
    covariance = np.linalg.inv(x.T @ weighted)
    return np.asarray(covariance @ weighted.T @ y), np.asarray(covariance)


def _spread(y: Floats, x: Floats, errors: Floats, freedom: int) -> float:
    """tau^2 at which sum_k r_k^2 / (s_k^2 + tau^2) is the degrees of freedom; 0 where it is less without any."""
    from scipy.optimize import brentq

    def excess(squared: float) -> float:
        variance = errors**2 + squared
        beta, _ = _least_squares(y, x, variance)
        return float(((y - x @ beta) ** 2 / variance).sum()) - freedom

    if freedom < 1 or excess(0.0) <= 0:
        return 0.0
    most = 1.0
    while excess(most) > 0:
        most *= 4
    return float(brentq(excess, 0.0, most))


def left_out(values: Floats, errors: Floats, images: Floats, passes: Floats, *, seeds: int = 0) -> Fitted:
    """How far the law of all other numbers of images is off: log of LayerMem over the forecast, [encoders].

    Its error is that of measuring LayerMem and of the law's coefficients. Where the others have no law, nothing is
    known.
    """
    value, error, freedom = np.zeros(len(values)), np.full(len(values), np.inf), np.zeros(len(values))
    for size in np.unique(images):
        here = images == size
        law = fit(values[~here], errors[~here], images[~here], passes[~here])
        if law is None:
            continue
        found, x = np.maximum(values[here], errors[here]), _design(images[here], passes[here])
        known = np.einsum("ki,ij,kj->k", x, law.covariance, x)
        value[here] = np.log(found) - x @ law.coefficients
        error[here] = np.sqrt((errors[here] / found) ** 2 + known)
        freedom[here] = law.freedom
    return Fitted(value, error, freedom, seeds)
