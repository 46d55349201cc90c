"""Pruning units in rounds, with retraining in between."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import COUNT, FRACTION, IMAGES, OUTCOMES, RATE, TASKS, Experiment, Job, Options, described


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Retraining follows the plain loss, so no encoder may be trained privately."""
    if config["encoders"][name]["recipe"]["privacy"]:
        private = f"{name} is trained under differential privacy (recipe.privacy), which retraining would not keep"
        yield f"encoders: {private}; take another"


ENTRY = Experiment(
    order=210,
    theme="units",
    title="Pruning units in rounds, with retraining in between",
    paper="beyond the paper (its follow-up, SparseMem)",
    asks="whether memorization goes with the units when the rest is retrained between rounds ([at risk](claims.md))",
    inputs={"outcomes": OUTCOMES},
    options={
        "fraction": described(FRACTION, "Fraction of each layer's remaining units to prune in a round."),
        "rounds": described(COUNT, "Number of rounds."),
        "epochs": described(COUNT, "Epochs of the retraining in each round."),
        "learning_rate": described(RATE, "Highest learning rate of the retraining."),
        "tasks": TASKS,
        "images": IMAGES,
    },
    smallest={
        "encoders": ["simclr"],
        "fraction": 0.3,
        "rounds": 2,
        "epochs": 1,
        "learning_rate": 0.001,
        "tasks": ["fashion", "digits"],
        "images": 60,
    },
    needs=("units",),
    tasks="tasks",
    job=Job(
        options=("fraction", "rounds", "epochs", "learning_rate", "images"),
        reads=("images", "learner", "tasks", "resamples", "protocol", "layers"),
        mem_mb=3000,
        runtime=120,
    ),
    faults=faults,
)
