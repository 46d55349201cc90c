"""What entries of ``charts`` say of one another: suites, towers and models by name."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.config.schemas import Config
from memloc.wording import none_of

MAIN = "templated"
"""The strategy that experiments of charts are about."""


def faults(config: Config) -> Iterable[str]:
    """Names that nothing has, and entries that don't fit together, one line each."""
    charts = config.get("charts")
    if charts is None:
        return
    towers, models = charts["towers"], charts["models"]
    for name, tower in towers.items():
        for fault in _of_tower(tower, charts, config):
            yield f"config: charts.towers.{name}.{fault}"
    for name, model in models.items():
        for fault in _of_model(name, model, charts):
            yield f"config: charts.models.{name}.{fault}"


def _of_tower(tower: Config, charts: Config, config: Config) -> Iterable[str]:
    if tower["suite"] not in charts["suites"]:
        yield f"suite: {none_of(tower['suite'], charts['suites'])}"
        return
    if tower["kind"] == "supervised":
        size = charts["suites"][tower["suite"]]["size"]
        if size % tower["patch"]:
            yield f"patch: {tower['patch']} doesn't divide the {size} pixels of {tower['suite']}; change one"
        if tower["width"] % tower["heads"]:
            yield f"heads: {tower['heads']} don't divide width {tower['width']}; change one"
        return
    encoder = config["encoders"].get(tower["encoder"])
    if encoder is None:
        yield f"encoder: {none_of(tower['encoder'], config['encoders'])}"
    elif lacking := [seed for seed in tower["seeds"] if seed not in encoder["seeds"]]:
        yield f"seeds: {tower['encoder']} has no seed {lacking[0]}; take of {', '.join(map(str, encoder['seeds']))}"


def _of_model(name: str, model: Config, charts: Config) -> Iterable[str]:
    suites, towers, models = (charts[part] for part in ("suites", "towers", "models"))
    tower, after = towers.get(model["tower"]), model.get("after")
    if tower is None:
        yield f"tower: {none_of(model['tower'], towers)}"
        return
    if tower["kind"] != "supervised":
        yield f"tower: {model['tower']} is of kind {tower['kind']}; name one of kind supervised"
        return
    suite = model.get("suite", tower["suite"])
    if suite not in suites:
        yield f"suite: {none_of(suite, suites)}"
        return
    if tower["suite"] in suites and suites[suite]["size"] != suites[tower["suite"]]["size"]:
        yield f"suite: {suite} has charts of {suites[suite]['size']} pixels, its tower's has others; make them equal"
    if unknown := [task for task in model["tasks"] if task not in suites[suite].get("tasks", model["tasks"])]:
        yield f"tasks: {suite} has no task {unknown[0]}; take of {', '.join(suites[suite]['tasks'])}"
    if lacking := [seed for seed in model["seeds"] if seed not in tower["seeds"]]:
        yield f"seeds: {model['tower']} has no seed {lacking[0]}; take of {', '.join(map(str, tower['seeds']))}"
    if any(not -tower["layers"] - 1 <= layer <= tower["layers"] for layer in model["read"]):
        yield f"read: {model['read']}: the tower has {tower['layers']} layers; take of 0 and -{tower['layers']} to -1"
    if len({layer % (tower["layers"] + 1) for layer in model["read"]}) < len(model["read"]):
        yield f"read: {model['read']}: names a layer twice; keep one of its names"
    if MAIN not in model["asked"] and "canaries" not in model:
        yield f"asked: {model['asked']} lack {MAIN}, which claims are about; add it"
    if "connector" in model and after is None:
        yield "connector: a model that goes on from no other has a new one; leave it out, or name another as after"
    if after is not None:
        before = models.get(after)
        if before is None or after == name:
            yield f"after: {none_of(after, [other for other in models if other != name])}"
        elif "canaries" in before or "canaries" in model:
            yield f"after: {after if 'canaries' in before else name} has canaries; name a model without"
        elif _goes_round(name, models):
            yield f"after: {after} goes on from {name} itself; let one of them begin anew"
        elif any(model[key] != before[key] for key in ("tower", "layers")) or set(model["seeds"]) - set(
            before["seeds"]
        ):
            yield f"after: {after} has another tower, other layers or other seeds; make them equal"


def _goes_round(name: str, models: Config) -> bool:
    """Whether a model comes after itself."""
    seen, at = {name}, models[name].get("after")
    while at in models and at not in seen:
        seen.add(at)
        at = models[at].get("after")
    return bool(at == name)
