"""One job of an experiment that computes with a network: one encoder, one role, one seed."""

from memloc import experiments, io, job, provenance
from memloc.experiments.desk import Desk


def main(snakemake):
    job.start(snakemake)
    desk = Desk(snakemake)
    outcomes = experiments.module(snakemake.params.kind, "job").run(desk)
    io.save_arrays(outcomes, snakemake.output.outcomes, provenance.record(snakemake.output.outcomes, **desk.record))


if "snakemake" in globals():
    main(snakemake)
