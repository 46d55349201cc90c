"""LayerMem against the number of images and of passes over them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from math import log

from memloc.experiments.entry import COUNT, POINTS, Experiment, Options, described, on_halves, split_of

FREE = ("epochs", "warmup_epochs")
"""What recipes may differ in."""


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Encoders must be of halves, differ in images and passes alone, and in both of them apart."""
    yield from on_halves(experiment, name, config)
    if "dose" in split_of(name, config):
        several = f"images of {name} stand several times in an epoch (split.dose)"
        yield f"encoders: {several}; take encoders of a dataset without"
    names = experiment["encoders"]
    if name != names[-1]:
        return  # What they have in common is looked at once, when each is known to be of halves.
    encoders = [config["encoders"][each] for each in names]
    recipes = [{key: value for key, value in it["recipe"].items() if key not in FREE} for it in encoders]
    pools = [dict(config["datasets"][it["dataset"]]) for it in encoders]
    sizes = [pool.pop("split")["pool"] for pool in pools]
    for what, values in (("recipe", recipes), ("dataset", pools)):
        for other, value in zip(names, values, strict=True):
            if key := next((key for key in {**values[0], **value} if value.get(key) != values[0].get(key)), None):
                both = f"{values[0].get(key)} in {names[0]} and {value.get(key)} in {other}"
                yield f"encoders: compares numbers of images and passes, but {what} has {key} {both}; make them equal"
    at = [(log(size), log(it["recipe"]["epochs"])) for size, it in zip(sizes, encoders, strict=True)]
    if all(_on_one_line(*three) for three in combinations(at, 3)):
        few = "numbers of images and epochs rise and fall together, so their parts can't be told apart"
        yield f"encoders: {few}; add one that differs from another in one of them"


def _on_one_line(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return abs((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])) < 1e-9


ENTRY = Experiment(
    order=107,
    theme="layers",
    title="Memorization against the number of images and of passes",
    paper="beyond the paper; Table 1",
    asks="by which power LayerMem falls with the number of images and rises with passes, and what that forecasts",
    inputs={"points": POINTS},
    options={
        "forecast": described(
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["images", "epochs"],
                "properties": {"images": COUNT, "epochs": COUNT},
            },
            "Images of one encoder, and epochs, that LayerMem is forecast for.",
        ),
    },
    smallest={"encoders": ["unseen", "longer", "fewer"], "forecast": {"images": 45000, "epochs": 600}},
    fewest=3,
    equal=("framework", "architecture", "network", "initialisation", "hardware", "measure"),
    known=("epochs",),
    faults=faults,
)
