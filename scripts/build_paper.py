"""Build the paper's tables and figures with the run's numbers beside the paper's."""

from pathlib import Path

from memloc import experiments, io, job
from memloc.analysis import tables
from memloc.paper import page as paper


def main(snakemake):
    job.start(snakemake)
    read = {Path(path).stem: paper.rows_of(path) for path in experiments.as_list(snakemake.input.tables)}
    shown = zip(snakemake.params.datasets, experiments.as_list(snakemake.input.images), strict=True)
    images = {dataset: io.load_array(path) for dataset, path in shown}
    claims = tables.load_claims(snakemake.input.claims).to_dict("records")
    folder = Path(snakemake.output.page).parent
    found = paper.write(folder, snakemake.params.config, read, claims, images)
    job.log.info("%d tables and figures have numbers of this run, %d in part, %d none", *found.values())


if "snakemake" in globals():
    main(snakemake)
