"""Score tables of single points, from the measures of f and g."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.errors import InputError
from memloc.measuring.files import NamedArrays
from memloc.metrics import alignment, atypicality


def point_scores(f: NamedArrays, g: NamedArrays, *, normalisation: str) -> pd.DataFrame:
    """SSLMem (paper, Eq. 2) of every point at every layer: one row for each.

    ``sslmem`` uses all draws; ``sslmem_choose`` and ``sslmem_score`` use one half each, so that groups can be chosen
    on draws on which they are not scored. ``dose``, where some points are repeated, is how often each one
    stands in an epoch.

    Args:
        f, g: measures of the two encoders on the same points.

    Raises:
        InputError: the measures are of different points, groups or layers.
    """
    for name in ("points", "groups", "layers"):
        if not np.array_equal(f[name], g[name]):
            raise InputError(f"measures of f and g differ in their {name}; delete both and run snakemake again")
    a_f, a_g = f["alignment"].astype(np.float64), g["alignment"].astype(np.float64)
    n, layers = a_f.shape[:2]
    halves = alignment.sslmem(a_f, a_g, normalisation=normalisation)
    dose = {"dose": np.repeat(f["doses"], layers)} if "doses" in f else {}
    return pd.DataFrame(
        {
            "point": np.repeat(f["points"], layers),
            "group": np.repeat(f["groups"], layers),
            "label": np.repeat(f["labels"], layers),
            **dose,
            "layer": np.tile(f["layers"], n),
            "own": np.tile(f["own"], n),
            "kind": np.tile(f["kinds"], n),
            "parameters": np.tile(f["parameters"], n),
            "alignment_f": a_f.mean(axis=2).ravel(),
            "alignment_g": a_g.mean(axis=2).ravel(),
            "sslmem": alignment.sslmem(a_f.mean(axis=2), a_g.mean(axis=2), normalisation=normalisation).ravel(),
            "sslmem_choose": halves[..., 0].ravel(),
            "sslmem_score": halves[..., 1].ravel(),
        }
    )


def atypicality_scores(f: NamedArrays, g: NamedArrays, *, neighbours: int) -> pd.DataFrame:
    """Atypicality of the points that g has not seen (candidate, external): distance to their nearest shared points.

    Where f and g share none, as on complementary halves, to their nearest points among all that g has seen; and there,
    f tells the atypicality of the half that it has not seen.
    """
    if (g["groups"] == "shared").any():
        return _atypicality(g, CANDIDATE_AND_NULL, "shared", neighbours=neighbours)
    first = _atypicality(g, CANDIDATE_AND_NULL, "independent", neighbours=neighbours)
    return pd.concat([first, _atypicality(f, ("independent",), "candidate", neighbours=neighbours)], ignore_index=True)


def _atypicality(measures: NamedArrays, groups: Sequence[str], seen: str, *, neighbours: int) -> pd.DataFrame:
    """Mean distance of the points of some groups to their nearest ones of a group that the encoder has seen."""
    unseen, features = np.isin(measures["groups"], groups), measures["features"]
    reference = features[measures["groups"] == seen]
    return pd.DataFrame(
        {
            "point": measures["points"][unseen],
            "group": measures["groups"][unseen],
            "label": measures["labels"][unseen],
            "atypicality": atypicality.neighbour_distance(features[unseen], reference, neighbours=neighbours),
        }
    )


def own_layers(points: pd.DataFrame) -> list[str]:
    """Names of the layers with parameters of their own (no sums or pools), in order of depth."""
    return list(dict.fromkeys(points.loc[points["own"], "layer"]))


def crossed_profile(points: pd.DataFrame) -> tuple[list[str], NDArray[np.float64]]:
    """The layers with parameters of their own, and the crossed LayerMem of each, [layers].

    crossed = (mean SSLMem of candidates - mean SSLMem of independent points) / 2
    """
    layers = own_layers(points)
    means = points.groupby(["group", "layer"])["sslmem"].mean()
    crossed = (means["candidate"][layers] - means["independent"][layers]) / 2
    return layers, crossed.to_numpy(dtype=np.float64)
