"""One job of an experiment that computes with a network: one encoder, one role, one seed."""

from memloc import experiments, io, job
from memloc.experiments.desk import Desk


def main(snakemake):
    job.start(snakemake)
    outcomes = experiments.module(snakemake.params.kind, "job").run(Desk(snakemake))
    io.save_arrays(outcomes, snakemake.output.outcomes)


if "snakemake" in globals():
    main(snakemake)
