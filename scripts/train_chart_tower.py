"""Train the tower of vision-language models on what lies in every patch of a chart."""

from pathlib import Path

from memloc import job
from memloc.charts import study
from memloc.charts.reading import open_suite


def main(snakemake):
    job.start(snakemake)
    settings, seed = snakemake.params.settings, int(snakemake.wildcards.seed)
    suite = open_suite(snakemake.input.suite)
    progress = study.steps(settings["steps"])
    study.train_tower(suite, settings, Path(snakemake.output.model), seed=seed, progress=progress)


if "snakemake" in globals():
    main(snakemake)
