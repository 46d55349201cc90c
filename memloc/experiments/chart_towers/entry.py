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
            return
    yield from _compared(experiment, config)
    others = [
        one for one in experiment["towers"] if towers[one]["kind"] == "untrained" and one != experiment["untrained"]
    ]
    if others:
        yield f"towers: {others[0]} is untrained, as {experiment['untrained']} is; name one of them"
    suite = towers[experiment["own"]]["suite"]
    if 1 not in config["charts"]["suites"][suite].get("n", [1]):
        yield f"towers: {suite} has no charts of one mark, which probes read; add 1 to its n"


def _compared(experiment: Options, config: Options) -> Iterable[str]:
    """Own has learned the charts, foreign other images in the same way, and untrained is own before its first step."""
    towers, encoders, datasets = config["charts"]["towers"], config["encoders"], config["datasets"]
    names = {key: experiment[key] for key in ("own", "foreign", "untrained")}
    own, foreign, untrained = (encoders.get(towers[name]["encoder"]) for name in names.values())
    if own is None or foreign is None or untrained is None:
        return  # The towers' own faults say so.
    of_own, of_foreign = datasets[own["dataset"]], datasets[foreign["dataset"]]
    suite = towers[names["own"]]["suite"]
    if of_own.get("source") != "charts" or of_own.get("suite") != suite:
        yield f"own: {names['own']} has not learned charts of {suite}, which it is asked about; name one that has"
    if of_foreign.get("source") == "charts":
        yield f"foreign: {names['foreign']} has learned charts; name one that learned other images"
    if towers[names["untrained"]]["encoder"] != towers[names["own"]]["encoder"]:
        yield f"untrained: {names['untrained']} is another encoder than {names['own']}; give it the same"
    for key in ("framework", "architecture", "network", "recipe"):
        if foreign.get(key) != own.get(key):
            yield f"foreign: {key} of {names['foreign']} and {names['own']} differ; make them equal"
    if of_foreign.get("image_size") != of_own.get("image_size"):
        yield f"foreign: image_size of {names['foreign']} and {names['own']} differ; make them equal"


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
