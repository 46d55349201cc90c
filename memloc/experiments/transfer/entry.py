"""Linear probes on several tasks."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import EVERY_OUTCOME, IMAGES, TASKS, Experiment, Job, Options, described
from memloc.models.frameworks import FRAMEWORKS


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """``own-task`` compares a supervised encoder with a self-supervised one, on their own task and on others."""
    names, encoders, tasks = experiment["encoders"], config["encoders"], experiment["tasks"]
    if experiment["order"] != "own-task" or name != names[0]:
        return
    own = encoders[name]["dataset"]
    if [FRAMEWORKS[encoders[encoder]["framework"]].labels for encoder in names] != [True, False]:
        yield "encoders: own-task compares two encoders; write a supervised one, then a self-supervised one"
    if tasks[0] != own or len(tasks) < 2:
        yield f"tasks: write the encoders' own, {own}, first and at least one other after it"


ENTRY = Experiment(
    order=300,
    theme="units",
    title="Linear probes on several tasks",
    paper="Table 20, Figure 11",
    asks="what supervised and self-supervised encoders are worth on other tasks; accuracy along a series of encoders",
    inputs={"outcomes": EVERY_OUTCOME},
    options={
        "tasks": TASKS,
        "images": IMAGES,
        "order": described(
            {"enum": ["own-task", "falling"]},
            "own-task: a supervised encoder wins the first task, its own, and a self-supervised one all others; "
            "falling: accuracy falls from each encoder to the next.",
        ),
    },
    smallest={"encoders": ["simclr", "mae"], "tasks": ["fashion", "digits"], "images": 60, "order": "falling"},
    fewest=2,
    equal=("dataset", "seeds", "split_seed"),
    trained_apart=True,
    tasks="tasks",
    job=Job(options=("images",), reads=("tasks",), runtime=30),
    faults=faults,
)
