"""Memorization told by other means than alignment."""

from __future__ import annotations

from memloc.experiments.registry.entry import COUNT, FRACTION, POINTS, SEVERAL, Experiment

_INPUTS = {
    "points": POINTS,
    "f": "witnesses/{experiment}/{encoder}/f/seed{seed}.npz",
    "g": "witnesses/{experiment}/{encoder}/g/seed{seed}.npz",
}

ENTRIES: dict[str, Experiment] = {
    "dejavu": Experiment(
        title="Labels inferred from the periphery",
        paper="beyond the paper (Meehan et al., 2023)",
        caption=(
            "From left to right: share of the nearest public images to an image's four corners that have its label, by "
            "group, with f and with g; black, the share by chance. f was trained on candidates, g on independent "
            "images, neither on external ones. Votes of f minus votes of g as published LayerMem is taken (candidates "
            "alone), corrected by external images and crossed over the roles of f and g. Candidates' advantage of f "
            "against SSLMem of the output. Their rank correlation in each group; external images are the null, and "
            "independent ones are candidates with f and g in each other's role. Bars: 95 % intervals over points "
            "nested in seeds."
        ),
        inputs=_INPUTS,
        options={"public": SEVERAL, "neighbours": COUNT, "crop": FRACTION | {"exclusiveMaximum": 0.5}},
        labels=True,
        layers=("output",),
    ),
    "reconstruction": Experiment(
        title="Reconstruction of what was trained on",
        paper="beyond the paper",
        caption=(
            "From left to right: loss of the hidden patches under f and under g, by group; f was trained on "
            "candidates, g on independent images, neither on external ones. Loss of g minus loss of f over the "
            "external images' mean loss, as published LayerMem is taken (candidates alone), corrected by external "
            "images and crossed over the roles of f and g. Candidates' advantage of f against SSLMem of the output. "
            "Their rank correlation in each group; external images are the null, and independent ones are candidates "
            "with f and g in each other's role. Bars: 95 % intervals over points nested in seeds."
        ),
        inputs=_INPUTS,
        options={},
        losses=True,
        layers=("output",),
    ),
}
