"""Prune a few units of one encoder a round, retrain the rest in between, and probe what is left."""

from pathlib import Path

from memloc import io, job
from memloc.data import prepared
from memloc.data.augment import for_encoder
from memloc.data.augmentations import AUGMENTATIONS
from memloc.experiments.iterative_pruning import job as iterative
from memloc.measuring.protocol import Protocol
from memloc.models import network, probe
from memloc.models.architectures import Layer


def main(snakemake):
    job.start(snakemake)
    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    split = probe.in_split(snakemake.input.split)
    tasks = {
        name: probe.task(
            Path(path).parent, split if name == params.dataset else {}, images=params.images, dataset=name, seed=seed
        )
        for name, path in zip(params.tasks, snakemake.input.tasks, strict=True)
    }
    encoder, normalise = network.of_job(snakemake)
    outcomes = iterative.run(
        network.learner_of_job(encoder, snakemake, role="f"),
        prepared.load(Path(snakemake.input.images).parent, "train"),
        split,
        tasks,
        layers=[Layer(**layer) for layer in params.layers],
        views=for_encoder(AUGMENTATIONS[params.augmentation], encoder),
        protocol=Protocol(**params.protocol),
        others=params.others,
        normalise=normalise,
        fraction=params.fraction,
        rounds=params.rounds,
        recipe={**params.recipe, "epochs": params.epochs, "learning_rate": params.learning_rate},
        replicates=params.replicates,
        seed=seed,
        device=network.device(params.device),
    )
    io.save_arrays(outcomes, snakemake.output.outcomes)


if "snakemake" in globals():
    main(snakemake)
