"""Replace layers of one encoder by another's in every way the experiment asks for, and probe what comes out."""

from pathlib import Path

from memloc import io, job
from memloc.experiments.replacement import job as replace
from memloc.models import network, probe


def main(snakemake):
    job.start(snakemake)
    params, inputs, seed = snakemake.params, snakemake.input, int(snakemake.wildcards.seed)
    descriptions = [io.load_json(path) for path in inputs.tasks]
    splits = {params.dataset: inputs.split, params.donor_dataset: inputs.donor_split}
    tasks = {}
    for name, path in zip(params.tasks, inputs.tasks, strict=True):
        # A probe is fitted on images that neither encoder was trained on.
        exclude = probe.in_split(splits[name]) if name in splits else {}
        train, test = probe.task(Path(path).parent, exclude, images=params.images, dataset=name, seed=seed)
        tasks[name] = train, replace.draw_tested(test, tested=params.tested, dataset=name)
    base, donor = (
        network.load(
            params.architecture,
            params.network,
            path,
            image_size=description["image_size"],
            seed=seed,
            role="f",
        )
        for path, description in zip((inputs.weights, inputs.donor), descriptions, strict=True)
    )
    outcomes = replace.run(
        base,
        donor,
        tasks,
        modules=params.modules,
        counts=params.counts,
        normalise={name: network.Normalise(about) for name, about in zip(params.tasks, descriptions, strict=True)},
        blocks=params.by == "blocks",
        device=network.device(params.device),
    )
    io.save_arrays(outcomes, snakemake.output.outcomes)


if "snakemake" in globals():
    main(snakemake)
