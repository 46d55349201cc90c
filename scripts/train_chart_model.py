"""Train a vision-language model on the questions of a suite: all training items, or a half of them with canaries."""

from pathlib import Path

from memloc import job
from memloc.charts import study
from memloc.charts.canaries import deal
from memloc.charts.reading import open_suite


def main(snakemake):
    job.start(snakemake)
    settings, part, seed = snakemake.params.settings, snakemake.wildcards.part, int(snakemake.wildcards.seed)
    suite = open_suite(snakemake.input.suite)
    items = study.training_items(suite, settings)
    if part != "whole":
        items = deal(items, settings["canaries"], seed=seed).of(part)
    study.train_model(
        *(suite, items, settings, Path(snakemake.output.model)),
        suites=[open_suite(folder) for folder in snakemake.input.suites],
        tower=Path(snakemake.input.tower),
        tower_settings=snakemake.params.tower,
        after=Path(snakemake.input.after) if snakemake.input.after else None,
        seed=seed,
        progress=study.steps(settings["steps"]),
    )


if "snakemake" in globals():
    main(snakemake)
