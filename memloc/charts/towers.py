"""What towers see of charts: encoders of memloc, trained on these, on other images or not at all, and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memloc.charts.models import Model
from memloc.charts.probes import kernel, probed, sketch
from memloc.charts.reading import Pixels, Row, Suite, numbered, places
from memloc.charts.states import FLATTENED, POOLED
from memloc.models.architectures import Layer
from memloc.models.capture import capture

Floats = NDArray[np.float32]


def single_marks(suite: Suite) -> list[Row]:
    """Charts of one mark."""
    return [chart for chart in suite.charts.values() if len(chart["points"]) == 1]


def read(
    encoder: nn.Module,
    normalise: Callable[[Tensor], Tensor],
    pixels: Pixels,
    layers: Sequence[Layer],
    *,
    batch: int = 128,
) -> Mapping[str, dict[str, Floats]]:
    """By representation and layer, states of images [images, numbers]: all of them, and their mean over places."""
    parts: dict[str, dict[str, list[Floats]]] = {
        kind: {layer.name: [] for layer in layers} for kind in (FLATTENED, POOLED)
    }
    with capture(encoder, [layer.representation for layer in layers]) as outputs, torch.no_grad():
        for start in range(0, len(pixels), batch):
            some = torch.from_numpy(pixels[start : start + batch]).float() / 255
            encoder(normalise(some))
            for layer in layers:
                states = outputs[layer.representation].float()
                pooled = states.mean(dim=(2, 3)) if states.dim() == 4 else states
                pooled = states.mean(dim=1) if states.dim() == 3 else pooled
                parts[FLATTENED][layer.name].append(sketch(states.cpu().numpy()))
                parts[POOLED][layer.name].append(pooled.cpu().numpy())
    return {kind: {name: np.concatenate(some) for name, some in rows.items()} for kind, rows in parts.items()}


def read_tower(model: Model, suite: Suite, charts: Sequence[str], *, batch: int = 64) -> dict[str, dict[str, Floats]]:
    """As ``read``, of the tower of a vision-language model: its patch embedding and its layers."""
    stages = [stage for stage in model.stages if stage.part == "tower"]
    found: dict[str, dict[str, list[Floats]]] = {kind: {s.name: [] for s in stages} for kind in (FLATTENED, POOLED)}
    for start in range(0, len(charts), batch):
        some = [suite.image(chart) for chart in charts[start : start + batch]]
        states = model.states(model.encode([model.prompt("")] * len(some), some), stages)
        for stage, values in states.items():
            found[FLATTENED][stage.name].append(sketch(values.float().cpu().numpy()))
            found[POOLED][stage.name].append(values.float().mean(dim=1).cpu().numpy())
    return {kind: {name: np.concatenate(some) for name, some in rows.items()} for kind, rows in found.items()}


def probe(states: Mapping[str, Mapping[str, Floats]], charts: Sequence[Row], *, seed: int) -> pd.DataFrame:
    """What probes of every layer read of the place of a chart's one mark.

    They learn from training charts. A row is a test chart: stage (the layer), representation, held_out (no training
    chart has a mark there), place (as one number), right, control (the share of shuffles with which that is right).
    """
    train = np.array([chart["settings"]["split"] == "train" for chart in charts])
    place = np.array([places(chart, chart["points"][0]) for chart in charts])
    known = {tuple(row) for row in place[train].tolist()}
    held_out = [tuple(row) not in known for row in place[~train].tolist()]
    labels, true = ([place[rows, i] for i in (0, 1)] for rows in (train, ~train))
    at = [numbered(tuple(row)) for row in place[~train].tolist()]
    rows = []
    for representation, layers in states.items():
        for layer, features in layers.items():
            found = probed(kernel(features[train], features[~train]), labels, true, seed=seed, names=("tower",))
            about = {"stage": layer, "representation": representation, "held_out": held_out, "place": at}
            rows.append(pd.DataFrame({**about, "right": found.right, "control": found.control}))
    return pd.concat(rows, ignore_index=True)


COLUMNS = ("stage", "representation", "held_out", "place", "right", "control")
"""Of ``probe``."""
MEMORIZED = ("point", "group", "label", "layer", "own", "sslmem")
"""Of scores of points, in the same file where the tower has a partner, each behind ``points/``."""
