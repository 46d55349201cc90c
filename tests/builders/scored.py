"""Made-up tables of a scored encoder, as memloc.scoring writes them, for tests of the page and the figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.metrics.alignment import ESTIMATORS
from memloc.scoring.verdict import EFFECTS, corrected, of_layers


@dataclass
class Scored:
    layers: pd.DataFrame
    units: pd.DataFrame
    tops: pd.DataFrame
    points: pd.DataFrame | None
    meta: dict[str, Any]


def scored(
    names: Sequence[str] = ("1", "2", "3"),
    *,
    units: int = 8,
    images: int = 60,
    ranks: int = 16,
    nulls: bool = True,
    labels: bool = True,
    pair: bool = True,
    name: Callable[[int], str] = "train/{}".format,
    classes: Sequence[str] = ("coat", "bag"),
    skipped: int = 0,
    seed: int = 0,
) -> Scored:
    """An encoder whose deeper layers memorize more; ``name`` spells the name of an image."""
    rng = np.random.default_rng(seed)
    unit_rows, top_rows, layer_rows = [], [], []
    for depth, layer in enumerate(names, start=1):
        share = depth / len(names)
        rows = []
        for unit in range(units):
            mu = np.sort(rng.gamma(3 - 2 * share, size=images))[::-1]
            chosen = rng.choice(
                images // 2 if unit % 2 and images >= 2 * ranks else images, min(ranks, images), replace=False
            )
            status = "dead" if unit % 8 == 7 else "signed" if unit % 23 == 22 else "ok"
            value = (mu[0] - mu[1:].mean()) / (mu[0] + mu[1:].mean()) if status == "ok" else np.nan
            row = {"layer": layer, "unit": unit, "status": status, "unitmem": value, "highest": mu[0]}
            owner = -1 if status == "dead" else int(chosen[0])
            row |= {"others": mu[1:].mean(), "owner": owner, "owner_image": "" if owner < 0 else name(owner)}
            row |= {"runner_up": mu[1], "runner_up_image": name(chosen[1]), "strength": 1 + unit / 10, "tied": 1}
            if labels:
                row |= {"classmem": value * 0.6, "classmem_shuffled": value * 0.3, "top_class": classes[unit % 2]}
                row["classmem_p"] = 0.04
            if nulls:
                row |= {"unitmem_matched": value * 0.95, "unitmem_external": value * (0.95 - 0.1 * share)}
                row |= {"unitmem_untrained": value * (0.8 - 0.3 * share)}
                row["excess"] = row["unitmem_matched"] - row["unitmem_external"]
            rows.append(row)
            if status == "dead":
                continue
            top_rows += [
                {"layer": layer, "unit": unit, "rank": r + 1, "image": i, "name": name(i), "activation": mu[r]}
                for r, i in enumerate(chosen)
            ]
        unit_rows += rows
        layer_rows.append(_layer(pd.DataFrame(rows), layer, depth, share, pair, rng))
    points = _points(names, images, name, rng) if pair else None
    meta = {
        "encoder": "simclr-f.safetensors",
        "against": "simclr-g.safetensors" if pair else None,
        "images": "/data/photos",
        "external": "/data/unseen" if nulls else None,
        "skipped": {name(1000 + i): "cannot identify image file" for i in range(skipped)},
        "settings": {"draws": 10, "recipe": {"augmentation": "normal"}, "seed": 0},
        "versions": {"memloc": "0.2.0", "torch": "2.14.1"},
    }
    layers = pd.DataFrame(layer_rows)
    for effect in (effect for effect in EFFECTS if effect in layers):
        layers[f"{effect}_holm"] = corrected(layers, effect)
    meta["verdict"] = of_layers(layers, {"scored": images}).record()
    return Scored(layers, pd.DataFrame(unit_rows), pd.DataFrame(top_rows), points, meta)


def _layer(
    units: pd.DataFrame, layer: str, depth: int, share: float, pair: bool, rng: np.random.Generator
) -> dict[str, Any]:
    ok = units[units["status"] == "ok"]
    row = {"layer": layer, "depth": depth, "block": layer.split(".")[0], "kind": "convolution", "units": len(units)}
    row |= {status: int((units["status"] == status).sum()) for status in ("dead", "faint", "signed")}
    row["unitmem_p90"] = ok["unitmem"].quantile(0.9)
    values = {q: ok[q].mean() for q in units if "mem" in q and q != "classmem_p"}
    if "unitmem_matched" in values:
        values["excess"] = values["unitmem_matched"] - values["unitmem_external"]
        values["gain"] = values["unitmem_matched"] - values["unitmem_untrained"]
    if pair:
        for estimator in ESTIMATORS:
            values[f"layermem_{estimator}"] = 0.02 * share**2 + rng.normal(0, 0.003)
            values[f"increment_{estimator}"] = np.nan if depth == 1 else rng.normal(0.002, 0.003)
    for quantity, value in values.items():
        half = abs(rng.normal(0.012, 0.002)) * (0.5 if "layermem" in quantity or "increment" in quantity else 1.5)
        row |= {quantity: value, f"{quantity}_low": value - half, f"{quantity}_high": value + half}
    return row


def _points(names: Sequence[str], images: int, name: Callable[[int], str], rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for image in range(images):
        group = ("candidate", "independent", "external")[image % 3]
        for depth, layer in enumerate(names, start=1):
            a_f, a_g = rng.uniform(0.2, 0.4, size=2) - [0.1 * depth / len(names) * (group == "candidate"), 0]
            halves = (a_g - a_f) / (a_g + a_f) + rng.normal(0, 0.03, size=2)
            row = {"image": image, "name": name(image), "group": group, "layer": layer}
            row |= {"alignment_f": a_f, "alignment_g": a_g, "sslmem": halves.mean()}
            rows.append(row | {"sslmem_choose": halves[0], "sslmem_score": halves[1]})
    return pd.DataFrame(rows)


def thumbnail(image: int, side: int = 24) -> NDArray[np.uint8]:
    """A picture of its own for every image: grey where the index is even, coloured where it is odd."""
    rng = np.random.default_rng(image)
    return rng.integers(0, 256, size=(1 + 2 * (image % 2), side, side), dtype=np.uint8)
