"""A suite of charts."""

from pathlib import Path

from memloc import job
from memloc.charts import study


def main(snakemake):
    job.start(snakemake)
    study.write_suite(snakemake.params.settings, Path(snakemake.output.suite))


if "snakemake" in globals():
    main(snakemake)
