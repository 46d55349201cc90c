"""Fine-tune one encoder in every way the experiment asks for."""

from pathlib import Path

from memloc import io, job
from memloc.analysis import tables
from memloc.experiments.finetuning import job as finetune
from memloc.measuring import scores
from memloc.models import network, probe


def main(snakemake):
    job.start(snakemake)
    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    split = probe.in_split(snakemake.input.split)
    exclude = split if params.task == params.dataset else {}
    task = probe.task(Path(snakemake.input.task).parent, exclude, images=params.images, dataset=params.task, seed=seed)
    layers, profile = scores.crossed_profile(tables.load_table(snakemake.input.points))
    encoder, normalise = network.of_job(snakemake)
    outcomes = finetune.run(
        encoder,
        profile,
        layers,
        *task,
        counts=params.counts,
        subsets=params.subsets,
        recipe=params.recipe,
        modules=params.modules,
        normalise=normalise,
        seed=seed,
        device=network.device(params.device),
    )
    io.save_arrays(outcomes, snakemake.output.outcomes)


if "snakemake" in globals():
    main(snakemake)
