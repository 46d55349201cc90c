"""Three ways to mend the handoff."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.aliases import Options
from memloc.experiments.entry import CHART_ANSWERS, OVER_MODELS, Experiment, goes_on


def _differs(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """A model differs from the first one in what its name says, as claims have it, and in nothing else."""
    yield from goes_on(experiment, name, config)
    models, first = config["charts"]["models"], experiment["models"][0]
    one, own = models[first], models[name]
    if name == first or "after" not in own or own["after"] not in models:
        return
    before = models[own["after"]]["read"]
    renewed = {key: of["read"] != before or of.get("connector") == "new" for key, of in ((name, own), (first, one))}
    if renewed[name] != renewed[first]:
        yield f"models: the connector of one of {name} and {first} is new; give the other connector: new"
    if own["frozen"] != one["frozen"] and own["read"] != one["read"]:
        yield f"models: {name} differs from {first} in frozen and in read; let it differ in one"
    needs = {
        "wider": (
            len(own["read"]) > len(one["read"]) and 0 not in own["read"],
            "read: more states than the first, not 0",
        ),
        "positions": (0 in own["read"], "read: 0 among others"),
        "unfrozen": (not own["frozen"] and one["frozen"], "frozen: false, and the first one frozen: true"),
    }
    for claim, (holds, told) in needs.items():
        if name.endswith(claim) and not holds:
            yield f"models: {name} is what a claim is about and needs {told}; change it or its name"


ENTRY = Experiment(
    order=840,
    theme="charts",
    title="Three ways to mend the handoff",
    paper="beyond the paper",
    asks="whether a wider connector, positions, or a tower that learns on tell more of what the tower has seen",
    inputs={"answers": CHART_ANSWERS},
    smallest={"models": ["tiny-renewed", "tiny-positions"]},
    over=OVER_MODELS,
    faults=_differs,
)
