"""Score files with a planted LayerMem profile, for the experiments that compare encoders."""

import numpy as np
import pandas as pd

from memloc.measuring.units import METRICS, layer_metrics

LAYERS = ("1", "2", "3", "4")
PLACES = ("1", "2", "res2", "3", "4")
POINTS = 50
SIGNS = {"candidate": 1, "independent": -1, "external": 0}
OFFSET = 0.2


def score_table(scores, places, *, split=0):
    """Scores of points, a row for each point and place.

    Args:
        scores: by group, SSLMem [n, places], or several scores of that shape by column.
        places: by name, what else is known of them (own, kind, parameters).
        split: numbers the points.
    """
    tables = []
    for g, (group, columns) in enumerate(scores.items()):
        columns = columns if isinstance(columns, dict) else {"sslmem": columns}
        n = len(next(iter(columns.values())))
        first = 1000 * split + g * max(100, n)
        about = {
            "point": np.repeat(first + np.arange(n), len(places)),
            "group": group,
            "label": 0,
            "layer": [*places] * n,
        }
        for key in next(iter(places.values())):
            about[key] = [of[key] for of in places.values()] * n
        tables.append(pd.DataFrame(about | {column: values.ravel() for column, values in columns.items()}))
    return pd.concat(tables, ignore_index=True)


def places_of(names):
    """Places by name; residual sums, called res..., are no layers proper."""
    return {name: {"own": not name.startswith("res")} for name in names}


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
    shared = 0 if traits is None else np.asarray(traits)[:, None]
    scores = {
        group: offset + sign * true + noise * rng.normal(size=(POINTS, len(PLACES))) + shared
        for group, sign in SIGNS.items()
    }
    return score_table(scores, places_of(PLACES), split=split)


UNITS = 40
RESAMPLES = 120
"""As many as an analysis of these files must ask for."""


def unit_files(means, *, seed, layers=LAYERS, spread=0.1):
    """Table and resamples of units whose layer means are planted: {metric: {group: [layers]}}.

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
