"""Score files with a planted LayerMem profile, for the experiments that compare encoders."""

import numpy as np
import pandas as pd
import yaml

from memloc import config
from memloc.analysis.claims import tabulate
from memloc.analysis.inputs import Inputs
from memloc.analysis.tables import load_table, save_table
from memloc.experiments import EXPERIMENTS, module
from memloc.io import save_arrays
from memloc.measuring.scores import METRICS, layer_metrics
from memloc.models.frameworks import FRAMEWORKS
from memloc.provenance import ROOT

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


class About(dict):
    """What the configuration says of an encoder: SimCLR on ResNet9, if its name doesn't begin with a framework's."""

    def __missing__(self, name):
        framework = name.split("-")[0] if name.split("-")[0] in FRAMEWORKS else "simclr"
        architecture = "vit-tiny" if framework == "mae" else "resnet9"
        return {"framework": framework, "architecture": architecture, "measure": {"distance": "l2", "pairs": "aug-aug"}}


class Study:
    """An experiment's files, written where its entry expects them."""

    def __init__(self, folder, kind):
        self.folder, self.kind = folder, kind
        self.runs, self.files = [], {name: [] for name in EXPERIMENTS[kind].inputs}
        self.about = About()

    def add(self, encoder, seed, **contents):
        self.runs.append((encoder, seed))
        for name, table in contents.items():
            names = {"encoder": encoder, "table": encoder, "experiment": self.kind, "seed": seed}
            path = self.folder / EXPERIMENTS[self.kind].inputs[name].format(**names)
            (save_table if isinstance(table, pd.DataFrame) else save_arrays)(table, path)
            self.files[name].append(str(path))
        return self

    def analyse(self, **options):
        options = {"replicates": 150, "normalisation": "ratio", **options}
        table, findings = module(self.kind).analyse(Inputs(self.runs, self.files, self.about), options)
        return table, tabulate(module(self.kind).CLAIMS, findings, experiment=self.kind)

    def drawn(self, table, images=None):
        """The figure, from the table as a CSV holds it."""
        save_table(table, self.folder / "table.csv")
        read = load_table(self.folder / "table.csv")
        assert list(read.columns) == list(table.columns) and len(read) == len(table)
        if images is None:
            images = np.zeros((1, 1, 16, 16), dtype=np.uint8)
        shown = [images] if "encoders" in EXPERIMENTS[self.kind].over else []
        figure = module(self.kind).draw(read, *shown)
        figure.canvas.draw()
        return figure


TRIED = [(f"2D-OOB, w = {w}", ratio) for ratio in (0.25, 0.5) for w in (0, 1)]
"""Methods and ratios with which every trial of valuation begins."""


def trial(baselines, **arrays):
    """Outcomes of a trial: those of 2D-OOB come first, then the named baselines'."""
    methods = [*TRIED, *((name, 0.0) for name in baselines)]
    names = {"methods": np.array([m for m, _ in methods]), "ratios": np.array([r for _, r in methods], dtype=float)}
    return names | {key: np.asarray(value, dtype=np.float64) for key, value in arrays.items()} | {"rows": np.array(99)}


def of(table, series, encoder, column="value"):
    """A series of an encoder by layer."""
    return table[(table["series"] == series) & (table["encoder"] == encoder)].set_index("layer")[column]


def by_claim(rows, claim):
    """Rows of a claim by subject."""
    return rows[rows["claim"] == claim].set_index("subject")


def configured(experiment, encoders):
    """The committed configuration with one experiment alone, and encoders that differ from simclr as told."""
    whole = yaml.safe_load((ROOT / "config.yaml").read_text())
    for name, changes in encoders.items():
        plain = yaml.safe_load((ROOT / "config.yaml").read_text())["encoders"]["simclr"]
        whole["encoders"][name] = changes if "weights" in changes else plain | changes
    whole["experiments"] = {"it": experiment}
    return whole


def complaint(experiment, encoders):
    """What the check of such a configuration says, None if nothing."""
    try:
        config.check(configured(experiment, encoders))
    except config.InputError as error:
        return str(error)
    return None
