"""Put a trigger into images, and see which cells of poisoned images are high."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.metrics.detection import auroc
from memloc.streams import generator
from memloc.valuation.inject import corner, patches, poison
from memloc.valuation.trials import Arrays, Floats, Options, named, patch_values


def run(table: Arrays, options: Options, seed: int) -> Arrays:
    """Which cells of poisoned images are high, pixel by pixel or in patches.

    For each number of cells along a side (``grids``) and each method: AUROC of the trigger's cells within a poisoned
    image, the share of its k highest cells that are among the trigger's k, and the share of images whose highest cell
    is; means over images, [grids, methods]. For the first ratio with w = 0, maps of an image, of the poisoned ones'
    mean and of the target's other images' mean: ``map<grid>`` [3, grid, grid].
    """
    source, target = options["classes"]
    absent = sorted({source, target} - set(table["y"].tolist()))
    if absent:
        raise InputError(f"classes {absent}: not in the table, which has 0 to {table['y'].max()}; change classes")
    chosen = generator("rows", seed).permutation(np.flatnonzero(np.isin(table["y"], [source, target])))
    chosen = np.sort(chosen[: options["rows"]])
    shape = tuple(int(side) for side in table["shape"])
    trigger = corner(shape, options["side"])  # type: ignore[arg-type]
    clean, labels = table["x"][chosen].astype(np.float64), table["y"][chosen]
    what = {"source": source, "target": target, "share": options["poisoned"], "seed": seed}
    x, y, poisoned = poison(clean, labels, trigger, **what)
    out: Arrays = {"image": x[poisoned][0].reshape(shape).mean(axis=0), "rows": np.array(poisoned.sum())}
    scores, valued = [], []
    for grid in options["grids"]:
        groups = patches(shape, grid)  # type: ignore[arg-type]
        hit = np.zeros(grid**2, dtype=bool)
        hit[groups[trigger]] = True
        valued = list(patch_values(x, y, groups, options, seed))
        scores.append([trigger_scores(values[poisoned], hit) for _, _, values in valued])
        first = valued[0][2]
        maps = [first[poisoned][0], first[poisoned].mean(axis=0), first[(y == target) & ~poisoned].mean(axis=0)]
        out[f"map{grid}"] = np.reshape(maps, (3, grid, grid))
    areas, hits, tops = np.moveaxis(np.array(scores), -1, 0)
    return named(valued) | out | {"areas": areas, "hits": hits, "tops": tops}


def trigger_scores(values: Floats, hit: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Means over images [n, cells]: AUROC, share of as many highest cells that are hit, whether the highest is."""
    order = np.argsort(-values, axis=1, kind="stable")[:, : hit.sum()]
    area = float(np.mean([auroc(row, hit) for row in values]))
    return area, float(hit[order].mean()), float(hit[order[:, 0]].mean())
