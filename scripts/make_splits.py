"""Draw disjoint groups of points and record their hashes."""

from memloc import io, job
from memloc.data import splits


def main(snakemake):
    job.start(snakemake)
    names = {"dataset": snakemake.wildcards.dataset, "seed": int(snakemake.wildcards.seed)}
    groups = splits.draw(len(io.load_array(snakemake.input.labels)), snakemake.params.split, **names)
    io.save_arrays(groups, snakemake.output.indices)
    io.save_json(splits.manifest(groups, **names), snakemake.output.manifest)


if "snakemake" in globals():
    main(snakemake)
