"""Score files with a planted LayerMem profile, for the experiments that compare encoders."""

import numpy as np
import pandas as pd

from memloc.measuring.units import METRICS, layer_metrics

LAYERS = ("1", "2", "3", "4")
PLACES = ("1", "2", "res2", "3", "4")
POINTS = 50
SIGNS = {"candidate": 1, "independent": -1, "external": 0}
OFFSET = 0.2


def points(profile, *, noise=0.0, traits=None, offset=OFFSET, split=0, draw=0):
    """SSLMem with a crossed profile planted by layer: above an offset on candidates, below it on independent points.

    Args:
        noise: of every score.
        traits: what a point has in every layer, [POINTS].
        split: numbers the points.
        draw: which noise it is.
    """
    profile = np.asarray(profile, dtype=np.float64)
    true = np.insert(profile, 2, profile[1])
    rng = np.random.default_rng([13, split, draw])
    tables = []
    for g, (group, sign) in enumerate(SIGNS.items()):
        scores = offset + sign * true + noise * rng.normal(size=(POINTS, len(PLACES)))
        if traits is not None:
            scores += np.asarray(traits)[:, None]
        tables.append(
            pd.DataFrame(
                {
                    "point": np.repeat(1000 * split + 100 * g + np.arange(POINTS), len(PLACES)),
                    "group": group,
                    "layer": [*PLACES] * POINTS,
                    "own": [name.isdigit() for name in PLACES] * POINTS,
                    "sslmem": scores.ravel(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


UNITS = 40
RESAMPLES = 120
"""As many as an analysis of these files must ask for."""


def unit_files(means, *, seed, layers=LAYERS, spread=0.1):
    """Table and replicates of units whose layer means are planted: {metric: {group: [layers]}}.

    Replicates are biased low, as those of a maximum over resampled points are, and three times as noisy where they
    are of the 90th percentile.
    """
    rng = np.random.default_rng([8, seed])
    shape = np.linspace(-1, 1, UNITS) * spread
    tables = []
    for group in SIGNS:
        for k, layer in enumerate(layers):
            values = {metric: of[group][k] + rng.permutation(shape) for metric, of in means.items()}
            about = {"layer": layer, "unit": np.arange(UNITS), "group": group}
            tables.append(pd.DataFrame({**about, **values, "owner": rng.integers(POINTS, size=UNITS)}))
    table = pd.concat(tables, ignore_index=True)
    of_groups = [[layer_metrics(table[table["group"] == g], m)[list(layers)] for m in METRICS] for g in SIGNS]
    true = np.moveaxis(np.array(of_groups), -1, 0)
    noise = 0.005 * rng.normal(size=(RESAMPLES, *true.shape))
    noise[..., METRICS.index("unitmem_top")] *= 3
    drawn = {
        "layers": np.array(layers),
        "groups": np.array(list(SIGNS)),
        "size": np.array(UNITS),
        "means": true - 0.1 + noise,
        "dealt": 0.002 * rng.normal(size=(200, len(layers))),
    }
    return table, drawn


TRIED = [(f"2D-OOB, w = {w}", ratio) for ratio in (0.25, 0.5) for w in (0, 1)]
"""Methods and ratios with which every trial of valuation begins."""


def trial(baselines, **arrays):
    """Outcomes of a trial: those of 2D-OOB come first, then the named baselines'."""
    methods = [*TRIED, *((name, 0.0) for name in baselines)]
    names = {"methods": np.array([m for m, _ in methods]), "ratios": np.array([r for _, r in methods], dtype=float)}
    return names | {key: np.asarray(value, dtype=np.float64) for key, value in arrays.items()} | {"rows": np.array(99)}
