"""Random measures of one encoder on groups of points, as a measures file holds them."""

import numpy as np

LAYERS = ["1", "res2", "2"]
OWN = [True, False, True]
KINDS = ["convolution", "sum", "fully-connected"]
PARAMETERS = [40, 0, 7]
UNITS = {"1": 3, "2": 5}
SIZES = {"shared": 7, "candidate": 12, "independent": 12, "external": 12}
THREE_CLASSES = np.arange(43) % 3


def random_measures(sizes=SIZES, *, seed=0, labels=None):
    """Measures of groups of these sizes."""
    rng = np.random.default_rng(seed)
    n = sum(sizes.values())
    arrays = {
        "points": rng.permutation(1000)[:n],
        "groups": np.repeat(list(sizes), list(sizes.values())),
        "labels": rng.integers(3, size=n) if labels is None else labels,
        "layers": np.array(LAYERS),
        "own": np.array(OWN),
        "kinds": np.array(KINDS),
        "parameters": np.array(PARAMETERS),
        "alignment": rng.random((n, 3, 2)).astype(np.float32),
        "features": rng.normal(size=(n, 4)).astype(np.float32),
    }
    for name, units in UNITS.items():
        arrays[f"views/{name}"] = rng.random((n, 2, units)).astype(np.float32)
        arrays[f"plain/{name}"] = rng.random((n, units)).astype(np.float32)
    return arrays


def uneven_measures():
    """Measures of 30, 12 and 30 points, of which the first of each group excites unit 0 of layer 1 twice as much."""
    arrays = random_measures({"candidate": 30, "independent": 12, "external": 30})
    arrays["views/1"][:] = 0.5
    arrays["views/1"][[0, 30, 42], :, 0] = 1.0
    return arrays
