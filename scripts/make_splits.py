"""Draw disjoint groups of points and record their hashes."""

from memloc import io, job
from memloc.data import splits


def main(snakemake):
    job.start(snakemake)
    names = {"dataset": snakemake.wildcards.dataset, "seed": int(snakemake.wildcards.seed)}
    images = len(io.load_array(snakemake.input.labels))
    groups = splits.draw(images, snakemake.params.split, **names)
    manifest = splits.manifest(groups, **names, images=images)
    splits.save(groups, manifest, snakemake.output.indices)
    io.save_json(manifest, snakemake.output.manifest)


if "snakemake" in globals():
    main(snakemake)
