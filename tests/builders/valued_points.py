"""Files of valued points with planted relations, for the experiments that join values to memorization."""

import numpy as np
import pandas as pd

from memloc.valuation.points import LABELLINGS, SPACES

N, CLASSES, CELLS, UNITS = 60, 3, 16, 600
GROUPS = ("candidate", "external")
RATIOS = (0.25, 0.5)
STARTS = {"candidate": 0, "independent": 100, "external": 200}


def world(
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
    found=0.0,
    everywhere=False,
):
    """An experiment's files of one seed: points, atypicality, units and values.

    Every point has a trait, and a class that moves all its scores and values, which must not matter.

    Args:
        memorized, common: how much of the trait SSLMem of candidates has, and of all points.
        owners, common_owners: likewise, how much more units a point owns.
        far: how much of it atypicality has.
        low: how much values fall with it.
        planted: images of each group with a swapped patch, in cell 5.
        effect: how much the trait of planted ones is above that of others.
        found: by how much cell 5 is below the others of a planted image, everywhere: of any image.
    """
    rng = np.random.default_rng([21, seed])
    about = {g: STARTS[g] + np.arange(N) for g in STARTS}
    trait = {g: rng.permutation(np.linspace(-1, 1, N)) for g in STARTS}
    label = {g: rng.permutation(np.arange(N) % CLASSES) for g in STARTS}
    chosen = {g: np.sort(rng.choice(N, planted, replace=False)) for g in STARTS}
    for g in STARTS:
        trait[g][chosen[g]] += effect

    def noisy(values):
        return values + noise * rng.normal(size=N)

    points, units = [], []
    for g in STARTS:
        gain = common + memorized * (g == "candidate")
        scores = {name: noisy(gain * trait[g]) + 5 * label[g] for name in ("sslmem_choose", "sslmem_score")}
        for layer in ("8", "res"):
            # What stands in other layers than the last one has no part.
            mine = scores if layer == "res" else {name: -values for name, values in scores.items()}
            points.append(pd.DataFrame({"point": about[g], "group": g, "layer": layer, "own": layer == "8", **mine}))
        if g in ("candidate", "independent", "external"):
            weight = np.exp((common_owners + owners * (g == "candidate")) * trait[g])
            owner = rng.choice(about[g], size=UNITS, p=weight / weight.sum())
            unitmem = rng.permutation(np.linspace(0, 1, UNITS))
            units.append(pd.DataFrame({"layer": "8", "group": g, "unitmem": unitmem, "owner": owner}))
    points = pd.concat(points).sort_values(["point", "own"], ascending=[True, False], ignore_index=True)
    atypicality = pd.concat(
        pd.DataFrame(
            {"point": about[g], "group": g, "label": label[g], "atypicality": noisy(far * trait[g]) + 3 * label[g]}
        )
        for g in GROUPS
    )
    labels, planted_in = np.concatenate([label[g] for g in GROUPS]), np.zeros(2 * N, dtype=bool)
    planted_in[np.concatenate([chosen["candidate"], N + chosen["external"]])] = True
    patched = np.zeros((2 * N, CELLS), dtype=bool)
    patched[planted_in, 5] = True
    values = {
        "points": np.concatenate([about[g] for g in GROUPS]),
        "groups": np.repeat(GROUPS, N),
        "classes": labels,
        "clusters": (labels + 1) % CLASSES,
        "ratios": np.array(RATIOS),
        "planted": planted_in,
        "patched": patched,
    }
    for space in SPACES:
        for told in LABELLINGS:
            rows = np.stack(
                [
                    [np.concatenate([noisy(-low * trait[g]) for g in GROUPS]) - 4 * labels for _ in (0, 1)]
                    for _ in RATIOS
                ]
            )
            values[f"{space}/{told}/rows"] = rows
            if space == "pixels":
                cells = rows[..., None] + 0.1 * rng.normal(size=(len(RATIOS), 2, 2 * N, CELLS))
                cells[..., 5] -= found * (np.ones(2 * N) if everywhere else planted_in)
                values[f"pixels/{told}/cells"] = cells
                values[f"pixels/{told}/counts"] = np.full((len(RATIOS), 2 * N, CELLS), 50)
    return {"points": points, "atypicality": atypicality, "units": pd.concat(units), "values": values}
