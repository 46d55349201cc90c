"""Files of valued points with planted relations, for the experiments that join values to memorization."""

import numpy as np
import pandas as pd

from memloc.analysis.valued_points import Way
from memloc.valuation.points import LABELLINGS, SPACES
from tests.builders.study import Study

N, CLASSES, CELLS, UNITS = 60, 3, 16, 600
GROUPS = ("candidate", "external")
RATIOS = (0.25, 0.5)
STARTS = {"candidate": 0, "independent": 100, "external": 200}
WAYS = [Way(labels, space, ratio, w) for labels in LABELLINGS for space in SPACES for ratio in RATIOS for w in (0, 1)]
NAMES = [way.name for way in WAYS]
OPTIONS = {"shown": 4, "patch": 8}


def study(folder, kind, seeds, **planted):
    """An experiment over one encoder, with the files of so many seeds."""
    it = Study(folder, kind)
    for seed in range(seeds):
        it.add("simclr", seed, **files(seed, **planted))
    return it


def by_witness(rows):
    """By claim, without the name of the experiment's kind, the verdicts on all witnesses."""
    return {claim.partition(".")[2]: set(of_claim["verdict"]) for claim, of_claim in rows.groupby("claim")}


def files(
    seed,
    *,
    memorized=0.0,
    common=0.0,
    owners=0.0,
    common_owners=0.0,
    far=0.0,
    low=1.0,
    noise=0.3,
    planted=0,
    effect=0.0,
    below=0.0,
    everywhere=False,
):
    """An experiment's files of one seed: points, atypicality, units and values.

    Every point has a trait, and a class that moves all its scores and values, which must not matter.

    Args:
        memorized, common: how much SSLMem rises with the trait in candidates, and in all points.
        owners, common_owners: likewise, how much the number of owned units does.
        far: how much atypicality rises with it.
        low: how much values fall with it.
        planted: images of each group with a swapped patch, in cell 5.
        effect: how much the trait of planted ones is above that of others.
        below: by how much cell 5 is below the other cells of a planted image, everywhere: of any image.
    """
    rng = np.random.default_rng([21, seed])
    points = {g: start + np.arange(N) for g, start in STARTS.items()}
    trait = {g: rng.permutation(np.linspace(-1, 1, N)) for g in STARTS}
    label = {g: rng.permutation(np.arange(N) % CLASSES) for g in STARTS}
    chosen = {g: np.sort(rng.choice(N, planted, replace=False)) for g in STARTS}
    for g in STARTS:
        trait[g][chosen[g]] += effect

    def noisy(values):
        return values + noise * rng.normal(size=N)

    scores, units = [], []
    for g in STARTS:
        gain = common + memorized * (g == "candidate")
        last = {name: noisy(gain * trait[g]) + 5 * label[g] for name in ("sslmem_choose", "sslmem_score")}
        for layer in ("8", "res"):
            # Other layers than the last one must not matter.
            sslmem = last if layer == "res" else {name: -values for name, values in last.items()}
            scores.append(pd.DataFrame({"point": points[g], "group": g, "layer": layer, "own": layer == "8", **sslmem}))
        weight = np.exp((common_owners + owners * (g == "candidate")) * trait[g])
        owner = rng.choice(points[g], size=UNITS, p=weight / weight.sum())
        unitmem = rng.permutation(np.linspace(0, 1, UNITS))
        units.append(pd.DataFrame({"layer": "8", "group": g, "unitmem": unitmem, "owner": owner}))
    atypicality = pd.concat(
        pd.DataFrame(
            {"point": points[g], "group": g, "label": label[g], "atypicality": noisy(far * trait[g]) + 3 * label[g]}
        )
        for g in GROUPS
    )
    labels, swapped = np.concatenate([label[g] for g in GROUPS]), np.zeros(2 * N, dtype=bool)
    swapped[np.concatenate([chosen["candidate"], N + chosen["external"]])] = True
    patched = np.zeros((2 * N, CELLS), dtype=bool)
    patched[swapped, 5] = True
    values = {
        "points": np.concatenate([points[g] for g in GROUPS]),
        "groups": np.repeat(GROUPS, N),
        "classes": labels,
        "clusters": (labels + 1) % CLASSES,
        "ratios": np.array(RATIOS),
        "planted": swapped,
        "patched": patched,
    }
    for name in (f"{space}/{labelling}" for space in SPACES for labelling in LABELLINGS):
        rows = [[np.concatenate([noisy(-low * trait[g]) for g in GROUPS]) - 4 * labels for _ in (0, 1)] for _ in RATIOS]
        values[f"{name}/rows"] = np.array(rows)
        if name.startswith("pixels"):
            cells = np.array(rows)[..., None] + 0.1 * rng.normal(size=(len(RATIOS), 2, 2 * N, CELLS))
            cells[..., 5] -= below * (np.ones(2 * N) if everywhere else swapped)
            values[f"{name}/cells"] = cells
            values[f"{name}/counts"] = np.full((len(RATIOS), 2 * N, CELLS), 50)
    table = pd.concat(scores).sort_values(["point", "own"], ascending=[True, False], ignore_index=True)
    return {"points": table, "atypicality": atypicality, "units": pd.concat(units), "values": values}
