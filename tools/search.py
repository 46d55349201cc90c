"""What each arm of config/search.yaml brings for its time: `python tools/search.py results/search`.

Prints a table and writes it to <folder>/search.csv. z is an effect over its standard error; for the output and the
slope that error is the spread under membership dealt anew, so that three pairs tell it well. It grows with the root of
the number of pairs, so arms are compared by

    z in ten minutes = z sqrt(600 / (pairs x seconds of a pair))

Seconds of a pair are those of one core for the steps of f and g, timed here, arm after arm, the best of three.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
import pandas as pd
import torch
import yaml
from snakemake.utils import update_config

from memloc import config as configuration
from memloc import io
from memloc.analysis import tables
from memloc.analysis.halves import crossing
from memloc.data import prepared, splits
from memloc.measuring.points import own_layers
from memloc.metrics.pairs import dealt_means, gains
from memloc.training import loop
from memloc.training.settings import Training

BUDGET, ROUNDS, SHORT, LONG = 600, 3, 2, 6
"""Seconds that arms are compared at; rounds of timing; epochs of the two runs whose difference is timed."""
CLAIMS = {"loss": ("losses", "losses.gap"), "units": ("unitmem", "unitmem.excess")}
CLAIMS |= {"atypical": ("pairs", "pairs.atypical")}
"""Columns from claims.csv: experiment and claim."""


def z_of_dealt(points: list[pd.DataFrame]) -> tuple[float, float, float]:
    """Crossed LayerMem of the output, its z, and the z of the slope over the layers."""
    places = list(dict.fromkeys(points[0]["layer"]))
    pool = crossing(points, places)
    effect = gains(pool.sslmem, pool.inside, pool.labels).mean(axis=(0, 1))
    deals = dealt_means(pool.sslmem, pool.inside, pool.labels, deals=2000, seed=0)
    own = np.array([places.index(name) for name in own_layers(points[0])])
    depth = np.arange(len(own)) - (len(own) - 1) / 2
    slope = effect[own] @ depth / (deals[:, own] @ depth).std()
    return effect[-1], effect[-1] / deals[:, -1].std(), slope


def seconds_of_pair(settings: dict, data: Path, split: Path) -> float:
    """Time of one core for the epochs of f and g."""
    part, description = prepared.load(data, "train"), io.load_json(data / "dataset.json")
    points = splits.training_points(splits.load(split, description), "f")

    def run(epochs: int) -> float:
        short = copy.deepcopy(settings)
        short["recipe"] |= {"epochs": epochs, "warmup_epochs": 0}
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            loop.train(
                part.images,
                part.labels,
                points,
                training=Training.of(short),
                description=description,
                folder=Path(folder),
                seed=0,
                role="f",
                save_every=math.inf,
            )
            return time.process_time() - began

    epoch = min(run(LONG) - run(SHORT) for _ in range(ROUNDS)) / (LONG - SHORT)
    return 2 * settings["recipe"]["epochs"] * epoch


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="--directory of the run")
    os.chdir(parser.parse_args().folder)  # Files of a run say where in it they lie.
    folder = Path("results")
    torch.set_num_threads(1)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    update_config(config, yaml.safe_load((ROOT / "config/search.yaml").read_text(encoding="utf-8")))
    configuration.check(config)
    configuration.complete(config)
    claims = pd.read_csv(folder / "claims.csv").set_index(["experiment", "claim", "subject"])
    rows = []
    for arm in config["experiments"]["pairs"]["encoders"]:
        settings, seeds = config["encoders"][arm], config["encoders"][arm]["seeds"]
        points = [tables.load_table(folder / f"scores/{arm}/seed{seed}/points.parquet") for seed in seeds]
        split = folder / f"splits/{settings['dataset']}/seed{seeds[0]}/indices.npz"
        training = {key: settings[key] for key in (*configuration.TRAINING, "initialisation", "snapshots")}
        taken = seconds_of_pair(training, folder / "data" / settings["dataset"], split)
        effect, output, slope = z_of_dealt(points)
        found = {"output": output, "slope": slope}
        found |= {name: claims.loc[(*of, arm), "z"] for name, of in CLAIMS.items()}
        times = math.sqrt(BUDGET / (len(seeds) * taken))
        rows.append({"arm": arm, "seconds": taken, "LayerMem": effect, **{key: z * times for key, z in found.items()}})
        print(f"{arm}: {taken:.0f} s a pair", file=sys.stderr)
    table = pd.DataFrame(rows)
    table["median"] = table[["output", "slope", *CLAIMS]].median(axis=1)
    table.to_csv("search.csv", index=False)
    print("| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns))
    for row in table.itertuples(index=False):
        print(f"| {row[0]} | {row[1]:.0f} | {row[2]:.4f} | " + " | ".join(f"{z:.1f}" for z in row[3:]) + " |")


if __name__ == "__main__":
    main()
