"""LayerMem of the same weights measured in different ways (paper, Table 26)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import NONE_QUOTED, Quotes, above, profile_correlations
from memloc.analysis.sheet import Sheet
from memloc.metrics.alignment import increments

CORRELATION = 0.95
SCALE = "ResNet9, SimCLR, CIFAR10; l2, l1, cosine and angular distance"
DISTANCES = Quotes(SCALE, {"profile": 1 - CORRELATION})
"""The paper's profiles by distance are in one order (Table 26); it has no other protocols."""
CLAIMS = {
    "profile": Claim(
        "LayerMem has the same profile under every protocol: rank correlation of crossed LayerMem over layers with "
        "that under the reference, minus .95",
        "Table 26",
    ),
    "increment": Claim(
        "LayerMem rises most in the same layer under every protocol: crossed increment of the reference's strongest "
        "layer minus that of any other layer",
        "Table 26",
    ),
    "last": Claim(
        "The last layer memorizes under every protocol: the weakest crossed LayerMem of the last layer",
        "Table 26",
        value=0.308,
        scale=f"{SCALE}; published LayerMem, the lowest",
    ),
}


def analyse(sheet: Sheet) -> None:
    """Profiles of every protocol, and how alike each is to the first's."""
    profiles = sheet.paired_layermem()
    crossed, reference, n = profiles.series["crossed"], profiles.encoders[0], profiles.points
    correlation = profile_correlations(crossed)
    rises, later = crossed.map(lambda v: increments(v)[..., 1:]), profiles.layers[1:]
    # The strongest layer is the reference's, chosen on these very points. The table also has how often both protocols
    # have the same strongest layer in resamples.
    strongest = int(np.argmax(rises.value[0]))
    others = [k for k in range(len(later)) if k != strongest]
    lead = rises.map(lambda v: v[..., [strongest]] - v[..., others])
    chosen = rises.nested.argmax(axis=-1)
    sheet.add(profiles.rows())
    sheet.find_in_every("last", reference, crossed[:, -1], [f"as {encoder}" for encoder in profiles.encoders], n=n)
    for i, encoder in enumerate(profiles.encoders[1:], start=1):
        sheet.profile(correlation[0, [i]], ["all"], encoder=encoder, series="rank correlation")
        agreement = float((chosen[:, i] == chosen[:, 0]).mean())
        row = {"encoder": encoder, "series": "same strongest layer", "value": agreement, "layer": "all"}
        sheet.add(pd.DataFrame([row]))
        subject = f"{encoder} against {reference}"
        with sheet.quoting(DISTANCES if _changed(sheet, encoder, reference) <= {"distance"} else NONE_QUOTED):
            sheet.find("profile", subject, above(correlation[0, i], CORRELATION), n)
        layer, places = f"{subject}, layer {later[strongest]}", [f"over layer {later[k]}" for k in others]
        sheet.find_in_every("increment", layer, lead[i], places, n=n)
    for i, encoder in enumerate(profiles.encoders):
        sheet.profile(rises[i], later, encoder=encoder, series="increment")


def _changed(sheet: Sheet, encoder: str, reference: str) -> set[str]:
    """What differs in how two encoders are measured."""
    one, other = (sheet.inputs.about[name]["measure"] for name in (encoder, reference))
    return {key for key, value in one.items() if value != other[key]}


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A panel a protocol with the first's profile dotted; below, the last layer and how alike the profiles are."""
    forests = [
        plotting.Rows("Does the last layer memorize? Crossed LayerMem", {"crossed": "crossed"}),
        plotting.Rows(
            f"Is the profile {plotting.plain(table['encoder'].iloc[0], most=16)}'s? Rank correlation",
            {"effect": "rank correlation"},
            null=None,
            least=CORRELATION,
        ),
    ]
    of_layers = table[table["layer"].astype(str) != "all"]
    table = pd.concat([of_layers, table[table["series"] == "rank correlation"]])
    asks = "Do ways of measuring find memorization in the same layers? (dotted: the first way)"
    return plotting.compared(
        table, {"crossed": "crossed"}, forests, asks=asks, label="crossed LayerMem", reference=True
    )
