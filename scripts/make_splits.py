"""Draw disjoint groups of points and record their hashes."""

from memloc import io, job
from memloc.data import splits


def main(snakemake):
    job.start(snakemake)
    names = {"dataset": snakemake.wildcards.dataset, "seed": int(snakemake.wildcards.seed)}
    labels, sizes = io.load_array(snakemake.input.labels), snakemake.params.split
    groups = splits.draw_halves(labels, sizes, **names) if "pool" in sizes else splits.draw(len(labels), sizes, **names)
    manifest = splits.manifest(groups, **names, images=len(labels))
    splits.save(groups, manifest, snakemake.output.indices)
    io.save_json(manifest, snakemake.output.manifest)


if "snakemake" in globals():
    main(snakemake)
