"""Fit linear probes on one encoder as it is, one for each task."""

from pathlib import Path

from memloc import io, job
from memloc.experiments.transfer import job as transfer
from memloc.models import network, probe


def main(snakemake):
    job.start(snakemake)
    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    split = io.load_arrays(snakemake.input.split)
    tasks = {
        name: probe.task(
            Path(path).parent, split if name == params.dataset else {}, images=params.images, dataset=name, seed=seed
        )
        for name, path in zip(params.tasks, snakemake.input.tasks, strict=True)
    }
    encoder, normalise = network.of_job(snakemake)
    outcomes = transfer.run(encoder, tasks, normalise=normalise, device=network.device(params.device))
    io.save_arrays(outcomes, snakemake.output.outcomes)


if "snakemake" in globals():
    main(snakemake)
