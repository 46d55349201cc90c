"""LayerMem of the same weights measured in different ways (paper, Table 26)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import above, paired_profiles, profile_correlations, rows_of
from memloc.analysis.sheet import Sheet
from memloc.metrics.alignment import increments

CORRELATION = 0.95
SCALE = "ResNet9, SimCLR, CIFAR10; l2, l1, cosine and angular distance"
PUBLISHED = 1 - CORRELATION
"""The paper's profiles by distance are in one order (Table 26); it has no other protocols."""
CLAIMS = {
    "profile": Claim(
        "LayerMem has the same profile however it is measured: rank correlation of the crossed profile with the "
        "reference's minus .95",
        "Table 26",
    ),
    "increment": Claim(
        "LayerMem rises most in the same layer however it is measured: crossed increment of the reference's strongest "
        "layer minus any other's",
        "Table 26",
    ),
    "last": Claim(
        "The last layer memorizes however it is measured: its crossed LayerMem is above 0 under every protocol",
        "Table 26",
        value=0.308,
        scale=f"{SCALE}; published LayerMem, the lowest",
    ),
}


def analyse(sheet: Sheet) -> None:
    """Profiles of every protocol, and how alike each is to the first's."""
    inputs, options = sheet.inputs, sheet.options
    found = paired_profiles(inputs, replicates=options["replicates"], normalisation=options["normalisation"])
    crossed, reference = found.series["crossed"], found.encoders[0]
    correlation, measure = profile_correlations(crossed), inputs.about[reference]["measure"]
    rises = crossed.map(lambda v: increments(v)[..., 1:])
    later = found.layers[1:]
    # The layer is the reference's choice, made on these very points: how often both choices agree in resamples stands
    # beside it in the table.
    strongest = int(np.argmax(rises.value[0]))
    others = [k for k in range(len(later)) if k != strongest]
    lead = rises.map(lambda v: v[..., [strongest]] - v[..., others])
    chosen = rises.nested.argmax(axis=-1)
    tables = [found.rows()]
    findings = [
        Finding.of_every("last", reference, crossed[:, -1], [f"as {e}" for e in found.encoders], n=found.points)
    ]
    for i, encoder in enumerate(found.encoders[1:], start=1):
        subject = f"{encoder} against {reference}"
        agreement = {"value": float((chosen[:, i] == chosen[:, 0]).mean()), "layer": "all"}
        tables += [
            rows_of(correlation[0, [i]], ["all"], encoder=encoder, series="rank correlation"),
            pd.DataFrame([{"encoder": encoder, "series": "same strongest layer", **agreement}]),
        ]
        changed = {key for key, value in inputs.about[encoder]["measure"].items() if value != measure[key]}
        paper: dict[str, Any] = {"value": PUBLISHED, "scale": SCALE} if changed <= {"distance"} else {}
        layer = f"{subject}, layer {later[strongest]}"
        findings += [
            Finding("profile", subject, above(correlation[0, i], CORRELATION), found.points, **paper),
            Finding.of_every("increment", layer, lead[i], [f"over layer {later[k]}" for k in others], n=found.points),
        ]
    tables.append(
        pd.concat(
            rows_of(rises[i], later, encoder=encoder, series="increment") for i, encoder in enumerate(found.encoders)
        )
    )
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Crossed profiles, and LayerMem of the last layer in every estimator."""
    return plotting.encoder_panels(table)
