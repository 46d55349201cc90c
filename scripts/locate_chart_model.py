"""Probe and patch a vision-language model at every stage."""

from pathlib import Path

from memloc import io, job, provenance
from memloc.charts import study
from memloc.charts.models import open_model
from memloc.charts.reading import open_suite
from memloc.models import network


def main(snakemake):
    job.start(snakemake)
    options, seed, output = snakemake.params.options, int(snakemake.wildcards.seed), snakemake.output
    suite = open_suite(snakemake.input.suite)
    model = open_model(snakemake.input.model, device=network.device(snakemake.params.device))
    with io.scratch(Path(output.pairs).with_suffix(".work")) as work:
        found = study.located(
            *(model, suite, options),
            tasks=snakemake.params.tasks,
            seed=seed,
            batch=32,
            work=work,
            progress=lambda done: None,
        )
    for path, name, columns in (
        (output.predictions, "predictions", study.PREDICTIONS),
        (output.pairs, "pairs", study.PAIRS),
    ):
        about = {"weights": {"model": model.identity}, "settings": options, "suite": suite.identity}
        io.save_arrays(study.arrays_of(found[name], columns), path, provenance.record(path, **about))


if "snakemake" in globals():
    main(snakemake)
