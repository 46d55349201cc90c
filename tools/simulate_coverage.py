"""How often intervals over pairs with crossed images miss the truth: `python tools/simulate_coverage.py`.

Prints, for the closed form of a mean and for the bootstrap of something that isn't one, the range over mixtures of
variances of how often the interval leaves out the truth.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np

from memloc.metrics.pairs import CrossedMean
from memloc.metrics.stats import bootstrap_means, crossed_error

IMAGES, RESAMPLES, LEVELS = 100, 400, (0.95, 0.99, 0.999)
PAIRS, RUNS, RUNS_OF_BOOTSTRAP = (3, 4, 6, 10, 16), 400_000, 1000
MIXTURES = (
    *((a / 4, b / 4, 1 - (a + b) / 4) for a in range(5) for b in range(5 - a)),
    *((0.05, 0, 0.95), (0, 0.05, 0.95), (0.05, 0.95, 0), (0.8, 0.2, 0)),
)
"""What pairs, images and the rest give to the variance of the mean."""
FEW = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0, 0.5), (0.5, 0.5, 0), (0, 0.25, 0.75))
"""Those that the bootstrap, which takes long, is tried on."""


def main() -> None:
    """A row for each number of pairs and kind of interval."""
    print("| pairs | interval | misses at 95 % | at 99 % | at 99.9 % |\n|---|---|---|---|---|")
    for pairs in PAIRS:
        for name, how, mixtures in (("closed form", closed, MIXTURES), ("bootstrap", resampled, FEW)):
            rates = np.array([how(pairs, mixture) for mixture in mixtures])
            told = [f"{100 * least:.2f} to {100 * most:.2f} %" for least, most in zip(*minmax(rates), strict=True)]
            print(f"| {pairs} | {name} | {' | '.join(told)} |", flush=True)


def minmax(rates):  # type: ignore[no-untyped-def]
    """Smallest and largest by level."""
    return rates.min(axis=0), rates.max(axis=0)


def closed(pairs: int, mixture: tuple[float, float, float]) -> list[float]:
    """Of a mean of normal values, whose mean squares are independent chi-squares."""
    rng = np.random.default_rng([1, pairs, *(round(100 * part) for part in mixture)])
    a, b, c = mixture
    freedom = (pairs - 1, IMAGES - 1, (pairs - 1) * (IMAGES - 1))
    squares = [v * rng.chisquare(f, RUNS) / f for v, f in zip((a + c, b + c, c), freedom, strict=True)]
    mean = CrossedMean(rng.normal(size=RUNS) * (a + b + c) ** 0.5, *crossed_error(*squares), pairs, IMAGES)
    return [missed(mean.interval(level)) for level in LEVELS]


def resampled(pairs: int, mixture: tuple[float, float, float]) -> list[float]:
    """Of a curved function of a mean; a column is a run."""
    rng = np.random.default_rng([2, pairs, *(round(100 * part) for part in mixture)])
    of_pairs, of_images, rest = (np.sqrt(part) for part in mixture)
    images = of_images * rng.normal(size=(IMAGES, RUNS_OF_BOOTSTRAP))
    samples = [
        {
            "x": images
            + of_pairs * (pairs / IMAGES) ** 0.5 * rng.normal(size=RUNS_OF_BOOTSTRAP)
            + rest * pairs**0.5 * rng.normal(size=images.shape)
        }
        for _ in range(pairs)
    ]
    same = [{"x": np.arange(IMAGES)}] * pairs
    estimate = bootstrap_means(samples, lambda m: np.sinh(3 * m["x"]), resamples=RESAMPLES, seed=0, images=same)
    return [missed(estimate.interval(level)) for level in LEVELS]


def missed(interval) -> float:  # type: ignore[no-untyped-def]
    """How often an interval leaves out the truth, which is 0."""
    low, high = interval
    return float(((low > 0) | (high < 0)).mean())


if __name__ == "__main__":
    main()
