"""Find which wrong answers two models memorize, and at which stage."""

from memloc import io, job, provenance
from memloc.charts import canaries, study
from memloc.charts.models import open_model
from memloc.charts.reading import open_suite
from memloc.models import network


def main(snakemake):
    job.start(snakemake)
    settings, seed, output = snakemake.params.settings, int(snakemake.wildcards.seed), snakemake.output.canaries
    device = network.device(snakemake.params.device)
    suite = open_suite(snakemake.input.suite)
    models = {
        half: open_model(folder, device=device)
        for half, folder in zip(canaries.HALVES, snakemake.input.models, strict=True)
    }
    dealt = canaries.deal(study.training_items(suite, settings), settings["canaries"], seed=seed)
    found = canaries.outcomes(models, suite, dealt, clean=400, batch=32, seed=seed, progress=lambda done: None)
    weights = {half: model.identity for half, model in models.items()}
    io.save_arrays(found, output, provenance.record(output, weights=weights, settings=settings, suite=suite.identity))


if "snakemake" in globals():
    main(snakemake)
