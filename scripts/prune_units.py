"""Prune one encoder in every way the experiment asks for, and probe what is left."""

from pathlib import Path

from memloc import io, job
from memloc.analysis import tables
from memloc.experiments.pruning import job as prune
from memloc.measuring import scores
from memloc.models import network, probe


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
    outcomes = prune.run(
        encoder,
        scores.unit_traits(tables.load_units(snakemake.input.units)),
        tasks,
        fractions=params.fractions,
        trials=params.trials,
        scopes=params.scopes,
        baselines=params.baselines,
        modules=params.modules,
        normalise=normalise,
        seed=seed,
        device=network.device(params.device),
    )
    io.save_arrays(outcomes, snakemake.output.outcomes)


if "snakemake" in globals():
    main(snakemake)
