"""Positions in towers, by how they were trained."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.aliases import Options
from memloc.experiments.entry import CHART_TOWERS, NAME, OVER_TOWERS, Experiment, described, like_the_first


def _named(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Faults of the options that name a tower."""
    yield from like_the_first(experiment, name, config)
    for key in ("own", "foreign", "untrained"):
        if experiment[key] not in experiment["towers"]:
            yield f"{key}: {experiment[key]} isn't among towers; name one of {', '.join(experiment['towers'])}"
            return
    if name != experiment["towers"][0]:
        return
    towers = config["charts"]["towers"]
    for key, kind in (("own", "trained"), ("foreign", "trained"), ("untrained", "untrained")):
        if (found := towers[experiment[key]]["kind"]) != kind:
            yield f"{key}: {experiment[key]} is of kind {found}; name one of kind {kind}"
    if experiment["own"] == experiment["foreign"]:
        yield f"foreign: {experiment['foreign']} is own, too; name one that learned other images"


ENTRY = Experiment(
    order=870,
    theme="charts",
    title="Positions in towers, by how they were trained",
    paper="FUGU (Tartaglini et al., 2025)",
    asks="which towers hold where a mark is, layer by layer, and whether in those that memorize",
    inputs={"probed": CHART_TOWERS},
    options={
        "own": described(NAME, "The tower that learned charts without labels."),
        "foreign": described(NAME, "The tower that learned other images."),
        "untrained": described(NAME, "The tower that learned nothing."),
    },
    smallest={
        "towers": ["tiny", "tiny-ssl", "tiny-trained", "tiny-untrained"],
        "own": "tiny-ssl",
        "foreign": "tiny-trained",
        "untrained": "tiny-untrained",
    },
    over=OVER_TOWERS,
    faults=_named,
)
